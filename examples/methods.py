"""Fit six methods to one synthetic table, and compare a pretrained with a retrained attacker.

Run: python examples/methods.py
"""

import numpy as np

from sordine import Budget, Key, Policy, Run, Table, audit, fit, make_method, transform

rng = np.random.default_rng(0)
speaker, word = rng.integers(0, 4, 1500), rng.integers(0, 3, 1500)
x = rng.normal(size=(1500, 16))
x += 2 * rng.normal(size=(4, 16))[speaker] + 2 * rng.normal(size=(3, 16))[word]
table = Table.of(x, {"speaker": speaker, "word": word}, source="synthetic")
policy, key = Policy(suppress=("speaker",), preserve=("word",)), Key.of_seed(0)

OPTIONS = {
    "nothing": {},
    "noise": {"sigma": 2.0},
    "leace": {},
    "mass": {"epochs": 20, "classifier_epochs": 20, "agnostic_epochs": 10},
    "substitution": {"hidden": 64, "size": 32},
    "transport": {},
}
for name, options in OPTIONS.items():
    modifier = fit(table, policy, make_method(name, options), run=Run(key=key))
    released = transform(modifier, table, key)
    report = audit(table, released, policy, modifier=modifier, key=key, budget=Budget.named("quick"))
    retrained = {line.attribute: line.after for line in report.headlines}
    pretrained = {line.attribute: line.after for line in report.pretrained}
    print(
        f"{name:<13} accuracy of speaker: {retrained['speaker']:.2f} retrained, "
        f"{pretrained['speaker']:.2f} pretrained; "
        f"of word: {retrained['word']:.2f}"
    )

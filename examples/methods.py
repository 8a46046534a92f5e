"""Every method on one small made-up table, with what a retrained attacker reads afterwards. Run it: python examples/methods.py"""

import numpy as np

from sordine import Key, Policy, Table, audit, fit, transform
from sordine.attacks.runner import Budget
from sordine.methods.registry import make
from sordine.run import Run

rng = np.random.default_rng(0)
speaker, word = rng.integers(0, 4, 1500), rng.integers(0, 3, 1500)
x = rng.normal(size=(1500, 16))
x += 2 * rng.normal(size=(4, 16))[speaker] + 2 * rng.normal(size=(3, 16))[word]
table = Table.of(x, {"speaker": speaker, "word": word}, source="made up")
policy, key = Policy(suppress=("speaker",), preserve=("word",)), Key.of_seed(0)
quick = Budget(families=("logistic", "neighbours"), settings=("A",))

SETTINGS = {
    "nothing": {},
    "noise": {"sigma": 2.0},
    "leace": {},
    "mass": {"epochs": 20, "classifier_epochs": 20, "agnostic_epochs": 10},
    "substitution": {"hidden": 64, "size": 32},
    "transport": {},
}
for name, settings in SETTINGS.items():
    modifier = fit(table, policy, make(name, settings), run=Run(key=key))
    report = audit(table, transform(modifier, table, key), policy, modifier=modifier, key=key, budget=quick)
    read = {h.attribute: h.after for h in report.headlines}
    fooled = {p.attribute: p.after for p in report.pretrained}
    print(
        f"{name:<13} speaker {read['speaker']:.2f} retrained, {fooled['speaker']:.2f} pretrained; word {read['word']:.2f}"
    )

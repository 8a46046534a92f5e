"""Methods: recipes that fit a modifier. `METHODS` names them; `fit` runs one on a table under a policy."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from sordine.data.matching import same_columns
from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.keys import numpy_rng
from sordine.methods.base import Method
from sordine.methods.identity import Nothing
from sordine.methods.inversion.method import Inversion
from sordine.methods.noise import Noise
from sordine.methods.registry import default_method, make
from sordine.methods.substitution.method import Substitution
from sordine.methods.transport.method import Transport
from sordine.metrics import information
from sordine.metrics.information import Entanglement
from sordine.models.modifier import Modifier
from sordine.policy import Policy
from sordine.run import Run


def fit(table: Table, policy: Policy, method: Method | str | None = None, *, run: Run | None = None) -> Modifier:
    """Fit a modifier on the training side of a table.

    Says first, through `run.log`, what is entangled on this table. The modifier's card holds, where its output is
    discrete, the exact best attack on the fitted and on the unseen records.
    Raises SordineError, before training, where the policy does not fit the table or the method does not fit the policy, and
    where a side of the split lacks the labels that the method learns from or is measured by. Feature columns of a pool are
    matched by name; one that is missing or additional is refused.
    """
    run = run or Run()
    policy = table.require(policy)
    table = table.with_split(policy, run.key)
    if method is None:
        method = default_method(policy)
    if isinstance(method, str):
        method = make(method)
    if method.suppresses and not policy.suppress:
        raise SordineError(f"method {type(method).__name__.lower()!r} needs at least one attribute to suppress (-s)")
    if method.preserves and not policy.preserve:
        raise SordineError(f"method {type(method).__name__.lower()!r} needs a task: an attribute to preserve (-p)")
    if run.pool is not None and not isinstance(method, Substitution | Inversion):
        raise SordineError(f"method {type(method).__name__.lower()!r} takes no pool; substitution and inversion do")
    if method.preserves and policy.suppress:
        run.log(
            f"{type(method).__name__.lower()} does not hide {', '.join(policy.suppress)}: it learns its task alone; the audit "
            "measures how much of it is read."
        )
    if run.pool is not None:
        run = dataclasses.replace(run, pool=same_columns(run.pool, table.features, table.source, log=run.log))
    assert table.split is not None
    if policy.suppress:
        found = information.entanglement(
            table.y, policy.suppress, policy.preserve, policy.watch, test_records=int((~table.split).sum())
        )
        for sentence in beforehand(found, int((~table.split).sum())):
            run.log(sentence)
    # Noise needs no labels; who learns from them, and finds none, would release records as they came.
    # The channel of these is attacked on both sides afterwards: what cannot be is refused before an hour of training.
    channel = isinstance(method, Transport | Substitution)
    named = (*policy.suppress, *policy.preserve)
    if not isinstance(method, Noise | Nothing):
        table.require_labels(named, "train", together=channel)
    if channel:
        table.require_labels(named, "test", together=True)
    train = table.part("train")
    modifier = method.fit(train, policy, run)
    modifier.fitted = run.key.digest("fitted", train.ids, 8)
    modifier.card.key = run.key.fingerprint
    modifier.card.fit |= {"records": len(train)}
    if modifier.discrete:
        modifier.card.fit["exact"] = exact_figures(modifier, table, policy, run.seed)
        modifier.card.notes += telling(modifier.card.fit["exact"])
    for note in modifier.card.notes:
        run.log(note)
    return modifier


def telling(exact: Sequence[Mapping[str, Any]]) -> list[str]:
    """A sentence for each suppressed attribute of which the channel tells more of unseen records than chance shows."""
    return [
        f"The best possible attacker, who knows the modifier and {e['records']:,} unseen records with their labels, reads "
        f"{e['accuracy'] - e['permuted']:.1%} more of `{e['attributes'][0]}` among those than permuted labels give: more records of "
        "each class, fewer outputs or a softer draw help; the audit says how much others read."
        for e in exact
        if e["on"] == "unseen" and not e["kept"] and len(e["attributes"]) == 1 and e["accuracy"] > e["permuted_high"]
    ]


def beforehand(found: Entanglement, unseen: int) -> list[str]:
    """What an owner should know before anything is trained: what is entangled, the most that each preserved attribute can
    keep, and the smallest leakage that so many unseen records can certify. Sentences."""
    said = list(found.sentences)
    for name, share in found.keeps.items():
        if share > 0.99:
            said.append(f"`{name}` can be kept whole: what is suppressed does not tell it.")
        else:
            said.append(f"At most {share:.0%} of `{name}` can be kept if nothing of what is suppressed may be read.")
    for name, smallest in found.smallest.items():
        if smallest is None:
            said.append(f"{unseen:,} unseen records are too few to certify any leakage of `{name}`.")
        else:
            said.append(
                f"{unseen:,} unseen records cannot certify a leakage of `{name}` under {smallest:.1%}, whatever the method."
            )
    return said


def exact_figures(modifier: Modifier, table: Table, policy: Policy, seed: int) -> list[dict[str, Any]]:
    """The best possible attack on a discrete channel, per suppressed attribute, jointly over all, and given the preserved
    columns kept beside the record: on fitted and on unseen records, with what permuted labels show.

    At most 20,000 records of a side are read.
    """
    targets: list[tuple[tuple[str, ...], tuple[str, ...]]] = [((s,), ()) for s in policy.suppress]
    if len(policy.suppress) > 1:
        targets.append((policy.suppress, ()))
    if policy.preserve:
        targets.append((policy.suppress, policy.preserve))
    figures = []
    for on, side in (("fitted", "train"), ("unseen", "test")):
        part = table.part(side)  # type: ignore[arg-type]
        if len(part) > 20000:
            part = part.take(np.sort(numpy_rng(seed, f"exact {on}").choice(len(part), 20000, replace=False)))
        p = modifier.output_distributions(part.x)
        for attributes, kept in targets:
            labels = information.joint([part.y[a] for a in attributes])
            columns = information.joint([part.y[a] for a in kept]) if kept else None
            classes = int(labels.max()) + 1
            permuted = information.permuted_accuracy(p, labels, classes, columns, 20, numpy_rng(seed, "permuted"))
            figures.append(
                {
                    "attributes": list(attributes),
                    "kept": list(kept),
                    "on": on,
                    "accuracy": float(information.optimal_accuracy(p, labels, classes, columns)),
                    "guess": float(information.optimal_baseline(labels, columns)),
                    "permuted": float(permuted.mean()),
                    "permuted_high": float(np.quantile(permuted, 0.95)),
                    "records": len(part),
                }
            )
    return figures

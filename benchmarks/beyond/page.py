"""The page of attackers beyond the audit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from benchmarks.beyond.attackers import CANDIDATES, COUNTS, DRAWS, FOLDS, KEYS, LABELLED, SHARES
from benchmarks.beyond.planted import FOR_FEW, LEAKS, NUMBERS, RECORDS
from benchmarks.harness import Store, markdown_table

HEAD = """# Attackers and leaks beyond the audit

One command measures the figures, stores them in `benchmarks/results/beyond.jsonl` and writes this page:

    SORDINE_DATA=... python -m benchmarks.beyond

`--fresh` measures again; `--page` writes the page alone. Each figure is of one fit, one key and one split. Leakage is
NAG (0 is the baseline, 1 the originals), with its 95 % interval in brackets; intervals count single records.

`transport` and `flow` fit one map to all records here, as their defaults did (`parts=1`; `transport` also with
`cells=256`, `smooth=0` and a softness of .015, or .1 with a task). The outputs of `transport` were means of records
then. Today's are not, so its membership and its unseen records would be others. By default, five maps are fitted now,
and no record is released by a map that was fitted on it.
"""

KNOWN = """
## Labels of fitted records

`transport`, fitted on four fifths of the records. The attacker knows the labels of a share of the fitted records and
infers those of the others. It uses that every class uses each output alike over *all* fitted records: what the known
records of a class used too little, the others must use. *modifier*: it also has the modifier and the known originals.
k is the number of released records of one class that it pools; where a class has fewer unknown records, there is no
figure. Each figure is the mean over {draws} random choices of the known records.

"""

TRACED = """
## Membership and linkability

The attacker has the modifier of the section above. *Membership*: it also has a record, and decides whether the record
was in the fit, by the inner product of the whitened record with the mean of its likeliest output. The figure is the
area under the curve; 0.5 is chance. *Linkability*: it has up to {candidates} unseen originals, and finds the one from
which an output was drawn. The figure is the share of correct matches; chance is 1 / candidates. Outputs of `flow` are
not discrete, so there is no such membership figure; there the attacker releases each candidate under {keys} keys of
its own, and takes the candidate whose mean is nearest.

"""

UNSEEN = """
## Many labelled unseen records

FSDD, speaker; the method is fitted on half of the records. The attacker has released records only. It learns from
labelled unseen ones with a shrunk linear discriminant on 24 principal axes, products of 12 of them and 300 random
cosines, and is tested in {folds} folds. NAG is relative to a discriminant on as many originals.

"""

PLANTED = """
## Planted leaks

Releases of pure noise with a leak of known size: two classes, {records:,} records of {numbers} numbers. *True*: the
leakage of the best possible attacker. *Audit*: its basic attacks. The two attacks in the fifth column take part in the
budget `standard` too; here they are made alone. *Simple attacker*: it predicts by the feature, size, product of two
features, wave or lowest bit that correlates most with the class in the other half of the records.

"""


def page(store: Store) -> str:
    """Return the page as Markdown."""
    attacks = " and ".join(f"`{name}`" for name in FOR_FEW)
    leaks = ["planted leak", "true", "audit", "verdict at a limit of 5 %", attacks, "verdict", "simple attacker"]
    parts = [
        HEAD,
        KNOWN.format(draws=DRAWS),
        markdown_table(["data", "task", "fitted", "labels known", "attacker has", *_counts()], list(_known(store))),
        TRACED.format(candidates=CANDIDATES, keys=KEYS),
        markdown_table(["data", "method", "task", "membership", "linkability"], list(_traced(store))),
        UNSEEN.format(folds=FOLDS),
        markdown_table(["method", "task", *(f"from {n:,}" for n in LABELLED)], list(_unseen(store))),
        PLANTED.format(records=RECORDS, numbers=NUMBERS),
        markdown_table(leaks, _leaks(store)),
    ]
    return "".join(parts)


def _counts() -> list[str]:
    return [f"k = {count}" for count in COUNTS]


def _known(store: Store) -> Iterator[list[str]]:
    for unit in store.units("known--"):
        _, name, task = unit.name.split("--")
        found = unit.read()
        head = [name, _task(task), f"{found['fitted']:,}"]
        for share in SHARES:
            yield [*head, f"{share:.0%}".replace("%", " %"), "modifier", *_pooled(found["known"][f"{share:.2f}"])]
        yield [*head, f"{SHARES[1]:.0%}".replace("%", " %"), "released records", *_pooled(found["known, outputs"])]


def _traced(store: Store) -> Iterator[list[str]]:
    for unit in store.units("known--"):
        _, name, task = unit.name.split("--")
        found = unit.read()
        yield [name, "transport", _task(task), f"{found['membership']:.3f}", f"{100 * found['linkability']:.0f} %"]
    for unit in store.units("unseen--"):
        _, method, task = unit.name.split("--")
        if "linkability" in (found := unit.read()):
            yield ["fsdd", method, _task(task), "", f"{100 * found['linkability']:.0f} %"]


def _unseen(store: Store) -> Iterator[list[str]]:
    for unit in store.units("unseen--"):
        _, method, task = unit.name.split("--")
        found = unit.read()
        yield [method, _task(task), *(figure(found[str(count)]) for count in LABELLED)]


def _leaks(store: Store) -> list[list[str]]:
    rows = []
    for leak in LEAKS.values():
        unit = store.unit(f"planted--{leak.name}")
        if unit.exists():
            found = unit.read()
            row = [leak.sentence, f"{leak.leakage:g}"]
            for side in ("audit", "for few numbers", "screened"):
                row += [
                    figure([found[side][k] for k in ("nag", "low", "high")]),
                    *found[side].get("verdict", "").split(),
                ]
            rows.append(row)
    return rows


def _task(task: str) -> str:
    return "none named" if task == "unknown" else "named"


def _pooled(found: Mapping[str, Any]) -> list[str]:
    single, *several = (found[str(count)] for count in COUNTS)
    return [figure(single), *("" if value is None else f"{value:.2f}" for value in several)]


def figure(values: list[float]) -> str:
    """Return NAG and its interval; a figure that rounds to zero has no sign."""
    share, low, high = (round(value, digits) + 0.0 for value, digits in zip(values, (3, 2, 2), strict=True))
    return f"{share:.3f} [{low:.2f}, {high:.2f}]"

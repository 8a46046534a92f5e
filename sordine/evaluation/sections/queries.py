"""What an attacker infers from several releases of the same records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from sordine.attacks.repeated_queries import RepeatedReleases, attack_queries, knowledge
from sordine.attacks.results import QueryFinding
from sordine.attacks.runner import single_threaded
from sordine.attacks.scenarios import splits
from sordine.evaluation.report import Report
from sordine.evaluation.sections.base import AuditData, Section
from sordine.evaluation.sections.sample import PASSED, ReleaseSample
from sordine.keys import Key
from sordine.metrics.percent import percent
from sordine.run import Run


class Queries(Section):
    """Attacks on several releases of each record."""

    title = "Several releases of each record"
    menu = "Several releases"
    key = "queries"
    finding = tuple[QueryFinding, ...]
    risk = "inference"
    attacker = "Several releases of the same records"
    how_to_test = (
        "Use `--budget paranoid`, and give the modifier. This concerns methods that draw at random; others release a "
        "record alike every time."
    )

    def remedy(self, report: Report) -> str:
        """Return what an audit needs: the modifier only where it was not given."""
        return self.how_to_test if report.modifier is None else self.how_to_test.replace(", and give the modifier", "")

    def run(self, data: AuditData) -> tuple[QueryFinding, ...]:
        """Return findings for each suppressed attribute: under keys of their own, and under one key."""
        if data.budget.queries < 2 or not data.policy.suppress or len(data.before) < 2:
            return ()
        if not data.sample.draws():
            if data.modifier is not None:
                data.note("Repeated releases are not attacked: this modifier draws nothing, so all releases are equal.")
            return ()
        with single_threaded():
            return tuple(_findings(data, data.sample))

    def sentences(self, found: tuple[QueryFinding, ...]) -> list[str]:
        """Return what several releases mean for the owner of the data."""
        sentence = queries_sentence(found)
        return [sentence] if sentence else []

    def risk_lines(self, found: tuple[QueryFinding, ...], report: Report) -> list[str]:
        """Return the worst case: how much several releases of one record give away."""
        worst = max(found, key=lambda f: f.after - f.guess)
        low, high = worst.after_interval
        keys = "different keys" if worst.keys == "fresh" else "one key"
        return [
            f"From {worst.queries} releases of each record under {keys}, an attack infers `{worst.attribute}` "
            f"correctly for {percent(worst.after)} of the records (interval {percent(low)} to {percent(high)}; from "
            f"one release: {percent(worst.one)})."
        ]

    def view(self, found: tuple[QueryFinding, ...], report: Report) -> dict[str, Any] | None:
        """Return the findings."""
        return {"queries": found} if found else None


def _findings(data: AuditData, sample: ReleaseSample) -> Iterator[QueryFinding]:
    budget = sample.budget
    count = max(2, min(budget.queries, PASSED // len(sample.before)))
    keys = {"fresh": [Key.of_seed(80_000 + r) for r in range(count)], "one": [Key.of_seed(80_000)] * count}
    releases = {name: sample.releases(under) for name, under in keys.items()}
    assert sample.modifier is not None
    known = {name: knowledge(sample.modifier, sample.before, releases[name], under) for name, under in keys.items()}
    for attribute in sample.policy.suppress:
        originals = sample.attack_data(np.asarray(sample.before.x), {attribute: sample.before.y[attribute]})
        plan = splits(originals, attribute, "A", budget.seeds[0], budget.folds)
        if isinstance(plan, str):
            data.note(f"Repeated releases are not attacked for `{attribute}`: {plan}")
            continue
        classes = len(sample.before.classes[attribute])
        run = Run(sample.device, budget.seeds[0])
        for name in keys:
            queries = RepeatedReleases(releases[name], name, known[name])  # type: ignore[arg-type]
            yield attack_queries(originals, plan[0], attribute, classes, queries, budget.families, run)


def queries_sentence(found: Sequence[QueryFinding]) -> str:
    """Return what several releases of the same records mean for the owner of the data."""
    fresh = [f for f in found if f.keys == "fresh"]
    if not fresh:
        return ""
    worst = max(fresh, key=lambda f: f.after - f.one)
    several = f"{worst.queries} releases of the same records under {worst.queries} keys"
    if worst.after_interval[0] > worst.one:
        result = (
            f"{several} give away more than one release: attacks predict `{worst.attribute}` "
            f"correctly for {percent(worst.after)} of the records instead of {percent(worst.one)}."
        )
    else:
        result = f"{several} give away no more than one release, as far as these records can show."
    return f"{result} Under one key, all releases are equal to the last bit. So use one key for a data set."

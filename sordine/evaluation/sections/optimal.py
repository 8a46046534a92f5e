"""The optimal attack on a modifier with discrete output, computed exactly."""

from __future__ import annotations

from typing import Any

from sordine.attacks.optimal import optimal_attack
from sordine.attacks.results import ExactFinding
from sordine.evaluation.page import charts
from sordine.evaluation.report import Report
from sordine.evaluation.sections.base import AuditData, Section
from sordine.evaluation.verdict import Contribution, optimal_contribution
from sordine.metrics.percent import percent


class Optimal(Section):
    """The best possible attack on these records, where it can be computed."""

    title = "The optimal attack"
    menu = "Optimal attack"
    key = "exact"
    finding = tuple[ExactFinding, ...]
    risk = "inference"
    attacker = "The modifier, and how often each of its outputs belongs to each class: the best possible attack"
    how_to_test = "Needs `--modifier`, and a method with finitely many outputs."

    def run(self, data: AuditData) -> tuple[ExactFinding, ...]:
        """Return findings for records of the fit and for unseen records."""
        modifier = data.modifier
        if modifier is None or not modifier.discrete:
            return ()
        if tuple(modifier.card.input.get("shape", data.before.shape)) != data.before.shape:
            data.note("Skipped the optimal attack: the modifier takes records of another shape.")
            return ()
        kept, policy = data.options.kept, data.policy
        released = [a for a in policy.preserve if a in data.released.y]
        beside = released if kept is None else [a for a in kept if a in data.roles]
        return tuple(
            found
            for on, side in (("fitted", data.fitted), ("unseen", ~data.fitted))
            if side.any()
            for found in optimal_attack(
                modifier,
                data.before.take(side),
                on,  # type: ignore[arg-type]
                policy.suppress,
                beside,
                data.budget.permutations,
            )
        )

    def contribution(self, found: tuple[ExactFinding, ...], data: AuditData) -> Contribution:
        """Return what the optimal attack adds to the verdict."""
        return optimal_contribution(found, data.headlines, data.limit)

    def risk_lines(self, found: tuple[ExactFinding, ...], report: Report) -> list[str]:
        """Return the accuracy of the optimal attack on each suppressed attribute, on unseen records where known."""
        alone = [f for f in found if len(f.attributes) == 1 and not f.kept]
        best = {f.attributes[0]: f for f in sorted(alone, key=lambda f: f.on == "unseen")}
        return [
            f"The best possible attack on one record infers `{name}` correctly for {percent(f.accuracy)} of "
            f"{f.records:,} records. It is computed with their true classes, so it is high by chance where records "
            f"are few: with permuted classes it is {percent(f.permuted)} "
            f"(up to {percent(f.permuted_high)}), so this is "
            f"{'within' if f.accuracy <= f.permuted_high else 'above'} chance."
            for name, f in best.items()
        ]

    def view(self, found: tuple[ExactFinding, ...], report: Report) -> dict[str, Any] | None:
        """Return the findings with their bars."""
        return {"exact": [(e, charts.best_attack(e)) for e in found]} if found else None

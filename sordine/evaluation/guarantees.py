"""What is proved of a release, and under which assumptions (docs/guide/threat-model.md)."""

from __future__ import annotations

from collections.abc import Sequence

from sordine.attacks.results import ExactFinding
from sordine.methods.base import NO_GUARANTEE
from sordine.methods.registry import METHODS
from sordine.metrics.information import optimal_accuracy_bound
from sordine.metrics.percent import percent
from sordine.models.modifier import Modifier


def proved(modifier: Modifier | None, exact: Sequence[ExactFinding]) -> tuple[str, ...]:
    """Return the sentences for the report.

    Parameters
    ----------
    modifier
        What made the release, or None.
    exact
        Findings of the optimal attack, where the modifier's output is discrete.
    """
    if modifier is None:
        return ("Nothing is proved of this release: without its modifier, only its records are known.",)
    # Where labels are released with the record, the bound must hold for an attacker that uses both.
    most = {e.attributes: e for e in sorted(exact, key=lambda e: len(e.kept)) if e.on == "unseen"}
    sentences = [_discrete(e) for e in most.values()]
    card = getattr(modifier, "card", None)
    method = METHODS.get(card.method) if card is not None else None
    sentence = NO_GUARANTEE if card is None or method is None else method.guarantees(card.fit)
    if sentences and sentence not in ("", NO_GUARANTEE):
        sentences.append(sentence)
    if sentences:
        return (
            *sentences,
            "Nothing is proved for several records of one person, for several releases of one record, for records of "
            "the fit, or for records unlike these.",
        )
    if modifier.discrete:
        return ("Nothing is proved for new records: the modifier was fitted on all labelled records.",)
    return (sentence or NO_GUARANTEE,)


def _discrete(e: ExactFinding) -> str:
    names = " and ".join(f"`{a}`" for a in e.attributes)
    beside = f" with {' and '.join(f'`{a}`' for a in e.kept)} beside it" if e.kept else ""
    bound = percent(optimal_accuracy_bound(e.accuracy, e.records))
    return (
        f"Proved: no attacker with the modifier but without the key predicts {names} from one release of one "
        f"record{beside} with an accuracy above {bound} (baseline: {percent(e.guess)}). This assumes that nothing "
        f"was fitted on the {e.records:,} unseen records, and that further records come from the same source. The "
        "bound is wrong for at most one of twenty samples of unseen records. More unseen records make it tighter."
    )

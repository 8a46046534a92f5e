"""What is proved of a release, under which assumptions, in sentences: nothing beyond it may be claimed (docs/guide/threat-model.md)."""

from __future__ import annotations

from collections.abc import Sequence

from sordine.attacks.results import ExactFinding
from sordine.evaluation.headlines import percent
from sordine.methods.base import NO_GUARANTEE
from sordine.methods.registry import METHODS
from sordine.metrics.information import optimal_accuracy_bound
from sordine.models.modifier import Modifier


def proved(modifier: Modifier | None, exact: Sequence[ExactFinding]) -> tuple[str, ...]:
    """The sentences for the report. exact: the best attacks on the modifier's channel, where it is discrete."""
    if modifier is None:
        return ("Nothing is proved of this release: without its modifier it is known by its records alone.",)
    # Kept columns leave beside the record: where there are some, who reads both is who must be bounded.
    most = {e.attributes: e for e in sorted(exact, key=lambda e: len(e.kept)) if e.on == "unseen"}
    said = [_discrete(e) for e in most.values()]
    card = getattr(modifier, "card", None)
    method = METHODS.get(card.method) if card is not None else None
    sentence = NO_GUARANTEE if card is None or method is None else method.guarantees(card.fit)
    if said and sentence not in ("", NO_GUARANTEE):
        said.append(sentence)
    if said:
        return (
            *said,
            "Of several records of one person read together, of several draws of one record, and of records unlike these, nothing is proved.",
        )
    if modifier.discrete:
        return ("Nothing is proved of new records: the modifier saw all of those that are labelled.",)
    return (sentence or NO_GUARANTEE,)


def _discrete(e: ExactFinding) -> str:
    names = " and ".join(f"`{a}`" for a in e.attributes)
    beside = f" with {' and '.join(f'`{a}`' for a in e.kept)} beside it" if e.kept else ""
    return (
        f"Proved, if nothing was fitted on the {e.records:,} unseen records, their features included, and further ones come from "
        f"where they came from: no attacker at all, with the modifier in hand and without the key, reads more than {percent(optimal_accuracy_bound(e.accuracy, e.records))} of "
        f"{names} from one draw of one record{beside} ({percent(e.guess)} by "
        "guessing; wrong in at most one of twenty draws of the unseen records; most of what lies between is that they are few)."
    )

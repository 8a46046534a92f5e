"""What is proved of a release, under which assumptions, in sentences: nothing beyond it may be claimed (docs/guide/threat-model.md)."""

from __future__ import annotations

from collections.abc import Sequence

from sordine.attacks.results import ExactFinding
from sordine.evaluation.headlines import percent
from sordine.metrics.information import optimal_accuracy_bound
from sordine.models.modifier import Modifier

NOTHING = "Nothing is proved of this release: the figures are what these attackers read, and another may read more."
PROVED: dict[str, str] = {
    "leace": "Proved: on the records of the fit no linear predictor of what is suppressed has a lower squared or logistic loss than a "
    "constant guess. Nothing is proved of other attackers, or of other records.",
    "noise": "Nothing is proved of this release: noise of this size bounds what can be told of a record only where records are "
    "bounded, and no bound is set here.",
    "nothing": "Nothing is hidden: this is the control.",
}


def proved(modifier: Modifier | None, exact: Sequence[ExactFinding]) -> tuple[str, ...]:
    """The sentences for the report. exact: the best attacks on the modifier's channel, where it is discrete."""
    if modifier is None:
        return ("Nothing is proved of this release: without its modifier it is known by its records alone.",)
    # Kept columns leave beside the record: where there are some, who reads both is who must be bounded.
    most = {e.attributes: e for e in sorted(exact, key=lambda e: len(e.kept)) if e.on == "unseen"}
    said = [_discrete(e) for e in most.values()]
    left = modifier.card.fit.get("uneven") if hasattr(modifier, "card") else None
    if said and left is not None:
        said.append(
            f"Computed: on the records of the fit, suppressed classes fill the cells alike up to a total variation of {percent(left)}. "
            "At 0 whoever knows the modifier (not the key) and those records alone would learn nothing of the class from one draw of one "
            "record of them, with no column beside it."
        )
    if said:
        return (
            *said,
            "Of several records of one person read together, of several draws of one record, and of records unlike these, nothing is proved.",
        )
    if modifier.discrete:
        return ("Nothing is proved of new records: the modifier saw all of those that are labelled.",)
    card = getattr(modifier, "card", None)
    return (PROVED.get(card.method if card is not None else "", NOTHING),)


def _discrete(e: ExactFinding) -> str:
    names = " and ".join(f"`{a}`" for a in e.attributes)
    beside = f" with {' and '.join(f'`{a}`' for a in e.kept)} beside it" if e.kept else ""
    return (
        f"Proved, if nothing was fitted on the {e.records:,} unseen records, their features included, and further ones come from "
        f"where they came from: no attacker at all, with the modifier in hand and without the key, reads more than {percent(optimal_accuracy_bound(e.accuracy, e.records))} of "
        f"{names} from one draw of one record{beside} ({percent(e.guess)} by "
        "guessing; wrong in at most one of twenty draws of the unseen records; most of what lies between is that they are few)."
    )

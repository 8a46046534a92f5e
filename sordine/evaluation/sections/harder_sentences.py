"""What stands under "Trying harder" on the page: rows of the tables, and a sentence a table in plain words."""

from __future__ import annotations

from typing import Any

from sordine.attacks.results import LinkageFinding, PersonFinding, QueryFinding, VerificationFinding
from sordine.evaluation.page.charts import percent
from sordine.evaluation.report import Report
from sordine.metrics.nag import wilson

KNOWS = {"draws": "sees released records only", "channel": "knows the modifier too"}
WAYS = {
    "standardised": "nearest original, standardised",
    "whitened": "nearest original, whitened",
    "learnt": "a map learnt from half of the pairs",
    "channel": "the original that likeliest gives this output",
}
SPACES = {"standardised": "standardised records", "discriminant": "a discriminant learnt from other people"}


def view(report: Report) -> dict[str, Any] | None:
    """What the template is given; None where nothing of the kind was tried."""
    if not (report.person or report.queries or report.linkage or report.verification):
        return None
    counts = list(dict.fromkeys(f.k for f in report.person))
    return {
        "counts": ["all" if k == 0 else f"{k:,}" for k in counts],
        "person": _people(report, counts),
        "person_says": people_say(report.person),
        "queries": report.queries,
        "queries_say": queries_say(report.queries),
        "linkage": [(f, WAYS.get(f.attacker, f.attacker)) for f in report.linkage],
        "linkage_says": linkage_says(report.linkage),
        "verification": [(f, SPACES[f.space]) for f in report.verification],
        "verification_says": verification_says(report.verification),
    }


def _people(report: Report, counts: list[int]) -> list[dict[str, Any]]:
    heads = {h.attribute: h for h in report.headlines}
    exact = {e.attributes[0]: e for e in report.exact if len(e.attributes) == 1 and not e.kept and e.on == "unseen"}
    tables = []
    for attribute in dict.fromkeys(f.attribute for f in report.person):
        mine = [f for f in report.person if f.attribute == attribute]
        rows = []
        for knows, setting in dict.fromkeys((f.knows, f.setting) for f in mine):
            cells = {f.k: f for f in mine if (f.knows, f.setting) == (knows, setting)}
            worst = max(cells.values(), key=lambda f: (f.nag is not None, f.nag or 0.0))
            rows.append(
                {
                    "who": KNOWS[knows],
                    "setting": setting,
                    "cells": [cells.get(k) for k in counts],
                    "worst": worst,
                    "many": "all" if worst.k == 0 else f"{worst.k:,}",
                }
            )
        tables.append(
            {
                "attribute": attribute,
                "unit": mine[0].unit,
                "guess": mine[0].guess,
                "rows": rows,
                "headline": heads.get(attribute),
                "exact": exact.get(attribute),
            }
        )
    return tables


def people_say(found: tuple[PersonFinding, ...]) -> str:
    """What pooled records mean to the owner."""
    sure = [f for f in found if f.low is not None and f.low > 0]
    # No share can be given of what so few groups of originals do not settle either, but it was read all the same.
    open_ = [f for f in found if f.nag is None and f.k != 1 and f.after_interval[0] > f.guess]
    most = max(open_, key=lambda f: f.after - f.guess, default=None)
    if most is not None and all(f.k == 1 or f.after <= most.after for f in sure):
        many = "all records" if most.k == 0 else f"{most.k:,} records"
        return (
            f"Whether small tells add up cannot be settled with so few records: from {many} of one `{most.unit}`, `{most.attribute}` was read in "
            f"{percent(most.after)} of cases (guessing: {percent(most.guess)}) by an attacker who {KNOWS[most.knows]}, of groups too few to say "
            "what share of the originals that is. Do not release anything that shows which records belong together."
        )
    if not sure:
        return (
            "Also when several records are known to be of one person, what these attackers read cannot be told from guessing: nothing "
            "was found that adds up."
        )
    worst = max(sure, key=lambda f: f.nag or 0.0)
    if worst.k == 1:
        return (
            f"Several records of one `{worst.unit}` tell these attackers no more than one does: `{worst.attribute}` is read in "
            f"{percent(worst.after)} of cases from one (guessing: {percent(worst.guess)})."
        )
    many = "all records" if worst.k == 0 else f"{worst.k:,} records"
    return (
        f"Small tells add up: from {many} of one `{worst.unit}`, `{worst.attribute}` is read in {percent(worst.after)} of cases "
        f"(guessing: {percent(worst.guess)}) by an attacker who {KNOWS[worst.knows]}. Among so many figures one may look so by luck; the title "
        "says it where that cannot be. Do not release anything that shows which records belong together."
    )


def queries_say(found: tuple[QueryFinding, ...]) -> str:
    """What several releases of the same records mean to the owner."""
    fresh = [f for f in found if f.keys == "fresh"]
    if not fresh:
        return ""
    worst = max(fresh, key=lambda f: f.after - f.one)
    gains = worst.after_interval[0] > worst.one
    told = (
        f"{worst.queries} releases of the same records under {worst.queries} keys tell "
        + (f"more: `{worst.attribute}` is read in {percent(worst.after)} instead of {percent(worst.one)}." if gains else "no more than one that could be measured.")
    )  # fmt: skip
    return (
        told + " Under one key every release is the same bits: asking again gains nothing. Keep one key for a data set."
    )


def linkage_says(found: tuple[LinkageFinding, ...]) -> str:
    """What matching means to the owner: the right original, and whose it is."""
    if not found:
        return ""
    sure = [f for f in found if f.low > f.chance]
    if not sure:
        told = "Someone who holds the originals cannot tell better than by chance which of them became which released record"
    else:
        worst = max(sure, key=lambda f: f.top1)
        told = (
            f"Someone who holds the originals finds the right one of {worst.candidates:,} for {percent(worst.top1)} of the released "
            f"records ({worst.on} ones; chance: {percent(worst.chance)})"
        )
    owned = [(f, f.unit_top1, f.unit_guess) for f in found if f.unit_top1 is not None and f.unit_guess is not None]
    if owned:
        f, share, guess = max(owned, key=lambda o: o[1] - o[2])
        known = f.candidates if f.unit_records is None else f.unit_records
        luck = wilson(share * known, known, 1 - 0.05 / len(owned))[0] <= guess
        told += (
            f"; the likeliest is one of the right `{f.unit}` for {percent(share)} (the commonest `{f.unit}` has {percent(guess)}"
            f"{': no more than luck may give' if luck else ''})"
        )
        sure += [] if luck else [f]
    return told + (". That matters where others may hold the originals." if sure else ".")


def verification_says(found: tuple[VerificationFinding, ...]) -> str:
    """What verification means to the owner."""
    if not found:
        return ""
    worst = min(found, key=lambda f: f.after)
    told = "cannot be told from" if worst.after_interval[1] >= 0.49 else "can be told from"
    return (
        f"Of people whom the modifier never saw, two released records of one {told} records of two: the equal error rate is "
        f"{percent(worst.after)}, where 50 % is guessing and the originals give {percent(worst.before)}."
    )

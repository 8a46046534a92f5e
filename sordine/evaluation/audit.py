"""Audit: attackers learn from released and from original records, and a Report says what they read."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from sordine.attacks.auxiliary_data import hold_more
from sordine.attacks.budget import Budget
from sordine.attacks.optimal import exact
from sordine.attacks.pretrained import pretrained as read_pretrained
from sordine.attacks.registry import ATTACKS, reads, suited
from sordine.attacks.results import ExactFinding, Finding, PretrainedFinding, Role
from sordine.attacks.runner import attack_releases, single_threaded
from sordine.attacks.scenarios import FEWEST, AttackData, splits, unknown_classes
from sordine.data.matching import same_columns, same_records
from sordine.data.statistics import moments
from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.evaluation.exact_copies import copied, copies_elsewhere
from sordine.evaluation.guarantees import proved
from sordine.evaluation.headlines import UNSUITED, Readings, figures
from sordine.evaluation.release_checks import Match, columns, contents, match, names_and_order
from sordine.evaluation.report import Flaw, Headline, Report
from sordine.evaluation.sections.person_sentences import qualified, sentences
from sordine.evaluation.sections.persons_and_queries import Harder, harder, unit_of
from sordine.evaluation.sections.projection import cloud
from sordine.evaluation.verdict import judge
from sordine.keys import Key
from sordine.metrics.distortion import distortion
from sordine.metrics.information import Entanglement, entanglement
from sordine.models.modifier import Modifier, versions
from sordine.policy import Policy
from sordine.run import Run, silent

__all__ = ["Budget", "audit"]

Progress = Callable[[str, int, int], None]

HELD = 1 << 30  # bytes of the records tried, before and after together, that are held at a time


def audit(
    original: Table,
    released: Table,
    policy: Policy,
    *,
    modifier: Modifier | None = None,
    key: Key | None = None,
    budget: Budget = Budget(),
    max_leakage: float | None = None,
    person: str | None = None,
    match_by_order: bool = False,
    kept: Sequence[str] | None = None,
    originals: bool = True,
    pretrained: bool = True,
    final: bool = False,
    memory: MutableMapping[Any, Any] | None = None,
    more: Table | None = None,
    device: str = "cpu",
    workers: int | None = None,
    log: Callable[[str], None] = silent,
    progress: Progress | None = None,
    source: dict[str, Any] | None = None,
) -> Report:
    """Attack what is released, and the originals in the same way, and report.

    original: records with labels. released: x' with the same ids and whatever columns leave with it. modifier, key: tell
    which records were fitted on, else the split does. kept: columns that the exact attacker sees too (default: preserved ones
    beside the records). person: the attribute that says who a record is of, where several of one are read together (default:
    see `harder.unit_of`). originals: whether the report may show them. pretrained: whether to train classifiers that are
    never retrained. final: `released` is what leaves the house, its ids and order with it. memory: caches what attackers
    read of the originals, for other releases of the same table. more: labelled originals that the attacker alone holds (it
    needs the modifier). workers: attacks made at a time (default: torch's threads).

    Feature columns of `released`, `more` and the modifier are matched by name with those of `original`.

    match_by_order: row i of both tables is the same record, where a table has no ids; without it such tables are matched by
    exact vectors, or refused (see `matching.same_records`).

    A release that is damaged is reported, not refused. Raises SordineError for a policy that the table cannot serve, for
    attackers of whom none can read records of this shape, for as many feature columns of other names, and for tables whose
    records cannot be matched.
    """
    started = time.monotonic()
    original, released, more = _columns_matched(original, released, more, modifier, log)
    found = same_records(original, released, by_order=match_by_order)
    released, notes = found.released, list(found.notes)
    for note in notes:
        log(note)
    for table in (original, released):
        if not _families(table, budget):
            raise SordineError(
                f"audit: {', '.join(budget.families)} cannot read records of {table.source}, of the shape "
                f"{list(table.shape)}: name other families too"
            )
    policy = policy.resolve(original.attributes)
    unit_of(original, policy, person)  # what cannot be is refused before anything is tried
    rows = match(original, released)
    looked = contents(original, released, rows)
    flaws = [*rows.flaws, *looked.flaws, *columns(original, released, rows, policy)]
    flaws += names_and_order(original, released, rows, policy, final=final)
    if modifier is None and 2 * looked.equal.sum() <= len(looked.equal):
        flaws += copies_elsewhere(original, released, by_order=match_by_order)
    usable = Match(rows.original[looked.finite], rows.released[looked.finite], ())
    fitted, how = _fitted(original, released, usable, policy, modifier, key, flaws)
    most = min(budget.max_records, max(FEWEST, HELD // (8 * (original.width + released.width))))
    usable, fitted, sampled = _sample(original, usable, fitted, most)
    if sampled and most < budget.max_records:
        notes.append(
            f"at most {most:,} records a side are tried, not {budget.max_records:,}: so many of this width are held in memory"
        )
    roles: dict[str, Role] = {name: role for role, names in policy.roles() for name in names}  # type: ignore[misc]
    headlines: list[Headline] = []
    findings: list[Finding] = []
    read: list[PretrainedFinding] = []
    known: list[ExactFinding] = []
    around, moved, asked = None, {}, Harder()
    if len(usable.original):
        before = original.take(usable.original)
        before = replace(before, x=np.asarray(before.x, np.float32), split=fitted)
        after = _rows(released, usable.released)
        store: MutableMapping[Any, Any] = {} if memory is None else memory
        scenes = _scenes(before, after, roles)
        log(f"audit: {int(fitted.sum()):,} fitted and {int((~fitted).sum()):,} unseen records, {len(roles)} attributes")
        flaws += copied(original, before, after, fitted, policy)
        armed = scenes
        if more is not None:
            armed, told = hold_more(scenes, before, more, modifier, budget.max_records)
            notes += told
        compared = pretrained and original.shape == released.shape
        run = Run(device, log=log, progress=progress, workers=workers)
        readings = _attack(armed, list(roles), budget, store, run, notes)
        findings, headlines = figures(readings, roles, original.classes, budget)
        if compared:
            own = store.setdefault((scenes[0].digest, "pretrained"), {})
            read = _pretrained(before, after, roles, own, budget, device)
        beside = [a for a in policy.preserve if a in released.y] if kept is None else [a for a in kept if a in roles]
        if modifier is not None and modifier.discrete:
            known = _exact(modifier, before, policy, beside, budget, notes)
        around = cloud(before, after, list(roles), budget.cloud, originals)
        moved = distortion(before.x, after, moments(before.x)[1])
        with single_threaded():
            given = {"modifier": modifier, "key": key, "person": person, "memory": store, "device": device, "log": log}
            asked = harder(before, after, policy, budget, **given)  # type: ignore[arg-type]
        notes += asked.notes
    verdict, passed = judge(headlines, flaws, known, policy.suppress, max_leakage)
    verdict = qualified(verdict, asked.person, headlines, max_leakage, asked.people)
    adds = sentences(asked.person, headlines, asked.people)
    unsuited = not suited(budget.families, original.shape)
    verdict = replace(verdict, sentences=(*verdict.sentences, *adds, *([UNSUITED] if unsuited else [])))
    made = {
        "budget": budget.name,
        "families": [f for f in budget.families if f in {*_families(original, budget), *_families(released, budget)}],
        "settings": list(budget.settings),
        "seeds": list(budget.seeds),
        "folds": budget.folds,
        "fitted": int(fitted.sum()),
        "unseen": int((~fitted).sum()),
        "fitted_known_by": how,
        "sampled": sampled,
        "held_by_attackers": 0 if more is None else min(len(more), budget.max_records),
        "device": device,
        "versions": versions(),
        "seconds": round(time.monotonic() - started, 1),
        "notes": notes,
        **_attack_options(released, budget),
        **({"no_attacker_for_pictures": True} if unsuited else {}),
        **(source or {}),
    }
    return Report(
        verdict=verdict,
        policy=dict(policy.roles()),
        headlines=tuple(headlines),
        findings=tuple(findings),
        pretrained=tuple(read),
        exact=tuple(known),
        proved=proved(modifier, known),
        flaws=tuple(flaws),
        entanglement=_entanglement(original, policy, headlines, int((~fitted).sum())),
        cloud=around,
        **asked.findings,
        distortion=moved,
        table={
            "source": original.source,
            "records": len(original),
            "shape": list(original.shape),
            "classes": {name: list(original.classes[name]) for name in roles},
            "notes": list(original.notes),
        },
        modifier=None if modifier is None else _about(modifier),
        made=made,
        max_leakage=max_leakage,
        passed=passed,
    )


def _columns_matched(
    original: Table, released: Table, more: Table | None, modifier: Modifier | None, log: Callable[[str], None]
) -> tuple[Table, Table, Table | None]:
    """The three with their feature columns in one order: the modifier's where it has the same ones, else the original's."""
    card = getattr(modifier, "card", None)
    if card is not None:
        original = same_columns(original, card.input.get("features", ()), "the table of the fit", widths=True, log=log)
    wanted, source = original.features, original.source
    released = same_columns(released, wanted, source, widths=True, log=log)
    return original, released, None if more is None else same_columns(more, wanted, source, log=log)


def _entanglement(table: Table, policy: Policy, headlines: Sequence[Headline], unseen: int) -> Entanglement:
    # An attribute that nobody labelled says nothing about others.
    names = {role: [n for n in some if (table.y[n] >= 0).any()] for role, some in policy.roles()}
    seen = {h.attribute: (h.before, h.guess) for h in headlines if h.role == "suppress"}
    return entanglement(
        table.y, names["suppress"], names["preserve"], names["watch"], originals=seen, test_records=unseen
    )


def _about(modifier: Modifier) -> dict[str, Any]:
    card = getattr(modifier, "card", None)
    if card is None:
        return {"method": type(modifier).__name__}
    return {"method": card.method, "fields": card.fields, "fit": card.fit, "notes": card.notes, "weights": card.weights}


def _families(table: Table, budget: Budget) -> list[str]:
    """The attackers that can read records of this table's shape."""
    return [name for name in budget.families if reads(name, table.shape)]


def _attack_options(table: Table, budget: Budget) -> dict[str, Any]:
    """The options of these attackers that a report mentions."""
    found: dict[str, Any] = {}
    for name in _families(table, budget):
        found |= ATTACKS[name].from_budget(budget).report_options()
    return found


def _rows(table: Table, rows: np.ndarray) -> np.ndarray:
    return np.asarray(table.take(rows).x, np.float32)


def _fitted(
    original: Table,
    released: Table,
    rows: Match,
    policy: Policy,
    modifier: Modifier | None,
    key: Key | None,
    flaws: list[Flaw],
) -> tuple[np.ndarray, str]:
    """Which of the matched records the modifier was fitted on: (m,) bool, and how that is known."""
    ids = original.ids[rows.original]
    hashes = getattr(modifier, "fitted", None)
    if modifier is not None and hashes is not None and len(hashes):
        if key is not None and key.fingerprint == modifier.card.key:
            return modifier.was_fitted_on(ids, key), "the modifier"
        why = "no key was given" if key is None else "the key given is another"
        message = (
            f"Which records the modifier was fitted on is taken from the split: {why}, so its own list cannot be read."
        )
        flaws.append(Flaw("key", "note", message))
    if released.split is not None:
        return released.split[rows.released], "the split of the released table"
    if original.split is not None:
        return original.split[rows.original], "the split of the original table"
    try:
        decided = original.with_split(policy, key or Key.of_seed(0)).split
    except SordineError as error:
        flaws.append(Flaw("split", "note", f"No record can be held back ({error}): all count as fitted on."))
        return np.ones(len(ids), bool), "nothing"
    assert decided is not None
    return decided[rows.original], "a split made for the audit"


def _sample(
    original: Table, rows: Match, fitted: np.ndarray, most: int
) -> tuple[Match, np.ndarray, dict[str, list[int]]]:
    # At most so many of each side, by id, so that row order does not matter.
    rank = np.empty(len(fitted), np.int64)
    rank[Key.of_seed(0).order("audit sample", original.ids[rows.original])] = np.arange(len(fitted))
    keep = np.zeros(len(fitted), bool)
    said = {}
    for name, side in (("fitted", fitted), ("unseen", ~fitted)):
        own = np.flatnonzero(side)
        picked = own[np.argsort(rank[own])[:most]]
        keep[picked] = True
        if len(picked) < len(own):
            said[name] = [len(picked), len(own)]
    return Match(rows.original[keep], rows.released[keep], ()), fitted[keep], said


def _scenes(before: Table, after: np.ndarray, roles: Mapping[str, Role]) -> tuple[AttackData, AttackData]:
    assert before.split is not None
    scene = AttackData(
        x=before.x,
        ids=before.ids,
        labels={name: before.y[name] for name in roles},
        classes={name: len(before.classes[name]) for name in roles},
        fitted=before.split,
        group=before.group,
    )
    return scene, replace(scene, x=after)


def _attack(
    scenes: tuple[AttackData, AttackData],
    attributes: list[str],
    budget: Budget,
    memory: MutableMapping[Any, Any],
    run: Run,
    notes: list[str],
) -> Readings:
    for setting in budget.settings:
        for name in attributes:
            why = splits(scenes[0], name, setting, budget.seeds[0], budget.folds)  # type: ignore[arg-type]
            if isinstance(why, str):
                notes.append(f"setting {setting} is left out for `{name}`: {why}")
            elif setting == "A" and (new := unknown_classes(scenes[0], name)):
                notes.append(new)
    # Without shared work: a figure of a report is exactly that of the attack alone.
    return attack_releases(scenes[0], [scenes[1]], attributes, budget, run, memory=memory, share_work=False)[0]


def _pretrained(
    before: Table,
    after: np.ndarray,
    roles: Mapping[str, Role],
    memory: dict[object, object],
    budget: Budget,
    device: str,
) -> list[PretrainedFinding]:
    assert before.split is not None
    if not before.split.any() or before.split.all():
        return []
    fitted, unseen = before.take(before.split), before.take(~before.split)
    given = {"memory": memory, "device": device, "pictures": budget.pictures}
    with single_threaded():
        released = after[~before.split]
        some = [read_pretrained(fitted, unseen, released, name, role, **given) for name, role in roles.items()]  # type: ignore[arg-type]
    return [f for f in some if f is not None]


def _exact(
    modifier: Modifier, before: Table, policy: Policy, kept: Sequence[str], budget: Budget, notes: list[str]
) -> list[ExactFinding]:
    assert before.split is not None
    if tuple(modifier.card.input.get("shape", before.shape)) != before.shape:
        notes.append("the exact attacker is left out: the modifier takes records of another shape")
        return []
    return [
        found
        for on, side in (("fitted", before.split), ("unseen", ~before.split))
        if side.any()
        for found in exact(modifier, before.take(side), on, policy.suppress, kept, budget.permutations)  # type: ignore[arg-type]
    ]

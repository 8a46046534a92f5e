"""The audit: attacks learn from released and from original records, and a report states what they infer."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from sordine.attacks.auxiliary_data import add_auxiliary_data
from sordine.attacks.budget import Budget
from sordine.attacks.output_distribution import made_otherwise
from sordine.attacks.registry import ATTACKS, accepts, suited
from sordine.attacks.results import Finding
from sordine.attacks.runner import attack_releases, single_threaded
from sordine.attacks.scenarios import FEWEST, AttackData, splits, units_apart, unknown_classes
from sordine.data.matching import same_columns, same_records
from sordine.data.splits import sample
from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.evaluation.exact_copies import copies_elsewhere
from sordine.evaluation.grade import grade
from sordine.evaluation.headlines import UNSUITED, figures
from sordine.evaluation.options import AuditOptions, accepts_option_keywords
from sordine.evaluation.provenance import package_versions, provenance
from sordine.evaluation.release_checks import Match, columns, contents, match, names_and_order
from sordine.evaluation.report import Flaw, Headline, Report, Verdict
from sordine.evaluation.sections.base import AuditData, Section
from sordine.evaluation.sections.registry import sections
from sordine.evaluation.sections.sample import person_of, unit_of
from sordine.evaluation.verdict import Contribution, judge_contributions
from sordine.keys import Key
from sordine.models.modifier import Modifier, one_thread_each
from sordine.policy import Policy
from sordine.run import Run, accepts_run_keywords

__all__ = ["AuditOptions", "Budget", "audit"]

OTHER_MODIFIER = "other-modifier"  # code of the flaw: the modifier did not make these records
NONE_FITTED = (
    "The modifier was fitted on none of these records. Check that it is the modifier of this release; if these are all "
    "new records, audit the records of the fit as well, because they leak more."
)
ROUNDED = (
    "The released numbers have 64 bits. The audit attacks them rounded to 32 bits, so leaks in the lower bits are not "
    "tested. Release the numbers with 32 bits."
)
HELD = 1 << 30  # bytes of attacked records, originals and released together, in memory at a time


@accepts_run_keywords
@accepts_option_keywords
def audit(
    original: Table,
    released: Table,
    policy: Policy,
    *,
    modifier: Modifier | None = None,
    key: Key | None = None,
    budget: Budget = Budget(),
    options: AuditOptions | None = None,
    run: Run | None = None,
) -> Report:
    """Attack released records, and originals in the same way, and report what the attacks infer.

    A damaged release is reported, not refused. Feature columns of all tables are matched by name with those of
    `original`.

    Parameters
    ----------
    original
        Original records, with labels.
    released
        Released records with the same ids, and the columns that are released with them.
    policy
        The attributes that are suppressed, preserved and watched.
    modifier, key
        What made the release, where they are known. They say which records were fitted; else the split does.
    budget
        Which attacks run, and on how many records.
    options
        See `AuditOptions`. Its fields are accepted as keywords for one more version.
    run
        Its device, workers, log and progress are used.

    Raises
    ------
    SordineError
        If the table cannot serve the policy, no attack of the budget fits records of this shape, feature columns have
        other names, or records of the two tables cannot be matched.
    """
    run, options = run or Run(), options or AuditOptions()
    known = _Release(modifier, key)
    case = _match(original, released, policy, known, options, run)
    _require_attacks(case, budget)
    selection = _select(case, known, options, budget)
    data = _data(case, selection, known, budget, options, run)
    findings: list[Finding] = []
    if len(data.before):
        findings, headlines = _attack_records(data)
        data.headlines = tuple(headlines)
    fields, external, contributions = _run_sections(data, findings)
    unsuited = not suited(budget.families, case.original.shape)
    contributions += _limitations(data, unsuited)
    made = _made(data, selection, unsuited)
    suppress, limit = case.policy.suppress, options.max_leakage
    verdict, passed = judge_contributions(data.headlines, contributions, suppress, limit, made["left_out"])
    made |= {"provenance": provenance(original, released, modifier)}
    report = _report(data, verdict, passed, made, fields, external)
    return replace(report, verdict=replace(verdict, grade=grade(report)))


# ----------------------------------------------------------------------------------------- which records are attacked


@dataclass(frozen=True)
class _Release:
    # What made the release, where it is known.
    modifier: Modifier | None
    key: Key | None


@dataclass
class _Case:
    # The tables with their columns and records matched, and what is known before any attack.
    original: Table
    released: Table
    more: Table | None
    policy: Policy
    rows: Match
    flaws: list[Flaw]
    notes: list[str]


@dataclass(frozen=True)
class _Selection:
    # The records that are attacked: rows of both tables, which of them were fitted, and how that is known.
    rows: Match
    fitted: np.ndarray
    how: str
    sampled: dict[str, list[int]] = field(default_factory=dict)


def _match(original: Table, released: Table, policy: Policy, known: _Release, options: AuditOptions, run: Run) -> _Case:
    """Match columns and records, and check the whole release. The rows are those with finite numbers."""
    original, released, more = _same_columns(original, released, options.more, known.modifier, run)
    found = same_records(original, released, by_order=options.match_by_order)
    released, notes = found.released, list(found.notes)
    if released.rounded:
        notes.append(ROUNDED)
    for note in notes:
        run.log(note)
    policy = policy.resolve(original.attributes)
    for name in (*policy.suppress, *policy.preserve):
        original.require_variation(name)
    unit_of(original, policy, options.person)  # refuses an unknown person before any work
    rows = match(original, released)
    looked = contents(original, released, rows)
    flaws = [*rows.flaws, *looked.flaws, *columns(original, released, rows, policy)]
    flaws += names_and_order(original, released, rows, policy, final=options.final)
    if known.modifier is None and 2 * looked.equal.sum() <= len(looked.equal):
        flaws += copies_elsewhere(original, released, by_order=options.match_by_order)
    usable = Match(rows.original[looked.finite], rows.released[looked.finite], ())
    return _Case(original, released, more, policy, usable, flaws, notes)


def _require_attacks(case: _Case, budget: Budget) -> None:
    for table in (case.original, case.released):
        if not _families(table, budget):
            raise SordineError(
                f"{table.source}: none of the attacks {', '.join(budget.families)} fits records of shape "
                f"{list(table.shape)}; add another attack to the budget"
            )


def _same_columns(
    original: Table, released: Table, more: Table | None, modifier: Modifier | None, run: Run
) -> tuple[Table, Table, Table | None]:
    """The tables with their feature columns in one order: the modifier's where known, else the original's."""
    card = getattr(modifier, "card", None)
    if card is not None and modifier is not None:
        modifier.check_input(original.shape, original.source, str(original.x.dtype))
        original = same_columns(
            original, card.input.get("features", ()), "the table of the fit", widths=True, log=run.log
        )
    wanted, source = original.features, original.source
    released = same_columns(released, wanted, source, widths=True, log=run.log)
    return original, released, None if more is None else same_columns(more, wanted, source, log=run.log)


def _select(case: _Case, known: _Release, options: AuditOptions, budget: Budget) -> _Selection:
    """Which records are attacked: at most `budget.max_records` on each side, and fewer where they are very wide."""
    fitted, how = _fitted(case, known)
    most = min(budget.max_records, max(FEWEST, HELD // (8 * (case.original.width + case.released.width))))
    selection = _sample(case, fitted, how, most)
    if selection.sampled and most < budget.max_records:
        case.notes.append(
            f"At most {most:,} records on each side are attacked instead of {budget.max_records:,}, because records "
            "of this width need much memory."
        )
    return selection


def _fitted(case: _Case, known: _Release) -> tuple[np.ndarray, str]:
    """Which of the matched records the modifier was fitted on: (m,) bool, and how that is known."""
    modifier, key, rows = known.modifier, known.key, case.rows
    ids = case.original.ids[rows.original]
    hashes = getattr(modifier, "fitted", None)
    if modifier is not None and hashes is not None and len(hashes):
        if key is not None and key.fingerprint == modifier.card.key:
            fitted = modifier.was_fitted_on(ids, key)
            if not fitted.any():
                case.flaws.append(Flaw("modifier", "note", NONE_FITTED))
            return fitted, "the modifier"
        why = "no key was given" if key is None else "another key was given"
        message = (
            f"The split determines which records count as fitted. The modifier's own list needs its key, but {why}."
        )
        case.flaws.append(Flaw("key", "note", message))
    if case.released.split is not None:
        return case.released.split[rows.released], "the split of the released table"
    if case.original.split is not None:
        return case.original.split[rows.original], "the split of the original table"
    try:
        decided = case.original.with_split(case.policy, key or Key.of_seed(0)).split
    except SordineError as error:
        message = f"No record can be held out ({error}). All records count as records of the fit."
        case.flaws.append(Flaw("split", "note", message))
        return np.ones(len(ids), bool), "nothing"
    assert decided is not None
    return decided[rows.original], "a split made for the audit"


def _sample(case: _Case, fitted: np.ndarray, how: str, most: int) -> _Selection:
    """At most `most` records on each side, chosen by id, so that the order of rows has no effect."""
    rows = case.rows
    ids = case.original.ids[rows.original]
    keep = np.zeros(len(fitted), bool)
    sampled = {}
    for name, side in (("fitted", fitted), ("unseen", ~fitted)):
        members = np.flatnonzero(side)
        picked = sample(Key.of_seed(0), "audit sample", ids, most, members)
        keep[picked] = True
        if len(picked) < len(members):
            sampled[name] = [len(picked), len(members)]
    return _Selection(Match(rows.original[keep], rows.released[keep], ()), fitted[keep], how, sampled)


def _data(
    case: _Case, selection: _Selection, known: _Release, budget: Budget, options: AuditOptions, run: Run
) -> AuditData:
    before = case.original.take(selection.rows.original)
    before = replace(before, x=np.asarray(before.x, np.float32), split=selection.fitted)
    after = np.asarray(case.released.take(selection.rows.released).x, np.float32)
    modifier = known.modifier
    if modifier is not None and (others := made_otherwise(modifier, before, after, known.key)):
        case.flaws.append(Flaw(OTHER_MODIFIER, "note", _not_of_modifier(others, len(after))))
        modifier = None
    memory: MutableMapping[Any, Any] = {} if options.memory is None else options.memory
    return AuditData(
        original=case.original,
        released=case.released,
        before=before,
        after=after,
        policy=case.policy,
        budget=budget,
        options=replace(options, more=case.more),
        run=run,
        modifier=modifier,
        key=known.key,
        flaws=tuple(case.flaws),
        notes=case.notes,
        memory=memory,
    )


def _not_of_modifier(records: int, tested: int) -> str:
    return (
        f"The modifier did not make {records:,} of {tested:,} tested released records. So nothing is proved of this "
        "release, and no attacker that has the modifier was tested. Give the modifier and the key that made it, and "
        "release its output unchanged."
    )


# ------------------------------------------------------------------------------------------- attacks on single records


def _attack_records(data: AuditData) -> tuple[list[Finding], list[Headline]]:
    """The findings and headlines of attacks on single records."""
    originals, released = data.attacked
    count = f"{int(data.fitted.sum()):,} fitted and {int((~data.fitted).sum()):,} unseen records"
    data.run.log(f"audit: {count}, {len(data.roles)} attributes")
    if data.options.more is not None:
        (originals, released), notes = add_auxiliary_data(
            (originals, released), data.before, data.options.more, data.modifier, data.budget.max_records
        )
        for note in notes:
            data.note(note)
    _note_plans(data, originals)
    # Without shared work, so that a figure of the report is exactly that of the attack alone.
    attributes, memory = list(data.roles), data.memory
    readings = attack_releases(
        originals,
        [released],
        attributes,
        data.budget,
        data.run,
        suppressed=data.policy.suppress,
        memory=memory,
        share_work=False,
    )[0]
    data.readings = readings
    data.units = _units(data, originals)
    findings, headlines = figures(readings, data.roles, data.original.classes, data.budget, data.units)
    return findings, [_of_classes(h, data.original) for h in headlines]


def _units(data: AuditData, originals: AttackData) -> dict[tuple[str, str], np.ndarray]:
    """Attribute and scenario to the units (n,) of the attacked records, where not each tested record is one."""
    person = person_of(data.before, data.options.person)
    found: dict[tuple[str, str], np.ndarray] = {}
    for name in data.roles:
        owners = [data.before.group, None if person is None or person[0] == name else person[1]]
        known = [np.pad(o, (0, len(originals.ids) - len(o)), constant_values=-1) for o in owners if o is not None]
        for scenario in data.budget.settings if known else ():
            plan = splits(originals, name, scenario, data.budget.seeds[0], data.budget.folds)  # type: ignore[arg-type]
            unit = None if isinstance(plan, str) else units_apart(originals, name, plan, known)
            if unit is not None:
                found[name, scenario] = unit
    return found


def _of_classes(headline: Headline, table: Table) -> Headline:
    """The headline, with a word on the classes where the attribute is continuous."""
    if headline.attribute not in table.targets:
        return headline
    note = f"`{headline.attribute}` is continuous; these are its {headline.classes} quantile classes."
    return replace(headline, sentence=f"{headline.sentence} {note}")


def _note_plans(data: AuditData, originals: AttackData) -> None:
    """Note scenarios that are left out, and persons that are in one side only."""
    budget = data.budget
    for scenario in budget.settings:
        for name in data.roles:
            why = splits(originals, name, scenario, budget.seeds[0], budget.folds)  # type: ignore[arg-type]
            if isinstance(why, str):
                data.note(f"Scenario {scenario} is left out for `{name}`: {why}")
            elif scenario == "A" and (note := unknown_classes(originals, name)):
                data.note(note)


def _families(table: Table, budget: Budget) -> list[str]:
    """The attacks that fit records of this table's shape."""
    return [name for name in budget.families if accepts(name, table.shape)]


def _attack_options(table: Table, budget: Budget) -> dict[str, Any]:
    """The options of these attacks that a report mentions."""
    found: dict[str, Any] = {}
    for name in _families(table, budget):
        found |= ATTACKS[name].from_budget(budget).report_options()
    return found


# ----------------------------------------------------------------------------------------------- sections and report


def _run_sections(
    data: AuditData, findings: list[Finding]
) -> tuple[dict[str, Any], dict[str, Any], list[Contribution]]:
    """Run every section: fields of the report, findings of external sections, and what they add to the verdict."""
    fields: dict[str, Any] = {"findings": tuple(findings)}  # of the section `attacks`, which runs nothing itself
    external: dict[str, Any] = {}
    contributions = []
    wanted = {section.name for section in sections(data.options.sections)}
    possible = [section for section in sections() if len(data.before) or not section.needs_records]
    ready = _run_beside([s for s in possible if s.name in wanted and s.runs_beside], data)
    for section in possible:
        if section.name in wanted:
            found, notes = ready[section.name] if section.name in ready else (section.run(data), ())
            for note in notes:
                data.note(note)
            if found is None:
                continue
            data.found[section.name] = found
            _keep(section, found, fields, external)
        elif section.judges_when_left_out:
            found = ()
        else:
            continue
        added = section.contribution(found, data)
        if added is not None:
            contributions.append(added)
    return fields, external, contributions


def _run_beside(some: Sequence[Section], data: AuditData) -> dict[str, tuple[Any, Sequence[str]]]:
    """Run sections beside each other: the finding and the notes of each, by name."""
    if not some:
        return {}
    views = [data.with_own_notes() for _ in some]
    with single_threaded() as threads, one_thread_each(data.run.workers or threads) as pool:
        found = list(pool.map(lambda section, view: section.run(view), some, views))
    return {section.name: (f, view.notes) for section, f, view in zip(some, found, views, strict=True)}


def _limitations(data: AuditData, unsuited: bool) -> list[Contribution]:
    """What keeps the audit from showing more: no attack made for pictures, or a modifier that made other records."""
    others = [Contribution(first=(f.message,), unclear=True) for f in data.flaws if f.code == OTHER_MODIFIER]
    return [*others, *([Contribution(closing=(UNSUITED,))] if unsuited else [])]


def _keep(section: Section, found: Any, fields: dict[str, Any], external: dict[str, Any]) -> None:
    if section.key is not None:
        fields[section.key] = found
    elif found:
        external[section.name] = found


def _made(data: AuditData, selection: _Selection, unsuited: bool) -> dict[str, Any]:
    """How the audit was made."""
    budget, more = data.budget, data.options.more
    fits = {*_families(data.original, budget), *_families(data.released, budget)}
    return {
        "budget": budget.name,
        "families": [f for f in budget.families if f in fits],
        "released_only": [f for f in budget.families if f in fits and budget.name in ATTACKS.find(f).released_only],
        "settings": list(budget.settings),
        "known": list(budget.known),
        "left_out": [
            *budget.left_out(data.released.shape),
            *(["attackers that have the modifier"] if OTHER_MODIFIER in {f.code for f in data.flaws} else []),
        ],
        "seeds": list(budget.seeds),
        "folds": budget.folds,
        "fitted": int(data.fitted.sum()),
        "unseen": int((~data.fitted).sum()),
        "fitted_known_by": selection.how,
        "sampled": selection.sampled,
        "held_by_attackers": 0 if more is None else min(len(more), budget.max_records),
        "device": data.run.device,
        "versions": package_versions(),
        "notes": data.notes,
        **_attack_options(data.released, budget),
        **({"no_attacker_for_pictures": True} if unsuited else {}),
        **(data.options.source or {}),
    }


def _report(
    data: AuditData,
    verdict: Verdict,
    passed: bool | None,
    made: dict[str, Any],
    fields: dict[str, Any],
    external: dict[str, Any],
) -> Report:
    original = data.original
    return Report(
        verdict=verdict,
        policy=dict(data.policy.roles()),
        headlines=data.headlines,
        table={
            "source": original.source,
            "records": len(original),
            "shape": list(original.shape),
            "classes": {name: list(original.classes[name]) for name in data.roles},
            "notes": list(original.notes),
        },
        modifier=None if data.modifier is None else _about(data.modifier),
        made=made,
        max_leakage=data.options.max_leakage,
        passed=passed,
        sections=external,
        **fields,
    )


def _about(modifier: Modifier) -> dict[str, Any]:
    card = getattr(modifier, "card", None)
    if card is None:
        return {"method": type(modifier).__name__}
    return {"method": card.method, "fields": card.fields, "fit": card.fit, "notes": card.notes, "weights": card.weights}

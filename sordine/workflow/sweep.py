"""A sweep: the whole curve of leakage against utility of one or several methods, in less work than its points one by one.

What the points share: the split; what a method pretrains; what attackers read of the originals; and the steps in which the
perceptrons of all releases are trained. A point that was finished is kept in the sweep's folder and not made again; one that cannot be made is named,
and the others are measured all the same.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from sordine.attacks import cost
from sordine.attacks.optimal import exact
from sordine.attacks.registry import reads, suited
from sordine.attacks.results import Role
from sordine.attacks.runner import Budget, Scene, pieces, together
from sordine.attacks.several import attack_several
from sordine.data.files import atomic
from sordine.data.table import Table
from sordine.errors import SordineError, WriteError
from sordine.evaluation.comparison import compare
from sordine.evaluation.exact_copies import copied
from sordine.evaluation.headlines import Readings, figures
from sordine.evaluation.report import Comparison, Failed, Report
from sordine.evaluation.report_json import from_json, to_json
from sordine.evaluation.verdict import judge
from sordine.methods.registry import load
from sordine.metrics.information import is_decided
from sordine.models.modifier import Modifier, versions
from sordine.policy import Policy
from sordine.run import Run, silent
from sordine.workflow.halves import fit_rung, released, scene_of
from sordine.workflow.leakage_limit import Rung
from sordine.workflow.sweep_folder import MODIFIER, POINTS, REPORT, SHARED, report_of, weights_of

BLOCK = 4096  # records hashed at a time
LONG = 10  # seconds that fits have to take for how long the others will to be worth a line
# What a setting alone is to blame for: it is refused, or its numbers ran away. Anything else ends the sweep, a full disk too.
REFUSED = (SordineError, ArithmeticError, np.linalg.LinAlgError, torch.linalg.LinAlgError)


@dataclass(frozen=True)
class Swept:
    """One point of a sweep: its setting, its report, its modifier's directory."""

    rung: Rung
    report: Report
    modifier: Path


def sweep(
    table: Table,
    policy: Policy,
    ladder: Sequence[Rung],
    run: Run | None = None,
    *,
    folder: Path,
    budget: Budget | None = None,
    workers: int = 2,
) -> tuple[Comparison, list[Swept]]:
    """Fit, release and attack every setting, and set them side by side.

    ladder: `search.rungs` of one or several methods. folder: where finished points and what a method pretrains are kept; the same
    sweep goes on where it was. Attackers try the suppressed
    attributes, the preserved ones, and the policy's watched ones. A setting that its method refuses, or under which training
    or release runs into numbers that are none, has no point: `Comparison.failed` says which and why.
    Raises SordineError where the policy does not fit the table, where no setting can be made, and where nothing can be compared.
    """
    run, budget = run or Run(), budget or Budget()
    policy = table.require(policy)
    if not policy.suppress:
        raise SordineError("a sweep draws leakage against utility: name what is to be suppressed with -s")
    if not (policy.preserve or policy.watch):
        raise SordineError(
            "a sweep draws leakage against utility: name what is to be preserved with -p, or watched with -w"
        )
    table = table.with_split(policy, run.key)
    table.require_labels(policy.suppress, "train")
    table.require_labels(policy.suppress, "test")
    roles: dict[str, Role] = {name: role for role, names in policy.roles() for name in names}  # type: ignore[misc]
    before = scene_of(table, table.x, list(roles), budget)
    given = _given(table, policy, run)
    points = [folder / POINTS / _address(given, list(roles), rung, budget) for rung in ladder]
    failed: dict[int, str] = {}
    told: set[str] = set()
    there = {i: weights_of(points[i], str(rung), run.log) for i, rung in enumerate(ladder)}
    for done, i in enumerate(range(len(ladder)), 1):
        if there[i] is None:
            run.log(f"{ladder[i]}: fit ({done} of {len(ladder)})")
            began = time.monotonic()
            try:
                made = _fitted(ladder[i], table, policy, run, folder)
            except WriteError:
                raise
            except REFUSED as error:
                failed[i] = _why(error)
                run.log(f"{ladder[i]}: not made: {failed[i]}")
                continue
            took = time.monotonic() - began
            made.card.fit["seconds"] = round(took, 1)
            made.save(points[i] / MODIFIER)
            there[i] = made.card.weights
            others = [k for k in range(done, len(ladder)) if ladder[k].name == ladder[i].name and there[k] is None]
            if ladder[i].name not in told and (said := _others(len(others), took)):
                run.log(f"{ladder[i]}: {said}")
            told.add(ladder[i].name)
        if run.progress:
            run.progress("fits", done, len(ladder))
    left = [i for i, w in there.items() if w is not None and not report_of(points[i], w, str(ladder[i]), run.log)]
    modifiers: dict[int, Modifier] = {}
    after: dict[int, Scene] = {}
    for i in left:
        modifiers[i] = load(points[i] / MODIFIER)
        try:
            after[i] = _released(modifiers[i], table, before, run, workers)
        except WriteError:
            raise
        except REFUSED as error:
            failed[i] = _why(error)
            run.log(f"{ladder[i]}: not made: {failed[i]}")
    if after:
        run.log(_attackers(before, list(after.values()), list(roles), budget, workers))
        with _one_thread():
            read = attack_several(
                before,
                list(after.values()),
                list(roles),
                budget,
                device=run.device,
                workers=workers,
                progress=run.progress,
            )
        for i, readings in zip(after, read, strict=True):
            report = _report(table, before, after[i], readings, roles, policy, modifiers[i], budget)
            with atomic(points[i] / REPORT) as temporary:
                temporary.write_text(to_json(report), encoding="utf-8")
    each = "; ".join(f"{ladder[i]}: {why}" for i, why in sorted(failed.items()))
    if len(failed) == len(ladder):
        whys = list(dict.fromkeys(failed.values()))
        raise SordineError(whys[0] if len(whys) == 1 else f"no setting could be made: {each}")
    swept = []
    for i, (rung, point) in enumerate(zip(ladder, points, strict=True)):
        if i not in failed:
            report = from_json((point / REPORT).read_bytes())
            swept.append(Swept(rung, report, point / MODIFIER))
    leaks = [a for a in policy.watch if is_decided(table.y, a, policy.suppress)]
    try:
        found = compare([(str(p.rung), p.report) for p in swept], watched=True, leaks=leaks)
    except SordineError as error:
        raise SordineError(f"{error}; not made: {each}" if each else str(error)) from error
    lost = tuple(Failed(str(ladder[i]), why) for i, why in sorted(failed.items()))
    return replace(found, notes=(*found.notes, *_notes(swept, budget)), failed=lost), swept


def _why(error: Exception) -> str:
    said = " ".join(str(error).split())
    return said if isinstance(error, SordineError) else f"its numbers ran away ({said or type(error).__name__})"


def _others(left: int, took: float) -> str | None:
    """How long the other fits of a method will take by one that took so long; None where that is soon."""
    if took * left < LONG:
        return None
    return f"fitted in {cost.lasting(took)}; {left} more will take about {cost.lasting(took * left)}, if none is slower"


def _released(modifier: Modifier, table: Table, before: Scene, run: Run, workers: int) -> Scene:
    scene = released(modifier, table, before, run.key, workers)[0]
    bad = len(scene.x) - int(np.isfinite(scene.flat()).all(1).sum())
    if bad:
        raise SordineError(f"{bad:,} of {len(scene.x):,} released records hold what is no number")
    return scene


def _attackers(before: Scene, after: Sequence[Scene], attributes: Sequence[str], budget: Budget, workers: int) -> str:
    # An upper estimate: several releases share steps of perceptrons, and trees on copies are smaller.
    jobs = [(s, group) for s in (before, *after) for group in together(pieces(attributes, budget, s.x.shape[1:]))]
    return (
        f"attackers: {len(after)} releases of {len(before.ids):,} records, {len(attributes)} attributes; one by one they would take "
        f"about {cost.lasting(cost.forecast(jobs, budget, workers))} here, together less"
    )


def _notes(swept: Sequence[Swept], budget: Budget) -> list[str]:
    notes = [
        f"A sweep: the points were attacked together, by {', '.join(swept[0].report.made['families'])} in the settings {', '.join(budget.settings)}; "
        "no classifier was read that is never retrained, and nothing was pooled by person. `sordine audit` does both for "
        "the point you choose."
    ]
    whole: dict[str, list[str]] = {}  # what leaks without a figure on the page that says so
    for p in swept:
        verdict = p.report.verdict
        if verdict.level == "leaks" and verdict.title.endswith("to the best possible attacker"):
            whole.setdefault(verdict.title, []).append(str(p.rung))
    notes += [
        f"{title}, who knows the modifier, whatever those tried read: {'; '.join(w)}." for title, w in whole.items()
    ]
    return notes


def _given(table: Table, policy: Policy, run: Run) -> str:
    """A digest of all that a fit is given beside its method: every record of the table (ids, numbers, labels, split, groups) and of the
    pool, the policy, key and seed. Two tables of the same records are the same, wherever they came from."""
    told = [asdict(policy), run.key.fingerprint, run.seed, _records(table), run.pool and _records(run.pool)]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()


def _records(table: Table) -> str:
    hashed = hashlib.sha256(json.dumps([table.shape, str(table.x.dtype), list(map(str, table.ids))]).encode())
    for name in sorted(table.y):
        hashed.update(json.dumps([name, [str(c) for c in table.classes[name]]]).encode())
        hashed.update(table.y[name].astype(np.int64).tobytes())
    for part in (table.split, table.group):
        hashed.update(b"-" if part is None else part.astype(np.int64).tobytes())
    for start in range(0, len(table), BLOCK):  # x may be a mapped file
        hashed.update(np.ascontiguousarray(table.x[start : start + BLOCK]).tobytes())
    return hashed.hexdigest()


def _address(given: str, read: Sequence[str], rung: Rung, budget: Budget) -> str:
    # What tells that a point is another one. read: the attributes attackers try.
    told = {
        "given": given,
        "read": list(read),
        "method": rung.name,
        "fields": asdict(rung.method),  # type: ignore[call-overload]
        "budget": asdict(budget),
        "versions": versions(),
    }
    text = json.dumps(told, default=str, sort_keys=True)
    return f"{rung.name}-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def _fitted(rung: Rung, table: Table, policy: Policy, run: Run, folder: Path) -> Modifier:
    shared = folder / SHARED
    shared.mkdir(parents=True, exist_ok=True)
    return fit_rung(rung, table, policy, replace(run, log=silent, folder=shared))


def _report(
    table: Table,
    before: Scene,
    after: Scene,
    readings: Readings,
    roles: Mapping[str, Role],
    policy: Policy,
    modifier: Modifier,
    budget: Budget,
) -> Report:
    """The report of one point: findings, headlines and verdict as `audit` makes them of the same readings, copies, the exact attack;
    nothing that only a page of its own would show."""
    place = {str(name): row for row, name in enumerate(table.ids)}
    own = table.take(np.array([place[str(name)] for name in before.ids], np.int64))
    own = replace(own, x=before.x, split=before.fitted)
    findings, headlines = figures(readings, roles, table.classes, budget)
    flaws = copied(table, own, after.x, before.fitted, policy)
    known = []
    if modifier.discrete:
        for on, side in (("fitted", before.fitted), ("unseen", ~before.fitted)):
            known += exact(modifier, own.take(side), on, policy.suppress, policy.preserve, budget.permutations)  # type: ignore[arg-type]
    verdict, passed = judge(headlines, flaws, known, policy.suppress, None)
    card = modifier.card
    return Report(
        verdict=verdict,
        policy=dict(policy.roles()),
        headlines=tuple(headlines),
        findings=tuple(findings),
        exact=tuple(known),
        flaws=tuple(flaws),
        table={"source": table.source, "records": len(table), "shape": list(table.shape), "notes": list(table.notes)},
        modifier={
            "method": card.method,
            "fields": card.fields,
            "fit": card.fit,
            "notes": card.notes,
            "weights": card.weights,
        },
        made={
            "families": [f for f in budget.families if reads(f, before.x.shape[1:]) or reads(f, after.x.shape[1:])],
            "settings": list(budget.settings),
            "seeds": list(budget.seeds),
            "folds": budget.folds,
            "fitted": int(before.fitted.sum()),
            "unseen": int((~before.fitted).sum()),
            "held_by_attackers": 0,
            "fitted_known_by": "the sweep",
            "versions": versions(),
            "notes": [],
            **({} if suited(budget.families, before.x.shape[1:]) else {"no_attacker_for_pictures": True}),
        },
        passed=passed,
    )


@contextlib.contextmanager
def _one_thread() -> Any:
    """One thread for each product of matrices: several attacks run side by side."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):
            yield
    finally:
        torch.set_num_threads(threads)

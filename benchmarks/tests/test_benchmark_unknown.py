"""The pages on unknown and named tasks: order of measurements, pooling of folds and keys, and requirements."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.harness import Store
from benchmarks.unknown.__main__ import chosen
from benchmarks.unknown.cases import BESIDE, CASES, ENTRIES, FOLDS, NEW, OURS, Case, Entry, Group, groups, load, only
from benchmarks.unknown.checks import Check, beside, bounded, checks, leakage
from benchmarks.unknown.figures import KNOWN, PERSON, POWER, RISK, UTILITY, unpacked
from benchmarks.unknown.measure import STORE, Bench, folds_of, read
from benchmarks.unknown.page import gather, page
from benchmarks.unknown.picture import draw
from benchmarks.unknown.pooled import Pool, pool, worst
from sordine.attacks.budget import Budget
from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.evaluation.sections.power import CORE

FSDD = CASES["fsdd"]
SPEAKER, DIGIT = 1 / 6, 0.1


def table_of(columns: tuple[str, ...], rows: list[dict[str, Any]]) -> dict[str, Any]:
    return {"columns": list(columns), "rows": [[row.get(c) for c in columns] for row in rows]}


def attack(before: float, after: float) -> list[float]:
    return [before, after, 0.0, 0.0, 0.0]


def cells(after: float, guess: float, records: int, scenarios: str = "ABC") -> dict[str, Any]:
    return {s: {"guess": guess, "records": records, "by": {"mlp": attack(1.0, after)}} for s in scenarios}


def known_row(
    known: float = 0.5, k: int = 1, knows: str = "modifier", nag: float = 0.0, **other: Any
) -> dict[str, Any]:
    """What an attacker with known classes infers, whose originals have no error."""
    found = {"attribute": "speaker", "known": known, "knows": knows, "k": k, "before": 1.0, "guess": SPEAKER}
    found |= {"after": SPEAKER + nag * (1 - SPEAKER), "nag": nag, "low": nag - 0.01, "high": nag + 0.01}
    return found | {"records": 40_000} | other


def risk(success: float, knows: str = "modifier", **other: Any) -> dict[str, Any]:
    row = {"attack": "nearest", "knows": knows, "on": "both", "measure": "auc", "success": success, "control": 0.5}
    return row | {"success_interval": [success - 0.02, success + 0.02], "risk": 0.0} | other


def planted(smallest: float | None = 0.1) -> list[dict[str, Any]]:
    return [{"attribute": "speaker", "kind": kind, "smallest": smallest} for kind in CORE]


KNOWS = [known_row(share, k, knows) for share in (0.5, 0.9) for k in (1, 10, 50) for knows in ("outputs", "modifier")]


def unit(fold: int = 0, key: int = 0, speaker: float = 0.17, digit: float = 0.95, **other: Any) -> dict[str, Any]:
    """One audit of a release of FSDD with many records, made up; by default every requirement is met."""
    found: dict[str, Any] = {
        "fold": fold,
        "key": key,
        "classes": {"speaker": 6, "digit": 10},
        "attacks": {"speaker": cells(speaker, SPEAKER, 4000), "digit": cells(digit, DIGIT, 4000)},
        "known": table_of(KNOWN, KNOWS),
        "verdict": {
            "level": "unclear",
            "title": "It is unclear",
            "risks": [],
            "not_excluded": 0.2,
            "grade": "moderate",
        },
        "person": table_of(PERSON, [known_row(k=k, knows="channel", setting="A", groups=50) for k in (1, 50)]),
        "power": table_of(POWER, planted()),
        "utility": table_of(UTILITY, [{"measure": "neighbours", "k": 10, "value": 0.4}]),
        "membership": table_of(RISK, [risk(0.52), risk(0.51, "release"), risk(0.9, "record")]),
        "singling out": table_of(RISK, [risk(0.02, "release", measure="share", control=0.01)]),
        "linking": table_of(RISK, [risk(0.03, "originals", measure="share", control=0.002)]),
        "forecast": [forecast()],
        "made": {"families": ["mlp"], "notes": []},
        "fit_core_seconds": 3.0,
    }
    return found | other


def forecast(leakage: float = 0.05) -> dict[str, Any]:
    shares = {"1": leakage / 10, "10": leakage / 2, "50": leakage}
    upper = {k: 2 * v for k, v in shares.items()}
    return {"attribute": "speaker", "cross_fitted": True, "leakage": shares, "upper": upper}


def known_as(**changes: Any) -> dict[str, Any]:
    """The table of known classes, with changes to the rows of single records."""
    return table_of(KNOWN, [row | (changes if row["k"] == 1 else {}) for row in KNOWS])


def pooled(*units: dict[str, Any], task: Any = "unknown", entry: str = NEW, case: Case = FSDD) -> Pool:
    return Pool(case, task, entry, units)


def whole(**changes: Any) -> Pool:
    return pooled(*(unit(fold, **changes) for fold in range(FOLDS)))


def line(found: Pool) -> Check:
    (made,) = checks([found])
    return made


# ------------------------------------------------------------------------------------------------ what is measured


def test_our_methods_come_first_in_each_fold_and_the_first_fold_before_all() -> None:
    order = list(groups(list(CASES.values()), list(ENTRIES.values()), range(FOLDS)))
    assert [g.fold for g in order] == sorted(g.fold for g in order)
    first = [g for g in order if g.fold == 0]
    new = [g for g in first if g.entry.name in OURS]
    assert first[: len(new)] == new
    assert {(g.case.name, g.task) for g in new if g.entry.name == NEW} == {
        (c.name, t) for c in CASES.values() for t in c.tasks
    }
    assert {g.case.name for g in new if g.entry.name == BESIDE} == set(CASES)
    assert first[len(new)].entry.name == "obliviator"
    assert len({g.stem for g in order}) == len(order)


def test_a_method_that_is_not_told_is_measured_once_and_for_both_pages() -> None:
    for tasks in (("unknown", "named"), ("named",)):
        order = list(groups([FSDD], list(ENTRIES.values()), range(1), tasks))  # type: ignore[arg-type]
        assert [g.task for g in order if g.entry.name == "leace"] == ["unknown"]
        assert [g.task for g in order if g.entry.name == NEW] == list(tasks)
    # A data set without a named task has no part in that page.
    assert not list(groups([CASES["utkface"]], list(ENTRIES.values()), range(1), ["named"]))


def test_a_method_that_draws_nothing_has_one_release() -> None:
    assert list(Group(FSDD, "named", ENTRIES["substitution"], 0).keys(3)) == [0, 1, 2]
    assert list(Group(FSDD, "unknown", ENTRIES["leace"], 0).keys(5)) == [0]


def test_other_fields_features_or_records_are_other_units() -> None:
    noise, case = ENTRIES["noise 1"], replace(FSDD, options={"seconds": "2", "steady": "voice"})
    group = Group(case, "unknown", noise, 0)
    others = [
        replace(group, entry=replace(noise, fields={"sigma": 2.0})),
        replace(group, case=replace(case, options={"seconds": "2"})),
        replace(group, case=replace(case, most=10)),
    ]
    assert len({group.name(0), *(o.name(0) for o in others)}) == 4
    assert {o.stem for o in others} == {group.stem}
    moved = replace(group, case=replace(case, options=dict(reversed(case.options.items()))))
    assert moved.name(0) == group.name(0)


def test_every_unit_that_is_kept_is_of_a_known_case_and_method() -> None:
    stems = tuple(g.stem for g in groups(list(CASES.values()), list(ENTRIES.values()), range(FOLDS)))
    assert [name for name in STORE.figures if not name.startswith(stems)] == []


def test_both_tasks_have_the_same_attributes_in_the_same_order() -> None:
    for case in CASES.values():
        assert {case.policy(task).named for task in case.tasks} == {case.named}


def test_folds_hold_every_record_out_once_and_share_all_classes() -> None:
    rng = np.random.default_rng(0)
    labels = {
        "speaker": rng.permutation(np.arange(300) % 3).astype(str),
        "digit": rng.integers(5, size=300).astype(str),
    }
    table = Table.of(rng.standard_normal((300, 4)).astype(np.float32), labels)
    fold = folds_of(table)
    assert np.bincount(fold).tolist() == [60] * 5
    both = table.y["speaker"] * 5 + table.y["digit"]
    counts = np.array([np.bincount(both[fold == f], minlength=15) for f in range(5)])
    assert (counts.max(0) - counts.min(0) <= 1).all()
    order = rng.permutation(300)
    assert (folds_of(table.take(order)) == fold[order]).all()


def small(folder: Path) -> Path:
    """A table in the place of FSDD's, with a third attribute that takes no part."""
    rng = np.random.default_rng(1)
    speaker, digit = np.arange(240) % 6, rng.integers(2, size=240)
    x = rng.standard_normal((240, 8)).astype(np.float32)
    x[np.arange(240), speaker] += 6
    x[:, 7] += 6 * digit
    labels = {"speaker": speaker.astype(str), "digit": digit.astype(str), "take": rng.integers(3, size=240).astype(str)}
    Table.of(x, labels).write(folder / "fsdd.parquet")
    return folder


QUICK = Budget(("logistic",), person=(1, 5), risks=False, plants=0, tail=False, cloud=0)


@pytest.mark.slow
def test_a_group_is_measured_stored_and_not_measured_again(tmp_path: Path) -> None:
    results, said = Store("unknown", tmp_path), list[str]()
    bench = Bench(small(tmp_path), results, QUICK)
    group = Group(FSDD, "unknown", ENTRIES["noise 1"], 0)
    assert bench.missing(group, 2, fresh=False) == [0, 1]
    bench.measure(group, [0, 1], said.append)
    assert bench.missing(group, 2, fresh=False) == []
    assert bench.missing(group, 2, fresh=True) == [0, 1]
    found = read(FSDD, "named", group.entry, Store("unknown", tmp_path))  # measured once, shown for both tasks
    assert [(u["fold"], u["key"]) for u in found] == [(0, 0), (0, 1)]
    assert set(found[0]["attacks"]) == {"speaker", "digit"}
    assert set(found[0]["attacks"]["speaker"]) == {"A", "B", "C"}
    assert (found[0]["made"]["fitted"], found[0]["made"]["unseen"]) == (192, 48)
    p = Pool(FSDD, "unknown", "noise 1", tuple(found))
    assert worst(p.leaks(), lambda f: f.nag).after > 0.7  # one standard deviation hides little of six
    assert {m.about for m in p.known(0.5, 1)} == {"speaker, outputs", "speaker, modifier"}
    assert "person" not in found[1]  # under a further key, single records and known classes alone
    assert {r["k"] for r in unpacked(found[0]["person"])} == {1, 5}
    assert [f["attribute"] for f in found[0]["forecast"]] == ["speaker"]
    assert line(p).state == "not reached"


def test_a_unit_replaces_those_of_other_fields_and_no_other(tmp_path: Path) -> None:
    bench, noise = Bench(tmp_path, Store("unknown", tmp_path)), ENTRIES["noise 1"]
    group = Group(FSDD, "unknown", noise, 0)
    former = replace(group, entry=replace(noise, fields={"sigma": 2.0}))
    for some, key in ((former, 0), (former, 1), (replace(former, fold=1), 0)):
        bench.keep(some, key, unit(some.fold, key))
    bench.keep(group, 0, unit())
    kept = {group.name(0), former.name(1), replace(former, fold=1).name(0)}
    assert set(Store("unknown", tmp_path).figures) == kept


def test_a_case_can_be_a_sample_of_a_table_of_vectors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    (tmp_path / "folder").mkdir()
    names = {
        "f0": rng.standard_normal(60),
        "f1": rng.standard_normal(60),
        "gender": ["a", "b"] * 30,
        "band": ["c"] * 60,
    }
    import pandas as pd

    pd.DataFrame(names).to_parquet(tmp_path / "folder" / "words.parquet")
    monkeypatch.setenv("SORDINE_DATA", str(tmp_path))
    case = Case("words", "", "", ("gender",), (), features=("f0", "f1"), source="folder/words.parquet")
    table = load(case, tmp_path)
    assert (table.shape, table.attributes, len(table)) == ((2,), ("gender",), 60)
    few, fewer = (set(load(replace(case, most=n), tmp_path).ids) for n in (20, 10))
    assert (len(few), len(fewer)) == (20, 10)
    assert fewer < few < set(table.ids)


def test_a_missing_attribute_is_named(tmp_path: Path) -> None:
    table = Table.read(small(tmp_path) / "fsdd.parquet")
    assert only(table, ("digit", "speaker")).attributes == ("digit", "speaker")
    with pytest.raises(SordineError, match="'accent'"):
        only(table, ("speaker", "accent"))


def test_an_unknown_name_is_refused() -> None:
    assert chosen("fsdd,emodb,fsdd", CASES, "data set") == [FSDD, CASES["emodb"]]
    with pytest.raises(SordineError, match="'fsd'"):
        chosen("fsd", CASES, "data set")


# ------------------------------------------------------------------------------------------------ putting together


def test_accuracies_are_averaged_before_the_best_attack_is_taken() -> None:
    one, other = unit(0), unit(1)
    for made, mlp, trees in ((one, 0.30, 0.20), (other, 0.20, 0.36)):
        made["attacks"]["speaker"]["A"]["by"] = {"mlp": attack(1.0, mlp), "trees": attack(1.0, trees)}
    figure = pool([one, other])["speaker"][0]
    assert figure.attack == "trees"
    assert figure.after == pytest.approx(0.28)  # not (.30 + .36) / 2
    assert figure.nag == pytest.approx((0.28 - SPEAKER) / (1 - SPEAKER))


def test_keys_add_no_records_and_folds_do() -> None:
    keys = pool([unit(0, k) for k in range(5)])["speaker"]
    folds = pool([unit(f) for f in range(5)])["speaker"]
    assert [f.records for f in keys] == [4000, 4000, 4000]
    assert {f.scenario: f.records for f in folds} == {"A": 20_000, "B": 20_000, "C": 4000}
    wide, narrow = ((f.high or 0) - (f.low or 0) for f in (keys[0], folds[0]))
    assert narrow < 0.6 * wide


def test_leakage_is_of_every_scenario_and_utility_of_scenario_a() -> None:
    made = unit()
    for s, after in (("A", 0.2), ("B", 0.4), ("C", 0.3)):
        made["attacks"]["speaker"] |= cells(after, SPEAKER, 4000, s)
    p = pooled(made)
    assert worst(p.leaks(), lambda f: f.nag).scenario == "B"
    found = p.useful("speaker")
    assert found is not None
    assert found.after == pytest.approx(0.2)


def test_one_attribute_does_not_make_up_for_another() -> None:
    made = unit(digit=1.2)
    assert pooled(made).utility().value == 1.0
    made["attacks"]["digit"]["A"]["by"]["mlp"][0] = DIGIT  # nothing is inferred from the originals: no mean
    assert pooled(made).utility().value is None


def test_folds_and_keys_are_counted() -> None:
    assert (pooled().folds, pooled().keys, pooled().complete) == (0, 0, False)
    some = pooled(unit(0, 0), unit(0, 1), unit(1, 0))
    assert (some.folds, some.keys, some.complete) == (2, 1, False)
    assert whole().complete


def test_known_classes_are_averaged_over_folds_with_the_outermost_ends() -> None:
    units = [unit(f, known=known_as(nag=n, after=SPEAKER + n * (1 - SPEAKER), low=n, high=h)) for f, n, h in
             ((0, 0.1, 0.3), (1, 0.3, 0.4))]  # fmt: skip
    found = pooled(*units).known(0.5, 1, ("modifier",))
    assert [m.about for m in found] == ["speaker, modifier"]
    assert (found[0].value, found[0].low, found[0].high) == pytest.approx((0.2, 0.1, 0.4))
    # A figure that one fold lacks is not the mean of all.
    assert pooled(units[0], unit(1, known=table_of(KNOWN, []))).known(0.5, 1) == []


def test_membership_is_the_best_attacker_with_a_release() -> None:
    units = [unit(f, membership=table_of(RISK, [risk(a), risk(b, "release"), risk(0.9, "record")])) for f, a, b in
             ((0, 0.6, 0.52), (1, 0.5, 0.54))]  # fmt: skip
    found = pooled(*units).membership()
    assert found is not None
    assert (found.about, found.value, found.high) == ("modifier", pytest.approx(0.55), pytest.approx(0.62))


def test_power_is_the_largest_size_that_was_needed_in_any_fold() -> None:
    assert pooled(unit(0), unit(1, power=table_of(POWER, planted(0.2)))).planted() == 0.2
    assert pooled(unit(0), unit(1, power=table_of(POWER, planted(None)))).planted() is None
    assert pooled(unit(power=table_of(POWER, planted()[1:]))).planted() is None  # a core kind was not planted


# ------------------------------------------------------------------------------------------------ what is reached


@pytest.mark.parametrize(
    ("value", "low", "floor", "said"),
    [
        (0.02, 0.0, 0.03, "reached"),
        (0.02, 0.0, 0.04, "cannot be shown"),  # within the limit by few records
        (0.02, 0.0, None, "cannot be shown"),
        (0.04, 0.0, 0.02, "not reached"),
        (0.20, 0.0, 0.10, "cannot be shown"),  # above the limit by few records
        (0.20, 0.05, 0.10, "not reached"),  # surely above it
        (None, None, None, "cannot be shown"),
    ],
)
def test_a_figure_and_its_limit(value: float | None, low: float | None, floor: float | None, said: str) -> None:
    assert bounded(value, low, floor, 0.03) == said


def test_a_data_set_that_meets_every_requirement() -> None:
    made = line(whole())
    assert (made.state, made.complete) == ("reached", True)
    assert made.text.startswith(f"fsdd, `{NEW}`: reached. *Reached*: leakage 0.004 [0.00, ")
    assert "planted leaks were found from 0.1" in made.text
    assert "so far" in line(pooled(unit())).text
    assert line(pooled()).text == f"fsdd, `{NEW}`: **not measured**."


@pytest.mark.parametrize(
    ("changes", "state", "words"),
    [
        ({"speaker": 0.25}, "not reached", "leakage 0.100"),
        ({"digit": 0.85}, "not reached", "utility 0.833"),
        ({"known": known_as(nag=0.2, low=0.18, after=SPEAKER + 0.2 / 1.2)}, "not reached", "of known classes 0.200"),
        ({"membership": table_of(RISK, [risk(0.6)])}, "not reached", "membership 0.600"),
        ({"membership": table_of(RISK, [])}, "cannot be shown", "membership not measured"),
        ({"power": table_of(POWER, planted(None))}, "cannot be shown", "planted leaks of a core kind were missed"),
        ({"known": known_as(records=100)}, "cannot be shown", "so many records can show no less than 0."),
        (
            {"known": table_of(KNOWN, [r for r in KNOWS if r["k"] == 1])},
            "cannot be shown",
            "of 50 records of one speaker not measured",
        ),
        (
            {"known": table_of(KNOWN, [r for r in KNOWS if (r["k"], r["knows"]) != (1, "modifier")])},
            "cannot be shown",
            "not measured for an attacker with the modifier",
        ),
        ({"known": table_of(KNOWN, [])}, "not measured", "of known classes not measured"),
    ],
)
def test_a_requirement_is_decided_by_its_figure(changes: dict[str, Any], state: str, words: str) -> None:
    made = line(whole(**changes))
    assert made.state == state
    assert [p.text for p in made.parts if words in p.text and p.state == state]
    assert made.parts[-1].state == "reached" or "planted" in words  # the others are decided on their own


def test_pooled_records_have_a_limit_of_their_own() -> None:
    def fifty(nag: float, **other: Any) -> Check:
        rows = [r for r in KNOWS if r["k"] != 50] + [known_row(k=50, nag=nag, low=nag - 0.01, **other)]
        return line(whole(known=table_of(KNOWN, rows)))

    assert fifty(0.08).state == "reached"
    assert fifty(0.2).state == "not reached"
    assert fifty(0.08, records=48).state == "cannot be shown"  # 48 groups
    assert "every figure is within its limit" in fifty(0.08, records=48).text


def test_a_named_task_has_stricter_limits() -> None:
    units = [unit(f, digit=0.95) for f in range(FOLDS)]
    assert line(pooled(*units)).state == "reached"
    assert line(pooled(*units, task="named")).state == "not reached"  # .944 of .97
    better = [unit(f, digit=0.985) for f in range(FOLDS)]
    assert line(pooled(*better, task="named")).state == "reached"


def test_a_scenario_of_few_records_does_not_hide_another_above_the_limit() -> None:
    units = [unit(f) for f in range(FOLDS)]
    for made in units:
        made["attacks"]["speaker"] |= cells(0.25, SPEAKER, 12, "B") | cells(0.23, SPEAKER, 4000, "C")
    made = line(pooled(*units))
    assert made.state == "not reached"
    assert "scenario C" in made.parts[0].text


def test_few_records_show_no_utility() -> None:
    few = {"A": {"guess": DIGIT, "records": 30, "by": {"mlp": attack(0.6, 0.58)}}}
    made = [unit(f, attacks={"speaker": cells(0.17, SPEAKER, 4000), "digit": few}) for f in range(FOLDS)]
    (short,) = [p for p in line(pooled(*made)).parts if p.state != "reached"]
    assert (short.state, short.within) == ("cannot be shown", True)


def test_ours_is_ahead_only_where_it_is_more_useful_and_leaks_no_more() -> None:
    def against(speaker: float, digit: float) -> bool | None:
        return beside(pooled(unit(speaker=0.18, digit=0.9)), pooled(unit(speaker=speaker, digit=digit))).ahead

    assert against(0.5, 0.85) is True
    assert against(0.175, 0.85) is True  # leakages .016 and .010 count as equal
    assert against(0.18, 0.91) is False
    assert against(0.5, 0.95) is False  # more useful, whatever it leaks
    assert against(0.16, 0.85) is False  # leaks less
    blind = unit()
    blind["attacks"]["digit"]["A"]["by"]["mlp"][0] = DIGIT
    assert beside(pooled(unit()), pooled(blind)).ahead is None


def test_leakage_beside_other_methods_includes_known_classes() -> None:
    assert leakage(pooled(unit(known=known_as(after=SPEAKER + 0.3 * (1 - SPEAKER), nag=0.3)))) == pytest.approx(0.3)
    assert leakage(pooled(unit(known=known_as(nag=None)))) is None


# ------------------------------------------------------------------------------------------------ page and picture


def write_unit(folder: Path, entry: Entry, task: Any, made: dict[str, Any]) -> None:
    Store("unknown", folder).put(Group(FSDD, task, entry, made["fold"]).name(made["key"]), made)


def test_the_page_says_what_is_reached_and_what_is_not(tmp_path: Path) -> None:
    for fold in range(FOLDS):
        write_unit(tmp_path, ENTRIES[NEW], "unknown", unit(fold, speaker=0.18, digit=0.80))
    write_unit(tmp_path, ENTRIES["mute"], "unknown", unit(0, speaker=0.99, digit=0.75))
    pools = gather("unknown", Store("unknown", tmp_path))
    text = page("unknown", pools)
    assert (
        "- fsdd, `transport`: **not reached**. *Not reached*: utility 0.778 [0.77, 0.78] of at least 0.9. *Rea" in text
    )
    assert "| **transport** | 5 x 1 | unclear (0.200) | 0.016 [0.0" in text
    assert "| mute | 1 x 1 | unclear (0.200) | 0.988 [" in text
    assert "| fsdd | `transport` | 0.02 / 0.78 | not measured | not measured | ahead: 0.99 / 0.72 |" in text
    found = "0.005 (0.010): fitted 0.000 [0.00, 0.01], unseen 0.000 [0.00, 0.01]"
    assert f"| fsdd | `transport` | `speaker` | all records | {found} |" in text
    assert "for all records, 6 of 6; for records outside the fit, 0 of 0" in text
    assert "3.0 % (0.2 %)" in text
    assert "- fsdd: 0 of 5: flow, obliviator" in text
    assert "; 1 of 5: mute" in text
    assert draw(pools, "unknown", tmp_path / "plane.png")
    assert (tmp_path / "plane.png").read_bytes().startswith(b"\x89PNG")


def test_a_method_that_is_not_told_is_in_both_tables(tmp_path: Path) -> None:
    write_unit(tmp_path, ENTRIES["leace"], "unknown", unit(0))
    for task in ("unknown", "named"):
        assert "| leace | 1 x 1 |" in page(task, gather(task, Store("unknown", tmp_path)))  # type: ignore[arg-type]


def test_a_forecast_is_compared_with_the_records_that_it_is_about() -> None:
    found = known_as(nag=0.2, after=SPEAKER + 0.2 * (1 - SPEAKER))
    assert "for all records, 2 of 3;" in page("unknown", [pooled(unit(known=found))])
    outside = page("unknown", [pooled(unit(known=found, forecast=[forecast() | {"cross_fitted": False}]))])
    assert "for records outside the fit, 2 of 2." in outside  # unseen records are not pooled by 10 here


def test_risks_that_are_clear_in_some_fold_are_named() -> None:
    clear = table_of(RISK, [risk(0.6, least=0.1), risk(0.9, "record", least=0.7)])
    assert pooled(unit(0), unit(1, membership=clear)).clear() == ["membership"]
    assert pooled(unit(membership=table_of(RISK, [risk(0.9, "record", least=0.7)]))).clear() == []


def test_an_empty_store_makes_a_page_that_claims_nothing(tmp_path: Path) -> None:
    pools = gather("named", Store("unknown", tmp_path))
    text = page("named", pools)
    assert ": reached" not in text
    assert "- fsdd, `transport`: **not measured**." in text
    assert "utkface, `" not in text  # it has no named task
    assert not draw(pools, "named", tmp_path / "plane.png")

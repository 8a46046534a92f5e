"""The page on unknown tasks: order of measurements, pooling of folds and keys, and requirements."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.harness import Store
from benchmarks.unknown import cases, measure
from benchmarks.unknown.__main__ import chosen
from benchmarks.unknown.cases import CASES, ENTRIES, FOLDS, KEYS, NEW, Entry, Group, groups, only
from benchmarks.unknown.checks import Check, beside, checks
from benchmarks.unknown.measure import STORE, Bench, folds_of, read, unit_of
from benchmarks.unknown.page import gather, page, points, reached_on
from benchmarks.unknown.picture import draw
from benchmarks.unknown.pooled import exact, mean_utility, measured, people, pool, useful, worst, worst_person
from sordine.data.table import Table
from sordine.errors import SordineError

FSDD = CASES["fsdd"]
SPEAKER, DIGIT = 1 / 6, 0.1


def finding(attribute: str, after: float, setting: str = "A", attacker: str = "mlp", **other: Any) -> dict[str, Any]:
    guess = SPEAKER if attribute == "speaker" else DIGIT
    told = {"attribute": attribute, "role": "", "attacker": attacker, "setting": setting, "before": 1.0}
    return told | {"after": after, "guess": guess, "records": 600} | other


def part(fold: int, key: int, speaker: float, digit: float, setting: str = "ABC", **other: Any) -> dict[str, Any]:
    """One audit of a release of FSDD, made up."""
    told = [finding(a, v, s) for s in setting for a, v in (("speaker", speaker), ("digit", digit))]
    return {
        "fold": fold,
        "part": f"key{key}",
        "settings": list(setting),
        "findings": told,
        "exact": [],
        "classes": {"speaker": 6, "digit": 10},
        "made": {"families": ["mlp"]},
        "fit_core_seconds": 3.0,
    } | other


def whole(speaker: float, digit: float) -> list[dict[str, Any]]:
    return [part(f, k, speaker, digit) for f in range(5) for k in range(5)]


def person(after: float, k: int = 50, knows: str = "channel", setting: str = "A", nag: float = 0.0) -> dict[str, Any]:
    told = {"attribute": "speaker", "unit": "speaker", "k": k, "knows": knows, "setting": setting, "before": 1.0}
    return told | {"after": after, "guess": SPEAKER, "nag": nag, "low": nag - 0.1, "high": nag + 0.1}


def people_of(fold: int, found: list[dict[str, Any]], queries: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    return {"fold": fold, "part": "person", "person": found, "queries": queries or []}


# ------------------------------------------------------------------------------------------------ what is measured


def test_the_new_method_comes_first_and_its_first_fold_before_all() -> None:
    order = list(groups(list(CASES.values()), list(ENTRIES.values()), range(5)))
    new = [g for g in order if g.entry.name == NEW]
    assert order[: len(new)] == new
    assert [g.fold for g in new] == sorted(g.fold for g in new)
    assert {(g.case.name, g.task) for g in new if g.fold == 0} == {(c.name, t) for c in CASES.values() for t in c.tasks}
    later = order[len(new) :]
    assert [g.fold for g in later] == sorted(g.fold for g in later)
    assert len({g.name("key0") for g in order}) == len(order)


def test_a_method_that_is_not_told_is_measured_once() -> None:
    order = list(groups([FSDD], list(ENTRIES.values()), range(1)))
    assert {g.task for g in order if g.entry.name == "leace"} == {"unknown"}
    assert {g.task for g in order if g.entry.name == "substitution"} == {"unknown", "named"}


def test_parts_of_a_group() -> None:
    assert Group(FSDD, "named", ENTRIES["substitution"], 0).parts(3) == ["key0", "person", "key1", "key2"]
    assert Group(FSDD, "unknown", ENTRIES["leace"], 0).parts(5) == ["key0"]
    assert Group(CASES["emodb"], "named", ENTRIES["substitution"], 0).parts(2) == ["key0", "key1"]


def test_other_fields_are_other_files(monkeypatch: pytest.MonkeyPatch) -> None:
    group = Group(FSDD, "unknown", ENTRIES["substitution"], 0)
    before = unit_of(group, "key0")
    monkeypatch.setitem(cases.FIELDS, ("substitution", "fsdd", "unknown"), {"tau": 0.2})
    assert unit_of(group, "key0") != before
    assert group.settings == {"tau": 0.2}


def test_other_features_are_other_files() -> None:
    emodb, flow = CASES["emodb"], ENTRIES["flow"]
    plain = replace(emodb, options={"seconds": "2"})
    names = [Group(case, "unknown", flow, 0).name("key0") for case in (emodb, plain)]
    assert names[0] != names[1]
    assert names[0][:-6] == names[1][:-6]
    moved = replace(emodb, options=dict(reversed(emodb.options.items())))
    assert Group(moved, "unknown", flow, 0).name("key0") == names[0]


@pytest.mark.slow
def test_every_figure_that_is_kept_is_one_that_would_be_measured() -> None:
    made = {
        group.name(part)
        for group in groups(list(CASES.values()), list(ENTRIES.values()), range(FOLDS))
        for part in group.parts(KEYS)
    }
    assert set(STORE.figures) <= made


def test_both_tasks_read_the_same_attributes_in_the_same_order() -> None:
    for case in CASES.values():
        assert {case.policy(task).named for task in case.tasks} == {case.named}


def test_folds_hold_every_record_back_once_and_share_all_classes() -> None:
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


def small(tmp_path: Path) -> Path:
    """A table in the place of FSDD's, whose third attribute nobody reads."""
    rng = np.random.default_rng(1)
    speaker, digit = np.arange(240) % 6, rng.integers(2, size=240)
    x = rng.standard_normal((240, 8)).astype(np.float32)
    x[np.arange(240), speaker] += 6
    x[:, 7] += 6 * digit
    labels = {"speaker": speaker.astype(str), "digit": digit.astype(str), "take": rng.integers(3, size=240).astype(str)}
    Table.of(x, labels).write(tmp_path / "fsdd.parquet")
    return tmp_path


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "SINGLE", {"person": (), "cloud": 0, "families": ("logistic",)})


@pytest.mark.slow
def test_a_group_is_measured_kept_and_not_measured_again(tmp_path: Path, quick: None) -> None:
    results, said = Store("unknown", tmp_path), list[str]()
    bench = Bench(small(tmp_path), 1, results)
    group = Group(FSDD, "unknown", ENTRIES["noise 1"], 0)
    assert bench.missing(group, 2, fresh=False) == ["key0", "key1"]
    bench.measure(group, ["key0", "key1"], said.append)
    assert bench.missing(group, 2, fresh=False) == []
    assert bench.missing(group, 2, fresh=True) == ["key0", "key1"]
    assert Bench(tmp_path, 2, results).missing(group, 2, fresh=False) == ["key1"]  # B and C under its key too
    found = read(FSDD, "unknown", group.entry, results)
    assert [p["settings"] for p in found] == [["A", "B", "C"], ["A"]]
    assert {f["attribute"] for f in found[0]["findings"]} == {"speaker", "digit"}
    assert found[0]["made"]["unseen"] == 48
    assert worst(pool(found)["speaker"]).after > 0.7  # one standard deviation hides little of six
    assert read(FSDD, "named", group.entry, results) == found
    text = page(gather(results))
    assert "| noise, sigma 1 | 1 x 2 * |" in text
    assert "not measured" in text


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


def test_accuracies_are_averaged_before_the_best_attacker_is_taken() -> None:
    one, other = part(0, 0, 0, 0), part(1, 0, 0, 0)
    one["findings"] = [finding("speaker", 0.30, attacker="mlp"), finding("speaker", 0.20, attacker="trees")]
    other["findings"] = [finding("speaker", 0.20, attacker="mlp"), finding("speaker", 0.36, attacker="trees")]
    (figure,) = pool([one, other])["speaker"]
    assert figure.by_after == "trees"
    assert figure.after == pytest.approx(0.28)  # not (.30 + .36) / 2
    assert figure.nag == pytest.approx((0.28 - SPEAKER) / (1 - SPEAKER))


def test_keys_add_no_records_and_folds_do() -> None:
    keys = pool([part(0, k, 0.2, 0.9) for k in range(5)])["speaker"]
    folds = pool([part(f, 0, 0.2, 0.9) for f in range(5)])["speaker"]
    assert [f.records for f in keys] == [600, 600, 600]
    assert {f.setting: f.records for f in folds} == {"A": 3000, "B": 3000, "C": 600}
    wide, narrow = ((f.high or 0) - (f.low or 0) for f in (keys[0], folds[0]))
    assert narrow < 0.6 * wide


def test_leakage_is_the_worst_setting_and_utility_setting_a() -> None:
    made = part(0, 0, 0, 0)
    made["findings"] = [finding("speaker", v, s) for s, v in (("A", 0.2), ("B", 0.4), ("C", 0.3))]
    figures = pool([made])["speaker"]
    assert worst(figures).setting == "B"
    assert useful(figures).after == pytest.approx(0.2)


def test_one_attribute_does_not_make_up_for_another() -> None:
    made = part(0, 0, 0.2, 1.2, "A")
    figures = pool([made])
    assert (useful(figures["digit"]).nag or 0) > 1
    assert mean_utility(figures, ("digit",)) == 1.0
    made["findings"][1]["before"] = DIGIT  # nothing to be read of it: no mean
    assert mean_utility(pool([made]), ("digit",)) is None


def test_what_was_measured_is_counted_by_complete_keys() -> None:
    assert measured([]) == (0, 0, False)
    assert measured(whole(0.2, 0.9)) == (5, 5, True)
    assert measured([part(0, 0, 0, 0), part(0, 1, 0, 0), part(1, 0, 0, 0, "A")]) == (2, 1, False)


def test_the_exact_attack_is_averaged_over_folds_by_records() -> None:
    told = {"attributes": ["speaker"], "kept": [], "on": "unseen", "guess": 0.2, "permuted": 0.3}
    beside = told | {"kept": ["digit"], "accuracy": 0.9, "records": 100}
    parts = [
        part(f, 0, 0, 0, exact=[told | {"accuracy": a, "records": n}, beside])
        for f, a, n in ((0, 0.2, 300), (1, 0.4, 100))
    ]
    assert exact(parts, "speaker")["unseen"].accuracy == pytest.approx(0.25)


def test_persons_are_averaged_over_folds_and_the_worst_knowledge_counts() -> None:
    parts = [
        people_of(f, [person(a, nag=n), person(0.2, knows="draws")]) for f, a, n in ((0, 0.3, 0.16), (1, 0.2, 0.04))
    ]
    read_ = worst_person(people(parts), "speaker", 50)
    assert read_ is not None
    assert (read_.knows, read_.folds) == ("channel", 2)
    assert read_.nag == pytest.approx((0.25 - SPEAKER) / (1 - SPEAKER))
    assert (read_.low, read_.high) == pytest.approx((0.0, 0.2))
    assert worst_person(people(parts), "speaker", 10) is None


# ------------------------------------------------------------------------------------------------ what is reached


def states(made: list[Check], number: int, words: str) -> list[str]:
    return [c.state for c in made if c.number == number and c.what.startswith("fsdd") and words in c.what]


@pytest.mark.parametrize(("speaker", "digit", "said"), [(0.18, 0.92, "reached"), (0.30, 0.92, "not reached")])
def test_leakage_is_decided_by_its_figure(speaker: float, digit: float, said: str) -> None:
    made = checks({("fsdd", "unknown"): whole(speaker, digit)})
    assert states(made, 1, "leakage of speaker") == [said]
    assert states(made, 1, "watched utility") == ["reached"]
    assert {c.state for c in made if c.number == 1 and not c.what.startswith("fsdd")} == {"not measured"}


def test_the_other_method_is_held_against_the_first_line_alone() -> None:
    made = beside({("fsdd", "unknown"): whole(0.18, 0.92)})
    assert states(made, 1, "leakage of speaker") == states(made, 1, "watched utility") == ["reached"]
    assert {c.number for c in made} == {1}
    assert all(c.whole for c in made if c.what.startswith("fsdd"))
    some = beside({("fsdd", "unknown"): [part(fold, 0, 0.18, 0.92) for fold in range(5)]})
    assert not all(c.whole for c in some if c.what.startswith("fsdd"))


def test_watched_utility_under_its_limit_is_not_reached() -> None:
    assert states(checks({("fsdd", "unknown"): whole(0.17, 0.84)}), 1, "watched utility") == ["not reached"]


def test_few_records_are_excused_only_by_an_interval_that_holds_nothing() -> None:
    def few(after: float) -> list[dict[str, Any]]:
        made = part(0, 0, after, 0.9, "A")
        made["findings"][0]["records"] = 60
        return [made]

    excused, leaky = (checks({("fsdd", "unknown"): few(after)}) for after in (0.25, 0.6))
    assert states(excused, 1, "leakage") == ["reached"]
    assert states(leaky, 1, "leakage") == ["not reached"]
    assert any("so far" in c.text for c in excused)
    # What counts as reached by luck's width alone is not to be taken for a figure under the limit.
    assert any(c.text.startswith("over the limit") for c in excused)
    many = checks({("fsdd", "unknown"): whole(0.25, 0.9)})  # the same accuracy on 3,000 records
    assert states(many, 1, "leakage") == ["not reached"]


def test_an_excused_setting_does_not_hide_another_that_falls_short() -> None:
    made = part(0, 0, 0, 0.9, "A")
    made["findings"] += [finding("speaker", 0.25, "B", records=60), finding("speaker", 0.23, "C", records=3000)]
    assert [f.setting for f in pool([made])["speaker"] if worst(pool([made])["speaker"]) == f] == ["B"]
    (line,) = [c for c in checks({("fsdd", "unknown"): [made]}) if "leakage of speaker" in c.what]
    assert line.state == "not reached"
    assert "(scenario C)" in line.what


@pytest.mark.parametrize(("digit", "said"), [(0.99, "reached"), (0.96, "not reached")])
def test_a_named_task_is_kept_to_97_per_cent(digit: float, said: str) -> None:
    assert states(checks({("fsdd", "named"): whole(0.17, digit)}), 2, "utility of digit") == [said]


def test_a_named_task_that_few_records_cannot_resolve() -> None:
    def few(after: float) -> list[dict[str, Any]]:
        made = part(0, 0, 0.17, after, "A")
        made["findings"][1] |= {"records": 60, "before": 0.6}
        return [made]

    assert states(checks({("fsdd", "named"): few(0.55)}), 2, "utility of digit") == ["reached"]
    assert states(checks({("fsdd", "named"): few(0.25)}), 2, "utility of digit") == ["not reached"]


def test_many_queries_under_one_key_gain_nothing_or_the_line_fails() -> None:
    def asked(after: float) -> list[dict[str, Any]]:
        told = {"attribute": "speaker", "queries": 5, "keys": "one", "distinct": 1, "one": 0.2, "guess": SPEAKER}
        return [part(0, 0, 0.2, 0.9), people_of(0, [person(0.2, k=1)], [told | {"after": after}])]

    both = {t: checks({("fsdd", t): asked(a)}) for t, a in (("unknown", 0.2), ("named", 0.3))}  # type: ignore[misc]
    assert states(both["unknown"], 5, "unknown task: many queries") == ["reached"]
    assert states(both["named"], 5, "named task: many queries") == ["not reached"]
    assert states(both["named"], 5, "a person's figure") == ["not measured"]  # in one of two tasks
    every = checks({("fsdd", t): asked(0.2) for t in ("unknown", "named")})  # type: ignore[misc]
    assert states(every, 5, "a person's figure") == ["reached"]


def both(after: float, knows: str = "channel") -> list[dict[str, Any]]:
    return [person(after, knows=knows, setting=s, nag=(after - SPEAKER) * 1.2) for s in "AB"]


def test_fifty_records_without_the_attacker_who_knows_the_modifier_are_not_measured() -> None:
    parts = [*whole(0.17, 0.97), *(people_of(f, both(0.17, "draws")) for f in range(5))]
    assert states(checks({("fsdd", "named"): parts}), 6, "speaker from 50 records") == ["not measured"]


@pytest.mark.parametrize(("after", "said"), [(0.2, "reached"), (0.5, "not reached")])
def test_fifty_records_of_one_person(after: float, said: str) -> None:
    parts = [*whole(0.17, 0.97), *(people_of(f, both(after)) for f in range(5))]
    made = checks({("fsdd", "named"): parts})
    assert states(made, 6, "speaker from 50 records") == [said]
    assert states(made, 6, "utility of digit") == ["reached"]


# ------------------------------------------------------------------------------------------------ page and picture


@pytest.mark.slow
def test_the_page_says_what_is_reached_and_what_is_not(tmp_path: Path) -> None:
    channel_of = {
        "attributes": ["speaker"],
        "kept": [],
        "on": "unseen",
        "accuracy": 0.29,
        "guess": 0.17,
        "permuted": 0.3,
    }
    for fold in range(5):
        for key in range(5):
            write_part(
                tmp_path, ENTRIES[NEW], "unknown", part(fold, key, 0.18, 0.80, exact=[channel_of | {"records": 600}])
            )
        write_part(tmp_path, ENTRIES["leace"], "unknown", part(fold, 0, 0.99, 0.99))
    write_part(tmp_path, ENTRIES[NEW], "unknown", people_of(0, [person(0.2, k=1), person(0.4, nag=0.28)]))
    found = gather(Store("unknown", tmp_path))
    text = page(found)
    assert "- reached: fsdd: leakage of speaker 0.016 [0.00" in text
    assert "- **not reached**: fsdd: watched utility 0.778" in text
    assert "| **transport** | 5 x 5 | 18.0: 0.016" in text
    assert "unseen 29.0 (30.0 permuted)" in text
    assert "| leace | 5 x 1 | 99.0: 0.988" in text
    assert "40.0 (baseline 16.7): 0.280 [0.18, 0.38], A" in text
    missing = text.split("Not measured yet")[1]
    assert "- fsdd, unknown: flow 0 x 0 of 5 x 5, substitution 0 x 0 of 5 x 5, noise 1 0 x 0" in missing
    told = "transport 0 x 0 of 5 x 5, substitution 0 x 0 of 5 x 5, obliviator 0 x 0 of 5 x 1, splince 0 x 0 of 5 x 1"
    assert f"- fsdd, named: {told}\n" in missing
    shown = {p.entry: p for p in points(found) if p.task == "unknown"}
    assert (shown[NEW].leakage, shown[NEW].utility) == pytest.approx((0.016, 0.7 / 0.9))
    draw(list(shown.values()), tmp_path / "plane.png")
    assert (tmp_path / "plane.png").read_bytes().startswith(b"\x89PNG")


def test_a_data_set_is_whole_where_all_its_lines_are_reached_and_measured() -> None:
    def line(case: str, state: Any = "reached", measured: bool = True) -> Check:
        return Check(1, f"{case}: leakage: less", state, measured)

    assert reached_on([line("a"), line("b"), line("a"), line("b", "not reached")]) == "a"
    assert reached_on([line("a", measured=False), line("b"), line("c", "not measured")]) == "b"
    assert reached_on([]) == ""


@pytest.mark.slow
def test_an_empty_folder_makes_a_page_that_claims_nothing(tmp_path: Path) -> None:
    text = page(gather(Store("unknown", tmp_path)))
    assert "- reached" not in text
    assert "- **not measured**" in text
    assert f"Nothing of `{NEW}` has been measured yet." in text
    assert points({}) == []


def write_part(folder: Path, entry: Entry, task: Any, made: dict[str, Any]) -> None:
    unit_of(Group(FSDD, task, entry, made["fold"]), made["part"], Store("unknown", folder)).write(made)

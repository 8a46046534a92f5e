"""Sweeps: points attacked together, resumed sweeps, the page and the command."""

from __future__ import annotations

import errno
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sordine.attacks.budget import Budget
from sordine.cli.app import main
from sordine.cli.sweep import curve_lines
from sordine.data.files import atomic
from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.evaluation.audit import audit
from sordine.evaluation.options import AuditOptions
from sordine.keys import Key
from sordine.methods.fit import fit as fit_table
from sordine.methods.registry import load
from sordine.models.modifier import Modifier
from sordine.policy import Policy
from sordine.run import Run
from sordine.workflow import leakage_limit as search
from sordine.workflow import stages
from sordine.workflow import sweep as sweeping
from sordine.workflow.sweep import sweep
from sordine.workflow.transform import transform
from tests.evaluation.test_report import read

POLICY = Policy(("speaker",), ("word",), ())
FAST = Budget(families=("logistic", "neighbours"))
SMALL = {"substitutes": 60, "hidden": 16, "size": 8, "epochs": 10, "batch": 64}


def people(n: int = 320, seed: int = 0) -> Table:
    """Records in which the speaker moves the first half of the columns and the word the second."""
    rng = np.random.default_rng(seed)
    speaker, word = rng.integers(0, 3, n), rng.integers(0, 2, n)
    x = rng.normal(size=(n, 8)).astype(np.float32)
    x[:, :4] += 3 * np.eye(4)[speaker]
    x[:, 4:] += 3 * np.eye(4)[word]
    split = np.where(np.arange(n) % 4 == 0, "test", "train")
    return Table.of(x, {"speaker": speaker, "word": word, "room": ["a", "b"] * (n // 2)}, split=split)


def made(folder: Path, ladder: list[search.Candidate], **more: Any) -> Any:
    run = Run(key=Key.of_seed(1), log=more.pop("log", lambda line: None), workers=1)
    return sweep(more.pop("table", people()), POLICY, ladder, run, folder=folder, budget=FAST, **more)


@pytest.mark.slow
def test_a_sweep_finds_what_fit_transform_and_audit_find(tmp_path: Path) -> None:
    ladder = [*search.candidates("noise", along=("sigma", (5.0, 1.0))), *search.candidates("leace")]
    table, key = people(160), Key.of_seed(1)
    found, points = made(tmp_path, ladder, table=table)
    assert (found.attribute, found.utility) == ("speaker", ("word",))
    assert [(c.method, [p.settings.get("sigma") for p in c.points]) for c in found.curves] == [
        ("noise", [1.0, 5.0]),
        ("leace", [None]),
    ]
    for point, candidate in zip(points, ladder, strict=True):
        modifier = fit_table(table, POLICY, candidate.method, run=Run(key=key))
        alone = audit(
            table,
            transform(modifier, table, key),
            POLICY,
            modifier=modifier,
            key=key,
            budget=replace(FAST, **sweeping.LEFT_OUT),
            options=AuditOptions(pretrained=False),
            run=Run(workers=1),
        )
        for one, other in zip(point.report.headlines, alone.headlines, strict=True):
            assert one == other
        assert point.report.findings == alone.findings
        assert point.report.verdict.level == alone.verdict.level


@pytest.mark.slow
def test_finished_points_are_kept_and_others_are_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fitted: list[Any] = []
    real = fit_table
    monkeypatch.setattr("sordine.workflow.halves.fit", lambda t, p, m, run: fitted.append(m) or real(t, p, m, run=run))
    first, _ = made(tmp_path, search.candidates("noise", along=("sigma", (5.0, 1.0))))
    assert len(fitted) == 2
    again, _ = made(tmp_path, search.candidates("noise", along=("sigma", (5.0, 1.0))))
    assert (len(fitted), again) == (2, first)
    more, _ = made(tmp_path, search.candidates("noise", along=("sigma", (5.0, 3.0, 1.0))))
    assert [m.sigma for m in fitted] == [5.0, 1.0, 3.0]
    assert {p.name for c in first.curves for p in c.points} < {p.name for c in more.curves for p in c.points}
    made(tmp_path, search.candidates("noise", along=("sigma", (5.0, 1.0))), table=people(seed=1))
    assert len(fitted) == 5, "other records are another sweep"


@pytest.mark.slow
def test_a_sweep_continues_after_it_was_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ladder = search.candidates("noise", along=("sigma", (5.0, 1.0)))
    count: list[int] = []

    def dies(*given: Any, **more: Any) -> Any:
        count.append(1)
        if len(count) == 2:
            raise KeyboardInterrupt
        return audit(*given, **more)

    monkeypatch.setattr(sweeping, "audit", dies)
    with pytest.raises(KeyboardInterrupt):
        made(tmp_path, ladder)
    monkeypatch.setattr("sordine.workflow.halves.fit", lambda *given, **more: pytest.fail("both were fitted"))
    found, _ = made(tmp_path, ladder)
    assert (len(found.curves[0].points), len(count)) == (2, 3), "the first report was kept"


@pytest.mark.slow
def test_every_point_is_what_fit_gives(tmp_path: Path) -> None:
    ladder = search.candidates("substitution", SMALL, ("entropy_weight", (0.02, 0.9)))
    _, points = made(tmp_path, ladder)
    for point, candidate in zip(points, ladder, strict=True):
        alone = fit_table(people(), POLICY, candidate.method, run=Run(key=Key.of_seed(1))).state_dict()
        swept = load(point.modifier).state_dict()
        assert all(torch.equal(swept[name], alone[name]) for name in alone)


def test_a_point_is_of_every_record_and_not_only_of_the_attacked_ones() -> None:
    table, run = people().with_split(POLICY, Key.of_seed(1)), Run(key=Key.of_seed(1))
    given = sweeping.fingerprint_of(table, POLICY, run)
    assert sweeping.fingerprint_of(replace(table, source="elsewhere"), POLICY, run) == given
    x, y = table.x.copy(), table.y["word"].copy()
    x[-1, 0] += 1
    y[-1] = 1 - y[-1]
    others = [
        (table.with_x(x), POLICY, run),
        (replace(table, y={**table.y, "word": y}), POLICY, run),
        (replace(table, ids=np.array([f"r{i}" for i in table.ids])), POLICY, run),
        (replace(table, split=~table.split), POLICY, run),  # type: ignore[operator]
        (table, Policy(("word",), ("speaker",), ()), run),
        (table, POLICY, replace(run, seed=1)),
        (table, POLICY, replace(run, key=Key.of_seed(2))),
    ]
    assert len({given, *(sweeping.fingerprint_of(*other) for other in others)}) == 8


@pytest.mark.slow
def test_without_a_preserved_attribute_the_watched_ones_are_the_utility(tmp_path: Path) -> None:
    policy = Policy(("speaker",), (), ("word",))
    ladder = search.candidates("noise", along=("sigma", (5.0, 1.0)))
    found, _ = sweep(people(), policy, ladder, folder=tmp_path, budget=FAST)
    assert found.utility == ("word",)
    assert any("watched" in note for note in found.notes)
    with pytest.raises(SordineError, match="with -s"):
        sweep(people(), Policy((), ("word",)), ladder, folder=tmp_path, budget=FAST)


def test_without_any_other_attribute_the_neighbours_are_the_utility(tmp_path: Path) -> None:
    ladder = search.candidates("noise", along=("sigma", (5.0, 0.5)))
    found, points = sweep(people(200), Policy(("speaker",), (), ()), ladder, folder=tmp_path, budget=FAST)
    assert found.utility == ("neighbours kept (k = 10)",)
    weak, strong = found.curves[0].points
    assert (weak.settings["sigma"], strong.settings["sigma"]) == (0.5, 5.0)
    assert weak.utility > strong.utility + 0.2
    assert "utility" in points[0].report.sections
    assert "membership" not in points[0].report.sections


@pytest.mark.parametrize(("side", "what"), [(True, "train"), (False, "test")])
def test_a_side_without_a_label_is_refused_before_anything_is_read(tmp_path: Path, side: bool, what: str) -> None:
    table = people(80)
    bare = replace(table, y={**table.y, "speaker": np.where(table.split == side, -1, table.y["speaker"])})
    with pytest.raises(SordineError, match=f"no {what} record has a label of 'speaker'"):
        sweep(bare, POLICY, search.candidates("noise", {}, ("sigma", [1.0, 2.0])), folder=tmp_path / "s", budget=FAST)
    assert not (tmp_path / "s").exists()


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "t.parquet"
    people().write(path)
    return path


def command(table: Path, *more: str) -> list[str]:
    page = str(table.parent / "sweep.html")
    return [
        "sweep",
        str(table),
        "-s",
        "speaker",
        "-p",
        "word",
        "--budget",
        "quick",
        "--workers",
        "1",
        "-o",
        page,
        *more,
    ]


@pytest.mark.slow
def test_the_command_makes_a_page_the_figures_and_the_modifiers(
    table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = table.parent
    words = ["-m", "noise", "-m", "leace", "--points", "3"]
    words += ["--json", str(folder / "sweep.json"), "--keep", str(folder / "kept")]
    assert main(command(table, *words)) == 0
    said = capsys.readouterr().out
    assert "leakage of speaker against utility (word)" in said
    assert re.search(r"  [* ] noise, sigma 30: leakage [\d.]+\s%", said)
    assert "* " in said.split("is safe")[1]
    assert sorted(p.name for p in folder.iterdir()) == ["kept", "sweep.html", "sweep.json", "sweep.key", "t.parquet"]
    page = read((folder / "sweep.html").read_text(encoding="utf-8"))
    assert page is not None
    figures = json.loads((folder / "sweep.json").read_text(encoding="utf-8"))
    assert [(p["method"], p["value"]) for p in figures["points"]] == [
        ("noise", 30.0),
        ("noise", 2.0),
        ("noise", 0.3),
        ("leace", None),
    ]
    assert [c["method"] for c in figures["comparison"]["curves"]] == ["noise", "leace"]
    kept = sorted(p.name for p in (folder / "kept").iterdir())
    assert kept == ["leace", "noise-sigma-0.3", "noise-sigma-2.0", "noise-sigma-30.0"]
    assert load(folder / "kept" / "noise-sigma-2.0" / "modifier").card.fields["sigma"] == 2.0
    # A kept modifier's report stands beside others.
    assert main(["compare", *(str(folder / "kept" / name / "report.json") for name in kept[:2])]) == 0


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (["-m", "noises"], "noises"),
        (["-m", "noise", "--along", "sigma="], "--along"),
        (["-m", "noise", "--along", "kappa=1,2"], "'kappa'"),
        (["-m", "noise", "--set", "sigma=1"], "'sigma'"),
        (["-m", "noise", "--budget", "lavish"], "'lavish'"),
        (["-m", "noise", "--json", "SAME"], "both name"),
        (["-m", "masking"], "pictures"),
    ],
)
def test_a_wrong_call_is_refused_in_one_line(
    table: Path, capsys: pytest.CaptureFixture[str], more: list[str], why: str
) -> None:
    more = [word.replace("SAME", str(table.parent / "sweep.html")) for word in more]
    words = command(table, *more)
    assert main(words) == 2
    error = capsys.readouterr().err.strip()
    assert why in error
    assert error.count("\n") == 0
    assert [p.name for p in table.parent.iterdir()] == ["t.parquet"]


@pytest.mark.slow
def test_an_existing_page_is_refused_and_kept(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = table.parent / "sweep.html"
    page.write_text("mine", encoding="utf-8")
    assert main(command(table, "-m", "leace")) == 2
    assert "--force" in capsys.readouterr().err
    assert page.read_text(encoding="utf-8") == "mine"
    assert main(command(table, "-m", "leace", "--force")) == 0
    assert "speaker" in page.read_text(encoding="utf-8")


# ------------------------------------------------------------------------------------------------ settings that fail


def fails(monkeypatch: pytest.MonkeyPatch, at: float, error: Exception) -> list[float]:
    """Fits of noise fail at one sigma; the sigmas that were fitted."""
    real, fitted = fit_table, []

    def fit(table: Table, policy: Policy, method: Any, run: Run) -> Modifier:
        if method.sigma == at:
            raise error
        fitted.append(method.sigma)
        return real(table, policy, method, run=run)

    monkeypatch.setattr("sordine.workflow.halves.fit", fit)
    return fitted


@pytest.mark.slow
@pytest.mark.parametrize(
    ("error", "why"),
    [
        (SordineError("sigma is too much"), "sigma is too much"),
        (FloatingPointError("epoch 2: loss a is no longer finite"), "training diverged (epoch 2: loss a"),
    ],
)
def test_a_setting_that_fails_is_named_and_the_others_are_measured(
    table: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, error: Exception, why: str
) -> None:
    folder = table.parent
    fitted = fails(monkeypatch, 1.0, error)
    words = command(table, "-m", "noise", "--along", "sigma=5,1,0.5", "--json", str(folder / "sweep.json"))
    assert main(words) == 2
    said, line = capsys.readouterr()
    assert line.count("\n") == 1
    assert "1 of 3 points" in line
    assert f"noise, sigma 1: {why}" in line
    assert f"missing: noise, sigma 1: {why}" in said
    assert len(re.findall(r"^  [* ] noise, sigma [\d.]+: leakage", said, re.MULTILINE)) == 2
    page = " ".join("".join(read((folder / "sweep.html").read_text(encoding="utf-8")).words).split())
    assert f"No point of noise, sigma 1: {why}" in page
    figures = json.loads((folder / "sweep.json").read_text(encoding="utf-8"))
    assert [p["value"] for p in figures["points"]] == [5.0, 0.5]
    assert figures["comparison"]["failed"][0]["name"] == "noise, sigma 1"
    # The key and the points stay: what is asked for next goes on from them, and tidies up when all is there.
    monkeypatch.undo()
    real = fit_table
    monkeypatch.setattr(
        "sordine.workflow.halves.fit", lambda t, p, m, run: fitted.append(m.sigma) or real(t, p, m, run=run)
    )
    assert main([*words, "--force"]) == 0
    assert fitted == [5.0, 0.5, 1.0]
    assert sorted(p.name for p in folder.iterdir()) == ["sweep.html", "sweep.json", "sweep.key", "t.parquet"]


@pytest.mark.slow
def test_a_fault_of_ours_loses_no_finished_fit(
    table: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fails(monkeypatch, 1.0, RuntimeError("a shape is wrong"))
    words = command(table, "-m", "noise", "--along", "sigma=5,1")
    assert main(words) == 3
    assert "continues" in capsys.readouterr().out
    assert (table.parent / "sweep.key").is_file()
    monkeypatch.undo()
    fitted = fails(monkeypatch, 5.0, RuntimeError("what was fitted is fitted again"))
    assert main(command(table, "-m", "noise", "--along", "sigma=5,2")) == 0
    assert fitted == [2.0]


@pytest.mark.slow
def test_numbers_that_are_none_are_not_attacked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = Modifier.release

    def release(self: Any, x: Any, ids: Any, key: Key, **more: Any) -> Any:
        out, drawn = real(self, x, ids, key, **more)
        if self.card.fields["sigma"] == 5.0:
            out = out.copy()
            out[:3] = np.nan
        return out, drawn

    monkeypatch.setattr(Modifier, "release", release)
    found, points = made(tmp_path, search.candidates("noise", along=("sigma", (5.0, 1.0))))
    assert [p.candidate.value for p in points] == [1.0]
    assert [(f.name, f.why) for f in found.failed] == [
        ("noise, sigma 5", "3 of 320 released records contain NaN or infinity")
    ]


@pytest.mark.slow
def test_how_long_the_others_will_take_is_said_after_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(sweeping, "LONG", 0)
    made(tmp_path, search.candidates("noise", along=("sigma", (5.0, 2.0, 1.0))), log=said.append)
    (line,) = [line for line in said if "more fits take about" in line]
    assert re.fullmatch(r"noise, sigma 5: fitted in \d+ seconds?; 2 more fits take about \d+ seconds?", line)


def test_a_full_disk_ends_the_sweep(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[float] = []

    def fit(t: Any, p: Any, m: Any, run: Any) -> Modifier:
        tried.append(m.sigma)
        with atomic(tmp_path / "checkpoint"):
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("sordine.workflow.halves.fit", fit)
    with pytest.raises(SordineError, match=r"cannot write .*checkpoint: No space left on device"):
        made(tmp_path, search.candidates("noise", along=("sigma", (5.0, 1.0))))
    assert tried == [5.0], "no setting's fault"


@pytest.mark.slow
def test_where_nothing_can_be_compared_the_setting_that_failed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails(monkeypatch, 5.0, SordineError("refused"))

    def nothing(*given: Any, **more: Any) -> Any:
        raise SordineError("nothing to compare")

    monkeypatch.setattr(sweeping, "compare", nothing)
    with pytest.raises(SordineError, match=r"^nothing to compare; failed points: noise, sigma 5: refused$"):
        made(tmp_path, search.candidates("noise", along=("sigma", (5.0, 1.0))))


# ------------------------------------------------------------------------------- the folder, and places to write


def tree(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*"))


LITTLE = ["-m", "noise", "--family", "logistic", "--along", "sigma=5"]


@pytest.mark.parametrize("held", ["sweep.work/stages/extract.json", "sweep.work/modifier.key", "sweep.work"])
def test_what_a_sweep_did_not_make_is_neither_used_nor_removed(
    table: Path, capsys: pytest.CaptureFixture[str], held: str
) -> None:
    mine = table.parent / held
    mine.parent.mkdir(parents=True, exist_ok=True)
    mine.write_text("mine", encoding="utf-8")
    before = tree(table.parent)
    assert main(command(table, *LITTLE)) == 2
    error = capsys.readouterr().err.strip()
    assert "-o" in error
    assert error.count("\n") == 0
    assert tree(table.parent) == before


@pytest.mark.slow
def test_what_was_laid_into_a_sweeps_folder_stays(
    table: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fails(monkeypatch, 1.0, RuntimeError("a shape is wrong"))
    assert main(command(table, "-m", "noise", "--family", "logistic", "--along", "sigma=5,1")) == 3
    work = table.parent / "sweep.work"
    assert (work / stages.MARK).is_file()
    monkeypatch.undo()
    (work / "points" / "mine").mkdir()
    (work / "points" / "mine" / "report.json").touch()
    (work / "notes.txt").touch()
    assert main(command(table, *LITTLE)) == 0
    assert str(work) in capsys.readouterr().out
    assert tree(work) == ["notes.txt", "points", "points/mine", "points/mine/report.json"]


def test_two_sweeps_are_not_at_work_in_one_folder(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    work = table.parent / "sweep.work"
    with stages.folder_of_sweep(work):
        assert main(command(table, *LITTLE)) == 2
        assert str(work) in capsys.readouterr().err
        assert set(tree(work)) == {stages.MARK, stages.LOCK}


@pytest.mark.parametrize(
    ("more", "options"),
    [
        ("--keep D/sweep.work/points2", ["--keep"]),
        ("--json D/sweep.work/fig.json", ["--json"]),
        ("--keep D/sweep.work", ["--keep"]),
        ("--json D/sweep.work", ["--json"]),
        ("--key D/sweep.work/a.key", ["--key"]),
        ("-o D/k.key", ["-o", "key"]),
        ("--json D/sweep.key", ["--json", "key"]),
        ("--keep D/sweep.key", ["--keep", "key"]),
        ("--json D/sweep.html/x", ["--json", "-o"]),
        ("--keep D/kept -o D/kept/s.html", ["-o", "--keep"]),
    ],
)
def test_places_that_overlap_are_refused_before_any_work(
    table: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    more: str,
    options: list[str],
) -> None:
    monkeypatch.setattr(Table, "read", lambda *given, **more: pytest.fail("the table was read"))
    folder = str(table.parent)
    assert main(command(table, *LITTLE, *(w.replace("D/", f"{folder}/") for w in more.split()))) == 2
    error = capsys.readouterr().err.strip()
    assert all(option in error for option in options)
    assert error.count("\n") == 0
    assert tree(table.parent) == ["t.parquet"]


@pytest.mark.parametrize("more", [["--key", "nokey"], ["--seed", "-1"], ["--device", "foo"]])
def test_a_sweep_refused_before_the_first_fit_leaves_nothing(
    table: Path, capsys: pytest.CaptureFixture[str], more: list[str]
) -> None:
    assert main(command(table, *LITTLE, *more, "-o", str(table.parent / "new" / "sweep.html"))) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert tree(table.parent) == ["t.parquet"]


@pytest.mark.slow
def test_a_damaged_point_is_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ladder = search.candidates("noise", along=("sigma", (5.0, 3.0, 1.0)))
    first, points = made(tmp_path, ladder)
    fitted = fails(monkeypatch, 3.0, RuntimeError("an undamaged point is fitted again"))
    weights = points[0].modifier / "modifier.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])  # its report is whole
    reports = [p.modifier.with_name("report.json") for p in points]
    reports[1].write_text("{}", encoding="utf-8")
    (points[2].modifier / "modifier.json").write_text("{", encoding="utf-8")
    reports[2].unlink()
    assert made(tmp_path, ladder)[0] == first
    assert fitted == [5.0, 1.0]
    # A report of other weights is not used.
    reports[0].write_bytes(reports[1].read_bytes())
    again, _ = made(tmp_path, ladder)
    assert (again, fitted) == (first, [5.0, 1.0])


def test_the_lines_say_what_leaks_and_each_name_once(tmp_path: Path) -> None:
    found, points = made(tmp_path, search.candidates("noise", along=("sigma", (1.0,))))
    assert found.curves[0].points[0].level == "leaks"
    head, line = curve_lines(found)
    assert "not that this one is safe" in head
    assert re.fullmatch(r"  \* noise, sigma 1: leakage .*, utility .*: leaks", line)
    (curve,) = found.curves
    holds = replace(found, curves=(replace(curve, points=(replace(curve.points[0], level="holds"),)),))
    assert not curve_lines(holds)[1].endswith("leaks")
    # A leak that no figure of the plot shows is named.
    report = points[0].report
    weak = tuple(replace(h, low=0.0) for h in report.headlines)
    hidden = replace(report, headlines=weak, verdict=replace(report.verdict, title="The best attack infers `speaker`"))
    (note,) = sweeping._notes([replace(points[0], report=hidden)], FAST)[1:]
    assert note.startswith("The best attack infers `speaker`")
    assert note.endswith(": noise, sigma 1.")

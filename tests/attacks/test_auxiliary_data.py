"""Auxiliary data: an attacker with labelled records of its own; and people that are on one side only."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from sordine.attacks.auxiliary_data import add_auxiliary_data
from sordine.attacks.budget import Budget
from sordine.attacks.runner import AttackTask, run_attacks
from sordine.attacks.scenarios import AttackData, splits, unknown_classes
from sordine.cli.app import main
from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.evaluation.audit import audit
from sordine.evaluation.options import AuditOptions
from sordine.keys import Key
from sordine.methods.fit import fit
from sordine.methods.registry import make
from sordine.models.modifier import Modifier
from sordine.policy import Policy
from sordine.run import Run
from sordine.workflow.job import AuditPart, read_job

KEY = Key.of_seed(3)
POLICY = Policy(("who",), (), ())
FAST = Budget.named("quick", families=("logistic",), cloud=0)


def records(n: int, seed: int, *, width: int = 60, first: str = "r", people: int = 3) -> Table:
    """Records around a person's centre, faint in many numbers: more training records raise the accuracy."""
    rng = np.random.default_rng(seed)
    who = rng.integers(0, people, n)
    centres = 0.22 * np.random.default_rng(99).standard_normal((people, width))
    x = (centres[who] + rng.standard_normal((n, width))).astype(np.float32)
    y = {"who": [f"p{w}" for w in who], "sex": [f"s{w % 2}" for w in who]}
    return Table.of(x, y, ids=[f"{first}{i}" for i in range(n)])


def as_they_are(table: Table) -> Modifier:
    return fit(table, POLICY, make("nothing", {}), run=Run("cpu", 0, KEY))


def scene_of(table: Table, fitted: np.ndarray, group: np.ndarray | None = None) -> AttackData:
    return AttackData(
        table.flat(), table.ids, dict(table.y), {a: len(c) for a, c in table.classes.items()}, fitted, group
    )


def test_auxiliary_records_are_training_records_of_every_split() -> None:
    t, own = records(200, 0), records(90, 1, first="own")
    fitted = np.arange(200) % 2 == 0
    scene = scene_of(t, fitted, np.arange(200) // 4)
    (before, after), told = add_auxiliary_data((scene, scene), t, own, as_they_are(t), 1000)
    assert "90 labelled records" in told[0]
    assert len(before.x) == len(before.ids) == len(before.labels["who"]) == 290
    assert np.array_equal(before.x[200:], own.flat())
    assert np.array_equal(after.x[200:], own.flat())
    assert np.array_equal(before.x[:200], t.flat())
    assert before.digest != scene.digest
    held = np.arange(200, 290)
    for setting, side in (("A", ~fitted), ("B", ~fitted), ("C", fitted)):
        plan, plain = (splits(s, "who", setting, 0, 3) for s in (before, scene))  # type: ignore[arg-type]
        assert sorted(np.concatenate([t.test for t in plan])) == list(np.flatnonzero(side))
        for mine, owners in zip(plan, plain, strict=True):
            assert np.array_equal(mine.validation, owners.validation)
            assert np.array_equal(mine.test, owners.test)
            more = held if setting != "C" else held[:0]
            assert sorted(mine.train) == sorted([*owners.train, *more])


def test_auxiliary_records_raise_accuracy() -> None:
    t, own = records(160, 0), records(3000, 1, first="own")
    scene = scene_of(t, np.arange(160) % 2 == 0)
    (armed, _), _ = add_auxiliary_data((scene, scene), t, own, as_they_are(t), 5000)
    for setting in ("A", "B"):
        piece = AttackTask("who", "logistic", setting, 0)  # type: ignore[arg-type]
        few, many = (run_attacks(s, [piece])[piece] for s in (scene, armed))
        assert np.array_equal(few.truth, many.truth)
        assert (many.predicted == many.truth).mean() > (few.predicted == few.truth).mean() + 0.1
    piece = AttackTask("who", "logistic", "C", 0)
    same = [run_attacks(s, [piece])[piece].predicted for s in (scene, armed)]
    assert np.array_equal(*same)


def test_the_audit_uses_them_and_notes_it() -> None:
    t, own = records(160, 0), records(3000, 1, first="own")
    split = replace(t, split=np.arange(160) % 2 == 0)
    modifier = as_they_are(split)
    given = {"modifier": modifier, "key": KEY, "budget": FAST, "pretrained": False}
    few = audit(split, replace(split, y={}), POLICY, **given)
    many = audit(split, replace(split, y={}), POLICY, options=AuditOptions(more=own), **given)
    assert any("3,000 labelled records more" in note for note in many.made["notes"])
    assert not any("labelled records more" in note for note in few.made["notes"])
    assert (many.made["held_by_attackers"], few.made["held_by_attackers"]) == (3000, 0)
    a, b = (next(f for f in r.findings if f.setting == "A") for r in (few, many))
    assert b.before > a.before + 0.1, "the figure to compare with gains as well"
    assert b.after > a.after + 0.1


def test_auxiliary_records_are_released_under_another_key() -> None:
    t = records(120, 0)
    noisy = fit(t, POLICY, make("noise", {"sigma": 1.0}), run=Run("cpu", 0, KEY))
    own = records(80, 1)  # the same ids: under the owner's key the noise would be the owner's
    scene = scene_of(t, np.arange(120) % 2 == 0)
    (_, after), _ = add_auxiliary_data((scene, scene), t, own, noisy, 1000)
    owners, _ = noisy.release(own.x, own.ids, KEY)
    assert not np.isclose(after.x[120:], owners).any(1).all()
    assert np.abs(after.x[120:] - own.x).mean() > 0.1


def test_classes_match_by_name_and_records_are_limited() -> None:
    t = records(60, 0)
    own = Table.of(records(50, 1).x, {"who": ["p2", "stranger"] * 25}, ids=[f"o{i}" for i in range(50)])
    scene = scene_of(t, np.arange(60) % 2 == 0)
    (armed, _), told = add_auxiliary_data((scene, scene), t, own, as_they_are(t), 20)
    assert len(armed.x) == 80
    assert "learns from 20 of them" in told[0]
    assert set(armed.labels["who"][60:]) == {-1, t.classes["who"].index("p2")}
    assert (armed.labels["sex"][60:] == -1).all()
    assert any("no label of `sex`" in line for line in told)


def test_unusable_auxiliary_records_are_errors() -> None:
    t = records(60, 0)
    scene, modifier = scene_of(t, np.arange(60) % 2 == 0), as_they_are(t)
    with pytest.raises(SordineError, match="need the modifier"):
        add_auxiliary_data((scene, scene), t, records(30, 1), None, 99)
    with pytest.raises(SordineError, match="record 'r7' is one of the audited records"):
        add_auxiliary_data((scene, scene), t, t.take(np.array([7, 8])), modifier, 99)
    with pytest.raises(SordineError, match=r"shape \(5,\).*fitted on \(60,\)"):
        add_auxiliary_data((scene, scene), t, records(30, 1, width=5), modifier, 99)
    with pytest.raises(SordineError, match="none of the attributes"):
        add_auxiliary_data((scene, scene), t, replace(records(30, 1), y={}), modifier, 99)


# People that are on one side of the split only.


def in_groups(people: int = 12, each: int = 20) -> tuple[Table, np.ndarray]:
    """Every person on one side of the split: eight of twelve on the fitted one."""
    rng = np.random.default_rng(0)
    who = np.repeat(np.arange(people), each)
    x = rng.standard_normal((len(who), 6)).astype(np.float32)
    x[:, 0] += 3 * (who % 2)
    x[:, 1] += who
    y = {"who": who, "sex": who % 2, "town": np.where(who < 3, 0, np.where(who < 10, 1, 2))}
    t = Table.of(x, y, ids=[f"r{i}" for i in range(len(who))], group=who)
    return replace(t, split=who < 8), who


def test_groups_on_one_side_leave_shared_classes_to_be_read() -> None:
    t, who = in_groups()
    assert t.split is not None
    scene = scene_of(t, t.split, t.group)
    (plan,) = splits(scene, "sex", "A", 0, 3)
    assert not set(who[plan.test]) & set(who[np.concatenate([plan.train, plan.validation])])
    assert not set(who[plan.validation]) & set(who[plan.train]), "people to choose by are new, too"
    piece = AttackTask("sex", "logistic", "A", 0)
    read = run_attacks(scene, [piece])[piece]
    assert (read.predicted == read.truth).mean() > 0.85
    assert unknown_classes(scene, "sex") is None


@pytest.mark.slow
def test_new_people_cannot_be_named_and_the_audit_says_so() -> None:
    t, _ = in_groups()
    assert t.split is not None
    scene = scene_of(t, t.split, t.group)
    why = splits(scene, "who", "A", 0, 3)
    assert isinstance(why, str)
    assert "no class is on both sides" in why
    assert "verification" in why
    assert unknown_classes(scene, "who") is None, "that some are new would say too little"
    some = unknown_classes(scene, "town")
    assert some is not None
    assert "1 of the 2 classes" in some
    assert "40 of 80" in some
    policy = Policy(("who",), (), ("town", "sex"))
    found = audit(t, replace(t, y={}, group=None), policy, budget=FAST, options=AuditOptions(pretrained=False))
    notes = found.made["notes"]
    assert any("Scenario A is left out for `who`: no class is on both sides" in note for note in notes)
    assert some in notes
    assert {f.setting for f in found.findings if f.attribute == "who"} == {"B", "C"}
    assert next(f for f in found.findings if f.attribute == "sex" and f.setting == "A").before > 0.85


# On the command line and in job files.


def test_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    t, own, m, x, j = (str(tmp_path / name) for name in ("t.parquet", "own.parquet", "m", "x.parquet", "r.json"))
    records(160, 0).write(t)
    records(400, 1, first="own").write(own)
    assert main(["fit", t, "-s", "who", "-m", "nothing", "-o", m]) == 0
    assert main(["transform", m, t, "-o", x]) == 0
    quick = ["--budget", "quick", "--family", "logistic", "--setting", "A", "--no-pretrained", "--workers", "1"]
    capsys.readouterr()
    assert main(["audit", t, x, "--modifier", m, *quick, "--more", own, "--json", j]) == 0
    capsys.readouterr()
    report = json.loads(Path(j).read_text())
    assert "--budget quick" in report["made"]["command"]
    assert "--more own.parquet" in report["made"]["command"]
    assert any("400 labelled records more" in note for note in report["made"]["notes"])
    for wrong, told in (
        (["audit", t, x, "-s", "who", "--more", own], "--modifier"),
        (["audit", t, x, "-s", "who", "--budget", "thorough"], "'thorough'"),
        (["audit", t, x, "--modifier", m, *quick, "--person", "who"], "--budget standard"),
        (["audit", t, x, "--modifier", m, *quick[2:], "--person", "whom"], "'who'"),
        (["audit", t, x, "--modifier", m, *quick, "--more", t], "is one of the audited records"),
        (["audit", t, x, "--modifier", m, *quick, "--more", str(tmp_path / "no.parquet")], "does not exist"),
    ):
        assert main(wrong) == 2
        line = capsys.readouterr().err
        assert told in line
        assert line.count("\n") == 1


def test_in_a_job_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records(160, 0).write(tmp_path / "t.parquet")
    records(400, 1, first="own").write(tmp_path / "own.parquet")
    head = "source: t.parquet\npolicy: {suppress: who}\nmethod: nothing\nout: out\nrelease: false\n"
    path = tmp_path / "job.yaml"
    path.write_text(head + "audit: {budget: thorough}\n")
    with pytest.raises(SordineError, match=r"job.yaml: audit.budget: "):
        read_job(path)
    path.write_text(head + "audit: {more: no.parquet}\n")
    with pytest.raises(SordineError, match=r"audit.more: .*no.parquet does not exist"):
        read_job(path)
    path.write_text(head + "audit: {budget: quick, person: who}\n")
    assert main(["run", str(path)]) == 2
    assert not (tmp_path / "out").exists()
    path.write_text(head + "audit: {budget: quick, settings: A, pretrained: false, more: own.parquet}\n")
    asked = read_job(path).audit
    assert isinstance(asked, AuditPart)
    assert asked.more == tmp_path / "own.parquet"
    assert main(["run", str(path)]) == 0
    capsys.readouterr()
    made = json.loads((tmp_path / "out" / "report.json").read_text())["made"]
    assert made["families"] == ["logistic", "neighbours"]
    assert made["budget"] == "quick"
    assert any("400 labelled records more" in note for note in made["notes"])
    assert main(["run", str(path)]) == 0
    assert "audit" in capsys.readouterr().out
    records(500, 2, first="own").write(tmp_path / "own.parquet", force=True)
    assert main(["run", str(path)]) == 0
    notes = json.loads((tmp_path / "out" / "report.json").read_text())["made"]["notes"]
    assert any("500 labelled records more" in note for note in notes), "other records are another audit"

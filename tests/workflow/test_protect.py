"""Protect and inspect: the extractor that suits a source, a job from a few arguments, and what an inspection finds."""

from __future__ import annotations

import wave
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from sordine.attacks.budget import Budget
from sordine.data.layouts.registry import open_media
from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.features import choice
from sordine.features.choice import suited_extractor, suited_to_columns
from sordine.policy import Policy
from sordine.run import Run
from sordine.workflow import inspection
from sordine.workflow.inspection import check_media, check_raw_table, inspect
from sordine.workflow.job import read_job
from sordine.workflow.job_runner import JOB, RELEASE, protect, protect_job, run_job, write_job
from sordine.workflow.protect_options import ProtectOptions
from sordine.workflow.stages import RECORDS, folder_of_job

POLICY = Policy(("speaker",), ("word",))
N = 240


def people(**more: Any) -> Table:
    """Records in which the speaker moves the first half of the columns and the word the second; sex follows speaker."""
    rng = np.random.default_rng(0)
    speaker, word = rng.integers(0, 3, N), rng.integers(0, 2, N)
    x = rng.normal(size=(N, 8)).astype(np.float32)
    x[:, :4] += 3 * np.eye(4)[speaker]
    x[:, 4:] += 3 * np.eye(4)[word]
    names = {"speaker": np.array(["ann", "bob", "cy"])[speaker], "word": np.array(["yes", "no"])[word]}
    return Table.of(x, names | {"sex": np.array(["f", "m", "m"])[speaker]}, ids=[f"r{i}" for i in range(N)], **more)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    people().write(tmp_path / "t.parquet")
    return tmp_path / "t.parquet"


def schema(**columns: pa.DataType) -> pa.Schema:
    return pa.schema(list(columns.items()))


@pytest.mark.parametrize(
    ("columns", "name"),
    [
        (schema(id=pa.string(), x=pa.list_(pa.float32(), 8), sex=pa.string()), None),
        (schema(x=pa.fixed_shape_tensor(pa.uint8(), (3, 8, 8)), sex=pa.string()), None),
        (schema(ax=pa.list_(pa.float32()), ay=pa.list_(pa.float32()), act=pa.string()), "windows"),
        (schema(age=pa.int64(), job=pa.string()), "columns"),
        (schema(words=pa.list_(pa.string()), job=pa.string()), "columns"),
    ],
)
def test_list_columns_decide_the_extractor(columns: pa.Schema, name: str | None) -> None:
    assert suited_to_columns(columns, "t.parquet").name == name


def test_the_attributes_of_the_policy_do_not_enter_the_vectors(tmp_path: Path) -> None:
    columns = {"age": np.arange(40), "sex": ["f", "m"] * 20, "job": ["a", "b", "c", "d"] * 10}
    pa.csv.write_csv(pa.table(columns), tmp_path / "adult.csv")
    found = suited_extractor(tmp_path / "adult.csv", Policy(("sex",), ("job",)))
    assert (found.name, found.options) == ("columns", {"labels": "sex,job"})
    assert suited_extractor(tmp_path, None).options == {}


@pytest.mark.parametrize(("suffix", "name"), [("wav", "logmel"), ("png", "pixels"), ("mp4", "pixels")])
def test_media_decide_the_extractor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, name: str) -> None:
    files = [f"{i}.{suffix}" for i in range(4)]
    for file in files:
        (tmp_path / file).touch()
    pa.csv.write_csv(pa.table({"file_name": files, "sex": ["f", "m"] * 2}), tmp_path / "metadata.csv")
    assert suited_extractor(tmp_path).name == name
    monkeypatch.setattr(choice, "ENOUGH_FOR_ENCODER", 4)
    assert suited_extractor(tmp_path).name == ("logmel" if suffix == "wav" else "encoder")


@pytest.mark.slow
def test_protect_leaves_its_job_and_continues(table: Path) -> None:
    out, lines = table.parent / "out", list[str]()
    options = ProtectOptions(method="leace", budget="quick")
    first = protect(table, POLICY, out, options, Run(log=lines.append))
    assert first.report is not None
    assert sum(line.endswith(" ...") for line in lines) >= 3
    job = read_job(out / JOB)
    assert (job.source.resolve(), job.method, job.policy_of()) == (table, "leace", POLICY)
    lines.clear()
    again = protect(table, POLICY, out, options, Run(log=lines.append))
    assert again.released == first.released
    assert not any(line.endswith(" ...") for line in lines), "everything is done already"
    assert run_job(job, run=Run(log=lines.append)).out == out
    assert not any(line.endswith(" ...") for line in lines), "the job file is the same job"


@pytest.mark.slow
def test_protect_withholds_a_release_that_leaks(table: Path) -> None:
    out = table.parent / "out"
    found = protect(table, POLICY, out, ProtectOptions(method="nothing", budget="quick", max_leakage=0.1))
    assert found.failed
    assert found.withheld
    assert not (out / RELEASE).exists()


def test_a_refused_protect_leaves_no_folder(tmp_path: Path) -> None:
    source = raw_table(tmp_path / "raw.parquet", age=[np.inf, *range(59)])
    options = ProtectOptions(method="leace", budget="quick")
    with pytest.raises(SordineError, match="column 'age' contains infinity"):
        protect(source, Policy(("sex",)), tmp_path / "new" / "out", options)
    assert [path.name for path in tmp_path.iterdir()] == ["raw.parquet"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(SordineError, match="column 'age' contains infinity"):
        protect(source, Policy(("sex",)), tmp_path / "empty", options)
    assert not list((tmp_path / "empty").iterdir())


def test_a_job_file_in_a_linked_folder_names_its_source(table: Path) -> None:
    (table.parent / "far" / "away").mkdir(parents=True)
    (table.parent / "out").symlink_to(table.parent / "far" / "away")
    for name in ("out", "plain"):
        job = protect_job(table, POLICY)
        (table.parent / name).mkdir(exist_ok=True)
        write_job(job, table.parent / name / JOB)
        assert read_job(table.parent / name / JOB).source.samefile(table)
    assert read_job(table.parent / "plain" / JOB).source == table


def test_a_raw_table_is_checked_against_the_policy_before_its_extraction(tmp_path: Path) -> None:
    source = raw_table(tmp_path / "raw.parquet", sex=["x", *["f", "m"] * 29, "f"], age=[np.inf, *range(59)])
    options = ProtectOptions(method="leace", budget="quick")
    for policy, token in ((Policy(("sex",)), r"raw\.parquet: .*'x'"), (Policy(("sexx",)), "'sex'")):
        with pytest.raises(SordineError, match=token):
            protect(source, policy, tmp_path / "out", options)
    fine = raw_table(tmp_path / "fine.parquet", town=["a", "b", "c"] * 20)
    check_raw_table(fine, Policy(("sex",), (), ("town",)))
    with pytest.raises(SordineError, match="'town'"):
        check_raw_table(fine, Policy(("sex",), (), ("towm",)))


def clips(folder: Path, speakers: list[str]) -> Path:
    """A media folder whose files cannot be decoded."""
    folder.mkdir()
    for i in range(len(speakers)):
        (folder / f"{i}.wav").touch()
    rows = {"file_name": [f"{i}.wav" for i in range(len(speakers))], "speaker": speakers}
    pa.csv.write_csv(pa.table(rows), folder / "metadata.csv")
    return folder


@pytest.mark.parametrize(
    ("suppressed", "message"),
    [("speeker", "'speeker' to suppress; did you mean 'speaker'"), ("speaker", "voices: .*'cy' has one record")],
)
def test_a_media_folder_is_checked_against_the_policy_before_its_extraction(
    tmp_path: Path, suppressed: str, message: str
) -> None:
    source = clips(tmp_path / "voices", ["ann", "bob"] * 10 + ["cy"])
    with pytest.raises(SordineError, match=message):
        protect(source, Policy((suppressed,)), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_class_of_one_video_has_several_frames(tmp_path: Path) -> None:
    media = open_media(clips(tmp_path / "voices", ["ann", "bob"] * 10 + ["cy"]))
    check_media(media, Policy(("speaker",)), by_frame=True)
    with pytest.raises(SordineError, match="'speeker'"):
        check_media(media, Policy(("speeker",)), by_frame=True)


def test_bad_files_are_left_out_of_a_job_on_request(tmp_path: Path) -> None:
    source = clips(tmp_path / "voices", ["ann", "bob"] * 10)
    assert [protect_job(source, POLICY, ProtectOptions(skip_bad=skip)).skip_bad for skip in (False, True)] == [
        False,
        True,
    ]


def test_no_key_is_written_for_records_that_a_fit_refuses(table: Path) -> None:
    lines: list[str] = []
    for policy, method in ((Policy(("speeker",)), "leace"), (Policy(("speaker",)), "masking")):
        with pytest.raises(SordineError):
            protect(table, policy, table.parent / "out", ProtectOptions(method=method), Run(log=lines.append))
    assert not any("key" in line for line in lines)
    assert not (table.parent / "out").exists()


def test_unfinished_work_of_a_failed_job_stays(tmp_path: Path) -> None:
    out = tmp_path / "out"

    def stopped() -> None:
        with folder_of_job(out, JOB):
            (out / JOB).touch()
            (out / RECORDS / "fit-0123" / "epoch").mkdir(parents=True)
            raise SordineError("stopped")

    with pytest.raises(SordineError, match="stopped"):
        stopped()
    assert (out / JOB).is_file()
    assert (out / RECORDS / "fit-0123" / "epoch").is_dir()


def test_protect_refuses_a_folder_of_other_files(table: Path) -> None:
    (table.parent / "mine").mkdir()
    (table.parent / "mine" / "notes.txt").touch()
    with pytest.raises(SordineError, match="mine exists and is not the folder of a job"):
        protect(table, POLICY, table.parent / "mine")
    assert [p.name for p in (table.parent / "mine").iterdir()] == ["notes.txt"]


def test_an_inspection_counts_records_classes_and_damage(table: Path) -> None:
    columns = pq.read_table(table)
    x = np.array(columns["x"].to_pylist(), np.float32)
    x[:3, 0] = np.nan
    ids = ["twice", "twice", *columns["id"].to_pylist()[2:]]
    broken = columns.set_column(columns.schema.get_field_index("id"), "id", pa.array(ids))
    place = columns.schema.get_field_index("x")
    pq.write_table(broken.set_column(place, "x", pa.FixedSizeListArray.from_arrays(x.ravel(), 8)), table)
    found = inspect(table)
    assert (found.records, found.shape, found.kind) == (N, (8,), "table")
    assert (found.not_finite, found.repeated_ids) == (3, 2)
    speaker = next(a for a in found.attributes if a.name == "speaker")
    assert (speaker.classes, speaker.labelled, speaker.role) == (3, N, "")
    assert sum(share for _, share in speaker.shares) == pytest.approx(1)
    assert speaker.baseline == max(share for _, share in speaker.shares)
    assert any("determines 100 % of `sex`" in line for line in found.lines())


def test_an_inspection_under_a_policy_says_what_follows(table: Path) -> None:
    found = inspect(table, POLICY, measure=False)
    assert {a.name: a.role for a in found.attributes} == {"speaker": "suppress", "word": "preserve", "sex": "watch"}
    assert found.method
    assert found.entangled is not None
    least = found.entangled.smallest["speaker"]
    assert least is not None
    assert 0 < least < 1
    assert found.unseen == N // 4
    assert found.estimate.fit is None
    with pytest.raises(SordineError, match="did you mean 'speaker'"):
        inspect(table, Policy(("speeker",)), measure=False)


def raw_table(path: Path, **changed: Any) -> Path:
    columns = {"id": [f"p{i}" for i in range(60)], "sex": ["f", "m"] * 30, "age": np.arange(60.0)}
    pq.write_table(pa.table(columns | changed), path)
    return path


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({}, (0, 0, False)),
        ({"age": [np.inf, np.nan, *range(58)]}, (1, 0, False)),
        ({"id": ["p1", *(f"p{i}" for i in range(1, 60))]}, (0, 2, False)),
        ({"sex": ["x", *["f", "m"] * 29, "f"]}, (0, 0, True)),
        ({"sex": ["f"] * 60}, (0, 0, True)),
    ],
)
def test_an_inspection_finds_what_protect_refuses(tmp_path: Path, changed: Any, found: tuple[int, int, bool]) -> None:
    source = raw_table(tmp_path / "raw.parquet", **changed)
    inspected = inspect(source, Policy(("sex",)))
    assert (inspected.not_finite, inspected.repeated_ids, bool(inspected.refusal)) == found
    assert inspected.sound == (not any(found))
    assert (inspected.estimate.extraction is not None) == inspected.sound
    if not inspected.sound:
        with pytest.raises(SordineError):
            protect(source, Policy(("sex",)), tmp_path / "out", ProtectOptions(method="leace", budget="quick"))
        assert not (tmp_path / "out").exists()


def test_an_inspection_names_the_columns_that_an_extractor_uses(tmp_path: Path) -> None:
    rows = [f"{i / 7:.3f},{'fm'[i % 2]},text {i}" for i in range(150)]
    source = tmp_path / "people.csv"
    source.write_text("\n".join(["height,sex,note", *rows]), encoding="utf-8")
    found = inspect(source, Policy(("sex",)), measure=False)
    assert "no attributes, but the extractor `columns` uses them: `height`, `note`" in found.notes
    assert not any("left out" in line for line in found.lines())


def test_an_inspection_finds_numbers_too_large_for_a_fit(table: Path) -> None:
    columns = pq.read_table(table)
    x = np.array(columns["x"].to_pylist(), np.float32)
    x[0, 0], x[1, 0] = 1e20, np.inf
    place = columns.schema.get_field_index("x")
    pq.write_table(columns.set_column(place, "x", pa.FixedSizeListArray.from_arrays(x.ravel(), 8)), table)
    assert inspect(table, POLICY).not_finite == 2


@pytest.mark.slow
def test_run_times_are_measured_on_a_sample(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "SAMPLE", 120)
    monkeypatch.setattr(inspection, "default_method", lambda policy: "leace")
    budgets: list[Budget] = []

    def audited(*args: Any, budget: Budget, **options: Any) -> None:
        budgets.append(budget)

    monkeypatch.setattr(inspection, "audit", audited)
    found = inspect(table, POLICY)
    # The parts of a standard audit whose time hardly depends on the number of records are not timed.
    assert [(b.plants, b.risks, b.known, b.tail) for b in budgets] == [(0, False, (), False)]
    assert found.estimate.fit is not None
    assert found.estimate.fit > 0
    assert found.estimate.audit is not None
    assert found.estimate.audit > 0


def test_a_media_folder_is_inspected_before_its_extraction(tmp_path: Path) -> None:
    files = [f"{i}.wav" for i in range(60)]
    for file in files:
        (tmp_path / file).touch()
    people = ["ann", "bob", "cy"] * 20
    pa.csv.write_csv(pa.table({"file_name": files, "speaker": people, "group": people}), tmp_path / "metadata.csv")
    found = inspect(tmp_path, Policy(("speaker",)))
    assert (found.kind, found.records, found.shape, found.groups) == ("audio", 60, (), 3)
    assert found.extractor.name == "logmel"
    assert found.estimate.fit is None
    assert [a.name for a in found.attributes] == ["speaker"]


def test_an_extraction_is_timed_on_a_few_records(tmp_path: Path) -> None:
    people = ["ann", "bob", "cy"] * 20
    (tmp_path / "clips").mkdir()
    for i in range(60):
        with wave.open(str(tmp_path / "clips" / f"{i}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(8000)
            file.writeframes(np.random.default_rng(i).integers(-999, 999, 4000).astype("<i2").tobytes())
    rows = pa.table({"file_name": [f"{i}.wav" for i in range(60)], "speaker": people})
    pa.csv.write_csv(rows, tmp_path / "clips" / "metadata.csv")
    raw = pa.table({"speaker": people, "age": np.arange(60.0), "town": ["a", "b"] * 30})
    pq.write_table(raw, tmp_path / "raw.parquet")
    for source, name in (("clips", "logmel"), ("raw.parquet", "columns")):
        found = inspect(tmp_path / source, Policy(("speaker",)))
        assert found.extractor.name == name
        assert found.estimate.extraction is not None, found.estimate.note
        assert found.estimate.extraction > 0
        assert found.estimate.fit is None

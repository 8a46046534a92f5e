"""Extractors: what the numbers mean, and that the output depends on the input alone."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from scipy.signal import resample_poly

from sordine.errors import SordineError
from sordine.features.columns import merge
from sordine.features.extract import ExtractOptions, extract
from sordine.features.logmel import LogMel, mel_filters, pooling
from sordine.features.registry import EXTRACTORS, make_extractor
from sordine.run import Run


def chirp(seconds: float, rate: int) -> np.ndarray:
    time = np.arange(round(seconds * rate)) / rate
    return 0.3 * np.sin(2 * np.pi * (300 + 900 * time) * time)


def clips(folder: Path, count: int = 150) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(0)
    lines = ["file_name,word,level"]
    for i in range(count):
        soundfile.write(folder / f"c{i:03d}.wav", chirp(rng.uniform(0.05, 0.2), 8000), 8000)
        lines.append(f"c{i:03d}.wav,{'ab'[i % 2]},{i / 8}")
    (folder / "metadata.csv").write_text("\n".join(lines) + "\n")
    return folder


def x_of(path: Path) -> np.ndarray:
    column = pq.read_table(path)["x"].combine_chunks()
    return column.flatten().to_numpy().reshape(len(column), -1)


# logmel


def test_logmel_does_not_depend_on_the_rate_a_clip_is_stored_at():
    fine = resample_poly(chirp(0.6, 8000), 2, 1)
    at8, at16 = LogMel().clip(chirp(0.6, 8000), 8000), LogMel().clip(fine, 16000)
    assert at8.shape == (560,)
    loud = at8[:480] > at8[:480].max() - 8
    assert np.abs(at8[:480] - at16[:480])[loud].max() < 0.1
    assert np.corrcoef(at8, at16)[0, 1] > 0.99


def test_logmel_finds_the_tone_in_its_slice():
    rate, bands = 8000, 40
    time = np.arange(rate) / rate
    sound = np.where(time < 0.5, np.sin(2 * np.pi * 500 * time), np.sin(2 * np.pi * 2000 * time))
    grid = LogMel().clip(sound, rate)[:480].reshape(12, bands)
    filters = mel_filters(rate, 512, bands)
    low, high = filters[round(500 / rate * 512)].argmax(), filters[round(2000 / rate * 512)].argmax()
    assert (np.abs(grid[:5].argmax(axis=1) - low) <= 1).all()
    assert (np.abs(grid[7:].argmax(axis=1) - high) <= 1).all()


@pytest.mark.parametrize("samples", [1, 10, 199, 201, 40_000])
def test_logmel_has_one_size_for_every_length_and_silence_is_finite(samples):
    for sound in (np.zeros(samples), np.ones(samples)):
        vector = LogMel().clip(sound, 8000)
        assert vector.shape == (560,)
        assert np.isfinite(vector).all()


def test_logmel_trims_silence_around_the_word_but_not_without_trim():
    word = chirp(0.4, 8000)
    padded = np.pad(word, (4000, 4000))
    grid = slice(0, 480)
    near = np.abs(LogMel().clip(padded, 8000) - LogMel().clip(word, 8000))[grid].mean()
    far = np.abs(LogMel(trim=0).clip(padded, 8000) - LogMel(trim=0).clip(word, 8000))[grid].mean()
    assert near < 0.4 * far


def test_pooling_is_a_mean_over_equal_parts():
    np.testing.assert_allclose(pooling(4, 2), [[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]])
    np.testing.assert_allclose(pooling(3, 2), [[2 / 3, 1 / 3, 0], [0, 1 / 3, 2 / 3]])
    np.testing.assert_allclose(pooling(1, 3), np.ones((3, 1)))


def test_a_folder_becomes_a_table_whatever_the_number_of_workers(tmp_path):
    folder = clips(tmp_path / "m")
    steps: list[tuple[str, int, int]] = []
    done = extract(folder, "logmel", tmp_path / "1.parquet", run=Run(workers=1, progress=lambda *at: steps.append(at)))
    extract(folder, "logmel", tmp_path / "3.parquet", run=Run(workers=3))
    assert (done.rows, done.width, done.skipped) == (150, 560, ())
    assert steps[-1] == ("extract", 150, 150)
    assert [at for _, at, _ in steps] == sorted(at for _, at, _ in steps)
    one, three = pq.read_table(tmp_path / "1.parquet"), pq.read_table(tmp_path / "3.parquet")
    assert one.equals(three)
    assert one.column_names == ["id", "word", "level", "x"]
    assert one["id"].to_pylist()[:2] == ["c000.wav", "c001.wav"]
    assert one.schema.field("x").type == pa.list_(pa.float32(), 560)
    note = json.loads(one.schema.metadata[b"sordine.extract"])
    assert (note["extractor"], note["options"]["bands"], len(note["names"])) == ("logmel", 40, 560)


def test_corrupt_clips_stop_the_work_or_are_left_out_by_name(tmp_path):
    folder = clips(tmp_path / "m")
    for bad in ("c003.wav", "c100.wav"):
        (folder / bad).write_bytes(b"RIFFgarbage")
    out = tmp_path / "out.parquet"
    with pytest.raises(SordineError, match=r"c003\.wav.*2 bad files of 150.*--skip-bad"):
        extract(folder, "logmel", out)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["m"]
    lines: list[str] = []
    done = extract(folder, "logmel", out, ExtractOptions(skip_bad=True), Run(log=lines.append))
    assert done.rows == 148
    assert [name for name, _ in done.skipped] == ["c003.wav", "c100.wav"]
    assert any("2 bad files of 150" in line and "c100.wav" in line for line in lines)
    words = pq.read_table(out)
    assert words["word"].to_pylist()[:5] == ["a", "b", "a", "a", "b"]
    with pytest.raises(SordineError, match="--force"):
        extract(folder, "logmel", out)


def test_a_folder_of_bad_clips_only_is_refused_even_with_skip_bad(tmp_path):
    folder = clips(tmp_path / "m", 3)
    for path in folder.glob("*.wav"):
        path.write_bytes(b"")
    with pytest.raises(SordineError, match="3 bad files of 3"):
        extract(folder, "logmel", tmp_path / "out.parquet", ExtractOptions(skip_bad=True))
    assert not (tmp_path / "out.parquet").exists()


# windows


def sensors(path: Path, n: int = 60, samples: int = 128, **change: list) -> Path:
    rng = np.random.default_rng(1)
    columns: dict[str, object] = {"who": [f"p{i % 3}" for i in range(n)]}
    for channel in ("acc_x", "acc_y", "acc_z", "temp"):
        columns[channel] = list(rng.standard_normal((n, samples)))
    pq.write_table(pa.table({**columns, **change}), path)
    return path


def named(path: Path) -> dict[str, np.ndarray]:
    names = json.loads(pq.read_schema(path).metadata[b"sordine.extract"])["names"]
    return dict(zip(names, x_of(path).T, strict=True))


def test_windows_reads_frequency_spread_and_magnitude_of_known_signals(tmp_path):
    at = np.arange(128)
    tone = 2.0 * np.sin(2 * np.pi * 12 * at / 128)
    other = 2.0 * np.cos(2 * np.pi * 12 * at / 128)
    source = sensors(tmp_path / "s.parquet", n=2, acc_x=[tone, tone], acc_y=[other, -tone], acc_z=[0 * tone, 0 * tone])
    done = extract(source, "windows", tmp_path / "o.parquet", ExtractOptions(features=["acc_x", "acc_y", "acc_z"]))
    assert done.width == 4 * 31 + 6
    x = named(tmp_path / "o.parquet")
    np.testing.assert_allclose(x["acc_x.frequency"], 12 / 128, rtol=1e-6)
    np.testing.assert_allclose(x["acc_x.log_std"], np.log(2 / np.sqrt(2) + 1e-4), atol=1e-4)
    np.testing.assert_allclose(x["acc_x.max"], np.arcsinh(2.0), atol=1e-3)
    np.testing.assert_allclose(x["acc_x.crossings"], 24 / 127, atol=0.02)
    np.testing.assert_allclose(x["|acc|.mean"][0], 2.0, rtol=1e-5)
    np.testing.assert_allclose(x["acc_x~acc_y"], [0.0, -1.0], atol=1e-3)
    assert x["acc_x.entropy"].max() < 0.5
    assert np.isfinite(x_of(tmp_path / "o.parquet")).all()
    bands = np.array([x[f"acc_x.band{b:02d}"][0] for b in range(16)])
    edges = np.linspace(0, 1, 17) ** 1.5 * 64
    assert abs(bands.argmax() - (np.searchsorted(edges, 12) - 1)) <= 1


def test_windows_takes_all_list_columns_and_keeps_the_others(tmp_path):
    source = sensors(tmp_path / "s.parquet")
    extract(source, "windows", tmp_path / "1.parquet", run=Run(workers=1))
    extract(source, "windows", tmp_path / "3.parquet", run=Run(workers=3))
    table = pq.read_table(tmp_path / "1.parquet")
    assert table.equals(pq.read_table(tmp_path / "3.parquet"))
    assert table.column_names == ["id", "who", "x"]
    assert table["id"].to_pylist()[:2] == ["row-0000000", "row-0000001"]
    assert table.schema.field("x").type.list_size == 5 * 31 + 10


def test_windows_names_the_row_and_column_that_is_wrong(tmp_path):
    out = tmp_path / "o.parquet"
    good = list(np.zeros((5000, 16)))
    for value, says in [
        (np.full(16, np.nan), "row 4321: channel 'temp'"),
        (np.full(16, np.inf), "row 4321: channel 'temp'"),
        (np.zeros(15), "row 4321: channel 'temp' has 15"),
        (None, "row 4321: channel 'temp' has nothing"),
    ]:
        temp = list(good)
        temp[4321] = value
        source = tmp_path / "s.parquet"
        pq.write_table(pa.table({"temp": temp}), source)
        with pytest.raises(SordineError, match=says):
            extract(source, "windows", out)
        assert not out.exists()
    source = sensors(tmp_path / "s.parquet", n=2, temp=[[1.0] * 9, [2.0] * 9])
    with pytest.raises(SordineError, match="'acc_x' and 'temp' have 128 and 9 samples"):
        extract(source, "windows", out)
    with pytest.raises(SordineError, match="'who' is string, not a list"):
        extract(source, "windows", out, ExtractOptions(features=["who"]))
    with pytest.raises(SordineError, match="did you mean 'acc_x'"):
        extract(source, "windows", out, ExtractOptions(features=["acc_xx"]))
    with pytest.raises(SordineError, match="unknown column"):
        extract(source, "windows", out, ExtractOptions(features=["none*"]))


def test_patterns_name_columns_but_no_label_and_no_id(tmp_path):
    source = sensors(tmp_path / "s.parquet", n=3)
    extract(source, "windows", tmp_path / "w.parquet", ExtractOptions(features=["acc_*"]))
    assert set(named(tmp_path / "w.parquet")) >= {"acc_x.max", "acc_y.max", "|acc|.mean"}
    assert not any("temp" in name for name in named(tmp_path / "w.parquet"))
    rng = np.random.default_rng(0)
    names = ("ida", "idb", "idle", "other")
    table = {"id": [str(i) for i in range(9)], **{name: rng.normal(size=9) for name in names}}
    pq.write_table(pa.table(table), tmp_path / "t.parquet")
    chosen = ExtractOptions({"labels": "idle"}, features=["id*"])
    extract(tmp_path / "t.parquet", "columns", tmp_path / "c.parquet", chosen)
    assert list(named(tmp_path / "c.parquet")) == ["ida", "idb"]
    with pytest.raises(SordineError, match="unknown column"):
        extract(tmp_path / "t.parquet", "columns", tmp_path / "d.parquet", ExtractOptions(features=["none*"]))


# columns


def test_columns_against_numbers_worked_by_hand(tmp_path):
    table = pa.table(
        {
            "id": ["a", "b", "c", "d"],
            "split": ["train", "train", "test", "test"],
            "age": [1, 3, None, 5],
            "size": [0.5, 0.5, 1.5, 1.5],
            "town": pa.array(["x", None, "y", "x"]).dictionary_encode(),
            "ill": [True, False, False, True],
            "same": [7, 7, 7, 7],
            "sex": ["f", "m", "m", "f"],
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    done = extract(tmp_path / "t.parquet", "columns", tmp_path / "o.parquet", options={"labels": "sex"})
    x = named(tmp_path / "o.parquet")
    assert list(x) == [
        "age",
        "age=(missing)",
        "size",
        "town=x",
        "town=y",
        "town=(missing)",
        "ill=false",
        "ill=true",
    ]
    root = np.sqrt(8 / 3)
    np.testing.assert_allclose(x["age"], [-2 / root, 0, 0, 2 / root], rtol=1e-6)
    np.testing.assert_allclose(x["age=(missing)"], [0, 0, 1, 0])
    np.testing.assert_allclose(x["size"], [-1, -1, 1, 1])
    np.testing.assert_allclose(x["town=x"], [1, 0, 0, 1])
    np.testing.assert_allclose(x["town=(missing)"], [0, 1, 0, 0])
    np.testing.assert_allclose(x["ill=true"], [1, 0, 0, 1])
    assert any("'same'" in note and "never changes" in note for note in done.notes)
    written = pq.read_table(tmp_path / "o.parquet")
    assert written.column_names == ["id", "split", "age", "town", "ill", "same", "sex", "x"]
    assert written["town"].type == pa.string()
    assert written["id"].to_pylist() == ["a", "b", "c", "d"]


def test_columns_leaves_out_rare_classes_and_takes_the_logarithm_of_heavy_tails(tmp_path):
    gain = [0.0] * 95 + [5e4] * 5
    town = ["big"] * 50 + ["mid"] * 30 + [f"v{i}" for i in range(20)]
    pq.write_table(pa.table({"gain": gain, "town": town}), tmp_path / "t.parquet")
    done = extract(tmp_path / "t.parquet", "columns", tmp_path / "o.parquet", options={"max_classes": "2"})
    x = named(tmp_path / "o.parquet")
    assert list(x) == ["log:gain", "town=big", "town=mid"]
    share = 0.05
    np.testing.assert_allclose(x["log:gain"][-1], (1 - share) / np.sqrt(share * (1 - share)), rtol=1e-5)
    assert any("20 rare classes (20 records)" in note for note in done.notes)
    assert any("signed logarithm" in note for note in done.notes)


def test_columns_moments_do_not_depend_on_the_blocks():
    values = 1e6 + np.random.default_rng(2).gamma(0.5, size=5001)
    n, moments = 0, np.zeros(3)
    for part in np.array_split(values, 7):
        moments = merge(n, moments, part)
        n += len(part)
    centred = values - values.mean()
    np.testing.assert_allclose(moments, [values.mean(), (centred**2).sum(), (centred**3).sum()], rtol=1e-6)


def test_columns_of_many_blocks_and_of_csv(tmp_path):
    rng = np.random.default_rng(3)
    table = pa.table({"v": rng.integers(0, 50, 5000), "w": rng.choice(["a", "b"], 5000)})
    pq.write_table(table, tmp_path / "t.parquet")
    pa.csv.write_csv(table, tmp_path / "t.csv")
    for name, workers in (("t.parquet", 1), ("t.parquet", 4), ("t.csv", 2)):
        extract(tmp_path / name, "columns", tmp_path / "o.parquet", ExtractOptions(force=True), Run(workers=workers))
        x = named(tmp_path / "o.parquet")
        v = table["v"].to_numpy()
        np.testing.assert_allclose(x["v"], (v - v.mean()) / v.std(), rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(x["w=b"], table["w"].to_numpy() == "b")
    infinite = pa.table({"v": [1.0, np.inf]})
    pq.write_table(infinite, tmp_path / "t.parquet")
    with pytest.raises(SordineError, match="row 1: column 'v' contains infinity"):
        extract(tmp_path / "t.parquet", "columns", tmp_path / "o.parquet", ExtractOptions(force=True))


# the call


def test_a_wrong_call_is_one_line(tmp_path):
    folder, out = clips(tmp_path / "m", 2), tmp_path / "o.parquet"
    source = sensors(tmp_path / "s.parquet")
    pictures = tmp_path / "p"
    pictures.mkdir()
    (pictures / "a.png").write_bytes(b"")
    (pictures / "metadata.csv").write_text("file_name\na.png\n")
    (tmp_path / "none").mkdir()
    for arguments, options, says in [
        ((source, "logmel", out), {}, "logmel takes clips.*windows, columns"),
        ((folder, "windows", out), {}, "windows takes a table.*logmel"),
        ((folder, "columns", out), {}, "is a folder of clips"),
        ((pictures, "logmel", out), {}, r"logmel takes clips.*pixels"),
        ((folder, "logmle", out), {}, "did you mean 'logmel'"),
        ((folder, "logmel", out), {"band": "3"}, "no option 'band'; did you mean 'bands'"),
        ((folder, "logmel", out), {"bands": "many"}, "bands = 'many'"),
        ((folder, "logmel", out), {"bands": "0"}, "bands = '0'"),
        ((source, "columns", out), {"labels": "whom"}, "'whom' for a label; did you mean 'who'"),
        ((tmp_path / "none", "logmel", out), {}, "no metadata.csv"),
        ((tmp_path / "absent", "logmel", out), {}, "does not exist"),
    ]:
        with pytest.raises(SordineError, match=says) as caught:
            extract(*arguments, options=options)
        assert "\n" not in str(caught.value)
    assert not out.exists()


def test_a_folder_with_one_table_is_that_table_and_ids_must_be_unique(tmp_path):
    folder = tmp_path / "t"
    folder.mkdir()
    (folder / "SOURCE.md").write_text("from there")
    pq.write_table(pa.table({"id": [5, 6, 5], "v": [1, 2, 3]}), folder / "one.parquet")
    with pytest.raises(SordineError, match="row 2: id '5' is repeated"):
        extract(folder, "columns", tmp_path / "o.parquet")
    pq.write_table(pa.table({"id": [5, 6, 7], "x": [1, 2, 3]}), folder / "one.parquet")
    with pytest.raises(SordineError, match="named 'x'"):
        extract(folder, "columns", tmp_path / "o.parquet")
    assert not (tmp_path / "o.parquet").exists()


@pytest.mark.parametrize("name", sorted(EXTRACTORS))
def test_every_extractor_names_what_it_reads(name):
    tool = make_extractor(name)
    assert tool.accepts
    assert set(tool.accepts) <= {"audio", "image", "video", "table"}
    assert type(tool).__doc__


@pytest.mark.slow
@pytest.mark.data
def test_motion_windows_tell_the_activity_and_the_subject(tmp_path):
    data = os.environ.get("SORDINE_DATA")
    if not data:
        pytest.skip("SORDINE_DATA is not set")
    from sklearn.ensemble import ExtraTreesClassifier

    done = extract(Path(data) / "motionsense", "windows", tmp_path / "o.parquet")
    assert done.width == 276
    x, table = x_of(tmp_path / "o.parquet"), pq.read_table(tmp_path / "o.parquet")
    test = np.random.default_rng(0).random(len(x)) < 0.25
    for attribute, least in (("activity", 0.96), ("subject", 0.7), ("gender", 0.8)):
        y = np.array(table[attribute].to_pylist())
        trees = ExtraTreesClassifier(20, random_state=0).fit(x[~test], y[~test])
        assert trees.score(x[test], y[test]) > least, attribute

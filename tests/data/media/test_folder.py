"""Media folders and clips: what is read, and one clear line where it cannot be."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from sordine.data.media.audio import read_clip, resample
from sordine.data.media.folder import read_csv, read_metadata
from sordine.errors import SordineError


def folder_of(path: Path, metadata: str, files: tuple[str, ...] = ("a.wav", "b.wav")) -> Path:
    path.mkdir(exist_ok=True)
    for name in files:
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(b"")
    (path / "metadata.csv").write_text(metadata, encoding="utf-8")
    return path


def test_metadata_keeps_the_order_and_the_kind_of_each_column(tmp_path):
    folder = folder_of(tmp_path / "m", "file_name,n,code,size,when\nb.wav,3,007,1.5,2020-01-01\na.wav,-1,1,,true\n")
    table = read_metadata(folder)
    assert table["file_name"].to_pylist() == ["b.wav", "a.wav"]
    assert table["n"].to_pylist() == [3, -1]
    assert table["code"].to_pylist() == ["007", "1"]
    assert table["size"].to_pylist() == [1.5, None]
    assert table["when"].to_pylist() == ["2020-01-01", "true"]


def test_a_late_word_makes_the_whole_column_text(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("a,b\n" + "1,x\n" * 50_000 + 'late,"two\nlines"\n')
    table = read_csv(path)
    assert table["a"].type == pa.string()
    assert table["b"][-1].as_py() == "two\nlines"


@pytest.mark.parametrize(
    ("metadata", "says"),
    [
        ("name,x\na.wav,1\n", "no column 'file_name'"),
        ("file_name\na.wav\na.wav\n", "names a.wav twice, in rows 1 and 2"),
        ("file_name\na.wav\n./a.wav\n", "twice"),
        ("file_name\na.wav\nc.wav\nd.wav\n", "c.wav, which does not exist (2 of 3 files are missing)"),
        ("file_name\n../m/a.wav\n", "outside the folder"),
        ("file_name\n/etc/passwd\n", "outside the folder"),
        ("file_name,x\n,1\n", "row 1: file_name is empty"),
        ("file_name,x,x\na.wav,1,2\n", "column 'x' twice"),
        ("file_name\n", "no rows"),
        ("", "cannot be read as CSV"),
        ("file_name,x\na.wav,1\nb.wav\n", "cannot be read as CSV"),
    ],
)
def test_wrong_metadata_is_one_line_that_says_where(tmp_path, metadata, says):
    with pytest.raises(SordineError) as caught:
        read_metadata(folder_of(tmp_path / "m", metadata))
    assert says in str(caught.value)
    assert "metadata.csv" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_folder_without_metadata_or_with_two_is_refused(tmp_path):
    with pytest.raises(SordineError, match="does not exist"):
        read_metadata(tmp_path / "none")
    (tmp_path / "m").mkdir()
    with pytest.raises(SordineError, match=r"has no metadata\.csv"):
        read_metadata(tmp_path / "m")
    folder = folder_of(tmp_path / "m", "file_name\na.wav\n")
    (folder / "metadata.jsonl").write_text('{"file_name": "a.wav"}\n')
    with pytest.raises(SordineError, match="keep one"):
        read_metadata(folder)


def test_json_lines_and_parquet_metadata_read_as_csv_does(tmp_path):
    folder = folder_of(tmp_path / "m", "file_name,n\nb.wav,1\na.wav,2\n")
    expected = read_metadata(folder)
    (folder / "metadata.csv").unlink()
    (folder / "metadata.jsonl").write_text('{"file_name": "b.wav", "n": 1}\n{"file_name": "a.wav", "n": 2}\n')
    assert read_metadata(folder).equals(expected)
    (folder / "metadata.jsonl").unlink()
    pq.write_table(expected, folder / "metadata.parquet")
    assert read_metadata(folder).equals(expected)


def test_channels_are_averaged(tmp_path):
    stereo = np.stack([np.full(100, 0.5), np.full(100, -0.25)], axis=1)
    soundfile.write(tmp_path / "s.flac", stereo, 16000)
    wave, rate = read_clip(tmp_path / "s.flac")
    assert rate == 16000
    assert wave.dtype == np.float32
    np.testing.assert_allclose(wave, 0.125, atol=1e-4)


def test_bad_clips_are_refused_by_name(tmp_path):
    (tmp_path / "noise.flac").write_bytes(b"fLaC" + bytes(range(200)))
    soundfile.write(tmp_path / "empty.wav", np.zeros(0), 8000)
    soundfile.write(tmp_path / "nan.wav", np.array([0.0, np.nan]), 8000, subtype="FLOAT")
    for name, says in [
        ("noise.flac", "cannot be decoded as sound"),
        ("empty.wav", "no samples"),
        ("nan.wav", "NaN or infinite"),
        ("absent.wav", "does not exist"),
    ]:
        with pytest.raises(SordineError, match=says) as caught:
            read_clip(tmp_path / name)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


def test_resampling_keeps_a_tone_and_its_length():
    time = np.arange(16000) / 16000
    half = resample(np.sin(2 * np.pi * 440 * time), 16000, 8000)
    assert half.shape == (8000,)
    np.testing.assert_allclose(half[500:-500], np.sin(2 * np.pi * 440 * time[::2])[500:-500], atol=2e-3)
    assert resample(np.zeros(7), 7, 5).shape == (5,)


def test_a_rate_that_no_recording_has_names_the_file(tmp_path):
    soundfile.write(tmp_path / "odd.wav", np.zeros(100), 16000)
    raw = bytearray((tmp_path / "odd.wav").read_bytes())
    raw[24:28] = (2**31 - 1).to_bytes(4, "little")
    (tmp_path / "odd.wav").write_bytes(raw)
    with pytest.raises(SordineError, match=r"odd\.wav .* 2147483647"):
        read_clip(tmp_path / "odd.wav")


def test_file_names_that_are_no_text_are_one_line(tmp_path):
    folder = folder_of(tmp_path / "m", "file_name\na.wav\n")
    (folder / "metadata.csv").unlink()
    pq.write_table(pa.table({"file_name": pa.array([b"\xff.wav"], pa.binary())}), folder / "metadata.parquet")
    with pytest.raises(SordineError, match="must be text"):
        read_metadata(folder)
    (folder / "metadata.parquet").unlink()
    (folder / "metadata.jsonl").write_text('{"file_name": ["a.wav"]}\n')
    with pytest.raises(SordineError, match="must be text"):
        read_metadata(folder)

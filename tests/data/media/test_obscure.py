"""Raw-domain baselines: numbers worked by hand, and folders whose files keep their names."""

from __future__ import annotations

import math
import os
import resource
import shlex
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import soundfile
from PIL import Image

from sordine.cli.obscure import EXAMPLES
from sordine.data.layouts.registry import open_media
from sordine.data.media import face_detection as faces
from sordine.data.media.image import read_picture
from sordine.data.media.kinds import Media
from sordine.data.media.obscure.folder import obscure_folder
from sordine.data.media.obscure.operations import cover, downsample, gaussian_blur, mask, white_noise
from sordine.data.media.obscure.styles import STYLES, CoverFace, WhiteNoise
from sordine.data.media.video import read_frames
from sordine.data.media.write import write_picture, write_video
from sordine.errors import SordineError, WriteError
from sordine.keys import Key
from sordine.run import Run

DATA = os.environ.get("SORDINE_DATA")
KEY = Key.of_seed(1)


def folder(root: Path, kind: str, n: int = 3) -> Media:
    """A folder of `n` files with a label and a hostile column."""
    rng, suffix = np.random.default_rng(0), {"image": "png", "audio": "wav", "video": "mp4"}[kind]
    names = [f"d{i % 2}/a{i}.{suffix}" for i in range(n)]
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if kind == "image":
            write_picture(rng.integers(0, 256, (3, 24, 32)).astype(np.uint8), path)
        elif kind == "audio":
            soundfile.write(path, 0.3 * np.sin(np.arange(4000) / 5), 8000)
        else:
            write_video(rng.integers(0, 256, (4, 3, 32, 32)).astype(np.uint8), 25, path)
    rows = "".join(f'{name},00{i},"a, ""b"""\n' for i, name in enumerate(names))
    (root / "metadata.csv").write_text("file_name,person,said\n" + rows, encoding="utf-8")
    return open_media(root)


# By hand


def test_the_blur_of_a_point_is_the_kernel() -> None:
    x = np.zeros((9, 9, 3), np.uint8)
    x[4, 4] = 255
    blurred = gaussian_blur(x, 3, 1.0)
    edge = math.exp(-0.5)
    one = np.array([edge, 1, edge]) / (1 + 2 * edge)
    want = np.zeros((9, 9))
    want[3:6, 3:6] = 255 * np.outer(one, one)
    for c in range(3):
        np.testing.assert_array_equal(blurred[..., c], np.rint(want))
    assert blurred[4, 4, 0] == 52  # 255 * 0.4519 ** 2


def test_a_blur_with_a_broad_gaussian_is_nearly_the_mean_and_keeps_what_is_plain() -> None:
    x = np.full((30, 30, 3), 77, np.uint8)
    np.testing.assert_array_equal(gaussian_blur(x, 21, 15.0), x)
    x[::2] = 177
    assert np.ptp(gaussian_blur(x, 11, 10.0)[10:20, 10:20].astype(int)) <= 10  # 5 or 6 rows of 11: 122 or 132


def test_downsampling_forgets_what_is_within_a_block() -> None:
    x = np.zeros((32, 32, 3), np.uint8)
    x[::2, ::2] = x[1::2, 1::2] = 200  # finer than a block of 4: only its mean stays
    assert np.abs(downsample(x, 4)[8:24, 8:24].astype(int) - 100).max() <= 3
    plain = np.full((13, 17, 3), 9, np.uint8)
    np.testing.assert_array_equal(downsample(plain, 8), plain)
    halves = np.zeros((32, 32, 3), np.uint8)
    halves[:, 16:] = 200
    coarse = downsample(halves, 4)
    assert coarse[16, 2, 0] < 12
    assert coarse[16, 29, 0] > 188


@pytest.mark.parametrize(("ratio", "side"), [(1.0, 50), (0.36, 30), (0.09, 15)])
def test_the_ratio_is_the_share_of_the_boxs_area(ratio: float, side: int) -> None:
    x = np.full((100, 120, 3), 255, np.uint8)
    black = (cover(x, np.array([20.0, 30.0, 50.0, 50.0]), ratio) == 0).all(axis=-1)
    rows, columns = np.flatnonzero(black.any(axis=1)), np.flatnonzero(black.any(axis=0))
    assert abs(len(rows) - side) <= 1
    assert black.sum() == len(rows) * len(columns)
    assert abs(rows.mean() - 54.5) <= 0.5
    assert abs(columns.mean() - 44.5) <= 0.5
    assert abs(black.sum() / 2500 - ratio) < 0.02


@pytest.mark.parametrize(("start", "first"), [(0.0, 0), (0.5, 25), (1.0, 50)])
def test_the_mask_is_one_piece_of_its_share(start: float, first: int) -> None:
    masked = mask(np.ones(100, np.float32), start, 0.5)
    np.testing.assert_array_equal(np.flatnonzero(masked == 0), np.arange(first, first + 50))


def test_the_noise_is_its_level_times_the_draws() -> None:
    draws = np.array([1.0, -2.0, 0.5])
    np.testing.assert_allclose(white_noise(np.zeros(3, np.float32), draws, 0.1), [0.1, -0.2, 0.05], rtol=1e-6)


def test_the_default_noise_has_an_energy_of_one_in_the_middle() -> None:
    x = np.full(10_000, 0.25, np.float32)
    noise = WhiteNoise().apply(x, np.random.default_rng(0).random) - 0.25
    assert not noise[:2000].any()
    assert not noise[8000:].any()
    assert abs(float(np.sum(noise.astype(np.float64) ** 2)) - 1) < 0.1
    everywhere = WhiteNoise(level=0.01).apply(x, np.random.default_rng(0).random) - 0.25
    assert abs(everywhere.std() - 0.01) < 0.001
    assert everywhere[:2000].any()


# Faces


def test_mtcnn_boxes_are_clipped_and_the_largest_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    class MTCNN:
        def __init__(self, **_: object) -> None: ...

        def detect(self, pixels: np.ndarray) -> tuple[np.ndarray | None, None]:
            return (None if not pixels.any() else np.array([[5, 5, 9, 9], [-4, 10, 30, 50.0]])), None

    monkeypatch.setitem(sys.modules, "facenet_pytorch", SimpleNamespace(MTCNN=MTCNN))
    faces._network.cache_clear()
    try:
        x = np.full((40, 40, 3), 200, np.uint8)
        np.testing.assert_array_equal(faces.detect(x, "mtcnn"), [[0, 10, 30, 30]])
        assert len(faces.detect(0 * x, "mtcnn")) == 0
        rng = np.random.default_rng(0).random
        covered = CoverFace(detector="mtcnn").apply(x, rng)
        assert (covered == 0).all(axis=-1).sum() == 900
        assert not CoverFace(detector="mtcnn").apply(0 * x + 0, rng).any()
        nobody = np.zeros((40, 40, 3), np.uint8)
        np.testing.assert_array_equal(CoverFace(detector="mtcnn", whole=False).apply(nobody, rng), nobody)
    finally:
        faces._network.cache_clear()


def test_a_missing_detector_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cv2", SimpleNamespace(__version__="5.0.0"))
    with pytest.raises(SordineError, match=r"OpenCV 5\.0\.0 has no cascade"):
        faces.detect(np.zeros((40, 40, 3), np.uint8))


@pytest.mark.data
@pytest.mark.skipif(not DATA, reason="SORDINE_DATA does not name the folder of the real data sets")
def test_the_cascade_finds_real_faces() -> None:
    cv2 = pytest.importorskip("cv2")
    if not hasattr(cv2, "CascadeClassifier"):
        pytest.skip("this OpenCV has no cascade: sordine[faces] asks for one that has")
    files = sorted((Path(str(DATA)) / "utkface" / "data").glob("*"))
    shown = [files[i] for i in np.random.default_rng(0).choice(len(files), 40, replace=False)]
    assert sum(len(faces.detect(read_picture(f))) for f in shown) >= 34


# Folders


@pytest.mark.parametrize(
    ("kind", "how"), [("image", "blur"), ("audio", "white_noise"), ("audio", "mask"), ("video", "blur")]
)
def test_names_and_labels_stay_and_workers_change_nothing(tmp_path: Path, kind: str, how: str) -> None:
    media = folder(tmp_path / "in", kind)
    for name, workers in (("one", 1), ("three", 3)):
        assert obscure_folder(media, tmp_path / name, how, key=KEY, run=Run(workers=workers)).files == 3
    after = open_media(tmp_path / "one")
    assert after.records.equals(media.records)
    for name in media.files:
        data = (tmp_path / "one" / name).read_bytes()
        assert data == (tmp_path / "three" / name).read_bytes()
        assert data != (tmp_path / "in" / name).read_bytes()


def test_pictures_of_a_folder_are_the_function_of_each(tmp_path: Path) -> None:
    media = folder(tmp_path / "in", "image")
    obscure_folder(media, tmp_path / "out", "blur", {"kernel": "5", "sigma": "2"}, key=KEY)
    for name in media.files:
        want = gaussian_blur(read_picture(tmp_path / "in" / name), 5, 2.0)
        np.testing.assert_array_equal(read_picture(tmp_path / "out" / name), want)


def test_videos_are_blurred_frame_by_frame(tmp_path: Path) -> None:
    media = folder(tmp_path / "in", "video", 1)
    obscure_folder(media, tmp_path / "out", "blur", key=KEY)
    before, after = (read_frames(tmp_path / f / media.files[0], 32, 32) for f in ("in", "out"))
    want = np.stack([gaussian_blur(frame, 11, 10.0) for frame in before])
    assert np.abs(after.astype(int) - want).mean() < 3


def test_draws_depend_on_the_key_and_the_name_and_not_on_the_order(tmp_path: Path) -> None:
    media = folder(tmp_path / "in", "audio")
    turned = Media(media.root, media.kind, media.records.take(pa.array([2, 0, 1])))
    waves = {}
    for name, source, key in (("a", media, KEY), ("b", turned, KEY), ("c", media, Key.of_seed(2))):
        obscure_folder(source, tmp_path / name, "white_noise", {"level": 0.05}, key=key)
        waves[name] = [soundfile.read(tmp_path / name / f)[0] for f in media.files]
    for i in range(3):
        np.testing.assert_array_equal(waves["a"][i], waves["b"][i])
        assert (waves["a"][i] - waves["c"][i]).std() > 0.05
    # The three originals are the same: what differs is the noise.
    assert (waves["a"][0] - waves["a"][1]).std() > 0.05


def test_noise_of_two_levels_is_not_the_same_noise(tmp_path: Path) -> None:
    media = folder(tmp_path / "in", "audio", 1)
    for level in (0.02, 0.04):
        obscure_folder(media, tmp_path / str(level), "white_noise", {"level": level}, key=KEY)
    x, less, more = (soundfile.read(tmp_path / f / media.files[0])[0] for f in ("in", "0.02", "0.04"))
    assert (2 * less - more - x).std() > 0.04


def test_originals_and_foreign_folders_are_never_replaced(tmp_path: Path) -> None:
    media = folder(tmp_path / "in", "image")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("mine")
    for output, says in (
        (media.root, "lie within each other"),
        (media.root / "sub", "in/sub and the originals .* lie within each other"),
        (tmp_path / "other", "not a media folder"),
    ):
        with pytest.raises(SordineError, match=says):
            obscure_folder(media, output, "blur", key=KEY, force=True)
    assert (tmp_path / "other" / "thesis.txt").exists()


def test_bad_files_stop_or_are_left_out(tmp_path: Path) -> None:
    media = folder(tmp_path / "in", "image")
    (tmp_path / "in" / media.files[1]).write_bytes(b"nothing")
    with pytest.raises(SordineError, match=r"a1\.png.*1 bad file of 3.*--skip-bad"):
        obscure_folder(media, tmp_path / "out", "downsample", key=KEY)
    assert not (tmp_path / "out").exists()
    done = obscure_folder(media, tmp_path / "out", "downsample", key=KEY, skip_bad=True)
    assert (done.files, [name for name, _ in done.skipped]) == (2, [media.files[1]])
    assert open_media(tmp_path / "out").files == [media.files[0], media.files[2]]
    with pytest.raises(SordineError, match="--force"):
        obscure_folder(media, tmp_path / "out", "downsample", key=KEY)


@pytest.mark.parametrize(
    ("how", "options", "says"),
    [
        ("blurr", {}, "did you mean 'blur'"),
        ("blur", {"sigmas": 1}, "did you mean 'sigma'"),
        ("blur", {"kernel": 4}, "kernel = 4: must be odd"),
        ("blur", {"sigma": "wide"}, "sigma = 'wide'"),
        ("downsample", {"ratio": 1}, "ratio = 1"),
        ("cover_face", {"ratio": 0}, "ratio = 0"),
        ("mask", {"coverage": 1.5}, "coverage = 1.5"),
        ("white_noise", {"level": -1}, "level = -1"),
    ],
)
def test_wrong_names_and_options_are_one_line(how: str, options: dict[str, object], says: str) -> None:
    with pytest.raises(SordineError, match=says) as caught:
        STYLES.make(how, options)
    assert "\n" not in str(caught.value)


def test_a_baseline_of_another_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SordineError, match=r"'mask'.*blur, downsample, cover_face"):
        obscure_folder(folder(tmp_path / "in", "image"), tmp_path / "out", "mask", key=KEY)


def test_a_picture_that_is_hardly_one_has_no_face() -> None:
    pytest.importorskip("cv2")
    for shape in ((1, 20000, 3), (20000, 1, 3)):
        assert faces.detect(np.zeros(shape, np.uint8)).shape == (0, 4)


def test_faces_are_found_by_several_threads_at_once() -> None:
    pytest.importorskip("cv2")
    pictures = [np.full((64, 64, 3), i, np.uint8) for i in range(16)]
    with ThreadPoolExecutor(4) as pool:
        assert all(found.shape[1] == 4 for found in pool.map(faces.detect, pictures))


def test_what_cannot_be_written_again_is_refused_before_any_work(tmp_path: Path) -> None:
    root = tmp_path / "m"
    root.mkdir()
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(root / "a.gif")
    media = Media(root, "image", pa.table({"file_name": ["a.gif"]}))
    with pytest.raises(SordineError, match=r"m/a\.gif: .*\.gif"):
        obscure_folder(media, tmp_path / "out", "blur", key=Key.of_seed(0), skip_bad=True)
    assert not (tmp_path / "out").exists()


def test_videos_written_at_once_are_the_same_bytes_every_time(tmp_path: Path) -> None:
    """With the encoder's tree of macroblocks, one of these three was another file three times in a hundred."""
    media = folder(tmp_path / "in", "video")
    found = set()
    for number in range(20):
        obscure_folder(media, tmp_path / str(number), "blur", key=KEY, run=Run(workers=3))
        found.add(tuple((tmp_path / str(number) / name).read_bytes() for name in media.files))
    assert len(found) == 1


@pytest.mark.parametrize("example", EXAMPLES)
def test_the_command_s_example_has_a_style_and_its_options(example: str) -> None:
    words = shlex.split(example)
    options = dict(words[i + 1].split("=") for i, word in enumerate(words) if word == "--option")
    assert STYLES.make(words[3], options)


@pytest.mark.parametrize("kind", ["image", "audio", "video"])
def test_a_full_disk_is_no_bad_file(tmp_path, kind):
    media = folder(tmp_path / "m", kind)
    style = "white_noise" if kind == "audio" else "downsample"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(WriteError):
            obscure_folder(media, tmp_path / "out", style, key=KEY, skip_bad=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [p.name for p in tmp_path.iterdir()] == ["m"]

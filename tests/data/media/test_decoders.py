"""Pictures, videos and sound as arrays of one shape: what comes out, and one clear line where nothing can."""

from __future__ import annotations

import struct
import sys
import threading
import tracemalloc
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import soundfile
from PIL import Image

from sordine.data.media import video
from sordine.data.media.audio import Waves, read_clip, resample
from sordine.data.media.cache import NotInstalled, decode
from sordine.data.media.image import Pictures, read_picture, resize
from sordine.data.media.kinds import Media
from sordine.data.media.video import Clips, by_frame, frame_count, read_frames, take_clip
from sordine.errors import SordineError
from sordine.run import Run

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def corners(h: int = 40, w: int = 60) -> np.ndarray:
    """Four plain quarters: red, green / blue, white."""
    x = np.zeros((h, w, 3), np.uint8)
    x[: h // 2, : w // 2], x[: h // 2, w // 2 :] = RED, GREEN
    x[h // 2 :, : w // 2], x[h // 2 :, w // 2 :] = BLUE, WHITE
    return x


def noise(h: int = 40, w: int = 60) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (h, w, 3)).astype(np.uint8)


def refused(call: Any, path: Path, *words: str) -> str:
    with pytest.raises(SordineError) as caught:
        call()
    line = str(caught.value)
    assert str(path) in line
    assert "\n" not in line
    assert len(line) < len(str(path)) + 120
    for word in words:
        assert word in line
    return line


# Pictures


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.tif", "a.ppm", "a.webp"])
def test_a_picture_of_any_format_is_its_colours(tmp_path, name):
    Image.fromarray(noise()).save(tmp_path / name, **({"lossless": True} if name == "a.webp" else {}))
    np.testing.assert_array_equal(read_picture(tmp_path / name), noise())


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize(
    ("orientation", "lies"),  # how the stored picture lies, so that it is upright when turned as EXIF says
    [
        (1, lambda x: x),
        (2, lambda x: x[:, ::-1]),
        (3, lambda x: x[::-1, ::-1]),
        (4, lambda x: x[::-1]),
        (5, lambda x: x.transpose(1, 0, 2)),
        (6, lambda x: np.rot90(x, 1)),
        (7, lambda x: np.rot90(x, 2).transpose(1, 0, 2)),
        (8, lambda x: np.rot90(x, -1)),
    ],
)
def test_exif_orientation_is_applied(tmp_path, suffix, orientation, lies):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(lies(corners()))).save(tmp_path / f"a.{suffix}", exif=exif)
    found = read_picture(tmp_path / f"a.{suffix}")
    assert found.shape == (40, 60, 3)
    for (row, column), colour in zip([(5, 5), (5, 55), (35, 5), (35, 55)], [RED, GREEN, BLUE, WHITE], strict=True):
        assert np.abs(found[row, column].astype(int) - colour).max() < 12
    x, length = Pictures(8, 12).decode(tmp_path / f"a.{suffix}", None)
    assert (x.shape, length) == ((3, 8, 12), 1)
    assert np.abs(x[:, 1, 1].astype(int) - RED).max() < 12
    assert np.abs(x[:, 6, 1].astype(int) - BLUE).max() < 12


def test_damaged_exif_leaves_the_picture(tmp_path):
    Image.fromarray(corners()).save(tmp_path / "a.jpg", exif=b"Exif\0\0MM\0*nothing of the kind")
    assert read_picture(tmp_path / "a.jpg").shape == (40, 60, 3)


def test_sixteen_bits_become_the_nearest_of_eight(tmp_path):
    wide = np.array([[0, 128, 129, 257], [32767, 32768, 65406, 65535]], np.uint16)
    for name in ("a.png", "a.tif", "a.pgm"):
        Image.fromarray(wide).save(tmp_path / name)
        found = read_picture(tmp_path / name)
        np.testing.assert_array_equal(found[..., 0], np.round(wide / 257).astype(np.uint8))
        np.testing.assert_array_equal(found, np.repeat(found[..., :1], 3, axis=2))


@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_numbers_without_a_known_white_are_refused(tmp_path, kind):
    Image.fromarray(np.ones((4, 4), kind)).save(tmp_path / "a.tif")
    refused(lambda: read_picture(tmp_path / "a.tif"), tmp_path / "a.tif", "known white")


def test_every_mode_becomes_red_green_and_blue(tmp_path):
    plain = Image.fromarray(corners())
    plain.quantize(8).save(tmp_path / "palette.png")
    plain.convert("CMYK").save(tmp_path / "cmyk.tif")
    for name in ("palette.png", "cmyk.tif"):
        np.testing.assert_array_equal(read_picture(tmp_path / name), corners())
    plain.convert("CMYK").save(tmp_path / "cmyk.jpg", quality=95)
    assert np.abs(read_picture(tmp_path / "cmyk.jpg")[5, 5].astype(int) - RED).max() < 12
    bits = Image.fromarray(np.array([[0, 255], [255, 0]], np.uint8)).convert("1")
    bits.save(tmp_path / "bits.png")
    assert read_picture(tmp_path / "bits.png")[..., 1].tolist() == [[0, 255], [255, 0]]
    plain.convert("L").save(tmp_path / "grey.png")
    found = read_picture(tmp_path / "grey.png")
    np.testing.assert_array_equal(found[..., 2], np.asarray(plain.convert("L")))


def test_what_is_transparent_is_over_white(tmp_path):
    see_through = np.zeros((1, 3, 4), np.uint8)
    see_through[0, :, 3] = 0, 102, 255
    Image.fromarray(see_through).save(tmp_path / "rgba.png")
    Image.fromarray(see_through[..., 2:]).save(tmp_path / "la.png")
    for name in ("rgba.png", "la.png"):
        assert read_picture(tmp_path / name)[0].tolist() == [[255] * 3, [153] * 3, [0] * 3]
    palette = Image.fromarray(np.array([[0, 1]], np.uint8)).convert("P")
    palette.putpalette([*RED, *BLUE])
    palette.save(tmp_path / "p.png", transparency=0)
    assert read_picture(tmp_path / "p.png")[0].tolist() == [list(WHITE), list(BLUE)]
    Image.fromarray(corners()).save(tmp_path / "key.png", transparency=BLUE)
    assert read_picture(tmp_path / "key.png")[35, 5].tolist() == list(WHITE)


@pytest.mark.parametrize("suffix", ["gif", "png", "webp"])
def test_of_an_animation_the_first_frame(tmp_path, suffix):
    first, second = (Image.new("RGB", (20, 10), c) for c in (RED, BLUE))
    first.save(
        tmp_path / f"a.{suffix}",
        save_all=True,
        append_images=[second],
        **({"lossless": True} if suffix == "webp" else {}),
    )
    assert read_picture(tmp_path / f"a.{suffix}")[5, 5].tolist() == list(RED)


@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.gif", "a.tif", "a.webp", "a.bmp", "a.ppm"])
def test_a_truncated_picture_is_one_line(tmp_path, name):
    path = tmp_path / name
    Image.fromarray(noise()).save(path)
    whole = path.read_bytes()
    for share in (0.9, 0.5, 0.02):
        path.write_bytes(whole[: int(len(whole) * share)])
        refused(lambda: read_picture(path), path, "cannot be decoded as a picture")
        refused(lambda: Pictures(8, 8).decode(path, None), path)
    path.write_bytes(b"")
    refused(lambda: read_picture(path), path, "empty")
    path.write_bytes(b"nothing of the kind" * 100)
    refused(lambda: read_picture(path), path, "not a picture")
    path.unlink()
    refused(lambda: read_picture(path), path, "does not exist")


def test_a_flipped_byte_of_a_png_is_found(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(noise()).save(path)
    broken = bytearray(path.read_bytes())
    broken[len(broken) // 2] ^= 0xFF
    path.write_bytes(bytes(broken))
    refused(lambda: read_picture(path), path)


@pytest.mark.parametrize("side", [10_000, 60_000])  # Pillow warns of the one and refuses the other
def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path, side, recwarn):
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + data)
    refused(lambda: read_picture(tmp_path / "bomb.png"), tmp_path / "bomb.png", "too many pixels")
    assert not recwarn.list


def test_no_interpreter_is_started_for_a_picture(tmp_path):
    path = tmp_path / "a.png"
    Image.fromarray(corners()).save(tmp_path / "a.eps")
    path.write_bytes((tmp_path / "a.eps").read_bytes())
    refused(lambda: read_picture(path), path, "not a picture")


def test_pictures_are_resized_antialiased_to_exactly_the_size(tmp_path):
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    Image.fromarray(stripes).save(tmp_path / "a.png")
    x, _ = Pictures(7, 16).decode(tmp_path / "a.png", None)
    assert (x.shape, x.dtype) == ((3, 7, 16), np.uint8)
    assert np.abs(x[:, :, 2:-2].astype(int) - 127).max() <= 4  # picking every fourth column would give 0 or 255
    np.testing.assert_array_equal(np.moveaxis(x, 0, -1), resize(stripes, 7, 16))
    same, _ = Pictures(64, 64).decode(tmp_path / "a.png", None)
    np.testing.assert_array_equal(np.moveaxis(same, 0, -1), stripes)
    assert same.flags.c_contiguous


def test_grey_is_luma(tmp_path):
    Image.fromarray(corners()).save(tmp_path / "a.png")
    decoder = Pictures(40, 60, grey=True)
    x, _ = decoder.decode(tmp_path / "a.png", None)
    assert x.shape == decoder.shape == (1, 40, 60)
    assert x[0, [5, 5, 35, 35], [5, 55, 5, 55]].tolist() == [76, 150, 29, 255]


def test_the_halving_of_a_large_jpeg_is_close_and_always_the_same(tmp_path):
    rows, columns = np.mgrid[0:500, 0:700] / 700
    smooth = np.stack([rows, columns, (rows + columns) / 2], axis=-1)
    Image.fromarray((255 * smooth).astype(np.uint8)).save(tmp_path / "a.jpg", quality=95)
    x, _ = Pictures(50, 70).decode(tmp_path / "a.jpg", None)
    again, _ = Pictures(50, 70).decode(tmp_path / "a.jpg", None)
    np.testing.assert_array_equal(x, again)
    exact = resize(read_picture(tmp_path / "a.jpg"), 50, 70)
    assert np.abs(np.moveaxis(x, 0, -1).astype(int) - exact).max() <= 3


def test_a_picture_has_no_frame_and_no_size_of_nothing(tmp_path):
    Image.fromarray(corners()).save(tmp_path / "a.png")
    refused(lambda: Pictures(4, 4).decode(tmp_path / "a.png", 3), tmp_path / "a.png", "no frame 3")
    for height, width in ((0, 4), (4, -1)):
        with pytest.raises(SordineError, match=f"a picture of {height} x {width} "):
            Pictures(height, width)


# Video

av = pytest.importorskip("av")


def write_video(
    path: Path, n: int = 12, size: tuple[int, int] = (32, 48), codec: str = "mpeg4", grain: bool = False, **options: str
) -> Path:
    """Frame i: a field of brightness 10 + 15 i with a red upper left quarter; grain: noise, whose frames are large."""
    h, w = size
    with av.open(str(path), "w", options=options) as container:
        stream = container.add_stream(codec, rate=25)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = w, h, "yuv420p", 4_000_000
        for i in range(n):
            x = np.full((h, w, 3), 10 + 15 * i, np.uint8)
            x[: h // 2, : w // 2] = RED
            if grain:
                x = np.random.default_rng(i).integers(0, 256, x.shape).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(x, format="rgb24")))
        container.mux(stream.encode())
    return path


def brightness(frames: np.ndarray) -> np.ndarray:
    """Which frame each of (n, h, w, 3) is, by the lower right quarter of what `write_video` draws."""
    h, w = frames.shape[1:3]
    level = frames[:, h // 2 + 2 :, w // 2 + 2 :].mean(axis=(1, 2, 3))
    return np.round((level - 10) / 15).astype(int)


FORMATS = ("a.mp4", "a.avi", "a.mkv", "a.mpg")


def codec_of(name: str) -> str:
    return "mpeg2video" if name.endswith(".mpg") else "mpeg4"


@pytest.mark.parametrize("name", FORMATS)
def test_every_frame_in_order_and_of_the_size(tmp_path, name):
    path = write_video(tmp_path / name, codec=codec_of(name))
    frames = read_frames(path, 16, 20)
    assert (frames.shape, frames.dtype) == ((12, 16, 20, 3), np.uint8)
    assert brightness(frames).tolist() == list(range(12))
    assert np.abs(frames[3, 3, 4].astype(int) - RED).max() < 30
    assert frame_count(path) == 12
    np.testing.assert_array_equal(frames, read_frames(path, 16, 20))


def test_a_video_on_its_side_is_turned_upright(tmp_path):
    path = write_video(tmp_path / "a.mp4")
    data = path.read_bytes()
    upright = struct.pack(">9I", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    # A quarter turn clockwise, as a telephone held upright writes it, in the track's header: the second such matrix.
    turned = struct.pack(">3i3i3i", 0, 1 << 16, 0, -(1 << 16), 0, 0, 32 << 16, 0, 1 << 30)
    at = data.index(upright, data.index(b"tkhd"))
    path.write_bytes(data[:at] + turned + data[at + len(turned) :])
    frames = read_frames(path, 48, 32)
    red = frames[6, :, :, 0].astype(int) - frames[6, :, :, 1]
    # The upper left quarter of what lay on its side is the upper right one of what stands.
    assert red[4:20, 20:28].min() > 120
    assert np.abs(red[28:44, 20:28]).max() < 60
    assert np.abs(red[4:20, 4:12]).max() < 60


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.mp4", "mpeg4", {}),
        ("a.mp4", "mpeg4", {"movflags": "faststart"}),
        ("a.avi", "mpeg4", {}),
        ("a.mkv", "mpeg4", {}),
    ],
)
def test_a_cut_off_video_is_one_line(tmp_path, name, codec, options):
    path = write_video(tmp_path / name, codec=codec, **options)
    whole = path.read_bytes()
    for share in (0.9, 0.5, 0.02):
        path.write_bytes(whole[: int(len(whole) * share)])
        refused(lambda: read_frames(path, 16, 16), path, "cannot be decoded as video")
        refused(lambda: Clips(16, 16).decode(path, 1), path)
        refused(lambda: frame_count(path), path)
    path.write_bytes(b"")
    refused(lambda: read_frames(path, 16, 16), path, "empty")
    path.write_bytes(b"nothing of the kind" * 100)
    refused(lambda: read_frames(path, 16, 16), path)
    path.unlink()
    refused(lambda: read_frames(path, 16, 16), path, "does not exist")
    refused(lambda: Clips(16, 16).decode(path, 0), path, "does not exist")


def test_a_cut_is_found_by_whatever_shows_it(tmp_path):
    path = write_video(tmp_path / "a.mp4", movflags="faststart")
    path.write_bytes(path.read_bytes()[:-20])
    refused(
        lambda: Clips(16, 16, frames=2).decode(path, None), path, "truncated"
    )  # by the index: the clip lies before it
    path = write_video(tmp_path / "a.mpg", codec="mpeg2video", grain=True)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])  # whose header says nothing of its length
    refused(lambda: read_frames(path, 16, 16), path, "damaged or truncated")  # by the frame itself


def test_a_file_of_sound_holds_no_video(tmp_path):
    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    refused(lambda: read_frames(tmp_path / "a.mp4", 8, 8), tmp_path / "a.mp4", "no video")


def test_a_playlist_under_a_videos_name_opens_nothing_else(tmp_path):
    write_video(tmp_path / "other.mp4")
    lists = {
        "hls.mp4": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nother.mp4\n#EXT-X-ENDLIST\n",
        "concat.mp4": "ffconcat version 1.0\nfile other.mp4\n",
    }
    for name, text in lists.items():
        (tmp_path / name).write_text(text)
        refused(lambda name=name: read_frames(tmp_path / name, 8, 8), tmp_path / name, "cannot be decoded as video")


def test_without_pyav_one_line_says_what_to_install(tmp_path, monkeypatch):
    path = write_video(tmp_path / "a.mp4")
    monkeypatch.setenv("SORDINE_CACHE", str(tmp_path / "cache"))
    media = folder(tmp_path, ["a.mp4"])
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "av", None)
        for call in (
            lambda: read_frames(path, 8, 8),
            lambda: Clips(8, 8).decode(path, 0),
            lambda: by_frame(media),
            lambda: decode(media, Clips(8, 8), skip_bad=True),  # no file is bad for it
        ):
            with pytest.raises(NotInstalled, match=r"pip install 'sordine\[video\]'$"):
                call()
    assert len(decode(media, Clips(8, 8), skip_bad=True)) == 1
    assert len(by_frame(media)) == 12


@pytest.mark.parametrize(
    ("n", "frames", "step", "centre", "found"),
    [
        (20, 4, 2, None, [0, 2, 4, 6]),
        (7, 4, 2, None, [0, 2, 4, 6]),
        (6, 4, 2, None, [0, 2, 4, 4]),
        (1, 3, 5, None, [0, 0, 0]),
        (20, 4, 2, 10, [6, 8, 10, 12]),
        (20, 4, 2, 11, [7, 9, 11, 13]),
        (20, 5, 2, 10, [6, 8, 10, 12, 14]),
        (20, 4, 2, 0, [0, 2, 4, 6]),
        (20, 4, 2, 1, [1, 3, 5, 7]),
        (20, 4, 2, 19, [13, 15, 17, 19]),
        (20, 4, 2, 18, [12, 14, 16, 18]),
        (5, 4, 2, 3, [1, 3, 3, 3]),
        (5, 1, 7, 4, [4]),
    ],
)
def test_which_frames_make_a_clip(n, frames, step, centre, found):
    assert take_clip(n, frames, step, centre).tolist() == found


def test_a_clip_around_a_frame_stays_inside_and_holds_it():
    for n in (1, 2, 9, 30):
        for frames, step in ((1, 1), (4, 1), (5, 3), (16, 2)):
            for centre in range(n):
                found = take_clip(n, frames, step, centre)
                assert found.shape == (frames,)
                assert centre in found
                assert 0 <= found.min() <= found.max() < n
                assert set(np.diff(found)) <= {0, step}
                distinct = len(np.unique(found))
                assert distinct == min(frames, len(range(centre % step, n, step)))
    for wrong in ((0, 4, 2, None), (5, 0, 2, None), (5, 4, 0, None), (5, 4, 2, 5), (5, 4, 2, -1)):
        with pytest.raises(SordineError):
            take_clip(*wrong)


def test_clips_of_a_video_and_of_its_frames(tmp_path):
    path = write_video(tmp_path / "a.mp4")
    decoder = Clips(16, 20, frames=4, step=2)
    x, length = decoder.decode(path, None)
    assert (x.shape, x.dtype, length) == (decoder.shape, decoder.dtype, 4)
    assert x.flags.c_contiguous
    frames = read_frames(path, 16, 20)
    np.testing.assert_array_equal(np.moveaxis(x, 1, -1), frames[[0, 2, 4, 6]])
    for frame, expected in ((0, [0, 2, 4, 6]), (5, [1, 3, 5, 7]), (11, [5, 7, 9, 11])):
        around, length = decoder.decode(path, frame)
        np.testing.assert_array_equal(np.moveaxis(around, 1, -1), frames[expected])
        assert length == 4
    short, length = Clips(16, 20, frames=16, step=2).decode(path, None)
    assert length == 6
    np.testing.assert_array_equal(np.moveaxis(short, 1, -1), frames[[0, 2, 4, 6, 8, 10] + [10] * 10])
    _, length = Clips(16, 20, frames=16, step=2).decode(path, 3)
    assert length == 6
    refused(lambda: decoder.decode(path, 12), path, "no frame 12", "12 frames")
    with pytest.raises(SordineError, match="a clip of 0 frames"):
        Clips(16, 16, frames=0)


def test_a_picture_is_a_clip_of_itself(tmp_path, monkeypatch):
    monkeypatch.setenv("SORDINE_CACHE", str(tmp_path / "cache"))
    Image.fromarray(noise()).save(tmp_path / "a.png")
    media = Media(tmp_path, "image", pa.table({"file_name": ["a.png"]}))
    found = decode(media, Clips(16, 20, frames=3))
    still, _ = Pictures(16, 20).decode(tmp_path / "a.png", None)
    np.testing.assert_array_equal(found.x[0], [still] * 3)
    assert (found.lengths.tolist(), found.kind) == ([1], "image")


def folder(root: Path, names: list[str], **columns: list[Any]) -> Media:
    return Media(root, "video", pa.table({"file_name": names, **columns}), ("a note",))


def test_one_record_a_frame(tmp_path):
    write_video(tmp_path / "a.mp4", n=5)
    write_video(tmp_path / "b.mp4", n=3)
    (tmp_path / "bad.mp4").write_bytes(b"nothing")
    names = ["b.mp4", "bad.mp4", "a.mp4"]
    media = by_frame(folder(tmp_path, names, who=["x", "y", "z"], split=["train", "test", "train"]))
    assert media.files == ["b.mp4"] * 3 + ["bad.mp4"] + ["a.mp4"] * 5
    assert media.frames == [0, 1, 2, 0, 0, 1, 2, 3, 4]
    assert media.records["frame"].type == pa.int64()
    assert media.records["group"].to_pylist() == media.files
    assert media.records["who"].to_pylist() == list("xxxyzzzzz")
    assert media.notes == ("a note",)
    assert len(set(media.ids)) == 9
    third = by_frame(folder(tmp_path, names, id=["1", "2", "3"], group=["g", "h", "g"]), every=2)
    assert third.frames == [0, 2, 0, 0, 2, 4]
    assert third.records["group"].to_pylist() == list("gghggg")
    assert third.ids == ["1#00000", "1#00002", "2#00000", "3#00000", "3#00002", "3#00004"]
    with pytest.raises(SordineError, match="frames already"):
        by_frame(media)
    with pytest.raises(SordineError, match="every=0"):
        by_frame(folder(tmp_path, names), every=0)
    with pytest.raises(SordineError, match="contains image, not video"):
        by_frame(Media(tmp_path, "image", pa.table({"file_name": ["a.png"]})))


def test_a_folder_of_frames_decodes_each_video_once(tmp_path, monkeypatch):
    monkeypatch.setenv("SORDINE_CACHE", str(tmp_path / "cache"))
    names = [f"{i}.mp4" for i in range(4)]
    for i, name in enumerate(names):
        write_video(tmp_path / name, n=6 + i)
    (tmp_path / "bad.mp4").write_bytes(b"nothing")
    media = by_frame(folder(tmp_path, [*names, "bad.mp4"]))
    opened: list[str] = []
    lock, real = threading.Lock(), video._decoded

    def counted(path: Path) -> Any:
        with lock:
            opened.append(path.name)
        return real(path)

    monkeypatch.setattr(video, "_decoded", counted)
    decoder = Clips(16, 20, frames=3, step=1)
    found = decode(media, decoder, skip_bad=True, run=Run(workers=2))
    assert sorted(opened) == sorted([*names, "bad.mp4"])
    assert len(found) == 6 + 7 + 8 + 9
    assert [name for name, _ in found.bad] == ["bad.mp4"]
    rows = [media.frames[row] for row in found.rows]
    frames = np.moveaxis(found.x, 2, -1)
    for frame, x in zip(rows, frames, strict=True):
        assert frame in brightness(x)
    assert brightness(frames[7]).tolist() == [0, 1, 2]
    write_video(tmp_path / "0.mp4", n=3)  # another video under the same name is not taken for the one in memory
    assert decoder.decode(tmp_path / "0.mp4", 2)[1] == 3
    refused(lambda: decoder.decode(tmp_path / "0.mp4", 4), tmp_path / "0.mp4", "no frame 4")


def test_a_video_too_long_to_hold_is_refused(tmp_path, monkeypatch):
    path = write_video(tmp_path / "a.mp4")
    monkeypatch.setattr(video, "MAX_BYTES", 16 * 16 * 3 * 11)
    refused(lambda: read_frames(path, 16, 16), path, "more than 11 frames")
    assert len(read_frames(path, 12, 16)) == 12
    assert Clips(16, 16, frames=4).decode(path, None)[1] == 4  # which reads no more than it shows


# Sound


def tone(rate: int, seconds: float = 0.5) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * 440 * np.arange(int(rate * seconds)) / rate)).astype(np.float32)


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
def test_waves_are_cut_or_filled_at_the_end(tmp_path, name):
    soundfile.write(tmp_path / name, tone(8000), 8000, subtype="PCM_16")
    whole, _ = read_clip(tmp_path / name)
    decoder = Waves(8000, 5000)
    x, length = decoder.decode(tmp_path / name, None)
    assert (x.shape, x.dtype, length) == (decoder.shape, decoder.dtype, 4000)
    np.testing.assert_array_equal(x, np.concatenate([whole, np.zeros(1000, np.float32)]))
    x, length = Waves(8000, 1500).decode(tmp_path / name, None)
    assert length == 1500
    np.testing.assert_array_equal(x, whole[:1500])


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 44100])
@pytest.mark.parametrize("samples", [1, 777, 3000, 100_000])
def test_waves_are_the_resampled_clip_wherever_they_are_cut(tmp_path, rate, samples):
    soundfile.write(tmp_path / "a.wav", np.stack([tone(16000), np.zeros(8000)], axis=1), 16000, subtype="FLOAT")
    wave, source = read_clip(tmp_path / "a.wav")
    whole = resample(wave, source, rate)
    x, length = Waves(rate, samples).decode(tmp_path / "a.wav", None)
    assert length == min(samples, len(whole)) == min(samples, -(-8000 * rate // 16000))
    np.testing.assert_array_equal(x[:length], whole[:samples])
    assert not x[length:].any()


def test_bad_sound_is_one_line(tmp_path):
    path = tmp_path / "a.wav"
    soundfile.write(path, tone(8000), 8000)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    refused(lambda: Waves(8000, 10).decode(path, None), path, "truncated")
    path.write_bytes(b"")
    refused(lambda: Waves(8000, 10).decode(path, None), path)
    refused(lambda: Waves(8000, 10).decode(path, 2), path, "no frame 2")
    for rate, samples in ((0, 10), (10, 0)):
        with pytest.raises(SordineError, match=f"{samples} samples at a rate of {rate};"):
            Waves(rate, samples)


def test_a_small_file_with_hours_of_sound_is_refused_before_it_fills_memory(tmp_path, monkeypatch):
    with soundfile.SoundFile(tmp_path / "a.flac", "w", 48_000, 2, format="FLAC") as file:
        for _ in range(20):
            file.write(np.zeros((1_000_000, 2), np.int16))
    assert (tmp_path / "a.flac").stat().st_size < 1_000_000
    monkeypatch.setattr("sordine.data.media.audio.LONGEST", 1_000_000)
    tracemalloc.start()
    with pytest.raises(SordineError, match="more than 1,000,000 samples"):
        read_clip(tmp_path / "a.flac")
    assert tracemalloc.get_traced_memory()[1] < 40e6  # all of it would take 160 MB
    tracemalloc.stop()


def test_sound_that_is_decoded_in_blocks_has_the_same_numbers(tmp_path, monkeypatch):
    x = np.random.default_rng(0).normal(size=(5000, 3)).astype(np.float32) / 9
    soundfile.write(tmp_path / "a.wav", x, 8000, subtype="FLOAT")
    whole, _ = read_clip(tmp_path / "a.wav")
    monkeypatch.setattr("sordine.data.media.audio.BLOCK", 100)
    blocks, rate = read_clip(tmp_path / "a.wav")
    assert np.array_equal(whole, blocks)
    assert np.array_equal(whole, x.mean(axis=1, dtype=np.float32))
    assert rate == 8000

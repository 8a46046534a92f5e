"""Media written back: the same content, none of what stood beside it, the same bytes every time."""

from __future__ import annotations

import hashlib
import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from PIL import Image, PngImagePlugin

from sordine.data.media import video_encoding as videofile
from sordine.data.media.image import read_picture
from sordine.data.media.video import frame_count, read_frames
from sordine.data.media.write import PICTURES, SOUNDS, VIDEOS, strip, thumbnail, write_picture, write_video, write_wave
from sordine.errors import SordineError

SECRET = "Anna-Liebermann"
RATE = 8000


def noise(h: int = 40, w: int = 60, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (h, w, channels)).astype(np.uint8).squeeze()


def tone(seconds: float = 0.5, rate: int = RATE) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)


def moving(frames: int = 12, h: int = 32, w: int = 48) -> np.ndarray:
    """A bright square that moves to the right: (t, 3, h, w)."""
    x = np.full((frames, 3, h, w), 40, np.uint8)
    for t in range(frames):
        x[t, :, 8:24, 2 * t : 2 * t + 16] = 200
    return x


def bits(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def says_nothing(path: Path) -> None:
    data = path.read_bytes()
    assert SECRET.encode() not in data
    assert path.stat().st_mtime == 315532800  # 1980-01-01


def video(path: Path, **more: Any) -> Path:
    """A tagged video, with a voice, and x264's own words in the stream."""
    import av

    x = moving()
    codec, options = more.get("codec", "libx264"), more.get("options", {})
    with av.open(str(path), "w") as out:
        out.metadata.update({"title": SECRET, "comment": SECRET, "creation_time": "2020-02-02T02:02:02Z"})
        shown = out.add_stream(codec, rate=25, options=options)
        shown.width, shown.height, shown.pix_fmt = 48, 32, "yuv420p"
        spoken = out.add_stream("aac", rate=RATE, layout="mono")
        for stream in (shown, spoken):
            stream.metadata["title"] = stream.metadata["handler_name"] = SECRET
        for t, frame in enumerate(x):
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(np.moveaxis(frame, 0, -1)), format="rgb24")
            picture.pts = t
            out.mux(shown.encode(picture))
        out.mux(shown.encode(None))
        wave = av.AudioFrame.from_ndarray(tone()[None].astype(np.float32), format="fltp", layout="mono")
        wave.sample_rate = RATE
        out.mux(spoken.encode(wave))
        out.mux(spoken.encode(None))
    return path


# Pictures


def test_a_picture_is_stripped_to_its_upright_pixels(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x010E], exif[0x0112] = SECRET, 6
    gps = exif.get_ifd(0x8825)
    gps[1] = SECRET
    image = Image.fromarray(noise())
    image.save(tmp_path / "a.jpg", exif=exif, comment=SECRET.encode(), icc_profile=SECRET.encode(), quality=95)
    with open(tmp_path / "a.jpg", "ab") as file:
        file.write(SECRET.encode())  # behind the end
    assert (tmp_path / "a.jpg").read_bytes().count(SECRET.encode()) >= 4
    path = strip(tmp_path / "a.jpg", tmp_path / "out" / "b.c")
    assert path == tmp_path / "out" / "b.c.png"
    says_nothing(path)
    np.testing.assert_array_equal(read_picture(path), read_picture(tmp_path / "a.jpg"))
    with Image.open(path) as stripped:
        assert stripped.size == (40, 60)  # turned by a quarter
        assert stripped.info == {}
        assert not stripped.getexif()


def test_text_of_a_png_goes_and_grey_stays_one_channel(tmp_path: Path) -> None:
    text = PngImagePlugin.PngInfo()
    text.add_text("Author", SECRET)
    text.add_itxt("XML:com.adobe.xmp", SECRET)
    Image.fromarray(noise(channels=1)).save(tmp_path / "a.png", pnginfo=text)
    path = strip(tmp_path / "a.png", tmp_path / "b")
    says_nothing(path)
    kinds = [path.read_bytes()[8:][i + 4 : i + 8] for i in chunks(path.read_bytes()[8:])]
    assert set(kinds) == {b"IHDR", b"IDAT", b"IEND"}
    with Image.open(path) as stripped:
        assert stripped.mode == "L"
        np.testing.assert_array_equal(np.asarray(stripped), noise(channels=1))


def chunks(data: bytes) -> list[int]:
    """Where the chunks of a PNG begin."""
    at, found = 0, []
    while at < len(data):
        found.append(at)
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    return found


@pytest.mark.parametrize("suffix", PICTURES)
def test_written_pictures_are_what_was_given_and_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    x = np.moveaxis(noise(), -1, 0)
    for name in ("a", "b"):
        write_picture(x, tmp_path / (name + suffix))
    assert bits(tmp_path / f"a{suffix}") == bits(tmp_path / f"b{suffix}")
    error = np.abs(read_picture(tmp_path / f"a{suffix}").astype(int) - noise())
    assert error.max() == 0 if suffix not in (".jpg", ".jpeg") else 0 < error.mean() < 1.5
    write_picture(x[:1], tmp_path / f"grey{suffix}")
    assert (np.ptp(read_picture(tmp_path / f"grey{suffix}"), axis=-1) == 0).all()


# Sound


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24"])
def test_samples_of_integers_stay_what_they_are(tmp_path: Path, subtype: str) -> None:
    x = np.stack([tone(), -0.3 * tone()], 1)
    with soundfile.SoundFile(tmp_path / "a.wav", "w", 11025, 2, subtype) as file:
        file.title, file.artist, file.comment = SECRET, SECRET, SECRET
        file.write(x)
    assert SECRET.encode() in (tmp_path / "a.wav").read_bytes()
    path = strip(tmp_path / "a.wav", tmp_path / "b")
    assert path.name == "b.flac"
    says_nothing(path)
    info = soundfile.info(path)
    assert (info.samplerate, info.channels, info.subtype) == (11025, 2, subtype.replace("U8", "S8"))
    np.testing.assert_array_equal(
        soundfile.read(path, dtype="int32")[0], soundfile.read(tmp_path / "a.wav", dtype="int32")[0]
    )


def test_tags_of_flac_go(tmp_path: Path) -> None:
    with soundfile.SoundFile(tmp_path / "a.flac", "w", RATE, 1, "PCM_16") as file:
        file.title = SECRET
        file.write(tone())
    assert SECRET.encode() in (tmp_path / "a.flac").read_bytes()
    path = strip(tmp_path / "a.flac", tmp_path / "b")
    says_nothing(path)
    assert soundfile.SoundFile(path).copy_metadata() == {}


def test_floating_point_becomes_the_nearest_of_24_bits_cut_at_full_scale(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.array([0.3, -0.7, 1.5, -1.5]), RATE, subtype="DOUBLE")
    path = strip(tmp_path / "a.wav", tmp_path / "b")
    assert soundfile.info(path).subtype == "PCM_24"
    x = soundfile.read(path)[0] * 2**23
    np.testing.assert_array_equal(x, [round(0.3 * 2**23), round(-0.7 * 2**23), 2**23 - 1, -(2**23)])


def test_mp3_becomes_16_bits_without_its_tags(tmp_path: Path) -> None:
    with soundfile.SoundFile(tmp_path / "a.mp3", "w", 16000, 1, format="MP3") as file:
        file.title = SECRET
        file.write(tone(1, 16000))
    assert SECRET.encode() in (tmp_path / "a.mp3").read_bytes()
    path = strip(tmp_path / "a.mp3", tmp_path / "b")
    says_nothing(path)
    assert soundfile.info(path).subtype == "PCM_16"
    assert len(soundfile.read(path)[0]) == len(soundfile.read(tmp_path / "a.mp3")[0])


@pytest.mark.parametrize("suffix", SOUNDS)
@pytest.mark.parametrize("depth", [16, 24])
def test_written_sound_is_what_was_given_and_the_same_bytes(tmp_path: Path, suffix: str, depth: int) -> None:
    x = np.array([0.5, -0.25, 1.0, -1.0, 0.1])
    for name in ("a", "b"):
        write_wave(x, RATE, tmp_path / (name + suffix), depth)
    assert bits(tmp_path / f"a{suffix}") == bits(tmp_path / f"b{suffix}")
    read, rate = soundfile.read(tmp_path / f"a{suffix}")
    top = 2 ** (depth - 1)
    assert rate == RATE
    np.testing.assert_array_equal(read * top, [top // 2, -top // 4, top - 1, -top, round(0.1 * top)])


@pytest.mark.parametrize("suffix", [".mp3", ".ogg"])
def test_lossy_sound_keeps_its_length_and_is_near(tmp_path: Path, suffix: str) -> None:
    x = tone(1, 16000)
    write_wave(x, 16000, tmp_path / f"a{suffix}")
    read, _ = soundfile.read(tmp_path / f"a{suffix}")
    assert len(read) == len(x)
    assert np.sqrt(np.mean((read - x) ** 2)) < 0.01


# Videos


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_video_is_taken_over_without_its_words_and_its_voice(tmp_path: Path, suffix: str) -> None:
    import av

    source = video(tmp_path / f"a.{suffix}")
    assert SECRET.encode() in source.read_bytes()
    assert b"x264 - core" in source.read_bytes()  # the encoder's words, inside the stream
    path = strip(source, tmp_path / "b")
    assert path.name == "b.mp4"
    says_nothing(path)
    assert b"x264 - core" not in path.read_bytes()
    np.testing.assert_array_equal(read_frames(path, 32, 48), read_frames(source, 32, 48))
    with av.open(str(path)) as stripped:
        assert len(stripped.streams) == 1
        assert not {"title", "comment", "creation_time", "encoder"} & set(stripped.metadata)
        assert "creation_time" not in stripped.streams[0].metadata
        assert stripped.streams[0].average_rate == 25
    again = strip(source, tmp_path / "c")
    assert bits(path) == bits(again)


@pytest.mark.parametrize("name", ["a.avi", "a.mp4"])
def test_what_is_not_taken_over_is_encoded_anew(tmp_path: Path, name: str) -> None:
    source = video(tmp_path / name, codec="mpeg4", options={"qscale": "2"})
    path = strip(source, tmp_path / "b")
    says_nothing(path)
    assert b"Lavc" not in path.read_bytes()
    assert frame_count(path) == frame_count(source) == 12
    error = np.abs(read_frames(path, 32, 48).astype(int) - read_frames(source, 32, 48))
    assert error.mean() < 3
    assert bits(path) == bits(strip(source, tmp_path / "c"))


def test_a_turned_video_lies_upright(tmp_path: Path) -> None:
    import av

    write_video(moving(), 25, tmp_path / "plain.mp4")
    with av.open(str(tmp_path / "plain.mp4")) as source, av.open(str(tmp_path / "a.mp4"), "w") as out:
        target = out.add_stream_from_template(source.streams.video[0])
        target.set_display_rotation(90)
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = target
                out.mux(packet)
    path = strip(tmp_path / "a.mp4", tmp_path / "b")
    with av.open(str(path)) as stripped:
        frame = next(stripped.decode(video=0))
        assert (frame.height, frame.width, frame.rotation) == (48, 32, 0)
    error = np.abs(read_frames(path, 48, 32).astype(int) - read_frames(tmp_path / "a.mp4", 48, 32))
    assert error.mean() < 3


def test_the_voice_stays_where_it_is_asked_for(tmp_path: Path) -> None:
    import av

    path = strip(video(tmp_path / "a.mp4"), tmp_path / "b", keep_sound=True)
    says_nothing(path)
    with av.open(str(path)) as stripped:
        assert [s.type for s in stripped.streams] == ["video", "audio"]
        wave = np.concatenate([f.to_ndarray()[0] for f in stripped.decode(audio=0)])
    assert abs(np.abs(wave).max() - 0.5) < 0.1
    assert abs(np.abs(np.fft.rfft(wave)).argmax() * RATE / len(wave) - 440) < 5


@pytest.mark.parametrize("suffix", VIDEOS)
@pytest.mark.parametrize("size", [(32, 48), (33, 47)])
def test_written_videos_are_near_and_the_same_bytes(tmp_path: Path, suffix: str, size: tuple[int, int]) -> None:
    x = moving(6, *size)
    write_video(x, Fraction(30000, 1001), tmp_path / f"a{suffix}")
    write_video(iter(x), Fraction(30000, 1001), tmp_path / f"b{suffix}")
    assert bits(tmp_path / f"a{suffix}") == bits(tmp_path / f"b{suffix}")
    read = read_frames(tmp_path / f"a{suffix}", *size)
    assert read.shape == (6, *size, 3)
    assert np.abs(read.astype(int) - np.moveaxis(x, 1, -1)).mean() < 3
    assert abs(videofile.video_rate(tmp_path / f"a{suffix}") - Fraction(30000, 1001)) < 0.05


# Thumbnails


def test_a_small_picture(tmp_path: Path) -> None:
    Image.fromarray(noise(300, 400)).save(tmp_path / "a.png")
    mime, data = thumbnail(tmp_path / "a.png", "image", 20_000)
    assert (mime, Image.open(io.BytesIO(data)).size) == ("image/jpeg", (160, 120))
    assert len(thumbnail(tmp_path / "a.png", "image", 2_000)[1]) <= 2_000
    assert "exif" not in Image.open(io.BytesIO(data)).info


def test_a_small_sound(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(5, 44100), 44100)
    mime, data = thumbnail(tmp_path / "a.wav", "audio", 200_000)
    x, rate = soundfile.read(io.BytesIO(data))
    assert (mime, rate, len(x)) == ("audio/flac", 16000, 48000)
    assert abs(np.abs(np.fft.rfft(x)).argmax() / 3 - 440) < 2
    _, less = thumbnail(tmp_path / "a.wav", "audio", len(data) - 1)
    assert soundfile.info(io.BytesIO(less)).samplerate == 8000


def test_a_small_video_moves(tmp_path: Path) -> None:
    write_video(moving(100, 120, 320), 25, tmp_path / "a.mp4")
    mime, data = thumbnail(tmp_path / "a.mp4", "video", 100_000)
    shown: Any = Image.open(io.BytesIO(data))
    assert (mime, shown.format, shown.size) == ("image/webp", "WEBP", (160, 60))
    assert shown.n_frames == 19  # every fourth of the first 75
    first = np.asarray(shown.convert("RGB")).astype(int)
    shown.seek(10)
    assert np.abs(np.asarray(shown.convert("RGB")) - first).max() > 100


def test_thumbnails_are_the_same_bytes_and_say_when_nothing_fits(tmp_path: Path) -> None:
    video(tmp_path / "a.mp4")
    assert thumbnail(tmp_path / "a.mp4", "video", 50_000) == thumbnail(tmp_path / "a.mp4", "video", 50_000)
    with pytest.raises(SordineError, match=r"a\.mp4 cannot be made smaller than 10 bytes"):
        thumbnail(tmp_path / "a.mp4", "video", 10)


# What cannot be


def test_bad_files_and_calls_are_one_line_and_leave_nothing(tmp_path: Path) -> None:
    for name in ("a.png", "a.wav", "a.mp4"):
        (tmp_path / name).write_bytes(b"no media at all")
        with pytest.raises(SordineError, match=f"{name} cannot be decoded"):
            strip(tmp_path / name, tmp_path / "out" / "b")
    with pytest.raises(SordineError, match="by its suffix"):
        strip(tmp_path / "a.txt", tmp_path / "b")
    with pytest.raises(SordineError, match=r"cannot be written as '\.gif'"):
        write_picture(np.zeros((3, 4, 4), np.uint8), tmp_path / "b.gif")
    with pytest.raises(SordineError, match=r"not \(4, 4\) uint8"):
        write_picture(np.zeros((4, 4), np.uint8), tmp_path / "b.png")
    with pytest.raises(SordineError, match="all samples must be finite"):
        write_wave(np.array([0.0, np.nan]), RATE, tmp_path / "b.wav")
    with pytest.raises(SordineError, match="one or more frames"):
        write_video([], 25, tmp_path / "b.mp4")
    with pytest.raises(SordineError, match=r"frame 1 is \(3, 4, 4\)"):
        write_video([np.zeros((3, 8, 8), np.uint8), np.zeros((3, 4, 4), np.uint8)], 25, tmp_path / "b.mp4")
    assert {p.name for p in tmp_path.rglob("*") if p.is_file()} == {"a.png", "a.wav", "a.mp4"}

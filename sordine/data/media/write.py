"""Media written back: pictures, sound and videos without anything that the originals' files say beside their content."""

from __future__ import annotations

import io
import itertools
import os
from collections.abc import Iterable, Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sordine.data.files import atomic
from sordine.data.media.audio import read_clip, resample
from sordine.data.media.image import read_picture
from sordine.data.media.kinds import Kind, kind_of
from sordine.data.media.video import frame_count
from sordine.data.media.video_encoding import can_be_taken_over, encode, take_over, video_frames, video_rate
from sordine.errors import SordineError

if TYPE_CHECKING:
    from PIL import Image

# Formats by suffix, each with what makes it as faithful as it can be.
PICTURES: dict[str, tuple[str, dict[str, Any]]] = {
    ".png": ("PNG", {}),
    ".jpg": ("JPEG", {"quality": 100, "subsampling": 0}),
    ".jpeg": ("JPEG", {"quality": 100, "subsampling": 0}),
    ".bmp": ("BMP", {}),
    ".tif": ("TIFF", {"compression": "tiff_deflate"}),
    ".tiff": ("TIFF", {"compression": "tiff_deflate"}),
    ".webp": ("WEBP", {"lossless": True, "exact": True}),
    ".ppm": ("PPM", {}),
    ".pgm": ("PPM", {}),
}
SOUNDS = {
    ".wav": "WAV",
    ".flac": "FLAC",
    ".aif": "AIFF",
    ".aiff": "AIFF",
    ".aifc": "AIFF",
    ".au": "AU",
    ".snd": "AU",
    ".caf": "CAF",
    ".w64": "W64",
    ".rf64": "RF64",
}
LOSSY = {
    ".mp3": ("MP3", "MPEG_LAYER_III"),
    ".ogg": ("OGG", "VORBIS"),
    ".oga": ("OGG", "VORBIS"),
    ".opus": ("OGG", "OPUS"),
}
VIDEOS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska", ".avi": "avi", ".flv": "flv"}

LONGEST_SIDE, SECONDS, SOUND_RATE, SHOWN_FRAMES = 160, 3, 16000, 24

_WHEN = 315532800  # 1 January 1980, UTC: the earliest time that every archive format holds
_DEEP = frozenset({"PCM_24", "PCM_32", "FLOAT", "DOUBLE"})
_FLAC_RATES = range(1, 655351)  # RFC 9639, section 8.2
_FLAC_CHANNELS = 8


# --------------------------------------------------------------------------------------------------------- stripping


def strip(source: Path, target_without_suffix: Path, *, keep_sound: bool = False) -> Path:
    """One media file written again without metadata: returns where it is, the target with the new format's suffix.

    Nothing of the original is kept but what is seen or heard: no EXIF, XMP, colour profile, comment, tag, chapter, time,
    cover, second stream, nor what lies behind the end. The time of the file is 1 January 1980; its owner and rights are
    the writing process's.

    Pictures become PNG with the very pixels of `read_picture`: upright, 8 bits, over white, a profile not applied; those
    without colour one channel. Sound becomes FLAC with the same samples, rate and channels: 8, 16 or 24 bits as it was;
    32 bits and floating point the nearest of 24, cut at full scale; lossy formats 16. Videos become MP4: H.264 is taken
    over bit for bit, less the units that are no picture; all else, what is turned and what has hidden frames is encoded
    anew (H.264, at the average rate). The sound of a video is dropped, for a voice tells who speaks; keep_sound encodes
    its first stream anew (AAC).
    Raises SordineError where the file is bad, no medium by its suffix, or more than FLAC holds; NotInstalled for video
    without PyAV.
    """
    source, target = Path(source), Path(target_without_suffix)
    kind = kind_of(source.name)
    if kind is None:
        raise SordineError(f"{source} is neither sound, picture nor video by its suffix")
    suffix = {"image": ".png", "audio": ".flac", "video": ".mp4"}[kind]
    path = target.with_name(target.name + suffix)
    if kind == "image":
        write_picture(without_colour(np.moveaxis(read_picture(source), -1, 0)), path)
    elif kind == "audio":
        _strip_sound(source, path)
    else:
        _strip_video(source, path, keep_sound)
    os.utime(path, (_WHEN, _WHEN))
    return path


def without_colour(x: np.ndarray) -> np.ndarray:
    """(3, h, w) as (1, h, w) where the three channels are the same, else as it is."""
    return x[:1] if (x == x[:1]).all() else x


def depth(path: Path) -> int:
    """How many bits a sound file's samples need: 24 where they are finer than 16 bits, else 16."""
    import soundfile

    return 24 if soundfile.info(str(path)).subtype in _DEEP else 16


def _strip_sound(source: Path, path: Path) -> None:
    import soundfile

    read_clip(source)  # refuses what is cut off, empty or not finite
    info = soundfile.info(str(source))
    if info.channels > _FLAC_CHANNELS or info.samplerate not in _FLAC_RATES:
        raise SordineError(
            f"{source} has {info.channels} channels at a rate of {info.samplerate}: FLAC holds {_FLAC_CHANNELS} at most, "
            f"at {_FLAC_RATES[-1]}"
        )
    if info.subtype in ("FLOAT", "DOUBLE"):
        wave, _ = soundfile.read(str(source), dtype="float64", always_2d=True)
        x, subtype = _whole(wave, 24), "PCM_24"
    elif info.subtype == "PCM_32":
        wave, _ = soundfile.read(str(source), dtype="int32", always_2d=True)
        x, subtype = _whole(wave / 2.0**31, 24), "PCM_24"
    else:
        x, _ = soundfile.read(str(source), dtype="int32", always_2d=True)
        # int32 holds the samples of every integer format in its upper bits; of 16 bits and fewer it is exact.
        subtype = {"PCM_S8": "PCM_S8", "PCM_U8": "PCM_S8", "PCM_24": "PCM_24"}.get(info.subtype, "PCM_16")
    _save_sound(x, info.samplerate, path, "FLAC", subtype)


def _strip_video(source: Path, path: Path, keep_sound: bool) -> None:
    frame_count(source)  # decodes all of it: what is damaged or cut off is refused before anything is written
    with atomic(path) as temporary:
        if can_be_taken_over(source):
            take_over(source, temporary, source if keep_sound else None)
        else:
            plain = temporary.with_name(temporary.name + ".encoded")
            with closing(video_frames(source)) as frames:
                encode((np.moveaxis(f, -1, 0) for f in frames), video_rate(source), plain, "mp4")
            take_over(plain, temporary, source if keep_sound else None)


# ----------------------------------------------------------------------------------------------------------- writing


def write_picture(x: np.ndarray, path: Path) -> None:
    """Write (3, h, w) or (1, h, w) uint8 in the format of the suffix: the same bytes for the same pixels, no metadata.

    Without loss but for JPEG, which is of quality 100 with all of its colour. Raises SordineError for a suffix that is
    not in PICTURES, another shape, or where it cannot be written.
    """
    from PIL import Image

    format, options = _of_suffix(path, PICTURES, "picture")
    if x.dtype != np.uint8 or x.ndim != 3 or len(x) not in (1, 3):
        raise SordineError(f"{path}: a picture is (3, h, w) or (1, h, w) uint8, not {x.shape} {x.dtype}")
    pixels = np.ascontiguousarray(x[0] if len(x) == 1 else np.moveaxis(x, 0, -1))
    with atomic(path) as temporary:
        Image.fromarray(pixels).save(temporary, format=format, **options)


def write_wave(x: np.ndarray, rate: int, path: Path, bits: int = 16) -> None:
    """Write (n,) or (n, channels) float, full scale 1, in the format of the suffix, no metadata.

    bits: 16 or 24 of a format without loss, to the nearest; what exceeds full scale is cut. MP3, Vorbis and Opus are of
    their highest quality. The same bytes for the same samples, but for Ogg (Vorbis, Opus), whose streams are numbered at
    random. Raises SordineError for an unknown suffix, NaN or infinity, or where the format does not take the rate.
    """
    path = Path(path)
    if bits not in (16, 24):
        raise SordineError(f"{path}: {bits} bits a sample; 16 or 24")
    if not np.isfinite(x).all() or not len(x):
        raise SordineError(f"{path}: sound is at least one sample, all of them finite numbers")
    if path.suffix.lower() in LOSSY:
        clipped = np.clip(np.asarray(x, np.float64), -1, 1)
        _save_sound(clipped, rate, path, *LOSSY[path.suffix.lower()], compression_level=0.0)
    else:
        _save_sound(_whole(x, bits), rate, path, _of_suffix(path, SOUNDS, "sound"), f"PCM_{bits}")


def write_video(x: np.ndarray | Iterable[np.ndarray], rate: float | Fraction, path: Path) -> None:
    """Write frames (t, 3, h, w) uint8, or an iterable of (3, h, w), at `rate` frames a second; no sound, no metadata.

    H.264, nearly without visible loss; colour at half the resolution, which browsers play, where both sides are even.
    The same bytes for the same frames. Raises SordineError for a suffix that is not in VIDEOS, no frames or frames of
    several sizes, or where it cannot be written; NotInstalled where PyAV is missing.
    """
    path = Path(path)
    format = _of_suffix(path, VIDEOS, "video")
    with atomic(path) as temporary:
        encode(x, Fraction(rate).limit_denominator(60000), temporary, format, str(path))


def _of_suffix(path: Path, known: dict[str, Any], what: str) -> Any:
    found = known.get(Path(path).suffix.lower())
    if found is None:
        raise SordineError(f"{path}: no {what} is written as {Path(path).suffix!r}; known: {', '.join(known)}")
    return found


def _whole(wave: np.ndarray, bits: int) -> np.ndarray:
    """Samples of full scale 1 to the nearest of `bits` bits, as int32 with the bits uppermost."""
    top = 2 ** (bits - 1)
    return np.clip(np.rint(np.asarray(wave, np.float64) * top), -top, top - 1).astype(np.int32) << (32 - bits)


def _save_sound(x: np.ndarray, rate: int, path: Path, format: str, subtype: str, **options: Any) -> None:
    import soundfile

    with atomic(path) as temporary:
        try:
            soundfile.write(str(temporary), x, rate, format=format, subtype=subtype, **options)
        except (soundfile.SoundFileError, ValueError, TypeError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0].rpartition(": ")[2]
            raise SordineError(f"cannot write {path}: {reason.rstrip('.')}") from None


# -------------------------------------------------------------------------------------------------------- thumbnails


def thumbnail(path: Path, kind: Kind, most_bytes: int) -> tuple[str, bytes]:
    """A file made small for a page: (MIME type, bytes), at most `most_bytes`, which browsers show from a data: address.

    A picture as a JPEG of LONGEST_SIDE pixels at most; a sound as FLAC, its first SECONDS at SOUND_RATE at most, one
    channel; a video's first SECONDS as an animated WebP of at most SHOWN_FRAMES frames. Smaller and coarser until it
    fits; no metadata. Raises SordineError where the file is bad or nothing fits.
    """
    path = Path(path)
    makes = {"image": _small_picture, "audio": _small_sound, "video": _small_video}
    for mime, data in makes[kind](path):
        if len(data) <= most_bytes:
            return mime, data
    raise SordineError(f"{path} cannot be made smaller than {most_bytes} bytes")


def _small_picture(path: Path) -> Iterator[tuple[str, bytes]]:
    x = read_picture(path)
    grey = (x == x[..., :1]).all()
    for side, quality in ((LONGEST_SIDE, 85), (LONGEST_SIDE, 60), (96, 60), (64, 50), (32, 40), (16, 30)):
        yield "image/jpeg", _saved([_shrunk(x[..., 0] if grey else x, side)], "JPEG", quality=quality)


def _small_sound(path: Path) -> Iterator[tuple[str, bytes]]:
    import soundfile

    wave, rate = read_clip(path)
    for most, seconds in ((SOUND_RATE, SECONDS), (8000, SECONDS), (8000, 1.5), (8000, 0.75), (4000, 0.5)):
        to, file = min(rate, most), io.BytesIO()
        # Cut first, that a long recording costs no more than its beginning.
        x = resample(wave[: round(seconds * rate)], rate, to)
        soundfile.write(file, _whole(x, 16), to, format="FLAC", subtype="PCM_16")
        yield "audio/flac", file.getvalue()


def _small_video(path: Path) -> Iterator[tuple[str, bytes]]:
    frame_count(path)  # refuses what is bad
    rate = video_rate(path)
    of = max(1, round(SECONDS * rate))
    step = -(-of // SHOWN_FRAMES)
    with closing(video_frames(path)) as every:
        shown = [_shrunk(f, LONGEST_SIDE) for f in itertools.islice(every, 0, of, step)]
    for side, quality, part in ((LONGEST_SIDE, 70, 1), (LONGEST_SIDE, 40, 2), (96, 40, 2), (64, 30, 3), (32, 20, 4)):
        frames = [_shrunk(np.asarray(f), side) for f in shown[::part]]
        # GIF and WebP count in thousandths of a second.
        duration = round(1000 * step * part / rate)
        yield "image/webp", _saved(frames, "WEBP", quality=quality, method=4, duration=duration, loop=0)


def _shrunk(pixels: np.ndarray, side: int) -> Image.Image:
    from PIL import Image

    image = Image.fromarray(pixels)
    image.thumbnail((side, side), Image.Resampling.LANCZOS)
    return image


def _saved(frames: list[Image.Image], format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    several = {"save_all": True, "append_images": frames[1:]} if len(frames) > 1 else {}
    frames[0].save(file, format=format, **several, **options)
    return file.getvalue()

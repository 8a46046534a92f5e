"""Write pictures, sound and videos without metadata, strip files of metadata, and make thumbnails."""

from __future__ import annotations

import io
import itertools
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sordine.data.files import atomic
from sordine.data.media.audio import read_clip, resample
from sordine.data.media.image import read_picture
from sordine.data.media.kinds import Kind, kind_of
from sordine.data.media.video import frame_count, read_whole
from sordine.data.media.video_encoding import can_be_copied, copy_stream, encode, video_frames, video_rate
from sordine.errors import SordineError, WriteError

if TYPE_CHECKING:
    from PIL import Image

# Formats by suffix, with the options that lose least.
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

Change = Callable[[np.ndarray], np.ndarray]  # of one picture or frame (h, w, 3) uint8, or one waveform (n,) float32

LONGEST_SIDE, SECONDS, SOUND_RATE, MAX_FRAMES = 160, 3, 16000, 24

_TIME = 315532800  # 1 January 1980, UTC: the earliest time that every archive format can store
_DEEP = frozenset({"PCM_24", "PCM_32", "FLOAT", "DOUBLE"})
_FLAC_RATES = range(1, 655351)  # RFC 9639, section 8.2
_FLAC_CHANNELS = 8


# --------------------------------------------------------------------------------------------------------- stripping


def strip(source: Path, target_without_suffix: Path, *, keep_sound: bool = False) -> Path:
    """Write one media file without metadata, and return its path, which has the suffix of the new format.

    Only the visible or audible content stays: no EXIF, XMP, colour profile, comment, tag, chapter, time, cover, second
    stream, and no data after the end. The time of the file is 1 January 1980.

    Pictures become PNG with the pixels of `read_picture`: upright, 8 bits, over white, without applying a profile; grey
    ones have one channel. Sound becomes FLAC with the same samples, rate and channels: 8, 16 or 24 bits stay, 32 bits
    and floating point are rounded to 24 and cut at full scale, lossy formats have 16. Videos become MP4: the picture
    units of H.264 are copied bit for bit; other formats, rotated videos and those with hidden frames are encoded again
    (H.264, at the average rate). The sound of a video is dropped, because a voice identifies the speaker.

    Parameters
    ----------
    source
        The file.
    target_without_suffix
        Where to write.
    keep_sound
        Encode the first sound stream of a video again (AAC) instead of dropping it.

    Raises
    ------
    SordineError
        Where the file is bad, has no suffix of a medium, or exceeds what FLAC can store.
    NotInstalled
        For a video without PyAV.
    """
    source, target = Path(source), Path(target_without_suffix)
    kind = kind_of(source.name)
    if kind is None:
        raise SordineError(f"{source} is neither sound, picture nor video by its suffix; remove it")
    writer = WRITERS[kind]
    path = target.with_name(target.name + writer.stripped)
    writer.strip(source, path, keep_sound)
    os.utime(path, (_TIME, _TIME))
    return path


def without_colour(x: np.ndarray) -> np.ndarray:
    """Return a picture (3, h, w) as (1, h, w) where the three channels are the same."""
    return x[:1] if (x == x[:1]).all() else x


def depth(path: Path) -> int:
    """Return how many bits the samples of a sound file need: 24 where they have more than 16 bits, else 16."""
    import soundfile

    return 24 if soundfile.info(str(path)).subtype in _DEEP else 16


def _strip_picture(source: Path, path: Path, keep_sound: bool) -> None:
    write_picture(without_colour(np.moveaxis(read_picture(source), -1, 0)), path)


def _strip_sound(source: Path, path: Path, keep_sound: bool) -> None:
    import soundfile

    read_clip(source)  # refuses a file that is truncated, empty or not finite
    info = soundfile.info(str(source))
    if info.channels > _FLAC_CHANNELS or info.samplerate not in _FLAC_RATES:
        raise SordineError(
            f"{source} has {info.channels} channels at a rate of {info.samplerate}; FLAC allows at most "
            f"{_FLAC_CHANNELS} channels and a rate of {_FLAC_RATES[-1]}"
        )
    if info.subtype in ("FLOAT", "DOUBLE"):
        wave, _ = soundfile.read(str(source), dtype="float64", always_2d=True)
        x, subtype = _whole(wave, 24), "PCM_24"
    elif info.subtype == "PCM_32":
        wave, _ = soundfile.read(str(source), dtype="int32", always_2d=True)
        x, subtype = _whole(wave / 2.0**31, 24), "PCM_24"
    else:
        x, _ = soundfile.read(str(source), dtype="int32", always_2d=True)
        # int32 has the samples of every integer format in its upper bits; it is exact for 16 bits and fewer.
        subtype = {"PCM_S8": "PCM_S8", "PCM_U8": "PCM_S8", "PCM_24": "PCM_24"}.get(info.subtype, "PCM_16")
    _save_sound(x, info.samplerate, path, "FLAC", subtype)


def _strip_video(source: Path, path: Path, keep_sound: bool) -> None:
    frame_count(source)  # decodes all of it, so that a damaged file is refused before anything is written
    with atomic(path) as temporary:
        if can_be_copied(source):
            copy_stream(source, temporary, source if keep_sound else None)
        else:
            plain = temporary.with_name(temporary.name + ".encoded")
            with closing(video_frames(source)) as frames:
                encode((np.moveaxis(f, -1, 0) for f in frames), video_rate(source), plain, "mp4")
            copy_stream(plain, temporary, source if keep_sound else None)


# ----------------------------------------------------------------------------------------------------------- writing


def write_picture(x: np.ndarray, path: Path) -> None:
    """Write a picture in the format of the suffix, without metadata; the same pixels give the same bytes.

    All formats are lossless except JPEG, which has quality 100 and full colour resolution.

    Parameters
    ----------
    x
        (3, h, w) or (1, h, w) uint8.
    path
        Where to write; its suffix is one of PICTURES.

    Raises
    ------
    SordineError
        For another suffix or shape, or where the file cannot be written.
    """
    from PIL import Image

    format, options = _of_suffix(path, PICTURES, "picture")
    if x.dtype != np.uint8 or x.ndim != 3 or len(x) not in (1, 3):
        raise SordineError(f"{path}: a picture must be (3, h, w) or (1, h, w) uint8, not {x.shape} {x.dtype}")
    pixels = np.ascontiguousarray(x[0] if len(x) == 1 else np.moveaxis(x, 0, -1))
    with atomic(path) as temporary:
        Image.fromarray(pixels).save(temporary, format=format, **options)


def write_wave(x: np.ndarray, rate: int, path: Path, bits: int = 16) -> None:
    """Write sound in the format of the suffix, without metadata.

    The same samples give the same bytes, except for Ogg (Vorbis, Opus), which numbers its streams at random. MP3,
    Vorbis and Opus have their highest quality.

    Parameters
    ----------
    x
        (n,) or (n, channels) float, full scale 1; larger values are cut.
    rate
        Samples per second.
    path
        Where to write.
    bits
        Of a lossless format: 16 or 24.

    Raises
    ------
    SordineError
        For an unknown suffix, NaN or infinity, or a rate that the format does not allow.
    """
    path = Path(path)
    if bits not in (16, 24):
        raise SordineError(f"{path}: {bits} bits per sample; use 16 or 24")
    if not np.isfinite(x).all() or not len(x):
        raise SordineError(f"{path}: sound needs at least one sample, and all samples must be finite")
    if path.suffix.lower() in LOSSY:
        clipped = np.clip(np.asarray(x, np.float64), -1, 1)
        _save_sound(clipped, rate, path, *LOSSY[path.suffix.lower()], compression_level=0.0)
    else:
        _save_sound(_whole(x, bits), rate, path, _of_suffix(path, SOUNDS, "sound"), f"PCM_{bits}")


def write_video(x: np.ndarray | Iterable[np.ndarray], rate: float | Fraction, path: Path) -> None:
    """Write a video as H.264 with almost no visible loss, without sound and metadata.

    Colour has half the resolution, as browsers need, where both sides are even. The same frames give the same bytes.

    Parameters
    ----------
    x
        (t, 3, h, w) uint8, or an iterable of (3, h, w).
    rate
        Frames per second.
    path
        Where to write; its suffix is one of VIDEOS.

    Raises
    ------
    SordineError
        For another suffix, no frames or frames of several sizes, or where the file cannot be written.
    NotInstalled
        Where PyAV is missing.
    """
    path = Path(path)
    format = _of_suffix(path, VIDEOS, "video")
    with atomic(path) as temporary:
        encode(x, Fraction(rate).limit_denominator(60000), temporary, format, str(path))


def _of_suffix(path: Path, known: dict[str, Any], what: str) -> Any:
    found = known.get(Path(path).suffix.lower())
    if found is None:
        raise SordineError(
            f"{path}: a {what} cannot be written as {Path(path).suffix!r}; use one of {', '.join(known)}"
        )
    return found


def _whole(wave: np.ndarray, bits: int) -> np.ndarray:
    """Return samples of full scale 1 rounded to `bits` bits, in the upper bits of int32."""
    top = 2 ** (bits - 1)
    return np.clip(np.rint(np.asarray(wave, np.float64) * top), -top, top - 1).astype(np.int32) << (32 - bits)


def _save_sound(x: np.ndarray, rate: int, path: Path, format: str, subtype: str, **options: Any) -> None:
    import soundfile

    with atomic(path) as temporary:
        try:
            soundfile.write(str(temporary), x, rate, format=format, subtype=subtype, **options)
        except (soundfile.SoundFileError, ValueError, TypeError) as error:
            reason = (str(error).splitlines() or [type(error).__name__])[0].rpartition(": ")[2]
            if "System error" in reason:  # what the library has for every error of the file system
                raise WriteError(
                    f"cannot write {path}: the file system refuses it; check that the disk is not full"
                ) from None
            raise SordineError(f"cannot write {path}: {reason.rstrip('.')}") from None


# -------------------------------------------------------------------------------------------------------- thumbnails


def thumbnail(path: Path, kind: Kind, most_bytes: int) -> tuple[str, bytes]:
    """Return a small version of a file that browsers can show in a page, without metadata.

    A picture becomes a JPEG of at most LONGEST_SIDE pixels; a sound the first SECONDS as FLAC of one channel at most
    SOUND_RATE; a video the first SECONDS as an animated WebP of at most MAX_FRAMES frames. Quality decreases until it
    fits.

    Parameters
    ----------
    path, kind
        The file and its kind.
    most_bytes
        Largest size.

    Returns
    -------
    mime, data
        MIME type and bytes.

    Raises
    ------
    SordineError
        Where the file is bad or nothing fits.
    """
    path = Path(path)
    for mime, data in WRITERS[kind].small_versions(path):
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
        # Cut first, so that a long recording takes no more time than its beginning.
        x = resample(wave[: round(seconds * rate)], rate, to)
        soundfile.write(file, _whole(x, 16), to, format="FLAC", subtype="PCM_16")
        yield "audio/flac", file.getvalue()


def _small_video(path: Path) -> Iterator[tuple[str, bytes]]:
    frame_count(path)  # refuses a bad file
    rate = video_rate(path)
    of = max(1, round(SECONDS * rate))
    step = -(-of // MAX_FRAMES)
    with closing(video_frames(path)) as every:
        small = [_shrunk(f, LONGEST_SIDE) for f in itertools.islice(every, 0, of, step)]
    for side, quality, part in ((LONGEST_SIDE, 70, 1), (LONGEST_SIDE, 40, 2), (96, 40, 2), (64, 30, 3), (32, 20, 4)):
        frames = [_shrunk(np.asarray(f), side) for f in small[::part]]
        # WebP counts in milliseconds.
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


# ---------------------------------------------------------------------------------------------------------- rewriting


def _rewrite_picture(source: Path, target: Path, change: Change) -> None:
    write_picture(np.moveaxis(change(read_picture(source)), -1, 0), target)


def _rewrite_sound(source: Path, target: Path, change: Change) -> None:
    wave, rate = read_clip(source)
    write_wave(change(wave), rate, target, depth(source))


def _rewrite_video(source: Path, target: Path, change: Change) -> None:
    frames, rate = read_whole(source)
    write_video(np.moveaxis(np.stack([change(frame) for frame in frames]), -1, 1), rate, target)


@dataclass(frozen=True)
class MediaWriter:
    """How the files of one kind of media are written.

    Attributes
    ----------
    suffixes
        Suffixes of the formats that can be written.
    stripped
        Suffix of a file without metadata.
    strip
        Writes a file without metadata: (source, target, whether the sound of a video stays).
    rewrite
        Writes a file with changed content: (source, target, function of one picture, frame or waveform).
    small_versions
        Yields (MIME type, bytes) of smaller and smaller versions of a file.
    """

    suffixes: frozenset[str]
    stripped: str
    strip: Callable[[Path, Path, bool], None]
    rewrite: Callable[[Path, Path, Change], None]
    small_versions: Callable[[Path], Iterator[tuple[str, bytes]]]


WRITERS: dict[Kind, MediaWriter] = {
    "image": MediaWriter(frozenset(PICTURES), ".png", _strip_picture, _rewrite_picture, _small_picture),
    "audio": MediaWriter(frozenset({*SOUNDS, *LOSSY}), ".flac", _strip_sound, _rewrite_sound, _small_sound),
    "video": MediaWriter(frozenset(VIDEOS), ".mp4", _strip_video, _rewrite_video, _small_video),
}

"""Encode frames as H.264, and copy the packets of a video into another file without encoding."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from sordine.data.media.cache import NotInstalled
from sordine.data.media.video import OPTIONS
from sordine.errors import SordineError, pass_on

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer, OutputContainer
    from av.video.stream import VideoStream

# The units of an H.264 stream that make pictures, by type (H.264, table 7-1). The others contain texts of the encoder
# or the camera: supplemental information, filler, and data of applications. H.265 is encoded again: an MP4 may have
# such texts in a header beside the stream, which no filter changes.
_COPIED, _UNITS = "h264", "filter_units=pass_types=1-5|7-11|13"
_PLAIN = {"fflags": "+bitexact"}  # without the name of the program and the time
# Almost no visible loss. One thread and no reordered frames give the same bytes every time, and AVI supports them. The
# macroblock tree is off: it gave different bytes where several videos were written at the same time.
_TIGHT = {"crf": "17", "preset": "medium", "bf": "0", "threads": "1", "x264-params": "mbtree=0"}


def video_frames(path: Path) -> Generator[np.ndarray, None, None]:
    """Yield every frame of the first video stream, upright, (h, w, 3) uint8, of a file that `frame_count` accepted."""
    with _open(path) as container:
        for frame in container.decode(_stream(container)):
            # The rotation of PyAV is the anticlockwise turn that makes the frame upright, as in rot90.
            yield np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90)))


def video_rate(path: Path) -> Fraction:
    """Return the average frames per second (25 where unknown) of a file that `frame_count` accepted."""
    with _open(path) as container:
        stream = _stream(container)
        return Fraction(stream.average_rate or stream.guessed_rate or 25)


def encode(
    frames: np.ndarray | Iterable[np.ndarray], rate: Fraction, path: Path, format: str, name: str | None = None
) -> None:
    """Write frames as H.264; the same frames give the same bytes.

    Parameters
    ----------
    frames
        (3, h, w) uint8 each.
    rate
        Frames per second.
    path
        Where to write.
    format
        Name of the container.
    name
        Name of the file in messages.

    Raises
    ------
    SordineError
        Where there are no frames, they have several sizes, or the encoder refuses their size.
    NotInstalled
        Where PyAV or its encoder is missing.
    """
    av = _pyav()
    name = name or str(path)
    if "libx264" not in av.codecs_available:
        raise NotInstalled("this build of PyAV cannot encode H.264; pip install 'sordine[video]'")
    every = iter(frames)
    first = next(every, None)
    if first is None or first.ndim != 3 or len(first) != 3:
        raise SordineError(f"{name}: a video needs one or more frames of (3, h, w) uint8")
    _, height, width = first.shape
    try:
        with av.open(str(path), "w", format=format, options=_PLAIN) as container:
            stream = container.add_stream("libx264", rate=rate, options=_TIGHT)
            stream.height, stream.width = height, width
            # Browsers play colour at half the resolution, which needs even sides.
            stream.pix_fmt = "yuv444p" if height % 2 or width % 2 else "yuv420p"
            stream.codec_context.flags |= av.codec.context.Flags.bitexact
            for number, frame in enumerate(itertools.chain([first], every)):
                if frame.shape != first.shape or frame.dtype != np.uint8:
                    raise SordineError(
                        f"{name}: frame {number} is {frame.shape} {frame.dtype}, but the first is {first.shape} uint8"
                    )
                pixels = np.ascontiguousarray(np.moveaxis(frame, 0, -1))
                picture = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                picture.pts, picture.time_base = number, 1 / rate
                container.mux(stream.encode(picture))
            container.mux(stream.encode(None))
    except (av.FFmpegError, OverflowError) as error:
        pass_on(error)
        raise SordineError(f"cannot write {name}: {getattr(error, 'strerror', None) or error}") from None


def can_be_copied(path: Path) -> bool:
    """Return whether the packets of a video can be copied into an MP4: H.264, upright, without hidden frames.

    The file must be one that `frame_count` accepted.
    """
    with _open(path) as container:
        stream = _stream(container)
        if stream.codec_context.name != _COPIED or next(container.decode(stream)).rotation % 360:
            return False
    with _open(path) as container:
        packets = [(p.pts, p.is_discard) for p in container.demux(_stream(container)) if p.size]
    times = {pts for pts, _ in packets}
    return None not in times and len(times) == len(packets) and not any(hidden for _, hidden in packets)


def copy_stream(source: Path, path: Path, sound: Path | None = None) -> None:
    """Copy the picture units of the first video stream of a file into an MP4 without metadata.

    Parameters
    ----------
    source
        The video.
    path
        Where to write.
    sound
        A file whose first sound stream is encoded again and added.

    Raises
    ------
    SordineError
        Where the stream cannot be copied.
    """
    av = _pyav()
    try:
        with _open(source) as container, av.open(str(path), "w", format="mp4", options=_PLAIN) as out:
            stream = _stream(container)
            target = out.add_stream_from_template(stream)
            target.metadata.clear()
            stream_of_sound = None if sound is None else _sound_stream(sound, out)
            cleaned = av.bitstream.BitStreamFilterContext(_UNITS, stream, target)
            times = _times(source)
            for packet in container.demux(stream):
                if packet.size:
                    packet.pts, packet.dts = next(times)
                for clean in cleaned.filter(packet if packet.size else None):
                    clean.stream = target
                    out.mux(clean)
            if sound is not None and stream_of_sound is not None:
                _add_sound(sound, stream_of_sound, out)
    except (av.FFmpegError, ValueError) as error:
        pass_on(error)
        raise SordineError(f"{source} cannot be copied: {getattr(error, 'strerror', None) or error}") from None


def _times(path: Path) -> Iterator[tuple[int, int]]:
    """Yield the presentation and the decoding time of each packet, from 0.

    The first time of a recording may be the time of day. Frames are decoded in the order of the packets, early enough
    for all of them. Not every container has decoding times (Matroska has none).
    """
    with _open(path) as container:
        shown = np.array([p.pts for p in container.demux(_stream(container)) if p.size], np.int64)
    decoded = np.sort(shown)
    delay = max(0, int((decoded - shown).max()))
    yield from zip((shown - shown.min()).tolist(), (decoded - delay - shown.min()).tolist(), strict=True)


def _sound_stream(source: Path, out: OutputContainer) -> AudioStream | None:
    """Return the output stream for the first sound stream of a file, or None; it must exist before the first packet."""
    with _open(source) as container:
        first = next(iter(container.streams.audio), None)
        if first is None:
            return None
        rate, layout = first.codec_context.sample_rate, first.codec_context.layout.name
        return out.add_stream("aac", rate=rate, layout=layout)


def _add_sound(source: Path, target: AudioStream, out: OutputContainer) -> None:
    av = _pyav()
    target.codec_context.flags |= av.codec.context.Flags.bitexact
    with _open(source) as container:
        for frame in container.decode(container.streams.audio[0]):
            frame.pts = None
            out.mux(target.encode(frame))
    out.mux(target.encode(None))


def _open(path: Path) -> InputContainer:
    # Absolute, because a colon in a relative name would be taken as the end of a protocol name.
    container: InputContainer = _pyav().open(str(Path(path).absolute()), options=OPTIONS)
    return container


def _stream(container: InputContainer) -> VideoStream:
    cover = _pyav().stream.Disposition.attached_pic
    stream = next(s for s in container.streams.video if not s.disposition & cover)
    stream.codec_context.thread_count = 1
    return stream


def _pyav() -> ModuleType:
    try:
        import av
    except ImportError:
        raise NotInstalled("PyAV, which writes videos, is not installed; pip install 'sordine[video]'") from None
    return av

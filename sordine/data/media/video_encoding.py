"""Video files by their streams: frames into H.264, and packets from one file into another without being encoded anew."""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from sordine.data.media.cache import NotInstalled
from sordine.errors import SordineError

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer, OutputContainer
    from av.video.stream import VideoStream

# A playlist under a video's name would make the demuxer open other files and addresses.
_OPTIONS = {"protocol_whitelist": "file", "format_whitelist": "mov,mp4,matroska,webm,avi,mpeg,mpegvideo,mpegts,asf,flv"}
# The units of an H.264 stream that pictures are made of, by type (H.264, table 7-1). What is left out holds words of the
# encoder or the camera: supplemental information, filler, and whatever an application puts there. H.265 is not taken
# over: its words may also stand in the header that an MP4 keeps beside the stream, where no filter reaches them.
_TAKEN_OVER, _UNITS = "h264", "filter_units=pass_types=1-5|7-11|13"
_PLAIN = {"fflags": "+bitexact"}  # no name of the writer, no time
# Nearly without visible loss; one thread and no frames out of order, so that the bytes are the same and AVI holds them. Without
# the tree of macroblocks, whose figures were not the same every time where several videos were written at once.
_TIGHT = {"crf": "17", "preset": "medium", "bf": "0", "threads": "1", "x264-params": "mbtree=0"}


def video_frames(path: Path) -> Generator[np.ndarray, None, None]:
    """Every frame of the first video stream, upright, (h, w, 3) uint8. For a file that `frame_count` has been through."""
    with _open(path) as container:
        for frame in container.decode(_stream(container)):
            # What PyAV calls the rotation is how far to turn anticlockwise, as rot90 does.
            yield np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90)))


def video_rate(path: Path) -> Fraction:
    """Frames a second on average, 25 where the file does not say. For a file that `frame_count` has been through."""
    with _open(path) as container:
        stream = _stream(container)
        return Fraction(stream.average_rate or stream.guessed_rate or 25)


def encode(
    frames: np.ndarray | Iterable[np.ndarray], rate: Fraction, path: Path, format: str, name: str | None = None
) -> None:
    """Frames (3, h, w) uint8 as H.264 in a container of this format: the same bytes for the same frames.

    name: what messages call the file. Raises SordineError where there are no frames, where they are of several sizes, or
    the encoder takes none of that size; NotInstalled where PyAV, or its encoder, is missing.
    """
    av = _pyav()
    name = name or str(path)
    if "libx264" not in av.codecs_available:
        raise NotInstalled("videos are written as H.264, which this build of PyAV cannot")
    every = iter(frames)
    first = next(every, None)
    if first is None or first.ndim != 3 or len(first) != 3:
        raise SordineError(f"{name}: a video is one or more frames of (3, h, w) uint8")
    _, height, width = first.shape
    try:
        with av.open(str(path), "w", format=format, options=_PLAIN) as container:
            stream = container.add_stream("libx264", rate=rate, options=_TIGHT)
            stream.height, stream.width = height, width
            # Colour at half the resolution is what browsers play; it needs even sides.
            stream.pix_fmt = "yuv444p" if height % 2 or width % 2 else "yuv420p"
            stream.codec_context.flags |= av.codec.context.Flags.bitexact
            for number, frame in enumerate(itertools.chain([first], every)):
                if frame.shape != first.shape or frame.dtype != np.uint8:
                    raise SordineError(
                        f"{name}: frame {number} is {frame.shape} {frame.dtype}, the first {first.shape} uint8"
                    )
                pixels = np.ascontiguousarray(np.moveaxis(frame, 0, -1))
                picture = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                picture.pts, picture.time_base = number, 1 / rate
                container.mux(stream.encode(picture))
            container.mux(stream.encode(None))
    except (av.FFmpegError, OverflowError) as error:
        raise SordineError(f"cannot write {name}: {getattr(error, 'strerror', None) or error}") from None


def can_be_taken_over(path: Path) -> bool:
    """Whether the packets of a video can stand in an MP4 as they are: H.264, upright, all shown, all timed.

    For a file that `frame_count` has been through.
    """
    with _open(path) as container:
        stream = _stream(container)
        if stream.codec_context.name != _TAKEN_OVER or next(container.decode(stream)).rotation % 360:
            return False
    with _open(path) as container:
        packets = [(p.pts, p.is_discard) for p in container.demux(_stream(container)) if p.size]
    times = {pts for pts, _ in packets}
    return None not in times and len(times) == len(packets) and not any(hidden for _, hidden in packets)


def take_over(source: Path, path: Path, sound: Path | None = None) -> None:
    """The first video stream of `source`, less its units that are no picture, as MP4; no metadata.

    sound: a file whose first sound stream is encoded anew beside it. Raises SordineError where that cannot be.
    """
    av = _pyav()
    try:
        with _open(source) as container, av.open(str(path), "w", format="mp4", options=_PLAIN) as out:
            stream = _stream(container)
            target = out.add_stream_from_template(stream)
            target.metadata.clear()
            voice = None if sound is None else _voice(sound, out)
            cleaned = av.bitstream.BitStreamFilterContext(_UNITS, stream, target)
            times = _times(source)
            for packet in container.demux(stream):
                if packet.size:
                    packet.pts, packet.dts = next(times)
                for kept in cleaned.filter(packet if packet.size else None):
                    kept.stream = target
                    out.mux(kept)
            if sound is not None and voice is not None:
                _speak(sound, voice, out)
    except (av.FFmpegError, ValueError) as error:
        raise SordineError(f"{source} cannot be written again: {getattr(error, 'strerror', None) or error}") from None


def _times(path: Path) -> Iterator[tuple[int, int]]:
    """When each packet is shown and when it is decoded, from 0: a recording's own first time may be the hour of day.

    Frames are decoded in the order of the packets, one for each that is shown, so early that none is late. Not every
    container says when (Matroska does not).
    """
    with _open(path) as container:
        shown = np.array([p.pts for p in container.demux(_stream(container)) if p.size], np.int64)
    decoded = np.sort(shown)
    delay = max(0, int((decoded - shown).max()))
    yield from zip((shown - shown.min()).tolist(), (decoded - delay - shown.min()).tolist(), strict=True)


def _voice(source: Path, out: OutputContainer) -> AudioStream | None:
    """Where the first sound stream of a file goes; None where it has none. Streams are made before the first packet."""
    with _open(source) as container:
        first = next(iter(container.streams.audio), None)
        if first is None:
            return None
        rate, layout = first.codec_context.sample_rate, first.codec_context.layout.name
        return out.add_stream("aac", rate=rate, layout=layout)


def _speak(source: Path, target: AudioStream, out: OutputContainer) -> None:
    av = _pyav()
    target.codec_context.flags |= av.codec.context.Flags.bitexact
    with _open(source) as container:
        for frame in container.decode(container.streams.audio[0]):
            frame.pts = None
            out.mux(target.encode(frame))
    out.mux(target.encode(None))


def _open(path: Path) -> InputContainer:
    # Absolute, for a colon in a relative name would end the name of a protocol.
    container: InputContainer = _pyav().open(str(Path(path).absolute()), options=_OPTIONS)
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
        raise NotInstalled("videos are written by PyAV, which is missing: pip install 'sordine[video]'") from None
    return av

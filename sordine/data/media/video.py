"""Decode the first video stream of a file into frames and clips, and make one record of each frame."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from itertools import islice
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pyarrow as pa

from sordine.data.media.cache import NotInstalled
from sordine.data.media.image import Pictures, check_sides, resize
from sordine.data.media.kinds import FILE_NAME, FRAME, Kind, Media, kind_of
from sordine.errors import SordineError

if TYPE_CHECKING:
    from av import VideoFrame
    from av.container import InputContainer
    from av.video.stream import VideoStream

MAX_BYTES = 1 << 30  # frames of one video in memory
MAX_PIXELS = 1 << 26  # of one frame in the file

# A playlist with the suffix of a video would make the demuxer open other files and addresses; this prevents it.
OPTIONS = {"protocol_whitelist": "file", "format_whitelist": "mov,mp4,matroska,webm,avi,mpeg,mpegvideo,mpegts,asf,flv"}


def read_frames(path: str | Path, height: int, width: int) -> np.ndarray:
    """Return every frame of a video, upright and resized by `media.image.resize`: (n, height, width, 3) uint8.

    Raises
    ------
    SordineError
        Where the file is missing, has no video, is damaged or truncated, or its frames need more than `MAX_BYTES`.
    NotInstalled
        Where PyAV is missing.
    """
    return np.stack(_all_frames(Path(path), height, width))


def read_whole(path: str | Path) -> tuple[np.ndarray, Fraction]:
    """Return every frame of a video, upright, (n, h, w, 3) uint8, and the frames per second (25 where unknown).

    Raises SordineError as `read_frames` does.
    """
    path = Path(path)
    with closing(_decoded(path)) as frames:
        first = next(frames)
        turned = _upright(first)
        most = max(1, MAX_BYTES // turned.nbytes)
        found = [turned, *(_upright(frame) for frame in islice(frames, most))]
    if len(found) > most:
        raise SordineError(
            f"{path} has more than {most} frames of {turned.shape[0]} x {turned.shape[1]}; cut it into shorter videos"
        )
    with opened(path) as (_, stream):
        return np.stack(found), Fraction(stream.average_rate or 25)


@contextmanager
def opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Give the container and the first video stream of a file. Raises SordineError where there is none."""
    av = _pyav()
    try:
        # Absolute, because a colon in a relative name would be taken as the end of a protocol name.
        with av.open(str(path.absolute()), mode="r", options=OPTIONS) as container:
            yield container, _stream(av, container)
    except (av.FFmpegError, OSError, ValueError, MemoryError) as error:
        raise _unreadable(path, error) from None


def frame_count(path: str | Path) -> int:
    """Return how many frames `read_frames` gives, by decoding: the header of a file may be wrong."""
    return sum(1 for _ in _decoded(Path(path)))


def take_clip(n: int, frames: int, step: int, centre: int | None = None) -> np.ndarray:
    """Return which frames of a video of n frames make a clip.

    Parameters
    ----------
    n
        Frames of the video.
    frames
        Frames of the clip; the last one is repeated where the video is short.
    step
        Distance between two frames of the clip.
    centre
        A frame that is in the middle of the clip, as far as the video allows; by default the clip begins at frame 0.

    Returns
    -------
    numpy.ndarray
        (frames,) int64.

    Raises
    ------
    SordineError
        Where n, frames or step is below 1, or `centre` is not in the video.
    """
    if min(n, frames, step) < 1:
        raise SordineError(
            f"a clip of {frames} frames with step {step} of a video of {n} frames is impossible; all must be 1 or more"
        )
    if centre is not None and not 0 <= centre < n:
        raise SordineError(f"frame {centre} is not in a video of {n} frames; they are numbered from 0")
    first = 0 if centre is None else centre % step
    steps = (n - 1 - first) // step + 1  # frames at whole steps
    start = 0 if centre is None else min(max(0, centre // step - frames // 2), max(0, steps - frames))
    return np.asarray(first + step * np.minimum(start + np.arange(frames), steps - 1), dtype=np.int64)


@dataclass(frozen=True)
class Clips:
    """Decoder of videos into (frames, 3, height, width) uint8.

    The clip begins at the first frame, or surrounds the frame of the record (`take_clip`). The last frame is repeated
    where the video is short. A picture is repeated, and its length is 1.

    Parameters
    ----------
    height, width
        In pixels.
    frames
        Frames of a clip.
    step
        Distance between two frames of the clip.
    """

    height: int
    width: int
    frames: int = 16
    step: int = 2

    kinds: ClassVar[tuple[Kind, ...]] = ("video", "image")
    version: ClassVar[int] = 1

    def __post_init__(self) -> None:
        check_sides(self.height, self.width)
        if self.frames < 1 or self.step < 1:
            raise SordineError(
                f"a clip of {self.frames} frames with step {self.step} is impossible; both must be 1 or more"
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """(frames, 3, height, width)."""
        return (self.frames, 3, self.height, self.width)

    @property
    def dtype(self) -> np.dtype:
        """uint8."""
        return np.dtype(np.uint8)

    def decode(self, path: Path, frame: int | None) -> tuple[np.ndarray, int]:
        """Return x of `shape` and how many frames are no padding, of a video, a frame and its neighbours, or a picture.

        Raises SordineError as `read_frames` and `read_picture` do, and where the video has no such frame.
        """
        if kind_of(path.name) == "image":
            picture, _ = Pictures(self.height, self.width).decode(path, frame)
            return np.repeat(picture[None], self.frames, axis=0), 1
        if frame is None:
            with closing(_resized(path, self.height, self.width, self.step)) as every:
                found = list(islice(every, self.frames))
            chosen = take_clip(len(found), self.frames, 1)
        else:
            found = _shared_frames(path, self.height, self.width).frames()
            if not 0 <= frame < len(found):
                raise SordineError(f"{path} has no frame {frame}; its {len(found)} frames are numbered from 0")
            chosen = take_clip(len(found), self.frames, self.step, frame)
        x = np.stack([found[i] for i in chosen])
        return np.ascontiguousarray(np.moveaxis(x, -1, 1)), len(np.unique(chosen))


def by_frame(media: Media, every: int = 1, *, workers: int = 2) -> Media:
    """Return one record for each frame instead of one for each video.

    Columns are repeated, `frame` is added, and `id`, where it exists, gets "#frame" appended. `group` is the file name
    of the video unless there is such a column, so that the frames of one video stay on one side of a split. A video
    that cannot be decoded has one record, of frame 0: decoding reports it as a bad file.

    Parameters
    ----------
    media
        Videos.
    every
        Distance between two frames, from frame 0.
    workers
        Number of threads.

    Raises
    ------
    SordineError
        Where the records are no videos, or are frames already.
    NotInstalled
        Where PyAV is missing.
    """
    if media.kind != "video":
        raise SordineError(f"{media.root} contains {media.kind}, not video, and has no frames")
    if FRAME in media.records.column_names:
        raise SordineError(f"{media.root}: the records are frames already; leave out the option that splits videos")
    if every < 1:
        raise SordineError(f"every={every}; it must be 1 or more")

    def count(name: str) -> int:
        try:
            return frame_count(media.root / name)
        except NotInstalled:
            raise
        except SordineError:
            return 1

    with ThreadPoolExecutor(max(1, workers)) as pool:
        numbers = [np.arange(0, n, every, dtype=np.int64) for n in pool.map(count, media.files)]
    rows = np.repeat(np.arange(len(media)), [len(s) for s in numbers])
    frames = np.concatenate(numbers) if numbers else np.zeros(0, np.int64)
    records = media.records.take(pa.array(rows))
    if "id" in records.column_names:
        ids = [f"{i}#{frame:05d}" for i, frame in zip(records["id"].to_pylist(), frames, strict=True)]
        records = records.set_column(records.column_names.index("id"), "id", pa.array(ids, pa.string()))
    if "group" not in records.column_names:
        records = records.append_column("group", records[FILE_NAME])
    return replace(media, records=records.append_column(FRAME, pa.array(frames, pa.int64())))


class _SharedFrames:
    """The frames of one video, decoded by the first thread that needs them; other threads wait."""

    def __init__(self, path: Path, height: int, width: int) -> None:
        self._arguments = path, height, width
        self._lock = threading.Lock()
        self._found: list[np.ndarray] | str | None = None

    def frames(self) -> list[np.ndarray]:
        with self._lock:
            if self._found is None:
                try:
                    self._found = _all_frames(*self._arguments)
                except NotInstalled:
                    raise
                except SordineError as error:
                    self._found = str(error)  # a bad video is decoded once, not once for each frame
        if isinstance(self._found, str):
            raise SordineError(self._found)
        return self._found


_FRAMES_LOCK = threading.Lock()


def _shared_frames(path: Path, height: int, width: int) -> _SharedFrames:
    if not path.is_file():
        raise SordineError(f"{path} does not exist; check the file name")
    state = path.stat()
    with _FRAMES_LOCK:  # otherwise two threads could each make one
        return _of_state(path.absolute(), state.st_size, state.st_mtime_ns, height, width)


@lru_cache(maxsize=2)
def _of_state(path: Path, size: int, changed: int, height: int, width: int) -> _SharedFrames:
    return _SharedFrames(path, height, width)


def _all_frames(path: Path, height: int, width: int) -> list[np.ndarray]:
    most = max(1, MAX_BYTES // (3 * height * width))
    with closing(_resized(path, height, width, 1)) as every:
        found = list(islice(every, most + 1))
    if len(found) > most:
        raise SordineError(f"{path} has more than {most} frames of {height} x {width}; cut it into shorter videos")
    return found


def _resized(path: Path, height: int, width: int, step: int) -> Generator[np.ndarray, None, None]:
    """Yield every `step`-th frame, (height, width, 3) uint8."""
    check_sides(height, width)
    with closing(_decoded(path)) as frames:
        for number, frame in enumerate(frames):
            if number % step == 0:
                yield resize(_upright(frame), height, width)


def _upright(frame: VideoFrame) -> np.ndarray:
    # The rotation of PyAV is the anticlockwise turn that makes the frame upright, as in rot90.
    return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90)))


def _decoded(path: Path) -> Generator[VideoFrame, None, None]:
    """Yield the frames of the first video stream, decoded by one thread. Raises SordineError naming the file."""
    av = _pyav()
    if not path.is_file():
        raise SordineError(f"{path} does not exist; check the file name")
    any_frame = False
    try:
        _check_length(path)
        # Absolute, because a colon in a relative name would be taken as the end of a protocol name.
        with av.open(str(path.absolute()), mode="r", options=OPTIONS) as container:
            stream = _stream(av, container)
            if max((entry.pos + entry.size for entry in stream.index_entries), default=0) > path.stat().st_size:
                raise ValueError("it is truncated")
            for packet in container.demux(stream):
                frames = packet.decode()
                # The decoder makes a frame even of an incomplete packet.
                if packet.is_corrupt or any(frame.is_corrupt for frame in frames):
                    raise ValueError("it is damaged or truncated")
                any_frame = any_frame or bool(frames)
                yield from frames
        if not any_frame:
            raise ValueError("it has no frames")
    except (av.FFmpegError, OSError, ValueError, MemoryError) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> SordineError:
    reason = getattr(error, "strerror", None) or (str(error).splitlines() or [type(error).__name__])[0]
    return SordineError(f"{path} cannot be decoded as video: {reason}")


def _stream(av: ModuleType, container: InputContainer) -> VideoStream:
    cover = av.stream.Disposition.attached_pic
    stream = next((s for s in container.streams.video if not s.disposition & cover), None)
    if stream is None:
        raise ValueError("it has no video stream")
    if stream.codec_context.width * stream.codec_context.height > MAX_PIXELS:
        raise ValueError("its frames have too many pixels")
    stream.thread_type = "NONE"
    stream.codec_context.thread_count = 1
    return stream


def _pyav() -> ModuleType:
    try:
        import av
    except ImportError:
        raise NotInstalled("PyAV, which decodes videos, is not installed; pip install 'sordine[video]'") from None
    return av


def _check_length(path: Path) -> None:
    """Raise ValueError where a file is shorter than its header declares; the demuxer would accept a shorter video.

    RIFF (AVI) has the length of the rest in bytes 4 to 7. In EBML (Matroska, WebM; RFC 8794), the second element is the
    segment with all the rest. Both may leave the length unknown, as a live recording does.
    """
    with open(path, "rb") as file:
        head = file.read(4096)
    if not head:
        raise ValueError("it is empty")
    end = 0
    if head[:4] == b"RIFF":
        end = int.from_bytes(head[4:8], "little") + 8
    elif head[:4] == b"\x1a\x45\xdf\xa3":
        size, at = _variable(head, 4)
        if head[at + size : at + size + 4] == b"\x18\x53\x80\x67":
            size, at = _variable(head, at + size + 4)
            end = at + size
    if end > path.stat().st_size + 1:
        raise ValueError("it is truncated")


def _variable(head: bytes, at: int) -> tuple[int, int]:
    """Return the size of an EBML element (0 where unknown) and where its data begin.

    The number of leading zero bits is the number of bytes that follow; all ones mean unknown.
    """
    width = 9 - head[at].bit_length() if at < len(head) and head[at] else 0
    mask = (1 << 7 * width) - 1
    size = int.from_bytes(head[at : at + width], "big") & mask
    return (0 if size == mask else size), at + width

"""Videos: frames of the first video stream, clips of them, and records made of single frames."""

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

HELD = 1 << 30  # bytes of frames of one video in memory
PIXELS = 1 << 26  # of one frame, as it is in the file

# A playlist under a video's name would make the demuxer open other files and addresses: only these, only this file.
_OPTIONS = {"protocol_whitelist": "file", "format_whitelist": "mov,mp4,matroska,webm,avi,mpeg,mpegvideo,mpegts,asf,flv"}


def read_frames(path: str | Path, height: int, width: int) -> np.ndarray:
    """Every frame of a video, upright and stretched to (n, height, width, 3) uint8 as `media.image.resize` does.

    Raises SordineError naming the file where it is missing, holds no video, is damaged or cut off, or has more frames
    than HELD bytes take; NotInstalled where PyAV is missing.
    """
    return np.stack(_all_frames(Path(path), height, width))


def read_whole(path: str | Path) -> tuple[np.ndarray, Fraction]:
    """Every frame of a video as it is, upright: ((n, h, w, 3) uint8, frames a second, 25 where the file does not say).

    Raises SordineError as `read_frames` does.
    """
    path = Path(path)
    with closing(_decoded(path)) as frames:
        first = next(frames)
        turned = _upright(first)
        most = max(1, HELD // turned.nbytes)
        found = [turned, *(_upright(frame) for frame in islice(frames, most))]
    if len(found) > most:
        raise SordineError(
            f"{path} has more than {most} frames of {turned.shape[0]} x {turned.shape[1]}: cut it into shorter videos"
        )
    with opened(path) as (_, stream):
        return np.stack(found), Fraction(stream.average_rate or 25)


@contextmanager
def opened(path: Path) -> Iterator[tuple[InputContainer, VideoStream]]:
    """A video's container and its first video stream. Raises SordineError naming the file where there is none."""
    av = _pyav()
    try:
        # Absolute, for a colon in a relative name would end the name of a protocol.
        with av.open(str(path.absolute()), mode="r", options=_OPTIONS) as container:
            yield container, _stream(av, container)
    except (av.FFmpegError, OSError, ValueError, MemoryError) as error:
        raise _unreadable(path, error) from None


def frame_count(path: str | Path) -> int:
    """How many frames `read_frames` gives, found by decoding: what a file's header says of it need not be so."""
    return sum(1 for _ in _decoded(Path(path)))


def take_clip(n: int, frames: int, step: int, centre: int | None = None) -> np.ndarray:
    """Which frames of a video of n make a clip: (frames,) int64, every `step`-th, the last of them repeated where short.

    From the first frame; or with `centre` about the middle, moved by whole steps where it would leave the video, so that
    `centre` is among them. Raises SordineError where n, frames or step is not positive or `centre` is not in the video.
    """
    if min(n, frames, step) < 1:
        raise SordineError(f"no clip of {frames} frames, every {step}, in a video of {n}: each is 1 or more")
    if centre is not None and not 0 <= centre < n:
        raise SordineError(f"frame {centre} is not in a video of {n} frames")
    first = 0 if centre is None else centre % step
    steps = (n - 1 - first) // step + 1  # frames that whole steps lead to
    start = 0 if centre is None else min(max(0, centre // step - frames // 2), max(0, steps - frames))
    return np.asarray(first + step * np.minimum(start + np.arange(frames), steps - 1), dtype=np.int64)


@dataclass(frozen=True)
class Clips:
    """Videos as (frames, 3, height, width) uint8: every `step`-th frame, the last one repeated where the video is short.

    Without a frame the clip begins at the video's first; with one it lies around that frame (`take_clip`). A picture is
    a clip of itself, repeated: its length is 1.
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
            raise SordineError(f"a clip of {self.frames} frames, every {self.step}: each is 1 or more")

    @property
    def shape(self) -> tuple[int, ...]:
        """(frames, 3, height, width)."""
        return (self.frames, 3, self.height, self.width)

    @property
    def dtype(self) -> np.dtype:
        """uint8."""
        return np.dtype(np.uint8)

    def decode(self, path: Path, frame: int | None) -> tuple[np.ndarray, int]:
        """One video, one frame of it with its neighbours, or one picture -> (x of `shape`, how many frames are real).

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
            found = _held(path, self.height, self.width).frames()
            if not 0 <= frame < len(found):
                raise SordineError(f"{path} has no frame {frame}: its {len(found)} frames are counted from 0")
            chosen = take_clip(len(found), self.frames, self.step, frame)
        x = np.stack([found[i] for i in chosen])
        return np.ascontiguousarray(np.moveaxis(x, -1, 1)), len(np.unique(chosen))


def by_frame(media: Media, every: int = 1, *, workers: int = 2) -> Media:
    """One record a frame instead of one a video: its frames 0, `every`, 2 * `every` and so on, videos in their order.

    Columns are repeated, `frame` is added, and `id`, where there is one, gets "#frame" appended. `group` is the video's
    file name unless there is such a column, so that the frames of one video stay on one side of a split. A video that
    cannot be read keeps one record, of frame 0: decoding then names it as a bad file. Raises SordineError where the
    records are no videos, or are frames already; NotInstalled where PyAV is missing.
    """
    if media.kind != "video":
        raise SordineError(f"{media.root} holds {media.kind}, not video: it has no frames")
    if FRAME in media.records.column_names:
        raise SordineError(f"{media.root}: the records are single frames already")
    if every < 1:
        raise SordineError(f"every {every} frames: 1 or more")

    def count(name: str) -> int:
        try:
            return frame_count(media.root / name)
        except NotInstalled:
            raise
        except SordineError:
            return 1

    with ThreadPoolExecutor(max(1, workers)) as pool:
        shown = [np.arange(0, n, every, dtype=np.int64) for n in pool.map(count, media.files)]
    rows = np.repeat(np.arange(len(media)), [len(s) for s in shown])
    frames = np.concatenate(shown) if shown else np.zeros(0, np.int64)
    records = media.records.take(pa.array(rows))
    if "id" in records.column_names:
        ids = [f"{i}#{frame:05d}" for i, frame in zip(records["id"].to_pylist(), frames, strict=True)]
        records = records.set_column(records.column_names.index("id"), "id", pa.array(ids, pa.string()))
    if "group" not in records.column_names:
        records = records.append_column("group", records[FILE_NAME])
    return replace(media, records=records.append_column(FRAME, pa.array(frames, pa.int64())))


class _Held:
    """One video's frames, decoded by the first thread that asks; the others wait for it."""

    def __init__(self, path: Path, height: int, width: int) -> None:
        self._of = path, height, width
        self._lock = threading.Lock()
        self._found: list[np.ndarray] | str | None = None

    def frames(self) -> list[np.ndarray]:
        with self._lock:
            if self._found is None:
                try:
                    self._found = _all_frames(*self._of)
                except NotInstalled:
                    raise
                except SordineError as error:
                    self._found = str(error)  # a bad video is tried once, not once a frame
        if isinstance(self._found, str):
            raise SordineError(self._found)
        return self._found


_HOLDING = threading.Lock()


def _held(path: Path, height: int, width: int) -> _Held:
    if not path.is_file():
        raise SordineError(f"{path} does not exist")
    state = path.stat()
    with _HOLDING:  # two threads that miss at once would each make one of their own
        return _of_state(path.absolute(), state.st_size, state.st_mtime_ns, height, width)


@lru_cache(maxsize=2)
def _of_state(path: Path, size: int, changed: int, height: int, width: int) -> _Held:
    return _Held(path, height, width)


def _all_frames(path: Path, height: int, width: int) -> list[np.ndarray]:
    most = max(1, HELD // (3 * height * width))
    with closing(_resized(path, height, width, 1)) as every:
        found = list(islice(every, most + 1))
    if len(found) > most:
        raise SordineError(f"{path} has more than {most} frames of {height} x {width}: cut it into shorter videos")
    return found


def _resized(path: Path, height: int, width: int, step: int) -> Generator[np.ndarray, None, None]:
    """Every `step`-th frame, (height, width, 3) uint8."""
    check_sides(height, width)
    with closing(_decoded(path)) as frames:
        for number, frame in enumerate(frames):
            if number % step == 0:
                yield resize(_upright(frame), height, width)


def _upright(frame: VideoFrame) -> np.ndarray:
    # What PyAV calls the rotation is how far to turn anticlockwise, as rot90 does.
    return np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), round(frame.rotation / 90)))


def _decoded(path: Path) -> Generator[VideoFrame, None, None]:
    """The frames of the first video stream, by one thread. Raises SordineError naming the file."""
    av = _pyav()
    if not path.is_file():
        raise SordineError(f"{path} does not exist")
    any_frame = False
    try:
        _check_length(path)
        # Absolute, for a colon in a relative name would end the name of a protocol.
        with av.open(str(path.absolute()), mode="r", options=_OPTIONS) as container:
            stream = _stream(av, container)
            if max((entry.pos + entry.size for entry in stream.index_entries), default=0) > path.stat().st_size:
                raise ValueError("it is cut off")
            for packet in container.demux(stream):
                frames = packet.decode()
                # The decoder makes a frame of whatever is left of one.
                if packet.is_corrupt or any(frame.is_corrupt for frame in frames):
                    raise ValueError("it is damaged or cut off")
                any_frame = any_frame or bool(frames)
                yield from frames
        if not any_frame:
            raise ValueError("it has no frames")
    except (av.FFmpegError, OSError, ValueError, MemoryError) as error:
        raise _unreadable(path, error) from None


def _unreadable(path: Path, error: Exception) -> SordineError:
    reason = getattr(error, "strerror", None) or (str(error).splitlines() or [type(error).__name__])[0]
    return SordineError(f"{path} cannot be read as video: {reason}")


def _stream(av: ModuleType, container: InputContainer) -> VideoStream:
    cover = av.stream.Disposition.attached_pic
    stream = next((s for s in container.streams.video if not s.disposition & cover), None)
    if stream is None:
        raise ValueError("it holds no video")
    if stream.codec_context.width * stream.codec_context.height > PIXELS:
        raise ValueError("its frames have too many pixels")
    stream.thread_type = "NONE"
    stream.codec_context.thread_count = 1
    return stream


def _pyav() -> ModuleType:
    try:
        import av
    except ImportError:
        raise NotInstalled("videos are read by PyAV, which is missing: pip install 'sordine[video]'") from None
    return av


def _check_length(path: Path) -> None:
    """Raise ValueError where a file is shorter than its own header says: the demuxer takes it for a shorter video.

    RIFF (AVI) gives the length of what follows in bytes 4 to 7; of EBML (Matroska, WebM), RFC 8794, the second element
    is the segment that holds all the rest. Either may leave it unknown, as a live recording does.
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
        raise ValueError("it is cut off")


def _variable(head: bytes, at: int) -> tuple[int, int]:
    """An EBML element's size and where its data begin: as many leading zero bits as bytes follow; all ones, unknown (0)."""
    width = 9 - head[at].bit_length() if at < len(head) and head[at] else 0
    mask = (1 << 7 * width) - 1
    size = int.from_bytes(head[at : at + width], "big") & mask
    return (0 if size == mask else size), at + width

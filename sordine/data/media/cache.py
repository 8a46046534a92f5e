"""Decoded media, once: a folder's files as one mapped array in the cache, decoded by several workers."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np

from sordine.data.files import cache_folder
from sordine.data.media.kinds import Kind, Media
from sordine.errors import SordineError

PART = 256  # records between two reports of progress


class NotInstalled(SordineError):
    """What reads this kind of file is missing: no file is bad, and none is left out for it."""


class Decoder(Protocol):
    """A frozen dataclass whose fields are its options; files into arrays of one shape.

    kinds: what it reads. version changes whenever the same file gives other numbers. `decode` is called by several
    threads at once.
    """

    kinds: ClassVar[tuple[Kind, ...]]
    version: ClassVar[int]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one record."""
        ...

    @property
    def dtype(self) -> np.dtype:
        """uint8 for pictures, float32 for sound."""
        ...

    def decode(self, path: Path, frame: int | None) -> tuple[np.ndarray, int]:
        """One file (or one frame of a video) -> (record of `shape`, how many samples or frames of it are real, the rest
        being padding). Raises SordineError, naming the file, where it cannot be decoded; NotInstalled where none could."""
        ...


@dataclass(frozen=True)
class Decoded:
    """The good records of a media folder, decoded.

    x: (n, *shape), mapped from the cache. lengths: (n,) int64, real samples or frames of each; the rest is padding.
    rows: (n,) which row of `media.records` each is. bad: (file, reason) of what could not be decoded.
    """

    x: np.ndarray
    lengths: np.ndarray
    rows: np.ndarray
    bad: tuple[tuple[str, str], ...]
    kind: Kind

    def __len__(self) -> int:
        return len(self.rows)


def decode(
    media: Media,
    decoder: Decoder,
    *,
    skip_bad: bool = False,
    workers: int = 2,
    log: Callable[[str], None] = lambda line: None,
    progress: Callable[[int, int], None] | None = None,
) -> Decoded:
    """Decode a folder into the cache, or find it there; the result does not depend on `workers`.

    The address is made of the decoder, and of every file's name, size and time of change. skip_bad: leave out what cannot
    be read. Memory does not grow with the folder. Raises SordineError for the first bad file (with how many there are)
    unless skip_bad, where every file is bad, or where the cache cannot be written; NotInstalled as the decoder does.
    """
    _check_kind(media, decoder)
    home = cache_folder() / f"media-{_address(media, decoder)}"
    if not home.is_dir():
        with _made(home) as temporary:
            _fill(temporary, media, decoder, workers, progress)
    elif progress:
        progress(len(media), len(media))
    found = _found(home, media, decoder)
    if found.bad and not skip_bad:
        raise SordineError(_refusal(found.bad, len(media)))
    if found.bad:
        what = "file" if len(found.bad) == 1 else "files"
        names = ", ".join(name for name, _ in found.bad)
        log(f"left out {len(found.bad)} bad {what} of {len(media)}: {names}")
    return found


def _check_kind(media: Media, decoder: Decoder) -> None:
    if media.kind not in decoder.kinds:
        raise SordineError(f"{media.root} holds {media.kind}, not {' or '.join(decoder.kinds)}")
    if not len(media):
        raise SordineError(f"{media.root} has no records")


def _refusal(bad: tuple[tuple[str, str], ...], of: int) -> str:
    what = "bad file" if len(bad) == 1 else "bad files"
    return f"{bad[0][1]} ({len(bad)} {what} of {of}){'; --skip-bad leaves bad files out' if len(bad) < of else ''}"


def _address(media: Media, decoder: Decoder) -> str:
    assert is_dataclass(decoder)
    assert not isinstance(decoder, type)
    made = {"decoder": type(decoder).__name__, "version": decoder.version, **asdict(decoder)}
    hashed = hashlib.blake2b(json.dumps(made, sort_keys=True, default=str).encode(), digest_size=16)
    states: dict[str, str] = {}
    for name, frame in zip(media.files, media.frames, strict=True):
        if name not in states:
            states[name] = _state(media.root / name)
        hashed.update(f"{name}\0{frame}\0{states[name]}\0".encode())
    hashed.update(str(media.root.resolve()).encode())
    return hashed.hexdigest()


def _state(path: Path) -> str:
    try:
        found = os.stat(path)
    except OSError:
        return "missing"  # a bad file like others, until it is there
    # A file that may not be read is bad, and giving leave to read it changes neither size nor time.
    return f"{found.st_size}\0{found.st_mtime_ns}\0{os.access(path, os.R_OK)}"


@contextlib.contextmanager
def _made(home: Path) -> Iterator[Path]:
    """A folder beside `home`, renamed onto it when the block ends well, removed when it does not.

    `files.atomic` replaces what is there, and readers may be at it. Here what another process finished meanwhile stays:
    an address is made of what is decoded, so both are the same. Raises SordineError where nothing can be written.
    """
    try:
        home.parent.mkdir(parents=True, exist_ok=True)
        holder = Path(tempfile.mkdtemp(prefix=f".{home.name}.", suffix=".part", dir=home.parent))
        try:
            temporary = holder / home.name  # the holder itself is closed to others; what is renamed is not to be
            temporary.mkdir()
            yield temporary
            try:
                os.rename(temporary, home)
            except OSError:
                if not home.is_dir():
                    raise
        finally:
            shutil.rmtree(holder, ignore_errors=True)
    except OSError as error:
        raise SordineError(f"cannot write {home}: {error.strerror or error}") from None


@dataclass(frozen=True)
class Block:
    """Some consecutive records, decoded. rows: (b,) their places in `media.records`; the others as in `Decoded`."""

    x: np.ndarray
    lengths: np.ndarray
    rows: np.ndarray
    bad: tuple[tuple[str, str], ...]


def blocks(media: Media, decoder: Decoder, size: int, *, workers: int = 2) -> Iterator[Block]:
    """The folder's records in order, `size` rows at a time (fewer where some are bad), read once and kept nowhere.

    Raises SordineError, at once, where the decoder does not read such a folder; NotInstalled as the decoder does.
    """
    _check_kind(media, decoder)
    return _blocks(media, decoder, size, workers)


def _blocks(media: Media, decoder: Decoder, size: int, workers: int) -> Iterator[Block]:
    names = media.files
    x, lengths, rows = [], [], []
    bad: list[tuple[str, str]] = []
    for row, (record, length, reason) in enumerate(_in_order(media, decoder, workers)):
        if record is None:
            bad.append((names[row], reason))
        else:
            x.append(record)
            lengths.append(length)
            rows.append(row)
        if (row + 1) % size == 0 or row + 1 == len(media):
            stacked = np.stack(x) if x else np.zeros((0, *decoder.shape), decoder.dtype)
            yield Block(stacked, np.array(lengths, np.int64), np.array(rows, np.int64), tuple(bad))
            x, lengths, rows, bad = [], [], [], []


def _fill(
    home: Path, media: Media, decoder: Decoder, workers: int, progress: Callable[[int, int], None] | None
) -> None:
    """Good records one after another, in the folder's order. Raises SordineError where there is none: then no cache stays."""
    names, lengths, rows = media.files, [], []
    bad: list[tuple[str, str]] = []
    # Written, not mapped: on a full disk a mapped page ends the process, without a word.
    with open(home / "x", "wb") as file:
        for row, (record, length, reason) in enumerate(_in_order(media, decoder, workers)):
            if record is None:
                bad.append((names[row], reason))
            else:
                file.write(np.ascontiguousarray(record).data)
                lengths.append(length)
                rows.append(row)
            if progress and ((row + 1) % PART == 0 or row + 1 == len(media)):
                progress(row + 1, len(media))
    if not rows:
        raise SordineError(_refusal(tuple(bad), len(media)))
    np.save(home / "lengths.npy", np.array(lengths, np.int64))
    np.save(home / "rows.npy", np.array(rows, np.int64))
    (home / "bad.json").write_text(json.dumps(bad), encoding="utf-8")


def _found(home: Path, media: Media, decoder: Decoder) -> Decoded:
    """What lies in the cache. Raises SordineError where it is not what was written."""
    try:
        lengths, rows = np.load(home / "lengths.npy"), np.load(home / "rows.npy")
        bad = tuple((str(n), str(r)) for n, r in json.loads((home / "bad.json").read_text(encoding="utf-8")))
        shape = (len(rows), *decoder.shape)
        whole = len(rows) == len(lengths) > 0 and len(rows) + len(bad) == len(media)
        if not whole or (home / "x").stat().st_size != decoder.dtype.itemsize * int(np.prod(shape, dtype=np.int64)):
            raise ValueError
        x = np.memmap(home / "x", decoder.dtype, "r", shape=shape)
    except (OSError, ValueError, TypeError, EOFError):
        raise SordineError(f"the cache folder {home} is damaged: remove it, and it is made again") from None
    return Decoded(x, lengths, rows, bad, media.kind)


def _in_order(media: Media, decoder: Decoder, workers: int) -> Iterator[tuple[np.ndarray | None, int, str]]:
    # Threads are enough: the decoders of sound, pictures and video let go of the interpreter.
    def one(path: Path, frame: int | None) -> tuple[np.ndarray | None, int, str]:
        try:
            record, length = decoder.decode(path, frame)
        except NotInstalled:
            raise
        except SordineError as error:
            return None, 0, str(error)
        except OSError as error:
            return None, 0, f"{path} cannot be read: {error.strerror or error}"
        assert (record.shape, record.dtype) == (decoder.shape, decoder.dtype)
        return record, length, ""

    workers = max(1, workers)
    pending: deque[Future[tuple[np.ndarray | None, int, str]]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for name, frame in zip(media.files, media.frames, strict=True):
                pending.append(pool.submit(one, media.root / name, frame))
                if len(pending) >= 8 * workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()

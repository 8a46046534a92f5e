"""Decode a media folder once, with several workers, into one mapped array in the cache."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import ClassVar, Protocol

import numpy as np

from sordine.data import unfinished
from sordine.data.cache import PRIVATE_FILE, PRIVATE_FOLDER, make_room, open_cache
from sordine.data.files import state_of
from sordine.data.media.kinds import Kind, Media
from sordine.errors import SordineError, WriteError, pass_on
from sordine.run import Run, silent

DECODE = "decode"  # what progress reports
PARTS, CHECKSUM = ("x", "lengths.npy", "rows.npy", "bad.json"), "checksum"
STEP = 256  # records between two reports of progress


_sound: set[tuple[object, ...]] = set()  # (name, state_of each part) of checked entries, while the process lasts


class NotInstalled(SordineError):
    """The package that decodes this kind of file is not installed. No file is bad or left out for it."""


class Decoder(Protocol):
    """A frozen dataclass whose fields are its options, which decodes files into arrays of one shape.

    Attributes
    ----------
    kinds
        Kinds of media that it decodes.
    version
        Changes whenever the same file gives other numbers.
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
        """Return the record of one file, or of one frame of a video, and how many samples or frames are not padding.

        Several threads call it at the same time.

        Raises
        ------
        SordineError
            Where the file cannot be decoded.
        NotInstalled
            Where no file can be.
        """
        ...


@dataclass(frozen=True)
class Decoded:
    """The decodable records of a media folder.

    Attributes
    ----------
    x
        (n, *shape), mapped from the cache.
    lengths
        (n,) int64 samples or frames of each that are not padding.
    rows
        (n,) row of `media.records` of each.
    bad
        (file, reason) of each file that could not be decoded.
    kind
        Kind of the media.
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
    run: Run | None = None,
) -> Decoded:
    """Return the decoded records of a folder, from the cache where they are there.

    The address in the cache depends on the decoder and on the name, size and time of change of every file. Memory does
    not grow with the folder, and the result does not depend on the workers.

    Parameters
    ----------
    media
        The folder.
    decoder
        How to decode it.
    skip_bad
        Whether files that cannot be decoded are left out.
    run
        Workers (threads, by default 2), log and progress.

    Raises
    ------
    SordineError
        For a bad file unless `skip_bad`, where every file is bad, or where the cache cannot be written.
    NotInstalled
        As the decoder does.
    """
    run = run or Run(log=silent)
    _check_kind(media, decoder)
    home = open_cache() / f"media-{_address(media, decoder)}"
    found = _found(home, media, decoder)
    if found is not None:
        run.step(DECODE, len(media), len(media))
    while found is None:  # there is none, or it is damaged
        with _made(home) as temporary:
            _fill(temporary, media, decoder, run)
        found = _found(home, media, decoder)
    if found.bad and not skip_bad:
        raise SordineError(_refusal(found.bad, len(media)))
    if found.bad:
        what = "file" if len(found.bad) == 1 else "files"
        names = ", ".join(name for name, _ in found.bad)
        run.log(f"Left out {len(found.bad)} bad {what} of {len(media)}: {names}")
    return found


def _check_kind(media: Media, decoder: Decoder) -> None:
    if media.kind not in decoder.kinds:
        raise SordineError(f"{media.root} contains {media.kind}, but this extractor needs {' or '.join(decoder.kinds)}")
    if not len(media):
        raise SordineError(f"{media.root} has no records; at least one is needed")


def _refusal(bad: tuple[tuple[str, str], ...], of: int) -> str:
    what = "bad file" if len(bad) == 1 else "bad files"
    return (
        f"{bad[0][1]} ({len(bad)} {what} of {of}){'; use --skip-bad to leave bad files out' if len(bad) < of else ''}"
    )


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
        return "missing"  # a bad file until it exists
    # A file without permission is bad, and a change of permission changes neither size nor time.
    return f"{found.st_size}\0{found.st_mtime_ns}\0{os.access(path, os.R_OK)}"


@contextlib.contextmanager
def _made(home: Path) -> Iterator[Path]:
    """Give a folder beside `home`; rename it to `home` when the block succeeds, remove it when it fails.

    `files.atomic` would replace a folder that others may use. Here a folder that another process finished meanwhile
    stays: both are the same, because the address determines the content. Raises SordineError where nothing can be
    written.
    """
    try:
        shutil.rmtree(home, ignore_errors=True)  # a damaged one
        unfinished.mend(home)
        with unfinished.begun(home) as part:
            part.output.mkdir(mode=PRIVATE_FOLDER)
            yield part.output
            for path in part.output.iterdir():
                path.chmod(PRIVATE_FILE)
            try:
                os.rename(part.output, home)
            except OSError:
                if not home.is_dir():
                    raise
    except OSError as error:
        raise WriteError(f"cannot write {home}: {error.strerror or error}") from None


@dataclass(frozen=True)
class DecodedBlock:
    """Some consecutive records, decoded. rows: (b,) their rows in `media.records`; the others as in `Decoded`."""

    x: np.ndarray
    lengths: np.ndarray
    rows: np.ndarray
    bad: tuple[tuple[str, str], ...]


def blocks(media: Media, decoder: Decoder, size: int, *, workers: int = 2) -> Iterator[DecodedBlock]:
    """Yield the records of a folder in order, `size` rows at a time (fewer where some are bad), without the cache.

    Raises
    ------
    SordineError
        At once, where the decoder does not suit the kind of media.
    NotInstalled
        As the decoder does.
    """
    _check_kind(media, decoder)
    return _blocks(media, decoder, size, workers)


def _blocks(media: Media, decoder: Decoder, size: int, workers: int) -> Iterator[DecodedBlock]:
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
            yield DecodedBlock(stacked, np.array(lengths, np.int64), np.array(rows, np.int64), tuple(bad))
            x, lengths, rows, bad = [], [], [], []


def _fill(home: Path, media: Media, decoder: Decoder, run: Run) -> None:
    """Write the decodable records in order. Raises SordineError, and leaves no cache, where there is none."""
    make_room(len(media) * decoder.dtype.itemsize * int(np.prod(decoder.shape, dtype=np.int64)))
    names, lengths, rows = media.files, [], []
    bad: list[tuple[str, str]] = []
    # Written, not mapped: a mapped write on a full disk kills the process without a message.
    with open(home / "x", "wb") as file:
        for row, (record, length, reason) in enumerate(
            _in_order(media, decoder, 2 if run.workers is None else run.workers)
        ):
            if record is None:
                bad.append((names[row], reason))
            else:
                file.write(np.ascontiguousarray(record).data)
                lengths.append(length)
                rows.append(row)
            if (row + 1) % STEP == 0 or row + 1 == len(media):
                run.step(DECODE, row + 1, len(media))
    if not rows:
        raise SordineError(_refusal(tuple(bad), len(media)))
    np.save(home / "lengths.npy", np.array(lengths, np.int64))
    np.save(home / "rows.npy", np.array(rows, np.int64))
    (home / "bad.json").write_text(json.dumps(bad), encoding="utf-8")
    (home / CHECKSUM).write_text(_checksum(home), encoding="ascii")


def _found(home: Path, media: Media, decoder: Decoder) -> Decoded | None:
    """Return the content of the cache; None where there is none, or where it is not what was written."""
    try:
        if not _is_sound(home):
            return None
        lengths, rows = np.load(home / "lengths.npy"), np.load(home / "rows.npy")
        bad = tuple((str(n), str(r)) for n, r in json.loads((home / "bad.json").read_text(encoding="utf-8")))
        x = np.memmap(home / "x", decoder.dtype, "r", shape=(len(rows), *decoder.shape))
    except OSError:
        return None
    return Decoded(x, lengths, rows, bad, media.kind)


def _is_sound(home: Path) -> bool:
    """Whether the files of an entry have their checksum, which is computed once while they do not change."""
    states = []
    for name in PARTS:
        with open(home / name, "rb") as file:
            states.append(state_of(file))
    known = (home.name, *states)
    if None not in states and known in _sound:
        return True
    if (home / CHECKSUM).read_text(encoding="ascii", errors="replace") != _checksum(home):
        return False
    if None not in states:
        _sound.add(known)
    return True


def _checksum(home: Path) -> str:
    """A digest of the address and of the files of an entry."""
    whole = hashlib.blake2b(home.name.encode(), digest_size=32)
    for name in PARTS:
        with open(home / name, "rb") as file:
            whole.update(hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=32)).digest())
    return whole.hexdigest()


def _in_order(media: Media, decoder: Decoder, workers: int) -> Iterator[tuple[np.ndarray | None, int, str]]:
    # Threads suffice: the decoders of sound, pictures and video release the interpreter lock.
    def decoded(path: Path, frame: int | None) -> tuple[np.ndarray | None, int, str]:
        try:
            record, length = decoder.decode(path, frame)
        except NotInstalled:
            raise
        except (SordineError, MemoryError) as error:
            pass_on(error)
            return None, 0, str(error)
        except OSError as error:
            pass_on(error)
            return None, 0, f"{path} cannot be read: {error.strerror or error}"
        assert (record.shape, record.dtype) == (decoder.shape, decoder.dtype)
        return record, length, ""

    workers = max(1, workers)
    pending: deque[Future[tuple[np.ndarray | None, int, str]]] = deque()
    with ThreadPoolExecutor(workers) as pool:
        try:
            for name, frame in zip(media.files, media.frames, strict=True):
                pending.append(pool.submit(decoded, media.root / name, frame))
                if len(pending) >= 8 * workers:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()

"""Keyed randomness: every draw is a function of (secret key, purpose, record id) and of nothing else.

The i-th number drawn for a record is the i-th word of SHAKE-256(key, purpose, id): an extendable-output function
used as a counter-based generator. Nothing is shared between records, so a draw does not depend on batch size, on
order or on the number of workers, and the draws of one record disclose nothing about another's or about the key.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from scipy.special import ndtri

from sordine.errors import SordineError

KEY_BYTES = 32
LONGEST = 4096  # bytes of a key file that are read; white space may surround the digits


@dataclass(frozen=True)
class Key:
    """A secret of 32 bytes. Never share it; its `fingerprint` may be shared.

    Parameters
    ----------
    secret
        The 32 bytes.
    """

    secret: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if len(self.secret) != KEY_BYTES:
            raise SordineError(f"a key has {KEY_BYTES} bytes, this one has {len(self.secret)}")

    @classmethod
    def fresh(cls) -> Key:
        """Return a new key from the operating system's random source."""
        return cls(secrets.token_bytes(KEY_BYTES))

    @classmethod
    def of_seed(cls, seed: int) -> Key:
        """Return a key for tests, benchmarks and demos: NOT secret, the same for the same seed."""
        return cls(hashlib.sha256(b"sordine seed %d" % seed).digest())

    @classmethod
    def read(cls, path: str | Path) -> Key:
        """Return the key in a file of 64 hexadecimal digits.

        Raises
        ------
        SordineError
            If the file is missing or malformed.
        """
        try:
            with open(path, "rb") as file:
                text = file.read(LONGEST)
            if not text.strip():
                raise SordineError(
                    f"key file {path} is empty: a run was interrupted before it wrote the key, and nothing was made "
                    "with it. Remove the file and run the command again"
                )
            return cls._of_text(text)
        except FileNotFoundError:
            raise SordineError(f"key file {path} does not exist") from None
        except IsADirectoryError:
            raise SordineError(f"key file {path} is a folder") from None
        except OSError as error:
            why = "permission denied" if isinstance(error, PermissionError) else error.strerror or error
            raise SordineError(f"key file {path} cannot be read: {why}") from None
        except ValueError:
            raise SordineError(
                f"key file {path} is not {2 * KEY_BYTES} hexadecimal digits; name another file with --key, or restore "
                "this one from a copy"
            ) from None

    @classmethod
    def _of_text(cls, text: bytes) -> Key:
        if len(digits := text.strip()) != 2 * KEY_BYTES:
            raise ValueError("length")
        return cls(bytes.fromhex(digits.decode("ascii")))

    def write(self, path: str | Path) -> None:
        """Write the key file, readable by its owner alone. An incomplete key is never at `path`.

        Raises
        ------
        FileExistsError
            If the file exists: a key is never overwritten.
        """
        path, text = Path(path), (self.secret.hex() + "\n").encode()
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", suffix=".part", dir=path.parent) as folder:
            temporary = Path(folder) / path.name
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "wb") as file:
                file.write(text)
                file.flush()
                os.fsync(handle)
            os.link(temporary, path)  # unlike a rename, it fails where the path exists

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that differ between keys and do not disclose the key."""
        return self.digest("fingerprint", ["key"])[0, :8].tobytes().hex()

    def _stream(self, purpose: str) -> hashlib._Hash:
        return hashlib.shake_256(self.secret + purpose.encode() + b"\0")

    def digest(self, purpose: str, ids: Iterable[str], size: int = 16) -> np.ndarray:
        """Return keyed hashes of ids: (n, size) uint8."""
        head = self._stream(purpose)
        parts = []
        for name in ids:
            stream = head.copy()
            stream.update(name.encode())
            parts.append(stream.digest(size))  # type: ignore[call-arg]
        return np.frombuffer(b"".join(parts), dtype=np.uint8).reshape(len(parts), size)

    def uniform(self, purpose: str, ids: Sequence[str] | np.ndarray, count: int) -> np.ndarray:
        """Return independent uniform draws in the open interval (0, 1): (n, count) float64."""
        words = self.digest(purpose, ids, 8 * count).view("<u8") if count else np.zeros((len(ids), 0), "<u8")
        return ((words >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53

    def normal(self, purpose: str, ids: Sequence[str] | np.ndarray, count: int) -> np.ndarray:
        """Return independent standard normal draws: (n, count) float64, by inversion of `uniform`."""
        return np.asarray(ndtri(self.uniform(purpose, ids, count)))

    def order(self, purpose: str, ids: Sequence[str] | np.ndarray) -> np.ndarray:
        """Return a keyed random order of the ids: positions (n,) int64. It does not depend on their order."""
        words = self.digest(purpose, ids, 16)
        return np.lexsort(tuple(words.T[::-1]))

    def pseudonyms(self, ids: Sequence[str] | np.ndarray) -> list[str]:
        """Return a pseudonym for each id: 32 hexadecimal digits (128 bits, so collisions are improbable)."""
        return [row.tobytes().hex() for row in self.digest("pseudonym", ids, 16)]


def numpy_rng(seed: int, purpose: str) -> np.random.Generator:
    """Return a generator for training and auditing, the same for the same seed and purpose.

    Never use it for a released record.
    """
    return np.random.default_rng([seed, int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:8], "little")])

"""Arrays larger than memory: each is one file of the cache folder, with a checksum, mapped when it is read."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from sordine.data.cache import PRIVATE_FILE, make_room, open_cache
from sordine.data.files import atomic, cache_folder, state_of
from sordine.errors import WriteError

FORMAT = 1  # of such a file; another number gives every array another address
CHECKSUM_BYTES = 32
READ_BYTES = 1 << 20

_sound: set[tuple[str, tuple[int, ...]]] = set()  # (address, state_of) of checked files, while the process lasts


@dataclass(frozen=True)
class MappedArray:
    """An array in the cache folder, under an address that is a digest of all that decides its numbers.

    The file holds the numbers in C order, then a checksum of the address and the numbers. A file of another size or
    with other numbers is not used.
    """

    address: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    kind: str = "table"

    @classmethod
    def of(
        cls, source: Mapping[str, Any], shape: tuple[int, ...], dtype: np.dtype[Any], kind: str = "table"
    ) -> MappedArray:
        """The array of this shape and type that is made of `source`.

        Parameters
        ----------
        source
            Everything that the numbers depend on, as JSON can write it: a digest of the table, the names of the
            columns in their order.
        shape, dtype
            The array's shape and type.
        kind
            The first word of the file's name.
        """
        whole = {"format": FORMAT, "source": dict(source), "shape": list(shape), "dtype": dtype.str}
        text = json.dumps(whole, sort_keys=True).encode()
        return cls(hashlib.blake2b(text, digest_size=20).hexdigest(), shape, dtype, kind)

    @property
    def path(self) -> Path:
        """Where the file is, or will be."""
        return cache_folder() / f"{self.kind}-{self.address}.x"

    @property
    def size(self) -> int:
        """Bytes of the numbers alone."""
        return self.dtype.itemsize * int(np.prod(self.shape, dtype=np.int64))

    def read(self) -> np.memmap[Any, Any] | None:
        """The array, mapped for reading; None where there is no file, or one that is damaged.

        The checksum of a file is computed once, until the file changes.
        """
        try:
            with open(self.path, "rb") as file:
                if os.fstat(file.fileno()).st_size != self.size + CHECKSUM_BYTES:
                    return None
                state = state_of(file)
                if state is None or (self.address, state) not in _sound:
                    if self._checksum(file) != file.read(CHECKSUM_BYTES):
                        return None
                    if state is not None:
                        _sound.add((self.address, state))
                return np.memmap(file, self.dtype, "r", shape=self.shape)
        except OSError:
            return None

    def make(self, fill: Callable[[np.ndarray], None]) -> np.memmap[Any, Any]:
        """Write the array anew, in place of any file that is there, and map it.

        Parameters
        ----------
        fill
            Puts the numbers into the array that it is given. Where it raises an error, no file is left behind.

        Raises
        ------
        WriteError
            The cache folder cannot be written, the disk is full, or the disk does not return what was written.
        """
        open_cache()
        make_room(self.size + CHECKSUM_BYTES)
        with atomic(self.path) as temporary, open(temporary, "w+b", opener=_private) as file:
            # Claims the disk now: a mapped write on a full one kills the process.
            os.posix_fallocate(file.fileno(), 0, self.size + CHECKSUM_BYTES)
            x = np.memmap(file, self.dtype, "r+", shape=self.shape)
            fill(x)
            x.flush()
            del x
            checksum = self._checksum(file)
            file.seek(self.size)
            file.write(checksum)
        made = self.read()
        if made is None:
            raise WriteError(f"{self.path} does not hold what was written there; check the disk, or set SORDINE_CACHE")
        return made

    def _checksum(self, file: BinaryIO) -> bytes:
        """Digest of the address and the numbers of an open file, which is left where the numbers end."""
        state = hashlib.blake2b(self.address.encode(), digest_size=CHECKSUM_BYTES)
        file.seek(0)
        left = self.size
        while left and (block := file.read(min(left, READ_BYTES))):
            state.update(block)
            left -= len(block)
        return state.digest()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, PRIVATE_FILE)

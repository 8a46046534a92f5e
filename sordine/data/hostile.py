"""Limits for files that come from elsewhere: JSON, safetensors and the text in them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

JSON_BYTES = 1 << 25  # Python objects take up to 25 times the bytes of their JSON
JSON_DEPTH = 64
JSON_DIGITS = 20  # of a whole number: 64 bits
TENSOR_BYTES = 1 << 32  # of a file of weights
HEADER_BYTES = 1 << 24


def read_limited(path: Path, most: int) -> bytes:
    """Return the bytes of a file.

    Raises
    ------
    ValueError
        Where it has more than `most`; nothing is read then.
    """
    with open(path, "rb") as file:
        found = file.read(most + 1)
    if len(found) > most:
        raise ValueError(f"it has more than {most:,} bytes")
    return found


def parse_json(text: str | bytes, **hooks: Any) -> Any:
    """Return what a JSON text holds.

    Parameters
    ----------
    text
        The text, or its bytes in UTF-8.
    hooks
        As for `json.loads`.

    Raises
    ------
    ValueError
        Where it is not JSON, is longer than JSON_BYTES, is nested deeper than JSON_DEPTH, has whole numbers of more
        than JSON_DIGITS digits, or text that UTF-8 cannot write.
    """
    if len(text) > JSON_BYTES:
        raise ValueError(f"it has more than {JSON_BYTES:,} bytes")
    try:
        found = json.loads(text, **{"parse_int": _integer, **hooks})
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    check_plain(found, JSON_DEPTH)
    return found


def check_plain(found: Any, depth: int) -> None:
    """Check plain data from elsewhere: lists, mappings and single values.

    Raises
    ------
    ValueError
        Where it is nested deeper than `depth`, or a text contains NUL or cannot be written as UTF-8.
    """
    level = [found]
    for _ in range(depth):
        deeper: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                deeper += [*value, *value.values()]
            elif isinstance(value, list | tuple | set | frozenset):
                deeper += value
            elif isinstance(value, str):
                value.encode()  # UnicodeEncodeError is a ValueError
                if "\0" in value:
                    raise ValueError("it contains the character NUL")
        if not deeper:
            return
        level = deeper
    raise ValueError("it is nested too deeply")


def read_tensors(path: Path, digest: str) -> bytes:
    """Return the bytes of a safetensors file.

    Parameters
    ----------
    path
        The file.
    digest
        Its SHA-256, which is checked before the file is held in memory.

    Raises
    ------
    ValueError
        Where the digest differs, the file is larger than TENSOR_BYTES, or its header is.
    """
    if path.stat().st_size > TENSOR_BYTES:
        raise ValueError(f"has more than {TENSOR_BYTES:,} bytes")
    with open(path, "rb") as file:
        header = int.from_bytes(file.read(8), "little")
        file.seek(0)
        if hashlib.file_digest(file, "sha256").hexdigest() != digest:
            raise ValueError("is truncated or damaged (its hash is not the one in the card)")
        if header > HEADER_BYTES:
            raise ValueError(f"has a header of more than {HEADER_BYTES:,} bytes")
        file.seek(0)
        return file.read()


def _integer(digits: str) -> int:
    if len(digits) > JSON_DIGITS:
        raise ValueError("a whole number has too many digits")
    return int(digits)

"""Checkpoints: tensors in safetensors files with a digest, named after the computation that made them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import save_file
from torch import Tensor

from sordine.data.files import atomic
from sordine.data.statistics import identity
from sordine.data.table import Table

SEAL = "digest"  # key of the digest in a checkpoint's metadata
BLOCK = 4096  # records that are hashed at a time
DIGEST_BYTES = 1 << 26  # of a larger table, evenly spaced records are hashed


def write_sealed(path: Path, tensors: Mapping[str, Tensor], notes: Mapping[str, Any]) -> None:
    """Write tensors and notes to one safetensors file, with a digest of both.

    Parameters
    ----------
    path
        The file, which is replaced atomically.
    tensors
        Name to tensor.
    notes
        Plain data for the file's metadata.
    """
    whole = {name: value.contiguous() for name, value in tensors.items()}
    text = json.dumps(notes)
    with atomic(path) as temporary:
        save_file(whole, temporary, metadata={"sordine": text, SEAL: _digest(whole, text)})


def read_sealed(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Return what `write_sealed` wrote.

    Returns
    -------
    tuple or None
        Tensors and notes; None where the file is missing, was cut short or changed, or has no digest.
    """
    if not path.is_file():
        return None
    try:
        with safetensors.safe_open(path, "pt") as file:
            about = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - safe_open is not a mapping
    except (safetensors.SafetensorError, OSError):
        return None
    text = about.get("sordine", "")
    return (tensors, json.loads(text)) if about.get(SEAL) == _digest(tensors, text) else None


def write_checkpoint(file: Path | None, tensors: Mapping[str, Tensor]) -> None:
    """Write the tensors of a finished computation; do nothing where `file` is None."""
    if file is not None:
        write_sealed(file, tensors, {})


def read_checkpoint(file: Path | None) -> dict[str, Tensor] | None:
    """Return the tensors of a finished computation; None where there is no intact file."""
    found = None if file is None else read_sealed(file)
    return None if found is None else found[0]


def checkpoint_file(
    folder: Path | None,
    what: str,
    fields: Mapping[str, Any],
    table: Table,
    attributes: tuple[str, ...],
    prepare: Callable[[Tensor], Tensor] = identity,
    device: str = "cpu",
) -> Path | None:
    """Return the file of one computation: its name is a hash of the options, the records and their labels.

    Parameters
    ----------
    folder
        Where checkpoints are. None gives None.
    what
        Start of the file's name.
    fields
        Options of the computation.
    table
        The training records.
    attributes
        Attributes whose labels are used.
    prepare
        What is done to the records before: its results for some records enter the hash.
    device
        Where `prepare` computes.
    """
    if folder is None:
        return None
    state = hashlib.blake2b(json.dumps(dict(fields), sort_keys=True, default=str).encode(), digest_size=10)
    for name in table.ids:
        state.update(name.encode() + b"\0")
    for attribute in attributes:
        state.update(attribute.encode() + table.y[attribute].tobytes())
    step = max(1, len(table) * table.width * 4 // DIGEST_BYTES)
    for start in range(0, len(table), BLOCK * step):
        state.update(table.batch(slice(start, start + BLOCK * step, step)).numpy().tobytes())
    state.update(prepare(table.batch(slice(0, 64)).to(device)).cpu().contiguous().numpy().tobytes())
    return Path(folder) / f"{what}-{state.hexdigest()}.safetensors"


def _digest(tensors: Mapping[str, Tensor], text: str) -> str:
    """BLAKE2b-256 of tensors, in any order, and of the notes beside them."""
    state = hashlib.blake2b(json.dumps(text).encode(), digest_size=32)
    for name in sorted(tensors):
        value = tensors[name].detach().cpu().contiguous()
        state.update(json.dumps([name, str(value.dtype), list(value.shape)]).encode())
        state.update(value.reshape(-1).view(torch.uint8).numpy().data)
    return state.hexdigest()

"""Modifier: the fitted map x -> x' that ships, its directory, and how records go through it."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pydantic
import safetensors
import torch
from safetensors.torch import save
from torch import Tensor, nn

from sordine.data.files import atomic
from sordine.data.table import are_pictures, check_finite
from sordine.errors import SordineError
from sordine.keys import Key

SCHEMA = 1
WEIGHTS, CARD = "modifier.safetensors", "modifier.json"
BOUND = "card"  # in the weights' metadata: the digest of the card that they were saved with
# Records go through in blocks of exactly this many (the last one padded), each on one thread: a record's result then
# does not depend on which others it came with, nor on how many threads or processes share the work.
BLOCK = 2048
PEAK = 255  # of a picture's values


@dataclass(frozen=True)
class Release:
    """What a modifier gives for a batch: x (b, *output shape); index (b,) of the chosen substitute, where the method has
    one; mask (b, 1, h, w) from 0 to 1, where it masks pictures."""

    x: Tensor
    index: Tensor | None = None
    mask: Tensor | None = None


@dataclass(frozen=True)
class Released:
    """A `Release` of a block in NumPy: x (b, *output shape) of the modifier's output dtype, index (b,), mask (b, 1, h, w)."""

    x: np.ndarray
    index: np.ndarray | None = None
    mask: np.ndarray | None = None


@dataclass
class Card:
    """All that is known of a modifier beside its weights; `modifier.json`. No record's id and no label stands in it.

    method, fields: how it was made. policy: role -> attribute names. input: shape, dtype and feature columns it takes.
    output: shape and dtype of what it releases, where that is not the input's; empty where it is.
    fit: figures measured at the fit. key: fingerprint of the key it was fitted under. notes: sentences for the owner.
    """

    method: str
    fields: dict[str, Any]
    policy: dict[str, list[str]]
    input: dict[str, Any]
    output: dict[str, Any] = field(default_factory=dict)
    fit: dict[str, Any] = field(default_factory=dict)
    key: str = ""
    notes: list[str] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    weights: str = ""
    schema: int = SCHEMA


class Modifier(nn.Module):
    """A fitted map x -> x'. Abstract: a method's file defines `forward` and, where the output is discrete, `channel`.

    noise: how many uniform draws a record takes (0: deterministic). discrete: `channel` is there. block: records that go
    through at once, always exactly so many (the last block is padded); few where a record takes much. card: set by `fit`.
    fitted: (n, 8) uint8 keyed hashes of the ids it was fitted on.
    """

    noise: int = 0
    discrete: bool = False
    block: int = BLOCK
    card: Card
    fitted: np.ndarray

    def forward(self, x: Tensor, noise: Tensor) -> Release:
        """Records (b, *shape) float32 in the table's own scale, noise (b, self.noise) uniform in (0, 1) -> released records."""
        raise NotImplementedError

    def channel(self, x: Tensor) -> Tensor:
        """P(j | x): (b, outputs), rows sum to 1. Only where the output is discrete."""
        raise NotImplementedError(f"{type(self).__name__} has no discrete channel")

    def check_input(self, shape: tuple[int, ...], source: str, dtype: str = "") -> None:
        """Raise SordineError where records of this shape, or numbers in the place of pictures' bytes, do not fit."""
        wanted = tuple(self.card.input["shape"])
        if shape != wanted:
            raise SordineError(f"{source}: records have shape {shape}, this modifier was fitted on {wanted}")
        if dtype and self.card.input.get("dtype") == "uint8" != dtype:
            raise SordineError(
                f"{source}: records are {dtype} numbers, this modifier was fitted on pictures of bytes (0 to 255)"
            )

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the feature columns that it was fitted on, in their order; a single one is a list of numbers."""
        return tuple(self.card.input.get("features", ()))

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of one released record."""
        return tuple(self.card.output.get("shape") or self.card.input["shape"])

    @property
    def output_dtype(self) -> np.dtype:
        """Of released records: uint8 where pictures in give pictures of their shape out, else float32; what the card's
        output says, where it says so."""
        as_it_came = self.output_shape == tuple(self.card.input["shape"])
        default = self.card.input.get("dtype", "float32") if as_it_came else "float32"
        return np.dtype(self.card.output.get("dtype", default))

    @torch.no_grad()
    def release_block(self, x: np.ndarray, ids: np.ndarray, key: Key) -> tuple[np.ndarray, np.ndarray | None]:
        """At most `block` records -> (x' (b, *output shape) of the output's dtype, index (b,) or None); see `released`."""
        made = self.released(x, ids, key)
        return made.x, made.index

    @torch.no_grad()
    def released(self, x: np.ndarray, ids: np.ndarray, key: Key) -> Released:
        """At most `block` records, released, in the table's own scale. Pure: the same record, key and weights give the same
        bits, whatever came with it. Call it with one intra-op thread.

        x' of pictures is rounded to whole numbers from 0 to 255. Raises SordineError where x' has another shape than the
        card says, or a pixel of a picture is not finite.
        """
        n = len(x)
        padded = np.zeros((self.block, *x.shape[1:]), np.float32)
        padded[:n] = x
        noise = np.zeros((self.block, self.noise), np.float32)
        if self.noise:
            drawn = key.uniform("release", ids, self.noise)
            noise[:n] = np.clip(drawn, 2.0**-24, 1 - 2.0**-24)  # float32 must not round to 0 or 1
        device = next((w.device for w in (*self.parameters(), *self.buffers())), torch.device("cpu"))
        out = self.eval()(torch.from_numpy(padded).to(device), torch.from_numpy(noise).to(device))
        if tuple(out.x.shape[1:]) != self.output_shape:
            gives, said = tuple(out.x.shape[1:]), self.output_shape
            raise SordineError(f"this modifier releases records of shape {gives}, and its card says {said}")
        index, mask = (None if part is None else part[:n].cpu().numpy() for part in (out.index, out.mask))
        return Released(self._as_written(out.x[:n].cpu().numpy(), ids), index, mask)

    def _as_written(self, x: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """Released records in the output's dtype."""
        if not are_pictures(self.output_shape, self.output_dtype):
            return x
        check_finite(x, ids, "after the modifier")  # as uint8 it would be 0, and never found
        return np.clip(np.rint(x), 0, PEAK).astype(np.uint8)

    def release(self, x: Any, ids: np.ndarray, key: Key, *, workers: int = 2) -> tuple[np.ndarray, np.ndarray | None]:
        """Any number of records through fixed blocks: (x' (n, *output shape), index (n,) or None); see `released`."""
        self.check_input(tuple(x.shape[1:]), "records")

        def one(start: int) -> tuple[np.ndarray, np.ndarray | None]:
            rows = slice(start, start + self.block)
            return self.release_block(np.asarray(x[rows]), ids[rows], key)

        with one_thread_each(workers) as pool:
            parts = list(pool.map(one, range(0, len(ids), self.block)))
        index = None if parts[0][1] is None else np.concatenate([p[1] for p in parts])
        return np.concatenate([p[0] for p in parts]), index

    @torch.no_grad()
    def channel_of(self, x: Any, *, block: int | None = None) -> np.ndarray:
        """P(j | x) of many records: (n, outputs) float32. block: records at a time, by default the modifier's."""
        self.eval()
        block = block or self.block
        parts = [
            self.channel(torch.from_numpy(np.array(x[s : s + block], dtype=np.float32))).numpy()
            for s in range(0, len(x), block)
        ]
        return np.concatenate(parts)

    def was_fitted_on(self, ids: np.ndarray, key: Key) -> np.ndarray:
        """(n,) bool: which of these records the modifier was fitted on. `key` must be the key of the fit."""
        hashes = key.digest("fitted", ids, 8).view("<u8")[:, 0]
        return np.isin(hashes, self.fitted.view("<u8")[:, 0]) if len(self.fitted) else np.zeros(len(ids), bool)

    def save(self, folder: str | Path, *, force: bool = False) -> None:
        """Write the modifier's directory, atomically. Card and weights each hold a digest of the other, so that neither can be
        changed alone. Raises SordineError where it exists without `force`, or can't be written."""
        tensors = {k: v.detach().cpu().contiguous().clone() for k, v in self.state_dict().items()}
        tensors["fitted"] = torch.from_numpy(np.array(self.fitted, np.uint8))
        self.card.versions = versions()
        blob = save(tensors, metadata={BOUND: _content(json.loads(json.dumps(asdict(self.card))))})
        self.card.weights = _digest(blob)
        with atomic(folder, force=force) as temporary:
            temporary.mkdir()
            (temporary / WEIGHTS).write_bytes(blob)
            (temporary / CARD).write_text(json.dumps(asdict(self.card), indent=2) + "\n", encoding="utf-8")


def one_thread_each(workers: int) -> ThreadPoolExecutor:
    """A pool whose threads compute with one intra-op thread each."""
    return ThreadPoolExecutor(max(1, workers), initializer=torch.set_num_threads, initargs=(1,))


def _digest(blob: bytes) -> str:
    return hashlib.sha256(blob).hexdigest()


def _content(raw: dict[str, Any]) -> str:
    """BLAKE2b-256 of a card as it is read from JSON, however that is laid out, but for the weights' own digest. A number counts as it
    is written: 1 in the place of 1.0 is another card."""
    told = {name: value for name, value in raw.items() if name != "weights"}
    return hashlib.blake2b(json.dumps(told, sort_keys=True).encode(), digest_size=32).hexdigest()


def _bound(blob: bytes) -> str | None:
    """The digest of the card that weights were saved with; None of those that were saved before they held one."""
    header = json.loads(blob[8 : 8 + int.from_bytes(blob[:8], "little")])  # safetensors: its length, then JSON
    said: str | None = header.get("__metadata__", {}).get(BOUND)
    return said


def versions() -> dict[str, str]:
    """The versions that a figure depends on."""
    from importlib.metadata import version

    return {"python": platform.python_version(), **{p: version(p) for p in ("sordine", "torch", "numpy")}}


def open_modifier(folder: str | Path, build: Callable[[Card, dict[str, Tensor]], Modifier]) -> Modifier:
    """Read a modifier's directory; `build` makes the empty modifier of a method from its card and tensors.

    Raises SordineError, in one line, for a directory that is missing, incomplete, damaged, of another version, or whose card was
    changed after it was saved.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise SordineError(f"{folder} is not a modifier's directory")
    for name in (CARD, WEIGHTS):
        if not (folder / name).is_file():
            raise SordineError(f"{folder}: {name} is missing: not a whole modifier")
    try:
        raw = json.loads((folder / CARD).read_text(encoding="utf-8"))
        found = raw["schema"]
        if found != SCHEMA:
            raise SordineError(f"{folder}: written in schema {found}; this version of Sordine reads schema {SCHEMA}")
        card = pydantic.TypeAdapter(Card).validate_python(raw)
        for about in (card.input, card.output) if card.output else (card.input,):
            if not about.get("shape") or not all(type(s) is int and s > 0 for s in about["shape"]):
                raise ValueError("shape")
            if about.get("dtype", "float32") not in ("float32", "uint8"):
                raise ValueError("dtype")
        if not isinstance(card.input.get("features", []), list):
            raise ValueError("features")
    except (ValueError, KeyError, TypeError, AttributeError):
        raise SordineError(f"{folder}: {CARD} is damaged") from None
    blob = (folder / WEIGHTS).read_bytes()
    if _digest(blob) != card.weights:
        raise SordineError(f"{folder}: {WEIGHTS} is truncated or damaged (its hash is not the one in {CARD})")
    try:
        tensors = safetensors.torch.load(blob)
        if _bound(blob) not in (None, _content(raw)):
            raise SordineError(
                f"{folder}: {CARD} was changed after it was saved with {WEIGHTS}: put it back as it was, or fit anew"
            )
        fitted = tensors.pop("fitted").numpy()
        modifier = build(card, tensors)
        modifier.load_state_dict(tensors)
    except SordineError:
        raise
    except Exception as error:
        raise SordineError(f"{folder}: the weights do not fit the card: {' '.join(str(error).split())[:200]}") from None
    modifier.card, modifier.fitted = card, fitted
    return modifier.eval()

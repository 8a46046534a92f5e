"""Modifier: the fitted map x -> x' that is deployed, its directory, and how records go through it."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pydantic
import safetensors
import torch
from safetensors.torch import save
from torch import Tensor, nn

from sordine.data.files import atomic, sha256
from sordine.data.hostile import JSON_BYTES, parse_json, read_limited, read_tensors
from sordine.data.table import are_pictures, check_finite
from sordine.errors import SordineError
from sordine.keys import Key
from sordine.models.allocation import limited_allocation

SCHEMA = 1
WEIGHTS, CARD = "modifier.safetensors", "modifier.json"
BOUND = "card"  # in the weights' metadata: the digest of the card that they were saved with
# Records are released in blocks of exactly this many (the last one padded), each on one thread. A record's result then
# depends neither on the other records nor on how many threads or processes share the work.
BLOCK = 2048
SPARE = 1 << 26  # bytes that a modifier may allocate beside its weights while it is built
PEAK = 255  # of a picture's values
DTYPES = ("float32", "uint8")


@dataclass(frozen=True)
class Release:
    """Output of a modifier for a batch.

    Attributes
    ----------
    x
        Released records: (b, *output shape).
    index
        Chosen substitutes: (b,), where the method has them.
    mask
        Masks of pictures: (b, 1, h, w) from 0 to 1, where the method masks.
    """

    x: Tensor
    index: Tensor | None = None
    mask: Tensor | None = None


@dataclass(frozen=True)
class ReleasedBlock:
    """A `Release` of a block in NumPy; x has the dtype of the modifier's output."""

    x: np.ndarray
    index: np.ndarray | None = None
    mask: np.ndarray | None = None


@dataclass
class Card:
    """What is known of a modifier besides its weights, as in `modifier.json`. It contains no record's id and no label.

    Parameters
    ----------
    method, fields
        The method and its options.
    policy
        Role to attribute names.
    input
        Shape, dtype and feature columns of the records it takes.
    output
        Shape and dtype of released records, where they differ from the input's; otherwise empty.
    fit
        Figures that were measured at the fit.
    key
        Fingerprint of the key of the fit.
    notes
        Sentences for the owner.
    versions
        Versions of Python and of the packages that a result depends on.
    weights
        SHA-256 of the weights' file.
    schema
        Version of this format.
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
    """A fitted map x -> x'. A method defines `forward` and, where its output is discrete, `output_distribution`.

    Attributes
    ----------
    noise
        Uniform draws for each record; 0 for a deterministic modifier.
    discrete
        Whether there is an `output_distribution`.
    row_by_row
        Whether the bits of a released record do not depend on the other records of a batch.
    block
        Records that are released at once, always exactly this many.
    card
        Set by `fit`.
    fitted
        Keyed hashes of the ids of the fit: (n, 8) uint8.
    files
        Name -> SHA-256 of its files, once it was saved or opened; otherwise empty.
    """

    noise: int = 0
    discrete: bool = False
    row_by_row: bool = False
    block: int = BLOCK
    card: Card
    fitted: np.ndarray
    files: Mapping[str, str] = MappingProxyType({})

    def forward(self, x: Tensor, noise: Tensor) -> Release:
        """Return released records.

        Parameters
        ----------
        x
            Records in the table's scale: (b, *shape) float32.
        noise
            Uniform draws in (0, 1): (b, self.noise).
        """
        raise NotImplementedError

    def output_distribution(self, x: Tensor) -> Tensor:
        """Return P(j | x) of a discrete modifier: (b, outputs), rows sum to 1."""
        raise NotImplementedError(f"{type(self).__name__} has no discrete output")

    def check_input(self, shape: tuple[int, ...], source: str, dtype: str = "") -> None:
        """Check that records fit this modifier.

        Raises
        ------
        SordineError
            Where their shape differs, or where they are numbers and the modifier was fitted on pictures of bytes.
        """
        wanted = tuple(self.card.input["shape"])
        if shape != wanted:
            raise SordineError(f"{source}: records have shape {shape}; this modifier was fitted on {wanted}")
        if dtype and self.card.input.get("dtype") == "uint8" != dtype:
            raise SordineError(
                f"{source}: records are {dtype} numbers; this modifier was fitted on pictures of bytes (0 to 255)"
            )

    @property
    def features(self) -> tuple[str, ...]:
        """Names of the feature columns of the fit, in order; a single one is a column of lists."""
        return tuple(self.card.input.get("features", ()))

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of one released record."""
        return tuple(self.card.output.get("shape") or self.card.input["shape"])

    @property
    def output_dtype(self) -> np.dtype:
        """Dtype of released records: the card's; else uint8 where pictures keep their shape, or float32."""
        same_shape = self.output_shape == tuple(self.card.input["shape"])
        default = self.card.input.get("dtype", "float32") if same_shape else "float32"
        return np.dtype(self.card.output.get("dtype", default))

    @torch.no_grad()
    def release_block(self, x: np.ndarray, ids: np.ndarray, key: Key) -> tuple[np.ndarray, np.ndarray | None]:
        """Release at most `block` records: x' (b, *output shape) and index (b,) or None. See `released`."""
        made = self.released(x, ids, key)
        return made.x, made.index

    @torch.no_grad()
    def released(self, x: np.ndarray, ids: np.ndarray, key: Key) -> ReleasedBlock:
        """Release at most `block` records.

        The same record, key and weights give the same bits, whatever the other records are. The caller uses one thread
        within an operation (`one_thread_each`). Released pictures are rounded to whole numbers from 0 to 255.

        Parameters
        ----------
        x
            Records in the table's scale: (b, *shape).
        ids
            Their ids: (b,).
        key
            Secret key of the random draws.

        Raises
        ------
        SordineError
            Where x' does not have the shape in the card, or a pixel is NaN or infinite.
        """
        n = len(x)
        padded = np.zeros((self.block, *x.shape[1:]), np.float32)
        padded[:n] = x
        noise = np.zeros((self.block, self.noise), np.float32)
        noise[:n] = self.noise_of(ids, key)
        device = next((w.device for w in (*self.parameters(), *self.buffers())), torch.device("cpu"))
        out = self.eval()(torch.from_numpy(padded).to(device), torch.from_numpy(noise).to(device))
        if tuple(out.x.shape[1:]) != self.output_shape:
            raise SordineError(
                f"this modifier releases records of shape {tuple(out.x.shape[1:])}, but its card has "
                f"{self.output_shape}; fit it again"
            )
        index, mask = (None if part is None else part[:n].cpu().numpy() for part in (out.index, out.mask))
        return ReleasedBlock(self._as_written(out.x[:n].cpu().numpy(), ids), index, mask)

    def noise_of(self, ids: np.ndarray, key: Key) -> np.ndarray:
        """Return the noise of records with these ids (n,) under a key: (n, noise) float32, between 0 and 1."""
        if not self.noise:
            return np.zeros((len(ids), 0), np.float32)
        # float32 must not round to 0 or 1
        return np.clip(key.uniform("release", ids, self.noise), 2.0**-24, 1 - 2.0**-24).astype(np.float32)

    def _as_written(self, x: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """Return released records in the output's dtype."""
        if not are_pictures(self.output_shape, self.output_dtype):
            return x
        check_finite(x, ids, "after the modifier")  # NaN would become 0 as uint8, unnoticed
        return np.clip(np.rint(x), 0, PEAK).astype(np.uint8)

    def release(self, x: Any, ids: np.ndarray, key: Key, *, workers: int = 2) -> tuple[np.ndarray, np.ndarray | None]:
        """Release any number of records in blocks: x' (n, *output shape) and index (n,) or None. See `released`."""
        self.check_input(tuple(x.shape[1:]), "records")

        def release_from(start: int) -> tuple[np.ndarray, np.ndarray | None]:
            rows = slice(start, start + self.block)
            return self.release_block(np.asarray(x[rows]), ids[rows], key)

        with one_thread_each(workers) as pool:
            parts = list(pool.map(release_from, range(0, len(ids), self.block)))
        index = None if parts[0][1] is None else np.concatenate([p[1] for p in parts])
        return np.concatenate([p[0] for p in parts]), index

    @torch.no_grad()
    def output_distributions(self, x: Any, *, block: int | None = None) -> np.ndarray:
        """Return P(j | x) of many records: (n, outputs) float32. `block` records are computed at a time."""
        self.eval()
        block = block or self.block
        parts = [
            self.output_distribution(torch.from_numpy(np.array(x[s : s + block], dtype=np.float32))).numpy()
            for s in range(0, len(x), block)
        ]
        return np.concatenate(parts)

    def was_fitted_on(self, ids: np.ndarray, key: Key) -> np.ndarray:
        """Return which of these records belong to the fit: (n,) bool. `key` must be the key of the fit."""
        hashes = key.digest("fitted", ids, 8).view("<u8")[:, 0]
        return np.isin(hashes, self.fitted.view("<u8")[:, 0]) if len(self.fitted) else np.zeros(len(ids), bool)

    def save(self, folder: str | Path, *, force: bool = False) -> None:
        """Write the modifier's directory, atomically.

        Card and weights each contain a digest of the other, so that neither can be changed alone.

        Raises
        ------
        SordineError
            Where the directory exists and `force` is off, or cannot be written.
        """
        tensors = {k: v.detach().cpu().contiguous().clone() for k, v in self.state_dict().items()}
        tensors["fitted"] = torch.from_numpy(np.array(self.fitted, np.uint8))
        self.card.versions = versions()
        blob = save(tensors, metadata={BOUND: _card_digest(json.loads(json.dumps(asdict(self.card))))})
        self.card.weights = _digest(blob)
        with atomic(folder, force=force) as temporary:
            temporary.mkdir()
            text = json.dumps(asdict(self.card), indent=2) + "\n"
            (temporary / WEIGHTS).write_bytes(blob)
            (temporary / CARD).write_text(text, encoding="utf-8")
        self.files = {CARD: _digest(text.encode()), WEIGHTS: self.card.weights}


def one_thread_each(workers: int) -> ThreadPoolExecutor:
    """Return a pool whose threads compute with one thread within an operation."""
    return ThreadPoolExecutor(max(1, workers), initializer=torch.set_num_threads, initargs=(1,))


def _digest(blob: bytes) -> str:
    return hashlib.sha256(blob).hexdigest()


def _card_digest(raw: Mapping[str, Any]) -> str:
    """BLAKE2b-256 of a card as parsed from JSON, without the digest of the weights.

    A number counts as it is written: 1 in the place of 1.0 is another card.
    """
    content = {name: value for name, value in raw.items() if name != "weights"}
    return hashlib.blake2b(json.dumps(content, sort_keys=True).encode(), digest_size=32).hexdigest()


def _bound(blob: bytes) -> str | None:
    """The digest of the card that weights were saved with; None for files of versions without one."""
    header = parse_json(blob[8 : 8 + int.from_bytes(blob[:8], "little")])  # safetensors: its length, then JSON
    digest: str | None = header.get("__metadata__", {}).get(BOUND)
    return digest


def versions() -> dict[str, str]:
    """Return the versions that a result depends on."""
    from importlib.metadata import version

    return {"python": platform.python_version(), **{p: version(p) for p in ("sordine", "torch", "numpy")}}


def open_modifier(folder: str | Path, build: Callable[[Card, dict[str, Tensor]], Modifier]) -> Modifier:
    """Return the modifier of a directory.

    Parameters
    ----------
    folder
        The directory.
    build
        Makes the empty modifier of a method from its card and tensors.

    Raises
    ------
    SordineError
        Where the directory is missing, incomplete, damaged, of another version, or was changed after it was saved.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise SordineError(f"{folder} is not a modifier's directory")
    for name in (CARD, WEIGHTS):
        if not (folder / name).is_file():
            raise SordineError(f"{folder}: {name} is missing: the modifier is incomplete; copy it again or fit anew")
    raw, card = _read_card(folder)
    try:
        blob = read_tensors(folder / WEIGHTS, card.weights)
    except ValueError as error:
        raise SordineError(f"{folder}: {WEIGHTS} {error}") from None
    try:
        tensors = safetensors.torch.load(blob)
        if _bound(blob) not in (None, _card_digest(raw)):
            raise SordineError(
                f"{folder}: {CARD} was changed after it was saved with {WEIGHTS}; restore it, or fit anew"
            )
        fitted = tensors.pop("fitted").numpy()
        if fitted.dtype != np.uint8 or (len(fitted) and fitted.shape[1:] != (8,)):
            raise ValueError("the list of fitted records is damaged")
        with limited_allocation(4 * len(blob) + SPARE):
            modifier = build(card, tensors)
        modifier.load_state_dict(tensors)
    except SordineError:
        raise
    except Exception as error:
        raise SordineError(f"{folder}: the weights do not fit the card: {' '.join(str(error).split())[:200]}") from None
    modifier.card, modifier.fitted = card, fitted
    modifier.files = {CARD: sha256(folder / CARD), WEIGHTS: card.weights}
    return modifier.eval()


def _read_card(folder: Path) -> tuple[dict[str, Any], Card]:
    # The card as parsed from JSON, and as checked.
    try:
        raw = parse_json(read_limited(folder / CARD, JSON_BYTES))
        found = raw["schema"]
        if found != SCHEMA:
            raise SordineError(
                f"{folder}: schema {found} is not supported; this version of Sordine supports schema {SCHEMA}"
            )
        card = pydantic.TypeAdapter(Card).validate_python(raw)
        _check_records(card.input)
        if card.output:
            _check_records(card.output)
        if not isinstance(card.input.get("features", []), list):
            raise ValueError("features")
    except (ValueError, KeyError, TypeError, AttributeError):
        raise SordineError(f"{folder}: {CARD} is damaged") from None
    return raw, card


def _check_records(about: Mapping[str, Any]) -> None:
    if not about.get("shape") or not all(type(s) is int and s > 0 for s in about["shape"]):
        raise ValueError("shape")
    if about.get("dtype", "float32") not in DTYPES:
        raise ValueError("dtype")

"""Table: records, their labels, and which side of the split each one is on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from sordine.errors import SordineError, nearest
from sordine.keys import Key
from sordine.policy import Policy

if TYPE_CHECKING:
    import pandas as pd

MAX_CLASSES = 100
LARGEST = 1e15  # squares of larger numbers, summed over a table, leave the range of float32
BLOCK_BYTES = 1 << 26  # of records that are looked at together
TEST_SHARE = 4  # every fourth record is tried, three are trained on


class Rows:
    """Some rows of an array that stays where it is (mapped from a file, say): indexing reads only what is asked for."""

    def __init__(self, base: np.ndarray, index: np.ndarray) -> None:
        self.base, self.index = base, index
        self.shape: tuple[int, ...] = (len(index), *base.shape[1:])
        self.dtype = base.dtype
        self.ndim = base.ndim

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, rows: Any) -> np.ndarray:
        return np.asarray(self.base[self.index[rows]])

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self.base[self.index], dtype=dtype)


def are_pictures(shape: Sequence[int], dtype: Any) -> bool:
    """Whether records of this shape and dtype are pictures: (1 or 3 channels, height, width) uint8, values 0 to 255."""
    return np.dtype(dtype) == np.uint8 and len(shape) == 3 and shape[0] in (1, 3)


@dataclass(frozen=True)
class Table:
    """A data set of n records.

    x: (n, *shape) float32, or uint8 pictures; an array, a mapped file or `Rows` of one.
    y: attribute name -> (n,) int64 class codes, -1 where unlabelled. classes: attribute name -> class names by code.
    The constructor takes codes as they are; `Table.of`, `from_pandas` and `read` take labels as values, of which -1 is a
    class like any other, and make codes of them.
    ids: (n,) unique strings. split: (n,) bool, True where the record is trained on; None where not yet decided.
    group: (n,) int64; records of one group stay on one side of the split. source: where the table came from, for people.
    features: names of the columns that x was read from. notes: what was left out on reading, and why, in sentences.
    extra: of a release that is audited, the columns that were left out: (n,) numbers or strings.
    rows_of: where the ids are row numbers, a digest of the table whose rows they count (`rows_digest`); "" where ids were given.
    """

    x: Any
    y: dict[str, np.ndarray]
    ids: np.ndarray
    classes: dict[str, tuple[str, ...]]
    split: np.ndarray | None = None
    group: np.ndarray | None = None
    source: str = "memory"
    features: tuple[str, ...] = ("x",)
    notes: tuple[str, ...] = field(default=())
    extra: dict[str, np.ndarray] = field(default_factory=dict)
    rows_of: str = ""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one record."""
        return tuple(self.x.shape[1:])

    @property
    def width(self) -> int:
        """How many numbers one record has."""
        return int(np.prod(self.shape))

    @property
    def pictures(self) -> bool:
        """Whether the records are uint8 pictures (c, h, w); see `are_pictures`."""
        return are_pictures(self.shape, self.x.dtype)

    @property
    def attributes(self) -> tuple[str, ...]:
        """Names of the labelled properties, in the table's order."""
        return tuple(self.y)

    @classmethod
    def of(
        cls,
        x: np.ndarray,
        attributes: Mapping[str, Sequence[Any] | np.ndarray],
        *,
        ids: Sequence[str] | np.ndarray | None = None,
        split: Sequence[str] | np.ndarray | None = None,
        group: Sequence[Any] | np.ndarray | None = None,
        source: str = "memory",
        check: bool = True,
    ) -> Table:
        """A table from arrays.

        x: (n, *shape). attributes: name -> n labels of any plain type, as values and not as codes: None, NaN, pandas' NA
        and "" mean unlabelled, every other value is a class, -1 too (the constructor takes codes). ids: unique strings, by
        default row numbers. split: "train" or "test" each. group: n labels. check=False lets NaN and repeated ids pass (the
        audit reads broken releases so). Raises SordineError naming the first record or column that is wrong.
        """
        if isinstance(x, np.ndarray) and x.dtype != np.uint8:
            x = np.asarray(x, dtype=np.float32)
        n = len(x)
        if n == 0:
            raise SordineError(f"{source}: the table has no records")
        names = np.array([f"row-{i:07d}" for i in range(n)] if ids is None else [str(i) for i in ids], dtype=object)
        for what, column in [("id", names), ("split", split), ("group", group), *attributes.items()]:
            if column is not None and len(column) != n:
                raise SordineError(f"{source}: column {what!r} has {len(column)} values for {n} records")
        if check:
            check_ids(names, source)
            check_finite(x, names, source)
        y, classes = {}, {}
        for name, column in attributes.items():
            y[name], classes[name] = encode(column)
        return cls(
            x=x,
            y=y,
            ids=names,
            classes=classes,
            split=None if split is None else read_split(split, source),
            group=None if group is None else encode(group)[0],
            source=source,
            rows_of=rows_digest(blocks_of(x)) if ids is None else "",
        )

    @classmethod
    def from_pandas(
        cls, frame: pd.DataFrame, features: Sequence[str] | None = None, *, source: str = "data frame"
    ) -> Table:
        """A table from a pandas DataFrame: `features` name the numeric columns of x (by default every float column);
        `id`, `split` and `group` are read where present; other columns of at most 100 classes are attributes."""
        if features is None:
            features = [str(c) for c in frame.columns if frame[c].dtype.kind == "f"]
        missing = [c for c in features if c not in frame.columns]
        if missing:
            raise SordineError(f"{source}: no column {missing[0]!r}; {nearest(missing[0], map(str, frame.columns))}")
        if not len(features):
            raise SordineError(f"{source}: no feature column; name them with features=")
        special = {name: frame[name].tolist() if name in frame.columns else None for name in ("id", "split", "group")}
        rest = [c for c in frame.columns if c not in {*features, "id", "split", "group"}]
        attributes = {
            str(c): frame[c].tolist() for c in rest if frame[c].dtype.kind != "f" and frame[c].nunique() <= MAX_CLASSES
        }
        table = cls.of(
            frame[list(features)].to_numpy(np.float32),
            attributes,
            ids=special["id"],
            split=special["split"],
            group=special["group"],
            source=source,
        )
        table = replace(table, features=tuple(map(str, features)))
        return replace(table, rows_of=table.rows_of and rows_digest(blocks_of(table.x), table.features))

    @classmethod
    def read(
        cls,
        path: str | Path,
        features: Sequence[str] = (),
        *,
        named: Sequence[str] = (),
        like: Table | None = None,
        check: bool = True,
        log: Callable[[str], None] | None = None,
    ) -> Table:
        """Read a Parquet or CSV file; see `sordine.data.table_io.read_table`."""
        from sordine.data.table_io import read_table

        return read_table(path, features, named=named, like=like, check=check, log=log)

    def write(self, path: str | Path, *, force: bool = False) -> None:
        """Write id, split, attributes and x as one Parquet file; see `sordine.data.table_io.write_table`."""
        from sordine.data.table_io import write_table

        write_table(self, path, force=force)

    def take(self, rows: np.ndarray) -> Table:
        """The table of some rows (positions or a mask); x is not copied when it is mapped from a file."""
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        base = self.x
        if isinstance(base, Rows):
            x: Any = Rows(base.base, base.index[rows])
        elif isinstance(base, np.memmap):
            x = Rows(base, rows)
        else:
            x = base[rows]
        return replace(
            self,
            x=x,
            y={name: codes[rows] for name, codes in self.y.items()},
            extra={name: values[rows] for name, values in self.extra.items()},
            ids=self.ids[rows],
            split=None if self.split is None else self.split[rows],
            group=None if self.group is None else self.group[rows],
        )

    def part(self, side: Literal["train", "test"]) -> Table:
        """One side of the split. Raises SordineError where there is no split yet or the side is empty."""
        return self.take(self._side(side))

    def _side(self, side: Literal["train", "test"]) -> np.ndarray:
        if self.split is None:
            raise SordineError(f"{self.source}: the table has no split yet")
        rows = self.split if side == "train" else ~self.split
        if not rows.any():
            raise SordineError(f"{self.source}: the split leaves no {side} record")
        return rows

    def require_labels(self, names: Sequence[str], side: Literal["train", "test"], *, together: bool = False) -> None:
        """Raise SordineError, naming attribute and side, where no record of that side of the split has a label of one of these
        attributes; `together`: where none has a label of every one of them."""
        rows, what = self._side(side), "training" if side == "train" else "unseen"
        known = [self.y[name][rows] >= 0 for name in names]
        remedy = "label some, or divide the records otherwise (columns 'split' and 'group')"
        for name, has in zip(names, known, strict=True):
            if not has.any():
                raise SordineError(f"{self.source}: none of the {what} records has a label of {name!r}: {remedy}")
        if together and names and not np.logical_and.reduce(known).any():
            every = " and ".join(map(repr, names))
            raise SordineError(f"{self.source}: none of the {what} records has a label of {every} at once: {remedy}")

    def batch(self, rows: np.ndarray | slice) -> torch.Tensor:
        """Records as a float32 tensor (b, *shape), in the table's own scale."""
        return torch.from_numpy(np.array(self.x[rows], dtype=np.float32))

    def flat(self) -> np.ndarray:
        """All records as (n, width) float32: reads a mapped table into memory."""
        return np.asarray(self.x, dtype=np.float32).reshape(len(self), -1)

    def with_x(self, x: Any) -> Table:
        """The same records with other contents."""
        return replace(self, x=x)

    def with_split(self, policy: Policy, key: Key) -> Table:
        """This table with its split decided: its own; else whole groups; else 75/25, stratified over the suppressed and
        preserved attributes together, in keyed order (row order does not matter).

        Raises SordineError where a side would be empty.
        """
        if self.split is not None:
            split = self.split
        elif self.group is not None:
            split = split_by_group(self.group, self.ids, key)
        else:
            strata = [self.y[name] for name in (*policy.suppress, *policy.preserve) if name in self.y]
            rank = np.empty(len(self), np.int64)
            rank[key.order("split", self.ids)] = np.arange(len(self))
            # Sorted by class and, within it, by key: every fourth record of that list takes its share of each class.
            order = np.lexsort((rank, *strata))
            split = np.ones(len(self), bool)
            split[order[TEST_SHARE - 1 :: TEST_SHARE]] = False
        for side, rows in (("train", split), ("test", ~split)):
            if not rows.any():
                raise SordineError(f"{self.source}: the split leaves no {side} record")
        return replace(self, split=split)

    def require(self, policy: Policy) -> Policy:
        """The policy resolved on this table, after checking that every suppressed or preserved attribute can be worked with.

        Raises SordineError for an unknown attribute, one that nobody labelled, one with a single class, or one with a
        class of one record (it cannot be on both sides of a split).
        """
        for name in (*policy.suppress, *policy.preserve):
            why = [note for note in self.notes if note.startswith(f"column {name!r} is left out")]
            if name not in self.y and why:
                raise SordineError(f"{self.source}: {name!r} cannot serve as an attribute: {why[0]}")
        resolved = policy.resolve(self.attributes)
        for name in (*resolved.suppress, *resolved.preserve):
            counts = np.bincount(self.y[name][self.y[name] >= 0], minlength=len(self.classes[name]))
            if not counts.any():
                raise SordineError(f"{self.source}: attribute {name!r} has no label at all")
            if (counts > 0).sum() < 2:
                only = self.classes[name][int(counts.argmax())]
                raise SordineError(
                    f"{self.source}: attribute {name!r} has one class only ({only!r}): nothing to tell apart"
                )
            lonely = np.flatnonzero(counts == 1)
            if len(lonely):
                more = f" (and {len(lonely) - 1} more)" if len(lonely) > 1 else ""
                raise SordineError(
                    f"{self.source}: class {self.classes[name][int(lonely[0])]!r} of attribute {name!r}{more} has one record; "
                    "at least two are needed: merge it, drop it or leave its label empty"
                )
        return resolved


def split_by_group(group: np.ndarray, ids: np.ndarray, key: Key) -> np.ndarray:
    """Whole groups, in keyed order, until a quarter of the records is held back: (n,) bool, True for training."""
    names, first, codes = np.unique(group, return_index=True, return_inverse=True)
    if len(names) < 2:
        raise SordineError("the column 'group' has one group only: it cannot be split")
    counts = np.bincount(codes)
    # A group is known by its smallest id, so that row order does not matter.
    smallest = [min(ids[codes == g]) for g in range(len(names))] if len(names) <= 1000 else [str(ids[i]) for i in first]
    held = 0
    test = np.zeros(len(names), bool)
    for g in key.order("split", smallest):
        if held >= len(group) / TEST_SHARE or test.sum() == len(names) - 1:
            break
        test[g] = True
        held += counts[g]
    return ~test[codes]


def is_missing(value: Any) -> bool:
    """Whether a value given as a label says that there is none: None, NaN, NaT, pandas' NA or an empty string.

    Every other value is a class, -1 among them.
    """
    if value is None or type(value).__name__ == "NAType":
        return True
    return bool(value != value) or value == ""


def blocks_of(x: Any) -> Iterator[np.ndarray]:
    """Records (n, *shape) in the table's own type, a block at a time."""
    most = max(1, BLOCK_BYTES // (4 * max(1, int(np.prod(x.shape[1:], dtype=np.int64)))))
    return (np.asarray(x[start : start + most]) for start in range(0, len(x), most))


def rows_digest(blocks: Iterable[np.ndarray], features: Sequence[str] = ("x",)) -> str:
    """A digest of records and their order, in hexadecimal: (b, *shape) blocks, whatever their sizes. Where each feature has a
    column of its own, the order of the columns makes no difference."""
    digest = hashlib.blake2b(digest_size=20)
    order = np.argsort(np.array(features))
    for block in blocks:
        named = len(features) > 1 and block.shape[1:2] == (len(features),)
        digest.update(np.ascontiguousarray(block[:, order] if named else block).data)
    return digest.hexdigest()


def encode(column: Sequence[Any] | np.ndarray) -> tuple[np.ndarray, tuple[str, ...]]:
    """Class codes of labels given as values, and the names of the classes.

    Parameters
    ----------
    column
        n labels. One that `is_missing` is unlabelled; every other value, -1 among them, is a class.

    Returns
    -------
    codes, classes
        (n,) int64, -1 where unlabelled; class names in sorted order of the values.
    """
    values = column.tolist() if isinstance(column, np.ndarray) else list(column)
    present = {v for v in set(values) if not is_missing(v)}
    try:
        order = sorted(present)
    except TypeError:
        order = sorted(present, key=str)
    code = {v: i for i, v in enumerate(order)}
    return np.array([code.get(v, -1) for v in values], dtype=np.int64), tuple(map(str, order))


def read_split(column: Sequence[Any] | np.ndarray, source: str) -> np.ndarray:
    """(n,) bool, True for "train". Raises SordineError for any value but "train" and "test", or an empty side."""
    values = [str(v) for v in column]
    strange = set(values) - {"train", "test"}
    if strange:
        raise SordineError(f"{source}: column 'split' holds {min(strange)!r}; only 'train' and 'test' are known")
    split = np.array([v == "train" for v in values])
    for side, rows in (("train", split), ("test", ~split)):
        if not rows.any():
            raise SordineError(f"{source}: column 'split' leaves no {side} record")
    return split


def check_ids(ids: np.ndarray, source: str) -> None:
    """Raise SordineError naming the first id that stands twice."""
    if len(set(ids)) == len(ids):
        return
    seen: set[str] = set()
    for i, name in enumerate(ids):
        if name in seen:
            raise SordineError(f"{source}: id {name!r} stands twice (again in row {i}); ids must be unique")
        seen.add(name)


def check_finite(x: Any, ids: Sequence[str] | np.ndarray, source: str, block: int = 65536) -> None:
    """Raise SordineError naming the first record that holds NaN, infinity or a number too large to compute with."""
    if x.dtype == np.uint8:
        return
    for start in range(0, len(x), block):
        part = np.asarray(x[start : start + block]).reshape(min(block, len(x) - start), -1)
        bad = ~(np.abs(part) < LARGEST).all(1)  # not below: NaN too
        if bad.any():
            row = start + int(bad.argmax())
            raise SordineError(
                f"{source}: record {ids[row]!r} (row {row}) holds NaN or infinity, or a number beyond {LARGEST:g}, among its features"
            )

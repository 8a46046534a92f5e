"""Turn the columns of a source into plain types: vectors, tensors, numbers and text."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sordine.data.reading.options import ReadOptions
from sordine.data.reading.source import READ_ERRORS, Source, reason, warn
from sordine.errors import SordineError, nearest

EXTRACT = b"sordine.extract"  # metadata of files that Sordine made
TRANSFORM = b"sordine.transform"
RESERVED = ("id", "split", "group")
MOST_LABELS = 100  # of a column with several labels in one value
PEEK = 1000  # rows by which the contents of text and bytes are recognised
_NUMBER = r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?|[nN]a[nN]|-?inf"
_ITEMS = rf"({_NUMBER})([,;\s]+({_NUMBER}))*"
BRACKETED = rf"^\s*(array\()?[\[(]\s*{_ITEMS}[,;\s]*[\])]\)?\s*$"
BARE = rf"^\s*({_NUMBER})([,;\s]+({_NUMBER}))+\s*$"

Make = Callable[[pa.Array, int], list[pa.Array]]


@dataclass(frozen=True)
class Step:
    """How a column of the source becomes columns of the table: their fields, and a function of (values, first row)."""

    source: str
    fields: tuple[pa.Field, ...]
    make: Make


def plain(source: Source, options: ReadOptions, features: Sequence[str] = ()) -> Source:
    """Return a source whose columns have plain types.

    Views, decimals, encoded and nested columns become what they stand for; vectors written as text become lists; a
    column of label lists becomes one truth value for each label.

    Parameters
    ----------
    source
        The source.
    options
        New names, columns with several labels, and how labels are compared.
    features
        Columns that are vectors, whatever their text looks like.

    Raises
    ------
    SordineError
        Where a name would occur twice, or a value does not fit its column.
    """
    made_by = source.schema.metadata or {}
    if TRANSFORM in made_by:  # these columns are already as the options make them
        options = ReadOptions()
    schema = _renamed(source, options, quiet=EXTRACT in made_by)
    source = _with_names(source, schema)
    for name in options.multi_label:
        if name not in schema.names and EXTRACT not in made_by:
            warn(f"{source.name}: no column {name!r} with several labels; {nearest(name, schema.names)}")
    try:
        steps = _Planner(source, options, features).steps()
    except READ_ERRORS as error:
        raise SordineError(f"{source.name} cannot be read to the end: {reason(error)}") from None
    if all(step.make is _unchanged for step in steps):
        return source
    made = pa.schema([f for step in steps for f in step.fields], schema.metadata)
    repeated = [n for n in made.names if made.names.count(n) > 1]
    if repeated:
        raise SordineError(f"{source.name}: column {repeated[0]!r} occurs twice; rename one with --read rename=OLD:NEW")
    return replace(source, schema=made, batches=_through(source, steps, made))


def _renamed(source: Source, options: ReadOptions, *, quiet: bool) -> pa.Schema:
    names = list(source.schema.names)
    repeated = [n for n in names if names.count(n) > 1]
    if repeated:
        raise SordineError(f"{source.name}: column {repeated[0]!r} occurs twice; rename or remove one")
    new = dict(options.rename)
    for old in new:
        if old not in names and not quiet:
            warn(f"{source.name}: no column {old!r} to rename; {nearest(old, names)}")
    found = [new.get(n, n) for n in names]
    repeated = [n for n in found if found.count(n) > 1]
    if repeated:
        raise SordineError(f"{source.name}: two columns would be named {repeated[0]!r}; choose another new name")
    fields = [f.with_name(n) for f, n in zip(source.schema, found, strict=True)]
    return pa.schema(fields, source.schema.metadata)


def _with_names(source: Source, schema: pa.Schema) -> Source:
    if schema.names == source.schema.names:
        return source
    old = dict(zip(schema.names, source.schema.names, strict=True))

    def batches(columns: Sequence[str] | None, rows: int) -> Iterator[pa.RecordBatch]:
        wanted = schema.names if columns is None else list(columns)
        for batch in source.batches([old[n] for n in wanted], rows):
            made = [batch.column(batch.schema.get_field_index(old[n])) for n in wanted]
            yield pa.record_batch(made, names=wanted) if wanted else batch

    return replace(source, schema=schema, batches=batches)


def _through(
    source: Source, steps: Sequence[Step], schema: pa.Schema
) -> Callable[[Sequence[str] | None, int], Iterator[pa.RecordBatch]]:
    def batches(columns: Sequence[str] | None, rows: int) -> Iterator[pa.RecordBatch]:
        wanted = schema.names if columns is None else list(columns)
        needed = [s for s in steps if not {f.name for f in s.fields}.isdisjoint(wanted)]
        result = pa.schema([schema.field(n) for n in wanted])
        first = 0
        for batch in source.batches([s.source for s in needed], rows):
            found: dict[str, pa.Array] = {}
            for step in needed:
                column = batch.column(batch.schema.get_field_index(step.source))
                found |= zip((f.name for f in step.fields), step.make(column, first), strict=True)
            first += len(batch)
            yield pa.record_batch([found[n] for n in wanted], schema=result) if wanted else batch

    return batches


def _unchanged(values: pa.Array, first: int) -> list[pa.Array]:
    return [values]


class _Planner:
    """Decides on the steps for the columns of a source."""

    def __init__(self, source: Source, options: ReadOptions, features: Sequence[str]) -> None:
        self.source, self.options, self.features = source, options, features
        self.labels = _class_labels(source.schema)

    def steps(self) -> list[Step]:
        found = [self.of(field, lambda name=field.name: self._peek(name)) for field in self.source.schema]  # type: ignore[misc]
        if not any(is_vector(f.type) for step in found for f in step.fields):
            bare = [i for i, step in enumerate(found) if step.make is _unchanged and self._is_bare(step.fields[0])]
            if len(bare) == 1:
                found[bare[0]] = self._vectors_as_text(self.source.schema[bare[0]])
        return found

    def _peek(self, name: str) -> pa.Array:
        """Return the first values that are there; a column may begin with many missing ones."""
        found: list[pa.Array] = []
        for batch in self.source.batches([name], PEEK):
            if batch.column(0).null_count < len(batch):
                found.append(batch.column(0))
            if sum(len(part) - part.null_count for part in found) >= PEEK:
                break
        kind = self.source.schema.field(name).type
        if len(found) == 1:
            return found[0]
        try:
            return pa.concat_arrays(found) if found else pa.array([], kind)
        except pa.ArrowNotImplementedError:  # of views
            return pa.array([value for part in found for value in part.to_pylist()], kind)

    def of(self, field: pa.Field, peek: Callable[[], pa.Array]) -> Step:
        """Return the step of one column; `peek` returns its first values."""
        kind = field.type
        for suits, step in (
            (is_decoded, self._decoded),
            (pa.types.is_decimal, self._decimals),
            (pa.types.is_struct, self._struct),
            (is_any_list, self._lists),
            (is_binary, self._bytes),
            (pa.types.is_integer, self._named_classes),
            (is_text, self._text),
        ):
            if suits(kind):
                return step(field, peek)
        return Step(field.name, (field,), _unchanged)

    def _after(self, field: pa.Field, kind: pa.DataType, peek: Callable[[], pa.Array], change: Any) -> Step:
        """Return the step of a column of which `change` makes another type."""
        then = self.of(pa.field(field.name, kind), lambda: change(peek()))
        return Step(field.name, then.fields, lambda values, first: then.make(change(values), first))

    def _decoded(self, field: pa.Field, peek: Callable[[], pa.Array]) -> Step:
        kind = decoded_type(field.type)
        return self._after(field, kind, peek, lambda values: decoded(values, kind))

    def _decimals(self, field: pa.Field, peek: Callable[[], pa.Array]) -> Step:
        return self._after(field, pa.float64(), peek, lambda values: values.cast(pa.float64(), safe=False))

    def _struct(self, field: pa.Field, peek: Callable[[], pa.Array]) -> Step:
        """One column for each member, named `column.member`; media as the Hub stores them stay as they are."""
        if is_media_struct(field.type) or not field.type.num_fields:
            return Step(field.name, (field,), _unchanged)
        steps = []
        for i in range(field.type.num_fields):
            member = field.type.field(i).with_name(f"{field.name}.{field.type.field(i).name}")
            steps.append(self.of(member, lambda i=i: peek().flatten()[i]))  # type: ignore[misc]

        def make(values: pa.Array, first: int) -> list[pa.Array]:
            return [a for step, v in zip(steps, values.flatten(), strict=True) for a in step.make(v, first)]

        return Step(field.name, tuple(f for step in steps for f in step.fields), make)

    def _lists(self, field: pa.Field, peek: Callable[[], pa.Array]) -> Step:
        leaf = field.type.value_type
        if is_any_list(leaf):
            return self._nested(field, peek)
        if is_text(leaf) and field.name not in RESERVED:
            return self._several(field, lambda values: values)
        if pa.types.is_decimal(leaf) or pa.types.is_boolean(leaf):
            kind = pa.list_(pa.float64() if pa.types.is_decimal(leaf) else pa.uint8())
            return self._after(field, kind, peek, lambda values: _as_lists(values).cast(kind, safe=False))
        return Step(field.name, (field,), _unchanged)

    def _nested(self, field: pa.Field, peek: Callable[[], pa.Array]) -> Step:
        """Lists of lists of numbers as tensors of one shape, that of the first record."""
        shape, leaf, values = [], field.type, peek().drop_null()
        while is_any_list(leaf):
            leaf = leaf.value_type
        if not (pa.types.is_floating(leaf) or pa.types.is_integer(leaf)) or not len(values):
            return Step(field.name, (field,), _unchanged)
        values = values.slice(0, 1)
        while is_any_list(values.type):
            lengths = _lengths(values)
            shape.append(lengths[0].as_py() if len(lengths) else 0)
            values = values.flatten()
        if 0 in shape or None in shape:
            raise SordineError(f"{self.source.name}: column {field.name!r} has an empty list in its first record")
        kind = pa.fixed_shape_tensor(leaf, shape)
        where = f"{self.source.name}: column {field.name!r}"
        return Step(field.name, (pa.field(field.name, kind),), lambda v, first: [_tensor(v, kind, where, first)])

    def _bytes(self, field: pa.Field, peek: Callable[[], pa.Array]) -> Step:
        """Bytes as text, where they are short and UTF-8."""
        sample = peek().drop_null()
        if not len(sample) or pc.max(pc.binary_length(sample)).as_py() > 256:
            return Step(field.name, (field,), _unchanged)
        try:
            as_text(sample)
        except (pa.ArrowInvalid, UnicodeError):
            return Step(field.name, (field,), _unchanged)
        if pc.any(pc.match_substring_regex(as_text(sample), r"[\x00-\x08\x0e-\x1f\x7f]")).as_py():
            return Step(field.name, (field,), _unchanged)
        where = f"{self.source.name}: column {field.name!r}"

        def change(values: pa.Array) -> pa.Array:
            try:
                return as_text(values)
            except pa.ArrowInvalid:
                raise SordineError(f"{where} has bytes that are not UTF-8 text; remove it or store text") from None

        return self._after(field, pa.string(), peek, change)

    def _named_classes(self, field: pa.Field, peek: Callable[[], pa.Array]) -> Step:
        """Numbers of classes whose names the metadata has, as the data-set library of Hugging Face writes them."""
        names = self.labels.get(field.name)
        if not names:
            return Step(field.name, (field,), _unchanged)
        where = f"{self.source.name}: column {field.name!r}"

        def make(values: pa.Array, first: int) -> list[pa.Array]:
            codes = values.to_pylist()
            for row, code in enumerate(codes, first):
                if code is not None and not -1 <= code < len(names):
                    raise SordineError(f"{where} has class {code} in row {row}, and its metadata names {len(names)}")
            # Without a name, -1 means in this format that the label is missing.
            return [pa.array([None if c is None or c < 0 else names[c] for c in codes], pa.string())]

        return Step(field.name, (pa.field(field.name, pa.string()),), make)

    def _text(self, field: pa.Field, peek: Callable[[], pa.Array]) -> Step:
        name = field.name
        if name in RESERVED:
            return Step(name, (field,), _unchanged)
        if name in self.options.multi_label:
            separator = self.options.label_separator

            def split(values: pa.Array) -> pa.Array:
                filled = pc.if_else(pc.equal(values, ""), pa.scalar(None, values.type), values)
                return pc.split_pattern(filled, separator)

            return self._several(field, split)
        sample = peek().drop_null()
        if len(sample) and pc.all(pc.match_substring_regex(sample, BRACKETED)).as_py():
            return self._vectors_as_text(field)
        if name in self.features and len(sample):
            # 1,234 may be one number.
            clear = pc.or_(pc.match_substring_regex(sample, r"[;\s]"), pc.match_substring(sample, "."))
            if pc.all(pc.and_(clear, pc.match_substring_regex(sample, BARE))).as_py():
                return self._vectors_as_text(field)
            if pc.any(pc.match_substring_regex(sample, r"^\s*\[.*\.\.\..*\]\s*$")).as_py():
                raise SordineError(
                    f"{self.source.name}: the vectors of column {name!r} are shortened with '...'; write them in full"
                )
        if self.options.normalise_labels:
            return Step(name, (pa.field(name, pa.string()),), lambda values, first: [normalised(values)])
        return Step(name, (field,), _unchanged)

    def _is_bare(self, field: pa.Field) -> bool:
        """Whether a text column holds vectors such as `0.1 0.2` of one length, with a decimal point."""
        if not is_text(field.type) or field.name in RESERVED:
            return False
        sample = self._peek(field.name).drop_null()
        if not len(sample) or not pc.all(pc.match_substring_regex(sample, BARE)).as_py():
            return False
        lengths = {len(v) for v in _split(sample).to_pylist()}
        return len(lengths) == 1 and bool(pc.all(pc.match_substring(sample, ".")).as_py())

    def _vectors_as_text(self, field: pa.Field) -> Step:
        where = f"{self.source.name}: column {field.name!r}"

        def make(values: pa.Array, first: int) -> list[pa.Array]:
            bad = pc.invert(pc.or_(pc.match_substring_regex(values, BRACKETED), pc.match_substring_regex(values, BARE)))
            if pc.any(bad).as_py():
                row = first + bad.to_pylist().index(True)
                raise SordineError(f"{where} has no vector of numbers in row {row}; all other rows have one")
            return [_split(values).cast(pa.list_(pa.float64()))]

        return Step(field.name, (pa.field(field.name, pa.list_(pa.float64())),), make)

    def _several(self, field: pa.Field, listed: Callable[[pa.Array], pa.Array]) -> Step:
        """One truth value for each label that the lists of a column contain."""
        normal = normalised if self.options.normalise_labels else pc.utf8_trim_whitespace
        known: set[str] = set()
        for batch in self.source.batches([field.name], PEEK):
            known |= set(normal(listed(batch.column(0)).flatten().drop_null()).unique().to_pylist()) - {""}
            if len(known) > MOST_LABELS:
                return Step(field.name, (field,), _unchanged)
        names = sorted(known)

        def make(values: pa.Array, first: int) -> list[pa.Array]:
            lists = _as_lists(listed(values))
            rows, items = pc.list_parent_indices(lists), normal(lists.flatten())
            found = []
            for name in names:
                hits = set(rows.filter(pc.fill_null(pc.equal(items, name), False)).to_pylist())
                present = lists.is_valid().to_pylist()
                found.append(pa.array([i in hits if ok else None for i, ok in enumerate(present)], pa.bool_()))
            return found

        return Step(field.name, tuple(pa.field(f"{field.name}:{n}", pa.bool_()) for n in names), make)


# --------------------------------------------------------------------------------------------- types and values


def is_list(kind: pa.DataType) -> bool:
    """Return whether a column of this type holds lists of numbers."""
    lists = pa.types.is_fixed_size_list(kind) or pa.types.is_list(kind) or pa.types.is_large_list(kind)
    return lists and bool(pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type))


def is_vector(kind: pa.DataType) -> bool:
    """Return whether a column of this type holds records: lists of numbers, or tensors of one shape."""
    return isinstance(kind, pa.FixedShapeTensorType) or is_list(kind)


def is_any_list(kind: pa.DataType) -> bool:
    """Return whether a column of this type holds lists of anything."""
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def is_text(kind: pa.DataType) -> bool:
    """Return whether a column of this type holds text."""
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def is_binary(kind: pa.DataType) -> bool:
    """Return whether a column of this type holds bytes."""
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind)


def is_media_struct(kind: pa.DataType) -> bool:
    """Return whether a column of this type holds files, as the Hugging Face Hub stores sound and pictures."""
    return pa.types.is_struct(kind) and {"bytes", "path"} <= {kind.field(i).name for i in range(kind.num_fields)}


def decoded_type(kind: pa.DataType) -> pa.DataType:
    """Return the type that a view, an encoded or an extended type stands for; the same type where it is plain."""
    if isinstance(kind, pa.FixedShapeTensorType):
        return kind
    if isinstance(kind, pa.BaseExtensionType):
        return decoded_type(kind.storage_type)
    if pa.types.is_dictionary(kind):
        inner = decoded_type(kind.value_type)
        plain_text = is_text(inner) or pa.types.is_integer(inner) or pa.types.is_boolean(inner)
        return kind if inner == kind.value_type and plain_text else inner
    if pa.types.is_run_end_encoded(kind):
        return decoded_type(kind.value_type)
    for test, other in (("is_string_view", pa.string()), ("is_binary_view", pa.binary())):
        if hasattr(pa.types, test) and getattr(pa.types, test)(kind):
            return other
    if is_list_view(kind):
        return pa.list_(decoded_type(kind.value_type))
    if is_any_list(kind) and (inner := decoded_type(kind.value_type)) != kind.value_type:
        return pa.list_(inner.value_type if pa.types.is_dictionary(inner) else inner)
    return kind


def is_list_view(kind: pa.DataType) -> bool:
    """Return whether a column of this type holds views of lists."""
    return any(hasattr(pa.types, t) and getattr(pa.types, t)(kind) for t in ("is_list_view", "is_large_list_view"))


def _list_of_view(values: pa.Array) -> pa.Array:
    # The cast of Arrow leaves out the last offset.
    lengths = pc.fill_null(pc.list_value_length(values), 0).to_numpy(zero_copy_only=False)
    offsets = pa.array(np.concatenate([[0], np.cumsum(lengths)]), pa.int32())
    return pa.ListArray.from_arrays(offsets, values.flatten(), mask=values.is_null())


def is_decoded(kind: pa.DataType) -> bool:
    """Return whether values of this type have to be decoded."""
    return bool(decoded_type(kind) != kind)


def decoded(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return values as the type that theirs stands for."""
    if isinstance(values, pa.ExtensionArray):
        return decoded(values.storage, kind)
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_run_end_encoded(values.type):
        values = pc.run_end_decode(values)
    if is_list_view(values.type):
        values = _list_of_view(values)
    try:
        return values.cast(kind)
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):  # for some views there is no cast
        return pa.array(values.to_pylist(), kind)


def as_text(values: pa.Array) -> pa.Array:
    """Return bytes as text. Raises pyarrow.ArrowInvalid where they are not UTF-8."""
    if pa.types.is_fixed_size_binary(values.type):
        values = values.cast(pa.binary())
    return values.cast(pa.string())


def normalised(values: pa.Array) -> pa.Array:
    """Return labels without case, blanks at their ends, and repeated blanks."""
    found = [None if v is None else " ".join(v.split()).casefold() for v in values.to_pylist()]
    return pa.array(found, pa.string())


def _split(values: pa.Array) -> pa.Array:
    bare = pc.replace_substring_regex(values, r"array|[\[\]()]", " ")
    return pc.split_pattern_regex(pc.utf8_trim(bare, " \t\r\n,;"), r"[,;\s]+")


def _as_lists(values: pa.Array) -> pa.Array:
    return values.cast(pa.list_(values.type.value_type)) if pa.types.is_fixed_size_list(values.type) else values


def _lengths(values: pa.Array) -> pa.Array:
    if pa.types.is_fixed_size_list(values.type):
        return pa.array([values.type.list_size] * len(values), pa.int64())
    return pc.list_value_length(values)


def _tensor(values: pa.Array, kind: pa.FixedShapeTensorType, where: str, first: int) -> pa.Array:
    """Return nested lists as tensors. Raises SordineError where a record is missing or has another shape."""
    rows, size = len(values), 1
    if values.null_count:
        row = first + values.is_null().to_pylist().index(True)
        raise SordineError(f"{where} is empty in row {row}; every record needs its features")
    for length in kind.shape:
        lengths = _lengths(values)
        other = pc.fill_null(pc.not_equal(lengths, length), True)
        if pc.any(other).as_py():
            row = first + other.to_pylist().index(True) // size
            shape = " x ".join(map(str, kind.shape))
            raise SordineError(f"{where} has a list of another length in row {row}; {shape} numbers expected")
        values, size = values.flatten(), size * length
    if pa.types.is_integer(kind.value_type) and values.null_count:
        row = first + values.is_null().to_pylist().index(True) // size
        raise SordineError(f"{where} has a missing value in row {row}")
    storage = pa.FixedSizeListArray.from_arrays(values, math.prod(kind.shape))
    assert len(storage) == rows
    return pa.ExtensionArray.from_storage(kind, storage)


def _class_labels(schema: pa.Schema) -> dict[str, list[str]]:
    """Return the names of classes by column, which the data-set library of Hugging Face writes into the metadata."""
    try:
        found = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))
        features = found["info"]["features"]
        return {
            str(name): list(map(str, f["names"]))
            for name, f in features.items()
            if isinstance(f, dict) and f.get("_type") == "ClassLabel" and f.get("names")
        }
    except (ValueError, KeyError, TypeError, AttributeError):
        return {}

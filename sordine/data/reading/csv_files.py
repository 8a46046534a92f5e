"""Read text tables: separator, decimal point, encoding and the types of the columns are detected."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from sordine.data.reading.options import NULL_WORDS, ReadOptions
from sordine.data.reading.source import Source, of_arrow, reason
from sordine.errors import SordineError

HEAD_BYTES = 1 << 18  # of which the dialect is detected
BLOCK_BYTES = 1 << 24  # a row must fit in a block
LINES = 50  # records that the detection compares
NAMES = {",": "comma", ";": "semicolon", "\t": "tab", "|": "pipe", " ": "space"}
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_UNICODE = ("utf-8", "utf-8-sig")


@dataclass(frozen=True)
class Dialect:
    """How a text table is written.

    Parameters
    ----------
    separator, decimal, encoding
        As in `ReadOptions`, decided.
    skip
        Lines before the header.
    """

    separator: str = ","
    decimal: str = "."
    encoding: str = "utf-8"
    skip: int = 0

    def about(self) -> str:
        """Return what differs from a plain CSV file, in words; "" for nothing."""
        found = [] if self.separator == "," else [f"the separator {NAMES.get(self.separator, self.separator)!r}"]
        found += [] if self.decimal == "." else ["decimal commas"]
        return ", ".join(found + ([] if self.encoding in _UNICODE else [f"the encoding {self.encoding}"]))


def open_csv(path: Path, options: ReadOptions, memory: int) -> Source:
    """Return a text table as a source.

    Each column is int64, float64 or text, by all its values. Digits with leading zeros are text, as are dates and
    truth values. Column `id` is always text.

    Parameters
    ----------
    path
        The file; .gz, .bz2 and .zst are decompressed.
    options
        What is not to be detected.
    memory
        Bytes up to which a file is held in memory. A larger one is parsed again for each pass.

    Raises
    ------
    SordineError
        Where rows have different numbers of values, or the text has another encoding than given.
    """
    head = _head(path)
    dialect = detect(head, options, path.name)
    try:
        scan = _Scan(path, dialect, options)
    except (UnicodeError, pa.ArrowInvalid) as error:
        if options.encoding is not None or dialect.encoding not in _UNICODE or not _is_encoding_error(error):
            raise _unreadable(path, dialect, error) from None
        dialect = replace(dialect, encoding=_single_byte(path))
        scan = _Scan(path, dialect, options)
    found = dialect.about()
    about = [f"{path.name}: read with {found}; --read sets it otherwise"] if found else []
    about += scan.about(path.name)
    packed = path.suffix.lower() in (".gz", ".bz2", ".zst")
    if path.stat().st_size * (8 if packed else 1) <= memory:
        table = pa.Table.from_batches(list(scan.typed(None, BLOCK_BYTES)), scan.schema)
        return of_arrow(table, str(path), "; ".join(about))
    return Source(str(path), scan.schema, scan.rows, scan.typed, "; ".join(about))


class _Scan:
    """One pass over a text table that finds the types of its columns; `typed` makes further passes."""

    def __init__(self, path: Path, dialect: Dialect, options: ReadOptions) -> None:
        self.path, self.dialect = path, dialect
        self.nulls = NULL_WORDS if options.nulls is None else ("", *options.nulls)
        self.words: dict[str, int] = {}  # null words other than "" by column
        self.rows = 0
        kinds: dict[str, str] = {}
        names: list[str] = []
        for batch in self._batches({}):
            if not names:
                names = batch.schema.names
                _check_names(path, names)
                kinds = dict.fromkeys(names, "none")
            self.rows += len(batch)
            for name, column in zip(names, batch.columns, strict=True):
                kinds[name] = self._kind(name, column, kinds[name])
        types = {"int": pa.int64(), "float": pa.float64()}
        self.schema = pa.schema([(n, types.get(kinds[n], pa.string())) for n in names])

    def _batches(self, types: dict[str, pa.DataType], columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        dialect = self.dialect
        if not types:
            types = dict.fromkeys(self._names(), pa.string())
        convert = pyarrow.csv.ConvertOptions(
            column_types=types,
            null_values=list(self.nulls),
            strings_can_be_null=False,
            decimal_point=dialect.decimal,
            include_columns=columns,
        )
        with self._explained(), self._open(convert) as reader:
            yield from reader

    def _names(self) -> list[str]:
        with self._explained(), self._open(None) as reader:
            names: list[str] = reader.schema.names
        return names

    def _open(self, convert: pyarrow.csv.ConvertOptions | None) -> pyarrow.csv.CSVStreamingReader:
        dialect = self.dialect
        encoding = "utf-8" if dialect.encoding in _UNICODE else dialect.encoding
        read = pyarrow.csv.ReadOptions(
            block_size=BLOCK_BYTES, encoding=encoding, skip_rows=dialect.skip, use_threads=False
        )
        # A quoted field may contain a line break.
        parse = pyarrow.csv.ParseOptions(delimiter=dialect.separator, newlines_in_values=True)
        stream = pa.input_stream(str(self.path), compression="detect")
        return pyarrow.csv.open_csv(stream, read_options=read, parse_options=parse, convert_options=convert)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except pa.ArrowInvalid as error:
            found = re.search(r"(?:Row #(\d+): )?Expected (\d+) columns, got (\d+)", str(error))
            if found is None:
                raise
            where = f" in line {found[1]}" if found[1] else ""
            name = NAMES.get(self.dialect.separator, self.dialect.separator)
            raise SordineError(
                f"{self.path}: a row has {found[3]} values{where}, and the header has {found[2]} names; repair it, "
                f"or set --read separator= (it was read with {name})"
            ) from None

    def _kind(self, name: str, column: pa.Array, known: str) -> str:
        """Return "none", "int", "float" or "text" for a column, given what its earlier values are."""
        missing = pc.is_in(column, value_set=pa.array(self.nulls))
        empty = pc.equal(column, "")
        words = int(pc.sum(missing).as_py() or 0) - int(pc.sum(empty).as_py() or 0)
        if words and name != "id":
            self.words[name] = self.words.get(name, 0) + words
        if known == "text" or name == "id":
            return "text"
        values = pc.utf8_trim_whitespace(column.filter(pc.invert(missing)))
        if not len(values):
            return known
        if self.dialect.decimal == ",":
            if pc.any(pc.match_substring(values, ".")).as_py():
                return "text"
            values = pc.replace_substring(values, ",", ".")
        kind = _number_kind(values)
        return "float" if {kind, known} == {"int", "float"} else kind

    def typed(self, columns: Sequence[str] | None, rows: int) -> Iterator[pa.RecordBatch]:
        """Yield the rows with the types of the columns."""
        wanted = self.schema.names if columns is None else list(columns)
        schema = pa.schema([self.schema.field(n) for n in wanted])
        words = pa.array(self.nulls)
        types = {f.name: f.type for f in self.schema}
        for batch in self._batches(types, wanted or self.schema.names[:1]):
            made = []
            for field in schema:
                column = batch.column(batch.schema.get_field_index(field.name))
                if pa.types.is_string(field.type):
                    none = pc.equal(column, "") if field.name == "id" else pc.is_in(column, value_set=words)
                    column = pc.if_else(none, pa.scalar(None, pa.string()), column)
                made.append(column)
            block = pa.record_batch(made, schema=schema) if made else batch.select([])
            for start in range(0, len(batch), rows):
                yield block.slice(start, rows)

    def about(self, name: str) -> list[str]:
        """Return a line on null words, where there are some in columns of text."""
        text = [n for n in self.words if pa.types.is_string(self.schema.field(n).type)]
        if not text:
            return []
        count = sum(self.words[n] for n in text)
        quoted = ", ".join(map(repr, text[:5])) + (", ..." if len(text) > 5 else "")
        return [f"{name}: {count:,} values such as NA in {quoted} are missing; --read nulls= sets these words"]


def _number_kind(values: pa.Array) -> str:
    """Return "int" or "float" where all values of a text column without blanks and missing ones are; else "text"."""
    try:
        numbers = pc.cast(values, pa.float64())
    except pa.ArrowInvalid:
        return "text"
    # 007 and +1 are names, not numbers, and so is anything of more than 18 digits.
    if pc.any(pc.match_substring_regex(values, r"^\+|^-?0[0-9]|^-?[0-9]{19,}$")).as_py():
        return "text"
    if pc.all(pc.equal(numbers, pc.floor(numbers))).as_py():  # a cast of other numbers fails slowly
        with suppress(pa.ArrowInvalid):
            pc.cast(values, pa.int64())
            return "int"
    return "float"


def _check_names(path: Path, names: list[str]) -> None:
    for name in names:
        if names.count(name) > 1:
            raise SordineError(f"{path}: column {name!r} occurs twice; rename or remove one")
    numbers = [n for n in names if re.fullmatch(r"-?\d*\.\d+([eE][-+]?\d+)?", n.strip())]
    if len(numbers) > 1 or (numbers and len(names) == 1):
        raise SordineError(
            f"{path}: the first line contains numbers ({numbers[0]}), not names of columns; add a line of names"
        )


def _is_encoding_error(error: Exception) -> bool:
    return isinstance(error, UnicodeError) or "UTF8" in str(error) or "UTF-8" in str(error)


def _unreadable(path: Path, dialect: Dialect, error: Exception) -> SordineError:
    if _is_encoding_error(error):
        return SordineError(f"{path} is not {dialect.encoding} text; set --read encoding=, for example latin-1")
    return SordineError(f"{path} cannot be read as CSV: {reason(error)}")


def _single_byte(path: Path) -> str:
    """Return the encoding of text that is not UTF-8: Windows-1252, or Latin-1 where that has no such byte."""
    decoder = codecs.getincrementaldecoder("cp1252")()
    try:
        with pa.input_stream(str(path), compression="detect") as stream:
            while block := stream.read(HEAD_BYTES):
                decoder.decode(block)
    except UnicodeDecodeError:
        return "latin-1"
    return "cp1252"


# --------------------------------------------------------------------------------------------- the dialect


def _head(path: Path) -> bytes:
    with pa.input_stream(str(path), compression="detect") as stream:
        return bytes(stream.read(HEAD_BYTES))


def detect(head: bytes, options: ReadOptions, name: str) -> Dialect:
    """Return the dialect of a text table.

    Parameters
    ----------
    head
        Its first bytes.
    options
        What is given already.
    name
        Of the file; .tsv means tabs.

    Raises
    ------
    SordineError
        Where the file is empty or not text.
    """
    encoding = options.encoding or _encoding(head)
    if not head.strip(b"\0 \t\r\n\xff\xfe\xef\xbb\xbf"):
        raise SordineError(f"{name}: the table has no records; at least one is needed")
    text = codecs.getincrementaldecoder(encoding)(errors="replace").decode(head)
    if "\0" in text:
        raise SordineError(f"{name} is not a text table; give a table in a format that sordine knows")
    first, _, rest = text.lstrip("\ufeff").partition("\n")
    separator, skip = options.separator, 0
    if re.fullmatch(r'"?sep=.?"?', first.strip("\r")):  # the first line that Excel writes
        separator, skip, text = separator or first.strip('\r"')[4:] or "\t", 1, rest
    if separator is None:
        separator = "\t" if ".tsv" in name.lower() else _separator(text, name)
    decimal = options.decimal or _decimal(text, separator)
    return Dialect(separator, decimal, encoding, skip)


def _encoding(head: bytes) -> str:
    for mark, name in _MARKS:
        if head.startswith(mark):
            return name
    # Text in UTF-16 without a mark has a zero in every second byte, as far as it is ASCII.
    for first, name in ((1, "utf-16-le"), (0, "utf-16-be")):
        half, other = head[first:4096:2], head[1 - first : 4096 : 2]
        if half and half.count(0) > 0.7 * len(half) and other.count(0) < 0.1 * len(other):
            return name
    return "utf-8"


def _records(text: str, separator: str) -> list[list[str]]:
    """Return the first records. The last one may be cut and is left out where there are more."""
    found: list[list[str]] = []
    with suppress(csv.Error):
        for record in csv.reader(io.StringIO(text.lstrip("\ufeff"), newline=""), delimiter=separator):
            if record:
                found.append(record)
            if len(found) > LINES:
                break
    return found[:-1] if len(text) >= HEAD_BYTES // 4 and len(found) > 2 else found


def _separator(text: str, name: str) -> str:
    """Return the separator that gives most records the number of values that the header has, and more than one.

    Of a file with a single column, it is one that does not occur.
    """
    candidates = [",", ";", "\t", "|"] + ([" "] if ".txt" in name.lower() else [])
    best, score = "", (0.5, 1)
    absent = ","
    for candidate in reversed(candidates):
        records = _records(text, candidate)
        if all(len(record) == 1 for record in records):
            absent = candidate
    for candidate in candidates:
        records = _records(text, candidate)
        if not records or len(records[0]) < 2:
            continue
        same = sum(len(r) == len(records[0]) for r in records) / len(records)
        if (same, len(records[0])) > score:
            best, score = candidate, (same, len(records[0]))
    return best or absent


def _decimal(text: str, separator: str) -> str:
    """Return "," where values such as 0,5 occur, and none such as 0.5. 1,234 alone may be a number of thousands."""
    if separator == ",":
        return "."
    values = [v.strip() for record in _records(text, separator)[1:] for v in record]
    comma = any(re.fullmatch(r"-?(0,\d+|\d+,(\d{1,2}|\d{4,}))([eE][-+]?\d+)?", v) for v in values)
    point = any(re.fullmatch(r"-?\d*\.\d+([eE][-+]?\d+)?", v) for v in values)
    return "," if comma and not point else "."

"""CelebA: 202,599 aligned faces with 40 yes-or-no attributes, 10,177 identities and an official partition."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from sordine.data.layouts.reading import (
    TEST,
    TRAIN,
    VALIDATION,
    Missing,
    Validation,
    chosen_names,
    existing_records,
    first_file,
    first_folder,
    names_in,
    with_usage,
)
from sordine.data.media.kinds import Media
from sordine.errors import SordineError

PICTURES = (
    "img_align_celeba/img_align_celeba",
    "img_align_celeba",
    "Img/img_align_celeba/img_align_celeba",
    "Img/img_align_celeba",
)
ATTRIBUTES = ("list_attr_celeba.txt", "Anno/list_attr_celeba.txt", "list_attr_celeba.csv", "Anno/list_attr_celeba.csv")
IDENTITY = ("identity_CelebA.txt", "Anno/identity_CelebA.txt", "identity_CelebA.csv", "Anno/identity_CelebA.csv")
PARTITION = (
    "list_eval_partition.txt",
    "Eval/list_eval_partition.txt",
    "list_eval_partition.csv",
    "Eval/list_eval_partition.csv",
)
PARTS = {"0": TRAIN, "1": VALIDATION, "2": TEST}
HAIR = {"Black_Hair": "black", "Blond_Hair": "blond", "Brown_Hair": "brown", "Gray_Hair": "gray"}
COLUMNS = 40


@dataclass(frozen=True)
class CelebA:
    """CelebA: `img_align_celeba/<number>.jpg` with `list_attr_celeba`, as text or CSV, in the root or in `Anno/`.

    The text file has the number of pictures, the names of the attributes, and one line a picture with 1 or -1. The CSV
    has a header that begins with image_id. `list_eval_partition` (0 train, 1 validation, 2 test; in the root or in
    `Eval/`) gives `usage` and `split`, `identity_CelebA` the column `identity`. Both may be absent.

    Source: the readme of the set (files and columns); the CSV as on Kaggle; Liu et al., ICCV 2015.

    Parameters
    ----------
    attributes
        Names of attributes, which become "yes" or "no"; by default all 40.
    hair_colour
        Add the column `hair_colour`, and leave out pictures that do not have exactly one of black, blond, brown and
        gray.
    identity
        Add the column `identity` where the file exists.
    validation
        Side of the validation part: `train`, `test` or `drop`.
    missing
        `error` or `skip`, for records without a file.
    """

    attributes: tuple[str, ...] | str | None = None
    hair_colour: bool = False
    identity: bool = True
    validation: Validation = "train"
    missing: Missing = "error"

    marks: ClassVar[tuple[str, ...]] = ATTRIBUTES

    def read(self, root: Path) -> Media:
        """Return the pictures. Raises SordineError where a line has the wrong fields or values."""
        home = first_folder(root, PICTURES, "folder of aligned pictures")
        listed = first_file(root, ATTRIBUTES)
        if listed is None:
            raise SordineError(f"{root} has none of {', '.join(ATTRIBUTES)}; add one")
        table, offset = _attributes(listed)
        known = table.column_names[1:]
        wanted = known if self.attributes is None else list(chosen_names("attributes", self.attributes, known))
        notes = []
        inside = home.relative_to(root).as_posix() + "/"
        names = table["image_id"]
        columns = {"file_name": pc.binary_join_element_wise(pa.scalar(inside), names, "")}
        for name in dict.fromkeys([*wanted, *(HAIR if self.hair_colour else ())]):
            if name not in known:
                raise SordineError(f"{listed} has no column {name!r}, which hair_colour needs")
            columns[name] = _yes_or_no(table[name], name, listed, offset)
        found = first_file(root, IDENTITY if self.identity else ())
        if found:
            columns["identity"] = _looked_up(found, names, "identity")
        elif self.identity:
            notes.append("The folder has no identity_CelebA.txt, so there is no column identity.")
        records = pa.table(columns)
        if self.hair_colour:
            records, note = _hair(records)
            records = records.drop_columns([name for name in HAIR if name not in wanted])
            notes.append(note)
        records, more = self._partitioned(root, records, inside)
        notes += more
        records, more = existing_records(records, {inside + name for name in names_in(home)}, listed, self.missing)
        return Media(root, "image", records, tuple(more + notes))

    def _partitioned(self, root: Path, records: pa.Table, inside: str) -> tuple[pa.Table, list[str]]:
        """Return the records with `usage` and `split`, where the partition file exists, and notes."""
        partition = first_file(root, PARTITION)
        if partition is None:
            return records, ["The folder has no list_eval_partition.txt, so there is no split."]
        bare = pc.utf8_slice_codeunits(records["file_name"], len(inside))
        given = _looked_up(partition, bare, "partition").to_pylist()
        for part in set(given) - PARTS.keys():
            raise SordineError(f"{partition}: partition {part!r} is not 0, 1 or 2")
        return with_usage(records, [PARTS[part] for part in given], self.validation)


def _attributes(path: Path) -> tuple[pa.Table, int]:
    """Return image_id and the attributes as text, and the line number of the first picture."""
    if path.suffix == ".csv":
        table = _fields(path, _bytes(path), ",", None)
        if table.num_columns < 2:
            raise SordineError(f"{path} has no column of an attribute; check the delimiter")
        return table.rename_columns(["image_id", *table.column_names[1:]]), 2
    count, _, rest = _bytes(path).partition(b"\n")
    header, _, rest = rest.partition(b"\n")
    names = header.decode("utf-8", "replace").split()
    if not count.strip().isdigit() or not names:
        raise SordineError(f"{path} must begin with the number of pictures and a line of attributes")
    table = _fields(path, _single_spaced(rest), " ", ["image_id", *names], offset=2)
    if table.num_rows != int(count):
        raise SordineError(f"{path} line 1: {int(count)} pictures are announced, but {table.num_rows} are listed")
    return table, 3


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes().removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n")
    except OSError as error:
        raise SordineError(f"{path} cannot be read: {error.strerror or error}") from None


def _single_spaced(text: bytes) -> bytes:
    text = text.replace(b"\t", b" ")
    while b"  " in text:
        text = text.replace(b"  ", b" ")
    return text.replace(b" \n", b"\n").replace(b"\n ", b"\n").strip(b" ")


def _fields(path: Path, text: bytes, delimiter: str, names: list[str] | None, offset: int = 0) -> pa.Table:
    """Return lines of fields as a table of text, by Arrow, which takes a tenth of the time of Python's splitting."""
    wrong = []

    def note(row: pa.csv.InvalidRow) -> str:
        wrong.append(row)
        return "skip"

    try:
        header = names or [n.strip() for n in text.partition(b"\n")[0].decode("utf-8").split(delimiter)]
        if len(set(header)) < len(header):
            raise SordineError(f"{path} has two columns of the same name; rename one")
        table = pa.csv.read_csv(
            io.BytesIO(text),
            # One thread, or the number of a wrong line would be missing.
            read_options=pa.csv.ReadOptions(column_names=header, skip_rows=0 if names else 1, use_threads=False),
            parse_options=pa.csv.ParseOptions(delimiter=delimiter, quote_char=False, invalid_row_handler=note),
            convert_options=pa.csv.ConvertOptions(
                column_types=dict.fromkeys(header, pa.string()), strings_can_be_null=False
            ),
        )
    except (pa.ArrowException, UnicodeDecodeError) as error:
        raise SordineError(f"{path} cannot be read: {(str(error).splitlines() or ['not text'])[0]}") from None
    if wrong:
        row = wrong[0]
        at = f" line {row.number + offset}" if row.number is not None else ""
        raise SordineError(f"{path}{at}: {row.actual_columns} fields, {row.expected_columns} expected")
    return table


def _yes_or_no(column: pa.ChunkedArray, name: str, path: Path, offset: int) -> pa.ChunkedArray:
    bare = pc.utf8_trim_whitespace(column)
    at = pc.index(pc.is_in(bare, pa.array(["1", "-1"])), False).as_py()
    if at >= 0:
        raise SordineError(f"{path} line {at + offset}: {name} is {bare[at].as_py()!r}, not 1 or -1")
    return pc.if_else(pc.equal(bare, "1"), "yes", "no")


def _looked_up(path: Path, names: pa.ChunkedArray, what: str) -> pa.ChunkedArray:
    """Return the value of each picture in a file of two columns."""
    if path.suffix == ".csv":
        table = _fields(path, _bytes(path), ",", None)
    else:
        table = _fields(path, _single_spaced(_bytes(path)), " ", ["image_id", what])
    if table.num_columns != 2:
        raise SordineError(f"{path} has {table.num_columns} columns; it must have two, the picture and its {what}")
    at = pc.index_in(names, table[0].combine_chunks())
    if at.null_count:
        first = names[pc.index(pc.is_null(at), True).as_py()].as_py()
        raise SordineError(f"{path} does not list {first} ({at.null_count} of {len(names)} pictures are not listed)")
    return table[1].take(at)


def _hair(records: pa.Table) -> tuple[pa.Table, str]:
    has = [pc.equal(records[name], "yes") for name in HAIR]
    number = pc.cast(has[0], pa.int8())
    for flag in has[1:]:
        number = pc.add(number, pc.cast(flag, pa.int8()))
    colour = pa.chunked_array([pa.array([""] * len(records), pa.string())])
    for flag, word in zip(has, HAIR.values(), strict=True):
        colour = pc.if_else(flag, word, colour)
    single = records.append_column("hair_colour", colour).filter(pc.equal(number, 1))
    left_out = len(records) - len(single)
    return single, f"{left_out} pictures are left out: they have none or several of the four hair colours."

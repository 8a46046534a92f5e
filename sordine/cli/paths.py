"""Check the paths of a command before any work starts."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations
from pathlib import Path

from sordine.data.files import check_writable, refuse_existing
from sordine.errors import SordineError

# The files that mark a folder as written by Sordine. --force replaces only such a folder, or an empty one.
MARKS = ("modifier.json", "manifest.json")


def check_output(output: Path, force: bool, *inputs: Path | None, directory: bool = False) -> None:
    """Check that an output can be written.

    Parameters
    ----------
    output
        The file or folder to write.
    force
        Whether an existing output may be replaced.
    inputs
        The inputs of the command; the output must not be, contain or lie in one of them.
    directory
        Whether the output is a folder.

    Raises
    ------
    SordineError
        If the output exists and `force` is not given, is or contains an input, is a folder that Sordine did not write,
        or lies in a folder that cannot be written.
    """
    refuse_existing(output, force)
    whole = output.resolve()
    for path in inputs:
        if path is None:
            continue
        if whole == path.resolve() or path.resolve().is_relative_to(whole):
            raise SordineError(f"{output} is or contains an input of this command ({path}); choose another output")
        if output.exists() and path.is_dir() and whole.is_relative_to(path.resolve()):
            raise SordineError(f"{output} lies in an input of this command ({path}); choose another output")
    if output.is_dir():
        if not directory:
            raise SordineError(f"{output} is a folder; give the name of a file")
        if any(output.iterdir()) and not any((output / name).is_file() for name in MARKS):
            raise SordineError(
                f"{output} is a folder that Sordine did not write, so it is not replaced; choose another"
            )
    elif output.exists() and directory:
        raise SordineError(f"{output} is a file; give the name of a folder")
    check_writable(output.absolute().parent)


def check_pdf(output: Path | None) -> None:
    """Check that a PDF can be made, where one is wanted. Raises SordineError where WeasyPrint is missing."""
    if output is not None:
        from sordine.evaluation.page.pdf import check_pdf as check

        check()


def check_distinct(outputs: Mapping[str, Path | None]) -> None:
    """Check that no two outputs are the same path and none lies in another. `outputs`: what names each -> its path."""
    places = {option: path for option, path in outputs.items() if path is not None}
    for pair in combinations(places.items(), 2):
        (first, path), (second, other) = pair
        if path.resolve() == other.resolve():
            raise SordineError(f"{first} and {second} both name {path}; choose different paths")
        for (inner, small), (outer, large) in (pair, pair[::-1]):
            if small.resolve().is_relative_to(large.resolve()):
                raise SordineError(f"{inner} names {small}, which lies in {large} ({outer}); choose another path")


def check_table(source: Path) -> None:
    """Check that a path is a file, or a folder of Parquet parts.

    Raises
    ------
    SordineError
        If it does not exist or is a folder; for a folder, with the `extract` command that makes a table of it.
    """
    if not source.is_dir():
        if not source.exists():
            raise SordineError(f"{source} does not exist")
        return
    from sordine.data.reading.files import is_table_file, parts_in

    if parts_in(source):
        return
    from sordine.data.media.kinds import kind_of
    from sordine.features.choice import suggested

    files = sorted(p for p in source.iterdir() if p.is_file() and not p.name.startswith("."))
    tables = [p for p in files if is_table_file(p) and p.stem != "metadata"]
    make = f"sordine extract {source} --extractor"
    found = (kind_of(str(p)) for p in [*files, *source.glob("*/*")])
    kinds = {kind for kind in found if kind is not None}
    if any(p.stem == "metadata" for p in files) or kinds:
        hint = f"make a table of it first: {make} {suggested(kinds)} -o TABLE.parquet"
    elif len(tables) == 1:
        hint = (
            f"give the table in it ({tables[0]}), or make a table of vectors: {make} {suggested(None)} -o TABLE.parquet"
        )
    else:
        hint = "give one Parquet or CSV file"
    raise SordineError(f"{source} is a folder; {hint}")


def check_two_tables(table: Path, transformed: Path) -> None:
    """Check that both inputs of an audit are files."""
    from sordine.data.reading.files import parts_in

    for folder, file in ((table, transformed), (transformed, table)):
        if folder.is_dir() and file.is_file() and not parts_in(folder):
            raise SordineError(
                f"{folder} is a folder and {file} is a file; an audit compares two tables or two media folders"
            )
    if table.is_dir() and transformed.is_dir() and not (parts_in(table) and parts_in(transformed)):
        raise SordineError(
            f"{table} and {transformed} are folders; give the extractor for their files with --extractor"
        )
    check_table(table)
    check_table(transformed)


def check_two_folders(table: Path, transformed: Path) -> None:
    """Check that both inputs of an audit with --extractor are folders."""
    for path in (table, transformed):
        if not path.exists():
            raise SordineError(f"{path} does not exist")
        if not path.is_dir():
            raise SordineError(f"{path} is a file, but --extractor compares two media folders; leave out --extractor")


def check_modifier(folder: Path) -> None:
    """Check that a path is a modifier's folder."""
    if not (folder / "modifier.json").is_file() and not folder.is_dir():
        raise SordineError(f"{folder} is not a modifier; give the folder that sordine fit wrote")

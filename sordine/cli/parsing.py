"""What stands on the command line, read and checked before any work starts."""

from __future__ import annotations

import csv
import shlex
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sordine.data.files import check_writable, refuse_existing
from sordine.errors import SordineError
from sordine.policy import ALL_OTHERS, Policy

if TYPE_CHECKING:
    from sordine.cli.console import Console
    from sordine.data.table import Table
    from sordine.evaluation.report import Report
    from sordine.models.modifier import Modifier
    from sordine.models.training import Views

# What tells a directory of ours: only such a one, or an empty one, is replaced by --force.
OURS = ("modifier.json", "manifest.json")


def names(values: Sequence[str] | None, table: Path | None = None) -> tuple[str, ...]:
    """Names given as -s a -s b or as -s a,b; `none` and the empty string are no name. What the table has a column of is one name, though
    it hold a comma or a blank at an end."""
    odd = any("," in value or value != value.strip() for value in values or ())
    known = columns(table) if odd and table is not None else ()
    parts = ([value] if value in known else value.split(",") for value in values or ())
    found = tuple(n if n in known else n.strip() for part in parts for n in part if n.strip())
    return () if found == ("none",) else found


def columns(table: Path) -> tuple[str, ...]:
    """The names of a table's columns; none where it cannot be read, which is said later."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not table.is_file():
        return ()
    try:
        if table.suffix.lower() != ".csv":
            return tuple(pq.read_schema(table).names)
        with table.open(newline="", encoding="utf-8-sig") as file:
            return tuple(next(csv.reader(file), ()))
    except (pa.ArrowInvalid, OSError, ValueError, csv.Error):
        return ()


def integers(values: Sequence[str] | None, option: str) -> tuple[int, ...]:
    """Whole numbers given like names."""
    try:
        return tuple(int(n) for n in names(values))
    except ValueError:
        raise SordineError(f"{option} takes whole numbers, not {' '.join(values or ())!r}") from None


def fields(values: Sequence[str] | None) -> dict[str, str]:
    """--set FIELD=VALUE, repeated, as a mapping."""
    found: dict[str, str] = {}
    for value in values or ():
        name, equals, setting = value.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or not name:
            raise SordineError(f"--set takes FIELD=VALUE, not {value!r}")
        if name in found:
            raise SordineError(f"--set {name} is given twice")
        found[name] = setting.strip()
    return found


def policy(
    suppress: Sequence[str] | None,
    preserve: Sequence[str] | None,
    watch: Sequence[str] | None,
    table: Path | None = None,
) -> Policy:
    """The policy of -s, -p and -w; without -w everything else is watched. table: whose columns are named."""
    return Policy(names(suppress, table), names(preserve, table), ALL_OTHERS if watch is None else names(watch, table))


def policy_of_audit(asked: Policy, modifier: Modifier | None, note: Mapping[str, Any]) -> Policy:
    """The policy to audit: as asked, else the modifier's, else what the transformed file says of itself."""
    if asked.suppress or asked.preserve:
        return asked
    written = modifier.card.policy if modifier is not None else note.get("policy")
    if not written:
        raise SordineError("name what was suppressed with -s (and preserved with -p), or give --modifier")
    suppress, preserve = (tuple(written.get(role, ())) for role in ("suppress", "preserve"))
    return Policy(suppress, preserve, asked.watch)


def watched(policy: Policy, known: Sequence[str], modifier: Modifier | None, note: Mapping[str, Any]) -> Policy:
    """What the policy of the fit watches of the known attributes, where nobody said otherwise (-w); all others where it watches none of them."""
    written = (modifier.card.policy if modifier is not None else note.get("policy")) or {}
    own = tuple(a for a in written.get("watch", ()) if a in known and a not in (*policy.suppress, *policy.preserve))
    return policy if policy.watch != ALL_OTHERS or not own else Policy(policy.suppress, policy.preserve, own)


def ready(output: Path, force: bool, *inputs: Path | None, directory: bool = False) -> None:
    """Raise SordineError where `output` cannot or must not be written: before any work, not after.

    It exists and `force` was not given; it is, holds or is a part of one of the inputs; it is a folder that is not ours to replace;
    its folder cannot be written.
    """
    refuse_existing(output, force)
    whole = output.absolute()
    for path in inputs:
        if path is not None and (path.resolve() == output.resolve() or path.resolve().is_relative_to(output.resolve())):
            raise SordineError(f"{output} is or holds an input of this command ({path}): choose another output")
        if path is not None and output.exists() and path.is_dir() and output.resolve().is_relative_to(path.resolve()):
            raise SordineError(f"{output} is a part of an input of this command ({path}): choose another output")
    if output.is_dir():
        if not directory:
            raise SordineError(f"{output} is a folder; name a file")
        if any(output.iterdir()) and not any((output / name).is_file() for name in OURS):
            raise SordineError(f"{output} is a folder that Sordine did not write: it is not replaced")
    elif output.exists() and directory:
        raise SordineError(f"{output} is a file; name a folder")
    check_writable(whole.parent)


def apart(outputs: Mapping[str, Path | None]) -> None:
    """Raise SordineError where two places that are written to (what names each -> the place) are one, or one lies in the other."""
    places = {option: path for option, path in outputs.items() if path is not None}
    for pair in combinations(places.items(), 2):
        (one, path), (other, second) = pair
        if path.resolve() == second.resolve():
            raise SordineError(f"{one} and {other} both name {path}: name another place")
        for (inner, small), (outer, large) in (pair, pair[::-1]):
            if small.resolve().is_relative_to(large.resolve()):
                raise SordineError(f"{inner} names {small}, which lies in {large} ({outer}): name another place")


def is_table(source: Path) -> None:
    """Raise SordineError where a table file is wanted and this is not one, saying which `extract` makes one of it."""
    if not source.is_dir():
        if not source.exists():
            raise SordineError(f"{source} does not exist")
        return
    from sordine.data.media.kinds import kind_of

    files = sorted(p for p in source.iterdir() if p.is_file() and not p.name.startswith("."))
    tables = [p for p in files if p.suffix in (".parquet", ".csv") and p.stem != "metadata"]
    make = f"sordine extract {source} --extractor"
    kinds = {kind_of(str(p)) for p in [*files, *source.glob("*/*")]} - {None}
    if any(p.stem == "metadata" for p in files) or kinds:
        suited = "encoder" if kinds and "audio" not in kinds else "logmel"
        hint = f"make a table of it first: {make} {suited} -o TABLE.parquet"
    elif len(tables) == 1:
        hint = f"give the table in it ({tables[0]}), or make one of vectors first: {make} columns -o TABLE.parquet"
    else:
        hint = "a table is one Parquet or CSV file"
    raise SordineError(f"{source} is a folder; {hint}")


def two_folders(
    table: Path,
    transformed: Path,
    extractor: str | None,
    modifier: Path | None,
    media: Path | None,
    media_after: Path | None,
) -> bool:
    """Whether an audit is of two media folders, read through --extractor; of two tables else.

    Raises SordineError where it is neither, or where an option belongs to the other.
    """
    if extractor is None:
        for one, other in ((table, transformed), (transformed, table)):
            if one.is_dir() and other.is_file():
                raise SordineError(
                    f"{one} is a folder and {other} is a file: an audit compares two tables, or two media folders"
                )
        if table.is_dir() and transformed.is_dir():
            raise SordineError(
                f"{table} and {transformed} are folders: name what turns their files into vectors with --extractor"
            )
        is_table(table)
        is_table(transformed)
        if media_after is not None and media is None:
            raise SordineError("--media-after is shown beside the originals: name their folder with --media")
        return False
    for path in (table, transformed):
        if not path.exists():
            raise SordineError(f"{path} does not exist")
        if not path.is_dir():
            raise SordineError(f"--extractor compares two media folders, and {path} is a file")
    for option, given in (("--modifier", modifier), ("--media", media), ("--media-after", media_after)):
        if given is not None:
            raise SordineError(f"{option} is for tables; TABLE and TRANSFORMED are folders here")
    return True


def media_of_release(media: Path | None, table: Path | None, layout: str | None) -> None:
    """Raise SordineError where only one of --media and --table is given, or --layout without them."""
    if (media is None) != (table is None):
        raise SordineError(
            "--media and --table belong together: the folder of the substitutes, and its table of vectors"
        )
    if table is not None:
        is_table(table)
    elif layout is not None:
        raise SordineError("--layout says how --media is laid out; name that")


def tell(found: Report, people: Console) -> None:
    """The verdict, in words, and what matching with the originals gives, where that was tried."""
    from sordine.evaluation.sections.harder_sentences import linkage_says

    people.say(found.verdict.title)
    for sentence in found.verdict.sentences:
        people.say(f"  {sentence}")
    if found.linkage:
        people.say(f"  {linkage_says(found.linkage)}")


def audit_command(
    table: Path,
    transformed: Path,
    policy: Policy,
    modifier: Path | None,
    budget: Any,
    max_leakage: float | None,
    outputs: Mapping[str, Path | None],
    options: Sequence[str] = (),
) -> str:
    """The command that makes a report again. outputs: option -> file. With files by their names: a page that is shown names no folder of its owner."""
    said = ["sordine", "audit", table.name, transformed.name]
    for option, (_, names) in zip(("-s", "-p", "-w"), policy.roles(), strict=True):
        if any("," in name for name in names):
            said += [part for name in names for part in (option, name)]
        elif names or option == "-w":
            said += [option, ",".join(names) or "none"]
    if modifier is not None:
        said += ["--modifier", f"{modifier.name}/"]
    said += ["--budget", budget.name]
    for option, values in (("--family", budget.families), ("--setting", budget.settings), ("--seed", budget.seeds)):
        said += [option, ",".join(map(str, values))]
    said += ["--folds", str(budget.folds), "--max-records", str(budget.max_records)]
    if max_leakage is not None:
        said += ["--max-leakage", f"{max_leakage:g}"]
    written = [part for option, file in outputs.items() if file is not None for part in (option, file.name)]
    return shlex.join([*said, *options, *written])


def raw_views(table: Path, folder: Path | None, layout: str | None, people: Console) -> Callable[[Table], Views] | None:
    """What makes a method's views of the raw media; None where no folder is named."""
    if folder is None:
        return None
    from sordine.features.augmentation.raw_views import raw_views as make

    return make(table, folder, layout=layout, log=people.log, progress=people.progress)

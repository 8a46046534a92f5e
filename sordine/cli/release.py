"""The command `release`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sordine.cli import parsing, paths
from sordine.cli.options import Common, Force, KeyFile, Layout, LayoutOptions, Workers
from sordine.cli.signature import takes
from sordine.errors import SordineError
from sordine.run import Run

if TYPE_CHECKING:
    from sordine.keys import Key

EXAMPLES = (
    "sordine release transformed.parquet --report report.json -o release",
    "sordine release transformed.parquet --media voices --table voices.parquet -o release",
    "sordine release transformed.parquet --withhold tail.parquet -o release",
)


@dataclass(frozen=True, kw_only=True)
class ReleaseOptions(Common):
    """The options of `release`."""

    transformed: Annotated[Path, typer.Argument(metavar="TRANSFORMED", help="The table that sordine transform wrote.")]
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="The folder to write; it is all that may be shared.")
    ]
    key: KeyFile = None
    modifier: Annotated[
        Path | None, typer.Option("--modifier", metavar="MODIFIER", help="The modifier whose key to use.")
    ] = None
    report: Annotated[Path | None, typer.Option("--report", metavar="REPORT.json", help="The audit's report.")] = None
    media: Annotated[
        Path | None,
        typer.Option("--media", metavar="FOLDER", help="Release copies of this folder's files instead of vectors."),
    ] = None
    table: Annotated[
        Path | None, typer.Option("--table", metavar="TABLE", help="The table of vectors of the files in --media.")
    ] = None
    pictures: Annotated[bool, typer.Option("--pictures", help="Release transformed pictures as files.")] = False
    layout: Layout = None
    layout_options: LayoutOptions = None
    despite_findings: Annotated[bool, typer.Option("--despite-findings", help="Release even if the audit failed.")] = (
        False
    )
    withhold: Annotated[
        Path | None,
        typer.Option(
            "--withhold",
            metavar="FILE",
            help="Leave out the records that `sordine audit --tail FILE` lists as inferred.",
        ),
    ] = None
    workers: Workers = 2
    force: Force = False


@takes(ReleaseOptions)
def release(given: ReleaseOptions) -> None:
    """Make the folder that may be shared from a transformed table."""
    _check(given)
    from sordine.data.table_io import TableFile
    from sordine.evaluation.report_json import read_report
    from sordine.workflow import pipeline
    from sordine.workflow.release.manifest import may_be_shared

    options = pipeline.ReleaseOptions(
        given.media,
        given.table,
        given.layout,
        parsing.assignments(given.layout_options, "--layout-option"),
        given.pictures,
        given.despite_findings,
        given.withhold,
    )
    with given.console() as console:
        TableFile(given.transformed)
        run = Run(key=_key(given), progress=console.progress, workers=given.workers)
        report = None if given.report is None else read_report(given.report)
        pipeline.release(given.transformed, given.output, options, run, report=report, force=given.force)
        console.say(f"{given.output}: {may_be_shared(report)}")


def _check(given: ReleaseOptions) -> None:
    inputs = (given.transformed, given.report, given.key, given.media, given.table, given.withhold)
    paths.check_output(given.output, given.force, *inputs, directory=True)
    paths.check_table(given.transformed)
    if given.withhold is not None:
        paths.check_table(given.withhold)
    if given.pictures and (given.media is not None or given.table is not None):
        raise SordineError(
            "--pictures cannot be combined with --media: a release contains transformed pictures or copies of files"
        )
    if (given.media is None) != (given.table is None):
        raise SordineError("--media and --table need each other: give the folder of files and its table of vectors")
    if given.table is not None:
        paths.check_table(given.table)
    elif given.layout is not None:
        raise SordineError("--layout describes the folder of --media; give --media too")


def _key(given: ReleaseOptions) -> Key:
    from sordine.data.table_io import read_note
    from sordine.workflow.key_files import key_by_fingerprint, key_of_modifier

    if given.key is not None or given.modifier is not None:
        return key_of_modifier(given.modifier or given.transformed, given.key)
    fingerprint = read_note(given.transformed, "sordine.transform").get("key")
    if fingerprint is None:
        raise SordineError(f"{given.transformed} was not written by sordine transform; give the table that it wrote")
    return key_by_fingerprint(given.transformed.absolute().parent, fingerprint)

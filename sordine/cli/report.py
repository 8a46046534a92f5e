"""The command `report`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from sordine.cli import paths
from sordine.cli.options import Common, Force, Pdf
from sordine.cli.signature import takes
from sordine.errors import SordineError

EXAMPLES = (
    "sordine report report.json --pdf report.pdf",
    "sordine report report.json --assessment assessment.md",
)


@dataclass(frozen=True, kw_only=True)
class ReportOptions(Common):
    """The options of `report`."""

    report: Annotated[Path, typer.Argument(metavar="REPORT.json", help="A report of sordine audit.")]
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="REPORT.html", help="The report as a page.")
    ] = None
    pdf: Pdf = None
    assessment: Annotated[
        Path | None,
        typer.Option(
            "--assessment",
            metavar="FILE.md",
            help="A section of an impact assessment with the report's figures, to be completed.",
        ),
    ] = None
    force: Force = False


@takes(ReportOptions)
def report(given: ReportOptions) -> None:
    """Write the page, the PDF or an assessment of a report."""
    outputs = {"-o": given.output, "--pdf": given.pdf, "--assessment": given.assessment}
    if not any(outputs.values()):
        raise SordineError("nothing to write: give -o REPORT.html, --pdf FILE.pdf or --assessment FILE.md")
    paths.check_distinct(outputs)
    paths.check_pdf(given.pdf)
    if given.assessment is not None and given.assessment.suffix.lower() != ".md":
        raise SordineError(f"--assessment: {given.assessment} is not a Markdown file; give a name that ends with .md")
    for path in outputs.values():
        if path is not None:
            paths.check_output(path, given.force, given.report)
    from sordine.data.files import atomic
    from sordine.evaluation.page.assessment import assessment
    from sordine.evaluation.report_json import read_report, to_json, values_of, write_report

    with given.console() as console:
        found = read_report(given.report)
        with values_of(given.report):
            write_report(found, given.output, pdf=given.pdf, force=given.force)
        if given.assessment is not None:
            with values_of(given.report), atomic(given.assessment, force=given.force) as temporary:
                temporary.write_text(assessment(found, to_json(found)), encoding="utf-8")
        for option, path in outputs.items():
            if path is not None:
                console.say(f"{path}: the {'assessment' if option == '--assessment' else 'report'}")

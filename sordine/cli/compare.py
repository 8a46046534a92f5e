"""The command `compare`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sordine.cli import paths
from sordine.cli.options import Common, Force, Pdf
from sordine.cli.signature import takes
from sordine.errors import SordineError

if TYPE_CHECKING:
    from sordine.evaluation.report import Comparison, Point

EXAMPLES = ("sordine compare transport.json noise.json -o comparison.html",)


@dataclass(frozen=True, kw_only=True)
class CompareOptions(Common):
    """The options of `compare`."""

    reports: Annotated[
        list[Path], typer.Argument(metavar="REPORT.json ...", help="Two or more reports of sordine audit.")
    ]
    output: Annotated[Path | None, typer.Option("-o", "--output", metavar="PAGE.html", help="The page to write.")] = (
        None
    )
    pdf: Pdf = None
    attribute: Annotated[
        str | None,
        typer.Option(
            "--attribute",
            metavar="NAME",
            help="The attribute whose leakage is compared. [default: the first that all reports suppress]",
        ),
    ] = None
    utility: Annotated[
        str | None,
        typer.Option(
            "--utility",
            metavar="NAME",
            help="The attribute whose utility is compared; or neighbours, recall, cka or explained, which need none. "
            "[default: the mean of those that all reports preserve]",
        ),
    ] = None
    force: Force = False


@takes(CompareOptions)
def compare(given: CompareOptions) -> None:
    """Compare reports by leakage and utility."""
    _check(given)
    from sordine.data.files import atomic_together
    from sordine.evaluation.comparison import compare as compare_reports
    from sordine.evaluation.page.pdf import to_pdf
    from sordine.evaluation.page.tradeoff_plot import comparison_page
    from sordine.evaluation.report_json import read_report, values_of

    with given.console() as console:
        named = list(zip(_titles(given.reports), map(read_report, given.reports), strict=True))
        with values_of(*given.reports):
            found = compare_reports(named, given.attribute, given.utility, watched=True)
        for note in found.notes:
            console.log(note.replace("`", "'"))
        for line in comparison_lines(found):
            console.say(line)
        page = comparison_page(found)
        wanted = [(path, make) for path, make in ((given.output, str.encode), (given.pdf, to_pdf)) if path is not None]
        with values_of(*given.reports), atomic_together(*(path for path, _ in wanted), force=given.force) as temporary:
            for path, (_, make) in zip(temporary, wanted, strict=True):
                path.write_bytes(make(page))
        for path, _ in wanted:
            console.say(f"{path}: the comparison")


def _check(given: CompareOptions) -> None:
    paths.check_pdf(given.pdf)
    paths.check_distinct({"-o": given.output, "--pdf": given.pdf})
    for path in (given.output, given.pdf):
        if path is not None:
            paths.check_output(path, given.force, *given.reports)
    if len(given.reports) < 2:
        raise SordineError("a comparison needs two reports or more")
    for i, path in enumerate(given.reports):
        if any(path.resolve() == other.resolve() for other in given.reports[:i]):
            raise SordineError(f"{path} is given twice; give each report once")


def comparison_lines(found: Comparison) -> list[str]:
    """Return the points of a comparison, one per line; * marks those that no other point beats in both figures."""
    from sordine.evaluation.comparison import settings
    from sordine.evaluation.page.tradeoff_plot import UNLIKE, useful

    lines = [UNLIKE, *found.differ] if found.differ else []
    mark = "none is marked as undominated" if found.differ else "* marks the undominated"
    lines.append(f"leakage of {found.attribute} against utility ({useful(found)}); {mark}")
    for curve in found.curves:
        for point in curve.points:
            what = settings(curve, point)
            title = curve.method if what == curve.method else f"{curve.method}, {what}"
            lines.append(f"  {'*' if point.front else ' '} {title}: {figures(point)}")
    return lines


def figures(point: Point) -> str:
    """Return the leakage of a point, its utility, and the utility that needs no attribute, with their intervals."""
    from sordine.evaluation.page.charts import clipped, span

    return ", ".join(
        f"{word} {clipped(value)}" + (f" ({span(low, high)})" if low is not None else "")
        for word, value, low, high in (
            ("leakage", point.leakage, point.leakage_low, point.leakage_high),
            ("utility", point.utility, point.utility_low, point.utility_high),
            *((word, *figures) for word, figures in point.geometry.items()),
        )
    )


def _titles(paths: Sequence[Path]) -> list[str]:
    """Return the shortest title of each path that distinguishes all: its name, its folder's name, or both."""
    whole = [path.resolve() for path in paths]
    for titles in (
        [path.stem for path in whole],
        [path.parent.name for path in whole],
        [f"{path.parent.name}/{path.stem}" for path in whole],
    ):
        if len(set(titles)) == len(titles) and all(titles):
            return titles
    return [f"{path.stem} {i}" for i, path in enumerate(whole, 1)]

"""The command `compare`: reports side by side, as lines and as a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from sordine.cli import parsing as given
from sordine.cli.console import Console
from sordine.cli.exit_codes import DONE
from sordine.cli.options import Force, Quiet
from sordine.errors import SordineError


def compare(
    reports: Annotated[list[Path], typer.Argument(metavar="REPORT.json ...", help="Reports of sordine audit.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", metavar="PAGE.html")] = None,
    attribute: Annotated[
        str | None, typer.Option("--attribute", metavar="NAME", help="Whose leakage. [the first that all suppress]")
    ] = None,
    utility: Annotated[
        str | None, typer.Option("--utility", metavar="NAME", help="Whose utility. [the mean of what all preserve]")
    ] = None,
    force: Force = False,
    quiet: Quiet = False,
) -> int:
    """Set reports side by side: leakage against utility."""
    if output is not None:
        given.ready(output, force, *reports)
    if len(reports) < 2:
        raise SordineError("a comparison takes two reports or more")
    for i, path in enumerate(reports):
        if any(path.resolve() == other.resolve() for other in reports[:i]):
            raise SordineError(f"{path} is given twice")
    from sordine.data.files import atomic
    from sordine.evaluation.comparison import compare as side_by_side
    from sordine.evaluation.comparison import settings
    from sordine.evaluation.page.charts import clipped, span
    from sordine.evaluation.page.tradeoff_plot import UNLIKE, comparison_page, useful
    from sordine.evaluation.report_file import read_report

    with Console(quiet=quiet) as people:
        named = list(zip(_names(reports), map(read_report, reports), strict=True))
        found = side_by_side(named, attribute, utility, watched=True)
        for note in found.notes:
            people.log(note.replace("`", "'"))
        for line in (UNLIKE, *found.differ) if found.differ else ():
            people.say(line)
        ranked = "none is marked as undominated" if found.differ else "* marks the undominated"
        people.say(f"leakage of {found.attribute} against utility ({useful(found)}); {ranked}")
        for curve in found.curves:
            for p in curve.points:
                what = settings(curve, p)
                title = curve.method if what == curve.method else f"{curve.method}, {what}"
                said = [
                    f"{word} {clipped(value)}" + (f" ({span(low, high)})" if low is not None else "")
                    for word, value, low, high in (
                        ("leakage", p.leakage, p.leakage_low, p.leakage_high),
                        ("utility", p.utility, p.utility_low, p.utility_high),
                    )
                ]
                people.say(f"  {'*' if p.front else ' '} {title}: {', '.join(said)}")
        if output is not None:
            with atomic(output, force=force) as temporary:
                temporary.write_text(comparison_page(found), encoding="utf-8")
            people.say(f"{output}: the comparison")
        return DONE


def _names(paths: Sequence[Path]) -> list[str]:
    """The least of each path that tells it from the others: its name, or that of the folder around it, or both."""
    whole = [path.resolve() for path in paths]
    for names in (
        [path.stem for path in whole],
        [path.parent.name for path in whole],
        [f"{path.parent.name}/{path.stem}" for path in whole],
    ):
        if len(set(names)) == len(names) and all(names):
            return names
    return [f"{path.stem} {i}" for i, path in enumerate(whole, 1)]

"""The command line: the Typer application and its entry point. Each command imports what it needs when it runs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from sordine.cli import (
    audit,
    cache,
    compare,
    demo,
    extract,
    fit,
    inspect,
    obscure,
    protect,
    release,
    report,
    run,
    sweep,
    transform,
)
from sordine.cli.exit_codes import guarded

app = typer.Typer(
    help="Remove chosen attributes from a data set, keep the rest useful, and report what an attacker can still infer.",
    epilog="Several attributes: -s a -s b or -s a,b. Help on a command: sordine COMMAND --help.",
    add_completion=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:
    if asked:
        from sordine.cli.version import version

        print(f"sordine {version()}")
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass


def _add(command: Callable[..., Any], examples: Sequence[str]) -> None:
    """Add a command with its examples at the end of its help. The mark \\b prevents wrapping."""
    lines = "\n".join(f"  {example}" for example in examples)
    title = "Example:" if len(examples) == 1 else "Examples:"
    app.command(epilog=f"\b\n{title}\n{lines}")(command)


_add(protect.protect, protect.EXAMPLES)
_add(inspect.inspect, inspect.EXAMPLES)
_add(demo.demo, demo.EXAMPLES)
_add(run.run, run.EXAMPLES)
_add(extract.extract, extract.EXAMPLES)
_add(fit.fit, fit.EXAMPLES)
_add(transform.transform, transform.EXAMPLES)
_add(audit.audit, audit.EXAMPLES)
_add(report.report, report.EXAMPLES)
_add(release.release, release.EXAMPLES)
_add(sweep.sweep, sweep.EXAMPLES)
_add(compare.compare, compare.EXAMPLES)
_add(obscure.obscure, obscure.EXAMPLES)
_add(cache.cache, cache.EXAMPLES)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code (see `sordine.cli.exit_codes`)."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    return guarded(lambda: app(words or ["--help"], standalone_mode=False, prog_name="sordine"))

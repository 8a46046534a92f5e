"""The command `obscure`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from sordine.cli import parsing, paths
from sordine.cli.options import Common, Layout, LayoutOptions, ObscureOptions, SkipBad, Workers
from sordine.cli.signature import takes

EXAMPLES = ("sordine obscure faces blur --option kernel=9 --option sigma=3 -o blurred",)


@dataclass(frozen=True, kw_only=True)
class ObscureCommandOptions(Common):
    """The options of `obscure`."""

    source: Annotated[Path, typer.Argument(metavar="FOLDER", help="A media folder.")]
    style: Annotated[str, typer.Argument(metavar="STYLE", help="blur, downsample, cover_face, white_noise or mask.")]
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="The folder to write, with the same file names.")
    ]
    options: ObscureOptions = None
    key: Annotated[
        Path | None,
        typer.Option("--key", metavar="FILE", help="The key file for random styles. [default: DIR.key]"),
    ] = None
    layout: Layout = None
    layout_options: LayoutOptions = None
    skip_bad: SkipBad = False
    workers: Workers = 2


@takes(ObscureCommandOptions)
def obscure(given: ObscureCommandOptions) -> None:
    """Obscure media files without training, as a baseline."""
    paths.check_output(given.output, False, given.source, given.key, directory=True)
    from sordine.data.layouts.registry import open_media
    from sordine.data.media.obscure.folder import check, obscure_folder
    from sordine.data.media.obscure.styles import STYLES
    from sordine.run import Run
    from sordine.workflow.key_files import key_for_fit

    options = parsing.assignments(given.options)
    tool = STYLES.make(given.style, options)
    with given.console() as console:
        media = open_media(given.source, given.layout, parsing.assignments(given.layout_options, "--layout-option"))
        check(media, given.output, given.style, tool)
        with key_for_fit(given.output, given.key, console.log) as key:
            done = obscure_folder(
                media,
                given.output,
                given.style,
                options,
                skip_bad=given.skip_bad,
                run=Run(key=key, workers=given.workers, progress=console.progress),
            )
        console.say(f"{given.output}: {done.files:,} obscured files")

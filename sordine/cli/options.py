"""The options and arguments that several commands have, each with its help."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Names = list[str] | None
Source = Annotated[Path, typer.Argument(metavar="TABLE", help="A Parquet or CSV table.")]
Suppress = Annotated[
    Names, typer.Option("-s", "--suppress", metavar="NAMES", help="Attributes that must become unreadable.")
]
Preserve = Annotated[
    Names, typer.Option("-p", "--preserve", metavar="NAMES", help="Attributes that must stay readable.")
]
Watch = Annotated[
    Names,
    typer.Option("-w", "--watch", metavar="NAMES", help="Attributes to watch besides; 'none' for none. [all others]"),
]
Features = Annotated[
    Names, typer.Option("--features", metavar="COLUMNS", help="The feature column, or the channel columns.")
]
Settings = Annotated[Names, typer.Option("--set", metavar="FIELD=VALUE", help="Set one field; repeat for more.")]
KeyFile = Annotated[Path | None, typer.Option("--key", help="The key file. [MODIFIER.key beside the modifier]")]
Workers = Annotated[int, typer.Option("--workers", min=1, help="Threads; the result does not depend on it.")]
Device = Annotated[str, typer.Option("--device", help="cpu, cuda or cuda:N.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Leave out files that cannot be decoded.")]
Layout = Annotated[str | None, typer.Option("--layout", help="The data set whose layout the folder has. [found out]")]
LayoutSettings = Annotated[
    Names, typer.Option("--layout-set", metavar="FIELD=VALUE", help="Set one option of the layout; repeat for more.")
]
Weights = Annotated[Path | None, typer.Option("--weights", help="A file of weights for the extractor.")]
Force = Annotated[bool, typer.Option("--force", help="Replace what is there.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say only what came of it.")]

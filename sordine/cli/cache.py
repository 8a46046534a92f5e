"""The command `cache`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import typer

from sordine.cli.options import Common
from sordine.cli.signature import takes

EXAMPLES = ("sordine cache", "sordine cache --clear")
UNITS = ("bytes", "KB", "MB", "GB", "TB")


@dataclass(frozen=True, kw_only=True)
class CacheOptions(Common):
    """The options of `cache`."""

    clear: Annotated[bool, typer.Option("--clear", help="Remove everything that no command is writing.")] = False


@takes(CacheOptions)
def cache(given: CacheOptions) -> None:
    """List what the cache folder holds, or clear it."""
    from sordine.data.cache import clear, entries, limit
    from sordine.data.files import cache_folder

    with given.console() as console:
        allowed = limit()
        found = clear() if given.clear else entries()
        for entry in found:
            console.say(f"{in_units(entry.size):>10}  {entry.what}: {entry.path}")
        total = in_units(sum(entry.size for entry in found))
        count = f"{len(found):,} {'entry' if len(found) == 1 else 'entries'}"
        if given.clear:
            console.say(f"removed {count} ({total}) from {cache_folder()}")
        else:
            console.say(f"{cache_folder()}: {count}, {total} of at most {in_units(allowed)}")


def in_units(size: int) -> str:
    """Return a number of bytes as text with at most one decimal, such as "1.5 MB"."""
    value, unit = float(size), 0
    while value >= 1000 and unit < len(UNITS) - 1:
        value, unit = value / 1000, unit + 1
    return f"{value:.0f} {UNITS[unit]}" if unit == 0 else f"{value:.1f} {UNITS[unit]}"

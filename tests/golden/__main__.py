"""Compare the golden values with those of today, or record them anew: `python -m tests.golden [--write]`."""

from __future__ import annotations

import argparse
import sys

from .canonical import differences
from .cases import everything
from .file import GOLDEN, plain, read, write


def main() -> int:
    """Print what differs, and the seconds of each case; 1 where something differs and is not recorded."""
    parser = argparse.ArgumentParser(prog="python -m tests.golden", description=__doc__)
    parser.add_argument("--write", action="store_true", help="record the values of today")
    given = parser.parse_args()
    seconds: dict[str, float] = {}
    found = plain(everything(seconds))
    for name, took in seconds.items():
        print(f"{took:6.2f} s  {name}")
    lines = list(differences(read(), found)) if GOLDEN.exists() else ["nothing is recorded"]
    print("\n".join(lines) or "no difference")
    if given.write:
        write(found)
    return int(bool(lines) and not given.write)


if __name__ == "__main__":
    sys.exit(main())

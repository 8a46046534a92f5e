"""List the licences of what Sordine needs (`make licences`), and write its bill of materials (`make dist`)."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

from benchmarks.harness import markdown_table

UNKNOWN = "unknown"
LONGEST = 60  # characters of a licence field; some packages put the whole text there


def licence(package: Distribution) -> str:
    """Return the licence of a package: its SPDX expression, else its classifiers, else the first line of its field."""
    about = package.metadata
    if expression := about.get("License-Expression"):
        return expression
    names = [c.rpartition(" :: ")[2] for c in about.get_all("Classifier") or () if c.startswith("License ::")]
    field = (about.get("License") or "").strip().splitlines()
    return "; ".join(n for n in names if n != "OSI Approved") or (field[0][:LONGEST] if field else UNKNOWN)


def needed(name: str = "sordine", extras: tuple[str, ...] = ("all",)) -> Iterator[Distribution]:
    """Yield the installed packages that a package needs with these extras, each once."""
    waiting, known = [(name, frozenset(extras))], set()
    while waiting:
        current, with_extras = waiting.pop()
        try:
            found = distribution(current)
        except PackageNotFoundError:  # for another system
            continue
        if (plain(current), with_extras) in known:
            continue
        if plain(current) not in {n for n, _ in known}:
            yield found
        known.add((plain(current), with_extras))
        for line in found.requires or ():
            requirement = Requirement(line)
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in (*with_extras, "")):
                waiting.append((requirement.name, frozenset(requirement.extras)))


def plain(name: str) -> str:
    """Return the name of a package as registries compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def bill_of_materials(folder: Path) -> Path:
    """Write a CycloneDX bill of materials of what Sordine needs into a folder, and return its path.

    `cyclonedx-py` describes the whole environment, tools of development included; only what is needed stays.
    """
    made = subprocess.run(
        ["cyclonedx-py", "environment", sys.executable, "--of", "JSON", "--output-reproducible"],
        check=True,
        capture_output=True,
        text=True,
    )
    whole, names = json.loads(made.stdout), {plain(package.name) for package in needed()}
    whole["components"] = [part for part in whole.get("components", ()) if plain(part["name"]) in names]
    known = {part["bom-ref"] for part in whole["components"]}
    whole["dependencies"] = [
        part | {"dependsOn": [ref for ref in part.get("dependsOn", ()) if ref in known]}
        for part in whole.get("dependencies", ())
        if part["ref"] in known
    ]
    path = folder / f"sordine-{distribution('sordine').version}.cdx.json"
    path.write_text(json.dumps(whole, indent=1) + "\n", encoding="utf-8")
    return path


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table of packages, versions and licences, or write a bill of materials."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dependencies", description=__doc__)
    parser.add_argument("--bom", type=Path, metavar="FOLDER", help="write a bill of materials into this folder instead")
    given = parser.parse_args(arguments)
    if given.bom is not None:
        print(bill_of_materials(given.bom))
        return
    packages = sorted(needed(), key=lambda package: plain(package.name))
    rows = [[p.name, p.version, licence(p)] for p in packages if plain(p.name) != "sordine"]
    print(markdown_table(["package", "version", "licence"], rows), end="")


if __name__ == "__main__":
    main()

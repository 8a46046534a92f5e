"""Write an obscured copy of a media folder, with the same file names, for `sordine audit` to compare."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from sordine.data.files import atomic, refuse_existing
from sordine.data.media.folder import metadata_file
from sordine.data.media.kinds import FILE_NAME, WORDS, Media
from sordine.data.media.obscure.styles import STYLES, Style
from sordine.data.media.write import WRITERS
from sordine.errors import SordineError, pass_on
from sordine.keys import Key
from sordine.run import Run, accepts_run_keywords


@dataclass(frozen=True)
class Obscured:
    """What `obscure_folder` wrote: the number of files, and the bad ones that were left out as (name, reason)."""

    files: int
    skipped: tuple[tuple[str, str], ...]


@accepts_run_keywords
def obscure_folder(
    media: Media,
    output: str | Path,
    style: str,
    options: Mapping[str, Any] | None = None,
    *,
    key: Key | None = None,
    skip_bad: bool = False,
    force: bool = False,
    run: Run | None = None,
) -> Obscured:
    """Write a media folder with the same file names and metadata, every file obscured.

    Formats stay as they are: JPEG is written at quality 100, video as H.264, sound as one channel of 16 bits (24 where
    the original has more). A random style depends on the key, the options and the name of the file alone.

    Parameters
    ----------
    media
        The originals.
    output
        Folder to write.
    style, options
        A name of `STYLES`, and values of its options; text is parsed.
    key
        Key of random styles; by default the key of `run`.
    skip_bad
        Whether unreadable files are left out.
    force
        Whether an existing media folder is replaced.
    run
        Workers, log and progress.

    Raises
    ------
    SordineError
        Where the style does not suit the kind of media, a file is bad and `skip_bad` is not set, or a format cannot be
        written. Nothing is written then.
    """
    run = run or Run()
    key = key or run.key
    tool, output = STYLES.make(style, options), Path(output)
    refuse_existing(output, force)
    check(media, output, style, tool)
    names = list(dict.fromkeys(media.files))
    # The options are part of the purpose: the same noise at two levels would reveal the original.
    purpose = f"obscure {style} {json.dumps(asdict(tool), sort_keys=True)}"  # type: ignore[call-overload]
    with atomic(output, force=force) as folder:
        folder.mkdir()
        bad = _write_files(media, names, folder, tool, (key, purpose), run)
        if bad and (not skip_bad or len(bad) == len(names)):
            what = "bad file" if len(bad) == 1 else "bad files"
            advice = "" if skip_bad else "; use --skip-bad to leave bad files out"
            raise SordineError(f"{next(iter(bad.values()))} ({len(bad)} {what} of {len(names)}){advice}")
        _write_metadata(folder / "metadata.csv", media, bad)
    if bad:
        run.log(f"Left out {len(bad)} bad files of {len(names)}: {', '.join(bad)}")
    return Obscured(len(names) - len(bad), tuple(bad.items()))


def _write_files(
    media: Media, names: Sequence[str], folder: Path, tool: Style, draws: tuple[Key, str], run: Run
) -> dict[str, str]:
    """Write the obscured files and return the reason for each bad one, by name in the order of the folder."""
    key, purpose = draws
    bad: dict[str, str] = {}

    def write(name: str) -> None:
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            draw = partial(_draws, key, purpose, name)
            WRITERS[media.kind].rewrite(media.root / name, target, lambda x: tool.apply(x, draw))
        except SordineError as error:
            pass_on(error)  # a full disk is no bad file
            bad[name] = str(error)

    with ThreadPoolExecutor(max(1, 2 if run.workers is None else run.workers)) as pool:
        for done, _ in enumerate(pool.map(write, names), 1):
            run.step("obscure", done, len(names))
    return {name: bad[name] for name in names if name in bad}


def _draws(key: Key, purpose: str, name: str, count: int) -> np.ndarray:
    """Return uniform numbers that depend on the key, the purpose and the name of a file."""
    return key.uniform(purpose, [name], count)[0]


def check(media: Media, output: Path, style: str, tool: Style) -> None:
    """Check that a style can obscure a folder and that no file is lost.

    Raises
    ------
    SordineError
        Where the style does not suit the kind of media, a file cannot be written in its format, records are frames of
        videos, or the output would replace the originals or something that is no media folder.
    """
    if media.kind not in tool.kinds:
        suited = ", ".join(name for name, cls in STYLES.items() if media.kind in cls.kinds)
        raise SordineError(f"style {style!r} is not for {WORDS[media.kind]}, which {media.root} contains; use {suited}")
    here, there = media.root.resolve(), output.resolve()
    if here == there or there in here.parents or here in there.parents:
        raise SordineError(
            f"{output} and the originals in {media.root} lie within each other; choose another output folder"
        )
    if output.is_dir() and any(output.iterdir()) and metadata_file(output) is None:
        raise SordineError(
            f"{output} is not a media folder and is not replaced, not even with --force; choose another folder"
        )
    if any(frame is not None for frame in media.frames):
        raise SordineError(f"{media.root}: its records are frames of videos; only whole files can be obscured")
    written = WRITERS[media.kind].suffixes
    for name in media.files:
        if (suffix := Path(name).suffix.lower()) not in written:
            raise SordineError(
                f"{media.root / name}: files of type {suffix} cannot be written; convert to one of "
                f"{', '.join(sorted(written))}"
            )


def _write_metadata(path: Path, media: Media, bad: Mapping[str, str]) -> None:
    names = [c for c in media.records.column_names if c != FILE_NAME]
    columns = [media.records[c].to_pylist() for c in names]
    done = set(bad)
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([FILE_NAME, *names])
        for row, name in enumerate(media.files):
            if name not in done:
                done.add(name)
                writer.writerow([name, *("" if c[row] is None else c[row] for c in columns)])

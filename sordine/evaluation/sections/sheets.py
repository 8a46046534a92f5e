"""Sheets: some pictures in a grid. Each row is a record, each column a stage on the way to the release."""

from __future__ import annotations

import io
import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.evaluation.report import Report, Sheet
from sordine.evaluation.sections.base import Section
from sordine.evaluation.sections.gallery import FOR_THE_OWNER, MOST_BYTES, classes_of, lines, picked, spread
from sordine.keys import Key
from sordine.policy import Policy
from sordine.run import Run, accepts_run_keywords

if TYPE_CHECKING:
    from torch import Tensor

    from sordine.models.modifier import Modifier

RECORDS = 8
SIDES = (96, 72, 48)  # of a picture on the page; the smaller ones where the sheet would be too large
SHEET_BYTES = MOST_BYTES // 2  # a report may hold one sheet of the release and one of reconstructions
MOST_BETWEEN = 12  # columns between original and released
SAME = 1.0  # grey levels: a mean difference up to this is rounding; a larger one means another key or modifier
LEFT_OUT = "the pictures between original and released are left out"


class Sheets(Section):
    """Grids of pictures. `sheets` and `reconstruction_sheet` make them after the audit."""

    title = "Picture by picture"
    menu = "Pictures"
    key = "sheets"
    finding = tuple[Sheet, ...]

    def view(self, found: tuple[Sheet, ...], report: Report) -> dict[str, Any] | None:
        """Return the sheets."""
        return {"sheets": found} if found else None


def is_picture(shape: Sequence[int]) -> bool:
    """Return whether records of this shape may be pictures: (1 or 3 channels, height, width)."""
    return len(shape) == 3 and shape[0] in (1, 3)


@accepts_run_keywords
def sheets(
    modifier: Modifier | None,
    key: Key | None,
    original: Table,
    released: Table | None,
    *,
    policy: Policy,
    records: int = RECORDS,
    originals: bool = True,
    run: Run | None = None,
) -> tuple[Sheet, ...]:
    """Return at most one sheet, its records spread over the classes of the preserved attributes, unseen records first.

    Its columns are the original, what `modifier.pictures(x, noise)` returns if the modifier has that method (name to
    (b, 1 or c, h, w), 0 to 255; drawn with the key, as the release was), and the released picture.

    Parameters
    ----------
    modifier, key
        What made the release, where they are known.
    original
        Originals, with labels.
    released
        Released records with the same ids. None: the modifier makes them.
    policy, records
        Roles of the attributes, and the largest number of records.
    originals
        Whether to show originals and their classes.
    run
        Its log receives what is left out, and why.

    Returns
    -------
    tuple
        Empty where records are not pictures (uint8, or numbers from 0 to 255, of shape (1 or 3, height, width)), or
        released records have another shape.
    """
    run = run or Run()
    if not is_picture(original.shape) or not len(original):
        return ()
    if released is not None and released.shape != original.shape:
        run.log(f"no pictures: released records have shape {released.shape}, originals {original.shape}")
        return ()
    if released is None and modifier is None:
        return ()
    rows, after = _chosen(policy, original, released, records)
    before = np.asarray(original.x[rows], np.float32)
    if not len(rows) or (original.x.dtype != np.uint8 and not _are_grey_levels(before)):
        return ()
    between, after, notes = _through(modifier, key, before, original.ids[rows], after, run)
    if after is None:
        return ()
    columns = {"original": before} if originals else {}
    columns |= {with_class(name, policy, original): between[name] for name in list(between)[:MOST_BETWEEN]}
    columns |= {"released": after}
    if len(between) > MOST_BETWEEN:
        notes.append(f"Of {len(between)} pictures between, the first {MOST_BETWEEN} are shown.")
    captions = _captions(policy, original, rows) if originals else ()
    return (_sheet("From original to released picture", columns, captions, _note(policy, notes, originals)),)


def _chosen(
    policy: Policy, original: Table, released: Table | None, records: int
) -> tuple[np.ndarray, np.ndarray | None]:
    """Rows of the originals that are shown, and their released pictures where there are any."""
    place = None if released is None else {str(name): row for row, name in enumerate(released.ids)}
    order = (row for row in spread(policy, original, released, 0) if place is None or str(original.ids[row]) in place)
    rows = np.array(list(islice(order, records)), np.int64)
    if released is None or place is None:
        return rows, None
    return rows, np.asarray(released.x[[place[str(original.ids[row])] for row in rows]], np.float32)


def reconstruction_sheet(
    original: Table,
    ids: Sequence[str] | np.ndarray,
    rebuilt: Mapping[str, np.ndarray],
    policy: Policy,
    originals: bool = True,
    records: int = RECORDS,
) -> Sheet:
    """Return a sheet with the reconstructions of each attack beside the originals.

    Parameters
    ----------
    original
        Table of the originals.
    ids
        Ids of the reconstructed records, n of them.
    rebuilt
        Attack to pictures (n, c, h, w), 0 to 255, in the order of `ids`.
    policy
        Roles of the attributes.
    originals
        Whether to show originals and their classes.
    records
        Largest number of records.

    Raises
    ------
    SordineError
        If an id is not in the table, or there is not one picture for each id.
    """
    place = {str(name): row for row, name in enumerate(original.ids)}
    missing = [str(name) for name in ids if str(name) not in place]
    if missing:
        raise SordineError(f"{original.source}: there is no record {missing[0]!r}, but a reconstruction of it")
    if not is_picture(original.shape):
        raise SordineError(f"{original.source}: records of shape {original.shape} are not pictures")
    for name, pictures in rebuilt.items():
        if len(pictures) != len(ids) or not is_picture(pictures.shape[1:]):
            raise SordineError(
                f"attack {name!r}: reconstructions have shape {pictures.shape}; expected one picture for each of "
                f"{len(ids)} records"
            )
    rows = np.array([place[str(name)] for name in ids], np.int64)
    some = np.array(list(islice(spread(policy, original.take(rows), None, 0), records)), np.int64)
    rows = rows[some]
    columns = {"original": np.asarray(original.x[rows], np.float32)} if originals else {}
    columns |= {f"rebuilt: {name}": np.asarray(pictures[some]) for name, pictures in rebuilt.items()}
    captions = _captions(policy, original, rows) if originals else ()
    notes = [
        "Attacks made these pictures from the released records. The more they look like the originals, the less the "
        "release protects."
    ]
    return _sheet("What attacks reconstruct", columns, captions, _note(policy, notes, originals))


def with_class(name: str, policy: Policy, table: Table) -> str:
    """Replace a class code in a column's name ("s' = 1", "sex: s' = 1") by the class."""
    found = re.fullmatch(r"(?:(.+): )?s' = (\d+)", name)
    if not found:
        return name
    attribute = found[1] or (policy.suppress[0] if len(policy.suppress) == 1 else "")
    if attribute not in table.classes or int(found[2]) >= len(table.classes[attribute]):
        return name
    return f"{found[1] + ': ' if found[1] else ''}s' = {table.classes[attribute][int(found[2])]}"


def _are_grey_levels(x: np.ndarray) -> bool:
    """Whether numbers plausibly range from 0 to 255, and are neither from 0 to 1 nor standardised."""
    return bool(x.min() >= 0 and 1 < x.max() <= 255)


@torch.no_grad()
def _through(
    modifier: Any,
    key: Key | None,
    before: np.ndarray,
    ids: np.ndarray,
    after: np.ndarray | None,
    run: Run,
) -> tuple[dict[str, np.ndarray], np.ndarray | None, list[str]]:
    """The pictures in between, the released pictures, and notes about them. The noise is that of the release."""
    if modifier is None or (after is not None and not hasattr(modifier, "pictures")):
        return {}, after, []
    if modifier.noise and key is None:
        run.log(f"{LEFT_OUT}: they depend on the key, and no key was given")
        return {}, after, []
    if tuple(modifier.card.input.get("shape", before.shape[1:])) != before.shape[1:]:
        run.log(f"{LEFT_OUT}: the modifier takes records of another shape")
        return {}, after, []
    device = next((w.device for w in (*modifier.parameters(), *modifier.buffers())), torch.device("cpu"))
    noise = np.zeros((len(ids), 0), np.float32) if key is None else modifier.noise_of(ids, key)
    x, z = torch.from_numpy(before.copy()).to(device), torch.from_numpy(noise).to(device)
    modifier.eval()
    given = _levels(modifier(x, z).x)
    notes = []
    if after is None:
        if given.shape != before.shape:
            run.log(f"no pictures: released records have shape {given.shape[1:]}, originals {before.shape[1:]}")
            return {}, None, []
        after = given
    elif given.shape != after.shape or np.abs(given - np.clip(after, 0, 255)).mean() > SAME:
        notes.append(
            "This modifier and this key did not make the released pictures: the pictures between show another draw."
        )
    between = {} if not hasattr(modifier, "pictures") else modifier.pictures(x, z)
    return {str(name): _levels(pictures) for name, pictures in between.items()}, after, notes


def _levels(pictures: Tensor) -> np.ndarray:
    return np.asarray(pictures.detach().float().clamp(0, 255).cpu().numpy(), np.float32)


def _captions(policy: Policy, original: Table, rows: np.ndarray) -> tuple[str, ...]:
    return tuple(
        lines(classes_of(original, policy.suppress, row), classes_of(original, policy.preserve, row))
        for row in rows.tolist()
    )


def _note(policy: Policy, notes: Sequence[str], originals: bool) -> str:
    last = FOR_THE_OWNER if originals else "Originals and their classes are left out, as requested."
    return " ".join([f"Each row is a record, {picked(policy)}, unseen records first.", *notes, last])


def _sheet(title: str, columns: Mapping[str, np.ndarray], captions: Sequence[str], note: str) -> Sheet:
    """The grid, within SHEET_BYTES: with smaller pictures, then with fewer rows, where it would be larger."""
    count = len(next(iter(columns.values())))
    for side in SIDES:
        rows = [tuple(_png(pictures[i], side) for pictures in columns.values()) for i in range(count)]
        weights = np.cumsum([sum(map(len, row)) for row in rows])
        if weights[-1] <= SHEET_BYTES:
            break
    fit = max(1, int((weights <= SHEET_BYTES).sum()))
    coded = tuple(tuple(b64encode(png).decode() for png in row) for row in rows[:fit])
    return Sheet(title, tuple(columns), coded, tuple(captions)[:fit], note)


def _png(pixels: np.ndarray, side: int) -> bytes:
    """A PNG of pixels (c, h, w), 0 to 255, whose longer side is about `side`.

    Small pictures grow by whole pixels; large ones shrink by Lanczos resampling.
    """
    from PIL import Image

    whole = np.clip(np.rint(pixels), 0, 255).astype(np.uint8)
    image = Image.fromarray(whole[0] if len(whole) == 1 else np.ascontiguousarray(np.moveaxis(whole, 0, -1)))
    longer = max(image.size)
    times = round(side / longer)
    if times > 1:
        image = image.resize((image.width * times, image.height * times), Image.Resampling.NEAREST)
    elif longer > side:
        image.thumbnail((side, side), Image.Resampling.LANCZOS)
    found = io.BytesIO()
    image.save(found, "PNG", optimize=True)
    return found.getvalue()

"""Sheets: some pictures of an audit in a grid, a row a record, a column a stage of what becomes of it."""

from __future__ import annotations

import io
import re
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.evaluation.report import Sheet
from sordine.evaluation.sections.gallery import MOST_BYTES, classes_of, lines, picked, spread
from sordine.keys import Key
from sordine.policy import Policy
from sordine.run import silent

if TYPE_CHECKING:
    from torch import Tensor

    from sordine.models.modifier import Modifier

RECORDS = 8
SIDES = (96, 72, 48)  # of a picture on the page; the smaller ones where all of them would be too heavy
SHEET_BYTES = MOST_BYTES // 2  # a report may hold one sheet of what is released and one of what is rebuilt
MOST_BETWEEN = 12  # columns between original and released: of an attribute of very many classes, the first ones
SAME = 1.0  # grey levels: a mean difference up to this is rounding, a larger one another key or another modifier


def is_picture(shape: Sequence[int]) -> bool:
    """Whether records of this shape may be pictures: (1 or 3 channels, height, width)."""
    return len(shape) == 3 and shape[0] in (1, 3)


def sheets(
    modifier: Modifier | None,
    key: Key | None,
    original: Table,
    released: Table | None,
    *,
    policy: Policy,
    records: int = RECORDS,
    originals: bool = True,
    log: Callable[[str], None] = silent,
) -> tuple[Sheet, ...]:
    """At most one sheet of at most `records` records, spread over the classes of the preserved attributes, unseen ones first.

    Columns: original, what `modifier.pictures(x, noise)` gives where the modifier has that method (name -> (b, c, h, w)
    or (b, 1, h, w), 0 to 255; drawn with the key as its release is), released. released: by the same ids; without it,
    what the modifier gives. originals: whether the original pictures and the records' classes may be shown.
    Empty where records are not pictures (uint8, or numbers of 0 to 255, of shape (1 or 3, height, width)), or what is
    released has another shape. `log` is told what is left out, and why.
    """
    if not is_picture(original.shape) or not len(original):
        return ()
    if released is not None and released.shape != original.shape:
        log(f"no pictures: what is released has shape {released.shape}, the originals {original.shape}")
        return ()
    if released is None and modifier is None:
        return ()
    place = None if released is None else {str(name): row for row, name in enumerate(released.ids)}
    order = (row for row in spread(policy, original, released, 0) if place is None or str(original.ids[row]) in place)
    rows = np.array(list(islice(order, records)), np.int64)
    if not len(rows):
        return ()
    before = np.asarray(original.x[rows], np.float32)
    if original.x.dtype != np.uint8 and not _of_grey_levels(before):
        return ()
    after = None
    if released is not None and place is not None:
        after = np.asarray(released.x[[place[str(original.ids[row])] for row in rows]], np.float32)
    between, after, notes = _through(modifier, key, before, original.ids[rows], after, log)
    if after is None:
        return ()
    names = list(between)
    if len(names) > MOST_BETWEEN:
        notes.append(f"Of {len(names)} pictures between, the first {MOST_BETWEEN} are shown.")
    columns = {"original": before} if originals else {}
    columns |= {_with_class(name, policy, original): between[name] for name in names[:MOST_BETWEEN]} | {
        "released": after
    }
    captions = _captions(policy, original, rows) if originals else ()
    title = "What becomes of the pictures"
    return (_sheet(title, columns, captions, _note(policy, notes, originals)),)


def reconstruction_sheet(
    original: Table,
    ids: Sequence[str] | np.ndarray,
    rebuilt: Mapping[str, np.ndarray],
    policy: Policy,
    originals: bool = True,
    records: int = RECORDS,
) -> Sheet:
    """What attackers rebuilt, beside the originals.

    ids: the records that were rebuilt. rebuilt: attacker -> (n, c, h, w) pictures, 0 to 255, in the order of `ids`.
    originals: whether the original pictures and the records' classes may be shown.
    Raises SordineError where an id is not in the table, or pictures are not one for each id.
    """
    place = {str(name): row for row, name in enumerate(original.ids)}
    missing = [str(name) for name in ids if str(name) not in place]
    if missing:
        raise SordineError(f"{original.source}: no record {missing[0]!r}, of which a picture was rebuilt")
    if not is_picture(original.shape):
        raise SordineError(f"{original.source}: records of shape {original.shape} are not pictures")
    for name, pictures in rebuilt.items():
        if len(pictures) != len(ids) or not is_picture(pictures.shape[1:]):
            raise SordineError(f"{name} rebuilt {pictures.shape}: not a picture for each of {len(ids)} records")
    rows = np.array([place[str(name)] for name in ids], np.int64)
    some = np.array(list(islice(spread(policy, original.take(rows), None, 0), records)), np.int64)
    rows = rows[some]
    columns = {"original": np.asarray(original.x[rows], np.float32)} if originals else {}
    columns |= {f"rebuilt: {name}": np.asarray(pictures[some]) for name, pictures in rebuilt.items()}
    captions = _captions(policy, original, rows) if originals else ()
    said = [
        "An attacker made these from what is released; the nearer they are to the originals, the less is protected."
    ]
    return _sheet("What an attacker rebuilds", columns, captions, _note(policy, said, originals))


def _with_class(name: str, policy: Policy, table: Table) -> str:
    """A modifier knows classes by their codes alone ("s' = 1", "sex: s' = 1"); the page says their names."""
    found = re.fullmatch(r"(?:(.+): )?s' = (\d+)", name)
    if not found:
        return name
    attribute = found[1] or (policy.suppress[0] if len(policy.suppress) == 1 else "")
    if attribute not in table.classes or int(found[2]) >= len(table.classes[attribute]):
        return name
    return f"{found[1] + ': ' if found[1] else ''}s' = {table.classes[attribute][int(found[2])]}"


def _of_grey_levels(x: np.ndarray) -> bool:
    """Whether numbers are plausibly of 0 to 255, not of 0 to 1 nor standardised."""
    return bool(x.min() >= 0 and 1 < x.max() <= 255)


@torch.no_grad()
def _through(
    modifier: Any,
    key: Key | None,
    before: np.ndarray,
    ids: np.ndarray,
    after: np.ndarray | None,
    log: Callable[[str], None],
) -> tuple[dict[str, np.ndarray], np.ndarray | None, list[str]]:
    """The pictures in between, what is released, and what to say of them.

    The noise is drawn as `Modifier.release_block` draws it, so that what is shown is what was released.
    """
    if modifier is None or (after is not None and not hasattr(modifier, "pictures")):
        return {}, after, []
    if modifier.noise and key is None:
        log("the pictures between original and released are left out: they depend on the key, and none was given")
        return {}, after, []
    if tuple(modifier.card.input.get("shape", before.shape[1:])) != before.shape[1:]:
        log("the pictures between original and released are left out: the modifier takes another shape")
        return {}, after, []
    device = next((w.device for w in (*modifier.parameters(), *modifier.buffers())), torch.device("cpu"))
    noise = np.zeros((len(ids), modifier.noise), np.float32)
    if modifier.noise and key is not None:
        noise[:] = np.clip(key.uniform("release", ids, modifier.noise), 2.0**-24, 1 - 2.0**-24)
    x, z = torch.from_numpy(before.copy()).to(device), torch.from_numpy(noise).to(device)
    modifier.eval()
    given = _levels(modifier(x, z).x)
    notes = []
    if after is None:
        if given.shape != before.shape:
            log(f"no pictures: what is released has shape {given.shape[1:]}, the originals {before.shape[1:]}")
            return {}, None, []
        after = given
    elif given.shape != after.shape or np.abs(given - np.clip(after, 0, 255)).mean() > SAME:
        notes.append(
            "What is released is not what this modifier gives with this key: the pictures between belong to another draw."
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


def _note(policy: Policy, said: Sequence[str], originals: bool) -> str:
    whose = (
        "This part shows the originals: it is for the owner of the data, not for who receives the release."
        if originals
        else "The originals and their classes are left out, as asked."
    )
    return " ".join([f"A row is a record, {picked(policy)}, unseen ones first.", *said, whose])


def _sheet(title: str, columns: Mapping[str, np.ndarray], captions: Sequence[str], note: str) -> Sheet:
    """The grid, within SHEET_BYTES: smaller pictures where it would be heavier, then fewer rows."""
    count = len(next(iter(columns.values())))
    for side in SIDES:
        rows = [tuple(_png(pictures[i], side) for pictures in columns.values()) for i in range(count)]
        weights = np.cumsum([sum(map(len, row)) for row in rows])
        if weights[-1] <= SHEET_BYTES:
            break
    kept = max(1, int((weights <= SHEET_BYTES).sum()))
    coded = tuple(tuple(b64encode(png).decode() for png in row) for row in rows[:kept])
    return Sheet(title, tuple(columns), coded, tuple(captions)[:kept], note)


def _png(pixels: np.ndarray, side: int) -> bytes:
    """(c, h, w), 0 to 255 -> a PNG whose longer side is about `side`: small ones by whole pixels, large ones by Lanczos."""
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

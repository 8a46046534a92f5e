"""Auxiliary data: labelled records that only the attacker has, modified under a key of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from sordine.attacks.scenarios import AttackData
from sordine.data.splits import sample
from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.keys import Key
from sordine.models.modifier import Modifier

KEY = 1 << 40  # a public seed: an attacker that has the modifier may choose any key but the owner's


def add_auxiliary_data(
    data: tuple[AttackData, AttackData], before: Table, more: Table, modifier: Modifier | None, most: int
) -> tuple[tuple[AttackData, AttackData], list[str]]:
    """Add the attacker's own records to originals and to releases.

    Parameters
    ----------
    data
        Originals and releases of the audited records.
    before
        The audited originals, as in `data[0]`.
    more
        The attacker's labelled originals. Classes are matched by name; a class that `before` does not have counts as
        no label.
    modifier
        Makes their releases.
    most
        Most records that are used, sampled by id.

    Returns
    -------
    tuple
        Both data with the attacker's records at the end, and sentences about them.

    Raises
    ------
    SordineError
        Without a modifier; where the records have another shape than it accepts; where none of the attributes is a
        column; and where one is an audited record (same id and same numbers).
    """
    if modifier is None:
        raise SordineError(f"{more.source}: the attacker's records need the modifier; name it with --modifier")
    modifier.check_input(more.shape, more.source, str(more.x.dtype))
    names = list(data[0].labels)
    if not any(name in more.y for name in names):
        raise SordineError(f"{more.source}: none of the attributes is a column; add one of: {', '.join(names)}")
    _require_others(before, more)
    more = more.with_classes_of(before)
    count = len(more)
    if count > most:
        more = more.take(sample(Key.of_seed(0), "audit more", more.ids, most))
    labels = {name: _codes(more, name, before.classes[name]) for name in names}
    originals = np.asarray(more.x, np.float32)
    released, _ = modifier.release(more.x, more.ids, Key.of_seed(KEY), workers=1)
    used = "them" if count <= most else f"{most:,} of them"
    sentences = [
        f"The attacker alone has {count:,} labelled records more ({Path(more.source).name}). It learns from {used} in "
        "scenarios A and B, on originals and on released records."
    ]
    sentences += [
        f"The attacker's own records have no label of `{name}`." for name in names if not (labels[name] >= 0).any()
    ]
    return (_with(data[0], originals, more.ids, labels), _with(data[1], released, more.ids, labels)), sentences


def _with(data: AttackData, x: np.ndarray, ids: np.ndarray, labels: dict[str, np.ndarray]) -> AttackData:
    count = len(x)
    group = data.group
    if group is not None:  # they are training records of every split, so one group is enough
        group = np.concatenate([group, np.full(count, group.max() + 1)])
    return replace(
        data,
        x=np.concatenate([data.x, np.asarray(x, data.x.dtype)]),
        ids=np.concatenate([data.ids, np.array([f"more: {i}" for i in ids], dtype=object)]),
        labels={name: np.concatenate([codes, labels[name]]) for name, codes in data.labels.items()},
        fitted=np.concatenate([data.fitted, np.zeros(count, bool)]),
        group=group,
        extra=np.concatenate([data.auxiliary, np.ones(count, bool)]),
    )


def _codes(more: Table, name: str, classes: Sequence[str]) -> np.ndarray:
    # (n,) codes of `classes`; -1 where unlabelled or of another class.
    if name not in more.y:
        return np.full(len(more), -1)
    code = {c: i for i, c in enumerate(classes)}
    table = np.array([code.get(c, -1) for c in more.classes[name]] + [-1], np.int64)  # the last one is for -1
    return table[more.y[name]]


def _require_others(before: Table, more: Table) -> None:
    place = {name: i for i, name in enumerate(before.ids)}
    for i, name in enumerate(more.ids):
        at = place.get(name)
        if at is not None and np.array_equal(np.asarray(more.x[i]), np.asarray(before.x[at])):
            raise SordineError(
                f"{more.source}: record {name!r} is one of the audited records; remove it from the attacker's records"
            )

"""Records that the attacker alone holds: labelled originals of their own, sent through the modifier under a key of their own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from sordine.attacks.scenarios import AttackData
from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.keys import Key
from sordine.models.modifier import Modifier

KEY = 1 << 40  # of a public seed: whoever holds the modifier may choose any key but the owner's


def hold_more(
    scenes: tuple[AttackData, AttackData], before: Table, more: Table, modifier: Modifier | None, most: int
) -> tuple[tuple[AttackData, AttackData], list[str]]:
    """The two scenes with the attacker's own records behind all others, and sentences about them.

    before: the audited originals, as the first scene has them. more: labelled originals; classes are matched by name, one
    that `before` does not know counts as no label. most: records of them at most, sampled by id where there are more.

    Raises SordineError where there is no modifier to send them through, where they have another shape than it takes,
    where they carry none of the attributes, and where one is an audited record (the same id and the same numbers).
    """
    if modifier is None:
        raise SordineError(f"{more.source}: records of the attacker's own go through the modifier: name it")
    modifier.check_input(more.shape, more.source, str(more.x.dtype))
    names = list(scenes[0].labels)
    if not any(name in more.y for name in names):
        raise SordineError(
            f"{more.source}: none of the attributes ({', '.join(names)}) is a column: nothing to learn from"
        )
    _are_others(before, more)
    held = len(more)
    if held > most:
        more = more.take(np.sort(Key.of_seed(0).order("audit more", more.ids)[:most]))
    labels = {name: _codes(more, name, before.classes[name]) for name in names}
    originals = np.asarray(more.x, np.float32)
    released, _ = modifier.release(more.x, more.ids, Key.of_seed(KEY), workers=1)
    told = [
        f"the attacker alone holds {held:,} labelled records more ({Path(more.source).name}) and learns from "
        f"{'them' if held <= most else f'{most:,} of them'} in settings A and B, before and after"
    ]
    for name in names:
        if not (labels[name] >= 0).any():
            told.append(f"the attacker's own records have no label of `{name}`")
    first, second = scenes
    return (_with(first, originals, more.ids, labels), _with(second, released, more.ids, labels)), told


def _with(scene: AttackData, x: np.ndarray, ids: np.ndarray, labels: dict[str, np.ndarray]) -> AttackData:
    count = len(x)
    group = scene.group
    if group is not None:  # they are never dealt out, so one group will do
        group = np.concatenate([group, np.full(count, group.max() + 1)])
    return replace(
        scene,
        x=np.concatenate([scene.x, np.asarray(x, scene.x.dtype)]),
        ids=np.concatenate([scene.ids, np.array([f"more: {i}" for i in ids], dtype=object)]),
        labels={name: np.concatenate([codes, labels[name]]) for name, codes in scene.labels.items()},
        fitted=np.concatenate([scene.fitted, np.zeros(count, bool)]),
        group=group,
        extra=np.concatenate([scene.auxiliary, np.ones(count, bool)]),
    )


def _codes(more: Table, name: str, classes: Sequence[str]) -> np.ndarray:
    """(n,) codes of `classes`, -1 where unlabelled or of a class that is not among them."""
    if name not in more.y:
        return np.full(len(more), -1)
    code = {c: i for i, c in enumerate(classes)}
    table = np.array([code.get(c, -1) for c in more.classes[name]] + [-1], np.int64)  # the last is -1's own
    return table[more.y[name]]


def _are_others(before: Table, more: Table) -> None:
    place = {name: i for i, name in enumerate(before.ids)}
    for i, name in enumerate(more.ids):
        at = place.get(name)
        if at is not None and np.array_equal(np.asarray(more.x[i]), np.asarray(before.x[at])):
            raise SordineError(
                f"{more.source}: record {name!r} is one of the audited records: an attacker's own must be others"
            )

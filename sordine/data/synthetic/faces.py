"""Small pictures of faces whose person, expression, hair, glasses, sex and age are known, independent or associated as asked.

A person is a geometry (`Identity`); the other attributes are drawn on top of it, so that none needs to tell another.
"""

from __future__ import annotations

import csv
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from sordine.data.files import atomic
from sordine.data.synthetic.face_drawing import CLASSES, IRIS, Face, Identity, draw
from sordine.data.table import MAX_CLASSES, Table
from sordine.errors import SordineError, nearest
from sordine.keys import numpy_rng

PERSON = "person"
ATTRIBUTES = (PERSON, *CLASSES)
Correlations = Mapping[tuple[str, str], float]

_TRIES = 200
_ROUNDING = 1e-9


def faces(
    n: int,
    seed: int,
    *,
    size: int = 64,
    people: int = 20,
    test: int | None = None,
    correlations: Correlations | None = None,
    of_person: Sequence[str] = (),
    group_by_person: bool = False,
    noise: float = 5.0,
) -> Table:
    """n pictures, x (n, 3, size, size) uint8, with the attributes of `draw_labels`, and how they are split.

    Position, size, turn, light, background, clothes and the strength of an expression vary from record to record; noise:
    standard deviation of what is added to each pixel, in grey levels. Record i, its picture and its labels, is the same
    whatever n and test are. The last `test` records (default: a quarter) are held back; with group_by_person whole people
    are, of about that share, and the table's group is the person.

    Raises SordineError for what `draw_labels` refuses, a size not in 16 to 512, a noise not in 0 to 64, or where no
    training or test record is left.
    """
    labels = draw_labels(n, seed, people=people, correlations=correlations, of_person=of_person)
    split = _split(labels[PERSON], seed, people, test, group_by_person)
    x = np.empty((n, 3, *_sides(size, noise)), np.uint8)
    for i, picture in enumerate(_pictures(labels, seed, size, noise)):
        x[i] = picture
    return Table.of(x, labels, split=split, group=labels[PERSON] if group_by_person else None, source="faces")


def write_faces(
    folder: str | Path,
    n: int,
    seed: int,
    *,
    size: int = 64,
    people: int = 20,
    test: int | None = None,
    correlations: Correlations | None = None,
    of_person: Sequence[str] = (),
    group_by_person: bool = False,
    noise: float = 5.0,
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Write a media folder of the pictures of `faces` as PNG files, and its metadata.csv: file_name, the attributes, split
    and, with group_by_person, group. progress is told how many of how many are written.

    Raises SordineError as `faces` does, for n above 99999, and where the folder exists without `force` or cannot be written.
    """
    from PIL import Image

    if n > 99_999:
        raise SordineError(f"faces: n={n} is above 99999, the most that a folder takes")
    labels = draw_labels(n, seed, people=people, correlations=correlations, of_person=of_person)
    split = _split(labels[PERSON], seed, people, test, group_by_person)
    columns = {**labels, "split": split, **({"group": labels[PERSON]} if group_by_person else {})}
    _sides(size, noise)
    with atomic(folder, force=force) as temporary:
        temporary.mkdir()
        with open(temporary / "metadata.csv", "w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(["file_name", *columns])
            for i, picture in enumerate(_pictures(labels, seed, size, noise)):
                name = f"face_{i + 1:05d}.png"
                Image.fromarray(np.ascontiguousarray(np.moveaxis(picture, 0, -1))).save(temporary / name)
                rows.writerow([name, *(column[i] for column in columns.values())])
                if progress:
                    progress(i + 1, n)
    return Path(folder)


# ---------------------------------------------------------------------------------------------------------------- labels


def draw_labels(
    n: int,
    seed: int,
    *,
    people: int = 20,
    correlations: Correlations | None = None,
    of_person: Sequence[str] = (),
) -> dict[str, np.ndarray]:
    """The labels of n records, without pictures: attribute -> (n,) class names (of `person`: p00, p01 ...).

    Every class of an attribute is equally probable, and attributes are independent, but for what is asked:
    of_person: attributes that each person has one class of, as even over people as can be and as little associated with
    each other as 200 tries find.
    correlations: pair of attributes -> r. Cramer's V of the pair is |r|, in the distribution drawn from; of two attributes
    of two classes r is Pearson's correlation of their codes in the order of CLASSES; between more classes a negative r
    pairs the first class of one with the last of the other. Classes stay equally probable. Made by a mixture: with
    probability t one follows the other, the j-th share of its classes for the j-th share of the other's, else it is
    independent; V is t times the V at t = 1. Pairs, and attributes of the person with `person`, must form a forest.

    Raises SordineError for n < 1, people not in 2 to 100, a negative seed, an unknown attribute or one paired with itself,
    a circle of pairs, |r| > 1, or above the V at t = 1 (which is 1 where one number of classes divides the other).
    """
    if n < 1:
        raise SordineError(f"faces: n={n} is not 1 or more")
    if not 2 <= people <= MAX_CLASSES:
        raise SordineError(f"faces: people={people} is not between 2 and {MAX_CLASSES}")
    if seed < 0:
        raise SordineError(f"faces: seed={seed} is negative")
    owned = _classes_of_people(seed, people, of_person)
    names = {PERSON: tuple(f"p{k:02d}" for k in range(people)), **CLASSES}
    draws = numpy_rng(seed, "faces labels").random((n, len(ATTRIBUTES), 3))
    # Follow or not, which class when following, and which when not.
    follow, place, free = ({a: draws[:, k, j] for k, a in enumerate(ATTRIBUTES)} for j in range(3))
    codes: dict[str, np.ndarray] = {}
    shares: dict[str, np.ndarray] = {}
    for attribute, parent, r in _order(owned, dict(correlations or {})):
        count = len(names[attribute])
        alone = (free[attribute] * count).astype(np.int64)
        shares[attribute] = np.full(count, 1 / count)
        if attribute in owned:
            codes[attribute] = owned[attribute][codes[PERSON]]
            shares[attribute] = np.bincount(owned[attribute], minlength=count) / people
        elif parent is None:
            codes[attribute] = alone
        else:
            t = _mixture(attribute, parent, shares[parent], count, abs(r))
            below = np.cumsum(shares[parent]) - shares[parent]
            at = below[codes[parent]] + place[attribute] * shares[parent][codes[parent]]
            following = np.minimum((at * count).astype(np.int64), count - 1)
            if r < 0:
                following = count - 1 - following
            codes[attribute] = np.where(follow[attribute] < t, following, alone)
    return {a: np.array(names[a])[codes[a]] for a in ATTRIBUTES}


def _classes_of_people(seed: int, people: int, of_person: Sequence[str]) -> dict[str, np.ndarray]:
    """Attribute -> (people,) class codes: each even over people, the set of them the least associated of some tries."""
    wanted = (of_person,) if isinstance(of_person, str) else tuple(of_person)
    for name in wanted:
        if name not in CLASSES:
            raise SordineError(f"faces: of_person names {name!r}; {nearest(name, CLASSES)}")
    rng = numpy_rng(seed, "faces of person")
    best, least = {}, np.inf
    for _ in range(_TRIES):
        tried = {name: rng.permutation(np.arange(people) % len(CLASSES[name])) for name in wanted}
        found = sum(_association(_joint(tried[a], tried[b])) ** 2 for a, b in itertools.combinations(tried, 2))
        if found < least:
            best, least = tried, found
    return best


def _joint(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    counts = np.zeros((one.max() + 1, other.max() + 1))
    np.add.at(counts, (one, other), 1)
    return counts / counts.sum()


def _association(joint: np.ndarray) -> float:
    """Cramer's V of a joint distribution (a, b) without empty classes."""
    rows, columns = joint.sum(axis=1, keepdims=True), joint.sum(axis=0, keepdims=True)
    phi = float((joint**2 / (rows * columns)).sum()) - 1
    return float(np.sqrt(max(phi, 0) / max(min(joint.shape) - 1, 1)))


def _mixture(attribute: str, parent: str, shares: np.ndarray, count: int, v: float) -> float:
    """The probability of following that makes Cramer's V v, of an even attribute and a parent of these shares."""
    # Two divisions of the unit interval laid over each other: what they have in common is the joint distribution.
    ends, even = np.cumsum(shares), np.arange(1, count + 1) / count
    common = np.minimum(ends[:, None], even) - np.maximum((ends - shares)[:, None], even - 1 / count)
    most = _association(np.maximum(common, 0)[shares > 0])
    if v > most + _ROUNDING:
        raise SordineError(
            f"faces: a correlation of {v:g} between {parent!r} and {attribute!r} is above {most:.3f}, "
            "the most that their classes allow here"
        )
    return v / most


def _order(owned: Iterable[str], correlations: dict[tuple[str, str], float]) -> Iterator[tuple[str, str | None, float]]:
    """(attribute, the one it follows, r), each after the one it follows."""
    edges: dict[str, list[tuple[str, float]]] = {name: [] for name in ATTRIBUTES}
    for name in owned:
        edges[PERSON].append((name, 1.0))
        edges[name].append((PERSON, 1.0))
    for pair, r in correlations.items():
        if not (isinstance(pair, tuple) and len(pair) == 2):
            raise SordineError(f"faces: correlations are asked by pairs of attributes, not by {pair!r}")
        for name in pair:
            if name not in ATTRIBUTES:
                raise SordineError(f"faces: correlations name {name!r}; {nearest(str(name), ATTRIBUTES)}")
        one, other = pair
        if one == other:
            raise SordineError(f"faces: a correlation of {one!r} with itself cannot be chosen")
        if not abs(r) <= 1:
            raise SordineError(f"faces: the correlation of {one!r} and {other!r}, {r}, is not between -1 and 1")
        edges[one].append((other, float(r)))
        edges[other].append((one, float(r)))
    done: set[str] = set()

    def walk(name: str, parent: str | None, r: float) -> Iterator[tuple[str, str | None, float]]:
        done.add(name)
        yield name, parent, r
        came = False
        for child, strength in edges[name]:
            # The way back counts once: a second one is a pair asked twice.
            if child == parent and not came:
                came = True
            elif child in done:
                raise SordineError(
                    f"faces: the pairs with {name!r} and {child!r} form a circle (attributes of the person are paired "
                    "with it already); leave one out"
                )
            else:
                yield from walk(child, name, strength)

    for name in ATTRIBUTES:
        if name not in done:
            yield from walk(name, None, 0.0)


def _split(person: np.ndarray, seed: int, people: int, test: int | None, by_person: bool) -> np.ndarray:
    """(n,) "train" or "test". Raises SordineError where a side would be empty."""
    n = len(person)
    held = n // 4 if test is None else test
    if not 0 < held < n:
        raise SordineError(f"faces: {held} test records of {n}: both sides of the split need some")
    if not by_person:
        return np.where(np.arange(n) < n - held, "train", "test")
    order = numpy_rng(seed, "faces split").permutation(people)
    out = order[: min(max(1, round(people * held / n)), people - 1)]
    split = np.where(np.isin(person, [f"p{k:02d}" for k in out]), "test", "train")
    if len(set(split)) < 2:
        raise SordineError(f"faces: {n} records of {people} people leave one side of the split empty: ask for more")
    return split


# -------------------------------------------------------------------------------------------------------------- pictures


def identity(seed: int, person: int) -> Identity:
    """The geometry of a person: the same for the same seed, however many people and pictures there are."""
    rng = numpy_rng(seed, f"faces person {person}")
    between = rng.uniform
    return Identity(
        width=between(0.43, 0.55),
        height=between(0.57, 0.69),
        taper=between(0.08, 0.36),
        square=between(0.0, 1.0),
        eye_distance=between(0.175, 0.255),
        eye_y=between(-0.12, 0.0),
        eye_size=between(0.085, 0.125),
        eye_tilt=between(-0.12, 0.28),
        iris=int(rng.integers(len(IRIS))),
        brow_gap=between(0.115, 0.175),
        brow_slope=between(-0.3, 0.12),
        brow_weight=between(0.018, 0.034),
        nose_length=between(0.17, 0.28),
        nose_width=between(0.055, 0.12),
        mouth_place=between(0.36, 0.52),
        mouth_width=between(0.13, 0.2),
        lips=between(0.025, 0.05),
        ears=between(0.06, 0.12),
        skin=between(0.0, 1.0),
        hairline=between(-0.5, -0.32),
        parting=between(-0.25, 0.25),
        mole=(between(-0.3, 0.3), between(0.12, 0.3)),
    )


def truths(labels: Mapping[str, np.ndarray], seed: int) -> Iterator[Face]:
    """What each record of `draw_labels` shows: a `Face` each, which `draw` draws (without pixel noise)."""
    columns = [labels[name].tolist() for name in ATTRIBUTES]
    people: dict[str, Identity] = {}
    rng = numpy_rng(seed, "faces nuisance")
    for person, expression, hair, glasses, sex, age in zip(*columns, strict=True):
        if person not in people:
            people[person] = identity(seed, int(person[1:]))
        u = rng.random(16)
        yield Face(
            identity=people[person],
            sex=sex,
            age=age,
            hair=hair,
            expression=expression,
            glasses=glasses,
            shift=(0.16 * u[0] - 0.08, 0.14 * u[1] - 0.05),
            scale=0.88 + 0.16 * u[2],
            turn=20 * u[3] - 10,
            light=2 * u[4] - 1,
            background=_muted(u[5], u[6], u[7]),
            gradient=(0.3 * u[8] - 0.15, 0.3 * u[9] - 0.15),
            clothes=_muted(u[10], u[11], u[12]),
            frame=0.5 * u[13],
            strength=0.65 + 0.35 * u[14],
        )


def _muted(bright: float, warm: float, green: float) -> tuple[float, float, float]:
    """A colour of any brightness and little saturation, from three numbers in [0, 1)."""
    grey, warm, green = 0.2 + 0.6 * bright, 0.36 * warm - 0.18, 0.2 * green - 0.1
    return grey + warm, grey + green, grey - warm


def _pictures(labels: Mapping[str, np.ndarray], seed: int, size: int, noise: float) -> Iterator[np.ndarray]:
    """(3, size, size) uint8 each, in the records' order."""
    rng = numpy_rng(seed, "faces noise")
    for face in truths(labels, seed):
        picture = draw(face, size)
        if noise:
            grains = rng.standard_normal(picture.shape, dtype=np.float32) * np.float32(noise) + picture
            picture = np.rint(np.minimum(np.maximum(grains, 0), 255)).astype(np.uint8)
        yield picture


def _sides(size: int, noise: float) -> tuple[int, int]:
    if not 16 <= size <= 512:
        raise SordineError(f"faces: size={size} is not between 16 and 512")
    if not 0 <= noise <= 64:
        raise SordineError(f"faces: noise={noise} is not between 0 and 64 grey levels")
    return size, size

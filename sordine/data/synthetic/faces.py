"""Small pictures of faces with known person, expression, hair, glasses, sex and age, with chosen associations.

A person is a geometry (`FaceGeometry`). The other attributes are drawn on it, so each can be independent of the others.
"""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sordine.data.files import atomic
from sordine.data.synthetic.face_drawing import CLASSES, IRIS, Face, FaceGeometry, draw
from sordine.data.table import MAX_CLASSES, Table
from sordine.errors import SordineError, nearest
from sordine.keys import numpy_rng
from sordine.run import Run

PERSON = "person"
ATTRIBUTES = (PERSON, *CLASSES)
Correlations = Mapping[tuple[str, str], float]

_TRIES = 200
_ROUNDING = 1e-9


@dataclass(frozen=True)
class FaceOptions:
    """Options of `faces` and `write_faces`.

    Parameters
    ----------
    size
        Pixels of a side, 16 to 512.
    people
        Number of people, 2 to 100.
    test
        Number of test records, the last ones; by default a quarter.
    correlations, of_person
        Associations of the attributes; see `draw_labels`.
    group_by_person
        Make whole people test records, about the share of `test`, and give the table a group, the person.
    noise
        Standard deviation of what is added to each pixel, in grey levels, 0 to 64.
    """

    size: int = 64
    people: int = 20
    test: int | None = None
    correlations: Correlations | None = None
    of_person: Sequence[str] = ()
    group_by_person: bool = False
    noise: float = 5.0

    def __post_init__(self) -> None:
        if not 16 <= self.size <= 512:
            raise SordineError(f"faces: size={self.size}; it must be from 16 to 512")
        if not 0 <= self.noise <= 64:
            raise SordineError(f"faces: noise={self.noise}; it must be from 0 to 64 grey levels")

    def labels(self, n: int, seed: int) -> dict[str, np.ndarray]:
        """Return the labels of n records; see `draw_labels`."""
        return draw_labels(n, seed, people=self.people, correlations=self.correlations, of_person=self.of_person)


def faces(n: int, seed: int, **options: Any) -> Table:
    """Return n pictures of faces with the attributes of `draw_labels`, and a split.

    Position, size, turn, light, background, clothes and the strength of an expression vary from record to record.
    Record i, its picture and its labels, is the same for any n and test.

    Parameters
    ----------
    n
        Number of records.
    seed
        Not negative.
    options
        Fields of `FaceOptions`.

    Returns
    -------
    Table
        x is (n, 3, size, size) uint8.

    Raises
    ------
    SordineError
        For an option out of its range, labels that `draw_labels` refuses, or a split without training or test records.
    """
    chosen = FaceOptions(**options)
    labels = chosen.labels(n, seed)
    split = _split(labels[PERSON], seed, chosen)
    x = np.empty((n, 3, chosen.size, chosen.size), np.uint8)
    for i, picture in enumerate(_pictures(labels, seed, chosen)):
        x[i] = picture
    return Table.of(x, labels, split=split, group=labels[PERSON] if chosen.group_by_person else None, source="faces")


def write_faces(
    folder: str | Path, n: int, seed: int, *, force: bool = False, run: Run | None = None, **options: Any
) -> Path:
    """Write the pictures of `faces` as a media folder of PNG files.

    The columns of its metadata.csv are file_name, the attributes, split and, with `group_by_person`, group.

    Parameters
    ----------
    folder
        Where to write.
    n
        Number of records, at most 99999.
    seed
        Not negative.
    force
        Whether an existing folder is replaced.
    run
        Its progress is reported.
    options
        Fields of `FaceOptions`.

    Raises
    ------
    SordineError
        As `faces` does, and where the folder exists without `force` or cannot be written.
    """
    from PIL import Image

    run = run or Run()
    if n > 99_999:
        raise SordineError(f"faces: n={n}; a folder can have at most 99999 pictures")
    chosen = FaceOptions(**options)
    labels = chosen.labels(n, seed)
    split = _split(labels[PERSON], seed, chosen)
    columns = {**labels, "split": split, **({"group": labels[PERSON]} if chosen.group_by_person else {})}
    with atomic(folder, force=force) as temporary:
        temporary.mkdir()
        with open(temporary / "metadata.csv", "w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(["file_name", *columns])
            for i, picture in enumerate(_pictures(labels, seed, chosen)):
                name = f"face_{i + 1:05d}.png"
                Image.fromarray(np.ascontiguousarray(np.moveaxis(picture, 0, -1))).save(temporary / name)
                rows.writerow([name, *(column[i] for column in columns.values())])
                run.step("faces", i + 1, n)
    return Path(folder)


# ----------------------------------------------------------------------------------------------------------------
# labels


def draw_labels(
    n: int,
    seed: int,
    *,
    people: int = 20,
    correlations: Correlations | None = None,
    of_person: Sequence[str] = (),
) -> dict[str, np.ndarray]:
    """Return the labels of n records, without pictures.

    All classes of an attribute have the same probability, and attributes are independent, except for these options.

    Parameters
    ----------
    n, seed
        Number of records, and a seed that is not negative.
    people
        Number of people, 2 to 100.
    correlations
        Pair of attributes -> r. Cramer's V of the pair is |r| in the distribution. For two attributes of two classes, r
        is Pearson's correlation of their codes in the order of CLASSES; for more classes, a negative r pairs the first
        class of one with the last of the other. The classes stay equally probable. With probability t, one attribute
        follows the other: the j-th share of its classes for the j-th share of the other's. V is t times the V at t = 1.
        Pairs, and attributes of the person with `person`, must form a forest.
    of_person
        Attributes of which each person has one class: as even over people, and as little associated, as 200 tries find.

    Returns
    -------
    dict
        Attribute -> (n,) class names; those of `person` are p00, p01 and so on.

    Raises
    ------
    SordineError
        For n, people or seed out of range, an unknown attribute, one paired with itself, a cycle of pairs, or |r| above
        1 or above the V at t = 1 (which is 1 where one number of classes divides the other).
    """
    _check_labels(n, seed, people)
    of_people = _classes_of_people(seed, people, of_person)
    names = {PERSON: tuple(f"p{k:02d}" for k in range(people)), **CLASSES}
    draws = numpy_rng(seed, "faces labels").random((n, len(ATTRIBUTES), 3))
    # Three draws: whether it follows, the class where it follows, and the class where it does not.
    follow, place, free = ({a: draws[:, k, j] for k, a in enumerate(ATTRIBUTES)} for j in range(3))
    codes: dict[str, np.ndarray] = {}
    shares: dict[str, np.ndarray] = {}
    for attribute, parent, r in _order(_edges(of_people, dict(correlations or {}))):
        count = len(names[attribute])
        alone = (free[attribute] * count).astype(np.int64)
        shares[attribute] = np.full(count, 1 / count)
        if attribute in of_people:
            codes[attribute] = of_people[attribute][codes[PERSON]]
            shares[attribute] = np.bincount(of_people[attribute], minlength=count) / people
        elif parent is None:
            codes[attribute] = alone
        else:
            t = _mixture(attribute, parent, shares[parent], count, abs(r))
            following = _following(shares[parent], codes[parent], place[attribute], count, reverse=r < 0)
            codes[attribute] = np.where(follow[attribute] < t, following, alone)
    return {a: np.array(names[a])[codes[a]] for a in ATTRIBUTES}


def _check_labels(n: int, seed: int, people: int) -> None:
    if n < 1:
        raise SordineError(f"faces: n={n}; it must be at least 1")
    if not 2 <= people <= MAX_CLASSES:
        raise SordineError(f"faces: people={people}; it must be from 2 to {MAX_CLASSES}")
    if seed < 0:
        raise SordineError(f"faces: seed={seed}; it must not be negative")


def _following(shares: np.ndarray, codes: np.ndarray, place: np.ndarray, count: int, *, reverse: bool) -> np.ndarray:
    """Return the classes of an attribute that follows a parent: (n,) codes below count."""
    below = np.cumsum(shares) - shares
    at = below[codes] + place * shares[codes]
    following = np.minimum((at * count).astype(np.int64), count - 1)
    return count - 1 - following if reverse else following


def _classes_of_people(seed: int, people: int, of_person: Sequence[str]) -> dict[str, np.ndarray]:
    """Return (people,) class codes by attribute: even over people, and the least associated set of some tries."""
    wanted = (of_person,) if isinstance(of_person, str) else tuple(of_person)
    for name in wanted:
        if name not in CLASSES:
            raise SordineError(f"faces: of_person has the unknown attribute {name!r}; {nearest(name, CLASSES)}")
    rng = numpy_rng(seed, "faces of person")
    best, least = {}, np.inf
    for _ in range(_TRIES):
        candidate = {name: rng.permutation(np.arange(people) % len(CLASSES[name])) for name in wanted}
        found = sum(
            _association(_joint(candidate[a], candidate[b])) ** 2 for a, b in itertools.combinations(candidate, 2)
        )
        if found < least:
            best, least = candidate, found
    return best


def _joint(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the joint distribution of two columns of codes."""
    counts = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(counts, (a, b), 1)
    return counts / counts.sum()


def _association(joint: np.ndarray) -> float:
    """Return Cramer's V of a joint distribution (a, b) without empty classes."""
    rows, columns = joint.sum(axis=1, keepdims=True), joint.sum(axis=0, keepdims=True)
    phi = float((joint**2 / (rows * columns)).sum()) - 1
    return float(np.sqrt(max(phi, 0) / max(min(joint.shape) - 1, 1)))


def _mixture(attribute: str, parent: str, shares: np.ndarray, count: int, v: float) -> float:
    """Return the probability of following that gives Cramer's V v for an even attribute and its parent's shares."""
    # The overlap of two divisions of the unit interval is the joint distribution.
    ends, even = np.cumsum(shares), np.arange(1, count + 1) / count
    common = np.minimum(ends[:, None], even) - np.maximum((ends - shares)[:, None], even - 1 / count)
    most = _association(np.maximum(common, 0)[shares > 0])
    if v > most + _ROUNDING:
        raise SordineError(
            f"faces: the correlation of {parent!r} and {attribute!r} is {v:g}; their classes allow at most {most:.3f}"
        )
    return v / most


def _edges(of_person: Iterable[str], correlations: dict[tuple[str, str], float]) -> dict[str, list[tuple[str, float]]]:
    """Return the neighbours of each attribute and their correlations, after checking the pairs."""
    edges: dict[str, list[tuple[str, float]]] = {name: [] for name in ATTRIBUTES}
    for name in of_person:
        edges[PERSON].append((name, 1.0))
        edges[name].append((PERSON, 1.0))
    for pair, r in correlations.items():
        if not (isinstance(pair, tuple) and len(pair) == 2):
            raise SordineError(f"faces: a correlation needs a pair of attributes as its key, not {pair!r}")
        for name in pair:
            if name not in ATTRIBUTES:
                raise SordineError(
                    f"faces: correlations has the unknown attribute {name!r}; {nearest(str(name), ATTRIBUTES)}"
                )
        first, other = pair
        if first == other:
            raise SordineError(f"faces: correlations pairs {first!r} with itself; name two attributes")
        if not abs(r) <= 1:
            raise SordineError(f"faces: the correlation of {first!r} and {other!r} is {r}; it must be from -1 to 1")
        edges[first].append((other, float(r)))
        edges[other].append((first, float(r)))
    return edges


def _order(edges: dict[str, list[tuple[str, float]]]) -> Iterator[tuple[str, str | None, float]]:
    """Yield (attribute, the one that it follows, r), each after the one that it follows."""
    done: set[str] = set()

    def walk(name: str, parent: str | None, r: float) -> Iterator[tuple[str, str | None, float]]:
        done.add(name)
        yield name, parent, r
        back = False
        for child, strength in edges[name]:
            # The way back occurs once: a second one is a pair that is given twice.
            if child == parent and not back:
                back = True
            elif child in done:
                raise SordineError(
                    f"faces: the pairs with {name!r} and {child!r} form a cycle (attributes of the person are already "
                    "paired with it); leave one out"
                )
            else:
                yield from walk(child, name, strength)

    for name in ATTRIBUTES:
        if name not in done:
            yield from walk(name, None, 0.0)


def _split(person: np.ndarray, seed: int, options: FaceOptions) -> np.ndarray:
    """Return "train" or "test" for each record: (n,). Raises SordineError where a side would be empty."""
    n, people = len(person), options.people
    held_out = n // 4 if options.test is None else options.test
    if not 0 < held_out < n:
        raise SordineError(f"faces: {held_out} test records of {n}; both sides of the split need at least one")
    if not options.group_by_person:
        return np.where(np.arange(n) < n - held_out, "train", "test")
    order = numpy_rng(seed, "faces split").permutation(people)
    out = order[: min(max(1, round(people * held_out / n)), people - 1)]
    split = np.where(np.isin(person, [f"p{k:02d}" for k in out]), "test", "train")
    if len(set(split)) < 2:
        raise SordineError(f"faces: {n} records of {people} people leave one side of the split empty; increase n")
    return split


# --------------------------------------------------------------------------------------------------------------
# pictures


def identity(seed: int, person: int) -> FaceGeometry:
    """Return the geometry of a person; it depends on the seed and the person alone."""
    rng = numpy_rng(seed, f"faces person {person}")
    between = rng.uniform
    return FaceGeometry(
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
    """Yield the `Face` of each record of `draw_labels`, which `draw` draws."""
    columns = [labels[name].tolist() for name in ATTRIBUTES]
    people: dict[str, FaceGeometry] = {}
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
    """Return a colour of any brightness and low saturation from three numbers in [0, 1)."""
    grey, warm, green = 0.2 + 0.6 * bright, 0.36 * warm - 0.18, 0.2 * green - 0.1
    return grey + warm, grey + green, grey - warm


def _pictures(labels: Mapping[str, np.ndarray], seed: int, options: FaceOptions) -> Iterator[np.ndarray]:
    """Yield the picture of each record: (3, size, size) uint8."""
    rng = numpy_rng(seed, "faces noise")
    for face in truths(labels, seed):
        picture = draw(face, options.size)
        if options.noise:
            noisy = rng.standard_normal(picture.shape, dtype=np.float32) * np.float32(options.noise) + picture
            picture = np.rint(np.minimum(np.maximum(noisy, 0), 255)).astype(np.uint8)
        yield picture

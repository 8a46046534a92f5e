"""The contract of an attack, and what every attack is given: a split of the records and target attributes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from sordine.keys import numpy_rng
from sordine.run import Run

if TYPE_CHECKING:
    from sordine.attacks.budget import Budget, Level

ONE_SIDED_95 = 1.64  # standard errors
USUAL_RANGES = (2.0**-20, 2.0**40)  # ranges of a number that need no rescaling

LARGEST = 1 << 29  # bytes of records up to which the input form "numbers" keeps every number of wide ones

InputForm = Literal["vectors", "numbers", "records"]
LogProbabilities = Callable[[np.ndarray], np.ndarray]  # records (m, d) -> log probabilities (m, classes)


@dataclass(frozen=True)
class Split:
    """Positions of records: the attacker's own (`train`, `validation`), and those it is tested on once (`test`).

    `parts` deals the attacker's own records, in the order of `own`, into parts for cross-validation: 0 is `validation`,
    -1 is for training only. Records of one group are in one part. None: `validation` is the only part.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray
    parts: np.ndarray | None = None

    @property
    def own(self) -> np.ndarray:
        """(m,) positions of the attacker's own records: `train`, then `validation`."""
        return np.concatenate([self.train, self.validation])

    @property
    def part(self) -> np.ndarray:
        """(m,) the part of each record of `own` in the attacker's own cross-validation; -1 is for training only."""
        if self.parts is not None:
            return self.parts
        return np.repeat([-1, 0], [len(self.train), len(self.validation)])

    @property
    def digest(self) -> bytes:
        """Bytes that are equal for equal splits."""
        return self.train.tobytes() + b"|" + self.validation.tobytes() + b"|" + self.test.tobytes()


@dataclass(frozen=True)
class Target:
    """An attribute to infer.

    Parameters
    ----------
    labels
        (n,) class codes of all records, -1 where unlabelled.
    classes
        Number of classes.
    """

    labels: np.ndarray
    classes: int

    def labelled(self, rows: np.ndarray) -> np.ndarray:
        """Return those of the rows that have a label."""
        return rows[self.labels[rows] >= 0]

    def has_two_classes(self, rows: np.ndarray) -> bool:
        """Whether the labelled ones of these rows belong to at least two classes."""
        return len(np.unique(self.labels[self.labelled(rows)])) >= 2


@dataclass(frozen=True)
class Attack(ABC):
    """A learner that infers attributes from records. The fields of a subclass are its options.

    An attack is one class in one file, and one line in `sordine.attacks.registry`; an attack from outside the package
    calls `ATTACKS.register`. It chooses its own hyperparameters on the validation records.

    Attributes
    ----------
    input_form
        "vectors": (n, d) float32, where records wider than `WIDEST` numbers are replaced by their principal axes.
        "numbers": (n, d) float32 with every number, as long as they fit in memory; else as "vectors".
        "records": (n, *shape), as they were released.
    gives_probabilities
        Whether `fit_probabilities` is there, so that the attack can pool several records or releases.
    refits
        Whether `fit_probabilities` learns once more, from training and validation records together.
    shares_work
        Whether several targets on the same records cost less together than one by one.
    joins_releases
        Whether several releases of the same records cost less together than one by one.
    budgets
        The budgets in which the attack takes part without being named.
    released_only
        The budgets in which the attack is made on released records of suppressed attributes alone, to save time. Its
        accuracy is then compared with the best one on originals.
    finds_plants
        The planted leaks (`sordine.attacks.plants`) on which the attack is repeated, hundreds of times: those "in few
        numbers", those "in all numbers", or none ("").
    run_time
        Relative run time. The runner starts long attacks first, so that no worker idles at the end.
    """

    input_form: ClassVar[InputForm] = "vectors"
    gives_probabilities: ClassVar[bool] = False
    refits: ClassVar[bool] = True
    shares_work: ClassVar[bool] = True
    joins_releases: ClassVar[bool] = False
    budgets: ClassVar[tuple[Level, ...]] = ()
    released_only: ClassVar[tuple[Level, ...]] = ()
    finds_plants: ClassVar[Literal["", "in few numbers", "in all numbers"]] = ""
    run_time: ClassVar[int] = 1

    @classmethod
    def accepts(cls, shape: Sequence[int]) -> bool:
        """Whether the attack accepts records of this shape."""
        return True

    @classmethod
    def from_budget(cls, budget: Budget) -> Attack:
        """Return the attack with the options that a budget sets."""
        return cls()

    def report_options(self) -> dict[str, Any]:
        """Return options that a report has to mention, by their JSON names."""
        return {}

    @abstractmethod
    def fit_predict(
        self, x: np.ndarray, split: Split, targets: Sequence[Target], run: Run | None = None, *, on_axes: bool = False
    ) -> list[np.ndarray]:
        """Learn from the attacker's own records and predict the test records.

        Parameters
        ----------
        x
            All records, in the attack's `input_form`. They are not written to.
        split
            Which records to learn from, to choose by, and to predict.
        targets
            The attributes to infer. The prediction of one does not depend on the others, up to rounding.
        run
            Device and seed.
        on_axes
            Whether x lies on principal axes. Their lengths carry information, so distances must not standardise them.

        Returns
        -------
        list of numpy.ndarray
            For each target the predicted class codes (m,) of the test records.
        """

    def fit_predict_releases(
        self,
        releases: Sequence[np.ndarray],
        split: Split,
        targets: Sequence[Target],
        run: Run | None = None,
        *,
        on_axes: bool = False,
    ) -> list[list[np.ndarray]]:
        """Return what `fit_predict` returns, for each of several releases of the same records.

        An attack overrides this where it can share work, or where it has a faster path for records that are copies of
        each other. Its result is that of `fit_predict` up to rounding and the attack's own random draws.
        """
        return [self.fit_predict(x, split, targets, run, on_axes=on_axes) for x in releases]

    def prepare(self, x: np.ndarray, split: Split, target: Target, run: Run, *, on_axes: bool = False) -> Prepared:
        """Return the attack with its records, to repeat it with other labels or other values of few numbers.

        An attack that is repeated on hundreds of planted leaks overrides this where it can share work.

        Parameters
        ----------
        x
            Records (n, d) float32.
        """
        return Prepared(self, x, split, target, run, on_axes)

    def probability_candidates(self) -> Sequence[float]:
        """Return the hyperparameters among which `fit_probabilities` is chosen by its validation loss."""
        return (0.0,)

    def fit_probabilities(
        self, x: np.ndarray, target: Target, split: Split, run: Run, candidate: float
    ) -> LogProbabilities:
        """Learn from the labelled records `split.train` and return a function that gives log P(class | record)."""
        raise NotImplementedError(f"{type(self).__name__} gives no probabilities")


@dataclass(frozen=True)
class Prepared:
    """An attack with its records, which is repeated with other labels or other values of few numbers."""

    attack: Attack
    x: np.ndarray
    split: Split
    target: Target
    run: Run
    on_axes: bool = False

    def relabelled(self, labels: np.ndarray) -> np.ndarray:
        """Return the predicted classes (m,) of the test records where all records have other labels (n,)."""
        target = Target(labels, self.target.classes)
        return self.attack.fit_predict(self.x, self.split, [target], self.run, on_axes=self.on_axes)[0]

    def replaced(self, numbers: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Return the predicted classes (m,) where some numbers (k,) have other values (n, k)."""
        changed = self.x.copy()
        changed[:, numbers] = values
        return self.attack.fit_predict(changed, self.split, [self.target], self.run, on_axes=self.on_axes)[0]


@dataclass(frozen=True)
class Fold:
    """One fold of the attacker's own cross-validation: labelled records to learn from, and those of one part."""

    part: int
    train: np.ndarray
    held: np.ndarray


def folds_of(target: Target, split: Split) -> list[Fold]:
    """Return the folds with two classes to learn from and a record to predict."""
    labelled = target.labels[split.own] >= 0
    own, part = split.own[labelled], split.part[labelled]
    folds = [Fold(int(k), own[part != k], own[part == k]) for k in np.unique(part[part >= 0])]
    return [fold for fold in folds if target.has_two_classes(fold.train)]


def sampled_rows(rows: np.ndarray, most: int, seed: int, purpose: str) -> np.ndarray:
    """Return at most `most` of some rows, drawn at random, in their order."""
    return rows if len(rows) <= most else np.sort(numpy_rng(seed, purpose).choice(rows, most, replace=False))


def moments(x: np.ndarray, rows: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and scale (d,) float32 of records (n, d), or of some rows.

    A column that does not vary has scale 1, so that it stays at 0.
    """
    part = x if rows is None else x[rows]
    mean = part.mean(0, dtype=np.float64).astype(np.float32)
    scale = part.std(0, dtype=np.float64).astype(np.float32)
    varies = part.max(0) > part.min(0)
    return mean, np.where(varies & (scale > 0), scale, np.float32(1))


def rescaled(x: np.ndarray) -> np.ndarray:
    """Return records (n, *shape) in which numbers of an unusual range have a usual one.

    A number whose range lies outside `USUAL_RANGES` is multiplied by a power of two, which loses no bit, so that its
    range is 1 to 2. Without this, an attribute written in differences of 1e-13 would escape the attacks. Where there is
    no such number, the same array is returned.
    """
    if not len(x) or not np.issubdtype(x.dtype, np.floating):
        return x
    span = x.max(0).astype(np.float64) - x.min(0)
    odd = np.isfinite(span) & (span > 0) & ((span < USUAL_RANGES[0]) | (span > USUAL_RANGES[1]))
    if not odd.any():
        return x
    power = np.where(odd, 1 - np.frexp(np.where(odd, span, 1.0))[1], 0)
    return np.asarray(np.ldexp(x, power.astype(np.int32)))


def majority_class(target: Target, rows: np.ndarray) -> int:
    """Return the most frequent class among some rows; 0 where none is labelled."""
    labels = target.labels[rows]
    return int(np.bincount(labels[labels >= 0], minlength=1).argmax())


def majority_predictions(target: Target, own: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Return the attacker's most frequent class for every test record: (m,)."""
    return np.full(len(test), majority_class(target, own))


def accuracy_on(target: Target, rows: np.ndarray, predicted: np.ndarray) -> float:
    """Return the accuracy on the labelled ones of some rows; 0 where none is labelled."""
    labels = target.labels[rows]
    known = labels >= 0
    return float((predicted[known] == labels[known]).mean()) if known.any() else 0.0


def class_shares(target: Target, rows: np.ndarray) -> np.ndarray:
    """Return the share of each class among the labelled rows: (classes,)."""
    labels = target.labels[rows]
    count = np.bincount(labels[labels >= 0], minlength=target.classes)
    return np.asarray(count / max(count.sum(), 1))


def pick_class(probabilities: np.ndarray, shares: np.ndarray, least: bool) -> np.ndarray:
    """Return the class of each record: the likeliest one, or the one that is least likely for its frequency.

    Parameters
    ----------
    probabilities
        (n, classes).
    shares
        (classes,) share of each class in training. A class without training records is never picked as least likely.
    least
        Whether to pick the least likely class.
    """
    if not least:
        return np.asarray(probabilities.argmax(1))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(shares > 0, probabilities / shares, np.inf).argmin(1))


def choose_candidate(
    candidates: Sequence[np.ndarray], shares: np.ndarray, target: Target, validation: np.ndarray
) -> tuple[int, bool]:
    """Return which candidate predicts the validation records best, and whether its least likely class is picked.

    A modifier can move the records that it was fitted on so far that their own class becomes the least likely one. The
    least likely class is picked only where that is more accurate than every likeliest class, and than the most frequent
    class by a one-sided 95 % margin: among many classes at chance, one in two would be a little better by luck.

    Parameters
    ----------
    candidates
        Class probabilities (n, classes) of the validation records, one array for each candidate.
    shares
        (classes,) share of each class in training.
    """
    labels = target.labels[validation]
    known = labels >= 0
    labels = labels[known]
    picked = [[pick_class(p, shares, least)[known] for p in candidates] for least in (False, True)]
    scores = (np.array(picked) == labels).mean(2) if len(labels) else np.zeros((2, len(candidates)))
    best = scores.argmax(1)
    plain, other = (int(best[0]), False), (int(best[1]), True)
    if not len(labels):
        return plain
    baseline = float(np.bincount(labels).max() / len(labels))
    margin = ONE_SIDED_95 * float(np.sqrt(baseline * (1 - baseline) / len(labels)))
    return other if scores[1].max() > max(scores[0].max(), baseline + margin) else plain

"""Checks of a release that need no training.

They find records that do not match, damaged features, and columns, ids or an order that give away a suppressed
attribute.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.naive_bayes import MultinomialNB
from sklearn.tree import DecisionTreeClassifier

from sordine.attacks.runner import many_classes_expected
from sordine.data.table import LARGEST, Table
from sordine.data.table_io import rows_at_once
from sordine.evaluation.report import Flaw
from sordine.keys import numpy_rng
from sordine.metrics.accuracy import majority
from sordine.metrics.information import accuracy_from_labels
from sordine.metrics.percent import percent
from sordine.policy import Policy

SURE = 4.0  # standard deviations above permuted labels, because many checks are made
NOTABLE = 0.1  # NAG below which a check is silent
STRONG = 0.25  # NAG from which a column is a leak
LOOKED_AT = 6000  # records whose ids and order are checked
DRAWS = 20
LARGEST_DIVISOR = 24  # of a row's number: classes that take turns are found up to so many
BLOCK = 4096


@dataclass(frozen=True)
class Match:
    """Rows of the two tables that are the same record, in the order of the originals, and flaws of the match."""

    original: np.ndarray
    released: np.ndarray
    flaws: tuple[Flaw, ...]


def match(original: Table, released: Table) -> Match:
    """Match released records with originals by id. Of a repeated id, the first record counts."""
    first: dict[str, int] = {}
    repeated = []
    for row, name in enumerate(map(str, released.ids)):
        if first.setdefault(name, row) != row:
            repeated.append(name)
    rows = np.array([first.get(str(name), -1) for name in original.ids], dtype=np.int64)
    known = {str(name) for name in original.ids}
    extra = [name for name in first if name not in known]
    flaws = []
    missing = original.ids[rows < 0]
    if len(missing):
        flaws.append(
            _broken("missing", ("original record is", "original records are"), "missing from the release", missing)
        )
    if extra:
        flaws.append(
            _broken("extra", ("released record is", "released records are"), "not in the original table", extra)
        )
    if repeated:
        flaws.append(_broken("duplicate", ("released record repeats", "released records repeat"), "an id", repeated))
    matched = np.flatnonzero(rows >= 0)
    if (np.diff(rows[matched]) < 0).any():
        flaws.append(Flaw("order", "note", "The released records have another order. They were matched by id."))
    return Match(matched, rows[matched], tuple(flaws))


def _broken(
    code: str,
    forms: tuple[str, str],
    what: str,
    ids: Iterable[str],
    then: str = "the audit uses the records that match",
) -> Flaw:
    # Forms: of one record, and of several. The id is a field of its own: the sentence may be released, the id may not.
    ids = list(ids)
    return Flaw(code, "broken", f"{len(ids):,} {forms[len(ids) > 1]} {what}; {then}.", example=str(ids[0]))


@dataclass(frozen=True)
class Contents:
    """Results for every matched record: flaws, which records are finite, and which are unchanged."""

    flaws: tuple[Flaw, ...]
    finite: np.ndarray
    equal: np.ndarray


def contents(original: Table, released: Table, rows: Match) -> Contents:
    """Find NaN and infinity, records and columns without variation, and unchanged records. Works in blocks."""
    n = len(rows.released)
    finite, equal = np.ones(n, bool), np.zeros(n, bool)
    same_width = original.width == released.width
    low = np.full(released.width, np.inf)
    high = -low
    low_before = np.full(original.width, np.inf)
    high_before = -low_before
    most = min(BLOCK, rows_at_once(original.shape), rows_at_once(released.shape))
    for start in range(0, n, most):
        part = slice(start, min(start + most, n))
        after = np.asarray(released.x[rows.released[part]], np.float32).reshape(part.stop - start, -1)
        before = np.asarray(original.x[rows.original[part]], np.float32).reshape(part.stop - start, -1)
        finite[part] = (np.abs(after) < LARGEST).all(1)  # not of NaN either
        if same_width:
            equal[part] = (after == before).all(1)
        good = finite[part]
        if good.any():
            low, high = np.minimum(low, after[good].min(0)), np.maximum(high, after[good].max(0))
            low_before, high_before = (
                np.minimum(low_before, before[good].min(0)),
                np.maximum(high_before, before[good].max(0)),
            )
    flaws = []
    bad = rows.released[~finite]
    if len(bad):
        forms = ("released record contains", "released records contain")
        what = "NaN, infinity or numbers too large to compute with"
        left = "it is left out" if len(bad) == 1 else "they are left out"
        flaws.append(_broken("finite", forms, what, released.ids[bad], left))
    if not same_width:
        message = f"Released records have {released.width} numbers, the originals {original.width}."
        flaws.append(Flaw("width", "note", message))
    still = (low == high) if finite.any() else np.zeros(0, bool)
    if len(still) and still.all() and finite.sum() > 1:
        flaws.append(Flaw("constant", "broken", "All released records are equal, so they contain no information."))
    elif len(still) and (dead := still & ~(low_before == high_before) if same_width else still).any():
        count, first = f"{dead.sum():,} of {len(still):,}", int(dead.argmax())
        message = f"{count} released columns have one value (the first: column {first})."
        flaws.append(Flaw("constant-column", "note", message))
    if equal.any():
        message = f"{equal.sum():,} of {n:,} records {'is' if equal.sum() == 1 else 'are'} released unchanged."
        flaws.append(Flaw("untouched", "note", message))
    return Contents(tuple(flaws), finite, equal)


def columns(original: Table, released: Table, rows: Match, policy: Policy) -> list[Flaw]:
    """Find released columns that are a suppressed attribute or give one away."""
    flaws = []
    beside = {name: codes[rows.released] for name, codes in released.y.items()}
    if released.group is not None:
        beside["group"] = released.group[rows.released]
    for column, values in released.extra.items():
        if values.dtype != object:  # numbers, in 50 bins of equal counts
            known = np.isfinite(values)
            edges = np.unique(np.quantile(values[known], np.linspace(0, 1, 51)[1:-1])) if known.any() else np.zeros(0)
            beside[column] = np.where(known, np.searchsorted(edges, values, side="right"), -1)[rows.released]
        else:
            flaws += _text_leakage(original, rows, policy, column, [str(v) for v in values[rows.released]])
    for name in policy.suppress:
        if name in beside:
            message = f"The suppressed attribute `{name}` is a column of the release. Remove the column."
            flaws.append(Flaw("suppressed-column", "leak", message, name, name))
        truth = original.y[name][rows.original]
        for column, codes in beside.items():
            if column == name:
                continue
            share = column_leakage(truth, np.where(codes < 0, codes.max(initial=0) + 1, codes))  # empty cells may tell
            if share is None or share < NOTABLE / 2:
                continue
            strong = share >= STRONG
            how = "determines" if share > 0.999 else "gives away"
            much = "" if share > 0.999 else f" {percent(share, 0)} of"
            message = f"Released column `{column}` {how}{much} the suppressed `{name}`."
            flaws.append(Flaw("telling-column", "leak" if strong else "note", message, name, column))
    return flaws


def _text_leakage(original: Table, rows: Match, policy: Policy, column: str, texts: list[str]) -> list[Flaw]:
    # A column of many different strings, predicted from their character n-grams.
    some = np.sort(numpy_rng(0, "texts looked at").permutation(len(texts))[:LOOKED_AT])
    flaws = []
    if len(some):
        spelled = _grams().transform([texts[i] for i in some])
        for name in policy.suppress:
            share = _leakage_of(MultinomialNB(), spelled, original.y[name][rows.original][some])
            if share > NOTABLE:
                message = f"Released column `{column}` gives away {percent(share, 0)} of the suppressed `{name}`."
                flaws.append(Flaw("telling-column", "leak" if share >= STRONG else "note", message, name, column))
    return flaws


def _grams() -> HashingVectorizer:
    return HashingVectorizer(
        analyzer="char_wb", ngram_range=(1, 4), n_features=1 << 14, alternate_sign=False, norm=None
    )


def column_leakage(truth: np.ndarray, codes: np.ndarray) -> float | None:
    """Return the NAG (0 to 1) of predicting `truth` from a label column, less what permuted labels show.

    None where it is not above chance.
    """
    known = (truth >= 0) & (codes >= 0)
    truth, codes = truth[known], codes[known]
    if len(truth) < 2 or len(np.unique(codes)) < 2 or majority(truth) == 1:
        return None
    rng = numpy_rng(0, "column tells")
    chance = np.array([accuracy_from_labels(rng.permutation(truth), codes) for _ in range(DRAWS)])
    found = accuracy_from_labels(truth, codes)
    if found <= chance.mean() + SURE * chance.std() + 1e-9 or chance.mean() >= 1:
        return None
    return float((found - chance.mean()) / (1 - chance.mean()))


def names_and_order(original: Table, released: Table, rows: Match, policy: Policy, *, final: bool) -> list[Flaw]:
    """Find ids and an order of the records that give away a suppressed attribute.

    final: whether ids and order are released as they are. Otherwise `sordine release` replaces them, and flaws
    are notes.
    """
    pick = rows.released
    truths = {name: original.y[name][rows.original] for name in policy.suppress}
    if len(pick) > LOOKED_AT:
        some = np.sort(numpy_rng(0, "ids looked at").choice(len(pick), LOOKED_AT, replace=False))
        pick, truths = pick[some], {name: t[some] for name, t in truths.items()}
    ids = [str(i) for i in released.ids[pick]]
    if not ids:
        return []
    severity = "leak" if final else "note"
    remedy = "" if final else " `sordine release` replaces ids and order. Release its output, not this working copy."
    flaws = []
    spelled, numbers, order = _grams().transform(ids), _numbers(ids), np.column_stack([pick, _remainders(pick)])
    for name, truth in truths.items():
        named = _class_in_id(ids, truth, original.classes[name])
        by_text = _leakage_of(MultinomialNB(), spelled, truth)
        by_number = _leakage_of(DecisionTreeClassifier(min_samples_leaf=3, random_state=0), numbers, truth)
        if named > NOTABLE:
            example = next(
                i for i, t in zip(ids, truth, strict=True) if t >= 0 and _spells(i, original.classes[name][t])
            )
            message = f"Ids contain the class of the suppressed `{name}`.{remedy}"
            flaws.append(Flaw("telling-id", severity, message, name, example=example))  # type: ignore[arg-type]
        elif max(by_text, by_number) > NOTABLE:
            message = f"Ids give away {percent(max(by_text, by_number), 0)} of the suppressed `{name}`.{remedy}"
            flaws.append(Flaw("telling-id", severity, message, name))  # type: ignore[arg-type]
        by_order = _leakage_of(DecisionTreeClassifier(min_samples_leaf=3, random_state=0), order, truth)
        if by_order > NOTABLE:
            message = f"The order of the records gives away {percent(by_order, 0)} of the suppressed `{name}`.{remedy}"
            flaws.append(Flaw("telling-order", severity, message, name))  # type: ignore[arg-type]
    return flaws


def _tokens(name: str) -> list[str]:
    return [t for t in re.split(r"[^0-9a-z]+", name.lower()) if t]


def _spells(name: str, cls: str) -> bool:
    wanted = _tokens(cls)
    return bool(wanted) and set(wanted) <= set(_tokens(name))


def _class_in_id(ids: list[str], truth: np.ndarray, classes: tuple[str, ...]) -> float:
    # Share of ids that contain their record's own class, above that of permuted classes; 0 where that may be chance.
    known = np.flatnonzero(truth >= 0)
    if len(known) < 10 or len(np.unique(truth[known])) < 2:
        return 0.0
    parts = [set(_tokens(ids[i])) for i in known]
    spelled = np.zeros((len(known), len(classes)), bool)
    for c, name in enumerate(classes):
        wanted = set(_tokens(name))
        if wanted:
            spelled[:, c] = [wanted <= p for p in parts]
    labels = truth[known]
    rows = np.arange(len(known))
    rng = numpy_rng(0, "class in id")
    chance = np.array([spelled[rows, rng.permutation(labels)].mean() for _ in range(DRAWS)])
    found = float(spelled[rows, labels].mean())
    if found <= chance.mean() + SURE * chance.std() + 1e-9:
        return 0.0
    return (found - float(chance.mean())) / max(1 - float(chance.mean()), 1e-9)


def _numbers(ids: list[str]) -> np.ndarray:
    # The last four numbers in each id, the last one first, -1 where there are fewer; then the last one's remainders.
    found = np.full((len(ids), 4), -1.0)
    for i, name in enumerate(ids):
        for j, digits in enumerate(reversed(re.findall(r"\d{1,15}", name)[-4:])):
            found[i, j] = float(digits)
    return np.column_stack([found, _remainders(found[:, 0])])


def _remainders(numbers: np.ndarray) -> np.ndarray:
    # The remainders of whole numbers (n,), which show classes that take turns: (n, divisors).
    return np.mod(numbers[:, None], np.arange(2, LARGEST_DIVISOR + 1)).astype(np.float64)


def _leakage_of(model: MultinomialNB | DecisionTreeClassifier, features: np.ndarray, truth: np.ndarray) -> float:
    # NAG of a small classifier, cross-validated on two halves; 0 where it may be chance.
    known = np.flatnonzero(truth >= 0)
    if len(known) < 40 or len(np.unique(truth[known])) < 2:
        return 0.0
    half = numpy_rng(0, "halves").permutation(len(known)) % 2 == 0
    sides = known[half], known[~half]
    hits = 0
    with many_classes_expected():
        for own, other in (sides, sides[::-1]):
            hits += int((model.fit(features[own], truth[own]).predict(features[other]) == truth[other]).sum())
    n, guess = len(known), majority(truth[known])
    if hits / n <= guess + SURE * np.sqrt(guess * (1 - guess) / n):
        return 0.0
    return float((hits / n - guess) / (1 - guess))

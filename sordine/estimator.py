"""Suppressor: Sordine as a scikit-learn transformer."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from sordine.data.table import Table
from sordine.errors import SordineError, nearest
from sordine.keys import Key
from sordine.methods.registry import default_method, make
from sordine.models.modifier import Modifier
from sordine.policy import Policy
from sordine.run import Run


class Suppressor(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    """Fits a modifier on X and its attributes; `transform` releases records, without labels.

    method: a name in `sordine.methods.registry.METHODS`, None for the one that holds best for the policy. suppress, preserve:
    names of attributes (or a single one); positions of columns where the attributes come as a nameless array. settings:
    fields of the method. seed: of the training. key: a `Key` or the path of a key file; None makes one anew at each fit.
    device: where to train. workers: threads of `transform`; the result does not depend on it.

    Columns of a data frame are matched by name: `transform` refuses other names, or another order, than at the fit.

    After `fit`: modifier_ (a `Modifier`), key_ (its `Key`: secret), n_features_in_, and feature_names_in_ where X had them.
    """

    def __init__(
        self,
        method: str | None = None,
        suppress: Any = (),
        preserve: Any = (),
        *,
        settings: Mapping[str, Any] | None = None,
        seed: int = 0,
        key: Any = None,
        device: str = "cpu",
        workers: int = 2,
    ) -> None:
        self.method = method
        self.suppress = suppress
        self.preserve = preserve
        self.settings = settings
        self.seed = seed
        self.key = key
        self.device = device
        self.workers = workers

    def fit(self, X: Any, y: Any = None, attributes: Any = None, ids: Any = None) -> Suppressor:
        """Fit on every record of X: (n, width).

        y or attributes: the labels, as a mapping or DataFrame name -> n labels, or as an array (n, k) whose columns are
        the suppressed and then the preserved attributes (or are named by position in `suppress` and `preserve`). None and
        NaN mean unlabelled; every other value is a class, -1 too. Inside a pipeline that ends in a predictor y is the
        predictor's: pass `suppressor__attributes=`. ids: n unique strings.
        Raises ValueError for an X of the wrong kind, SordineError for labels, methods or fields that do not fit.
        """
        records = _validated(self, X, reset=True)
        suppress, preserve = _roles(self.suppress), _roles(self.preserve)
        labels = _labels(attributes if attributes is not None else y, suppress, preserve)
        names = _content_ids(records, unique=True) if ids is None else [str(i) for i in ids]
        table = Table.of(records, {n: labels[n] for n in (*suppress, *preserve)}, ids=names, source="X")
        policy = table.require(Policy(suppress, preserve, ()))
        name = self.method if self.method is not None else default_method(policy)
        recipe = make(name, self.settings)
        if recipe.suppresses and not suppress:
            raise SordineError(f"method {name!r} needs at least one attribute to suppress")
        key = self.key if isinstance(self.key, Key) else Key.fresh() if self.key is None else Key.read(self.key)
        modifier = recipe.fit(table, policy, Run(device=self.device, seed=self.seed, key=key))
        modifier.fitted = key.digest("fitted", table.ids, 8)
        modifier.card.key = key.fingerprint
        self.modifier_: Modifier = modifier
        self.key_ = key
        return self

    def transform(self, X: Any, ids: Any = None) -> np.ndarray:
        """Released records: (n, width) float32.

        ids: n strings; a draw depends on the key and the id alone. By default an id is a hash of the record's
        content, so that the same record gives the same release however often it is asked for.
        """
        check_is_fitted(self, "modifier_")
        records = _validated(self, X, reset=False)
        names = _content_ids(records) if ids is None else [str(i) for i in ids]
        if len(names) != len(records):
            raise ValueError(f"{len(names)} ids for {len(records)} records")
        released, _ = self.modifier_.release(records, np.array(names, dtype=object), self.key_, workers=self.workers)
        return released

    @property
    def _n_features_out(self) -> int:
        return int(self.n_features_in_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.transformer_tags.preserves_dtype = ["float32"]
        tags.non_deterministic = self.key is None
        return tags


def _validated(estimator: Suppressor, X: Any, *, reset: bool) -> np.ndarray:
    """X as (n, width) float32, finite; at the fit its width and names are kept, later they must be the same."""
    _check_columns(estimator, X, reset=reset)
    try:
        from sklearn.utils.validation import validate_data
    except ImportError:  # scikit-learn before 1.6
        records = estimator._validate_data(X, reset=reset, dtype=np.float32, ensure_min_samples=2 if reset else 1)
    else:
        records = validate_data(estimator, X, reset=reset, dtype=np.float32, ensure_min_samples=2 if reset else 1)
    return np.ascontiguousarray(records)


def _check_columns(estimator: Suppressor, X: Any, *, reset: bool) -> None:
    """Raise ValueError where the columns of a data frame have other names, or another order, than at the fit: scikit-learn
    compares names that are strings only."""
    columns = getattr(X, "columns", None)
    names = None if columns is None else tuple(columns)
    if reset:
        estimator._columns = names
    elif names is not None and (before := getattr(estimator, "_columns", None)) is not None and names != before:
        if all(isinstance(n, str) for n in (*names, *before)):
            return  # scikit-learn's own message says which
        strange = [n for n in (*before, *names) if n not in before or n not in names]
        how = f"column {strange[0]!r} is not in both" if strange else "the same columns stand in another order"
        raise ValueError(f"X has other columns than at the fit: {how}; give the columns of the fit, in their order")


def _roles(names: Any) -> tuple[str, ...]:
    """Names (or positions) of attributes as strings."""
    if isinstance(names, str | int):
        names = (names,)
    return tuple(str(n) for n in names)


def _labels(given: Any, suppress: tuple[str, ...], preserve: tuple[str, ...]) -> dict[str, Any]:
    """Attribute name -> labels, of every attribute that has a role."""
    wanted = (*suppress, *preserve)
    if given is None:
        if wanted:
            raise SordineError("fit needs the labels of the attributes: fit(X, attributes)")
        return {}
    found: dict[str, Any]
    if isinstance(given, Mapping) or hasattr(given, "columns"):
        found = {str(name): _plain(given[name]) for name in (given if isinstance(given, Mapping) else given.columns)}
    else:
        columns = np.asarray(given)
        columns = columns.reshape(len(columns), -1)
        if all(n.isdigit() for n in wanted):
            found = {str(i): columns[:, i] for i in range(columns.shape[1])}
        elif columns.shape[1] == len(wanted):
            found = dict(zip(wanted, columns.T, strict=True))
        else:
            raise SordineError(
                f"attributes has {columns.shape[1]} nameless columns for {len(wanted)} names; "
                "pass a mapping or a DataFrame, or suppress and preserve by position"
            )
    for name in wanted:
        if name not in found:
            raise SordineError(f"attributes has no {name!r}; {nearest(name, found)}")
    return found


def _plain(column: Any) -> Sequence[Any]:
    values: Sequence[Any] = column.tolist() if hasattr(column, "tolist") else list(column)
    return values


def _content_ids(records: np.ndarray, *, unique: bool = False) -> list[str]:
    """A hash of each record's content; `unique` numbers the repeats."""
    names = [hashlib.blake2b(row.tobytes(), digest_size=16).hexdigest() for row in records]
    if not unique:
        return names
    seen: Counter[str] = Counter()
    numbered = []
    for name in names:
        seen[name] += 1
        numbered.append(name if seen[name] == 1 else f"{name}-{seen[name]}")
    return numbered

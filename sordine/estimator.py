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
    """Remove attributes from X: fit a modifier with labels, then transform records without labels.

    Columns of a data frame are matched by name: `transform` refuses other names, or another order, than in `fit`.

    Parameters
    ----------
    method
        Name of the method. None takes the default for the policy.
    suppress, preserve
        Names of attributes, or a single one; positions of columns if the attributes are an array.
    settings
        Options of the method.
    seed
        Seed of training.
    key
        A `Key`, or the path of a key file. None makes a new key in each fit.
    device
        Device of training: "cpu", "cuda" or "cuda:N".
    workers
        Threads of `transform`. They do not change the result.

    Attributes
    ----------
    modifier_
        The fitted `Modifier`.
    key_
        Its secret `Key`.
    n_features_in_
        Number of columns of X.
    feature_names_in_
        Their names, where X is a data frame.
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
        """Fit the method to every record of X.

        Parameters
        ----------
        X
            Records, (n, width).
        y, attributes
            Labels: a mapping or data frame of name -> n labels, or an array (n, k) with the suppressed and then the
            preserved attributes as columns. None and NaN mean unlabelled; every other value is a class, also -1. In a
            pipeline that ends in a predictor, y is the predictor's: pass `suppressor__attributes=`.
        ids
            n unique strings.

        Returns
        -------
        Suppressor
            Itself.

        Raises
        ------
        ValueError
            If X is of the wrong kind.
        SordineError
            If labels, method or options do not fit.
        """
        records = _validated(self, X, reset=True)
        suppress, preserve = _roles(self.suppress), _roles(self.preserve)
        labels = _labels(attributes if attributes is not None else y, suppress, preserve)
        names = _content_ids(records, unique=True) if ids is None else [str(i) for i in ids]
        table = Table.of(records, {n: labels[n] for n in (*suppress, *preserve)}, ids=names, source="X")
        policy = table.require(Policy(suppress, preserve, ()))
        name = self.method if self.method is not None else default_method(policy)
        chosen = make(name, self.settings)
        if chosen.suppresses and not suppress:
            raise SordineError(f"method {name!r} needs at least one attribute to suppress")
        key = self.key if isinstance(self.key, Key) else Key.fresh() if self.key is None else Key.read(self.key)
        modifier = chosen.fit(table, policy, Run(device=self.device, seed=self.seed, key=key))
        modifier.fitted = key.digest("fitted", table.ids, 8)
        modifier.card.key = key.fingerprint
        self.modifier_: Modifier = modifier
        self.key_ = key
        return self

    def transform(self, X: Any, ids: Any = None) -> np.ndarray:
        """Return released records: (n, width) float32.

        Parameters
        ----------
        X
            Records, (n, width).
        ids
            n strings. A draw depends on the key and the id alone. By default an id is a hash of the record's content,
            so that the same record always gives the same release.
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
    """Return X as (n, width) float32, finite. `reset` stores its width and names; otherwise they must agree."""
    _check_columns(estimator, X, reset=reset)
    try:
        from sklearn.utils.validation import validate_data
    except ImportError:  # scikit-learn before 1.6
        records = estimator._validate_data(X, reset=reset, dtype=np.float32, ensure_min_samples=2 if reset else 1)
    else:
        records = validate_data(estimator, X, reset=reset, dtype=np.float32, ensure_min_samples=2 if reset else 1)
    return np.ascontiguousarray(records)


def _check_columns(estimator: Suppressor, X: Any, *, reset: bool) -> None:
    """Raise ValueError if a data frame has other columns than in `fit`, or another order.

    scikit-learn compares names that are strings only.
    """
    columns = getattr(X, "columns", None)
    names = None if columns is None else tuple(columns)
    if reset:
        estimator._columns = names
    elif names is not None and (before := getattr(estimator, "_columns", None)) is not None and names != before:
        if all(isinstance(n, str) for n in (*names, *before)):
            return  # scikit-learn's own message says which
        strange = [n for n in (*before, *names) if n not in before or n not in names]
        how = f"column {strange[0]!r} is not in both" if strange else "the order differs"
        raise ValueError(f"X has other columns than in fit: {how}. Pass the columns of fit, in their order.")


def _roles(names: Any) -> tuple[str, ...]:
    """Return names (or positions) of attributes as strings."""
    if isinstance(names, str | int):
        names = (names,)
    return tuple(str(n) for n in names)


def _labels(given: Any, suppress: tuple[str, ...], preserve: tuple[str, ...]) -> dict[str, Any]:
    """Return attribute name -> labels for every suppressed or preserved attribute."""
    wanted = (*suppress, *preserve)
    if given is None:
        if wanted:
            raise SordineError("fit needs the labels of the attributes: call fit(X, attributes)")
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
                f"attributes has {columns.shape[1]} columns without names for {len(wanted)} names; "
                "pass a mapping or a DataFrame, or suppress and preserve by position"
            )
    for name in wanted:
        if name not in found:
            raise SordineError(f"attributes lacks {name!r}; {nearest(name, found)}")
    return found


def _plain(column: Any) -> Sequence[Any]:
    values: Sequence[Any] = column.tolist() if hasattr(column, "tolist") else list(column)
    return values


def _content_ids(records: np.ndarray, *, unique: bool = False) -> list[str]:
    """Return a hash of each record's content; `unique` numbers repeated ones."""
    names = [hashlib.blake2b(row.tobytes(), digest_size=16).hexdigest() for row in records]
    if not unique:
        return names
    counts: Counter[str] = Counter()
    numbered = []
    for name in names:
        counts[name] += 1
        numbered.append(name if counts[name] == 1 else f"{name}-{counts[name]}")
    return numbered

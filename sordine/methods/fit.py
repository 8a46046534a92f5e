"""Fit a method on a table: checks before the training, the training, and figures that hold for every method."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from sordine.data.matching import same_columns
from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.keys import numpy_rng
from sordine.methods.base import Method
from sordine.methods.forecast import forecast
from sordine.methods.forecast import sentences as forecast_sentences
from sordine.methods.registry import default_method, make
from sordine.metrics import information
from sordine.metrics.information import Entanglement
from sordine.metrics.percent import percent
from sordine.models.modifier import Modifier
from sordine.policy import Policy
from sordine.run import Run, accepts_run_keywords


@accepts_run_keywords
def fit(
    table: Table,
    policy: Policy,
    method: Method | str | None = None,
    *,
    pool: Table | None = None,
    raw_views: Callable[[Table], Any] | None = None,
    run: Run | None = None,
) -> Modifier:
    """Fit a modifier on the training side of a table.

    Parameters
    ----------
    table
        Records with labels. A table without a split is split by the key.
    policy
        Attributes to suppress, preserve and watch.
    method
        A method, its name, or None for the default method.
    pool
        Another table, for a method that accepts one. Feature columns are matched by name.
    raw_views
        Function of the training records that returns pairs of augmented views of their raw media, for a method that
        accepts it.
    run
        Device, seed, key, folder for unfinished work, log and progress.

    Returns
    -------
    Modifier
        The fitted map. Where its output is discrete, the card holds the best possible attack on fitted and on unseen
        records.

    Raises
    ------
    SordineError
        Before training, where the policy does not fit the table, the method does not fit the policy, a side of the
        split lacks the labels that the method learns from or is measured by, or columns of the pool are missing or
        additional.
    """
    run, policy = run or Run(), table.require(policy)
    table = table.with_split(policy, run.key)
    method = default_method(policy) if method is None else method
    method = make(method) if isinstance(method, str) else method
    extras = _extras(method, table, pool, raw_views, run)
    check_policy(method, policy)
    _log_limits(method, table, policy, run)
    _check_labels(method, table, policy)
    train = table.part("train")
    modifier = method.fit(train, policy, run, **extras)
    modifier.fitted = run.key.digest("fitted", train.ids, 8)
    modifier.card.key = run.key.fingerprint
    modifier.card.fit["records"] = len(train)
    modifier.card.notes += binned_sentences(method, table, policy)
    _add_figures(modifier, table, policy, run.seed)
    for note in modifier.card.notes:
        run.log(note)
    return modifier


def _add_figures(modifier: Modifier, table: Table, policy: Policy, seed: int) -> None:
    """Add to the card what an attacker with the modifier can infer: the best possible attack, and the forecast."""
    card = modifier.card
    if modifier.discrete:
        card.fit["exact"] = exact_figures(modifier, table, policy, seed)
        card.notes += excess_sentences(card.fit["exact"])
    if policy.suppress:
        card.fit["forecast"] = forecast(modifier, table, policy, seed)
        card.notes += forecast_sentences(card.fit["forecast"])


def binned_sentences(method: Method, table: Table, policy: Policy) -> list[str]:
    """Return a sentence for each continuous attribute of which the method uses quantile classes only."""
    if method.takes_continuous:
        return []
    names = [n for n in (*policy.suppress, *policy.preserve) if n in table.targets]
    return [
        f"`{name}` is continuous. The method {method.name} uses it binned into {len(table.classes[name])} classes of "
        "about equal size, so differences within a class are not changed on purpose. The audit attacks the numbers too."
        for name in names
    ]


def _extras(
    method: Method, table: Table, pool: Table | None, raw_views: Callable[[Table], Any] | None, run: Run
) -> dict[str, Any]:
    extras: dict[str, Any] = {}
    if pool is not None:
        if not method.accepts_pool:
            raise SordineError(f"method {method.name!r} does not accept a pool; remove --pool or choose another method")
        extras["pool"] = same_columns(pool.with_classes_of(table), table.features, table.source, log=run.log)
    if raw_views is not None:
        if not method.accepts_views:
            raise SordineError(
                f"method {method.name!r} does not accept raw views; remove them or choose another method"
            )
        extras["raw_views"] = raw_views
    return extras


def check_policy(method: Method, policy: Policy) -> None:
    """Raise SordineError where the method needs an attribute to suppress or to preserve, and the policy names none."""
    if method.suppresses and not policy.suppress:
        raise SordineError(f"method {method.name!r} needs at least one attribute to suppress (-s)")
    if method.preserves and not policy.preserve:
        raise SordineError(f"method {method.name!r} needs a task: an attribute to preserve (-p)")


def _log_limits(method: Method, table: Table, policy: Policy, run: Run) -> None:
    if method.preserves and policy.suppress:
        run.log(
            f"{method.name} does not hide {', '.join(policy.suppress)}: it learns from the labels of its task only. "
            "The audit measures how much an attacker can infer."
        )
    assert table.split is not None
    unseen = int((~table.split).sum())
    if policy.suppress:
        found = information.entanglement(table.y, policy.suppress, policy.preserve, policy.watch, test_records=unseen)
        for sentence in limit_sentences(found, unseen):
            run.log(sentence)


def _check_labels(method: Method, table: Table, policy: Policy) -> None:
    # A method that learns from labels and finds none would release records unchanged. The best possible attack on a
    # discrete output is computed on both sides after the fit; missing labels are reported before the training.
    named = (*policy.suppress, *policy.preserve)
    if method.needs_labels:
        table.require_labels(named, "train", together=method.discrete)
    if method.discrete:
        table.require_labels(named, "test", together=True)


def excess_sentences(exact: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return a sentence for each suppressed attribute that the outputs reveal, on unseen records, beyond chance."""
    return [
        f"On {e['records']:,} unseen records, the best possible attacker with the modifier and these records' labels "
        f"predicts `{e['attributes'][0]}` with an accuracy {percent(e['accuracy'] - e['permuted'])} higher than with "
        "permuted labels. To reduce this, use more records of each class, fewer outputs or a higher temperature. The "
        "audit measures what other attackers infer."
        for e in exact
        if e["on"] == "unseen" and not e["kept"] and len(e["attributes"]) == 1 and e["accuracy"] > e["permuted_high"]
    ]


def limit_sentences(found: Entanglement, unseen: int) -> list[str]:
    """Return what the owner should know before the training, in sentences.

    They name the attributes that depend on one another, the largest share of each preserved attribute that can remain,
    and the smallest leakage that `unseen` records can certify.
    """
    sentences = list(found.sentences)
    for name, share in found.keeps.items():
        if share > 0.99:
            sentences.append(f"All of `{name}` can be preserved: the suppressed attributes do not reveal it.")
        else:
            sentences.append(
                f"At most {percent(share, 0)} of `{name}` can be preserved if no suppressed attribute may be inferred."
            )
    for name, smallest in found.smallest.items():
        if smallest is None:
            sentences.append(f"{unseen:,} unseen records are too few to certify any leakage of `{name}`.")
        else:
            sentences.append(
                f"With {unseen:,} unseen records, no method can be certified to leak less than {percent(smallest)} "
                f"of `{name}`."
            )
    return sentences


def exact_figures(modifier: Modifier, table: Table, policy: Policy, seed: int) -> list[dict[str, Any]]:
    """Return the best possible attack on a discrete output, for fitted and for unseen records.

    The attack is computed for each suppressed attribute, for all of them jointly, and jointly with the preserved
    columns beside the record; permuted labels give its value by chance. At most 20,000 records of a side are used.

    Returns
    -------
    list of dict
        `attributes`, `kept` (columns beside the record), `on` (fitted or unseen), `accuracy`, `guess` (the baseline),
        `permuted` (mean accuracy on permuted labels), `permuted_high` (their 95 % quantile), `records`.
    """
    targets: list[tuple[tuple[str, ...], tuple[str, ...]]] = [((s,), ()) for s in policy.suppress]
    if len(policy.suppress) > 1:
        targets.append((policy.suppress, ()))
    if policy.preserve:
        targets.append((policy.suppress, policy.preserve))
    figures = []
    for on, side in (("fitted", "train"), ("unseen", "test")):
        part = table.part(side)  # type: ignore[arg-type]
        if len(part) > 20000:
            part = part.take(np.sort(numpy_rng(seed, f"exact {on}").choice(len(part), 20000, replace=False)))
        p = modifier.output_distributions(part.x)
        for attributes, kept in targets:
            labels = information.joint([part.y[a] for a in attributes])
            columns = information.joint([part.y[a] for a in kept]) if kept else None
            classes = int(labels.max()) + 1
            permuted = information.permuted_accuracy(p, labels, classes, columns, 20, numpy_rng(seed, "permuted"))
            figures.append(
                {
                    "attributes": list(attributes),
                    "kept": list(kept),
                    "on": on,
                    "accuracy": float(information.optimal_accuracy(p, labels, classes, columns)),
                    "guess": float(information.optimal_baseline(labels, columns)),
                    "permuted": float(permuted.mean()),
                    "permuted_high": float(np.quantile(permuted, 0.95)),
                    "records": len(part),
                }
            )
    return figures

"""Methods: recipes that fit a modifier. `METHODS` names them; `fit` runs one on a table under a policy."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydantic

from sordine import information
from sordine.errors import SordineError, nearest
from sordine.findings import Entanglement
from sordine.keys import numpy_rng
from sordine.matching import same_columns
from sordine.methods.flow import Flow
from sordine.methods.inversion import Inversion
from sordine.methods.leace import Leace
from sordine.methods.masking import Masking
from sordine.methods.mass import Mass
from sordine.methods.noise import Noise
from sordine.methods.nothing import Nothing
from sordine.methods.replacement import Replacement
from sordine.methods.substitution import Substitution
from sordine.methods.transport import Transport
from sordine.modifier import Modifier, open_modifier
from sordine.policy import Policy
from sordine.recipe import Method, Run
from sordine.table import Table

METHODS: dict[str, Any] = {
    "mass": Mass,
    "substitution": Substitution,
    "transport": Transport,
    "flow": Flow,
    "inversion": Inversion,
    "masking": Masking,
    "replacement": Replacement,
    "leace": Leace,
    "noise": Noise,
    "nothing": Nothing,
}


def default_method(policy: Policy, *, copies: bool = False) -> str:
    """The method that holds best: transport, whether the tasks to come are named or not (docs/results/unknown-task.md).

    copies: whether what leaves must be copies of real records (another table's, or files of media): then substitution.
    """
    return "substitution" if copies else "transport"


def make(name: str, settings: Mapping[str, Any] | None = None) -> Method:
    """A method by name with some of its fields set (strings are parsed by the field's type).

    Raises SordineError naming the nearest known method or field, or the field whose value does not fit.
    """
    if name not in METHODS:
        raise SordineError(f"no method {name!r}; {nearest(name, METHODS)}")
    kind = METHODS[name]
    known = [f.name for f in dataclasses.fields(kind)]
    for field in settings or {}:
        if field not in known:
            raise SordineError(f"method {name!r} has no field {field!r}; {nearest(field, known)}")
    try:
        method: Method = pydantic.TypeAdapter(kind).validate_python(dict(settings or {}))
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise SordineError(f"method {name!r}: {where} = {first['input']!r}: {first['msg']}") from None
    return method


def fit(table: Table, policy: Policy, method: Method | str | None = None, *, run: Run | None = None) -> Modifier:
    """Fit a modifier on the training side of a table.

    Says first, through `run.log`, what is entangled on this table. The modifier's card holds, where its output is
    discrete, the exact best attack on the fitted and on the unseen records.
    Raises SordineError, before training, where the policy does not fit the table or the method does not fit the policy, and
    where a side of the split lacks the labels that the method learns from or is measured by. Feature columns of a pool are
    matched by name; one that is missing or additional is refused.
    """
    run = run or Run()
    policy = table.require(policy)
    table = table.with_split(policy, run.key)
    if method is None:
        method = default_method(policy)
    if isinstance(method, str):
        method = make(method)
    if method.suppresses and not policy.suppress:
        raise SordineError(f"method {type(method).__name__.lower()!r} needs at least one attribute to suppress (-s)")
    if method.preserves and not policy.preserve:
        raise SordineError(f"method {type(method).__name__.lower()!r} needs a task: an attribute to preserve (-p)")
    if run.pool is not None and not isinstance(method, Substitution | Inversion):
        raise SordineError(f"method {type(method).__name__.lower()!r} takes no pool; substitution and inversion do")
    if method.preserves and policy.suppress:
        run.log(
            f"{type(method).__name__.lower()} does not hide {', '.join(policy.suppress)}: it learns its task alone; the audit "
            "measures how much of it is read."
        )
    if run.pool is not None:
        run = dataclasses.replace(run, pool=same_columns(run.pool, table.features, table.source, log=run.log))
    assert table.split is not None
    if policy.suppress:
        found = information.entanglement(
            table.y, policy.suppress, policy.preserve, policy.watch, unseen=int((~table.split).sum())
        )
        for sentence in beforehand(found, int((~table.split).sum())):
            run.log(sentence)
    # Noise needs no labels; who learns from them, and finds none, would release records as they came.
    # The channel of these is attacked on both sides afterwards: what cannot be is refused before an hour of training.
    channel = isinstance(method, Transport | Substitution)
    named = (*policy.suppress, *policy.preserve)
    if not isinstance(method, Noise | Nothing):
        table.require_labels(named, "train", together=channel)
    if channel:
        table.require_labels(named, "test", together=True)
    train = table.part("train")
    modifier = method.fit(train, policy, run)
    modifier.fitted = run.key.digest("fitted", train.ids, 8)
    modifier.card.key = run.key.fingerprint
    modifier.card.fit |= {"records": len(train)}
    if modifier.discrete:
        modifier.card.fit["exact"] = exact_figures(modifier, table, policy, run.seed)
        modifier.card.notes += telling(modifier.card.fit["exact"])
    for note in modifier.card.notes:
        run.log(note)
    return modifier


def telling(exact: Sequence[Mapping[str, Any]]) -> list[str]:
    """A sentence for each suppressed attribute of which the channel tells more of unseen records than chance shows."""
    return [
        f"The best possible attacker, who knows the modifier and {e['records']:,} unseen records with their labels, reads "
        f"{e['accuracy'] - e['permuted']:.1%} more of `{e['attributes'][0]}` among those than permuted labels give: more records of "
        "each class, fewer outputs or a softer draw help; the audit says how much others read."
        for e in exact
        if e["on"] == "unseen" and not e["kept"] and len(e["attributes"]) == 1 and e["accuracy"] > e["permuted_high"]
    ]


def beforehand(found: Entanglement, unseen: int) -> list[str]:
    """What an owner should know before anything is trained: what is entangled, the most that each preserved attribute can
    keep, and the smallest leakage that so many unseen records can certify. Sentences."""
    said = list(found.sentences)
    for name, share in found.keeps.items():
        if share > 0.99:
            said.append(f"`{name}` can be kept whole: what is suppressed does not tell it.")
        else:
            said.append(f"At most {share:.0%} of `{name}` can be kept if nothing of what is suppressed may be read.")
    for name, smallest in found.smallest.items():
        if smallest is None:
            said.append(f"{unseen:,} unseen records are too few to certify any leakage of `{name}`.")
        else:
            said.append(
                f"{unseen:,} unseen records cannot certify a leakage of `{name}` under {smallest:.1%}, whatever the method."
            )
    return said


def exact_figures(modifier: Modifier, table: Table, policy: Policy, seed: int) -> list[dict[str, Any]]:
    """The best possible attack on a discrete channel, per suppressed attribute, jointly over all, and given the preserved
    columns kept beside the record: on fitted and on unseen records, with what permuted labels show.

    At most 20,000 records of a side are read.
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
        p = modifier.channel_of(part.x)
        for attributes, kept in targets:
            labels = information.joint([part.y[a] for a in attributes])
            columns = information.joint([part.y[a] for a in kept]) if kept else None
            classes = int(labels.max()) + 1
            permuted = information.permuted_attack(p, labels, classes, columns, 20, numpy_rng(seed, "permuted"))
            figures.append(
                {
                    "attributes": list(attributes),
                    "kept": list(kept),
                    "on": on,
                    "accuracy": float(information.exact_attack(p, labels, classes, columns)),
                    "guess": float(information.exact_guess(labels, columns)),
                    "permuted": float(permuted.mean()),
                    "permuted_high": float(np.quantile(permuted, 0.95)),
                    "records": len(part),
                }
            )
    return figures


def load(folder: str | Path) -> Modifier:
    """Read a modifier's directory. Raises SordineError for one that is missing, damaged or of another version."""

    def build(card: Any, tensors: Any) -> Modifier:
        if card.method not in METHODS:
            raise SordineError(f"{folder}: made by the method {card.method!r}, which this version does not know")
        made: Modifier = METHODS[card.method].build(card, tensors)
        return made

    return open_modifier(folder, build)

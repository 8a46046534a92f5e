"""Transport: a record is replaced by an entry of a codebook that all suppressed classes fill alike.

No task needs to be named. Three steps, none of them adversarial:

    align    z(x): ranks, standardised class by class, and a linear map for each class, such that records of all classes
             that optimal transport matches have the same code (generalised canonical correlation and matching, in
             turns);
    balance  P(j | x) = softmax over entries j of (sum over s of P(s | x) potentials[s, j] - |z(x) - z_j|^2 / softness),
    with
             dual potentials such that, on the records of the fit, every class fills every entry to the same share, as
             far as the errors of P(s | x) allow; the remaining difference is measured and stored in the card
             (`uneven`);
    draw     j from P(. | x), and release what stands for entry j: a linear image of its code, or a real record.

Preserved attributes are first predicted by a classifier. A record then gets an entry of the predicted class, and the
classes are balanced within it, by the labels of the fit. The method is ours; its parts are in
`sordine.methods.alignment.optimal_transport`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.keys import Key
from sordine.methods.alignment.network import Aligned
from sordine.methods.alignment.optimal_transport import balanced, smooth_functions, smoothly_balanced, stratum_moves
from sordine.methods.alignment.space import FEWEST, Alignment, codebook_of, learnable
from sordine.methods.base import Method, Strength
from sordine.methods.options import (
    Parts,
    Recognised,
    Share,
    SmallCount,
    SmallCountOrZero,
    SmallNonNegative,
    SmallPositive,
)
from sordine.methods.transport.modifier import TransportModifier, uneven
from sordine.methods.transport.outputs import linear_outputs
from sordine.metrics.information import joint
from sordine.metrics.percent import percent
from sordine.models.classifier import Classifier, train_classifier
from sordine.models.cross_fitted import CrossFitted, fitting_map, parts_of_table, parts_of_tensors
from sordine.models.modifier import Card, Modifier
from sordine.policy import Policy
from sordine.run import Run

SHARPEST = 1e-4  # smallest temperature
UNEVEN = 0.05  # unevenness above which a note is written
CROSS_FITTED = (
    "By construction: there are {parts} maps, and no record is released by a map that was fitted on it or on an equal "
    "record. So the balance of that map over its own records tells nothing of this record's class, whichever classes "
    "of other records an attacker knows. This is no bound on what the record's own output tells: see the optimal "
    "attack. Nor is it one on what the other maps tell an attacker that has the modifier."
)
NOISY = (
    " The outputs have noise. It is set such that an attacker that has the output values and all other records ranks "
    "an average record of the fit above an unseen one in about {recognised} of pairs (50 % is chance), where errors "
    "are normal. For records far from others, and with the rest of the modifier, it can be more."
)


@dataclass(frozen=True)
class Transport(Method):
    """Balanced transport to a codebook.

    Parameters
    ----------
    cells
        Entries of the codebook; at most a quarter of the training records.
    softness
        Temperature of P(j | x), in units of the mean squared distance between codes and entries.
    even
        Share (0 to 1) of the dependence of preserved on suppressed attributes that is removed. The shares of the
        preserved classes then differ less between suppressed classes. As few records as possible change their class.
    records
        0 releases a linear image of an entry's code (`sordine.methods.transport.outputs`), r > 0 one of the r most
        typical real records of the entry.
    recognised
        Share of pairs (above 0.5, at most 1) of one record of the fit and one unseen record in which an attacker ranks
        the first higher: the area under the curve, 0.5 is chance. It sets the noise of the output values, for a record
        of average leverage, normal errors, and an attacker that has these values and all other records. It is no bound
        for each record, nor on the whole modifier. Below 1 the outputs have noise, the more the fewer records there
        are; entries stay apart. Real records have none.
    size
        Numbers of a code.
    axes
        Principal components that are aligned.
    rounds
        Rounds of matching and alignment.
    matching
        Temperature of the matches.
    pooled
        Weight of the moments common to all classes in the map of a class, in records.
    ridge
        Added to the moments of the components, in units of their mean variance.
    smooth
        Number of smooth functions over the codebook of which the dual potentials are made. Fewer functions fit less of
        what is chance in the records of the fit, but leave more of the differences between classes. 0: every potential
        is free.
    parts
        1: one map, fitted on all records. K > 1: K maps, each fitted without one part of the records, and a record goes
        through the map that was fitted without it (`sordine.models.cross_fitted`). An attacker that knows the classes
        of some fitted records then learns less of the others.

    References
    ----------
    - Sinkhorn distances (2013), alg. 1: the balance.
    - Generalised canonical correlation (1971), method: the alignment.
    """

    cells: SmallCount = 128
    softness: SmallPositive = 0.1
    even: Share = 0.5
    records: SmallCountOrZero = 0
    recognised: Recognised = 0.55
    size: SmallCount = 12
    axes: SmallCount = 64
    rounds: SmallCount = 12
    matching: SmallPositive = 0.03
    pooled: SmallNonNegative = 100.0
    ridge: SmallPositive = 0.1
    smooth: SmallCountOrZero = 40
    parts: Parts = 5

    name: ClassVar[str] = "transport"
    stochastic: ClassVar[bool] = True
    discrete: ClassVar[bool] = True
    strength: ClassVar[Strength | None] = Strength(
        "softness", (0.5, 0.3, 0.2, 0.1, 0.05, 0.03, 0.02, 0.015, 0.01, 0.005)
    )
    default_for: ClassVar[Literal["", "records", "copies"]] = "records"
    guarantee: ClassVar[str] = (
        "Computed: on the records of the fit, the suppressed classes fill the outputs alike up to a total variation of "
        "{uneven:.3f}. At 0, consider an attacker that knows the modifier (not the key), but no label of a fitted "
        "record. It learns nothing of the class from one draw of one of these records, with no column beside it. An "
        "attacker that knows labels of some fitted records does."
    )

    @classmethod
    def guarantees(cls, figures: Mapping[str, Any]) -> str:
        """Return what is proved, with the figures of a fit."""
        first = CROSS_FITTED.format_map(figures) if figures.get("parts", 1) > 1 else super().guarantees(figures)
        share = figures.get("recognised", 1)
        return first + NOISY.format(recognised=percent(share, 0)) if share < 1 else first

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.softness < SHARPEST:
            raise SordineError(f"transport: softness is {self.softness:g}; it must be at least {SHARPEST:g}")

    @property
    def alignment(self) -> Alignment:
        """How the space is learned."""
        return Alignment(self.size, self.axes, self.rounds, self.matching, self.pooled, self.ridge)

    def fit(self, table: Table, policy: Policy, run: Run) -> Modifier:
        """Align the classes, balance the codebook, and choose the outputs.

        It runs on the CPU, in closed forms except for the classifiers of preserved attributes. Records that lack a
        suppressed or a preserved label are not used. With several parts, one map is fitted without each.

        Raises
        ------
        SordineError
            Where the labelled records are too few, or alike within their classes.
        """
        maps, uneven = self.fit_maps(table, policy, run)
        modifier = maps[0] if len(maps) == 1 else CrossFitted(maps)
        entries = max(len(m.codes) for m in maps)
        if entries < self.cells:
            each = "" if len(maps) == 1 else " a map"
            run.log(f"transport: {entries} outputs (cells){each} instead of {self.cells}: there are few records")
        figures = {
            "cells": sum(len(m.codes) for m in maps),
            "outputs": len(modifier.substitutes),
            "softness": self.softness,
            "uneven": round(uneven, 4),
            "recognised": 1.0 if self.records else self.recognised,
        }
        if len(maps) > 1:
            figures["parts"] = len(maps)
        modifier.card = self.card(policy, table, fit=figures, notes=self.notes(figures, entries))
        return modifier.eval()

    def fit_maps(self, table: Table, policy: Policy, run: Run) -> tuple[list[TransportModifier], float]:
        """Return the maps, and the largest unevenness of one of them."""
        if self.parts == 1:
            one, uneven = self.fit_map(table, policy, run)
            return [one], uneven
        learnable(table, policy, run.seed, "transport")  # an error of the whole table comes first
        part, made = parts_of_table(table, self.parts), []
        for k in range(self.parts):
            run.log(f"transport: map {k + 1} of {self.parts}")
            with fitting_map(k + 1, self.parts):
                made.append(self.fit_map(table.take(np.flatnonzero(part != k)), policy, run))
        return [m for m, _ in made], max(u for _, u in made)

    def fit_map(self, table: Table, policy: Policy, run: Run) -> tuple[TransportModifier, float]:
        """Return one map, fitted on all labelled records of a table, and how unevenly their classes fill it."""
        usable, x, secret = learnable(table, policy, run.seed, "transport")
        if self.records * FEWEST > len(usable):
            raise SordineError(
                f"transport: records is {self.records}, which is too many for {len(usable):,} training records; set at "
                f"most {len(usable) // FEWEST}"
            )
        joined = (
            joint([table.y[u][usable] for u in policy.preserve]) if policy.preserve else np.zeros(len(usable), np.int64)
        )
        strata = torch.from_numpy(joined)
        space = self.alignment.learn(table, policy, run, x, secret, strata)
        readers = [train_classifier(table, u, run=run).cpu() for u in policy.preserve]
        modifier = self.balance(space, readers, x, secret, strata, run.key)
        for number, u in enumerate(policy.preserve):
            first = [int(np.flatnonzero(joined == v)[0]) for v in range(int(joined.max()) + 1)]
            modifier.strata[:, number] = torch.from_numpy(table.y[u][usable][first])
        return modifier, uneven(modifier.eval(), x, secret)

    def balance(
        self, space: Aligned, readers: list[Classifier], x: Tensor, secret: Tensor, strata: Tensor, key: Key
    ) -> TransportModifier:
        """Return the modifier: a codebook in the aligned space, balanced dual potentials, and the outputs.

        Parameters
        ----------
        space, readers
            The aligned space, and a classifier of each preserved attribute.
        x, secret, strata
            (n, width) records and their suppressed and preserved class codes (n,).
        key
            Secret of the noise of the outputs.
        """
        ranks, classes = space.ranks(x), len(space.mean)
        member = functional.one_hot(secret, classes).float()
        code = space.code(space.components(ranks, member), member)
        codebook, owner = codebook_of(code, strata, self.cells, 0)
        each = max(1, self.records)
        modifier = TransportModifier(
            space, readers, len(codebook), int(strata.max()) + 1, len(codebook) * each, self.softness
        )
        modifier.codes, modifier.stratum = codebook, owner
        modifier.flow = stratum_moves(secret, strata, self.even)
        modifier.scale = torch.cdist(code, codebook).square().mean().clamp_min(1e-12)
        # As records will be released: by their predicted class, not by their label.
        probabilities = space.class_probabilities(ranks)
        code = space.code(space.components(ranks, probabilities), probabilities)
        plans = torch.zeros(len(x), len(codebook))
        for v in range(int(strata.max()) + 1):
            here, rows = torch.nonzero(owner == v).flatten(), torch.nonzero(strata == v).flatten()
            cost = torch.cdist(code[rows], codebook[here]).square() / modifier.scale
            plan, potentials = self.potentials(cost, self.softness, secret[rows], probabilities[rows], codebook[here])
            modifier.prices[:, here] = potentials
            plans[rows[:, None], here] = plan
        if self.records:
            modifier.substitutes = typical(plans, secret, x, each)
        else:
            maps = max(1, self.parts - 1)  # a record takes part in all maps but one
            modifier.substitutes = linear_outputs(
                codebook, owner, code, strata, x, key=key, maps=maps, recognised=self.recognised
            )
        return modifier

    def potentials(
        self, cost: Tensor, softness: float, secret: Tensor, probabilities: Tensor, codebook: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return P(j | x) of the records of the fit, and the dual potentials: see `balanced`."""
        if not self.smooth:
            return balanced(cost, softness, secret, probabilities)
        functions = smooth_functions(codebook, self.smooth)
        return smoothly_balanced(cost, softness, secret, probabilities, functions)

    def notes(self, figures: Mapping[str, Any], entries: int) -> list[str]:
        """Return what the owner must know before the modifier or a release leaves, in sentences.

        Parameters
        ----------
        figures
            Of the fit.
        entries
            Largest number of entries of a map.
        """
        sentences, left = [], figures["uneven"]
        if self.records:
            sentences.append(
                f"This modifier holds {figures['outputs']} real records; what is released are copies of them."
            )
        else:
            whose = f"at most {entries} outputs of its map" if "parts" in figures else f"{entries} outputs"
            why = "there are few records" if entries < self.cells else "each preserved class has its share, rounded"
            asked = "" if entries == self.cells else f" (the option cells is {self.cells}; {why})"
            noise = " with noise" if self.recognised < 1 else ""
            sentences.append(
                f"Each record is replaced by one of {whose}{asked}. An output is computed by a linear function{noise} "
                "from a few numbers that describe a group of similar records. It is no mean of records."
            )
        if left > UNEVEN:
            sentences.append(
                "Suppressed classes use the outputs unequally, even for records of the fit. In the worst class, "
                f"{percent(left)} of the records would need other outputs to use them as classes do on average. The "
                "reason is that the predicted class of a record has errors, or that preserved attributes depend on "
                "suppressed ones (--option even=1 removes that dependence)."
            )
        return sentences

    @staticmethod
    def build(card: Card, tensors: dict[str, Tensor]) -> Modifier:
        """Return an empty modifier; see `Method.build`."""
        if maps := parts_of_tensors(tensors):
            return CrossFitted([Transport._empty_map(card, part) for part in maps])
        return Transport._empty_map(card, tensors)

    @staticmethod
    def _empty_map(card: Card, tensors: dict[str, Tensor]) -> TransportModifier:
        classes, axes, size = tensors["space.maps"].shape
        width, first = tensors["space.first"].shape
        method = Transport(**card.fields)
        readers: list[Classifier] = []
        while f"readers.{len(readers)}.projector.weight" in tensors:
            readers.append(Classifier(width, len(tensors[f"readers.{len(readers)}.projector.weight"])))
        return TransportModifier(
            Aligned(width, classes, first, axes, size),
            readers,
            len(tensors["codes"]),
            len(tensors["strata"]),
            len(tensors["substitutes"]),
            method.softness,
        )


def typical(plans: Tensor, secret: Tensor, x: Tensor, each: int) -> Tensor:
    """Return the records that make up most of each entry, every suppressed class having the same weight.

    Parameters
    ----------
    plans, secret, x
        (n, M) of P(j | x), (n,) suppressed classes, and (n, width) records.
    each
        Records of each entry.

    Returns
    -------
    Tensor
        (M * each, width).
    """
    filled = torch.zeros(int(secret.max()) + 1, plans.shape[1]).index_add_(0, secret, plans)
    shares = plans / filled.clamp_min(1e-12)[secret]
    return x[shares.topk(each, dim=0).indices.T.flatten()]

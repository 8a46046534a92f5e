"""Substitution (PASS): every record is replaced by a real record, drawn at random.

    P(j | x) = softmax over j of cos(f(x), g(x_j)) / tau,   released: x_j, drawn from P(. | x)

f and g are trained so that the drawn index reveals nothing of the suppressed attributes, reveals the preserved ones,
and is otherwise as certain as possible. No adversary takes part, so that none can be overfitted; and since the output
is discrete, the best possible attacker is computed, not trained.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from sordine.data.statistics import moments
from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.keys import numpy_rng
from sordine.methods.base import Method, Output, Strength
from sordine.methods.options import Count, CountOrZero, NonNegative, Positive, Rate
from sordine.methods.substitution.losses import (
    conditional_index_entropy,
    index_entropy,
    preserved_match,
    substitution_probabilities,
)
from sordine.metrics.information import joint
from sordine.models.checkpoints import checkpoint_file
from sordine.models.losses import unit
from sordine.models.modifier import Card, Modifier, Release
from sordine.models.networks.mlp import mlp
from sordine.models.training import Draw, Move, Player, train
from sordine.policy import Policy
from sordine.run import Run


class Embeddings(nn.Module):
    """f for records and g for substitutes: standardise, then an MLP each.

    Parameters
    ----------
    width, hidden, size
        Numbers of a record, of the hidden layer and of an embedding.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self, width: int, hidden: int, size: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("spread", torch.ones(width))
        self.record = mlp([width, hidden, size])
        self.substitute = mlp([width, hidden, size])
        # Both start as the same map, so that a record is first drawn to similar substitutes.
        self.substitute.load_state_dict(self.record.state_dict())

    def f(self, x: Tensor) -> Tensor:
        """Return embeddings of records, not yet of unit length: (b, *shape) -> (b, size)."""
        return self.record((x.reshape(len(x), -1) - self.mean) / self.spread)

    def g(self, x: Tensor) -> Tensor:
        """Return embeddings of substitutes, not yet of unit length: (m, *shape) -> (m, size)."""
        return self.substitute((x.reshape(len(x), -1) - self.mean) / self.spread)


class SubstitutionModifier(Modifier):
    """x -> P(j | x) over the substitutes, which are real records -> a drawn substitute.

    Parameters
    ----------
    embeddings
        f and g.
    substitutes, width, size
        Number of substitutes M, numbers of a record, and of an embedding.
    tau
        Temperature.
    itself
        Whether a record may be replaced by itself.
    """

    noise = 1
    discrete = True
    substitutes: Tensor  # (M, width)
    embedded: Tensor  # (M, size), unit vectors

    def __init__(
        self, embeddings: Embeddings, substitutes: int, width: int, size: int, tau: float, itself: bool = True
    ) -> None:
        super().__init__()
        self.tau, self.itself = tau, itself
        self.net = embeddings
        self.register_buffer("substitutes", torch.zeros(substitutes, width))
        self.register_buffer("embedded", torch.zeros(substitutes, size))

    def output_distribution(self, x: Tensor) -> Tensor:
        """Return P(j | x): (b, *shape) -> (b, M)."""
        never = None if self.itself or len(self.substitutes) < 2 else same_records(x, self.substitutes)
        return substitution_probabilities(self.net.f(x), self.embedded, self.tau, never)

    def forward(self, x: Tensor, noise: Tensor) -> Release:
        """Return substitutes and indices by inverting the cumulated P(j | x) at one uniform draw, noise (b, 1)."""
        cumulated = self.output_distribution(x).double().cumsum(1)
        index = (cumulated < noise.double() * cumulated[:, -1:]).sum(1).clamp_max(len(self.substitutes) - 1)
        return Release(self.substitutes[index].reshape(x.shape), index)


def same_records(x: Tensor, substitutes: Tensor) -> Tensor:
    """Return which substitutes equal the record bit for bit: (b, *shape), (m, width) -> (b, m) bool.

    A record that equals every substitute keeps all of them.
    """
    flat = x.reshape(len(x), -1)
    same = flat[:, :1] == substitutes[:, 0]
    for record, substitute in same.nonzero().tolist():  # few are left after the first number
        same[record, substitute] = bool((flat[record] == substitutes[substitute]).all())
    return same & ~same.all(1, keepdim=True)


@dataclass
class SubstitutionGame:
    """One player and one move a round: the three terms of the objective over a mini-batch and the whole pool.

    References
    ----------
    - PASS (2025), objective: the sum of its three terms.
    """

    players: Mapping[str, Player]
    net: Embeddings
    pool: Tensor  # (M, width)
    pool_labels: dict[str, Tensor]  # preserved attribute -> (M,)
    classes: dict[str, int]
    policy: Policy
    tau: float
    preserve_weight: float
    entropy_weight: float
    pool_rows: Tensor | None = None  # (M,) rows of the table, where a record must not be replaced by itself
    moves: tuple[str, ...] = ("substitute",)

    def round(self, draw: Draw) -> Iterator[Move]:
        """Yield the move with its terms: -H(J|s), lambda * -log|U| P(U' = u | x), mu * H(J|x)."""
        batch = draw()
        never = None if self.pool_rows is None else batch.rows.to(self.pool_rows.device)[:, None] == self.pool_rows
        p = substitution_probabilities(self.net.f(batch.x), self.net.g(self.pool), self.tau, never)  # (B, M)
        terms = {
            f"suppress {s}": -conditional_index_entropy(p, batch.y[s], self.classes[s]) for s in self.policy.suppress
        }
        for u in self.policy.preserve:
            match = preserved_match(p, self.pool_labels[u], batch.y[u], self.classes[u])
            terms[f"preserve {u}"] = self.preserve_weight * match
        terms["sure"] = self.entropy_weight * index_entropy(p)
        yield "substitute", terms


@dataclass(frozen=True)
class Substitution(Method):
    """PASS with its published constants.

    Parameters
    ----------
    substitutes
        Number of substitutes; 0 means 4,096, at most half the training records (all records of a pool).
    tau
        Temperature of P(j | x).
    preserve_weight
        lambda; 0 means (number of suppressed) / (number of preserved attributes).
    entropy_weight
        mu per suppressed attribute.
    hidden, size
        Widths of the two embeddings.
    batch
        0 means 32 records of each joint suppressed class, and at least 512.
    epochs
        0 means as many as make about 600 steps.
    rate
        Learning rate of Adam, with a cosine schedule.
    itself
        Whether a record that is a substitute may be replaced by itself, as published. False avoids overfitting on
        small tables.

    References
    ----------
    - PASS (2025), objective: with the constants of its experiments.
    """

    substitutes: CountOrZero = 0
    tau: Positive = 0.01
    preserve_weight: NonNegative = 0.0
    entropy_weight: NonNegative = 0.2
    hidden: Count = 256
    size: Count = 128
    batch: CountOrZero = 0
    epochs: CountOrZero = 0
    rate: Rate = 1e-3
    itself: bool = True

    name: ClassVar[str] = "substitution"
    stochastic: ClassVar[bool] = True
    discrete: ClassVar[bool] = True
    accepts_pool: ClassVar[bool] = True
    releases: ClassVar[frozenset[Output]] = frozenset({"vectors", "pictures", "copies"})
    strength: ClassVar[Strength | None] = Strength(
        "entropy_weight", (0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.45, 0.6, 0.8, 0.97)
    )
    default_for: ClassVar[Literal["", "records", "copies"]] = "copies"

    def fit(self, table: Table, policy: Policy, run: Run, *, pool: Table | None = None) -> Modifier:
        """Choose the substitutes, train f and g, and store the substitutes with their embeddings.

        Parameters
        ----------
        table, policy, run
            See `Method.fit`.
        pool
            Another table whose records are the substitutes; None takes the training records.

        Raises
        ------
        SordineError
            Where the pool has records of another shape, too few records, or lacks a preserved attribute.
        """
        source = table if pool is None else pool
        if source.shape != table.shape:
            raise SordineError(
                f"{source.source}: records of the pool have shape {source.shape}, those of the table {table.shape}; "
                "give a pool with the same features"
            )
        rows = self.choose_pool(source, table, policy, run.seed)
        chosen = torch.from_numpy(np.asarray(source.x[np.sort(rows)], dtype=np.float32))
        substitutes = chosen.reshape(len(rows), -1).to(run.device)
        labels = {u: self.pool_labels(source, table, u)[np.sort(rows)] for u in policy.preserve}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(run.seed)
            own = None if self.itself or source is not table else torch.from_numpy(np.sort(rows)).to(run.device)
            net = self.train(table, policy, run, substitutes, labels, own)
        modifier = SubstitutionModifier(net, len(substitutes), table.width, self.size, self.tau, self.itself)
        with torch.no_grad():
            modifier.substitutes = substitutes.cpu()
            modifier.embedded = unit(net.g(substitutes)).cpu()
        count = len(substitutes)
        note = self.note(count, source, pool is not None)
        modifier.card = self.card(policy, table, fit={"substitutes": count}, notes=[note])
        return modifier.cpu()

    def choose_pool(self, source: Table, table: Table, policy: Policy, seed: int) -> np.ndarray:
        """Return the rows of the substitutes, drawn at random and as evenly as possible from the suppressed classes.

        A pool without the suppressed attributes is drawn from at random.

        Raises
        ------
        SordineError
            Where more substitutes are wanted than there are records.
        """
        size = self.substitutes or min(4096, len(source) if source is not table else max(len(source) // 2, 1))
        if size > len(source):
            raise SordineError(
                f"substitution: substitutes is {size}, and {source.source} has {len(source)} records; set fewer"
            )
        order = numpy_rng(seed, "pool").permutation(len(source))
        known = [source.y[s] for s in policy.suppress if s in source.y]
        if not known:
            return order[:size]
        strata = joint(known)[order]
        # Rank each record within its class; taking the lowest ranks first fills all classes at the same pace.
        by_class = np.argsort(strata, kind="stable")
        counts = np.unique(strata, return_counts=True)[1]
        rank = np.empty(len(source), np.int64)
        rank[by_class] = np.concatenate([np.arange(c) for c in counts])
        return order[np.argsort(rank, kind="stable")[:size]]

    def pool_labels(self, source: Table, table: Table, attribute: str) -> np.ndarray:
        """Return the labels of the pool (n,) as class codes of the table.

        Raises
        ------
        SordineError
            Where the pool lacks a preserved attribute.
        """
        if source is table:
            return table.y[attribute]
        if attribute not in source.y:
            raise SordineError(
                f"{source.source}: the pool has no attribute {attribute!r}, which is preserved; add that column"
            )
        code = {name: i for i, name in enumerate(table.classes[attribute])}
        translate = np.array([code.get(name, -1) for name in source.classes[attribute]] + [-1])
        return translate[source.y[attribute]]

    def train(
        self,
        table: Table,
        policy: Policy,
        run: Run,
        pool: Tensor,
        labels: dict[str, np.ndarray],
        own: Tensor | None,
    ) -> Embeddings:
        """Train f and g by Adam with a cosine schedule over whole epochs, and return them."""
        net = Embeddings(table.width, self.hidden, self.size)
        mean, spread = moments(table.x)
        net.mean = torch.from_numpy(mean.astype(np.float32))
        net.spread = torch.from_numpy(np.where(spread > 0, spread, 1).astype(np.float32))
        net.to(run.device)
        named = (*policy.suppress, *policy.preserve)
        # H(J | s) is estimated within the batch, which needs some records of every class.
        classes = len(np.unique(joint([table.y[s] for s in policy.suppress])))
        draw = Draw(table, self.batch or max(512, 32 * classes), named, seed=run.seed, device=run.device)
        epochs = self.epochs or max(5, round(600 / draw.rounds))
        player = Player(
            net,
            lambda weights: torch.optim.Adam(weights, lr=self.rate),
            lambda optimiser: torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, epochs),
        )
        game = SubstitutionGame(
            {"substitute": player},
            net,
            pool,
            {u: torch.from_numpy(codes).to(run.device) for u, codes in labels.items()},
            {a: len(table.classes[a]) for a in named},
            policy,
            self.tau,
            self.preserve_weight or len(policy.suppress) / max(len(policy.preserve), 1),
            self.entropy_weight * len(policy.suppress),
            own,
        )
        made = {"fields": asdict(self), "seed": run.seed, "policy": [policy.suppress, policy.preserve]}
        made["pool"] = hashlib.blake2b(pool.cpu().numpy().tobytes()).hexdigest()
        file = checkpoint_file(run.folder, "substitution", made, table, named, device=run.device)
        try:
            train(game, draw, epochs, what="substitution", file=file, run=run)
        except FloatingPointError as error:
            raise SordineError(f"substitution: training diverged ({error}); set a lower rate") from None
        return net.eval()

    def note(self, size: int, source: Table, foreign: bool) -> str:
        """Return what the owner must know before the modifier or a release leaves."""
        whose = (
            f"of the pool {source.source}"
            if foreign
            else "of the training records themselves (--pool takes another table's records)"
        )
        return f"This modifier holds {size} real records as substitutes, {whose}; what is released are copies of them."

    @staticmethod
    def build(card: Card, tensors: dict[str, Tensor]) -> Modifier:
        """Return an empty modifier; see `Method.build`."""
        m, width = tensors["substitutes"].shape
        fields: dict[str, Any] = card.fields
        embeddings = Embeddings(width, fields["hidden"], fields["size"])
        return SubstitutionModifier(embeddings, m, width, fields["size"], fields["tau"], fields.get("itself", True))

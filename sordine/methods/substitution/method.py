"""Substitution (PASS: stochastic data substitution, ICML 2025): every record is replaced by a real record, drawn at random.

    P(j | x) = softmax over j of cos(f(x), g(x_j)) / tau,   released: x_j, drawn from P(. | x)

f and g are trained so that the drawn index tells nothing of what is suppressed, tells what is preserved, and is
otherwise as sure as it can be. No adversary takes part, so there is none to overfit; and since the channel x -> j is
discrete, the best possible attacker is computed, not trained.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from sordine.data.statistics import moments
from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.keys import numpy_rng
from sordine.methods.base import input_of
from sordine.methods.substitution.losses import (
    channel_probabilities,
    conditional_index_entropy,
    index_entropy,
    preserved_match,
)
from sordine.metrics.information import joint
from sordine.models.losses import unit
from sordine.models.modifier import Card, Modifier, Release
from sordine.models.networks.mlp import mlp
from sordine.models.training import Draw, Move, Player, play, resume_game, save_game
from sordine.policy import Policy
from sordine.run import Run


class Embeddings(nn.Module):
    """f for records and g for substitutes: standardise, then an MLP each, to unit vectors."""

    mean: Tensor
    spread: Tensor

    def __init__(self, width: int, hidden: int, size: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("spread", torch.ones(width))
        self.record = mlp([width, hidden, size])
        self.substitute = mlp([width, hidden, size])
        # Both start as the same map: a record is then first drawn to its like, and learning starts from there.
        self.substitute.load_state_dict(self.record.state_dict())

    def f(self, x: Tensor) -> Tensor:
        """(b, *shape) -> (b, size), not yet of unit length."""
        return self.record((x.reshape(len(x), -1) - self.mean) / self.spread)

    def g(self, x: Tensor) -> Tensor:
        """(m, *shape) -> (m, size), not yet of unit length."""
        return self.substitute((x.reshape(len(x), -1) - self.mean) / self.spread)


class SubstitutionModifier(Modifier):
    """Holds f, the substitutes (real records) and their embeddings g. One uniform draw a record picks the substitute."""

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
        """P(j | x): (b, *shape) -> (b, M)."""
        never = None if self.itself or len(self.substitutes) < 2 else same_records(x, self.substitutes)
        return channel_probabilities(self.net.f(x), self.embedded, self.tau, never)

    def forward(self, x: Tensor, noise: Tensor) -> Release:
        """Inverse of the cumulated channel at one uniform draw: (b, *shape), (b, 1) -> substitutes and their index."""
        cumulated = self.output_distribution(x).double().cumsum(1)
        index = (cumulated < noise.double() * cumulated[:, -1:]).sum(1).clamp_max(len(self.substitutes) - 1)
        return Release(self.substitutes[index].reshape(x.shape), index)


def same_records(x: Tensor, substitutes: Tensor) -> Tensor:
    """Which substitutes are bit for bit the record itself: (b, *shape), (m, width) -> (b, m) bool. A record that every
    substitute equals is left with all of them."""
    flat = x.reshape(len(x), -1)
    same = flat[:, :1] == substitutes[:, 0]
    for record, substitute in same.nonzero().tolist():  # the first number alone leaves few
        same[record, substitute] = bool((flat[record] == substitutes[substitute]).all())
    return same & ~same.all(1, keepdim=True)


@dataclass
class SubstitutionGame:
    """One player, one move a round: the three terms of the objective over a mini-batch and the whole pool."""

    players: Mapping[str, Player]
    net: Embeddings
    pool: Tensor  # (M, width)
    pool_labels: dict[str, Tensor]  # preserved attribute -> (M,)
    classes: dict[str, int]
    policy: Policy
    tau: float
    preserve_weight: float
    entropy_weight: float
    pool_rows: Tensor | None = None  # (M,) of the table, where a record must not get itself
    moves: tuple[str, ...] = ("substitute",)

    def round(self, draw: Draw) -> Iterator[Move]:
        """Sum of -H(J|s), lambda * -log|U| P(U' = u | x), mu * H(J|x)."""
        batch = draw()
        never = None if self.pool_rows is None else batch.rows.to(self.pool_rows.device)[:, None] == self.pool_rows
        p = channel_probabilities(self.net.f(batch.x), self.net.g(self.pool), self.tau, never)  # (B, M)
        terms = {
            f"suppress {s}": -conditional_index_entropy(p, batch.y[s], self.classes[s]) for s in self.policy.suppress
        }
        for u in self.policy.preserve:
            match = preserved_match(p, self.pool_labels[u], batch.y[u], self.classes[u])
            terms[f"preserve {u}"] = self.preserve_weight * match
        terms["sure"] = self.entropy_weight * index_entropy(p)
        yield "substitute", terms


@dataclass(frozen=True)
class Substitution:
    """PASS with its published constants.

    substitutes: size of the pool; 0 means min(4,096, half the training records). tau: temperature of the channel.
    preserve_weight: lambda; 0 means (number of suppressed) / (number of preserved). entropy_weight: mu per suppressed
    attribute. hidden, size: widths of the two embeddings. batch, epochs, rate: training (Adam, cosine); batch 0 means
    32 records of each (joint) suppressed class and at least 512, epochs 0 as many as give about 600 steps. itself: whether a
    record that is a substitute may be given itself, as published; without, small tables are not learnt by heart.
    """

    substitutes: int = 0
    tau: float = 0.01
    preserve_weight: float = 0.0
    entropy_weight: float = 0.2
    hidden: int = 256
    size: int = 128
    batch: int = 0
    epochs: int = 0
    rate: float = 1e-3
    itself: bool = True

    suppresses: ClassVar[bool] = True
    preserves: ClassVar[bool] = False
    stochastic: ClassVar[bool] = True

    def __post_init__(self) -> None:
        for name in ("tau", "hidden", "size", "rate"):
            if not getattr(self, name) > 0:
                raise SordineError(f"substitution: {name} is {getattr(self, name)}; it must be above 0")
        for name in ("substitutes", "batch", "epochs", "preserve_weight", "entropy_weight"):
            if not getattr(self, name) >= 0:
                raise SordineError(f"substitution: {name} is {getattr(self, name)}; it must be at least 0")

    def fit(self, table: Table, policy: Policy, run: Run) -> Modifier:
        """Choose the pool, train f and g, keep the pool and its embeddings."""
        source = table if run.pool is None else run.pool
        if source.shape != table.shape:
            raise SordineError(
                f"{source.source}: the pool's records have shape {source.shape}, the table's {table.shape}"
            )
        rows = self.choose_pool(source, table, policy, run.seed)
        pool = (
            torch.from_numpy(np.asarray(source.x[np.sort(rows)], dtype=np.float32))
            .reshape(len(rows), -1)
            .to(run.device)
        )
        labels = {u: self.pool_labels(source, table, u)[np.sort(rows)] for u in policy.preserve}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(run.seed)
            own = None if self.itself or source is not table else torch.from_numpy(np.sort(rows)).to(run.device)
            net = self.train(table, policy, run, pool, labels, own)
        modifier = SubstitutionModifier(net, len(pool), table.width, self.size, self.tau, self.itself)
        with torch.no_grad():
            modifier.substitutes = pool.cpu()
            modifier.embedded = unit(net.g(pool)).cpu()
        modifier.card = Card(
            "substitution",
            asdict(self),
            {r: list(n) for r, n in policy.roles()},
            input_of(table),
            fit={"substitutes": len(pool)},
            notes=[self.note(len(pool), source, run.pool is not None)],
        )
        return modifier.cpu()

    def choose_pool(self, source: Table, table: Table, policy: Policy, seed: int) -> np.ndarray:
        """Rows of the substitutes: as many of each (joint) suppressed class as there are, evenly, then at random.

        A pool from another table need not know the suppressed attributes; then it is drawn evenly from its records.
        """
        size = self.substitutes or min(4096, len(source) if source is not table else max(len(source) // 2, 1))
        if size > len(source):
            raise SordineError(f"substitution: {size} substitutes are asked of a pool of {len(source)} records")
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
        """The pool's labels in the table's codes: (n,). Raises SordineError where the pool lacks a preserved attribute."""
        if source is table:
            return table.y[attribute]
        if attribute not in source.y:
            raise SordineError(f"{source.source}: the pool has no attribute {attribute!r}, which is to be preserved")
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
        """f and g by Adam with a cosine schedule over whole epochs."""
        net = Embeddings(table.width, self.hidden, self.size)
        mean, spread = moments(table.x)
        net.mean = torch.from_numpy(mean.astype(np.float32))
        net.spread = torch.from_numpy(np.where(spread > 0, spread, 1).astype(np.float32))
        net.to(run.device)
        named = (*policy.suppress, *policy.preserve)
        # H(J | s) is estimated within the batch: it must hold some records of every class.
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
        kept = run.folder / "substitution.safetensors" if run.folder else None
        start = resume_game(kept, game, draw) if kept else 0
        for epoch in play(game, draw, epochs, start=start):
            if run.progress:
                run.progress("substitution", epoch.number, epochs)
            if kept and (epoch.number % max(1, epochs // 10) == 0):
                save_game(kept, game, draw, epoch.number)
        return net.eval()

    def note(self, size: int, source: Table, foreign: bool) -> str:
        """What the owner must know before the modifier or a release leaves the house."""
        whose = (
            f"of the pool {source.source}" if foreign else "of the training records themselves (other people's: --pool)"
        )
        return f"This modifier holds {size} real records as substitutes, {whose}; what is released are copies of them."

    @staticmethod
    def build(card: Card, tensors: dict[str, Tensor]) -> Modifier:
        """See `recipe.Method`."""
        m, width = tensors["substitutes"].shape
        fields: dict[str, Any] = card.fields
        embeddings = Embeddings(width, fields["hidden"], fields["size"])
        return SubstitutionModifier(embeddings, m, width, fields["size"], fields["tau"], fields.get("itself", True))

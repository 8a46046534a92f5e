"""Replacement: a filter removes an attribute from a record, a generator inserts a random value of it.

    x' = f(x, z1)        x'' = g(x', s', z2)        s' ~ p(s'), independent of x

Both learn against discriminators within a distortion budget (Algorithm 1). Several attributes are replaced one after
the other; each stage is fitted on what the stages before it release. See docs/guide/methods/replacement.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR

from sordine.data.statistics import prepared_moments
from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.keys import numpy_rng
from sordine.methods.base import Method, Strength
from sordine.methods.figures import sampled_terms
from sordine.methods.options import BatchSize, Count, CountOrZero, Momentum, NonNegative, Presets, Rate, Widths
from sordine.methods.pictures import channels_last
from sordine.methods.replacement import networks as nets
from sordine.methods.replacement.losses import distance_l2, distance_mean_square
from sordine.methods.replacement.modifier import ReplacementModifier, watcher
from sordine.methods.replacement.networks import Stage
from sordine.methods.replacement.training import Criterion, Editing, Replacing, StageData
from sordine.models.checkpoints import checkpoint_file
from sordine.models.modifier import Card
from sordine.models.networks.resnet import RESNET10, RESNET18
from sordine.models.picture_classifier import picture_shape
from sordine.models.training import Draw, Game, Player, fit_batch, seeded, train
from sordine.policy import Policy
from sordine.run import Run

Variant = Literal["both", "filter", "generator", "edit"]
Distance = Literal["mean_square", "l2"]

STEPS = 1500  # rounds of a fit whose `epochs` is 0
HARDLY = 0.2  # share of a budget under which little can be hidden
MEASURED = 1000  # training records on which the realised distortion is measured

# `paper`: A.1 (sizes; channels of figure 8), section 4 and A.3 (rates, lambda, epochs); the paper gives no batch size,
# 64 is ours. `small`: ours, for 32 pixels on a CPU. VECTORS: for records that are not pictures, under either preset;
# hidden, dropout, noise and lr are those that do well on the plane of section 4.
PRESETS: dict[str, dict[str, Any]] = {
    "paper": {
        "widths": (32, 64, 128, 256, 512),
        "discriminator_width": 64,
        "noise": 1024,
        "batch": 64,
        "lr": 5e-4,
        "filter_lr": 5e-4,
        "judge_lr": 5e-4,
        "beta2": 0.999,
        "epochs": 100,
        "epsilon": 0.01,
        "critic_steps": 5,
        "residual": False,
        "clip": 0.0,
        "schedule": "constant",
    },
    "small": {
        "widths": (16, 32, 64, 128),
        "discriminator_width": 16,
        "noise": 64,
        "batch": 32,
        "lr": 2e-3,
        "filter_lr": 5e-4,
        "judge_lr": 5e-4,
        "beta2": 0.99,
        "epochs": 0,
        "epsilon": 0.01,
        "critic_steps": 2,
        "residual": True,
        "clip": 1.0,
        "schedule": "cosine",
    },
}
VECTORS: dict[str, Any] = {
    "noise": 2,
    "batch": 256,
    "lr": 1e-3,
    "filter_lr": 2.5e-4,
    "judge_lr": 1e-3,
    "beta2": 0.999,
    "epochs": 0,
    "epsilon": 0.5,
    "residual": True,
    "clip": 1.0,
    "schedule": "cosine",
}

NOTES: dict[str, str] = {
    "both": (
        "A released record shows a value of the attribute that was drawn at random. It has no relation to the record; "
        "do not use it as the true value."
    ),
    "filter": (
        "The filter alone hides the attribute without inserting another value: released records may look filtered, and "
        "in the paper more can be inferred from them than with the generator."
    ),
    "generator": (
        "The generator alone was not trained to hide the attribute: the paper finds no privacy in it. Use the variant "
        "`both`."
    ),
    "edit": (
        "This is an attribute-editing baseline (StarGAN's losses), made to look convincing, not to hide: in the paper, "
        "retrained attackers still infer about 90 % of it. Use the variant `both`."
    ),
}


@dataclass(frozen=True)
class Replacement(Presets, Method):
    """Filter, generator and their discriminators. An option that is None takes the value of the preset.

    docs/guide/methods/replacement.md describes every option.

    Parameters
    ----------
    preset
        `small` or `paper`.
    variant
        `both`, `filter` (GAP), `generator`, or `edit` (StarGAN's losses).
    criterion
        Loss of the filter: `entropy` of its discriminator, or `likelihood` of a wrong class.
    synthetic
        p(s'): `uniform`, or of the `data`.
    distance, epsilon, epsilon_filter, epsilon_generator, penalty
        Distortion budgets, their distance and their weight. The last two budgets default to `epsilon`.
    widths, discriminator_width
        Channels of the UNets and of the discriminators.
    noise
        Normal numbers of filter and generator.
    residual
        Whether a network changes x, rather than making it anew.
    epochs, batch, lr, filter_lr, judge_lr, beta1, beta2, clip, schedule
        Of the training; 0 epochs means as many as make 1,500 rounds.
    hidden, dropout
        Of vectors only.
    cycle, critic_steps
        Of the variant `edit` only.

    References
    ----------
    - Replacement (2020), alg. 1: the variants `both`, `filter` and `generator`.
    - StarGAN (2018), eqs. 2 to 8: the variant `edit`.
    """

    preset: Literal["paper", "small"] = "small"
    variant: Variant = "both"
    criterion: Criterion = "entropy"
    synthetic: Literal["uniform", "data"] = "uniform"
    distance: Distance = "mean_square"
    epsilon: NonNegative | None = None
    epsilon_filter: NonNegative | None = None
    epsilon_generator: NonNegative | None = None
    penalty: NonNegative = 1e5
    widths: Annotated[Widths, Field(min_length=2)] | None = None
    discriminator_width: Count | None = None
    noise: CountOrZero | None = None
    residual: bool | None = None
    epochs: CountOrZero | None = None
    batch: BatchSize | None = None
    lr: Rate | None = None
    filter_lr: Rate | None = None
    judge_lr: Rate | None = None
    beta1: Momentum = 0.9
    beta2: Momentum | None = None
    clip: NonNegative | None = None
    schedule: Literal["constant", "cosine"] | None = None
    hidden: Widths = (128, 256, 128)
    dropout: Momentum = 0.2
    cycle: NonNegative = 10.0
    critic_steps: Count | None = None

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = PRESETS
    name: ClassVar[str] = "replacement"
    stochastic: ClassVar[bool] = True
    strength: ClassVar[Strength | None] = Strength("epsilon", (2.0, 1.0, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002))

    def settled_for(self, pictures: bool) -> Replacement:
        """Return the options with the values of the preset in place of None, for pictures or for vectors.

        The two budgets are then set, too.
        """
        own = self
        if not pictures:
            own = replace(self, **{k: v for k, v in VECTORS.items() if getattr(self, k) is None})
        own = own.settled()
        first = own.epsilon if own.epsilon_filter is None else own.epsilon_filter
        second = own.epsilon if own.epsilon_generator is None else own.epsilon_generator
        return replace(own, epsilon_filter=first, epsilon_generator=second)

    def fit(self, table: Table, policy: Policy, run: Run) -> ReplacementModifier:
        """Fit one stage after the other.

        Raises
        ------
        SordineError
            Where the sides of pictures do not suit the UNet, or training diverges.
        """
        own = self.settled_for(table.pictures)
        shape = picture_shape(table) if table.pictures else (table.width,)
        stages: list[Stage] = []
        histories: dict[str, list[dict[str, float]]] = {}
        for attribute in policy.suppress:
            with seeded(run.seed, f"replacement {attribute}"):
                stages.append(own._stage(shape, len(table.classes[attribute])))
                modifier = _modifier(table, stages, run.device)
                known = table.y[attribute][table.y[attribute] >= 0]
                if own.synthetic == "data":
                    counts = torch.from_numpy(np.bincount(known, minlength=stages[-1].classes))
                    stages[-1].shares.copy_(counts / counts.sum())
                histories[attribute] = own._play(modifier, attribute, table, policy, run)
        modifier.eval()
        figures = _figures(modifier, own, table, histories, run)
        notes = [*own._notes(policy), _distortion_note(own, figures)]
        modifier.card = own.card(policy, table, fit=figures, notes=notes)
        return modifier

    @staticmethod
    def build(card: Card, tensors: dict[str, Tensor]) -> ReplacementModifier:
        """Return an empty modifier; the number of classes of a stage is the length of its p(s'). See `Method.build`."""
        own = Replacement(**card.fields)
        shape = tuple(card.input["shape"])
        pictures = card.input.get("dtype") == "uint8"
        if pictures and own.widths is None:
            raise ValueError("the card names no widths")
        inside = shape if pictures else (int(np.prod(shape)),)
        classes = [len(tensors[f"stages.{i}.shares"]) for i in range(len(card.policy["suppress"]))]
        made = ReplacementModifier(shape, [own._stage(inside, k) for k in classes], pictures)
        return channels_last(made)

    def _stage(self, shape: tuple[int, ...], classes: int) -> Stage:
        widths, noise = self.widths, int(self.number("noise"))
        assert widths is not None

        def painter(drawn: int, classes: int) -> nn.Module:
            return nets.painter(shape, widths, self.hidden, self.dropout, drawn, classes, bool(self.residual))

        filters = painter(noise, 0) if self.variant in ("both", "filter") else None
        # StarGAN's editor takes the class, and no noise.
        drawn = 0 if self.variant == "edit" else noise
        generates = painter(drawn, classes) if self.variant != "filter" else None
        return Stage(filters, generates, classes, noise)

    def _play(
        self, modifier: ReplacementModifier, attribute: str, table: Table, policy: Policy, run: Run
    ) -> list[dict[str, float]]:
        # Train the last stage of the modifier on what the stages before it release.
        last = len(modifier.stages) - 1
        stage = modifier.every[last]

        def onto(x: Tensor, draw: Draw) -> Tensor:
            with torch.no_grad():
                v = modifier.onto(x)
                return modifier.through(v, draw.noise(len(x), modifier.noise), last) if last else v

        data = StageData(attribute, stage.classes, onto, self._distance(modifier), self.synthetic == "uniform")
        batch = fit_batch(len(table), int(self.number("batch")))
        start = int(numpy_rng(run.seed, f"replacement draw {attribute}").integers(2**31))
        draw = Draw(table, batch, (attribute,), seed=start, device=run.device)
        epochs = int(self.number("epochs")) or max(1, -(-STEPS // draw.rounds))
        game = self._game(stage, data, modifier, epochs, run.device)
        made = {"fields": asdict(self), "seed": run.seed, "stage": policy.suppress[: last + 1]}
        file = checkpoint_file(run.folder, f"replacement-{last + 1}", made, table, policy.suppress)
        watch = watcher(modifier, table, epochs, run)
        what = f"replacement of {attribute}"
        try:
            return train(game, draw, epochs, what=what, file=file, run=run, watch=watch)
        except FloatingPointError as error:
            raise SordineError(f"replacement: training diverged ({error}); set a lower lr or penalty") from None

    def _game(self, stage: Stage, data: StageData, modifier: ReplacementModifier, epochs: int, device: str) -> Game:
        shape = modifier.shape if modifier.are_pictures else (int(np.prod(modifier.shape)),)
        width = int(self.number("discriminator_width"))

        reader: nn.Module | None = None
        judge: nn.Module | None = None

        def player(net: nn.Module) -> Player:
            lr = self.number("judge_lr" if net is judge else "filter_lr" if net is stage.filter else "lr")

            def optimiser(weights: list[Tensor]) -> torch.optim.Optimizer:
                adam = torch.optim.Adam(weights, lr=lr, betas=(self.beta1, self.number("beta2")))
                if self.number("clip"):
                    adam.register_step_pre_hook(lambda *_: _clipped(weights, self.number("clip")))
                return adam

            falls = self.schedule == "cosine"
            return Player(net, optimiser, (lambda o: CosineAnnealingLR(o, epochs)) if falls else None)

        if self.variant == "edit":
            judge = channels_last(nets.critic(shape, stage.classes, width, self.hidden), device)
            steps = int(self.number("critic_steps"))
            span = 2.0 if modifier.are_pictures else 1.0
            return Editing(stage, judge, data, player, cycle=self.cycle, critic_steps=steps, span=span)
        if stage.filter is not None:
            net = nets.discriminator(shape, stage.classes, RESNET18, width, self.hidden, self.dropout)
            reader = channels_last(net, device)
        if stage.generator is not None:
            net = nets.discriminator(shape, stage.classes + 1, RESNET10, width, self.hidden, self.dropout)
            judge = channels_last(net, device)
        return Replacing(
            stage,
            reader,
            judge,
            data,
            player,
            criterion=self.criterion,
            epsilons=(self.number("epsilon_filter"), self.number("epsilon_generator")),
            penalty=self.penalty,
        )

    def _distance(self, modifier: ReplacementModifier) -> Callable[[Tensor, Tensor], Tensor]:
        if self.distance == "mean_square":
            return distance_mean_square
        if modifier.are_pictures:
            return distance_l2
        # In the scale of the table: in the plane of section 4, epsilon is a distance there.
        return lambda a, b: distance_l2(a * modifier.scale, b * modifier.scale)

    def _notes(self, policy: Policy) -> list[str]:
        sentences = [NOTES[self.variant]]
        if len(policy.suppress) > 1:
            names = ", then ".join(policy.suppress)
            sentences.append(
                f"Attributes were replaced one after the other: {names}. A later stage may restore a trace of an "
                f"earlier one."
            )
        sentences.append(
            "How much is hidden is not proved but measured, by attackers retrained on what is released (audit)."
        )
        return sentences


def _clipped(weights: list[Tensor], most: float) -> None:
    # A step beyond a budget has a weight of 1e5, which would stay in Adam's second moment for a thousand steps.
    torch.nn.utils.clip_grad_norm_(weights, most)


def _modifier(table: Table, stages: list[Stage], device: str) -> ReplacementModifier:
    # With the stages fitted so far and the next one; standardised by the training records.
    modifier = ReplacementModifier(table.shape, stages, table.pictures)
    if not modifier.are_pictures:
        mean, deviation, _ = prepared_moments(table)
        modifier.mean.copy_(mean)
        modifier.scale.copy_(deviation)
    modifier.to(device)
    if modifier.are_pictures:
        channels_last(modifier)
    return modifier.eval()


@torch.no_grad()
def _figures(
    modifier: ReplacementModifier,
    own: Replacement,
    table: Table,
    histories: Mapping[str, list[dict[str, float]]],
    run: Run,
) -> dict[str, Any]:
    # Loss terms of about 20 epochs a stage, and the distortion of training records.
    random = torch.Generator().manual_seed(run.seed)
    rows = np.sort(numpy_rng(run.seed, "replacement measured").permutation(len(table))[:MEASURED])
    moved: dict[str, list[Tensor]] = {}
    for start in range(0, len(rows), modifier.block):
        x = table.batch(rows[start : start + modifier.block]).to(run.device)
        noise = torch.rand(len(x), modifier.noise, generator=random).clamp_(1e-7, 1 - 1e-7).to(run.device)
        v = modifier.onto(x)
        shown = {
            "": modifier.through(v, noise, len(modifier.stages)),
            "_filtered": modifier.onto(modifier.filtered(x, noise)),
        }
        for which, new in shown.items():
            moved.setdefault(f"distortion{which}", []).append(own._distance(modifier)(new, v))
            moved.setdefault(f"distortion{which}_mean_square", []).append(distance_mean_square(new, v))
            moved.setdefault(f"distortion{which}_l2", []).append(
                distance_l2(modifier.back(new).flatten(1), x.flatten(1))
            )
    stages = {attribute: sampled_terms(history) for attribute, history in histories.items()}
    return {name: float(torch.cat(v).mean()) for name, v in moved.items()} | {"stages": stages}


def _distortion_note(own: Replacement, figures: Mapping[str, Any]) -> str:
    unit = "mean square" if own.distance == "mean_square" else "L2"
    if own.variant == "edit":
        return f"Records are moved by {figures['distortion']:.4g} ({unit}); there was no budget."
    budgets = f"{own.epsilon_filter:g} (filter) and {own.epsilon_generator:g} (generator), for each stage"
    note = f"Records are moved by {figures['distortion']:.4g} ({unit}); the budgets are {budgets}."
    if figures["distortion"] < HARDLY * max(own.number("epsilon_filter"), own.number("epsilon_generator")):
        note += (
            " So little of the budget is used that not much can be hidden: train longer (epochs), or with "
            "residual=false."
        )
    return note

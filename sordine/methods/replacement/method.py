"""Replacement: a filter takes an attribute out of a record, a generator puts a random value of it in (Martinsson et al.).

    x' = f(x, z1)        x'' = g(x', s', z2)        s' ~ p(s'), independent of x

Both learn against discriminators within a distortion budget (Algorithm 1). Several attributes are replaced one after the
other, each stage fitted on what the stages before release. See docs/guide/methods/replacement.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR

from sordine.data.statistics import prepared_moments
from sordine.data.table import Table
from sordine.errors import SordineError, check_number, nearest
from sordine.keys import numpy_rng
from sordine.methods.base import input_of
from sordine.methods.options import Widths
from sordine.methods.replacement import networks as nets
from sordine.methods.replacement.losses import distance_l2, distance_mean_square
from sordine.methods.replacement.modifier import ReplacementModifier, watcher
from sordine.methods.replacement.networks import Stage
from sordine.methods.replacement.training import Criterion, Editing, Replacing, Sight
from sordine.models.checkpoints import checkpoint_file
from sordine.models.modifier import Card
from sordine.models.networks.resnet import RESNET10, RESNET18
from sordine.models.picture_classifier import picture_shape
from sordine.models.training import Draw, Game, Player, fit_batch, seeded, train
from sordine.policy import Policy
from sordine.run import Run

Variant = Literal["both", "filter", "generator", "edit"]
Distance = Literal["mean_square", "l2"]

STEPS = 1500  # of a fit whose `epochs` is 0
HARDLY = 0.2  # of a budget, under which little can be hidden
# A batch of one has no deviation for batch norm; a rate beyond the last leaves single precision.
_RANGES = (
    *((field, 1, 1e9) for field in ("discriminator_width", "critic_steps")),
    ("batch", 2, 1e9),
    *((field, 1e-12, 1000) for field in ("lr", "filter_lr", "judge_lr")),
    *(
        (f, 0, 1e9)
        for f in ("epsilon", "epsilon_filter", "epsilon_generator", "penalty", "clip", "cycle", "noise", "epochs")
    ),
    *((field, 0, 0.999999) for field in ("beta1", "beta2", "dropout")),
)
MEASURED = 1000  # training records on which the realised distortion is measured

# What a field left at None becomes. `paper`: A.1 (sizes; figure 8's channels), section 4 and A.3 (rates, lambda, epochs);
# no batch size is given there: 64 is ours. `small`: ours, for 32 pixels on a CPU. `vectors`: for records that are no
# pictures, under either preset; hidden, dropout, noise and lr are those that do well on the plane of section 4.
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
    "both": "A released record shows a value of the attribute that was drawn at random. It says nothing about the record; "
    "whoever takes it for the truth is misled.",
    "filter": "The filter alone hides the attribute without putting another value in its place: released records may look "
    "filtered, and the paper finds more left to read than with the generator.",
    "generator": "The generator alone was never taught to hide the attribute: the paper finds no privacy in it. Use the "
    "variant `both`.",
    "edit": "This is an attribute-editing baseline (StarGAN's losses), made to look convincing, not to hide: the paper's "
    "retrained attackers still read about 90 % of it. Use the variant `both`.",
}


@dataclass(frozen=True)
class Replacement:
    """Filter, generator and their discriminators. A field left at None takes the preset's value; epochs 0 means as many as
    make 1,500 rounds. docs/guide/methods/replacement.md has every field. Raises SordineError where a choice is unknown or a
    number out of range.
    """

    suppresses: ClassVar[bool] = True
    preserves: ClassVar[bool] = False
    stochastic: ClassVar[bool] = True

    preset: Literal["paper", "small"] = "small"
    variant: Variant = "both"
    criterion: Criterion = "entropy"
    synthetic: Literal["uniform", "data"] = "uniform"
    distance: Distance = "mean_square"
    epsilon: float | None = None
    epsilon_filter: float | None = None
    epsilon_generator: float | None = None
    penalty: float = 1e5
    widths: Widths | None = None
    discriminator_width: int | None = None
    noise: int | None = None
    residual: bool | None = None
    epochs: int | None = None
    batch: int | None = None
    lr: float | None = None
    filter_lr: float | None = None
    judge_lr: float | None = None
    beta1: float = 0.9
    beta2: float | None = None
    clip: float | None = None
    schedule: Literal["constant", "cosine"] | None = None
    # Of vectors alone.
    hidden: Widths = (128, 256, 128)
    dropout: float = 0.2
    # Of the editing baseline alone.
    cycle: float = 10.0
    critic_steps: int | None = None

    def __post_init__(self) -> None:
        for field, known in _CHOICES.items():
            value = getattr(self, field)
            if value not in known and not (field == "schedule" and value is None):
                raise SordineError(f"replacement: {field} {value!r} is unknown; {nearest(str(value), known)}")
        object.__setattr__(self, "hidden", tuple(self.hidden))
        if self.widths is not None:
            object.__setattr__(self, "widths", tuple(self.widths))
        for field in ("hidden", "widths"):
            value = getattr(self, field)
            if value is not None and (not value or min(value) < 1):
                raise SordineError(f"replacement: {field} must be widths of at least 1, not {value}")
        if self.widths is not None and len(self.widths) < 2:
            raise SordineError(f"replacement: widths must be two or more, from the finest stage on, not {self.widths}")
        for field, low, high in _RANGES:
            check_number(f"replacement: {field}", getattr(self, field), low, high)

    def settled(self, pictures: bool) -> Replacement:
        """This configuration with the preset's values in the place of None; the two budgets, too, are then set."""
        preset = PRESETS[self.preset] | ({} if pictures else VECTORS)
        own = replace(self, **{k: v for k, v in preset.items() if getattr(self, k) is None})
        first = own.epsilon if own.epsilon_filter is None else own.epsilon_filter
        second = own.epsilon if own.epsilon_generator is None else own.epsilon_generator
        return replace(own, epsilon_filter=first, epsilon_generator=second)

    def number(self, field: str) -> float:
        """A settled field that is a number."""
        return float(getattr(self, field))

    def fit(self, table: Table, policy: Policy, run: Run) -> ReplacementModifier:
        """One stage after the other. Raises SordineError where nothing is to be suppressed, or pictures' sides do not suit
        the UNet."""
        if not policy.suppress:
            raise SordineError("replacement: no attribute to suppress")
        own = self.settled(table.pictures)
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
        modifier.card = Card(
            method="replacement",
            fields=asdict(own),
            policy={role: list(names) for role, names in policy.roles()},
            input=input_of(table),
            fit=_figures(modifier, own, table, histories, run),
            notes=own._notes(policy),
        )
        modifier.card.notes.append(_moved_words(own, modifier.card.fit))
        return modifier

    @staticmethod
    def build(card: Card, tensors: dict[str, Tensor]) -> ReplacementModifier:
        """An empty modifier of the card's sizes; how many classes a stage has, its p(s') tells."""
        own = Replacement(**card.fields)
        shape = tuple(card.input["shape"])
        pictures = card.input.get("dtype") == "uint8"
        if pictures and own.widths is None:
            raise ValueError("the card names no widths")
        inside = shape if pictures else (int(np.prod(shape)),)
        classes = [len(tensors[f"stages.{i}.shares"]) for i in range(len(card.policy["suppress"]))]
        made = ReplacementModifier(shape, [own._stage(inside, k) for k in classes], pictures)
        return made.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def _stage(self, shape: tuple[int, ...], classes: int) -> Stage:
        widths, noise = self.widths, int(self.number("noise"))
        assert widths is not None

        def painter(drawn: int, classes: int) -> nn.Module:
            return nets.painter(shape, widths, self.hidden, self.dropout, drawn, classes, bool(self.residual))

        filters = painter(noise, 0) if self.variant in ("both", "filter") else None
        # StarGAN's editor takes the class alone.
        drawn = 0 if self.variant == "edit" else noise
        generates = painter(drawn, classes) if self.variant != "filter" else None
        return Stage(filters, generates, classes, noise)

    def _play(
        self, modifier: ReplacementModifier, attribute: str, table: Table, policy: Policy, run: Run
    ) -> list[dict[str, float]]:
        # Train the modifier's last stage on what the stages before release.
        last = len(modifier.stages) - 1
        stage = modifier.every[last]

        def onto(x: Tensor, draw: Draw) -> Tensor:
            with torch.no_grad():
                v = modifier.onto(x)
                return modifier.through(v, draw.noise(len(x), modifier.noise), last) if last else v

        sight = Sight(attribute, stage.classes, onto, self._distance(modifier), self.synthetic == "uniform")
        batch = fit_batch(len(table), int(self.number("batch")))
        start = int(numpy_rng(run.seed, f"replacement draw {attribute}").integers(2**31))
        draw = Draw(table, batch, (attribute,), seed=start, device=run.device)
        epochs = int(self.number("epochs")) or max(1, -(-STEPS // draw.rounds))
        game = self._game(stage, sight, modifier, epochs, run.device)
        made = {"fields": asdict(self), "seed": run.seed, "stage": policy.suppress[: last + 1]}
        file = checkpoint_file(run.folder, f"replacement-{last + 1}", made, table, policy.suppress)
        watch = watcher(modifier, table, epochs, run)
        what = f"replacement of {attribute}"
        try:
            return train(game, draw, epochs, what=what, file=file, run=run, watch=watch)
        except FloatingPointError as error:
            raise SordineError(f"replacement: training diverged ({error}); lower lr or penalty") from None

    def _game(self, stage: Stage, sight: Sight, modifier: ReplacementModifier, epochs: int, device: str) -> Game:
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

        def placed(net: nn.Module) -> nn.Module:
            return net.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]

        if self.variant == "edit":
            judge = placed(nets.critic(shape, stage.classes, width, self.hidden))
            steps = int(self.number("critic_steps"))
            span = 2.0 if modifier.are_pictures else 1.0
            return Editing(stage, judge, sight, player, cycle=self.cycle, critic_steps=steps, span=span)
        if stage.filter is not None:
            reader = placed(nets.discriminator(shape, stage.classes, RESNET18, width, self.hidden, self.dropout))
        if stage.generator is not None:
            judge = placed(nets.discriminator(shape, stage.classes + 1, RESNET10, width, self.hidden, self.dropout))
        return Replacing(
            stage,
            reader,
            judge,
            sight,
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
        # In the table's own scale: in the plane, epsilon is a distance that one can draw.
        return lambda a, b: distance_l2(a * modifier.scale, b * modifier.scale)

    def _notes(self, policy: Policy) -> list[str]:
        said = [NOTES[self.variant]]
        if len(policy.suppress) > 1:
            names = ", then ".join(policy.suppress)
            said.append(f"Attributes were replaced one after the other: {names}. A later stage may bring back a trace.")
        said.append(
            "How much is hidden is not proved but measured: by attackers retrained on what is released (audit)."
        )
        return said


_CHOICES = {
    "preset": tuple(PRESETS),
    "variant": ("both", "filter", "generator", "edit"),
    "criterion": ("entropy", "likelihood"),
    "synthetic": ("uniform", "data"),
    "distance": ("mean_square", "l2"),
    "schedule": ("constant", "cosine"),
}


def _clipped(weights: list[Tensor], most: float) -> None:
    # One step over a budget weighs 1e5 and would be remembered by Adam's second moment for a thousand steps.
    torch.nn.utils.clip_grad_norm_(weights, most)


def _modifier(table: Table, stages: list[Stage], device: str) -> ReplacementModifier:
    # Around the stages fitted so far and the one that is to be; standardised by the training records.
    modifier = ReplacementModifier(table.shape, stages, table.pictures)
    if not modifier.are_pictures:
        mean, deviation, _ = prepared_moments(table)
        modifier.mean.copy_(mean)
        modifier.scale.copy_(deviation)
    modifier.to(device)
    if modifier.are_pictures:
        modifier.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return modifier.eval()


@torch.no_grad()
def _figures(
    modifier: ReplacementModifier,
    own: Replacement,
    table: Table,
    histories: Mapping[str, list[dict[str, float]]],
    run: Run,
) -> dict[str, Any]:
    # Loss terms of about 20 epochs a stage, and how far training records are moved by the finished modifier.
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
    stages = {}
    for attribute, history in histories.items():
        kept = sorted({round(i) for i in np.linspace(0, len(history) - 1, min(20, len(history)))})
        terms = {term: [history[i][term] for i in kept] for term in (history[0] if history else ())}
        stages[attribute] = {"epochs": [i + 1 for i in kept], "terms": terms}
    return {name: float(torch.cat(v).mean()) for name, v in moved.items()} | {"stages": stages}


def _moved_words(own: Replacement, fit: Mapping[str, Any]) -> str:
    unit = "mean square" if own.distance == "mean_square" else "L2"
    if own.variant == "edit":
        return f"Records are moved by {fit['distortion']:.4g} ({unit}); there was no budget."
    asked = f"budgets {own.epsilon_filter:g} (filter) and {own.epsilon_generator:g} (generator), each stage's own"
    said = f"Records are moved by {fit['distortion']:.4g} ({unit}) where the {asked}, were asked."
    if fit["distortion"] < HARDLY * max(own.number("epsilon_filter"), own.number("epsilon_generator")):
        said += " So little of the budget is used that not much can be hidden: train longer (epochs), or with residual=false."
    return said

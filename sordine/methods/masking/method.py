"""Masking: keep the pixels that a task needs, and make the others uninformative.

    m = masker(x)      x_p = m_topK * x      x_o = (m - m_topK) * x
    predictor step     masker and predictor minimise the cross-entropy of predictor(x_p) to the label of the task
    adversarial step   masker alone minimises the cross-entropy of predictor(x_o) to the uniform distribution

What is released are the values of x where m_topK is above 0 (`hard`, the default), or x_p itself (`soft`); the paper
names both. Only the labels of the task are used, so no attribute is suppressed by name: what the kept pixels reveal of
a person stays in them. See docs/guide/methods/masking.md.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR

from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.methods.base import Method, Output, Strength
from sordine.methods.figures import sampled_terms
from sordine.methods.masking.losses import obfuscator_loss, predictor_loss, revealed, top_share, withheld
from sordine.methods.masking.network import ConvNet
from sordine.methods.options import BatchSize, Count, Presets, Rate, Widths
from sordine.methods.pictures import PictureWatch, channels_last
from sordine.models.checkpoints import checkpoint_file
from sordine.models.modifier import Card, Modifier, Release
from sordine.models.networks.unet import UNet
from sordine.models.picture_classifier import WHITE, mixed_precision, picture_outputs, picture_shape
from sordine.models.training import Draw, Move, Player, fit_batch, seeded, train
from sordine.policy import Policy
from sordine.run import Run

# The paper gives 64 x 64 pixels, a "standard" UNet and four convolutional blocks, and no width, rate, batch or number
# of steps. paper: the widths of the UNet paper, the rest ours. small: ours, for 32 pixels on a CPU.
PRESETS: dict[str, dict[str, Any]] = {
    "paper": {
        "widths": (64, 128, 256, 512, 1024),
        "predictor_widths": (32, 64, 128, 256),
        "dense": 256,
        "steps": 20_000,
        "batch": 64,
        "lr": 1e-3,
    },
    "small": {
        "widths": (16, 32, 64, 128),
        "predictor_widths": (16, 32, 64, 128),
        "dense": 128,
        "steps": 900,
        "batch": 32,
        "lr": 2e-3,
    },
}
SHEET_RECORDS = 8
MEASURED = 1000  # training records on which the masks are measured


class Predictor(nn.Module):
    """Predictor and obfuscator, which share all weights: pictures in [0, 1] -> logits of each attribute of the task.

    Parameters
    ----------
    fields
        Settled options of the method.
    shape
        (c, h, w) of a picture.
    classes
        Attribute -> number of classes. Attributes share all layers but the last.
    """

    def __init__(self, fields: Masking, shape: Sequence[int], classes: Mapping[str, int]) -> None:
        super().__init__()
        self.classes = dict(classes)
        widths, dense = tuple(fields.predictor_widths or ()), int(fields.number("dense"))
        self.net = ConvNet(shape[0], sum(classes.values()), widths, dense, (shape[1], shape[2]))

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return logits (b, classes) of each attribute of the task: pictures (b, c, h, w) in [0, 1]."""
        logits = self.net(x.contiguous(memory_format=torch.channels_last)).float()
        return list(logits.split(list(self.classes.values()), 1))

    @contextlib.contextmanager
    def by_batch(self) -> Iterator[None]:
        """Use the statistics of the current batch in batch norm, and leave the running statistics unchanged."""
        norms = [layer for layer in self.modules() if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d)]
        modes = [layer.training for layer in norms]
        for layer in norms:
            layer.training, layer.track_running_stats = True, False
        try:
            yield
        finally:
            for layer, mode in zip(norms, modes, strict=True):
                layer.training, layer.track_running_stats = mode, True


class MaskingModifier(Modifier):
    """Pictures in 0 to 255 -> the share `keep` of their pixels, 0 elsewhere; deterministic.

    The predictor ships with the masker (`predict`). It was trained on soft x_p and may fail on hard releases.
    """

    block = 64

    def __init__(self, masker: UNet, predictor: Predictor, keep: float, hard: bool) -> None:
        super().__init__()
        self.masker, self.predictor = masker, predictor
        self.keep, self.hard = keep, hard

    def masks(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return m and m_topK, (b, 1, h, w) in [0, 1], soft values, of pictures (b, c, h, w) in 0 to 255."""
        m = self.masker(x / WHITE).float()
        return m, top_share(m, self.keep)

    def mask(self, x: Tensor) -> Tensor:
        """Return the factor of each pixel (b, 1, h, w): m_topK, or 1 wherever it is above 0 (hard)."""
        _, top = self.masks(x)
        return (top > 0).float() if self.hard else top

    def forward(self, x: Tensor, noise: Tensor) -> Release:
        """Return masked pictures of the same shape, and the mask; x (b, c, h, w) in 0 to 255, noise is not used."""
        mask = self.mask(x)
        return Release(revealed(mask, x), mask=mask)

    def pictures(self, x: Tensor, noise: Tensor) -> dict[str, Tensor]:
        """Return the mask as a picture (b, 1, h, w) in 0 to 255: kept pixels are white."""
        return {"mask": self.mask(x) * WHITE}

    def predict(self, x_new: Tensor) -> dict[str, Tensor]:
        """Return attribute -> probabilities (b, classes) of released pictures (b, c, h, w) in 0 to 255.

        The predictor was trained on x_p, with soft values of m: on hard releases it may be far less accurate (both
        figures are in docs/results/masking.md).
        """
        found = self.predictor(x_new / WHITE)
        return {name: logits.softmax(1) for name, logits in zip(self.predictor.classes, found, strict=True)}


@dataclass(frozen=True)
class Masking(Presets, Method):
    """The masking paper's method. An option that is None takes the value of the preset.

    docs/guide/methods/masking.md describes every option.

    Parameters
    ----------
    preset
        `small` or `paper`.
    keep
        K, per cent of the pixels.
    adversarial
        False is the paper's non-adversarial baseline.
    release
        The kept pixels as they are (`hard`), or times their soft values as in training (`soft`).
    predictor_steps
        Predictor steps for each adversarial step.
    widths, predictor_widths, dense
        Channels of the UNet and of the predictor's four blocks, and width of its dense layer.
    steps
        Predictor steps, rounded to whole epochs, at least one; see `epochs`.
    batch, lr
        Of the training.
    obfuscator_lr
        Learning rate of the adversarial step; None means lr times predictor_steps.
    statistics
        Statistics of batch norm for x_o in the adversarial step: `running` or of the `batch`.

    References
    ----------
    - Masking (2021), sec. II: the method.
    """

    preset: Literal["paper", "small"] = "small"
    keep: Annotated[float, Field(gt=0, le=100)] = 20.0
    adversarial: bool = True
    release: Literal["soft", "hard"] = "hard"
    predictor_steps: Count = 3
    widths: Widths | None = None
    predictor_widths: Annotated[Widths, Field(min_length=4, max_length=4)] | None = None
    dense: Count | None = None
    steps: Count | None = None
    batch: BatchSize | None = None
    lr: Rate | None = None
    obfuscator_lr: Rate | None = None
    statistics: Literal["running", "batch"] = "running"

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = PRESETS
    name: ClassVar[str] = "masking"
    suppresses: ClassVar[bool] = False
    preserves: ClassVar[bool] = True
    needs_pictures: ClassVar[bool] = True
    releases: ClassVar[frozenset[Output]] = frozenset({"pictures"})
    strength: ClassVar[Strength | None] = Strength("keep", (1.0, 2.0, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 60.0, 80.0))

    def settled(self) -> Self:
        """Return the same options with the values of the preset in place of None."""
        own = super().settled()
        if own.obfuscator_lr is not None:
            return own
        # One adversarial step follows several predictor steps.
        return replace(own, obfuscator_lr=own.predictor_steps * own.number("lr"))

    def epochs(self, rounds: int) -> int:
        """Return the settled `steps` in whole epochs of so many rounds, at least one.

        900 steps on 3,000 records (93 rounds of three predictor steps) are three epochs, 837 steps. On many records
        they are one epoch, which may be thousands of steps.
        """
        return max(1, round(self.number("steps") / (self.predictor_steps * rounds)))

    def fit(self, table: Table, policy: Policy, run: Run) -> MaskingModifier:
        """Train masker and predictor on the labels of the task.

        Raises
        ------
        SordineError
            Where the records are not pictures, a side does not suit the UNet, an attribute of the task has fewer than
            two classes, or training diverges.
        """
        shape = picture_shape(table)
        for name in policy.preserve:
            if len(np.unique(table.y[name][table.y[name] >= 0])) < 2:
                raise SordineError(
                    f"{table.source}: {name!r} has fewer than two classes among the training records; preserve another"
                )
        if round(self.keep / 100 * shape[1] * shape[2]) < 1:
            raise SordineError(
                f"masking: keep is {self.keep}, less than one of {shape[1]} x {shape[2]} pixels; set a larger share"
            )
        own = self.settled()
        classes = {name: len(table.classes[name]) for name in policy.preserve}
        with seeded(run.seed, "masking"):
            modifier = channels_last(own._empty(shape, classes), run.device)
            batch = fit_batch(len(table), int(own.number("batch")))
            draw = Draw(table, batch, policy.preserve, seed=run.seed, device=run.device)
            epochs = own.epochs(draw.rounds)
            game = MaskingGame(own, modifier, epochs)
            made = {"fields": asdict(own), "seed": run.seed}
            file = checkpoint_file(run.folder, "masking", made, table, policy.preserve, device=run.device)
            watch = _watch(modifier, table, run, epochs)
            try:
                history = train(game, draw, epochs, what="masking", file=file, run=run, watch=watch)
            except FloatingPointError as error:
                raise SordineError(f"masking: training diverged ({error}); set a lower lr") from None
        modifier.eval()
        figures = _figures(modifier, table, history, run.device)
        notes = _notes(own, policy, figures)
        modifier.card = own.card(policy, table, fit={"classes": classes} | figures, notes=notes)
        return modifier

    @staticmethod
    def build(card: Card, tensors: dict[str, Tensor]) -> MaskingModifier:
        """Return an empty modifier; see `Method.build`."""
        modifier = Masking(**card.fields)._empty(card.input["shape"], card.fit["classes"])
        # In the memory layout of the fit, since sums in another order may round differently.
        return channels_last(modifier)

    def _empty(self, shape: Sequence[int], classes: Mapping[str, int]) -> MaskingModifier:
        masker = UNet(shape[0], 1, tuple(self.widths or ()), (shape[1], shape[2]))
        return MaskingModifier(masker, Predictor(self, shape, classes), self.keep / 100, self.release == "hard")


class MaskingGame:
    """One round: predictor steps, in which masker and predictor move, then a step in which the masker moves alone.

    The masker is in both players, with an optimiser for each of its two aims, so that their averages stay separate. In
    the adversarial step the predictor is in evaluation mode, as every network that does not move: its batch norm then
    uses the running statistics of x_p for x_o.

    References
    ----------
    - Masking (2021), sec. II.B: the alternating steps.
    """

    def __init__(self, fields: Masking, modifier: MaskingModifier, epochs: int) -> None:
        self.modifier, self.by_batch = modifier, fields.statistics == "batch"
        both = nn.ModuleList([modifier.masker, modifier.predictor])

        def player(module: nn.Module, rate: float) -> Player:
            return Player(
                module, lambda weights: torch.optim.Adam(weights, lr=rate), lambda o: CosineAnnealingLR(o, epochs)
            )

        self.players = {"predictor": player(both, fields.number("lr"))}
        self.moves = ("predictor",) * fields.predictor_steps
        if fields.adversarial:
            self.players["masker"] = player(modifier.masker, fields.number("obfuscator_lr"))
            self.moves += ("masker",)

    def round(self, draw: Draw) -> Iterator[Move]:
        predictor = self.modifier.predictor
        for move in self.moves:
            records = draw()
            x = records.x / WHITE
            # In single precision: in bfloat16 most pixels near the K-th would tie.
            m, top = self.modifier.masks(records.x)
            adversarial = move == "masker"
            with mixed_precision(draw.device):
                shown = withheld(m, top, x) if adversarial else revealed(top, x)
                with predictor.by_batch() if adversarial and self.by_batch else contextlib.nullcontext():
                    logits = dict(zip(predictor.classes, predictor(shown), strict=True))
            if adversarial:
                yield move, {f"confuse {a}": obfuscator_loss(v) for a, v in logits.items()}
            else:
                yield move, {f"read {a}": predictor_loss(v, records.y[a]) for a, v in logits.items()}


def _watch(modifier: MaskingModifier, table: Table, run: Run, epochs: int) -> PictureWatch | None:
    if run.folder is None:
        return None
    x = table.batch(slice(0, SHEET_RECORDS))

    def columns() -> dict[str, Tensor]:
        shown = x.to(run.device)
        mask = modifier.mask(shown)
        return {"original": x, "mask": mask * WHITE, "released": revealed(mask, shown)}

    return PictureWatch(run.folder, "masking", epochs, columns)


def _figures(modifier: MaskingModifier, table: Table, history: list[dict[str, float]], device: str) -> dict[str, Any]:
    """Return loss terms of about 20 epochs and figures of some training records.

    These are the mean of m on kept and on other pixels, the distortion, and the accuracy of the predictor on soft x_p
    and of the obfuscator on x_o.
    """
    some = table.take(np.unique(np.linspace(0, len(table) - 1, min(MEASURED, len(table))).round().astype(int)))

    def measure(x: Tensor) -> Tensor:
        m, top = modifier.masks(x)
        inside = top > 0
        x_new = revealed(inside.float() if modifier.hard else top, x)
        shown = x / WHITE
        logits = [*modifier.predictor(top * shown), *modifier.predictor((m - top) * shown)]
        count = inside.flatten(1).sum(1)
        return torch.cat(
            [
                torch.stack(
                    [
                        top.flatten(1).sum(1) / count.clamp_min(1),
                        (m - top).flatten(1).sum(1) / (m[0].numel() - count).clamp_min(1),
                        ((x_new - x) / WHITE).square().flatten(1).mean(1),
                    ],
                    1,
                ),
                *(v.argmax(1, keepdim=True).float() for v in logits),
            ],
            1,
        )

    found = picture_outputs(measure, some.x, device=device)
    names = list(modifier.predictor.classes)
    accuracy: dict[str, dict[str, float]] = {}
    for i, name in enumerate(names):
        known = some.y[name] >= 0
        if known.any():
            truth, shown, hidden = some.y[name][known], found[known, 3 + i], found[known, 3 + len(names) + i]
            accuracy[name] = {"kept": float((shown == truth).mean()), "withheld": float((hidden == truth).mean())}
    return {
        **sampled_terms(history),
        "mask_kept": float(found[:, 0].mean()),
        "mask_withheld": float(found[:, 1].mean()),
        "distortion_mean_square": float(found[:, 2].mean()),
        "predictor_accuracy": accuracy,
    }


def _notes(own: Masking, policy: Policy, figures: Mapping[str, Any]) -> list[str]:
    notes = [
        f"Of every picture {own.keep:g} per cent of the pixels are released, chosen for {', '.join(policy.preserve)}. "
        "What these pixels reveal of a person stays in them: nothing was trained against an attacker that infers it.",
        "The shape of the mask depends on the whole picture, so that it may reveal what its pixels do not. Rely on the "
        "audit, whose attackers have both.",
    ]
    if not own.adversarial:
        notes.insert(0, "Without the adversarial step, pixels that the task does not need may be among those kept.")
    elif figures["mask_withheld"] < 0.01:
        notes.append(
            f"The mean mask of withheld pixels is {figures['mask_withheld']:.4f}: the obfuscator was given nearly "
            "black pictures, so that its confusion proves little about the pixels themselves."
        )
    return notes

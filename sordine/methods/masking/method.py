"""Masking: keep the pixels that a task needs, and let the others say nothing of it (Gupta et al., FG 2021).

    m = masker(x)      x_p = m_topK * x      x_o = (m - m_topK) * x
    predictor step     masker and predictor minimise the cross-entropy of predictor(x_p) to the task's label
    adversarial step   masker alone minimises the cross-entropy of predictor(x_o) to the uniform distribution

Released are x's own values where m_topK is above 0 (`hard`, the default), or x_p itself (`soft`); the paper says both. No
label but the task's takes part, so nothing is suppressed by name: what the kept pixels tell of a person stays in them.
See docs/guide/methods/masking.md.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import CosineAnnealingLR

from sordine.data.media.contact_sheet import contact_sheet
from sordine.data.table import Table
from sordine.errors import SordineError, check_number, nearest
from sordine.methods.base import input_of
from sordine.methods.masking.losses import obfuscator_loss, predictor_loss, revealed, top_share, withheld
from sordine.methods.options import Widths
from sordine.models.checkpoints import checkpoint_file
from sordine.models.modifier import Card, Modifier, Release
from sordine.models.networks.convnet import ConvNet
from sordine.models.networks.unet import UNet
from sordine.models.picture_classifier import WHITE, mixed_precision, picture_outputs, picture_shape
from sordine.models.training import Draw, Move, Player, fit_batch, seeded, train
from sordine.policy import Policy
from sordine.run import Run

# What a field left at None becomes. The paper gives 64 x 64 pixels, a "standard" UNet and four convolutional blocks, and no
# width, rate, batch or number of steps. paper: Ronneberger's own widths, the rest ours. small: ours, for 32 pixels on a CPU.
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
# A batch of one has no deviation for batch norm; a rate beyond the last leaves single precision.
_RANGES = (
    *((field, 1, 1e9) for field in ("predictor_steps", "dense", "steps")),
    ("batch", 2, 1e9),
    *((field, 1e-12, 1000) for field in ("lr", "obfuscator_lr")),
)
SHEET_RECORDS, SHEETS = 8, 10
MEASURED = 1000  # training records on which the masks are measured


class Predictor(nn.Module):
    """Predictor and obfuscator, which share all weights: pictures in [0, 1] -> logits of each attribute of the task.

    classes: attribute -> how many it has. Attributes share all but the last dense layer.
    """

    def __init__(self, fields: Masking, shape: Sequence[int], classes: Mapping[str, int]) -> None:
        super().__init__()
        self.classes = dict(classes)
        widths, dense = tuple(fields.predictor_widths or ()), int(fields.number("dense"))
        self.net = ConvNet(shape[0], sum(classes.values()), widths, dense, (shape[1], shape[2]))

    def forward(self, x: Tensor) -> list[Tensor]:
        """(b, c, h, w) in [0, 1] -> logits (b, classes) each, in the task's order."""
        said = self.net(x.contiguous(memory_format=torch.channels_last)).float()
        return list(said.split(list(self.classes.values()), 1))

    @contextlib.contextmanager
    def by_batch(self) -> Iterator[None]:
        """Batch norm by the statistics of the batch at hand, which leaves the running ones as they are."""
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
    """Pictures in 0 to 255 -> the share `keep` of their pixels, zero elsewhere; deterministic. The predictor is kept beside the
    masker: `predict`. It learnt soft x_p alone and may fail on hard releases."""

    block = 64

    def __init__(self, masker: UNet, predictor: Predictor, keep: float, hard: bool) -> None:
        super().__init__()
        self.masker, self.predictor = masker, predictor
        self.keep, self.hard = keep, hard

    def masks(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures (b, c, h, w) in 0 to 255 -> m and m_topK, (b, 1, h, w) in [0, 1], soft values."""
        m = self.masker(x / WHITE).float()
        return m, top_share(m, self.keep)

    def mask(self, x: Tensor) -> Tensor:
        """What each pixel is multiplied by: (b, 1, h, w), m_topK, or 1 wherever it is above 0."""
        _, top = self.masks(x)
        return (top > 0).float() if self.hard else top

    def forward(self, x: Tensor, noise: Tensor) -> Release:
        """x: (b, c, h, w) in 0 to 255; noise is not used -> x' of the same shape, and the mask."""
        mask = self.mask(x)
        return Release(revealed(mask, x), mask=mask)

    def pictures(self, x: Tensor, noise: Tensor) -> dict[str, Tensor]:
        """The mask as a picture, (b, 1, h, w) in 0 to 255: white is kept, black is not."""
        return {"mask": self.mask(x) * WHITE}

    def predict(self, x_new: Tensor) -> dict[str, Tensor]:
        """The predictor: released pictures (b, c, h, w) in 0 to 255 -> attribute -> probabilities (b, classes).

        It learnt x_p, with m's soft values: of hard releases it may read far less (docs/results/masking.md has both).
        """
        said = self.predictor(x_new / WHITE)
        return {name: logits.softmax(1) for name, logits in zip(self.predictor.classes, said, strict=True)}


@dataclass(frozen=True)
class Masking:
    """The masking paper's method. A field left at None takes the preset's value; docs/guide/methods/masking.md has them all.

    keep: K, per cent of the pixels. adversarial: without, the paper's non-adversarial baseline. release: the kept pixels
    as they are (hard), or times their soft values, as in training. steps: predictor steps, of which `predictor_steps` go with
    one adversarial step; rounded to whole epochs, one at least (see `epochs`). obfuscator_lr: Adam's rate in the adversarial
    step (None: lr times predictor_steps). statistics: by which batch norm judges x_o then.

    Raises SordineError where a choice is unknown or a number is out of range.
    """

    suppresses: ClassVar[bool] = False
    preserves: ClassVar[bool] = True
    stochastic: ClassVar[bool] = False

    preset: Literal["paper", "small"] = "small"
    keep: float = 20.0
    adversarial: bool = True
    release: Literal["soft", "hard"] = "hard"
    predictor_steps: int = 3
    widths: Widths | None = None
    predictor_widths: Widths | None = None
    dense: int | None = None
    steps: int | None = None
    batch: int | None = None
    lr: float | None = None
    obfuscator_lr: float | None = None
    statistics: Literal["running", "batch"] = "running"

    def __post_init__(self) -> None:
        for field in ("widths", "predictor_widths"):
            value = getattr(self, field)
            if value is not None:
                object.__setattr__(self, field, tuple(value))
        for field, choice, known in (
            ("preset", self.preset, tuple(PRESETS)),
            ("release", self.release, ("soft", "hard")),
            ("statistics", self.statistics, ("running", "batch")),
        ):
            if choice not in known:
                raise SordineError(f"masking: {field} {choice!r} is unknown; {nearest(choice, known)}")
        if not 0 < self.keep <= 100:
            raise SordineError(f"masking: keep is {self.keep}; K is above 0 and at most 100 per cent of the pixels")
        for field, low, high in _RANGES:
            check_number(f"masking: {field}", getattr(self, field), low, high)
        for field in ("widths", "predictor_widths"):
            value = getattr(self, field)
            if value is not None and (not value or min(value) < 1):
                raise SordineError(f"masking: {field} must be channels above 0, not {list(value)}")
        if self.predictor_widths is not None and len(self.predictor_widths) != 4:
            raise SordineError(f"masking: predictor_widths names {len(self.predictor_widths)} blocks; there are four")

    def settled(self) -> Masking:
        """This configuration with the preset's values in the place of None."""
        own = replace(self, **{k: v for k, v in PRESETS[self.preset].items() if getattr(self, k) is None})
        if own.obfuscator_lr is not None:
            return own
        # It answers several predictor steps at once.
        return replace(own, obfuscator_lr=own.predictor_steps * own.number("lr"))

    def number(self, field: str) -> float:
        """A settled field that is a number."""
        return float(getattr(self, field))

    def epochs(self, rounds: int) -> int:
        """Settled `steps` in whole epochs of so many rounds: the nearest number, but one at least. 900 on 3,000 records (93 rounds
        of three predictor steps) are three epochs, 837 steps; on many records they are one epoch, which may be thousands."""
        return max(1, round(self.number("steps") / (self.predictor_steps * rounds)))

    def fit(self, table: Table, policy: Policy, run: Run) -> MaskingModifier:
        """Train masker and predictor on the task's labels. Raises SordineError where the records are no pictures, no task is
        named, a side does not suit the UNet, a task's attribute has no labels, or training diverges."""
        if not policy.preserve:
            raise SordineError("masking: no task: name an attribute to preserve")
        shape = picture_shape(table)
        for name in policy.preserve:
            if len(np.unique(table.y[name][table.y[name] >= 0])) < 2:
                raise SordineError(f"{table.source}: {name!r} has fewer than two classes among the training records")
        if round(self.keep / 100 * shape[1] * shape[2]) < 1:
            raise SordineError(f"masking: {self.keep} per cent of {shape[1]} x {shape[2]} pixels is not a single one")
        own = self.settled()
        classes = {name: len(table.classes[name]) for name in policy.preserve}
        with seeded(run.seed, "masking"):
            modifier = own._empty(shape, classes).to(run.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            batch = fit_batch(len(table), int(own.number("batch")))
            draw = Draw(table, batch, policy.preserve, seed=run.seed, device=run.device)
            epochs = own.epochs(draw.rounds)
            game = MaskingGame(own, modifier, epochs)
            made = {"fields": asdict(own), "seed": run.seed}
            file = checkpoint_file(run.folder, "masking", made, table, policy.preserve, device=run.device)
            watch = _Watch(modifier, table, run.folder, epochs) if run.folder else None
            try:
                history = train(game, draw, epochs, what="masking", file=file, run=run, watch=watch)
            except FloatingPointError as error:
                raise SordineError(f"masking: training diverged ({error}); lower lr") from None
        modifier.eval()
        figures = _figures(modifier, table, history, run.device)
        modifier.card = Card(
            method="masking",
            fields=asdict(own),
            policy={role: list(names) for role, names in policy.roles()},
            input=input_of(table),
            fit={"classes": classes} | figures,
            notes=_notes(own, policy, figures),
        )
        return modifier

    @staticmethod
    def build(card: Card, tensors: dict[str, Tensor]) -> MaskingModifier:
        """See `recipe.Method`."""
        modifier = Masking(**card.fields)._empty(card.input["shape"], card.fit["classes"])
        # As it was fitted: weights in another order are summed in another order, on some processors.
        modifier.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return modifier

    def _empty(self, shape: Sequence[int], classes: Mapping[str, int]) -> MaskingModifier:
        masker = UNet(shape[0], 1, tuple(self.widths or ()), (shape[1], shape[2]))
        return MaskingModifier(masker, Predictor(self, shape, classes), self.keep / 100, self.release == "hard")


class MaskingGame:
    """One round, section II.B: predictor steps, in which masker and predictor move, then one in which the masker moves alone.

    The masker is in both players, with an optimiser for each of its two aims, so that neither's averages hold the other's
    gradients. In the adversarial step the predictor evaluates, as every network that does not move: batch norm there judges x_o
    by the running statistics of x_p, which x_o never enters.
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
            # Not in half width: bfloat16 has so few values near each other that most pixels would tie at the cut.
            m, top = self.modifier.masks(records.x)
            adversarial = move == "masker"
            with mixed_precision(draw.device):
                seen = withheld(m, top, x) if adversarial else revealed(top, x)
                with predictor.by_batch() if adversarial and self.by_batch else contextlib.nullcontext():
                    said = dict(zip(predictor.classes, predictor(seen), strict=True))
            if adversarial:
                yield move, {f"confuse {a}": obfuscator_loss(logits) for a, logits in said.items()}
            else:
                yield move, {f"read {a}": predictor_loss(logits, records.y[a]) for a, logits in said.items()}


class _Watch:
    """Every few epochs, a contact sheet of some training pictures, their masks and what would be released."""

    def __init__(self, modifier: MaskingModifier, table: Table, folder: Path, epochs: int) -> None:
        self.modifier, self.folder, self.every = modifier, folder, max(1, epochs // SHEETS)
        self.x = table.batch(slice(0, SHEET_RECORDS))

    @torch.no_grad()
    def __call__(self, epoch: int) -> None:
        if epoch % self.every:
            return
        device = next(self.modifier.parameters()).device
        x = self.x.to(device)
        mask = self.modifier.mask(x)
        columns = (self.x.numpy(), (mask * WHITE).cpu().numpy(), revealed(mask, x).cpu().numpy())
        contact_sheet(self.folder / f"masking-epoch-{epoch:04d}.png", ("original", "mask", "released"), columns)


def _figures(modifier: MaskingModifier, table: Table, history: list[dict[str, float]], device: str) -> dict[str, Any]:
    """Terms of about 20 epochs, and on some training records: the mean of m on the pixels kept and on the others, how much
    of the kept brightness is left, the distortion, and what predictor and obfuscator read (of soft x_p and x_o)."""
    kept = sorted({round(i) for i in np.linspace(0, len(history) - 1, min(20, len(history)))})
    some = table.take(np.unique(np.linspace(0, len(table) - 1, min(MEASURED, len(table))).round().astype(int)))

    def measure(x: Tensor) -> Tensor:
        m, top = modifier.masks(x)
        inside = top > 0
        x_new = revealed(inside.float() if modifier.hard else top, x)
        shown = x / WHITE
        said = [*modifier.predictor(top * shown), *modifier.predictor((m - top) * shown)]
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
                *(logits.argmax(1, keepdim=True).float() for logits in said),
            ],
            1,
        )

    found = picture_outputs(measure, some.x, device=device)
    names = list(modifier.predictor.classes)
    read: dict[str, dict[str, float]] = {}
    for i, name in enumerate(names):
        known = some.y[name] >= 0
        if known.any():
            truth, shown, hidden = some.y[name][known], found[known, 3 + i], found[known, 3 + len(names) + i]
            read[name] = {"kept": float((shown == truth).mean()), "withheld": float((hidden == truth).mean())}
    return {
        "epochs": [i + 1 for i in kept],
        "terms": {term: [history[i][term] for i in kept] for term in (history[0] if history else ())},
        "mask_kept": float(found[:, 0].mean()),
        "mask_withheld": float(found[:, 1].mean()),
        "distortion_mean_square": float(found[:, 2].mean()),
        "predictor_accuracy": read,
    }


def _notes(own: Masking, policy: Policy, figures: Mapping[str, Any]) -> list[str]:
    notes = [
        f"Of every picture {own.keep:g} per cent of the pixels leave the house, chosen for {', '.join(policy.preserve)}; what "
        "those pixels tell of a person they go on telling, and nothing was trained against an attacker who reads it.",
        "The shape of the mask depends on the whole picture, so that it may tell what its pixels do not: trust the audit's "
        "attackers, who see both.",
    ]
    if not own.adversarial:
        notes.insert(0, "Without the adversarial step: pixels that the task does not need may be among those kept.")
    elif figures["mask_withheld"] < 0.01:
        notes.append(
            f"The masker gives withheld pixels {figures['mask_withheld']:.4f} on the mean: the obfuscator saw nearly black "
            "pictures, so that its confusion proves little of the pixels themselves."
        )
    return notes

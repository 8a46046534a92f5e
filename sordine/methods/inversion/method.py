"""Inversion: a representation that serves a task and resists being turned back into pictures (Xiao et al., AAAI 2020).

    Enc, f   minimise  L_u(f(z), y) - lambda1 |Dec(z) - x|^2 - lambda2 |g(Dec(z)) - g(x)|^2     on private pictures X1
    Dec      minimises |Dec(z) - x|^2 + mu1 log(1 - D(Dec(z))) + mu2 |g(Dec(z)) - g(x)|^2       on public pictures X2
    D        minimises - log D(x) - log(1 - D(Dec(z)))                                          on X2, where mu1 > 0

z = Enc(x) is what is released. D's is eq. 3 corrected: as printed, D(x) and D(Dec(z)) are exchanged. Eqs. 7 and 8 print X1
under the decoder's losses; figure 2 and the text have the adversary learn on X2 alone, as here. What another decoder
rebuilds from z is measured afterwards: see docs/guide/methods/inversion.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor
from torch.optim.lr_scheduler import CosineAnnealingLR

from sordine.data.matching import shared_record
from sordine.data.media.contact_sheet import contact_sheet
from sordine.data.splits import public_rows
from sordine.data.table import Table
from sordine.errors import SordineError, check_number, nearest
from sordine.methods.base import input_of
from sordine.methods.inversion.losses import task_loss
from sordine.metrics.accuracy import accuracy, majority, matthews
from sordine.models.checkpoints import checkpoint_file
from sordine.models.losses import decoder_fools, discriminator_tells, perceptual_distance, pixel_reconstruction
from sordine.models.modifier import Card, Modifier, Release
from sordine.models.networks.decoder import Decoder, decoder_of, shapes_until
from sordine.models.networks.resnet import CUTS, RESNET10, ResNet
from sordine.models.networks.task import BLOCKS, Task
from sordine.models.perceptual import Perceptual, perceptual_of, vgg16
from sordine.models.picture_classifier import (
    WHITE,
    PictureOptions,
    mixed_precision,
    picture_outputs,
    picture_shape,
    stem_for,
    train_picture_classifier,
)
from sordine.models.training import Draw, Move, Player, fit_batch, seeded, train
from sordine.policy import Policy
from sordine.run import Run

# What a field left at None becomes. paper: the appendix's encoder and fc; the rest is ours, as the paper prints no
# optimiser, no batch and no number of steps. small: for pictures of 32 to 64 pixels on two cores. steps: moves of the
# encoder, rounded to whole epochs, one at least.
PRESETS: dict[str, dict[str, Any]] = {
    "paper": {"encoder": "resnet50", "width": 64, "fc": 1000, "hidden": 512, "steps": 50_000, "lr": 1e-4},
    "small": {"encoder": "resnet18", "width": 16, "fc": 128, "hidden": 128, "steps": 800, "lr": 1e-3},
}
HUB = "hub"
_COUNTS = ("width", "perceptual_width", "fc", "hidden", "steps", "decoder_steps", "perceptual_epochs")
# A batch of one has no deviation for batch norm; a rate beyond the last leaves single precision.
_RANGES = (
    *((f, 1, 1e9) for f in _COUNTS),
    ("batch", 2, 1e9),
    *((f, 1e-12, 1000) for f in ("lr", "decoder_lr")),
    *((f, 0, 1e9) for f in ("lambda1", "lambda2", "mu1", "mu2")),
)
EVENED = 512  # pictures that the size of a perceptual distance is taken from
DISCRIMINATOR_WIDTH = 16
SHEET_RECORDS, SHEETS = 8, 10


class InversionModifier(Modifier):
    """Pictures in 0 to 255 -> z float32, deterministic. The task head f is kept beside the encoder: `predict` reads z."""

    block = 64

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.task = task

    def forward(self, x: Tensor, noise: Tensor) -> Release:
        """x: (b, c, h, w) in 0 to 255; noise is not used -> z (b, d) or (b, c, h, w)."""
        return Release(self.task.encode(x / WHITE))

    def mirror(self) -> Decoder:
        """An untrained decoder that mirrors the encoder (figure 6, Dec and Dec^a): z -> pictures in [-1, 1]."""
        channels, height, width = self.card.input["shape"]
        return decoder_of(self.task.net, self.task.cut, (channels, height, width))

    def predict(self, z: Tensor) -> dict[str, Tensor]:
        """f of the paper: released z (b, ...) -> attribute -> probabilities (b, classes), in the order of the table's classes."""
        return {name: said.softmax(1) for name, said in zip(self.task.classes, self.task.read(z), strict=True)}


@dataclass(frozen=True)
class Inversion:
    """The inversion paper's protector. A field left at None takes the preset's value; docs/guide/methods/inversion.md has them all.

    Raises SordineError where a choice is unknown or a number is out of range.
    """

    suppresses: ClassVar[bool] = False
    preserves: ClassVar[bool] = True
    stochastic: ClassVar[bool] = False

    preset: Literal["paper", "small"] = "small"
    cut: str = "fc"
    lambda1: float = 1.0
    lambda2: float = 0.0
    mu1: float = 0.0
    mu2: float = 0.0
    encoder: str | None = None
    width: int | None = None
    fc: int | None = None
    hidden: int | None = None
    steps: int | None = None  # rounded to whole epochs
    batch: int = 64
    lr: float | None = None
    decoder_lr: float = 1e-3
    decoder_steps: int = 1
    public_share: float = 0.2
    perceptual_weights: str = ""
    perceptual_attribute: str = ""
    perceptual_epochs: int = 6
    perceptual_width: int = 16

    def __post_init__(self) -> None:
        for field, value, known in (
            ("preset", self.preset, tuple(PRESETS)),
            ("cut", self.cut, CUTS),
            ("encoder", "resnet18" if self.encoder is None else self.encoder, tuple(BLOCKS)),
        ):
            if value not in known:
                raise SordineError(f"inversion: {field} {value!r} is unknown; {nearest(str(value), known)}")
        for field, low, high in _RANGES:
            check_number(f"inversion: {field}", getattr(self, field), low, high)
        if not 0 < self.public_share < 1:
            raise SordineError(f"inversion: public_share is {self.public_share}; it lies between 0 and 1")

    def settled(self) -> Inversion:
        """This configuration with the preset's values in the place of None."""
        return replace(self, **{k: v for k, v in PRESETS[self.preset].items() if getattr(self, k) is None})

    def number(self, field: str) -> float:
        """A settled field that is a number."""
        return float(getattr(self, field))

    def fit(self, table: Table, policy: Policy, run: Run) -> InversionModifier:
        """Train encoder and task head on X1 against a decoder that learns on X2, by turns.

        X2 is `run.pool`, else `public_share` of the table (whole groups, where it has them, in keyed order). Raises
        SordineError where records are no pictures, no task is named, X1 or X2 is too small, or training diverges.
        """
        if not policy.preserve:
            raise SordineError("inversion: no task: name attributes to preserve")
        shape = picture_shape(table)
        own = self.settled()
        for sentence in own.idle():  # not after hours of training
            run.log(sentence)
        private, public = own.sides(table, run)
        classes = {name: len(table.classes[name]) for name in policy.preserve}
        see = own.perceptual(private, policy, run)
        with seeded(run.seed, "inversion"):
            task = own.network(shape, classes).to(run.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            decoder = decoder_of(task.net, own.cut, shape).to(run.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            batch = min(fit_batch(len(private), own.batch), len(public))
            others = {"public": public} if own.opposed else {}
            draw = Draw(private, batch, policy.preserve, seed=run.seed, device=run.device, others=others)
            epochs = max(1, round(own.number("steps") / draw.rounds))
            game = Protecting(own, task, decoder, see, policy.preserve, shape, epochs)
            made = {
                "fields": asdict(own),
                "seed": run.seed,
                "task": policy.preserve,
                "public": hashlib.blake2b("\0".join(public.ids).encode()).hexdigest(),
            }
            file = checkpoint_file(run.folder, "inversion", made, private, policy.preserve, device=run.device)
            watch = _Watch(game, private, run.folder, epochs) if run.folder and own.opposed else None
            try:
                history = train(game, draw, epochs, what="inversion", file=file, run=run, watch=watch)
            except FloatingPointError as error:
                raise SordineError(f"inversion: training diverged ({error}); lower lambda1, lambda2 or lr") from None
        modifier = InversionModifier(task.eval())
        modifier.card = Card(
            method="inversion",
            fields=asdict(own),
            policy={role: list(names) for role, names in policy.roles()},
            input=input_of(table),
            output={"shape": list(shapes_until(task.net, own.cut, shape)[-1]), "dtype": "float32"},
            fit=_figures(modifier, game, private, public, history, run),
            notes=_notes(own, policy, private, public, run),
        )
        return modifier

    @staticmethod
    def build(card: Card, tensors: dict[str, Tensor]) -> InversionModifier:
        """An empty modifier of the card's sizes."""
        modifier = InversionModifier(Inversion(**card.fields).network(card.input["shape"], card.fit["classes"]))
        # As it was fitted: weights in another order are summed in another order, on some processors.
        modifier.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return modifier

    def network(self, shape: Sequence[int], classes: Mapping[str, int]) -> Task:
        """Enc and f of the settled sizes."""
        sizes: dict[str, Any] = {f: int(self.number(f)) for f in ("width", "fc", "hidden")} | {"channels": shape[0]}
        return Task(str(self.encoder), classes, **sizes, cut=self.cut, stem=stem_for(shape[1:]))

    @property
    def opposed(self) -> bool:
        """Whether a decoder takes part; without, the encoder is the paper's baseline."""
        return self.lambda1 > 0 or self.lambda2 > 0

    @property
    def sees(self) -> bool:
        """Whether g takes part."""
        return self.lambda2 > 0 or (self.mu2 > 0 and self.lambda1 > 0)

    def idle(self) -> list[str]:
        """A sentence for each field that names a g which takes no part."""
        named = [f for f in ("perceptual_weights", "perceptual_attribute") if getattr(self, f)]
        if self.sees:
            return ["perceptual_attribute is not used: perceptual_weights are given."] if len(named) > 1 else []
        return [f"{f} is not used: that takes lambda2 above 0, or mu2 and lambda1." for f in named]

    def sides(self, table: Table, run: Run) -> tuple[Table, Table]:
        """X1 and X2. Raises SordineError where either has fewer than two records, or the pool's are of another shape."""
        if run.pool is not None:
            if run.pool.shape != table.shape:
                raise SordineError(
                    f"{run.pool.source}: the pool's records have shape {run.pool.shape}, the table's {table.shape}"
                )
            own = shared_record(table, run.pool)
            if own is not None:
                raise SordineError(
                    f"{run.pool.source}: the pool holds the table's own record {own!r}: public ones are others"
                )
            private, public = table, run.pool
        else:
            given = public_rows(run.key, table.ids, table.group, self.public_share)
            private, public = table.take(~given), table.take(given)
        for name, side in (("X1, private", private), ("X2, public", public)):
            if len(side) < 2:
                raise SordineError(f"inversion: {len(side)} records are left for {name}; two are needed")
        return private, public

    def perceptual(self, private: Table, policy: Policy, run: Run) -> Perceptual | None:
        """g, where it takes part: VGG-16 with given weights, else a reader trained here on X1, brought to the size of pixels."""
        if not self.sees:
            return None
        if self.perceptual_weights:
            path = None if self.perceptual_weights == HUB else Path(self.perceptual_weights)
            return vgg16(path).to(run.device)
        attribute = self.perceptual_attribute or policy.preserve[0]
        options = PictureOptions(epochs=self.perceptual_epochs, width=self.perceptual_width)
        reader = perceptual_of(train_picture_classifier(private, attribute, options, run=run))
        return reader.even(signed(private.batch(slice(0, EVENED))).to(run.device))


class Protecting:
    """One round: the decoder (and D) learns to rebuild X2 from z, then encoder and task head move by eq. 9 on X1."""

    def __init__(
        self,
        fields: Inversion,
        task: Task,
        decoder: Decoder,
        see: Perceptual | None,
        attributes: Sequence[str],
        shape: Sequence[int],
        epochs: int,
    ) -> None:
        self.fields, self.task, self.decoder, self.see, self.attributes = fields, task, decoder, see, attributes
        device = next(task.parameters()).device

        def adam(rate: float) -> Any:
            return lambda weights: torch.optim.Adam(weights, lr=rate)

        # The adversary's rate stays: at the end it is still as quick as at the start.
        self.players = {}
        if fields.opposed:
            self.players["decoder"] = Player(decoder, adam(fields.decoder_lr))
            if fields.mu1:
                self.discriminator = discriminator(shape).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
                self.players["discriminator"] = Player(self.discriminator, adam(fields.decoder_lr))
        schedule = lambda optimiser: CosineAnnealingLR(optimiser, epochs)  # noqa: E731
        self.players["encoder"] = Player(task, adam(fields.number("lr")), schedule)
        adversary = [name for name in self.players if name != "encoder"]
        self.moves = (*(adversary * fields.decoder_steps), "encoder")

    def round(self, draw: Draw) -> Iterator[Move]:
        own = self.fields
        for _ in range(own.decoder_steps if own.opposed else 0):
            public = draw("public").x
            x = signed(public)
            with mixed_precision(draw.device):
                with torch.no_grad():
                    z = self.task.encode(public / WHITE)
                x_hat = self.decoder(z).float()
            terms = {"pixel": pixel_reconstruction(x_hat, x)}  # eq. 1
            if own.mu1:
                terms["fools"] = own.mu1 * decoder_fools(self.discriminator((x_hat + 1) / 2))  # eq. 2
            if own.mu2 and self.see:
                terms["perceptual"] = own.mu2 * perceptual_distance(self.see(x_hat), self.see(x))  # eq. 4
            yield "decoder", terms
            if own.mu1:
                real, false = (self.discriminator((p + 1) / 2) for p in (x, x_hat.detach()))
                yield "discriminator", {"tells": discriminator_tells(real, false)}  # eq. 3
        private = draw()
        x = signed(private.x)
        with mixed_precision(draw.device):
            z = self.task.encode(private.x / WHITE)
            said = [logits.float() for logits in self.task.read(z)]
            x_hat = self.decoder(z).float() if own.opposed else x
        terms = {"task": task_loss(said, [private.y[a] for a in self.attributes])}  # eq. 6
        if own.lambda1:
            terms["pixel"] = -own.lambda1 * pixel_reconstruction(x_hat, x)  # eq. 7
        if own.lambda2 and self.see:
            terms["perceptual"] = -own.lambda2 * perceptual_distance(self.see(x_hat), self.see(x))  # eq. 8
        yield "encoder", terms  # eq. 9


def discriminator(shape: Sequence[int]) -> ResNet:
    """D: a ResNet-10 that gives one logit of pictures (b, c, h, w) in [0, 1]; the paper does not say which network it is."""
    return ResNet(RESNET10, 1, channels=shape[0], width=DISCRIMINATOR_WIDTH, stem=stem_for(shape[1:]))


def signed(x: Tensor) -> Tensor:
    """0 to 255 -> -1 to 1, the range of the decoder's tanh."""
    return x * (2 / WHITE) - 1


class _Watch:
    """Every few epochs, a contact sheet of some of X1's pictures and what the simulated decoder makes of them."""

    def __init__(self, game: Protecting, private: Table, folder: Path, epochs: int) -> None:
        self.game, self.folder, self.every = game, folder, max(1, epochs // SHEETS)
        self.x = private.batch(slice(0, SHEET_RECORDS)).to(next(game.task.parameters()).device)

    @torch.no_grad()
    def __call__(self, epoch: int) -> None:
        if epoch % self.every:
            return
        rebuilt = (self.game.decoder(self.game.task.encode(self.x / WHITE)).float() + 1) / 2 * WHITE
        path = self.folder / f"inversion-epoch-{epoch:04d}.png"
        contact_sheet(path, ("private", "simulated decoder"), (self.x.cpu().numpy(), rebuilt.cpu().numpy()))


def _figures(
    modifier: InversionModifier,
    game: Protecting,
    private: Table,
    public: Table,
    history: list[dict[str, float]],
    run: Run,
) -> dict[str, Any]:
    """Terms of about 20 epochs; how well f reads X1 and X2; how far the simulated decoder is from X2, and the mean picture."""
    kept = sorted({round(i) for i in np.linspace(0, len(history) - 1, min(20, len(history)))})
    task, sides = modifier.task, {"private": private, "public": public}
    read: dict[str, dict[str, dict[str, float]]] = {}
    for side, table in sides.items():
        said = picture_outputs(lambda x: torch.cat(task.read(task.encode(x / WHITE)), 1), table.x, device=run.device)
        places = np.cumsum(list(task.classes.values()))[:-1]
        for name, logits in zip(task.classes, np.split(said, places, 1), strict=True):
            truth = table.y.get(name)
            # Another table's codes may mean other classes.
            if truth is None or not (truth >= 0).any() or table.classes[name] != private.classes[name]:
                continue
            guess = logits.argmax(1)
            figures = {"accuracy": accuracy(truth, guess), "mcc": matthews(truth, guess), "guess": majority(truth)}
            read.setdefault(name, {})[side] = figures
    x = signed(public.batch(slice(None))).numpy()
    made: dict[str, Any] = {
        "mean_picture_error": float(np.square(x - x.mean(0)).mean()),
        "epochs": [i + 1 for i in kept],
        "terms": {term: [history[i][term] for i in kept] for term in (history[0] if history else ())},
        "classes": task.classes,
        "records_x1": len(private),
        "records_x2": len(public),
        "task": read,
    }
    if game.fields.opposed:
        rebuilt = picture_outputs(lambda v: game.decoder(task.encode(v / WHITE)), public.x, device=run.device)
        made["decoder_error"] = float(np.square(rebuilt - x).mean())
    return made


def _notes(own: Inversion, policy: Policy, private: Table, public: Table, run: Run) -> list[str]:
    whose = f"the {len(public)} pictures of {run.pool.source}" if run.pool else f"{len(public)} of the training records"
    notes = [
        f"What is released is the encoder's `{own.cut}`, not pictures; the task head for {', '.join(policy.preserve)} "
        "ships with it, and nothing else was trained to stay readable.",
        f"Public data X2: {whose}; an attacker who knows other pictures may do better.",
        "A representation that one decoder could not turn back may be turned back by another: trust the audit's fresh "
        "decoders, which bound nothing either, and its attribute attackers, against whom nothing was trained.",
    ]
    plain = [] if own.opposed else ["lambda1 and lambda2 are 0: a plain task network, without any protection."]
    return [*plain, *own.idle(), *notes]

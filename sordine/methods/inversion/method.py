"""Inversion: a representation that serves a task and resists being turned back into pictures.

    Enc, f   minimise  L_u(f(z), y) - lambda1 |Dec(z) - x|^2 - lambda2 |g(Dec(z)) - g(x)|^2     on private pictures X1
    Dec      minimises |Dec(z) - x|^2 + mu1 log(1 - D(Dec(z))) + mu2 |g(Dec(z)) - g(x)|^2       on public pictures X2
    D        minimises - log D(x) - log(1 - D(Dec(z)))                                          on X2, where mu1 > 0

z = Enc(x) is what is released. The loss of D is eq. 3 corrected: as printed, D(x) and D(Dec(z)) are exchanged. Eqs. 7
and 8 print X1 under the losses of the decoder; figure 2 and the text train the adversary on X2 alone, as here. What
another decoder reconstructs from z is measured by the audit: see docs/guide/methods/inversion.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor
from torch.optim.lr_scheduler import CosineAnnealingLR

from sordine.data.matching import shared_record
from sordine.data.splits import public_rows
from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.methods.base import Method, Output
from sordine.methods.figures import sampled_terms
from sordine.methods.inversion.losses import task_loss
from sordine.methods.inversion.networks import BLOCKS, PictureDecoder, TaskNetwork, decoder_of, shapes_until
from sordine.methods.options import BatchSize, Count, NonNegative, Presets, Rate, one_of
from sordine.methods.pictures import PictureWatch, channels_last
from sordine.metrics.accuracy import accuracy, majority, matthews
from sordine.models.checkpoints import checkpoint_file
from sordine.models.losses import decoder_fools, discriminator_tells, perceptual_distance, pixel_reconstruction
from sordine.models.modifier import Card, Modifier, Release
from sordine.models.networks.resnet import CUTS, RESNET10, ResNet
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

# paper: the encoder and fc of the appendix; the rest is ours, as the paper prints no optimiser, batch or number of
# steps. small: for pictures of 32 to 64 pixels on two cores.
PRESETS: dict[str, dict[str, Any]] = {
    "paper": {"encoder": "resnet50", "width": 64, "fc": 1000, "hidden": 512, "steps": 50_000, "lr": 1e-4},
    "small": {"encoder": "resnet18", "width": 16, "fc": 128, "hidden": 128, "steps": 800, "lr": 1e-3},
}
HUB = "hub"
SCALED = 512  # pictures from which the scale of the perceptual distance is taken
DISCRIMINATOR_WIDTH = 16
SHEET_RECORDS = 8


class InversionModifier(Modifier):
    """Pictures in 0 to 255 -> z float32, deterministic. The task head f ships with the encoder (`predict`)."""

    block = 64

    def __init__(self, task: TaskNetwork) -> None:
        super().__init__()
        self.task = task

    def forward(self, x: Tensor, noise: Tensor) -> Release:
        """Return z (b, d) or (b, c, h, w) of pictures x (b, c, h, w) in 0 to 255; noise is not used."""
        return Release(self.task.encode(x / WHITE))

    def mirror(self) -> PictureDecoder:
        """Return an untrained decoder that mirrors the encoder (figure 6, Dec and Dec^a): z -> pictures in [-1, 1]."""
        channels, height, width = self.card.input["shape"]
        return decoder_of(self.task.net, self.task.cut, (channels, height, width))

    def predict(self, z: Tensor) -> dict[str, Tensor]:
        """Return attribute -> probabilities (b, classes) of released z (b, ...), by the task head f.

        Classes are in the order of the table.
        """
        return {name: logits.softmax(1) for name, logits in zip(self.task.classes, self.task.classify(z), strict=True)}


@dataclass(frozen=True)
class Inversion(Presets, Method):
    """The protector of the inversion paper. An option that is None takes the value of the preset.

    docs/guide/methods/inversion.md describes every option.

    Parameters
    ----------
    preset
        `small` or `paper`.
    cut
        Stage of the encoder that is released.
    lambda1, lambda2
        Weights of the reconstruction error and of the perceptual error in the loss of the encoder.
    mu1, mu2
        Weights of the discriminator and of the perceptual error in the loss of the decoder.
    encoder, width, fc, hidden
        Encoder, and widths of its first stage, of its last layer and of the task head.
    steps
        Moves of the encoder, rounded to whole epochs, at least one.
    batch, lr
        Of the training.
    decoder_lr, decoder_steps
        Learning rate of the decoder, and its moves for each move of the encoder.
    public_share
        Share of the table that serves as X2 where no pool is given.
    perceptual_weights
        File of VGG-16 weights for g, or `hub`; empty trains a classifier on X1 instead.
    perceptual_attribute, perceptual_epochs, perceptual_width
        Attribute, epochs and width of that classifier.

    References
    ----------
    - Inversion (2020), eqs. 1 to 9: the two players and their losses.
    """

    preset: Literal["paper", "small"] = "small"
    cut: Annotated[str, one_of(CUTS)] = "fc"
    lambda1: NonNegative = 1.0
    lambda2: NonNegative = 0.0
    mu1: NonNegative = 0.0
    mu2: NonNegative = 0.0
    encoder: Annotated[str, one_of(BLOCKS)] | None = None
    width: Count | None = None
    fc: Count | None = None
    hidden: Count | None = None
    steps: Count | None = None
    batch: BatchSize = 64
    lr: Rate | None = None
    decoder_lr: Rate = 1e-3
    decoder_steps: Count = 1
    public_share: Annotated[float, Field(gt=0, lt=1)] = 0.2
    perceptual_weights: str = ""
    perceptual_attribute: str = ""
    perceptual_epochs: Count = 6
    perceptual_width: Count = 16

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = PRESETS
    name: ClassVar[str] = "inversion"
    suppresses: ClassVar[bool] = False
    preserves: ClassVar[bool] = True
    needs_pictures: ClassVar[bool] = True
    accepts_pool: ClassVar[bool] = True
    releases: ClassVar[frozenset[Output]] = frozenset({"vectors"})

    def fit(self, table: Table, policy: Policy, run: Run, *, pool: Table | None = None) -> InversionModifier:
        """Train encoder and task head on X1 against a decoder that learns on X2, in turns.

        Parameters
        ----------
        table, policy, run
            See `Method.fit`.
        pool
            X2. None takes `public_share` of the table, in keyed order, by whole groups where the table has groups.

        Raises
        ------
        SordineError
            Where the records are not pictures, X1 or X2 is too small, or training diverges.
        """
        shape = picture_shape(table)
        own = self.settled()
        for sentence in own.unused():
            run.log(sentence)
        private, public = own.sides(table, run, pool)
        classes = {name: len(table.classes[name]) for name in policy.preserve}
        see = own.perceptual(private, policy, run)
        with seeded(run.seed, "inversion"):
            task = channels_last(own.network(shape, classes), run.device)
            decoder = channels_last(decoder_of(task.net, own.cut, shape), run.device)
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
            watch = _watch(game, private, run, epochs) if own.opposed else None
            try:
                history = train(game, draw, epochs, what="inversion", file=file, run=run, watch=watch)
            except FloatingPointError as error:
                raise SordineError(
                    f"inversion: training diverged ({error}); set a lower lambda1, lambda2 or lr"
                ) from None
        modifier = InversionModifier(task.eval())
        modifier.card = own.card(
            policy,
            table,
            output={"shape": list(shapes_until(task.net, own.cut, shape)[-1]), "dtype": "float32"},
            fit=_figures(modifier, game, private, public, history, run),
            notes=_notes(own, policy, public, pool),
        )
        return modifier

    @staticmethod
    def build(card: Card, tensors: dict[str, Tensor]) -> InversionModifier:
        """Return an empty modifier; see `Method.build`."""
        modifier = InversionModifier(Inversion(**card.fields).network(card.input["shape"], card.fit["classes"]))
        # In the memory layout of the fit, since sums in another order may round differently.
        return channels_last(modifier)

    def network(self, shape: Sequence[int], classes: Mapping[str, int]) -> TaskNetwork:
        """Return untrained Enc and f of the settled sizes."""
        sizes: dict[str, Any] = {f: int(self.number(f)) for f in ("width", "fc", "hidden")} | {"channels": shape[0]}
        return TaskNetwork(str(self.encoder), classes, **sizes, cut=self.cut, stem=stem_for(shape[1:]))

    @property
    def opposed(self) -> bool:
        """Whether a decoder takes part; without one, the encoder is the paper's baseline."""
        return self.lambda1 > 0 or self.lambda2 > 0

    @property
    def uses_perceptual(self) -> bool:
        """Whether g takes part."""
        return self.lambda2 > 0 or (self.mu2 > 0 and self.lambda1 > 0)

    def unused(self) -> list[str]:
        """Return a sentence for each option of g that has no effect."""
        named = [f for f in ("perceptual_weights", "perceptual_attribute") if getattr(self, f)]
        if self.uses_perceptual:
            return ["perceptual_attribute has no effect: perceptual_weights are given."] if len(named) > 1 else []
        return [f"{f} has no effect: it needs lambda2 above 0, or mu2 and lambda1 above 0." for f in named]

    def sides(self, table: Table, run: Run, pool: Table | None = None) -> tuple[Table, Table]:
        """Return X1 and X2.

        Raises
        ------
        SordineError
            Where either has fewer than two records, or the pool has records of another shape or of the table.
        """
        if pool is not None:
            if pool.shape != table.shape:
                raise SordineError(
                    f"{pool.source}: records of the pool have shape {pool.shape}, those of the table {table.shape}; "
                    "give pictures of the same size"
                )
            own = shared_record(table, pool)
            if own is not None:
                raise SordineError(
                    f"{pool.source}: the pool holds record {own!r} of the table; the public pictures must be others"
                )
            private, public = table, pool
        else:
            given = public_rows(run.key, table.ids, table.group, self.public_share)
            private, public = table.take(~given), table.take(given)
        for name, side in (("X1, private", private), ("X2, public", public)):
            if len(side) < 2:
                raise SordineError(f"inversion: {len(side)} records are left for {name}; at least two are needed")
        return private, public

    def perceptual(self, private: Table, policy: Policy, run: Run) -> Perceptual | None:
        """Return g, scaled to the size of pixel errors, or None where it takes no part.

        It is VGG-16 with given weights, else a classifier trained on X1.
        """
        if not self.uses_perceptual:
            return None
        if self.perceptual_weights:
            path = None if self.perceptual_weights == HUB else Path(self.perceptual_weights)
            return vgg16(path).to(run.device)
        attribute = self.perceptual_attribute or policy.preserve[0]
        options = PictureOptions(epochs=self.perceptual_epochs, width=self.perceptual_width)
        reader = perceptual_of(train_picture_classifier(private, attribute, options, run=run))
        return reader.even(signed(private.batch(slice(0, SCALED))).to(run.device))


class Protecting:
    """One round: the decoder (and D) learns to reconstruct X2 from z, then encoder and task head move by eq. 9 on X1.

    References
    ----------
    - Inversion (2020), eqs. 5 and 9: the totals of decoder and encoder.
    """

    def __init__(
        self,
        fields: Inversion,
        task: TaskNetwork,
        decoder: PictureDecoder,
        see: Perceptual | None,
        attributes: Sequence[str],
        shape: Sequence[int],
        epochs: int,
    ) -> None:
        self.fields, self.task, self.decoder, self.see, self.attributes = fields, task, decoder, see, attributes
        device = next(task.parameters()).device

        def adam(rate: float) -> Any:
            return lambda weights: torch.optim.Adam(weights, lr=rate)

        # The learning rate of the adversary is constant, so that it keeps up until the end.
        self.players = {}
        if fields.opposed:
            self.players["decoder"] = Player(decoder, adam(fields.decoder_lr))
            if fields.mu1:
                self.discriminator = channels_last(discriminator(shape), device)
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
            predicted = [logits.float() for logits in self.task.classify(z)]
            x_hat = self.decoder(z).float() if own.opposed else x
        terms = {"task": task_loss(predicted, [private.y[a] for a in self.attributes])}  # eq. 6
        if own.lambda1:
            terms["pixel"] = -own.lambda1 * pixel_reconstruction(x_hat, x)  # eq. 7
        if own.lambda2 and self.see:
            terms["perceptual"] = -own.lambda2 * perceptual_distance(self.see(x_hat), self.see(x))  # eq. 8
        yield "encoder", terms  # eq. 9


def discriminator(shape: Sequence[int]) -> ResNet:
    """Return D, a ResNet-10 with one logit for pictures (b, c, h, w) in [0, 1]; the paper does not name its network."""
    return ResNet(RESNET10, 1, channels=shape[0], width=DISCRIMINATOR_WIDTH, stem=stem_for(shape[1:]))


def signed(x: Tensor) -> Tensor:
    """Return pictures of 0 to 255 in -1 to 1, the range of the decoder's tanh."""
    return x * (2 / WHITE) - 1


def _watch(game: Protecting, private: Table, run: Run, epochs: int) -> PictureWatch | None:
    if run.folder is None:
        return None
    x = private.batch(slice(0, SHEET_RECORDS)).to(run.device)

    def columns() -> dict[str, Tensor]:
        rebuilt = (game.decoder(game.task.encode(x / WHITE)).float() + 1) / 2 * WHITE
        return {"private": x, "simulated decoder": rebuilt}

    return PictureWatch(run.folder, "inversion", epochs, columns)


def _figures(
    modifier: InversionModifier,
    game: Protecting,
    private: Table,
    public: Table,
    history: list[dict[str, float]],
    run: Run,
) -> dict[str, Any]:
    """Return loss terms of about 20 epochs, accuracies of f on X1 and X2, and reconstruction errors on X2.

    These are the mean squared errors of the simulated decoder and of the mean picture.
    """
    task, sides = modifier.task, {"private": private, "public": public}
    found: dict[str, dict[str, dict[str, float]]] = {}
    for side, table in sides.items():
        whole = picture_outputs(
            lambda x: torch.cat(task.classify(task.encode(x / WHITE)), 1), table.x, device=run.device
        )
        places = np.cumsum(list(task.classes.values()))[:-1]
        for name, logits in zip(task.classes, np.split(whole, places, 1), strict=True):
            truth = table.y.get(name)
            # Class codes of another table may stand for other classes.
            if truth is None or not (truth >= 0).any() or table.classes[name] != private.classes[name]:
                continue
            predicted = logits.argmax(1)
            figures = {
                "accuracy": accuracy(truth, predicted),
                "mcc": matthews(truth, predicted),
                "guess": majority(truth),
            }
            found.setdefault(name, {})[side] = figures
    x = signed(public.batch(slice(None))).numpy()
    made: dict[str, Any] = {
        "mean_picture_error": float(np.square(x - x.mean(0)).mean()),
        **sampled_terms(history),
        "classes": task.classes,
        "records_x1": len(private),
        "records_x2": len(public),
        "task": found,
    }
    if game.fields.opposed:
        rebuilt = picture_outputs(lambda v: game.decoder(task.encode(v / WHITE)), public.x, device=run.device)
        made["decoder_error"] = float(np.square(rebuilt - x).mean())
    return made


def _notes(own: Inversion, policy: Policy, public: Table, pool: Table | None) -> list[str]:
    whose = f"the {len(public)} pictures of {pool.source}" if pool else f"{len(public)} of the training records"
    notes = [
        f"What is released is the encoder's `{own.cut}`, not pictures. The task head for {', '.join(policy.preserve)} "
        "ships with it; nothing else was trained to be preserved.",
        f"Public data X2: {whose}; an attacker that knows other pictures may do better.",
        "Another decoder may reconstruct what this one could not. Rely on the audit: its decoders are new, and nothing "
        "was trained against its attribute attackers. Neither of them is a bound.",
    ]
    plain = [] if own.opposed else ["lambda1 and lambda2 are 0: a plain task network, without any protection."]
    return [*plain, *own.unused(), *notes]

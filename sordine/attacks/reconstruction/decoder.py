"""Model inversion: what can be rebuilt of x from what was released (Xiao et al., eqs. 1 to 5 and 10).

The attacker has pairs (x, z) and learns a decoder, fresh, that by default knows nothing of the network which made z: neither
its weights nor its architecture. Whose pairs is the caller's to choose: the paper's attacker has those of people of their own,
X2; the audit gives every fitted record's (sordine/reconstruct.py). z may have any shape; where it is a picture (masked, say,
or replaced) the decoder restores it. Its failure bounds nothing: another decoder may do better.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.lr_scheduler import CosineAnnealingLR

from sordine.attacks.results import ReconstructionFinding
from sordine.data.table import Table
from sordine.errors import SordineError, check_number
from sordine.keys import numpy_rng
from sordine.metrics.pictures import psnr, ssim
from sordine.models.losses import (
    decoder_fools,
    discriminator_tells,
    feature_attack,
    perceptual_distance,
    pixel_reconstruction,
)
from sordine.models.networks.mlp import mlp
from sordine.models.networks.resnet import RESNET10, ResNet
from sordine.models.networks.unet import UNet
from sordine.models.perceptual import Perceptual
from sordine.models.picture_classifier import WHITE, mixed_precision, stem_for
from sordine.models.training import Draw, Move, Player, SinglePlayer, adamw, seeded, train
from sordine.models.verification import LoadedVerification, Verification, face_similarity
from sordine.run import Run

Progress = Callable[[str, int, int], None]

STEPS, BATCH, RATE, WIDTH = 600, 64, 2e-3, 32
FEATURE_STEPS = 600
DENSE = 512  # hidden units of what takes vectors, of a decoder and of the feature-level attack
FIRST_SIDE = 4  # pixels, about: where a vector becomes a map
DISCRIMINATOR_WIDTH = 16
EPOCH = 50  # steps after which unfinished work may be saved
VALIDATION = 0.1  # of the pairs: by them the feature-level attack is stopped


class Rebuilder(nn.Module):
    """z (b, *shape) of any scale -> pictures (b, channels, h, w) in [-1, 1].

    A vector goes through two dense layers to a map of about 4 x 4, a map (c, h', w') smaller than the picture through two
    convolutions; both then grow, doubling, through transposed convolutions as in figure 6. A map as large as the picture
    goes through a UNet. z is first standardised, each number or, of a map, each channel. width: channels at half the size.
    """

    mean: Tensor
    scale: Tensor

    def __init__(self, shape: Sequence[int], picture: Sequence[int], width: int = WIDTH) -> None:
        super().__init__()
        channels, *size = picture
        as_map = len(shape) == 3
        inputs = shape[0] if as_map else int(np.prod(shape))
        self.register_buffer("mean", torch.zeros(inputs, 1, 1) if as_map else torch.zeros(inputs))
        self.register_buffer("scale", torch.ones_like(self.mean))
        least = shape[1:] if as_map else (FIRST_SIDE, FIRST_SIDE)
        sides = [tuple(size)]
        # A vector grows at least once.
        while (sides[0][0] > least[0] and sides[0][1] > least[1]) or (not as_map and len(sides) == 1):
            sides.insert(0, (-(-sides[0][0] // 2), -(-sides[0][1] // 2)))
        self.sides = sides
        self.restores = len(sides) == 1
        if self.restores:
            self.unet = UNet(inputs, channels, (max(4, width // 4), width // 2, width), _divisible(size, 4))
            return
        widths = [width * 2 ** min(i, 3) for i in range(len(sides) - 1)][::-1]
        if as_map:
            first = _normed(nn.Conv2d(inputs, widths[0], 3, 1, 1, bias=False))
            first += _normed(nn.Conv2d(widths[0], widths[0], 3, 1, 1, bias=False))
        else:
            h, w = sides[0]
            first = [nn.Linear(inputs, DENSE, bias=False), nn.BatchNorm1d(DENSE), nn.ReLU(inplace=True)]
            first += [nn.Linear(DENSE, widths[0] * h * w), nn.Unflatten(1, (widths[0], h, w))]
            first += [nn.BatchNorm2d(widths[0]), nn.ReLU(inplace=True)]
        self.first = nn.Sequential(*first)
        levels = [nn.Sequential(*_normed(nn.ConvTranspose2d(i, o, 4, 2, 1, bias=False))) for i, o in pairwise(widths)]
        self.levels = nn.ModuleList([*levels, nn.Sequential(nn.ConvTranspose2d(width, channels, 4, 2, 1), nn.Tanh())])

    def forward(self, z: Tensor) -> Tensor:
        z = z.float() if self.mean.ndim == 3 else z.float().flatten(1)
        x = (z - self.mean) / self.scale
        if self.restores:
            h, w = self.sides[0]
            down, right = (a - b for a, b in zip(_divisible((h, w), 4), x.shape[-2:], strict=True))
            x = functional.pad(x, (0, right, 0, down), mode="replicate") if down or right else x
            return 2 * self.unet(x)[..., :h, :w] - 1
        x = self.first(x).contiguous(memory_format=torch.channels_last)
        if x.shape[-2:] != self.sides[0]:
            x = functional.interpolate(x, self.sides[0], mode="nearest")
        for (h, w), level in zip(self.sides[1:], self.levels, strict=True):
            x = level(x)[..., :h, :w]
        return x


def _normed(convolution: nn.Module) -> list[nn.Module]:
    return [convolution, nn.BatchNorm2d(int(convolution.out_channels)), nn.ReLU(inplace=True)]  # type: ignore[arg-type]


def _divisible(size: Sequence[int], by: int) -> tuple[int, int]:
    return -(-size[0] // by) * by, -(-size[1] // by) * by


class Rebuilding:
    """The attacker's game, eq. 5: the decoder by eqs. 1, 2 and 4, and D, where there is one, by eq. 3."""

    def __init__(
        self,
        decoder: nn.Module,
        pictures: Tensor,
        see: Perceptual | None,
        mu1: float,
        mu2: float,
        rate: float,
        epochs: int,
    ) -> None:
        self.decoder, self.pictures, self.see, self.mu1, self.mu2 = decoder, pictures, see, mu1, mu2
        schedule = lambda optimiser: CosineAnnealingLR(optimiser, epochs)  # noqa: E731
        self.players = {"decoder": Player(decoder, lambda w: torch.optim.Adam(w, lr=rate), schedule)}
        if mu1:
            channels, *size = pictures.shape[1:]
            net = ResNet(RESNET10, 1, channels=channels, width=DISCRIMINATOR_WIDTH, stem=stem_for(size))
            self.discriminator = net.to(pictures.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
            self.players["discriminator"] = Player(self.discriminator, lambda w: torch.optim.Adam(w, lr=rate / 4))
        self.moves = tuple(self.players)

    def round(self, draw: Draw) -> Iterator[Move]:
        pairs = draw()
        x = self.pictures.index_select(0, pairs.rows.to(self.pictures.device)).float() * (2 / WHITE) - 1
        with mixed_precision(draw.device):
            x_hat = self.decoder(pairs.x).float()
        terms = {"pixel": pixel_reconstruction(x_hat, x)}  # eq. 1
        if self.mu1:
            terms["fools"] = self.mu1 * decoder_fools(self.discriminator((x_hat + 1) / 2))  # eq. 2
        if self.mu2 and self.see is not None:
            terms["perceptual"] = self.mu2 * perceptual_distance(self.see(x_hat), self.see(x))  # eq. 4
        yield "decoder", terms
        if self.mu1:
            real, false = (self.discriminator((p + 1) / 2) for p in (x, x_hat.detach()))
            yield "discriminator", {"tells": discriminator_tells(real, false)}  # eq. 3


def train_decoder(
    z: np.ndarray,
    x: np.ndarray,
    *,
    seed: int,
    mu1: float = 0.0,
    mu2: float = 0.0,
    perceptual: Perceptual | None = None,
    own: nn.Module | None = None,
    steps: int = STEPS,
    batch: int = BATCH,
    rate: float = RATE,
    width: int = WIDTH,
    device: str = "cpu",
    progress: Progress | None = None,
) -> nn.Module:
    """A fresh decoder learnt on the attacker's pairs: z (n, *shape) as released, x (n, channels, h, w) in 0 to 255.

    mu1: weight of the GAN term, mu2 of the perceptual one, which needs `perceptual`. own: an untrained decoder of the attacker's
    choice, z -> pictures in [-1, 1] (figure 6's, say, for who knows the architecture), in the place of a `Rebuilder`.
    Deterministic in the seed.
    Raises SordineError where there are fewer than two pairs or x are no pictures.
    """
    for name, value, low, high in (
        ("steps", steps, 1, 1e9),
        ("batch", batch, 2, 1e9),
        ("rate", rate, 1e-12, 100),
        ("width", width, 4, 1e6),
        ("mu1", mu1, 0, 1e9),
        ("mu2", mu2, 0, 1e9),
    ):
        check_number(f"decoder attack: {name}", value, low, high)
    table = _pairs(z, x)
    if mu2 and perceptual is None:
        raise SordineError(f"decoder attack: mu2 is {mu2} and there is no perceptual network")
    with seeded(seed, "decoder attack"):
        decoder: nn.Module
        if own is None:
            decoder = made = Rebuilder(table.shape, x.shape[1:], width)
            made.mean, made.scale = (t.reshape(made.mean.shape) for t in _moments(z, len(table.shape) == 3))
        else:
            decoder = own
        decoder.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        epochs = max(1, round(steps / EPOCH))
        pictures = torch.as_tensor(np.asarray(x), device=device)
        game = Rebuilding(decoder, pictures, perceptual, mu1, mu2, rate, epochs)
        draw = Draw(table, min(batch, len(table)), seed=int(numpy_rng(seed, "pairs").integers(2**31)), device=device)
        draw.rounds = EPOCH
        train(game, draw, epochs, what="decoder attack", run=Run(progress=progress))
    return decoder.eval()


@torch.no_grad()
def rebuild(decoder: nn.Module, z: np.ndarray, *, device: str = "cpu", block: int = 256) -> np.ndarray:
    """What a decoder makes of released records (n, *shape): pictures (n, channels, h, w) float32 in 0 to 255."""
    parts = []
    for start in range(0, len(z), block):
        part = torch.from_numpy(np.array(z[start : start + block], np.float32)).to(device)
        parts.append(((decoder(part).float() + 1) * (WHITE / 2)).clamp(0, WHITE).cpu().numpy())
    return np.concatenate(parts)


class FeatureAttack(nn.Module):
    """M of eq. 10: z -> C(x), an MLP on standardised numbers."""

    mean: Tensor
    scale: Tensor

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(inputs))
        self.register_buffer("scale", torch.ones(inputs))
        self.layers = mlp([inputs, DENSE, DENSE, outputs], batch_norm=True)

    def forward(self, z: Tensor) -> Tensor:
        """(b, *shape) -> (b, outputs)."""
        return self.layers((z.float().flatten(1) - self.mean) / self.scale)


def train_feature_attack(
    z: np.ndarray,
    features: np.ndarray,
    *,
    seed: int,
    steps: int = FEATURE_STEPS,
    batch: int = 128,
    rate: float = 1e-3,
    device: str = "cpu",
) -> FeatureAttack:
    """M learnt on the attacker's pairs by eq. 10: z (n, *shape), features C(x) (n, d).

    Kept is the epoch that was best on a tenth of the pairs, held back. Raises SordineError for fewer than twenty pairs.
    """
    n = len(z)
    check_number("feature attack: steps", steps, 1, 1e9)
    if n < 20 or len(features) != n:
        raise SordineError(
            f"feature attack: {n} records with {len(features)} features; at least twenty pairs are needed"
        )
    order = numpy_rng(seed, "feature attack").permutation(n)
    held, own = order[: max(2, int(VALIDATION * n))], order[max(2, int(VALIDATION * n)) :]
    flat = np.asarray(z, np.float32).reshape(n, -1)
    with seeded(seed, "feature attack"):
        model = FeatureAttack(flat.shape[1], features.shape[1])
        model.mean, model.scale = _moments(flat[own], False)
        model.to(device)
        game = SinglePlayer(model, adamw(rate, 1e-2), max(1, round(steps / EPOCH)))
        target = torch.from_numpy(np.asarray(features, np.float32)).to(device)
        table = Table.of(flat[own], {}, source="pairs")
        rows = torch.from_numpy(own).to(device)

        def learn(draw: Draw) -> dict[str, Tensor]:
            pairs = draw()
            return {"feature": feature_attack(model(pairs.x), target[rows[pairs.rows.to(device)]])}

        game.terms = learn
        draw = Draw(table, min(batch, len(own)), seed=int(numpy_rng(seed, "pairs").integers(2**31)), device=device)
        draw.rounds = EPOCH
        unseen, wanted = torch.from_numpy(flat[held]).to(device), target[torch.from_numpy(held).to(device)]
        best: list[Any] = [np.inf, None]

        def watch(epoch: int) -> None:
            with torch.no_grad():
                found = float(feature_attack(model(unseen), wanted))
            if found < best[0]:
                best[:] = [found, {k: v.clone() for k, v in model.state_dict().items()}]

        train(game, draw, max(1, round(steps / EPOCH)), what="feature attack", watch=watch)
        model.load_state_dict(best[1])
    return model.eval()


def judge(
    attacker: str,
    x: np.ndarray,
    rebuilt: np.ndarray,
    mean: np.ndarray,
    *,
    network: Verification | LoadedVerification | None = None,
    feature_similarity: float | None = None,
    device: str = "cpu",
    note: str = "",
) -> ReconstructionFinding:
    """How near rebuilt pictures (n, c, h, w) come to the originals x, and how near the mean picture (c, h, w) does; all in 0
    to 255. network: of whose layer-3 features the cosine is the face similarity."""
    blind = np.broadcast_to(mean, x.shape)
    ratio, blind_ratio = psnr(x, rebuilt, WHITE), psnr(x, blind, WHITE)
    return ReconstructionFinding(
        attacker=attacker,
        psnr=ratio if np.isfinite(ratio) else None,
        ssim=ssim(x, rebuilt, WHITE),
        baseline_psnr=blind_ratio,
        baseline_ssim=ssim(x, blind, WHITE),
        face_similarity=None if network is None else float(face_similarity(network, x, rebuilt, device=device).mean()),
        feature_similarity=feature_similarity,
        records=len(x),
        note=note,
    )


def _pairs(z: np.ndarray, x: np.ndarray) -> Table:
    if x.ndim != 4 or len(x) != len(z) or len(x) < 2:
        raise SordineError(
            f"decoder attack: {len(z)} released records and pictures of shape {tuple(x.shape)}; two pairs or more are needed"
        )
    z = np.asarray(z, np.float32)
    return Table.of(z if z.ndim in (2, 4) else z.reshape(len(z), -1), {}, source="pairs")


def _moments(z: np.ndarray, as_map: bool) -> tuple[Tensor, Tensor]:
    """Mean and scale of each number, or of each channel of a map; what never changes is left as it is."""
    flat = np.asarray(z, np.float64)
    axes = (0, 2, 3) if as_map else (0,)
    flat = flat if as_map else flat.reshape(len(flat), -1)
    mean, scale = flat.mean(axes), flat.std(axes)
    scale = np.where(flat.max(axes) > flat.min(axes), scale, 1.0).astype(np.float32)
    return torch.from_numpy(mean.astype(np.float32)), torch.from_numpy(np.where(scale > 0, scale, np.float32(1)))

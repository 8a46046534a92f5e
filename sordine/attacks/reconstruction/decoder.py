"""Model inversion: a decoder that reconstructs x from what was released (Xiao et al., eqs. 1 to 5).

The attacker has pairs (x, z) and trains a decoder from scratch. By default it knows neither the weights nor the
architecture of the network that made z. The caller chooses the pairs: the attacker of the paper has pairs of its own
people, X2; the audit gives it every record of the fit. z may have any shape; where it is a picture (masked, for
instance) the decoder restores it. The failure of one decoder is no bound: another may do better.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.lr_scheduler import CosineAnnealingLR

from sordine.attacks.base import moments
from sordine.attacks.results import ReconstructionFinding
from sordine.data.table import Table
from sordine.errors import SordineError, check_number
from sordine.keys import numpy_rng
from sordine.metrics.pictures import psnr, ssim
from sordine.models.losses import (
    decoder_fools,
    discriminator_tells,
    perceptual_distance,
    pixel_reconstruction,
)
from sordine.models.networks.resnet import RESNET10, ResNet
from sordine.models.networks.unet import UNet
from sordine.models.perceptual import Perceptual
from sordine.models.picture_classifier import WHITE, mixed_precision, stem_for
from sordine.models.training import Draw, Move, Player, seeded, train
from sordine.models.verification import LoadedVerification, Verification, face_similarity
from sordine.run import Run, accepts_run_keywords

STEPS, BATCH, RATE, WIDTH = 600, 64, 2e-3, 32
DENSE = 512  # hidden units of dense layers
FIRST_SIDE = 4  # approximate side of the map that a vector becomes, in pixels
DISCRIMINATOR_WIDTH = 16
EPOCH = 50  # steps of an epoch


class Rebuilder(nn.Module):
    """A decoder: z (b, *shape) of any scale -> pictures (b, channels, h, w) in [-1, 1].

    A vector goes through two dense layers to a map of about 4 x 4; a map (c, h', w') smaller than the picture through
    two convolutions. Both then double their size repeatedly through transposed convolutions, as in figure 6. A map as
    large as the picture goes through a UNet. z is standardised first: each number, or each channel of a map.

    Parameters
    ----------
    shape
        Shape of z.
    picture
        (channels, h, w).
    width
        Channels at half the size.
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
    """Training of a decoder (eq. 5): the decoder minimises eqs. 1, 2 and 4, the discriminator, if any, eq. 3."""

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
            layout = torch.channels_last
            self.discriminator = net.to(pictures.device, memory_format=layout)  # type: ignore[call-overload]
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


@dataclass(frozen=True)
class DecoderOptions:
    """Options of `train_decoder`.

    Parameters
    ----------
    mu1
        Weight of the GAN term (eq. 2), 0 or more.
    mu2
        Weight of the perceptual term (eq. 4), 0 or more.
    steps
        Training steps, 1 or more.
    batch
        Pairs in a step, 2 or more.
    rate
        Learning rate of Adam.
    width
        Channels of the decoder at half the size, 4 or more.
    """

    mu1: float = 0.0
    mu2: float = 0.0
    steps: int = STEPS
    batch: int = BATCH
    rate: float = RATE
    width: int = WIDTH

    def __post_init__(self) -> None:
        ranges = {"steps": (1, 1e9), "batch": (2, 1e9), "rate": (1e-12, 100), "width": (4, 1e6)}
        for name, (low, high) in (ranges | {"mu1": (0, 1e9), "mu2": (0, 1e9)}).items():
            check_number(f"decoder attack: {name}", getattr(self, name), low, high)


@accepts_run_keywords
def train_decoder(
    z: np.ndarray,
    x: np.ndarray,
    options: DecoderOptions | None = None,
    *,
    perceptual: Perceptual | None = None,
    own: nn.Module | None = None,
    run: Run | None = None,
) -> nn.Module:
    """Train a new decoder on the attacker's pairs. The result depends on the pairs, the options and the seed.

    Parameters
    ----------
    z
        (n, *shape) as released.
    x
        (n, channels, h, w) the originals, 0 to 255.
    options
        Weights of the losses, and training.
    perceptual
        The network of the perceptual term.
    own
        An untrained decoder to use in place of a `Rebuilder`, z -> pictures in [-1, 1]: that of figure 6, for instance,
        for an attacker that knows the architecture.
    run
        Device, seed and progress.

    Raises
    ------
    SordineError
        Where there are fewer than two pairs, x are no pictures, or `mu2` has no perceptual network.
    """
    options, run = options or DecoderOptions(), run or Run()
    table = _pairs(z, x)
    if options.mu2 and perceptual is None:
        raise SordineError(f"decoder attack: mu2 is {options.mu2}, which needs a perceptual network; pass `perceptual`")
    with seeded(run.seed, "decoder attack"):
        decoder: nn.Module
        if own is None:
            decoder = made = Rebuilder(table.shape, x.shape[1:], options.width)
            made.mean, made.scale = (t.reshape(made.mean.shape) for t in moments_of_input(z, len(table.shape) == 3))
        else:
            decoder = own
        decoder.to(run.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        epochs = max(1, round(options.steps / EPOCH))
        pictures = torch.as_tensor(np.asarray(x), device=run.device)
        game = Rebuilding(decoder, pictures, perceptual, options.mu1, options.mu2, options.rate, epochs)
        seed = int(numpy_rng(run.seed, "pairs").integers(2**31))
        draw = Draw(table, min(options.batch, len(table)), seed=seed, device=run.device)
        draw.rounds = EPOCH
        train(game, draw, epochs, what="decoder attack", run=Run(progress=run.progress))
    return decoder.eval()


@accepts_run_keywords
@torch.no_grad()
def rebuild(decoder: nn.Module, z: np.ndarray, *, block: int = 256, run: Run | None = None) -> np.ndarray:
    """Reconstruct pictures from released records.

    Parameters
    ----------
    decoder
        What `train_decoder` returned.
    z
        (n, *shape) as released.
    block
        Records at a time.
    run
        Its device is used.

    Returns
    -------
    numpy.ndarray
        Pictures (n, channels, h, w) float32, 0 to 255.
    """
    device = (run or Run()).device
    parts = []
    for start in range(0, len(z), block):
        part = torch.from_numpy(np.array(z[start : start + block], np.float32)).to(device)
        parts.append(((decoder(part).float() + 1) * (WHITE / 2)).clamp(0, WHITE).cpu().numpy())
    return np.concatenate(parts)


@accepts_run_keywords
def judge(
    attacker: str,
    x: np.ndarray,
    rebuilt: np.ndarray,
    mean: np.ndarray,
    *,
    network: Verification | LoadedVerification | None = None,
    feature_similarity: float | None = None,
    note: str = "",
    run: Run | None = None,
) -> ReconstructionFinding:
    """Measure how similar reconstructed pictures are to the originals.

    Parameters
    ----------
    attacker
        Name of the attack.
    x, rebuilt
        Originals and reconstructions, (n, c, h, w), 0 to 255.
    mean
        (c, h, w) the mean picture: the baseline.
    network
        The cosine of its layer-3 features is the face similarity.
    feature_similarity
        Result of the feature-level attack.
    note
        A remark for the report.
    run
        Its device is used.
    """
    device = (run or Run()).device
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
            f"decoder attack: {len(z)} released records and originals of shape {tuple(x.shape)}; give at least two "
            "records with pictures (n, channels, height, width)"
        )
    z = np.asarray(z, np.float32)
    return Table.of(z if z.ndim in (2, 4) else z.reshape(len(z), -1), {}, source="pairs")


def moments_of_input(z: np.ndarray, as_map: bool) -> tuple[Tensor, Tensor]:
    """Return mean and scale of each number, or of each channel of a map; the scale of a constant is 1."""
    z = np.asarray(z, np.float32)
    flat = np.moveaxis(z, 1, -1).reshape(-1, z.shape[1]) if as_map else z.reshape(len(z), -1)
    mean, scale = moments(flat)
    return torch.from_numpy(mean), torch.from_numpy(scale)

"""Obliviator: kernel independence, by turns with a re-alignment with the originals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.peers.common import centred, classes_of, median_distance
from sordine.data.table import Table
from sordine.keys import numpy_rng
from sordine.methods.base import Method
from sordine.methods.options import BatchSize, NonNegative, Rate, SmallCount
from sordine.models.modifier import Card, Modifier, Release
from sordine.policy import Policy
from sordine.run import Run

BANDWIDTHS = (0.5, 1.0, 2.0)  # times the median distance
RIDGE = 1e-3  # of the linear map back to the numbers of x


class Stage(nn.Module):
    """One round: an encoder, random Fourier features of its output, and functions that are linear in them.

    Parameters
    ----------
    width, hidden, features, size
        Numbers of its input, units of the encoder, random features, functions.
    """

    frequencies: Tensor
    phase: Tensor
    mean: Tensor
    functions: Tensor

    def __init__(self, width: int, hidden: int, features: int, size: int) -> None:
        super().__init__()
        self.inner, self.outer = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.register_buffer("frequencies", torch.zeros(width, features))
        self.register_buffer("phase", torch.zeros(features))
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("functions", torch.zeros(features, size))

    def encode(self, z: Tensor) -> Tensor:
        """Return the encoder's output (b, width): the input and a correction of it."""
        return z + self.outer(torch.nn.functional.silu(self.inner(z)))

    def features(self, z: Tensor) -> Tensor:
        """Return centred random features (b, features) of the encoder's output."""
        return fourier(self.encode(z), self.frequencies, self.phase) - self.mean

    def forward(self, z: Tensor) -> Tensor:
        """Return the functions' values (b, size)."""
        return self.features(z) @ self.functions


class ObliviatorModifier(Modifier):
    """Standardised records through all stages and, where the release has the shape of x, a linear map back.

    Parameters
    ----------
    width
        Numbers of a record.
    stages
        The rounds.
    released
        Numbers of a released record; the buffers are `mean` and `scale` (width,), `back` (size, released) and
        `offset` (released,).
    shape
        Shape of a released record.
    """

    mean: Tensor
    scale: Tensor
    back: Tensor
    offset: Tensor

    def __init__(self, width: int, stages: list[Stage], released: int, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.stages = nn.ModuleList(stages)
        self.shape = shape
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))
        self.register_buffer("back", torch.zeros(stages[-1].functions.shape[1], released))
        self.register_buffer("offset", torch.zeros(released))

    def erased(self, x: Tensor) -> Tensor:
        """Return the values of the last functions (b, size)."""
        z = (x.reshape(len(x), -1) - self.mean) / self.scale
        for stage in self.stages:
            z = stage(z)
        return z

    def forward(self, x: Tensor, noise: Tensor) -> Release:
        """Return erased records; they are a function of `erased` alone."""
        return Release(torch.addmm(self.offset, self.erased(x), self.back).reshape(len(x), *self.shape))


@dataclass(frozen=True)
class Obliviator(Method):
    """Rounds of two steps, each of which starts from the representation z of the round before (first, x).

    1. An encoder e(z) is trained by stochastic gradients on the Hilbert-Schmidt independence criterion (HSIC):
       little with the suppressed attributes s, much with x, with z and, supervised, with the preserved attributes y:
       HSIC(e, s) - tau_x HSIC(e, x) - tau_z HSIC(e, z) - tau_y HSIC(e, y).
    2. Among the functions in the kernel space of e that have no covariance with s, those are taken that have the
       largest covariance with kernel features of x, z and e itself, and with y. They are eigenvectors of the weighted
       sum of the squared cross-covariances, within the null space of the covariance with s. Their values are the
       next z.

    With a preserved attribute it is the supervised variant, otherwise the unsupervised one.

    Source: Akbari, Afshari and Boddeti, Obliviator reveals the cost of nonlinear guardedness in concept erasure,
    NeurIPS 2025, arXiv:2603.07529.

    What differs: HSIC is normalised (a correlation of kernels from 0 to 1), so that one weight suits every data set;
    step 1 uses Gaussian kernels of three bandwidths on the records of a batch, step 2 random Fourier features, so that
    both are linear in the records; the functions are scaled to equal variances; the encoder is residual with
    one hidden layer and starts at the identity; the sizes are smaller than the paper's. The release is, unless `output`
    is "functions", the best linear prediction of x from the last functions, so that it has the shape of x: a function
    of them, which reveals no more. Several suppressed attributes are one attribute of all combinations.

    Parameters
    ----------
    rounds
        Rounds.
    steps, batch, rate
        Of the encoder in each round: steps, records of a step, and learning rate of Adam.
    hidden
        Units of the encoder.
    features
        Random features of every kernel.
    size
        Functions that a round keeps at most.
    tau_x, tau_z, tau_y
        Weights of the alignment with x, with the round before, and with preserved attributes.
    supervised
        Whether preserved attributes are used where there are some.
    output
        `records`: numbers like those of x; `functions`: the values of the last functions.
    """

    rounds: SmallCount = 10
    steps: SmallCount = 100
    batch: BatchSize = 512
    rate: Rate = 2e-3
    hidden: SmallCount = 256
    features: SmallCount = 768
    size: SmallCount = 64
    tau_x: NonNegative = 0.05
    tau_z: NonNegative = 0.05
    tau_y: NonNegative = 0.5
    supervised: bool = True
    output: Literal["records", "functions"] = "records"

    name: ClassVar[str] = "obliviator"

    def fit(self, table: Table, policy: Policy, run: Run) -> Modifier:
        """Fit the rounds one after another; the cost is linear in the records."""
        codes = classes_of(table, policy, self.name)
        mean, scale, x = centred(table)
        rows = codes >= 0
        start = torch.from_numpy(x[rows]).to(run.device)
        preserved = [table.y[name][rows] for name in policy.preserve] if self.supervised else []
        known = Known(start, onehot(codes[rows]).to(run.device), [onehot(y).to(run.device) for y in preserved])
        rng = numpy_rng(run.seed, "obliviator")
        stages, z = [], start
        for number in range(self.rounds):
            stage, z = self._round(known, z, rng, run)
            stages.append(stage.cpu())
            run.step("rounds", number + 1, self.rounds)
        size = stages[-1].functions.shape[1]
        whole = self.output == "records"
        shape = tuple(table.shape) if whole else (size,)
        modifier = ObliviatorModifier(table.width, stages, table.width if whole else size, shape)
        modifier.mean = torch.from_numpy(mean.astype(np.float32))
        modifier.scale = torch.from_numpy(scale.astype(np.float32))
        modifier.back, modifier.offset = _back(z.cpu(), start.cpu(), mean, scale) if whole else _same(size)
        output = {} if whole else {"shape": list(shape), "dtype": "float32"}
        figures = {"dependence": float(dependence(start, known.suppressed, run.seed))}
        figures["left"] = float(dependence(z, known.suppressed, run.seed))
        modifier.card = self.card(policy, table, fit=figures, output=output)
        return modifier

    def _round(self, known: Known, z: Tensor, rng: np.random.Generator, run: Run) -> tuple[Stage, Tensor]:
        """Return a fitted stage and its values on all records."""
        size = min(self.size, known.x.shape[1], self.features - known.suppressed.shape[1])
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(int(rng.integers(2**31)))
            stage = Stage(z.shape[1], self.hidden, self.features, max(size, 1)).to(run.device)
        nn.init.zeros_(stage.outer.weight)
        nn.init.zeros_(stage.outer.bias)
        self._train(stage, known, z, rng)
        with torch.no_grad():
            self._choose(stage, known, z, rng)
            values = stage(z)
            # Equal variances, so that the next round sees small directions as an attacker who whitens them does.
            deviation = values.std(0)
            stage.functions /= deviation.clamp_min(1e-3 * deviation.max()).clamp_min(1e-12)
            return stage, stage(z)

    def _train(self, stage: Stage, known: Known, z: Tensor, rng: np.random.Generator) -> None:
        """Train the encoder of a stage: step 1."""
        weights = [*stage.inner.parameters(), *stage.outer.parameters()]
        optimiser = torch.optim.Adam(weights, lr=self.rate)
        for _ in range(self.steps):
            rows = torch.from_numpy(rng.permutation(len(z))[: self.batch]).to(z.device)
            e = stage.encode(z[rows])
            own = gram(e)
            loss = agreement(own, linear_gram(known.suppressed[rows]))
            for tau, part in ((self.tau_x, known.x), (self.tau_z, z)):
                loss = loss - tau * agreement(own, gram(part[rows]))
            for y in known.preserved:
                loss = loss - self.tau_y * agreement(own, linear_gram(y[rows]))
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()

    def _choose(self, stage: Stage, known: Known, z: Tensor, rng: np.random.Generator) -> None:
        """Set the features and the functions of a stage: step 2."""
        draw = Draw(self.features, rng, z.device)
        stage.frequencies, stage.phase = draw.of(stage.encode(z))
        stage.mean = torch.zeros_like(stage.mean)
        stage.mean = stage.features(z).mean(0)
        phi = stage.features(z)
        weighed = [
            (1.0, phi),
            (self.tau_x, centre(fourier(known.x, *draw.of(known.x)))),
            (self.tau_z, centre(fourier(z, *draw.of(z)))),
            *((self.tau_y, centre(y)) for y in known.preserved),
        ]
        total = torch.zeros(phi.shape[1], phi.shape[1], dtype=torch.float64, device=z.device)
        for weight, other in weighed:
            cross = (phi.T @ other).double()
            square = cross @ cross.T
            total += weight * square / square.norm().clamp_min(1e-300)
        left, strength, _ = torch.linalg.svd((phi.T @ centre(known.suppressed)).double(), full_matrices=False)
        left = left[:, strength > 1e-6 * strength[0]]
        total -= left @ (left.T @ total)
        total -= (total @ left) @ left.T
        _, vectors = torch.linalg.eigh((total + total.T) / 2)
        functions = vectors[:, -stage.functions.shape[1] :].flip(1)
        stage.functions = (functions - left @ (left.T @ functions)).float().contiguous()

    @staticmethod
    def build(card: Card, tensors: dict[str, Tensor]) -> Modifier:
        """Return an empty modifier; see `Method.build`."""
        stages: list[Stage] = []
        while (name := f"stages.{len(stages)}.functions") in tensors:
            width, hidden = tensors[name.replace("functions", "outer.weight")].shape
            stages.append(Stage(width, hidden, *tensors[name].shape))
        shape = tuple(card.output.get("shape") or card.input["shape"])
        return ObliviatorModifier(len(tensors["mean"]), stages, len(tensors["offset"]), shape)


@dataclass(frozen=True)
class Known:
    """Records (n, width), one-hot suppressed classes (n, k), and those of each preserved attribute."""

    x: Tensor
    suppressed: Tensor
    preserved: list[Tensor]


@dataclass(frozen=True)
class Draw:
    """Random Fourier features for the bandwidth of some records."""

    features: int
    rng: np.random.Generator
    device: torch.device

    def of(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Return frequencies (width, features) and phase (features,)."""
        median = median_distance(z.cpu().numpy(), 0)
        width = median * np.resize(BANDWIDTHS, self.features)
        frequencies = self.rng.standard_normal((z.shape[1], self.features), dtype=np.float32) / width
        phase = self.rng.uniform(size=self.features) * 2 * np.pi
        first, second = (torch.from_numpy(a.astype(np.float32)).to(self.device) for a in (frequencies, phase))
        return first, second


def fourier(z: Tensor, frequencies: Tensor, phase: Tensor) -> Tensor:
    """Return random Fourier features (b, features), whose products approximate a Gaussian kernel."""
    return float(np.sqrt(2 / len(phase))) * torch.cos(torch.addmm(phase, z, frequencies))


def centre(features: Tensor) -> Tensor:
    """Return features with mean 0."""
    return features - features.mean(0)


def alignment(a: Tensor, b: Tensor) -> Tensor:
    """Return the normalised HSIC of two sets of centred features (n, p) and (n, q): 0 to 1."""
    scale = (a.T @ a).norm() * (b.T @ b).norm()
    return (a.T @ b).square().sum() / scale.clamp_min(1e-12)


def gram(z: Tensor) -> Tensor:
    """Return the centred matrix (b, b) of a Gaussian kernel of three bandwidths around the median distance."""
    norms = z.square().sum(1)
    squares = (norms[:, None] + norms - 2 * z @ z.T).clamp_min(0)
    median = squares.detach().median().clamp_min(1e-12)
    kernels = [torch.exp(squares / (-2 * b**2 * median)) for b in BANDWIDTHS]
    return _centred_twice(torch.stack(kernels).mean(0))


def linear_gram(columns: Tensor) -> Tensor:
    """Return the centred matrix (b, b) of products of one-hot columns."""
    return _centred_twice(columns @ columns.T)


def _centred_twice(matrix: Tensor) -> Tensor:
    return matrix - matrix.mean(0) - matrix.mean(1, keepdim=True) + matrix.mean()


def agreement(a: Tensor, b: Tensor) -> Tensor:
    """Return the normalised HSIC of two centred kernel matrices (b, b): 0 to 1."""
    return (a * b).sum() / (a.norm() * b.norm()).clamp_min(1e-12)


def dependence(z: Tensor, suppressed: Tensor, seed: int, features: int = 500) -> Tensor:
    """Return the normalised HSIC of records (n, width) and one-hot classes (n, k), by new random features."""
    draw = Draw(features, numpy_rng(seed, "obliviator dependence"), z.device)
    return alignment(centre(fourier(z, *draw.of(z))), centre(suppressed))


def onehot(codes: np.ndarray) -> Tensor:
    """Return one-hot columns (n, classes) float32; an unlabelled record has the shares of the classes."""
    known = codes >= 0
    columns = np.zeros((len(codes), int(codes.max()) + 1), np.float32)
    columns[known, codes[known]] = 1
    columns[~known] = columns[known].mean(0)
    return torch.from_numpy(columns)


def _back(z: Tensor, x: Tensor, mean: np.ndarray, scale: np.ndarray) -> tuple[Tensor, Tensor]:
    """Return the linear map from functions to the numbers of x, by ridge regression, and its offset."""
    part = z.double() - z.double().mean(0)
    gram = part.T @ part / len(part)
    gram += RIDGE * gram.diagonal().mean() * torch.eye(len(gram), dtype=gram.dtype)
    weight = torch.linalg.solve(gram, part.T @ x.double() / len(part)) * torch.from_numpy(scale)
    offset = torch.from_numpy(mean) - z.double().mean(0) @ weight
    return weight.float(), offset.float()


def _same(size: int) -> tuple[Tensor, Tensor]:
    return torch.eye(size), torch.zeros(size)

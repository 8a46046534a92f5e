"""The feature-level attack: predict a verification network's features of x from releases (Xiao et al., eq. 10)."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from sordine.attacks.reconstruction.decoder import DENSE, EPOCH, moments_of_input
from sordine.data.table import Table
from sordine.errors import SordineError, check_number
from sordine.keys import numpy_rng
from sordine.models.losses import feature_attack
from sordine.models.networks.mlp import mlp
from sordine.models.training import Draw, SinglePlayer, adamw, seeded, train
from sordine.run import Run, accepts_run_keywords

FEATURE_STEPS = 600
VALIDATION = 0.1  # share of the pairs that decides which epoch is used


class FeatureAttack(nn.Module):
    """M of eq. 10: z -> C(x), a perceptron on standardised numbers."""

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


@accepts_run_keywords
def train_feature_attack(
    z: np.ndarray,
    features: np.ndarray,
    *,
    steps: int = FEATURE_STEPS,
    batch: int = 128,
    rate: float = 1e-3,
    run: Run | None = None,
) -> FeatureAttack:
    """Train the feature-level attack on pairs (eq. 10); a tenth of them is held out to choose the best epoch.

    Parameters
    ----------
    z
        (n, *shape) released records.
    features
        (n, d) the features C(x) of the originals.
    steps
        Training steps, 1 or more.
    batch
        Pairs in a step.
    rate
        Learning rate of AdamW.
    run
        Its device and seed are used.

    Raises
    ------
    SordineError
        For fewer than 20 pairs, or a number of features that differs from that of the records.
    """
    run = run or Run()
    device, seed = run.device, run.seed
    n = _check_pairs(z, features, steps)
    order = numpy_rng(seed, "feature attack").permutation(n)
    held, own = order[: max(2, int(VALIDATION * n))], order[max(2, int(VALIDATION * n)) :]
    flat = np.asarray(z, np.float32).reshape(n, -1)
    with seeded(seed, "feature attack"):
        model = FeatureAttack(flat.shape[1], features.shape[1])
        model.mean, model.scale = moments_of_input(flat[own], False)
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
        best = _BestEpoch(model, unseen, wanted)
        train(game, draw, max(1, round(steps / EPOCH)), what="feature attack", watch=best)
        model.load_state_dict(best.weights)
    return model.eval()


def _check_pairs(z: np.ndarray, features: np.ndarray, steps: int) -> int:
    """Return the number of pairs. Raises SordineError where there are too few."""
    check_number("feature attack: steps", steps, 1, 1e9)
    if len(z) < 20 or len(features) != len(z):
        raise SordineError(
            f"feature attack: {len(z)} records with features of {len(features)}; give at least 20 "
            "records, each with features"
        )
    return len(z)


class _BestEpoch:
    """The weights of the epoch with the lowest loss on held-out pairs."""

    def __init__(self, model: FeatureAttack, z: Tensor, features: Tensor) -> None:
        self.model, self.z, self.features = model, z, features
        self.loss, self.weights = np.inf, model.state_dict()

    def __call__(self, epoch: int) -> None:
        with torch.no_grad():
            loss = float(feature_attack(self.model(self.z), self.features))
        if loss < self.loss:
            self.loss, self.weights = loss, {k: v.clone() for k, v in self.model.state_dict().items()}

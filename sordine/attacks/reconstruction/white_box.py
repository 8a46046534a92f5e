"""White-box inversion: search a picture whose representation is the released one.

Gradient descent on the picture, through the modifier's own weights, with a total-variation prior (Mahendran and
Vedaldi, 2015, named by the inversion paper beside its decoders). It needs no pairs; its quality depends on the prior.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from sordine.errors import SordineError
from sordine.models.modifier import Modifier
from sordine.models.picture_classifier import WHITE
from sordine.run import Run, accepts_run_keywords

STEPS, RATE, SMOOTH = 200, 0.03, 0.3


def total_variation(x: Tensor) -> Tensor:
    """Return the mean absolute difference of neighbouring pixels, down and across: (b, c, h, w) -> (b,)."""
    down, across = x.diff(dim=2).abs(), x.diff(dim=3).abs()
    return down.flatten(1).mean(1) + across.flatten(1).mean(1)


@accepts_run_keywords
def invert(
    modifier: Modifier,
    z: np.ndarray,
    start: np.ndarray,
    *,
    steps: int = STEPS,
    rate: float = RATE,
    smooth: float = SMOOTH,
    block: int = 64,
    run: Run | None = None,
) -> np.ndarray:
    """Return pictures (n, c, h, w) float32, 0 to 255, whose representations are close to z.

    For each picture, Adam minimises the mean square of (Enc(x) - z) / spread, plus `smooth` times the total variation
    of x in [0, 1]. x stays in its range. The spread of a number is its standard deviation over z. Without the key an
    attacker does not know the modifier's noise; its median is used. The result has no random part.

    Parameters
    ----------
    modifier
        The modifier; its weights are known.
    z
        (n, *shape) released records.
    start
        (c, h, w) the picture from which the search starts.
    steps, rate, smooth
        Of the search.
    block
        Pictures at a time.
    run
        Its device is used.

    Raises
    ------
    SordineError
        Where z does not have the modifier's output shape.
    """
    if tuple(z.shape[1:]) != modifier.output_shape or not len(z):
        raise SordineError(
            f"white-box inversion: {len(z)} records of shape {tuple(z.shape[1:])}; give at least one record of the "
            f"modifier's output shape {modifier.output_shape}"
        )
    device = (run or Run()).device
    was = next(modifier.parameters(), torch.zeros(())).device
    needs = [w.requires_grad for w in modifier.parameters()]
    modifier.eval().requires_grad_(False).to(device)
    spread = np.asarray(z, np.float64).std(0)
    spread = torch.from_numpy(np.where(spread > 1e-6, spread, 1).astype(np.float32)).to(device)
    found = []
    for at in range(0, len(z), block):
        wanted = torch.from_numpy(np.array(z[at : at + block], np.float32)).to(device)
        found.append(_search(modifier, wanted, start, spread, (steps, rate, smooth)))
    for weight, need in zip(modifier.parameters(), needs, strict=True):
        weight.requires_grad_(need)
    modifier.to(was)
    return np.concatenate(found)


def _search(
    modifier: Modifier, wanted: Tensor, start: np.ndarray, spread: Tensor, options: tuple[int, float, float]
) -> np.ndarray:
    # Pictures whose representations are close to `wanted` (n, *shape). options: steps, rate, smooth.
    steps, rate, smooth = options
    device = wanted.device
    x = torch.from_numpy(np.array(start, np.float32) / WHITE).to(device).expand(len(wanted), *start.shape).clone()
    noise = torch.full((len(wanted), modifier.noise), 0.5, device=device)
    x.requires_grad_(True)
    adam = torch.optim.Adam([x], lr=rate)
    for step in range(steps):
        for group in adam.param_groups:  # the rate falls linearly
            group["lr"] = rate * (1 - step / steps)
        error = ((modifier(WHITE * x, noise).x - wanted) / spread).square().flatten(1).mean(1)
        adam.zero_grad(set_to_none=True)
        # A sum, so that the gradient of one record does not depend on their number.
        (error + smooth * total_variation(x)).sum().backward()
        adam.step()
        with torch.no_grad():
            x.clamp_(0, 1)
    return (WHITE * x.detach()).cpu().numpy()

"""White-box inversion: a picture is sought whose representation is the one that was released.

Mahendran and Vedaldi (2015), whom the inversion paper names beside its decoders: gradient descent on the picture, through the
modifier's own weights, under a total-variation prior. It needs no pairs, and is only as good as the prior.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from sordine.errors import SordineError
from sordine.models.modifier import Modifier
from sordine.models.picture_classifier import WHITE

STEPS, RATE, SMOOTH = 200, 0.03, 0.3


def total_variation(x: Tensor) -> Tensor:
    """Mean absolute difference of neighbouring pixels, down and across: (b, c, h, w) -> (b,)."""
    down, across = x.diff(dim=2).abs(), x.diff(dim=3).abs()
    return down.flatten(1).mean(1) + across.flatten(1).mean(1)


def invert(
    modifier: Modifier,
    z: np.ndarray,
    start: np.ndarray,
    *,
    steps: int = STEPS,
    rate: float = RATE,
    smooth: float = SMOOTH,
    device: str = "cpu",
    block: int = 64,
) -> np.ndarray:
    """Pictures (n, c, h, w) float32 in 0 to 255 whose representations come near to z (n, *shape), from `start` (c, h, w).

    Minimises, picture by picture, mean square of (Enc(x) - z) / spread + smooth * total variation of x in [0, 1], by Adam,
    x kept in range. spread: the standard deviation over z of each number. A modifier's noise, unknown to an attacker without
    the key, is taken at its median. Nothing is drawn. Raises SordineError where z is not of the modifier's output shape.
    """
    if tuple(z.shape[1:]) != modifier.output_shape or not len(z):
        raise SordineError(
            f"white-box inversion: {len(z)} records of shape {tuple(z.shape[1:])}; the modifier releases {modifier.output_shape}"
        )
    was = next(modifier.parameters(), torch.zeros(())).device
    needs = [w.requires_grad for w in modifier.parameters()]
    modifier.eval().requires_grad_(False).to(device)
    spread = np.asarray(z, np.float64).std(0)
    spread = torch.from_numpy(np.where(spread > 1e-6, spread, 1).astype(np.float32)).to(device)
    found = []
    for at in range(0, len(z), block):
        wanted = torch.from_numpy(np.array(z[at : at + block], np.float32)).to(device)
        x = torch.from_numpy(np.array(start, np.float32) / WHITE).to(device).expand(len(wanted), *start.shape).clone()
        noise = torch.full((len(wanted), modifier.noise), 0.5, device=device)
        x.requires_grad_(True)
        adam = torch.optim.Adam([x], lr=rate)
        for step in range(steps):
            for group in adam.param_groups:  # smaller steps towards the end
                group["lr"] = rate * (1 - step / steps)
            off = ((modifier(WHITE * x, noise).x - wanted) / spread).square().flatten(1).mean(1)
            adam.zero_grad(set_to_none=True)
            # A sum: what one record asks for does not depend on how many there are.
            (off + smooth * total_variation(x)).sum().backward()
            adam.step()
            with torch.no_grad():
                x.clamp_(0, 1)
        found.append((WHITE * x.detach()).cpu().numpy())
    for weight, need in zip(modifier.parameters(), needs, strict=True):
        weight.requires_grad_(need)
    modifier.to(was)
    return np.concatenate(found)

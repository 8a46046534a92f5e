"""What stands for an entry of the codebook: a linear image of its code that tells little of any single record.

A mean of few records gives away to an attacker that has one of these records that it was among them. So the image is
linear in the code, and has noise. Entries stay as far apart as their codes are: the noise moves the image as a whole,
and one record is hidden in it.
"""

from __future__ import annotations

import hashlib
import math

import torch
from scipy.special import ndtri
from torch import Tensor
from torch.nn import functional

from sordine.keys import Key

RIDGE = 1e-3  # of the regression, in records


def linear_outputs(
    codebook: Tensor,
    owner: Tensor,
    code: Tensor,
    strata: Tensor,
    x: Tensor,
    *,
    key: Key,
    maps: int = 1,
    recognised: float = 0.55,
) -> Tensor:
    """Return an output for each entry of the codebook.

    Records are regressed on codes and preserved classes. The coefficients then get normal noise: its covariance is that
    of their own errors, times the square of `noise_level`; columns are independent of each other.

    Parameters
    ----------
    codebook, owner
        (M, size) codes of the entries, and their preserved class (M,).
    code, strata, x
        (n, size) codes of the records of the fit, their preserved classes (n,) and the records (n, width).
    key
        Secret of the noise. Other records have other noise, so that it does not cancel between two images.
    maps
        How many images are made from the same record.
    recognised
        Share of pairs in which all images together may tell an average record of the fit from an unseen one; above .5.
        At 1 there is no noise.

    Returns
    -------
    Tensor
        (M, width).
    """
    groups, unit = int(max(strata.max(), owner.max())) + 1, code.std().clamp_min(1e-12)
    here, there = (_design(c / unit, g, groups) for c, g in ((code, strata), (codebook, owner)))
    gram = here.T @ here + RIDGE * torch.eye(here.shape[1], dtype=torch.double)
    slopes = torch.linalg.solve(gram, here.T @ x.double())
    rest = (x - (here @ slopes).float()).square().mean(0).sqrt()
    purpose = f"outputs {hashlib.blake2b(x.numpy().tobytes(), digest_size=16).hexdigest()}"
    drawn = torch.from_numpy(key.normal(purpose, [f"{k}" for k in range(len(slopes))], slopes.shape[1]))
    # From independent draws to draws of covariance gram^-1 between coefficients.
    error = torch.linalg.solve_triangular(torch.linalg.cholesky(gram).T, drawn, upper=True)
    noise = noise_level(len(x), len(slopes), x.shape[1], maps, recognised)
    return (there @ (slopes + noise * error * rest)).float()


def noise_level(records: int, coefficients: int, width: int, maps: int, recognised: float) -> float:
    """Return the noise with which outputs tell records of the fit from unseen ones in a given share of pairs.

    A record of average leverage moves the coefficients of an image by sqrt(p d / n) / c standard deviations of noise c
    (p coefficients of d columns, n records), and those of m images by the root of m times as much. Of two normal
    distributions whose means are mu deviations apart, the area under the curve is the normal distribution function at
    mu / sqrt(2). It is no bound for records far from all others: they have more leverage.

    Parameters
    ----------
    records, coefficients, width, maps
        n, p, d and m.
    recognised
        The area under the curve.

    Returns
    -------
    float
        c, in standard errors.
    """
    apart = math.sqrt(2) * float(ndtri(recognised))
    return math.sqrt(maps * coefficients * width / records) / apart


def _design(code: Tensor, group: Tensor, groups: int) -> Tensor:
    return torch.cat([functional.one_hot(group, groups), code], 1).double()

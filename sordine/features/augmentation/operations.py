"""Augmentations of whole batches of raw media, each a pure function of records and of parameters of their own.

Pictures are (b, c, h, w) and clips (b, t, c, h, w), float32 in [0, 1], c = 3 or 1, and what is done to a clip is done
alike to all its frames; sound is (b, samples) float32. Parameters are (b,), on the records' device.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601
NEVER_BLURRED = 1e-3  # a deviation, in pixels, that changes nothing


# --------------------------------------------------------------------------------------------- pictures and clips


def flip(x: Tensor, which: Tensor) -> Tensor:
    """Mirror left to right the records that `which` (b,) bool names. (b, ..., h, w) -> the same shape."""
    return torch.where(_wide(which, x), x.flip(-1), x)


def resized_crop(x: Tensor, boxes: Tensor) -> Tensor:
    """Blow up a box of each record to the record's size, bilinear: (b, ..., h, w) float -> the same shape.

    boxes: (b, 4), left, top, width and height as shares of the picture. Past its border a picture goes on as its edge.
    """
    left, top, width, height = boxes.to(x.dtype).unbind(1)
    zero = torch.zeros_like(left)
    # grid_sample's coordinates run from -1 to 1 across the picture.
    across = torch.stack([width, zero, 2 * left + width - 1], 1)
    down = torch.stack([zero, height, 2 * top + height - 1], 1)
    flat = x.reshape(len(x), -1, *x.shape[-2:])
    grid = functional.affine_grid(torch.stack([across, down], 1), list(flat.shape), align_corners=False)
    return functional.grid_sample(flat, grid, padding_mode="border", align_corners=False).reshape(x.shape)


def grey(x: Tensor, which: Tensor | None = None) -> Tensor:
    """All channels replaced by the luma .299 R + .587 G + .114 B, of records named by `which` (b,) bool, or of all.

    (b, ..., c, h, w) -> the same shape; one channel is grey already.
    """
    if x.shape[-3] == 1:
        return x
    weights = torch.tensor(LUMA, dtype=x.dtype, device=x.device).reshape(3, 1, 1)
    luma = (x * weights).sum(-3, keepdim=True).expand_as(x)
    return luma if which is None else torch.where(_wide(which, x), luma, x)


def brightness(x: Tensor, factor: Tensor) -> Tensor:
    """factor * x, kept in [0, 1]: torchvision's adjust_brightness. factor: (b,)."""
    return (x * _wide(factor, x)).clamp(0, 1)


def contrast(x: Tensor, factor: Tensor) -> Tensor:
    """factor * x + (1 - factor) * mean luma of the record, kept in [0, 1]: torchvision's adjust_contrast. factor: (b,).

    A clip has one mean, that of all its frames, so that it does not flicker.
    """
    mean = grey(x).flatten(1).mean(1)
    return torch.lerp(_wide(mean, x), x, _wide(factor, x)).clamp(0, 1)


def saturation(x: Tensor, factor: Tensor) -> Tensor:
    """factor * x + (1 - factor) * luma, kept in [0, 1]: torchvision's adjust_saturation. factor: (b,)."""
    return torch.lerp(grey(x), x, _wide(factor, x)).clamp(0, 1)


def hue(x: Tensor, turn: Tensor) -> Tensor:
    """Hue turned by `turn` (b,) of the full circle, value and saturation kept (in HSV): torchvision's adjust_hue.

    (b, ..., 3, h, w) in [0, 1] -> the same; one channel has no hue.
    """
    if x.shape[-3] == 1:
        return x
    red, green, blue = x.unbind(-3)
    value, least = x.amax(-3), x.amin(-3)
    chroma = value - least
    safe = torch.where(chroma > 0, chroma, 1.0)
    sixth = torch.where(
        value == red,
        (green - blue) / safe,
        torch.where(value == green, (blue - red) / safe + 2, (red - green) / safe + 4),
    )
    sixth = sixth + 6 * _wide(turn, sixth)
    # A channel is the value less the chroma times a trapezium of the hue, two sixths on from channel to channel.
    offsets = torch.tensor([5.0, 3.0, 1.0], dtype=x.dtype, device=x.device).reshape(3, 1, 1)
    k = (offsets + sixth.unsqueeze(-3)) % 6
    return value.unsqueeze(-3) - chroma.unsqueeze(-3) * torch.minimum(k, 4 - k).clamp(0, 1)


def gaussian_blur(x: Tensor, sigma: Tensor) -> Tensor:
    """Each record convolved with a Gaussian of deviation sigma (b,) pixels, cut at two deviations of the largest one.

    (b, ..., h, w) float -> the same shape; past the border a picture goes on as its edge.
    """
    radius = max(1, math.ceil(2 * float(sigma.max())))
    at = torch.arange(-radius, radius + 1, dtype=x.dtype, device=x.device)
    kernel = torch.exp(-0.5 * (at / sigma.to(x.dtype).clamp_min(NEVER_BLURRED).unsqueeze(1)).square())
    kernel = kernel / kernel.sum(1, keepdim=True)
    planes = x.reshape(len(x), -1, *x.shape[-2:])
    flat = planes.reshape(1, -1, *x.shape[-2:])
    kernels = kernel.repeat_interleave(planes.shape[1], 0)[:, None]
    flat = functional.pad(flat, (radius,) * 4, mode="replicate")
    flat = functional.conv2d(flat, kernels[:, :, None, :], groups=len(kernels))
    return functional.conv2d(flat, kernels[:, :, :, None], groups=len(kernels)).reshape(x.shape)


def erase(x: Tensor, boxes: Tensor) -> Tensor:
    """A box of each record set to the record's mean. (b, ..., h, w); boxes: (b, 4) as for `resized_crop`."""
    height, width = x.shape[-2:]
    left, top, wide, high = (boxes.to(x.dtype) * boxes.new_tensor([width, height, width, height])).unbind(1)
    column = torch.arange(width, device=x.device) + 0.5
    row = torch.arange(height, device=x.device) + 0.5
    across = (column >= left[:, None]) & (column < (left + wide)[:, None])
    down = (row >= top[:, None]) & (row < (top + high)[:, None])
    inside = (down[:, :, None] & across[:, None, :]).reshape(len(x), *(1,) * (x.ndim - 3), height, width)
    return torch.where(inside, _wide(x.flatten(1).mean(1), x), x)


def shade(x: Tensor, slope: Tensor) -> Tensor:
    """Light from a side: each record times exp(a u + b v), u and v from -1 to 1 across and down, kept in [0, 1].

    (b, ..., h, w) float; slope: (b, 2), a and b. Ours; of no paper.
    """
    down, across = (torch.linspace(-1, 1, side, dtype=x.dtype, device=x.device) for side in x.shape[-2:])
    light = torch.exp(slope[:, 0, None, None] * across + slope[:, 1, None, None] * down[:, None])
    return (x * light.reshape(len(x), *(1,) * (x.ndim - 3), *x.shape[-2:])).clamp(0, 1)


def frames_from(x: Tensor, lengths: Tensor, start: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
    """The `size` (b,) frames of each clip from frame `start` (b,) on, its last one repeated to the clip's end.

    (b, t, ...), (b,) -> (b, t, ...), (b,) real frames: fewer than `size` where the clip ends before.
    """
    size = torch.minimum(size, lengths - start).clamp_min(1)
    at = torch.arange(x.shape[1], device=x.device)
    frame = start[:, None] + torch.minimum(at, size[:, None] - 1)
    return x.gather(1, frame.reshape(*frame.shape, *(1,) * (x.ndim - 2)).expand_as(x)), size


# --------------------------------------------------------------------------------------------- sound


def cut(x: Tensor, lengths: Tensor, start: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
    """The *crop* of B.1: `size` samples from `start` are deleted and the rest joined; zeros follow.

    x: (b, samples); lengths, start, size: (b,) -> (b, samples), (b,) real samples left.
    """
    at = torch.arange(x.shape[1], device=x.device)
    source = torch.where(at < start[:, None], at, at + size[:, None])
    left = lengths - size
    return torch.where(at < left[:, None], x.gather(1, source.clamp_max(x.shape[1] - 1)), 0.0), left


def silence(x: Tensor, start: Tensor, size: Tensor) -> Tensor:
    """The *mask* of B.1: `size` samples from `start` are set to zero. x: (b, samples); start, size: (b,)."""
    at = torch.arange(x.shape[1], device=x.device)
    return torch.where((at >= start[:, None]) & (at < (start + size)[:, None]), 0.0, x)


def piece(x: Tensor, start: Tensor, size: Tensor) -> Tensor:
    """Only the `size` samples from `start` on, moved to the front; zeros follow. x: (b, samples); start, size: (b,)."""
    at = torch.arange(x.shape[1], device=x.device)
    moved = x.gather(1, (at + start[:, None]).clamp_max(x.shape[1] - 1))
    return torch.where(at < size[:, None], moved, 0.0)


def speed(x: Tensor, lengths: Tensor, factor: Tensor) -> tuple[Tensor, Tensor]:
    """Play sound `factor` (b,) times as fast: pitch, formants and pace change together.

    Linear interpolation weakens frequencies near half the sampling rate.

    x: (b, samples), lengths: (b,) -> (b, samples), (b,) real samples: lengths / factor, at least one and at most all
    that there is room for. Zeros follow.
    """
    room = x.shape[1]
    left = (lengths / factor).long().clamp(1, room)
    at = torch.arange(room, device=x.device) * factor[:, None]
    before = at.long()
    share = at - before

    def sample(place: Tensor) -> Tensor:
        return torch.where(place < lengths[:, None], x.gather(1, place.clamp_max(room - 1)), 0.0)

    played = torch.lerp(sample(before), sample(before + 1), share)
    return torch.where(torch.arange(room, device=x.device) < left[:, None], played, 0.0), left


def gain(x: Tensor, decibels: Tensor) -> Tensor:
    """x times 10^(decibels / 20). x: (b, samples); decibels: (b,)."""
    return x * _wide(10 ** (decibels / 20), x)


def add_noise(x: Tensor, lengths: Tensor, noise: Tensor, decibels: float) -> Tensor:
    """White noise under each record's root mean square by `decibels`, where the record is real.

    x: (b, samples), lengths: (b,), noise: (b, samples) standard normal.
    """
    level = (x.square().sum(1) / lengths.clamp_min(1)).sqrt() * 10 ** (-decibels / 20)
    real = torch.arange(x.shape[1], device=x.device) < lengths[:, None]
    return x + noise * level[:, None] * real


def _wide(values: Tensor, like: Tensor) -> Tensor:
    """(b,) -> (b, 1, ..., 1), to stand beside `like`."""
    return values.reshape(-1, *(1,) * (like.ndim - 1))

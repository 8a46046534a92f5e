"""Augmentations of batches of raw media: pure functions of the records and of parameters for each record.

Pictures are (b, c, h, w) and clips (b, t, c, h, w), float32 in [0, 1], with c = 3 or 1. All frames of a clip are
changed in the same way. Sound is (b, samples) float32. Parameters are on the device of the records.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

LUMA = (0.299, 0.587, 0.114)  # of red, green and blue: ITU-R BT.601, as Pillow's grey
NEVER_BLURRED = 1e-3  # a deviation, in pixels, that changes nothing


# --------------------------------------------------------------------------------------------- pictures and clips


def flip(x: Tensor, which: Tensor) -> Tensor:
    """Mirror some records left to right.

    Parameters
    ----------
    x
        Pictures (b, c, h, w) or clips (b, t, c, h, w), float in [0, 1].
    which
        (b,) bool: the records that are mirrored.

    Returns
    -------
    torch.Tensor
        Of the shape of x.
    """
    return torch.where(_wide(which, x), x.flip(-1), x)


def resized_crop(x: Tensor, boxes: Tensor) -> Tensor:
    """Enlarge a box of each record to the record's size, by bilinear interpolation.

    Where a box reaches past the border, the edge is repeated.

    Parameters
    ----------
    x
        Pictures (b, c, h, w) or clips (b, t, c, h, w), float in [0, 1].
    boxes
        (b, 4): left, top, width and height, as shares of the picture's sides.

    Returns
    -------
    torch.Tensor
        Of the shape of x.
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
    """Replace all channels by the luma 0.299 R + 0.587 G + 0.114 B.

    Parameters
    ----------
    x
        Pictures (b, c, h, w) or clips (b, t, c, h, w), float in [0, 1]. One channel is returned as it is.
    which
        (b,) bool: the records that are changed. None changes all.

    Returns
    -------
    torch.Tensor
        Of the shape of x.
    """
    if x.shape[-3] == 1:
        return x
    weights = torch.tensor(LUMA, dtype=x.dtype, device=x.device).reshape(3, 1, 1)
    luma = (x * weights).sum(-3, keepdim=True).expand_as(x)
    return luma if which is None else torch.where(_wide(which, x), luma, x)


def brightness(x: Tensor, factor: Tensor) -> Tensor:
    """Return factor * x, limited to [0, 1], as torchvision's `adjust_brightness`.

    Parameters
    ----------
    x
        Pictures (b, c, h, w) or clips (b, t, c, h, w), float in [0, 1].
    factor
        (b,), 0 or more.

    Returns
    -------
    torch.Tensor
        Of the shape of x.
    """
    return (x * _wide(factor, x)).clamp(0, 1)


def contrast(x: Tensor, factor: Tensor) -> Tensor:
    """Return factor * x + (1 - factor) * mean luma of the record, limited to [0, 1].

    As torchvision's `adjust_contrast`. A clip has one mean, that of all its frames, so that it does not flicker.

    Parameters
    ----------
    x
        Pictures (b, c, h, w) or clips (b, t, c, h, w), float in [0, 1].
    factor
        (b,), 0 or more.

    Returns
    -------
    torch.Tensor
        Of the shape of x.
    """
    mean = grey(x).flatten(1).mean(1)
    return torch.lerp(_wide(mean, x), x, _wide(factor, x)).clamp(0, 1)


def saturation(x: Tensor, factor: Tensor) -> Tensor:
    """Return factor * x + (1 - factor) * luma, limited to [0, 1], as torchvision's `adjust_saturation`.

    Parameters
    ----------
    x
        Pictures (b, c, h, w) or clips (b, t, c, h, w), float in [0, 1].
    factor
        (b,), 0 or more.

    Returns
    -------
    torch.Tensor
        Of the shape of x.
    """
    return torch.lerp(grey(x), x, _wide(factor, x)).clamp(0, 1)


def hue(x: Tensor, turn: Tensor) -> Tensor:
    """Change the hue in HSV; value and saturation stay. As torchvision's `adjust_hue`.

    Parameters
    ----------
    x
        Pictures (b, c, h, w) or clips (b, t, c, h, w), float in [0, 1]. One channel is returned as it is.
    turn
        (b,) change of the hue, as a share of the full circle.

    Returns
    -------
    torch.Tensor
        Of the shape of x.
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
    """Convolve each record with a Gaussian, cut off at two standard deviations of the largest one.

    At the border the edge is repeated.

    Parameters
    ----------
    x
        Pictures (b, c, h, w) or clips (b, t, c, h, w), float in [0, 1].
    sigma
        (b,) standard deviations in pixels; 0 leaves a record unchanged.

    Returns
    -------
    torch.Tensor
        Of the shape of x.
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
    """Set a box of each record to the record's mean.

    Parameters
    ----------
    x
        Pictures (b, c, h, w) or clips (b, t, c, h, w), float in [0, 1].
    boxes
        (b, 4): left, top, width and height, as shares of the picture's sides.

    Returns
    -------
    torch.Tensor
        Of the shape of x.
    """
    height, width = x.shape[-2:]
    left, top, wide, high = (boxes.to(x.dtype) * boxes.new_tensor([width, height, width, height])).unbind(1)
    column = torch.arange(width, device=x.device) + 0.5
    row = torch.arange(height, device=x.device) + 0.5
    across = (column >= left[:, None]) & (column < (left + wide)[:, None])
    down = (row >= top[:, None]) & (row < (top + high)[:, None])
    inside = (down[:, :, None] & across[:, None, :]).reshape(len(x), *(1,) * (x.ndim - 3), height, width)
    return torch.where(inside, _wide(x.flatten(1).mean(1), x), x)


def shade(x: Tensor, slope: Tensor) -> Tensor:
    """Light each record from a side: multiply it by exp(a u + b v) and limit it to [0, 1].

    This operation is ours; no paper describes it.

    Parameters
    ----------
    x
        Pictures (b, c, h, w) or clips (b, t, c, h, w), float in [0, 1].
    slope
        (b, 2): a and b. u and v run from -1 to 1, across and down.

    Returns
    -------
    torch.Tensor
        Of the shape of x.
    """
    down, across = (torch.linspace(-1, 1, side, dtype=x.dtype, device=x.device) for side in x.shape[-2:])
    light = torch.exp(slope[:, 0, None, None] * across + slope[:, 1, None, None] * down[:, None])
    return (x * light.reshape(len(x), *(1,) * (x.ndim - 3), *x.shape[-2:])).clamp(0, 1)


def frames_from(x: Tensor, lengths: Tensor, start: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
    """Cut a part out of each clip; its last frame is repeated up to the clip's length.

    Parameters
    ----------
    x
        Clips (b, t, ...).
    lengths
        (b,) number of real frames.
    start
        (b,) first frame of the part.
    size
        (b,) number of frames of the part.

    Returns
    -------
    x : torch.Tensor
        (b, t, ...).
    lengths : torch.Tensor
        (b,) real frames; fewer than `size` where the clip ends before.
    """
    size = torch.minimum(size, lengths - start).clamp_min(1)
    at = torch.arange(x.shape[1], device=x.device)
    frame = start[:, None] + torch.minimum(at, size[:, None] - 1)
    return x.gather(1, frame.reshape(*frame.shape, *(1,) * (x.ndim - 2)).expand_as(x)), size


# --------------------------------------------------------------------------------------------- sound


def cut(x: Tensor, lengths: Tensor, start: Tensor, size: Tensor) -> tuple[Tensor, Tensor]:
    """Delete a part of the sound and join the rest (*crop* of MaSS, B.1); zeros follow.

    Parameters
    ----------
    x
        Sound (b, samples), float32.
    lengths
        (b,) number of real samples.
    start, size
        (b,) first sample and number of samples of the part.

    Returns
    -------
    x : torch.Tensor
        (b, samples).
    lengths : torch.Tensor
        (b,) real samples that remain.
    """
    at = torch.arange(x.shape[1], device=x.device)
    source = torch.where(at < start[:, None], at, at + size[:, None])
    left = lengths - size
    return torch.where(at < left[:, None], x.gather(1, source.clamp_max(x.shape[1] - 1)), 0.0), left


def silence(x: Tensor, start: Tensor, size: Tensor) -> Tensor:
    """Set a part of the sound to zero (*mask* of MaSS, B.1).

    Parameters
    ----------
    x
        Sound (b, samples), float32.
    start, size
        (b,) first sample and number of samples of the part.

    Returns
    -------
    torch.Tensor
        Of the shape of x.
    """
    at = torch.arange(x.shape[1], device=x.device)
    return torch.where((at >= start[:, None]) & (at < (start + size)[:, None]), 0.0, x)


def piece(x: Tensor, start: Tensor, size: Tensor) -> Tensor:
    """Return one part of the sound, moved to the start; zeros follow.

    Parameters
    ----------
    x
        Sound (b, samples), float32.
    start, size
        (b,) first sample and number of samples of the part.

    Returns
    -------
    torch.Tensor
        Of the shape of x.
    """
    at = torch.arange(x.shape[1], device=x.device)
    moved = x.gather(1, (at + start[:, None]).clamp_max(x.shape[1] - 1))
    return torch.where(at < size[:, None], moved, 0.0)


def speed(x: Tensor, lengths: Tensor, factor: Tensor) -> tuple[Tensor, Tensor]:
    """Play sound faster or slower: pitch, formants and pace change together.

    Linear interpolation weakens frequencies near half the sampling rate.

    Parameters
    ----------
    x
        Sound (b, samples), float32.
    lengths
        (b,) number of real samples.
    factor
        (b,) speed, above 0; 2 halves the length.

    Returns
    -------
    x : torch.Tensor
        (b, samples); zeros follow the sound.
    lengths : torch.Tensor
        (b,) real samples: lengths / factor, from 1 to samples.
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
    """Multiply sound by 10^(decibels / 20).

    Parameters
    ----------
    x
        Sound (b, samples), float32.
    decibels
        (b,).

    Returns
    -------
    torch.Tensor
        Of the shape of x.
    """
    return x * _wide(10 ** (decibels / 20), x)


def add_noise(x: Tensor, lengths: Tensor, noise: Tensor, decibels: float) -> Tensor:
    """Add white noise at a level relative to each record's root mean square; padding stays zero.

    Parameters
    ----------
    x
        Sound (b, samples), float32.
    lengths
        (b,) number of real samples.
    noise
        (b, samples), standard normal.
    decibels
        How far the noise is below the record.

    Returns
    -------
    torch.Tensor
        Of the shape of x.
    """
    level = (x.square().sum(1) / lengths.clamp_min(1)).sqrt() * 10 ** (-decibels / 20)
    real = torch.arange(x.shape[1], device=x.device) < lengths[:, None]
    return x + noise * level[:, None] * real


def _wide(values: Tensor, like: Tensor) -> Tensor:
    """Return values (b,) as (b, 1, ..., 1), with as many dimensions as `like`."""
    return values.reshape(-1, *(1,) * (like.ndim - 1))

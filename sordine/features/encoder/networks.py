"""Small convolutional networks for pictures, sound and clips, and the features that describe a record.

`forward` returns averages of the last stage, which are trained. `blocks` returns the features: averages over parts of
the record at several depths, and deviations. Parts contain real samples and frames only, no padding.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from sordine.features.augmentation.operations import LUMA

NEIGHBOURHOOD = 9  # side, in pixels, of the square in which local contrast is computed
SOFTEST = 0.05  # added to a neighbourhood's deviation; black and white differ by 4
QUIETEST = 1e-8  # added to a band's power: above the rounding noise of 16-bit samples
ROUNDING = 1e-6  # added to a variance before its root


def stage(inputs: int, outputs: int, first: bool) -> nn.Sequential:
    """Return layers that halve the sides: 3 x 3 convolutions (two, but one in the first stage), batch norm, ReLU."""
    layers: list[nn.Module] = []
    for i, o, stride in [(inputs, outputs, 2)] + [(outputs, outputs, 1)] * (not first):
        layers += [nn.Conv2d(i, o, 3, stride, 1, bias=False), nn.BatchNorm2d(o), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers)


def stages(channels: int, width: int) -> nn.ModuleList:
    """Return four stages with `width`, 2, 4 and 8 times as many channels."""
    widths = [channels, width, 2 * width, 4 * width, 8 * width]
    return nn.ModuleList(stage(i, o, first=at == 0) for at, (i, o) in enumerate(pairwise(widths)))


def prepared(x: Tensor) -> Tensor:
    """Return the input of the first stage: pixels from -2 to 2, and the luma's local contrast.

    Slow changes of light across the picture hardly change the local contrast.

    Parameters
    ----------
    x
        Pictures (n, 3 or 1, h, w), 0 to 255.

    Returns
    -------
    torch.Tensor
        (n, 4 or 2, h, w).
    """
    x = x.float() / 63.75 - 2
    luma = x if x.shape[1] == 1 else (x * x.new_tensor(LUMA).reshape(3, 1, 1)).sum(1, keepdim=True)

    def around(v: Tensor) -> Tensor:
        return functional.avg_pool2d(v, NEIGHBOURHOOD, 1, NEIGHBOURHOOD // 2, count_include_pad=False)

    detail = luma - around(luma)
    contrast = detail / (around(detail.square()).sqrt() + SOFTEST)
    return torch.cat([x, contrast], 1).contiguous(memory_format=torch.channels_last)


def parts(lengths: Tensor, frames: int, count: int) -> Tensor:
    """Return weights of means over equal parts of the real frames.

    A frame across a border counts in both parts, each by its share. A part inside one frame is that frame.

    Parameters
    ----------
    lengths
        (b,) real frames; at least one is used.
    frames
        Number of frames, with padding.
    count
        Number of parts.

    Returns
    -------
    torch.Tensor
        (b, count, frames); each row sums to 1.
    """
    lengths = lengths.clamp(1, frames).unsqueeze(1)
    borders = torch.arange(count + 1, device=lengths.device) / count * lengths
    at = torch.arange(frames, device=lengths.device)
    shared = torch.minimum(borders[:, 1:, None], at + 1) - torch.maximum(borders[:, :-1, None], at)
    shared = shared.clamp_min(0)
    return shared / shared.sum(2, keepdim=True)


def mean_and_deviation(x: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Return mean and standard deviation over time.

    Parameters
    ----------
    x
        (b, t, ...).
    weights
        (b, 1, t) weights of the frames.

    Returns
    -------
    tuple of torch.Tensor
        Mean and standard deviation, each (b, d).
    """
    flat = x.flatten(2)
    mean = weights @ flat
    variance = weights @ (flat - mean).square()
    return mean.flatten(1), (variance + ROUNDING).sqrt().flatten(1)


class PictureNetwork(nn.Module):
    """Network for pictures.

    Parameters
    ----------
    channels
        Channels of the pictures, 1 or 3.
    width
        Channels of the first stage.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.stages = stages(channels + 1, width)
        self.width = 2 * 8 * width  # of forward's vector

    def activations(self, x: Tensor) -> list[Tensor]:
        """Return the output of every stage, (b, c, h, w) each."""
        outputs = [prepared(x)]
        for step in self.stages:
            outputs.append(step(outputs[-1]))
        return outputs[1:]

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Return the features that are trained.

        Parameters
        ----------
        x
            (b, channels, h, w), 0 to 255.
        lengths
            (b,); not used.

        Returns
        -------
        torch.Tensor
            (b, width): means and maxima of the last stage.
        """
        last = self.activations(x)[-1]
        return torch.cat([last.mean((2, 3)), last.amax((2, 3))], 1)

    def blocks(self, x: Tensor, lengths: Tensor) -> list[Tensor]:
        """Return the features that describe a record.

        Parameters
        ----------
        x
            (b, channels, h, w), 0 to 255.
        lengths
            (b,); not used.

        Returns
        -------
        list of torch.Tensor
            (b, d) each: means over 4 x 4, 3 x 3 and 1 part of stages 2 to 4, and the deviations in stages 3 and 4.
        """
        _, second, third, fourth = self.activations(x)
        grids = [functional.adaptive_avg_pool2d(s, g).flatten(1) for s, g in ((second, 4), (third, 3), (fourth, 1))]
        return [*grids, *(s.flatten(2).std(2, correction=0) for s in (third, fourth))]


class SoundNetwork(nn.Module):
    """Network for sound, on log mel energies with and without their mean over time.

    Parameters
    ----------
    filters
        (bins of the window, bands): maps a power spectrum to mel bands.
    window
        (size,) window of a frame.
    hop
        Samples between frames.
    width
        Channels of the first stage.
    """

    window: Tensor
    filters: Tensor

    def __init__(self, filters: Tensor, window: Tensor, hop: int, width: int) -> None:
        super().__init__()
        self.register_buffer("filters", filters, persistent=False)
        self.register_buffer("window", window, persistent=False)
        self.hop = hop
        self.norm = nn.BatchNorm1d(filters.shape[1], affine=False)
        self.stages = stages(2, width)
        self.width = 2 * 8 * width * _halved(filters.shape[1], 4)

    def mel(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return log mel energies.

        Parameters
        ----------
        x
            (b, samples).
        lengths
            (b,) real samples.

        Returns
        -------
        mel : torch.Tensor
            (b, t, bands), each band standardised over the folder, 0 in padding.
        frames : torch.Tensor
            (b,) real frames.
        """
        size = len(self.window)
        spectrum = torch.fft.rfft(x.unfold(1, size, self.hop) * self.window, 2 * (len(self.filters) - 1))
        power = (spectrum.real.square() + spectrum.imag.square()) / size
        mel = torch.log(power @ self.filters + QUIETEST)
        frames = ((lengths - size).clamp_min(0) // self.hop + 1).clamp_max(mel.shape[1])
        real = torch.arange(mel.shape[1], device=x.device) < frames[:, None]
        if self.training:
            # Padding must not change the means of the bands.
            standard = torch.zeros_like(mel)
            standard[real] = self.norm(mel[real])
        else:
            standard = self.norm(mel.flatten(0, 1)).view_as(mel)
        return standard * real.unsqueeze(2), frames

    def activations(self, x: Tensor, lengths: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Return mel energies and the output of every stage, (b, t, c, bands) each, with real frames (b,)."""
        mel, frames = self.mel(x, lengths)
        mean = parts(frames, mel.shape[1], 1) @ mel
        real = torch.arange(mel.shape[1], device=x.device) < frames[:, None]
        both = torch.stack([mel, (mel - mean) * real.unsqueeze(2)], 1).contiguous(memory_format=torch.channels_last)
        outputs = [(mel.unsqueeze(2), frames)]
        for step in self.stages:
            both = step(both)
            frames = (frames + 1) // 2
            outputs.append((both.transpose(1, 2), frames))
        return outputs

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Return the features that are trained.

        Parameters
        ----------
        x
            (b, samples).
        lengths
            (b,) real samples.

        Returns
        -------
        torch.Tensor
            (b, width): means and deviations over time of the last stage, for each channel and band.
        """
        last, frames = self.activations(x, lengths)[-1]
        return torch.cat(mean_and_deviation(last, parts(frames, last.shape[1], 1)), 1)

    def blocks(self, x: Tensor, lengths: Tensor) -> list[Tensor]:
        """Return the features that describe a record.

        Parameters
        ----------
        x
            (b, samples).
        lengths
            (b,) real samples.

        Returns
        -------
        list of torch.Tensor
            (b, d) each: means and deviations over time of the bands and of every stage, in at most 16, 8, 4 and 4
            groups of bands; and the means of 16 groups of bands in 8 equal parts of the time.
        """
        outputs = self.activations(x, lengths)
        features = []
        for (s, frames), groups in zip(outputs, (0, 16, 8, 4, 4), strict=True):
            s = _grouped(s, groups) if groups else s
            features.append(torch.cat(mean_and_deviation(s, parts(frames, s.shape[1], 1)), 1))
        mel, frames = outputs[0]
        return [*features, (parts(frames, mel.shape[1], 8) @ _grouped(mel, 16).flatten(2)).flatten(1)]


class ClipNetwork(nn.Module):
    """Network for clips. Each frame is processed alone in the first stage.

    From the second stage on, a quarter of the channels comes from the previous frame and a quarter from the next one.

    Parameters
    ----------
    channels
        Channels of the frames, 1 or 3.
    width
        Channels of the first stage.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        self.stages = stages(channels + 1, width)
        self.width = 4 * 8 * width

    def activations(self, x: Tensor) -> list[Tensor]:
        """Return the prepared frames and the output of every stage, (b, t, c, h, w) each."""
        frames = x.shape[1]
        outputs = [prepared(x.flatten(0, 1))]
        for at, step in enumerate(self.stages):
            outputs.append(step(_mixed(outputs[-1], frames) if at else outputs[-1]))
        return [s.unflatten(0, (-1, frames)) for s in outputs]

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """Return the features that are trained.

        Parameters
        ----------
        x
            (b, t, channels, h, w), 0 to 255.
        lengths
            (b,) real frames.

        Returns
        -------
        torch.Tensor
            (b, width): means of the last stage in four equal parts of the real frames.
        """
        last = self.activations(x)[-1].mean((3, 4))
        return (parts(lengths, last.shape[1], 4) @ last).flatten(1)

    def blocks(self, x: Tensor, lengths: Tensor) -> list[Tensor]:
        """Return the features that describe a record.

        Parameters
        ----------
        x
            (b, t, channels, h, w), 0 to 255.
        lengths
            (b,) real frames.

        Returns
        -------
        list of torch.Tensor
            (b, d) each: differences of parts of the time from the clip's mean (eighths in 10 x 10 grey pixels and in
            stage 3; quarters in 3 x 3 parts of stage 2); over the whole time, the means of 2 x 2 parts of stage 4 and
            the deviations of 2 x 2 parts of stage 3 and of the whole of stage 4.
        """
        frames_in, _, second, third, fourth = self.activations(x)
        times = {count: parts(lengths, x.shape[1], count) for count in (1, 4, 8)}

        def differences(s: Tensor, grid: int, count: int) -> Tensor:
            s = _pooled(s, grid).flatten(2)
            return (times[count] @ s - times[1] @ s).flatten(1)

        # Grey is enough to see motion.
        grey = frames_in[:, :, :-1].mean(2, keepdim=True)
        still, _ = mean_and_deviation(_pooled(fourth, 2), times[1])
        moving = [mean_and_deviation(_pooled(s, grid), times[1])[1] for s, grid in ((third, 2), (fourth, 1))]
        return [differences(grey, 10, 8), differences(second, 3, 4), differences(third, 1, 8), still, *moving]


def _halved(size: int, times: int) -> int:
    return -(-size // 2**times)


def _pooled(x: Tensor, grid: int) -> Tensor:
    """Return means over a grid of parts: (b, t, c, h, w) -> (b, t, c, grid, grid)."""
    return functional.adaptive_avg_pool2d(x.flatten(0, 1), grid).unflatten(0, x.shape[:2])


def _grouped(x: Tensor, groups: int) -> Tensor:
    """Return means over neighbouring bands: (b, t, c, bands) -> (b, t, c, at most `groups`)."""
    return functional.adaptive_avg_pool1d(x.flatten(0, 1), min(groups, x.shape[3])).unflatten(0, x.shape[:2])


def _mixed(x: Tensor, frames: int) -> Tensor:
    """Exchange channels between frames (b t, c, h, w): a quarter from the next, a quarter from the previous one."""
    x = x.unflatten(0, (-1, frames))
    quarter = x.shape[2] // 4
    after = torch.cat([x[:, 1:, :quarter], x[:, -1:, :quarter]], 1)
    before = torch.cat([x[:, :1, quarter : 2 * quarter], x[:, :-1, quarter : 2 * quarter]], 1)
    mixed = torch.cat([after, before, x[:, :, 2 * quarter :]], 2).flatten(0, 1)
    return mixed.contiguous(memory_format=torch.channels_last)

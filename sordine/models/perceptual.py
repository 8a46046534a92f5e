"""Perceptual networks: a distance between pictures from the activations of a fixed network."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from sordine.models.networks.resnet import ResNet
from sordine.models.picture_classifier import PictureClassifier
from sordine.models.pretrained import load, read_state, weights_file
from sordine.models.verification import Verification

# torchvision's vgg16: channels of the convolutions, a pooling after each of the five groups.
VGG16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
VGG16_URL = "https://download.pytorch.org/models/vgg16-397923af.pth"
IMAGENET_MEAN, IMAGENET_DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Perceptual(nn.Module):
    """g of the inversion paper: activations of a fixed network's stages for pictures (b, c, h, w) in [-1, 1].

    Parameters
    ----------
    stages
        conv1 to conv5.
    mean, deviation
        Of each channel, by which pictures of 0 to 1 are standardised.
    """

    mean: Tensor
    deviation: Tensor
    scales: Tensor

    def __init__(self, stages: nn.ModuleList, mean: Sequence[float], deviation: Sequence[float]) -> None:
        super().__init__()
        self.stages = stages
        self.register_buffer("scales", torch.ones(len(stages)))
        self.register_buffer("mean", torch.tensor(mean).reshape(1, -1, 1, 1))
        self.register_buffer("deviation", torch.tensor(deviation).reshape(1, -1, 1, 1))
        self.requires_grad_(False)
        self.eval()

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the scaled activations of conv1 to conv5: (b, c, h, w) each."""
        x = ((x + 1) / 2).expand(-1, self.mean.shape[1], -1, -1)
        x = (x - self.mean) / self.deviation
        activations = []
        for stage, scale in zip(self.stages, self.scales, strict=True):
            x = stage(x)
            activations.append(x * scale)
        return activations

    @torch.no_grad()
    def even(self, x: Tensor) -> Perceptual:
        """Scale the stages to equal variance over some pictures, and their sum to the variance of the pixels.

        A distance by g then has the size of a distance by pixels, whatever the network.

        Parameters
        ----------
        x
            Pictures: (n, c, h, w) in [-1, 1].
        """
        self.scales.fill_(1.0)
        varies = torch.stack([v.var(0, correction=0).mean() for v in self(x)])
        pixels = x.var(0, correction=0).mean()
        self.scales.copy_((pixels / len(varies) / varies.clamp_min(1e-12)).sqrt())
        return self

    def train(self, mode: bool = True) -> Perceptual:
        """Stay in evaluation mode."""
        return super().train(False)


def vgg16(weights: Path | None = None) -> Perceptual:
    """Return VGG-16's conv1 to conv5 with torchvision's published weights, from a file or torch's cache.

    Raises
    ------
    SordineError
        Where the weights are missing; the message names where to get them.
    """
    path = weights_file("vgg16", weights, VGG16_URL)
    layers: list[nn.Module] = []
    ends = []
    inputs = 3
    for group in VGG16:
        for width in group:
            layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU()]
            inputs = width
        ends.append(len(layers))
        layers.append(nn.MaxPool2d(2))
    features = nn.Sequential(*layers)
    whole = nn.Module()
    whole.features = features
    load(whole, read_state(path), path, unused=("classifier.",))
    # Each stage ends before the pooling, which begins the next.
    starts = [0, *ends[:-1]]
    stages = nn.ModuleList(features[a:b] for a, b in zip(starts, ends, strict=True))
    return Perceptual(stages, IMAGENET_MEAN, IMAGENET_DEVIATION)


class _FirstStage(nn.Module):
    """The conv1 of a residual network as a separate stage."""

    def __init__(self, net: ResNet) -> None:
        super().__init__()
        self.conv1, self.bn1 = net.conv1, net.bn1

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.bn1(self.conv1(x)))


def perceptual_of(model: PictureClassifier | Verification) -> Perceptual:
    """Return a perceptual network made of conv1 to conv5 of a network that was trained here."""
    net = model.net
    stages = nn.ModuleList(
        [_FirstStage(net), nn.Sequential(net.maxpool, net.layer1), net.layer2, net.layer3, net.layer4]
    )
    # A residual network here gets 2 x - 1 of pictures in [0, 1].
    middle = (0.5,) * net.conv1.in_channels
    return Perceptual(stages, middle, middle)

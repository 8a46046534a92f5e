"""Decoders of the inversion method: they mirror a residual network at each of its cuts."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from sordine.methods.inversion.networks import PictureDecoder, decoder_of, shapes_until
from sordine.models.networks.resnet import CUTS, RESNET10, RESNET18, RESNET50, ResNet


@pytest.mark.slow
@pytest.mark.parametrize(("blocks", "deep"), [(RESNET10, False), (RESNET18, False), (RESNET50, True)])
@pytest.mark.parametrize("cut", CUTS)
def test_a_decoder_mirrors_a_network_at_every_cut(blocks: tuple[int, ...], deep: bool, cut: str) -> None:
    for stem, picture in (("small", (3, 32, 32)), ("small", (1, 30, 21)), ("imagenet", (3, 96, 96))):
        if stem == "imagenet" and blocks is not RESNET18:
            continue
        options = {"channels": picture[0], "width": 8, "bottleneck": deep, "stem": stem}
        net = ResNet(blocks, 20, **options).eval()  # type: ignore[arg-type]
        decoder = decoder_of(net, cut, picture)
        with torch.no_grad():
            z = net.until(torch.rand(2, *picture), cut)
            x_hat = decoder(z)
            whole = net.after(z, cut)
        assert tuple(z.shape[1:]) == shapes_until(net, cut, picture)[-1]
        assert x_hat.shape == (2, *picture)
        assert x_hat.abs().max() <= 1
        assert whole.shape == (2, 20)
        grown = [m for m in decoder.modules() if isinstance(m, nn.ConvTranspose2d)]
        assert len(grown) == min(CUTS.index(cut), 4) + 1  # one a stage, as in figure 6


def test_the_deepest_decoder_has_figure_6s_widths() -> None:
    # ResNet-50's stages at 224 pixels, as He et al. print them.
    shapes = [(64, 112, 112), (256, 56, 56), (512, 28, 28), (1024, 14, 14), (2048, 7, 7), (2048,), (1000,)]
    with torch.device("meta"):
        decoder = PictureDecoder(shapes, (3, 224, 224))
    dense = [(m.in_features, m.out_features) for m in decoder.modules() if isinstance(m, nn.Linear)]
    assert dense == [(1000, 2048), (2048, 2048 * 7 * 7)]
    grown = [(m.in_channels, m.out_channels) for m in decoder.modules() if isinstance(m, nn.ConvTranspose2d)]
    assert grown == [(2048, 1024), (1024, 512), (512, 256), (256, 64), (64, 3)]

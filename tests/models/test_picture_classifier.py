"""Networks that look at pictures: readers, the verification network, the perceptual one, and decoders' shapes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.models.networks.inception_resnet import InceptionResnet
from sordine.models.perceptual import perceptual_of, vgg16
from sordine.models.picture_classifier import (
    PictureClassifier,
    PictureOptions,
    picture_outputs,
    picture_shape,
    shifted,
    train_picture_classifier,
)
from sordine.models.verification import Verification, face_similarity, load_verification, train_verification
from sordine.run import Run


def patterns(n: int = 240, seed: int = 0, people: int = 4, side: int = 16) -> Table:
    """Each person is a fixed pattern; the light differs from picture to picture, and a bar lies across or down."""
    rng = np.random.default_rng(seed)
    faces = np.random.default_rng(99).normal(size=(people, 3, side // 4, side // 4)).repeat(4, 2).repeat(4, 3)
    person, down = rng.integers(0, people, n), rng.integers(0, 2, n)
    x = 128 + 35 * faces[person] + rng.normal(0, 25, (n, 1, 1, 1)) + rng.normal(0, 8, (n, 3, side, side))
    for picture, which, at in zip(x, down, rng.integers(3, side - 4, n), strict=True):
        picture[:, :, at : at + 2] = picture[:, :, at : at + 2] if which else 250
        picture[:, at : at + 2] = 250 if which else picture[:, at : at + 2]
    x = np.clip(x, 0, 255).astype(np.uint8)
    return Table.of(x, {"person": person, "bar": np.array(["down", "across"])[down]}, source="patterns")


SMALL = PictureOptions(epochs=6, width=8, batch=32)


@pytest.mark.slow
def test_a_reader_learns_its_attribute_and_its_seed_decides_it() -> None:
    train, test = patterns(), patterns(80, 1)
    one, two = (train_picture_classifier(train, "bar", SMALL, run=Run(seed=s)) for s in (0, 0))
    said = picture_outputs(one, test.x)
    assert said.shape == (80, 2)
    assert (said.argmax(1) == test.y["bar"]).mean() > 0.9
    assert said.tobytes() == picture_outputs(two, test.x, block=256).tobytes()
    assert [a.shape[1] for a in one.activations(test.batch(slice(0, 2)))] == [8, 8, 16, 32, 64]


@pytest.mark.slow
def test_the_verification_network_tells_people_apart() -> None:
    train, test = patterns(), patterns(80, 1)
    model = train_verification(train, "person", replace(SMALL, epochs=10))
    said = picture_outputs(model, test.x)
    np.testing.assert_allclose(np.linalg.norm(said, axis=1), 1, atol=1e-5)
    assert (picture_outputs(model.classify, test.x).argmax(1) == test.y["person"]).mean() > 0.9
    cosines, people = said @ said.T, test.y["person"]
    alike = people[:, None] == people
    own, apart = alike & ~np.eye(80, dtype=bool), ~alike
    assert cosines[own].mean() > cosines[apart].mean() + 0.3
    same = face_similarity(model, test.x, test.x)
    np.testing.assert_allclose(same, 1, atol=1e-5)
    assert face_similarity(model, test.x, 255 - test.x).mean() < 0.95


def test_training_goes_on_from_its_folder(tmp_path: Path) -> None:
    table = patterns(60)
    options = replace(SMALL, epochs=2)
    first = train_picture_classifier(table, "bar", options, run=Run(folder=tmp_path))
    steps: list[int] = []
    run = Run(folder=tmp_path, progress=lambda what, done, of: steps.append(done))
    again = train_picture_classifier(table, "bar", options, run=run)
    assert not steps  # nothing was trained again
    assert all(torch.equal(a, b) for a, b in zip(first.state_dict().values(), again.state_dict().values(), strict=True))


def test_bad_input_is_refused_in_one_line(tmp_path: Path) -> None:
    table = patterns(20)
    vectors = Table.of(np.zeros((4, 7), np.float32), {"a": [0, 1, 0, 1]})
    few = Table.of(table.x[:3], {"a": [0, None, None]})
    alone = Table.of(table.x, {"person": ["ann"] * 19 + [None]})
    for call, says in (
        (lambda: train_picture_classifier(table, "nobody"), "no attribute 'nobody'"),
        (lambda: train_verification(few, "a"), "1 labelled"),
        (lambda: train_verification(alone, "person"), "belong to class 'ann'"),
        (lambda: train_picture_classifier(alone, "person"), "belong to class 'ann'"),
        (lambda: picture_shape(vectors), "are not pictures"),
        (lambda: vgg16(tmp_path / "vgg16.pth"), r"vgg16\.pth does not exist"),
        (lambda: load_verification(tmp_path / "facenet.pt"), r"facenet\.pt does not exist"),
    ):
        with pytest.raises(SordineError, match=says) as error:
            call()
        assert "\n" not in str(error.value)


def test_vgg16_takes_torchvisions_file(tmp_path: Path) -> None:
    torch.manual_seed(0)
    whole = nn.Module()
    layers: list[nn.Module] = []
    # torchvision's vgg16.features, layer by layer: numbers are a convolution's channels and its ReLU, "M" a pooling.
    inputs = 3
    for width in (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M"):
        if isinstance(width, int):
            layers += [nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU()]
            inputs = width
        else:
            layers.append(nn.MaxPool2d(2, 2))
    whole.features = nn.Sequential(*layers)
    whole.classifier = nn.Sequential(nn.Linear(7, 5))
    torch.save(whole.state_dict(), tmp_path / "vgg16-random.pth")
    net = vgg16(tmp_path / "vgg16-random.pth")
    x = torch.rand(2, 3, 32, 32) * 2 - 1
    said = net(x)
    assert [tuple(s.shape[1:]) for s in said] == [(64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4), (512, 2, 2)]
    # conv1 to conv5 end with the rectified outputs of layers 3, 8, 15, 22 and 29 of torchvision's.
    mean, deviation = (torch.tensor(v).reshape(1, 3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    y = ((x + 1) / 2 - mean) / deviation
    with torch.no_grad():
        for at, layer in enumerate(layers):
            y = layer(y)
            if at in (3, 8, 15, 22, 29):
                torch.testing.assert_close(said[(3, 8, 15, 22, 29).index(at)], y, rtol=1e-4, atol=1e-5)
    assert not any(w.requires_grad for w in net.parameters())
    assert not net.train().training
    assert [s.shape[1] for s in net(x[:, :1])] == [64, 128, 256, 512, 512]  # grey pictures too
    state = whole.state_dict()
    del state["features.0.weight"]
    torch.save(state, tmp_path / "less.pth")
    with pytest.raises(SordineError, match=r"features\.0\.weight"):
        vgg16(tmp_path / "less.pth")


@pytest.mark.slow
def test_facenet_takes_its_published_file(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = InceptionResnet()
    state = {**net.state_dict(), "logits.weight": torch.zeros(3, 512), "logits.bias": torch.zeros(3)}
    torch.save(state, tmp_path / "facenet-random.pt")
    model = load_verification(tmp_path / "facenet-random.pt")
    x = np.random.default_rng(0).integers(0, 256, (2, 3, 24, 24)).astype(np.uint8)
    said = picture_outputs(model, x)
    assert said.shape == (2, 512)
    np.testing.assert_allclose(np.linalg.norm(said, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(face_similarity(model, x, x), 1, atol=1e-5)
    assert picture_outputs(model, x[:, :1]).shape == (2, 512)  # grey


@pytest.mark.parametrize("kind", [PictureClassifier, Verification])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_perceptual_network_says_what_its_readers_stages_say(kind: type, channels: int) -> None:
    torch.manual_seed(0)
    model = kind((channels, 32, 32), 3, width=8).eval()
    x = torch.rand(2, channels, 32, 32)
    see = perceptual_of(model)
    with torch.no_grad():
        wanted = model.net.activations(x)
        said = see(2 * x - 1)
    assert len(said) == 5
    for a, b in zip(said, wanted, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
    y = (2 * x - 1).requires_grad_(True)
    sum(s.sum() for s in see(y)).backward()
    assert y.grad is not None
    assert y.grad.abs().sum() > 0  # the picture learns, the network does not
    assert all(w.grad is None for w in see.parameters())


def test_evened_stages_vary_as_much_as_pixels() -> None:
    torch.manual_seed(0)
    see = perceptual_of(PictureClassifier((3, 16, 16), 3, width=8).eval())
    x = torch.rand(32, 3, 16, 16) * 2 - 1
    varies = [float(s.var(0, correction=0).mean()) for s in see.even(x)(x)]
    pixels = float(x.var(0, correction=0).mean())
    assert varies == pytest.approx([pixels / 5] * 5, rel=1e-4)
    again = see.even(x).scales.clone()
    torch.testing.assert_close(again, see.even(x).scales)  # twice is once


def test_a_batch_is_moved_as_one_and_by_little() -> None:
    x = torch.zeros(2, 1, 9, 9)
    x[:, :, 4, 4] = 1
    seen = set()
    random = torch.Generator().manual_seed(0)
    for _ in range(60):
        y = shifted(x, random)
        assert y.shape == x.shape
        assert torch.equal(y[0], y[1])
        down, right = (int(v) - 4 for v in y[0, 0].nonzero()[0])
        seen.add((down, right))
    assert {d for pair in seen for d in pair} == {-2, -1, 0, 1, 2}

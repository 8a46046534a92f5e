"""Extractors by networks, and pixels: true weight formats, unit vectors, and that a record's vector is its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import safetensors.torch
import soundfile
import torch
from PIL import Image
from torch import Tensor, nn

from sordine.data.media.cache import Decoded, decode
from sordine.data.media.folder import read_metadata
from sordine.data.media.kinds import Media
from sordine.errors import SordineError
from sordine.features import hubert, pixels, r3d18
from sordine.features.base import Encode
from sordine.features.facenet import FaceNet
from sordine.features.hubert import Hubert
from sordine.features.pixels import Pixels
from sordine.features.r3d18 import R3D18
from sordine.features.registry import make_extractor
from sordine.models import pretrained as found
from sordine.models import torchvision_loader as vision
from sordine.models.networks.inception_resnet import Convolution, InceptionResnet, Residual
from sordine.models.pretrained import FACENET_URL
from sordine.run import Run
from tests.fixtures.paths import ROOT

DATA = os.environ.get("SORDINE_DATA")
Shapes = dict[str, tuple[int, ...]]

needs_torchvision = pytest.mark.skipif(not vision.installed(), reason="torchvision is not installed")


def pictures(n: int, side: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 3, side, side), dtype=np.uint8)


def ones(n: int) -> np.ndarray:
    return np.ones(n, np.int64)


def random_state(shapes: Shapes, seed: int = 0) -> dict[str, Tensor]:
    """Weights that keep a signal alive: fan-in scaled, norms near 1, variances positive."""
    made = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape in shapes.items():
        last = name.rpartition(".")[2]
        if last == "num_batches_tracked":
            state[name] = torch.tensor(7)
        elif last == "running_var" or (last == "weight" and len(shape) == 1):
            state[name] = 0.5 + torch.rand(shape, generator=made)
        elif last == "weight":
            state[name] = torch.randn(shape, generator=made) * (2 / np.prod(shape[1:])) ** 0.5
        else:
            state[name] = torch.randn(shape, generator=made) * 0.1
    return state


def save(state: dict[str, Tensor], path: Path) -> Path:
    if path.suffix == ".safetensors":
        safetensors.torch.save_file(state, path)
    else:
        torch.save(state, path)
    return path


def without(state: dict[str, Tensor], start: str) -> dict[str, Tensor]:
    return {k: v for k, v in state.items() if not k.startswith(start)}


def check_contract(encode: Encode, x: np.ndarray, lengths: np.ndarray, width: int) -> np.ndarray:
    """Shape, type, unit norm, determinism, and that company and place change no bit of a record's vector."""
    v = encode(x, lengths)
    assert v.shape == (len(x), width) == (len(x), encode.width)
    assert v.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(v, axis=1), 1, atol=1e-5)
    backwards = np.arange(len(x))[::-1]
    np.testing.assert_array_equal(encode(x[backwards], lengths[backwards])[backwards], v)
    np.testing.assert_array_equal(encode(x[-1:], lengths[-1:]), v[-1:])
    assert np.abs(v[0] - v[1]).max() > 1e-3
    assert encode(x[:0], lengths[:0]).shape == (0, width)
    return v


def one_line(error: pytest.ExceptionInfo[SordineError]) -> str:
    message = str(error.value)
    assert "\n" not in message
    return message


# Inception-ResNet-v1


def convolution_shapes(name: str, channels: int, out: int, kernel: tuple[int, int]) -> Shapes:
    norm: Shapes = {f"{name}.bn.{k}": (out,) for k in ("weight", "bias", "running_mean", "running_var")}
    return {f"{name}.conv.weight": (out, channels, *kernel), **norm, f"{name}.bn.num_batches_tracked": ()}


def vggface2_shapes(classes: int | None = 8631) -> Shapes:
    """Keys and shapes of 20180402-114759-vggface2.pt, from the published architecture's table and not from the net."""
    plain = [
        ("conv2d_1a", 3, 32, 3),
        ("conv2d_2a", 32, 32, 3),
        ("conv2d_2b", 32, 64, 3),
        ("conv2d_3b", 64, 80, 1),
        ("conv2d_4a", 80, 192, 3),
        ("conv2d_4b", 192, 256, 3),
        ("mixed_6a.branch0", 256, 384, 3),
        ("mixed_6a.branch1.0", 256, 192, 1),
        ("mixed_6a.branch1.1", 192, 192, 3),
        ("mixed_6a.branch1.2", 192, 256, 3),
        ("mixed_7a.branch0.0", 896, 256, 1),
        ("mixed_7a.branch0.1", 256, 384, 3),
        ("mixed_7a.branch1.0", 896, 256, 1),
        ("mixed_7a.branch1.1", 256, 256, 3),
        ("mixed_7a.branch2.0", 896, 256, 1),
        ("mixed_7a.branch2.1", 256, 256, 3),
        ("mixed_7a.branch2.2", 256, 256, 3),
    ]
    shapes: Shapes = {}
    for name, channels, out, kernel in plain:
        shapes |= convolution_shapes(name, channels, out, (kernel, kernel))
    blocks = [(f"repeat_1.{i}", 256, 32) for i in range(5)]
    blocks += [(f"repeat_2.{i}", 896, 128) for i in range(10)]
    blocks += [*((f"repeat_3.{i}", 1792, 192) for i in range(5)), ("block8", 1792, 192)]
    for name, channels, inner in blocks:
        shapes |= convolution_shapes(f"{name}.branch0", channels, inner, (1, 1))
        shapes |= convolution_shapes(f"{name}.branch1.0", channels, inner, (1, 1))
        if inner == 32:
            shapes |= convolution_shapes(f"{name}.branch1.1", 32, 32, (3, 3))
            shapes |= convolution_shapes(f"{name}.branch2.0", 256, 32, (1, 1))
            shapes |= convolution_shapes(f"{name}.branch2.1", 32, 32, (3, 3))
            shapes |= convolution_shapes(f"{name}.branch2.2", 32, 32, (3, 3))
        else:
            long = 7 if inner == 128 else 3
            shapes |= convolution_shapes(f"{name}.branch1.1", inner, inner, (1, long))
            shapes |= convolution_shapes(f"{name}.branch1.2", inner, inner, (long, 1))
        shapes[f"{name}.conv2d.weight"] = (channels, inner * (3 if inner == 32 else 2), 1, 1)
        shapes[f"{name}.conv2d.bias"] = (channels,)
    shapes["last_linear.weight"] = (512, 1792)
    shapes |= {f"last_bn.{k}": (512,) for k in ("weight", "bias", "running_mean", "running_var")}
    shapes["last_bn.num_batches_tracked"] = ()
    if classes is not None:
        shapes |= {"logits.weight": (classes, 512), "logits.bias": (classes,)}
    return shapes


def test_inception_resnet_has_the_published_names_and_shapes():
    with torch.device("meta"):
        whole, embedding = InceptionResnet(8631), InceptionResnet()
    assert {k: tuple(v.shape) for k, v in whole.state_dict().items()} == vggface2_shapes()
    assert {k: tuple(v.shape) for k, v in embedding.state_dict().items()} == vggface2_shapes(None)
    # as published for facenet-pytorch's VGGFace2 model
    assert sum(p.numel() for p in whole.parameters()) == 27_910_327
    assert {m.eps for m in whole.modules() if isinstance(m, nn.BatchNorm2d | nn.BatchNorm1d)} == {1e-3}
    scales = [m.scale for m in whole.modules() if isinstance(m, Residual)]
    assert scales == [0.17] * 5 + [0.10] * 10 + [0.20] * 5 + [1.0]


def test_a_residual_block_adds_its_scaled_branches():
    branch = Convolution(2, 1, 1).eval()
    nn.init.constant_(branch.conv.weight, 1.0)
    middle, last = Residual([branch], 1, 2, 0.5).eval(), Residual([branch], 1, 2, 0.5, last=True).eval()
    for block in (middle, last):
        nn.init.constant_(block.conv2d.weight, 1.0)
        nn.init.constant_(block.conv2d.bias, 2.0)
    x = torch.tensor([3.0, -6.0]).view(1, 2, 1, 1)
    # the branch: relu(3 - 6) = 0; then 0.5 * (0 + 2) on top of x
    assert last(x).flatten().tolist() == [4.0, -5.0]
    assert middle(x).flatten().tolist() == [4.0, 0.0]
    y = torch.tensor([3.0, 0.0]).view(1, 2, 1, 1)
    torch.testing.assert_close(last(y).flatten(), torch.tensor([3.0, 0.0]) + 0.5 * (3 / (1 + 1e-3) ** 0.5 + 2))


def test_the_classifier_stands_on_the_embedding():
    net = InceptionResnet(3).eval()
    net.load_state_dict(random_state(vggface2_shapes(3)))
    x = torch.randn(1, 3, 160, 160, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        logits = nn.functional.linear(net(x), *(net.state_dict()[f"logits.{k}"] for k in ("weight", "bias")))
        torch.testing.assert_close(net.classify(x), logits)


# facenet


@pytest.fixture(scope="module")
def faces_state() -> dict[str, Tensor]:
    return random_state(vggface2_shapes())


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("facenet", "r3d18"):
        monkeypatch.setattr(f"sordine.features.{module}.BATCH", 2)


@pytest.mark.slow
@pytest.mark.usefixtures("small_batches")
def test_facenet_loads_the_true_format_and_normalises(tmp_path: Path, faces_state: dict[str, Tensor]):
    x = pictures(3, 160)
    files = [
        save(faces_state, tmp_path / "with.pt"),
        save(without(faces_state, "logits."), tmp_path / "without.safetensors"),
    ]
    vectors = [check_contract(FaceNet(weights=f).open("image", Run()), x, ones(3), 512) for f in files]
    np.testing.assert_array_equal(*vectors)
    net = InceptionResnet(8631).eval()
    net.load_state_dict(faces_state)
    with torch.inference_mode():
        plain = net((torch.from_numpy(x).float() - 127.5) / 128).numpy()
    np.testing.assert_allclose(vectors[0], plain / np.linalg.norm(plain, axis=1, keepdims=True), atol=1e-5)


@pytest.mark.usefixtures("small_batches")
def test_facenet_finds_its_file_in_either_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, faces_state: dict[str, Tensor]
):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(SordineError) as error:
        FaceNet().open("image", Run())
    message = one_line(error)
    assert FACENET_URL in message
    assert "weights=FILE" in message
    assert str(tmp_path / "hub" / "checkpoints" / "20180402-114759-vggface2.pt") in message
    # where facenet-pytorch itself puts it
    (tmp_path / "checkpoints").mkdir()
    save(faces_state, tmp_path / "checkpoints" / "20180402-114759-vggface2.pt")
    assert FaceNet().open("image", Run()).width == 512


def drop(state: dict[str, Tensor]) -> None:
    del state["repeat_2.9.branch1.1.conv.weight"]
    del state["last_bn.bias"]


def reshape(state: dict[str, Tensor]) -> None:
    state["last_linear.weight"] = torch.zeros(512, 1700)


def rename(state: dict[str, Tensor]) -> None:
    state["features.weight"] = torch.zeros(1)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (drop, "no weights 'repeat_2.9.branch1.1.conv.weight'"),
        (reshape, "'last_linear.weight' have shape (512, 1700)"),
        (rename, "'features.weight', which this network does not have"),
    ],
)
def test_wrong_weights_are_refused_by_name(
    spoil: Callable[[dict[str, Tensor]], None], words: str, tmp_path: Path, faces_state: dict[str, Tensor]
):
    state = dict(faces_state)
    spoil(state)
    path = save(state, tmp_path / "wrong.safetensors")
    with pytest.raises(SordineError) as error:
        FaceNet(weights=path).open("image", Run())
    assert words in one_line(error)
    assert str(path) in one_line(error)


def test_files_that_are_no_weights_are_refused_in_one_line(tmp_path: Path):
    garbage = tmp_path / "garbage.pt"
    garbage.write_bytes(b"\x80\x02nothing of the kind")
    empty = tmp_path / "empty.safetensors"
    empty.touch()
    nested = tmp_path / "nested.pt"
    torch.save({"epoch": 3, "state_dict": {"a": torch.zeros(1)}}, nested)
    hostile = tmp_path / "hostile.pt"
    torch.save(nn.Linear(1, 1), hostile)
    for path in (garbage, empty, nested, hostile):
        with pytest.raises(SordineError) as error:
            FaceNet(weights=path).open("image", Run())
        assert str(path) in one_line(error)
    with pytest.raises(SordineError, match="does not exist"):
        FaceNet(weights=tmp_path / "none.pt").open("image", Run())


@pytest.mark.parametrize("name", ["odd.pt", "odd.safetensors"])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_not_finite_are_refused_by_name(name: str, value: float, tmp_path: Path):
    path = save({"even": torch.zeros(2), "odd": torch.tensor([1.0, value])}, tmp_path / name)
    with pytest.raises(SordineError, match="'odd' contain NaN or infinity"):
        found.read_state(path)


def test_halves_and_unseen_counts_load(tmp_path: Path):
    net = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    halves = {k: v.half() for k, v in net.state_dict().items() if v.is_floating_point()}
    found.load(net, halves, "here")
    assert net[0].weight.dtype == torch.float32
    assert not any(p.requires_grad for p in net.parameters())
    assert not net.training


# torchvision


@pytest.mark.slow
@needs_torchvision
@pytest.mark.parametrize("declared", [(), ("nms",), ("nms", "qnms")])
def test_torchvision_loads_beside_this_torch_with_its_operators_declared_or_not(declared: tuple[str, ...]):
    schema = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
    code = (
        f"from torch import library; [library.define('torchvision::' + o, '{schema}') for o in {declared}];"
        "from sordine.models.torchvision_loader import load_torchvision as f;"
        "assert f() is f(); import torchvision.models.video; print('loaded')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "loaded", done.stderr[-500:]


def test_a_missing_torchvision_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(vision, "find_spec", lambda name: None)
    with pytest.raises(SordineError, match=r"pip install 'sordine\[vision\]'"):
        vision.load_torchvision()


@pytest.mark.slow
def test_a_torchvision_that_fails_otherwise_is_one_line(tmp_path: Path):
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision" / "__init__.py").write_text("raise RuntimeError('built for another torch\\nmore')")
    code = "from sordine.models.torchvision_loader import load_torchvision as f\n"
    code += "try: f()\nexcept Exception as e: print(repr(e))"
    path = os.pathsep.join([str(tmp_path), str(ROOT)])
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": path},
    )
    assert "SordineError" in done.stdout
    assert "built for another torch" in done.stdout
    assert "more" not in done.stdout


# r3d18


def r3d18_shapes(classes: int | None = 400) -> Shapes:
    """Keys and shapes of r3d_18-b3b3357e.pth, from the published architecture and not from the net."""

    def norm(name: str, out: int) -> Shapes:
        of: Shapes = {f"{name}.{k}": (out,) for k in ("weight", "bias", "running_mean", "running_var")}
        return {**of, f"{name}.num_batches_tracked": ()}

    shapes: Shapes = {"stem.0.weight": (64, 3, 3, 7, 7), **norm("stem.1", 64)}
    channels = 64
    for layer, out in enumerate((64, 128, 256, 512), 1):
        for block in (0, 1):
            name = f"layer{layer}.{block}"
            shapes |= {f"{name}.conv1.0.weight": (out, channels, 3, 3, 3), **norm(f"{name}.conv1.1", out)}
            shapes |= {f"{name}.conv2.0.weight": (out, out, 3, 3, 3), **norm(f"{name}.conv2.1", out)}
            if channels != out:
                shapes |= {f"{name}.downsample.0.weight": (out, channels, 1, 1, 1), **norm(f"{name}.downsample.1", out)}
            channels = out
    if classes is not None:
        shapes |= {"fc.weight": (classes, 512), "fc.bias": (classes,)}
    return shapes


@pytest.mark.slow
@needs_torchvision
@pytest.mark.usefixtures("small_batches")
def test_r3d18_loads_the_true_format_and_repeats_pictures(tmp_path: Path):
    video = vision.load_torchvision().models.video
    state = random_state(r3d18_shapes())
    net = video.r3d_18(weights=None).eval()
    assert {k: tuple(v.shape) for k, v in net.state_dict().items()} == r3d18_shapes()
    still = pictures(2, 112)
    clips = np.stack([np.repeat(still[:1], 16, axis=0), pictures(16, 112, seed=1)])
    path = save(without(state, "fc."), tmp_path / "without.safetensors")
    v = check_contract(R3D18(weights=path).open("video", Run()), clips, np.array([16, 16]), 512)
    path = save(state, tmp_path / "with.pth")
    pictured = R3D18(weights=path).open("image", Run())(still, ones(2))
    np.testing.assert_allclose(pictured[0], v[0], atol=1e-6)
    # torchvision's own standardisation, and what its classifier is given
    net.load_state_dict(state)
    seen: list[Tensor] = []
    net.fc.register_forward_hook(lambda module, given, out: seen.append(given[0]))
    preset = video.R3D_18_Weights.KINETICS400_V1.transforms()
    mean, std = (torch.tensor(v).view(3, 1, 1, 1) for v in (preset.mean, preset.std))
    with torch.inference_mode():
        net((torch.from_numpy(clips[1:]).transpose(1, 2) / 255 - mean) / std)
    expected = seen[0].numpy()[0]
    np.testing.assert_allclose(v[1], expected / np.linalg.norm(expected), atol=1e-5)


def test_r3d18_says_what_is_missing_and_what_it_cannot_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(SordineError) as error:
        R3D18().open("video", Run())
    for word in (r3d18.URL, "SHA-256 begins with b3b3357e", "weights=FILE"):
        assert word in one_line(error)
    if vision.installed():
        state = random_state(r3d18_shapes())
        del state["layer3.0.downsample.1.bias"]
        with pytest.raises(SordineError, match=r"no weights 'layer3\.0\.downsample\.1\.bias'"):
            R3D18(weights=save(state, tmp_path / "wrong.pth")).open("video", Run())
    for wrong, words in (
        (lambda: R3D18(level="frame").decoder("image"), "r3d18: level=frame"),
        (lambda: R3D18().decoder("audio"), "r3d18 takes .*, not audio"),
    ):
        with pytest.raises(SordineError, match=words):
            wrong()
    with pytest.raises(SordineError, match="'video' or 'frame'"):
        make_extractor("r3d18", {"level": "clip"})
    assert R3D18(level="frame").decoder("video").shape == (16, 3, 112, 112)


# hubert-large

TINY = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "conv_dim": [16, 16, 16],
    "conv_kernel": [10, 8, 4],
    "conv_stride": [5, 8, 4],
    "conv_bias": True,
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    "vocab_size": 8,
}
# config.json of facebook/hubert-large-ll60k, as far as it shapes the network
LARGE = {
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "conv_dim": [512] * 7,
    "conv_kernel": [10, 3, 3, 3, 3, 2, 2],
    "conv_stride": [5, 2, 2, 2, 2, 2, 2],
    "conv_bias": True,
    "feat_extract_norm": "layer",
    "do_stable_layer_norm": True,
    "num_conv_pos_embeddings": 128,
    "num_conv_pos_embedding_groups": 16,
}


def transformers() -> Any:
    pytest.importorskip("transformers")
    if vision.installed():
        vision.load_torchvision()
    import transformers as package

    return package


def checkpoint(folder: Path, head: str = "HubertModel", normalise: bool = True) -> Any:
    """A tiny HuBERT with random weights, saved as the hub's checkpoints are; the model itself."""
    package = transformers()
    torch.manual_seed(0)
    model = getattr(package, head)(package.HubertConfig(**TINY)).eval()
    model.save_pretrained(folder)
    package.Wav2Vec2FeatureExtractor(do_normalize=normalise, sampling_rate=16000).save_pretrained(folder)
    return model


def waves(n: int, samples: int = 10000) -> np.ndarray:
    return (np.random.default_rng(0).normal(size=(n, samples)) * 0.1 + 0.05).astype(np.float32)


@pytest.mark.slow
def test_hubert_agrees_with_the_checkpoints_own_preprocessing(tmp_path: Path):
    x = waves(11)
    x[0, 7000:] = 0
    for normalise in (True, False):
        folder = tmp_path / str(normalise)
        model = checkpoint(folder, normalise=normalise)
        v = check_contract(Hubert(weights=folder).open("audio", Run()), x, np.full(11, 10000), 32)
        prepare = transformers().Wav2Vec2FeatureExtractor.from_pretrained(folder)
        inputs = prepare(list(x), sampling_rate=16000, return_tensors="pt")["input_values"]
        with torch.inference_mode():
            plain = model(inputs).last_hidden_state.mean(dim=1).numpy()
        np.testing.assert_allclose(v, plain / np.linalg.norm(plain, axis=1, keepdims=True), atol=1e-5)


@pytest.mark.slow
def test_hubert_loads_from_under_a_head_and_from_the_older_format(tmp_path: Path):
    x = waves(2)
    checkpoint(tmp_path / "plain")
    plain = Hubert(weights=tmp_path / "plain").open("audio", Run())(x, np.full(2, 10000))
    # the hub's file is from before torch 2: another format, other names for the weight norm
    older = tmp_path / "older"
    model = checkpoint(older)
    state = {
        k.replace("parametrizations.weight.original0", "weight_g").replace(
            "parametrizations.weight.original1", "weight_v"
        ): v
        for k, v in model.state_dict().items()
    }
    assert "encoder.pos_conv_embed.conv.weight_g" in state
    torch.save(state, older / "pytorch_model.bin")
    (older / "model.safetensors").unlink()
    np.testing.assert_array_equal(Hubert(weights=older).open("audio", Run())(x, np.full(2, 10000)), plain)
    headed = tmp_path / "headed"
    model = checkpoint(headed, head="HubertForCTC")
    v = Hubert(weights=headed).open("audio", Run())(x, np.full(2, 10000))
    normal = (x - x.mean(axis=1, keepdims=True)) / x.std(axis=1, keepdims=True)
    with torch.inference_mode():
        expected = model.hubert(torch.from_numpy(normal)).last_hidden_state.mean(dim=1).numpy()
    np.testing.assert_allclose(v, expected / np.linalg.norm(expected, axis=1, keepdims=True), atol=1e-4)


def test_the_true_large_hubert_is_1024_wide_and_sees_31_states():
    transformers()
    net = hubert.empty_hubert(LARGE)
    assert net.config.hidden_size == 1024
    assert sum(p.numel() for p in net.parameters()) == 315_438_720 - 1024  # the published size, less the mask's vector
    assert {p.device.type for p in net.parameters()} == {"meta"}
    assert Hubert().length == 10000
    states = 10000
    for kernel, stride in zip(LARGE["conv_kernel"], LARGE["conv_stride"], strict=True):  # type: ignore[call-overload]
        states = (states - kernel) // stride + 1
    assert states == 31
    assert Hubert(samples=30000, count_rate=16000).length == 30000


def test_hubert_is_found_in_the_hubs_cache_and_missing_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    transformers()
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(SordineError) as error:
        Hubert().open("audio", Run())
    for word in ("hf download facebook/hubert-large-ll60k", "weights=FOLDER"):
        assert word in one_line(error)
    with pytest.raises(SordineError, match="not the name of a checkpoint"):
        Hubert(model="a/b/c").open("audio", Run())
    home = tmp_path / "models--facebook--hubert-large-ll60k"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text("0123abcd")
    checkpoint(home / "snapshots" / "0123abcd")
    assert Hubert().open("audio", Run()).width == 32


def test_an_incomplete_or_foreign_checkpoint_is_one_line(tmp_path: Path):
    checkpoint(tmp_path)
    settings, sound = tmp_path / "config.json", tmp_path / "preprocessor_config.json"

    def refused(words: str) -> None:
        with pytest.raises(SordineError, match=words) as error:
            Hubert(weights=tmp_path).open("audio", Run())
        one_line(error)

    kept = safetensors.torch.load_file(tmp_path / "model.safetensors")
    first = "encoder.layers.1.attention.k_proj.weight"
    save(without(kept, first), tmp_path / "model.safetensors")
    refused(f"no weights '{first}'")
    (tmp_path / "model.safetensors").unlink()
    refused("neither model.safetensors nor pytorch_model.bin")
    for path, key, value, words in (
        (sound, "sampling_rate", 8000, "sampling_rate is 8000, not 16000"),
        (settings, "model_type", "wav2vec2", "describes a 'wav2vec2' model"),
    ):
        path.write_text(json.dumps({**json.loads(path.read_text()), key: value}))
        refused(words)
    sound.unlink()
    refused("does not exist; the checkpoint is not complete")
    settings.write_text("{")
    refused("not JSON")


@pytest.mark.parametrize(
    ("option", "value", "wrong"),
    [("samples", 10, "samples=10 "), ("samples", 10**8, "samples=100000000 "), ("count_rate", 0, "count_rate = 0: ")],
)
def test_hubert_refuses_options_out_of_range(option: str, value: int, wrong: str):
    with pytest.raises(SordineError, match=f"hubert-large'?: {wrong}"):
        make_extractor("hubert-large", {option: value})


# pixels


class Watched:
    """Pictures that note how many were asked for at a time."""

    def __init__(self, x: np.ndarray) -> None:
        self.x, self.most = x, 0

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        self.most = max(self.most, len(rows))
        return self.x[rows]


def folder_of(x: Any, n: int, kind: Any = "image", **columns: list[str]) -> tuple[Decoded, Media]:
    records = pa.table({"file_name": [f"{i}.png" for i in range(n)], **columns})
    return Decoded(x, ones(n), np.arange(n), (), kind), Media(Path("folder"), kind, records)


def test_pixels_whiten_along_the_principal_components():
    n, size = 80, 4
    x = pictures(n, size)
    decoded, media = folder_of(x, n)
    tool = Pixels(size=size, components=10, epsilon=0.0)
    encode = tool.fit(decoded, media, Run())
    v = check_contract(encode, x, ones(n), 10)
    flat = x.reshape(n, -1) / 255
    centred = flat - flat.mean(axis=0)
    u, s, _ = np.linalg.svd(centred, full_matrices=False)
    white = u[:, :10] * np.sqrt(n - 1)
    expected = white / np.linalg.norm(white, axis=1, keepdims=True)
    np.testing.assert_allclose(np.abs(v), np.abs(expected), atol=1e-3)
    weights = encode.weights()
    before = (torch.from_numpy(flat).float() - weights["mean"]) @ weights["projection"]
    torch.testing.assert_close(torch.cov(before.T), torch.eye(10), atol=2e-3, rtol=0)
    # epsilon leaves the later components smaller, by just so much
    softer = Pixels(size=size, components=10, epsilon=0.5).fit(decoded, media, Run()).weights()["projection"]
    ratio = softer.norm(dim=0) / weights["projection"].norm(dim=0)
    variance = s[:10] ** 2
    np.testing.assert_allclose(ratio.numpy(), np.sqrt(variance / (variance + 0.5 * variance[0])), rtol=1e-4)


def test_pixels_stream_and_learn_from_the_training_side_only(monkeypatch: pytest.MonkeyPatch):
    n, size = 90, 4
    x = pictures(n, size)
    x[60:] //= 3
    sides = ["train"] * 60 + ["test"] * 30
    said: list[str] = []
    monkeypatch.setattr(pixels, "BATCH", 16)
    watched = Watched(x)
    decoded, media = folder_of(watched, n, split=sides)
    learnt = Pixels(size=size).fit(decoded, media, Run(log=said.append)).weights()
    assert watched.most == 16
    assert "of 60 records" in said[0]
    monkeypatch.setattr(pixels, "BATCH", 256)
    alone = Pixels(size=size).fit(*folder_of(x[:60], 60), Run()).weights()
    torch.testing.assert_close(learnt["mean"], alone["mean"])
    torch.testing.assert_close(learnt["projection"], alone["projection"], rtol=1e-3, atol=1e-3)
    assert learnt["projection"].shape == (48, 48)


@pytest.mark.parametrize("components", [1, 2, 3, 7, 15, 33])
def test_pixels_vectors_are_their_own_at_every_width(components: int):
    x = pictures(300, 6)
    encode = Pixels(size=6, components=components).fit(*folder_of(x, 300), Run())
    whole = encode(x, ones(300))
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(300)[: 50 * (seed + 1)]
        np.testing.assert_array_equal(encode(x[order], ones(len(order))), whole[order])


def test_pixels_keep_no_more_components_than_records_less_one():
    x = pictures(12, 8)
    decoded, media = folder_of(x, 12)
    assert Pixels(size=8).fit(decoded, media, Run()).width == 11
    twice = np.concatenate([x[:5], x[:5]])
    assert Pixels(size=8).fit(*folder_of(twice, 10), Run()).width == 4


def test_pixels_of_a_video_are_its_mean_and_its_movement():
    clip = np.zeros((1, 3, 3, 2, 2), np.uint8)
    clip[0, 0, :, 0, 0] = 255  # white at first, black after
    clip[0, 1, 2] = 255  # all blue in the second
    clip[0, 2] = 77  # padding, which must not count
    tool = Pixels(size=2)
    flat = tool.flat(torch.from_numpy(clip), torch.tensor([2])).numpy()[0]
    assert flat.shape == (16,) == (tool.width("video"),)
    np.testing.assert_allclose(flat[:12], [0.5, 0, 0, 0, 0.5, 0, 0, 0, 1, 0.5, 0.5, 0.5], atol=1e-6)
    # luminance .114 and 1 at the corner, .114 and 0 elsewhere
    np.testing.assert_allclose(flat[12:], [0.443, 0.057, 0.057, 0.057], atol=1e-6)
    grey = Pixels(size=2, grey=True)
    flat = grey.flat(torch.from_numpy(clip), torch.tensor([2])).numpy()[0]
    np.testing.assert_allclose(flat, [0.557, 0.057, 0.057, 0.057, 0.443, 0.057, 0.057, 0.057], atol=1e-6)
    x = np.random.default_rng(0).integers(0, 256, (20, 16, 3, 4, 4), dtype=np.uint8)
    decoded, media = folder_of(x, 20, "video")
    check_contract(Pixels(size=4).fit(decoded, media, Run()), x, np.arange(1, 21).clip(max=16), 19)


def test_what_pixels_learnt_serves_another_folder(tmp_path: Path):
    x = pictures(40, 8)
    decoded, media = folder_of(x, 40)
    encode = Pixels(size=8, components=7).fit(decoded, media, Run())
    path = save(encode.weights(), tmp_path / "learnt.safetensors")
    again = Pixels(size=8, weights=path)
    np.testing.assert_array_equal(again.open("image", Run())(x, ones(40)), encode(x, ones(40)))
    np.testing.assert_array_equal(again.fit(decoded, media, Run())(x, ones(40)), encode(x, ones(40)))
    for wrong, kind, words in (
        (Pixels(size=9, weights=path), "image", "on 192 numbers a record, not 243"),
        (Pixels(size=8, weights=path), "video", "on 192 numbers a record, not 256"),
        (Pixels(), "image", "weights=FILE"),
        (Pixels(weights=tmp_path / "none"), "image", "does not exist"),
        (
            Pixels(weights=save({"mean": torch.zeros(3)}, tmp_path / "half.safetensors")),
            "image",
            "not a fit of pixels",
        ),
    ):
        with pytest.raises(SordineError, match=words) as error:
            wrong.open(kind, Run())  # type: ignore[arg-type]
        one_line(error)


def test_pixels_refuse_what_cannot_be_learnt_and_options_out_of_range():
    same = np.repeat(pictures(1, 8), 5, axis=0)
    with pytest.raises(SordineError, match="all records look the same"):
        Pixels(size=8).fit(*folder_of(same, 5), Run())
    with pytest.raises(SordineError, match="there are 1"):
        Pixels(size=8).fit(*folder_of(same[:1], 1), Run())
    for options in ({"size": 33}, {"size": 46, "grey": True}, {"components": 0}, {"epsilon": -1.0}):
        name, value = next(iter(options.items()))
        with pytest.raises(SordineError, match=f"pixels'?: {name} ?= ?{value}"):
            make_extractor("pixels", options)
    assert Pixels(size=45, grey=True).width("video") <= pixels.WIDEST
    with pytest.raises(SordineError, match="not audio"):
        Pixels().decoder("audio")


# from files


def test_files_decode_to_what_the_extractors_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SORDINE_CACHE", str(tmp_path / "cache"))
    names = [f"{i}.png" for i in range(6)]
    for name, x in zip(names, pictures(6, 20), strict=True):
        Image.fromarray(x.transpose(1, 2, 0)).resize((40, 30)).save(tmp_path / name)
    media = Media(tmp_path, "image", pa.table({"file_name": names}))
    for tool in (Pixels(size=8), Pixels(size=8, grey=True)):
        decoded = decode(media, tool.decoder("image"))
        v = tool.fit(decoded, media, Run())(decoded.x, decoded.lengths)
        assert v.shape == (6, 5)
    assert decode(media, FaceNet().decoder("image")).x.shape == (6, 3, 160, 160)
    with pytest.raises(SordineError, match="not image"):
        Hubert().decoder(media.kind)


def test_sound_files_decode_to_what_hubert_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SORDINE_CACHE", str(tmp_path / "cache"))
    soundfile.write(tmp_path / "a.wav", waves(1, 96000)[0], 48000)
    sound = Media(tmp_path, "audio", pa.table({"file_name": ["a.wav"]}))
    decoded = decode(sound, Hubert().decoder("audio"))
    assert decoded.x.shape == (1, 10000)
    checkpoint(tmp_path / "tiny")
    v = Hubert(weights=tmp_path / "tiny").open("audio", Run())(np.asarray(decoded.x), decoded.lengths)
    assert np.linalg.norm(v) == pytest.approx(1, abs=1e-5)


def test_video_files_decode_to_what_pixels_and_r3d18_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    av = pytest.importorskip("av")
    monkeypatch.setenv("SORDINE_CACHE", str(tmp_path / "cache"))
    names = [f"{i}.mp4" for i in range(3)]
    for i, name in enumerate(names):
        with av.open(str(tmp_path / name), "w") as file:
            stream = file.add_stream("mpeg4", rate=10)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            for frame in range(10):
                picture = np.full((48, 64, 3), 20 + 60 * i, np.uint8)
                picture[:, 4 * frame : 4 * frame + 8 * i] = 200
                file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            file.mux(stream.encode())
    media = Media(tmp_path, "video", pa.table({"file_name": names}))
    tool = Pixels(size=8)
    decoded = decode(media, tool.decoder("video"))
    assert decoded.lengths.tolist() == [5, 5, 5]  # every other one of ten
    assert tool.fit(decoded, media, Run())(np.asarray(decoded.x), decoded.lengths).shape == (3, 2)
    flat = tool.flat(torch.from_numpy(np.array(decoded.x)), torch.from_numpy(decoded.lengths))
    assert flat[0, 192:].max() < 0.02  # nothing moves in the first
    assert flat[1:, 192:].max() > 0.1
    assert decode(media, R3D18().decoder("video")).x.shape == (3, 16, 3, 112, 112)


@pytest.mark.slow
@pytest.mark.data
@pytest.mark.skipif(not DATA, reason="SORDINE_DATA does not name the folder of the real data sets")
def test_a_face_is_known_again_by_its_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from sklearn.linear_model import LogisticRegression

    monkeypatch.setenv("SORDINE_CACHE", str(tmp_path))
    root = Path(str(DATA)) / "yale_b"
    records = read_metadata(root)
    records = records.take(pa.array(np.random.default_rng(0).permutation(records.num_rows)[:800]))
    split = pa.array(["train"] * 600 + ["test"] * 200)
    media = Media(root, "image", records.append_column("split", split))
    decoded = decode(media, Pixels().decoder("image"))
    v = Pixels().fit(decoded, media, Run())(np.asarray(decoded.x), decoded.lengths)
    person = np.array(records["person"].to_pylist())
    probe = LogisticRegression(C=100, max_iter=200).fit(v[:600], person[:600])
    assert probe.score(v[600:], person[600:]) > 0.9

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch
from safetensors.torch import save_file

from sordine.data.media.cache import Decoded, decode
from sordine.data.media.folder import read_metadata
from sordine.data.media.kinds import Kind, Media
from sordine.errors import SordineError
from sordine.features.base import Encode
from sordine.features.encoder import networks as nets
from sordine.features.encoder.extractor import Encoder
from sordine.features.registry import make_extractor
from sordine.run import Run

DATA = os.environ.get("SORDINE_DATA")
KINDS: tuple[Kind, ...] = ("image", "audio", "video")
SMALL = {
    "image": Encoder(size=16, width=24, epochs=2),
    "audio": Encoder(rate=2000, seconds=0.6, width=24, epochs=2),
    "video": Encoder(size=16, frames=6, width=24, epochs=2),
}


def media(kind: Kind, n: int = 40) -> tuple[Decoded, Media]:
    """Records of two classes: a patch left or right, a low or a high tone, a patch that moves or stands."""
    rng = np.random.default_rng(0)
    y = np.arange(n) % 2
    lengths = np.ones(n, np.int64)
    if kind == "audio":
        at = np.arange(1200) / 2000
        pitch = np.where(y, 600, 300) + rng.normal(0, 10, n)
        x = (0.1 * np.sin(2 * np.pi * pitch[:, None] * at) + 0.01 * rng.normal(size=(n, 1200))).astype(np.float32)
        lengths = rng.integers(600, 1201, n)
        x[np.arange(1200) >= lengths[:, None]] = 0
    elif kind == "image":
        x = rng.integers(0, 80, (n, 3, 16, 16)).astype(np.uint8)
        for i in range(n):
            x[i, :, 4:12, 8 * y[i] + 1 : 8 * y[i] + 7] += 150
    else:
        x = rng.integers(0, 80, (n, 6, 3, 16, 16)).astype(np.uint8)
        lengths = rng.integers(4, 7, n)
        for i in range(n):
            for frame in range(6):
                left = min(frame, lengths[i] - 1) * y[i] * 2
                x[i, frame, :, 5:10, left : left + 5] += 150
            x[i, lengths[i] :] = x[i, lengths[i] - 1]
    suffix = {"image": "png", "audio": "wav", "video": "mp4"}[kind]
    names = [f"{i:03d}.{suffix}" for i in range(n)]
    records = pa.table({"file_name": names, "side": y, "odd": [None if i % 4 else str(i % 3) for i in range(n)]})
    return Decoded(x, lengths, np.arange(n), (), kind), Media(Path("folder"), kind, records)


@pytest.fixture(scope="module")
def learnt() -> dict[Kind, Encode]:
    return {kind: SMALL[kind].fit(*media(kind), Run()) for kind in KINDS}


def vectors(encode: Encode, decoded: Decoded) -> np.ndarray:
    return encode(decoded.x, decoded.lengths)


# ------------------------------------------------------------------------------------------- networks


def test_local_contrast_does_not_see_how_bright_it_is() -> None:
    x = torch.rand(2, 1, 20, 20, generator=torch.Generator().manual_seed(0)) * 100
    dark, bright = nets.prepared(x), nets.prepared(2 * x + 30)
    assert (bright[:, 0] - dark[:, 0]).abs().max() > 1
    assert (bright[:, 1] - dark[:, 1]).abs().max() < 0.1
    assert nets.prepared(x.expand(2, 3, 20, 20)).shape == (2, 4, 20, 20)


def test_parts_are_means_over_equal_shares_of_the_real_frames() -> None:
    weights = nets.parts(torch.tensor([4, 3, 1, 0]), 6, 2)
    assert weights[0].tolist() == [[0.5, 0.5, 0, 0, 0, 0], [0, 0, 0.5, 0.5, 0, 0]]
    assert torch.allclose(weights[1], torch.tensor([[2, 1, 0, 0, 0, 0], [0, 1, 2, 0, 0, 0]]) / 3)
    assert weights[2:, :, 0].eq(1).all()  # less than one frame counts as one


def test_a_clips_frames_see_the_ones_beside_them_and_no_others() -> None:
    net = nets.ClipNetwork(1, 4).eval()
    x = torch.randint(0, 256, (1, 8, 1, 16, 16), generator=torch.Generator().manual_seed(0))
    changed = x.clone()
    changed[:, 0] = 255 - changed[:, 0]
    touched = [
        (a != b).flatten(2).any(2)[0].tolist()
        for a, b in zip(net.activations(x), net.activations(changed), strict=True)
    ]
    assert [sum(frames) for frames in touched] == [1, 1, 2, 3, 4]


@pytest.mark.parametrize("kind", KINDS)
def test_blocks_are_few_thousand_numbers_and_training_moves_every_weight(kind: Kind) -> None:
    net = SMALL[kind].net(kind)
    have, _ = media(kind, 4)
    x, lengths = torch.from_numpy(have.x), torch.from_numpy(have.lengths)
    said = net(x, lengths)
    assert said.shape == (4, net.width)
    said.square().sum().backward()
    assert all(w.grad is not None and w.grad.abs().sum() > 0 for w in net.parameters())
    blocks = net.eval().blocks(x, lengths)
    assert all(b.ndim == 2 and torch.isfinite(b).all() for b in blocks)
    assert sum(b.shape[1] for b in blocks) < 4000


def test_what_follows_the_real_part_does_not_count() -> None:
    for kind in ("audio", "video"):
        net = SMALL[kind].net(kind).eval()
        have, _ = media(kind, 3)
        x, lengths = torch.from_numpy(have.x), torch.from_numpy(have.lengths).clamp_max(have.x.shape[1] // 3)
        other = x.clone()
        other[:, -(x.shape[1] // 8 + 1) :] = 7  # far behind: convolutions look a little past the end
        for a, b in zip(net.blocks(x, lengths), net.blocks(other, lengths), strict=True):
            assert torch.allclose(a, b, atol=1e-5), kind


# ------------------------------------------------------------------------------------------- learning


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_vectors_are_of_norm_1_and_tell_the_classes_apart(kind: Kind, learnt: dict[Kind, Encode]) -> None:
    have, of = media(kind)
    x = vectors(learnt[kind], have)
    assert x.shape == (40, 24)
    assert x.dtype == np.float32
    assert np.allclose(np.linalg.norm(x, axis=1), 1, atol=1e-5)
    y = np.array(of.records["side"].to_pylist())
    means = np.stack([x[:30][y[:30] == c].mean(0) for c in (0, 1)])
    assert ((x[30:] @ means.T).argmax(1) == y[30:]).mean() >= 0.9
    assert np.abs(x.mean(0)).max() < 0.35  # the rotation leaves no column to stand out


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_a_vector_depends_on_its_record_alone(kind: Kind, learnt: dict[Kind, Encode]) -> None:
    have, _ = media(kind)
    x = vectors(learnt[kind], have)
    order = np.random.default_rng(1).permutation(40)
    assert np.array_equal(learnt[kind](have.x[order], have.lengths[order]), x[order])
    assert np.array_equal(learnt[kind](have.x[7:8], have.lengths[7:8]), x[7:8])


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_learnt_is_the_same_from_its_file(kind: Kind, learnt: dict[Kind, Encode], tmp_path: Path) -> None:
    have, of = media(kind)
    file = tmp_path / "learnt.safetensors"
    save_file({k: v.contiguous() for k, v in learnt[kind].weights().items()}, file)
    named = replace(SMALL[kind], weights=file)
    x = vectors(learnt[kind], have)
    assert np.array_equal(vectors(named.open(kind, Run()), have), x)
    assert np.array_equal(vectors(named.fit(have, of, Run()), have), x)
    with pytest.raises(SordineError, match="width=24"):
        replace(named, width=12).open(kind, Run())


def test_the_wrong_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SordineError, match="weights=FILE"):
        Encoder().open("image", Run())
    with pytest.raises(SordineError, match="does not exist"):
        Encoder(weights=tmp_path / "none").open("image", Run())
    other = tmp_path / "other.safetensors"
    save_file({"mean": torch.zeros(3)}, other)
    with pytest.raises(SordineError, match="'projection'"):
        Encoder(weights=other).open("image", Run())
    save_file({"mean": torch.zeros(3), "projection": torch.zeros(3, 2)}, other)
    with pytest.raises(SordineError, match="has no weights 'stages"):
        Encoder(weights=other).open("image", Run())


def test_weights_of_another_kind_are_refused(learnt: dict[Kind, Encode], tmp_path: Path) -> None:
    file = tmp_path / "sound.safetensors"
    save_file({k: v.contiguous() for k, v in learnt["audio"].weights().items()}, file)
    with pytest.raises(SordineError, match=r"sound\.safetensors.*weights"):
        replace(SMALL["image"], weights=file).open("image", Run())


@pytest.mark.slow
def test_an_interrupted_training_ends_with_the_same_vectors(tmp_path: Path, learnt: dict[Kind, Encode]) -> None:
    have, of = media("image")
    tool = replace(SMALL["image"], epochs=7)
    whole = vectors(tool.fit(have, of, Run()), have)
    two_epochs = vectors(learnt["image"], have)
    assert not np.array_equal(whole, two_epochs)

    class Stop(Exception):
        pass

    def stop(what: str, done: int, of: int) -> None:
        if done == 6:  # saved after 5
            raise Stop

    with pytest.raises(Stop):
        tool.fit(have, of, Run(folder=tmp_path, progress=stop))
    seen: list[int] = []
    again = tool.fit(have, of, Run(folder=tmp_path, progress=lambda what, done, of: seen.append(done)))
    assert seen == [6, 7]
    assert np.array_equal(vectors(again, have), whole)
    assert not np.array_equal(vectors(SMALL["image"].fit(have, of, Run(seed=1)), have), two_epochs)


def test_labels_that_are_named_are_learnt_and_gaps_in_them_are_left_out() -> None:
    have, of = media("image")
    said: list[str] = []
    encode = replace(SMALL["image"], labels="side, odd", epochs=3).fit(have, of, Run(log=said.append))
    assert "side" in said[0]
    assert "odd" in said[0]
    assert np.isfinite(vectors(encode, have)).all()
    assert not [k for k in encode.weights() if "head" in k or "projector" in k]
    with pytest.raises(SordineError, match=r"'sied'.*'side'"):
        replace(SMALL["image"], labels="sied").fit(have, of, Run())
    one = replace(of, records=of.records.append_column("same", pa.array(["a"] * 40)))
    with pytest.raises(SordineError, match="'same' in `labels` has fewer than two classes"):
        replace(SMALL["image"], labels="same").fit(have, one, Run())


@pytest.mark.slow
def test_only_the_training_side_teaches() -> None:
    have, of = media("image")
    side = pa.array(["train"] * 30 + ["test"] * 10)
    split = replace(of, records=of.records.append_column("split", side))
    changed = Decoded(np.concatenate([have.x[:30], 255 - have.x[30:]]), have.lengths, have.rows, (), "image")
    brief = replace(SMALL["image"], epochs=1)
    one, other = (brief.fit(d, split, Run()).weights() for d in (have, changed))
    assert all(torch.equal(one[k], other[k]) for k in one)
    everything = brief.fit(changed, of, Run()).weights()
    assert not torch.equal(everything["mean"], one["mean"])


def test_few_or_equal_records_are_refused() -> None:
    have, of = media("image", 10)
    with pytest.raises(SordineError, match=r"16 records.*10"):
        SMALL["image"].fit(have, of, Run())
    have, of = media("image", 20)
    same = Decoded(np.repeat(have.x[:1], 20, 0), have.lengths, have.rows, (), "image")
    with pytest.raises(SordineError, match="all records look the same"):
        replace(SMALL["image"], epochs=0).fit(same, of, Run())


@pytest.mark.parametrize(("option", "value"), [("size", 8), ("width", 1), ("seconds", 0), ("epochs", -1)])
def test_options_out_of_range_are_refused(option: str, value: int) -> None:
    with pytest.raises(SordineError, match=f"'encoder': {option} = {value}: "):
        make_extractor("encoder", {option: value})


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.skipif(not DATA, reason="SORDINE_DATA does not name the folder of the real data sets")
def test_faces_in_any_light_are_read_better_than_from_their_pixels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from benchmarks.encoder import folds, probe
    from benchmarks.encoder import vectors as made
    from sordine.features.pixels import Pixels

    monkeypatch.setenv("SORDINE_CACHE", str(tmp_path))
    folder = Path(str(DATA)) / "yale_b"
    of = Media(folder, "image", read_metadata(folder))
    assert len(decode(of, Encoder().decoder("image"))) == len(of)
    y = np.array(of.records["person"].to_pylist())
    read = []
    for tool in (Encoder(), Pixels()):
        x = made(tool, of)[0]
        read.append(np.mean([probe(x, y, *fold) for fold in folds(y)]))  # one fold alone is two or three records
    learnt, pixels = read
    assert learnt > 0.985
    assert learnt > pixels + 0.004

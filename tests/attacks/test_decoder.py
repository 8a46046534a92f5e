"""Attacks on x itself: fresh decoders, the white-box search and the feature-level attack, also in the audit."""

from __future__ import annotations

import copy
import json
import math
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sordine.attacks.reconstruction.decoder import (
    DecoderOptions,
    Rebuilder,
    Rebuilding,
    judge,
    rebuild,
    train_decoder,
)
from sordine.attacks.reconstruction.feature_attack import train_feature_attack
from sordine.attacks.reconstruction.white_box import invert, total_variation
from sordine.cli.app import main
from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.evaluation.sections.reconstruction import ReconstructionOptions, reconstruct
from sordine.keys import Key
from sordine.models.modifier import Card, Modifier, Release
from sordine.models.perceptual import Perceptual
from sordine.models.training import Batch, Draw, play
from sordine.policy import Policy
from sordine.run import Run

QUICK = DecoderOptions(steps=150, width=16, batch=32)


def blobs(n: int, seed: int = 0, side: int = 16) -> tuple[np.ndarray, np.ndarray]:
    """Return uint8 pictures of one colour with a square of another, and the eight numbers of each."""
    rng = np.random.default_rng(seed)
    truth = rng.random((n, 8)).astype(np.float32)
    x = np.empty((n, 3, side, side), np.uint8)
    for picture, t in zip(x, truth, strict=True):
        picture[:] = (255 * t[:3, None, None]).astype(np.uint8)
        down, right = (np.array(t[6:8]) * (side - 6)).astype(int)
        picture[:, down : down + 6, right : right + 6] = (255 * t[3:6, None, None]).astype(np.uint8)
    return x, truth


@pytest.mark.parametrize(
    ("shape", "picture"),
    [
        ((7,), (3, 32, 32)),
        ((7,), (1, 30, 21)),
        ((5, 2, 2), (3, 32, 32)),
        ((5, 4, 4), (3, 30, 21)),
        ((8, 16, 16), (3, 32, 32)),
        ((3, 32, 32), (3, 32, 32)),
        ((1, 30, 21), (3, 30, 21)),
        ((4, 40, 40), (3, 32, 32)),
        ((2, 3), (3, 16, 16)),
        ((6,), (3, 4, 4)),
    ],
)
def test_any_shape_of_z_gives_pictures(shape: tuple[int, ...], picture: tuple[int, int, int]) -> None:
    x_hat = Rebuilder(shape, picture, 16)(torch.randn(2, *shape))
    assert x_hat.shape == (2, *picture)
    assert x_hat.abs().max() <= 1


def test_the_attackers_terms_by_hand() -> None:
    z = torch.zeros(4, 5)
    decoder = Rebuilder((5,), (3, 16, 16), 16)
    see = Perceptual(nn.ModuleList([nn.Identity()]), (0.5,) * 3, (0.5,) * 3)
    # x = 63.75 is -.5 in -1 to 1; every rebuilt pixel is tanh(0) = 0 and every logit of D is 0.
    game = Rebuilding(decoder, torch.full((4, 3, 16, 16), 63.75), see, mu1=0.3, mu2=2.0, rate=1e-3, epochs=1)
    for layer in (decoder.levels[-1][0], game.discriminator.fc):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)

    class One:
        device = torch.device("cpu")

        def __call__(self, source: str = "records") -> Batch:
            return Batch(z, {}, torch.arange(4))

    named = game.round(One())  # type: ignore[arg-type]
    moves = {name: {k: v.item() for k, v in terms.items()} for name, terms in named}
    assert moves["decoder"] == pytest.approx({"pixel": 0.25, "fools": 0.3 * math.log(0.5), "perceptual": 2 * 0.25})
    assert moves["discriminator"] == pytest.approx({"tells": -2 * math.log(0.5)})


def test_each_move_is_its_players_alone() -> None:
    x, z = blobs(16)
    decoder = Rebuilder((8,), (3, 16, 16), 16)
    game = Rebuilding(decoder, torch.from_numpy(x), None, mu1=1.0, mu2=0.0, rate=1e-3, epochs=1)
    modules: dict[str, nn.Module] = {"decoder": decoder, "discriminator": game.discriminator}
    draw = Draw(Table.of(z, {}), 16)
    before: dict[str, dict[str, Tensor]] = {}
    for name, player in game.players.items():

        def move(loss: Tensor, player: Any = player, name: str = name) -> None:
            other = next(m for n, m in modules.items() if n != name)
            kept = copy.deepcopy(other.state_dict())
            own = copy.deepcopy(dict(modules[name].named_parameters()))
            type(player).move(player, loss)
            assert all(torch.equal(kept[k], v) for k, v in other.state_dict().items()), f"{name} moved another"
            assert all(not torch.equal(own[k], v) for k, v in modules[name].named_parameters()), f"{name} stood still"
            before[name] = kept

        player.move = move  # type: ignore[method-assign]
    list(play(game, draw, 1))
    assert list(before) == ["decoder", "discriminator"]


@pytest.mark.slow
def test_a_decoder_rebuilds_what_z_holds_and_not_what_it_does_not() -> None:
    x, truth = blobs(500)
    own, tried = slice(0, 400), slice(400, 500)
    mean = x[own].mean(0)
    rng = np.random.default_rng(1)
    rebuilt = {}
    for name, z in (("all", truth), ("ground", truth[:, :3]), ("nothing", rng.normal(size=(500, 8)))):
        rebuilt[name] = rebuild(train_decoder(z[own], x[own], QUICK), z[tried])
    found = {name: judge(name, x[tried], r, mean) for name, r in rebuilt.items()}
    psnr = {name: f.psnr or 0.0 for name, f in found.items()}
    assert psnr["all"] > psnr["ground"] + 1 > found["all"].baseline_psnr + 3
    assert psnr["nothing"] < found["all"].baseline_psnr + 0.5
    assert found["all"].ssim > found["nothing"].ssim
    assert found["all"].records == 100
    assert rebuilt["all"].min() >= 0
    assert rebuilt["all"].max() <= 255


@pytest.mark.slow
def test_a_masked_picture_is_restored_around_what_is_seen() -> None:
    x, _ = blobs(300)
    z = x.copy()
    z[:, :, :, 8:] = 0  # the right half is gone, and is mostly of the left half's colour
    decoder = train_decoder(z[:250], x[:250], QUICK)
    rebuilt = rebuild(decoder, z[250:])
    right = np.s_[:, :, :, 8:]
    assert (
        np.abs(rebuilt[right] - x[250:][right]).mean()
        < 0.6 * np.abs(z[250:][right].astype(float) - x[250:][right]).mean()
    )


@pytest.mark.slow
def test_it_is_deterministic_in_its_seed_and_leaves_the_callers_random_numbers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sordine.attacks.reconstruction.decoder.EPOCH", 5)
    x, truth = blobs(64)
    torch.manual_seed(5)
    was = torch.get_rng_state()
    one, two, other = (
        rebuild(train_decoder(truth, x, DecoderOptions(mu1=0.01, steps=10, width=8, batch=8), run=Run(seed=s)), truth)
        for s in (3, 3, 4)
    )
    assert one.tobytes() == two.tobytes()
    assert one.tobytes() != other.tobytes()
    assert torch.equal(torch.get_rng_state(), was)


def test_figures_of_known_pictures() -> None:
    x = np.full((2, 3, 16, 16), 100, np.uint8)
    found = judge("decoder", x, np.full(x.shape, 110.0), np.full(x.shape[1:], 120.0))
    assert found.psnr == pytest.approx(20 * math.log10(255 / 10))
    assert found.baseline_psnr == pytest.approx(20 * math.log10(255 / 20))
    assert found.face_similarity is None
    assert judge("decoder", x, x.astype(float), np.zeros(x.shape[1:])).psnr is None  # to the last bit


@pytest.mark.slow
def test_the_feature_attack_reads_features_that_z_holds() -> None:
    rng = np.random.default_rng(0)
    z = rng.normal(size=(600, 4, 2, 2)).astype(np.float32)  # of any shape
    features = np.tanh(z.reshape(600, -1) @ rng.normal(size=(16, 6)) / 3).astype(np.float32)
    features /= np.linalg.norm(features, axis=1, keepdims=True)

    def cosine(some: np.ndarray) -> float:
        attack = train_feature_attack(some[:500], features[:500], steps=200)
        with torch.no_grad():
            said = attack(torch.from_numpy(np.asarray(some[500:], np.float32))).numpy()
        wanted = features[500:]
        return float(((said * wanted).sum(1) / np.linalg.norm(said, axis=1) / np.linalg.norm(wanted, axis=1)).mean())

    assert cosine(z) > 0.8
    assert cosine(rng.normal(size=z.shape)) < 0.3


class Linear(Modifier):
    """A modifier whose z is a known map of the picture: with a square matrix, it can be inverted to the pixel."""

    block = 8

    def __init__(self, numbers: int, outputs: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.map = nn.Linear(numbers, outputs, bias=False)
        nn.init.orthogonal_(self.map.weight)
        self.card = Card("linear", {}, {}, {"shape": [1, 6, 6]}, output={"shape": [outputs], "dtype": "float32"})

    def forward(self, x: Tensor, noise: Tensor) -> Release:
        return Release(self.map(x.flatten(1) / 255))


@pytest.mark.slow
def test_white_box_inversion_finds_the_picture_behind_z() -> None:
    rng = np.random.default_rng(0)
    x = rng.integers(40, 216, (5, 1, 6, 6)).astype(np.float32)
    start = np.full((1, 6, 6), 128.0)
    whole, part = Linear(36, 36), Linear(36, 6)
    z, less = (m(torch.from_numpy(x), torch.zeros(5, 0)).x.detach().numpy() for m in (whole, part))
    found = invert(whole, z, start, smooth=0.0)
    assert np.abs(found - x).max() < 12
    one = invert(whole, z, start, smooth=0.0, block=2)
    np.testing.assert_allclose(one, found, atol=1e-2)  # a record's picture does not depend on the others'
    blurred = invert(part, less, start)
    assert np.abs(blurred - x).mean() > 3 * np.abs(found - x).mean()
    assert all(w.requires_grad for w in whole.parameters())  # as it was
    with pytest.raises(SordineError, match="output shape"):
        invert(whole, less, start)


def test_total_variation_by_hand() -> None:
    x = torch.tensor([[[[0.0, 1.0], [0.0, 0.5]]]])
    # Down: 0 and .5, mean .25; across: 1 and .5, mean .75.
    assert total_variation(x).tolist() == pytest.approx([1.0])


@pytest.mark.parametrize(
    ("z", "x", "settings", "says"),
    [
        (np.zeros((3, 4)), np.zeros((2, 3, 8, 8)), {}, "3 released records"),
        (np.zeros((2, 4)), np.zeros((2, 192)), {}, r"shape \(2, 192\)"),
        (np.zeros((4, 4)), np.zeros((4, 3, 8, 8)), {"mu2": 1.0}, "perceptual"),
    ],
)
def test_bad_pairs_are_refused_in_one_line(z: np.ndarray, x: np.ndarray, settings: dict[str, Any], says: str) -> None:
    with pytest.raises(SordineError, match=says) as error:
        train_decoder(z, x, DecoderOptions(**settings))
    assert "\n" not in str(error.value)
    with pytest.raises(SordineError, match=r"5 records .*at least 20"):
        train_feature_attack(np.zeros((5, 2)), np.zeros((5, 2)))


@pytest.mark.slow
def test_the_audit_rebuilds_pictures_and_reports_how_near(monkeypatch: pytest.MonkeyPatch) -> None:
    x, truth = blobs(200)
    labels = {"person": (truth[:, 0] > 0.5).astype(int)}
    split = np.where(np.arange(200) < 150, "train", "test")
    original = Table.of(x, labels, split=split)
    order = np.random.default_rng(0).permutation(200)
    open_hand = Table.of(truth[order], {}, ids=original.ids[order])
    found = reconstruct(original, open_hand, Policy(preserve=("person",)), options=ReconstructionOptions(steps=50))
    assert [f.attacker for f in found.findings] == ["decoder", "decoder + GAN"]
    assert set(found.ids) == set(original.ids[150:])  # tried on records that were not fitted on
    assert all(p.shape == (50, 3, 16, 16) for p in found.rebuilt.values())
    decoder = found.findings[0]
    assert (decoder.psnr or 0) > decoder.baseline_psnr + 1
    # The rebuilt pictures are in the order of the ids.
    place = {name: i for i, name in enumerate(original.ids)}
    ground = np.array([x[place[name], :, 0, 0] for name in found.ids], float)
    assert np.corrcoef(ground[:, 0], found.rebuilt["decoder"][:, 0, 0, 0])[0, 1] > 0.7
    # Released pictures are compared first, as they are. The decoders after them need no training for this.
    monkeypatch.setattr("sordine.attacks.reconstruction.decoder.EPOCH", 2)
    darker = original.with_x((x * 0.5).astype(np.float32))
    shown = reconstruct(original, darker, Policy(preserve=("person",)), options=ReconstructionOptions(steps=2)).findings
    assert [f.attacker for f in shown] == ["as released", "decoder", "decoder + GAN"]
    lost = np.mean((0.5 * x[150:]) ** 2, (1, 2, 3))
    assert shown[0].psnr == pytest.approx(float(np.mean(10 * np.log10(255**2 / lost))), abs=0.05)
    with pytest.raises(SordineError, match="are not pictures"):
        reconstruct(open_hand, open_hand, Policy())
    with pytest.raises(SordineError, match="there are 10 and 10"):
        reconstruct(original.take(np.arange(140, 160)), open_hand, Policy(), key=Key.of_seed(0))


@pytest.mark.slow
def test_the_command_line_rebuilds_and_shows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ReconstructionOptions.__init__, "__defaults__", (None, None, 50))  # fewer steps
    x, truth = blobs(120)
    names = {"corner": np.where(truth[:, 6] > 0.5, "low", "high"), "person": np.where(truth[:, 0] > 0.5, "ann", "bob")}
    names["alone"] = np.full(120, "ann")
    Table.of(x, names, ids=[f"r{i}" for i in range(120)]).write(tmp_path / "t.parquet")
    table, encoder, z = (str(tmp_path / name) for name in ("t.parquet", "m", "z.parquet"))
    quick = ("encoder=resnet10", "width=8", "fc=8", "steps=20", "batch=16")
    settings = [word for pair in quick for word in ("--set", pair)]
    assert main(["fit", table, "-p", "corner", "-m", "inversion", *settings, "-o", encoder, "--quiet"]) == 0
    assert main(["transform", encoder, table, "-o", z, "--quiet"]) == 0
    report = tmp_path / "r.json"
    few = ["--family", "logistic", "--setting", "A", "--no-pretrained", "--quiet"]
    page = ["-o", str(tmp_path / "r.html"), "--json", str(report)]
    asked = ["audit", table, z, "--modifier", encoder, *few, *page]
    assert main([*asked, "--reconstruct", "--identity", "person"]) == 0
    found = json.loads(report.read_text(encoding="utf-8"))
    assert [f["attacker"] for f in found["reconstruction"]] == [
        "decoder",
        "decoder + GAN",
        "mirrored decoder",
        "white-box",
    ]
    assert all(f["face_similarity"] is not None for f in found["reconstruction"])
    assert len(found["sheets"]) == 1
    assert found["sheets"][0]["columns"][0] == "original"
    assert "rebuilt: white-box" in (tmp_path / "r.html").read_text(encoding="utf-8")
    monkeypatch.setattr(
        import_module("sordine.evaluation.audit"), "audit", lambda *given, **more: pytest.fail("it audited first")
    )
    for more, says in (
        (["--identity", "person"], "--reconstruct"),
        (["--reconstruct", "--identity", "persn"], "persn"),
        (["--reconstruct", "--identity", "alone"], "alone"),
        (["--verification", "no.pt"], "--reconstruct"),
        (["--reconstruct", "--verification", "no.pt"], "no.pt"),
    ):
        assert main([*asked, "--force", *more]) == 2, says
        assert says in " ".join(capsys.readouterr().err.split())

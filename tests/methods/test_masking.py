from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sordine.data.media.obscure.styles import STYLES, Block, BlurCentre
from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.keys import Key
from sordine.methods.fit import fit
from sordine.methods.masking.method import PRESETS, Masking, MaskingGame, MaskingModifier
from sordine.methods.registry import load, make
from sordine.models.training import Draw, play
from sordine.policy import Policy
from sordine.run import Run
from sordine.workflow.transform import transform

KEY = Key.of_seed(0)
TASK = Policy((), ("side",))
TINY = {"widths": (4, 8), "predictor_widths": (4, 4, 8, 8), "dense": 16, "steps": 24, "batch": 16}


def squares(n: int, seed: int = 0) -> Table:
    """Return noisy grey pictures: the half with a red square is the task, a blue square's colour another."""
    random = np.random.default_rng(seed)
    side, tint = random.integers(0, 2, (2, n))
    x = random.integers(60, 120, (n, 3, 16, 16))
    for i in range(n):
        down, right = random.integers(1, 12), random.integers(0, 4) + 9 * side[i]
        x[i, :, down : down + 4, right : right + 4] = np.array([230, 30, 30])[:, None, None]
        x[i, :, 13:16, 6:10] = np.array([20, 20 + 180 * tint[i], 200])[:, None, None]
    names = {"side": np.array(["left", "right"])[side], "tint": np.array(["blue", "cyan"])[tint]}
    return Table.of(x.astype(np.uint8), names, split=["train"] * (n - n // 4) + ["test"] * (n // 4), source="squares")


# ------------------------------------------------------------------------------------------------- a round by hand


class Painted(nn.Module):
    """A masker of one weight a pixel: the same m for every picture."""

    def __init__(self, m: list[float]) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.tensor(m).logit().reshape(1, 1, 2, 2))

    def forward(self, x: Tensor) -> Tensor:
        return self.theta.sigmoid().expand(len(x), 1, 2, 2)


class Sum(nn.Module):
    """A predictor of one weight w: the logits are w times the sum of what it sees, and 0."""

    classes: ClassVar[dict[str, int]] = {"task": 2}

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor(2.0))

    def forward(self, x: Tensor) -> list[Tensor]:
        total = self.w * x.flatten(1).sum(1)
        return [torch.stack([total, torch.zeros_like(total)], 1)]

    @contextmanager
    def by_batch(self) -> Iterator[None]:
        yield


def painted(**fields: object) -> tuple[MaskingGame, MaskingModifier, Draw]:
    # Two pictures of 2 x 2 pixels: in [0, 1] they are 1, .5, 0, 1 and 0, 1, .5, .5; their classes are 0 and 1.
    x = np.array([[255.0, 127.5, 0, 255], [0, 255, 127.5, 127.5]], np.float32).reshape(2, 1, 2, 2)
    table = Table.of(x, {"task": ["a", "b"]})
    own = Masking(**{"predictor_steps": 1, "lr": 0.01, **fields}).settled()  # type: ignore[arg-type]
    modifier = MaskingModifier(Painted([0.8, 0.6, 0.5, 0.2]), Sum(), 0.5, hard=False)  # type: ignore[arg-type]
    return MaskingGame(own, modifier, 1), modifier, Draw(table, 2, ("task",))


def test_each_term_of_a_round_is_what_a_hand_works_out() -> None:
    game, _, draw = painted()
    turn = game.round(draw)
    # K = 50 %: .8 and .6 are kept. x_p sums to .8 + .3 and to .6; the logits are 2.2 and 1.2, against 0.
    name, terms = next(turn)
    assert name == "predictor"
    read = (math.log(1 + math.exp(-2.2)) + math.log(1 + math.exp(1.2))) / 2
    assert terms["read task"].item() == pytest.approx(read, rel=1e-5)
    # x_o has .5 and .2 of the last two pixels: .2 and .25 + .1. The logits are .4 and .7, against 0, each class wanted
    # at 1/2.
    name, terms = next(turn)
    assert name == "masker"
    confuse = sum(math.log(1 + math.exp(-a)) / 2 + math.log(1 + math.exp(a)) / 2 for a in (0.4, 0.7)) / 2
    assert terms["confuse task"].item() == pytest.approx(confuse, rel=1e-5)
    assert next(turn, None) is None


def test_kept_pixels_and_predictor_move_in_one_step_and_withheld_pixels_alone_in_the_other() -> None:
    game, modifier, draw = painted()
    theta, w = modifier.masker.theta, modifier.predictor.w  # type: ignore[union-attr]
    before = theta.detach().clone().flatten()
    turn = game.round(draw)
    _, terms = next(turn)
    game.players["predictor"].move(sum(terms.values()))  # type: ignore[arg-type]
    moved = theta.detach().flatten() - before
    # d loss / d total = w (p - y) / 2 = (.9002 - 1) and .7685, times the pixel. First pixel: only the first picture has
    # it (1 x -.0998 < 0: up). Second: .5 x -.0998 + 1 x .7685 > 0: down. Adam's first step is its rate, whatever the
    # size.
    assert moved.tolist() == pytest.approx([0.01, -0.01, 0, 0], abs=1e-6)
    assert w.item() == pytest.approx(2.0 - 0.01, abs=1e-6)  # -.0998 x 1.1 + .7685 x .6 > 0: down
    before = theta.detach().clone().flatten()
    _, terms = next(turn)
    game.players["masker"].move(sum(terms.values()))  # type: ignore[arg-type]
    moved = theta.detach().flatten() - before
    # Less of either withheld pixel is less to tell: both go down, by the rate of the masker's own Adam.
    assert moved.tolist() == pytest.approx([0, 0, -0.01, -0.01], abs=1e-6)
    assert w.item() == pytest.approx(1.99, abs=1e-6)


def test_three_predictor_batches_go_with_one_adversarial_batch_and_none_without_the_adversary() -> None:
    assert painted(predictor_steps=3)[0].moves == ("predictor", "predictor", "predictor", "masker")
    game, _, _ = painted(predictor_steps=3, adversarial=False)
    assert game.moves == ("predictor",) * 3
    assert set(game.players) == {"predictor"}


@pytest.mark.parametrize("statistics", ["running", "batch"])
def test_which_weights_and_statistics_move_in_which_step(statistics: str) -> None:
    table = squares(48).part("train")
    own = Masking(**{**TINY, "statistics": statistics, "predictor_steps": 1}).settled()  # type: ignore[arg-type]
    modifier = own._empty(table.shape, {"side": 2})
    game = MaskingGame(own, modifier, 1)
    seen: list[tuple[str, dict[str, bool]]] = []

    def watched(name: str) -> None:
        player = game.players[name]
        plain = player.move

        def move(loss: Tensor) -> None:
            # Running statistics moved in the forward pass, before this.
            plain(loss)
            now = {k: v.clone() for k, v in modifier.state_dict().items()}
            seen.append((name, {k: not torch.equal(v, state[k]) for k, v in now.items()}))
            state.update(now)

        player.move = move  # type: ignore[method-assign]

    state = {k: v.clone() for k, v in modifier.state_dict().items()}
    for name in game.players:
        watched(name)
    draw = Draw(table, 36, ("side",))
    next(play(game, draw, 1))
    assert [name for name, _ in seen] == ["predictor", "masker"]
    both, alone = seen[0][1], seen[1][1]
    assert all(both.values()), [k for k, moved in both.items() if not moved]
    assert {k for k, moved in alone.items() if moved} == {k for k in alone if k.startswith("masker.")}


def test_the_obfuscator_judges_by_the_statistics_that_are_asked_for() -> None:
    table = squares(24).part("train")
    terms = {}
    for statistics in ("running", "batch"):
        own = Masking(**{**TINY, "statistics": statistics}).settled()  # type: ignore[arg-type]
        torch.manual_seed(0)
        modifier = own._empty(table.shape, {"side": 2}).eval()
        game = MaskingGame(own, modifier, 1)
        game.moves = ("masker",)
        draw = Draw(table, 18, ("side",))
        _, told = next(game.round(draw))
        x = Draw(table, 18, ("side",))().x
        m, top = modifier.masks(x)
        seen = (m - top) * x / 255
        if statistics == "batch":
            modifier.predictor.net.train()
        expected = -modifier.predictor.net(seen).log_softmax(1).mean()
        modifier.predictor.net.eval()
        terms[statistics] = told["confuse side"].item()
        assert terms[statistics] == pytest.approx(expected.item(), rel=1e-5)
    assert terms["running"] != pytest.approx(terms["batch"], rel=1e-3)


# ------------------------------------------------------------------------------------------------- what a fit gives


def fit_squares(steps: int) -> tuple[MaskingModifier, Table]:
    table = squares(320)
    method = Masking(**{**TINY, "keep": 10.0, "release": "soft", "steps": steps, "lr": 5e-3})  # type: ignore[arg-type]
    modifier = fit(table, TASK, method, run=Run(key=KEY))
    assert isinstance(modifier, MaskingModifier)
    return modifier, table


@pytest.fixture(scope="module")
def fitted() -> tuple[MaskingModifier, Table]:
    return fit_squares(5)


@pytest.mark.slow
def test_the_task_is_predicted_from_a_tenth_of_the_pixels() -> None:
    modifier, table = fit_squares(180)
    unseen = table.part("test")
    x_new, _ = modifier.release(unseen.x, unseen.ids, KEY)
    read = modifier.predict(torch.from_numpy(x_new).float())["side"].argmax(1).numpy()
    assert (read == unseen.y["side"]).mean() > 0.9
    assert x_new.dtype == np.uint8
    shown = (x_new > 0).any(1).reshape(len(x_new), -1).sum(1)
    assert (shown <= round(0.1 * 256)).all()
    assert modifier.card.fit["predictor_accuracy"]["side"]["kept"] > 0.9
    assert 0 < modifier.card.fit["mask_withheld"] <= modifier.card.fit["mask_kept"] < 1
    assert modifier.card.fit["distortion_mean_square"] > 0


def test_released_pixels_are_the_mask_times_the_picture_and_the_mask_is_a_picture(
    fitted: tuple[MaskingModifier, Table],
) -> None:
    modifier, table = fitted
    x = table.batch(slice(0, 6))
    nothing = torch.zeros(6, 0)
    with torch.no_grad():
        out = modifier(x, nothing)
        m = modifier.masker(x / 255).numpy()
        shown = modifier.pictures(x, nothing)["mask"]
    kept = np.zeros((6, 256), bool)
    np.put_along_axis(kept, np.argsort(-m.reshape(6, -1), axis=1, kind="stable")[:, :26], True, axis=1)
    expected = np.where(kept.reshape(m.shape), m, 0)
    assert out.mask is not None
    np.testing.assert_allclose(out.mask.numpy(), expected, atol=1e-6)
    np.testing.assert_allclose(out.x.numpy(), expected * x.numpy(), atol=1e-4)
    np.testing.assert_allclose(shown.numpy(), 255 * expected, atol=1e-3)


@pytest.mark.slow
def test_hard_releases_kept_pixels_as_they_are() -> None:
    table = squares(64)
    soft = fit(table, TASK, make("masking", {**TINY, "release": "soft"}), run=Run(key=KEY))
    hard = fit(table, TASK, make("masking", {**TINY, "release": "hard"}), run=Run(key=KEY))
    assert isinstance(hard, MaskingModifier)
    assert isinstance(soft, MaskingModifier)
    x = table.batch(slice(0, 4))
    with torch.no_grad():
        mask = hard.mask(x)
        assert set(mask.unique().tolist()) == {0.0, 1.0}
        assert (mask.flatten(1).sum(1) == round(0.2 * 256)).all()
        assert torch.equal(mask > 0, soft.mask(x) > 0)  # what is released does not change what is learnt
        assert torch.equal(hard(x, torch.zeros(4, 0)).x, mask * x)


def test_several_attributes_are_read_by_one_predictor() -> None:
    table = squares(64)
    modifier = fit(table, Policy((), ("side", "tint")), make("masking", TINY), run=Run(key=KEY))
    assert isinstance(modifier, MaskingModifier)
    said = modifier.predict(table.batch(slice(0, 5)))
    assert {name: tuple(p.shape) for name, p in said.items()} == {"side": (5, 2), "tint": (5, 2)}
    assert torch.allclose(said["tint"].sum(1), torch.ones(5))
    terms = modifier.card.fit["terms"]
    assert set(terms) == {f"{m} {a}" for m in ("predictor/read", "masker/confuse") for a in ("side", "tint")}


def test_a_record_without_a_label_teaches_nothing() -> None:
    table = squares(64)
    labels = [None if i % 3 == 0 else table.classes["side"][c] for i, c in enumerate(table.y["side"])]
    split = np.where(table.split, "train", "test")  # type: ignore[arg-type]
    partly = Table.of(table.x, {"side": labels}, split=split)
    modifier = fit(partly, TASK, make("masking", TINY), run=Run(key=KEY))
    assert all(math.isfinite(v) for values in modifier.card.fit["terms"].values() for v in values)


class Killed(Exception):
    pass


@pytest.mark.slow
def test_an_interrupted_fit_goes_on_where_it_was(tmp_path: Path) -> None:
    table = squares(64)
    method = make("masking", {**TINY, "steps": 45})
    whole = fit(table, TASK, method, run=Run(key=KEY))

    def kill(what: str, done: int, of: int) -> None:
        if done == 4:
            raise Killed

    with pytest.raises(Killed):
        fit(table, TASK, method, run=Run(key=KEY, folder=tmp_path, progress=kill))
    epochs: list[int] = []
    again = fit(table, TASK, method, run=Run(key=KEY, folder=tmp_path, progress=lambda w, d, o: epochs.append(d)))
    assert epochs == [1, 2, 3, 4, 5]
    for key, value in whole.state_dict().items():
        assert torch.equal(value, again.state_dict()[key]), key
    assert whole.card.fit == again.card.fit
    assert list(tmp_path.glob("masking-epoch-*.png"))


def test_saving_and_loading_keep_every_bit(fitted: tuple[MaskingModifier, Table], tmp_path: Path) -> None:
    modifier, table = fitted
    modifier.save(tmp_path / "m")
    again = load(tmp_path / "m")
    assert isinstance(again, MaskingModifier)
    assert again.keep == modifier.keep
    assert (transform(again, table, KEY).x == transform(modifier, table, KEY).x).all()
    probabilities = modifier.predict(table.batch(slice(0, 3)))["side"]
    assert torch.equal(again.predict(table.batch(slice(0, 3)))["side"], probabilities)


def test_a_record_is_masked_alike_whatever_comes_with_it(fitted: tuple[MaskingModifier, Table]) -> None:
    modifier, table = fitted
    order = np.random.default_rng(1).permutation(len(table))[:90]
    whole, _ = modifier.release(table.x, table.ids, KEY, workers=1)
    some, _ = modifier.release(table.x[order], table.ids[order], Key.of_seed(9), workers=2)
    assert (some == whole[order]).all()


def test_presets_fill_what_is_left_open() -> None:
    for name, values in PRESETS.items():
        own = Masking(preset=name).settled()  # type: ignore[arg-type]
        assert {field: getattr(own, field) for field in values} == values
        assert own.obfuscator_lr == pytest.approx(3 * values["lr"])
    assert Masking(preset="small", lr=0.5, predictor_steps=2).settled().obfuscator_lr == 1.0


def test_steps_are_rounded_to_whole_epochs() -> None:
    own = Masking().settled()
    # 3,000 records are 93 batches of 32, and a round has three predictor steps: 900 / 279 = 3.2.
    assert own.epochs(93) == 3
    assert own.epochs(100_000) == own.epochs(600) == 1  # one at the least


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"keep": 0}, "keep"),
        ({"keep": 101}, "keep"),
        ({"keep": float("nan")}, "keep"),
        ({"lr": -1}, "lr"),
        ({"predictor_steps": 0}, "predictor_steps"),
        ({"widths": ()}, "widths"),
        ({"predictor_widths": (4, 4)}, "predictor_widths"),
        ({"release": "sof"}, "release"),
        ({"preset": "smal"}, "preset"),
    ],
)
def test_bad_fields_are_refused_in_one_line(fields: dict[str, object], said: str) -> None:
    with pytest.raises(SordineError, match=f": {said} = ") as told:
        make("masking", fields)
    assert "\n" not in str(told.value)


def test_records_that_do_not_suit_are_refused_in_one_line() -> None:
    table = squares(24)
    vectors = Table.of(np.random.default_rng(0).normal(size=(24, 5)).astype(np.float32), {"side": ["a", "b"] * 12})
    odd = Table.of(np.zeros((24, 3, 18, 18), np.uint8), {"side": ["a", "b"] * 12})
    one = Table.of(table.x, {"side": ["a"] * 18 + ["b"] * 6}, split=["train"] * 18 + ["test"] * 6)
    for case, policy, fields, said in (
        (vectors, TASK, {}, "are not pictures"),
        (odd, TASK, {"widths": (4, 4, 4)}, "UNet of 3 levels"),
        (one, TASK, {}, "fewer than two classes"),
        (table, Policy(), {}, "needs a task"),
        (table, TASK, {"keep": 0.1}, "keep is 0.1, less than one"),
    ):
        with pytest.raises(SordineError, match=said) as told:
            fit(case, policy, make("masking", {**TINY, **fields}), run=Run(key=KEY))
        assert "\n" not in str(told.value)


# ------------------------------------------------------------------------------------------------- the paper's
# baselines


def test_block_blackens_its_share_in_the_middle() -> None:
    x = np.full((8, 12, 3), 90, np.uint8)
    out = Block(share=0.25).apply(x, lambda n: np.zeros(n))
    expected = x.copy()
    expected[2:6, 3:9] = 0  # half of each side: a quarter of the area
    assert (out == expected).all()
    assert (x == 90).all()


def test_blur_centre_blurs_the_middle_and_nothing_else() -> None:
    x = np.random.default_rng(0).integers(0, 256, (16, 16, 3)).astype(np.uint8)
    out = BlurCentre(share=0.25, kernel=5, sigma=2.0).apply(x, lambda n: np.zeros(n))
    inside = np.zeros((16, 16), bool)
    inside[4:12, 4:12] = True
    assert (out[~inside] == x[~inside]).all()
    # One pixel by hand: the weighted mean of the 5 x 5 around it.
    weights = np.exp(-0.5 * (np.arange(-2, 3) / 2.0) ** 2)
    square = np.outer(weights, weights) / weights.sum() ** 2
    assert (out[8, 8] == np.rint((x[6:11, 6:11] * square[:, :, None]).sum((0, 1)))).all()
    assert np.std(out[inside]) < np.std(x[inside]) / 2


@pytest.mark.parametrize("style", ["block", "blur_centre"])
@pytest.mark.parametrize("share", [0, 1.2, float("nan")])
def test_a_share_out_of_range_is_refused(style: str, share: float) -> None:
    with pytest.raises(SordineError, match="share = "):
        STYLES.make(style, {"share": share})


def test_the_baselines_have_names_on_the_command_line() -> None:
    assert STYLES.make("block", {"share": "0.4"}) == Block(share=0.4)
    assert STYLES.make("blur_centre", {"sigma": "2", "kernel": "13"}) == BlurCentre(kernel=13, sigma=2.0)
    with pytest.raises(SordineError, match="must be odd"):
        STYLES.make("blur_centre", {"kernel": "4"})

"""Replacement: a worked round, moves, variants, resuming, saving, and the effect on a secret."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from sordine.data.synthetic.gaussians import gaussians
from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.keys import Key
from sordine.methods.fit import fit
from sordine.methods.registry import load, make
from sordine.methods.replacement.method import PRESETS, Replacement
from sordine.methods.replacement.modifier import ReplacementModifier
from sordine.methods.replacement.networks import Critic, Perceptron, Stage
from sordine.methods.replacement.training import Editing, Replacing, StageData
from sordine.models.training import Draw, Player, play
from sordine.policy import Policy
from sordine.run import Run
from sordine.workflow.transform import transform
from tests.fixtures.clusters import clusters
from tests.models.test_classifier import Stop, same, stop_after

KEY = Key.of_seed(0)
TINY = {"widths": (2, 4), "discriminator_width": 2, "noise": 2, "batch": 8, "epochs": 1}
MOVES = ("filter", "generator", "filter discriminator", "generator discriminator")


def pictures(n: int = 64, side: int = 8, *, unlabelled: int = 0) -> Table:
    """Grey noise with a bright left or right half, which the attribute `side` names; `shade` is the background."""
    rng = np.random.default_rng(0)
    where, shade = rng.integers(0, 2, n), rng.integers(0, 2, n)
    x = rng.integers(0, 60, (n, 3, side, side)) + 60 * shade[:, None, None, None]
    for i in range(n):
        x[i, :, :, : side // 2] += 120 * (where[i] == 0)
        x[i, :, :, side // 2 :] += 120 * (where[i] == 1)
    labels = [None if i < unlabelled else ("left", "right")[w] for i, w in enumerate(where)]
    ids = [f"face-{i:04d}" for i in range(n)]
    return Table.of(x.astype(np.uint8), {"side": labels, "shade": shade}, ids=ids, source="halves")


def resolved(table: Table, *suppress: str) -> Policy:
    return Policy(suppress).resolve(table.attributes)


# ------------------------------------------------------------------------------------------------- a round by hand


class Move(nn.Module):
    """x + w (+ v where s' is 1): a filter or a generator whose work can be done on paper."""

    noise, classes = 0, 0

    def __init__(self, w: float, v: float = 0.0) -> None:
        super().__init__()
        self.w, self.v = nn.Parameter(torch.tensor(w)), nn.Parameter(torch.tensor(v))

    def forward(self, x: Tensor, noise: Tensor, s: Tensor | None = None) -> Tensor:
        return x + self.w + (0 if s is None else self.v * s.unsqueeze(1))


class Line(nn.Module):
    """Logits (0, a x[, b]) of one number x."""

    def __init__(self, a: float, b: float | None = None) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.tensor(a))
        self.b = None if b is None else nn.Parameter(torch.tensor(b))

    def forward(self, x: Tensor) -> Tensor:
        columns = [torch.zeros_like(x), self.a * x]
        if self.b is not None:
            columns.append(self.b.expand(len(x), 1))
        return torch.cat(columns, 1)


def still(module: nn.Module) -> Player:
    return Player(module, lambda weights: torch.optim.SGD(weights, lr=0.5))


def by_hand(criterion: str = "entropy") -> tuple[Replacing, Table]:
    x = np.array([[0.0], [1.0], [2.0]])
    table = Table.of(x, {"s": ["a", "b", None]}, source="three")
    # p(s') is all on class 1: the draw is then known.
    stage = Stage(Move(0.5), Move(0.25, 1.0), 2, 0)
    stage.shares.copy_(torch.tensor([0.0, 1.0]))
    data = StageData("s", 2, lambda v, _: v, lambda a, b: (a - b).abs().flatten(1).sum(1), uniform=False)
    game = Replacing(
        stage, Line(2.0), Line(1.0, -1.0), data, still, criterion=criterion, epsilons=(0.2, 1.5), penalty=10.0
    )
    return game, table


def softmax(*logits: float) -> np.ndarray:
    e = np.exp(np.array(logits))
    return e / e.sum()


def test_a_round_is_algorithm_1_number_by_number() -> None:
    game, table = by_hand()
    assert tuple(game.moves) == MOVES
    (epoch,) = play(game, Draw(table, 3, ("s",)), 1)
    x = np.array([0.0, 1.0, 2.0])
    x_filtered = x + 0.5  # f before its step; every later term uses this x'
    entropies = [-(p * np.log(p)).sum() for p in (softmax(0, 2 * v) for v in x_filtered)]
    x_new = x_filtered + 0.25 + 1.0  # s' = 1
    new, real = ([softmax(0, v, -1) for v in values] for values in (x_new, x))
    # h_f reads x'; only the two labelled records count.
    read = -(np.log(softmax(0, 2 * 0.5)[0]) + np.log(softmax(0, 2 * 1.5)[1])) / 2
    # The budget of g counts from x, not from x': |x'' - x| is .5 + 1.25.
    expected = {
        "filter/entropy": -np.mean(entropies),
        "filter/over budget": 10 * (0.5 - 0.2) ** 2,
        "generator/insert": -np.mean([np.log(p[1]) for p in new]),
        "generator/over budget": 10 * (1.75 - 1.5) ** 2,
        "filter discriminator/read": read,
        "generator discriminator/tell": -np.mean([np.log(p[2]) for p in new])
        - (np.log(real[0][0]) + np.log(real[1][1])) / 2,
    }
    assert set(epoch.terms) == set(expected)
    for name, value in expected.items():
        assert epoch.terms[name] == pytest.approx(value, abs=1e-5), name


def test_every_move_steps_down_its_own_loss_and_the_generators_does_not_reach_the_filter() -> None:
    game, table = by_hand()
    filters, generator = game.stage.filter, game.stage.generator
    turn = game.round(Draw(table, 3, ("s",)))
    kept = {name: copy.deepcopy(player.module) for name, player in game.players.items()}
    for move in MOVES:
        named, terms = next(turn)
        assert named == move
        before = {name: copy.deepcopy(player.module) for name, player in game.players.items()}
        game.players[move].move(sum(terms.values()))
        assert [n for n, p in game.players.items() if not same(p.module, before[n])] == [move]
    # By hand: d/dw of -H at logit t = 2 (x + w) is 2 p (1 - p) t; of the budget 2 * 10 * (.5 - .2); steps of .5.
    slope = np.mean([2 * softmax(0, t)[1] * softmax(0, t)[0] * t for t in (1.0, 3.0, 5.0)]) + 20 * 0.3
    assert filters.w.item() == pytest.approx(0.5 - 0.5 * slope, abs=1e-5)
    p = [softmax(0, v + 1.75, -1) for v in (0.0, 1.0, 2.0)]
    slope = np.mean([v[1] - 1 for v in p]) + 20 * 0.25
    assert generator.w.item() == pytest.approx(0.25 - 0.5 * slope, abs=1e-5)
    assert generator.v.item() == pytest.approx(1.0 - 0.5 * slope, abs=1e-5)  # s' is 1 everywhere: the same slope
    assert all(not same(player.module, kept[name]) for name, player in game.players.items())


def test_the_likelihood_pushes_towards_the_wrong_class_and_leaves_the_unlabelled_out() -> None:
    game, table = by_hand("likelihood")
    (epoch,) = play(game, Draw(table, 3, ("s",)), 1)
    wrong = -(np.log(softmax(0, 1.0)[1]) + np.log(softmax(0, 3.0)[0])) / 2
    assert epoch.terms["filter/likelihood"] == pytest.approx(wrong, abs=1e-5)


def test_in_a_real_round_only_the_mover_changes_batch_norm_statistics_too() -> None:
    table = pictures()
    own = Replacement(**TINY).settled_for(True)
    torch.manual_seed(0)
    modifier = ReplacementModifier(table.shape, [own._stage(table.shape, 2)], True)
    data = StageData("side", 2, lambda v, _: modifier.onto(v), own._distance(modifier))
    game = own._game(modifier.every[0], data, modifier, 1, "cpu")
    for player in game.players.values():
        player.module.eval()
    turn, draw = game.round, Draw(table, 8, ("side",))
    moves = turn(draw)
    before = {name: copy.deepcopy(player.module) for name, player in game.players.items()}
    for move in game.moves:
        game.players[move].module.train()
        named, terms = next(moves)
        game.players[move].move(sum(terms.values()))
        game.players[move].module.eval()
        changed = [n for n, p in game.players.items() if not same(p.module, before[n])]
        assert changed == [named]
        assert any("running_mean" in k for k in before[named].state_dict())
        before = {name: copy.deepcopy(player.module) for name, player in game.players.items()}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("variant", "moves"),
    [
        ("both", MOVES),
        ("filter", MOVES[::2]),
        ("generator", MOVES[1::2]),
        ("edit", ("critic", "critic", "generator")),
    ],
)
def test_variants_leave_players_out(variant: str, moves: tuple[str, ...]) -> None:
    table = pictures()
    modifier = Replacement(**TINY, variant=variant).fit(table, resolved(table, "side"), Run())
    terms = modifier.card.fit["stages"]["side"]["terms"]
    assert {name.split("/")[0] for name in terms} == set(moves)
    assert (modifier.every[0].filter is None) == (variant in ("generator", "edit"))
    assert (modifier.every[0].generator is None) == (variant == "filter")
    noise = {"both": 2 + 2 + 1, "filter": 2, "generator": 2 + 1, "edit": 1}[variant]
    assert modifier.noise == noise


def test_the_editing_baseline_is_stargans_terms() -> None:
    x = np.array([[0.0], [1.0], [3.0]])
    table = Table.of(x, {"s": ["a", "b", None]}, source="three")
    stage = Stage(None, Move(0.25, 1.0), 2, 0)
    stage.shares.copy_(torch.tensor([0.0, 1.0]))

    class Judge(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Parameter(torch.tensor(3.0))

        def forward(self, v: Tensor) -> tuple[Tensor, Tensor]:
            return self.a * v, torch.cat([torch.zeros_like(v), v], 1)

    data = StageData("s", 2, lambda v, _: v, lambda a, b: (a - b).abs().flatten(1).sum(1), uniform=False)
    game = Editing(
        stage, Judge(), data, lambda m: Player(m, lambda w: torch.optim.SGD(w, lr=0.0)), cycle=5.0, critic_steps=2
    )
    assert tuple(game.moves) == ("critic", "critic", "generator")
    (epoch,) = play(game, Draw(table, 3, ("s",)), 1)
    real, fake = np.array([0.0, 1.0, 3.0]), np.array([0.0, 1.0, 3.0]) + 1.25
    back = [fake[0] + 0.25, fake[1] + 1.25]  # with their own s; the unlabelled record has no way back
    means = {
        "critic/wasserstein": 2 * 3 * (fake.mean() - real.mean()),  # two critic moves of a round are summed
        "critic/gradient penalty": 2 * 10 * (3 - 1) ** 2,
        "critic/class": -2 * (np.log(softmax(0, 0)[0]) + np.log(softmax(0, 1)[1])) / 2,
        "generator/wasserstein": -3 * fake.mean(),
        "generator/class": -np.mean([np.log(softmax(0, v)[1]) for v in fake]),
        "generator/cycle": 5 * np.mean([abs(back[0] - 0.0), abs(back[1] - 1.0)]),
    }
    assert set(epoch.terms) == set(means)
    for name, value in means.items():
        assert epoch.terms[name] == pytest.approx(value, abs=1e-4), name


def test_stargans_critic_has_patches_and_classes_and_no_batch_norm() -> None:
    net = Critic(3, 4, 8, (32, 32))
    source, domain = net(torch.rand(5, 3, 32, 32))
    assert source.shape == (5, 4)  # 2 x 2 patches
    assert domain.shape == (5, 4)
    assert not [m for m in net.modules() if isinstance(m, nn.BatchNorm2d)]


# ------------------------------------------------------------------------------------------------- the modifier


@pytest.fixture(scope="module")
def small() -> tuple[ReplacementModifier, Table]:
    table = pictures(96, unlabelled=10)
    modifier = Replacement(**TINY).fit(table, resolved(table, "side", "shade"), Run(key=KEY))
    modifier.fitted = KEY.digest("fitted", table.ids, 8)
    return modifier, table


@pytest.mark.slow
def test_pictures_come_back_as_pictures_and_bits_depend_on_record_and_key_alone(small) -> None:
    modifier, table = small
    released, _ = modifier.release(table.x, table.ids, KEY)
    assert released.dtype == np.uint8
    assert released.shape == table.x.shape
    order = np.random.default_rng(0).permutation(len(table))[:70]
    again, _ = modifier.release(table.x[order], table.ids[order], KEY, workers=1)
    assert (again == released[order]).all()
    other, _ = modifier.release(table.x, table.ids, Key.of_seed(1))
    assert (other != released).any()


def test_saved_and_loaded_it_gives_the_same_bits(small, tmp_path: Path) -> None:
    modifier, table = small
    modifier.save(tmp_path / "m")
    loaded = load(tmp_path / "m")
    assert (loaded.release(table.x, table.ids, KEY)[0] == modifier.release(table.x, table.ids, KEY)[0]).all()
    assert loaded.noise == modifier.noise == 2 * (2 + 2 + 1)
    assert loaded.block == 64
    card = json.loads((tmp_path / "m" / "modifier.json").read_text())
    assert card["fields"]["epsilon_filter"] == card["fields"]["epsilon_generator"] == 0.01
    assert not {"left", "right"} & set(json.dumps(card).replace('"', " ").split())


def test_what_is_drawn_is_what_is_put_in(small) -> None:
    fitted, table = small
    modifier = copy.deepcopy(fitted)
    for stage in modifier.every:
        stage.generator.net.from_class.weight.data *= 1000  # after one epoch s' hardly shows
        stage.generator.net.last.weight.data += 1.0
    x = table.batch(slice(0, 40))
    noise = torch.rand(40, modifier.noise, generator=torch.Generator().manual_seed(0))
    drawn = modifier.drawn(noise)
    assert drawn.shape == (40, 2)
    assert drawn[:, 0].tolist() == (noise[:, 4] >= 0.5).long().tolist()  # z1, z2, then s' of the first stage
    assert drawn[:, 1].tolist() == (noise[:, 9] >= 0.5).long().tolist()
    with torch.no_grad():
        released, shown = modifier(x, noise).x, modifier.pictures(x, noise)
        assert list(shown) == ["filtered", "side: s' = 0", "side: s' = 1", "shade: s' = 0", "shade: s' = 1"]
        for stage, name in enumerate(("side", "shade")):
            for code in (0, 1):
                rows = drawn[:, stage] == code
                assert rows.any()
                assert torch.allclose(shown[f"{name}: s' = {code}"][rows], released[rows], atol=1e-3)
                assert not torch.allclose(shown[f"{name}: s' = {code}"][~rows], released[~rows], atol=1e-3)
        # The first stage whole, then the second's filter alone.
        first, second = modifier.every
        z = noise.split([5, 5], 1)
        by_hand = second.filtered(first(x / 255, z[0]), z[1]) * 255
        assert torch.allclose(shown["filtered"], by_hand, atol=1e-3)


def test_s_is_drawn_by_its_shares() -> None:
    stage = Stage(None, Perceptron(3, (4,), 0.0, noise=0, classes=3), 3, 0)
    stage.shares.copy_(torch.tensor([0.25, 0.0, 0.75]))
    u = torch.tensor([[0.0], [0.2499], [0.25], [0.99999994]])
    assert stage.drawn(u).tolist() == [0, 0, 2, 2]
    stage.shares.copy_(torch.tensor([0.5, 0.5, 0.0]))
    assert stage.drawn(u).tolist() == [0, 0, 0, 1]


def test_p_of_s_can_be_the_datas() -> None:
    table = clusters(200)
    modifier = Replacement(epochs=1, synthetic="data").fit(table, resolved(table, "person"), Run())
    counts = np.bincount(table.y["person"])
    assert np.allclose(modifier.every[0].shares, counts / counts.sum(), atol=1e-6)
    plain = Replacement(epochs=1).fit(table, resolved(table, "person"), Run())
    assert torch.allclose(plain.every[0].shares, torch.full((4,), 0.25))


def test_a_filter_alone_draws_nothing() -> None:
    table = clusters(100)
    modifier = Replacement(epochs=1, variant="filter").fit(table, resolved(table, "person"), Run())
    with pytest.raises(SordineError, match="draws no synthetic value"):
        modifier.drawn(torch.rand(3, modifier.noise))
    x, noise = table.batch(slice(0, 5)), torch.rand(5, modifier.noise)
    assert torch.equal(modifier(x, noise).x, modifier.filtered(x, noise))
    assert modifier.pictures(x, noise) == {}


def test_vectors_are_standardised_and_a_constant_column_stays() -> None:
    table = clusters(200)
    x = table.x.copy()
    x[:, 3] = 7.0
    table = table.with_x(x)
    modifier = Replacement(epochs=1, distance="l2", epsilon=0.3).fit(table, resolved(table, "sex"), Run())
    released = transform(modifier_with(modifier, table), table, KEY)
    assert (released.x[:, 3] == 7).all()
    v = modifier.onto(table.batch(slice(0, None)))
    assert torch.allclose(v.std(0, correction=0)[:3], torch.ones(3), atol=1e-3)
    # In the table's own scale: the distance of two records is that of their numbers.
    a, b = v[:5], v[5:10]
    apart = np.linalg.norm(x[:5] - x[5:10], axis=1)
    assert np.allclose(Replacement(distance="l2")._distance(modifier)(a, b), apart, rtol=1e-4)


def test_windows_of_three_axes_that_are_no_pictures_are_vectors(tmp_path: Path) -> None:
    table = clusters(100)
    table = table.with_x(table.x.reshape(100, 1, 3, 4))
    modifier = modifier_with(Replacement(epochs=1).fit(table, resolved(table, "person"), Run()), table)
    assert isinstance(modifier.every[0].filter, Perceptron)
    released, _ = modifier.release(table.x, table.ids, KEY)
    assert released.shape == table.x.shape
    modifier.save(tmp_path / "m")
    assert (load(tmp_path / "m").release(table.x, table.ids, KEY)[0] == released).all()


def modifier_with(modifier: ReplacementModifier, table: Table) -> ReplacementModifier:
    modifier.fitted = KEY.digest("fitted", table.ids, 8)
    return modifier


# ------------------------------------------------------------------------------------------------- fits


@pytest.mark.slow
@pytest.mark.parametrize("variant", ["both", "edit"])
def test_a_resumed_fit_equals_an_uninterrupted_one(tmp_path: Path, variant: str) -> None:
    table = pictures(24)
    method = replace(Replacement(**TINY, variant=variant), epochs=6)
    policy = resolved(table, "side", "shade") if variant == "both" else resolved(table, "side")
    whole = method.fit(table, policy, Run())
    for stops in (5, 6) if variant == "both" else (5,):  # after the fifth epoch, then at the first stage's end
        with pytest.raises(Stop):
            method.fit(table, policy, Run(folder=tmp_path, progress=stop_after(stops)))
    resumed = method.fit(table, policy, Run(folder=tmp_path))
    assert same(whole, resumed)
    assert whole.card.fit == resumed.card.fit
    assert list(tmp_path.glob("replacement-1-epoch-*.png"))  # pictures of how it went


def test_a_second_stage_learns_on_what_the_first_released() -> None:
    table = clusters(200)
    seen = []

    class Watching(Replacement):
        def _game(self, stage, data, modifier, epochs, device):
            draw = Draw(table, 16, (), seed=0)
            x = table.batch(slice(0, 16))
            seen.append((data.attribute, float((data.onto(x, draw) - modifier.onto(x)).abs().max())))
            return super()._game(stage, data, modifier, epochs, device)

    Watching(epochs=1).fit(table, resolved(table, "person", "word"), Run())
    assert [name for name, _ in seen] == ["person", "word"]
    assert seen[0][1] == 0
    assert seen[1][1] > 0.01


def plane_fit(**fields) -> tuple[ReplacementModifier, Table, Table]:
    table = gaussians(3000, 0, test=1000)
    train, unseen = table.part("train"), table.part("test")
    given = {
        "distance": "l2",
        "batch": 64,
        "lr": 3e-3,
        "judge_lr": 3e-3,
        "dropout": 0.0,
        "hidden": (32, 32),
        "epochs": 16,
    } | fields
    return Replacement(**given).fit(train, Policy(("secret",), (), ()), Run()), train, unseen


def read_again(say, train: Table, unseen: Table) -> float:
    """Accuracy of a linear attacker retrained on what `say` gives."""
    model = LogisticRegression().fit(say(train), train.y["secret"])
    return float(model.score(say(unseen), unseen.y["secret"]))


@pytest.mark.slow
def test_on_the_plane_the_generator_hides_more_than_the_filter_and_the_fixed_line_reads_s() -> None:
    modifier, train, unseen = plane_fit(epsilon=2.0)
    noise = {
        id(t): torch.rand(len(t), modifier.noise, generator=torch.Generator().manual_seed(1)) for t in (train, unseen)
    }

    @torch.no_grad()
    def released(t: Table) -> np.ndarray:
        return modifier(t.batch(slice(0, None)), noise[id(t)].clamp(1e-6, 1 - 1e-6)).x.numpy()

    assert read_again(lambda t: np.asarray(t.x), train, unseen) > 0.93
    assert read_again(released, train, unseen) < 0.72
    # The best fixed classifier of the originals is the line x0 = x1; it reads what was drawn.
    x, drawn = released(unseen), modifier.drawn(noise[id(unseen)])[:, 0].numpy()
    assert np.mean((x[:, 0] > x[:, 1]) == drawn) > 0.9
    assert modifier.card.fit["distortion"] < 2.2


@pytest.mark.slow
def test_a_small_budget_is_kept() -> None:
    modifier, _, _ = plane_fit(epsilon=0.2, epochs=6)
    assert modifier.card.fit["distortion"] < 0.3
    assert modifier.card.fit["distortion_filtered"] < 0.3
    assert "moved by" in modifier.card.notes[-1]


def test_separate_budgets() -> None:
    own = Replacement(epsilon=0.5, epsilon_filter=0.1).settled_for(True)
    assert (own.epsilon_filter, own.epsilon_generator) == (0.1, 0.5)
    assert Replacement(preset="paper").settled_for(True).widths == (32, 64, 128, 256, 512)
    assert Replacement(preset="paper").settled_for(True).lr == 5e-4
    assert Replacement(preset="paper").settled_for(False).noise == 2
    assert set(PRESETS["paper"]) == set(PRESETS["small"])


def test_bad_input_gives_one_line() -> None:
    table = pictures(32)
    for settings, message in [
        ({"variant": "boht"}, "variant"),
        ({"criterion": "entropi"}, "criterion"),
        ({"epsilon": -1}, "epsilon"),
        ({"epsilon_filter": float("nan")}, "epsilon_filter"),
        ({"widths": ()}, "widths"),
        ({"widths": (16,)}, "widths"),
        ({"lr": 0}, "lr"),
        ({"beta2": 1.0}, "beta2"),
        ({"dropout": -0.1}, "dropout"),
    ]:
        with pytest.raises(SordineError, match=f": {message} = ") as error:
            make("replacement", settings)
        assert "\n" not in str(error.value)
    with pytest.raises(SordineError, match="at least one attribute to suppress"):
        fit(table, Policy((), ("side",), ()), "replacement", run=Run())
    with pytest.raises(SordineError, match="UNet of 5 levels needs sides that are multiples of 16"):
        Replacement(**TINY | {"widths": (2, 2, 2, 2, 2)}).fit(table, resolved(table, "side"), Run())


def test_players_are_adams_of_the_fields() -> None:
    table = pictures(32)
    own = Replacement(preset="paper", widths=(2, 4), discriminator_width=2, noise=2).settled_for(True)
    modifier = ReplacementModifier(table.shape, [own._stage(table.shape, 2)], True)
    data = StageData("side", 2, lambda v, _: v, own._distance(modifier))
    game = own._game(modifier.every[0], data, modifier, 1, "cpu")
    for player in game.players.values():
        assert isinstance(player, Player)
        assert isinstance(player.optimiser, torch.optim.Adam)
        group = player.optimiser.param_groups[0]
        assert (group["lr"], group["betas"]) == (5e-4, (0.9, 0.999))
    # h_f is a ResNet-18 of as many classes as the attribute has, h_g a ResNet-10 with one more.
    assert game.reader.fc.out_features == 2
    assert game.judge.fc.out_features == 3
    assert [len(getattr(game.reader, f"layer{i}")) for i in range(1, 5)] == [2, 2, 2, 2]
    assert [len(getattr(game.judge, f"layer{i}")) for i in range(1, 5)] == [1, 1, 1, 1]

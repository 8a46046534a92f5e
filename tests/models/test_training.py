from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from sordine.data.table import Table
from sordine.models.training import Draw, Player, play, resume_game, save_game
from tests.fixtures.clusters import clusters


def sgd(rate: float = 0.1):
    return lambda weights: torch.optim.SGD(weights, lr=rate)


class Duel:
    """A filter that wants to fool, a guesser that wants to read; batch norm in both shows who is in training mode."""

    moves = ("filter", "guess")

    def __init__(self, width: int) -> None:
        self.filter = nn.Sequential(nn.Linear(width, width), nn.BatchNorm1d(width))
        self.guess = nn.Sequential(nn.Linear(width, 3), nn.BatchNorm1d(3))
        self.players = {"filter": Player(self.filter, sgd()), "guess": Player(self.guess, sgd())}
        self.modes: list[tuple[bool, bool]] = []

    def round(self, draw: Draw) -> Iterator:
        batch = draw()
        released = self.filter(batch.x)
        self.modes.append((self.filter.training, self.guess.training))
        yield "filter", {"fool": -functional.cross_entropy(self.guess(released), batch.y["word"])}
        self.modes.append((self.filter.training, self.guess.training))
        yield "guess", {"read": functional.cross_entropy(self.guess(self.filter(batch.x)), batch.y["word"])}


def weights(module: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten().clone() for p in module.parameters()])


def test_a_move_changes_its_own_player_only_and_only_that_player_trains():
    table = clusters(64)
    torch.manual_seed(0)
    game, draw = Duel(table.width), Draw(table, 64, ["word"])
    before = weights(game.guess), weights(game.filter)
    turn = game.round(draw)
    for player in game.players.values():
        player.module.eval()
    name, terms = next(turn)
    game.players[name].move(sum(terms.values()))
    assert (weights(game.guess) == before[0]).all()  # though the loss flowed through it
    assert (weights(game.filter) != before[1]).any()
    assert all(p.grad is None for p in game.guess.parameters())
    game.modes.clear()
    list(play(game, draw, 1))
    assert game.modes == [(True, False), (False, True)]
    assert not game.filter.training
    assert not game.guess.training


def test_terms_are_the_mean_over_the_rounds():
    table = Table.of(np.arange(8, dtype=np.float32)[:, None], {})

    class Mean:
        moves = ("only",)

        def __init__(self) -> None:
            self.module = nn.Linear(1, 1, bias=False)
            nn.init.ones_(self.module.weight)
            self.players = {"only": Player(self.module, sgd(0.0))}

        def round(self, draw: Draw) -> Iterator:
            yield "only", {"value": self.module(draw().x).mean(), "half": self.module(draw().x).mean() * 0 + 0.5}

    epochs = list(play(Mean(), Draw(table, 4), 2))
    assert [e.number for e in epochs] == [1, 2]
    assert epochs[0].terms["only/half"] == 0.5
    assert 0 < epochs[0].terms["only/value"] < 7


def test_a_pass_sees_every_record_once_and_sources_differ():
    table, other = clusters(100), clusters(30, seed=1)
    draw = Draw(table, 25, ["word"], others={"pool": other})
    rows = torch.cat([draw().rows for _ in range(4)])
    assert sorted(rows.tolist()) == list(range(100))
    pooled = draw("pool")
    assert len(pooled.x) == 25
    assert (pooled.x.numpy() == other.x[pooled.rows.numpy()]).all()
    assert (draw().y["word"].numpy() == table.y["word"][draw().rows.numpy()]).shape


def test_mapped_tables_give_the_same_batches(tmp_path: Path):
    table = clusters(60)
    np.save(tmp_path / "x.npy", table.x)
    mapped = table.with_x(np.load(tmp_path / "x.npy", mmap_mode="r")).take(np.arange(60))
    a, b = Draw(table, 20, ["sex"], seed=5), Draw(mapped, 20, ["sex"], seed=5)
    for _ in range(5):
        one, two = a(), b()
        assert (one.x == two.x).all()
        assert (one.y["sex"] == two.y["sex"]).all()


def test_resuming_equals_never_having_stopped(tmp_path: Path):
    table = clusters(128)

    def fresh() -> tuple[Duel, Draw]:
        torch.manual_seed(0)
        game = Duel(table.width)
        game.players = {
            name: Player(
                getattr(game, name),
                lambda w: torch.optim.AdamW(w, lr=0.01),
                lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 6),
            )
            for name in ("filter", "guess")
        }
        return game, Draw(table, 32, ["word"], seed=3)

    whole, draw = fresh()
    list(play(whole, draw, 6))
    first, draw = fresh()
    for epoch in play(first, draw, 6):
        if epoch.number == 4:
            save_game(tmp_path / "game.safetensors", first, draw, 4)
            break
    second, draw = fresh()
    start = resume_game(tmp_path / "game.safetensors", second, draw)
    assert start == 4
    list(play(second, draw, 6, start=start))
    assert torch.equal(weights(whole.filter), weights(second.filter))
    assert torch.equal(weights(whole.guess), weights(second.guess))
    assert resume_game(tmp_path / "none", second, draw) == 0


def test_what_is_left_of_a_pass_survives_an_interruption(tmp_path):
    table, pool = clusters(64), clusters(80)
    game, draw = Duel(table.width), Draw(table, 16, ["word"], others={"pool": pool})
    for _ in range(3):
        draw("pool")  # two of the pool's five batches are left
    save_game(tmp_path / "game.safetensors", game, draw, 1)
    other = Draw(table, 16, ["word"], seed=7, others={"pool": pool})
    resume_game(tmp_path / "game.safetensors", Duel(table.width), other)
    for _ in range(7):
        assert torch.equal(draw("pool").rows, other("pool").rows)
        assert torch.equal(draw().rows, other().rows)


def test_wrong_moves_and_broken_losses_stop_the_game():
    table = clusters(32)
    game = Duel(table.width)
    game.moves = ("guess", "filter")
    with pytest.raises(RuntimeError, match="moved 'filter' where 'guess' was announced"):
        list(play(game, Draw(table, 32, ["word"]), 1))
    game = Duel(table.width)
    with torch.no_grad():
        game.filter[0].weight.fill_(float("nan"))
    with pytest.raises(FloatingPointError, match="epoch 1"):
        list(play(game, Draw(table, 32, ["word"]), 1))


def test_a_game_that_was_changed_begins_anew(tmp_path):
    table, file = clusters(64), tmp_path / "game.safetensors"
    game, draw = Duel(table.width), Draw(table, 16, ["word"])
    save_game(file, game, draw, 2)
    whole = file.read_bytes()
    assert resume_game(file, Duel(table.width), draw) == 2
    for bad in (whole[:100], whole[:-3] + bytes([whole[-3] ^ 1]) + whole[-2:]):
        file.write_bytes(bad)
        assert resume_game(file, Duel(table.width), draw) == 0

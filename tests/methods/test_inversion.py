"""The inversion method: a round by hand-worked numbers, who learns on which pictures, and what is released."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from sordine.attacks.reconstruction.decoder import DecoderOptions, judge, rebuild, train_decoder
from sordine.data.splits import public_rows
from sordine.data.synthetic.faces import faces
from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.keys import Key
from sordine.methods.fit import fit
from sordine.methods.inversion.method import HUB, Inversion, Protecting
from sordine.methods.inversion.networks import decoder_of
from sordine.methods.registry import load, make
from sordine.metrics.accuracy import accuracy
from sordine.models.modifier import Modifier
from sordine.models.perceptual import Perceptual
from sordine.models.training import Batch, Draw, play, seeded
from sordine.policy import Policy
from sordine.run import Run

KEY = Key.of_seed(0)
TASK = Policy(preserve=("corner",))
TINY: dict[str, Any] = {"encoder": "resnet10", "width": 8, "fc": 6, "hidden": 5, "steps": 6, "batch": 16}


def squares(n: int = 96, seed: int = 0, side: int = 16) -> Table:
    """Grey pictures with a bright corner (the task: which of two) and a middle of any colour (nobody's task)."""
    rng = np.random.default_rng(seed)
    corner, third = rng.integers(0, 2, n), rng.integers(0, 3, n)
    x = rng.integers(90, 110, (n, 3, side, side)).astype(np.uint8)
    x[:, :, 5:11, 5:11] = rng.integers(0, 256, (n, 3, 1, 1))
    for i, which in enumerate(corner):
        x[i, :, :4, slice(0, 4) if which else slice(-4, None)] = 250
    return Table.of(x, {"corner": corner, "third": third}, ids=[f"r{i}" for i in range(n)], source="squares")


def tiny(table: Table, classes: dict[str, int], see: Perceptual | None = None, **fields: Any) -> Protecting:
    own = Inversion(**{**TINY, **fields}).settled()
    with seeded(0, "test"):
        task = own.network(table.shape, classes)
        decoder = decoder_of(task.net, own.cut, (3, *table.shape[1:]))
        return Protecting(own, task, decoder, see, tuple(classes), table.shape, 1)


class Given:
    """Hands out one batch of each source and remembers what was asked."""

    device = torch.device("cpu")

    def __init__(self, private: Batch, public: Batch) -> None:
        self.batches, self.asked = {"records": private, "public": public}, list[str]()

    def __call__(self, source: str = "records") -> Batch:
        self.asked.append(source)
        return self.batches[source]


def seen_as_it_is() -> Perceptual:
    """g whose only layer is the picture itself, in -1 to 1."""
    return Perceptual(nn.ModuleList([nn.Identity()]), (0.5,) * 3, (0.5,) * 3)


def test_a_rounds_terms_are_those_worked_by_hand() -> None:
    table = squares(4)
    game = tiny(table, {"corner": 2, "third": 3}, seen_as_it_is(), lambda1=1.0, lambda2=3.0, mu1=0.5, mu2=2.0)
    # Nothing is read and nothing is drawn: every logit is 0, every rebuilt pixel tanh(0) = 0.
    for layer in (game.decoder.layers[-2], game.task.head[-1], game.discriminator.fc):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    # 191.25 / 255 = .75, which is .5 in -1 to 1; 255 is 1.
    labels = {"corner": torch.tensor([0, 1, 1, -1]), "third": torch.tensor([0, 1, 2, 2])}
    private = Batch(torch.full((4, 3, 16, 16), 191.25), labels, torch.arange(4))
    public = Batch(torch.full((4, 3, 16, 16), 255.0), {}, torch.arange(4))
    draw = Given(private, public)
    named = game.round(draw)  # type: ignore[arg-type]
    moves = {name: {k: v.item() for k, v in terms.items()} for name, terms in named}
    assert draw.asked == ["public", "records"]  # the decoder's pictures are X2's, the encoder's X1's
    assert list(moves) == ["decoder", "discriminator", "encoder"]
    assert moves["decoder"] == pytest.approx({"pixel": 1.0, "fools": 0.5 * math.log(0.5), "perceptual": 2 * 1.0})
    assert moves["discriminator"] == pytest.approx({"tells": 2 * math.log(2)})
    task = (math.log(2) + math.log(3)) / 2
    assert moves["encoder"] == pytest.approx({"task": task, "pixel": -0.25, "perceptual": -3 * 0.25})


def test_terms_agree_with_numpy_on_what_the_networks_say() -> None:
    table = squares(8)
    game = tiny(table, {"corner": 2, "third": 3}, lambda1=2.0)
    private, public = (
        Batch(table.batch(s), {a: torch.from_numpy(table.y[a][s]) for a in table.y}, torch.arange(4))
        for s in (slice(0, 4), slice(4, 8))
    )
    game.task.eval(), game.decoder.eval()
    named = game.round(Given(private, public))  # type: ignore[arg-type]
    moves = {name: {k: v.item() for k, v in terms.items()} for name, terms in named}
    with torch.no_grad():
        said = [v.numpy().astype(np.float64) for v in game.task.classify(game.task.encode(private.x / 255))]
        rebuilt = [game.decoder(game.task.encode(b.x / 255)).numpy() for b in (public, private)]
    errors = [np.mean((r - (b.x.numpy() / 127.5 - 1)) ** 2) for r, b in zip(rebuilt, (public, private), strict=True)]
    read = []
    for logits, name in zip(said, ("corner", "third"), strict=True):
        share = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        read.append(-np.log(share[np.arange(4), private.y[name].numpy()]).mean())
    assert moves["decoder"] == pytest.approx({"pixel": errors[0]}, rel=1e-5)
    assert moves["encoder"] == pytest.approx({"task": np.mean(read), "pixel": -2 * errors[1]}, rel=1e-5)


def test_a_move_moves_its_own_player_alone() -> None:
    table = squares(32)
    game = tiny(table, {"corner": 2}, seen_as_it_is(), lambda1=1.0, lambda2=1.0, mu1=1.0, mu2=1.0)
    modules = {"decoder": game.decoder, "discriminator": game.discriminator, "encoder": game.task}
    draw = Draw(table, 16, ("corner",), others={"public": squares(16, 1)})
    draw.rounds = 1

    def state() -> dict[str, dict[str, Tensor]]:
        return {name: copy.deepcopy(module.state_dict()) for name, module in modules.items()}

    before, seen = state(), list[tuple[str, dict[str, set[str]]]]()
    for name, player in game.players.items():

        def move(loss: Tensor, player: Any = player, name: str = name) -> None:
            nonlocal before
            type(player).move(player, loss)
            after = state()
            changed = {m: {k for k in after[m] if not torch.equal(after[m][k], before[m][k])} for m in modules}
            seen.append((name, changed))
            before = after

        player.move = move  # type: ignore[method-assign]
    list(play(game, draw, 1))
    assert [name for name, _ in seen] == ["decoder", "discriminator", "encoder"]
    for name, changed in seen:
        weights = {k for k, w in modules[name].named_parameters()}
        assert weights <= changed[name], f"{name}: a weight did not move"
        assert any("running_mean" in k for k in changed[name])
        # The others keep their weights and the statistics of their batch norms. (Its own change while it is looked at.)
        assert all(not changed[other] for other in modules if other != name), (name, changed)


def test_without_weights_no_decoder_takes_part() -> None:
    game = tiny(squares(8), {"corner": 2}, lambda1=0.0)
    assert game.moves == ("encoder",)
    assert tiny(squares(8), {"corner": 2}, decoder_steps=3, mu1=1.0).moves == (
        *("decoder", "discriminator") * 3,
        "encoder",
    )


def test_public_pictures_are_a_keyed_share_and_whole_groups() -> None:
    table = squares(100)
    rows = public_rows(KEY, table.ids, None, 0.2)
    assert rows.sum() == 20
    order = np.random.default_rng(1).permutation(100)
    again = public_rows(KEY, table.ids[order], None, 0.2)
    assert set(table.ids[rows]) == set(table.ids[order][again])
    assert (public_rows(Key.of_seed(1), table.ids, None, 0.2) != rows).any()
    grouped = Table.of(table.x, {"corner": table.y["corner"]}, ids=table.ids, group=np.arange(100) // 10)
    rows = public_rows(KEY, grouped.ids, grouped.group, 0.25)
    assert rows.sum() == 30  # whole groups until the share is reached
    assert grouped.group is not None
    assert not set(grouped.group[rows]) & set(grouped.group[~rows])


def test_the_pool_is_x2_where_it_is_given() -> None:
    table, pool = squares(48), squares(24, 5)
    own = Inversion(**TINY).settled()
    private, public = own.sides(table, Run(), pool)
    assert private is table
    assert public is pool
    modifier = fit(table, TASK, make("inversion", TINY), pool=pool, run=Run(key=KEY))
    assert modifier.card.fit["records_x1"] == 36
    assert modifier.card.fit["records_x2"] == 24
    assert any("24 pictures of squares" in note for note in modifier.card.notes)


@pytest.mark.parametrize(
    ("cut", "shape"),
    [
        ("conv1", (8, 8, 8)),
        ("conv2", (8, 8, 8)),
        ("conv3", (16, 4, 4)),
        ("conv4", (32, 2, 2)),
        ("avgpool", (64,)),
        ("fc", (6,)),
    ],
)  # fmt: skip
def test_every_cut_releases_its_stage(cut: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    table = squares(40)
    modifier = fit(table, TASK, make("inversion", {**TINY, "steps": 2, "cut": cut}), run=Run(key=KEY))
    assert modifier.output_shape == shape
    z, index = modifier.release(table.x, table.ids, KEY)
    assert z.shape == (40, *shape)
    assert z.dtype == np.float32
    assert index is None
    said = modifier.predict(torch.from_numpy(z))["corner"]
    torch.testing.assert_close(said.sum(1), torch.ones(40))
    # f of z is the whole network's answer.
    whole = modifier.task.head(modifier.task.net(table.batch(slice(None)) / 255)).softmax(1)
    torch.testing.assert_close(said, whole, rtol=1e-3, atol=1e-4)


def test_saved_and_loaded_it_gives_the_same_bits(tmp_path: Path) -> None:
    table = squares(70)
    modifier = fit(table, TASK, make("inversion", TINY), run=Run(key=KEY))
    modifier.save(tmp_path / "m")
    other = load(tmp_path / "m")
    z, again = (m.release(table.x, table.ids, KEY)[0] for m in (modifier, other))
    assert z.tobytes() == again.tobytes()
    assert isinstance(other, type(modifier))
    assert other.card.fit["classes"] == {"corner": 2}
    torch.testing.assert_close(
        modifier.predict(torch.from_numpy(z))["corner"], other.predict(torch.from_numpy(z))["corner"]
    )
    # Neither the decoder that it was trained against nor any picture is in the directory.
    assert not [k for k in other.state_dict() if "decoder" in k]


def test_bits_depend_on_the_record_alone() -> None:
    table = squares(150)
    modifier = fit(table, TASK, make("inversion", {**TINY, "steps": 2}), run=Run(key=KEY))
    z = modifier.release(table.x, table.ids, KEY)[0]
    order = np.random.default_rng(0).permutation(150)
    mixed = modifier.release(table.x[order], table.ids[order], KEY, workers=1)[0]
    assert z[order].tobytes() == mixed.tobytes()
    few = modifier.release(table.x[:3], table.ids[:3], Key.of_seed(9))[0]
    assert few.tobytes() == z[:3].tobytes()


@pytest.mark.slow
def test_resuming_equals_never_having_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sordine.models.training.SAVE_SECONDS", math.inf)  # on a busy day an epoch more would be saved
    table = squares(60)
    method = make("inversion", {**TINY, "steps": 48, "mu1": 0.1, "batch": 16})

    def weights(modifier: Modifier) -> dict[str, Tensor]:
        return modifier.state_dict()

    class Stopped(Exception):
        pass

    def stop(what: str, done: int, of: int) -> None:
        if done == 8:
            raise Stopped

    whole = fit(table, TASK, method, run=Run(key=KEY))
    with pytest.raises(Stopped):
        fit(table, TASK, method, run=Run(key=KEY, folder=tmp_path, progress=stop))
    epochs = []
    again = fit(table, TASK, method, run=Run(key=KEY, folder=tmp_path, progress=lambda w, d, o: epochs.append(d)))
    assert epochs[0] == 6  # it went on after the fifth, the last that was saved
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(again)[name]), name
    sheets = sorted(p.name for p in tmp_path.glob("*.png"))
    assert sheets
    assert sheets[-1].startswith("inversion-epoch-")


def test_the_perceptual_network_is_vgg_where_it_is_given_else_a_reader(tmp_path: Path) -> None:
    table = squares(60)
    with pytest.raises(SordineError, match=r"no\.pth does not exist"):
        fit(table, TASK, make("inversion", {**TINY, "lambda2": 1.0, "perceptual_weights": str(tmp_path / "no.pth")}))
    own = make(
        "inversion", {**TINY, "steps": 2, "lambda2": 1.0, "mu2": 1.0, "perceptual_epochs": 1, "perceptual_width": 8}
    )
    modifier = fit(table, TASK, own, run=Run(key=KEY))
    assert "encoder/perceptual" in modifier.card.fit["terms"]
    assert "decoder/perceptual" in modifier.card.fit["terms"]
    assert not [k for k in modifier.state_dict() if "stages" in k]
    assert HUB == "hub"
    named = make("inversion", {**TINY, "lambda2": 1.0, "perceptual_attribute": "nobody"})
    with pytest.raises(SordineError, match="no attribute 'nobody'"):
        fit(table, TASK, named, run=Run(key=KEY))


def test_perceptual_weights_that_take_no_part_are_told_of_before_training(tmp_path: Path) -> None:
    weights = {"perceptual_weights": str(tmp_path / "no.pth")}
    told = "perceptual_weights has no effect: it needs lambda2 above 0, or mu2 and lambda1 above 0."
    said: list[str] = []
    run = Run(key=KEY, log=said.append, progress=lambda *done: said.append("trains"))
    modifier = fit(squares(60), TASK, make("inversion", {**TINY, "steps": 1, **weights}), run=run)
    assert said.index(told) < said.index("trains")
    assert told in modifier.card.notes
    for fields, idle in (
        ({"mu2": 1.0, "lambda1": 0.0}, True),
        ({"mu2": 1.0}, False),
        ({"lambda2": 1.0, "lambda1": 0.0}, False),
    ):
        assert (told in Inversion(**weights, **fields).unused()) == idle
    assert "perceptual_attribute" in Inversion(perceptual_attribute="third").unused()[0]
    both = Inversion(perceptual_weights="w.pt", perceptual_attribute="third", lambda2=1.0)
    assert both.unused() == ["perceptual_attribute has no effect: perceptual_weights are given."]
    assert Inversion().unused() == []


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"preset": "big"}, "preset"),
        ({"cut": "conv9"}, "cut"),
        ({"encoder": "vgg"}, "encoder"),
        ({"encoder": ""}, "encoder"),
        ({"lambda1": -1}, "lambda1"),
        ({"mu2": math.inf}, "mu2"),
        ({"steps": 0}, "steps"),
        ({"batch": 1}, "batch"),
        ({"lr": 1e300}, "lr"),
        ({"decoder_steps": 0}, "decoder_steps"),
        ({"public_share": 1.0}, "public_share"),
        ({"nonsense": 1}, "nonsense"),
    ],
)
def test_bad_settings_are_refused_in_one_line(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(SordineError) as error:
        make("inversion", settings)
    assert says in str(error.value)
    assert "\n" not in str(error.value)


def test_bad_tables_are_refused_in_one_line() -> None:
    table = squares(40)
    vectors = Table.of(np.zeros((40, 5), np.float32) + np.arange(40)[:, None], {"corner": table.y["corner"]})
    for some, policy, pool, says in (
        (vectors, TASK, None, "are not pictures"),
        (table, Policy(), None, "needs a task"),
        (table, TASK, table, "the pool holds record 'r"),
        (table, TASK, squares(8, side=32), "pictures of the same size"),
        (table, TASK, squares(8).take(np.arange(1)), "left for X2"),
    ):
        with pytest.raises(SordineError, match=says) as error:
            fit(some, policy, make("inversion", TINY), pool=pool)
        assert "\n" not in str(error.value)
    with pytest.raises(SordineError, match=r"training diverged.*lower lambda1"):
        fit(table, TASK, make("inversion", {**TINY, "lr": 1000.0}), run=Run())


def test_presets_fill_what_is_left_open_and_nothing_else() -> None:
    paper = Inversion(preset="paper", fc=7).settled()
    assert (paper.encoder, paper.width, paper.fc, paper.cut) == ("resnet50", 64, 7, "fc")
    small = Inversion().settled()
    assert (small.encoder, small.lambda1, small.lambda2, small.mu1, small.mu2) == ("resnet18", 1.0, 0.0, 0.0, 0.0)
    assert (Inversion.suppresses, Inversion.preserves, Inversion.stochastic) == (False, True, False)


@pytest.mark.slow
def test_a_fresh_decoder_does_worse_and_the_task_is_read_as_well() -> None:
    table, policy = faces(800, 0, size=16), Policy(preserve=("hair", "glasses"))
    fields = {**TINY, "fc": 32, "hidden": 32, "cut": "conv4", "steps": 150, "batch": 32}
    fields |= {"public_share": 0.4, "decoder_lr": 2e-3, "decoder_steps": 4}
    train, test = table.part("train"), table.part("test")
    given = public_rows(KEY, train.ids, train.group, 0.4)
    psnr, read = [], []
    for lambda1 in (0.0, 1.0):
        modifier = fit(table, policy, make("inversion", {**fields, "lambda1": lambda1}), run=Run(key=KEY))
        z, tried = (modifier.release(t.x, t.ids, KEY, workers=1)[0] for t in (train.take(given), test))
        said = modifier.predict(torch.from_numpy(tried))
        read.append(np.mean([accuracy(test.y[a], said[a].argmax(1).numpy()) for a in policy.preserve]))
        decoder = train_decoder(z, train.x[given], DecoderOptions(steps=200, width=16, batch=32))
        found = judge("decoder", test.x, rebuild(decoder, tried), train.x[given].mean(0))
        psnr.append(found.psnr or 0.0)
    assert psnr[0] > found.baseline_psnr + 2  # without protection there is something to rebuild
    assert psnr[1] < psnr[0] - 0.5
    assert read[0] > 0.65  # guesses are .25 and .5
    assert read[1] > read[0] - 0.08

"""Transport: the pieces by hand-worked numbers, and what holds on data whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
import safetensors.torch
import torch

from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.keys import Key
from sordine.methods.alignment.network import KNOTS, Ranks
from sordine.methods.alignment.optimal_transport import (
    balanced,
    consensus,
    fill_missing,
    k_means,
    sinkhorn,
    smooth_functions,
    smoothly_balanced,
    stratum_moves,
)
from sordine.methods.alignment.space import linear_decoder
from sordine.methods.fit import fit
from sordine.methods.registry import make
from sordine.methods.transport.method import typical
from sordine.methods.transport.modifier import TransportModifier
from sordine.metrics.information import joint, optimal_accuracy
from sordine.metrics.percent import percent
from sordine.models.checkpoints import read_checkpoint, write_sealed
from sordine.policy import Policy
from sordine.run import Run
from sordine.workflow.transform import transform
from tests.fixtures.clusters import clusters

KEY = Key.of_seed(0)
FAST = {"cells": 24, "size": 6, "rounds": 3}
ONE_MAP = FAST | {"parts": 1}  # where a test is about the inside of a map


def test_sinkhorn_gives_the_plan_worked_out_by_hand():
    # Two records, two cells, even shares: plan [[p, 1/2 - p], [1/2 - p, p]] with p / (1/2 - p) = exp(1 / softness).
    plan, prices = sinkhorn(torch.tensor([[0.0, 1.0], [1.0, 0.0]]), 0.5)
    p = 0.5 / (1 + np.exp(-2))
    assert torch.allclose(plan, torch.tensor([[p, 0.5 - p], [0.5 - p, p]], dtype=torch.float32), atol=1e-5)
    assert abs(float(prices[0] - prices[1])) < 1e-5
    # All records nearest to the first cell: they are spread all the same, and prices alone place a new record.
    cost = torch.tensor([[0.0, 1.0]] * 5)
    plan, prices = sinkhorn(cost, 0.1)
    assert torch.allclose(plan.sum(0), torch.tensor([0.5, 0.5]), atol=1e-3)
    assert torch.allclose((prices - cost[0] / 0.1).softmax(0), torch.tensor([0.5, 0.5]), atol=1e-3)


def test_sinkhorn_refuses_softness_zero():
    with pytest.raises(SordineError, match="temperature is 0; it must be above 0"):
        sinkhorn(torch.zeros(2, 2), 0)


def test_balanced_prices_are_sinkhorns_where_belief_is_certain():
    generator = torch.Generator().manual_seed(0)
    cost = torch.rand(30, 5, generator=generator)
    groups = torch.arange(30) % 2
    member = torch.nn.functional.one_hot(groups, 3).float()  # the third class has no record
    plan, prices = balanced(cost, 0.1, groups, member)
    for g in (0, 1):
        assert torch.allclose(plan[groups == g].mean(0), torch.full((5,), 0.2), atol=1e-3)
        alone, _ = sinkhorn(cost[groups == g], 0.1)
        assert torch.allclose(alone * 15, plan[groups == g], atol=2e-3)
    assert torch.allclose(prices[2], prices[:2].mean(0), atol=1e-5)
    assert torch.allclose(plan, ((member @ prices) - cost / 0.1).softmax(1), atol=1e-4)


def test_smooth_potentials_make_means_of_their_functions_alike():
    generator = torch.Generator().manual_seed(0)
    codebook = torch.linspace(-2, 2, 16)[:, None]
    groups = torch.arange(400) % 2
    code = torch.randn(400, 1, generator=generator) + 0.6 * groups[:, None]
    cost = torch.cdist(code, codebook).square()
    member = torch.nn.functional.one_hot(groups, 2).float()
    functions = smooth_functions(codebook, 3)
    assert torch.allclose(functions.T @ functions, torch.eye(3, dtype=torch.double), atol=1e-6)
    plan, prices = smoothly_balanced(cost, 0.1, groups, member, functions)
    filled = torch.stack([plan[groups == g].mean(0) for g in (0, 1)])
    assert torch.allclose((filled[0] - filled[1]) @ functions.float(), torch.zeros(3), atol=1e-3)
    assert float((filled[0] - filled[1]).abs().sum()) > 0.01, "three functions do not make sixteen entries alike"
    outside = prices.double() - prices.double() @ functions @ functions.T
    assert outside.abs().max() < 1e-4
    everything, _ = smoothly_balanced(cost, 0.1, groups, member, smooth_functions(codebook, 16))
    filled = torch.stack([everything[groups == g].mean(0) for g in (0, 1)])
    assert torch.allclose(filled[0], filled[1], atol=2e-3)


def test_smooth_potentials_leave_less_to_chance():
    # Two classes without a difference: free potentials fit what is chance, so that other records differ.
    generator = torch.Generator().manual_seed(1)
    codebook = torch.randn(40, 2, generator=generator)
    code, new = torch.randn(240, 2, generator=generator), torch.randn(4000, 2, generator=generator)
    groups = torch.arange(240) % 2
    member = torch.nn.functional.one_hot(groups, 2).float()
    cost, other = torch.cdist(code, codebook).square(), torch.cdist(new, codebook).square()

    def left(prices):
        p = [(prices[g] - other / 0.05).softmax(1).mean(0) for g in (0, 1)]
        return float((p[0] - p[1]).abs().sum() / 2)

    free = left(balanced(cost, 0.05, groups, member)[1])
    few = left(smoothly_balanced(cost, 0.05, groups, member, smooth_functions(codebook, 4))[1])
    assert few < 0.6 * free


def test_centres_find_two_heaps():
    codes = torch.tensor([[0.0], [0.2], [10.0], [10.4]])
    assert sorted(k_means(codes, 2, 3).flatten().tolist()) == pytest.approx([0.1, 10.2])


def test_consensus_keeps_what_every_class_can_say():
    # Both classes can say cell number (their own axis, in their own scale); only the first can say its second axis.
    agreed = torch.tensor([-1.0, 1.0, -1.0, 1.0])
    other = torch.tensor([-1.0, -1.0, 1.0, 1.0])
    means = torch.stack([torch.stack([agreed, other], 1), torch.stack([3 * agreed, 0 * other], 1)])
    scatter = torch.stack([torch.eye(2), torch.diag(torch.tensor([9.0, 1.0]))])
    found = consensus(means, scatter, 2)
    # First: agreed on by both (eigenvalue 1). Second: by one of two (1/2), so shorter by sqrt(1/2).
    assert torch.allclose(found[:, 0].abs(), torch.ones(4), atol=1e-4)
    assert torch.allclose(found[:, 1].abs(), torch.full((4,), 0.5**0.5), atol=1e-4)
    assert abs(float(found[:, 0] @ agreed)) == pytest.approx(4, abs=1e-3)


def test_ranks_are_normal_quantiles():
    ranks = Ranks(3)
    x = torch.stack([torch.arange(1001.0), torch.zeros(1001), (torch.arange(1001) >= 500).float()], 1)
    ranks.learn(x)
    seen = ranks(x)
    middle = torch.special.ndtri(torch.tensor((128 + 0.5) / KNOTS))
    assert float(seen[500, 0]) == pytest.approx(float(middle), abs=1e-6)
    assert abs(float(seen[:, 0].mean())) < 1e-3
    assert float(seen[:, 0].std()) == pytest.approx(1, abs=0.03)
    assert (seen[:, 0].diff() >= 0).all()
    assert seen[:, 1].abs().max() < 1e-6  # a constant says nothing
    assert seen[0, 2] == -seen[-1, 2] or abs(float(seen[0, 2] + seen[-1, 2])) < 0.02  # ties: the middle of their ranks
    assert (ranks(torch.tensor([[-1e9, 0, 0], [1e9, 0, 0]]))[:, 0].abs() < 3.1).all()


def test_small_pieces():
    x = torch.tensor([[1.0, 0.0], [3.0, 0.0], [5.0, 2.0]])
    code = torch.tensor([[0.0], [1.0], [2.0]])
    made = torch.cat([code, torch.ones(3, 1)], 1) @ linear_decoder(code, x)
    assert torch.allclose(made[:, 0], x[:, 0], atol=1e-2)
    # Shares of a class in an entry: class 0 (.1, .7) of .8 and (.9, .1) of 1, class 1 all of both.
    plans = torch.tensor([[0.1, 0.9], [0.7, 0.1], [0.2, 0.0]])
    assert typical(plans, torch.tensor([0, 0, 1]), x, 1).tolist() == [[5, 2], [1, 0]]
    filled = fill_missing(torch.tensor([[[2.0]], [[0.0]]]), [torch.tensor([[1.0]]), torch.tensor([[0.0]])])
    assert filled.flatten().tolist() == [2, 2]


def test_flows_worked_out_by_hand():
    # Class 0 has shares (3/4, 1/4), class 1 (1/4, 3/4). Wholly even: both (1/2, 1/2), so a third of the larger part
    # moves.
    secret, strata = torch.tensor([0] * 4 + [1] * 4), torch.tensor([0, 0, 0, 1, 0, 1, 1, 1])
    whole = stratum_moves(secret, strata, 1.0)
    assert torch.allclose(whole[0], torch.tensor([[2 / 3, 1 / 3], [0, 1]]), atol=1e-6)
    assert torch.allclose(whole[1], torch.tensor([[1, 0], [1 / 3, 2 / 3]]), atol=1e-6)
    assert torch.allclose(stratum_moves(secret, strata, 0.5)[0], torch.tensor([[5 / 6, 1 / 6], [0, 1]]), atol=1e-6)
    assert torch.allclose(stratum_moves(secret, strata, 0.0)[0], torch.eye(2))


@pytest.mark.slow
def test_entangled_classes_are_filled_alike_where_asked():
    """`sex` tells `word` of these records; wholly even, the released cell tells nothing of `sex`."""
    table = clusters(900)
    rng = np.random.default_rng(1)
    keep = (table.y["sex"] == table.y["word"] % 2) | (rng.random(900) < 0.4)
    table = table.take(keep)
    policy = Policy(("sex",), ("word",))
    train = table.with_split(policy, KEY).part("train")
    told = {}
    for even in (0.0, 1.0):
        p = fit(
            table, policy, make("transport", ONE_MAP | {"even": even, "smooth": 0}), run=Run(key=KEY)
        ).output_distributions(train.x)
        assert np.allclose(p.sum(1), 1, atol=1e-5)
        told[even] = optimal_accuracy(p, train.y["sex"], 2)
    guess = np.bincount(train.y["sex"]).max() / len(train)
    assert told[0.0] > guess + 0.1
    assert told[1.0] < guess + 0.02


@pytest.fixture(scope="module")
def table() -> Table:
    return clusters(900)


@pytest.fixture(scope="module")
def blind(table: Table) -> TransportModifier:
    free = ONE_MAP | {"smooth": 0, "softness": 0.015}  # every potential for itself
    modifier = fit(table, Policy(("person", "sex")), make("transport", free), run=Run(key=KEY))
    assert isinstance(modifier, TransportModifier)
    return modifier


def test_every_class_fills_every_cell_alike_on_the_records_of_the_fit(table, blind):
    train = table.with_split(Policy(("person", "sex")), KEY).part("train")
    p = blind.output_distributions(train.x)
    assert np.allclose(p.sum(1), 1, atol=1e-5)
    share = np.stack([p[train.y["person"] == s].mean(0) for s in range(4)])
    assert np.abs(share * p.shape[1] - 1).max() < 0.02
    guess = np.bincount(train.y["person"]).max() / len(train)
    assert optimal_accuracy(p, train.y["person"], 4) < guess + 0.005


def test_a_task_that_nobody_named_is_kept(table):
    """`word` is not in the policy; a reader of released records finds it."""
    from sklearn.ensemble import ExtraTreesClassifier

    modifier = fit(table, Policy(("person", "sex")), make("transport", FAST), run=Run(key=KEY))
    released = transform(modifier, table, KEY)
    split = table.with_split(Policy(("person", "sex")), KEY).split
    read = {}
    for name in ("word", "person"):
        model = ExtraTreesClassifier(100, random_state=0).fit(released.flat()[split], table.y[name][split])
        read[name] = model.score(released.flat()[~split], table.y[name][~split])
    assert read["word"] > 0.7  # .33 by chance; 24 outputs a map
    assert read["person"] < np.bincount(table.y["person"]).max() / len(table) + 0.08


@pytest.mark.slow
def test_a_named_task_is_kept_and_balance_holds_within_it(table):
    policy = Policy(("person",), ("word",))
    modifier = fit(table, policy, make("transport", ONE_MAP | {"even": 0, "smooth": 0}), run=Run(key=KEY))
    train = table.with_split(policy, KEY).part("train")
    p = modifier.output_distributions(train.x)
    word = modifier.stratum.numpy()
    inside = np.stack([p[:, word == v].sum(1) for v in range(3)], 1)
    assert (inside.max(1) > 0.999).all()  # a record stays among the cells of the class read
    assert (inside.argmax(1) == train.y["word"]).mean() > 0.95
    read = inside.argmax(1)
    share = np.stack([p[(train.y["person"] == s) & (read == 0)].mean(0)[word == 0] for s in range(4)])
    assert np.abs(share * (word == 0).sum() - 1).max() < 0.25  # by labels of the word, not by what was read


def test_what_is_released_is_no_record_unless_asked(table):
    policy = Policy(("person",))
    image = fit(table, policy, make("transport", FAST), run=Run(key=KEY))
    own = {row.tobytes() for row in table.x}
    assert not own & {row.tobytes() for row in transform(image, table, KEY).x}
    real = fit(table, policy, make("transport", FAST | {"records": 3}), run=Run(key=KEY))
    assert {row.tobytes() for row in transform(real, table, KEY).x} <= own
    assert real.output_distributions(table.x[:5]).shape == (5, 3 * real.card.fit["cells"])
    assert "holds 360 real records" in real.card.notes[0]  # five maps, 24 entries each, three records an entry
    assert "one of at most 24 outputs of its map" in image.card.notes[0]
    assert "a linear function with noise from" in image.card.notes[0]
    exact = fit(table, policy, make("transport", ONE_MAP | {"recognised": 1}), run=Run(key=KEY))
    assert "one of 24 outputs. An output is computed by a linear function from a few numbers" in exact.card.notes[0]


@pytest.mark.slow
def test_what_is_said_of_several_maps_is_said_once(table):
    """`sex` and `word` depend on each other, which leaves every map uneven; the note has the worst of them."""
    some = table.take((table.y["sex"] == table.y["word"] % 2) | (np.arange(900) % 5 < 2))
    modifier = fit(some, Policy(("sex",), ("word",)), make("transport", FAST | {"even": 0}), run=Run(key=KEY))
    uneven = [note for note in modifier.card.notes if "unequally" in note]
    assert len(uneven) == 1
    assert f"In the worst class, {percent(modifier.card.fit['uneven'])} of the records" in uneven[0]


def test_points_of_a_sweep_share_the_aligned_space(table, tmp_path):
    """The same folder: the second fit reads the space, and gives what it would have given alone."""
    policy, run = Policy(("person",)), Run(key=KEY, folder=tmp_path)
    fit(table, policy, make("transport", FAST), run=run)
    stamps = {file: file.stat().st_mtime_ns for file in tmp_path.glob("transport-*.safetensors")}
    assert len(stamps) == 5, "one of each map"
    shared = fit(table, policy, make("transport", FAST | {"softness": 0.2}), run=run)
    assert stamps == {file: file.stat().st_mtime_ns for file in tmp_path.glob("transport-*.safetensors")}
    alone = fit(table, policy, make("transport", FAST | {"softness": 0.2}), run=Run(key=KEY))
    assert (transform(shared, table, KEY).x == transform(alone, table, KEY).x).all()
    fit(table, policy, make("transport", ONE_MAP | {"size": 5}), run=run)
    assert len(list(tmp_path.glob("transport-*.safetensors"))) == 6


def spoiled(tensors, how):
    if how == "missing":
        return {k: v for k, v in tensors.items() if k != "maps"}
    name = "maps" if "maps" in tensors else "space.maps"
    return tensors | {name: tensors[name] + (float("nan") if how == "nan" else 1e-3)}


@pytest.mark.slow
@pytest.mark.parametrize("method", ["transport", "flow"])
@pytest.mark.parametrize("how", ["nan", "moved", "missing", "foreign", "undigested"])
def test_a_space_that_was_changed_is_learnt_again(table, tmp_path, method, how):
    policy, run = Policy(("person",)), Run(key=KEY, folder=tmp_path)
    recipe = make(
        method, ONE_MAP if method == "transport" else {"space": "standardised", "size": 4, "rounds": 3, "parts": 1}
    )
    first = fit(table, policy, recipe, run=run)
    (file,) = tmp_path.glob(f"{method}-*.safetensors")
    with safetensors.safe_open(file, "pt") as held:
        about = held.metadata()
    tensors = safetensors.torch.load_file(file)
    if how == "foreign":  # as it was written, by another
        write_sealed(file, {"nothing": torch.zeros(2)}, {})
    elif how == "undigested":
        safetensors.torch.save_file(tensors, file)
    else:
        safetensors.torch.save_file(spoiled(tensors, how), file, metadata=about)
    again = fit(table, policy, recipe, run=run)
    assert (transform(again, table, KEY).x == transform(first, table, KEY).x).all()
    assert read_checkpoint(file) is not None, "written anew"


@pytest.mark.slow
def test_what_is_shared_is_of_one_policy(table, tmp_path):
    """Suppressing two attributes and suppressing one while the other is preserved are not the same fit."""
    run = Run(key=KEY, folder=tmp_path)
    fit(table, Policy(("person", "word")), make("transport", ONE_MAP), run=run)
    fit(table, Policy(("person",), ("word",)), make("transport", ONE_MAP), run=run)
    assert len(list(tmp_path.glob("transport-*.safetensors"))) == 2


def test_the_card_says_how_uneven_the_cells_are_filled(table, blind):
    assert blind.card.fit["uneven"] < 0.02
    rng = np.random.default_rng(0)
    blurred = table.with_x((table.x + 6 * table.x.std(0) * rng.normal(size=table.x.shape)).astype(np.float32))
    unsure = fit(blurred, Policy(("person",)), make("transport", ONE_MAP), run=Run(key=KEY))
    train = blurred.with_split(Policy(("person",)), KEY).part("train")
    p = unsure.output_distributions(train.x)
    share = np.stack([p[train.y["person"] == s].mean(0) for s in range(4)])
    told = np.abs(share - share.mean(0)).sum(1).max() / 2
    assert unsure.card.fit["uneven"] == pytest.approx(told, abs=2e-3)
    assert told > blind.card.fit["uneven"]  # a class that is told with errors is not balanced as well


def test_missing_labels_and_few_records(table):
    lost = [None if i % 3 == 0 else int(c) for i, c in enumerate(table.y["person"])]
    partly = Table.of(table.x, {"person": lost, "word": table.y["word"]}, ids=table.ids)
    modifier = fit(partly, Policy(("person",)), make("transport", FAST), run=Run(key=KEY))
    assert np.isfinite(transform(modifier, partly, KEY).x).all()
    few = table.take(np.arange(24))
    modifier = fit(few, Policy(("sex",)), make("transport"), run=Run(key=KEY))
    assert modifier.card.fit["parts"] == 5
    assert 5 * 2 <= modifier.card.fit["cells"] <= 5 * 4
    assert np.isfinite(transform(modifier, few, KEY).x).all()
    alone = Table.of(table.x[:40], {"sex": [0, 1] * 20, "word": [None] * 40})
    with pytest.raises(SordineError, match="'word' has no labels"):
        fit(alone, Policy(("sex",), ("word",)), make("transport"), run=Run(key=KEY))
    sparse = [0, 1, 0] + [None] * 29 + [0, 1] * 4
    some = Table.of(table.x[:40], {"sex": sparse}, split=["train"] * 32 + ["test"] * 8)
    with pytest.raises(SordineError, match="four training records with labels of 'sex'"):
        fit(some, Policy(("sex",)), make("transport"), run=Run(key=KEY))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"pooled": float("inf")}, "pooled"),
        ({"ridge": 1e30}, "ridge"),
        ({"softness": 1e-40}, "softness"),
        ({"records": 100_000}, "records"),
    ],
)
def test_fields_beyond_reason_are_refused_before_training(table, fields, message):
    with pytest.raises(SordineError, match=rf"\b{message} (=|is) "):
        fit(table, Policy(("person",)), make("transport", FAST | fields), run=Run(key=KEY))


def test_odd_tables(table):
    flat = Table.of(np.ones((60, 4)), {"sex": [0, 1] * 30})
    with pytest.raises(SordineError, match="no feature varies"):
        fit(flat, Policy(("sex",)), make("transport", FAST), run=Run(key=KEY))
    wide = fit(table, Policy(("person",)), make("transport", ONE_MAP | {"size": 100_000}), run=Run(key=KEY))
    assert wide.codes.shape[1] == 12  # no more numbers than axes
    damaged = fit(table, Policy(("person",)), make("transport", ONE_MAP), run=Run(key=KEY))
    damaged.prices[:] = float("nan")
    with pytest.raises(SordineError, match="not finite"):
        transform(damaged, table, KEY)


@pytest.mark.parametrize(("cells", "said"), [(5000, True), (16, False)])
def test_cells_that_the_records_do_not_fill_are_said(table, cells, said):
    some, lines = table.take(np.arange(400)), []
    modifier = fit(
        some, Policy(("person",)), make("transport", FAST | {"cells": cells}), run=Run(key=KEY, log=lines.append)
    )
    told = [line for line in lines if f"instead of {cells}" in line]
    assert len(told) == said
    if said:
        most = max(len(m.codes) for m in modifier.maps)
        assert told[0].startswith(f"transport: {most} outputs (cells) a map")
        assert most <= 80  # a quarter of the records of the fit, without a fifth


def test_joint_classes_are_what_is_balanced(table, blind):
    train = table.with_split(Policy(("person", "sex")), KEY).part("train")
    both = joint([train.y["person"], train.y["sex"]])
    assert len(blind.prices) == len(np.unique(both))

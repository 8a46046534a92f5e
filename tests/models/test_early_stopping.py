"""Training with early stopping: the best weights are restored, and stacked parts learn as if alone."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from sordine.models.early_stopping import EarlyStopping, Shuffle, score_of, train_early_stopped, validation_score
from sordine.models.networks.mlp import BatchedMLP

OPTIONS = EarlyStopping(rate=0.02, steps=60, epochs=(3, 12), patience=3, batch=16)


class Scripted:
    """A learner whose validation scores are given in advance; it records its weights at each score."""

    def __init__(self, net: nn.Module, scores: list[list[float]]) -> None:
        self.net, self.scores = net, torch.tensor(scores)
        self.weights: list[list[Tensor]] = []
        self.active: list[list[int]] = []
        self.modes: list[bool] = []

    def loss(self, positions: Tensor, active: Tensor) -> Tensor:
        self.modes.append(self.net.training)
        return sum(weight.square().sum() for weight in self.net.parameters())  # type: ignore[return-value]

    def score(self, active: Tensor) -> Tensor:
        self.active.append(active.tolist())
        self.weights.append([weight.detach().clone() for weight in self.net.parameters()])
        return self.scores[len(self.active) - 1][active]


def stack(parts: int) -> BatchedMLP:
    return BatchedMLP(parts, [3, 4, 2], torch.Generator().manual_seed(0))


def shuffle(records: int = 16) -> Shuffle:
    return Shuffle(records, 16, torch.Generator().manual_seed(1))


def test_the_weights_of_the_best_epoch_are_restored_and_training_stops_after_the_patience() -> None:
    learner = Scripted(nn.Linear(3, 2), [[0.1], [0.5], [0.3], [0.5], [0.4], [0.9]])
    score = train_early_stopped(learner, shuffle(), OPTIONS)
    assert len(learner.active) == 5, "the third epoch in a row that is no better than the second ends it"
    assert score.tolist() == pytest.approx([0.5])
    for weight, best in zip(learner.net.parameters(), learner.weights[1], strict=True):
        assert torch.equal(weight, best)
    assert all(learner.modes)
    assert not learner.net.training


def test_buffers_of_the_best_epoch_are_restored_too() -> None:
    class Counted(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm1d(3)

        def forward(self, x: Tensor) -> Tensor:
            return self.norm(x)

    learner = Scripted(Counted(), [[0.5], [0.4], [0.3], [0.2]])
    noise = lambda positions, active: learner.net(torch.randn(16, 3)).square().mean()  # noqa: E731
    learner.loss = noise  # type: ignore[method-assign]
    train_early_stopped(learner, shuffle(), OPTIONS)
    assert int(learner.net.norm.num_batches_tracked) == 1


def test_a_stacked_part_that_stops_leaves_and_each_keeps_its_own_best_weights() -> None:
    scores = [[0.9, 0.1], [0.1, 0.2], [0.1, 0.3], [0.1, 0.4], [0.1, 0.3], [0.1, 0.2], [0.1, 0.1], [1, 1]]
    learner = Scripted(stack(2), scores)
    score = train_early_stopped(learner, shuffle(), OPTIONS, parts=2)
    assert learner.active == [[0, 1]] * 4 + [[1]] * 3
    assert score.tolist() == pytest.approx([0.9, 0.4])
    for weight, first, fourth in zip(learner.net.parameters(), learner.weights[0], learner.weights[3], strict=True):
        assert torch.equal(weight[0], first[0])
        assert torch.equal(weight[1], fourth[1])


def test_parts_that_stop_together_go_on_until_none_improves() -> None:
    scores = [[0.9, 0.1], [0.1, 0.2], [0.1, 0.3], [0.1, 0.1], [0.1, 0.1], [0.1, 0.1], [1, 1]]
    learner = Scripted(stack(2), scores)
    score = train_early_stopped(learner, shuffle(), OPTIONS, parts=2, stop_together=True)
    assert learner.active == [[0, 1]] * 6
    assert score.tolist() == pytest.approx([0.9, 0.3])


def test_a_network_whose_loss_is_not_finite_gets_its_first_weights_back() -> None:
    learner = Scripted(nn.Linear(3, 2), [[float("nan")]] * 12)
    before = [weight.detach().clone() for weight in learner.net.parameters()]
    learner.loss = lambda positions, active: learner.net.weight.sum() * torch.inf  # type: ignore[method-assign]
    score = train_early_stopped(learner, shuffle(), OPTIONS)
    assert score.tolist() == [-float("inf")]
    assert all(torch.equal(a, b) for a, b in zip(learner.net.parameters(), before, strict=True))


@pytest.mark.parametrize(("rounds", "epochs"), [(1, 12), (6, 10), (7, 9), (60, 3)])
def test_the_length_makes_the_steps_within_the_fewest_and_most_epochs(rounds: int, epochs: int) -> None:
    assert OPTIONS.length(rounds) == epochs


def test_a_pass_uses_a_position_once_and_only_a_carried_rest_starts_the_next_pass() -> None:
    left, carried = (Shuffle(10, 4, torch.Generator().manual_seed(2), carry=carry) for carry in (False, True))
    first = torch.cat([left() for _ in range(2)]).tolist()
    assert left.rounds == 2
    assert len(set(first)) == 8
    assert sorted(torch.cat([carried() for _ in range(5)]).tolist()) == sorted([*range(10), *range(10)])
    assert Shuffle(3, 4, torch.Generator()).size == 3


def test_a_score_orders_by_accuracy_first_and_by_loss_second() -> None:
    accuracy, loss = torch.tensor([0.5, 0.5, 0.6]), torch.tensor([2.0, 1.0, 1e9])
    assert validation_score(accuracy, loss).argsort().tolist() == [0, 1, 2]
    labels = torch.tensor([0, 1])
    assert score_of(torch.tensor([[2.0, 0], [0, 2]]), labels) > score_of(torch.tensor([[1.0, 0], [0, 1]]), labels)
    assert score_of(torch.zeros(0, 2), torch.zeros(0, dtype=torch.long)).tolist() == [0.0]

"""Every loss against arithmetic or explicit loops, its gradient where it is delicate, and its invariances."""

from __future__ import annotations

import math

import pytest
import torch

from sordine.errors import SordineError
from sordine.methods.mass.losses import (
    bound_penalty,
    feature_similarity,
    info_nce,
    modify,
    mutual_information_estimate,
    preservation,
    reconstruction,
    similarity_cosine,
    similarity_cross_entropy,
    similarity_negative_kl,
    suppression,
)
from sordine.methods.substitution.losses import (
    conditional_index_entropy,
    index_entropy,
    preserved_match,
    substitution_probabilities,
)
from sordine.models.losses import agnostic, entropy_of_predictions, masked_mean, nt_xent_pairs, simclr, unit
from sordine.models.networks.mlp import BatchedMLP, mlp


@pytest.fixture
def rng() -> torch.Generator:
    return torch.Generator().manual_seed(3)


def rand(rng: torch.Generator, *shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=rng, dtype=torch.float64)


def cos(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(a @ b / (a.norm() * b.norm()))


def test_unit_divides_by_the_norm_and_leaves_zero_rows_with_a_finite_gradient() -> None:
    v = torch.tensor([[3.0, 4.0], [0.0, 0.0], [0.0, -2.0], [1e-30, 0.0]], requires_grad=True)
    u = unit(v)
    torch.testing.assert_close(u.detach(), torch.tensor([[0.6, 0.8], [0.0, 0.0], [0.0, -1.0], [0.0, 0.0]]))
    (u * torch.tensor([1.0, 2.0])).sum().backward()
    assert v.grad is not None
    assert torch.isfinite(v.grad).all()
    assert (v.grad[1] == 0).all()
    # d(u . c)/dv = (c - (c . u) u) / |v| with c = (1, 2), u = (.6, .8), c . u = 2.2
    torch.testing.assert_close(v.grad[0], torch.tensor([(1 - 2.2 * 0.6) / 5, (2 - 2.2 * 0.8) / 5]))


def test_modify_normalises_twice_eq_1() -> None:
    x, change = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]), torch.tensor([[0.0, 7.0], [0.0, 0.0], [-2.0, 0.0]])
    half = math.sqrt(0.5)
    expected = torch.tensor([[half, half], [0.0, 1.0], [0.0, 0.0]])  # the last: x + n(change) = 0 stays 0
    torch.testing.assert_close(modify(x, change), expected)
    torch.testing.assert_close(modify(x, 100 * change), expected)


def test_similarities_on_hand_worked_numbers() -> None:
    z = similarity_cosine(torch.tensor([[1.0, 1.0], [0.0, 0.0]]), torch.tensor([[2.0, 0.0], [1.0, 0.0]]))
    torch.testing.assert_close(z, torch.tensor([math.sqrt(0.5), 0.0]))
    new, old = torch.tensor([[math.log(3.0), 0.0]]), torch.tensor([[0.0, 0.0]])  # p_new = (3/4, 1/4), p_old even
    kl = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    torch.testing.assert_close(similarity_negative_kl(new, old), torch.tensor([-kl]))
    torch.testing.assert_close(similarity_negative_kl(new + 5, old - 2), torch.tensor([-kl]))
    ce = similarity_cross_entropy(new.expand(3, 2), torch.tensor([0, 1, -1]))
    torch.testing.assert_close(ce, torch.tensor([math.log(0.75), math.log(0.25), 0.0]))
    entropy = entropy_of_predictions(torch.tensor([[math.log(3.0), 0.0], [1.0, 1.0]]))
    expected = [-0.75 * math.log(0.75) - 0.25 * math.log(0.25), math.log(2)]
    torch.testing.assert_close(entropy, torch.tensor(expected))


def test_the_negative_kl_gradient_is_finite_at_certain_predictions() -> None:
    logits = torch.tensor([[1e4, 0.0, -1e4]], requires_grad=True)
    similarity_negative_kl(logits, torch.zeros(1, 3)).sum().backward()
    entropy_of_predictions(logits).sum().backward()
    assert logits.grad is not None
    assert torch.isfinite(logits.grad).all()


def test_unlabelled_records_drop_out_of_means_and_gradients() -> None:
    labels = torch.tensor([0, -1, 1])
    values = torch.tensor([1.0, float("inf"), 3.0], requires_grad=True)
    mean = masked_mean(values, labels)
    assert mean.item() == 2
    mean.backward()
    torch.testing.assert_close(values.grad, torch.tensor([0.5, 0.0, 0.5]))
    nothing = masked_mean(torch.ones(3, requires_grad=True), torch.full((3,), -1))
    assert nothing.item() == 0
    assert nothing.requires_grad
    assert masked_mean(torch.tensor([1.0, 5.0])).item() == 3


def test_terms_of_the_suppression_branch_eqs_2_3_4() -> None:
    similarity, entropy = torch.tensor([0.5, -1.0, 2.0]), torch.tensor([1.0, 2.0, 3.0])
    assert feature_similarity(similarity, 4.0).item() == pytest.approx(2.0)
    assert suppression(similarity, entropy, 4.0, 0.5).item() == pytest.approx(2.0 - 1.0)
    # the similarity's mask does not touch the entropy
    masked = suppression(similarity, entropy, 4.0, 0.5, torch.tensor([0, -1, 0]))
    assert masked.item() == pytest.approx(4 * 1.25 - 1.0)
    assert preservation(similarity, 4.0).item() == pytest.approx(-2.0)
    x = torch.zeros(2, 2, 1)
    moved = torch.tensor([[[3.0], [4.0]], [[0.0], [0.0]]], requires_grad=True)
    rec = reconstruction(moved, x, 2.0)
    assert rec.item() == pytest.approx(2 * (5 + 0) / 2)  # 25 / 2 if it were squared
    rec.backward()
    assert moved.grad is not None
    assert torch.isfinite(moved.grad).all()  # where x' = x, too


def test_nt_xent_has_the_printed_denominators_eqs_5_6_7(rng: torch.Generator) -> None:
    p, q, tau = rand(rng, 4, 3), rand(rng, 4, 3), 0.3
    l_x, l_new = nt_xent_pairs(p, q, tau)
    for x in range(4):
        for anchor, others, got in ((p, q, l_x), (q, p, l_new)):
            across = sum(math.exp(cos(anchor[x], others[y]) / tau) for y in range(4))
            within = sum(math.exp(cos(anchor[x], anchor[y]) / tau) for y in range(4) if y != x)
            own = math.exp(cos(anchor[x], others[x]) / tau)
            assert got[x].item() == pytest.approx(-math.log(own / (across + within)))
    total = (l_x + l_new).sum().item() / (2 * 4)
    assert agnostic(p, q, tau, 3.0).item() == pytest.approx(3 * total)
    assert simclr(p, q, tau).item() == pytest.approx(total)
    assert simclr(q, 5 * p, tau).item() == pytest.approx(total)  # symmetric, and blind to length
    assert simclr(p[:1], q[:1], tau).item() == pytest.approx(0)  # nothing to tell apart


def test_nt_xent_gradients_are_finite_at_zero_vectors(rng: torch.Generator) -> None:
    p = torch.zeros(3, 2, requires_grad=True)
    agnostic(p, torch.zeros(3, 2), 0.07, 1.0).backward()
    assert p.grad is not None
    assert torch.isfinite(p.grad).all()


def test_bound_penalty_counts_only_what_passes_the_bound() -> None:
    violation = torch.tensor([-1.0, 0.0, 2.0], requires_grad=True)
    penalty = bound_penalty(violation, 3.0, 5.0)
    torch.testing.assert_close(penalty.detach(), torch.tensor([0.0, 0.0, 26.0]))
    penalty.sum().backward()
    torch.testing.assert_close(violation.grad, torch.tensor([0.0, 0.0, 23.0]))
    assert mutual_information_estimate(math.log(4), torch.tensor(1.0)).item() == pytest.approx(math.log(4) - 1)


def test_info_nce_by_loops(rng: torch.Generator) -> None:
    z, w, tau = rand(rng, 4, 3), rand(rng, 4, 3), 0.5
    expected = 0.0
    for i in range(4):
        scores = [math.exp(cos(z[i], w[j]) / tau) for j in range(4)]
        expected -= math.log(scores[i] / sum(scores)) / 4
    assert info_nce(z, w, tau).item() == pytest.approx(expected)
    assert info_nce(torch.eye(5), torch.eye(5), 0.01).item() == pytest.approx(0, abs=1e-6)
    with pytest.raises(SordineError, match="tau is a temperature"):
        info_nce(z, w, 0.0)


def test_substitution_probabilities_by_loops(rng: torch.Generator) -> None:
    f, g = rand(rng, 2, 3), rand(rng, 4, 3)
    p = substitution_probabilities(f, 9 * g, 0.2)
    for i in range(2):
        scores = [math.exp(cos(f[i], g[j]) / 0.2) for j in range(4)]
        assert p[i].tolist() == pytest.approx([s / sum(scores) for s in scores])


def test_a_substitute_that_is_ruled_out_has_no_probability(rng: torch.Generator) -> None:
    f, g = torch.randn(2, 3, generator=rng), torch.randn(4, 3, generator=rng)
    never = torch.tensor([[True, False, False, False], [False, False, False, False]])
    p, whole = substitution_probabilities(f, g, 0.2, never), substitution_probabilities(f, g, 0.2)
    assert p[0, 0] == 0
    assert torch.allclose(p[0, 1:], whole[0, 1:] / whole[0, 1:].sum())
    assert torch.equal(p[1], whole[1])


def test_substitution_terms_on_hand_worked_numbers() -> None:
    p = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5], [1.0, 0.0]])
    labels = torch.tensor([0, 0, 1, -1])
    # class 0: P(j|s) = (1/2, 1/2), class 1: (1/2, 1/2); both have log 2, the unlabelled record does not weigh
    assert conditional_index_entropy(p, labels, 3).item() == pytest.approx(math.log(2))
    # P(s) = (1/3, 2/3); class 0 is certain, class 1's (3/4, 1/4) has this entropy
    other = conditional_index_entropy(torch.tensor([[1.0, 0], [1, 0], [0.5, 0.5]]), torch.tensor([0, 1, 1]), 2)
    assert other.item() == pytest.approx(2 / 3 * -(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))
    assert index_entropy(p).item() == pytest.approx(math.log(2) / 4)
    # own-label mass: substitutes 0, 1 carry labels 2, 0: records with labels 2, 0, 0: 1, 1, .5
    match = preserved_match(p, torch.tensor([2, 0]), torch.tensor([2, 0, 0, -1]), 3)
    assert match.item() == pytest.approx(-math.log(3) * 2.5 / 3)
    assert preserved_match(p, torch.tensor([-1, -1]), torch.tensor([2, 0, 0, 1]), 3).item() == 0


def test_substitution_gradient_is_finite_where_the_softmax_underflows() -> None:
    f = torch.tensor([[1.0, 0.0], [0.0, 0.0]], requires_grad=True)
    p = substitution_probabilities(f, torch.tensor([[1.0, 0.0], [-1.0, 0.0]]), 0.01)
    assert p[0, 1] == 0
    total = index_entropy(p) + conditional_index_entropy(p, torch.tensor([0, 1]), 2)
    total.backward()
    assert f.grad is not None
    assert torch.isfinite(f.grad).all()


def test_mlp_has_the_papers_layers() -> None:
    names = [type(layer).__name__ for layer in mlp([4, 8, 6, 3], batch_norm=True, dropout=0.2, normalise_last=True)]
    block = ["Linear", "BatchNorm1d", "ReLU", "Dropout"]
    assert names == [*block, *block, "Linear", "Unit"]
    assert [type(layer).__name__ for layer in mlp([4, 2])] == ["Linear"]
    assert mlp([4, 3], normalise_last=True)(torch.randn(5, 4)).norm(dim=1).tolist() == pytest.approx([1] * 5)
    with pytest.raises(SordineError, match=r"widths must name .* not \[4\]"):
        mlp([4])


def test_a_part_of_a_batched_mlp_is_an_ordinary_one(rng: torch.Generator) -> None:
    batched = BatchedMLP(3, [5, 16, 8, 2], rng)
    x = torch.randn(3, 7, 5, generator=rng)
    out = batched(x)
    assert out.shape == (3, 7, 2)
    for i in range(3):
        torch.testing.assert_close(batched.part(i)(x[i]), out[i])
    with torch.no_grad():
        batched.part(0)[0].weight.zero_()
    torch.testing.assert_close(batched(x), out)  # a part is a copy
    out[1].sum().backward()
    for weight in batched.weights:  # no weight is shared
        assert weight.grad is not None
        assert (weight.grad[[0, 2]] == 0).all()
        assert (weight.grad[1] != 0).any()


def test_a_batched_mlp_starts_as_linear_does_from_its_generator() -> None:
    a, b = (BatchedMLP(2, [100, 400, 3], torch.Generator().manual_seed(5)) for _ in range(2))
    for left, right in zip(a.parameters(), b.parameters(), strict=True):
        assert torch.equal(left, right)
    linear = torch.nn.Linear(100, 400)
    for ours, theirs in ((a.weights[0][0], linear.weight), (a.biases[0][1], linear.bias)):
        assert ours.abs().max().item() == pytest.approx(0.1, abs=2e-3)
        assert ours.std().item() == pytest.approx(theirs.std().item(), rel=0.1)
    assert not torch.equal(a.weights[0][0], a.weights[0][1])

"""The losses of replacement, inversion and masking: values worked by hand, where gradients go, and what is refused."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from sordine.errors import SordineError
from sordine.methods.inversion.losses import task_loss
from sordine.methods.masking.losses import obfuscator_loss, predictor_loss, revealed, top_share, withheld
from sordine.methods.replacement.losses import (
    budget,
    cycle_consistency,
    distance_l2,
    distance_mean_square,
    domain_classification,
    draw_synthetic,
    filter_discriminator,
    generator_discriminator,
    gradient_penalty,
    insert,
    likelihood_of_wrong,
    negative_entropy,
    wasserstein_critic,
    wasserstein_editor,
    wrong_class,
)
from sordine.models.losses import (
    cross_entropy,
    decoder_fools,
    discriminator_tells,
    feature_attack,
    perceptual_distance,
    pixel_reconstruction,
)

LN = math.log
# Logits whose softmax is (3/4, 1/4) and (1/2, 1/2).
SURE, EVEN = [LN(3.0), 0.0], [0.0, 0.0]
INF = float("inf")


@pytest.fixture
def rng() -> torch.Generator:
    return torch.Generator().manual_seed(5)


def refused(match: str) -> pytest.RaisesExc[SordineError]:
    return pytest.raises(SordineError, match=rf"\A[^\n]*{match}[^\n]*\Z")  # one line


def test_cross_entropy_leaves_out_the_unlabelled_and_refuses_what_is_no_class() -> None:
    logits = torch.tensor([SURE, EVEN, [INF, 0.0]], requires_grad=True)
    loss = cross_entropy(logits, torch.tensor([1, 0, -1]))
    assert loss.item() == pytest.approx((LN(4) + LN(2)) / 2)
    logits = torch.tensor([SURE, EVEN, SURE], requires_grad=True)
    cross_entropy(logits, torch.tensor([1, 0, -1])).backward()
    # (softmax - one-hot) / 2 labelled records
    torch.testing.assert_close(logits.grad, torch.tensor([[0.375, -0.375], [-0.25, 0.25], [0.0, 0.0]]))
    nothing = cross_entropy(torch.zeros(2, 3, requires_grad=True), torch.tensor([-1, -1]))
    assert nothing.item() == 0
    assert nothing.requires_grad
    with refused("label 2"):
        cross_entropy(torch.zeros(2, 2), torch.tensor([0, 2]))
    with refused(r"not \(2, 2\) and \(3,\)"):
        cross_entropy(torch.zeros(2, 2), torch.tensor([0, 1, 1]))


# --------------------------------------------------------------------------------------------- replacement


def test_negative_entropy_is_lowest_where_the_discriminator_knows_nothing() -> None:
    logits = torch.tensor([SURE, EVEN], requires_grad=True)
    loss = negative_entropy(logits)
    sure = 0.75 * LN(0.75) + 0.25 * LN(0.25)
    assert loss.item() == pytest.approx((sure - LN(2)) / 2)
    loss.backward()
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad[1], torch.zeros(2))  # the minimum: nothing left to gain
    assert logits.grad[0, 0] > 0 > logits.grad[0, 1]  # a step down evens out
    assert negative_entropy(torch.zeros(4, 5)).item() == pytest.approx(-LN(5))
    extreme = torch.tensor([[1e4, -1e4, 0.0]], requires_grad=True)
    certain = negative_entropy(extreme)
    certain.backward()
    assert certain.item() == 0
    assert extreme.grad is not None
    assert torch.isfinite(extreme.grad).all()


def test_likelihood_of_wrong_pulls_towards_the_wrong_class() -> None:
    logits = torch.tensor([SURE, EVEN, SURE], requires_grad=True)
    loss = likelihood_of_wrong(logits, torch.tensor([1, 0, -1]))
    assert loss.item() == pytest.approx((LN(4) + LN(2)) / 2)
    loss.backward()
    assert logits.grad is not None
    assert logits.grad[0, 1] < 0 < logits.grad[0, 0]
    assert (logits.grad[2] == 0).all()
    with refused("label 3"):
        likelihood_of_wrong(torch.zeros(1, 3), torch.tensor([3]))


def test_a_wrong_class_is_never_the_own_one_and_uniform_among_the_others(rng: torch.Generator) -> None:
    binary = torch.tensor([0, 1, -1, 1])
    assert wrong_class(binary, 2, rng).tolist() == [1, 0, -1, 0]  # 1 - s, whatever is drawn
    labels = torch.tensor([0, 1, 2, 3, -1]).repeat(3000)
    wrong = wrong_class(labels, 4, rng)
    assert wrong.dtype == torch.int64
    assert (wrong[labels < 0] == -1).all()
    for own in range(4):
        counts = torch.bincount(wrong[labels == own], minlength=4)
        assert counts[own] == 0
        others = counts[torch.arange(4) != own]
        assert (others - 1000).abs().max() < 5 * math.sqrt(3000 * (1 / 3) * (2 / 3))
    again = wrong_class(labels, 4, torch.Generator().manual_seed(9))
    assert torch.equal(again, wrong_class(labels, 4, torch.Generator().manual_seed(9)))
    with refused("at least two"):
        wrong_class(binary, 1, rng)


def test_the_two_distances_and_their_gradients() -> None:
    x = torch.zeros(2, 1, 2, 2)
    x_new = torch.tensor([[[[3.0, 4.0], [0.0, 0.0]]], [[[0.0, 0.0], [0.0, 0.0]]]], requires_grad=True)
    torch.testing.assert_close(distance_l2(x_new, x).detach(), torch.tensor([5.0, 0.0]))
    torch.testing.assert_close(distance_mean_square(x_new, x).detach(), torch.tensor([25 / 4, 0.0]))
    distance_l2(x_new, x).sum().backward()
    assert x_new.grad is not None
    torch.testing.assert_close(x_new.grad[0].flatten(), torch.tensor([3 / 5, 4 / 5, 0.0, 0.0]))
    assert (x_new.grad[1] == 0).all()  # and not NaN, where x' = x
    x_new.grad = None
    distance_mean_square(x_new, x).sum().backward()
    torch.testing.assert_close(x_new.grad.flatten()[:4], torch.tensor([2 * 3 / 4, 2 * 4 / 4, 0.0, 0.0]))
    # in the plane
    assert distance_l2(torch.tensor([[1.0, 1.0]]), torch.zeros(1, 2)).item() == pytest.approx(math.sqrt(2))
    for distance in (distance_l2, distance_mean_square):
        with refused("same shape"):
            distance(torch.zeros(2, 3), torch.zeros(1, 3))  # would broadcast


def test_the_budget_averages_before_the_hinge() -> None:
    distances = torch.tensor([0.0, 4.0], requires_grad=True)
    loss = budget(distances, 1.5, 10.0)
    assert loss.item() == pytest.approx(10 * (2 - 1.5) ** 2)  # hinged one by one it would be 10 * (4 - 1.5)^2 / 2
    loss.backward()
    torch.testing.assert_close(distances.grad, torch.tensor([10 * 2 * 0.5 / 2] * 2))  # both records pay
    distances = torch.tensor([0.0, 4.0], requires_grad=True)
    within = budget(distances, 2.0, 1e5)
    within.backward()
    assert within.item() == 0
    assert (distances.grad == 0).all()
    for wrong in ((-0.1, 1.0), (0.1, -1.0), (math.nan, 1.0), (0.1, INF)):
        with refused("must be 0 or more and finite"):
            budget(distances, *wrong)


def test_insert_wants_the_synthetic_class_and_not_fake() -> None:
    # softmax (1/2, 1/4, 1/4), the last class being fake
    logits = torch.tensor([[LN(2.0), 0.0, 0.0]] * 2, requires_grad=True)
    loss = insert(logits, torch.tensor([0, 1]))
    assert loss.item() == pytest.approx((LN(2) + LN(4)) / 2)
    loss.backward()
    assert logits.grad is not None
    assert (logits.grad[:, 2] > 0).all()  # less fake
    with refused("label 3"):
        insert(logits, torch.tensor([0, 3]))


def test_phi_f_reads_the_secret() -> None:
    logits = torch.tensor([SURE, EVEN, EVEN])
    labels = torch.tensor([0, 1, -1])
    assert filter_discriminator(logits, labels).item() == pytest.approx((LN(4 / 3) + LN(2)) / 2)
    with refused(r"not \(3, 2\) and \(2,\)"):
        filter_discriminator(logits, labels[:2])


def test_phi_g_has_both_terms_each_its_own_mean() -> None:
    new = torch.tensor([[LN(2.0), 0.0, 0.0]], requires_grad=True)  # fake has 1/4
    real = torch.tensor([[LN(2.0), 0.0, 0.0], [0.0, 0.0, LN(2.0)], [0.0, 0.0, 0.0]], requires_grad=True)
    loss = generator_discriminator(new, real, torch.tensor([0, 1, -1]), fake=2)
    assert loss.item() == pytest.approx(LN(4) + (LN(2) + LN(4)) / 2)
    loss.backward()
    assert new.grad is not None
    torch.testing.assert_close(new.grad, torch.tensor([[0.5, 0.25, 0.25 - 1]]))
    assert real.grad is not None
    assert (real.grad[2] == 0).all()
    for fake in (3, -1):
        with refused(f"fake class is {fake}"):
            generator_discriminator(new, real, torch.tensor([0, 1, -1]), fake=fake)
    with refused("stands for the fake"):
        generator_discriminator(new, real, torch.tensor([0, 2, -1]), fake=2)


def test_synthetic_values_have_the_shares_asked_for_and_one_seed_gives_one_draw(rng: torch.Generator) -> None:
    even = draw_synthetic(4000, 4, rng)
    assert even.dtype == torch.int64
    assert even.shape == (4000,)
    assert (torch.bincount(even, minlength=4) - 1000).abs().max() < 5 * math.sqrt(4000 * 0.25 * 0.75)
    for shares in ([0.7, 0.0, 0.3], torch.tensor([7, 0, 3])):  # shares or counts
        counts = torch.bincount(draw_synthetic(4000, shares, rng), minlength=3)
        assert counts[1] == 0
        assert abs(counts[0] - 2800) < 5 * math.sqrt(4000 * 0.7 * 0.3)
    for shares in (3, [0.2, 0.8]):
        one, two = (draw_synthetic(50, shares, torch.Generator().manual_seed(1)) for _ in range(2))
        assert torch.equal(one, two)
    assert draw_synthetic(0, 2, rng).shape == (0,)
    assert draw_synthetic(3, [0.0, 1.0], rng).tolist() == [1, 1, 1]
    with refused("number of classes is 0"):
        draw_synthetic(2, 0, rng)
    for bad in ([], [0.0, 0.0], [1.5, -0.5], [math.nan, 1.0], [[0.5, 0.5]]):
        with refused("must be one share a class"):
            draw_synthetic(2, torch.tensor(bad), rng)


def test_stargans_terms_by_hand() -> None:
    logits = torch.tensor([SURE, EVEN])
    assert domain_classification(logits, torch.tensor([0, 0])).item() == pytest.approx((LN(4 / 3) + LN(2)) / 2)
    x = torch.zeros(1, 1, 2, 2)
    back = torch.tensor([[[[1.0, -2.0], [0.0, 0.0]]]], requires_grad=True)
    cycle = cycle_consistency(x, back, 10.0)
    assert cycle.item() == pytest.approx(10 * (1 + 2) / 4)
    cycle.backward()
    assert back.grad is not None
    torch.testing.assert_close(back.grad.flatten(), torch.tensor([10 / 4, -10 / 4, 0.0, 0.0]))
    assert cycle_consistency(x, back, 0.0).item() == 0
    real, fake = torch.tensor([1.0, 3.0]), torch.tensor([5.0, 7.0, 9.0])
    assert wasserstein_critic(real, fake).item() == 7 - 2
    assert wasserstein_editor(fake).item() == -7
    with refused("label 2"):
        domain_classification(logits, torch.tensor([0, 2]))
    with refused("same shape"):
        cycle_consistency(x, back[:, :, :1], 1.0)
    with refused("weight of the cycle"):
        cycle_consistency(x, back, -1.0)


def test_the_gradient_penalty_of_critics_whose_slope_is_known(rng: torch.Generator) -> None:
    w = torch.tensor([[[3.0, 4.0]]], requires_grad=True)  # D(x) = w . x: slope 5 everywhere
    real = torch.randn(4, 1, 1, 2, generator=rng, requires_grad=True)
    fake = torch.randn(4, 1, 1, 2, generator=rng, requires_grad=True)
    penalty = gradient_penalty(lambda v: (v * w).sum((1, 2, 3)), real, fake, rng)
    assert penalty.item() == pytest.approx(10 * (5 - 1) ** 2)
    penalty.backward()
    assert w.grad is not None
    torch.testing.assert_close(w.grad.flatten(), 10 * 2 * (5 - 1) * torch.tensor([3 / 5, 4 / 5]))
    # of a curved critic, whose slope depends on where it is taken, too, it moves the critic alone
    gradient_penalty(lambda v: (v**2 * w).sum((1, 2, 3)), real, fake, rng).backward()
    assert real.grad is None
    assert fake.grad is None
    # two patches with slopes (2, 0) and (0, 2): D is their mean, of slope (1, 1)
    patches = gradient_penalty(lambda v: 2 * v, real, fake, rng, weight=1.0)
    assert patches.item() == pytest.approx((math.sqrt(2) - 1) ** 2)


def test_the_gradient_penalty_looks_between_the_pairs_and_stays_finite_on_a_flat_critic(rng: torch.Generator) -> None:
    seen: list[Tensor] = []

    def critic(v: Tensor) -> Tensor:
        seen.append(v.detach())
        return (v**2).sum(1) / 2  # slope at x^ is |x^|

    real, fake = torch.zeros(500, 2), torch.tensor([3.0, 4.0]).repeat(500, 1)
    penalty = gradient_penalty(critic, real, fake, rng, weight=1.0)
    share = seen[0][:, 0] / 3
    torch.testing.assert_close(seen[0][:, 1] / 4, share)  # one share for the whole record
    assert share.min() >= 0
    assert share.max() <= 1
    assert share.mean().item() == pytest.approx(0.5, abs=5 / math.sqrt(12 * 500))
    assert penalty.item() == pytest.approx(((5 * share - 1) ** 2).mean().item(), rel=1e-5)
    w = torch.zeros(2, requires_grad=True)
    flat = gradient_penalty(lambda v: torch.tanh(v @ w), real, fake, rng)
    flat.backward()
    assert flat.item() == pytest.approx(10)
    assert w.grad is not None
    assert torch.isfinite(w.grad).all()
    with refused("same shape"):
        gradient_penalty(critic, real[:3], fake, rng)
    with refused("gradient penalty must be"):
        gradient_penalty(critic, real, fake, rng, weight=-1.0)


# --------------------------------------------------------------------------------------------- inversion


def test_pixel_reconstruction_is_per_element_and_so_blind_to_size() -> None:
    x = torch.zeros(2, 1, 1, 2)
    x_hat = torch.tensor([[[[1.0, 2.0]]], [[[0.0, -3.0]]]], requires_grad=True)
    loss = pixel_reconstruction(x_hat, x)
    assert loss.item() == pytest.approx((1 + 4 + 0 + 9) / 4)
    loss.backward()
    assert x_hat.grad is not None
    torch.testing.assert_close(x_hat.grad.flatten(), 2 * torch.tensor([1.0, 2.0, 0.0, -3.0]) / 4)
    larger = pixel_reconstruction(x_hat.repeat(1, 1, 4, 4), x.repeat(1, 1, 4, 4))
    assert larger.item() == pytest.approx(loss.item())
    with refused("same shape"):
        pixel_reconstruction(x_hat, x[:1])


def test_decoder_and_discriminator_pull_against_each_other() -> None:
    # D(x^) = 1/4 and 1/2; D(x) = 3/4
    fake = torch.tensor([[-LN(3.0)], [0.0]], requires_grad=True)
    real = torch.tensor([[LN(3.0)]], requires_grad=True)
    fooled = decoder_fools(fake)
    assert fooled.item() == pytest.approx((LN(3 / 4) + LN(1 / 2)) / 2)
    fooled.backward()
    assert fake.grad is not None
    torch.testing.assert_close(fake.grad, torch.tensor([[-1 / 4], [-1 / 2]]) / 2)  # d log(1 - D) / d logit = -D
    decoder = fake.grad.clone()
    fake.grad = None
    told = discriminator_tells(real, fake)
    assert told.item() == pytest.approx(-(LN(3 / 4) + (LN(3 / 4) + LN(1 / 2)) / 2))
    told.backward()
    torch.testing.assert_close(fake.grad, -decoder)  # as printed, both would have one sign
    torch.testing.assert_close(real.grad, torch.tensor([[-1 / 4]]))
    extreme = torch.tensor([200.0, -200.0], requires_grad=True)
    loss = decoder_fools(extreme) + discriminator_tells(extreme, -extreme)
    loss.backward()
    assert torch.isfinite(loss)
    assert extreme.grad is not None
    assert torch.isfinite(extreme.grad).all()


def test_perceptual_distance_adds_up_layers_each_per_element() -> None:
    a = [torch.tensor([[1.0, 3.0]], requires_grad=True), torch.full((1, 2, 2, 2), 2.0, requires_grad=True)]
    b = [torch.zeros(1, 2), torch.zeros(1, 2, 2, 2)]
    loss = perceptual_distance(a, b)
    assert loss.item() == pytest.approx((1 + 9) / 2 + 4)
    loss.backward()
    torch.testing.assert_close(a[0].grad, torch.tensor([[1.0, 3.0]]))
    torch.testing.assert_close(a[1].grad, torch.full((1, 2, 2, 2), 2 * 2 / 8))
    for hat, own in (([], []), (a, b[:1])):
        with refused("the same layers"):
            perceptual_distance(hat, own)
    with refused("same shape"):
        perceptual_distance(a, b[::-1])


def test_task_loss_is_the_mean_over_attributes_and_binary_cross_entropy_of_two_classes() -> None:
    sex = torch.tensor([SURE, EVEN], requires_grad=True)
    hair = torch.tensor([[0.0, 0.0, LN(2.0)], [9.0, 9.0, 9.0]], requires_grad=True)
    loss = task_loss([sex, hair], [torch.tensor([1, 1]), torch.tensor([2, -1])])
    assert loss.item() == pytest.approx(((LN(4) + LN(2)) / 2 + LN(2)) / 2)
    loss.backward()
    assert hair.grad is not None
    assert (hair.grad[1] == 0).all()
    labels = torch.tensor([1, 0])
    bce = torch.nn.functional.binary_cross_entropy_with_logits(sex[:, 1] - sex[:, 0], labels.float())
    assert task_loss([sex], [labels]).item() == pytest.approx(bce.item())
    half = task_loss([sex, hair], [labels, torch.tensor([-1, -1])])
    assert half.item() == pytest.approx(bce.item() / 2)  # an attribute without a label in the batch counts as 0
    for logits, own in (([], []), ([sex, hair], [labels])):
        with refused("each attribute"):
            task_loss(logits, own)


def test_the_feature_attack_sums_a_records_squares() -> None:
    m_z = torch.tensor([[3.0, 4.0], [1.0, 1.0]], requires_grad=True)
    c_x = torch.tensor([[0.0, 0.0], [1.0, 0.0]])
    loss = feature_attack(m_z, c_x)
    assert loss.item() == pytest.approx((25 + 1) / 2)
    loss.backward()
    torch.testing.assert_close(m_z.grad, torch.tensor([[3.0, 4.0], [0.0, 1.0]]))
    with refused("same shape"):
        feature_attack(m_z, c_x[0])


# --------------------------------------------------------------------------------------------- masking


def test_top_share_keeps_soft_values_of_each_pictures_own_top() -> None:
    m = torch.tensor([[[[0.9, 0.1], [0.4, 0.5]]], [[[0.2, 0.3], [0.1, 0.0]]]], requires_grad=True)
    top = top_share(m, 0.5)
    assert top.shape == m.shape
    expected = torch.tensor([[[[0.9, 0.0], [0.0, 0.5]]], [[[0.2, 0.3], [0.0, 0.0]]]])
    torch.testing.assert_close(top.detach(), expected)  # the second picture's 0.4 of all pixels is not enough
    (top * torch.arange(1.0, 9.0).view_as(m)).sum().backward()
    torch.testing.assert_close(m.grad, torch.tensor([[[[1.0, 0], [0, 4]]], [[[5.0, 6], [0, 0]]]]))


def test_top_share_keeps_exactly_so_many_pixels_with_ties_and_at_both_ends() -> None:
    level = torch.full((3, 1, 5, 4), 0.5)
    for share in (0.0, 0.1, 0.33, 0.5, 0.99, 1.0):
        kept = top_share(level, share) > 0
        assert kept.flatten(1).sum(1).tolist() == [round(share * 20)] * 3
        assert torch.equal(kept.flatten(1), (torch.arange(20) < round(share * 20)).expand(3, -1))  # in reading order
    m = torch.rand(2, 1, 5, 4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(top_share(m, 1.0), m)
    assert (top_share(m, 0.0) == 0).all()
    ties = torch.tensor([[[[0.2, 0.7, 0.2, 0.2]]]])
    torch.testing.assert_close(top_share(ties, 0.5), torch.tensor([[[[0.2, 0.7, 0.0, 0.0]]]]))
    zeros = torch.zeros(1, 1, 2, 2, requires_grad=True)  # a sigmoid that underflowed
    top_share(zeros, 0.5).sum().backward()
    assert zeros.grad is not None
    assert zeros.grad.sum() == 2  # what is kept can still grow
    for share in (-0.1, 1.1, math.nan):
        with refused("between 0 and 1"):
            top_share(m, share)
    for shape in ((5, 4), (2, 3, 5, 4)):
        with refused("a mask is"):
            top_share(torch.zeros(shape), 0.5)


def test_revealed_and_withheld_share_no_pixel_and_leave_what_the_masker_drops() -> None:
    m = torch.tensor([[[[0.9, 0.1], [0.4, 0.0]]]], requires_grad=True)
    x = torch.tensor([[[[10.0, 20.0], [30.0, 40.0]], [[1.0, 2.0], [3.0, 4.0]]]])
    top = top_share(m, 0.25)
    shown, kept_back = revealed(top, x), withheld(m, top, x)
    torch.testing.assert_close(shown.detach(), torch.tensor([[[[9.0, 0.0], [0.0, 0.0]], [[0.9, 0.0], [0.0, 0.0]]]]))
    # (1 - m) * x would show 4 and 40 of the pixels where m is .9 and 0
    torch.testing.assert_close(
        kept_back.detach(), torch.tensor([[[[0.0, 2.0], [12.0, 0.0]], [[0.0, 0.2], [1.2, 0.0]]]])
    )
    (gradient,) = torch.autograd.grad(kept_back.sum(), m, retain_graph=True)
    torch.testing.assert_close(gradient, torch.tensor([[[[0.0, 22.0], [33.0, 44.0]]]]))  # none on the pixels kept
    (gradient,) = torch.autograd.grad(shown.sum(), m)
    torch.testing.assert_close(gradient, torch.tensor([[[[11.0, 0.0], [0.0, 0.0]]]]))
    with refused("does not belong to pictures"):
        revealed(top, x.repeat(2, 1, 1, 1))  # one mask over two pictures
    with refused("does not belong to pictures"):
        withheld(m, top, x[..., :1])
    with refused("same shape"):
        withheld(m, top[..., :1], x)


def test_predictor_and_obfuscator_losses() -> None:
    logits = torch.tensor([SURE, EVEN], requires_grad=True)
    assert predictor_loss(logits, torch.tensor([0, -1])).item() == pytest.approx(LN(4 / 3))
    loss = obfuscator_loss(logits)
    assert loss.item() == pytest.approx(((LN(4 / 3) + LN(4)) / 2 + LN(2)) / 2)  # 1 / N: N = 2 classes, then the batch
    loss.backward()
    # (softmax - 1 / N) / batch
    torch.testing.assert_close(logits.grad, torch.tensor([[0.25 / 2, -0.25 / 2], [0.0, 0.0]]))
    assert obfuscator_loss(torch.zeros(7, 3)).item() == pytest.approx(LN(3))  # its least
    extreme = torch.tensor([[1e3, -1e3]], requires_grad=True)
    certain = obfuscator_loss(extreme)
    certain.backward()
    assert certain.item() == pytest.approx(2e3 / 2)
    assert extreme.grad is not None
    assert torch.isfinite(extreme.grad).all()
    with refused("label 2"):
        predictor_loss(logits, torch.tensor([0, 2]))

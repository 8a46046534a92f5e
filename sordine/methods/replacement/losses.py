"""Replacement (Martinsson et al.): filter, generator, their discriminators; and StarGAN's terms, for a baseline.

Shapes: B records in a batch, K classes of the secret. h_f gives logits (B, K); h_g gives (B, K + 1), its last class
being *fake*. Entropies are in nats. s' is the synthetic secret.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from sordine.errors import SordineError
from sordine.models.losses import check_same_shape, check_weights, cross_entropy, entropy_of_predictions, shape

# --------------------------------------------------------------------------------------------- the filter's criteria


def negative_entropy(logits: Tensor) -> Tensor:
    """Replacement, section 3.3: l_f, the paper's choice: mean of -H(softmax(h_f(x'))), nats. (B, K) -> scalar.

    Between -log K (h_f knows nothing) and 0. It needs no label, so no `1 - s_i` either (A.3).
    """
    return -entropy_of_predictions(logits).mean()


def likelihood_of_wrong(logits: Tensor, wrong: Tensor) -> Tensor:
    """Replacement, section 3.3: l_f of the baseline: mean cross-entropy of h_f(x') towards a wrong class. (B, K), (B,).

    Algorithm 1 writes the wrong class as 1 - s_i, which only two classes have; more need an explicit target, from
    `wrong_class`. -1 is left out. Raises SordineError where the shapes disagree or a target is no class.
    """
    return cross_entropy(logits, wrong)


def wrong_class(labels: Tensor, classes: int, generator: torch.Generator) -> Tensor:
    """A class other than the own one, uniformly drawn: (B,) int64 -> (B,) int64; -1 stays -1.

    Of two classes exactly Algorithm 1's 1 - s_i. Raises SordineError where there are fewer than two classes.
    """
    if classes < 2:
        raise SordineError(f"replacement: a wrong class needs at least two classes, not {classes}")
    step = torch.randint(1, classes, labels.shape, generator=generator, device=generator.device).to(labels.device)
    return torch.where(labels >= 0, (labels + step) % classes, labels)


# --------------------------------------------------------------------------------------------- distortion


def distance_l2(x_new: Tensor, x: Tensor) -> Tensor:
    """Replacement, section 3.3: d as the L2 norm |x' - x| of each record. (B, ...), (B, ...) -> (B,).

    In the records' own unit; for points in the plane. The gradient where x' = x is 0.
    Raises SordineError on two shapes.
    """
    check_same_shape(x_new, x)
    return torch.linalg.vector_norm((x_new - x).flatten(1), dim=1)


def distance_mean_square(x_new: Tensor, x: Tensor) -> Tensor:
    """Replacement: d for pictures: mean over a record's elements of (x' - x)^2. (B, ...), (B, ...) -> (B,).

    The paper names the L2 norm here too, but of pictures in [0, 1] its budget of .001 would be less than one grey
    level of one pixel; its figures can only be the mean square. Give pictures in [0, 1].
    Raises SordineError on two shapes.
    """
    check_same_shape(x_new, x)
    return (x_new - x).square().flatten(1).mean(1)


def budget(distances: Tensor, epsilon: float, weight: float) -> Tensor:
    """Replacement, Algorithm 1: lambda * max(mean of d(x', x) - epsilon, 0)^2: (B,) -> scalar.

    The mean over the batch is taken before the hinge: a record may go beyond epsilon where others stay below.
    epsilon is in the unit of the distances. Raises SordineError where epsilon or weight (lambda) is negative.
    """
    check_weights({"epsilon": epsilon, "the weight of the distortion budget": weight})
    return weight * (distances.mean() - epsilon).relu().square()


# --------------------------------------------------------------------------------------------- the four players


def filter_loss(criterion: Tensor, over_budget: Tensor) -> Tensor:
    """Replacement, Algorithm 1: Theta_f = a criterion of h_f(x') + `budget` of d(x', x); two scalars."""
    return criterion + over_budget


def generator_loss(inserted: Tensor, over_budget: Tensor) -> Tensor:
    """Replacement, Algorithm 1: Theta_g = `insert` of h_g(x'') + `budget` of d(x'', x); two scalars.

    The distance of the second is to the original x, not to the filtered x'.
    """
    return inserted + over_budget


def insert(logits: Tensor, s_new: Tensor) -> Tensor:
    """Replacement, Algorithm 1, first term of Theta_g: mean cross-entropy of h_g(x'') towards s'. (B, K + 1), (B,).

    Low only where h_g takes x'' for a real record of class s': *fake* is one of the classes it must not choose.
    Raises SordineError where the shapes disagree or s' is no class.
    """
    return cross_entropy(logits, s_new)


def filter_discriminator(logits: Tensor, labels: Tensor) -> Tensor:
    """Replacement, Algorithm 1: Phi_f: mean cross-entropy of h_f(x') towards s, over labelled records. (B, K), (B,).

    Raises SordineError where the shapes disagree or a label is no class.
    """
    return cross_entropy(logits, labels)


def generator_discriminator(logits_new: Tensor, logits_real: Tensor, labels: Tensor, fake: int) -> Tensor:
    """Replacement, Algorithm 1: Phi_g: cross-entropy of h_g(x'') towards *fake* plus that of h_g(x) towards s.

    logits_new: (B', K + 1); logits_real: (B, K + 1); labels: (B,), of which the second term leaves out -1; fake: the
    index of the extra class. Each term is its own mean. Raises SordineError where fake is no class of the logits, or
    is the label of a real record.
    """
    if not 0 <= fake < logits_new.shape[-1]:
        raise SordineError(
            f"replacement: fake class {fake} is none of the {logits_new.shape[-1]} classes of the logits"
        )
    if bool((labels == fake).any()):
        raise SordineError(f"replacement: class {fake} stands for fake, and a real record has it as its label")
    target = torch.full(logits_new.shape[:1], fake, dtype=torch.int64, device=logits_new.device)
    return cross_entropy(logits_new, target) + cross_entropy(logits_real, labels)


def draw_synthetic(count: int, shares: int | Sequence[float] | Tensor, generator: torch.Generator) -> Tensor:
    """Replacement, Algorithm 1: s'_1 ... s'_m ~ p(s'), independent of every record. -> (count,) int64.

    On the generator's device. shares: how many classes, for the uniform p(s') of the paper; or p(s') itself, (classes,)
    shares or counts, for the data's. Raises SordineError where there is no class, or shares are negative, not
    finite or all 0.
    """
    if isinstance(shares, int):
        if shares < 1:
            raise SordineError(f"replacement: synthetic values need at least one class, not {shares}")
        return torch.randint(shares, (count,), generator=generator, device=generator.device)
    p = torch.as_tensor(shares, dtype=torch.float64, device=generator.device)
    if p.ndim != 1 or not p.numel() or not bool((p.isfinite() & (p >= 0)).all()) or not bool(p.sum() > 0):
        raise SordineError(
            f"replacement: p(s') is one share a class, 0 or more and not all 0, not {p.tolist()!r} of shape {shape(p)}"
        )
    return torch.multinomial(p, count, replacement=True, generator=generator)


# --------------------------------------------------------------------------------------------- StarGAN, a baseline


def domain_classification(logits: Tensor, labels: Tensor) -> Tensor:
    """StarGAN (Choi et al. 2018), eqs. 2 and 3: mean cross-entropy of the domain head. (B, K), (B,) -> scalar.

    Eq. 2, for the critic: of real x towards its own s. Eq. 3, for the editor: of the edited x towards s'. -1 is left
    out. Raises SordineError where the shapes disagree or a label is no class.
    """
    return cross_entropy(logits, labels)


def cycle_consistency(x: Tensor, x_back: Tensor, weight: float) -> Tensor:
    """StarGAN, eq. 4 with its weight: lambda_rec * mean over elements of |x - x_back|. (B, ...), (B, ...) -> scalar.

    Printed as the L1 norm; the mean per element makes lambda_rec (0, 5, 10, 50 in Replacement) independent of the
    picture's size. Raises SordineError on two shapes or a negative weight.
    """
    check_weights({"the weight of the cycle": weight})
    check_same_shape(x, x_back)
    return weight * (x - x_back).abs().mean()


def wasserstein_critic(real: Tensor, fake: Tensor) -> Tensor:
    """StarGAN, eq. 8 without its penalty, for the critic to minimise: mean D(fake) - mean D(real). -> scalar.

    The critic is printed as maximising the negative. Any shapes: a critic that judges patches counts by their mean.
    """
    return fake.mean() - real.mean()


def wasserstein_editor(fake: Tensor) -> Tensor:
    """StarGAN, eq. 8 to be minimised by the editor: -mean D(fake). Any shape -> scalar."""
    return -fake.mean()


def gradient_penalty(
    critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, generator: torch.Generator, weight: float = 10.0
) -> Tensor:
    """StarGAN, eq. 8: lambda_gp * mean of (|gradient of D at x^| - 1)^2, for the critic's move. -> scalar.

    critic: (B, ...) -> (B, ...); its mean over a record's patches is D(x), as in `wasserstein_critic`; it must not mix
    records (no batch norm). real, fake: (B, ...) of one shape, held fixed; x^ lies uniformly on the line between them,
    drawn on the generator's device. Raises SordineError on two shapes or a negative weight.
    """
    check_weights({"the weight of the gradient penalty": weight})
    check_same_shape(real, fake)
    where = torch.rand(len(real), generator=generator, device=generator.device).to(real.device, real.dtype)
    where = where.view(-1, *[1] * (real.ndim - 1))
    between = (where * real.detach() + (1 - where) * fake.detach()).requires_grad_()
    judged = critic(between).reshape(len(real), -1)
    (slope,) = torch.autograd.grad(judged.mean(1).sum(), between, create_graph=True)
    # vector_norm, not the root of a sum of squares: where the critic is flat its gradient is 0 and the root's NaN.
    return weight * (torch.linalg.vector_norm(slope.flatten(1), dim=1) - 1).square().mean()

"""The losses of replacement: filter, generator and their discriminators, and StarGAN's terms for a baseline.

Shapes: B records in a batch, K classes of the secret. h_f gives logits (B, K); h_g gives (B, K + 1), its last class
being *fake*. Entropies are in nats. s' is the synthetic secret.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from sordine.errors import SordineError
from sordine.models.losses import check_same_shape, check_weights, cross_entropy, entropy_of_predictions, shape


def negative_entropy(logits: Tensor) -> Tensor:
    """Return l_f of the paper's choice, the mean of -H(softmax(h_f(x'))), in nats: (B, K) -> scalar.

    It is between -log K (h_f cannot predict) and 0. It needs no label.

    References
    ----------
    - Replacement (2020), sec. 3.3: the entropy criterion.
    """
    return -entropy_of_predictions(logits).mean()


def likelihood_of_wrong(logits: Tensor, wrong: Tensor) -> Tensor:
    """Return l_f of the baseline, the mean cross-entropy of h_f(x') towards a wrong class: (B, K), (B,) -> scalar.

    Labels of -1 are ignored.

    Raises
    ------
    SordineError
        Where the shapes disagree, or a target is not a class.

    References
    ----------
    - Replacement (2020), sec. 3.3: the likelihood criterion. Algorithm 1 writes the wrong class as 1 - s_i, which only
      two classes have; more need an explicit target, from `wrong_class`.
    """
    return cross_entropy(logits, wrong)


def wrong_class(labels: Tensor, classes: int, generator: torch.Generator) -> Tensor:
    """Return a uniformly drawn class other than the record's own: (B,) int64 -> (B,) int64; -1 stays -1.

    Raises
    ------
    SordineError
        Where there are fewer than two classes.

    References
    ----------
    - Replacement (2020), alg. 1: 1 - s_i, for any number of classes.
    """
    if classes < 2:
        raise SordineError(f"replacement: there is no wrong class among {classes} classes; at least two are needed")
    step = torch.randint(1, classes, labels.shape, generator=generator, device=generator.device).to(labels.device)
    return torch.where(labels >= 0, (labels + step) % classes, labels)


def distance_l2(x_new: Tensor, x: Tensor) -> Tensor:
    """Return d as the L2 norm |x' - x| of each record, in the unit of the records: (B, ...), (B, ...) -> (B,).

    It is for points in the plane. The gradient where x' = x is 0.

    Raises
    ------
    SordineError
        Where the shapes differ.

    References
    ----------
    - Replacement (2020), sec. 3.3: d.
    """
    check_same_shape(x_new, x)
    return torch.linalg.vector_norm((x_new - x).flatten(1), dim=1)


def distance_mean_square(x_new: Tensor, x: Tensor) -> Tensor:
    """Return d for pictures in [0, 1], the mean of (x' - x)^2 over a record: (B, ...), (B, ...) -> (B,).

    Raises
    ------
    SordineError
        Where the shapes differ.

    References
    ----------
    - Replacement (2020), sec. 3.3: d, corrected. The paper names the L2 norm, but of pictures in [0, 1] its budget of
      .001 would be less than one grey level of one pixel; its figures can only be the mean square.
    """
    check_same_shape(x_new, x)
    return (x_new - x).square().flatten(1).mean(1)


def budget(distances: Tensor, epsilon: float, weight: float) -> Tensor:
    """Return lambda * max(mean of d(x', x) - epsilon, 0)^2: (B,) -> scalar.

    The mean over the batch is taken before the hinge: a record may exceed epsilon where others stay below.

    Parameters
    ----------
    distances
        (B,).
    epsilon
        In the unit of the distances, not negative.
    weight
        lambda, not negative.

    Raises
    ------
    SordineError
        Where epsilon or the weight is negative.

    References
    ----------
    - Replacement (2020), alg. 1: the second term of Theta_f and of Theta_g. Both distances are to the original x.
    """
    check_weights({"epsilon": epsilon, "the weight of the distortion budget": weight})
    return weight * (distances.mean() - epsilon).relu().square()


def insert(logits: Tensor, s_new: Tensor) -> Tensor:
    """Return the mean cross-entropy of h_g(x'') towards s': (B, K + 1), (B,) -> scalar.

    It is low only where h_g predicts that x'' is a real record of class s': *fake* is one of the other classes.

    Raises
    ------
    SordineError
        Where the shapes disagree, or s' is not a class.

    References
    ----------
    - Replacement (2020), alg. 1: the first term of Theta_g.
    """
    return cross_entropy(logits, s_new)


def filter_discriminator(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross-entropy of h_f(x') towards s, over labelled records: (B, K), (B,) -> scalar.

    Raises
    ------
    SordineError
        Where the shapes disagree, or a label is not a class.

    References
    ----------
    - Replacement (2020), alg. 1: Phi_f.
    """
    return cross_entropy(logits, labels)


def generator_discriminator(logits_new: Tensor, logits_real: Tensor, labels: Tensor, fake: int) -> Tensor:
    """Return the cross-entropy of h_g(x'') towards *fake* plus that of h_g(x) towards s, each its own mean.

    Parameters
    ----------
    logits_new, logits_real
        (B', K + 1) and (B, K + 1).
    labels
        (B,); -1 is ignored in the second term.
    fake
        Index of the additional class.

    Raises
    ------
    SordineError
        Where fake is not a class of the logits, or is the label of a real record.

    References
    ----------
    - Replacement (2020), alg. 1: Phi_g.
    """
    if not 0 <= fake < logits_new.shape[-1]:
        raise SordineError(
            f"replacement: the fake class is {fake}, outside the {logits_new.shape[-1]} classes of the logits"
        )
    if bool((labels == fake).any()):
        raise SordineError(f"replacement: a real record has the label {fake}, which stands for the fake class")
    target = torch.full(logits_new.shape[:1], fake, dtype=torch.int64, device=logits_new.device)
    return cross_entropy(logits_new, target) + cross_entropy(logits_real, labels)


def draw_synthetic(count: int, shares: int | Sequence[float] | Tensor, generator: torch.Generator) -> Tensor:
    """Return s'_1 ... s'_m ~ p(s'), independent of every record: (count,) int64, on the device of the generator.

    Parameters
    ----------
    count
        m.
    shares
        Number of classes, for the uniform p(s') of the paper, or p(s') itself, (classes,) shares or counts.
    generator
        Source of the draws.

    Raises
    ------
    SordineError
        Where there is no class, or shares are negative, not finite or all 0.

    References
    ----------
    - Replacement (2020), alg. 1: s'.
    """
    if isinstance(shares, int):
        if shares < 1:
            raise SordineError(f"replacement: the number of classes is {shares}; it must be at least 1")
        return torch.randint(shares, (count,), generator=generator, device=generator.device)
    p = torch.as_tensor(shares, dtype=torch.float64, device=generator.device)
    if p.ndim != 1 or not p.numel() or not bool((p.isfinite() & (p >= 0)).all()) or not bool(p.sum() > 0):
        raise SordineError(
            f"replacement: p(s') is {p.tolist()!r} of shape {shape(p)}; it must be one share a class, 0 or more and "
            f"not all 0"
        )
    return torch.multinomial(p, count, replacement=True, generator=generator)


def domain_classification(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross-entropy of the domain head: (B, K), (B,) -> scalar; labels of -1 are ignored.

    Raises
    ------
    SordineError
        Where the shapes disagree, or a label is not a class.

    References
    ----------
    - StarGAN (2018), eq. 2: for the critic, of real x towards its own s.
    - StarGAN (2018), eq. 3: for the editor, of the edited x towards s'.
    """
    return cross_entropy(logits, labels)


def cycle_consistency(x: Tensor, x_back: Tensor, weight: float) -> Tensor:
    """Return lambda_rec * mean over elements of |x - x_back|: (B, ...), (B, ...) -> scalar.

    Raises
    ------
    SordineError
        Where the shapes differ, or the weight is negative.

    References
    ----------
    - StarGAN (2018), eq. 4: with its weight. Printed as the L1 norm; the mean per element makes lambda_rec (0, 5, 10,
      50 in Replacement) independent of the size of the picture.
    """
    check_weights({"the weight of the cycle": weight})
    check_same_shape(x, x_back)
    return weight * (x - x_back).abs().mean()


def wasserstein_critic(real: Tensor, fake: Tensor) -> Tensor:
    """Return mean D(fake) - mean D(real), for the critic to minimise, in any shapes -> scalar.

    A critic of patches counts by their mean.

    References
    ----------
    - StarGAN (2018), eq. 8: without its penalty. The critic is printed as maximising the negative.
    """
    return fake.mean() - real.mean()


def wasserstein_editor(fake: Tensor) -> Tensor:
    """Return -mean D(fake), for the editor to minimise, in any shape -> scalar.

    References
    ----------
    - StarGAN (2018), eq. 8: for the editor.
    """
    return -fake.mean()


def gradient_penalty(
    critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, generator: torch.Generator, weight: float = 10.0
) -> Tensor:
    """Return lambda_gp * mean of (|gradient of D at x^| - 1)^2, for the move of the critic -> scalar.

    Parameters
    ----------
    critic
        (B, ...) -> (B, ...). Its mean over the patches of a record is D(x); it must not mix records (no batch norm).
    real, fake
        (B, ...) of one shape, without gradient. x^ is uniform on the line between them.
    generator
        Source of the draws of x^.
    weight
        lambda_gp, not negative.

    Raises
    ------
    SordineError
        Where the shapes differ, or the weight is negative.

    References
    ----------
    - StarGAN (2018), eq. 8: the penalty.
    """
    check_weights({"the weight of the gradient penalty": weight})
    check_same_shape(real, fake)
    where = torch.rand(len(real), generator=generator, device=generator.device).to(real.device, real.dtype)
    where = where.view(-1, *[1] * (real.ndim - 1))
    between = (where * real.detach() + (1 - where) * fake.detach()).requires_grad_()
    judged = critic(between).reshape(len(real), -1)
    (slope,) = torch.autograd.grad(judged.mean(1).sum(), between, create_graph=True)
    # vector_norm, since the gradient of a root of a sum of squares is NaN where the critic is flat.
    return weight * (torch.linalg.vector_norm(slope.flatten(1), dim=1) - 1).square().mean()

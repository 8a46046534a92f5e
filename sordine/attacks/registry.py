"""The attacks by name, and which of them suit records of a shape."""

from __future__ import annotations

from collections.abc import Sequence

from sordine.attacks.base import Attack
from sordine.attacks.convnet import ConvNet
from sordine.attacks.discriminant import Discriminant
from sordine.attacks.kernel import KernelRidge
from sordine.attacks.logistic import Logistic
from sordine.attacks.mlp import MLP
from sordine.attacks.mlp_ensemble import MLPEnsemble, WideMLP
from sordine.attacks.neighbours import Neighbours
from sordine.attacks.random_features import RandomFeatures
from sordine.attacks.resnet import ResNetAttack, is_picture
from sordine.attacks.screening import Screening
from sordine.attacks.svm import SVM
from sordine.attacks.trees import Boosting, Trees
from sordine.data.registry import Registry

# Also the order of attacks in a budget and in a report.
ATTACKS: Registry[Attack] = Registry(
    "attack",
    {
        "logistic": Logistic,
        "neighbours": Neighbours,
        "trees": Trees,
        "mlp": MLP,
        "discriminant": Discriminant,
        "screening": Screening,
        "kernel": KernelRidge,
        "resnet": ResNetAttack,
        "features": RandomFeatures,
        "svm": SVM,
        "boosting": Boosting,
        "wide": WideMLP,
        "ensemble": MLPEnsemble,
        "convolution": ConvNet,
    },
)


def attacks_in(budget: str) -> tuple[str, ...]:
    """Return the names of the attacks that take part in a budget ("quick", "standard" or "paranoid")."""
    return tuple(name for name in ATTACKS if budget in ATTACKS[name].budgets)


def accepts(attack: str, shape: Sequence[int]) -> bool:
    """Whether an attack accepts records of this shape."""
    return ATTACKS.find(attack).accepts(shape)


def suited(attacks: Sequence[str], shape: Sequence[int]) -> bool:
    """Whether one of the attacks is made for records of this shape.

    Pictures need an attack that takes them as pictures: the others infer little from them. Every attack suits records
    of another shape.
    """
    return not is_picture(shape) or any(ATTACKS.find(name).input_form == "records" for name in attacks)


def made_for_pictures(budget: str) -> tuple[str, ...]:
    """Return the names of the attacks of a budget that take records in their shape, such as pictures."""
    return tuple(name for name in attacks_in(budget) if ATTACKS[name].input_form == "records")

"""The games of replacement: Algorithm 1 with its four players, and StarGAN's two for the editing baseline.

Both take records in working units (pictures in [0, 1], vectors standardised) from a `StageData`, one attribute at a
time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from sordine.methods.replacement.losses import (
    budget,
    cycle_consistency,
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
from sordine.methods.replacement.networks import Stage
from sordine.models.picture_classifier import mixed_precision
from sordine.models.training import Batch, Draw, Move, Player

Criterion = Literal["entropy", "likelihood"]


@dataclass(frozen=True)
class StageData:
    """The inputs of a stage's training, and its measure of distortion.

    Parameters
    ----------
    attribute, classes
        The attribute that the stage replaces, and its number of classes.
    onto
        Records in the scale of the table -> working units (b, ...), after the stages before.
    distance
        (x_new, x) -> (b,), in the unit of epsilon.
    uniform
        Whether p(s') is uniform.
    """

    attribute: str
    classes: int
    onto: Callable[[Tensor, Draw], Tensor]
    distance: Callable[[Tensor, Tensor], Tensor]
    uniform: bool = True

    def labels(self, records: Batch) -> Tensor:
        """Return s (b,), -1 where unlabelled."""
        return records.y[self.attribute]

    def synthetic(self, stage: Stage, count: int, draw: Draw) -> Tensor:
        """Return s' (count,) ~ p(s') on the device of the stage."""
        shares = self.classes if self.uniform else stage.shares.cpu()
        return draw_synthetic(count, shares, draw.generator).to(stage.shares.device)


class Replacing:
    """The game of Algorithm 1. Variants omit players: without a generator it is GAP, without a filter x' is x.

    f and g learn from one forward pass; the loss of g has no gradient in f. Both discriminators learn from the same x'
    and x'', computed before any player moved. A record without a label is used wherever no label is needed.

    References
    ----------
    - Replacement (2020), alg. 1: the four players.
    """

    def __init__(
        self,
        stage: Stage,
        reader: nn.Module | None,
        judge: nn.Module | None,
        data: StageData,
        player: Callable[[nn.Module], Player],
        *,
        criterion: Criterion = "entropy",
        epsilons: tuple[float, float] = (0.0, 0.0),
        penalty: float = 1e5,
    ) -> None:
        self.stage, self.reader, self.judge, self.data = stage, reader, judge, data
        self.criterion, self.epsilons, self.penalty = criterion, epsilons, penalty
        modules = {
            "filter": stage.filter,
            "generator": stage.generator,
            "filter discriminator": reader,
            "generator discriminator": judge,
        }
        self.players: Mapping[str, Player] = {
            name: player(module) for name, module in modules.items() if module is not None
        }
        self.moves: Sequence[str] = tuple(self.players)

    def round(self, draw: Draw) -> Iterator[Move]:
        records = draw()
        x, s = self.data.onto(records.x, draw), self.data.labels(records)
        z = draw.noise(len(x), self.stage.noise)
        x_filtered = x_new = x
        if self.reader is not None:
            with mixed_precision(x.device):
                x_filtered = self.stage.filtered(x, z)
                logits = self.reader(x_filtered).float()
            over = budget(self.data.distance(x_filtered, x), self.epsilons[0], self.penalty)
            yield "filter", {self.criterion: self._fooled(logits, s, draw), "over budget": over}
        if self.judge is not None:
            s_new = self.data.synthetic(self.stage, len(x), draw)
            with mixed_precision(x.device):
                x_new = self.stage.generated(x_filtered.detach(), s_new, z)
                logits = self.judge(x_new).float()
            over = budget(self.data.distance(x_new, x), self.epsilons[1], self.penalty)
            yield "generator", {"insert": insert(logits, s_new), "over budget": over}
        if self.reader is not None:
            with mixed_precision(x.device):
                logits = self.reader(x_filtered.detach()).float()
            yield "filter discriminator", {"read": filter_discriminator(logits, s)}
        if self.judge is not None:
            # One pass for both halves: batch norm then does not reveal which half is real.
            with mixed_precision(x.device):
                of_new, of_real = self.judge(torch.cat([x_new.detach(), x])).float().chunk(2)
            loss = generator_discriminator(of_new, of_real, s, self.data.classes)
            yield "generator discriminator", {"tell": loss}

    def _fooled(self, logits: Tensor, s: Tensor, draw: Draw) -> Tensor:
        # l_f: the entropy needs no label, the likelihood a wrong class.
        if self.criterion == "entropy":
            return negative_entropy(logits)
        wrong = wrong_class(s.cpu(), self.data.classes, draw.generator).to(s.device)
        return likelihood_of_wrong(logits, wrong)


class Editing:
    """StarGAN in place of filter and generator: the attribute-editing baseline.

    Some critic moves, each on a batch of its own (Wasserstein with gradient penalty, and the class of real records),
    then one of the editor on the last of them (its judgement, the class s', the way back to x). There is no distortion
    budget. span is the range of StarGAN's records in working units, 2 for pictures (-1 to 1 there, 0 to 1 here), so
    that its weights mean the same; 1 for vectors.

    References
    ----------
    - StarGAN (2018), eqs. 2 to 8: the critic and the editor.
    """

    def __init__(
        self,
        stage: Stage,
        critic: nn.Module,
        data: StageData,
        player: Callable[[nn.Module], Player],
        *,
        cycle: float,
        critic_steps: int,
        span: float = 1.0,
    ) -> None:
        assert stage.generator is not None
        self.stage, self.critic, self.data, self.cycle, self.span = stage, critic, data, cycle, span
        self.players: Mapping[str, Player] = {
            "critic": player(critic),
            "generator": player(stage.generator),
        }
        self.moves: Sequence[str] = ("critic",) * critic_steps + ("generator",)

    def round(self, draw: Draw) -> Iterator[Move]:
        for _ in self.moves[:-1]:
            records = draw()
            x, s = self.data.onto(records.x, draw), self.data.labels(records)
            s_new = self.data.synthetic(self.stage, len(x), draw)
            z = draw.noise(len(x), self.stage.noise)
            with torch.no_grad(), mixed_precision(x.device):
                x_new = self.stage.generated(x, s_new, z)
            # The penalty is a second derivative, computed in full width.
            real, classes = self.critic(x)
            fake, _ = self.critic(x_new)
            penalty = gradient_penalty(
                lambda v: self.critic(v / self.span)[0], self.span * x, self.span * x_new, draw.generator
            )
            yield (
                "critic",
                {
                    "wasserstein": wasserstein_critic(real, fake),
                    "gradient penalty": penalty,
                    "class": domain_classification(classes, s),
                },
            )
        with mixed_precision(x.device):
            x_new = self.stage.generated(x, s_new, z)
            fake, classes = (v.float() for v in self.critic(x_new))
            back = self.stage.generated(x_new, s.clamp_min(0), z)
        known = s >= 0  # the way back needs a label
        there, again = self.span * x[known], self.span * back[known]
        whole = cycle_consistency(there, again, self.cycle) if known.any() else 0.0 * back.sum()
        yield (
            "generator",
            {
                "wasserstein": wasserstein_editor(fake),
                "class": domain_classification(classes, s_new),
                "cycle": whole,
            },
        )

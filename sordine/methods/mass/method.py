"""MaSS: multi-attribute selective suppression, as first published and in its information-theoretic form.

The modifier is eq. 1, a residual step on the unit sphere: v' = n(v + n(MLP(v))). It learns to make pretrained
classifiers of the suppressed attributes err (eq. 3), while it stays near the record (eq. 4), keeps a representation
that was learned without attributes (eq. 7), and keeps the predictions of classifiers of the preserved attributes (eq.
8). None of that keeps a retrained attacker from inferring the suppressed attributes: see docs/guide/methods/mass.md.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import BeforeValidator
from torch import Tensor
from torch.nn import functional
from torch.optim.lr_scheduler import CosineAnnealingLR

from sordine.data.statistics import prepared_moments
from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.methods.base import Method, Strength
from sordine.methods.figures import sampled_terms
from sordine.methods.mass.losses import (
    bound_penalty,
    info_nce,
    mutual_information_estimate,
    preservation,
    reconstruction,
    similarity_cosine,
    similarity_cross_entropy,
    similarity_negative_kl,
    suppression,
)
from sordine.methods.mass.networks import Sphere, Step
from sordine.methods.options import (
    Count,
    CountOrZero,
    NonNegative,
    Positive,
    Presets,
    Rate,
    Share,
    SmallNonNegative,
    Weight,
    Widths,
    choices_of,
    one_of,
    read,
    weights_of,
)
from sordine.metrics.accuracy import majority
from sordine.metrics.information import entropy, infeasible_bounds
from sordine.models.checkpoints import checkpoint_file
from sordine.models.classifier import (
    BLOCK,
    Classifier,
    ClassifierOptions,
    Prepare,
    accuracy_of,
    outputs,
    train_classifier,
)
from sordine.models.contrastive import Agnostic, AgnosticOptions, PretrainedOutputs, train_agnostic
from sordine.models.losses import agnostic, entropy_of_predictions, masked_mean
from sordine.models.modifier import Card, Modifier, Release
from sordine.models.training import Batch, Draw, Game, Move, Player, adamw, seeded, train
from sordine.policy import Policy
from sordine.run import Run

Kind = Literal["cosine", "negative_kl", "cross_entropy"]
Similarity = Annotated[Kind | Mapping[str, Kind], BeforeValidator(read)]  # one for all, or by attribute
AGNOSTIC = ""  # key of the attribute-agnostic model among the pretrained models by attribute

_S, _L = {"batch": 64, "lr": 0.00125}, {"batch": 512, "lr": 0.01}
# The two presets named like the forms are ours, found on standardised log-mel features; the others are those of table
# 7, found on unit vectors of FaceNet, HuBERT-L and R3D-18. The batch there is per GPU: four times 128.
PRESETS: dict[str, dict[str, Any]] = {
    "published": {"w_rec": 1.0, "w_s": 10.0, "h_s": 1.0, "w_agnostic": 20.0, "w_r": 5.0, "tau": 0.5} | _S,
    "information": {"w_rec": 1.0, "w_agnostic": 1.0, "tau": 0.07} | _S,
    "adience": {"w_rec": 1.0, "w_s": 5.0, "h_s": 1.0, "w_agnostic": 40.0, "w_r": 1.0, "tau": 0.07} | _S,
    "audiomnist": {"w_rec": 10.0, "w_s": 1e-3, "h_s": 0.1, "w_agnostic": 15.0, "w_r": (1e-2, 1e-3), "tau": 0.07} | _L,
    "pa_hmdb": {"w_rec": 1.0, "w_s": 1.0, "h_s": 0.1, "w_agnostic": 1000.0, "w_r": 50.0, "tau": 0.07} | _L,
}

NOTES = {
    "published": (
        "MaSS misleads classifiers trained on original records and never retrained. An attacker that trains on "
        "released records usually infers a suppressed attribute as well as before."
    ),
    "information": (
        "MaSS (information form) misleads the classifiers it was trained with. An attacker that trains on "
        "released records may infer more: see the audit."
    ),
}


class MassModifier(Modifier):
    """x -> v on the sphere -> eq. 1 -> x' in the scale and shape of the table.

    Parameters
    ----------
    width, hidden
        Numbers of a record, and widths of the hidden layers.
    noise
        Normal numbers that the step takes; 0 in the published form.
    residual
        Whether the step adds its change to the record, as in eq. 1.
    """

    def __init__(self, width: int, hidden: tuple[int, ...], noise: int = 0, residual: bool = True) -> None:
        super().__init__()
        self.noise = noise
        self.sphere = Sphere(width)
        self.step = Step(width, hidden, noise, residual)

    def forward(self, x: Tensor, noise: Tensor) -> Release:
        """Return x' of records (b, *shape) in the scale of the table; noise (b, self.noise) is uniform in (0, 1)."""
        return Release(self.sphere.back(self.on_sphere(self.sphere.onto(x), noise)).reshape(x.shape))

    def on_sphere(self, v: Tensor, noise: Tensor) -> Tensor:
        """Return v' (b, d) of norm 1, eq. 1, for v (b, d) of norm 1."""
        return self.step(v, torch.special.ndtri(noise))

    def pair(self, x: Tensor, draw: Draw) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return v and v' on the sphere, and both in the scale of the table, (b, d) each: the inputs of the losses."""
        v = self.sphere.onto(x)
        v_new = self.on_sphere(v, draw.noise(len(v), self.noise))
        return v, v_new, self.sphere.back(v), self.sphere.back(v_new)


@dataclass(frozen=True)
class Mass(Presets, Method):
    """MaSS. An option that is None takes the value of the preset, by default that of the form.

    Parameters
    ----------
    form
        `published`, the first version, or `information`, the ICML 2024 version.
    preset
        One of `PRESETS`; None means the form's own.
    hidden, epochs, batch, lr, weight_decay
        Widths of the modifier's hidden layers, and its training (AdamW, cosine schedule).
    w_rec, w_s, h_s, w_agnostic, w_r, tau
        Weights and temperature of eqs. 2 to 8. `w_s`, `h_s` and `w_r` may differ by attribute.
    similarity, preserve_similarity
        Similarity of eq. 2 for suppressed and for preserved attributes: `cosine`, `negative_kl` or `cross_entropy`.
    classifier_epochs, agnostic_epochs, agnostic_tau, agnostic_dropout, agnostic_noise
        Pretraining. The last two make views of vectors, where no raw media are given.
    noise, residual, m, n, bounds, lambda1, lambda2
        Of the information form only: noise of the modifier, whether it adds its change to the record, bounds on mutual
        information (suppressed: at most m, preserved: at least n) as a share of the entropy or in nats, and the weights
        of a violation.

    References
    ----------
    - MaSS (2022), eqs. 1 to 9: the published form.
    - MaSS (2024), objective: the information form.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = PRESETS
    name: ClassVar[str] = "mass"
    stochastic: ClassVar[bool] = False  # an instance of the information form: True, since its modifier takes noise
    accepts_views: ClassVar[bool] = True
    strength: ClassVar[Strength | None] = Strength(
        "w_agnostic", (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0)
    )

    form: Literal["published", "information"] = "published"
    preset: Annotated[str, one_of(PRESETS)] | None = None
    hidden: Widths = (256, 128, 256)
    epochs: Count = 100
    batch: Count | None = None
    lr: Rate | None = None
    weight_decay: NonNegative = 0.05
    w_rec: NonNegative | None = None
    w_s: Weight | None = None
    h_s: Weight | None = None
    w_agnostic: NonNegative | None = None
    w_r: Weight | None = None
    similarity: Similarity = "cosine"
    preserve_similarity: Similarity = "negative_kl"
    tau: Positive | None = None
    classifier_epochs: Count = 100
    agnostic_epochs: Count = 100
    agnostic_tau: Positive = 0.07
    agnostic_dropout: Share = 0.2
    agnostic_noise: SmallNonNegative = 0.3
    # The information form alone.
    noise: CountOrZero = 32
    residual: bool = False
    m: Weight = 0.0
    n: Weight = 0.9
    bounds: Literal["share", "nats"] = "share"
    lambda1: NonNegative = 5.0
    lambda2: NonNegative = 5.0

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "stochastic", self.form == "information")

    def preset_values(self) -> Mapping[str, Any]:
        """Return the values of the chosen preset, by default that of the form."""
        return PRESETS[self.preset or self.form]

    def fit(
        self, table: Table, policy: Policy, run: Run, *, raw_views: Callable[[Table], Any] | None = None
    ) -> MassModifier:
        """Pretrain the classifiers and the attribute-agnostic model, then train the modifier against them.

        Parameters
        ----------
        table, policy, run
            See `Method.fit`.
        raw_views
            Function of the table that returns pairs of augmented views of its raw media (B.1); None makes views of
            vectors.

        Raises
        ------
        SordineError
            Where bounds cannot hold together, or a weight names an attribute that the policy does not name.
        """
        own = self.settled()
        attributes = (*policy.suppress, *policy.preserve)
        goals = own._goals(table, policy) if own.form == "information" else {}
        if own.form == "published":
            own.terms_of(policy)  # so that a wrong name is refused before the training
        with seeded(run.seed, "mass"):
            modifier = own._empty(table.width).to(run.device)
            place(modifier, table, run.device)
            judges, common = own._pretrain(table, attributes, modifier.sphere, run, raw_views)
            if own.form == "information":
                game: Game = Information(own, modifier, judges, common, policy, table, goals)
            else:
                game = Published(own, modifier, judges, common, policy, table)
            draw = Draw(table, min(int(own.number("batch")), len(table)), attributes, seed=run.seed, device=run.device)
            made = {"fields": asdict(own), "seed": run.seed, "policy": [policy.suppress, policy.preserve]}
            file = checkpoint_file(run.folder, "mass", made, table, attributes, modifier.sphere, run.device)
            try:
                history = train(game, draw, own.epochs, what="modifier", file=file, run=run)
            except FloatingPointError as error:
                raise SordineError(f"mass: training diverged ({error}); set a lower lr") from None
        modifier.eval()
        figures = _figures(modifier, judges, table, history, run)
        modifier.card = own.card(policy, table, fit=figures, notes=[NOTES[own.form]])
        return modifier

    @staticmethod
    def build(card: Card, tensors: dict[str, Tensor]) -> MassModifier:
        """Return an empty modifier; see `Method.build`."""
        fields = Mass(form=card.fields["form"], hidden=card.fields["hidden"], noise=card.fields["noise"])
        return replace(fields, residual=card.fields["residual"])._empty(math.prod(card.input["shape"]))

    def _empty(self, width: int) -> MassModifier:
        if self.form == "published":
            return MassModifier(width, self.hidden)
        return MassModifier(width, self.hidden, self.noise, self.residual)

    def terms_of(self, policy: Policy) -> tuple[dict[str, float], dict[str, float], dict[str, float], dict[str, Kind]]:
        """Return w_s, h_s, w_r and the similarity of each attribute.

        Raises
        ------
        SordineError
            Where one of them names an attribute that the policy does not name.
        """
        kinds: dict[str, Kind] = choices_of(self.similarity, policy.suppress, "cosine", "mass: similarity")
        kinds |= choices_of(self.preserve_similarity, policy.preserve, "negative_kl", "mass: preserve_similarity")
        weigh = {"w_s": policy.suppress, "h_s": policy.suppress, "w_r": policy.preserve}
        w_s, h_s, w_r = (weights_of(getattr(self, f), names, f"mass: {f}") for f, names in weigh.items())
        return w_s, h_s, w_r, kinds

    def _pretrain(
        self,
        table: Table,
        attributes: tuple[str, ...],
        sphere: Sphere,
        run: Run,
        raw_views: Callable[[Table], Any] | None,
    ) -> tuple[dict[str, Classifier], Agnostic | None]:
        # B.1 and B.2, on the records as the sphere represents them: what the losses call x.
        options = ClassifierOptions(epochs=self.classifier_epochs)
        judges = {a: train_classifier(table, a, options, prepare=sphere, run=run) for a in attributes}
        for judge in judges.values():
            judge.requires_grad_(False)
        if not self.w_agnostic:
            return judges, None
        agnostic_options = AgnosticOptions(
            dropout=self.agnostic_dropout, noise=self.agnostic_noise, epochs=self.agnostic_epochs, tau=self.agnostic_tau
        )
        views = None if raw_views is None else raw_views(table)
        common = train_agnostic(table, agnostic_options, views=views, prepare=sphere, run=run)
        return judges, common.requires_grad_(False)

    def _goals(self, table: Table, policy: Policy) -> dict[str, tuple[float, float]]:
        # Attribute -> (entropy, bound), in nats.
        whole = {a: entropy(table.y[a]) * math.log(2) for a in (*policy.suppress, *policy.preserve)}
        share = self.bounds == "share"
        goals = {
            name: (whole[name], weight * (whole[name] if share else 1.0))
            for field, bound, names in (("m", self.m, policy.suppress), ("n", self.n, policy.preserve))
            for name, weight in weights_of(bound, names, f"mass: {field}").items()
        }
        bits = {name: bound / math.log(2) for name, (_, bound) in goals.items()}
        wrong = infeasible_bounds(table.y, {s: bits[s] for s in policy.suppress}, {u: bits[u] for u in policy.preserve})
        if wrong:
            raise SordineError("mass: the bounds m and n cannot hold together: " + " ".join(wrong))
        return goals


class Published:
    """The published form. One round is a step of the modifier on eq. 9; the pretrained models never move.

    References
    ----------
    - MaSS (2022), eq. 9: the sum of its terms.
    """

    moves = ("modifier",)

    def __init__(
        self,
        fields: Mass,
        modifier: MassModifier,
        judges: Mapping[str, Classifier],
        common: Agnostic | None,
        policy: Policy,
        table: Table,
    ) -> None:
        self.fields, self.modifier, self.judges, self.common, self.policy = fields, modifier, judges, common, policy
        self.w_s, self.h_s, self.w_r, self.kind = fields.terms_of(policy)
        says: dict[str, Prepare] = {
            name: judge.features if self.kind[name] == "cosine" else judge
            for name, judge in judges.items()
            if self.kind[name] != "cross_entropy"
        }
        if common is not None:
            says[AGNOSTIC] = common
        self.originals = PretrainedOutputs(says, table, modifier.sphere, modifier.sphere.mean.device)
        self.players = {"modifier": _player(modifier.step, fields)}

    def round(self, draw: Draw) -> Iterator[Move]:
        records = draw()
        v, v_new, x, x_new = self.modifier.pair(records.x, draw)
        terms = {"reconstruction": reconstruction(v_new, v, self.fields.number("w_rec"))}
        for s in self.policy.suppress:
            similarity, logits, labels = self._similarity(s, x, x_new, records)
            blur = entropy_of_predictions(logits)
            terms[f"suppress {s}"] = suppression(similarity, blur, self.w_s[s], self.h_s[s], labels)
        if self.common is not None:
            p, p_new = self.originals(AGNOSTIC, x, records.rows), self.common(x_new)
            terms["agnostic"] = agnostic(p, p_new, self.fields.number("tau"), self.fields.number("w_agnostic"))
        for r in self.policy.preserve:
            similarity, _, labels = self._similarity(r, x, x_new, records)
            terms[f"preserve {r}"] = preservation(similarity, self.w_r[r], labels)
        yield "modifier", terms

    def _similarity(self, name: str, x: Tensor, x_new: Tensor, records: Batch) -> tuple[Tensor, Tensor, Tensor | None]:
        # sim(x', x) of eq. 2 (b,), the logits of x', and the labels where the similarity needs them.
        judge = self.judges[name]
        z_new = judge.features(x_new)
        logits_new = judge.projector(z_new)
        if self.kind[name] == "cross_entropy":
            labels = records.y[name]
            return similarity_cross_entropy(logits_new, labels), logits_new, labels
        old = self.originals(name, x, records.rows)
        if self.kind[name] == "cosine":
            return similarity_cosine(z_new, old), logits_new, None
        return similarity_negative_kl(logits_new, old), logits_new, None


class Information:
    """The information form. One round is a step of the modifier, then one of every co-trained classifier on x'.

    The co-trained classifiers start as the pretrained ones. goals: attribute -> (entropy, bound), in nats.

    References
    ----------
    - MaSS (2024), objective: bounds on mutual information, and InfoNCE.
    """

    def __init__(
        self,
        fields: Mass,
        modifier: MassModifier,
        judges: Mapping[str, Classifier],
        common: Agnostic | None,
        policy: Policy,
        table: Table,
        goals: Mapping[str, tuple[float, float]],
    ) -> None:
        self.fields, self.modifier, self.common, self.policy, self.goals = fields, modifier, common, policy, goals
        self.readers = {name: copy.deepcopy(judge).requires_grad_(True) for name, judge in judges.items()}
        says: dict[str, Prepare] = {} if common is None else {AGNOSTIC: common}
        self.originals = PretrainedOutputs(says, table, modifier.sphere, modifier.sphere.mean.device)
        self.players = {
            "modifier": _player(modifier.step, fields),
            **{f"read {name}": _player(reader, fields) for name, reader in self.readers.items()},
        }
        self.moves = tuple(self.players)

    def round(self, draw: Draw) -> Iterator[Move]:
        records = draw()
        v, v_new, x, x_new = self.modifier.pair(records.x, draw)
        terms = {"reconstruction": reconstruction(v_new, v, self.fields.number("w_rec"))}
        for name, reader in self.readers.items():
            entropy_nats, bound = self.goals[name]
            known = mutual_information_estimate(entropy_nats, _cross_entropy(reader(x_new), records.y[name]))
            role, passed = ("suppress", known - bound) if name in self.policy.suppress else ("preserve", bound - known)
            terms[f"{role} {name}"] = bound_penalty(passed, self.fields.lambda1, self.fields.lambda2)
        if self.common is not None:
            p, p_new = self.originals(AGNOSTIC, x, records.rows), self.common(x_new)
            found = info_nce(p, p_new, self.fields.number("tau"))
            terms["agnostic"] = self.fields.number("w_agnostic") * found
        yield "modifier", terms
        shown = x_new.detach()
        for name, reader in self.readers.items():
            yield f"read {name}", {"cross_entropy": _cross_entropy(reader(shown), records.y[name])}


def place(modifier: MassModifier, table: Table, device: str) -> None:
    """Fit the sphere of a modifier to the training records: standardise, then set one radius.

    Records that are unit vectors already are left unchanged.
    """
    mean, deviation, unit = prepared_moments(table, device=device)
    if unit:
        return
    sphere = modifier.sphere
    sphere.mean.copy_(mean)
    sphere.scale.copy_(deviation)
    modifier.step.live.copy_(deviation > 0)
    total = 0.0
    for start in range(0, len(table), BLOCK):
        x = table.batch(slice(start, start + BLOCK)).to(device)
        total += float(torch.linalg.vector_norm(sphere.standardised(x), dim=1).double().sum())
    sphere.radius.fill_(total / len(table))


def _player(module: torch.nn.Module, fields: Mass) -> Player:
    optimiser = adamw(fields.number("lr"), fields.weight_decay)
    return Player(module, optimiser, lambda o: CosineAnnealingLR(o, fields.epochs))


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    values = functional.cross_entropy(logits, labels.clamp_min(0), reduction="none")
    return masked_mean(values, labels)


def _figures(
    modifier: MassModifier, judges: Mapping[str, Classifier], table: Table, history: list[dict[str, float]], run: Run
) -> dict[str, Any]:
    # On the training records: loss terms of about 20 epochs, distortion, and accuracy of the pretrained classifiers.
    random = torch.Generator().manual_seed(run.seed)
    sphere = modifier.sphere

    def release(x: Tensor) -> Tensor:
        noise = torch.rand(len(x), modifier.noise, generator=random).clamp_(1e-7, 1 - 1e-7)
        return modifier(x, noise.to(x.device)).x

    def step(x: Tensor) -> Tensor:
        return torch.linalg.vector_norm(sphere.onto(release(x)) - sphere.onto(x), dim=1, keepdim=True)

    found: dict[str, dict[str, float]] = {}
    for when, see in (("before", sphere), ("after", release)):
        logits = {name: outputs(judge, table.x, prepare=see, device=run.device) for name, judge in judges.items()}
        found[f"pretrained_accuracy_{when}"] = {n: accuracy_of(v, table.y[n]) for n, v in logits.items()}
        blur = {n: entropy_of_predictions(torch.from_numpy(v)).mean() for n, v in logits.items()}
        found[f"pretrained_entropy_nats_{when}"] = {n: float(v) for n, v in blur.items()}
    moved = outputs(step, table.x, device=run.device).astype(np.float64)
    return {
        **sampled_terms(history),
        "distortion_l2": float(moved.mean()),
        "distortion_mean_square": float(np.square(moved).mean() / table.width),
        **found,
        "guess": {name: majority(table.y[name]) for name in judges},
    }

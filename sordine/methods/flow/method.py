"""Flow: every record moves, step by step, to where little of its suppressed classes can be inferred.

No task needs to be named: records move little, so that what does not depend on the suppressed attributes stays. With a
code z(x) of few numbers (`sordine.methods.alignment.space`) and predicted class probabilities P(s | x), R times:

    witness  new random features phi of the code, and for every class s the ridge regression
                 w_s = argmin E (1[s] - P(s) - w . (phi(z) - E phi))^2 + ridge h/n |w|^2,   f_s(z) = w_s . (phi(z) - E
                 phi),
             by how much class s is more frequent at z than everywhere;
    step     z <- z - step max(f, 0) grad f / (|grad f|^2 + damp),   f = sum over s of P(s | x) f_s(z), damp a tenth of
    the
             mean |grad f|^2;

and after every few rounds

    kernel   the classes of sampled records of the fit around z:
                 v = sum over s of P(s | x) sum over j of a_j(z) (1[s_j = s] - P(s)),  a(z) = softmax(-|z - z_j|^2 / (2
                 width^2)),
    step     z <- z - step v grad v / (|grad v|^2 + damp).

Random features describe differences of classes over wide regions, neighbours what a record has in common with its few
nearest records. The h features are regularised by the number n of records: steps that fit few records too well would
move these to where their own class is the least likely, which also reveals it. Steps learned from some records leave
fine differences in others. The noise hides those: what is released is the last z plus a little normal noise, brought
back to a record by least squares.

The method follows the gradient flow of the maximum mean discrepancy between each class and all records, on random
features, in the metric of ridge regression. Unlike there, all records move, and only where the witness is above 0.
Where several attributes are suppressed, their joint classes and the classes of each attribute take turns.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.keys import numpy_rng
from sordine.methods.alignment.network import Aligned
from sordine.methods.alignment.space import (
    Alignment,
    explained_variance,
    held_out_probabilities,
    learnable,
    linear_decoder,
)
from sordine.methods.base import Method, Strength
from sordine.methods.flow.modifier import FlowModifier, gridded
from sordine.methods.flow.neighbours import neighbourhood_size
from sordine.methods.flow.space_selection import Candidate, Selection, choose
from sordine.methods.options import Parts, SmallCount, SmallCountOrZero, SmallNonNegative, SmallPositive
from sordine.metrics.information import joint
from sordine.models.checkpoints import checkpoint_file, read_checkpoint, write_checkpoint
from sordine.models.cross_fitted import CrossFitted, fitting_map, parts_of_table, parts_of_tensors
from sordine.models.fingerprints import fingerprints
from sordine.models.modifier import Card, Modifier
from sordine.policy import Policy
from sordine.run import Run

NOISE = {"standardised": 0.1, "matched": 0.2}  # where none is set: in few numbers, each carries more
NEIGHBOUR_ROUNDS = {"standardised": 3, "matched": 40}  # where none is set: in few numbers, features suffice more often
LEAST, MOST = 0.001, 100.0  # noise that the grid of the code can represent
EACH = 4  # records for every number of a code, where its size is not set
ALIGNING, AXES = 12, 64  # rounds and axes of the space of transport
MATCHED = 12  # numbers of a code in the matched space
CIRCLES = (0.03, 0.1)  # neighbourhood sizes, as shares of the sampled records
SAMPLED = 2000  # neighbours, sampled anew for each step, at most half of the records: fixed ones would be overfitted
LEARNED, OF_CLASS = 6000, 40  # records that a map is learned from, at most; and of each class, where these are more
CHOSEN = 4000  # records on which spaces are compared, at most
DECODED = 2000  # records from which the way back from codes to records is learned, at least, where there are so many
FEWEST = 3  # sampled records, at least
SHARED = 0.4  # share of the variance within classes from which the matched space is tried early
STANDARDISED = (256, 192, 128, 96, 64, 40, 24)  # numbers of a standardised code, in the order of trial


@dataclass(frozen=True)
class FitData:
    """What a flow is learned from: n records x (n, width), joint classes (n,), and partitions of these (G, S)."""

    table: Table
    policy: Policy
    run: Run
    x: Tensor
    secret: Tensor
    groupings: Tensor

    def part(self, rows: np.ndarray) -> FitData:
        """Return the same with some rows of the records."""
        return replace(self, x=self.x[rows], secret=self.secret[rows])


@dataclass(frozen=True)
class Flow(Method):
    """Witness and neighbour steps in an aligned space.

    Parameters
    ----------
    space
        The space in which records move. `standardised`: the first principal axes of ranks, standardised for each class,
        with equal covariances. `matched`: the space of transport, in which a linear map of each class aligns it with
        the others. `chosen`: the first space in which attackers find a leakage of at most `limit` for every suppressed
        attribute on held-out records, up to chance (see `sordine.methods.flow.space_selection`). It tries standardised
        spaces of 256, 192, 128, 96, 64, 40 and 24 numbers, if there are four records for each number. It also tries a
        matched space of 12. That comes second if it explains 40 % of the variance of the first 64 axes within classes.
    size
        Numbers of a code. 0 means 12 if matched, and the largest possible of the list above if standardised.
    noise
        Standard deviation of the noise added to each number of the code, in units of their common deviation; 0 or 0.001
        to 100. 0 adds none. None means 0.2 if matched, 0.1 if standardised.
    rounds, step
        Number of witness steps, and the share (0 to 1) of the way that each takes.
    votes
        Witness steps between two neighbour steps; 0 means no neighbour steps. None means 3 if standardised, 40 if
        matched.
    circles
        Alternate between two neighbourhood sizes (3 % and 10 % of the sampled records) instead of 20 neighbours.
    features
        Random features of a witness.
    ridge
        Ridge of the witness, if there are as many features as records.
    limit
        Leakage (NAG) up to which a space is chosen.
    covariances
        Whether the covariances of the classes are made equal before the first step, where standardised.
    strict
        Whether a support vector machine counts in the choice of a space, beside quick attackers of the audit's
        families.
    parts
        1: one map, learned from all records. K > 1: K maps in one space, each learned without one part of the records,
        and a record goes through the map that was learned without it (`sordine.models.cross_fitted`).

    References
    ----------
    - MMD gradient flow (2019), method: the flow; all records move, and only down to 0, is ours.
    - Random features (2007), alg. 1: the features of a witness.
    """

    space: Literal["chosen", "standardised", "matched"] = "chosen"
    size: SmallCountOrZero = 0
    noise: SmallNonNegative | None = None
    rounds: SmallCount = 200
    step: Annotated[float, Field(gt=0, le=1)] = 0.2
    votes: SmallCountOrZero | None = None
    circles: bool = False
    features: SmallCount = 500
    ridge: SmallPositive = 0.1
    limit: SmallPositive = 0.05
    covariances: bool = True
    strict: bool = False
    parts: Parts = 5

    name: ClassVar[str] = "flow"
    stochastic: ClassVar[bool] = True  # an instance without noise: False
    strength: ClassVar[Strength | None] = Strength("noise", (2.0, 1.5, 1.0, 0.7, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05))

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.noise and not LEAST <= self.noise <= MOST:
            raise SordineError(f"flow: noise is {self.noise:g}; it must be 0 or between {LEAST:g} and {MOST:g}")
        object.__setattr__(self, "stochastic", self.noise != 0)

    def noise_in(self, space: str) -> float:
        """Return the standard deviation of the noise in a space."""
        return NOISE[space] if self.noise is None else self.noise

    def neighbour_rounds_in(self, space: str) -> int:
        """Return the witness steps between two neighbour steps in a space; 0 means no neighbour steps."""
        return NEIGHBOUR_ROUNDS[space] if self.votes is None else self.votes

    def candidates(self, most: int, shared: float = 0.0) -> list[Candidate]:
        """Return the spaces to try, in order.

        Parameters
        ----------
        most
            Largest size of a code.
        shared
            Share (0 to 1) of the variance within classes that the matched space explains.
        """
        sizes = (self.size,) if self.size else tuple(s for s in STANDARDISED if s <= most) or (most,)
        standardised = [Candidate("standardised", s) for s in sizes]
        matched = [Candidate("matched", self.size or MATCHED)]
        place = 1 if shared >= SHARED else len(standardised)
        both = [*standardised[:place], *matched, *standardised[place:]]
        found = {"standardised": standardised, "matched": matched, "chosen": both}[self.space]
        return list(dict.fromkeys(replace(c, size=max(1, min(c.size, most))) for c in found))

    def fit(self, table: Table, policy: Policy, run: Run) -> Modifier:
        """Choose the space where several are possible, then learn the steps.

        It runs on the CPU. Records that lack a suppressed label are not used.

        Raises
        ------
        SordineError
            Where the labelled records are too few, or alike within their classes.
        """
        usable, labels, data = fit_data(table, policy, run)
        x, secret = data.x, data.secret
        most = min(x.shape[1], len(x) - len(x) // 4 - 1 if self.size else max(1, len(x) // EACH))
        found: dict[str, Any] = {}
        shared = 0.0
        if self.space == "chosen":
            space = self.aligned(Candidate("matched", min(self.size or MATCHED, most)), data)
            shared = explained_variance(space, space.ranks(x), secret)
        candidates = self.candidates(most, shared)
        chosen = candidates[0]
        if len(candidates) > 1:
            some = numpy_rng(run.seed, "flow, chosen").permutation(len(x))[:CHOSEN]
            some = np.sort(np.union1d(some, np.unique(secret, return_index=True)[1]))  # every class takes part
            group = None if table.group is None else np.asarray(table.group)[usable][some]
            own = [torch.from_numpy(y[some]) for y in labels]
            chosen, found = choose(
                candidates,
                lambda candidate, rows: self.learn(candidate, data, some[rows]),
                Selection(x[some], own, secret[some], group, table.source),
                self.limit,
                run,
                strict=self.strict,
            )
        maps = self.learn_maps(chosen, data)
        modifier = maps[0] if len(maps) == 1 else CrossFitted(maps)
        figures = {"space": chosen.space, "size": maps[0].size, "noise": self.noise_in(chosen.space), **found}
        if self.space == "chosen":
            figures["shared"] = round(shared, 3)
        if len(maps) > 1:
            figures["parts"] = len(maps)
        sentences = notes(found, chosen, policy, self, len(maps[0].votes.voters) > 0)
        modifier.card = self.card(policy, table, fit=figures, notes=sentences)
        return modifier.eval()

    def learn_maps(self, candidate: Candidate, data: FitData) -> list[FlowModifier]:
        """Return the maps in one space: one learned from all records, or each without one part of them."""
        if self.parts == 1:
            return [self.learn(candidate, data)]
        part, maps = parts_of_table(data.table, self.parts), []
        for k in range(self.parts):
            data.run.log(f"flow: map {k + 1} of {self.parts}")
            with fitting_map(k + 1, self.parts):
                _, _, rest = fit_data(data.table.take(np.flatnonzero(part != k)), data.policy, data.run)
                maps.append(self.learn(candidate, rest))
        return maps

    def learn(self, candidate: Candidate, data: FitData, rows: np.ndarray | None = None) -> FlowModifier:
        """Return the modifier in one space, learned from all records or from some rows of them.

        A modifier of the run's folder is used again, whatever its noise.
        """
        used = np.arange(len(data.x)) if rows is None else rows
        run, policy = data.run, data.policy
        neighbour_rounds = self.neighbour_rounds_in(candidate.space)
        own = {"seed": run.seed, "suppress": policy.suppress, "votes": neighbour_rounds}
        fields = asdict(self) | asdict(candidate) | own
        fields |= {"noise": None, "limit": None, "strict": None, "rows": hashlib.blake2b(used.tobytes()).hexdigest()}
        file = checkpoint_file(run.folder, "flow", fields, data.table, policy.suppress)
        found = read_checkpoint(file)
        try:
            modifier = None if found is None else FlowModifier.of_tensors(found)
        except (KeyError, RuntimeError, ValueError):  # a file of something else is replaced
            modifier = None
        if modifier is None:
            modifier = self.learn_steps(candidate, data.part(used))
            write_checkpoint(file, modifier.state_dict())
        modifier.sigma.fill_(self.noise_in(candidate.space))
        modifier.noise = modifier.size if self.noise_in(candidate.space) else 0
        return modifier

    def learn_steps(self, candidate: Candidate, data: FitData) -> FlowModifier:
        """Return the modifier in one space: the space, the steps, and the map back to records.

        Raises
        ------
        SordineError
            Where codes are not finite.
        """
        x, secret, run = data.x, data.secret, data.run
        space, every = self.aligned(candidate, data), self.neighbour_rounds_in(candidate.space)
        sampled = min(len(x) // 2, SAMPLED)
        times = self.rounds // every if every and sampled >= FEWEST else 0
        modifier = FlowModifier(
            space, self.rounds, self.features, data.groupings.shape[0], self.step, times, sampled if times else 0
        )
        steps, neighbours = modifier.steps, modifier.votes
        steps.groupings = data.groupings
        ranks = space.ranks(x)
        # Steps are learned on codes like those of new records, whose classes are predicted with less certainty.
        probabilities = held_out_probabilities(space, ranks, secret, run.seed)
        z = space.code(space.components(ranks, probabilities), probabilities)
        # In units of the code's own deviation, so that random features resolve it alike in any table.
        modifier.unit = z.std().clamp_min(1e-12)
        z = z / modifier.unit
        rng = numpy_rng(run.seed, "flow")
        steps.draw(torch.Generator().manual_seed(int(rng.integers(1 << 62))))
        prints = fingerprints(x)
        for r in range(self.rounds):
            z = steps.learn(r, z, secret, probabilities, self.ridge * self.features / len(z))
            if (time := modifier.neighbour_step_after(r)) is not None:
                picked = torch.from_numpy(rng.permutation(len(z))[:sampled])
                near = neighbourhood_size(time, sampled, CIRCLES if self.circles else (0.0,))
                grouped = steps.grouped_as(time, probabilities)
                z = neighbours.learn(time, z, secret, *grouped, prints, picked, near)
            if (r + 1) % 10 == 0 or r + 1 == self.rounds:
                run.step("flow", r + 1, self.rounds)
        some = slice(None, None, max(1, len(x) // DECODED))
        code = modifier.stepped(x[some]).float()
        if not code.isfinite().all():
            raise SordineError(
                f"{data.table.source}: flow found no finite code; check whether most of the records are equal"
            )
        modifier.record = gridded(linear_decoder(code, x[some]))
        return modifier

    def aligned(self, candidate: Candidate, data: FitData) -> Aligned:
        """Return the space of a candidate.

        Raises
        ------
        SordineError
            Where records are alike within their classes.
        """
        if candidate.space == "matched":
            alignment = Alignment(size=candidate.size, axes=max(AXES, candidate.size), rounds=ALIGNING)
        else:
            alignment = Alignment(size=candidate.size, axes=candidate.size, rounds=0, covariances=self.covariances)
        # Without the folder: a file there would be that of all records of the table.
        alone = replace(data.run, folder=None)
        strata = torch.zeros(len(data.x), dtype=torch.long)
        return alignment.learn(data.table, Policy(data.policy.suppress), alone, data.x, data.secret, strata)

    @staticmethod
    def build(card: Card, tensors: dict[str, Tensor]) -> Modifier:
        """Return the modifier of these tensors; see `Method.build`."""
        Flow(**card.fields)  # refuses a card with wrong options
        maps = [FlowModifier.of_tensors(part) for part in parts_of_tensors(tensors) or [tensors]]
        for one in maps:
            one.noise = one.size if one.sigma else 0
        return maps[0] if len(maps) == 1 else CrossFitted(maps)


def fit_data(table: Table, policy: Policy, run: Run) -> tuple[np.ndarray, list[np.ndarray], FitData]:
    """Return the rows that a flow is learned from, their codes of each suppressed attribute, and what it learns from.

    Raises
    ------
    SordineError
        Where the labelled records are too few, or alike.
    """
    classes = len(np.unique(joint([table.y[a] for a in policy.suppress])))
    most = max(LEARNED, OF_CLASS * classes)
    usable, x, secret = learnable(table, Policy(policy.suppress), run.seed, "flow", most)
    labels = [table.y[a][usable] for a in policy.suppress]
    return usable, labels, FitData(table, policy, run, x, secret, groupings_of(labels, secret))


def groupings_of(labels: list[np.ndarray], secret: Tensor) -> Tensor:
    """Return the joint classes, then the coarser classes of each suppressed attribute: (G, S).

    Parameters
    ----------
    labels
        (n,) class codes of each suppressed attribute.
    secret
        (n,) joint classes.
    """
    classes = int(secret.max()) + 1
    first = [int(np.flatnonzero(secret.numpy() == s)[0]) for s in range(classes)]

    def partitions() -> Iterator[tuple[int, ...]]:
        yield tuple(range(classes))
        for codes in labels:
            yield tuple(int(c) for c in np.unique(codes[first], return_inverse=True)[1])

    # Groups are numbered by first appearance, so that equal partitions are equal.
    found = dict.fromkeys(tuple({c: n for n, c in enumerate(dict.fromkeys(p))}[c] for c in p) for p in partitions())
    return torch.tensor(list(found), dtype=torch.long)


def notes(found: dict[str, Any], chosen: Candidate, policy: Policy, method: Flow, holds_records: bool) -> list[str]:
    """Return what the owner must know before a release leaves, in sentences.

    Parameters
    ----------
    found
        Figures of `choose`; empty where one space only was possible.
    chosen, policy, method
        Of the fit.
    holds_records
        Whether the modifier holds codes of records of the fit.
    """
    if method.noise_in(chosen.space):
        near = (
            "Records that are near one another stay near, except for a little noise: an attacker with a person's "
            "original record may find it again among the released ones, and several releases of it under different "
            "keys average the noise away, so keep to one key."
        )
    else:
        near = (
            "What is released is deterministic: records that are near one another stay near, so that an attacker with "
            "a person's original record can find it again among the released ones."
        )
    sentences = [f"{near} Nothing is proved; the audit measures what can be inferred."]
    if holds_records:
        sentences.append(
            "The modifier holds codes, suppressed classes and fingerprints of records of the fit: an attacker with "
            "the modifier and a person's original record infers the suppressed attribute. Do not release the modifier."
        )
    return sentences + _space_notes(found, chosen, policy, method)


def _space_notes(found: dict[str, Any], chosen: Candidate, policy: Policy, method: Flow) -> list[str]:
    names = " and ".join(policy.suppress)
    what = f"{chosen.size} numbers of the {chosen.space} space"
    if not found:
        return []
    if found.get("held") is None:
        return [
            f"Records move in {what}: quick attackers inferred nothing of {names} from the original records, so that "
            "no space could be chosen by what they infer."
        ]
    where = "of the fit" if found["of_the_fit"] else "held out"
    measured = (
        f"attackers inferred {max(0.0, found['held_back']):.2f} NAG there from records {where}, where chance alone "
        f"gives {found['chance']:.2f}"
    )
    if found["held"]:
        limit = f"what exceeds chance is within the method's own limit, {method.limit:g} (--option limit)."
        first = f"Records move in {what}: {measured}; {limit}"
    else:
        first = f"No space that was tried keeps {names} under {method.limit:g} NAG. Records move in {what}: {measured}."
    counts = "counts" if method.strict else "does not count (--option strict=true changes that)"
    machine = max(0.0, found["machine"])
    return [
        first,
        f"A support vector machine, which {counts}, inferred {machine:.2f} NAG there from held-out records.",
    ]

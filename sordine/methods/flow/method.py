"""Flow: every record goes down the witnesses of its suppressed classes, step by step, to where little is to be told of them.

Nothing need be known of the tasks to come: records move little, so that what the suppressed attributes
do not tell stays. With z(x) a code of few numbers (`sordine.methods.alignment.space`) and P(s | x) what is told of the class from the
record, R times over:

    look    fresh random features phi of the code, and for every class s the ridge regression
                w_s = argmin E (1[s] - P(s) - w . (phi(z) - E phi))^2 + ridge h/n |w|^2,   f_s(z) = w_s . (phi(z) - E phi),
            the witness of how much more often s lies at z than everywhere;
    step    z <- z - step max(f, 0) grad f / (|grad f|^2 + damp),   f = sum over s of P(s | x) f_s(z), damp a tenth of the mean |grad f|^2;

and after every few rounds

    ask     other records of the fit what is around z: v = sum over s of P(s | x) sum over j of a_j(z) (1[s_j = s] - P(s)),
            a(z) = softmax(-|z - z_j|^2 / (2 width^2)),
    step    z <- z - step v grad v / (|grad v|^2 + damp).

Random features see what sets classes apart over wide stretches, neighbours what a record has in common with the few most like it.
h features are held against n records: few records are not to be fitted by heart, or those of the fit are moved so far that they
stand where their own class is the least likely, and can be read by that. Steps learnt from some records leave fine differences in
others. Those drown: what is released is the last z and a little normal noise, brought back to a record by least squares.

After the gradient flow of the maximum mean discrepancy (Arbel et al., 2019) between each class and all, on random features
(Rahimi and Recht, 2007), in the regularised metric of ridge regression; unlike there all records move, those above 0 only, as far as a
linear witness would be 0; the use of it is ours. Where several attributes are suppressed, their joint classes and each of them are looked at in turn.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.keys import numpy_rng
from sordine.methods.alignment.network import Aligned
from sordine.methods.alignment.space import Alignment, back, held, learnable, told_apart
from sordine.methods.base import check_fields, input_of
from sordine.methods.flow.neighbours import Votes, circle, fingerprints
from sordine.methods.flow.space_selection import Candidate, choose
from sordine.methods.flow.witness import Witnesses
from sordine.models.checkpoints import checkpoint_file, read_checkpoint, write_checkpoint
from sordine.models.modifier import Card, Modifier, Release
from sordine.policy import Policy
from sordine.run import Run

NOISE = {"standardised": 0.1, "matched": 0.2}  # where none is set: few numbers carry more
VOTES = {"standardised": 3, "matched": 40}  # where none are set: in few numbers features see most of what neighbours do
LEAST, MOST = 0.001, 100.0  # noise that the grid of the code can carry
EACH = 4  # records at least, for every number of a code, where its size is not set
GRID, DIGITS = 4096, 24  # places in a unit of the code; binary digits of what brings it back to records
ALIGNING, AXES = 12, 64  # rounds and axes of the space of transport
MATCHED = 12  # numbers of a code whose classes are matched
CIRCLES = (0.03, 0.1)  # of the voters, heard by turns where circles are asked for
VOTERS = 2000  # records that vote, others every time, but at most half: who always votes on the same is fitted by heart
FEWEST = 3  # that can be asked
SHARED = 0.4  # of the variance within classes, from which the matched space is tried early
STANDARDISED = (256, 192, 128, 96, 64, 40, 24)  # numbers of a code that is standardised only, the most first


@dataclass(frozen=True)
class Flow:
    """space: where records move. "standardised": the first principal axes of ranks, standardised class by class, and
    their covariances brought together; "matched": the space of transport, in which classes that lie askew have been turned to each other; "chosen": the first of
    standardised 256, 192, 128, 96, 64, 40 and 24 that leaves four records a number, and matched 12 (that right after the first where it holds two fifths of what the first 64 axes
    vary by within classes) in which attackers read no more than `limit` (NAG) of every suppressed attribute from records held back for the purpose, but for luck (see `flow_choice`). size: numbers of a code;
    0 means 12 where matched, and the largest that holds of 256, 192, 128, 96, 64, 40 and 24 where standardised. noise: standard deviation of
    what is drawn and added to each number of the code, in units of their own over all of the code; 0 draws nothing; where none is given, 0.2 where
    matched, and 0.1 where standardised. rounds, step: how often a step is taken, and what part of the way. votes: after how many rounds neighbours are asked, each time; 0 never asks them; where none is given, 3 where standardised, 40 where matched.
    circles: whether the nearest 3 and 10 in 100 of those asked are heard by turns, not the 20 nearest. features: random ones of a round. ridge: of the witness, for as many features as records. covariances: whether those of the classes are brought together before the first step, where standardised. strict: whether a support vector machine has a say in the choice beside quick attackers of the standard audit's families.
    """

    space: Literal["chosen", "standardised", "matched"] = "chosen"
    size: int = 0
    noise: float | None = None
    rounds: int = 200
    step: float = 0.2
    votes: int | None = None
    circles: bool = False
    features: int = 500
    ridge: float = 0.1
    limit: float = 0.05
    covariances: bool = True
    strict: bool = False

    suppresses: ClassVar[bool] = True
    preserves: ClassVar[bool] = False
    stochastic: ClassVar[bool] = True  # of an instance: False without noise

    def __post_init__(self) -> None:
        left = ("space", *(f for f in ("noise", "votes") if getattr(self, f) is None))
        check_fields("flow", asdict(self), ("size", "noise", "votes"), left)
        if self.noise and not LEAST <= self.noise <= MOST:
            raise SordineError(f"flow: noise is {self.noise:g}; it must be 0 or between {LEAST:g} and {MOST:g}")
        if self.step > 1:
            raise SordineError(f"flow: step is {self.step}; it must be at most 1, the whole way")
        object.__setattr__(self, "stochastic", self.noise != 0)

    def noise_in(self, space: str) -> float:
        """What is drawn and added in this space."""
        return NOISE[space] if self.noise is None else self.noise

    def votes_in(self, space: str) -> int:
        """After how many rounds neighbours are asked in this space, each time; 0 never."""
        return VOTES[space] if self.votes is None else self.votes

    def candidates(self, most: int, shared: float = 0.0) -> list[Candidate]:
        """The spaces that come in question, in the order in which they are tried. most: numbers that a code can have. shared: of
        what records vary by, the share that lies along the axes which classes have in common; from 0 to 1."""
        sizes = (self.size,) if self.size else tuple(s for s in STANDARDISED if s <= most) or (most,)
        standardised = [Candidate("standardised", s) for s in sizes]
        matched = [Candidate("matched", self.size or MATCHED)]
        place = 1 if shared >= SHARED else len(standardised)
        both = [*standardised[:place], *matched, *standardised[place:]]
        found = {"standardised": standardised, "matched": matched, "chosen": both}[self.space]
        return list(dict.fromkeys(replace(c, size=max(1, min(c.size, most))) for c in found))

    def fit(self, table: Table, policy: Policy, run: Run) -> Modifier:
        """Choose the space where more than one comes in question, then look and step. On the CPU; records that lack a
        suppressed label take no part. Raises SordineError where they are too few, or alike within their classes."""
        usable, x, secret = learnable(table, Policy(policy.suppress), run.seed, "flow")
        labels = [table.y[a][usable] for a in policy.suppress]
        groupings = groupings_of(labels, secret)
        most = min(x.shape[1], len(x) - len(x) // 4 - 1 if self.size else max(1, len(x) // EACH))
        found: dict[str, Any] = {}
        shared = 0.0
        if self.space == "chosen":
            space = self.aligned(Candidate("matched", min(self.size or MATCHED, most)), table, policy, run, x, secret)
            shared = held(space, space.ranks(x), secret)
        candidates = self.candidates(most, shared)
        chosen = candidates[0]
        if len(candidates) > 1:
            chosen, found = choose(
                candidates,
                lambda candidate, rows: self.learn(candidate, table, policy, run, x, secret, groupings, rows),
                x,
                [torch.from_numpy(y) for y in labels],
                secret,
                self.limit,
                run,
                None if table.group is None else np.asarray(table.group)[usable],
                self.strict,
                table.source,
            )
        modifier = self.learn(chosen, table, policy, run, x, secret, groupings)
        modifier.card = Card(
            "flow",
            asdict(self),
            {r: list(n) for r, n in policy.roles()},
            input_of(table),
            fit={"space": chosen.space, "size": modifier.size, "noise": self.noise_in(chosen.space), **found}
            | ({"shared": round(shared, 3)} if self.space == "chosen" else {}),
            notes=notes(found, chosen, policy, self, len(modifier.votes.voters) > 0),
        )
        return modifier.eval()

    def learn(
        self,
        candidate: Candidate,
        table: Table,
        policy: Policy,
        run: Run,
        x: Tensor,
        secret: Tensor,
        groupings: Tensor,
        rows: np.ndarray | None = None,
    ) -> FlowModifier:
        """The modifier in one space, from records x (n, width) of joint classes secret (n,), or from some rows of them alone.
        Found again in the run's folder, whatever its noise."""
        taught = np.arange(len(x)) if rows is None else rows
        own = {"seed": run.seed, "suppress": policy.suppress, "votes": self.votes_in(candidate.space)}
        fields = asdict(self) | asdict(candidate) | own
        fields |= {"noise": None, "limit": None, "strict": None, "rows": hashlib.blake2b(taught.tobytes()).hexdigest()}
        file = checkpoint_file(run.folder, "flow", fields, table, policy.suppress)
        found = read_checkpoint(file)
        try:
            modifier = None if found is None else self.made(found)
        except (KeyError, RuntimeError, ValueError):  # somebody else's file: made again
            modifier = None
        if modifier is None:
            modifier = self.flown(candidate, table, policy, run, x[taught], secret[taught], groupings)
            write_checkpoint(file, modifier.state_dict())
        modifier.sigma.fill_(self.noise_in(candidate.space))
        modifier.noise = modifier.size if self.noise_in(candidate.space) else 0
        return modifier

    def flown(
        self, candidate: Candidate, table: Table, policy: Policy, run: Run, x: Tensor, secret: Tensor, groupings: Tensor
    ) -> FlowModifier:
        """Look and step: what `learn` does where nothing is found."""
        space, every = self.aligned(candidate, table, policy, run, x, secret), self.votes_in(candidate.space)
        voters = min(len(x) // 2, VOTERS)
        times = self.rounds // every if every and voters >= FEWEST else 0
        modifier = FlowModifier(
            space, self.rounds, self.features, groupings.shape[0], self.step, times, voters if times else 0
        )
        steps, votes = modifier.steps, modifier.votes
        steps.groupings = groupings
        ranks = space.ranks(x)
        # The steps are learnt on codes as those of records to come, whose class is told with more doubt than theirs.
        told = told_apart(space, ranks, secret, run.seed)
        z = space.code(space.components(ranks, told), told)
        # A unit of the code's own numbers, so that features see as much of it in any table.
        modifier.unit = z.std().clamp_min(1e-12)
        z = z / modifier.unit
        rng = numpy_rng(run.seed, "flow")
        steps.draw(torch.Generator().manual_seed(int(rng.integers(1 << 62))))
        prints = fingerprints(x)
        for r in range(self.rounds):
            z = steps.learn(r, z, secret, told, self.ridge * self.features / len(z))
            if (time := modifier.asked_after(r)) is not None:
                picked = torch.from_numpy(rng.permutation(len(z))[:voters])
                near = circle(time, voters, CIRCLES if self.circles else (0.0,))
                z = votes.learn(time, z, secret, *steps.grouped_as(time, told), prints, picked, near)
            if run.progress and ((r + 1) % 10 == 0 or r + 1 == self.rounds):
                run.progress("flow", r + 1, self.rounds)
        code = modifier.code(x).float()
        if not code.isfinite().all():
            raise SordineError(f"{table.source}: flow came to no finite code; are most of its records the same?")
        modifier.record = gridded(back(code, x))
        return modifier

    def aligned(
        self, candidate: Candidate, table: Table, policy: Policy, run: Run, x: Tensor, secret: Tensor
    ) -> Aligned:
        """The space itself. Raises SordineError where records are alike within their classes."""
        if candidate.space == "matched":
            alignment = Alignment(size=candidate.size, axes=max(AXES, candidate.size), rounds=ALIGNING)
        else:
            alignment = Alignment(size=candidate.size, axes=candidate.size, rounds=0, covariances=self.covariances)
        # Its own file would be that of all records of the table.
        alone = replace(run, folder=None)
        return alignment.learn(table, Policy(policy.suppress), alone, x, secret, torch.zeros(len(x), dtype=torch.long))

    def made(self, tensors: dict[str, Tensor]) -> FlowModifier:
        """The modifier of these weights. Raises ValueError where classes among them are none."""
        classes, axes, size = tensors["space.maps"].shape
        width, first = tensors["space.first"].shape
        rounds, _, features = tensors["steps.directions"].shape
        times, voters, _ = tensors["votes.voters"].shape
        space = Aligned(width, classes, first, axes, size)
        groupings = tensors["steps.groupings"]
        for codes in (groupings, tensors["votes.secret"]):
            if (codes.numel() and not 0 <= int(codes.min()) <= int(codes.max()) < classes) or not len(groupings):
                raise ValueError("classes that are none")
        modifier = FlowModifier(space, rounds, features, len(groupings), float(tensors["step"]), times, voters)
        modifier.load_state_dict(tensors)
        return modifier

    @staticmethod
    def build(card: Card, tensors: dict[str, Tensor]) -> Modifier:
        """See `recipe.Method`."""
        method = Flow(**card.fields)
        modifier = method.made(tensors)
        modifier.noise = modifier.size if modifier.sigma else 0
        return modifier


class FlowModifier(Modifier):
    """Holds the space, the steps, the votes (so codes and suppressed classes of records of the fit), and the map from codes back to records. sigma: deviation of what is drawn and added."""

    block = 256  # a record takes hundreds of steps: a lone one should not wait for many that are not there
    unit: Tensor  # of the code
    record: Tensor  # (size + 1, width), the last row constant
    sigma: Tensor

    def __init__(
        self, space: Aligned, rounds: int, features: int, groupings: int, step: float, times: int = 0, voters: int = 0
    ) -> None:
        super().__init__()
        classes, _, self.size = space.maps.shape
        self.space = space
        self.steps = Witnesses(rounds, self.size, features, classes, groupings, step)
        self.votes = Votes(times, voters, self.size, step)
        # Kept with the tensors, whose hash the card holds: steps of another length lead elsewhere.
        self.register_buffer("step", torch.tensor(step, dtype=torch.float64))
        self.register_buffer("unit", torch.ones(()))
        self.register_buffer("record", torch.zeros(self.size + 1, len(space.offset)))
        self.register_buffer("sigma", torch.zeros(()))

    def code(self, x: Tensor) -> Tensor:
        """Where a record stands after the last step: (b, *shape) -> (b, size) float64. In double precision and on a fine grid, so
        that it does not hang on which records came with it: products of narrow matrices round by a row's place."""
        space = copy.deepcopy(self.space).double()
        ranks = space.ranks(x.double())
        told = space.told(ranks)
        z = space.code(space.components(ranks, told), told) / self.unit
        prints = fingerprints(x)
        for r in range(len(self.steps.directions)):
            z = self.steps.take(r, z, told)
            if (time := self.asked_after(r)) is not None:
                z = self.votes.take(time, z, *self.steps.grouped_as(time, told), prints)
        return rounded(z)

    def asked_after(self, round_: int) -> int | None:
        """Which vote follows this round, if any: the last follows the last round."""
        times, rounds = len(self.votes.voters), len(self.steps.directions)
        before, now = round_ * times // rounds, (round_ + 1) * times // rounds
        return before if now > before else None

    def drawn(self, code: Tensor, noise: Tensor) -> Tensor:
        """The code that is released: (b, size), noise (b, size) uniform -> (b, size) float64."""
        if not self.noise:
            return code
        return rounded(code + self.sigma * torch.special.ndtri(noise.double()))

    def shown(self, x: Tensor, noise: Tensor) -> Tensor:
        """What is released, each column divided by its deviation among these records, turned to as few numbers as a code has:
        distances are kept. (b, *shape), noise (b, size) uniform -> (b, size) float64."""
        code, slopes = self.drawn(self.code(x), noise), self.record[:-1].double()
        centred = code - code.mean(0)
        spread = (slopes * (centred.T @ centred / len(code) @ slopes)).sum(0).clamp_min(0).sqrt()
        left, scale, _ = torch.linalg.svd(slopes / spread.clamp_min(1e-12), full_matrices=False)
        turned: Tensor = centred @ (left * scale)
        return turned

    def forward(self, x: Tensor, noise: Tensor) -> Release:
        record = self.record.double()
        # Both on grids: sums of their products are exact, in whatever order.
        return Release((self.drawn(self.code(x), noise) @ record[:-1] + record[-1]).float().reshape(x.shape))


def rounded(code: Tensor) -> Tensor:
    """On the grid; left as it is where somebody asks for its gradient, which the grid has not."""
    return code if code.requires_grad else (code * GRID).round() / GRID


def gridded(record: Tensor) -> Tensor:
    """Rounded to so few digits that products with numbers of a code can be summed without error: relative to the largest of each
    column, as columns may be of very different scales."""
    largest = record[:-1].double().abs().amax(0)
    place = torch.where(largest > 0, 2.0 ** (largest.log2().ceil() - DIGITS), 1.0)
    slopes = (record[:-1].double() / place).round() * place
    return torch.cat([slopes.float(), record[-1:]])


def groupings_of(labels: list[np.ndarray], secret: Tensor) -> Tensor:
    """The joint classes themselves, then those of each suppressed attribute that puts some together: (G, S)."""
    classes = int(secret.max()) + 1
    first = [int(np.flatnonzero(secret.numpy() == s)[0]) for s in range(classes)]

    def partitions() -> Iterator[tuple[int, ...]]:
        yield tuple(range(classes))
        for codes in labels:
            yield tuple(int(c) for c in np.unique(codes[first], return_inverse=True)[1])

    # The same partition under other names is the same: numbered by first appearance.
    seen = dict.fromkeys(tuple({c: n for n, c in enumerate(dict.fromkeys(p))}[c] for c in p) for p in partitions())
    return torch.tensor(list(seen), dtype=torch.long)


def notes(found: dict[str, Any], chosen: Candidate, policy: Policy, method: Flow, asks: bool) -> list[str]:
    """What the owner must know before a release leaves the house. asks: whether the modifier holds records that are asked."""
    if method.noise_in(chosen.space):
        near = (
            "Records that are near one another stay near, but for a little noise: who holds a person's original record may find it again "
            "among the released ones, and several releases of it under different keys average the noise away, so keep to one key."
        )
    else:
        near = (
            "What is released is deterministic: records that are near one another stay near, so who holds a person's original record can "
            "find it again among the released ones."
        )
    said = [f"{near} Nothing is proved; the audit says what can be read."]
    if asks:
        said.append(
            "The modifier holds codes, suppressed classes and fingerprints of records of the fit: whoever has it and a person's original record "
            "reads from it what is suppressed. It must not leave the house."
        )
    names = " and ".join(policy.suppress)
    what = f"{chosen.size} numbers of the {chosen.space} space"
    if found.get("held") is None and found:
        said.append(
            f"Records move in {what}: quick attackers read nothing of {names} from the records themselves, so that none could be chosen "
            "by what they read."
        )
    elif found:
        where = "of the fit" if found["of_the_fit"] else "held back"
        read = f"{max(0.0, found['held_back']):.2f} NAG was read there from records {where}, where luck alone brings {found['chance']:.2f}"
        said.append(
            f"Records move in {what}: {read}; what is beyond that keeps to the method's own limit, {method.limit:g} (--set limit)."
            if found["held"]
            else f"No space that was tried keeps what is read of {names} under {method.limit:g} NAG. Records move in {what}: {read}."
        )
        heard = "which has a say" if method.strict else "which has no say (--set strict=true gives it one)"
        said.append(
            f"A support vector machine, {heard}, read {max(0.0, found['machine']):.2f} NAG there from records held back."
        )
    return said

"""Compare the measured figures with the requirements of the pages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from benchmarks.unknown.cases import Task
from benchmarks.unknown.pooled import Figure, Mean, Pool, worst

# Largest leakage of single records, largest leakage of pooled ones, least utility.
LIMITS: Mapping[Task, tuple[float, float, float]] = {"unknown": (0.03, 0.10, 0.90), "named": (0.02, 0.05, 0.97)}
MEMBERSHIP = 0.55  # area under the curve
SHARES, HALF = (0.5, 0.9), 0.5  # of the fitted records whose classes an attacker knows
TOGETHER = 50  # records
EQUAL = 0.01  # leakages that differ by less count as equal, beside another method

State = Literal["reached", "cannot be shown", "not reached", "not measured"]
ORDER: tuple[State, ...] = ("reached", "cannot be shown", "not reached", "not measured")


@dataclass(frozen=True)
class Part:
    """One figure and its limit. within: whether the figure is within the limit; None where there is none."""

    text: str
    state: State
    within: bool | None = None


@dataclass(frozen=True)
class Check:
    """The requirements of one method on one data set. complete: whether all folds are measured."""

    case: str
    entry: str
    parts: tuple[Part, ...]
    complete: bool = True

    @property
    def state(self) -> State:
        """The worst state of a part."""
        return max((p.state for p in self.parts), key=ORDER.index, default="not measured")

    @property
    def text(self) -> str:
        """Line of the page."""
        state: str = self.state
        if state == "cannot be shown":
            state += " with these records"
            if all(p.within for p in self.parts if p.within is not None):
                state += " (every figure is within its limit)"
        state = state if self.state == "reached" else f"**{state}**"
        so_far = "" if self.complete or self.state == "not measured" else " so far"
        lines = {s: "; ".join(p.text for p in self.parts if p.state == s) for s in reversed(ORDER)}
        told = "".join(f" *{s.capitalize()}*: {text}." for s, text in lines.items() if text)
        return f"{self.case}, `{self.entry}`: {state}{so_far}.{told}"


def bounded(value: float | None, low: float | None, floor: float | None, limit: float) -> State:
    """Return whether a figure is at most a limit.

    Parameters
    ----------
    value, low
        The figure, and the lower end of its interval.
    floor
        The least upper end that so many records can show. Above the limit, a figure within it shows nothing, and a
        figure above it counts only where its interval lies above the limit.
    limit
        The limit.
    """
    if value is None:
        return "cannot be shown"
    shown = floor is not None and floor <= limit
    if value <= limit:
        return "reached" if shown else "cannot be shown"
    return "not reached" if shown or (low is not None and low > limit) else "cannot be shown"


def checks(pools: Sequence[Pool]) -> list[Check]:
    """Return the requirements of some methods, each on its data set and task."""
    return [Check(p.case.name, p.entry, tuple(_parts(p)) if p.first else (), p.complete) for p in pools]


def _parts(p: Pool) -> Iterator[Part]:
    single, pooled, useful = LIMITS[p.task]
    yield _largest("leakage", p.leaks(), single)
    yield _known(p, single)
    yield _together(p, pooled)
    yield _kept(p.utility(), useful)
    yield _members(p.membership())
    yield _planted(p.planted())


def _largest(what: str, found: Sequence[Figure] | Sequence[Mean], limit: float) -> Part:
    """Decide over several figures: the worst state of one of them, and the largest figure of that state."""
    if not found:
        return Part(f"{what} not measured", "not measured")
    values = {id(f): _value(f) for f in found}
    states = {id(f): bounded(values[id(f)], f.low, f.smallest, limit) for f in found}
    state = max(states.values(), key=ORDER.index)
    shown = worst([f for f in found if states[id(f)] == state], _value)  # type: ignore[arg-type]
    text = f"{what} {number(_value(shown))} {ends(shown)} of at most {limit} ({_about(shown)})"
    defined = [v for v in values.values() if v is not None]
    return Part(text + _short(state, shown.smallest), state, bool(defined) and max(defined) <= limit)


def _known(p: Pool, limit: float) -> Part:
    found = {share: p.known(share, 1) for share in SHARES}
    if not all(found.values()):
        return Part("of known classes not measured", "not measured")
    if not all(any(m.about.endswith("modifier") for m in some) for some in found.values()):
        return Part("of known classes not measured for an attacker with the modifier", "cannot be shown")
    return _largest("of known classes", [m for some in found.values() for m in some], limit)


def _together(p: Pool, limit: float) -> Part:
    found, whose = p.known(HALF, TOGETHER, ("modifier",)), f"{TOGETHER} records of one {p.case.unit or 'class'}"
    if found:
        return _largest(f"of {whose}", found, limit)
    return Part(f"of {whose} not measured: too few, or no attacker with the modifier", "cannot be shown")


def _kept(mean: Mean, least: float) -> Part:
    if mean.value is None:
        return Part("utility undefined", "cannot be shown")
    # The mirror image of a leakage: what is lost is at most 1 - least.
    lost = [None if v is None else 1 - v for v in (mean.value, mean.high, mean.smallest)]
    state = bounded(*lost, 1 - least + 1e-9)  # type: ignore[arg-type]
    text = f"utility {number(mean.value)} {ends(mean)} of at least {least}"
    if state == "cannot be shown" and mean.smallest is not None:
        text += f" (of unchanged records, the interval starts at {number(mean.smallest)})"
    return Part(text, state, mean.value >= least)


def _members(found: Mean | None) -> Part:
    if found is None or found.value is None:
        return Part("membership not measured", "cannot be shown")
    state = bounded(found.value, found.low, found.smallest, MEMBERSHIP)
    text = f"membership {number(found.value)} {ends(found)} of at most {MEMBERSHIP} ({found.about})"
    return Part(text + _short(state, found.smallest), state, found.value <= MEMBERSHIP)


def _planted(size: float | None) -> Part:
    if size is None:
        return Part(
            "planted leaks of a core kind were missed, or so few records could not show them", "cannot be shown"
        )
    return Part(f"planted leaks were found from {size}", "reached")


def _short(state: State, smallest: float | None) -> str:
    if state != "cannot be shown" or smallest is None:
        return ""
    return f", so many records can show no less than {number(smallest)}"


def _value(f: Figure | Mean) -> float | None:
    return f.nag if isinstance(f, Figure) else f.value


def _about(f: Figure | Mean) -> str:
    return f"{f.attribute}, scenario {f.scenario}, {f.attack}" if isinstance(f, Figure) else f.about


# --------------------------------------------------------------------------------------------- beside other methods


@dataclass(frozen=True)
class Beside:
    """How our method compares with another: leakage and utility of both.

    ahead: more useful at equal or lower leakage; None where a figure is undefined.
    """

    ahead: bool | None
    leakage: tuple[float | None, float | None]
    utility: tuple[float | None, float | None]


def leakage(p: Pool) -> float | None:
    """Return the largest leakage of a single record, known classes included; None where one is undefined."""
    values = [f.nag for f in p.leaks()] + [m.value for share in SHARES for m in p.known(share, 1)]
    return max(0.0, *(v for v in values if v is not None)) if values and None not in values else None


def beside(ours: Pool, other: Pool) -> Beside:
    """Compare our method with another on one data set and task."""
    leaks, useful = (leakage(ours), leakage(other)), (ours.utility().value, other.utility().value)
    if None in leaks or None in useful:
        return Beside(None, leaks, useful)
    ahead = leaks[0] <= leaks[1] + EQUAL and useful[0] > useful[1]  # type: ignore[operator]
    return Beside(ahead, leaks, useful)


# ------------------------------------------------------------------------------------------------------------ words


def clipped(value: float) -> float:
    """Return a figure as a share: from 0 to 1."""
    return min(max(value, 0.0), 1.0)


def number(value: float | None) -> str:
    """Return a share in words."""
    return "undefined" if value is None else f"{clipped(value):.3f}"


def ends(f: Any) -> str:
    """Return the interval of a figure, in words."""
    return "" if f.low is None or f.high is None else f"[{clipped(f.low):.2f}, {clipped(f.high):.2f}]"

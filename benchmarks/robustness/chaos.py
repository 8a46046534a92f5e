"""Kill commands, fill the disk and start two at once; then check what is at the final names, and run again."""

from __future__ import annotations

import hashlib
import os
import random
import tempfile
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.harness import Store
from benchmarks.robustness.child import Ended, Fault, cache_in, command
from benchmarks.robustness.world import OUTPUTS, copy, make_inputs, prepare, run, step
from sordine.data.unfinished import is_temporary

KINDS = ("kill", "kill", "kill", "late", "full", "file-size", "read-only")  # how often each is drawn
WEIGHTS = {"fit": 4, "transform": 3, "extract": 3, "release": 4, "report": 1, "audit": 2, "run": 3, "protect": 1}
TWICE = ("fit", "transform", "extract", "release")  # commands that are also started twice at once
OLD = 1  # seed of the key of outputs that --force replaces
LARGE = 200_000  # bytes: no output of these inputs is larger


@dataclass
class Counts:
    """What was tried with one command and one kind of fault.

    Parameters
    ----------
    tried, hit
        How many faults were started, and how many disturbed the command before it ended.
    violations
        One line for each that left something wrong.
    """

    tried: int = 0
    hit: int = 0
    violations: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Case:
    """A command, the folder in which it is about to run, and its outputs when nothing happens.

    Parameters
    ----------
    name
        The command.
    before, old
        The folder before the command, and the one with earlier outputs that --force replaces.
    made, replaced
        Digest of each output of an undisturbed run, and of the earlier outputs.
    seconds, operations
        Time and the number of operations that write a file, of an undisturbed run.
    """

    name: str
    before: Path
    old: Path
    made: Mapping[str, str]
    replaced: Mapping[str, str]
    seconds: float
    operations: int


def chaos(kills: int, seed: int = 0, commands: tuple[str, ...] = tuple(WEIGHTS), store: Store | None = None) -> int:
    """Disturb commands and store the counts, a unit for each command and kind. Return the number of violations.

    Parameters
    ----------
    kills
        How many faults.
    seed
        Of the draws.
    commands
        The commands.
    store
        Where the counts go; None stores nothing.
    """
    rng, wrong = random.Random(seed), 0
    weights = [WEIGHTS.get(name, 1) for name in commands]
    for name in commands:
        count = round(kills * WEIGHTS.get(name, 1) / sum(weights))
        with tempfile.TemporaryDirectory(prefix="robustness-") as folder:
            found = _command(name, max(count, 1), rng, Path(folder))
        if store is not None:  # counts of an earlier version of the command do not stay
            for unit in list(store.units(f"chaos--{name}--")):
                del store.figures[unit.name]
        for kind, counts in sorted(found.items()):
            wrong += len(counts.violations)
            for line in counts.violations:
                print(f"  {name}, {kind}: {line}")
            if store is not None:
                store.put(f"chaos--{name}--{kind}", {"seed": seed, **vars(counts)})
        print(
            f"{name}: {sum(c.hit for c in found.values())} of {sum(c.tried for c in found.values())} faults hit",
            flush=True,
        )
    return wrong


def _command(name: str, count: int, rng: random.Random, folder: Path) -> dict[str, Counts]:
    case, found = _case(name, folder), {kind: Counts() for kind in KINDS}
    for number in range(count):
        kind = KINDS[(number + rng.randrange(2)) % len(KINDS)]
        force = name in ("fit", "transform", "extract", "release", "audit") and rng.random() < 0.4
        counts = found[kind]
        counts.tried += 1
        hit, lines = _disturbed(case, _fault(kind, case, rng), force, folder / "world")
        counts.hit += hit
        counts.violations += lines
    if name in TWICE:
        found["two at once"] = Counts(1, *_twice(case, folder / "world"))
    return {kind: counts for kind, counts in found.items() if counts.tried}


def _case(name: str, folder: Path) -> Case:
    """Prepare a command and run it once undisturbed."""
    inputs, before, old, made = (folder / part for part in ("inputs", "before", "old", "made"))
    inputs.mkdir()
    make_inputs(inputs)
    copy(inputs, before)
    prepare(before, name)
    copy(before, made)
    ended = run(made, name)
    assert ended.code == 0, ended
    copy(before, old)
    # Earlier outputs differ in every byte that the next run decides; that they open is not of interest.
    for output in OUTPUTS[name]:
        if (made / output).is_dir():
            copy(made / output, old / output)
            (old / output / "earlier").write_text("earlier")
        elif not output.endswith(".key"):
            (old / output).write_bytes((made / output).read_bytes() + b"earlier")
        else:
            (old / output).write_bytes((made / output).read_bytes())
    if name == "release":
        (old / "rel" / "earlier").unlink()
        (old / "rel" / "table.parquet").write_bytes(b"earlier")
    return Case(name, before, old, digests(made, name), digests(old, name), ended.seconds, ended.operations)


def _fault(kind: str, case: Case, rng: random.Random) -> Fault:
    if kind == "late":
        return Fault(kind, rng.random() * case.seconds)
    if kind == "file-size":
        return Fault(kind, int(LARGE ** rng.random()))
    return Fault(kind, rng.randrange(max(case.operations, 1)))


def _disturbed(case: Case, fault: Fault, force: bool, world: Path) -> tuple[bool, list[str]]:
    """Disturb a command once. Return whether the fault hit, and what was wrong afterwards."""
    copy(case.old if force else case.before, world)
    with cache_in(world / "cache"):
        ended = command(step(world, case.name, force=force), fault, within=world)
    wrong = list(_after(case, ended, fault, force, world))
    again = [_again(case, force, world)]
    found = digests(world, case.name)
    if found != case.made and not again[0].startswith("run again"):
        differs = sorted(k for k in {*found, *case.made} if found.get(k) != case.made.get(k))
        again.append(f"the outputs differ from an undisturbed run: {', '.join(differs)[:200]}")
    left = [p.relative_to(world).as_posix() for p in world.rglob("*.part") if is_temporary(p)]
    again += [f"left after the next run: {name}" for name in left]
    at = f"{fault.kind} {fault.at:.3g}{' --force' if force else ''}: "
    return ended.code not in (0, 1), [at + line for line in (*wrong, *again) if line]


def _after(case: Case, ended: Ended, fault: Fault, force: bool, world: Path) -> Iterator[str]:
    """What is wrong after the fault: the ending, an incomplete output, or a new one beside an old one."""
    if fault.kind in ("kill", "late"):
        if ended.code not in (0, 1, -9):
            yield f"code {ended.code}: {ended.error[-200:]}"
    elif not ended.clean:
        yield f"code {ended.code}: {ended.error[-300:]!r}"
    known = case.replaced if force else {}
    found = {name: digest for name, digest in digests(world, case.name).items() if not name.endswith(".key")}
    for name, digest in found.items():
        if digest not in (case.made.get(name), known.get(name)):
            yield f"incomplete at its final name: {name}"
    ages = {digest == case.made.get(name) for name, digest in found.items() if case.made.get(name) != known.get(name)}
    if force and len(ages) > 1:
        yield "a new output beside an old one"


def _again(case: Case, force: bool, world: Path) -> str:
    """Run the command again without a fault; an error in words, or an empty text."""
    with cache_in(world / "cache"):
        ended = command(step(world, case.name, force=force))
    complete = "exists; use --force" in ended.error and set(digests(world, case.name)) == set(case.made)
    return "" if ended.code in (0, 1) or complete else f"run again: code {ended.code}: {ended.error[-300:]!r}"


def _twice(case: Case, world: Path) -> tuple[int, list[str]]:
    """Start a command twice at once on one output."""
    copy(case.before, world)
    found: list[Ended] = []
    with cache_in(world / "cache"):
        words = step(world, case.name)
        both = [threading.Thread(target=lambda: found.append(command(words))) for _ in range(2)]
        for one in both:
            one.start()
        for one in both:
            one.join()
    wrong = [f"two at once: code {e.code}: {e.error[-300:]!r}" for e in found if not e.clean]
    if not any(e.code == 0 for e in found):
        wrong.append(f"two at once: neither was done: {[e.error for e in found]}")
    if digests(world, case.name) != case.made:
        wrong.append("two at once: the outputs differ from an undisturbed run")
    return 1, wrong


def digests(world: Path, name: str) -> dict[str, str]:
    """Return output -> digest of its content. The records of stages are compared as files of their own."""
    found = {}
    for output in OUTPUTS[name]:
        path = world / output
        if name in ("run", "protect"):
            found |= {f.relative_to(world).as_posix(): _digest(f) for f in _files(path)}
        elif path.is_dir():
            lines = Counter(f"{f.relative_to(path)} {_digest(f)}" for f in _files(path))
            found[output] = hashlib.sha256("\n".join(sorted(lines)).encode()).hexdigest()
        elif path.exists():
            found[output] = _digest(path)
    return found


def _files(folder: Path) -> list[Path]:
    """The files at final names: not those that a stage is working on, and no lock."""
    files = []
    for place, folders, names in os.walk(folder):
        inside = Path(place).name == "stages"
        folders[:] = [n for n in folders if not is_temporary(Path(place) / n) and not inside]
        files += [Path(place) / n for n in names if n != "lock"]
    return files


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()

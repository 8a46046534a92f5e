"""The data sets, the methods and the units, in the order of their importance."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from benchmarks.peers import PEERS
from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.features.extract import extract
from sordine.methods.base import Method
from sordine.methods.registry import METHODS
from sordine.policy import Policy
from sordine.run import Run

FOLDS, KEYS = 5, 5
NEW = "transport"  # the method of the page: measured first
BESIDE = "flow"  # another method without a task, with the same requirement where nothing is named

Task = Literal["unknown", "named"]
TASKS: tuple[Task, ...] = ("unknown", "named")


@dataclass(frozen=True)
class Case:
    """One data set.

    keeps: the attribute that the task `named` preserves, "" where there is no such task. It is the first of `watched`,
    so that both tasks have the same attributes in the same order and originals are attacked once. unit: the attribute
    of the person for attacks on several records; "" where they do not run.
    """

    name: str
    sentence: str
    extractor: str
    suppress: tuple[str, ...]
    watched: tuple[str, ...]
    keeps: str = ""
    unit: str = ""
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def named(self) -> tuple[str, ...]:
        """Every attribute under attack."""
        return (*self.suppress, *self.watched)

    @property
    def tasks(self) -> tuple[Task, ...]:
        """Tasks of the data set."""
        return TASKS if self.keeps else TASKS[:1]

    def policy(self, task: Task) -> Policy:
        """Return the policy of a task, with the attributes that the audit watches."""
        if task == "unknown":
            return Policy(self.suppress, (), self.watched)
        return Policy(self.suppress, (self.keeps,), tuple(a for a in self.watched if a != self.keeps))


CASES = {
    case.name: case
    for case in (
        Case(
            "fsdd",
            "FSDD: 3,000 spoken digits of six speakers",
            "logmel",
            ("speaker",),
            ("digit",),
            keeps="digit",
            unit="speaker",
        ),
        Case(
            "emodb",
            "EmoDB: 535 acted sentences of ten speakers",
            "encoder",
            ("speaker", "gender"),
            ("emotion", "sentence"),
            keeps="emotion",
            options={"seconds": "2", "steady": "voice"},
        ),
        Case(
            "motionsense",
            "MotionSense: 10,854 windows of phone sensors of 24 subjects",
            "windows",
            ("subject", "gender"),
            ("activity",),
            keeps="activity",
            unit="subject",
        ),
        Case(
            "yale_b",
            "Extended Yale B: 1,714 pictures of 27 persons under 64 lights",
            "encoder",
            ("person",),
            ("light_side", "light_subset"),
        ),
        Case(
            "utkface",
            "UTKFace: 9,673 faces",
            "encoder",
            ("gender",),
            ("age_group", "race"),
            options={"epochs": "6", "steady": "crop,light,mirror"},
        ),
    )
}


@dataclass(frozen=True)
class Entry:
    """A method of the tables.

    told: whether it uses preserved attributes; one that does not is measured under the task `unknown` alone, and its
    figures are shown under `named` too. stochastic: whether another key gives another release. pooled: whether attacks
    on several records of one person run.
    """

    name: str
    method: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    told: bool = False
    stochastic: bool = True
    pooled: bool = False


ENTRIES = {
    entry.name: entry
    for entry in (
        Entry(NEW, "transport", told=True, pooled=True),
        Entry("flow", "flow", pooled=True),
        Entry("substitution", "substitution", told=True, pooled=True),
        Entry("leace", "leace", stochastic=False),
        Entry("noise 1", "noise", {"sigma": 1.0}),
        Entry("noise 3", "noise", {"sigma": 3.0}),
        Entry("mass", "mass", stochastic=False),
        # Erasers of other papers, benchmark-only (`benchmarks.peers`).
        Entry("obliviator", "obliviator", told=True, stochastic=False, pooled=True),
        Entry("gaussian-ot", "gaussian-ot", stochastic=False, pooled=True),
        Entry("mute", "mute", stochastic=False, pooled=True),
        Entry("splince", "splince", told=True, stochastic=False, pooled=True),
        Entry("mmd-affine", "mmd-affine", stochastic=False, pooled=True),
    )
}

# Fields that a method has on one data set and task only, beside those of its entry: (entry, case, task) -> fields.
FIELDS: dict[tuple[str, str, Task], dict[str, Any]] = {
    # No persons are pooled there, and the emotions to preserve depend on the speaker.
    (NEW, "emodb", "named"): {"even": 0.0},
    # Half the way: of steady numbers less is to be taken away, and 428 records are soon fitted by heart.
    (BESIDE, "emodb", "unknown"): {"rounds": 100},
    # What steady numbers keep leaves room for twice the noise.
    (BESIDE, "utkface", "unknown"): {"noise": 0.2},
}


@dataclass(frozen=True)
class Group:
    """What shares one fit: a method on the training side of one fold of a data set, under one task."""

    case: Case
    task: Task
    entry: Entry
    fold: int

    @property
    def settings(self) -> dict[str, Any]:
        """Fields of the method that differ from its defaults."""
        return {**self.entry.fields, **FIELDS.get((self.entry.name, self.case.name, self.task), {})}

    def parts(self, keys: int) -> list[str]:
        """Return the parts of a group: the release under each key, and after the first its people."""
        releases = [f"key{k}" for k in range(keys if self.entry.stochastic else min(1, keys))]
        people = ["person"] if self.entry.pooled and self.case.unit and keys else []
        return [*releases[:1], *people, *releases[1:]]

    def name(self, part: str) -> str:
        """Return the stem of a part's file of figures.

        Other fields of the method, defaults included, or other options of the features give another file. A change of
        code under the same fields does not: measure such a method with --fresh.
        """
        fields = asdict(method_of(self.entry.method, self.settings))  # type: ignore[call-overload]
        features = [dict(self.case.options)] if self.case.options else []
        code = digest([self.entry.method, fields, *features])
        plain = self.entry.name.replace(" ", "-")
        return f"{self.case.name}--{self.task}--{plain}--fold{self.fold}-{part}-{code}"


def groups(cases: Sequence[Case], entries: Sequence[Entry], folds: Sequence[int]) -> Iterator[Group]:
    """Yield the groups to measure, the most important first: the new method fold by fold, then the others."""
    new = [e for e in entries if e.name == NEW]
    others = [e for e in entries if e.name != NEW]
    for fold, some in [*((f, new) for f in folds), *((f, others) for f in folds)]:
        for case in cases:
            # Both tasks of a fold share the attacks on originals.
            yield from (Group(case, t, e, fold) for e in some for t in case.tasks if t == "unknown" or e.told)


def known(entry: Entry) -> bool:
    """Return whether this version has the method."""
    return entry.method in METHODS or entry.method in PEERS


def method_of(name: str, settings: Mapping[str, Any]) -> Method:
    """Return a method of the package, or a peer, with some of its options set."""
    return (PEERS if name in PEERS else METHODS).make(name, settings)


def digest(made: object) -> str:
    """Return six letters that identify plain data."""
    return hashlib.blake2b(json.dumps(made, sort_keys=True, default=str).encode(), digest_size=3).hexdigest()


def load(case: Case, work: Path) -> Table:
    """Return the case's table with its attributes only, extracted once into `work` under its options."""
    path = work / f"{'-'.join([case.name, *([digest(dict(case.options))] if case.options else [])])}.parquet"
    if not path.exists():
        if "SORDINE_DATA" not in os.environ:
            raise SordineError(f"{path.name} is missing; set SORDINE_DATA to the folder of the data sets to extract it")
        source = Path(os.environ["SORDINE_DATA"]) / case.name
        extract(
            source, case.extractor, path, options=dict(case.options), run=Run(folder=work / f"{case.name}.unfinished")
        )
    return only(Table.read(path, named=case.named), case.named)


def only(table: Table, names: Sequence[str]) -> Table:
    """Return the table with some of its attributes, in this order. Raises SordineError for a missing one."""
    lacks = [a for a in names if a not in table.y]
    if lacks:
        raise SordineError(f"{table.source}: no attribute {lacks[0]!r}; this benchmark needs it")
    return replace(table, y={a: table.y[a] for a in names}, classes={a: table.classes[a] for a in names})

"""The data sets, the methods and the units, in the order of their importance."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

from benchmarks.peers import PEERS
from sordine.data.splits import sample
from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.features.extract import extract
from sordine.keys import Key
from sordine.methods.base import Method
from sordine.methods.registry import METHODS
from sordine.policy import Policy
from sordine.run import Run

FOLDS, KEYS = 5, 5
NEW = "transport"  # ours where a task may be named
BESIDE = "flow"  # ours where nothing is named
OURS = (NEW, BESIDE)  # measured first
SAMPLE = Key.of_seed(0)  # of the records of a case that is too large to be measured whole

Task = Literal["unknown", "named"]
TASKS: tuple[Task, ...] = ("unknown", "named")


@dataclass(frozen=True)
class Case:
    """One data set.

    keeps: the attribute that the task `named` preserves, "" where there is no such task. It is the first of `watched`,
    so that both tasks have the same attributes in the same order and originals are attacked once. unit: the attribute
    of the person; "" where no person is known. extractor: "" where the file is a table of vectors already; its feature
    columns are then `features`. source: path in the folder of the data sets; "" where it is the name. most: at most so
    many records are measured, the first in keyed order; 0: all.
    """

    name: str
    sentence: str
    extractor: str
    suppress: tuple[str, ...]
    watched: tuple[str, ...]
    keeps: str = ""
    unit: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    features: tuple[str, ...] = ()
    source: str = ""
    most: int = 0

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

    @property
    def data(self) -> list[Any]:
        """What decides the numbers of the records, for names of files; empty for defaults."""
        return [d for d in (dict(self.options), self.most) if d]


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
            unit="person",
        ),
        Case(
            "utkface",
            "UTKFace: 9,673 faces",
            "encoder",
            ("gender",),
            ("age_group", "race"),
            options={"epochs": "6", "steady": "crop,light,mirror"},
        ),
        Case(
            "emodb",
            "EmoDB: 535 acted sentences of ten speakers",
            "encoder",
            ("speaker", "gender"),
            ("emotion", "sentence"),
            keeps="emotion",
            unit="speaker",
            options={"seconds": "2", "steady": "voice"},
        ),
        Case(
            "adult",
            "Adult: 10,000 census records",
            "columns",
            ("sex",),
            ("income", "race"),
            keeps="income",
            options={"labels": "sex,race,income"},
            most=10_000,
        ),
        Case(
            "names",
            "First names: 8,550 word vectors",
            "",
            ("gender",),
            ("freq_band",),
            features=tuple(f"f{i}" for i in range(50)),
            source="glove_gender/glove_names.parquet",
        ),
        # Text corpora (persuasion, wiki_events) are cases of their own here, as soon as there is an extractor for text.
    )
}


@dataclass(frozen=True)
class Entry:
    """A method of the tables.

    told: whether it uses preserved attributes; one that does not is measured under the task `unknown` alone, and its
    figures are shown under `named` too. stochastic: whether another key gives another release.
    """

    name: str
    method: str
    fields: Mapping[str, Any] = field(default_factory=dict)
    told: bool = False
    stochastic: bool = True


ENTRIES = {
    entry.name: entry
    for entry in (
        Entry(NEW, "transport", told=True),
        Entry(BESIDE, "flow"),
        # Erasers of other papers, benchmark-only (`benchmarks.peers`).
        Entry("obliviator", "obliviator", told=True, stochastic=False),
        Entry("gaussian-ot", "gaussian-ot", stochastic=False),
        Entry("mute", "mute", stochastic=False),
        Entry("splince", "splince", told=True, stochastic=False),
        Entry("mmd-affine", "mmd-affine", stochastic=False),
        Entry("leace", "leace", stochastic=False),
        Entry("noise 1", "noise", {"sigma": 1.0}),
        Entry("noise 3", "noise", {"sigma": 3.0}),
        Entry("mass", "mass", stochastic=False),
        Entry("substitution", "substitution", told=True),
    )
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
        return dict(self.entry.fields)

    def keys(self, most: int) -> range:
        """Return the keys of the releases to measure: at most so many, and one where the method draws nothing."""
        return range(most if self.entry.stochastic else min(1, most))

    def name(self, key: int) -> str:
        """Return the name of the unit of one release.

        Other fields of the method, defaults included, or other records or features give another name. A change of
        code under the same fields does not: measure such a method with --fresh.
        """
        return f"{self.stem}key{key}-{self.code}"

    @property
    def stem(self) -> str:
        """Names of units begin so, whatever the fields of the method."""
        return f"{self.case.name}--{self.task}--{self.entry.name.replace(' ', '-')}--fold{self.fold}-"

    @property
    def code(self) -> str:
        """Six letters that identify the fields of the method, and the records."""
        return digest([self.entry.method, _fields(self.entry.method, json.dumps(self.settings)), *self.case.data])


def groups(
    cases: Sequence[Case], entries: Sequence[Entry], folds: Sequence[int], tasks: Sequence[Task] = TASKS
) -> Iterator[Group]:
    """Yield the groups to measure, fold by fold: our methods on every data set, then the others.

    A method that uses no preserved attribute is measured under `unknown`, also where `named` alone is wanted.
    """
    ours = [e for e in entries if e.name in OURS]
    others = [e for e in entries if e.name not in OURS]
    for fold in folds:
        for some in (ours, others):
            for case in cases:
                # Methods and tasks of one data set share the attacks on its originals.
                for entry in some:
                    wanted = [t for t in case.tasks if t in tasks]
                    if wanted and not entry.told:
                        wanted = ["unknown"]
                    yield from (Group(case, task, entry, fold) for task in wanted)


def known(entry: Entry) -> bool:
    """Return whether this version has the method."""
    return entry.method in METHODS or entry.method in PEERS


def method_of(name: str, settings: Mapping[str, Any]) -> Method:
    """Return a method of the package, or a peer, with some of its options set."""
    return (PEERS if name in PEERS else METHODS).make(name, settings)


@cache
def _fields(name: str, settings: str) -> dict[str, Any]:
    # All fields of a method; settings are JSON, so that they can be remembered.
    return asdict(method_of(name, json.loads(settings)))  # type: ignore[call-overload]


def digest(made: object) -> str:
    """Return six letters that identify plain data."""
    return hashlib.blake2b(json.dumps(made, sort_keys=True, default=str).encode(), digest_size=3).hexdigest()


def load(case: Case, work: Path) -> Table:
    """Return the case's table with its attributes only, extracted once into `work` under its options."""
    table = only(_whole(case, work), case.named)
    return table.take(sample(SAMPLE, "benchmark", table.ids, case.most)) if case.most else table


def _whole(case: Case, work: Path) -> Table:
    # The options of a table that is made from media are in the name of its file; a sample is none of them.
    path = work / f"{'-'.join([case.name, *([digest(dict(case.options))] if case.options else [])])}.parquet"
    if path.exists():
        return Table.read(path, named=case.named)
    if "SORDINE_DATA" not in os.environ:
        raise SordineError(f"{path.name} is missing; set SORDINE_DATA to the folder of the data sets to make it")
    source = Path(os.environ["SORDINE_DATA"]) / (case.source or case.name)
    if not case.extractor:
        return Table.read(source, case.features, named=case.named)
    extract(source, case.extractor, path, options=dict(case.options), run=Run(folder=work / f"{case.name}.unfinished"))
    return Table.read(path, named=case.named)


def only(table: Table, names: Sequence[str]) -> Table:
    """Return the table with some of its attributes, in this order. Raises SordineError for a missing one."""
    lacks = [a for a in names if a not in table.y]
    if lacks:
        raise SordineError(f"{table.source}: no attribute {lacks[0]!r}; this benchmark needs it")
    return replace(table, y={a: table.y[a] for a in names}, classes={a: table.classes[a] for a in names})

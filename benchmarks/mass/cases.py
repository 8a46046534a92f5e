"""Data of the tables: stand-ins, and the paper's own data where paths.yaml names their folders."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.features.augmentation.raw_views import raw_views
from sordine.features.extract import ExtractOptions, extract
from sordine.models.training import Views
from sordine.policy import Policy
from sordine.run import Run

PATHS = Path(__file__).with_name("paths.yaml")


@dataclass(frozen=True)
class Case:
    """One data set in place of one of the paper's.

    stands_for: the paper's data set. source: its folder. slots: the paper's slot -> our attributes. preset: of table 7.
    fields: other fields of MaSS. keeps: the attributes that the extra row, substitution, preserves (none that the
    suppressed attribute determines). decided: the attributes that it determines. views: view pairs per record for B.1.
    """

    name: str
    stands_for: str
    source: str
    sentence: str
    slots: Mapping[str, tuple[str, ...]]
    preset: str
    keeps: tuple[str, ...]
    extractor: str = "encoder"
    options: Mapping[str, str] = field(default_factory=dict)
    layout: str | None = None
    layout_options: Mapping[str, Any] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)
    substitution: Mapping[str, Any] = field(default_factory=dict)
    views: int = 4
    max_records: int = 3000
    tables: tuple[int, ...] = ()
    decided: tuple[str, ...] = ()

    def attributes(self, slots: tuple[str, ...]) -> tuple[str, ...]:
        """Return our attributes in place of the paper's slots."""
        return tuple(a for s in slots for a in self.slots.get(s, ()))

    @property
    def all(self) -> tuple[str, ...]:
        """Every attribute under attack."""
        return tuple(dict.fromkeys(self.attributes(tuple(self.slots))))

    def policy(self, suppress: tuple[str, ...], preserve: tuple[str, ...]) -> Policy:
        """Return the policy of a row: slots -> attributes, the others watched."""
        s, p = self.attributes(suppress), self.attributes(preserve)
        return Policy(s, p, tuple(a for a in self.all if a not in (*s, *p)))


ADIENCE, AUDIO, VIDEO = (2, 5, 8, 9, 10, 11, 12, 13), (3, 6, 14), (4, 15, 16)

STAND_INS = {
    case.name: case
    for case in (
        Case(
            "yale_b",
            "adience",
            "yale_b",
            "Extended Yale B: 1,714 pictures of 27 persons under 64 lights",
            {"s1": ("person",), "r1": ("light_side",), "r2": ("light_subset",)},
            "adience",
            ("light_side",),
            tables=ADIENCE,
        ),
        Case(
            "utkface",
            "adience",
            "utkface",
            "UTKFace: 9,673 faces; race in the place of the DataID",
            {"s1": ("race",), "r1": ("age_group",), "r2": ("gender",)},
            "adience",
            ("gender",),
            options={"epochs": "6"},
            views=2,
            tables=(2, 8),
        ),
        Case(
            "fsdd",
            "audiomnist",
            "fsdd",
            "FSDD: 3,000 spoken digits, six speakers; the accent is decided by the speaker",
            {"s1": ("speaker",), "r1": ("digit",), "r2": ("accent",)},
            "adience",
            ("digit",),
            options={"rate": "8000", "seconds": "1"},
            decided=("accent",),
            tables=AUDIO,
        ),
        Case(
            "emodb",
            "audiomnist",
            "emodb",
            "EmoDB: 535 acted sentences of ten speakers; the gender is decided by the speaker",
            {"s1": ("speaker",), "r1": ("sentence",), "r2": ("emotion",), "r3": ("gender",)},
            "adience",
            ("sentence",),
            options={"seconds": "2"},
            decided=("gender",),
            substitution={"itself": False, "substitutes": 402},
            tables=AUDIO,
        ),
        Case(
            "avletters",
            "pa_hmdb",
            "avletters",
            "AVLetters: 390 silent videos of lips, ten speakers saying thirteen letters",
            {"s": ("speaker", "gender"), "r1": ("letter",)},
            "adience",
            ("letter",),
            fields={"w_agnostic": 5.0, "w_r": 5.0},
            substitution={"itself": False, "substitutes": 293},
            tables=VIDEO,
        ),
    )
}

OWN = {
    case.name: case
    for case in (
        Case(
            "adience",
            "adience",
            "adience",
            "Adience, 2,815 training and 2,525 validation pictures",
            {"s1": ("data_id",), "r1": ("age",), "r2": ("gender",)},
            "adience",
            ("age", "gender"),
            "facenet",
            layout="adience",
            layout_options={"paper": True},
            views=0,
            tables=ADIENCE,
        ),
        Case(
            "audiomnist",
            "audiomnist",
            "audiomnist",
            "AudioMNIST, 18,000 training and 6,000 test clips (6,000 for validation are left out)",
            {"s1": ("speaker",), "r1": ("digit",), "r2": ("accent",), "r3": ("gender",)},
            "audiomnist",
            ("digit",),
            "hubert-large",
            layout="audiomnist",
            layout_options={"split": "paper", "validation": "drop"},
            views=0,
            tables=AUDIO,
        ),
        Case(
            "pa_hmdb",
            "pa_hmdb",
            "vispr",
            "VISPR and HMDB51 for training, PA-HMDB51 and VISPR for testing",
            {"s": ("skin_color", "face", "gender", "nudity", "relationship"), "r1": ("action",)},
            "pa_hmdb",
            ("action",),
            "r3d18",
            layout="vispr",
            views=0,
            tables=VIDEO,
        ),
    )
}
CASES = STAND_INS | OWN


def paths() -> dict[str, Any]:
    """Return the contents of paths.yaml; stand-ins use SORDINE_DATA."""
    found = yaml.safe_load(PATHS.read_text(encoding="utf-8")) or {}
    return dict(found)


def folder_of(case: Case) -> Path:
    """Return the media folder of a case. Raises SordineError where its place is not set."""
    if case.name in STAND_INS:
        if "SORDINE_DATA" not in os.environ:
            raise SordineError("set SORDINE_DATA to the folder of the stand-ins' data sets")
        return Path(os.environ["SORDINE_DATA"]) / case.source
    return own_folder(case.source)


def own_folder(name: str) -> Path:
    """Return the folder of one of the paper's data sets, from paths.yaml."""
    where = (paths().get("data") or {}).get(name)
    if not where:
        raise SordineError(f"{PATHS.name}: data: {name}: no folder is set; set the folder of the data set")
    return Path(where).expanduser()


def load(case: Case, work: Path) -> Table:
    """Return the case's table of vectors, extracted once into `work`."""
    if case.name == "pa_hmdb":
        return _pa_hmdb(case, work)
    return Table.read(_extracted(case, folder_of(case), work / f"{case.name}.parquet"), named=case.all)


def _extracted(case: Case, folder: Path, output: Path, **other: Any) -> Path:
    if not output.exists():
        weights = (paths().get("weights") or {}).get(case.extractor)
        extract(
            folder,
            case.extractor,
            output,
            ExtractOptions(
                options=dict(case.options),
                weights=weights,
                **({"layout": case.layout, "layout_options": dict(case.layout_options)} | other),
            ),
            Run(folder=output.with_suffix(".unfinished"), log=lambda line: print(line, flush=True)),
        )
    return output


def _pa_hmdb(case: Case, work: Path) -> Table:
    # Section 4.1: the five attributes are trained on VISPR, the action on HMDB51's training videos. The test records
    # are PA-HMDB51 (frames, with both) and, for the five, VISPR's test pictures. split="pa": the videos that PA-HMDB51
    # annotates are the test side, all others the training side.
    options: dict[str, dict[str, str]] = {"vispr": {}, "hmdb51": {"split": "pa"}, "pa_hmdb51": {}}
    parts = {
        name: Table.read(
            _extracted(case, own_folder(name), work / f"{name}.parquet", layout=name, layout_options=given),
            named=case.all,
        )
        for name, given in options.items()
    }
    kept = {name: table.part("train") for name, table in parts.items() if name != "pa_hmdb51"}
    tested = {"pa_hmdb51": parts["pa_hmdb51"], "vispr test": parts["vispr"].part("test")}
    labels: dict[str, list[str | None]] = {a: [] for a in (*case.all, "origin")}
    for name, table in (kept | tested).items():
        for a in case.all:
            codes = table.y.get(a, np.full(len(table), -1))
            labels[a] += [table.classes[a][c] if c >= 0 else None for c in codes]
        labels["origin"] += [name] * len(table)
    whole = (kept | tested).values()
    return Table.of(
        np.concatenate([np.asarray(t.x) for t in whole]),
        labels,
        ids=[f"{n}/{i}" for n, t in (kept | tested).items() for i in t.ids],
        split=["train"] * sum(map(len, kept.values())) + ["test"] * sum(map(len, tested.values())),
        source="VISPR, HMDB51 and PA-HMDB51",
    )


def views_of(case: Case, work: Path) -> Callable[[Table], Views] | None:
    """Return B.1's views of the raw media for a case's training records; None for data of several folders."""
    if case.name == "pa_hmdb":
        return None
    return raw_views(
        work / f"{case.name}.parquet",
        folder_of(case),
        count=case.views,
        layout=case.layout,
        layout_options=dict(case.layout_options),
    )

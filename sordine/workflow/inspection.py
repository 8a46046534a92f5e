"""Inspect a source before a fit: what it holds, what its records can certify, and how long a job takes."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from sordine.attacks.budget import Budget
from sordine.data.cache import scratch
from sordine.data.continuous import labelled as is_labelled
from sordine.data.layouts.motionsense import read_motion
from sordine.data.layouts.registry import open_media
from sordine.data.media.kinds import FILE_NAME, FRAME, WORDS, Media
from sordine.data.reading.columns import is_vector
from sordine.data.table import LARGEST, Table
from sordine.data.table_io import rows_at_once
from sordine.errors import SordineError
from sordine.evaluation.audit import audit
from sordine.features.choice import ExtractorChoice, is_media, is_motion, suited_extractor, suited_to_media
from sordine.features.extract import ExtractOptions, extract
from sordine.features.registry import EXTRACTORS
from sordine.features.sources import of_table, open_table, table_in
from sordine.methods.fit import fit
from sordine.methods.registry import default_method
from sordine.metrics.information import Entanglement, entanglement
from sordine.metrics.percent import percent
from sordine.policy import Policy
from sordine.run import Run, duration, silent
from sordine.workflow.transform import transform

CLASSES_SHOWN = 10
STRONG = 0.1  # share of an attribute's entropy that another one determines, from which the pair is named
FEW_FILES, FEW_ROWS = (1, 4), (200, 800)  # records of two extractions that are timed
NO_FORECAST = (
    "this is no forecast of what attackers infer: the audit measures that, also for attackers that have the modifier, "
    "classes of fitted records, or several records of one person, and there it can exclude less"
)
SAMPLE = 240  # training records of the larger of two fits that are timed
# A standard audit takes this many times as long as a quick one of the sample: a share for the parts whose time hardly
# depends on the number of records (planted leaks above all), and a share for each sample among the records that take
# part. Measured once on 320, 1,500 and 3,000 normally distributed records of 32 and 100 numbers in six classes.
QUICK_AUDITS, QUICK_AUDITS_BY_SAMPLE = 7.0, 0.65


@dataclass(frozen=True)
class AttributeSummary:
    """The classes of one attribute.

    Parameters
    ----------
    name, role
        Its name; `suppress`, `preserve`, `watch`, or "" without a policy.
    classes, labelled
        Number of classes, and of records that have a label.
    shares
        (class, share of the labelled records), the most frequent first, at most ten.
    continuous
        Of a continuous attribute, its range and mean in words; its classes are quantile classes.
    """

    name: str
    role: str
    classes: int
    labelled: int
    shares: tuple[tuple[str, float], ...]
    continuous: str = ""

    @property
    def baseline(self) -> float:
        """Share of the most frequent class: the accuracy of always predicting it."""
        return self.shares[0][1] if self.shares else 0.0


@dataclass(frozen=True)
class Estimate:
    """Run times in seconds, extrapolated from a sample; None where one is not measured.

    Parameters
    ----------
    fit, audit
        A fit and a standard audit. They need a table of vectors.
    note
        Why a run time is not estimated.
    extraction
        The extraction of a media folder or a raw table, for extractors that are not fitted on their source.
    """

    fit: float | None = None
    audit: float | None = None
    note: str = ""
    extraction: float | None = None


@dataclass(frozen=True)
class Inspection:
    """What a source holds, and what follows for a policy.

    Parameters
    ----------
    source, kind
        The source's path; `table`, `audio`, `image` or `video`.
    records
        Number of records.
    shape, dtype
        Shape and type of one record of a table of vectors; () and "" before an extraction.
    attributes
        Labelled attributes in the source's order.
    groups
        Number of distinct groups (persons); None without a column `group`.
    not_finite
        Number of records with a number that a fit or an extraction refuses: infinity or a number beyond 1e15, and NaN
        in vectors.
    repeated_ids
        Number of records whose id another record has too.
    notes
        What is left out on reading, and why.
    extractor
        The extractor that suits the source, and why.
    entangled
        Entropies of the attributes given each other, and what follows for the policy; None without labels.
    method, method_reason
        The method that is taken where none is named, and why; "" without a policy.
    estimate
        Estimated run times.
    refusal
        Why a fit refuses these records under the policy; "" where it does not, or without a policy.
    """

    source: Path
    kind: str
    records: int
    shape: tuple[int, ...]
    dtype: str
    attributes: tuple[AttributeSummary, ...]
    groups: int | None
    not_finite: int
    repeated_ids: int
    notes: tuple[str, ...]
    extractor: ExtractorChoice
    entangled: Entanglement | None = None
    unseen: int = 0
    method: str = ""
    method_reason: str = ""
    estimate: Estimate = field(default_factory=Estimate)
    refusal: str = ""

    @property
    def sound(self) -> bool:
        """Whether a fit or an extraction accepts these records."""
        return not (self.not_finite or self.repeated_ids or self.refusal)

    def lines(self) -> list[str]:
        """Return the findings as sentences, one a line."""
        what = WORDS.get(self.kind, "records")  # type: ignore[call-overload]
        lines = [f"{self.source}: {self.records:,} {what}"]
        if self.shape:
            lines.append(f"each record: {' x '.join(map(str, self.shape))} numbers ({self.dtype})")
        lines += [_about(attribute) for attribute in self.attributes]
        if self.groups is not None:
            lines.append(f"{self.groups:,} groups; records of one group stay on one side of the split")
        if self.not_finite:
            lines.append(
                f"records with NaN, infinity or a number beyond {LARGEST:g}: {self.not_finite:,}; correct them"
            )
        if self.repeated_ids:
            lines.append(f"{self.repeated_ids:,} records share their id with another record: ids must be unique")
        if self.refusal:
            lines.append(f"a fit refuses these records: {self.refusal}")
        lines += self.notes
        lines.append(self.extractor.reason)
        lines += self._consequences()
        if self.method:
            lines.append(f"method {self.method}: {self.method_reason}")
        if self.estimate.extraction is not None:
            lines.append(f"an extraction takes about {duration(self.estimate.extraction)} (estimated from a sample)")
        if self.estimate.fit is not None:
            lines.append(f"a fit takes about {duration(self.estimate.fit)} (estimated from a sample)")
        if self.estimate.audit is not None:
            lines.append(f"a standard audit takes about {duration(self.estimate.audit)} (estimated from a sample)")
        return lines + ([self.estimate.note] if self.estimate.note else [])

    def _consequences(self) -> list[str]:
        """What the attributes' dependence and the number of unseen records imply."""
        if self.entangled is None:
            return []
        lines = list(self.entangled.sentences) if self.method else _dependent(self.entangled)
        for name, share in self.entangled.keeps.items():
            if share <= 0.99:
                lines.append(
                    f"at most {percent(share, 0)} of `{name}` can be preserved without leakage of what is suppressed"
                )
        for name, least in self.entangled.smallest.items():
            if least is None:
                lines.append(f"{self.unseen:,} unseen records are too few to certify any leakage of `{name}`")
            else:
                lines.append(
                    f"even if nothing leaks, an audit with {self.unseen:,} unseen records cannot exclude a leakage of "
                    f"`{name}` below {percent(least)} from single records, to attackers without the modifier"
                )
        if any(least is not None for least in self.entangled.smallest.values()):
            lines.append(NO_FORECAST)
        return lines


def inspect(
    source: str | Path,
    policy: Policy | None = None,
    run: Run | None = None,
    *,
    features: Sequence[str] = (),
    layout: str | None = None,
    layout_options: Mapping[str, Any] | None = None,
    measure: bool = True,
) -> Inspection:
    """Inspect a table or a media folder; nothing is written.

    Parameters
    ----------
    source
        Media folder, Parquet or CSV file, or a folder with one such file.
    policy
        Attributes to suppress and preserve; None inspects the source alone.
    run
        Secret key of the split, device, log and progress.
    features
        Feature columns of a table; empty finds them by type.
    layout, layout_options
        Layout of a media folder; None detects it.
    measure
        Whether to time fits and an audit of 320 records or, without vectors, extractions of a few records.

    Raises
    ------
    SordineError
        Where the source cannot be read, or the policy names an attribute that it does not hold.
    """
    run, source = run or Run(), Path(source)
    if not source.exists():
        raise SordineError(f"{source} does not exist")
    kind, table, choice, infinite = _opened(source, policy, tuple(features), layout, layout_options)
    resolved = None if policy is None else policy.resolve(table.attributes)
    has_vectors = choice.name is None or bool(features)
    _, counts = np.unique(table.ids.astype(str), return_counts=True)
    found = Inspection(
        source=source,
        kind=kind,
        records=len(table),
        shape=table.shape if has_vectors else (),
        dtype=str(table.x.dtype) if has_vectors else "",
        attributes=tuple(_summary(table, name, resolved) for name in table.attributes),
        groups=None if table.group is None else len(np.unique(table.group)),
        not_finite=_not_finite(table) if has_vectors else infinite,
        repeated_ids=int(counts[counts > 1].sum()),
        notes=table.notes,
        extractor=choice,
        refusal="" if resolved is None else _refusal(table, resolved),
    )
    found = _with_consequences(found, table, resolved, run)
    if not measure or not found.sound or resolved is None or not resolved.suppress:
        return found
    if not has_vectors:
        media = open_media(source, layout, layout_options) if kind != "table" else None
        return replace(found, estimate=_timed_extraction(source, media, choice, len(table), run))
    return replace(found, estimate=_measured(table, resolved, found.method, run))


def _opened(
    source: Path,
    policy: Policy | None,
    features: tuple[str, ...],
    layout: str | None,
    layout_options: Mapping[str, Any] | None,
) -> tuple[str, Table, ExtractorChoice, int]:
    """Kind, table, suited extractor, and number of records with infinity outside vectors and attributes of a source.

    Without vectors, x of the table is one zero for each record.
    """
    named = () if policy is None else policy.named
    if is_media(source, layout) and not is_motion(source, layout):
        media = open_media(source, layout, layout_options)
        table = _labels_of(media, named)
        return media.kind, replace(table, notes=(*media.notes, *table.notes)), suited_to_media(media), 0
    choice = suited_extractor(source, policy, layout=layout, layout_options=layout_options)
    if features or choice.name is None:
        path = table_in(source) if source.is_dir() else source
        return "table", Table.read(path, features, named=named, check=False), choice, 0
    if is_motion(source, layout):
        opened = of_table(read_motion(source, **dict(layout_options or {})), source)
    else:
        opened = open_table(table_in(source) if source.is_dir() else source)
    columns = pa.Table.from_batches(list(opened.blocks()), opened.schema)
    columns = columns.drop_columns([f.name for f in opened.schema if is_vector(f.type)])
    table = labels_only(columns, named, source.name)
    table = replace(table, notes=_as_inputs(table, columns, named, choice))
    return "table", table, choice, _infinite(columns, named)


def _as_inputs(table: Table, columns: pa.Table, named: Sequence[str], choice: ExtractorChoice) -> tuple[str, ...]:
    """The notes of a raw table. A column that is no attribute is not left out where the extractor uses it."""
    special = {"id", "split", "group", *table.attributes, *named}
    used = [
        name
        for name in columns.column_names
        if name not in special and (choice.name == "columns" or pa.types.is_floating(columns[name].type))
    ]
    notes = [n for n in table.notes if not any(n.startswith(f"column {name!r} is left out") for name in used)]
    if used:
        quoted = ", ".join(f"`{name}`" for name in used)
        notes.insert(0, f"no attributes, but the extractor `{choice.name}` uses them: {quoted}")
    return tuple(notes)


def check_raw_table(path: Path, policy: Policy) -> None:
    """Check the policy against a raw table. Only the suppressed and preserved columns are held in memory.

    Raises
    ------
    SordineError
        Where a column is missing, or `Table.require` refuses its labels.
    """
    opened = open_table(path)
    policy.resolve(opened.schema.names)
    checked = Policy(policy.suppress, policy.preserve, ())
    names = list(checked.named)
    schema = pa.schema([opened.schema.field(name) for name in names])
    columns = pa.Table.from_batches([block.select(names) for block in opened.blocks()], schema)
    labels_only(columns, names, path.name).require(checked)


def check_media(media: Media, policy: Policy, *, by_frame: bool = False) -> None:
    """Check the policy against a media folder. The files are not decoded.

    Parameters
    ----------
    media
        The folder.
    policy
        Attributes to suppress, preserve and watch.
    by_frame
        Whether each frame of a video becomes a record: a class of one file then has several.

    Raises
    ------
    SordineError
        Where the folder lacks an attribute, or `Table.require` refuses its labels.
    """
    table = _labels_of(media, policy.named)
    policy.resolve(table.attributes)
    if not by_frame:
        table.require(policy)


def _labels_of(media: Media, named: Sequence[str]) -> Table:
    """The labels of a media folder, as `labels_only` returns them."""
    columns = media.records.drop_columns([c for c in (FILE_NAME, FRAME, "id") if c in media.records.column_names])
    columns = columns.append_column("id", pa.array(media.ids, pa.string()))
    return labels_only(columns, named, media.root.name)


def labels_only(columns: pa.Table, named: Sequence[str], source: str) -> Table:
    """Return the labels, split and groups of records whose vectors are not made yet; x is one zero for each record.

    Parameters
    ----------
    columns
        Columns without vectors.
    named, source
        Attributes that the policy names, and the source's name.
    """
    x = pa.FixedSizeListArray.from_arrays(pa.array(np.zeros(columns.num_rows, np.float32)), 1)
    while "x" in columns.column_names:
        columns = columns.drop_columns(["x"])
    with scratch() as folder:
        path = folder / "labels.parquet"
        pq.write_table(columns.append_column("x", x), path)
        return replace(Table.read(path, named=named, check=False), source=source)


def _refusal(table: Table, policy: Policy) -> str:
    try:
        table.require(policy)
    except SordineError as error:
        return str(error)
    return ""


def _infinite(columns: pa.Table, named: Sequence[str]) -> int:
    """The number of rows in which a column of decimal numbers, other than an attribute of the policy, is infinite."""
    bad = np.zeros(columns.num_rows, bool)
    for name in columns.column_names:
        if name not in named and pa.types.is_floating(columns[name].type):
            bad |= np.isinf(columns[name].to_numpy())
    return int(bad.sum())


def _not_finite(table: Table) -> int:
    if np.dtype(table.x.dtype) == np.uint8:
        return 0
    size = rows_at_once(table.shape)
    bad = 0
    for start in range(0, len(table), size):
        block = np.asarray(table.x[start : start + size]).reshape(-1, table.width)
        bad += int((~(np.abs(block) < LARGEST)).any(axis=1).sum())  # also where it is NaN
    return bad


def _summary(table: Table, name: str, policy: Policy | None) -> AttributeSummary:
    codes = table.y[name]
    labelled = codes[codes >= 0]
    counts = np.bincount(labelled, minlength=len(table.classes[name]))
    order = np.argsort(-counts, kind="stable")
    shares = [(str(table.classes[name][k]), float(counts[k] / max(1, len(labelled)))) for k in order if counts[k]]
    roles = {} if policy is None else {a: role for role, names in policy.roles() for a in names}
    return AttributeSummary(
        name,
        roles.get(name, ""),
        len(shares),
        len(labelled),
        tuple(shares[:CLASSES_SHOWN]),
        _range(table.targets[name]) if name in table.targets else "",
    )


def _range(values: np.ndarray) -> str:
    """The range and mean of a continuous attribute in words."""
    known = values[is_labelled(values)]
    if not len(known):
        return "continuous"
    if known.ndim > 1:
        return f"continuous, vectors of {known.shape[1]} numbers"
    return f"continuous, {known.min():g} to {known.max():g}, mean {known.mean(dtype=np.float64):.4g}"


def _with_consequences(found: Inspection, table: Table, policy: Policy | None, run: Run) -> Inspection:
    """Add what follows from the labels: dependence, smallest certifiable leakage, and the default method."""
    labelled = [a.name for a in found.attributes if a.classes > 1]
    checked = Policy(tuple(labelled), (), ()) if policy is None else policy
    if not checked.suppress or any(name not in labelled for name in checked.suppress):
        return found
    try:
        split = table.with_split(checked, run.key).split
    except SordineError as error:
        return replace(found, notes=(*found.notes, f"the records cannot be split: {error}"))
    assert split is not None
    unseen = int((~split).sum())
    known = {role: [n for n in names if n in labelled] for role, names in checked.roles()}
    linked = entanglement(table.y, known["suppress"], known["preserve"], known["watch"], test_records=unseen)
    found = replace(found, entangled=linked, unseen=unseen)
    if policy is None:
        return found
    name = default_method(policy)
    return replace(found, method=name, method_reason="the default (choose another with -m)")


def _measured(table: Table, policy: Policy, method: str, run: Run) -> Estimate:
    """Time two fits and a quick audit on samples, and extrapolate linearly in the number of records."""
    table = table.with_split(policy, run.key)
    assert table.split is not None
    quiet = replace(run, log=silent, progress=None, folder=None)
    train, test = (
        np.flatnonzero(side)[np.argsort(run.key.order("inspection", table.ids[side]))]
        for side in (table.split, ~table.split)
    )
    times, sizes = [], []
    try:
        for size in (SAMPLE // 2, SAMPLE):
            rows = np.sort(np.concatenate([train[:size], test[: SAMPLE // 3]]))
            some = table.take(rows)
            began = time.monotonic()
            modifier = fit(some, policy, method, run=quiet)
            times.append(time.monotonic() - began)
            sizes.append(min(size, len(train)))
        began = time.monotonic()
        released = transform(modifier, some, run.key, run=quiet)
        audit(some, released, policy, modifier=modifier, key=run.key, budget=Budget.quick(), run=quiet)
        attacked = time.monotonic() - began
    except SordineError as error:
        return Estimate(note=f"run times are not estimated: {error}")
    slope = max(0.0, (times[1] - times[0]) / max(1, sizes[1] - sizes[0]))
    whole = times[1] + slope * (len(train) - sizes[1])
    tried = min(len(table), 2 * Budget().max_records)
    return Estimate(whole, attacked * (QUICK_AUDITS + QUICK_AUDITS_BY_SAMPLE * max(1.0, tried / len(some))))


def _timed_extraction(source: Path, media: Media | None, choice: ExtractorChoice, records: int, run: Run) -> Estimate:
    """Time two extractions of a few records, and extrapolate linearly in the number of records."""
    note = "fits and audits are not timed before the extraction; inspect the table that it writes"
    name = choice.name or ""
    if EXTRACTORS.find(name).learns or name == "windows":
        return Estimate(note=f"run times are not estimated before the extraction with {name}")
    times: list[float] = []
    copies: dict[Path, Path] = {}
    sizes = [min(size, records) for size in (FEW_FILES if media is not None else FEW_ROWS)]
    quiet = replace(run, log=silent, progress=None, folder=None)
    with scratch() as folder:
        try:
            for size in sizes:
                some = folder / f"{len(times)}"
                some.mkdir()
                copies = _copy_some(source, media, size, some)
                output = folder / f"{len(times)}.parquet"
                began = time.monotonic()
                extract(some, name, output, ExtractOptions(options=choice.options), quiet)
                times.append(time.monotonic() - began)
        except SordineError as error:
            text = str(error)
            for copy, original in copies.items():
                text = text.replace(str(copy), str(original))
            return Estimate(note=f"run times are not estimated: {text}")
    slope = max(0.0, (times[1] - times[0]) / max(1, sizes[1] - sizes[0]))
    return Estimate(note=note, extraction=times[1] + slope * (records - sizes[1]))


def _copy_some(source: Path, media: Media | None, size: int, folder: Path) -> dict[Path, Path]:
    """Copy evenly spaced files of a media folder, or the first rows of a raw table. Return copy -> original."""
    if media is None:
        opened = open_table(table_in(source) if source.is_dir() else source)
        path = folder / "t.parquet"
        pq.write_table(pa.Table.from_batches(list(opened.blocks()), opened.schema).slice(0, size), path)
        return {path: opened.path, folder: source}
    copies: dict[Path, Path] = {}
    for row in np.linspace(0, len(media) - 1, size).astype(int):
        file = media.root / media.files[row]
        copy = folder / f"{len(copies)}{file.suffix}"
        shutil.copyfile(file, copy)
        copies[copy] = file
    pa.csv.write_csv(pa.table({FILE_NAME: [copy.name for copy in copies]}), folder / "metadata.csv")
    return {**copies, folder: media.root}


def _about(attribute: AttributeSummary) -> str:
    shown = ", ".join(f"{name} {percent(share, 0)}" for name, share in attribute.shares[:CLASSES_SHOWN])
    more = ", ..." if attribute.classes > len(attribute.shares) else ""
    role = f" ({attribute.role})" if attribute.role else ""
    if attribute.continuous:
        used = f"{attribute.classes} classes of about equal size where classes are needed"
        return f"`{attribute.name}`{role}: {attribute.labelled:,} labelled records, {attribute.continuous}; {used}"
    classes = "1 class" if attribute.classes == 1 else f"{attribute.classes} classes"
    return f"`{attribute.name}`{role}: {attribute.labelled:,} labelled records, {classes}: {shown}{more}"


def _dependent(found: Entanglement) -> list[str]:
    """A sentence for each pair of attributes of which one determines much of the other."""
    lines = []
    for pair in found.pairs:
        share = 1 - pair.conditional / pair.entropy if pair.entropy > 0 else 0.0
        if share >= STRONG:
            lines.append(f"`{pair.given}` determines {percent(share, 0)} of `{pair.of}`")
    return lines

"""The five stages as functions of files, options and a `Run`: extract, fit, transform, audit, release.

The commands of the command line call these functions one by one. `sordine.workflow.job_runner` runs all five into one
folder, from where an earlier run stopped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sordine.attacks.budget import Budget
from sordine.attacks.tail import TailRecords
from sordine.data.layouts.registry import open_media
from sordine.data.table import Table
from sordine.errors import SordineError, nearest
from sordine.evaluation.audit import audit as attack_records
from sordine.evaluation.inputs import AuditInputs
from sordine.evaluation.options import AuditOptions
from sordine.evaluation.report import Report
from sordine.evaluation.sections.reconstruction import ReconstructionOptions, reconstruct, sides
from sordine.evaluation.sections.sheets import reconstruction_sheet, sheets
from sordine.features.augmentation.raw_views import raw_views
from sordine.features.extract import Extracted, ExtractOptions
from sordine.features.extract import extract as extract_source
from sordine.keys import Key
from sordine.methods.fit import fit as fit_table
from sordine.methods.registry import default_method, load, make
from sordine.models.modifier import Modifier
from sordine.models.picture_classifier import labelled
from sordine.models.verification import load_verification
from sordine.policy import Policy
from sordine.run import Run, check_device
from sordine.workflow.leakage_limit import fit_under
from sordine.workflow.records_per_person import fit_for_persons
from sordine.workflow.release.manifest import Released
from sordine.workflow.release.media import DrawnFrom, release_media, release_pictures
from sordine.workflow.release.table import release as release_table
from sordine.workflow.release.withholding import Source, read_withheld
from sordine.workflow.transform import Transformed, TransformOptions, transform_file


@dataclass(frozen=True)
class FitOptions:
    """Which method is fitted, and on what besides the table.

    Parameters
    ----------
    method
        Name of the method; None takes the default for the policy (`method_of`).
    settings
        Options of the method, as values or text.
    features
        Feature columns of the table; empty finds them by type.
    pool
        Table whose records may be released in place of the table's own (substitution, inversion).
    views
        Media folder that the table was extracted from; the method `mass` makes its views from it.
    layout, layout_options
        Layout of `views`.
    limits
        Largest leakage (NAG, 0 to 1) by suppressed attribute. Where given, the most useful strength of the method under
        these limits is fitted (`leakage_limit.fit_under`); where None, one fit.
    records_per_person
        How many records of one person are released. Where given, the most useful strength whose forecast stays under
        10 % for so many is fitted (`records_per_person.fit_for_persons`). Not together with `limits`.
    along
        The option that varies under `limits` or for `records_per_person`, and its values from the most private to the
        most useful; None takes the method's own.
    budget
        Budget of the attacks under `limits`.
    copies
        Whether the release must hold copies of real records; it decides the default method.
    """

    method: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    features: tuple[str, ...] = ()
    pool: Path | None = None
    views: Path | None = None
    layout: str | None = None
    layout_options: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, float] | None = None
    records_per_person: int | None = None
    along: tuple[str, Sequence[Any]] | None = None
    budget: Budget | None = None
    copies: bool = False


@dataclass(frozen=True)
class Reconstruction:
    """Whether pictures are reconstructed from released records, and how that is measured.

    Parameters
    ----------
    identity
        Attribute that names the person in a picture; None measures no identity.
    verification
        File of FaceNet's weights; None trains a classifier of `identity` instead.
    """

    identity: str | None = None
    verification: Path | None = None


@dataclass(frozen=True)
class AuditSettings:
    """How hard the audit tries, and what its report may show.

    Parameters
    ----------
    budget
        Attacks, scenarios, seeds and sizes.
    max_leakage
        Largest NAG (0 to 1) of a suppressed attribute for the report to pass; None sets no limit.
    person
        Attribute that names the person a record belongs to; None takes the table's groups.
    originals
        Whether the report may show original records.
    pretrained
        Whether to test classifiers of the originals that are never retrained.
    more
        Table of labelled originals that only the attacker has; None gives none.
    reconstruction
        Whether to train decoders that rebuild pictures; None trains none.
    source
        Facts about the released records for the report: `command` makes the report again.
    tail
        Receives the scores of single records with their ids (`sordine.evaluation.options.AuditOptions.tail`).
    """

    budget: Budget = field(default_factory=Budget)
    max_leakage: float | None = None
    person: str | None = None
    originals: bool = True
    pretrained: bool = True
    more: Path | None = None
    reconstruction: Reconstruction | None = None
    source: Mapping[str, Any] = field(default_factory=dict)
    tail: list[TailRecords] | None = None


@dataclass(frozen=True)
class ReleaseOptions:
    """In which form transformed records leave.

    Parameters
    ----------
    media
        Media folder whose files are released in place of vectors (substitution); needs `table`.
    table
        Table of vectors of that folder, which the substitutes were drawn from.
    layout, layout_options
        Layout of `media`.
    pictures
        Release transformed pictures as files.
    despite_findings
        Release even what the audit found to leak.
    withhold
        File that `release.withholding.write_tail` wrote, which lists records to leave out.
    """

    media: Path | None = None
    table: Path | None = None
    layout: str | None = None
    layout_options: Mapping[str, Any] = field(default_factory=dict)
    pictures: bool = False
    despite_findings: bool = False
    withhold: Path | None = None


def extract(
    source: Path, extractor: str, output: Path, options: ExtractOptions | None = None, run: Run | None = None
) -> Extracted:
    """Write the table of vectors of a media folder or a raw table.

    Parameters
    ----------
    source
        Media folder, Parquet or CSV file, or a folder with one such file.
    extractor
        Name of the extractor (docs/guide/extractors.md).
    output
        Parquet file to write.
    options, run
        The extraction, and its device, seed, workers, folder for unfinished training, log and progress.

    Returns
    -------
    Extracted
        Number of records, their width, and the files that were left out.

    Raises
    ------
    SordineError
        For wrong input; the message names the file and the row or column. Nothing is written.
    """
    return extract_source(source, extractor, output, options, _on_device(run))


def method_of(options: FitOptions, policy: Policy) -> str:
    """Return the name of the method: the one named, else the default for the policy."""
    return options.method or default_method(policy, copies=options.copies or options.pool is not None)


def _on_device(run: Run | None) -> Run:
    run = run or Run()
    return replace(run, device=check_device(run.device))


def read_records(table: Path, policy: Policy, options: FitOptions, run: Run | None = None) -> Table:
    """Read the table of a fit and check the policy against it.

    Raises
    ------
    SordineError
        Where the table is damaged, or the policy names an attribute that it does not hold.
    """
    run = run or Run()
    records = Table.read(table, options.features, named=policy.named)
    records.require(policy)
    for note in (*records.notes, *unlabelled(records, policy)):
        run.log(note)
    return records


def unlabelled(records: Table, policy: Policy) -> list[str]:
    """Return a line for each suppressed or preserved attribute that some records have no label of."""
    counts = {name: int((records.y[name] < 0).sum()) for name in (*policy.suppress, *policy.preserve)}
    return [
        f"{count:,} of {len(records):,} records have no label of {name!r} and do not count for it"
        for name, count in counts.items()
        if count
    ]


def fit(
    table: Path,
    output: Path,
    policy: Policy,
    options: FitOptions,
    run: Run | None = None,
    *,
    records: Table | None = None,
    force: bool = False,
) -> Modifier:
    """Fit a modifier on a table and write its directory.

    Parameters
    ----------
    table
        Parquet or CSV file of vectors.
    output
        Directory to write.
    policy, options
        What to suppress and preserve, and by which method.
    run
        Device, seed, secret key, workers, folder for unfinished training, log and progress.
    records
        The table as `read_records` returned it; None loads it.
    force
        Replace an existing directory.

    Raises
    ------
    SordineError
        Where table, policy and method do not fit each other.
    leakage_limit.NotMet
        Where `options.limits` or `options.records_per_person` are given and no strength of the method meets them.
    """
    run = _on_device(run)
    name = method_of(options, policy)
    make(name, options.settings)  # refuses wrong options before any data is read
    if records is None:
        records = read_records(table, policy, options, run)
    if options.method is None:
        run.log(f"method {name}: the default (choose another with -m)")
    materials = _materials(table, records, policy, options, run)
    policy = records.require(policy)
    modifier = _fitted(records, policy, name, options, run, materials)
    modifier.save(output, force=force)
    return modifier


def _fitted(
    records: Table, policy: Policy, name: str, options: FitOptions, run: Run, materials: Mapping[str, Any]
) -> Modifier:
    """Fit once, or the most useful strength under what the options ask for."""
    search = {"settings": options.settings, "along": options.along, **materials}
    if options.records_per_person is not None:
        return fit_for_persons(records, policy, name, options.records_per_person, run, **search)
    if options.limits is not None:
        return fit_under(records, policy, name, options.limits, run, budget=options.budget, **search)
    return fit_table(records, policy, make(name, options.settings), run=run, **materials)


def _materials(table: Path, records: Table, policy: Policy, options: FitOptions, run: Run) -> dict[str, Any]:
    """Return the pool and the views of the raw media that the options name, as arguments of `fit`."""
    found: dict[str, Any] = {}
    if options.pool is not None:
        found["pool"] = Table.read(options.pool, options.features, named=policy.named, like=records, log=run.log)
    if options.views is not None:
        found["raw_views"] = raw_views(
            table,
            options.views,
            layout=options.layout,
            layout_options=options.layout_options,
            run=run,
        )
    return found


def transform(
    modifier: Path,
    table: Path,
    output: Path,
    options: TransformOptions,
    run: Run | None = None,
    *,
    fit_key: Key | None = None,
    force: bool = False,
) -> Transformed:
    """Write the owner's working copy: a table's records through a modifier.

    Parameters
    ----------
    modifier
        Directory of the modifier.
    table, output
        Table to read (Parquet or CSV), and Parquet file to write.
    options
        Columns to write, and masks.
    run
        Secret key of the released draws, workers, log and progress.
    fit_key
        Key of the fit where `run.key` is another; it determines which records were fitted on.
    force
        Replace an existing output.

    Raises
    ------
    SordineError
        Where the table does not fit the modifier. Nothing is written.
    """
    run = run or Run()
    options = options if fit_key is None else replace(options, fit_key=fit_key)
    return transform_file(load(modifier), table, output, key=run.key, options=options, run=run, force=force)


def audit(
    inputs: AuditInputs,
    policy: Policy,
    options: AuditSettings,
    run: Run | None = None,
    *,
    modifier: Modifier | None = None,
    key: Key | None = None,
) -> Report:
    """Attack released records and the originals in the same way, and return the report with its pictures.

    Parameters
    ----------
    inputs
        Originals and released records (`evaluation.inputs.read_pair`, `extract_pair`).
    policy
        Attributes to attack, by role.
    options, run
        Attacks, and what the report may show; device, workers, log and progress.
    modifier, key
        The modifier and its key, where they are known: they determine which records were fitted on.

    Raises
    ------
    SordineError
        Where the policy does not fit the tables, or nothing can be attacked.
    """
    run = _on_device(run)
    original, released = inputs.original, inputs.transformed
    policy = policy.resolve(original.attributes)
    _check_audit(inputs, policy, options, modifier, key)
    shown = inputs.gallery(policy, originals=options.originals, run=run)
    more = None if options.more is None else Table.read(options.more, original.features, named=policy.named)
    report = attack_records(
        original,
        released,
        policy,
        modifier=modifier,
        key=key,
        budget=options.budget,
        options=AuditOptions(
            max_leakage=options.max_leakage,
            person=options.person,
            match_by_order=inputs.by_order,
            originals=options.originals,
            pretrained=options.pretrained,
            more=more,
            tail=options.tail,
            source={**inputs.about, **options.source},
        ),
        run=run,
    )
    report = inputs.finish(report, shown)
    if shown is None:  # a gallery shows the same pictures
        grids = sheets(modifier, key, original, released, policy=policy, originals=options.originals, run=run)
        report = replace(report, sheets=grids)
    if options.reconstruction is not None:
        report = _reconstructed(report, inputs, policy, options, run, modifier, key)
    return report


def _check_audit(
    inputs: AuditInputs, policy: Policy, options: AuditSettings, modifier: Modifier | None, key: Key | None
) -> None:
    """Raise SordineError, before anything is attacked, where the options for persons or pictures cannot be followed."""
    if options.person is not None and not options.budget.person:
        raise SordineError(
            f"--person {options.person}: the budget {options.budget.name} attacks single records only; "
            "use --budget standard"
        )
    wanted = options.reconstruction
    if wanted is None:
        return
    original = inputs.original
    before, _, fitted, _ = sides(original, inputs.transformed, policy, modifier=modifier, key=key)
    if wanted.verification is not None:
        load_verification(wanted.verification)
    if wanted.identity is None:
        return
    if wanted.identity not in original.y:
        known = nearest(wanted.identity, original.attributes)
        raise SordineError(f"{original.source}: no attribute {wanted.identity!r}; {known}")
    if wanted.verification is None:
        labelled(before.take(fitted), wanted.identity)


def _reconstructed(
    report: Report,
    inputs: AuditInputs,
    policy: Policy,
    options: AuditSettings,
    run: Run,
    modifier: Modifier | None,
    key: Key | None,
) -> Report:
    """The report with what decoders reconstruct of pictures."""
    wanted = options.reconstruction or Reconstruction()
    found = reconstruct(
        inputs.original,
        inputs.transformed,
        policy,
        modifier=modifier,
        key=key,
        options=ReconstructionOptions(wanted.identity, wanted.verification),
        run=run,
    )
    few = min(map(len, found.rebuilt.values()))
    pictures = {name: x[:few] for name, x in found.rebuilt.items()}
    sheet = reconstruction_sheet(inputs.original, found.ids[:few], pictures, policy, originals=options.originals)
    return replace(report, reconstruction=found.findings, sheets=(*report.sheets, sheet))


def release(
    transformed: Path,
    output: Path,
    options: ReleaseOptions,
    run: Run | None = None,
    *,
    report: Report | None = None,
    force: bool = False,
) -> Released:
    """Write the directory that may leave, and the link table beside it.

    Parameters
    ----------
    transformed
        What `transform` wrote.
    output
        Directory to write.
    options
        A table, copies of media files, or pictures as files.
    run
        Secret key of pseudonyms and order, workers, log and progress.
    report
        Report of the audit, for the manifest. A report that found a leak, or more than its limit, prevents the release
        unless `options.despite_findings`.
    force
        Replace an earlier release.

    Raises
    ------
    SordineError
        Where the records must not be released. Nothing is written.
    """
    run = run or Run()
    how: dict[str, Any] = {
        "key": run.key,
        "report": report,
        "run": run,
        "force": force,
        "force_leaky": options.despite_findings,
    }
    source = Source(transformed, None if options.withhold is None else read_withheld(options.withhold))
    if options.pictures:
        return release_pictures(source, output, **how)
    if options.media is None:
        return release_table(source, output, **how)
    if options.table is None:
        raise SordineError("a release of media files needs the folder's table of vectors: name it with --table")
    folder = open_media(options.media, options.layout, dict(options.layout_options))
    return release_media(source, DrawnFrom(folder, options.table), output, **how)

"""Run a job: extract, fit, transform, audit and release into one folder, from where an earlier run stopped."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from sordine.attacks.budget import Budget
from sordine.data.files import atomic, check_writable
from sordine.data.layouts.registry import check_layout, open_media
from sordine.data.reading.options import ReadOptions, current, reading
from sordine.data.table_io import TableFile
from sordine.errors import SordineError, nearest
from sordine.evaluation.inputs import MediaFolders, read_pair
from sordine.evaluation.page.pdf import check_pdf
from sordine.evaluation.report import Report
from sordine.evaluation.report_json import read_report, write_report
from sordine.features.choice import is_media, is_motion, suited_extractor
from sordine.features.extract import ExtractOptions
from sordine.features.registry import EXTRACTORS, make_extractor
from sordine.features.sources import fitted_beside, table_in
from sordine.keys import Key
from sordine.methods.fit import check_policy
from sordine.methods.registry import METHODS, load, make
from sordine.models.modifier import versions
from sordine.policy import ALL_OTHERS, Policy
from sordine.run import Run, accepts_run_keywords, check_device, silent
from sordine.workflow import pipeline
from sordine.workflow.inspection import check_media, check_raw_table
from sordine.workflow.job import AuditPart, Job, PolicyPart, described, read_job
from sordine.workflow.key_files import beside, key_for_fit
from sordine.workflow.leakage_limit import candidates
from sordine.workflow.pipeline import (
    AuditSettings,
    FitOptions,
    ReleaseOptions,
    TransformOptions,
    method_of,
)
from sordine.workflow.protect_options import ProtectOptions
from sordine.workflow.release.manifest import links_beside, may_be_shared
from sordine.workflow.stages import Stages, address, folder_of_job
from sordine.workflow.transform import WORKERS, check_kept

# What each stage leaves in the job's folder.
TABLE, MODIFIER, TRANSFORMED, PAGE, REPORT, RELEASE = (
    "table.parquet",
    "modifier",
    "transformed.parquet",
    "report.html",
    "report.json",
    "release",
)
OUTPUTS = {
    "extract": (
        TABLE,
        *(fitted_beside(Path(TABLE), n).name for n, e in EXTRACTORS.items() if e.learns),
    ),
    "fit": (MODIFIER,),
    "transform": (TRANSFORMED,),
    "audit": (PAGE, REPORT),
    "release": (RELEASE, links_beside(RELEASE).name),
}
PDF = "report.pdf"  # the same page, where the job asks for it
JOB = "job.yaml"  # the job that `protect` writes beside its results


@dataclass(frozen=True)
class Outcome:
    """The result of a job.

    Parameters
    ----------
    out
        The job's folder.
    report
        Report of the audit; None where the job has no audit.
    released
        The directory that may leave; None where nothing was released.
    withheld
        Whether a release was requested and not made, because of what the audit found.
    """

    out: Path
    report: Report | None
    released: Path | None
    withheld: bool = False

    @property
    def failed(self) -> bool:
        """Whether the audit found more than the job allows."""
        return self.withheld or (self.report is not None and self.report.passed is False)

    @property
    def pages(self) -> list[Path]:
        """The report's page, and its PDF where it was made."""
        found = [self.out / name for name in (PAGE, PDF)] if self.report is not None else []
        return [path for path in found if path.name == PAGE or path.exists()]

    def places(self) -> list[str]:
        """Return one line for each result: its path, and what it is."""
        lines = [f"{path}: the report" for path in self.pages]
        if self.withheld:
            lines.append(
                "Nothing was released because of the findings of the audit. despite_findings: true releases it."
            )
        if self.released is not None:
            lines.append(f"{self.released}: {may_be_shared(self.report)}")
        return lines


class Pipeline:
    """The stages of one job in one folder, in order. Each stage is skipped where its inputs and outputs are unchanged.

    Parameters
    ----------
    job
        The job, its paths resolved (`read_job`).
    out
        The job's folder; `run_job` creates and locks it.
    run
        Log and progress; device, seed and workers are the job's.
    force
        Repeat every stage.
    """

    def __init__(self, job: Job, out: Path, run: Run | None = None, *, force: bool = False) -> None:
        self.job, self.out = job, out
        self.run = replace(run or Run(), device=job.device, seed=job.seed, workers=job.workers)
        self.stages = Stages(out, OUTPUTS, force, self.run.log)
        self.table, self.features = (job.source, job.features) if job.extractor is None else (out / TABLE, ())
        self.key = self.run.key
        # Of a job without these options, a stage keeps the record that earlier versions left.
        self._reading = {"read": job.read} if job.read else {}

    def extract(self) -> None:
        """Make the table of vectors, where the job names an extractor."""
        job = self.job
        if job.extractor is None:
            self.stages.forget("extract")
            self.stages.hashes[TABLE] = address(job.source)
            return
        extractor = job.extractor
        options = ExtractOptions(
            options={name: str(value) for name, value in job.options.items()},
            weights=job.weights,
            features=job.features,
            layout=job.layout,
            layout_options=job.layout_options,
            skip_bad=job.skip_bad,
            force=True,
        )
        inputs = {
            "source": address(job.source),
            "extractor": extractor,
            "options": options.options,
            "weights": None if job.weights is None else address(job.weights),
            "layout": [job.layout, job.layout_options],
            "features": job.features,
            **self._reading,
            "skip_bad": job.skip_bad,
            "seed": job.seed,
            "versions": versions(),
        }
        run = replace(self.run, folder=self.stages.unfinished("extract", inputs))

        def work() -> None:
            self._check_labels()
            pipeline.extract(job.source, extractor, self.table, options, run)

        self.stages.do("extract", inputs, work)
        self.stages.tidy("extract")

    def _check_labels(self) -> None:
        """Check the policy against the source before its extraction, which may take hours."""
        job = self.job
        if job.extractor is None or is_motion(job.source, job.layout):
            return
        extractor = make_extractor(job.extractor, {k: str(v) for k, v in job.options.items()})
        if is_media(job.source, job.layout):
            media = open_media(job.source, job.layout, job.layout_options)
            self._check_columns(["id", "split", *media.records.column_names])
            check_media(media, job.policy_of(), by_frame=extractor.by_frame)
        elif extractor.accepts == ("table",):
            check_raw_table(table_in(job.source) if job.source.is_dir() else job.source, job.policy_of())

    def _check_columns(self, columns: Sequence[str]) -> None:
        """Check the columns that later stages need. Raises SordineError where one is missing or suppressed."""
        job, source = self.job, self.job.source.name
        if job.keep is not None:
            check_kept(job.keep, columns, job.policy_of().suppress, source)
        person = job.audit.person if isinstance(job.audit, AuditPart) else None
        if person is not None and person not in columns:
            raise SordineError(f"{source}: audit.person: no column {person!r}; {nearest(person, columns)}")

    def fit(self) -> None:
        """Fit the modifier, and leave its key in `key`."""
        job, modifier = self.job, self.out / MODIFIER
        policy, options = job.policy_of(), self._fit_options()
        self._check_columns(TableFile(self.table, job.features).other)
        name = method_of(options, policy)
        # The fit that a new key is made for announces it, and later runs do not.
        fresh = job.key is None and not beside(modifier).exists()
        # Without a key there is no earlier fit: the records are checked before a key is written.
        records = pipeline.read_records(self.table, policy, options, self.run) if fresh else None
        with key_for_fit(modifier, job.key, self.run.log if fresh else silent) as key:
            self.key = key
            inputs = {
                "table": self.stages.hashes[TABLE],
                "features": self.features,
                **self._reading,
                "policy": asdict(policy),
                "method": name,
                "fields": asdict(make(name, job.settings)),  # type: ignore[call-overload]
                "records_per_person": job.records_per_person,
                "pool": None if job.pool is None else address(job.pool),
                "raw_views": job.raw_views,
                "key": key.fingerprint,
                "seed": job.seed,
                "device": job.device,
                "versions": versions(),
            }
            run = replace(self.run, key=key, folder=self.stages.unfinished("fit", inputs))

            def work() -> None:
                assert run.folder is not None
                run.folder.mkdir(parents=True, exist_ok=True)
                pipeline.fit(self.table, modifier, policy, options, run, records=records, force=True)

            self.stages.do("fit", inputs, work)
            self.stages.tidy("fit")

    def _fit_options(self) -> FitOptions:
        job = self.job
        return FitOptions(
            job.method,
            job.settings,
            self.features,
            job.pool,
            self._media() if job.raw_views else None,
            job.layout,
            job.layout_options,
            copies=job.media,
            records_per_person=job.records_per_person,
        )

    def transform(self) -> None:
        """Write the owner's working copy."""
        inputs = {
            "table": self.stages.hashes[TABLE],
            "features": self.features,
            **self._reading,
            "modifier": self.stages.hashes[MODIFIER],
            "key": self.key.fingerprint,
            "keep": self.job.keep,
        }
        options, run = TransformOptions(self.features, self.job.keep), replace(self.run, key=self.key)
        modifier, output = self.out / MODIFIER, self.out / TRANSFORMED
        self.stages.do(
            "transform", inputs, lambda: pipeline.transform(modifier, self.table, output, options, run, force=True)
        )

    def audit(self) -> Report | None:
        """Attack the released records and write the report; None where the job has no audit."""
        job, part = self.job, self.job.audit
        if not isinstance(part, AuditPart):
            self.stages.forget("audit")
            (self.out / PDF).unlink(missing_ok=True)
            return None
        policy = job.policy_of()
        inputs = {
            "table": self.stages.hashes[TABLE],
            "features": self.features,
            **self._reading,
            "transformed": self.stages.hashes[TRANSFORMED],
            "modifier": self.stages.hashes[MODIFIER],
            "policy": asdict(policy),
            "audit": part.model_dump(exclude={"more", "pdf"}),
            "more": None if part.more is None else address(part.more),
            "media": job.media,
            "versions": versions(),
        }
        options = AuditSettings(
            budget_of(part),
            part.max_leakage,
            part.person,
            part.originals,
            part.pretrained,
            part.more,
            source={"command": "sordine run JOB.yaml", "job": described(job)},
        )

        layout_options = {name: str(value) for name, value in job.layout_options.items()}
        media = MediaFolders(self._media(), None, job.layout, layout_options) if job.media else None

        def work() -> None:
            pair = read_pair(
                self.table,
                self.out / TRANSFORMED,
                features=self.features,
                named=policy.named,
                media=media,
                run=self.run,
            )
            report = pipeline.audit(pair, policy, options, self.run, modifier=load(self.out / MODIFIER), key=self.key)
            write_report(report, self.out / PAGE, self.out / REPORT, force=True)

        fresh = self.stages.do("audit", inputs, work)
        report = read_report(self.out / REPORT)
        self._write_pdf(report, fresh)
        return report

    def _write_pdf(self, report: Report, fresh: bool) -> None:
        """Write the PDF where the job asks for it. fresh: the audit was made now, so an earlier PDF is removed."""
        wanted = isinstance(self.job.audit, AuditPart) and self.job.audit.pdf
        if fresh:
            (self.out / PDF).unlink(missing_ok=True)
        if wanted and not (self.out / PDF).exists():
            write_report(report, pdf=self.out / PDF)

    def withheld(self, report: Report | None) -> bool:
        """Whether the audit's findings prevent the release that the job requests."""
        if report is None or not self.job.release or self.job.despite_findings:
            return False
        return report.passed is False or report.verdict.level in ("leaks", "broken")

    def release(self, report: Report | None) -> Path | None:
        """Write the directory that may leave; None where the job requests none, or the audit's findings prevent it."""
        job = self.job
        if not job.release or self.withheld(report):
            self.stages.forget("release")
            return None
        inputs = {
            "transformed": self.stages.hashes[TRANSFORMED],
            "report": self.stages.hashes.get(REPORT),
            "key": self.key.fingerprint,
            "despite_findings": job.despite_findings,
            "media": job.media,
            "pictures": job.pictures,
        }
        options = ReleaseOptions(
            self._media() if job.media else None,
            self.out / TABLE if job.media else None,
            job.layout,
            job.layout_options,
            job.pictures,
            job.despite_findings,
        )
        source, target, run = self.out / TRANSFORMED, self.out / RELEASE, replace(self.run, key=self.key)
        self.stages.do(
            "release", inputs, lambda: pipeline.release(source, target, options, run, report=report, force=True)
        )
        return target

    def _media(self) -> Path:
        """The source, where it is a media folder."""
        if not self.job.source.is_dir():
            raise SordineError(f"{self.job.source} is not a media folder, and `media` and `raw_views` need one")
        return self.job.source


@accepts_run_keywords
def run_job(job: Job, out: Path | None = None, run: Run | None = None, *, force: bool = False) -> Outcome:
    """Run a job from where it stopped.

    Parameters
    ----------
    job
        The job, its paths resolved (`read_job`).
    out
        Folder for everything that is made; None takes the job's.
    run
        Log and progress. Device, seed and workers are the job's.
    force
        Repeat every stage.

    Raises
    ------
    SordineError
        For a method, option, extractor, attack family or device that is not known, before any data is read; and for
        whatever a stage refuses.
    """
    whole = Path(out) if out is not None else job.out
    if whole is None:
        raise SordineError("the job names no folder for its results: add `out` or give -o")
    whole = whole.absolute()
    _check(job, whole)
    with reading(ReadOptions.of({name: str(value) for name, value in job.read.items()})), folder_of_job(whole):
        return _run_stages(job, whole, run, force)


def _run_stages(job: Job, out: Path, run: Run | None, force: bool) -> Outcome:
    flow = Pipeline(job, out, run, force=force)
    flow.extract()
    flow.fit()
    flow.transform()
    report = flow.audit()
    return Outcome(out, report, flow.release(report), flow.withheld(report))


def protect(
    source: Path,
    policy: Policy,
    out: Path,
    options: ProtectOptions | None = None,
    run: Run | None = None,
    *,
    force: bool = False,
) -> Outcome:
    """Protect a table or a media folder in one call, and leave the job beside its results.

    The job is written to OUT/job.yaml and then run: `sordine run OUT/job.yaml` repeats it. A call with the same
    arguments continues where an earlier one stopped; other arguments repeat only the stages that they change.

    Parameters
    ----------
    source
        Table (Parquet or CSV) or media folder.
    policy
        Attributes to suppress, preserve and watch.
    out
        Folder for the results: empty, new, or of an earlier call.
    options
        Choices that differ from the defaults.
    run
        Device, seed, workers, log and progress.
    force
        Repeat every stage.

    Raises
    ------
    SordineError
        Where the source cannot be read, or does not fit the policy.
    """
    run, source, out = run or Run(), Path(source), Path(out).absolute()
    job = protect_job(source, policy, options, run)
    _check(job, out)
    with folder_of_job(out, JOB):
        write_job(job, out / JOB)
        return _run_stages(read_job(out / JOB), out, run, force)


def protect_job(source: Path, policy: Policy, options: ProtectOptions | None = None, run: Run | None = None) -> Job:
    """Return the job that `protect` runs.

    Raises
    ------
    SordineError
        Where the source does not exist, or is of no known kind.
    """
    options, run = options or ProtectOptions(), run or Run()
    name, chosen = options.extractor, dict(options.options)
    if name is None:
        suited = suited_extractor(source, policy, layout=options.layout, layout_options=dict(options.layout_options))
        run.log(suited.reason)
        name, chosen = suited.name, {**suited.options, **chosen}
    return Job(
        source=source.absolute(),
        extractor=name,
        options=dict(chosen),
        layout=options.layout,
        layout_options=dict(options.layout_options),
        skip_bad=options.skip_bad,
        features=options.features,
        read=dict(current().given()),
        policy=PolicyPart(suppress=policy.suppress, preserve=policy.preserve, watch=policy.watch),
        method=options.method,
        settings=dict(options.settings),
        records_per_person=options.records_per_person,
        key=None if options.key is None else options.key.absolute(),
        seed=run.seed,
        device=run.device,
        workers=run.workers or WORKERS,
        audit=AuditPart(
            budget=options.budget,  # type: ignore[arg-type]
            max_leakage=options.max_leakage,
            max_records=options.max_records,
            known=options.known,
            pdf=options.pdf,
        ),
        out=Path(),
    )


def write_job(job: Job, path: Path) -> None:
    """Write a job file: every key that differs from its default, paths relative to the file's folder."""
    folder = path.resolve().parent
    paths = {
        name: Path(os.path.relpath(value.parent.resolve() / value.name, folder))  # a link keeps its own name
        for name in ("source", "weights", "pool", "key")
        if (value := getattr(job, name)) is not None
    }
    text = job.model_copy(update=paths).model_dump(mode="json", exclude_defaults=True)
    if job.policy.watch != ALL_OTHERS and not job.policy.watch:
        text["policy"]["watch"] = "none"
    with atomic(path) as temporary:
        temporary.write_text(yaml.safe_dump(text, sort_keys=False, allow_unicode=True), encoding="utf-8")


def _check(job: Job, out: Path) -> None:
    """Raise SordineError for everything that can be known to be wrong without reading data."""
    check_layout(job.source, job.layout, job.layout_options)
    if job.extractor is not None:
        make_extractor(job.extractor, {k: str(v) for k, v in job.options.items()})
    method = method_of(FitOptions(job.method, pool=job.pool, copies=job.media), job.policy_of())
    check_policy(make(method, job.settings), job.policy_of())
    if job.records_per_person is not None:
        candidates(method, job.settings)
    check_device(job.device)
    _check_release(job, method)
    if isinstance(job.audit, AuditPart):
        if job.audit.pdf:
            check_pdf()
        budget = budget_of(job.audit)
        if job.audit.person is not None and not budget.person:
            raise SordineError(
                f"audit.person: the budget {budget.name} attacks single records only; use budget: standard"
            )
    if job.key is not None:
        Key.read(job.key)
    for what, path in (("source", job.source), ("pool", job.pool)):
        if path is not None and (
            path.resolve().is_relative_to(out.resolve()) or out.resolve().is_relative_to(path.resolve())
        ):
            raise SordineError(
                f"the {what} {path} and the folder of results {out} must not contain each other: "
                "choose another folder with -o"
            )
    check_writable(out.parent)


def _check_release(job: Job, method: str) -> None:
    """Raise SordineError where the method cannot release what the job requests."""
    releases = METHODS[method].releases
    if job.media and "copies" not in releases:
        known = " or ".join(name for name, cls in METHODS.items() if "copies" in cls.releases)
        raise SordineError(f"media: {method} does not release copies of records, so no media files; choose {known}")
    if job.media and job.pictures:
        raise SordineError("media and pictures: a release holds copies of the source's files or the method's pictures")
    if job.pictures and "pictures" not in releases:
        raise SordineError(f"pictures: {method} does not release pictures; choose another method")
    extractor = EXTRACTORS.get(job.extractor) if job.extractor else None
    if job.pictures and (extractor is None or not extractor.makes_pictures):
        known = " or ".join(f"`{name}`" for name, cls in EXTRACTORS.items() if cls.makes_pictures)
        raise SordineError(f"pictures: they need the extractor {known}")
    if job.raw_views and not METHODS[method].accepts_views:
        known = " or ".join(name for name, cls in METHODS.items() if cls.accepts_views)
        raise SordineError(f"raw_views: {method} does not use views of raw media; choose {known}, or remove raw_views")
    if job.media and job.pool is not None:
        raise SordineError("media: substitutes from a pool are not in the source's folder: leave out media or pool")


def budget_of(part: AuditPart) -> Budget:
    """Return the budget of a job's audit: what the job sets, and the budget's own values for the rest."""
    changes: dict[str, Any] = part.model_dump(
        exclude={"budget", "known", "more", "person", "max_leakage", "originals", "pretrained", "pdf"}
    )
    wanted = {name: value for name, value in changes.items() if value not in ((), None)}
    if part.known is not None:  # an empty list leaves the attacker out
        wanted["known"] = part.known
    return Budget.named(part.budget, **wanted)

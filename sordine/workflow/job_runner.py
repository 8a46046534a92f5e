"""A job, run: extract -> fit -> transform -> audit -> release, into one folder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from sordine.attacks.runner import Budget
from sordine.data.files import check_writable
from sordine.data.layouts.registry import open_media
from sordine.data.media.kinds import Media
from sordine.data.table import Table
from sordine.errors import SordineError
from sordine.evaluation.audit import audit
from sordine.evaluation.report import Report
from sordine.evaluation.report_file import read_report, write_report
from sordine.evaluation.sections.gallery import gallery
from sordine.evaluation.sections.picture_sheets import sheets
from sordine.features.augmentation.raw_views import raw_views
from sordine.features.extract import extract
from sordine.features.registry import EXTRACTORS, make_extractor
from sordine.features.sources import fitted_beside
from sordine.keys import Key
from sordine.methods.fit import fit as fit_table
from sordine.methods.registry import default_method, load, make
from sordine.models.modifier import versions
from sordine.run import Run, check_device
from sordine.workflow.job import AuditPart, Job
from sordine.workflow.key_files import beside, key_for_fit
from sordine.workflow.release.media import release_media, release_pictures
from sordine.workflow.release.table import links_beside, release
from sordine.workflow.stages import Stages, address, folder_of_job
from sordine.workflow.transform import transform_file

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
        *(fitted_beside(Path(TABLE), n).name for n, e in EXTRACTORS.items() if getattr(e, "learns", False)),
    ),
    "fit": (MODIFIER,),
    "transform": (TRANSFORMED,),
    "audit": (PAGE, REPORT),
    "release": (RELEASE, links_beside(RELEASE).name),
}


@dataclass(frozen=True)
class Outcome:
    """What a job came to. report: None where no audit was asked. released: the folder that may leave the house, if any.

    withheld: a release was asked for and not made, because of what the audit found.
    """

    out: Path
    report: Report | None
    released: Path | None

    withheld: bool = False

    @property
    def failed(self) -> bool:
        """The audit found more than the job allows."""
        return self.withheld or (self.report is not None and self.report.passed is False)

    def places(self) -> list[str]:
        """Where everything is, in lines."""
        lines = [f"{self.out / PAGE}: the report"] if self.report is not None else []
        if self.withheld:
            lines.append("nothing is released: see the report; despite_findings: true would release it")
        if self.released is not None:
            lines.append(f"{self.released}: this is what may leave the house")
        return lines


@dataclass
class _Flow:
    """One run of one job; the stages in order, each of which knows what it is made from."""

    job: Job
    out: Path
    stages: Stages
    log: Callable[[str], None]
    progress: Callable[[str, int, int], None] | None

    def bar(self, what: str) -> Callable[[int, int], None] | None:
        move = self.progress
        return None if move is None else lambda done, of: move(what, done, of)

    def source(self) -> tuple[Path, tuple[str, ...]]:
        """The table of vectors, and which of its columns are features."""
        job = self.job
        if job.extractor is None:
            self.stages.forget("extract")
            self.stages.hashes[TABLE] = address(job.source)
            return job.source, job.features
        name, options, table = job.extractor, {k: str(v) for k, v in job.options.items()}, self.out / TABLE
        inputs = {
            "source": address(job.source),
            "extractor": name,
            "options": options,
            "weights": None if job.weights is None else address(job.weights),
            "layout": [job.layout, job.layout_options],
            "features": job.features,
            "skip_bad": job.skip_bad,
            "seed": job.seed,
            "versions": versions(),
        }
        unfinished = self.stages.unfinished("extract", inputs)

        def work() -> None:
            extract(
                job.source,
                name,
                table,
                features=job.features,
                options=options,
                weights=job.weights,
                layout=job.layout,
                layout_options=job.layout_options,
                device=job.device,
                seed=job.seed,
                folder=unfinished,
                steps=self.progress,
                skip_bad=job.skip_bad,
                workers=job.workers,
                force=True,
                log=self.log,
                progress=self.bar("extract"),
            )

        self.stages.do("extract", inputs, work)
        self.stages.tidy("extract")
        return table, ()

    def media(self) -> Media:
        """The source as a media folder. Raises SordineError where it is none."""
        if not self.job.source.is_dir():
            raise SordineError(f"{self.job.source} is no media folder: media and raw_views need one")
        return open_media(self.job.source, self.job.layout, self.job.layout_options)

    def fit(self, table: Path, features: tuple[str, ...]) -> Key:
        """The modifier, and the key it was fitted under."""
        job, modifier = self.job, self.out / MODIFIER
        policy = job.policy_of()
        name = _method(job)
        recipe = make(name, job.settings)
        # A new key is told of once: by the fit it is made for.
        fresh = job.key is None and not beside(modifier).exists()
        with key_for_fit(modifier, job.key, self.log if fresh else lambda line: None) as key:
            inputs = {
                "table": self.stages.hashes[TABLE],
                "features": features,
                "policy": asdict(policy),
                "method": name,
                "fields": asdict(recipe),  # type: ignore[call-overload]
                "pool": None if job.pool is None else address(job.pool),
                "raw_views": job.raw_views,
                "key": key.fingerprint,
                "seed": job.seed,
                "device": job.device,
                "versions": versions(),
            }
            unfinished = self.stages.unfinished("fit", inputs)

            def work() -> None:
                records = Table.read(table, features, named=policy.named)
                for note in records.notes:
                    self.log(note)
                pool = (
                    None
                    if job.pool is None
                    else Table.read(job.pool, features, named=policy.named, like=records, log=self.log)
                )
                unfinished.mkdir(parents=True, exist_ok=True)
                run = Run(job.device, job.seed, key, self.log, self.progress, unfinished, pool)
                if job.raw_views:
                    views = raw_views(
                        table,
                        job.source,
                        layout=job.layout,
                        layout_options=job.layout_options,
                        log=self.log,
                        progress=self.progress,
                    )
                    run = replace(run, raw_views=views)
                fit_table(records, policy, recipe, run=run).save(modifier, force=True)

            self.stages.do("fit", inputs, work)
            self.stages.tidy("fit")
        return key

    def transform(self, table: Path, features: tuple[str, ...], key: Key) -> None:
        """The owner's working copy."""
        keep = self.job.keep
        inputs = {
            "table": self.stages.hashes[TABLE],
            "features": features,
            "modifier": self.stages.hashes[MODIFIER],
            "key": key.fingerprint,
            "keep": keep,
        }

        def work() -> None:
            transform_file(
                load(self.out / MODIFIER),
                table,
                self.out / TRANSFORMED,
                key=key,
                features=features,
                keep=keep,
                workers=self.job.workers,
                force=True,
                log=self.log,
                progress=self.bar("transform"),
            )

        self.stages.do("transform", inputs, work)

    def audit(self, table: Path, features: tuple[str, ...], key: Key) -> Report | None:
        """What attackers read; None where the job asks for no audit."""
        asked = self.job.audit
        if not isinstance(asked, AuditPart):
            self.stages.forget("audit")
            return None
        inputs = {
            "table": self.stages.hashes[TABLE],
            "features": features,
            "transformed": self.stages.hashes[TRANSFORMED],
            "modifier": self.stages.hashes[MODIFIER],
            "policy": asdict(self.job.policy_of()),
            "audit": asked.model_dump(exclude={"more"}),
            "more": None if asked.more is None else address(asked.more),
            "media": self.job.media,
            "versions": versions(),
        }
        budget = budget_of(asked)

        def work() -> None:
            original = Table.read(table, features, named=self.job.policy_of().named)
            transformed = Table.read(self.out / TRANSFORMED, check=False)
            policy = self.job.policy_of().resolve(original.attributes)
            modifier = load(self.out / MODIFIER)
            held = None if asked.more is None else Table.read(asked.more, original.features, named=policy.named)
            found = audit(
                original,
                transformed,
                policy,
                modifier=modifier,
                key=key,
                budget=budget,
                max_leakage=asked.max_leakage,
                originals=asked.originals,
                pretrained=asked.pretrained,
                more=held,
                person=asked.person,
                device=self.job.device,
                workers=self.job.workers,
                log=self.log,
                progress=self.progress,
                source={
                    "transformed": TRANSFORMED,
                    "released_sha256": self.stages.hashes[TRANSFORMED],
                    "command": "sordine run JOB.yaml",
                },
            )
            if self.job.media:
                source = self.media()
                shown = gallery(policy, original, transformed, source, originals=asked.originals, log=self.log)
                found = replace(found, gallery=shown)
            if found.gallery is None:  # which shows the same pictures
                grids = sheets(
                    modifier, key, original, transformed, policy=policy, originals=asked.originals, log=self.log
                )
                found = replace(found, sheets=grids)
            write_report(found, self.out / PAGE, self.out / REPORT, force=True)

        self.stages.do("audit", inputs, work)
        return read_report(self.out / REPORT)

    def withheld(self, found: Report | None) -> bool:
        """Whether what the audit found speaks against the release that the job asks for."""
        if found is None or not self.job.release or self.job.despite_findings:
            return False
        return found.passed is False or found.verdict.level in ("leaks", "broken")

    def release(self, key: Key, found: Report | None) -> Path | None:
        """What leaves the house; None where the job asks for none, or the audit's findings speak against it."""
        if not self.job.release or self.withheld(found):
            self.stages.forget("release")
            return None
        inputs = {
            "transformed": self.stages.hashes[TRANSFORMED],
            "report": self.stages.hashes.get(REPORT),
            "key": key.fingerprint,
            "despite_findings": self.job.despite_findings,
            "media": self.job.media,
            "pictures": self.job.pictures,
        }
        target = self.out / RELEASE

        def work() -> None:
            how: dict[str, Any] = {"key": key, "report": found, "force": True, "log": self.log}
            how["force_leaky"] = self.job.despite_findings
            bar, workers = self.bar("release"), self.job.workers
            if self.job.pictures:
                release_pictures(self.out / TRANSFORMED, target, workers=workers, progress=bar, **how)
            elif self.job.media:
                drawn_from = self.out / TABLE
                release_media(
                    self.out / TRANSFORMED, self.media(), drawn_from, target, workers=workers, progress=bar, **how
                )
            else:
                release(self.out / TRANSFORMED, target, **how)

        self.stages.do("release", inputs, work)
        return target


def run_job(
    job: Job,
    out: Path | None = None,
    *,
    force: bool = False,
    log: Callable[[str], None] = lambda line: None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Outcome:
    """Do a job from where it stopped. force: do every stage again.

    Raises SordineError for a method, field, extractor, option, family or device that is not known, before any data is
    read; and for whatever a stage refuses.
    """
    whole = Path(out) if out is not None else job.out
    if whole is None:
        raise SordineError("the job names no folder for what it makes: give --out")
    whole = whole.absolute()
    _check(job, whole)
    with folder_of_job(whole):
        flow = _Flow(job, whole, Stages(whole, OUTPUTS, force, log), log, progress)
        table, features = flow.source()
        key = flow.fit(table, features)
        flow.transform(table, features, key)
        found = flow.audit(table, features, key)
        return Outcome(whole, found, flow.release(key, found), flow.withheld(found))


def _method(job: Job) -> str:
    """The job's method: the default one where it names none."""
    return job.method or default_method(job.policy_of(), copies=job.media or job.pool is not None)


def _check(job: Job, out: Path) -> None:
    """All that can be known to be wrong without reading data."""
    if job.extractor is not None:
        make_extractor(job.extractor, {k: str(v) for k, v in job.options.items()})
    method = _method(job)
    make(method, job.settings)
    check_device(job.device)
    if job.media and method != "substitution":
        raise SordineError(f"media: {method} makes vectors; only substitution draws files that can be released")
    if job.media and job.pictures:
        raise SordineError("media and pictures: files are either copies of the source's or the method's own pictures")
    if job.pictures and (job.extractor != "pictures" or method == "inversion"):
        why = "inversion releases no pictures" if method == "inversion" else "they need the extractor `pictures`"
        raise SordineError(f"pictures: {why}")
    if job.raw_views and method != "mass":
        raise SordineError(f"raw_views: {method} makes no views; mass does")
    if job.media and job.pool is not None:
        raise SordineError("media: substitutes from a pool are not in the source's folder: leave out media or pool")
    if isinstance(job.audit, AuditPart):
        budget_of(job.audit)
    if job.key is not None:
        Key.read(job.key)
    for what, path in (("source", job.source), ("pool", job.pool)):
        if path is not None and (
            path.resolve().is_relative_to(out.resolve()) or out.resolve().is_relative_to(path.resolve())
        ):
            raise SordineError(f"the job's {what} {path} and its folder {out} lie in one another: choose another --out")
    check_writable(out.parent)


def budget_of(asked: AuditPart) -> Budget:
    """The audit's budget: what the job says, and the audit's own defaults for the rest."""
    told: dict[str, Any] = asked.model_dump(
        exclude={"budget", "more", "person", "max_leakage", "originals", "pretrained"}
    )
    return Budget.named(asked.budget, **{name: value for name, value in told.items() if value not in ((), None)})

"""The command `audit`."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sordine.cli import parsing, paths
from sordine.cli.completion import extractors
from sordine.cli.exit_codes import DONE, FOUND
from sordine.cli.options import (
    Attacks,
    BudgetName,
    Device,
    ExtractorOptions,
    Features,
    Force,
    KeyFile,
    Known,
    Layout,
    LayoutOptions,
    Names,
    Pdf,
    Preserve,
    ReadsTables,
    SkipBad,
    Suppress,
    Watch,
    Weights,
    Workers,
)
from sordine.cli.signature import Renamed, takes
from sordine.errors import SordineError
from sordine.policy import ALL_OTHERS, Policy
from sordine.run import Run, check_device

if TYPE_CHECKING:
    from sordine.attacks.budget import Budget
    from sordine.attacks.tail import TailRecords
    from sordine.evaluation.inputs import AuditInputs
    from sordine.evaluation.report import Report
    from sordine.keys import Key
    from sordine.models.modifier import Modifier
    from sordine.workflow import pipeline

EXAMPLES = (
    "sordine audit voices.parquet transformed.parquet --modifier modifier -o report.html --json report.json",
    "sordine audit voices.parquet anonymised.parquet -s speaker -p word --max-leakage 0.1",
    "sordine audit voices anonymised-voices -e logmel -s speaker -o report.html",
)


@dataclass(frozen=True, kw_only=True)
class AuditOptions(ReadsTables):
    """The options of `audit`."""

    table: Annotated[
        Path, typer.Argument(metavar="TABLE", help="The originals: a Parquet or CSV table, or a media folder.")
    ]
    transformed: Annotated[
        Path, typer.Argument(metavar="TRANSFORMED", help="The released records, with the same ids or file names.")
    ]
    suppress: Suppress = None
    preserve: Preserve = None
    watch: Watch = None
    modifier: Annotated[
        Path | None,
        typer.Option("--modifier", metavar="MODIFIER", help="The modifier's folder; its policy is the default."),
    ] = None
    html: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="REPORT.html", help="The report as a page.")
    ] = None
    json: Annotated[Path | None, typer.Option("--json", metavar="REPORT.json", help="The report as JSON.")] = None
    pdf: Pdf = None
    tail: Annotated[
        Path | None,
        typer.Option(
            "--tail",
            metavar="FILE",
            help="Also write which records are inferred, with their ids (.parquet or .csv). Do not share this file.",
        ),
    ] = None
    max_leakage: Annotated[
        float | None,
        typer.Option(
            "--max-leakage", metavar="NUMBER", min=0.0, max=1.0, help="End with exit code 1 if more leakage is found."
        ),
    ] = None
    budget: BudgetName = "standard"
    attacks: Attacks = None
    scenarios: Annotated[
        Names,
        typer.Option("--scenario", metavar="LETTERS", help="Scenarios A, B and C. [default: all]"),
        Renamed("--setting", "--scenario"),
    ] = None
    seeds: Annotated[Names, typer.Option("--seed", metavar="NUMBERS", help="Seeds of the attacks. [default: 0]")] = None
    folds: Annotated[int | None, typer.Option("--folds", metavar="N", min=2, help="Folds of the cross-validation.")] = (
        None
    )
    max_records: Annotated[
        int | None,
        typer.Option(
            "--max-records", metavar="N", min=20, help="Use at most this many fitted records, and as many unseen ones."
        ),
    ] = None
    known: Known = None
    more: Annotated[
        Path | None,
        typer.Option(
            "--more", metavar="TABLE", help="Labelled original records that only the attacker has (needs --modifier)."
        ),
    ] = None
    person: Annotated[
        str | None,
        typer.Option(
            "--person",
            metavar="ATTRIBUTE",
            help="The attribute that identifies the person, to pool records by person. [default: the table's groups]",
        ),
    ] = None
    match_by_order: Annotated[bool, typer.Option("--match-by-order", help="Match tables without ids by row order.")] = (
        False
    )
    originals: Annotated[
        bool, typer.Option("--originals/--no-originals", help="Show original records in the report.")
    ] = True
    pretrained: Annotated[
        bool,
        typer.Option("--pretrained/--no-pretrained", help="Also test a classifier that is trained on originals only."),
    ] = True
    media: Annotated[
        Path | None, typer.Option("--media", metavar="FOLDER", help="Show some of this folder's files in the report.")
    ] = None
    media_after: Annotated[
        Path | None,
        typer.Option("--media-after", metavar="FOLDER", help="Also show the files of the same names in this folder."),
    ] = None
    extractor: Annotated[
        str | None,
        typer.Option(
            "--extractor",
            "-e",
            metavar="NAME",
            help="Compare two media folders by this extractor's vectors.",
            autocompletion=extractors,
        ),
    ] = None
    options: ExtractorOptions = None
    weights: Weights = None
    layout: Layout = None
    layout_options: LayoutOptions = None
    skip_bad: SkipBad = False
    reconstruct: Annotated[
        bool, typer.Option("--reconstruct", help="Train decoders that rebuild pictures from the released records.")
    ] = False
    identity: Annotated[
        str | None,
        typer.Option("--identity", metavar="ATTRIBUTE", help="The attribute that identifies the face (--reconstruct)."),
    ] = None
    verification: Annotated[
        Path | None,
        typer.Option("--verification", metavar="FILE", help="FaceNet's weights for face similarity (--reconstruct)."),
    ] = None
    device: Device = "cpu"
    workers: Workers = 2
    features: Features = None
    key: KeyFile = None
    force: Force = False


@takes(AuditOptions)
def audit(given: AuditOptions) -> int:
    """Report what retrained attackers infer from released records."""
    _check(given)
    options = _options(given)
    from sordine.workflow import pipeline

    with given.console() as console:
        run = Run(given.device, progress=console.progress, workers=given.workers)
        modifier, key = _modifier(given), _key(given)
        policy, pair = _inputs(given, modifier, run)
        tail: list[TailRecords] | None = None if given.tail is None else []
        options = replace(options, source={"command": _command(given, policy, options.budget, pair)}, tail=tail)
        report = pipeline.audit(pair, policy, options, run, modifier=modifier, key=key)
        count = _write(given, report, tail)
        console.verdict(report)
        for path in (given.html, given.json, given.pdf):
            if path is not None:
                console.say(f"{path}: the report")
        if given.tail is not None:
            console.say(f"{given.tail}: {count:,} records are listed as inferred; it holds ids, so do not share it")
        return FOUND if report.passed is False else DONE


def _write(given: AuditOptions, report: Report, tail: list[TailRecords] | None) -> int:
    """Write all outputs or none of them, and return how many records the file of the tail lists."""
    from sordine.data.files import atomic_together
    from sordine.evaluation.report_json import write_report
    from sordine.workflow.release.withholding import write_tail

    wanted = [path for path in (given.html, given.json, given.pdf, given.tail) if path is not None]
    with atomic_together(*wanted, force=given.force) as temporary:
        at = dict(zip(wanted, temporary, strict=True))
        html, json, pdf, listed = (
            None if path is None else at[path] for path in (given.html, given.json, given.pdf, given.tail)
        )
        write_report(report, html, json, pdf=pdf)
        return 0 if listed is None or tail is None else write_tail(listed, tail)


def _check(given: AuditOptions) -> None:
    """Check what can be checked before anything is loaded."""
    for option, value in (("--identity", given.identity), ("--verification", given.verification)):
        if value is not None and not given.reconstruct:
            raise SordineError(f"{option} needs --reconstruct; add it")
    paths.check_distinct({"--json": given.json, "-o": given.html, "--pdf": given.pdf, "--tail": given.tail})
    paths.check_pdf(given.pdf)
    if given.more is not None:
        if given.modifier is None:
            raise SordineError("--more needs --modifier: the attacker's records are sent through the modifier")
        paths.check_table(given.more)
    inputs = (given.table, given.transformed, given.modifier, given.key, given.media, given.media_after, given.more)
    for path in (given.html, given.json, given.pdf, given.tail):
        if path is not None:
            paths.check_output(path, given.force, *inputs)
    _check_tail(given.tail, given.budget)
    if given.extractor is None:
        paths.check_two_tables(given.table, given.transformed)
        if given.media_after is not None and given.media is None:
            raise SordineError("--media-after needs --media: give the folder of the original files")
        return
    paths.check_two_folders(given.table, given.transformed)
    for option, path in (
        ("--modifier", given.modifier),
        ("--media", given.media),
        ("--media-after", given.media_after),
    ):
        if path is not None:
            raise SordineError(f"{option} is for two tables, but --extractor compares two media folders")
    if given.match_by_order:
        raise SordineError("--match-by-order is for two tables; files of two folders are matched by name")


def _check_tail(path: Path | None, budget: str) -> None:
    if path is None:
        return
    from sordine.attacks.budget import Budget
    from sordine.workflow.release.withholding import check_format

    check_format(path)
    if not Budget.named(budget).tail:
        raise SordineError(f"--tail needs another budget than {budget}; use --budget standard")


def _options(given: AuditOptions) -> pipeline.AuditSettings:
    from sordine.attacks.budget import Budget
    from sordine.workflow import pipeline

    asked: dict[str, Any] = {
        "families": parsing.names(given.attacks),
        "settings": parsing.names(given.scenarios),
        "seeds": parsing.integers(given.seeds, "--seed"),
        "folds": given.folds,
        "max_records": given.max_records,
    }
    changed = {k: v for k, v in asked.items() if v not in ((), None)}
    known = parsing.shares(given.known, "--known")
    if known is not None:
        changed["known"] = known
    rebuild = pipeline.Reconstruction(given.identity, given.verification) if given.reconstruct else None
    return pipeline.AuditSettings(
        Budget.named(given.budget, **changed),
        given.max_leakage,
        given.person,
        given.originals,
        given.pretrained,
        given.more,
        rebuild,
    )


def _modifier(given: AuditOptions) -> Modifier | None:
    """Return the modifier, after checking that it made the released records."""
    if given.modifier is None:
        return None
    from sordine.methods.registry import load

    modifier = load(given.modifier)
    if _note(given).get("modifier", modifier.card.weights) != modifier.card.weights:
        raise SordineError(
            f"{given.transformed} was made by another modifier than {given.modifier}; give the one that made it"
        )
    return modifier


def _note(given: AuditOptions) -> Mapping[str, Any]:
    """Return what `transform` noted in the released table; nothing for a folder."""
    from sordine.data.table_io import read_note

    return {} if given.extractor is not None else read_note(given.transformed, "sordine.transform")


def _key(given: AuditOptions) -> Key | None:
    from sordine.keys import Key
    from sordine.workflow.key_files import beside

    if given.key is not None:
        return Key.read(given.key)
    path = None if given.modifier is None else beside(given.modifier)
    return Key.read(path) if path is not None and path.exists() else None


def _inputs(given: AuditOptions, modifier: Modifier | None, run: Run) -> tuple[Policy, AuditInputs]:
    """Return the policy to audit and the records."""
    note = _note(given)
    asked = parsing.policy(given.suppress, given.preserve, given.watch, given.table)
    policy = parsing.policy_to_audit(asked, modifier, note)
    of_fit = not parsing.names(given.suppress) and not parsing.names(given.preserve)
    pair = _pair(given, (*policy.named, *(parsing.watched(modifier, note) if of_fit else ())), run)
    known = pair.original.attributes
    if of_fit:
        policy = parsing.with_watched(policy, known, modifier, note)
        left = [a for a in known if a not in policy.named]
        if policy.watch != ALL_OTHERS and left:
            run.log(f"not watched, as in the policy of the fit: {', '.join(left)} (-w names others)")
    return policy.resolve(known), pair


def _pair(given: AuditOptions, named: Sequence[str], run: Run) -> AuditInputs:
    from sordine.evaluation.inputs import MediaFolders, extract_pair, read_pair
    from sordine.features.extract import ExtractOptions

    layout_options: Mapping[str, str] = parsing.assignments(given.layout_options, "--layout-option")
    if given.extractor is None:
        media = None
        if given.media is not None:
            media = MediaFolders(given.media, given.media_after, given.layout, layout_options)
        return read_pair(
            given.table,
            given.transformed,
            features=parsing.names(given.features),
            named=named,
            media=media,
            match_by_order=given.match_by_order,
            run=run,
        )
    return extract_pair(
        given.table,
        given.transformed,
        given.extractor,
        ExtractOptions(
            options=parsing.assignments(given.options),
            weights=given.weights,
            layout=given.layout,
            layout_options=layout_options,
            skip_bad=given.skip_bad,
        ),
        named=named,
        run=replace(run, device=check_device(given.device), workers=given.workers),
    )


def _command(given: AuditOptions, policy: Policy, budget: Budget, pair: AuditInputs) -> str:
    extra = [*pair.options]
    extra += ["--features", ",".join(parsing.names(given.features))] if parsing.names(given.features) else []
    extra += [] if given.more is None else ["--more", given.more.name]
    extra += [] if given.person is None else ["--person", given.person]
    extra += [] if given.key is None else ["--key", given.key.name]
    extra += [] if given.max_leakage is None else ["--max-leakage", f"{given.max_leakage:g}"]
    extra += [] if given.originals else ["--no-originals"]
    extra += [] if given.pretrained else ["--no-pretrained"]
    extra += ["--reconstruct"] if given.reconstruct else []
    extra += [] if given.identity is None else ["--identity", given.identity]
    extra += [] if given.device == "cpu" else ["--device", given.device]
    files = {"--verification": given.verification, "-o": given.html, "--pdf": given.pdf, "--json": given.json}
    for option, file in files.items():
        extra += [] if file is None else [option, file.name]
    modifier = None if given.modifier is None else given.modifier.name
    return command_line((given.table.name, given.transformed.name), policy, modifier, budget, extra)


def command_line(
    tables: tuple[str, str], policy: Policy, modifier: str | None, budget: Budget, extra: Sequence[str] = ()
) -> str:
    """Return the command that makes a report again.

    All files are given by name, without their folders: the page may be shown to others.
    """
    words = ["sordine", "audit", *tables]
    for option, (_, names) in zip(("-s", "-p", "-w"), policy.roles(), strict=True):
        if any("," in name for name in names):
            words += [part for name in names for part in (option, name)]
        elif names or option == "-w":
            words += [option, ",".join(names) or "none"]
    if modifier is not None:
        words += ["--modifier", f"{modifier}/"]
    words += ["--budget", budget.name]
    for option, values in (("--attack", budget.families), ("--scenario", budget.settings), ("--seed", budget.seeds)):
        words += [option, ",".join(map(str, values))]
    words += ["--folds", str(budget.folds), "--max-records", str(budget.max_records)]
    words += ["--known", ",".join(map(str, budget.known)) or "none"]
    return shlex.join([*words, *extra])

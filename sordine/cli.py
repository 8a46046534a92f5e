"""The command line: run, extract, fit, transform, release, audit, demo. What a command needs is imported inside it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from sordine import arguments as given
from sordine.console import Console
from sordine.errors import SordineError
from sordine.guard import DONE, FOUND, guarded

app = typer.Typer(
    help="Take chosen attributes out of a data set, keep the rest useful, and show what an attacker can still read.",
    epilog="Attributes: -s a -s b and -s a,b are the same. Documentation: docs/cli.md.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

Names = list[str] | None
Source = Annotated[Path, typer.Argument(metavar="TABLE", help="A Parquet or CSV table.")]
Suppress = Annotated[
    Names, typer.Option("-s", "--suppress", metavar="NAMES", help="Attributes that must become unreadable.")
]
Preserve = Annotated[
    Names, typer.Option("-p", "--preserve", metavar="NAMES", help="Attributes that must stay readable.")
]
Watch = Annotated[
    Names,
    typer.Option("-w", "--watch", metavar="NAMES", help="Attributes to watch besides; 'none' for none. [all others]"),
]
Features = Annotated[
    Names, typer.Option("--features", metavar="COLUMNS", help="The feature column, or the channel columns.")
]
Settings = Annotated[Names, typer.Option("--set", metavar="FIELD=VALUE", help="Set one field; repeat for more.")]
KeyFile = Annotated[Path | None, typer.Option("--key", help="The key file. [MODIFIER.key beside the modifier]")]
Workers = Annotated[int, typer.Option("--workers", min=1, help="Threads; the result does not depend on it.")]
Device = Annotated[str, typer.Option("--device", help="cpu, cuda or cuda:N.")]
Force = Annotated[bool, typer.Option("--force", help="Replace what is there.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say only what came of it.")]


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        print(f"sordine {version('sordine')}")
        raise typer.Exit


@app.callback()
def _top(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", callback=_version, is_eager=True)
    ] = False,
) -> None:
    pass


@app.command()
def run(
    job: Annotated[Path, typer.Argument(metavar="JOB.yaml", help="The job file; its schema is docs/job.schema.json.")],
    out: Annotated[Path | None, typer.Option("--out", "-o", help="The folder for everything that is made.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Do every stage again.")] = False,
    quiet: Quiet = False,
) -> int:
    """Do a whole job file, from where it stopped."""
    from sordine.job import read_job

    checked = read_job(job)
    from sordine.flow import run_job

    with Console(quiet=quiet) as people:
        done = run_job(checked, out, force=force, log=people.log, progress=people.progress)
        if done.report is not None:
            given.tell(done.report, people)
        for line in done.places():
            people.say(line)
        return FOUND if done.failed else DONE


@app.command()
def extract(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="A media folder, a table, or a folder with one.")],
    extractor: Annotated[str, typer.Option("--extractor", "-e", help="logmel, windows or columns.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="TABLE.parquet")],
    features: Features = None,
    settings: Settings = None,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Leave out clips that cannot be read.")] = False,
    workers: Workers = 2,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Make a table of vectors of clips or a raw table."""
    given.ready(output, force, source)
    from sordine import features as extractors

    with Console(quiet=quiet) as people:
        made = extractors.extract(
            source,
            extractor,
            output,
            features=given.names(features),
            options=given.fields(settings),
            skip_bad=skip_bad,
            workers=workers,
            force=force,
            log=people.log,
            progress=people.bar("extract"),
        )
        people.say(f"{output}: {made.rows:,} records of {made.width:,} numbers")


@app.command()
def fit(
    table: Source,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="MODIFIER", help="The modifier's directory.")],
    suppress: Suppress = None,
    preserve: Preserve = None,
    watch: Watch = None,
    method: Annotated[str | None, typer.Option("-m", "--method", help="[the one that holds best]")] = None,
    settings: Settings = None,
    features: Features = None,
    key: KeyFile = None,
    pool: Annotated[Path | None, typer.Option("--pool", help="A table whose records may be released instead.")] = None,
    device: Device = "cpu",
    seed: Annotated[int, typer.Option("--seed", help="Of the training.")] = 0,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Fit a modifier on a table, having said what is entangled."""
    policy = given.policy(suppress, preserve, watch)
    given.ready(output, force, table, pool, key, directory=True)
    given.is_table(table)
    from sordine import methods
    from sordine.keychain import key_for_fit
    from sordine.recipe import Run
    from sordine.table import Table

    name = method if method is not None else methods.default_method(policy)
    recipe = methods.make(name, given.fields(settings))
    with Console(quiet=quiet) as people:
        records = Table.read(table, given.names(features))
        policy = records.require(policy)
        others = None if pool is None else Table.read(pool, given.names(features))
        for note in records.notes:
            people.log(note)
        with key_for_fit(output, key, people.log) as secret:
            run = Run(
                device=given.device(device),
                seed=seed,
                key=secret,
                log=people.log,
                progress=people.progress,
                pool=others,
            )
            modifier = methods.fit(records, policy, recipe, run=run)
            modifier.save(output, force=force)
        people.say(f"{output}: a {modifier.card.method} modifier")


@app.command()
def transform(
    modifier: Annotated[Path, typer.Argument(metavar="MODIFIER", help="The modifier's directory.")],
    table: Source,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="TRANSFORMED.parquet")],
    keep: Annotated[
        Names, typer.Option("--keep", metavar="COLUMNS", help="Columns to keep; 'none' for none. [the preserved]")
    ] = None,
    features: Features = None,
    key: KeyFile = None,
    workers: Workers = 2,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Put a table through a modifier: your working copy."""
    given.ready(output, force, table, modifier, key)
    from sordine import methods
    from sordine.keychain import beside, key_of_modifier
    from sordine.keys import Key
    from sordine.transform import transform_file

    with Console(quiet=quiet) as people:
        fitted = methods.load(modifier)
        made = transform_file(
            fitted,
            table,
            output,
            key=key_of_modifier(modifier, key),
            fit_key=Key.read(beside(modifier)) if beside(modifier).exists() else None,
            features=given.names(features),
            keep=None if keep is None else given.names(keep),
            workers=workers,
            force=force,
            log=people.log,
            progress=people.bar("transform"),
        )
        kept = f", with {', '.join(made.kept)}" if made.kept else ""
        people.say(f"{output}: {made.rows:,} records{kept}")


@app.command()
def release(
    transformed: Annotated[Path, typer.Argument(metavar="TRANSFORMED", help="What sordine transform wrote.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="What leaves the house.")],
    key: KeyFile = None,
    modifier: Annotated[Path | None, typer.Option("--modifier", help="Whose key to take.")] = None,
    report: Annotated[Path | None, typer.Option("--report", help="The audit's JSON report.")] = None,
    despite: Annotated[bool, typer.Option("--despite-findings", help="Release what an audit failed.")] = False,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Make what leaves the house of a transformed table."""
    given.ready(output, force, transformed, report, key, directory=True)
    given.is_table(transformed)
    from sordine.keychain import key_by_fingerprint, key_of_modifier
    from sordine.release import release as make_release
    from sordine.report.data import read_report
    from sordine.tablefile import TableFile, read_note

    with Console(quiet=quiet) as people:
        TableFile(transformed)
        if key is not None or modifier is not None:
            secret = key_of_modifier(modifier or transformed, key)
        else:
            mark = read_note(transformed, "sordine.transform").get("key")
            if mark is None:
                raise SordineError(f"{transformed} was not written by sordine transform; name the key file with --key")
            secret = key_by_fingerprint(transformed.absolute().parent, mark)
        found = None if report is None else read_report(report)
        make_release(transformed, output, key=secret, report=found, force=force, force_leaky=despite, log=people.log)
        people.say(f"{output}: this is what may leave the house")


@app.command()
def audit(
    table: Source,
    transformed: Annotated[Path, typer.Argument(metavar="TRANSFORMED", help="The released records, by the same ids.")],
    suppress: Suppress = None,
    preserve: Preserve = None,
    watch: Watch = None,
    modifier: Annotated[
        Path | None, typer.Option("--modifier", help="The modifier; its policy is the default.")
    ] = None,
    html: Annotated[Path | None, typer.Option("-o", "--output", metavar="REPORT.html")] = None,
    json: Annotated[Path | None, typer.Option("--json", metavar="REPORT.json")] = None,
    family: Annotated[Names, typer.Option("--family", metavar="NAMES", help="Families of attackers. [all]")] = None,
    setting: Annotated[Names, typer.Option("--setting", metavar="LETTERS", help="A, B or C. [all]")] = None,
    seed: Annotated[Names, typer.Option("--seed", metavar="NUMBERS", help="Seeds of the attackers. [0]")] = None,
    folds: Annotated[int | None, typer.Option("--folds", min=2, help="Of the cross-validation.")] = None,
    max_records: Annotated[
        int | None, typer.Option("--max-records", min=20, help="At most, of the fitted and of the unseen.")
    ] = None,
    max_leakage: Annotated[
        float | None, typer.Option("--max-leakage", min=0.0, max=1.0, help="Exit 1 where more is found.")
    ] = None,
    originals: Annotated[bool, typer.Option("--originals/--no-originals", help="Show original records.")] = True,
    pretrained: Annotated[
        bool, typer.Option("--pretrained/--no-pretrained", help="Read a classifier that is never retrained, too.")
    ] = True,
    device: Device = "cpu",
    workers: Workers = 2,
    features: Features = None,
    key: KeyFile = None,
    force: Force = False,
    quiet: Quiet = False,
) -> int:
    """Say what retrained attackers still read."""
    if html is not None and json is not None and html.resolve() == json.resolve():
        raise SordineError(f"-o and --json both name {html}")
    for path in (html, json):
        if path is not None:
            given.ready(path, force, table, transformed, modifier, key)
    given.is_table(table)
    given.is_table(transformed)
    from sordine import methods
    from sordine.audit import Budget
    from sordine.audit import audit as find
    from sordine.files import sha256
    from sordine.keychain import beside
    from sordine.keys import Key
    from sordine.report.data import write_report
    from sordine.table import Table
    from sordine.tablefile import read_note

    asked: dict[str, Any] = {
        "families": given.names(family),
        "settings": given.names(setting),
        "seeds": given.integers(seed, "--seed"),
        "folds": folds,
        "max_records": max_records,
    }
    budget = Budget(**{k: v for k, v in asked.items() if v not in ((), None)})
    with Console(quiet=quiet) as people:
        fitted = None if modifier is None else methods.load(modifier)
        note = read_note(transformed, "sordine.transform")
        policy = given.policy_of_audit(given.policy(suppress, preserve, watch), fitted, note)
        path = key if key is not None else beside(modifier) if modifier is not None else None
        secret = Key.read(path) if path is not None and (key is not None or path.exists()) else None
        original = Table.read(table, given.names(features))
        policy = policy.resolve(original.attributes)
        report = find(
            original,
            Table.read(transformed, check=False),
            policy,
            modifier=fitted,
            key=secret,
            budget=budget,
            max_leakage=max_leakage,
            originals=originals,
            pretrained=pretrained,
            device=given.device(device),
            workers=workers,
            log=people.log,
            progress=people.progress,
            source={
                "transformed": transformed.name,
                "released_sha256": sha256(transformed),
                "command": given.audit_command(table, transformed, policy, modifier, budget, max_leakage),
            },
        )
        write_report(report, html, json, force=force)
        given.tell(report, people)
        for path in (html, json):
            if path is not None:
                people.say(f"{path}: the report")
        return FOUND if report.passed is False else DONE


@app.command()
def demo(
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR")] = Path("sordine-demo"),
    clips: Annotated[int, typer.Option("--clips", min=100, help="How many clips to make.")] = 2000,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Run synthetic voices, from waveform to report."""
    from sordine.demo import run_demo

    with Console(quiet=quiet) as people:
        done = run_demo(output, clips=clips, force=force, log=people.log, progress=people.progress)
        people.close()
        assert done.report is not None
        people.say("")
        given.tell(done.report, people)
        for line in done.places():
            people.say(line)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code. 0 done; 1 the audit found too much; 2 input or call wrong; 3 our fault; 130 interrupted."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    return guarded(lambda: app(words or ["--help"], standalone_mode=False, prog_name="sordine"))

"""The command line: run, extract, fit, sweep, transform, release, audit, demo. What a command needs is imported inside it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from sordine.cli import parsing as given
from sordine.cli.audit import audit
from sordine.cli.compare import compare
from sordine.cli.console import Console
from sordine.cli.exit_codes import DONE, FOUND, guarded
from sordine.cli.options import (
    Device,
    Features,
    Force,
    KeyFile,
    Layout,
    LayoutSettings,
    Names,
    Preserve,
    Quiet,
    Settings,
    SkipBad,
    Source,
    Suppress,
    Watch,
    Weights,
    Workers,
)
from sordine.cli.sweep import sweep
from sordine.errors import SordineError
from sordine.run import Run, check_device

app = typer.Typer(
    help="Take chosen attributes out of a data set, keep the rest useful, and show what an attacker can still read.",
    epilog="Attributes: -s a -s b and -s a,b are the same. Documentation: docs/cli.md.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


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
    from sordine.workflow.job import read_job

    checked = read_job(job)
    from sordine.workflow.job_runner import run_job

    with Console(quiet=quiet) as people:
        done = run_job(checked, out, run=Run(log=people.log, progress=people.progress), force=force)
        if done.report is not None:
            given.tell(done.report, people)
        for line in done.places():
            people.say(line)
        return FOUND if done.failed else DONE


@app.command()
def extract(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="A media folder, a table, or a folder with one.")],
    extractor: Annotated[str, typer.Option("--extractor", "-e", help="See docs/features.md and docs/extractors.md.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="TABLE.parquet")],
    features: Features = None,
    settings: Settings = None,
    layout: Layout = None,
    layout_settings: LayoutSettings = None,
    weights: Weights = None,
    skip_bad: SkipBad = False,
    device: Device = "cpu",
    seed: Annotated[int, typer.Option("--seed", help="Of an extractor that is trained.")] = 0,
    workers: Workers = 2,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Make a table of vectors of clips or a raw table."""
    given.ready(output, force, source)
    from sordine.features.extract import extract as extract_source

    with Console(quiet=quiet) as people:
        made = extract_source(
            source,
            extractor,
            output,
            features=given.names(features),
            options=given.fields(settings),
            layout=layout,
            layout_options=given.fields(layout_settings),
            weights=weights,
            skip_bad=skip_bad,
            device=check_device(device),
            seed=seed,
            workers=workers,
            force=force,
            log=people.log,
            progress=people.bar("extract"),
            steps=people.progress,
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
    views: Annotated[
        Path | None, typer.Option("--views", metavar="FOLDER", help="The raw media; MaSS makes its views of them.")
    ] = None,
    layout: Layout = None,
    max_leakage: Annotated[
        str | None,
        typer.Option(
            "--max-leakage", metavar="LIMIT", help="Fit the most useful setting under it: 0.05, or a=0.05,b=0.1."
        ),
    ] = None,
    along: Annotated[
        str | None,
        typer.Option("--along", metavar="FIELD=VALUES", help="What --max-leakage tries, most private first."),
    ] = None,
    budget: Annotated[
        str, typer.Option("--budget", metavar="NAME", help="Attackers of --max-leakage: quick, standard or paranoid.")
    ] = "standard",
    device: Device = "cpu",
    workers: Workers = 2,
    seed: Annotated[int, typer.Option("--seed", help="Of the training.")] = 0,
    force: Force = False,
    quiet: Quiet = False,
) -> int:
    """Fit a modifier on a table, having said what is entangled."""
    policy = given.policy(suppress, preserve, watch, table)
    if along is not None and max_leakage is None:
        raise SordineError("--along says what --max-leakage tries, which was not given")
    given.ready(output, force, table, pool, key, directory=True)
    given.is_table(table)
    from sordine.data.table import Table
    from sordine.methods.fit import fit as fit_table
    from sordine.methods.registry import default_method, make
    from sordine.workflow import leakage_limit as search
    from sordine.workflow.key_files import key_for_fit

    name = method if method is not None else default_method(policy, copies=pool is not None)
    chosen = (
        ""
        if method is not None
        else f"method {name}: the one that holds best where none is named (docs/methods/{name}.md)"
    )
    fixed = given.fields(settings)
    recipe = make(name, fixed)
    limits = None if max_leakage is None else search.limits_of(max_leakage, policy.suppress)
    varied = None if along is None else search.along_of(along)
    if limits is not None:
        tries = search.budget_of(budget)
        search.rungs(name, fixed, varied)  # what is wrong with them is said before any data is read
    with Console(quiet=quiet) as people:
        records = Table.read(table, given.names(features), named=policy.named)
        policy = records.require(policy)
        others = (
            None
            if pool is None
            else Table.read(pool, given.names(features), named=policy.named, like=records, log=people.log)
        )
        for note in records.notes:
            people.log(note)
        if chosen:
            people.log(chosen)
        try:
            with key_for_fit(output, key, people.log) as secret:
                run = Run(
                    device=check_device(device),
                    seed=seed,
                    key=secret,
                    log=people.log,
                    progress=people.progress,
                    pool=others,
                    raw_views=given.raw_views(table, views, layout, people),
                )
                if limits is None:
                    modifier = fit_table(records, policy, recipe, run=run)
                else:
                    modifier = search.fit_under(
                        records, policy, name, limits, run, settings=fixed, along=varied, budget=tries, workers=workers
                    )
                modifier.save(output, force=force)
        except search.NotMet as none:
            people.say(str(none).replace("`", "'"))
            return FOUND
        if limits is not None:
            people.say(search.kept(modifier))
        people.say(f"{output}: the modifier ({modifier.card.method})")
    return DONE


@app.command()
def transform(
    modifier: Annotated[Path, typer.Argument(metavar="MODIFIER", help="The modifier's directory.")],
    table: Source,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="TRANSFORMED.parquet")],
    keep: Annotated[
        Names, typer.Option("--keep", metavar="COLUMNS", help="Columns to keep; 'none' for none. [the preserved]")
    ] = None,
    masks: Annotated[
        Path | None, typer.Option("--masks", metavar="FOLDER", help="Each picture's mask, where the method masks.")
    ] = None,
    features: Features = None,
    key: KeyFile = None,
    workers: Workers = 2,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Put a table through a modifier: your working copy."""
    given.ready(output, force, table, modifier, key)
    from sordine.keys import Key
    from sordine.methods.registry import load
    from sordine.workflow.key_files import beside, key_of_modifier
    from sordine.workflow.transform import transform_file

    with Console(quiet=quiet) as people:
        fitted = load(modifier)
        made = transform_file(
            fitted,
            table,
            output,
            key=key_of_modifier(modifier, key),
            fit_key=Key.read(beside(modifier)) if beside(modifier).exists() else None,
            features=given.names(features),
            keep=None if keep is None else given.names(keep, table),
            masks=masks,
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
    media: Annotated[
        Path | None, typer.Option("--media", metavar="FOLDER", help="Release copies of its files.")
    ] = None,
    table: Annotated[Path | None, typer.Option("--table", metavar="TABLE", help="The table of that folder.")] = None,
    pictures: Annotated[bool, typer.Option("--pictures", help="Release transformed pictures as files.")] = False,
    layout: Layout = None,
    layout_settings: LayoutSettings = None,
    despite: Annotated[bool, typer.Option("--despite-findings", help="Release what an audit failed.")] = False,
    workers: Workers = 2,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Make what leaves the house of a transformed table."""
    given.ready(output, force, transformed, report, key, media, table, directory=True)
    given.is_table(transformed)
    if pictures and (media is not None or table is not None):
        raise SordineError(
            "--pictures and --media: a release holds the transformed pictures or copies of drawn files, not both"
        )
    given.media_of_release(media, table, layout)
    from sordine.data.table_io import TableFile, read_note
    from sordine.evaluation.report_file import read_report
    from sordine.workflow.key_files import key_by_fingerprint, key_of_modifier
    from sordine.workflow.release.table import release as make_release

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
        how: dict[str, Any] = {
            "key": secret,
            "report": found,
            "force": force,
            "force_leaky": despite,
            "log": people.log,
        }
        if media is not None and table is not None:
            from sordine.data.layouts.registry import open_media
            from sordine.workflow.release.media import release_media

            bar = people.bar("release")
            folder = open_media(media, layout, given.fields(layout_settings))
            release_media(transformed, folder, table, output, workers=workers, progress=bar, **how)
        elif pictures:
            from sordine.workflow.release.media import release_pictures

            release_pictures(transformed, output, workers=workers, progress=people.bar("release"), **how)
        else:
            make_release(transformed, output, **how)
        people.say(f"{output}: this is what may leave the house")


app.command()(sweep)
app.command()(audit)
app.command()(compare)


@app.command()
def obscure(
    source: Annotated[Path, typer.Argument(metavar="FOLDER", help="A media folder.")],
    how: Annotated[str, typer.Argument(metavar="HOW", help="blur, downsample, cover_face, white_noise or mask.")],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="A folder of the same file names.")],
    settings: Settings = None,
    key: Annotated[Path | None, typer.Option("--key", help="The key file, of what is drawn. [DIR.key]")] = None,
    layout: Layout = None,
    layout_settings: LayoutSettings = None,
    skip_bad: SkipBad = False,
    workers: Workers = 2,
    quiet: Quiet = False,
) -> None:
    """Obscure a media folder without learning anything: baselines, to audit beside a method."""
    given.ready(output, False, source, key, directory=True)
    from sordine.data.layouts.registry import open_media
    from sordine.data.media.obscure import check, make, obscure_folder
    from sordine.workflow.key_files import key_for_fit

    options = given.fields(settings)
    tool = make(how, options)
    with Console(quiet=quiet) as people:
        media = open_media(source, layout, given.fields(layout_settings))
        check(media, output, how, tool)
        with key_for_fit(output, key, people.log) as secret:
            done = obscure_folder(
                media,
                output,
                how,
                options,
                key=secret,
                workers=workers,
                skip_bad=skip_bad,
                log=people.log,
                progress=people.bar("obscure"),
            )
        people.say(f"{output}: {done.files:,} files, obscured")


@app.command()
def demo(
    output: Annotated[Path, typer.Option("-o", "--output", metavar="DIR")] = Path("sordine-demo"),
    clips: Annotated[int, typer.Option("--clips", min=100, help="How many clips to make.")] = 2000,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Run synthetic voices, from waveform to report."""
    from sordine.workflow.demo import run_demo

    with Console(quiet=quiet) as people:
        done = run_demo(output, Run(log=people.log, progress=people.progress), clips=clips, force=force)
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

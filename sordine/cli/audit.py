"""The command `audit`: its options, what they may not be together, and what is done with them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from sordine.cli import parsing as given
from sordine.cli.console import Console
from sordine.cli.exit_codes import DONE, FOUND
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
    Suppress,
    Watch,
    Weights,
    Workers,
)
from sordine.errors import SordineError, nearest
from sordine.run import check_device


def audit(
    table: Annotated[Path, typer.Argument(metavar="TABLE", help="A Parquet or CSV table, or a media folder.")],
    transformed: Annotated[Path, typer.Argument(metavar="TRANSFORMED", help="The released records, by the same ids.")],
    suppress: Suppress = None,
    preserve: Preserve = None,
    watch: Watch = None,
    modifier: Annotated[
        Path | None, typer.Option("--modifier", help="The modifier; its policy is the default.")
    ] = None,
    html: Annotated[Path | None, typer.Option("-o", "--output", metavar="REPORT.html")] = None,
    json: Annotated[Path | None, typer.Option("--json", metavar="REPORT.json")] = None,
    budget_name: Annotated[
        str, typer.Option("--budget", metavar="NAME", help="How hard to try: quick, standard or paranoid.")
    ] = "standard",
    family: Annotated[
        Names, typer.Option("--family", metavar="NAMES", help="Families of attackers. [those of the budget]")
    ] = None,
    setting: Annotated[Names, typer.Option("--setting", metavar="LETTERS", help="A, B or C. [all]")] = None,
    seed: Annotated[Names, typer.Option("--seed", metavar="NUMBERS", help="Seeds of the attackers. [0]")] = None,
    folds: Annotated[int | None, typer.Option("--folds", min=2, help="Of the cross-validation.")] = None,
    max_records: Annotated[
        int | None, typer.Option("--max-records", min=20, help="At most, of the fitted and of the unseen.")
    ] = None,
    more: Annotated[
        Path | None,
        typer.Option("--more", metavar="TABLE", help="Labelled originals that the attacker alone holds (--modifier)."),
    ] = None,
    person: Annotated[
        str | None,
        typer.Option("--person", metavar="ATTRIBUTE", help="Whose records are read together. [the table's groups]"),
    ] = None,
    match_by_order: Annotated[
        bool,
        typer.Option("--match-by-order", help="Without ids: row i of both tables is the same record."),
    ] = False,
    max_leakage: Annotated[
        float | None, typer.Option("--max-leakage", min=0.0, max=1.0, help="Exit 1 where more is found.")
    ] = None,
    originals: Annotated[bool, typer.Option("--originals/--no-originals", help="Show original records.")] = True,
    pretrained: Annotated[
        bool, typer.Option("--pretrained/--no-pretrained", help="Read a classifier that is never retrained, too.")
    ] = True,
    media: Annotated[Path | None, typer.Option("--media", metavar="FOLDER", help="Show some of its files.")] = None,
    media_after: Annotated[
        Path | None, typer.Option("--media-after", metavar="FOLDER", help="Files of the same names, anonymised.")
    ] = None,
    extractor: Annotated[
        str | None, typer.Option("--extractor", "-e", metavar="NAME", help="TABLE and TRANSFORMED are media folders.")
    ] = None,
    settings: Settings = None,
    weights: Weights = None,
    layout: Layout = None,
    layout_settings: LayoutSettings = None,
    skip_bad: SkipBad = False,
    rebuild: Annotated[
        bool, typer.Option("--reconstruct", help="Of pictures: train decoders that rebuild them from what is released.")
    ] = False,
    identity: Annotated[
        str | None, typer.Option("--identity", metavar="ATTRIBUTE", help="Whose face it is, for --reconstruct.")
    ] = None,
    verification: Annotated[
        Path | None, typer.Option("--verification", metavar="FILE", help="FaceNet's weights, for --reconstruct.")
    ] = None,
    device: Device = "cpu",
    workers: Workers = 2,
    features: Features = None,
    key: KeyFile = None,
    force: Force = False,
    quiet: Quiet = False,
) -> int:
    """Say what retrained attackers still read."""
    if identity is not None and not rebuild:
        raise SordineError("--identity says whose face it is for --reconstruct, which was not given")
    if verification is not None and not rebuild:
        raise SordineError("--verification measures faces for --reconstruct, which was not given")
    given.apart({"--json": json, "-o": html})
    if more is not None:
        if modifier is None:
            raise SordineError("--more sends the attacker's own records through the modifier: name it with --modifier")
        given.is_table(more)
    for path in (html, json):
        if path is not None:
            given.ready(path, force, table, transformed, modifier, key, media, media_after, more)
    folders = given.two_folders(table, transformed, extractor, modifier, media, media_after)
    if match_by_order and folders:
        raise SordineError("--match-by-order is for two tables; files of two folders are matched by name")
    from sordine.attacks.runner import Budget
    from sordine.data.table import Table
    from sordine.data.table_io import read_note
    from sordine.evaluation.audit import audit as find
    from sordine.evaluation.inputs import extract_pair, read_pair
    from sordine.evaluation.report_file import write_report
    from sordine.evaluation.sections.picture_sheets import reconstruction_sheet, sheets
    from sordine.evaluation.sections.reconstruction import reconstruct, sides
    from sordine.keys import Key
    from sordine.methods.registry import load
    from sordine.models.picture_classifier import labelled
    from sordine.models.verification import load_verification
    from sordine.policy import ALL_OTHERS
    from sordine.workflow.key_files import beside

    asked: dict[str, Any] = {
        "families": given.names(family),
        "settings": given.names(setting),
        "seeds": given.integers(seed, "--seed"),
        "folds": folds,
        "max_records": max_records,
    }
    budget = Budget.named(budget_name, **{k: v for k, v in asked.items() if v not in ((), None)})
    with Console(quiet=quiet) as people:
        fitted = None if modifier is None else load(modifier)
        note = {} if folders else read_note(transformed, "sordine.transform")
        if fitted is not None and note.get("modifier", fitted.card.weights) != fitted.card.weights:
            raise SordineError(f"{transformed} was made by another modifier than {modifier}")
        policy = given.policy_of_audit(given.policy(suppress, preserve, watch, table), fitted, note)
        path = key if key is not None else beside(modifier) if modifier is not None else None
        secret = Key.read(path) if path is not None and (key is not None or path.exists()) else None
        if extractor is not None:
            pair = extract_pair(
                table,
                transformed,
                extractor,
                options=given.fields(settings),
                layout=layout,
                layout_options=given.fields(layout_settings),
                weights=weights,
                skip_bad=skip_bad,
                device=check_device(device),
                workers=workers,
                named=policy.named,
                log=people.log,
                progress=people.progress,
            )
        else:
            pair = read_pair(
                table,
                transformed,
                features=given.names(features),
                named=policy.named,
                media=media,
                media_after=media_after,
                layout=layout,
                layout_options=given.fields(layout_settings),
                match_by_order=match_by_order,
                log=people.log,
            )
        if not given.names(suppress) and not given.names(preserve):
            policy = given.watched(policy, pair.original.attributes, fitted, note)
            left = [a for a in pair.original.attributes if a not in policy.named]
            if policy.watch != ALL_OTHERS and left:
                people.log(f"not watched, as in the policy of the fit: {', '.join(left)} (-w names others)")
        policy = policy.resolve(pair.original.attributes)
        if rebuild:  # what cannot be is refused before the audit
            before, _, own, _ = sides(pair.original, pair.transformed, policy, modifier=fitted, key=secret)
            if verification is not None:
                load_verification(verification)
            if identity is not None and identity not in pair.original.y:
                raise SordineError(f"{table}: no attribute {identity!r}; {nearest(identity, pair.original.attributes)}")
            if identity is not None and verification is None:
                labelled(before.take(own), identity)
        shown = pair.gallery(policy, originals=originals, log=people.log)
        options = [*pair.options, *(() if more is None else ("--more", more.name))]
        options += [] if person is None else ["--person", person]
        options += [] if key is None else ["--key", key.name]
        if person is not None and not budget.person:
            raise SordineError(
                f"--person {person}: the budget {budget.name} reads single records only; --budget standard pools"
            )
        held = None if more is None else Table.read(more, pair.original.features, named=policy.named)
        command = given.audit_command(
            table, transformed, policy, modifier, budget, max_leakage, {"-o": html, "--json": json}, options
        )
        report = find(
            pair.original,
            pair.transformed,
            policy,
            modifier=fitted,
            key=secret,
            budget=budget,
            max_leakage=max_leakage,
            originals=originals,
            pretrained=pretrained,
            more=held,
            person=person,
            match_by_order=pair.by_order,
            device=check_device(device),
            workers=workers,
            log=people.log,
            progress=people.progress,
            source={**pair.about, "command": command},
        )
        report = pair.finish(report, shown)
        if shown is None:  # which shows the same pictures
            before, after = pair.original, pair.transformed
            grids = sheets(fitted, secret, before, after, policy=policy, originals=originals, log=people.log)
            report = replace(report, sheets=grids)
        if rebuild:
            again = reconstruct(
                pair.original,
                pair.transformed,
                policy,
                modifier=fitted,
                key=secret,
                identity=identity,
                verification=verification,
                device=check_device(device),
                log=people.log,
                progress=people.progress,
            )
            few = min(map(len, again.rebuilt.values()))
            rebuilt = {name: pictures[:few] for name, pictures in again.rebuilt.items()}
            sheet = reconstruction_sheet(pair.original, again.ids[:few], rebuilt, policy, originals=originals)
            report = replace(report, reconstruction=again.findings, sheets=(*report.sheets, sheet))
        write_report(report, html, json, force=force)
        given.tell(report, people)
        for path in (html, json):
            if path is not None:
                people.say(f"{path}: the report")
        return FOUND if report.passed is False else DONE

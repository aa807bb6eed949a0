"""The command that puts another artifact in force, or the one before."""

from __future__ import annotations

import dataclasses
import json
import os
import pwd
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from inspector.commands.options import AsJson, Config, load, open_ledger, tracked
from inspector.errors import UsageError

if TYPE_CHECKING:
    from inspector.network.metadata import ArtifactFile
    from inspector.records import ArtifactInUse
    from inspector.settings import Settings
    from inspector.upkeep.decided_images import Agreement, Comparison
    from inspector.upkeep.install_artifact import Candidate


def install_artifact(
    config: Config,
    new: Annotated[
        Path | None, typer.Argument(help="the new artifact, made by weld-train", metavar="NEW")
    ] = None,
    note: Annotated[str | None, typer.Option(help="why, as free text for the event in the database")] = None,
    back: Annotated[
        bool, typer.Option("--back", help="put the artifact in force that was in force before")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="only prove and compare it")] = False,
    images: Annotated[
        int,
        typer.Option(
            min=0,
            max=100_000,
            help="compare on so many of the latest images with a human verdict; 0: on none",
            metavar="N",
        ),
    ] = 500,
    as_json: AsJson = False,
) -> None:
    """Prove an artifact, compare it with the one in force, put it in its place, and reload the daemon.

    The last three artifacts are kept beside the one in force. --back restores the one before.
    """
    from inspector.upkeep import install_artifact as work

    if (new is None) is not back:
        raise UsageError("name the new artifact, or give --back, and not both")
    settings = load(config)
    with work.exclusively(config, settings):
        old = work.in_force(settings)
        candidate = (
            work.prove_previous(old, config, settings) if new is None else work.prove(new, config, settings)
        )
        figures = _figures(candidate.name, old)
        figures["differences"] = work.differences(old, candidate.judge.artifact.metadata)
        if not as_json:
            _print_proof(candidate.name, figures["differences"])
        compared = None if back else _comparison(settings, old, candidate, images)
        figures["dry_run"] = dry_run
        figures["comparison"] = dataclasses.asdict(compared) if compared else None
        if compared and not as_json:
            _print_comparison(compared)
        if dry_run:
            figures["daemon"] = None
        else:
            kind = work.RESTORED if back else work.INSTALLED
            change = work.Change(kind, old, candidate, f"by {_account()}: {_one_line(note)}")
            with open_ledger(settings) as store:
                figures["daemon"] = work.put_in_force(change, settings, store.record_event).value
    if as_json:
        typer.echo(json.dumps(figures))
    else:
        _print_outcome(candidate.name, figures["daemon"])


def _comparison(
    settings: Settings, old: ArtifactFile | None, new: Candidate, count: int
) -> Comparison | None:
    """Compare both on the images that people decided; None if there are none, or no old artifact."""
    from inspector.errors import StationError
    from inspector.network import artifact
    from inspector.network.classifier import Classifier
    from inspector.station.reading import Limits
    from inspector.upkeep import decided_images

    if old is None or count == 0 or old.sha256 == new.file.sha256:
        return None
    images = decided_images.decided(settings.url, settings.station, count)
    if not images:
        return None
    try:
        opened = artifact.open_file(old)
        judge = decided_images.Judge(opened, Classifier(opened, settings.thresholds))
    except StationError as error:
        typer.echo(f"not compared, since the artifact in force does not work here: {error}", err=True)
        return None
    limits = Limits(
        formats=settings.formats,
        max_pixels=round(settings.max_megapixels * 1e6),
        max_bytes=round(settings.max_megabytes * 2**20),
        bit_depth=opened.metadata.bit_depth,
    )
    archive = settings.archive_folder
    return decided_images.compare(images, archive, limits, judge, new.judge, track=tracked("comparing"))


def _account() -> str:
    """The account of this process, and before it the one that called sudo, if that is another."""
    try:
        name = pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:  # in some containers
        name = f"user {os.geteuid()}"
    caller = os.environ.get("SUDO_USER", name)
    return name if caller == name else f"{caller} as {name}"


def _one_line(note: str | None) -> str:
    return " ".join((note or "").split()) or "no reason given"


def _figures(new: ArtifactInUse, old: ArtifactFile | None) -> dict[str, Any]:
    return {"artifact": dataclasses.asdict(new), "before_sha256": old.sha256 if old else None}


def _print_proof(new: ArtifactInUse, differences: list[str]) -> None:
    typer.echo(f"{new}: golden frames agree on this processor")
    for line in differences:
        typer.echo(f"classes: {line}")


def _print_comparison(compared: Comparison) -> None:
    from rich.console import Console
    from rich.table import Table

    n, failed, passed = compared.n, compared.failed_by_person, compared.passed_by_person
    table = Table(title=f"{n} images with a human PASS or FAIL")
    for column in ("", "old", "new"):
        table.add_column(column, justify="left" if not column else "right")

    def row(what: str, field: str, of: int) -> None:
        sides: tuple[Agreement, Agreement] = (compared.old, compared.new)
        table.add_row(what, *(f"{getattr(side, field)} of {of}" for side in sides))

    row("agrees with the person", "agrees", n)
    row("escapes (PASS, person: FAIL)", "escapes", failed)
    row("overkill (FAIL, person: PASS)", "overkill", passed)
    row("REVIEW", "review", n)
    if compared.labelled:
        row("the class that the person named", "named", compared.labelled)
    Console().print(table)
    typer.echo(
        f"only the old one agrees on {compared.only_old}, only the new one on {compared.only_new}: "
        f"McNemar's exact p = {compared.p:.3f} over images, p = {compared.p_over_seams:.3f} over seams"
    )
    if compared.learnt_from or compared.left_out:
        typer.echo(
            f"left out: {compared.learnt_from or 0} that one of them learnt from, {compared.left_out} that "
            "are pruned, changed or unreadable"
        )
    if compared.learnt_from is None:
        typer.echo(
            "one of them does not record the frames that it learnt from: the figures flatter it if these are "
            "among them"
        )


def _print_outcome(new: ArtifactInUse, daemon: str | None) -> None:
    if daemon is None:
        typer.echo("dry run: nothing was changed")
    elif daemon == "reloaded":
        typer.echo(f"the daemon judges by it: each later row names {new}")
    else:
        typer.echo(f"no daemon is running: from its next start on, each row names {new}")

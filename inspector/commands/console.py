"""The command of the review console."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from inspector.commands import console_people
from inspector.commands.help import Headings
from inspector.commands.options import OptionalConfig, found_config, load, seam_rule
from inspector.errors import UsageError

if TYPE_CHECKING:
    from inspector.console.state import Console
    from inspector.settings import Settings

console = typer.Typer(cls=Headings)
console.add_typer(console_people.user, name="user")


@console.callback(invoke_without_command=True)
def serve(
    context: typer.Context,
    config: OptionalConfig = None,
    host: Annotated[str, typer.Option(help="address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65_535, help="port to listen on")] = 8765,
) -> None:
    """Serve the review console: a page in the browser for human verdicts, until SIGTERM or Ctrl-C.

    It is a process of its own, so it cannot delay an inspection. Any address but this machine's own needs
    console_certificate and console_key, or console_proxy.
    """
    if context.invoked_subcommand is not None:
        if config is not None:
            raise UsageError(f"give --config after the command: console {context.invoked_subcommand} …")
        return
    config = config or found_config()
    if not config.exists():
        typer.echo(context.get_help())
        raise typer.Exit(2)
    console_people.require_extra()
    from inspector.console import server

    server.serve(_console(load(config), config, host, port))


def _console(settings: Settings, config: Path, host: str, port: int) -> Console:
    from inspector.console.state import Console
    from inspector.upkeep.status import lines

    return Console(
        url=settings.url,
        station=settings.station,
        zone=settings.zone,
        drop_folder=settings.drop_folder,
        archive_folder=settings.archive_folder,
        quarantine_folder=settings.quarantine_folder,
        artifact=settings.artifact,
        seam_gap_s=settings.seam_gap_s,
        seam_rule=seam_rule(settings),
        status=lambda: lines(settings),
        people=settings.console_people,
        config=config.resolve(),
        host=host,
        port=port,
        certificate=settings.console_certificate,
        key=settings.console_key,
        proxy=settings.console_proxy,
        proxy_header=settings.console_proxy_header,
        session_hours=settings.console_session_hours,
        lease_minutes=settings.console_lease_minutes,
        second_share=settings.console_second_share,
    )

"""The commands ``config``: settings that explain themselves."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from inspector.commands.help import Headings
from inspector.commands.options import AsJson, Config, require_settings
from inspector.errors import UsageError

config = typer.Typer(cls=Headings, no_args_is_help=True, help="Show and explain the settings of a station.")


@config.command()
def show(config: Config, as_json: AsJson = False) -> None:
    """Show every setting in force, and where its value comes from: file, environment, credential or default.

    A password in database_url or central_url is never shown.
    """
    from inspector import settings

    require_settings(config)
    loaded, sources = settings.read(config)
    values: dict[str, Any] = loaded.model_dump(mode="json") | loaded.shown_urls()
    rows = {key: {"value": value, "from": sources.get(key, "default")} for key, value in values.items()}
    if as_json:
        typer.echo(json.dumps({"settings": rows}, ensure_ascii=False))
        return
    for key, row in rows.items():
        value = (
            row["value"] if isinstance(row["value"], str) else json.dumps(row["value"], ensure_ascii=False)
        )
        typer.echo(f"{key:<22} {value}  ({row['from']})")


def _keys(incomplete: str) -> list[str]:
    from inspector.settings import Settings

    return [key for key in Settings.model_fields if key.startswith(incomplete)]


@config.command()
def explain(
    key: Annotated[str, typer.Argument(help="the setting", metavar="KEY", autocompletion=_keys)],
) -> None:
    """Explain one setting: its purpose, its allowed values, its default, and its variable."""
    from inspector.settings import mistakes
    from inspector.settings.descriptions import descriptions

    known = descriptions()
    if key not in known:
        raise UsageError(f"{mistakes.unknown(key, known)} 'config show' lists all settings")
    about = known[key]
    typer.echo(f"{about.text}\n")
    typer.echo(f"values:       {about.values.replace('`', '')}")
    typer.echo(f"example:      {key}: {about.example}")
    typer.echo(f"environment:  {about.variable}")


@config.command()
def schema() -> None:
    """Print the JSON schema of the settings file, with which an editor completes and checks it.

    Write it beside the file, and let the file begin with '# yaml-language-server: $schema=FILE'.
    """
    from inspector.settings import descriptions

    typer.echo(json.dumps(descriptions.schema(), indent=1, ensure_ascii=False))

"""The commands for the people who may sign in at the review console."""

from __future__ import annotations

import sys
from enum import StrEnum
from importlib.util import find_spec
from typing import Annotated

import typer

from inspector.commands.help import Headings
from inspector.commands.options import Config, load
from inspector.errors import UsageError

_NEEDED = ("starlette", "uvicorn", "itsdangerous", "argon2", "python_multipart")

user = typer.Typer(
    cls=Headings, no_args_is_help=True, help="List, add and remove people who may sign in at the console."
)


class Roles(StrEnum):
    """What a person may do at the console."""

    LOOK = "look"
    REVIEW = "review"
    RELEASE = "release"


Name = Annotated[str, typer.Argument(help="the person's name, which each verdict gets", metavar="NAME")]


def require_extra() -> None:
    """Refuse to go on without the packages of the extra ``console``.

    Raises:
        UsageError: one is missing.
    """
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise UsageError(
            f"the console needs {', '.join(missing)}; install it: pip install 'weldnet-station[console]'"
        )


@user.command()
def add(
    name: Name,
    config: Config,
    role: Annotated[
        Roles, typer.Option(help="look: see; review: also give verdicts; release: also requeue files")
    ],
) -> None:
    """Add a person. The password comes from the terminal, or as one line on stdin.

    If the settings name a proxy that signs people in, there is no password.
    """
    require_extra()
    from inspector.console import people

    settings = load(config)
    password = None if settings.console_proxy_header else _password()
    people.add(settings.console_people, name, people.Role(role.value), password)
    typer.echo(f"{name} may {role.value}")


@user.command("list")
def list_(config: Config) -> None:
    """List the people with their roles."""
    require_extra()
    from inspector.console import people

    for name, role in people.roles(load(config).console_people).items():
        typer.echo(f"{role.value:<8} {name}")


@user.command()
def remove(name: Name, config: Config) -> None:
    """Remove a person; sessions end at once, and verdicts stay."""
    require_extra()
    from inspector.console import people

    people.remove(load(config).console_people, name)
    typer.echo(f"{name} may no longer sign in")


@user.command()
def password(name: Name, config: Config) -> None:
    """Give a person another password, from the terminal or as one line on stdin; old sessions end."""
    require_extra()
    from inspector.console import people

    people.set_password(load(config).console_people, name, _password())
    typer.echo(f"{name} has another password")


def _password() -> str:
    """Ask for a password without showing it, or read a line of stdin. Everybody can see arguments.

    Raises:
        UsageError: there is none, or the second one differs.
    """
    from getpass import getpass

    if not sys.stdin.isatty():
        line = sys.stdin.readline()
        if not line.strip():
            raise UsageError("stdin has no password; write it there as one line, or run this on a terminal")
        return line.rstrip("\r\n")
    first = getpass("password: ")
    if getpass("again: ") != first:
        raise UsageError("the two passwords differ; try again")
    return first

"""Help, versions, settings files and completion: the first minute with either program."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import URL
from stations import Station
from typer.main import get_command
from typer.testing import CliRunner
from waiting import HANG_S

from inspector import resources
from inspector.commands.cli import app as weld_inspect
from inspector.commands.help import CARE, QUALITY, STATION
from inspector.reports import definitions
from trainer.commands.cli import app as weld_train
from trainer.commands.help import DATA, JUDGE, TRAIN

PROGRAMS = pytest.mark.parametrize(
    ("app", "headings"),
    [(weld_inspect, (STATION, QUALITY, CARE)), (weld_train, (TRAIN, JUDGE, DATA))],
    ids=["weld-inspect", "weld-train"],
)


def _invoke(app: Any, *words: object) -> Any:
    return CliRunner().invoke(app, list(map(str, words)))


def _commands(command: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, child in getattr(command, "commands", {}).items():
        yield (*path, name), child
        yield from _commands(child, (*path, name))


@PROGRAMS
def test_commands_are_below_headings_in_whole_sentences(app: Any, headings: tuple[str, ...]):
    """The help has only these headings, in this order, and of each command its first paragraph, uncut."""
    shown = _invoke(app, "--help").stdout
    assert tuple(re.findall(r"^(\w+):$", shown, re.MULTILINE)) == ("Options", *headings)
    assert "..." not in shown.replace("[ARGS]...", "")
    words = " ".join(shown.split())
    for name, command in get_command(app).commands.items():
        first = " ".join(command.help.partition("\n\n")[0].split())
        assert f"{name} {first}" in words


@PROGRAMS
def test_a_program_alone_helps(app: Any, headings: tuple[str, ...]):
    """Without a command the program prints its help, and no traceback."""
    alone = _invoke(app)
    assert alone.output.startswith("Usage: ")
    assert all(f"{heading}:" in alone.output for heading in headings)


@PROGRAMS
def test_both_programs_tell_their_version(app: Any, headings: tuple[str, ...]):
    """--version prints the name of the program and the version of the package."""
    done = _invoke(app, "--version")
    assert done.exit_code == 0
    assert done.stdout.split()[1:] == [resources.version()]


@pytest.mark.parametrize(
    ("app", "words", "said"),
    [
        (weld_inspect, "review next --why fail", "--why is now --reason"),
        (weld_inspect, "review --why=fail", "--why is now --reason"),
        (weld_inspect, "install-artifact none.pt --reason trial", "--reason is now --note"),
        (weld_train, "evaluate none.pt --data none --part test", "--part is now --split"),
        (weld_train, "compare none.pt none.pt --data none --part test", "--part is now --split"),
    ],
)
def test_a_deprecated_option_works_with_one_warning(
    app: Any, words: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The old name is taken, and one line names the new one and the version that removes the old one."""
    monkeypatch.chdir(tmp_path)
    done = _invoke(app, *words.split())
    assert "no such option" not in done.stderr
    warnings = [line for line in done.stderr.splitlines() if " is now " in line]
    assert len(warnings) == 1
    assert said in warnings[0]
    assert "version 2.0.0 removes" in warnings[0]


@pytest.mark.parametrize("program", ["inspector", "trainer"])
def test_no_help_loads_anything_heavy(program: str):
    """The help of every command is instant: none imports torch, SQLAlchemy, numpy, PIL, rich or YAML."""
    script = (
        f"import sys; from {program}.commands.cli import app; from typer.main import get_command\n"
        "def walk(command, path=()):\n"
        "    for name, child in getattr(command, 'commands', {}).items():\n"
        "        yield (*path, name); yield from walk(child, (*path, name))\n"
        "for path in [(), *walk(get_command(app))]:\n"
        "    try: app([*path, '--help'])\n"
        "    except SystemExit as end: assert not end.code, path\n"
        "heavy = {'torch', 'sqlalchemy', 'numpy', 'PIL', 'matplotlib', 'rich', 'yaml'}\n"
        "sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=HANG_S, check=False
    )
    assert done.returncode == 0, done.stderr


def test_the_settings_file_is_found(tmp_path: Path, tiny: Path, url_of: Callable[[str], URL], monkeypatch):
    """Without --config it is WELD_CONFIG's, else ./config.yaml, else ./station.yaml; --config wins."""
    folders = {}
    for name in ("given", "named", "here", "second"):
        folders[name] = tmp_path / name
        folders[name].mkdir()
        Station(folders[name], tiny, url_of("sqlite"), station=name)
    here = tmp_path / "here"
    (folders["second"] / "config.yaml").rename(here / "station.yaml")

    def station(*words: object) -> str:
        [line] = re.findall(r"^station +(.*)$", _invoke(weld_inspect, "status", *words).stdout, re.MULTILINE)
        return line

    monkeypatch.chdir(here)
    monkeypatch.setenv("WELD_CONFIG", str(folders["named"] / "config.yaml"))
    assert station("--config", folders["given"] / "config.yaml") == "given"
    assert station() == "named"
    monkeypatch.delenv("WELD_CONFIG")
    assert station() == "here"
    (here / "config.yaml").unlink()
    assert station() == "second"


def test_without_a_settings_file_one_line_says_how_to_name_it(tmp_path: Path, monkeypatch):
    """In a folder without a station every command ends with status 2 and one line; groups show their help."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WELD_CONFIG", raising=False)
    for words in (["run"], ["status"], ["report", "summary"], ["report", "html", "--out", "x"], ["migrate"]):
        done = _invoke(weld_inspect, *words)
        assert done.exception.exit_status == 2, words
        assert "WELD_CONFIG" in str(done.exception)
        assert "\n" not in str(done.exception)
    for group in ("review", "console"):
        done = _invoke(weld_inspect, group)
        assert done.exit_code == 2
        assert done.stdout.startswith("Usage: ")
    monkeypatch.setenv("WELD_CONFIG", "nowhere.yaml")
    assert "nowhere.yaml: cannot read the settings" in str(_invoke(weld_inspect, "status").exception)


def test_reports_are_listed_and_explained_without_a_station(tmp_path: Path, monkeypatch):
    """'report' lists the names with their questions, and 'report NAME --help' shows every column."""
    monkeypatch.chdir(tmp_path)
    listed = _invoke(weld_inspect, "report")
    assert listed.exit_code == 0
    names = [line.split()[0] for line in listed.stdout.splitlines()]
    assert names == [*definitions.names(), "html", "contact"]
    for name in ("summary", "p_chart"):
        about = definitions.read(name)
        for words in (["report", name, "--help"], ["report", "--help", name]):
            shown = _invoke(weld_inspect, *words)
            assert shown.exit_code == 0
            assert about.question in " ".join(shown.stdout.split())
            assert set(about.columns) <= set(re.findall(r"^  (\w+)", shown.stdout, re.MULTILINE))
    assert "Columns:" not in _invoke(weld_inspect, "report", "--help").stdout


def test_status_and_the_start_tell_the_version(tmp_path: Path, tiny: Path, url_of: Callable[[str], URL]):
    """The version of the program is in the status, and in the event and the line of each start."""
    station = Station(tmp_path, tiny, url_of("sqlite"))
    station.once()
    assert (
        f"version      {resources.version()}\n"
        in _invoke(weld_inspect, "status", "-c", station.config).stdout
    )
    [start] = station.rows("SELECT detail FROM event WHERE kind = 'start'")
    assert start.detail.startswith("tiny 1 (")
    assert start.detail.endswith(f", weldnet-station {resources.version()}")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["weld-inspect", "rep"], {"report"}),
        (["weld-inspect", "report", "p_"], {"p_chart"}),
        (["weld-inspect", "review", "se"], {"set", "serve"}),
        (["weld-inspect", "init", "--art"], {"--artifact"}),
        (["weld-train", "eva"], {"evaluate"}),
        (["weld-train", "compile", "--sch"], {"--scheme"}),
        (["weld-train", "compile", "--scheme", "dy"], {"dynamic"}),
    ],
)
def test_bash_completes(words: list[str], expected: set[str]):
    """In bash, commands, options, their values and the names of reports are completed, without a station."""
    program = words[0]
    script = (
        f'eval "$({program} --show-completion bash)"\n'
        'complete -p "$1" >/dev/null && COMP_WORDS=("$@") && COMP_CWORD=$(($# - 1))\n'
        f'_{program.replace("-", "_")}_completion "$1"\n'
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1",  # which takes an argument then: bash
    }
    done = subprocess.run(
        ["bash", "-c", script, "bash", *words],
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=True,
        env=environment,
    )
    assert set(done.stdout.split()) == expected, done.stderr

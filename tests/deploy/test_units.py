"""Files for installers, checked by the real tools: units, users, folders, alerts, dashboard."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from programs import program
from shelves import Shelf, say
from sqlalchemy.engine import URL
from waiting import HANG_S

from inspector import resources
from inspector.records import Verdict

DEPLOY = resources.folder("deploy")
UNIT = DEPLOY / "weldnet-inspector.service"
REPORT, TIMER = DEPLOY / "weldnet-report.service", DEPLOY / "weldnet-report.timer"
REVIEW, REVIEW_SOCKET = DEPLOY / "weldnet-review@.service", DEPLOY / "weldnet-review.socket"
PRUNE, PRUNE_TIMER = DEPLOY / "weld-inspect-prune.service", DEPLOY / "weld-inspect-prune.timer"
CONSOLE = DEPLOY / "weldnet-console.service"
FORWARD = DEPLOY / "weldnet-forward.service"
UNITS = [UNIT, REPORT, TIMER, PRUNE, PRUNE_TIMER, REVIEW, REVIEW_SOCKET, CONSOLE, FORWARD]
_STAYED_OFF = ("MemoryDenyWriteExecute", "ProcSubset", "PrivateNetwork", "DynamicUser", "RootDirectory")


def tool(*words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a program of the system; skip the test if it is not installed."""
    command = [program(str(words[0])), *map(str, words[1:])]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=HANG_S)


@pytest.mark.parametrize("unit", [UNIT, REPORT, PRUNE, REVIEW, CONSOLE, FORWARD], ids=lambda unit: unit.name)
def test_the_unit_is_hardened(unit: Path):
    """systemd-analyze rates the exposure of the unit at 1.5 or less."""
    done = tool("systemd-analyze", "security", "--offline=true", "--no-pager", unit)
    exposure = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert exposure, done
    assert float(exposure[1]) <= 1.5


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_the_unit_is_sound(tmp_path: Path, unit: Path):
    """systemd-analyze verify has no complaint if the program is where the unit expects it."""
    program = tmp_path / "weld-inspect"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    for each in UNITS:  # a timer or socket is verified with what it starts
        text = each.read_text()
        assert each.suffix in (".timer", ".socket") or "ExecStart=/opt/weldnet/venv/bin/weld-inspect " in text
        (tmp_path / each.name).write_text(text.replace("/opt/weldnet/venv/bin/weld-inspect", str(program)))
    done = tool("systemd-analyze", "verify", "--man=no", tmp_path / unit.name)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_drop_ins_of_the_notes_are_sound(tmp_path: Path):
    """The drop-ins in the installation notes, including credentials, are accepted by systemd."""
    program = tmp_path / "weld-inspect"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    text = UNIT.read_text().replace("/opt/weldnet/venv/bin/weld-inspect", str(program))
    notes = (DEPLOY / "INSTALL.md").read_text()
    drop_ins = re.findall(r"\n\n((?:    (?:\[\w+\]|[A-Z]\w+=\S+)\n)+)", notes)
    assert any("LoadCredential=pgpassword:/etc/weldnet/pgpassword" in one for one in drop_ins)
    assert any("RequiresMountsFor=/mnt/mes" in one for one in drop_ins)
    (tmp_path / UNIT.name).write_text(text + "\n" + "\n".join(drop_ins).replace("    ", ""))
    done = tool("systemd-analyze", "verify", "--man=no", tmp_path / UNIT.name)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_prune_unit_removes_old_images(tmp_path: Path, url_of: Callable[[str], URL]):
    """The command in the unit removes an old PASS image and keeps a younger one, in another folder."""
    shelf = Shelf(tmp_path, url_of("sqlite"))
    shelf.image("old.png", days=366)
    shelf.image("young.png", days=364)
    for days in range(0, 364, 28):  # a station without gaps
        shelf.image(f"{days}.png", Verdict.FAIL, days=days)
    (command,) = re.findall(
        r"^ExecStart=/opt/weldnet/venv/bin/weld-inspect (.*) --config \S+ (.*)$",
        PRUNE.read_text(),
        re.MULTILINE,
    )
    done = say(shelf, *" ".join(command).split())
    assert (done.exit_code, json.loads(done.stdout)["pruned"]) == (0, 1)
    left = {path for path in shelf.files(shelf.archive) if "/PASS/" in path}
    assert left == {"2026-01-05/PASS/young.png"}


def test_the_report_s_unit_writes_a_report(tmp_path: Path):
    """The commands in the unit write summaries, a report and an index, for a station in another folder."""
    from typer.testing import CliRunner

    from inspector.commands.cli import app
    from inspector.ledger.store import migrate

    (tmp_path / "config.yaml").write_text("station: cell-1\n")
    migrate(f"sqlite:///{tmp_path / 'quality.db'}")
    unit = REPORT.read_text().replace("/srv/weldnet/station", "/srv/weldnet")
    commands = re.findall(
        r"^ExecStart(?:Pre)?=-?/opt/weldnet/venv/bin/weld-inspect (.*)$", unit, re.MULTILINE
    )
    assert [command.split()[0] for command in commands] == ["summarize", "report"]
    for command in commands:
        done = CliRunner().invoke(app, command.replace("/srv/weldnet", str(tmp_path)).split())
        assert done.exit_code == 0, done.output
    assert len(list((tmp_path / "reports").glob("quality-*.html"))) == 1
    assert (tmp_path / "reports" / "index.html").is_file()


def test_each_directive_that_stayed_off_has_its_reason():
    """The unit names each recommended directive that torch or the station cannot have, and sets none."""
    for directive in _STAYED_OFF:
        assert re.search(rf"^# {directive}=\S*,?\s.*\w{{4}}", UNIT.read_text(), re.MULTILINE), directive
        assert not re.search(rf"^{directive}=", UNIT.read_text(), re.MULTILINE)


def test_the_stop_time_is_longer_than_the_drain():
    """The manager waits longer for the service than the service waits for its own batches."""
    from inspector.settings import Settings

    (stop_s,) = re.findall(r"^TimeoutStopSec=(\d+)s$", UNIT.read_text(), re.MULTILINE)
    assert int(stop_s) > Settings.model_fields["drain_s"].default + 5


def test_users_and_folders_can_be_made(tmp_path: Path):
    """User, groups and folders are created as described: the camera's group has only the drop folder."""
    if os.geteuid() != 0:
        pytest.skip("only root gives folders to another user")
    root = tmp_path / "root"
    (root / "etc").mkdir(parents=True)
    users = tool("systemd-sysusers", f"--root={root}", DEPLOY / "sysusers.conf")
    assert users.returncode == 0, users.stderr
    assert "\nweldnet:" in "\n" + (root / "etc" / "passwd").read_text()
    groups = dict(line.split(":", 1) for line in (root / "etc" / "group").read_text().splitlines())
    assert groups.keys() >= {"weldnet", "camera", "weld-review"}
    assert groups["weld-review"].endswith(":")
    assert groups["camera"].endswith(":weldnet")
    assert groups["weldnet"].endswith(":")
    folders = tool("systemd-tmpfiles", f"--root={root}", "--create", DEPLOY / "tmpfiles.conf")
    assert folders.returncode == 0, folders.stderr
    modes = {
        "": 0o755,
        "drop": 0o2770,
        "station": 0o750,
        "station/archive": 0o750,
        "station/quarantine": 0o750,
    }
    for name, mode in modes.items():
        about = (root / "srv" / "weldnet" / name).stat()
        assert about.st_mode & 0o7777 == mode
        assert (about.st_gid == int(groups["camera"].split(":")[1])) == (name == "drop")


# --- seen from outside ----------------------------------------------------------------------------------

_ALERTS = DEPLOY / "alerts.yaml"
_DASHBOARD = DEPLOY / "grafana-dashboard.json"
_SERIES = {  # for each alert a series that must raise it, in promtool's notation, and after how long
    "WeldnetNoImage": ("weldnet_last_inspection_timestamp_seconds", "0x120", "40m"),
    "WeldnetOldestPending": ("weldnet_oldest_pending_seconds", "0+60x120", "10m"),
    "WeldnetQuarantineRising": ('weldnet_quarantined_total{reason="truncated"}', "0+1x120", "90m"),
    "WeldnetDatabaseDown": ('weldnet_fault{fault="database"}', "0x10 1x110", "20m"),
    "WeldnetDisk": ('weldnet_fault{fault="disk"}', "0x10 1x110", "30m"),
    "WeldnetFault": ('weldnet_fault{fault="stuck"}', "0x10 1x110", "20m"),
    "WeldnetResults": ('weldnet_fault{fault="results"}', "0x10 1x110", "20m"),
    "WeldnetForwardBehind": ("weldnet_forward_waiting_seconds", "0x10 0+60x110", "90m"),
    "WeldnetDown": ("up", "1x10 0x110", "20m"),
}


def _metric_names() -> set[str]:
    """The names of all series that a station exposes."""
    from prometheus_client import generate_latest
    from prometheus_client.parser import text_string_to_metric_families

    from inspector.monitoring.metrics import Metrics
    from inspector.monitoring.waiting_rows import ROWS_GAUGE, SECONDS_GAUGE
    from inspector.records import ArtifactInUse
    from inspector.station.composition import DISK_FREE_GAUGE, FAULT_GAUGE

    metrics = Metrics(ArtifactInUse("a", "1", "0"))
    metrics.gauge(*FAULT_GAUGE, {"disk": lambda: 0})
    metrics.gauge(*DISK_FREE_GAUGE, {"archive": lambda: 0})
    for gauge in (ROWS_GAUGE, SECONDS_GAUGE):
        metrics.gauge(*gauge, {"centre": lambda: 0})
    families = text_string_to_metric_families(generate_latest(metrics.registry).decode())
    suffixes = {"histogram": ("_bucket", "_sum", "_count"), "counter": ("_total",), "info": ("_info",)}
    return {
        family.name.removesuffix("_info") + suffix
        for family in families
        for suffix in suffixes.get(family.type, ("_info",) if family.name.endswith("_info") else ("",))
    }


@pytest.mark.parametrize("file", [_ALERTS, _DASHBOARD], ids=["alerts", "dashboard"])
def test_rules_and_dashboard_stand_on_names_that_exist(file: Path):
    """The station exposes every metric that an alert or a panel uses."""
    asked = set(re.findall(r"\b(?:weldnet|process)_[a-z_]+", file.read_text()))
    assert asked
    assert asked <= _metric_names()


def test_the_dashboard_shows_every_metric():
    """The dashboard shows every metric of the station."""
    shown = _DASHBOARD.read_text()
    ours = {re.sub(r"_(bucket|sum|count)$", "", name) for name in _metric_names() if "weldnet" in name}
    ours = {name for name in ours if not name.endswith("_created")}  # when a series began
    assert {name for name in ours if name not in shown} == set()
    assert len(json.loads(shown)["panels"]) >= 10


def test_promtool_accepts_the_rules():
    """Prometheus accepts the rules."""
    done = tool("promtool", "check", "rules", _ALERTS)
    assert done.returncode == 0, done.stderr
    assert f"{len(_SERIES)} rules found" in done.stdout


@pytest.mark.parametrize("alert", _SERIES)
def test_each_alert_fires_on_its_fault(alert: str, tmp_path: Path):
    """Prometheus's rule engine raises each alert on the series of its fault, with its text."""
    series, values, after = _SERIES[alert]
    name, _, labels = series.partition("{")
    full = f'{name}{{job="weldnet",instance="cell-3"{"," + labels.rstrip("}") if labels else ""}}}'
    rule = next(r for r in yaml.safe_load(_ALERTS.read_text())["groups"][0]["rules"] if r["alert"] == alert)
    rules = tmp_path / "alerts.yaml"
    rules.write_text(_ALERTS.read_text())
    inspected = {"series": 'weldnet_inspected_total{job="weldnet",instance="cell-3"}', "values": "0+10x120"}
    test = {
        "rule_files": [str(rules)],
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": full, "values": values}, inspected],
                "promql_expr_test": [
                    {
                        "expr": f'count(ALERTS{{alertname="{alert}",alertstate="firing"}})',
                        "eval_time": after,
                        "exp_samples": [{"labels": "{}", "value": 1}],
                    },
                    {
                        "expr": f'count(ALERTS{{alertname="{alert}",alertstate="firing"}})',
                        "eval_time": "1m",
                        "exp_samples": [],
                    },
                ],
            }
        ],
    }
    file = tmp_path / "test.yaml"
    file.write_text(yaml.safe_dump(test))
    done = tool("promtool", "test", "rules", file)
    assert done.returncode == 0, done.stdout + done.stderr
    assert rule["annotations"]["action"]


# --- the notes ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("file", "line"),
    [("samba-share.conf", "force group = camera"), ("samba-people.conf", "valid users = @weldnet")],
)
def test_samba_accepts_the_shares(file: str, line: str):
    """The Samba shares are accepted by testparm."""
    share = tool("testparm", "--suppress-prompt", DEPLOY / file)
    assert (share.returncode, "Unknown parameter" in share.stderr) == (0, False), share.stderr
    assert line in share.stdout


def test_sshd_accepts_the_camera_s_account(tmp_path: Path):
    """The SFTP drop-in is accepted by sshd."""
    key = tmp_path / "key"
    tool("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
    sshd = tool("sshd", "-T", "-h", key, "-f", DEPLOY / "sftp-camera.conf", "-C", "user=camera")
    if "privilege separation" in sshd.stderr:
        pytest.skip("sshd has never run here: its run-time folder is missing")
    assert "forcecommand internal-sftp -d /srv/weldnet/drop -u 0007" in sshd.stdout, sshd.stderr


def test_the_notes_name_files_and_commands_that_exist():
    """Each file that the notes install is shipped, and each of our commands in them exists."""
    from typer.main import get_command

    from inspector.commands.cli import app

    notes = (DEPLOY / "INSTALL.md").read_text()
    named = set(re.findall(r"\b[\w.-]+\.(?:conf|service|socket|timer|yaml|json)\b", notes)) - {
        "config.yaml",
        "console-people.yaml",
        "weldnet.conf",
        "weldnet-console.conf",
    }
    assert named >= {"sysusers.conf", "samba-share.conf", "alerts.yaml", UNIT.name}
    assert {name for name in named if not (DEPLOY / name).is_file()} == set()
    commands = get_command(app).commands
    words = re.findall(r"weld-inspect ([a-z][\w-]*)", notes)
    assert {word for word in words if word not in commands} == set()

"""``weld-inspect config``: settings that explain themselves."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from inspector.commands.cli import app
from inspector.settings import Settings, descriptions
from inspector.upkeep.new_station import EXAMPLE


def _config(*words: object) -> Any:
    return CliRunner().invoke(app, ["config", *map(str, words)])


def test_show_says_where_each_value_comes_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """File, environment, credential and default are named; both others win over the file."""
    config = tmp_path / "config.yaml"
    config.write_text("station: cell-7\nbatch_size: 4\nscan_s: 1\n")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "weld_scan_s").write_text("3")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "secrets"))
    monkeypatch.setenv("WELD_BATCH_SIZE", "2")
    done = _config("show", "--json", "--config", config)
    rows = json.loads(done.stdout)["settings"]
    assert list(rows) == list(Settings.model_fields)
    assert rows["station"] == {"value": "cell-7", "from": str(config)}
    assert rows["batch_size"] == {"value": 2, "from": "environment WELD_BATCH_SIZE"}
    assert rows["scan_s"] == {"value": 3, "from": "credential weld_scan_s"}
    assert rows["give_up_s"] == {"value": 10, "from": "default"}
    assert rows["drop_folder"]["value"] == str(tmp_path / "drop")
    lines = _config("show", "--config", config).stdout.splitlines()
    assert len(lines) == len(rows)
    assert any(re.fullmatch(r"batch_size +2  \(environment WELD_BATCH_SIZE\)", line) for line in lines)


def test_show_never_shows_a_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A password in the URL, in its query or in a credential is masked in both forms."""
    config = tmp_path / "config.yaml"
    url = "postgresql+psycopg://weldnet{}@db/quality{}"
    (tmp_path / "pgpassword").write_text("secret")
    for in_url, in_query, folder in ((":secret", "", ""), ("", "?password=secret", ""), ("", "", tmp_path)):
        monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
        config.write_text(yaml.safe_dump({"station": "a", "database_url": url.format(in_url, in_query)}))
        for form in ([], ["--json"]):
            done = _config("show", *form, "--config", config)
            assert done.exit_code == 0
            assert "@db/quality" in done.stdout
            assert "secret" not in done.output
    assert "password from credential pgpassword" in done.output


def test_every_setting_is_explained():
    """'config explain KEY' prints purpose, values and variable of each key; a typo gets the nearest."""
    assert set(descriptions.descriptions()) == set(Settings.model_fields)
    for key in Settings.model_fields:
        shown = _config("explain", key)
        assert shown.exit_code == 0, key
        assert f"WELD_{key.upper()}" in shown.stdout
        assert len(shown.stdout.split("\n\n")[0]) > 20, key
    done = _config("explain", "batchsize")
    assert "did you mean 'batch_size'?" in str(done.exception)
    assert done.exception.exit_status == 2


def test_the_schema_knows_every_key_and_refuses_others():
    """The JSON schema has each key with its description and default, and allows no other key."""
    schema = json.loads(_config("schema").stdout)
    example = yaml.safe_load(EXAMPLE.read_text())
    assert set(schema["properties"]) == set(Settings.model_fields) == set(example)
    assert schema["additionalProperties"] is False
    assert schema["required"] == ["station"]
    for key, part in schema["properties"].items():
        assert part["description"], key
        assert key == "station" or "default" in part, key
    pattern = schema["properties"]["shifts"]["additionalProperties"]["pattern"]
    assert all(re.search(pattern, start) for start in example["shifts"].values())
    assert not re.search(pattern, "24:00")

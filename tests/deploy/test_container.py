"""The container: linted everywhere, built and run where Docker is there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from accounts import require_root
from PIL import Image
from stations import frame
from waiting import wait_for

from inspector import settings

CHECKOUT = Path(__file__).parents[2]
FOLDER = CHECKOUT / "deploy" / "container"
DOCKERFILE = FOLDER / "Dockerfile"
COMPOSE = FOLDER / "compose.yaml"
UID = 10_001  # of the image's user


def test_hadolint_has_no_complaint():
    """The Dockerfile is as hadolint wants it."""
    hadolint = Path(sys.executable).with_name("hadolint")  # of the extra dev
    done = subprocess.run([hadolint, str(DOCKERFILE)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_image_runs_as_a_user_without_rights():
    """The last stage ends as the user of a fixed number, with a health check and one volume."""
    last = DOCKERFILE.read_text().split("\nFROM ")[-1]
    assert re.findall(r"^USER (.*)$", last, re.MULTILINE) == [f"{UID}:{UID}"]
    assert re.findall(r"^VOLUME (.*)$", last, re.MULTILINE) == ["/srv/weldnet"]
    assert "\nHEALTHCHECK " in last
    assert f"--uid {UID} " in last


def test_all_that_is_copied_is_there_and_sent():
    """Each source of a COPY exists, and the ignore file lets it through to the build."""
    sent = set(re.findall(r"^!(\S+)$", Path(f"{DOCKERFILE}.dockerignore").read_text(), re.MULTILINE))
    lines = re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE.read_text(), re.MULTILINE)
    copied = {name for line in lines for name in line.split()}
    assert copied == sent
    assert all((CHECKOUT / name).exists() for name in copied)


def test_each_service_has_no_right_that_it_does_not_need():
    """Roots are read-only, capabilities dropped, and no port is open to other machines."""
    services = yaml.safe_load(COMPOSE.read_text())["services"]
    assert set(services) == {"database", "migrate", "station"}
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert "ports" not in service, name
        assert service["restart"] == ("no" if name == "migrate" else "unless-stopped")
    assert services["database"]["healthcheck"]["test"][1] == "pg_isready"


def test_the_services_settings_are_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The image's settings file and the variables load, with every folder below the volume."""
    example = CHECKOUT / "deploy" / "config.example.yaml"
    script = CHECKOUT / "deploy" / "debian" / "config.sed"
    made = subprocess.run(["sed", "--file", script, example], capture_output=True, text=True, check=True)
    config = tmp_path / "config.yaml"
    config.write_text(made.stdout)
    (tmp_path / "pgpassword").write_text("secret")
    in_image = dict(re.findall(r"(WELD_\w+|CREDENTIALS_\w+)=(\S+)", DOCKERFILE.read_text()))
    assert in_image.pop("WELD_CONFIG") == "/etc/weldnet/config.yaml"
    in_service = yaml.safe_load(COMPOSE.read_text())["services"]["station"]["environment"]
    defaults = {name: re.sub(r"\$\{\w+:-(.*)\}", r"\1", value) for name, value in in_service.items()}
    for name, value in (in_image | defaults | {"CREDENTIALS_DIRECTORY": str(tmp_path)}).items():
        monkeypatch.setenv(name, value)
    loaded = settings.load(config)
    assert (loaded.url.host, loaded.url.password) == ("database", "secret")
    assert loaded.metrics_port == 9464
    places = [loaded.drop_folder, loaded.archive_folder, loaded.quarantine_folder, loaded.artifact]
    assert all(path.is_relative_to("/srv/weldnet") for path in places)


@pytest.fixture(scope="module")
def compose(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Return a function that runs ``docker compose`` on its own folder; without Docker the test skips.

    Podman with its own ``docker`` command will do, too.
    """
    for words in (["docker", "info"], ["docker", "compose", "version"]):
        if not shutil.which("docker") or subprocess.run(words, capture_output=True, check=False).returncode:
            pytest.skip(f"'{' '.join(words)}' does not work here; hadolint has linted the Dockerfile")
    require_root()  # the volume belongs to the user of the image
    folder = tmp_path_factory.mktemp("container")
    (folder / "pgpassword").write_text("only for this test")
    (folder / "pgpassword").chmod(0o644)
    for name in ("", "drop", "station", "reports"):
        (folder / "data" / name).mkdir()
        os.chown(folder / "data" / name, UID, UID)
    environment = os.environ | {
        "WELD_DATA": str(folder / "data"),
        "WELD_PGPASSWORD_FILE": str(folder / "pgpassword"),
        "WELD_ARTIFACT": "/opt/weldnet/deploy/demo/weldnet-synthetic.pt",
        "COMPOSE_PROJECT_NAME": "weldnet-test",
    }

    def run(*words: str) -> str:
        command = ["docker", "compose", "--file", str(COMPOSE), *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run.folder = folder  # type: ignore[attr-defined]
    yield run
    run("down", "--volumes")


@pytest.mark.timeout(3600)  # the build downloads torch
def test_the_container_inspects_an_image(compose: Any):
    """Built and started by compose, the station is healthy, and files an image that lands in its folder."""
    compose("up", "--build", "--detach", "--wait")
    data = compose.folder / "data"
    Image.fromarray(frame(1)).save(data / "part.png")
    (data / "part.png").rename(data / "drop" / "part.png")
    wait_for(lambda: list((data / "station" / "archive").rglob("part.*.png")))
    assert '"n": 1' in compose("exec", "station", "weld-inspect", "report", "summary", "--format", "json")
    assert "10001" in compose("exec", "station", "id", "-u")

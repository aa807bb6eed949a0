"""With the shipped folders and modes, a camera's account can change its own files in the drop folder only."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from accounts import CAMERA, SERVICE, require_root, shared_folder, shipped_folders, shipped_umask, start_as
from PIL import Image
from sqlalchemy.engine import make_url
from stations import Station, frame
from waiting import HANG_S

# A program gives up root's rights after its imports, since no other account may reach the interpreter.
BECOME = """
import fcntl, json, os, sys
def become(account, *groups):
    os.setgroups(groups)
    os.setgid(account)
    os.setuid(account)
"""
SERVE = (
    BECOME
    + """
from typer.testing import CliRunner
from inspector.commands.cli import app
def say(config):
    for command in ("migrate", "once"):
        done = CliRunner().invoke(app, [command, "--config", config], catch_exceptions=False)
        assert done.exit_code == 0, done.output
rehearsal, real, umask, account, group = sys.argv[1:]
say(rehearsal)
become(int(account), int(group))
os.umask(int(umask, 8))
say(real)
"""
)
# Tries everything on each place; a folder's name ends with a slash.
ATTACK = (
    BECOME
    + """
become(int(sys.argv[1]))
done = []
def attempt(what, path, action):
    try:
        action()
    except OSError:
        return
    done.append((what, path))
for path in json.loads(sys.argv[2]):
    attempt("lock", path, lambda: fcntl.flock(os.open(path, os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB))
    if path.endswith("/"):
        attempt("list", path, lambda: os.listdir(path))
        attempt("create", path, lambda: open(path + "new", "w"))
    else:
        attempt("read", path, lambda: open(path, "rb").read(1))
        attempt("write", path, lambda: open(path, "r+b"))
        attempt("truncate", path, lambda: os.truncate(path, 0))
        attempt("chmod", path, lambda: os.chmod(path, 0o666))
    attempt("rename", path, lambda: os.rename(path.rstrip("/"), path.rstrip("/") + "x"))
    attempt("link", path, lambda: os.link(path, os.path.join(sys.argv[3], "link")))
    attempt("unlink", path, lambda: os.unlink(path))
print(json.dumps(done))
"""
)


@pytest.fixture
def base() -> Iterator[Path]:
    """The folders of tmpfiles.conf, with numbers for their owners."""
    require_root()
    with shared_folder() as folder:
        yield shipped_folders(folder)


def output_of(program: str, *words: str) -> str:
    """The output of a Python program, which must succeed."""
    command = [sys.executable, "-c", program, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=HANG_S)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_camera_can_change_no_judged_image_and_nothing_of_the_station(
    base: Path, tmp_path: Path, tiny: Path
):
    """The service judges the images of the camera, which can then read, lock and change none of its files."""
    station, delivered = base / "station", {"weld.png": frame(1), "bad.png": None}
    rehearsal = Station(tmp_path, tiny, make_url("sqlite:///quality.db"))
    settings = yaml.safe_load(rehearsal.config.read_text()) | {"artifact": "weldnet.pt"}
    (station / "weldnet.pt").write_bytes(tiny.read_bytes())
    (station / "config.yaml").write_text(yaml.safe_dump(settings | {"drop_folder": "../drop"}))
    for name in ("weldnet.pt", "config.yaml"):
        os.chown(station / name, SERVICE, SERVICE)
        (station / name).chmod(0o640)
    for name, pixels in delivered.items():
        file = rehearsal.drop / name
        Image.fromarray(pixels).save(file) if pixels is not None else file.write_text("no picture")
        shutil.copy(file, base.parent)
        with start_as(CAMERA, "cp", str(base.parent / name), str(base / "drop" / name), umask=0o007) as copy:
            assert copy.wait() == 0
    configs = str(rehearsal.config), str(station / "config.yaml")
    output_of(SERVE, *configs, shipped_umask(), str(SERVICE), str(CAMERA))

    own = [path for root in (station, base / "reports") for path in (root, *root.rglob("*"))]
    judged = [path for path in own if path.suffix == ".png"]
    assert [path.stat().st_uid for path in judged] == [SERVICE] * 2
    content = {path: path.read_bytes() for path in own if path.is_file()}
    places = json.dumps([f"{path}/" if path.is_dir() else str(path) for path in own])
    assert json.loads(output_of(ATTACK, str(CAMERA), places, str(base / "drop"))) == []
    assert {path: path.read_bytes() for path in content} == content
    done = json.loads(output_of(ATTACK, str(CAMERA), json.dumps([f"{base}/"]), str(base / "drop")))
    assert {what for what, _ in done} <= {"list", "lock"}  # the folder above holds only folders

"""A whole station in a folder for the tests: tiny real artifact, real settings, the real commands."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import sqlalchemy as sa
import yaml
from numpy.typing import NDArray
from PIL import Image
from sqlalchemy.engine import URL
from typer.testing import CliRunner
from waiting import HANG_S

from inspector.commands.cli import app
from inspector.ledger import database


def frame(seed: int, height: int = 90, width: int = 80) -> NDArray[np.uint8]:
    """A grey frame uint8[height, width] that no two seeds share."""
    return np.random.default_rng(seed).integers(0, 256, (height, width), dtype=np.uint8)


class Station:
    """A station in ``folder`` with its database at ``url``; commands run as the installed program does."""

    def __init__(self, folder: Path, artifact: Path, url: URL, **settings: Any) -> None:
        self.folder = folder
        self.url = url
        self.drop = folder / "drop"
        self.archive = folder / "archive"
        self.quarantine = folder / "quarantine"
        self.drop.mkdir(exist_ok=True)
        self.config = folder / "config.yaml"
        defaults = {
            "station": "cell-1",
            "artifact": str(artifact),
            "database_url": url.render_as_string(hide_password=False),
            "settle_s": 0.05,
            "give_up_s": 0.2,
            "scan_s": 0.5,
        }
        self.configure(**(defaults | settings))

    def configure(self, **settings: Any) -> None:
        """Write the settings file."""
        self.config.write_text(yaml.safe_dump(settings))

    def put(self, name: str, seed: int) -> Path:
        """Drop one good frame as a PNG."""
        picture = io.BytesIO()
        Image.fromarray(frame(seed)).save(picture, "PNG")
        return self.deliver(name, picture.getvalue())

    def deliver(self, name: str, content: bytes) -> Path:
        """Drop a file that is whole from the beginning, however slow this host is."""
        path = self.drop / name
        hidden = path.with_name(f".{path.name}")
        hidden.write_bytes(content)
        return hidden.rename(path)

    def is_idle(self) -> bool:
        """Nothing waits in the drop folder."""
        return not any(self.drop.iterdir())

    def command(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run ``weld-inspect``; output as text."""
        return subprocess.run(
            [*self._program(), *words, "--config", str(self.config)],
            capture_output=True,
            text=True,
            timeout=HANG_S,
            check=False,
            env=os.environ | environment,
        )

    def start(self, **environment: str) -> subprocess.Popen[str]:
        """Start the daemon in the background; the caller stops it."""
        return subprocess.Popen(
            [*self._program(), "run", "--config", str(self.config)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | environment,
        )

    def once(self) -> dict[str, Any]:
        """``weld-inspect once --json``, which must succeed."""
        return self._figures("once")

    def reconcile(self) -> dict[str, Any]:
        """``weld-inspect reconcile --json``, which must find every file."""
        return self._figures("reconcile")

    def _figures(self, command: str) -> dict[str, Any]:
        """In this process: it saves the seconds that torch takes to load."""
        done = CliRunner().invoke(
            app, [command, "--json", "--config", str(self.config)], catch_exceptions=False
        )
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)

    def rows(self, sql: str) -> list[Any]:
        """Rows of a query, read by a connection of its own."""
        engine = database.engine(self.url, read_only=True)
        try:
            with database.transaction(engine) as connection:
                return list(connection.execute(sa.text(sql)))
        finally:
            engine.dispose()

    def files(self, folder: Path) -> set[str]:
        """Everything below a folder but its sub-folders and lock files, as relative paths."""
        files = (path for path in folder.rglob("*") if not path.is_dir() and path.suffix != ".lock")
        return {str(path.relative_to(folder)) for path in files}

    @staticmethod
    def _program() -> list[str]:
        return [sys.executable, "-c", "from inspector.commands.cli import main; main()"]

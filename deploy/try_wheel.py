"""Install a wheel as people do, from an index, and let it work: ``python deploy/try_wheel.py dist/*.whl``.

An index of this machine's own offers the wheel, and the CPU build of torch from a folder. ``uv tool
install`` and ``pipx install`` take everything else from the configured index. Then the installed programs
draw frames, make a station, inspect the frames and print a report, far from the checkout. ``make release``
runs this.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PACKAGE = "weldnet-station[train,postgres,console]"
FRAMES = 12


def main() -> None:
    """Install with each installer in turn, and try both programs."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--torch", type=Path, required=True, help="a folder with the CPU wheel of torch")
    parser.add_argument("--installer", choices=["uv", "pipx"], action="append", help="default: both")
    asked = parser.parse_args()
    for installer in asked.installer or ["uv", "pipx"]:
        with tempfile.TemporaryDirectory() as folder, index(asked.wheel, asked.torch) as url:
            programs = install(installer, url, Path(folder))
            use(programs, Path(folder) / "work")
        print(f"{installer}: installed from {url}; both programs work")


class Files(http.server.SimpleHTTPRequestHandler):
    """Serves files without a line for each request."""

    def log_message(self, *words: object) -> None:
        """Print nothing."""


@contextmanager
def index(wheel: Path, torch: Path) -> Iterator[str]:
    """Serve the wheels as a simple index (PEP 503) for the block, and yield its address."""
    with tempfile.TemporaryDirectory() as folder:
        for project, files in (("weldnet-station", [wheel]), ("torch", sorted(torch.glob("torch-*.whl")))):
            place = Path(folder, "simple", project)
            place.mkdir(parents=True)
            for file in files:
                (place / file.name).symlink_to(file.resolve())
        handler = functools.partial(Files, directory=folder)
        with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            yield f"http://127.0.0.1:{server.server_port}/simple/"
            server.shutdown()


def install(installer: str, url: str, folder: Path) -> Path:
    """Install both programs below a folder, and return the folder of their commands."""
    programs, tools = folder / "bin", Path(sys.executable).parent
    if installer == "uv":
        places = {"UV_TOOL_DIR": str(folder / "tools"), "UV_TOOL_BIN_DIR": str(programs)}
        words = ["tool", "install", "--quiet", "--python", sys.executable, "--index", url, PACKAGE]
    else:
        places = {"PIPX_HOME": str(folder / "tools"), "PIPX_BIN_DIR": str(programs)}
        words = ["install", "--quiet", f"--pip-args=--extra-index-url={url}", PACKAGE]
    run(tools / installer, *words, **places)
    return programs


def use(programs: Path, folder: Path) -> None:
    """Draw frames, inspect them in a new station, and print a report, as a person would."""
    folder.mkdir()
    run(programs / "weld-train", "synth", "--out", folder / "frames", "--count", FRAMES)
    run(programs / "weld-inspect", "init", folder / "station")
    for image in (folder / "frames").rglob("*.png"):
        shutil.copy(image, folder / "station" / "drop")
    run(programs / "weld-inspect", "once", WELD_CONFIG=str(folder / "station" / "config.yaml"))
    words = ("report", "summary", "--format", "csv", "--config", folder / "station" / "config.yaml")
    report = run(programs / "weld-inspect", *words)
    if f",{FRAMES}," not in report:
        raise SystemExit(f"the report does not have {FRAMES} images: {report}")


def run(program: Path, *words: object, **environment: str) -> str:
    """Run a program outside the checkout, which must succeed; return its output."""
    clean = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [program, *map(str, words)],
        check=False,
        stdout=subprocess.PIPE,
        text=True,
        cwd="/",
        env=clean | environment,
    )
    if done.returncode:
        raise SystemExit(f"{program} {' '.join(map(str, words))}: exit status {done.returncode}")
    return done.stdout


if __name__ == "__main__":
    main()

"""Let axe-core judge every page of the review console in a real Chromium, light, dark and on a phone.

axe-core comes from the npm registry at run time (``npm pack``), into a temporary folder, so this needs a
network; the console does not. Run it with ``make console-axe``. It exits with 1 if axe-core has a serious or
critical finding.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tarfile
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

import rig  # puts the tests' own modules on the path
import typer
from consoles import chromium, inspected_station, person_at, running_console
from stations import Station
from typer.testing import CliRunner

from inspector.commands.cli import app
from inspector.reports import definitions

RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
BAD = ("serious", "critical")
PHONE = {"width": 390, "height": 844}
SCREEN = {"width": 1440, "height": 900}
LOOKS = {
    "light": {"color_scheme": "light", "viewport": SCREEN},
    "dark": {"color_scheme": "dark", "viewport": SCREEN},
    "phone": {"color_scheme": "light", "viewport": PHONE, "is_mobile": True},
    "phone, dark": {"color_scheme": "dark", "viewport": PHONE, "is_mobile": True},
}


def main(
    package: Annotated[str, typer.Option(help="what npm fetches, with a version if needed")] = "axe-core",
    tarball: Annotated[Path | None, typer.Option(help="a package that is here already")] = None,
    look: Annotated[list[str] | None, typer.Option(help=f"only these: {', '.join(LOOKS)}")] = None,
) -> None:
    """Visit every page in every look and print the findings."""
    with rig.work_folder("console-axe") as folder:
        script = axe(folder, package, tarball)
        network = folder / "tiny.pt"
        rig.tiny_artifact(network)
        place = folder / "station"
        place.mkdir()
        station = inspected_station(place, network, 24)
        sample = ["review", "sample", "--config", str(station.config), "--count", "2", "--seed", "1"]
        CliRunner().invoke(app, sample, catch_exceptions=False)
        station.deliver("broken.png", b"\x89PNG\r\n\x1a\n, and no more")
        station.once()
        found = judge(station, script, look or list(LOOKS))
    report(found)
    raise typer.Exit(any(one["impact"] in BAD for _, _, one in found))


def axe(folder: Path, package: str, tarball: Path | None) -> str:
    """The script of axe-core."""
    if tarball is None:
        done = subprocess.run(
            ["npm", "pack", "--silent", package], cwd=folder, check=True, capture_output=True, text=True
        )
        tarball = folder / done.stdout.split()[-1]
    with tarfile.open(tarball) as archive:
        read = {
            name: archive.extractfile(f"package/{name}").read().decode()  # type: ignore[union-attr]
            for name in ("package.json", "axe.min.js")
        }
    sys.stderr.write(f"axe-core {json.loads(read['package.json'])['version']}\n")
    return read["axe.min.js"]


def paths(station: Station) -> list[str]:
    """Every page, with an image that it can show."""
    [(fail, part, seam, pass_no)] = station.rows(
        "SELECT id, part, seam, pass_no FROM inspection WHERE verdict <> 'PASS' ORDER BY id LIMIT 1"
    )
    seam_page = f"/seam?station=cell-1&part={part}&seam={seam}&pass={pass_no}"
    return [
        *("/", "/review", "/grid", "/find", f"/find?q={part}", f"/trace/{fail}", "/quarantine", "/signals"),
        *("/enough", seam_page, "/charts", "/nothing-here"),
        *(f"/charts/{name}" for name in definitions.names()),
    ]


def judge(station: Station, script: str, looks: list[str]) -> list[tuple[str, str, dict[str, Any]]]:
    """The look, the page, and the finding of each violation."""
    found = []
    with running_console(station) as console, chromium() as browser:
        for look in looks:
            with person_at(browser, console, "clara", **LOOKS[look]) as page:
                for path in paths(station):
                    page.goto(path)
                    found += [(look, path, one) for one in violations(page, script)]
                page.goto("/")
                page.context.clear_cookies()
                page.goto("/sign-in")
                found += [(look, "/sign-in", one) for one in violations(page, script)]
    return found


def violations(page: Any, script: str) -> list[dict[str, Any]]:
    """What axe-core finds on a page."""
    page.wait_for_load_state("load")
    page.evaluate(script)
    options = {"runOnly": {"type": "tag", "values": RULES}, "resultTypes": ["violations"]}
    result = page.evaluate("options => axe.run(document, options)", options)
    violations: list[dict[str, Any]] = result["violations"]
    return violations


def report(found: list[tuple[str, str, dict[str, Any]]]) -> None:
    """Print each kind of finding once, with the pages that have it and its first place."""
    counts = Counter((one["impact"], one["id"]) for _, _, one in found)
    for (impact, rule), count in sorted(counts.items(), key=str):
        of_rule = [(look, path, one) for look, path, one in found if one["id"] == rule]
        look, path, one = of_rule[0]
        sys.stdout.write(f"{impact}: {rule}: {one['help']}; {count} pages\n")
        for node in one["nodes"][:3]:
            summary = " ".join(node["failureSummary"].split())
            sys.stdout.write(f"  {look} {path}: {node['target']} {node['html'][:160]} {summary[:300]}\n")
        sys.stdout.write(f"  on: {', '.join(sorted({path for _, path, _ in of_rule}))}\n")
    bad = sum(count for (impact, _), count in counts.items() if impact in BAD)
    sys.stdout.write(f"{len(found)} findings, {bad} of them serious or critical\n")


if __name__ == "__main__":
    typer.run(main)

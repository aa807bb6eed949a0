"""Images judged again on Ray: the rows of one run, whatever is killed; ``make rejudge-loop`` kills often."""

from __future__ import annotations

import ipaddress
import itertools
import json
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import psutil
import pytest
from archives import assert_alike, full_archive, verdicts
from ports import free_port
from sqlalchemy.engine import URL
from stations import Station
from waiting import HANG_S, wait_for

from inspector import settings as settings_file
from inspector.errors import StationError, UsageError
from inspector.ledger.store import Store
from inspector.network.metadata import ArtifactFile
from inspector.station import composition
from inspector.station.second_opinion import Archived, SecondOpinion
from inspector.upkeep.chosen_images import Chosen
from inspector.upkeep.rejudge import Places, Rejudged, rejudge
from inspector.upkeep.rejudge_engines import Answers, judge_page

pytest.importorskip("pyarrow", reason="needs pyarrow: pip install 'weldnet-station[ray]'")
from inspector.upkeep.answer_files import AnswerFiles
from inspector.upkeep.rejudge_ray import Assignment, on_ray

IMAGES = 11
RAY_S = (
    1200  # s: Ray starts ten processes, which takes seconds on two idle cores, and minutes on crowded ones
)
NOTHING = Chosen((0, 1))  # no image was judged in 1970, so Ray is not needed


@pytest.fixture
def station(tmp_path: Path, tiny: Path, url: URL) -> Station:
    """A station that has judged a few images."""
    station = Station(tmp_path, tiny, url, batch_size=4)
    for number in range(IMAGES):
        station.put(f"{number}.png", number)
    assert station.once()["inspected"] == IMAGES
    return station


def archived(station: Station) -> list[Archived]:
    """The images of the ledger."""
    return [
        Archived(*row) for row in station.rows("SELECT id, sha256, archive_path FROM inspection ORDER BY id")
    ]


def answered(station: Station, opinion: SecondOpinion, files: AnswerFiles, images: list[Archived]) -> Answers:
    """What a worker leaves of a page: a file with its answers."""
    answers = judge_page(opinion, images, 3)
    files.prepare()
    files.write(answers)
    return answers


class Run:
    """A run on Ray that finds what an earlier one has left."""

    def __init__(self, station: Station, artifact: Path) -> None:
        self.settings = settings_file.load(station.config)
        self.opinion = composition.second_opinion(self.settings, artifact, batch_size=3)
        self.station = station
        self.file = ArtifactFile.read(artifact)
        with Store.open(station.url, "cell-1", seam_gap_s=300) as store:
            self.files = AnswerFiles.of(str(station.folder / "work"), self.opinion.register(store))

    def __call__(self, address: str | None = None, chosen: Chosen = NOTHING) -> Rejudged:
        """Record what is there; judge on a cluster what else is chosen."""
        about = self.opinion
        assignment = Assignment(
            self.file, about.artifact.sha256, None, about.limits, about.archive, 3, self.files, False
        )
        with Store.open(self.station.url, "cell-1", seam_gap_s=300) as store:
            return rejudge(
                store,
                self.station.url,
                about.register(store),
                on_ray(assignment, workers=1, address=address),
                chosen=chosen,
                places=Places("cell-1", self.station.drop, about.archive),
            )


def test_files_of_a_killed_run_are_recorded_first(
    station: Station, tiny: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Whole files are recorded once, to the last digit, and removed; half a file is removed."""
    run = Run(station, tiny)
    answered(station, run.opinion, run.files, archived(station)[:7])
    answered(station, run.opinion, run.files, archived(station)[5:])
    half = Path(run.files.place) / "0000.parquet"
    half.write_bytes(Path(run.files.names()[0]).read_bytes()[:-9])
    result = run()
    assert (result.judged, result.changed, result.failed, result.skipped.total()) == (IMAGES, 0, 0, 0)
    assert verdicts(station) == verdicts(station, "inspection", "id")
    assert run.files.names() == []
    assert "half a file of a run that was killed" in caplog.text
    answered(station, run.opinion, run.files, archived(station))
    assert run().done == 0, "killed between the commit and the removal: nothing is recorded twice"


def test_only_answers_on_the_ledgers_bytes_are_recorded(station: Station, tiny: Path) -> None:
    """Answers on other bytes, as by the numbers of another database, are passed over."""
    run = Run(station, tiny)
    images = archived(station)
    swapped = [Archived(one.inspection, two.sha256, two.path) for one, two in itertools.pairwise(images)]
    answered(station, run.opinion, run.files, [*swapped, images[-1]])
    assert run().judged == 1
    assert [row[0] for row in verdicts(station)] == [images[-1].inspection]


def test_images_without_an_answer_come_back_with_the_reason(station: Station, tiny: Path) -> None:
    """A missing image is a row as with threads, and an altered one, too; both come through a file."""
    run = Run(station, tiny)
    images = archived(station)
    (station.archive / images[0].path).unlink()
    (station.archive / images[1].path).write_bytes(b"another image")
    answered(station, run.opinion, run.files, images)
    result = run()
    assert (result.judged, dict(result.skipped)) == (IMAGES - 2, {"missing": 1, "altered": 1})


def test_without_the_extra_a_line_names_it(tmp_path: Path, tiny: Path, url_of: Callable[[str], URL]) -> None:
    """Without Ray, as after a plain installation, one line says how to install it, with status 2."""
    station = Station(tmp_path, tiny, url_of("sqlite"))
    program = "import sys; sys.modules['ray'] = None; from inspector.commands.cli import main; main()"
    words = ["rejudge", "--artifact", str(tiny), "--config", str(station.config), "--engine", "ray"]
    done = subprocess.run(
        [sys.executable, "-c", program, *words], capture_output=True, text=True, timeout=HANG_S, check=False
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "pip install 'weldnet-station[ray]'" in done.stderr
    done = station.command("rejudge", "--artifact", str(tiny), "--engine", "ray", "--address", "127.0.0.1:1")
    assert done.returncode == 2
    assert "--address needs --work" in done.stderr or "pip install" in done.stderr


def test_a_cluster_that_does_not_answer_is_one_line(station: Station, tiny: Path) -> None:
    """An address where nobody listens ends the run at once, and one that is none is wrong usage."""
    run, port = Run(station, tiny), free_port()
    with pytest.raises(StationError, match=f"--address 127.0.0.1:{port}: .*start Ray there"):
        run(f"127.0.0.1:{port}", Chosen((0, 2**62)))
    with pytest.raises(UsageError, match="--address head: is no HOST:PORT"):
        run("head", Chosen((0, 2**62)))
    assert verdicts(station) == []


@pytest.mark.timeout(3 * RAY_S)
@pytest.mark.skipif(find_spec("ray") is None, reason="needs Ray: pip install -e '.[ray]' (make rejudge-loop)")
def test_ray_gives_the_daemons_answers_though_a_worker_is_killed(
    tmp_path: Path, tiny: Path, url_of: Callable[[str], URL]
) -> None:
    """Each image has one row, the same bytes have the daemon's answer, and Ray listens for this host only."""
    station = full_archive(tmp_path, tiny, url_of("sqlite"), 2004)
    words = ["rejudge", "--artifact", str(tiny), "--engine", "ray", "--workers", "2", "--json"]
    command = [*station._program(), *words, "--config", str(station.config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        try:
            wait_for(lambda: run.poll() is not None or verdicts(station), RAY_S)
            processes = psutil.Process(run.pid).children(recursive=True)
            listening = [it for one in processes for it in one.net_connections() if it.status == "LISTEN"]
            assert all(_is_loopback(it.laddr.ip) for it in listening), listening
            [worker, *_] = [one for one in processes if "Judging" in " ".join(one.cmdline())]
            worker.kill()
            said, errors = run.communicate(timeout=RAY_S)
        finally:
            run.kill()
    assert run.returncode == 0, errors
    assert json.loads(said)["judged"] == 2004
    found = {row[0]: row[1:] for row in verdicts(station)}
    assert list(found) == list(range(1, 2005))
    assert [row[1:] for row in verdicts(station, "inspection", "id")[:4]] == [found[n] for n in range(1, 5)]
    assert_alike(station, found)


def _is_loopback(address: str) -> bool:
    found = ipaddress.ip_address(address)
    return (getattr(found, "ipv4_mapped", None) or found).is_loopback

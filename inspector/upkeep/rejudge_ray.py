"""The engine that judges on Ray, on several machines or on this one.

The numbers, hashes and paths of the images go to actors. Each has opened and proved the artifact, and
computes on one thread. An actor writes the answers on a page to a Parquet file, and this process records and
removes it. Whatever is killed, no image is left out and none is recorded twice: Ray gives the page of a lost
actor to another one, and the next run first records the files that a killed one has left.
"""

from __future__ import annotations

import itertools
import logging
import os
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from typing import Any, Final

from inspector.errors import StationError, UsageError
from inspector.network import artifact
from inspector.network.classifier import Classifier
from inspector.network.metadata import ArtifactFile
from inspector.records import ArtifactInUse
from inspector.station.archive_places import ArchivePlace
from inspector.station.reading import Limits
from inspector.station.second_opinion import Archived, Judge
from inspector.upkeep.rejudge_engines import Answers, Engine, Page, judge_page, use_idle_time

# Ray reads these when it is loaded.
_ENVIRONMENT: Final = {
    "RAY_AUTH_MODE": "token",  # else anyone who reaches a port of Ray runs programs here
    "RAY_USAGE_STATS_ENABLED": "0",  # else it reports to its makers
    "RAY_worker_niceness": "0",  # else 15, and beside any other work an actor gets next to nothing
    "RAY_BACKEND_LOG_LEVEL": "fatal",  # its own log files have the rest
    "RAY_worker_register_timeout_seconds": "300",  # 60 s are, too
}
_LOCAL_ENVIRONMENT: Final = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # Ray's only switch to listen on the loopback address alone
}
_MAX_ANSWER_S: Final = 10  # seconds for a connection in one's own network
# Shared memory for numbers and paths, 120 MB a million; the rest is on disk
_STORE_BYTES: Final = 100 * 2**20


@dataclass(frozen=True, slots=True)
class Assignment:
    """All that an actor needs to judge; it goes to other machines, so it holds no secret."""

    file: ArtifactFile
    sha256: str
    thresholds: Mapping[str, float] | None  # of the settings
    limits: Limits
    archive: ArchivePlace
    batch_size: int
    answers: Any  # AnswerFiles, which load Parquet
    in_idle_time: bool

    def judge(self) -> Judge:
        """Open and prove the artifact.

        Raises:
            ArtifactError: it does not answer here as when it was made.
        """
        opened = artifact.open_file(self.file, sha256=self.sha256)
        opened.warm_up(self.batch_size)
        about = ArtifactInUse(opened.metadata.name, opened.metadata.version, opened.sha256)
        return Judge(about, Classifier(opened, self.thresholds), self.limits, self.archive)


class Judging:
    """An actor: a process of Ray that judges page after page."""

    def __init__(self, assignment: Assignment) -> None:
        if assignment.in_idle_time:
            use_idle_time()
        self._assignment, self._judge = assignment, assignment.judge()

    def __call__(self, page: Any) -> dict[str, list[str]]:
        """Judge a page, a table of Arrow, and return the name of the file with the answers."""
        columns = page.to_pydict()
        images = [Archived(*row) for row in zip(*columns.values(), strict=True)]
        answers = judge_page(self._judge, images, self._assignment.batch_size)
        return {"file": [self._assignment.answers.write(answers)]}


def on_ray(assignment: Assignment, *, workers: int | None, address: str | None) -> Engine:
    """Return the engine that judges on Ray.

    Args:
        assignment: what each actor gets.
        workers: actors, with one thread each; None: one for each core that Ray has.
        address: a cluster's, as ``host:6379``; None: Ray starts here, and listens on the loopback address.
    """

    def judged(pages: Iterator[Page]) -> Generator[Answers]:
        files = assignment.answers
        files.prepare()
        for name in files.names():  # of a run that was killed
            yield from _recorded(files, name)
        some = next(pages, None)
        if some is None:
            return
        with _cluster(workers, address) as ray:
            cores = int(ray.cluster_resources()["CPU"])
            rest = itertools.chain([some], pages)
            for name in _judged(ray, assignment, rest, workers=min(workers or cores, cores)):
                yield from _recorded(files, name)

    return judged


def _recorded(files: Any, name: str) -> Iterator[Answers]:
    """Yield a file's answers and remove it: the caller has recorded them when it asks for more."""
    if answers := files.read(name):
        yield answers
    files.remove(name)


def _judged(ray: Any, assignment: Assignment, pages: Iterator[Page], *, workers: int) -> Iterator[str]:
    """Yield the names of files with the answers on pages, as they come."""
    import pyarrow as pa  # noqa: PLC0415 - in the extra, as Ray

    names = ("inspection", "sha256", "path")
    refs = [ray.put(pa.table([[getattr(i, n) for i in page] for n in names], names=names)) for page in pages]
    dataset = ray.data.from_arrow_refs(refs).map_batches(
        Judging,
        fn_constructor_args=(assignment,),
        batch_format="pyarrow",
        batch_size=None,  # a page
        compute=ray.data.ActorPoolStrategy(size=workers),
        num_cpus=1,
    )
    for row in dataset.iter_rows():
        yield str(row["file"])


@contextmanager
def _cluster(workers: int | None, address: str | None) -> Iterator[Any]:
    """Join a cluster, or start one here for this run; provide Ray.

    Raises:
        StationError: Ray does not start or answer, or an actor fails.
        UsageError: the address is none.
    """
    if address:
        _require_answer(address)
    ray = _loaded(is_local=address is None)
    folder = tempfile.mkdtemp(prefix="weld-ray-")
    # Ray prints, for instance that a worker died, and stdout is for the command's answer alone.
    with redirect_stdout(sys.stderr):
        try:
            _start(ray, folder, workers, address)
            yield ray
        except ray.exceptions.RayError as error:
            raise _cause(error) from None
        finally:
            ray.shutdown()
            shutil.rmtree(folder, ignore_errors=True)


def _start(ray: Any, folder: str, workers: int | None, address: str | None) -> None:
    here = {
        "num_cpus": workers or len(os.sched_getaffinity(0)),
        "include_dashboard": False,
        "object_store_memory": _STORE_BYTES,
        "_temp_dir": folder,
    }
    quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        ray.init(address or "local", **quiet, **({} if address else here))
    except Exception as error:  # noqa: BLE001 - Ray raises bare ones, too
        where = f"--address {address}" if address else "Ray does not start here"
        raise StationError(f"{where}: {_line(error)}") from None


def _require_answer(address: str) -> None:
    """Try to connect, since Ray tries for many minutes."""
    host, _, port = address.rpartition(":")
    try:
        with socket.create_connection((host, int(port)), timeout=_MAX_ANSWER_S):
            pass
    except ValueError:
        raise UsageError(f"--address {address}: is no HOST:PORT, such as 192.0.2.10:6379") from None
    except OSError as error:
        raise StationError(f"--address {address}: {error.strerror or error}; start Ray there") from None


def _loaded(*, is_local: bool) -> Any:
    """Load Ray with its doors closed and without its chatter."""
    for name, value in (_ENVIRONMENT | (_LOCAL_ENVIRONMENT if is_local else {})).items():
        os.environ.setdefault(name, value)
    if is_local:
        os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)  # for this run only
    import ray  # noqa: PLC0415
    import ray.data  # noqa: PLC0415

    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    return ray


def _cause(error: BaseException) -> StationError:
    """Return our own error that an actor met, or a line with Ray's."""
    link: BaseException | None = error
    while link is not None:
        if isinstance(link, StationError):
            return type(link)(str(link))
        link = getattr(link, "cause", None) or link.__cause__
    return StationError(f"Ray: {_line(error)}; what was recorded stays, so run it again")


def _line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1][:300] if lines else type(error).__name__

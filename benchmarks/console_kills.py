"""Kill the review console with SIGKILL while verdicts stream in, and prove that none is lost or doubled.

Some people send verdicts over HTTP, each with a key. If the console is killed before it answers, they send
the same verdict with the same key again, as the page does. Now and then they send an acknowledged one again.
At the end each acknowledged verdict must be exactly one row. Run it with ``make console-kills``.
"""

from __future__ import annotations

import http.client
import json
import random
import sys
import threading
import time
import uuid
from collections import Counter
from pathlib import Path
from typing import Annotated

import rig  # puts the tests' own modules on the path
import typer
from console_clients import Client
from consoles import PASSWORD, inspected_station, running_console
from ports import free_port
from stations import Station

IMAGES = 60
PEOPLE = ("anna", "ben", "clara")
ANSWER_S = 30.0  # a person's browser would wait as long, and then send again
MOST_PER_LIFE = 40  # verdicts between a start and a kill
PAUSE_S = 0.02  # between two verdicts of a person: quicker than anyone types


class Person(threading.Thread):
    """Sends verdicts until ``stop`` is set, and each until it is acknowledged.

    ``acknowledged`` has what was said under each key.
    """

    def __init__(self, name: str, port: int, stop: threading.Event, chance: random.Random) -> None:
        super().__init__(name=name)
        self.acknowledged: dict[str, dict[str, object]] = {}
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self._client = Client(port, ANSWER_S)
        self._stop_asked = stop
        self._chance = chance

    def run(self) -> None:
        """Send, send again what had no answer, and now and then what had one."""
        while not self._stop_asked.is_set():
            said: dict[str, object] = {
                "key": str(uuid.uuid4()),
                "inspection": self._chance.randint(1, IMAGES),
                "verdict": self._chance.choice(["PASS", "FAIL", "REVIEW"]),
            }
            self._send(said)
            if self.acknowledged and self._chance.random() < 0.1:
                self.counts["sent again after the answer"] += 1
                again = self._chance.choice(list(self.acknowledged.values()))
                if self._send(again) != 0:
                    self.wrong.append(f"{again['key']}: a second row for a verdict that was sent again")
            time.sleep(PAUSE_S)

    def _send(self, said: dict[str, object]) -> int:
        while True:
            try:
                answer = self._client.say(said)
            except (OSError, http.client.HTTPException):
                self.counts["no answer"] += 1
                time.sleep(0.1)
                continue
            if answer.status == 200:
                key, added = str(said["key"]), int(json.loads(answer.body)["added"])
                # Killed between the commit and the answer.
                self.counts["found written"] += not added and key not in self.acknowledged
                self.acknowledged[key] = said
                return added
            if answer.status == 401:
                self._sign_in()
            elif answer.status == 503:
                self.counts["database away"] += 1
                time.sleep(0.1)
            else:
                self.wrong.append(f"{said}: {answer.status} {answer.body!r}")
                return 0

    def _sign_in(self) -> None:
        try:
            self._client.sign_in(self.name, PASSWORD)
            self.counts["signed in"] += 1
        except (OSError, http.client.HTTPException):
            time.sleep(0.1)


def main(
    backend: Annotated[str, typer.Option(help="sqlite or postgresql")] = "sqlite",
    kills: Annotated[int, typer.Option(min=1)] = 50,
    seed: Annotated[int | None, typer.Option()] = None,
) -> None:
    """Kill the console ``--kills`` times and print the counts; exit with 1 if anything is wrong."""
    seed = random.SystemRandom().randrange(1 << 31) if seed is None else seed
    sys.stderr.write(f"seed {seed}\n")
    with rig.work_folder("console-kills") as folder, rig.databases(backend, folder) as url:
        network = folder / "tiny.pt"
        rig.tiny_artifact(network)
        station = inspected_station(_made(folder / "station"), network, IMAGES, url)
        figures = {"backend": backend, "seed": seed, **kill_while_people_review(station, kills, seed)}
    sys.stdout.write(json.dumps(figures) + "\n")
    raise typer.Exit(bool(figures["problems"]))


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def kill_while_people_review(station: Station, kills: int, seed: int) -> dict[str, object]:
    """Kill the console again and again, let all verdicts be acknowledged, and compare them with the rows."""
    chance, port, stop = random.Random(seed), free_port(), threading.Event()
    people = [Person(name, port, stop, random.Random(f"{seed} {name}")) for name in PEOPLE]
    for person in people:
        person.start()
    try:
        for number in range(kills):
            with running_console(station, port=port) as console:
                # After some verdicts, since the first may take seconds, and then at any moment.
                enough = _acknowledged(people) + chance.randint(0, MOST_PER_LIFE)
                while _acknowledged(people) < enough:
                    time.sleep(0.005)
                time.sleep(chance.uniform(0, 0.2))
                console.kill()
            said = _acknowledged(people)
            sys.stderr.write(f"kill {number + 1}: {said} verdicts acknowledged\n")
        with running_console(station, port=port):
            stop.set()
            for person in people:
                person.join()
    finally:
        stop.set()
    counts: Counter[str] = sum((person.counts for person in people), Counter())
    problems = [line for person in people for line in person.wrong] + compare(station, people)
    for line in problems:
        sys.stderr.write(f"{line}\n")
    acknowledged = _acknowledged(people)
    rows = station.rows("SELECT count(*) FROM review")[0][0]
    return {"kills": kills, "acknowledged": acknowledged, "rows": rows, **counts, "problems": len(problems)}


def _acknowledged(people: list[Person]) -> int:
    return sum(len(person.acknowledged) for person in people)


def compare(station: Station, people: list[Person]) -> list[str]:
    """What differs between the verdicts that were acknowledged and the rows."""
    rows = station.rows("SELECT request_key, inspection_id, verdict, reviewer FROM review")
    found = Counter(row.request_key for row in rows)
    by_key = {row.request_key: (row.inspection_id, row.verdict, row.reviewer) for row in rows}
    problems = [f"{key}: {count} rows" for key, count in found.items() if count > 1]
    for person in people:
        for key, said in person.acknowledged.items():
            expected = said["inspection"], said["verdict"], person.name
            if by_key.pop(key, None) != expected:
                problems.append(f"{key}: acknowledged to {person.name}, and no such row")
    return problems + [f"{key}: a row that was not acknowledged" for key in by_key]


if __name__ == "__main__":
    typer.run(main)

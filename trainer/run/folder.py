"""The run folder: everything needed to believe a result, to make it again, and to go on after a kill.

=====================  ========================================================================
``recipe.yaml``        the recipe as resolved
``run.json``           seeds, git commit, split fingerprint, versions, processor, threads
``split.csv``          path, label, run and part of every frame
``unlabelled.json``    which frames without labels the student learnt from, where there were any
``logs/*.csv``         one line an epoch, one file a network; ``logs/tensorboard/``, the same for TensorBoard
``checkpoints/*.pt``   each network after its last finished epoch
``student.pt``         the distilled student, for ``weld-train compile``
``curves.png``         loss and accuracy by epoch
``confusion.png``      the artifact on the held-out frames; ``reliability.png``, ``mistakes.png`` likewise
``thresholds.png``     what each PASS threshold would have done to them, where thresholds could be chosen
``results.json``       accuracy of every network, with n, interval, confusion and runs
``<name>.pt``          the artifact
=====================  ========================================================================
"""

from __future__ import annotations

import csv
import fcntl
import io
import json
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from trainer.data.datasets import Frame
from trainer.errors import RunError, TrainerError
from trainer.recipe import Recipe
from trainer.run.identity import Identity

log = logging.getLogger(__name__)

RESULTS_FILE = "results.json"
RECIPE_FILE = "recipe.yaml"
IDENTITY_FILE = "run.json"
UNLABELLED_FILE = "unlabelled.json"
RECIPE_KEYS_AFTER_TEACHERS = (
    "distillation",
    "ensemble",
    "thresholds",
    "artifact",
)  # no teacher depends on them
IDENTITY_KEYS_OF_WEIGHTS = ("split_fingerprint", "start", "git_commit", "environment")  # besides the recipe


class RunFolder:
    """An open run folder, held by this process alone for as long as the object lives.

    Where several processes train together, one is the ``leader``: the others write nothing.
    """

    def __init__(self, path: Path, *, leader: bool = True) -> None:
        """Create or open, and lock.

        Raises:
            RunError: another process is at work in it, or it cannot be written.
        """
        self.path, self._leader, self._lock = path, leader, -1
        if not leader:
            return
        try:
            for folder in (path, path / "checkpoints", path / "logs"):
                folder.mkdir(parents=True, exist_ok=True)
            self._lock = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._lock)
            raise RunError(f"{path}: another weld-train is at work in it") from None
        except OSError as error:
            raise RunError(f"{path}: cannot hold a run ({error.strerror}); give another --out") from None

    def close(self) -> None:
        """Let others in."""
        if self._leader:
            os.close(self._lock)

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def check_identity(self, recipe: Recipe, identity: Identity) -> None:
        """Check that the folder is fresh, or holds this recipe's run on this split.

        Raises:
            RunError: it holds another run; the message names what differs.
        """
        before = _read_identity(self.path)
        if before is None:
            return
        differences = list(_differences(_read_recipe(self.path), recipe.resolved()))
        there, here = before["split_fingerprint"], identity.split_fingerprint
        if there != here:
            differences.append(f"the data's split is {there[:12]} there, {here[:12]} here")
        if before.get("start") != identity.start:
            differences.append("the student that networks start from has changed since")
        if differences:
            raise RunError(f"{self.path}: holds another run ({'; '.join(differences)}); give another --out")
        changed = list(_differences(before["environment"], identity.environment))
        if changed:
            log.warning("the run began elsewhere (%s): its last digits may differ", "; ".join(changed))

    def link_teachers(self, finished: Path, recipe: Recipe, identity: Identity) -> None:
        """Begin a fresh run with a finished run's teachers, where its own would be the same to the bit.

        As links: whole or not at all, and whoever trains on replaces his own. Where the file system has none,
        the teachers are trained.
        """
        theirs = _read_identity(finished)
        if not self._leader or _read_identity(self.path) or theirs is None:
            return
        before, here = (
            {key: value for key, value in each.items() if key not in RECIPE_KEYS_AFTER_TEACHERS}
            for each in (_read_recipe(finished), recipe.resolved())
        )
        if before != here or any(theirs.get(k) != getattr(identity, k) for k in IDENTITY_KEYS_OF_WEIGHTS):
            return
        for name in (name for name in identity.seeds if name.startswith("teacher-")):
            for kind, file in (("checkpoints", f"{name}.pt"), ("logs", f"{name}.csv")):
                try:
                    os.link(finished / kind / file, self.path / kind / file)
                except OSError as error:  # also where a killed run had come as far before
                    log.debug("%s is not taken from %s: %s", file, finished, error.strerror)

    def write_identity(
        self, recipe: Recipe, identity: Identity, frames: Sequence[Frame], classes: Sequence[str]
    ) -> None:
        """Mark a fresh folder as this recipe's and this split's."""
        if _read_identity(self.path):
            return
        self.write(RECIPE_FILE, yaml.safe_dump(recipe.resolved(), sort_keys=False, allow_unicode=True))
        rows = [(frame.name, classes[frame.label], frame.run or "", frame.part) for frame in frames]
        self._write_csv("split.csv", ("path", "label", "run", "part"), rows)
        self.write_json(IDENTITY_FILE, asdict(identity))  # last: a folder that has it has all before it

    def record_unlabelled(self, fingerprint: str | None) -> None:
        """Mark which unlabelled frames the student learns from; None: no such frames.

        Raises:
            RunError: it began with others.
        """
        path = self.path / UNLABELLED_FILE
        there = json.loads(path.read_text(encoding="utf-8"))["fingerprint"] if path.exists() else None
        if there == fingerprint:
            return
        if self.checkpoint("student").exists():
            began = "with other frames in --unlabelled" if there else "without --unlabelled"
            raise RunError(f"{self.path}: its student began {began}; give the same, or another --out")
        self.write_json(UNLABELLED_FILE, {"fingerprint": fingerprint})

    def checkpoint(self, network: str) -> Path:
        """Where a network's checkpoint lies."""
        return self.path / "checkpoints" / f"{network}.pt"

    def log(self, network: str) -> Path:
        """Where a network's history lies."""
        return self.path / "logs" / f"{network}.csv"

    def tensorboard(self, network: str) -> Path:
        """Where TensorBoard finds a network's curves."""
        return self.path / "logs" / "tensorboard" / network

    def write_log(self, network: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write the whole history of a network; whole, so that a kill leaves no line twice or out."""
        self._write_csv(
            str(self.log(network).relative_to(self.path)), list(rows[0]), [list(row.values()) for row in rows]
        )

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write one JSON object."""
        self.write(name, json.dumps(content, indent=1, ensure_ascii=False) + "\n")

    def write(self, name: str, text: str) -> None:
        """Write a text file, whole or not at all.

        Raises:
            TrainerError: the disk is full or the folder not writable; what was written before stays.
        """
        if not self._leader:
            return
        path = self.path / name
        temporary = path.with_name(f".{path.name}.tmp")
        try:
            temporary.write_text(text, encoding="utf-8", errors="surrogateescape")
            temporary.replace(path)
        except OSError as error:
            temporary.unlink(missing_ok=True)
            raise TrainerError(
                f"{path}: cannot be written ({error.strerror}); mend that, and the same command goes on"
            ) from None

    def _write_csv(self, name: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
        self.write(name, text.getvalue())


def _read_identity(run: Path) -> dict[str, Any] | None:
    """The identity that a run folder was marked with; None if it is not marked."""
    path = run / IDENTITY_FILE
    if not path.exists():
        return None
    identity: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return identity


def _read_recipe(run: Path) -> dict[str, Any]:
    recipe: dict[str, Any] = yaml.safe_load((run / RECIPE_FILE).read_text(encoding="utf-8"))
    return recipe


def _differences(there: Any, here: Any, key: str = "") -> Iterable[str]:
    if isinstance(there, dict) and isinstance(here, dict):
        for name in sorted(there.keys() | here.keys()):
            yield from _differences(there.get(name), here.get(name), f"{key}.{name}" if key else name)
    elif there != here:
        yield f"{key} is {there} there, {here} here"

"""The run folder: everything that is needed to check a result, to repeat it, and to resume after a stop.

=====================  ========================================================================
``recipe.yaml``        the recipe, with the defaults and ``--set``
``run.json``           seeds, git commit, split fingerprint, versions, processor, threads
``split.csv``          path, label, run and part of every frame, and the first of its near-duplicates
``unlabelled.json``    fingerprint of the frames without labels that the student learns from, if any
``logs/*.csv``         one file per network, one line per epoch; ``logs/tensorboard/`` has the same curves
``checkpoints/*.pt``   each network after its last finished epoch
``student.pt``         the distilled student, for ``weld-train compile``
``curves.png``         loss and accuracy by epoch
``confusion.png``      the artifact on the held-out frames; so are ``reliability.png`` and ``mistakes.png``
``thresholds.png``     effect of each PASS threshold on the held-out frames, if thresholds could be chosen
``results.json``       accuracy of every network, with n, intervals, confusion and runs
``report.html``        all of this as one page, with the pictures inside, to send to a colleague
``<name>.pt``          the artifact
``final/``             the run of ``--final``, with its own ``student.pt``, artifact and ``results.json``
=====================  ========================================================================
"""

from __future__ import annotations

import csv
import fcntl
import json
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import yaml

from inspector.spreadsheets.tables import from_cell
from trainer.data.datasets import Frame
from trainer.errors import RecipeError, RunError
from trainer.network import lite0
from trainer.recipe import Recipe
from trainer.run.identity import Identity
from trainer.run.saving import csv_text, write_text

log = logging.getLogger(__name__)

RESULTS_FILE = "results.json"
RECIPE_FILE = "recipe.yaml"
IDENTITY_FILE = "run.json"
UNLABELLED_FILE = "unlabelled.json"
SPLIT_FILE = "split.csv"
RECIPE_KEYS_AFTER_TEACHERS = (
    "distillation",
    "ensemble",
    "thresholds",
    "artifact",
)  # no teacher depends on them
IDENTITY_KEYS_OF_WEIGHTS = ("split_fingerprint", "start", "git_commit", "environment")  # besides the recipe


class RunFolder:
    """An open run folder, locked for this process until it is closed.

    If several processes learn, only the ``leader`` writes.
    """

    def __init__(self, path: Path, *, leader: bool = True) -> None:
        """Create the folder or open it, and lock it.

        Raises:
            RunError: another process uses the folder, or it cannot be written.
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
            raise RunError(f"{path}: another weld-train uses it; wait, or give another --out") from None
        except OSError as error:
            raise RunError(f"{path}: cannot be used ({error.strerror}); give another --out") from None

    def close(self) -> None:
        """Unlock the folder."""
        if self._leader:
            os.close(self._lock)

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def check_identity(self, recipe: Recipe, identity: Identity, split_of_names: str) -> Identity:
        """Check that the folder is new, or holds the run of this recipe and this split.

        ``split_of_names`` is the split's fingerprint without the frames' bytes, as older runs have it.

        Returns:
            The identity; if another commit of the program began the run, with both commits.

        Raises:
            RunError: it holds another run; the message names the differences.
        """
        before = _read_identity(self.path)
        if before is None:
            return identity
        differences = list(_differences(_read_recipe(self.path), recipe.resolved()))
        there, here = before["split_fingerprint"], identity.split_fingerprint
        if there == split_of_names:
            log.warning("the run began with a version that knew frames by name: changed frames go unnoticed")
        elif there != here:
            differences.append(f"the data's split is {there[:12]} there, {here[:12]} here")
        if before.get("start") != identity.start:
            differences.append(_changed_start(before.get("start"), recipe))
        if differences:
            raise RunError(f"{self.path}: holds another run ({'; '.join(differences)}); give another --out")
        changed = list(_differences(before["environment"], identity.environment))
        if changed:
            log.warning("the run began elsewhere (%s): last digits may differ", "; ".join(changed))
        began, now = before.get("git_commit"), identity.git_commit
        if began == now:
            return identity
        log.warning("the run began with another version (%s, now %s)", began, now)
        return replace(identity, git_commit=f"{began}, resumed by {now}")

    def link_teachers(self, finished: Path, recipe: Recipe, identity: Identity) -> None:
        """Start a new run with the teachers of a finished run, if its own would be the same to the bit.

        The files are hard links. A link is complete or missing, and further training replaces it without
        changing the finished run. If the file system has no links, the teachers are trained.
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
        names = [name for name in identity.seeds if name.startswith("teacher-")]
        if _read_recipe(finished)["ensemble"].get("pretrained") != recipe.ensemble.pretrained:
            names = [name for name in names if name != lite0.TEACHER]
        for name in names:
            for kind, file in (("checkpoints", f"{name}.pt"), ("logs", f"{name}.csv")):
                try:
                    os.link(finished / kind / file, self.path / kind / file)
                except OSError as error:  # also if a killed run has linked the file before
                    log.debug("%s is not linked from %s: %s", file, finished, error.strerror)

    def write_identity(
        self, recipe: Recipe, identity: Identity, frames: Sequence[Frame], classes: Sequence[str]
    ) -> None:
        """Mark a new folder as the run of this recipe and this split."""
        if _read_identity(self.path):
            return
        self.write(RECIPE_FILE, yaml.safe_dump(recipe.resolved(), sort_keys=False, allow_unicode=True))
        rows = [(f.name, classes[f.label], f.run or "", f.part, f.alike or "") for f in frames]
        self._write_csv(SPLIT_FILE, ("path", "label", "run", "part", "alike"), rows)
        self.write_json(IDENTITY_FILE, asdict(identity))  # last, so that a marked folder is complete

    def record_unlabelled(self, fingerprint: str | None) -> None:
        """Record the unlabelled frames that the student learns from, by their fingerprint; None: no frames.

        Raises:
            RunError: the student began with other frames.
        """
        path = self.path / UNLABELLED_FILE
        there = read_json(path, "fingerprint")["fingerprint"] if path.exists() else None
        if there == fingerprint:
            return
        if self.checkpoint("student").exists():
            began = "with other frames in --unlabelled" if there else "without --unlabelled"
            raise RunError(f"{self.path}: its student began {began}; give the same frames, or another --out")
        self.write_json(UNLABELLED_FILE, {"fingerprint": fingerprint})

    def checkpoint(self, network: str) -> Path:
        """Path of a network's checkpoint."""
        return self.path / "checkpoints" / f"{network}.pt"

    def log(self, network: str) -> Path:
        """Path of a network's history."""
        return self.path / "logs" / f"{network}.csv"

    def tensorboard(self, network: str) -> Path:
        """Folder of a network's curves for TensorBoard."""
        return self.path / "logs" / "tensorboard" / network

    def write_log(self, network: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write the whole history of a network, so that no line is missing or double after a kill."""
        self._write_csv(
            str(self.log(network).relative_to(self.path)), list(rows[0]), [list(row.values()) for row in rows]
        )

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a JSON object, whole or not at all."""
        self.write(name, json.dumps(content, indent=1, ensure_ascii=False) + "\n")

    def write(self, name: str, text: str) -> None:
        """Write a text file, whole or not at all.

        Raises:
            TrainerError: the disk is full, or the folder is not writable; older files stay as they are.
        """
        if not self._leader:
            return
        write_text(text, self.path / name)

    def _write_csv(self, name: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
        self.write(name, csv_text(header, rows))


def read_json(path: Path, *keys: str, fix: str = "give another --out") -> dict[str, Any]:
    """Read a JSON object of a run folder that has at least these keys; ``fix`` is the way out.

    Raises:
        RunError: the file is missing or damaged.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        content = None
    if not isinstance(content, dict) or not content.keys() >= set(keys):
        raise _damaged(path, fix)
    return content


def read_results(run: Path) -> dict[str, Any]:
    """Read the results of a finished run.

    Raises:
        RunError: they are missing or damaged.
    """
    fix = "the command of the run writes it again"
    return read_json(run / RESULTS_FILE, "split_fingerprint", "models", "n", fix=fix)


def is_finished(run: Path) -> bool:
    """Whether a run has results that can be read. Torn ones are named; the run writes them again."""
    if not (run / RESULTS_FILE).exists():
        return False
    try:
        read_results(run)
    except RunError as error:
        log.warning("%s", error)
        return False
    return True


def read_split(run: Path) -> list[dict[str, str]]:
    """Return the rows of a run's ``split.csv``: path, label, run and part of every frame.

    Raises:
        RunError: the file is missing or damaged.
    """
    path = run / SPLIT_FILE
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as stream:
            rows = list(csv.DictReader(stream))
    except (OSError, csv.Error):
        rows = []
    if not rows or any(None in row.values() or not row.keys() >= {"path", "label", "part"} for row in rows):
        raise _damaged(path)
    return [{name: from_cell(text) for name, text in row.items()} for row in rows]


def read_recipe(run: Path) -> Recipe:
    """Return the recipe of a run, with the frame size that it took from its frames.

    Raises:
        RunError: the file is missing or damaged.
        RecipeError: it is of a version with other keys.
    """
    return Recipe.from_values(_read_recipe(run), str(run / RECIPE_FILE))


def require_same_recipe(run: Path, recipe: Recipe) -> None:
    """Check that a finished run is one of this recipe.

    Raises:
        RunError: it is another one; the message names the differences.
    """
    ignored = {"network.grow"} | (
        {"network.height", "network.width"} if recipe.network.height is None else set()
    )
    differences = [
        line
        for line in _differences(_read_recipe(run), recipe.resolved())
        if line.partition(" ")[0] not in ignored  # the run took these from its frames
    ]
    if differences:
        raise RunError(f"{run}: holds another run ({'; '.join(differences)}); give another --out")


def require_same_split(run: Path, of_bytes: str, of_names: str) -> None:
    """Check that a finished run is one of these frames, by the fingerprints of their split.

    Raises:
        RunError: it is of other frames, or of other parts of the data.
    """
    there = (_read_identity(run) or {}).get("split_fingerprint")
    if there not in (of_bytes, of_names):  # runs up to November 2026 have the one of names
        raise RunError(
            f"{run}: holds another run (the data's split is {str(there)[:12]} there, {of_bytes[:12]} here); "
            "give another --out"
        )


def _read_identity(run: Path) -> dict[str, Any] | None:
    """Return the identity of a run folder; None if the folder is not marked."""
    path = run / IDENTITY_FILE
    return read_json(path, "split_fingerprint", "environment") if path.exists() else None


def _read_recipe(run: Path) -> dict[str, Any]:
    """Return the values of a run's recipe. Keys that its version did not know have their defaults."""
    path = run / RECIPE_FILE
    try:
        recipe = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        recipe = None
    if not isinstance(recipe, dict):
        raise _damaged(path)
    try:
        return Recipe.from_values(recipe, str(path)).resolved()
    except (RecipeError, TypeError):  # of a version with other keys, which the comparison names
        return recipe


def _damaged(path: Path, fix: str = "give another --out") -> RunError:
    return RunError(f"{path}: is missing or damaged, as after a power cut; {fix}")


def _changed_start(before: str | None, recipe: Recipe) -> str:
    if before is None and recipe.network.start == "auto":
        return "its networks began at random, as 'auto' meant above 300 frames up to November 2026"
    return "the student that networks start from has changed since"


def _differences(there: Any, here: Any, key: str = "") -> Iterable[str]:
    if isinstance(there, dict) and isinstance(here, dict):
        for name in sorted(there.keys() | here.keys()):
            yield from _differences(there.get(name), here.get(name), f"{key}.{name}" if key else name)
    elif there != here:
        yield f"{key} is {there} there, {here} here"

"""The artifact's metadata: the contract between trainer and inspector, readable without torch.

A TorchScript file is a zip archive. Its ``extra/`` folder holds ``metadata.json`` and ``golden.npz``, so the
standard library can read them.
"""

from __future__ import annotations

import hashlib
import io
import zipfile
import zlib
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from inspector import permissions
from inspector.errors import ArtifactError as ArtifactError  # re-exported for the trainer
from inspector.errors import UsageError

METADATA_FILE = "metadata.json"
GOLDEN_FILE = "golden.npz"

# Errors of zipfile on damaged archives, depending on the wrong byte.
ARCHIVE_ERRORS = (
    OSError,
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    ValueError,  # for instance UnicodeDecodeError
    RuntimeError,  # "encrypted"; also NotImplementedError
)

_DEMONSTRATION = "synthetic"  # name of the recipe for synthetic frames, and of its artifacts

Share = Annotated[float, Field(ge=0, le=1)]


class TrainingVerdict(StrEnum):
    """The trainer's verdict on a network; its words in the metadata begin with one of these."""

    READY = "ready"
    USABLE_WITH_REVIEW = "usable with review"
    DO_NOT_DEPLOY = "do not deploy"  # a station refuses it


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class WeldClass(_Strict):
    """One class: its name, whether the shop accepts it, and its ISO 6520-1 group if one applies."""

    name: Annotated[str, Field(min_length=1)]
    role: Literal["accept", "defect"]
    iso6520: str | None = None


class Thresholds(_Strict):
    """Probabilities from which a frame is PASS (sum of the accept classes) or FAIL (its defect class)."""

    accept: Share = 0.5
    defect: Share = 0.5
    per_class: dict[str, Share] = {}  # defect classes that need another threshold than ``defect``
    novelty: float | None = None  # novelty above this is REVIEW; None if novelty was not fitted
    chosen: str = "default"  # how they were chosen: "default", or the wanted escape rate and n


class Golden(_Strict):
    """Largest differences between a network's answers and its golden ones."""

    probability: Annotated[float, Field(gt=0)] = 0.05  # absolute; processors round int8 sums differently
    top1: bool = True  # the top class must be the same if its golden margin exceeds ``probability``


class Metadata(_Strict):
    """All facts that the station needs about an artifact, checked when written and when read."""

    schema_number: Literal[1] = Field(default=1, alias="schema")
    name: Annotated[str, Field(min_length=1)]
    version: Annotated[str, Field(min_length=1)]
    classes: Annotated[list[WeldClass], Field(min_length=2)]
    height: Annotated[int, Field(ge=64)]  # pixels of a prepared frame
    width: Annotated[int, Field(ge=64)]
    bit_depth: Annotated[int, Field(ge=8, le=16)] = 8  # significant bits of a source pixel above 8 bits
    thresholds: Thresholds = Thresholds()
    temperature: Annotated[float, Field(gt=0)] = 1.0  # logits are divided by it inside the artifact
    calibrated: bool = False  # True if ``temperature`` was fitted on held-out frames
    quantization: Literal["dynamic", "static", "none"]
    golden: Golden = Golden()
    network: dict[str, Any]  # the network's own configuration (channels, plan)
    metrics: dict[str, Any]  # with n, seeds and the split's fingerprint
    recipe: dict[str, Any]
    git_commit: str | None
    torch_version: str
    created: str  # ISO 8601, UTC

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)

    @model_validator(mode="after")
    def _classes_make_sense(self) -> Self:
        names = [c.name for c in self.classes]
        if len(set(names)) != len(names):
            raise ValueError(f"class names repeat: {names}")
        unknown = sorted(
            set(self.thresholds.per_class) - {c.name for c in self.classes if c.role == "defect"}
        )
        if unknown:
            raise ValueError(f"thresholds for classes that are no defect class: {unknown}")
        return self

    @property
    def training_frames(self) -> frozenset[str] | None:
        """Content hashes of the frames that the network learnt from; None if they are not recorded."""
        recorded = self.metrics.get("training_frames")
        return None if recorded is None else frozenset(recorded)

    @property
    def training_verdict(self) -> str | None:
        """The trainer's verdict in words, which begin with a :class:`TrainingVerdict`; None without one."""
        verdict = self.metrics.get("training_verdict")
        return None if verdict is None else str(verdict)

    @property
    def is_unfit(self) -> bool:
        """Whether the trainer's verdict is not to deploy the network; one without a verdict is not unfit."""
        return (self.training_verdict or "").lower().startswith(TrainingVerdict.DO_NOT_DEPLOY)

    @property
    def caution(self) -> str | None:
        """Why verdicts of this network do not count yet, or only with care, in words; None if they count."""
        if self.name == _DEMONSTRATION:
            return (
                "this is the demonstration's network, which has only seen synthetic frames; "
                "train one on this camera's frames before a verdict counts"
            )
        verdict = self.training_verdict
        return None if verdict in (None, TrainingVerdict.READY) else f"its training ended with '{verdict}'"

    @property
    def promise(self) -> str | None:
        """The trainer's promise about escapes at its thresholds, in words; None if it made none."""
        words = self._promise.get("words")
        return None if words is None else str(words)

    @property
    def keeps_wish(self) -> bool:
        """Whether the promise is the share of escapes that the recipe wished for."""
        return self._promise.get("kept") is True

    @property
    def _promise(self) -> dict[str, Any]:
        found = self.metrics.get("promise")
        return found if isinstance(found, dict) else {}

    @property
    def class_names(self) -> list[str]:
        """Class names in the order of the network's outputs."""
        return [c.name for c in self.classes]

    def to_json(self) -> str:
        """Return the text of ``metadata.json``."""
        return self.model_dump_json(by_alias=True, indent=1)

    @classmethod
    def from_json(cls, text: str | bytes, *, source: str) -> Self:
        """Parse and check a text; ``source`` names the file in the message.

        Raises:
            ArtifactError: one line that names the first wrong field.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(p) for p in first["loc"]) or "the whole"
            raise ArtifactError(
                f"{source}: metadata.json is not as this program reads it ({where}: {first['msg']}); "
                "compile the artifact again with this program's trainer"
            ) from None


@dataclass(frozen=True, slots=True)
class ArtifactFile:
    """An artifact's bytes, read once: hash, metadata, golden frames and network all come from the same bytes.

    Another file may take the path's place at any moment, so nothing of an artifact is read by its path again.
    """

    path: Path
    data: bytes

    @classmethod
    def read(cls, path: Path, *, others_may_write: bool | None = None) -> Self:
        """Read the file.

        Args:
            path: the file.
            others_may_write: whether to accept a file that other users can write or replace, although it
                holds code; by default the environment says it (``WELD_OTHERS_MAY_WRITE``).

        Raises:
            ArtifactError: the file is missing, cannot be read, or other users can write it.
        """
        if others_may_write is None:
            others_may_write = permissions.environment_allows_others()
        try:
            if path.exists() and not others_may_write:
                permissions.require_protected_artifact(path)
            return cls(path, path.read_bytes())
        except UsageError as error:
            raise ArtifactError(str(error)) from None
        except FileNotFoundError:
            raise ArtifactError(
                f"{path}: no such file; name one made by weld-train (in the settings: 'artifact')"
            ) from None
        except OSError as error:
            raise ArtifactError(
                f"{path}: is not an artifact ({error.strerror}); make one with weld-train"
            ) from None

    @property
    def sha256(self) -> str:
        """The hash of the bytes, in hex digits."""
        return hashlib.sha256(self.data).hexdigest()

    def extra_file(self, name: str) -> bytes:
        """Return one extra file; errors as in the function of this name."""
        return _extra(io.BytesIO(self.data), self.path, name)

    def metadata(self) -> Metadata:
        """Return the metadata; errors as in :func:`read`."""
        return Metadata.from_json(self.extra_file(METADATA_FILE), source=str(self.path))


def extra_file(artifact: Path, name: str) -> bytes:
    """Read one extra file of a TorchScript archive, with ``zipfile`` alone.

    Raises:
        ArtifactError: the file is missing, is no archive, or lacks that extra file.
    """
    return _extra(artifact, artifact, name)


def _extra(source: Path | io.BytesIO, artifact: Path, name: str) -> bytes:
    try:
        with zipfile.ZipFile(source) as archive:
            for entry in archive.namelist():
                if entry.endswith(f"/extra/{name}"):
                    return archive.read(entry)
    except FileNotFoundError:
        raise ArtifactError(
            f"{artifact}: no such file; name one made by weld-train (in the settings: 'artifact')"
        ) from None
    except ARCHIVE_ERRORS as error:
        raise ArtifactError(f"{artifact}: is not an artifact ({error}); make one with weld-train") from None
    raise ArtifactError(
        f"{artifact}: is TorchScript but lacks {name}; make the artifact with weld-train compile"
    )


def read(artifact: Path) -> Metadata:
    """Read the metadata of an artifact, without opening the network (and without torch).

    Raises:
        ArtifactError: see :func:`extra_file` and :meth:`Metadata.from_json`.
    """
    return Metadata.from_json(extra_file(artifact, METADATA_FILE), source=str(artifact))

"""Opens the artifact and verifies it: the right file, undamaged, with the right answers on this processor."""

from __future__ import annotations

import io
import logging
import platform
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from inspector.errors import ArtifactError, ImageError
from inspector.imaging import decoder
from inspector.network import memory
from inspector.network.metadata import ARCHIVE_ERRORS, GOLDEN_FILE, ArtifactFile, Metadata

log = logging.getLogger("weldnet")


@dataclass(frozen=True, slots=True)
class Artifact:
    """An opened and verified network; safe for several threads."""

    path: Path
    sha256: str
    metadata: Metadata
    _network: torch.jit.ScriptModule

    def prepare(self, pixels: NDArray[np.uint8]) -> Tensor:
        """Resize a decoded frame, ``uint8[h, w]`` of any size → ``uint8[1, H, W]``."""
        with torch.inference_mode():
            prepared: Tensor = self._network.prepare(torch.from_numpy(pixels)[None])
        return prepared

    def forward(self, batch: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Run prepared frames ``uint8[N, 1, H, W]``, N ≥ 1, through the network.

        Returns:
            Probabilities ``float32[N, C]``, heat ``float32[N, h, w]`` from 0 to 1, novelty ``float32[N]``.
        """
        with torch.inference_mode():
            answers: tuple[Tensor, Tensor, Tensor] = self._network.forward(batch)  # not __call__: 20 µs
        return answers

    def warm_up(self, batch_size: int) -> None:
        """Run the network twice, since the first calls compile, pack and allocate.

        From here on torch computes on one thread. A station's workers run in parallel, with one batch each,
        which scales better than many threads in one small convolution. They share the existing heaps.
        """
        torch.set_num_threads(1)
        memory.keep_freed_memory()
        frames = torch.zeros([batch_size, 1, self.metadata.height, self.metadata.width], dtype=torch.uint8)
        for _ in range(2):  # TorchScript watches the first call and optimizes for the second
            self.forward(frames)


def open(
    path: Path,
    *,
    sha256: str | None = None,
    others_may_write: bool | None = None,
    accept_unfit: bool = True,
) -> Artifact:
    """Hash, check, load, freeze and verify an artifact, all from one reading of its bytes.

    Args:
        path: the file.
        sha256: hex digest that the file must have; None accepts any.
        others_may_write: see :meth:`inspector.network.metadata.ArtifactFile.read`.
        accept_unfit: whether to open a network that its trainer says not to deploy.

    Raises:
        ArtifactError: one line: what is wrong with the file, or with this machine, and how to fix it.
    """
    file = ArtifactFile.read(path, others_may_write=others_may_write)
    return open_file(file, sha256=sha256, accept_unfit=accept_unfit)


def open_file(file: ArtifactFile, *, sha256: str | None = None, accept_unfit: bool = True) -> Artifact:
    """Check, load, freeze and verify an artifact that was read; arguments and errors as in :func:`open`."""
    path, digest = file.path, file.sha256
    if sha256 is not None and digest != sha256:
        raise ArtifactError(
            f"{path}: has SHA-256 {digest}, but artifact_sha256 asks for {sha256}; "
            "install the right file or correct the setting"
        )
    about = file.metadata()
    if about.is_unfit and not accept_unfit:
        raise ArtifactError(
            f"{path}: its training ended with '{about.training_verdict}'; train it again, or set "
            "accept_unfit_artifact: true to use it all the same"
        )
    golden = _golden(file)
    artifact = Artifact(path, digest, about, _load(path, file.data))
    _verify(artifact, golden)
    if platform.machine() == "x86_64" and torch.backends.cpu.get_cpu_capability() == "DEFAULT":
        log.warning(
            "torch finds no vector instructions on this processor and runs several times slower; "
            "is /proc/cpuinfo hidden (ProcSubset=pid in a unit), or ATEN_CPU_CAPABILITY set?"
        )
    return artifact


def _load(path: Path, data: bytes) -> torch.jit.ScriptModule:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            damaged = archive.testzip()
    except ARCHIVE_ERRORS as error:
        damaged = str(error)
    if damaged is not None:
        raise ArtifactError(f"{path}: is damaged (checksums: {damaged}); copy it again")
    try:
        module: torch.jit.ScriptModule = torch.jit.load(io.BytesIO(data))  # type: ignore[no-untyped-call]
        frozen: torch.jit.ScriptModule = torch.jit.freeze(module.eval(), preserved_attrs=["prepare"])
    except Exception as error:  # noqa: BLE001 - TorchScript raises RuntimeError, AttributeError and others
        raise _load_error(path, error) from None
    return frozen


def _load_error(path: Path, error: Exception) -> ArtifactError:
    """Say in one line what TorchScript could not do; a lack of int8 needs another fix than a wrong file."""
    text = " ".join(str(error).split())
    if "onednn" in text or "primitive" in text:
        return ArtifactError(
            f"{path}: this machine ({platform.machine()}) cannot run its int8 network; "
            "compile the student with --scheme none"
        )
    return ArtifactError(f"{path}: is not an artifact ({text[-160:]}); make one with weld-train compile")


@dataclass(frozen=True, slots=True)
class _Golden:
    png: bytes  # raw image whose prepared form is the first frame
    frames: NDArray[np.uint8]  # [n, 1, H, W]
    probabilities: NDArray[np.float32]  # [n, C]
    heat: NDArray[np.float32]  # [n, h, w]


def _golden(file: ArtifactFile) -> _Golden:
    try:
        with np.load(io.BytesIO(file.extra_file(GOLDEN_FILE)), allow_pickle=False) as golden:
            return _Golden(golden["png"].tobytes(), golden["frames"], golden["probabilities"], golden["heat"])
    except (KeyError, *ARCHIVE_ERRORS) as error:
        raise ArtifactError(
            f"{file.path}: its {GOLDEN_FILE} is damaged ({error}); copy or compile it again"
        ) from None


def _verify(artifact: Artifact, golden: _Golden) -> None:
    """Check that the golden PNG gives the golden frame, and that the golden frames give the golden answers.

    Raises:
        ArtifactError: decoder, resize or network differ from those of the file's making.
    """
    wrong = f"{artifact.path}: does not answer as when it was made"
    cure = "install the torch and Pillow that this program asks for, or compile the artifact again"
    try:
        prepared = artifact.prepare(decoder.decode(golden.png)).numpy()
        answers = [answer.numpy() for answer in artifact.forward(torch.from_numpy(golden.frames))]
    except ImageError as error:
        raise ArtifactError(f"{wrong}: the golden image is not read ({error}); {cure}") from None
    except Exception as error:  # noqa: BLE001 - as in _load: what TorchScript raises is not documented
        raise _load_error(artifact.path, error) from None
    if not np.array_equal(prepared, golden.frames[0]):
        raise ArtifactError(f"{wrong}: the golden image is decoded or resized to other pixels; {cure}")
    if [answer.shape for answer in answers[:2]] != [golden.probabilities.shape, golden.heat.shape]:
        raise ArtifactError(f"{wrong}: it gives other classes or another heat map; {cure}")
    tolerance = artifact.metadata.golden.probability
    worst = np.abs(answers[0] - golden.probabilities).max()
    heat = np.abs(answers[1] - golden.heat).mean()  # also from 0 to 1; single pixels may move more
    if not max(worst, heat) <= tolerance or not all(np.isfinite(answer).all() for answer in answers):
        raise ArtifactError(
            f"{wrong}: golden probabilities differ by {worst:.3g}, heat by {heat:.3g} "
            f"(allowed {tolerance:g}); {cure}"
        )
    if artifact.metadata.golden.top1 and not _same_top(answers[0], golden.probabilities, tolerance):
        raise ArtifactError(f"{wrong}: a golden frame has another top class; {cure}")


def _same_top(answers: NDArray[np.float32], golden: NDArray[np.float32], margin: float) -> bool:
    """Whether the top class is the same in each frame in which it led by more than ``margin``."""
    second, first = np.sort(golden, axis=1)[:, -2:].T
    same = answers.argmax(axis=1) == golden.argmax(axis=1)
    return bool(np.all(same | (first - second <= margin)))

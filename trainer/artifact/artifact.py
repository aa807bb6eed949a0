"""Student → artifact: one TorchScript file that stands alone, proved before it counts.

What it answers to (``forward``, ``prepare``), what it carries (``metadata.json``, ``golden.npz``) and how
the inspector opens it is the contract between the two programs; see :mod:`inspector.network.metadata`.
"""

# no 'from __future__ import annotations' here: TorchScript reads the attributes' types as objects
import io
import os
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from inspector.imaging.decoder import decode
from inspector.network.metadata import (
    GOLDEN_FILE,
    METADATA_FILE,
    ArtifactError,
    Metadata,
    Thresholds,
    WeldClass,
)
from inspector.network.metadata import read as read_metadata
from trainer.data.resizing import prepare
from trainer.evaluation.novelty import Novelty
from trainer.int8.ranges import Ranges
from trainer.int8.schemes import Compiled, Scheme, compile_network
from trainer.network.weldnet import WeldNet

MAX_GOLDEN_FRAMES = 3  # enough to prove a network; more would make a 3 MB file a 5 MB one
MAX_GOLDEN_SIDE = 512  # pixels of the raw golden PNG: it proves decoder and resize, not a camera


class ArtifactNetwork(nn.Module):
    """What the file answers to. Frames go through the network as far as none depends on its batch."""

    def __init__(self, network: Compiled, student: WeldNet, novelty: Novelty) -> None:
        super().__init__()
        self.network = network
        self.class_weights = student.head.weight.detach().clone()
        self.novelty = novelty
        self.height, self.width = student.config.height, student.config.width

    def forward(self, batch: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """``uint8[N, 1, H, W]`` prepared frames, N ≥ 1 → probabilities, heat and novelty.

        Probabilities are ``float32[N, C]``. Heat is the class activation map of the top class (Zhou et
        al. 2016), ``float32[N, h, w]`` from 0 to 1. Novelty is ``float32[N]``, 0 where it was not fitted.
        """
        if batch.dtype != torch.uint8 or list(batch.shape[1:]) != [1, self.height, self.width]:
            raise ValueError(f"frames must be uint8[N, 1, {self.height}, {self.width}]")
        logits: list[Tensor] = []
        heat_maps: list[Tensor] = []
        novelty: list[float] = []
        for frames in torch.split(batch, self.network.at_once):
            features, pooled, frames_logits = self.network(frames)
            logits.append(frames_logits)
            labels: list[int] = frames_logits.argmax(1).tolist()
            for i, label in enumerate(labels):  # one by one: no sum may depend on N
                heat_maps.append(self.heat_map(features[i], label))
                novelty.append(self.novelty(pooled[i]))
        probabilities = torch.softmax(torch.cat(logits), 1)
        return probabilities, torch.stack(heat_maps), torch.tensor(novelty, dtype=torch.float32)

    def heat_map(self, features: Tensor, label: int) -> Tensor:
        """Where in ``float32[h, w, F]`` the evidence for a class lies, ``float32[h, w]`` from 0 to 1.

        The last layer is linear, so what it makes of each pixel's features is what that pixel adds to the
        class's logit, in the features' own unit and up to the bias.
        """
        evidence = torch.matmul(features, self.class_weights[label])
        low, high = evidence.aminmax()
        least, reach = float(low), float(high) - float(low)
        return evidence.sub_(least).div_(max(reach, 1e-12))

    @torch.jit.export
    def prepare(self, image: Tensor) -> Tensor:
        """``uint8[1, h, w]`` of any size → ``uint8[1, H, W]``."""
        return prepare(image, self.height, self.width)


def compile_artifact(
    student: WeldNet,
    *,
    out: Path,
    scheme: str,
    classes: Sequence[WeldClass],
    golden_images: Sequence[NDArray[np.uint8]],
    metrics: dict[str, Any],
    recipe: dict[str, Any],
    name: str,
    version: str,
    bit_depth: int = 8,
    git_commit: str | None = None,
    thresholds: Thresholds | None = None,
    temperature: float = 1.0,
    calibrated: bool = False,
    ranges: Ranges | None = None,
    novelty: Novelty | None = None,
) -> Metadata:
    """Write the artifact, open it again, and put it in place only if it answers as it should.

    Args:
        student: the network, with its size in its configuration.
        out: the file; what stood there is replaced in one step.
        scheme: ``dynamic`` (int8, each frame's own scales), ``static`` (int8, calibrated scales) or ``none``
            (fp32).
        classes: in the order of the network's outputs.
        golden_images: raw camera frames, uint8[h, w], one at least; a few of them travel with the file.
        metrics: of the fp32 student, with n, seeds and the split's fingerprint.
        recipe: what it was trained with.
        name: of the model, for people and for every row of the database.
        version: of the model.
        bit_depth: significant bits of a source pixel above 8 bits.
        git_commit: of the trainer.
        thresholds: probabilities for PASS and FAIL; the metadata's defaults where None.
        temperature: what logits are divided by.
        calibrated: True where ``temperature`` was fitted on held-out frames.
        ranges: of the student's maps; ``static`` needs them.
        novelty: fitted on the training frames; every frame's is 0 where None.

    Raises:
        ArtifactError: student, classes or scheme do not fit, or the file does not answer as it should.
    """
    checked_scheme = _check(student, classes, scheme, golden_images, ranges)
    metadata = Metadata(
        name=name,
        version=version,
        classes=list(classes),
        height=student.config.height,
        width=student.config.width,
        bit_depth=bit_depth,
        thresholds=thresholds or Thresholds(),
        temperature=temperature,
        calibrated=calibrated,
        quantization=checked_scheme,
        network=asdict(student.config),
        metrics=metrics,
        recipe=recipe,
        git_commit=git_commit,
        torch_version=torch.__version__,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    module = _script(student, metadata, ranges, novelty or Novelty(student.head.in_features))
    png, frames = _golden_inputs(module, golden_images)
    golden = {"png": np.frombuffer(png, np.uint8), "frames": frames.numpy()} | _answers(module, frames)
    _publish(module, metadata, golden, out)
    return read_metadata(out)


def _check(
    student: WeldNet,
    classes: Sequence[WeldClass],
    scheme: str,
    images: Sequence[NDArray[np.uint8]],
    ranges: Ranges | None,
) -> Scheme:
    config = student.config
    if scheme not in get_args(Scheme):
        raise ArtifactError(f"scheme '{scheme}' is not one of {', '.join(get_args(Scheme))}")
    if scheme == "static" and ranges is None:
        raise ArtifactError(
            "the student carries no ranges of its maps, which --scheme static needs; train it again with "
            "this program, or use --scheme dynamic"
        )
    if len(classes) != config.classes:
        raise ArtifactError(f"the student tells {config.classes} classes, but {len(classes)} are named")
    if config.in_channels != 1:
        raise ArtifactError(f"the student takes {config.in_channels} channels; a station's frames have 1")
    if not images:
        raise ArtifactError("there is no golden image; an artifact proves itself with one frame at least")
    if not all(bool(tensor.isfinite().all()) for tensor in student.state_dict().values()):
        raise ArtifactError("the student has weights that are not numbers; train it again")
    return cast(Scheme, scheme)


def _script(
    student: WeldNet, metadata: Metadata, ranges: Ranges | None, novelty: Novelty
) -> torch.jit.ScriptModule:
    try:
        network = compile_network(student, metadata.quantization, ranges, metadata.temperature)
        module = ArtifactNetwork(network, student, novelty).eval()
        scripted: torch.jit.ScriptModule = torch.jit.script(module)
    except (RuntimeError, AttributeError) as error:  # operators or primitives that this processor lacks
        reason = " ".join(str(error).split())[:200]
        raise ArtifactError(
            f"this machine cannot compile int8 ({reason}); use --scheme none, or an x86-64 machine"
        ) from None
    return scripted


def _golden_inputs(
    module: torch.jit.ScriptModule, images: Sequence[NDArray[np.uint8]]
) -> tuple[bytes, Tensor]:
    """A raw PNG, and prepared frames ``uint8[n, 1, H, W]`` of which the first is that PNG's."""
    height, width = (min(side, MAX_GOLDEN_SIDE) for side in images[0].shape)
    top, left = (images[0].shape[0] - height) // 2, (images[0].shape[1] - width) // 2
    png = io.BytesIO()
    Image.fromarray(images[0][top : top + height, left : left + width]).save(png, "PNG")
    raw = [decode(png.getvalue()), *images[1:MAX_GOLDEN_FRAMES]]
    prepared = [module.prepare(torch.from_numpy(np.array(pixels))[None]) for pixels in raw]
    return png.getvalue(), torch.stack(prepared)


def _answers(module: torch.jit.ScriptModule, frames: Tensor) -> dict[str, NDArray[np.float32]]:
    """What the saved network answers: asked of a copy that went through bytes, as the station will."""
    buffer = io.BytesIO()
    torch.jit.save(module, buffer)
    buffer.seek(0)
    return _run(torch.jit.load(buffer), frames)  # type: ignore[no-untyped-call]


def _run(module: torch.jit.ScriptModule, frames: Tensor) -> dict[str, NDArray[np.float32]]:
    frozen = torch.jit.freeze(module.eval(), preserved_attrs=["prepare"])
    with torch.inference_mode():
        answers = frozen(frames)
    return dict(zip(("probabilities", "heat", "novelty"), (a.numpy() for a in answers), strict=True))


def _publish(
    module: torch.jit.ScriptModule, metadata: Metadata, golden: dict[str, NDArray[Any]], out: Path
) -> None:
    packed = io.BytesIO()
    np.savez_compressed(packed, **golden)  # type: ignore[arg-type]  # no key is allow_pickle
    extra = {METADATA_FILE: metadata.to_json(), GOLDEN_FILE: packed.getvalue()}
    out.parent.mkdir(parents=True, exist_ok=True)
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        torch.jit.save(module, str(temporary), _extra_files=extra)
        _prove(temporary, golden)
        _fsync(temporary)
        temporary.replace(out)
        _fsync(out.parent)
    except OSError as error:
        raise ArtifactError(f"{out}: cannot be written: {error.strerror}") from None
    finally:
        temporary.unlink(missing_ok=True)


def _prove(path: Path, golden: dict[str, NDArray[Any]]) -> None:
    """The file's metadata reads, and it gives the golden answers, bit for bit on the machine that made it."""
    read_metadata(path)
    module = torch.jit.load(str(path))  # type: ignore[no-untyped-call]
    answers = _run(module, torch.from_numpy(golden["frames"]))
    for name, answer in answers.items():
        if not np.array_equal(answer, golden[name]) or not np.isfinite(answer).all():
            raise ArtifactError(
                f"the saved network gives other {name} than before it was saved; compile it again"
            )


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

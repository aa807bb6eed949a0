"""The artifact: one self-contained TorchScript file, compiled from a student and checked before it is used.

Its methods (``forward``, ``prepare``) and its extra files (``metadata.json``, ``golden.npz``) are the
contract between the trainer and the inspector; see :mod:`inspector.network.metadata`.
"""

# No 'from __future__ import annotations' here: TorchScript reads the attributes' types as objects
import io
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from functools import partial
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
from trainer.artifact.publishing import publish
from trainer.data.resizing import prepare
from trainer.evaluation.metrics import wilson
from trainer.evaluation.novelty import Novelty
from trainer.int8.ranges import Ranges
from trainer.int8.schemes import Compiled, Scheme, compile_network, same_top_class
from trainer.network.weldnet import WeldNet

MAX_GOLDEN_FRAMES = 3  # enough to check a network; more would turn a file of 3 MB into one of 5 MB
FULL_SCALE_SHARE = 0.5  # of a usual frame's evidence: a frame that shows less is not stretched to full heat
MIN_AGREEMENT = 0.95  # with the fp32 student's top class; int8 that is well calibrated reaches 97 to 100%
MAX_GOLDEN_SIDE = 512  # pixels of the raw golden PNG: it checks decoder and resize, not a camera


class ArtifactNetwork(nn.Module):
    """The methods of the artifact. A frame's answers never depend on the rest of its batch."""

    def __init__(self, network: Compiled, student: WeldNet, novelty: Novelty, usual: Tensor) -> None:
        """Take the parts, and ``usual`` frames, uint8[n, 1, H, W], which set the heat maps' full scale."""
        super().__init__()
        self.network = network
        self.class_weights = student.head.weight.detach().clone()
        self.novelty = novelty
        self.height, self.width = student.config.height, student.config.width
        features = network(torch.zeros(1, 1, self.height, self.width, dtype=torch.uint8))[0][0]
        self.black = torch.matmul(features, self.class_weights.t()).permute(2, 0, 1).contiguous()
        self.full_scale = 1e-6  # a number, if even the usual frames show nothing
        reaches: list[float] = []
        for frame in torch.split(usual, 1):
            features, _, logits = network(frame)
            low, high = self.evidence(features[0], int(logits.argmax())).aminmax()
            reaches.append(float(high - low))
        self.full_scale = max(self.full_scale, FULL_SCALE_SHARE * sorted(reaches)[len(reaches) // 2])

    def forward(self, batch: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Prepared frames ``uint8[N, 1, H, W]``, N ≥ 1 → probabilities, heat maps and novelty.

        Probabilities are ``float32[N, C]``. A heat map is the class activation map of the top class (Zhou et
        al. 2016), ``float32[N, h, w]`` from 0 to 1. Novelty is ``float32[N]``, and 0 if it was not fitted.
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
        """The evidence for a class at each pixel of the features, ``float32[h, w]`` from 0 to 1.

        The scale is not stretched for a frame that shows less than usual frames do, so a blank frame has no
        heat.

        Args:
            features: ``float32[h, w, F]``.
            label: number of the class.
        """
        evidence = self.evidence(features, label)
        low, high = evidence.aminmax()
        least, reach = float(low), float(high) - float(low)
        return evidence.sub_(least).div_(max(reach, self.full_scale))

    def evidence(self, features: Tensor, label: int) -> Tensor:
        """How much more each pixel speaks for a class than a black frame's does, ``float32[h, w]``.

        The last layer is linear. So the product of its weights and a pixel's features is that pixel's part of
        the class's logit, in the features' own unit and without the bias.
        """
        return torch.matmul(features, self.class_weights[label]).sub_(self.black[label])

    @torch.jit.export
    def prepare(self, image: Tensor) -> Tensor:
        """Resize an image ``uint8[1, h, w]`` of any size to ``uint8[1, H, W]``."""
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
    agreement: tuple[int, int] | None = None,
) -> Metadata:
    """Write the artifact, open it again, and move it to ``out`` only if its answers are right.

    The function is long because it names everything that an artifact can contain.

    Args:
        student: the network, with the frame size in its configuration.
        out: the file; an older file is replaced in one step.
        scheme: ``dynamic`` (int8, each frame's own scales), ``static`` (int8, calibrated scales) or ``none``
            (fp32).
        classes: in the order of the network's outputs.
        golden_images: raw camera frames, uint8[h, w], at least one; the file contains a few of them.
        metrics: of the compiled network, with n, seeds and the split's fingerprint.
        recipe: of the training.
        name: of the model, for people and for every row of the database.
        version: of the model.
        bit_depth: significant bits of a source pixel above 8 bits.
        git_commit: of the trainer.
        thresholds: probabilities for PASS and FAIL; None: the metadata's defaults.
        temperature: divides the logits.
        calibrated: True if ``temperature`` was fitted on held-out frames.
        ranges: of the student's maps; ``static`` needs them.
        novelty: fitted on the training frames; None: every frame has 0.
        agreement: number of held-out frames with the fp32 student's top class, and number of held-out
            frames; None: the golden frames have to show it.

    Raises:
        ArtifactError: student, classes or scheme do not fit, or the file's answers are wrong.
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
    usual = torch.stack(
        [
            prepare(torch.from_numpy(np.array(pixels))[None], metadata.height, metadata.width)
            for pixels in golden_images
        ]
    )
    module = _script(student, metadata, ranges, novelty or Novelty(student.head.in_features), usual)
    png, frames = _golden_inputs(module, golden_images)
    answers = _answers(module, torch.cat([frames, usual]))  # at once: to load the network takes longer
    golden: dict[str, NDArray[Any]] = {"png": np.frombuffer(png, np.uint8), "frames": frames.numpy()}
    golden |= {name: answer[: len(frames)] for name, answer in answers.items()}
    if agreement is None:
        agreement = _agreement(student, usual, answers["probabilities"][len(frames) :])
    _check_agreement(checked_scheme, *agreement)
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
            "the student has no ranges of its maps, which --scheme static needs; train it again with "
            "this program, or use --scheme dynamic"
        )
    if len(classes) != config.classes:
        raise ArtifactError(f"the student has {config.classes} classes, but {len(classes)} are named")
    if config.in_channels != 1:
        raise ArtifactError(f"the student takes {config.in_channels} channels; a station's frames have 1")
    if not images:
        raise ArtifactError(
            "there is no golden image; an artifact needs at least one frame to check itself with"
        )
    if not all(bool(tensor.isfinite().all()) for tensor in student.state_dict().values()):
        raise ArtifactError("the student has weights that are not numbers; train it again")
    return cast(Scheme, scheme)


def _script(
    student: WeldNet, metadata: Metadata, ranges: Ranges | None, novelty: Novelty, usual: Tensor
) -> torch.jit.ScriptModule:
    try:
        network = compile_network(student, metadata.quantization, ranges, metadata.temperature)
        with torch.no_grad():
            module = ArtifactNetwork(network, student, novelty, usual).eval()
        scripted: torch.jit.ScriptModule = torch.jit.script(module)
    except (RuntimeError, AttributeError) as error:  # this processor lacks an operator or a primitive
        reason = " ".join(str(error).split())[:200]
        raise ArtifactError(
            f"this machine cannot compile int8 ({reason}); use --scheme none, or an x86-64 machine"
        ) from None
    return scripted


def _agreement(student: WeldNet, frames: Tensor, probabilities: NDArray[np.float32]) -> tuple[int, int]:
    """The number of frames with the student's top class, and the number of frames."""
    with torch.no_grad():
        exact = torch.cat([student(frame / 255) for frame in torch.split(frames, 1)])
    return int(same_top_class(exact, torch.from_numpy(probabilities)).sum()), len(frames)


def _check_agreement(scheme: Scheme, same: int, n: int) -> None:
    """Refuse int8 that answers other classes than the student, if that is no chance."""
    if wilson(same, n)[1] < MIN_AGREEMENT:
        other = "dynamic" if scheme == "static" else "none"
        raise ArtifactError(
            f"scheme {scheme} has the fp32 student's class on {same} of {n} frames only; use --scheme "
            f"{other}, or train on frames of the same exposure as the station's"
        )


def _golden_inputs(
    module: torch.jit.ScriptModule, images: Sequence[NDArray[np.uint8]]
) -> tuple[bytes, Tensor]:
    """A raw PNG, and prepared frames ``uint8[n, 1, H, W]``; the first one is the prepared PNG."""
    height, width = (min(side, MAX_GOLDEN_SIDE) for side in images[0].shape)
    top, left = (images[0].shape[0] - height) // 2, (images[0].shape[1] - width) // 2
    png = io.BytesIO()
    Image.fromarray(images[0][top : top + height, left : left + width]).save(png, "PNG")
    raw = [decode(png.getvalue()), *images[1:MAX_GOLDEN_FRAMES]]
    prepared = [module.prepare(torch.from_numpy(np.array(pixels))[None]) for pixels in raw]
    return png.getvalue(), torch.stack(prepared)


def _answers(module: torch.jit.ScriptModule, frames: Tensor) -> dict[str, NDArray[np.float32]]:
    """The answers of the saved network: of a copy that was saved and loaded, as in the station."""
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
    buffer = io.BytesIO()
    torch.jit.save(module, buffer, _extra_files=extra)
    try:
        publish(buffer.getvalue(), out, partial(_prove, golden=golden))
    except OSError as error:
        raise ArtifactError(f"{out}: cannot be written: {error.strerror}") from None


def _prove(path: Path, golden: dict[str, NDArray[Any]]) -> None:
    """Check that the metadata can be read, and that the file gives the golden answers to the bit."""
    read_metadata(path)
    module = torch.jit.load(str(path))  # type: ignore[no-untyped-call]
    answers = _run(module, torch.from_numpy(golden["frames"]))
    for name, answer in answers.items():
        if not np.array_equal(answer, golden[name]) or not np.isfinite(answer).all():
            raise ArtifactError(
                f"the saved network gives different {name} than before it was saved; compile it again"
            )

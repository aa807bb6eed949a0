"""The one way to import torchvision: ``from trainer.network.torchvision import models, transforms``.

torchvision's wheel from PyPI is built for CUDA. With a CPU-only torch its compiled operators do not load. Its
import then fails because two of them, ``nms`` and ``qnms``, are not declared. Transforms and classification
networks use neither, so it is enough to declare both. With a matching pair of wheels, nothing is changed.
"""

from __future__ import annotations

import torch

_SCHEMAS = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)

try:
    import torchvision  # noqa: F401 - tried for its effect: does the pair match?
except RuntimeError as error:
    if "torchvision::nms" not in str(error):
        raise
    _library = torch.library.Library(  # type: ignore[no-untyped-call]
        "torchvision", "DEF"
    )  # kept: it would withdraw its schemas when collected
    for _schema in _SCHEMAS:
        _library.define(_schema)  # type: ignore[no-untyped-call]

from torchvision import models as models  # noqa: E402 - after the operators are declared
from torchvision.transforms import InterpolationMode as InterpolationMode  # noqa: E402
from torchvision.transforms import v2 as transforms  # noqa: E402

__all__ = ["InterpolationMode", "models", "transforms"]

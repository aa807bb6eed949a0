"""A tiny student, structured frames and a compiled artifact, for tests of the artifact and of its users."""

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from inspector.network.metadata import Metadata, WeldClass
from trainer.artifact.artifact import compile_artifact
from trainer.network.weldnet import WeldNet, WeldNetConfig

torch.set_num_threads(1)  # tests run side by side: threads that wait for each other cost more than they give

TINY = WeldNetConfig(classes=3, stem=8, plan=((1, 1), (2, 2), (2, 1)), height=72, width=64)
CLASSES = [
    WeldClass(name="good weld", role="accept"),
    WeldClass(name="burn through", role="defect", iso6520="510"),
    WeldClass(name="contamination", role="defect"),
]


def untrained(config: WeldNetConfig = TINY, seed: int = 0) -> WeldNet:
    """A network with random weights and batch norms; its answers to all frames are similar."""
    torch.manual_seed(seed)
    network = WeldNet(config).requires_grad_(False)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 2)
            module.weight.uniform_(0.5, 1.5)
            module.bias.normal_(0, 0.1)
    return network.eval()


def student(config: WeldNetConfig = TINY, seed: int = 0) -> WeldNet:
    """The same network with batch-norm statistics of the frames, and a last layer that separates them."""
    network = untrained(config, seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()
            module.momentum = None  # the plain mean over the frames
    seen = frames(12, config.height, config.width) / 255
    pooled = network.train().features(seen).mean((2, 3))
    network.head.weight.mul_(2 / network.head(pooled).std(0).mean())  # logits with a spread of 2 ...
    network.head.bias.copy_(-network.head.weight @ pooled.mean(0))  # ... about 0
    return network.eval()


def picture(seed: int, height: int = 146, width: int = 130) -> np.ndarray:
    """A picture uint8[h, w]: a few soft spots on a slope, with noise; each seed has its own exposure."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    pixels = random.uniform(0, 60) + random.uniform(0, 60) * x / width
    for _ in range(random.integers(1, 6)):
        centre, size = random.uniform(0, 1, 2) * (height, width), random.uniform(5, 40)
        pixels += random.uniform(-80, 160) * np.exp(
            -((y - centre[0]) ** 2 + (x - centre[1]) ** 2) / (2 * size**2)
        )
    return np.clip(pixels + random.normal(0, 3, pixels.shape), 0, 255).astype(np.uint8)


def frames(count: int, height: int, width: int) -> torch.Tensor:
    """Prepared frames uint8[count, 1, height, width], all different."""
    return torch.from_numpy(np.stack([picture(seed, height, width)[None] for seed in range(count)]))


def compiled(out: Path, network: WeldNet | None = None, **changes: object) -> Metadata:
    """Compile a tiny artifact at ``out``; ``changes`` replace single arguments."""
    arguments = {
        "out": out,
        "scheme": "dynamic",
        "classes": CLASSES,
        "golden_images": [picture(seed) for seed in range(3)],
        "metrics": {"n": 3, "accuracy": 1.0},
        "recipe": {"name": "tiny"},
        "name": "tiny",
        "version": "1",
    }
    return compile_artifact(network or student(), **(arguments | changes))


def exchanged_golden(first: Path, second: Path) -> bytes:
    """Return the first network with the second one's golden frames: whole, but with wrong answers."""
    with zipfile.ZipFile(second) as other:
        golden = next(other.read(name) for name in other.namelist() if name.endswith("golden.npz"))
    return _rewritten(first, "golden.npz", golden)


def described(artifact: Path, **changes: Any) -> bytes:
    """Return an artifact whose metadata say something else; the network and its answers stay."""
    with zipfile.ZipFile(artifact) as archive:
        [text] = [archive.read(name) for name in archive.namelist() if name.endswith("metadata.json")]
    return _rewritten(artifact, "metadata.json", json.dumps(json.loads(text) | changes).encode())


def _rewritten(artifact: Path, ending: str, content: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(artifact) as source, zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as target:
        for name in source.namelist():
            target.writestr(name, content if name.endswith(ending) else source.read(name))
    return out.getvalue()

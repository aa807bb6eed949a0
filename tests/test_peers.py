"""benchmarks/peers.py builds each peer as its manual says; it needs the extra ``bench``."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
import torch

from trainer.network.weldnet import WeldNet, WeldNetConfig

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
SIGNED, UNSIGNED = "QInt8 weights, a scale per ", "QUInt8 weights, a scale per "
VARIANTS = {f"{weights}{scale}" for weights in (SIGNED, UNSIGNED) for scale in ("channel", "map")}


@pytest.fixture
def peers(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The benchmark as a module."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("peers")


def test_every_variant_is_tried_and_the_fastest_chosen(peers: ModuleType) -> None:
    """Each variant gets every frame as often as the others, and the one with the least time is chosen."""
    calls: dict[str, int] = {"one": 0, "other": 0}

    def counted(name: str) -> Callable[[torch.Tensor], None]:
        def runtime(frames: torch.Tensor) -> None:
            calls[name] += len(frames)

        return runtime

    times = peers.milliseconds({name: counted(name) for name in calls}, torch.zeros(16, 1, 64, 64))
    assert times.keys() == calls.keys()
    assert calls["one"] == calls["other"] == 8 * (peers.TRIALS + 1)
    assert peers.fastest({"slow": 68.1, "fast": 17.4, "between": 18.8}) == "fast"


@pytest.mark.filterwarnings("ignore")  # torch's and ONNX Runtime's own
def test_onnx_runtime_is_tried_with_each_kind_of_weights(peers: ModuleType, tmp_path: Path) -> None:
    """Dynamic and static int8 are built in four variants each, and the chosen one answers as the network."""
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    torch.manual_seed(0)
    network = WeldNet(WeldNetConfig(stem=8, plan=((1, 1), (2, 2)), height=64, width=80)).eval()
    frames = torch.randint(0, 256, (8, 1, 64, 80), dtype=torch.uint8)
    model = tmp_path / "fp32.onnx"
    tried: dict[str, dict[str, float]] = {}
    with torch.no_grad():
        takes_bytes = peers._TakesBytes(network).eval()
        peers.export(takes_bytes, frames[:1], model)
        runtimes = dict(peers._onnx_runtime(model, frames, tmp_path, tried))
        exact = takes_bytes(frames)
    assert {name: set(times) for name, times in tried.items()} == {
        "ONNX Runtime dynamic int8": VARIANTS,
        "ONNX Runtime static int8": VARIANTS,
    }
    scale = exact.std()
    for name, runtime in runtimes.items():
        error = (torch.from_numpy(runtime(frames)) - exact).abs().mean() / scale
        assert error < (1e-4 if "fp32" in name else 0.25), name

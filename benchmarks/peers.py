"""Speed of the same student in every runtime that a station could use: one thread, in turns, medians.

    python benchmarks/peers.py [--student RUN/student.pt] [--frames DIR --calibrate DIR] [--rounds 40]

It needs the extra ``bench``. Frames have the paper's size, also for a student trained at another size. With
``--own-size`` they have the student's size, at which its answers on real frames are useful. All runtimes
take the same bytes, as at a station. Ours give probabilities, heat map and novelty, and the others give
logits, so ours are also timed with logits alone, which is the same work. Static runtimes are calibrated on
the same frames. Times are processor times, which for one thread equal wall time on an idle machine.

Each peer is built as its manual says. ONNX Runtime's leaves open whether weights are signed and whether each
channel has a scale, and the times differ fourfold. So every such variant is built and tried on a few frames,
and the fastest takes part (``tried`` in the JSON).

A round gives every candidate a turn of eight frames, one by one or in one batch. So other work on the
machine affects all candidates, and the caches that the candidate before left affect one frame of eight. Each
round draws a new order, so that no candidate always runs after the same one. ``--turns N`` repeats the
frames: with more turns the caches matter less. Ratios are medians of the ratios of the rounds.
"""

from __future__ import annotations

import contextlib
import copy
import json
import logging
import platform
import random
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from networks import weldnet
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from inspector.imaging.decoder import read_image
from inspector.network import memory
from trainer.artifact.artifact import ArtifactNetwork
from trainer.data.resizing import prepare
from trainer.evaluation.novelty import Novelty
from trainer.int8.ranges import calibrate
from trainer.int8.schemes import Compiled, compile_network
from trainer.network.weldnet import WeldNet

Runtime = Callable[[Tensor], Any]  # uint8[N, 1, H, W] → logits (ours: probabilities)
BATCHES = (1, 8)
_FRAMES_PER_TURN = 8  # in batches of either size
TRIALS = 5  # turns of each variant of a peer, to find the fastest
OURS = {
    "dynamic": "this project, dynamic int8",
    "static": "this project, static int8",
    "dynamic_logits": "this project, dynamic int8, logits alone",
    "static_logits": "this project, static int8, logits alone",
}
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")


def main(
    student: Annotated[Path | None, typer.Option(help="student.pt of a run; default: random weights")] = None,
    frames: Annotated[Path | None, typer.Option(help="images to compare the answers on")] = None,
    calibrate_on: Annotated[Path | None, typer.Option("--calibrate", help="images for static int8")] = None,
    rounds: Annotated[int, typer.Option(min=5, help="number of times that each candidate is timed")] = 40,
    turns: Annotated[int, typer.Option(min=1, help="repetitions of the eight frames in a round")] = 1,
    own_size: Annotated[
        bool, typer.Option("--own-size", help="use the student's frame size, not the paper's")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json")] = False,
) -> None:
    """Measure, and print a table or one JSON object."""
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    memory.keep_freed_memory()  # as the station does, for all candidates
    network = weldnet(student, own_size=own_size).requires_grad_(False)
    seen, shown = (_frames(folder, network, most) for folder, most in ((calibrate_on, 64), (frames, 200)))
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        tried: dict[str, dict[str, float]] = {}
        with contextlib.redirect_stdout(sys.stderr):  # NNCF draws its progress
            runtimes = dict(_runtimes(network, seen, Path(folder), tried))
        result = _timed(runtimes, shown, rounds, turns)
    result |= {
        "size": f"{network.config.width}×{network.config.height}",
        "n": len(shown),
        "frames": frames.name if frames else "noise",
        "rounds": rounds,
        "turns": turns,
        "tried": tried,
    }
    if as_json:
        typer.echo(json.dumps(result))
    else:
        _print(result)


def _frames(folder: Path | None, network: WeldNet, most: int) -> Tensor:
    """Frames uint8[n, 1, H, W], evenly chosen from the images of a folder, or noise."""
    height, width = network.config.height, network.config.width
    if folder is None:
        return torch.randint(0, 256, (16, 1, height, width), dtype=torch.uint8)
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    chosen = [files[i] for i in np.linspace(0, len(files) - 1, min(most, len(files))).astype(int)]
    return torch.stack([prepare(torch.from_numpy(read_image(p))[None], height, width) for p in chosen])


# --- the candidates -------------------------------------------------------------------------------------


def _runtimes(
    network: WeldNet, seen: Tensor, folder: Path, tried: dict[str, dict[str, float]]
) -> Iterator[tuple[str, Runtime]]:
    for key, name in OURS.items():
        scheme, _, alone = key.partition("_")
        yield name, _ours(network, scheme, seen, logits_alone=bool(alone))
    taking_bytes = _TakesBytes(network).eval()
    eager = copy.deepcopy(taking_bytes).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    yield "eager fp32", eager
    yield "quantize_dynamic", torch.ao.quantization.quantize_dynamic(copy.deepcopy(taking_bytes), {nn.Linear})
    yield "TorchScript fp32, frozen", torch.jit.freeze(torch.jit.script(eager))
    model = folder / "fp32.onnx"
    export(taking_bytes, seen[:1], model)
    yield from _onnx_runtime(model, seen, folder, tried)
    yield from _openvino(model, seen)


def export(network: nn.Module, frame: Tensor, model: Path) -> None:
    """Write the network as ONNX, for any number of frames like this one."""
    torch.onnx.export(
        network, (frame,), str(model), dynamo=False,
        input_names=["x"], output_names=["y"], dynamic_axes={"x": {0: "n"}, "y": {0: "n"}},
    )  # fmt: skip


class _TakesBytes(nn.Module):
    """The network with a division in front, so that it takes the bytes of a frame."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, frames: Tensor) -> Tensor:
        logits: Tensor = self.network(frames.to(torch.float32) / 255)
        return logits


class _Logits(nn.Module):
    def __init__(self, network: Compiled) -> None:
        super().__init__()
        self.network = network

    def forward(self, batch: Tensor) -> Tensor:
        logits: list[Tensor] = []
        for frames in batch.split(self.network.at_once):
            logits.append(self.network(frames)[2])
        return torch.cat(logits)


def _ours(network: WeldNet, scheme: Any, seen: Tensor, *, logits_alone: bool) -> Runtime:
    compiled = compile_network(network, scheme, calibrate(network, seen))
    if logits_alone:
        alone: Runtime = torch.jit.freeze(torch.jit.script(_Logits(compiled).eval())).forward
        return alone
    with torch.no_grad():
        novelty = Novelty(network.head.in_features)
        module = ArtifactNetwork(compiled, network, novelty, seen[:1]).eval()
    forward = torch.jit.freeze(torch.jit.script(module)).forward  # the method that the station calls
    return lambda frames: forward(frames)[0]


def _onnx_runtime(
    model: Path, seen: Tensor, folder: Path, tried: dict[str, dict[str, float]]
) -> Iterator[tuple[str, Runtime]]:
    """ONNX Runtime as its manual says: prepared for quantization, and the fastest kind of weights.

    https://onnxruntime.ai/docs/performance/model-optimizations/quantization.html
    """
    import onnxruntime
    from onnxruntime import quantization
    from onnxruntime.quantization.shape_inference import quant_pre_process

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc]
        def __init__(self) -> None:
            self.frames = iter(seen.split(1))

        def get_next(self) -> dict[str, Any] | None:
            frame = next(self.frames, None)
            return None if frame is None else {"x": frame.numpy()}

    def session(file: Path) -> Runtime:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        options.log_severity_level = 3
        made = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        return lambda frames: made.run(None, {"x": frames.numpy()})[0]

    signed, unsigned = quantization.QuantType.QInt8, quantization.QuantType.QUInt8
    of_weights = {
        f"{kind.name} weights, a scale per {scale}": {"weight_type": kind, "per_channel": scale == "channel"}
        for kind in (signed, unsigned)
        for scale in ("channel", "map")
    }
    prepared = folder / "prepared.onnx"
    quant_pre_process(str(model), str(prepared))
    yield "ONNX Runtime fp32", session(model)
    for name in ("dynamic", "static"):
        variants: dict[str, Runtime] = {}
        for number, (variant, weights) in enumerate(of_weights.items()):
            # Without VNNI, 8-bit sums of signed weights overflow
            options = weights | {"reduce_range": weights["weight_type"] == signed and not _has_vnni()}
            out = folder / f"{name}-{number}.onnx"
            if name == "dynamic":
                quantization.quantize_dynamic(str(prepared), str(out), **options)
            else:
                quantization.quantize_static(
                    str(prepared), str(out), Reader(), quant_format=quantization.QuantFormat.QDQ,
                    activation_type=unsigned, **options,
                )  # fmt: skip
            variants[variant] = session(out)
        runtime = f"ONNX Runtime {name} int8"
        tried[runtime] = milliseconds(variants, seen)
        yield runtime, variants[fastest(tried[runtime])]


def _has_vnni() -> bool:
    return "vnni" in Path("/proc/cpuinfo").read_text(encoding="utf-8")


def fastest(times: dict[str, float]) -> str:
    """The variant with the least time."""
    return min(times, key=times.__getitem__)


def milliseconds(variants: dict[str, Runtime], seen: Tensor) -> dict[str, float]:
    """Median processor time of a frame in a batch of one, of each variant, in turns."""
    times: dict[str, list[float]] = {variant: [] for variant in variants}
    frames = seen[:_FRAMES_PER_TURN].split(1)
    for trial in range(-1, TRIALS):  # the first is a warm-up
        for variant, runtime in variants.items():
            began = time.process_time()
            for frame in frames:
                runtime(frame)
            if trial >= 0:
                times[variant].append((time.process_time() - began) * 1000 / len(frames))
    return {variant: round(float(np.median(values)), 3) for variant, values in times.items()}


def _openvino(model: Path, seen: Tensor) -> Iterator[tuple[str, Runtime]]:
    import nncf
    import openvino

    one_thread = {  # on AMX it would choose bf16 by itself
        "INFERENCE_NUM_THREADS": 1,
        "NUM_STREAMS": 1,
        "INFERENCE_PRECISION_HINT": "f32",
    }

    def request(converted: Any) -> Runtime:
        made = openvino.Core().compile_model(converted, "CPU", one_thread).create_infer_request()
        return lambda frames: made.infer({0: frames.numpy()})[0].copy()

    converted = openvino.convert_model(model)
    data = nncf.Dataset(list(seen.split(1)), lambda frame: frame.numpy())
    yield "OpenVINO fp32", request(converted)
    yield "OpenVINO static int8", request(nncf.quantize(converted, data, subset_size=len(seen)))


# --- the measurement ------------------------------------------------------------------------------------


def _timed(runtimes: dict[str, Runtime], shown: Tensor, rounds: int, turns: int) -> dict[str, Any]:
    times: dict[tuple[str, int], list[float]] = {(name, n): [] for name in runtimes for n in BATCHES}
    drawn = random.Random(0)
    for round_number in range(-3, rounds):  # the first three rounds are a warm-up
        for name, n in drawn.sample(list(times), len(times)):
            start = round_number % max(1, len(shown) - _FRAMES_PER_TURN + 1)
            turn = shown[start : start + _FRAMES_PER_TURN]
            began = time.process_time()
            for batch in turns * turn.split(n):
                runtimes[name](batch)
            if round_number >= 0:
                times[name, n].append((time.process_time() - began) * 1000 / (turns * len(turn)))
    middle = {key: np.array(values) for key, values in times.items()}
    answers = {name: _answers(work, shown) for name, work in runtimes.items()}
    expected = answers["eager fp32"].argmax(1)
    return {
        "cpu": f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}",
        "runtimes": {
            name: {
                **{f"batch{n}_ms": _quartiles(middle[name, n]) for n in BATCHES},
                **{
                    f"{mine}_over_it_batch{n}": _quartiles(middle[full, n] / middle[name, n])
                    for mine, full in OURS.items()
                    for n in BATCHES
                },
                "agreement": float((answers[name].argmax(1) == expected).mean()),
            }
            for name in runtimes
        },
    }


def _answers(work: Runtime, frames: Tensor) -> np.ndarray:
    return np.concatenate([np.asarray(work(frame)) for frame in frames.split(1)])


def _quartiles(values: np.ndarray) -> list[float]:
    return [round(float(value), 3) for value in np.percentile(values, (50, 25, 75))]


def _print(result: dict[str, Any]) -> None:
    title = (
        f"{result['cpu']}, one thread,"
        f" {result['rounds']} rounds of {result['turns']} × {_FRAMES_PER_TURN} frames; "
        f"agreement on {result['n']} frames ({result['frames']})"
    )
    columns = {f"batch{n}_ms": f"batch {n}, ms per frame" for n in BATCHES}
    columns |= {f"{mine}_over_it_batch{n}": f"{mine}/it b{n}" for mine in OURS for n in BATCHES}
    table = Table("runtime", *(name.replace("_", " ") for name in columns.values()), "agrees", title=title)
    for name, figures in result["runtimes"].items():
        cells = [f"{figures[key][0]:.2f} ({figures[key][1]:.2f}–{figures[key][2]:.2f})" for key in columns]
        table.add_row(name, *cells, f"{figures['agreement']:.1%}")
    Console(width=240).print(table)
    for name, times in result["tried"].items():
        each = "; ".join(f"{variant} {milliseconds:.1f} ms" for variant, milliseconds in times.items())
        Console(width=240).print(f"{name}: the fastest of {each}")


if __name__ == "__main__":
    typer.run(main)

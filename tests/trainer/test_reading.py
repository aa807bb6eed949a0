"""The frames of a run: the size of frames and of views."""

from __future__ import annotations

import io
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from tiny_runs import RECIPE, run
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook
from trainer_samples import class_folders

from inspector.network import metadata
from trainer import pipeline
from trainer.data.datasets import Frame, Listing
from trainer.network.weldnet import WeldNet
from trainer.recipe import Recipe
from trainer.run import reading
from trainer.run.folder import RunFolder
from trainer.run.progress import Progress


@pytest.mark.parametrize(
    ("network", "size", "view"),
    [
        ({"enlarge": 2.5}, (264, 264), (200, 200)),  # 64 pixels more: at most a third
        ({"enlarge": 2.0}, (160, 160), (160, 160)),  # 64 would be more than a third
        ({"enlarge": 2.5, "pixels": 260 * 260}, (200, 200), (200, 200)),  # no room within the pixels
        ({"enlarge": 2.5, "grow": 0}, (200, 200), (200, 200)),
        ({"height": 487, "width": 400}, (487, 400), (423, 336)),  # the given size, and smaller views
        ({"height": 128, "width": 128}, (128, 128), (128, 128)),
        ({"height": 974, "width": 800}, (974, 800), (974, 800)),
    ],
)
def test_frames_are_larger_than_views_where_there_is_room(
    tmp_path: Path, network: dict[str, object], size: tuple[int, int], view: tuple[int, int]
) -> None:
    """Frames are larger than views if there is room, and a second call changes nothing."""
    data = class_folders(tmp_path / "data")
    whole = {"height": None, "width": None, "grow": 64} | network
    recipe = Recipe(name="grown", network=whole)
    listing = pipeline.list_frames(recipe, data)
    done = reading.with_frame_size(recipe, listing)
    assert (done.network.size, done.network.view) == (size, view)
    assert reading.with_frame_size(done, listing) == done


@pytest.mark.parametrize(
    ("network", "line"),
    [
        (
            {"height": None, "width": None, "pixels": 80 * 100, "pixels_a_frame": 5000},
            "WARNING frames of 500×400 become 100×80: a defect of 10 pixels becomes 2.0; one has to be "
            "at least 15 pixels large in the camera's frame to cover 3 in the network's; for smaller ones "
            "set a larger network.pixels_a_frame (5000) and network.pixels (8000), or cut the frames",
        ),
        (
            {"height": 80, "width": 100},
            "for smaller ones set a larger network.height and network.width (80 and 100)",
        ),
        (
            {"height": 160, "width": 200},
            "INFO frames of 500×400 become 200×160: a defect of 10 pixels becomes 4.0",
        ),
    ],
)
def test_the_log_says_what_remains_of_a_small_defect(
    tmp_path: Path, network: dict[str, object], line: str, caplog: pytest.LogCaptureFixture
) -> None:
    """One line has the size of a defect in the network's frames, and a strong reduction names the keys."""
    frame = Frame(tmp_path / "a.png", "a.png", 0, part="train")
    Image.new("L", (500, 400)).save(frame.path)
    recipe = Recipe(name="small", network=network)
    with caplog.at_level(logging.INFO):
        reading.with_frame_size(recipe, Listing(tmp_path, ["good"], [frame] * 3))
    assert any(line in f"{each.levelname} {each.message}" for each in caplog.records)


def test_networks_learn_from_smaller_views_and_take_whole_frames(tmp_path: Path) -> None:
    """Networks learn from views that are smaller by ``network.grow``, and get whole frames otherwise."""
    grown = {"height": 96, "width": 96, "grow": 24, "stem": 4, "plan": [(1, 1), (2, 2)]}
    recipe = Recipe(**RECIPE | {"network": grown, "augmentation": {"crop": (0.75, 1.0)}})
    reader = reading.Reader(recipe, RunFolder(tmp_path / "out"), Progress(Console(file=io.StringIO())))
    train, valid = reader.labelled(pipeline.list_frames(recipe, class_folders(tmp_path / "data")))
    assert train.images.shape[2:] == (96, 96), "72 pixels by the smallest crop"
    assert valid.images.shape[2:] == (96, 96)

    seen: dict[bool, set[tuple[int, ...]]] = {True: set(), False: set()}  # keys: does it learn?

    def look(module: nn.Module, given: tuple[torch.Tensor]) -> None:
        if isinstance(module, WeldNet):
            seen[torch.is_grad_enabled()].add(tuple(given[0].shape[2:]))

    watching = register_module_forward_pre_hook(look)
    try:
        run(tmp_path / "data", tmp_path / "run", network=grown)
    finally:
        watching.remove()
    assert seen[True] == {(72, 72)}, "what networks learn from"
    assert seen[False] == {(72, 72), (96, 96)}, "views that teachers label, and whole frames"
    written = metadata.read(tmp_path / "run" / pipeline.ARTIFACT_FILE)
    assert (written.height, written.width) == (96, 96)


def test_unused_upper_bits_are_named_in_one_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """12-bit frames in 16-bit words are trained on, and one line names the depth that suits them."""
    data = class_folders(tmp_path / "data")
    for file in data.rglob("*.png"):
        with Image.open(file) as image:
            words = np.array(image.convert("L")).astype(np.uint16) << 4
        Image.fromarray(words).save(file)
    for depth, lines in ((8, 1), (12, 0)):
        caplog.clear()
        recipe = Recipe(**RECIPE | {"data": {"bit_depth": depth}})
        listing = pipeline.list_frames(recipe, data)
        progress = Progress(Console(file=io.StringIO()))
        reading.Reader(recipe, RunFolder(tmp_path / str(depth)), progress).labelled(listing)
        said = [record.getMessage() for record in caplog.records if "bit_depth" in record.getMessage()]
        assert len(said) == lines
        assert all("data.bit_depth=12" in line for line in said)

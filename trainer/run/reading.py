"""The frames of a run: labelled ones before training, unlabelled ones as soon as there are teachers."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from torch import nn

from inspector.imaging.decoder import unused_bits_warning
from trainer.data import duplicates, unlabelled
from trainer.data.datasets import Frame, Listing
from trainer.data.frames import FrameSet, choose_view_size, load, reduced_size, training_size
from trainer.data.resizing import prepare
from trainer.errors import DataError, Problem, RecipeError
from trainer.recipe import MIN_SIDE, Network, Recipe
from trainer.run import smallest_defect
from trainer.run.folder import RunFolder
from trainer.run.progress import Progress

log = logging.getLogger(__name__)

MAX_GROWTH_PER_SIDE = 1 / 3  # share of the view's side: a half did not help (docs/measurements/xsdd.md)


def with_frame_size(recipe: Recipe, listing: Listing) -> Recipe:
    """Return the recipe with the network's height and width; if it has none, they follow the training frames.

    ``network.grow`` becomes 0 if there is no room for it.

    Raises:
        DataError: no frame can be read, so nothing shows their size.
        RecipeError: the architecture needs larger frames.
    """
    network = recipe.network
    if network.height is None:
        frames, max_pixels = listing.part("train"), network.pixels
        if network.pixels_a_frame is not None:
            max_pixels = min(max_pixels, network.pixels_a_frame * len(frames))
        view = choose_view_size(
            frames, max_pixels, recipe.data.bit_depth, network.enlarge, limit=network.pixels
        )
        grow = _growth(view, network)
        height, width = view[0] + grow, view[1] + grow
    else:
        height, width = network.size
        grow = _growth(network.view, network)
    least = MIN_SIDE.get(network.architecture, 0)
    if min(height, width) - grow < least:
        raise RecipeError(
            f"{network.architecture} needs views of at least {least}×{least} pixels, not "
            f"{width - grow}×{height - grow}; set a larger network.height and network.width"
        )
    log.info("networks take %d×%d pixels, and learn from %d×%d", width, height, width - grow, height - grow)
    chosen = network.height is None
    network = network.model_copy(update={"height": height, "width": width, "grow": grow})
    smallest_defect.report(network, listing.part("train"), chosen=chosen, bit_depth=recipe.data.bit_depth)
    return recipe.model_copy(update={"network": network})


def _growth(view: tuple[int, int], network: Network) -> int:
    """Return ``network.grow`` if views of this height and width leave room for it, else 0."""
    grow = network.grow
    within = (view[0] + grow) * (view[1] + grow) <= network.pixels
    return grow if within and grow <= MAX_GROWTH_PER_SIDE * min(view) else 0


class Reader:
    """Reader of a run's frames: training frames at the size for crops, held-out frames at the network's."""

    def __init__(self, recipe: Recipe, folder: RunFolder, progress: Progress) -> None:
        """Take the parts of the run. Frames that do not fit into memory go to a file in its folder."""
        self._recipe, self._folder, self._progress = recipe, folder, progress
        self._valid_size = recipe.network.size
        self._train_size = training_size(*recipe.network.view, recipe.augmentation.crop[0])
        self._contents: frozenset[str] = frozenset()  # of the pixels of the labelled frames

    def labelled(self, listing: Listing) -> tuple[FrameSet, FrameSet]:
        """Read the training frames and the held-out frames.

        Raises:
            DataError: the listing or the images have problems; it lists all of them.
        """
        self._progress.begin("reading frames", len(listing.part("train", "valid")))
        train = self._read(listing.part("train"), self._train_size, listing.problems)
        valid = self._read(listing.part("valid"), self._valid_size, listing.problems)
        both = [*train.frames, *valid.frames]
        self._contents = frozenset([*train.hashes, *valid.hashes])
        copies = duplicates.with_equal_pixels(both, [*train.hashes, *valid.hashes])
        listing.problems += duplicates.under_two_labels(copies, listing.classes)
        duplicates.warn_of_shared(copies, "pixels")
        if not len(valid):
            listing.problems.append(
                Problem(
                    "nothing to hold out",
                    "every class has one run, or one group of near-duplicates; give a part 'valid'",
                )
            )
        if listing.problems:
            raise DataError(listing.source, listing.problems)
        log.info(
            "%d frames to train on, %d held out, %d classes", len(train), len(valid), len(listing.classes)
        )
        if warning := unused_bits_warning(train.unused_bits, self._recipe.data.bit_depth):
            log.warning("%s: %s", listing.source, warning)
        return train, valid

    def again(self, train: FrameSet, valid: FrameSet, max_pixels: int) -> tuple[FrameSet, FrameSet]:
        """Read both sets again, at the size of their files, or reduced to ``max_pixels``.

        Raises:
            DataError: frames cannot be read any more.
        """
        self._progress.begin("reading frames", len(train) + len(valid))
        size = reduced_size(train.frames, max_pixels, self._recipe.data.bit_depth)
        problems: list[Problem] = []
        both = [self._read(part.frames, size, problems) for part in (train, valid)]
        if problems:
            raise DataError("the data", problems)
        return both[0], both[1]

    def training(self, listing: Listing) -> FrameSet:
        """Read the training frames of a run that holds nothing out.

        Raises:
            DataError: an image cannot be read any more.
        """
        self._progress.begin("reading frames", len(listing.part("train")))
        train = self._read(listing.part("train"), self._train_size, listing.problems)
        self._contents = frozenset(train.hashes)
        if listing.problems:
            raise DataError(listing.source, listing.problems)
        log.info("%d frames to train on, %d classes", len(train), len(listing.classes))
        return train

    def with_unlabelled(
        self, train: FrameSet, source: Path | None, listing: Listing, teachers: Sequence[nn.Module]
    ) -> FrameSet:
        """Read the training frames, and the unlabelled frames of a folder of which the teachers are sure.

        Raises:
            DataError: the folder has no unlabelled frames.
            RunError: the student of this run began with other frames.
        """
        if source is None:
            self._folder.record_unlabelled(None)
            return train
        frames = unlabelled.find(source, listing.frames)
        self._folder.record_unlabelled(unlabelled.fingerprint(frames))
        self._progress.begin("judging unlabelled frames", len(frames))
        sure = unlabelled.confident(
            frames, teachers, self._recipe, self._progress.advance, labelled=self._contents
        )
        self._progress.begin("reading frames", len(train) + len(sure))
        problems: list[Problem] = []
        frames_read = self._read([*train.frames, *sure], self._train_size, problems)
        if problems:  # a file that was there a minute ago; it would be learnt as a black frame
            raise DataError(source, problems)
        return frames_read

    def _read(self, frames: Sequence[Frame], size: tuple[int, int], problems: list[Problem]) -> FrameSet:
        return load(
            frames,
            size=size,
            resize=partial(prepare, height=size[0], width=size[1]),
            bit_depth=self._recipe.data.bit_depth,
            problems=problems,
            spill_folder=self._folder.path,
            advance=self._progress.advance,
        )

"""The demo's artifact is what its metadata says: a network that has learnt synthetic frames."""

from inspector import resources
from inspector.network import artifact
from inspector.network.classifier import Classifier
from inspector.network.metadata import WeldClass
from trainer.recipe_file import load
from trainer.synthetic.frames import CLASSES, frames

ARTIFACT = resources.folder("deploy") / "demo" / "weldnet-synthetic.pt"


def test_the_demo_artifact_opens_and_states_its_origin():
    """It proves itself with its golden frames, and says by which recipe, on how many frames, how well."""
    opened = artifact.open(ARTIFACT)
    recipe = load("synthetic")
    assert opened.metadata.classes == [WeldClass(**c.model_dump()) for c in recipe.classes]
    assert opened.metadata.class_names == list(CLASSES)
    assert (opened.metadata.height, opened.metadata.width) == (recipe.network.height, recipe.network.width)
    assert opened.metadata.quantization == "dynamic"
    assert opened.metadata.recipe["name"] == "synthetic"
    assert opened.metadata.metrics["n"] >= 200
    assert len(opened.metadata.metrics["split_fingerprint"]) == 64


def test_the_demo_artifact_does_on_new_frames_what_it_says():
    """On frames of runs it has never seen it is right as often as its metadata says, within 15 points."""
    opened = artifact.open(ARTIFACT)
    classifier = Classifier(opened)
    drawn = list(frames(60, seed=77))
    judged = classifier.judge([classifier.prepare(f.pixels) for f in drawn], [None] * len(drawn))
    right = sum(j.label == CLASSES[f.label] for j, f in zip(judged, drawn, strict=True))
    assert abs(right / len(drawn) - opened.metadata.metrics["accuracy"]) <= 0.15

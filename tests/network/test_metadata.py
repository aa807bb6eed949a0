"""The metadata is checked when it is written and when it is read, by its first wrong field."""

import json
import subprocess
import sys
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.errors import ArtifactError
from inspector.network import metadata
from inspector.network.metadata import Metadata

GOOD = {
    "schema": 1,
    "name": "weldnet",
    "version": "1",
    "classes": [{"name": "good", "role": "accept"}, {"name": "crack", "role": "defect", "iso6520": "100"}],
    "height": 487,
    "width": 400,
    "quantization": "dynamic",
    "network": {"stem": 32},
    "metrics": {"n": 60},
    "recipe": {},
    "git_commit": None,
    "torch_version": "2.13.0",
    "created": "2026-01-05T12:00:00+00:00",
}


def _read(**changes):
    return Metadata.from_json(json.dumps(GOOD | changes), source="x.pt")


def test_metadata_reads_back_as_it_was_written():
    """The text of the metadata reads back as the same metadata, schema number included."""
    good = _read()
    assert Metadata.from_json(good.to_json(), source="x.pt") == good
    assert json.loads(good.to_json())["schema"] == 1
    assert good.class_names == ["good", "crack"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"schema": 2}, "schema"),
        ({"classes": [{"name": "good", "role": "accept"}]}, "classes"),
        ({"classes": [{"name": "a", "role": "accept"}, {"name": "a", "role": "defect"}]}, "repeat"),
        ({"classes": [{"name": "a", "role": "accept"}, {"name": "b", "role": "bad"}]}, "role"),
        ({"height": 63}, "height"),
        ({"bit_depth": 7}, "bit_depth"),
        ({"temperature": 0}, "temperature"),
        ({"quantization": "magic"}, "quantization"),
        ({"thresholds": {"accept": 1.5}}, "accept"),
        ({"thresholds": {"per_class": {"good": 0.5}}}, "no defect class"),
        ({"colour": "grey"}, "colour"),
    ],
)
def test_the_first_wrong_field_is_named(changes, field):
    """A wrong, missing or unknown field is one line that names file and field."""
    with pytest.raises(ArtifactError, match=field) as caught:
        _read(**changes)
    assert str(caught.value).startswith("x.pt: ")
    assert "\n" not in str(caught.value)


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_any_bytes_are_metadata_or_one_line(data):
    """Any bytes in metadata.json give metadata or an ArtifactError."""
    with pytest.raises(ArtifactError):
        Metadata.from_json(data, source="x.pt")


def test_reading_needs_neither_torch_nor_network(tmp_path):
    """An archive with metadata alone can be read without importing torch."""
    with zipfile.ZipFile(tmp_path / "x.pt", "w") as archive:
        archive.writestr("x/extra/metadata.json", _read().to_json())
    code = (
        "import sys, pathlib; from inspector.network import metadata; "
        "print(metadata.read(pathlib.Path(sys.argv[1])).name, 'torch' in sys.modules)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "x.pt")], capture_output=True, text=True, check=True
    )
    assert answer.stdout.split() == ["weldnet", "False"]


def test_an_archive_without_the_file_is_named(tmp_path):
    """An archive that lacks an extra file is refused with that file's name."""
    with zipfile.ZipFile(tmp_path / "x.pt", "w") as archive:
        archive.writestr("x/data.pkl", b"")
    with pytest.raises(ArtifactError, match=r"lacks golden\.npz"):
        metadata.extra_file(tmp_path / "x.pt", "golden.npz")

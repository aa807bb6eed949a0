"""The artifact opens only if it is the right file, undamaged, and right on this machine."""

import hashlib
import io
import json
import os
import platform
import shutil
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from artifact_samples import compiled, frames, picture, student, untrained
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from waiting import HANG_S

from inspector.errors import ArtifactError
from inspector.network import artifact


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """One tiny artifact for the whole module."""
    out = tmp_path_factory.mktemp("artifact") / "tiny.pt"
    compiled(out)
    return out


def _refused(path, match, **arguments):
    with pytest.raises(ArtifactError, match=match) as caught:
        artifact.open(path, **arguments)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    assert caught.value.exit_status == 2


def _rewritten(path, out, replace):
    """The same archive with some entries' bytes replaced, whole and with right checksums."""
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as target:
        for entry in source.namelist():
            data = replace.get(entry.rpartition("/")[2], source.read(entry))
            if data is not None:
                target.writestr(entry, data)
    return out


def _golden(path, **changes):
    with zipfile.ZipFile(path) as archive:
        entry = next(name for name in archive.namelist() if name.endswith("golden.npz"))
        content = dict(np.load(io.BytesIO(archive.read(entry))))
    packed = io.BytesIO()
    np.savez_compressed(packed, **(content | changes))
    return packed.getvalue(), content


def test_opened_artifact_prepares_and_answers(path):
    """An opened artifact knows its hash and metadata, prepares frames and judges batches of them."""
    opened = artifact.open(path)
    assert opened.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert opened.metadata.name == "tiny"
    prepared = opened.prepare(picture(1, 200, 300))
    assert prepared.shape == (1, 72, 64)
    assert prepared.dtype == torch.uint8
    opened.warm_up(2)
    probabilities, heat, novelty = opened.forward(torch.stack([prepared, prepared]))
    assert (probabilities.shape, heat.shape, novelty.shape) == ((2, 3), (2, 9, 8), (2,))


def test_the_right_hash_opens_and_another_is_refused(path):
    """If settings name a hash, only the file with that hash opens."""
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert artifact.open(path, sha256=digest).sha256 == digest
    _refused(path, "artifact_sha256", sha256="0" * 64)


def test_hash_metadata_and_network_come_from_one_reading(path, tmp_path):
    """A pipe, whose bytes can be read only once, opens: nothing of an artifact is read by its path again."""
    pipe = tmp_path / "a.pt"
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as writer:
        writing = writer.submit(pipe.write_bytes, path.read_bytes())
        opened = artifact.open(pipe, sha256=hashlib.sha256(path.read_bytes()).hexdigest())
        writing.result(HANG_S)
    assert opened.metadata.name == "tiny"
    assert torch.equal(opened.prepare(picture(1)), artifact.open(path).prepare(picture(1)))


def test_an_artifact_that_others_can_write_is_not_opened(path, tmp_path, monkeypatch):
    """An artifact that others can write is refused, unless the environment or the caller allows it."""
    loose = tmp_path / "a.pt"
    shutil.copy(path, loose)
    loose.chmod(0o666)
    _refused(loose, "is not safe: everybody may write to")
    artifact.open(loose, others_may_write=True)
    monkeypatch.setenv("WELD_OTHERS_MAY_WRITE", "true")
    artifact.open(loose)
    with pytest.raises(ArtifactError, match="is not safe"):
        artifact.open(loose, others_may_write=False)


def test_a_path_that_is_not_a_file_is_refused(tmp_path):
    """A missing file, a folder, an empty file and a text are each one line."""
    _refused(tmp_path / "missing.pt", "no such file")
    _refused(tmp_path, "is not an artifact")
    for content in (b"", b"not a network at all" * 99):
        (tmp_path / "x.pt").write_bytes(content)
        _refused(tmp_path / "x.pt", "is not an artifact")


def test_other_torchscript_is_refused(tmp_path):
    """TorchScript without the extra files is refused by what it lacks."""
    torch.jit.script(torch.nn.ReLU()).save(str(tmp_path / "relu.pt"))
    _refused(tmp_path / "relu.pt", "lacks metadata.json")


def test_a_zip_with_the_extra_files_alone_is_refused(path, tmp_path):
    """An archive with metadata and golden frames but without a network is no artifact."""
    out = tmp_path / "x.pt"
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(out, "w") as target:
        for entry in source.namelist():
            if "/extra/" in entry:
                target.writestr(entry, source.read(entry))
    _refused(out, "is not an artifact")


@pytest.mark.parametrize("missing", ["metadata.json", "golden.npz"])
def test_a_missing_extra_file_is_named(path, tmp_path, missing):
    """An archive without one of its extra files is refused with that file's name."""
    _refused(_rewritten(path, tmp_path / "x.pt", {missing: None}), f"lacks {missing}")


@pytest.mark.parametrize(
    ("changed", "match"),
    [(b"{", "metadata.json"), (b'{"schema": 99}', "schema"), (b"{}", "metadata.json")],
)
def test_metadata_of_another_schema_is_refused(path, tmp_path, changed, match):
    """Metadata that this program does not know is refused by its first wrong field."""
    _refused(_rewritten(path, tmp_path / "x.pt", {"metadata.json": changed}), match)


@settings(max_examples=25, deadline=None)
@given(share=st.floats(0, 0.999))
def test_a_truncated_copy_is_refused(path, tmp_path_factory, share):
    """A copy that ends early, at any byte, is refused with one line."""
    data = path.read_bytes()
    torn = tmp_path_factory.mktemp("torn") / "x.pt"
    torn.write_bytes(data[: int(len(data) * share)])
    _refused(torn, r"is not an artifact|lacks metadata\.json")  # golden.npz is a zip archive too


@settings(max_examples=25, deadline=None)
@given(share=st.floats(0, 0.999), flip=st.integers(1, 255))
def test_a_flipped_byte_is_refused_or_harmless(path, tmp_path_factory, share, flip):
    """A copy with one wrong byte is refused with one line, or gives the same answers."""
    data = bytearray(path.read_bytes())
    data[int(len(data) * share)] ^= flip
    damaged = tmp_path_factory.mktemp("damaged") / "x.pt"
    damaged.write_bytes(data)
    frame = frames(1, 72, 64)
    try:
        opened = artifact.open(damaged)
    except ArtifactError as error:
        assert "\n" not in str(error)
    else:
        assert torch.equal(opened.forward(frame)[0], artifact.open(path).forward(frame)[0])


def test_other_weights_fail_the_golden_frames(path, tmp_path):
    """A file whose golden answers come from another network is refused."""
    compiled(tmp_path / "other.pt", student(seed=7))
    packed, _ = _golden(tmp_path / "other.pt")
    _refused(
        _rewritten(path, tmp_path / "x.pt", {"golden.npz": packed}), "does not answer as when it was made"
    )


def test_another_top_class_fails_within_the_tolerance(tmp_path):
    """Even with a wide tolerance, the top class of a clear golden frame must be the same."""
    path = tmp_path / "undecided.pt"
    compiled(path, untrained())
    _, content = _golden(path)
    second = content["probabilities"].argsort(axis=1)[:, -2]
    clear = np.full_like(content["probabilities"], 0.025)
    clear[np.arange(len(clear)), second] = 0.95
    golden, _ = _golden(path, probabilities=clear)
    _refused(_rewritten(path, tmp_path / "x.pt", {"golden.npz": golden}), "golden probabilities differ")
    with zipfile.ZipFile(path) as archive:
        [entry] = [name for name in archive.namelist() if name.endswith("metadata.json")]
        content = json.loads(archive.read(entry))
    content["golden"]["probability"] = 0.9
    changes = {"golden.npz": golden, "metadata.json": json.dumps(content).encode()}
    _refused(_rewritten(path, tmp_path / "y.pt", changes), "another top class")


def test_another_decoder_or_resize_is_noticed(path, tmp_path):
    """If the golden PNG does not give the golden frame, the artifact is refused."""
    png = io.BytesIO()
    Image.fromarray(picture(99)).save(png, "PNG")
    packed, _ = _golden(path, png=np.frombuffer(png.getvalue(), np.uint8))
    _refused(
        _rewritten(path, tmp_path / "x.pt", {"golden.npz": packed}), "decoded or resized to other pixels"
    )
    packed, _ = _golden(path, png=np.frombuffer(png.getvalue()[:-40], np.uint8))
    _refused(_rewritten(path, tmp_path / "y.pt", {"golden.npz": packed}), "the golden image is not read")


def test_a_damaged_golden_file_is_refused(path, tmp_path):
    """Golden frames that cannot be read are one line."""
    _refused(_rewritten(path, tmp_path / "x.pt", {"golden.npz": b"no arrays"}), "golden.npz is damaged")


def test_a_machine_without_int8_gets_the_fix(path, tmp_path):
    """If the network's operators do not exist, the line names --scheme none."""
    with zipfile.ZipFile(path) as archive:
        code = {
            name.rpartition("/")[2]: source.replace(b"ops.onednn.q", b"ops.onednn.no_q")
            for name in archive.namelist()
            if name.endswith(".py") and b"ops.onednn.q" in (source := archive.read(name))
        }
    assert code
    _refused(_rewritten(path, tmp_path / "x.pt", code), "compile the student with --scheme none")


def test_one_artifact_serves_many_threads(path):
    """Workers that share an artifact get the same bits as a single one."""
    from concurrent.futures import ThreadPoolExecutor

    opened = artifact.open(path)
    batches = frames(12, 72, 64).split(1)
    alone = [opened.forward(batch)[0] for batch in batches]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda batch: opened.forward(batch)[0], batches))
    assert all(torch.equal(a, b) for a, b in zip(alone, together, strict=True))


def test_a_copy_opens_from_anywhere(path, tmp_path):
    """A renamed copy in another folder opens and has the same hash."""
    copy = shutil.copy(path, tmp_path / "renamed.bin")
    assert artifact.open(copy).sha256 == artifact.open(path).sha256


@pytest.mark.skipif(platform.machine() != "x86_64", reason="elsewhere torch has one set of kernels")
@pytest.mark.parametrize(("capability", "warned"), [("default", True), ("avx2", False)])
def test_a_torch_without_vector_instructions_is_reported(path, capability, warned):
    """If torch finds no vector instructions, and is slow, a line says so."""
    code = (
        f"import pathlib; from inspector.network import artifact; artifact.open(pathlib.Path({str(path)!r}))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        env={**os.environ, "ATEN_CPU_CAPABILITY": capability},
        check=True,
        capture_output=True,
        text=True,
        timeout=HANG_S,
    )
    assert ("no vector instructions" in done.stderr) == warned, done.stderr


def test_warm_workers_take_no_fresh_memory(tmp_path):
    """After the warm-up, memory that one thread frees is reused by another, without new pages."""
    compiled(tmp_path / "a.pt")
    code = f"""
import pathlib, resource, threading
import numpy as np
from inspector.network import artifact
artifact.open(pathlib.Path({str(tmp_path / "a.pt")!r})).warm_up(1)
def work():
    [np.ones(1 << 20, np.uint8) for _ in range(3)]  # 3 × 256 pages
def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
def in_two_threads():
    threads = [threading.Thread(target=work) for _ in range(2)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
in_two_threads()
in_two_threads()
before = faults()
for _ in range(5):
    in_two_threads()
print(faults() - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) < 2000  # by glibc's defaults: some 7400

"""The crash journal names the file that killed the decoder, and convicts no other file."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.errors import ImageError
from inspector.station.crash_journal import CrashJournal


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Path of the journal."""
    return tmp_path / ".decoding"


def crash_while_decoding(path: Path, *names: str) -> None:
    """Run a process that is killed with these files open in its decoder."""
    program = (
        "import os, signal, sys; from contextlib import ExitStack; from pathlib import Path\n"
        "from inspector.station.crash_journal import CrashJournal\n"
        "with CrashJournal(Path(sys.argv[1])) as journal, ExitStack() as stack:\n"
        "    for name in sys.argv[2:]: stack.enter_context(journal.decoding(name))\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(path), *names], check=False)
    assert done.returncode == -signal.SIGKILL


def test_an_orderly_end_leaves_nothing(path: Path):
    """After an orderly end there are no suspects, and the journal itself is gone."""
    with CrashJournal(path) as journal, journal.decoding("a.png"):
        pass
    assert not path.exists()
    with CrashJournal(path) as journal:
        assert journal.suspects == set()


def test_a_file_that_raises_is_no_suspect(path: Path):
    """A decoder that raises an error is alive, so the file is cleared."""
    with CrashJournal(path) as journal:
        with pytest.raises(ValueError, match="bad"), journal.decoding("a.png"):
            raise ValueError("bad")
        assert path.read_text() == "+a.png\n-a.png\n"


def test_one_crash_makes_suspects_and_the_second_convicts(path: Path):
    """All files open at a crash are suspects; only one that is open at the next crash too is convicted."""
    crash_while_decoding(path, "a.png", "b.png")
    with CrashJournal(path) as journal:
        assert journal.suspects == {"a.png", "b.png"}
        os.link(path, path.with_name("kept"))
    path.with_name("kept").rename(path)  # as if that process had died too, with no file open
    crash_while_decoding(path, "b.png")
    with CrashJournal(path) as journal:
        assert journal.suspects == {"a.png", "b.png"}
        with pytest.raises(ImageError, match="decoder_crash"), journal.decoding("b.png"):
            pass
        for name in ("a.png", "b.png"):  # the second b.png is another file
            with journal.decoding(name):
                pass
        assert journal.suspects == set()


def test_a_suspect_that_decodes_is_cleared(path: Path):
    """Two crashes count as in a row only if the file was not decoded between them."""
    crash_while_decoding(path, "a.png")
    with CrashJournal(path) as journal:
        with journal.decoding("a.png"):
            pass
        assert journal.suspects == set()
    crash_while_decoding(path, "a.png")
    with CrashJournal(path) as journal, journal.decoding("a.png"):
        pass


def test_a_long_journal_is_shortened(path: Path):
    """In months of service the journal stays short, and keeps its suspects."""
    crash_while_decoding(path, "suspect.png")
    with CrashJournal(path) as journal:
        for _ in range(6000):
            with journal.decoding("x" * 100):
                pass
        assert path.stat().st_size > 1 << 20
        journal.compact()
        assert path.read_text() == "!suspect.png\n"
        with journal.decoding("y"):
            assert path.read_text() == "!suspect.png\n+y\n"


@given(junk=st.binary(max_size=200))
def test_any_bytes_are_read_without_an_error(tmp_path_factory: pytest.TempPathFactory, junk: bytes):
    """A journal that a power cut has damaged never keeps the station from starting."""
    path = tmp_path_factory.mktemp("journal") / ".decoding"
    path.write_bytes(junk)
    with CrashJournal(path) as journal:
        assert all(name in text for text in [junk.decode(errors="replace")] for name in journal.suspects)

"""Where the console listens: on this machine, or elsewhere with a certificate or a proxy."""

from __future__ import annotations

import http.client
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from ports import free_port
from programs import program
from waiting import HANG_S, wait_for

from inspector.commands.console import _console
from inspector.console import server
from inspector.errors import StationError, UsageError
from inspector.settings import load


def console_of(folder: Path, host: str, port: int = 8765, **settings: object):
    """A console with these settings."""
    config = folder / "config.yaml"
    lines = [f"{key}: {value}" for key, value in {"station": "cell-1", **settings}.items()]
    config.write_text("\n".join(lines))
    return _console(load(config), config, host, port)


@pytest.fixture
def certificate(tmp_path: Path) -> dict[str, str]:
    """A certificate for this machine and its key, and another key."""
    for name in ("mine", "other"):
        command = [program("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        command += [
            "-nodes",
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
        ]
        command += ["-keyout", f"{name}-key.pem", "-out", f"{name}.pem"]
        subprocess.run(command, check=True, capture_output=True, cwd=tmp_path)
    return {"console_certificate": "mine.pem", "console_key": "mine-key.pem"}


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "127.example.invalid", "192.0.2.1", ""])  # noqa: S104
def test_another_address_needs_encryption(tmp_path, host):
    """The console refuses to listen where other machines reach it in clear text, in one line."""
    with pytest.raises(UsageError) as caught:
        server.serve(console_of(tmp_path, host))
    assert "--host" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_wrong_certificate_is_one_line(tmp_path, certificate):
    """A missing, foreign, locked or broken certificate or key is named before anything listens."""
    (tmp_path / "broken.pem").write_text("no certificate")
    locked = ["ec", "-in", "mine-key.pem", "-aes256", "-passout", "pass:secret", "-out", "locked.pem"]
    subprocess.run([program("openssl"), *locked], check=True, capture_output=True, cwd=tmp_path)
    for change, says in (
        ({"console_certificate": "none.pem"}, "console_certificate .*none.pem: cannot be read: No such file"),
        ({"console_key": "none.pem"}, "console_key .*none.pem: cannot be read: No such file"),
        ({"console_key": "other-key.pem"}, "do not fit together"),
        ({"console_key": "locked.pem"}, "without a passphrase"),
        ({"console_certificate": "broken.pem"}, "do not fit together"),
    ):
        with pytest.raises(UsageError, match=says) as caught:
            server.serve(console_of(tmp_path, "0.0.0.0", **certificate | change))  # noqa: S104
        assert "\n" not in str(caught.value)


def test_a_port_in_use_is_one_line(tmp_path):
    """If another program listens there, the console says so and ends."""
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(StationError, match=f"another program listens on 127.0.0.1:{port}"):
            server.serve(console_of(tmp_path, "127.0.0.1", port))


def test_an_address_of_another_machine_is_one_line(tmp_path, certificate):
    """An address that this machine has not is named, also with a certificate."""
    with pytest.raises(UsageError, match=r"192\.0\.2\.1"):
        server.serve(console_of(tmp_path, "192.0.2.1", **certificate))


def test_with_a_certificate_it_speaks_tls_on_any_address(tmp_path, certificate):
    """With a certificate the console answers on all addresses by TLS, which its client can check."""
    port = free_port()
    console_of(tmp_path, "0.0.0.0", port, **certificate)  # noqa: S104
    command = [sys.executable, "-c", "from inspector.commands.cli import main; main()", "console"]
    command += ["--config", str(tmp_path / "config.yaml"), "--host", "0.0.0.0", "--port", str(port)]  # noqa: S104
    trusting = ssl.create_default_context(cafile=str(tmp_path / "mine.pem"))

    def answer() -> http.client.HTTPResponse | None:
        assert process.poll() is None, process.communicate()
        client = http.client.HTTPSConnection("127.0.0.1", port, timeout=HANG_S, context=trusting)
        try:
            client.request("GET", "/sign-in")
            response = client.getresponse()
            response.read()
        except ConnectionRefusedError:
            return None
        finally:
            client.close()
        return response

    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        wait_for(lambda: answer() is not None)
        assert answer().status == 200
    finally:
        process.terminate()
        process.communicate(timeout=HANG_S)

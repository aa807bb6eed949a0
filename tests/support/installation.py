"""A station with people's accounts, installed by the commands of INSTALL.md: what can each account do?

It runs as root in a mount namespace of its own: ``unshare --mount python installation.py ARTIFACT IMAGE``,
and writes the results to stdout as JSON. /etc, /opt, /srv and the folders of units are other ones there, so
that no account and no file of the machine changes. systemd is missing: ``systemctl`` does nothing, and a
thread serves the socket as the units say.
"""

from __future__ import annotations

import configparser
import grp
import json
import os
import pwd
import re
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Final

from console_clients import Client
from ports import free_port
from waiting import wait_for

CHECKOUT: Final = Path(__file__).parents[2]
DEPLOY: Final = CHECKOUT / "deploy"
STATION: Final = Path("/srv/weldnet/station")
CONFIG: Final = str(STATION / "config.yaml")
ACCOUNTS: Final = {
    "camera": "camera",
    "reader": "rita",
    "reviewer": "anna",
    "console": "weldnet-console",
    "service": "weldnet",
}
PROGRAM: Final = Path("/opt/weldnet/venv/bin/weld-inspect")


def run(*command: str, **options: object) -> str:
    """Run a command, which must succeed; return its output."""
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True, **options)  # type: ignore[call-overload]
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.returncode} {done.stdout}")
    return str(done.stdout)


def as_user(user: str, *command: str) -> tuple[bool, str]:
    """Run a command as an account, with all of its groups; return whether it succeeded, and what it said."""
    account = pwd.getpwnam(user)
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        cwd="/",
        user=account.pw_uid,
        group=account.pw_gid,
        extra_groups=os.getgrouplist(user, account.pw_gid),
        umask=0o027,
        env=os.environ | {"HOME": account.pw_dir, "MPLCONFIGDIR": "/tmp"},  # noqa: S108
    )
    return done.returncode == 0, done.stdout + done.stderr


# Several commands in one process: to start one for each takes most of the time.
SAY = """
import contextlib, io, json, sys
from inspector.commands.cli import main
done = []
for words in json.loads(sys.argv[1]):
    sys.argv, said, status = ["weld-inspect", *words], io.StringIO(), 0
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            main()
        except SystemExit as end:
            status = end.code
    done.append((not status, said.getvalue()))
print(json.dumps(done))
"""


def tried_by(user: str, tries: dict[str, list[str]]) -> dict[str, tuple[bool, str]]:
    """Try everything as an account; return whether it could do it, and what was said."""
    ours = {what: words[1:] for what, words in tries.items() if words[0] == str(PROGRAM)}
    done, said = as_user(user, sys.executable, "-c", SAY, json.dumps(list(ours.values())))
    assert done, said
    [line] = [line for line in said.splitlines() if line.startswith("[[")]  # the others are of a log
    results = dict(zip(ours, json.loads(line), strict=True))
    return {what: results.get(what) or as_user(user, *words) for what, words in tries.items()}


def make_machine() -> None:
    """Mount other folders than those of the machine, and let every account start this interpreter."""
    run("mount", "--make-rprivate", "/")
    saved = Path("/mnt")
    run("mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", str(saved))
    shutil.copytree("/etc", saved / "etc", symlinks=True, ignore_dangling_symlinks=True)
    needed = dict.fromkeys([Path(sys.base_prefix), Path(sys.prefix), CHECKOUT])
    for number, folder in enumerate(needed):
        (saved / str(number)).mkdir()
        run("mount", "--bind", str(folder), str(saved / str(number)))
    for folder in {
        parent for place in needed for parent in place.parents if not parent.stat().st_mode & 0o001
    }:
        run("mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", str(folder))
    for number, folder in enumerate(needed):
        folder.mkdir(parents=True, exist_ok=True)
        run("mount", "--bind", str(saved / str(number)), str(folder))
    run("mount", "--bind", str(saved / "etc"), "/etc")
    for place in ("/opt", "/srv", "/home", "/usr/local/bin", "/usr/lib/sysusers.d", "/usr/lib/tmpfiles.d"):
        if Path(place).is_dir() and not any(Path(place) in (folder, *folder.parents) for folder in needed):
            run("mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", place)
    PROGRAM.parent.mkdir(parents=True)
    main = "from inspector.commands.cli import main; main()"
    PROGRAM.write_text(f'#!/bin/sh\nexec {sys.executable} -c "{main}" "$@"\n')
    systemctl = Path("/opt/bin/systemctl")
    systemctl.parent.mkdir()
    systemctl.write_text("#!/bin/sh\n")
    for file in (PROGRAM, systemctl):
        file.chmod(0o755)
    os.environ["PATH"] = f"{systemctl.parent}:{os.environ['PATH']}:/usr/sbin:/sbin"
    os.environ["PYTHONPATH"] = str(CHECKOUT)
    os.umask(0o022)


def commands_of(heading: str) -> list[str]:
    """The command blocks of a section of INSTALL.md."""
    notes = (DEPLOY / "INSTALL.md").read_text()
    section = re.split(r"^## ", notes, flags=re.MULTILINE)
    [text] = [part for part in section if part.startswith(heading)]
    return [block.replace("\n    ", "\n").strip() for block in re.findall(r"\n\n((?:    .+\n)+)", text)]


def install(artifact: Path) -> None:
    """Run the commands of INSTALL.md, word for word but for the artifact's path."""
    blocks = [*commands_of("2. "), *commands_of("3. "), *commands_of("4. ")]
    blocks += [it for it in commands_of("People ") if it.startswith(("useradd", "install"))]
    blocks += [it for it in commands_of("The review console") if "sysusers-console.conf" in it]
    for block in blocks:
        run("bash", "-ec", block.replace("/path/to/weldnet.pt", str(artifact)), cwd=DEPLOY)


def serve_socket() -> None:
    """Do what systemd does by the two units: listen, and start the service for each connection."""
    unit, service = (configparser.ConfigParser(strict=False, interpolation=None) for _ in range(2))
    for parser in (unit, service):
        parser.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read("/etc/systemd/system/weldnet-review.socket")
    service.read("/etc/systemd/system/weldnet-review@.service")
    about, how = unit["Socket"], service["Service"]
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(about["ListenStream"])
    owner, group = pwd.getpwnam(about["SocketUser"]), grp.getgrnam(about["SocketGroup"])
    os.chown(about["ListenStream"], owner.pw_uid, group.gr_gid)
    Path(about["ListenStream"]).chmod(int(about["SocketMode"], 8))
    listener.listen()
    account = pwd.getpwnam(how["User"])

    def accept() -> None:
        while True:
            connection, _ = listener.accept()
            with connection:
                subprocess.Popen(
                    how["ExecStart"].split(),
                    stdin=connection,
                    user=account.pw_uid,
                    group=account.pw_gid,
                    extra_groups=os.getgrouplist(how["User"], account.pw_gid),
                    umask=int(how["UMask"], 8),
                    cwd="/",
                )

    threading.Thread(target=accept, daemon=True).start()


def attempts(image: Path) -> dict[str, list[str]]:
    """A command for each line of the table in INSTALL.md; it succeeds if the account can do that."""
    station = [
        STATION,
        *STATION.rglob("*"),
        *(Path("/srv/weldnet/reports", name) for name in (".", "index.html")),
    ]
    places = " ".join(f"'{path}'" for path in station if not path.is_socket())  # to connect is no change
    judged = next(path for path in station if path.suffix == ".png")
    weld_inspect = f"{PROGRAM} --config {CONFIG}".split()

    def say(*words: str) -> list[str]:
        return [weld_inspect[0], "review", *words, *weld_inspect[1:]]

    return {
        "write images into the drop folder": [
            *("sh", "-c", f'cp {image} "/srv/weldnet/drop/by-$(id -un).png"'),
        ],
        "read judged images": ["sh", "-c", f"cat '{judged}' >/dev/null"],
        "read the daily reports": ["cat", "/srv/weldnet/reports/index.html"],
        "read settings and artifact": ["sh", "-c", f"cat {CONFIG} {STATION}/weldnet.pt >/dev/null"],
        "read the database (`review next`)": say("next"),
        "change or remove images, reports, settings, artifact or database": [
            *("sh", "-c", f'for place in {places}; do [ -w "$place" ] && exit 0; done; exit 1'),
        ],
        "add a verdict (`review set`)": say("set", "1", "--verdict", "FAIL"),
        "draw an audit sample (`review sample`)": say("sample", "--count", "1"),
        "add a verdict in the name of another (`--reviewer`)": [
            *say("set", "1", "--verdict", "PASS", "--reviewer", "bert"),
        ],
    }


def verdict_at_the_console() -> dict[str, object]:
    """Add a person as the notes say, start the console as its unit does, sign in and give a verdict."""
    command = [str(PROGRAM), "console", "user", "add", "erika", "--role", "review", "--config", CONFIG]
    said = run(*command, input="three plain words\n")
    unit = configparser.ConfigParser(strict=False, interpolation=None)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read("/etc/systemd/system/weldnet-console.service")
    how, port = unit["Service"], free_port()
    account = pwd.getpwnam(how["User"])
    with Path("/opt/console.log").open("w") as log:
        console = subprocess.Popen(
            [*how["ExecStart"].split(), "--port", str(port)],
            stderr=log,
            user=account.pw_uid,
            group=account.pw_gid,
            extra_groups=os.getgrouplist(how["User"], account.pw_gid),
            umask=int(how["UMask"], 8),
            cwd="/",
        )
    client = Client(port)

    def is_there() -> bool:
        assert console.poll() is None, Path("/opt/console.log").read_text()
        try:
            return client.ask("GET", "/health").status == 200
        except OSError:
            return False

    try:
        wait_for(is_there)
        signed_in = client.sign_in("erika", "three plain words").status
        verdict = {"key": "5e0f4a26-6d5c-4c1e-9a55-9a3b1f8e2c11", "inspection": 2, "verdict": "FAIL"}
        answer = client.say(verdict)
        image = client.ask("GET", "/image/2").status
        state = client.ask("GET", "/now/state").body.decode()
    finally:
        console.terminate()
        console.wait()
    return {
        "said": said,
        "signed in": signed_in,
        "verdict": [answer.status, answer.body.decode()],
        "image": image,
        "state": state,
        "log": Path("/opt/console.log").read_text(),
    }


def main() -> None:
    """Install, judge images of the camera, try everything with every account, and print the results."""
    artifact, image = map(Path, sys.argv[1:])
    make_machine()
    shutil.copy(artifact, "/opt/artifact.pt")
    shutil.copy(image, "/opt/image.png")
    Path("/opt/image.png").chmod(0o644)
    install(Path("/opt/artifact.pt"))
    for number in range(4):  # an audit sample for each account that can draw one
        made = Path(f"/opt/{number}.png")
        made.write_bytes(image.read_bytes() + bytes(number))
        made.chmod(0o644)
        said = as_user("camera", "cp", str(made), f"/srv/weldnet/drop/{number}.png")
        assert said[0], said
    os.environ |= {
        "WELD_THREADS": "1",
        "WELD_THRESHOLDS": '{"accept": 0.000001, "defect": 0.999}',
    }  # samples are of PASS
    said = as_user("weldnet", str(PROGRAM), "once", "--config", CONFIG)
    assert said[0], said
    said = as_user("weldnet", "sh", "-c", "echo report >/srv/weldnet/reports/index.html")
    assert said[0], said
    probe = (
        "import sys; from pathlib import Path; from inspector.upkeep.people import may_look, review_service;"
        "print(may_look(Path('/srv/weldnet/station/archive'), [Path(it) for it in sys.argv[1:]]));"
        "print(review_service(Path(sys.argv[1])))"
    )
    checks = {}
    for state in ("off", "on", "closed"):
        if state == "on":
            serve_socket()
        if state == "closed":  # the group may no longer read
            (STATION / "archive").chmod(0o700)
        checks[state] = as_user("weldnet", sys.executable, "-c", probe, str(STATION / "quality.db"), CONFIG)[
            1
        ]
    (STATION / "archive").chmod(0o750)
    results: dict[str, dict[str, tuple[bool, str]]] = {
        who: tried_by(user, attempts(Path("/opt/image.png"))) for who, user in ACCOUNTS.items()
    }
    console = verdict_at_the_console()
    query = "SELECT reviewer FROM review ORDER BY id"
    reading = (
        "import sqlite3, sys; print(*[name for name, in sqlite3.connect(sys.argv[1]).execute(sys.argv[2])])"
    )
    names = as_user("weldnet", sys.executable, "-c", reading, str(STATION / "quality.db"), query)[1].split()
    sys.stdout.write(
        json.dumps({"results": results, "reviewers": names, "checks": checks, "console": console})
    )


if __name__ == "__main__":
    main()

"""Cameras on Windows that deliver to a station by the recipes of deploy: a Samba share and SFTP.

It runs as root in a mount namespace: ``unshare --mount python windows_cameras.py ARTIFACT IMAGE``, on
the machine that ``installation.py`` makes. A real smbd and a real sshd serve the recipes at free ports, the
daemon inspects each image, and what the camera's account could do is printed as JSON.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from installation import CONFIG, DEPLOY, PROGRAM, STATION, as_user, install, make_machine, run
from ports import free_port
from waiting import wait_for

PASSWORD = "three plain words"  # noqa: S105 - of an account that ends with this process
DROP = Path("/srv/weldnet/drop")
# For a server beside the machine's own: the recipe says the rest.
SMB_GLOBAL = """[global]
    smb ports = {port}
    interfaces = 127.0.0.1
    bind interfaces only = yes
    disable netbios = yes
    load printers = no
    log file = /var/log/samba/smbd.log
"""
SSHD_GLOBAL = """ListenAddress 127.0.0.1
HostKey /etc/ssh/test_key
UsePAM no
Subsystem sftp internal-sftp
Include /etc/ssh/sshd_config.d/weldnet.conf
"""
CLIENT = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR"]


def own_folders() -> None:
    """Mount other folders than the machine's where the servers keep their state."""
    for place in ("/run", "/var/lib/samba", "/var/cache/samba", "/var/log/samba"):
        run("mount", "-t", "tmpfs", "-o", "mode=0755", "tmpfs", place)
    for place in ("/run/samba", "/run/sshd", "/var/lib/samba/private"):
        Path(place).mkdir(mode=0o700 if place.endswith("private") else 0o755)


def serve_share(port: int) -> subprocess.Popen[bytes]:
    """Start smbd with the recipe of the share, and give the camera a password as its first line says."""
    Path("/etc/samba").mkdir(exist_ok=True)
    recipe = (DEPLOY / "samba-share.conf").read_text()
    Path("/etc/samba/smb.conf").write_text(SMB_GLOBAL.format(port=port) + recipe)
    run("smbpasswd", "-s", "-a", "camera", input=f"{PASSWORD}\n{PASSWORD}\n")
    # At its end it ends all of its process group, in which this process must not be.
    words = ["smbd", "--foreground", "--no-process-group"]
    return subprocess.Popen(words, stdin=subprocess.DEVNULL, start_new_session=True)


def serve_sftp(port: int) -> subprocess.Popen[bytes]:
    """Start sshd with the recipe, and give the camera a key."""
    Path("/etc/ssh/sshd_config.d").mkdir(parents=True, exist_ok=True)
    shutil.copy(DEPLOY / "sftp-camera.conf", "/etc/ssh/sshd_config.d/weldnet.conf")
    Path("/etc/ssh/test_sshd_config").write_text(SSHD_GLOBAL)
    for key in ("/etc/ssh/test_key", "/opt/camera_key"):
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key)
    keys = Path("/home/camera/.ssh/authorized_keys")
    keys.parent.mkdir()
    shutil.copy("/opt/camera_key.pub", keys)
    run("chown", "--recursive", "camera:", str(keys.parent))
    run(
        "usermod", "--password", "*", "camera"
    )  # without PAM, sshd refuses an account that has no password yet
    words = ["/usr/sbin/sshd", "-D", "-e", "-f", "/etc/ssh/test_sshd_config", "-p", str(port)]
    return subprocess.Popen(words)


def smb(port: int, commands: str) -> tuple[bool, str]:
    """Give commands to smbclient, as the camera."""
    words = ["smbclient", "//127.0.0.1/drop", "--port", str(port), "--user", f"camera%{PASSWORD}"]
    done = subprocess.run([*words, "--command", commands], check=False, capture_output=True, text=True)
    return done.returncode == 0, done.stdout + done.stderr


def sftp(port: int, commands: str) -> tuple[bool, str]:
    """Give commands to sftp, as the camera."""
    words = ["sftp", *CLIENT, "-i", "/opt/camera_key", "-P", str(port), "-b", "-", "camera@127.0.0.1"]
    done = subprocess.run(words, input=commands, check=False, capture_output=True, text=True)
    return done.returncode == 0, done.stdout + done.stderr


def works(processes: list[subprocess.Popen[bytes]]) -> bool:
    """Return True while servers and daemon run; one that has ended fails at once, with the logs."""
    for process in processes:
        if process.poll() is not None:
            logs = "".join(
                path.read_text() for path in (Path("/var/log/samba/smbd.log"), Path("/opt/station.log"))
            )
            raise SystemExit(f"{process.args} has ended: {logs}")
    return True


def judged(name: str) -> bool:
    """Whether an image is in the archive, and no longer in the drop folder."""
    stem = Path(name).stem
    return bool(list((STATION / "archive").rglob(f"{stem}.*.png"))) and not (DROP / name).exists()


def main() -> None:
    """Install, serve, deliver in each way, and print the results."""
    artifact, image = map(Path, sys.argv[1:])
    make_machine()
    own_folders()
    shutil.copy(artifact, "/opt/artifact.pt")
    for number in range(4):  # no two files are the same
        Path(f"/opt/{number}.png").write_bytes(image.read_bytes() + bytes(number))
    install(Path("/opt/artifact.pt"))
    (smb_port, ssh_port), running = (free_port(), free_port()), []
    log = Path("/opt/station.log")
    try:
        running = [serve_share(smb_port), serve_sftp(ssh_port)]
        os.environ["WELD_THREADS"] = "1"
        with log.open("w") as stream:
            station = ["runuser", "-u", "weldnet", "--", str(PROGRAM), "run", "--config", CONFIG]
            running.append(subprocess.Popen(station, stderr=stream))
        wait_for(lambda: works(running) and smb(smb_port, "ls")[0])
        wait_for(lambda: works(running) and sftp(ssh_port, "ls")[0])
        wait_for(lambda: works(running) and "ready: " in log.read_text())
        said = {
            "smb": smb(smb_port, "put /opt/0.png smb.png"),
            "smb, renamed": smb(smb_port, "put /opt/1.png smb2.png.tmp; rename smb2.png.tmp smb2.png"),
            "smb, Thumbs.db": smb(smb_port, "put /opt/3.png Thumbs.db"),
            "smb, outside": smb(smb_port, "cd ..; get station/config.yaml /opt/stolen"),
            "sftp": sftp(ssh_port, "put /opt/2.png sftp.png"),
            "sftp, renamed": sftp(ssh_port, "put /opt/3.png sftp2.png.part\nrename sftp2.png.part sftp2.png"),
            "sftp, outside": sftp(ssh_port, f"get {CONFIG} /opt/stolen"),
        }
        for name in ("smb.png", "smb2.png", "sftp.png", "sftp2.png"):
            wait_for(lambda name=name: judged(name))  # type: ignore[misc]
    finally:
        for process in running:
            process.terminate()
            process.wait()
    figures = as_user("weldnet", str(PROGRAM), "reconcile", "--json", "--config", CONFIG)[1]
    sys.stdout.write(json.dumps({"said": said, "figures": figures, "log": log.read_text()}))


if __name__ == "__main__":
    main()

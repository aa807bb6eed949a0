"""Trouble with the disk: it is full, or it disappears and comes back. Real mounts need root."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

from chaos_leg import Leg, Scenario, Skipped, Violated
from rig import Rig, databases, scalar


def disk_full(leg: Leg) -> None:
    """Fill the disk until it has no bytes or no inodes left, and free it later.

    Files wait at that moment. In every third round the daemon is killed too, and has to start on the full
    disk.
    """
    with _tmpfs(leg.folder / "disk", "size=96m,nr_inodes=20k") as disk, databases("sqlite", disk) as url:
        rig_at = disk / "station"
        with Rig(rig_at, leg.artifact, url, logs=leg.folder) as rig, leg.camera(rig, per_second=40) as camera:
            rig.launch_ready()
            for number in leg.each_round():
                leg.pause(2.0)
                rig.daemon.send_signal(signal.SIGSTOP)  # so that files wait when the disk gets full
                enough = len(camera.sent) + 20
                rig.wait_for(lambda n=enough: len(camera.sent) >= n or rig.waiting() > 100, "files came")
                with _ballast(disk, inodes=bool(number % 2)):
                    rig.daemon.send_signal(signal.SIGCONT)
                    leg.pause(3.0)
                    if number % 3 == 2:
                        rig.kill()
                        rig.launch()
                        leg.pause(1.5 * rig.ready_s)
                _works_on(rig)
            camera.stop()
            rig.wait_until_idle()
            rig.stop()
            leg.counts["outage rows"] += scalar(url, "SELECT count(*) FROM event WHERE kind = 'outage'")
            leg.check_idle(rig, camera.sent)


@contextlib.contextmanager
def _ballast(disk: Path, *, inodes: bool) -> Iterator[None]:
    """Fill the disk within the block, and keep it full even if the camera frees space."""
    folder = disk / "ballast"
    folder.mkdir()
    try:
        if inodes:
            for number in range(1_000_000):
                (folder / str(number)).touch()
        else:
            with (folder / "bytes").open("wb", buffering=0) as file:
                for size in (1 << 20, 1 << 12):
                    with contextlib.suppress(OSError):
                        while file.write(bytes(size)) == size:
                            pass
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
    try:
        yield
    finally:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()


def unmount(leg: Leg) -> None:
    """Unmount the drop folder's file system and mount it again; below it is a folder of the same name.

    The cameras keep writing on the other side, as over a network.
    """
    with _tmpfs(leg.folder / "disk", "size=96m") as disk, databases("sqlite", leg.folder) as url:
        share = leg.folder / "share"
        decoy = share / "drop" / "decoy.png"
        decoy.parent.mkdir(parents=True)
        decoy.write_bytes(b"not in the drop folder")
        _mount("--bind", str(disk), str(share))
        try:
            folders = {f"{name}_folder": str(share / name) for name in ("drop", "archive", "quarantine")}
            rig = Rig(leg.folder / "station", leg.artifact, url, **folders)
            rig.drop, rig.archive, rig.quarantine = disk / "drop", disk / "archive", disk / "quarantine"
            rig.drop.mkdir()
            with rig, leg.camera(rig, per_second=40) as camera:
                rig.launch_ready()
                for _ in leg.each_round():
                    leg.pause(2.0)
                    subprocess.run(["umount", "--lazy", str(share)], check=True)
                    leg.pause(3.0)
                    if os.listdir(decoy.parent) != [decoy.name]:
                        raise Violated("the folder below the mount point was touched")
                    _mount("--bind", str(disk), str(share))
                    _works_on(rig)
                camera.stop()
                rig.wait_until_idle()
                rig.stop()
                for kind in ("folder_lost", "outage"):  # an outage if it was in the middle of a batch
                    count = scalar(url, f"SELECT count(*) FROM event WHERE kind = '{kind}'")
                    leg.counts[f"{kind} rows"] += count
                leg.check_idle(rig, camera.sent)
        finally:
            subprocess.run(["umount", "--lazy", str(share)], check=True)


def _works_on(rig: Rig) -> None:
    before = rig.archived()
    rig.wait_for(lambda: rig.archived() > before, "it continued after the fault", every_s=0.2)


@contextlib.contextmanager
def _tmpfs(folder: Path, options: str) -> Iterator[Path]:
    folder.mkdir()
    _mount("-t", "tmpfs", "-o", options, "weldnet-chaos", str(folder))
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _mount(*words: str) -> None:
    if os.geteuid() != 0:
        raise Skipped("mounting needs root")
    done = subprocess.run(["mount", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise Skipped(f"mount: {done.stderr.strip()}")


SCENARIOS = {
    "disk-full": Scenario(disk_full, "full disk", 12, 6),
    "unmount": Scenario(unmount, "unmount and remount", 20, 10),
}

"""A file system that should be mounted where the spool lies and is not: nothing is written in its place, it is shown,
and root tries again.
"""

from __future__ import annotations

import os
import subprocess
import threading
from pathlib import Path

import pytest

from agent import uploader
from agent.errors import Exit, StorageError
from agent.mounts import Mounts, must_be_there, read_mounts
from agent.station.layout import AgencyPaths
from agent.status import State
from tests.recorder_desk import Camera
from tests.recorder_kit import make_config

DISK = Path(__file__).parent.parent / "systemd" / "libexec" / "disk"
ROOT = "22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
FSTAB = (
    "# LABEL=old /var/lib/old ext4 defaults 0 2\n\nLABEL=bodycam /var/lib/body\\040cam ext4 noatime,nofail 0 2\n"
    "UUID=1 / ext4 defaults 0 1\nUUID=2 none swap sw 0 0\n"
)
SPOOL = Path("/var/lib/body cam/spool")
ITSELF = "41 22 8:1 /var/lib/body\\040cam /var/lib/body\\040cam rw,noatime shared:9 - ext4 /dev/sda1 rw\n"
"""As a unit sees a directory that is its own to write (ReadWritePaths=), or to read alone."""


@pytest.mark.parametrize(
    ("mounted", "there"),
    [
        ("", False),
        ("30 22 8:17 / /var/lib/body\\040cam rw,noatime shared:9 - ext4 /dev/sdb1 rw\n", True),
        (ITSELF, False),
        # It came after the unit was begun.
        (ITSELF + "43 41 8:17 / /var/lib/body\\040cam rw,noatime shared:9 - ext4 /dev/sdb1 rw\n", True),
        # Another directory of the same disk, by a line of fstab with `bind`.
        ("30 22 8:1 /data /var/lib/body\\040cam rw,noatime shared:9 - ext4 /dev/sda1 rw\n", True),
    ],
    ids=["nothing", "a card", "itself", "a card on itself", "another directory"],
)
def test_fstab_and_the_kernel_say_what_is_mounted(tmp_path: Path, mounted: str, there: bool) -> None:
    fstab, mountinfo = tmp_path / "fstab", tmp_path / "mountinfo"
    fstab.write_text(FSTAB)
    mountinfo.write_text(ROOT + mounted)
    mounts = read_mounts(fstab, mountinfo)
    assert mounts.lacking(SPOOL) == (None if there else (SPOOL.parent, "LABEL=bodycam"))
    assert mounts.of(SPOOL) == (SPOOL.parent if there else Path("/"))
    assert mounts.lacking(Path("/var/lib/other")) is None
    if not there:
        with pytest.raises(StorageError, match="LABEL=bodycam is not mounted at /var/lib/body cam"):
            must_be_there(SPOOL, lambda: mounts)


def test_what_names_no_mount_asks_for_none(tmp_path: Path) -> None:
    assert read_mounts(tmp_path / "fstab", tmp_path / "mountinfo").of(tmp_path) == Path("/")
    assert Path("/") in read_mounts().there


@pytest.fixture
def lacking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Mounts]:
    """What fstab and kernel say, the last of them."""
    said = [Mounts({tmp_path: "LABEL=bodycam"}, frozenset({Path("/")}))]
    for user in ("agent.spool.lock", "agent.uploader"):
        monkeypatch.setattr(f"{user}.must_be_there", lambda path: must_be_there(path, lambda: said[-1]))
    return said


def test_a_recorder_without_its_mount_shows_it_writes_nothing_and_takes_the_mount_when_it_comes(
    lacking: list[Mounts], agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    camera = Camera(agency, tmp_path, monkeypatch).start()
    camera.turns(6)
    status = camera.recorder.status()
    assert (status["state"], status["officer"]["state"]) == ("fault", "fault") and status["officer"]["alarm"]
    assert "LABEL=bodycam is not mounted" in camera.faults()["storage"]
    camera.ticks(12)
    assert not (tmp_path / "spool").exists()
    lacking.append(Mounts(lacking[-1].wanted, frozenset({Path("/"), tmp_path})))
    camera.ticks(9)
    assert camera.is_(State.READY) and not camera.faults()
    camera.recorder.close()


def test_an_uploader_without_its_mount_ends(lacking: list[Mounts], agency: AgencyPaths, tmp_path: Path) -> None:
    config = make_config(agency, tmp_path)
    stop = threading.Event()
    stop.set()
    with pytest.raises(StorageError, match="LABEL=bodycam"):
        uploader.run(config, stop=stop)
    assert not (tmp_path / "spool").exists()


class Root:
    """What systemd/libexec/disk asks and does, by programs of ours in the place of the system's."""

    def __init__(self, folder: Path) -> None:
        self.data, self.device, self._bin, self._calls = (folder / n for n in ("data", "device", "bin", "calls"))
        self._mounted, self.owner = folder / "mounted", "root:root"
        self._bin.mkdir()
        self._calls.touch()

    def says(self, name: str, script: str) -> None:
        path = self._bin / name
        path.write_text(f"#!/bin/sh\n{script}\n", "utf-8")
        path.chmod(0o755)

    def run(
        self, what: str, mounts: bool = True, word: str = "start", status: int | None = None, by_hand: bool = False
    ) -> list[str]:
        """What it did, where `what` belongs there, by fstab or `by_hand`, and a mount succeeds, or not; `status` is
        that of the recorder's end.
        """
        self._calls.write_text("")
        self.says("mountpoint", f'[ -e "{self._mounted}" ]')
        self.says(
            "systemctl",
            f'[ "$2" != --property=FragmentPath ] || {{ echo "{"" if by_hand else what}"; exit; }}\n'
            f'[ "$1" != show ] || {{ echo "{what}"; exit; }}\necho "$*" >>"{self._calls}"\n'
            + (f'touch "{self._mounted}"' if mounts else "exit 1"),
        )
        self.says("stat", f'[ "$2" = %a ] && echo 755 || echo "{self.owner}"')
        for name in ("chown", "chmod"):
            self.says(name, f'echo "{name} $*" >>"{self._calls}"')
        environment = {"PATH": f"{self._bin}:{os.environ['PATH']}"} | (
            {} if status is None else {"EXIT_STATUS": f"{status}"}
        )
        subprocess.run(["/bin/sh", str(DISK), word, str(self.data)], env=environment, timeout=60)
        return self._calls.read_text("utf-8").splitlines()


@pytest.fixture
def root(tmp_path: Path) -> Root:
    return Root(tmp_path)


START = r"start var-lib-bodycam\x2dagent.mount"


def test_root_gives_the_place_to_the_recorder_where_no_mount_is_wanted(root: Root) -> None:
    assert root.run("") == [f"chown -hR bodycam-recorder:bodycam {root.data}", f"chmod 0750 {root.data}"]
    root.owner = "bodycam-recorder:bodycam"
    assert root.run("") == [f"chmod 0750 {root.data}"]


def test_root_mounts_what_is_wanted_before_it_gives_it(root: Root) -> None:
    root.device.touch()
    assert root.run(str(root.device))[:2] == [START, f"chown -hR bodycam-recorder:bodycam {root.data}"]
    # Once.
    assert START not in root.run(str(root.device))


def test_root_gives_nothing_below_a_mount_that_fails_and_waits_for_no_device(root: Root) -> None:
    assert root.run(str(root.device)) == []
    root.device.touch()
    assert root.run(str(root.device), mounts=False) == [START]
    assert not root.data.exists()


def test_root_mounts_anew_what_refused_until_the_recorder_ended_of_it_and_nothing_else(root: Root) -> None:
    """The uploader's files keep nothing from being unmounted, and the mount starts it again."""
    root.device.touch()
    refused = int(Exit.STORAGE)
    assert root.run("", word="end", status=refused) == []
    root.run(str(root.device))
    for status in (None, 0, 1, 2, 3, 5, 6, 9):
        assert root.run(str(root.device), word="end", status=status) == []
    assert root.run(str(root.device), word="end", status=refused, by_hand=True) == []
    anew = [r"stop bodycam-uploader.service", r"restart var-lib-bodycam\x2dagent.mount"]
    assert root.run(str(root.device), word="end", status=refused) == anew

"""Durable files: the order of system calls, a kill between any two of them, and disks that refuse."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from agent import durable
from agent.errors import Exit, StorageError

OLD, NEW = b"the old content", b"the new content, which is longer"
TRACED = ("open", "write", "pwrite", "fsync", "rename", "close")


class TracedOs:
    """The os module, with the calls that change a disk noted as "name target", and one of them failing on request."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.fail_at: tuple[str, int] | None = None
        self.write_limit = 1 << 20
        self._names: dict[int, str] = {}

    def __getattr__(self, name: str) -> Any:
        real = getattr(os, name)
        return self._traced(name, real) if name in TRACED else real

    def _traced(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            target = self._names.get(args[0], "?") if isinstance(args[0], int) else Path(args[0]).name
            self.calls.append(f"{name} {target}")
            if self.fail_at is not None and self.fail_at[0] == name:
                raise OSError(self.fail_at[1], os.strerror(self.fail_at[1]))
            if name in ("write", "pwrite"):
                args = (args[0], args[1][: self.write_limit], *args[2:])
            result = real(*args)
            if name == "open":
                self._names[result] = target
            return result

        return call


@pytest.fixture
def traced(monkeypatch: pytest.MonkeyPatch) -> TracedOs:
    shim = TracedOs()
    monkeypatch.setattr(durable, "os", shim)
    return shim


def names(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


# -- order -----------------------------------------------------------------------------------------------------------


def test_a_name_appears_only_after_its_content_is_durable(tmp_path: Path, traced: TracedOs) -> None:
    durable.write_file(tmp_path / "state", NEW)
    aside = f".state.{os.getpid()}.tmp"
    assert traced.calls == [
        f"open {aside}",
        f"write {aside}",
        f"fsync {aside}",
        f"close {aside}",
        f"rename {aside}",
        f"open {tmp_path.name}",
        f"fsync {tmp_path.name}",
        f"close {tmp_path.name}",
    ]
    assert (tmp_path / "state").read_bytes() == NEW
    assert names(tmp_path) == ["state"]


def test_every_byte_is_written_before_the_fsync(tmp_path: Path, traced: TracedOs) -> None:
    traced.write_limit = 5
    durable.write_file(tmp_path / "state", NEW)
    kinds = [call.split()[0] for call in traced.calls]
    assert kinds[:-6] == ["open"] + ["write"] * 7
    assert kinds[-6] == "fsync"
    assert (tmp_path / "state").read_bytes() == NEW


def test_a_move_is_durable_at_both_ends(tmp_path: Path, traced: TracedOs) -> None:
    for directory in ("open", "sealed"):
        (tmp_path / directory).mkdir()
    (tmp_path / "open/segment").write_bytes(OLD)
    durable.move(tmp_path / "open/segment", tmp_path / "sealed/segment")
    assert [call for call in traced.calls if not call.startswith(("open ", "close "))] == [
        "rename segment",
        "fsync sealed",
        "fsync open",
    ]
    assert (names(tmp_path / "open"), names(tmp_path / "sealed")) == ([], ["segment"])


def test_a_move_within_one_directory_syncs_it_once(tmp_path: Path, traced: TracedOs) -> None:
    (tmp_path / "a").write_bytes(OLD)
    durable.move(tmp_path / "a", tmp_path / "b")
    assert [call for call in traced.calls if call.startswith("fsync")] == [f"fsync {tmp_path.name}"]


def test_a_move_that_was_done_but_not_durable_is_made_so_by_the_same_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    (tmp_path / "a" / "x").write_bytes(b"x")
    real, synced = os.fsync, []

    def refuse(fd: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", refuse)
        with pytest.raises(StorageError):
            durable.move(tmp_path / "a" / "x", tmp_path / "b" / "x")
    monkeypatch.setattr(os, "fsync", lambda fd: (synced.append(os.readlink(f"/proc/self/fd/{fd}")), real(fd)))
    durable.move(tmp_path / "a" / "x", tmp_path / "b" / "x")
    assert synced == [str(tmp_path / "b"), str(tmp_path / "a")]
    with pytest.raises(StorageError, match="No such file"):
        durable.move(tmp_path / "a" / "y", tmp_path / "b" / "y")


def test_a_move_that_was_done_by_half_is_finished(tmp_path: Path) -> None:
    """Both names are there: only the new directory reached the disk. rename(2) leaves two names of one file alone."""
    for directory in ("open", "sealed"):
        (tmp_path / directory).mkdir()
    (tmp_path / "open/segment").write_bytes(OLD)
    os.link(tmp_path / "open/segment", tmp_path / "sealed/segment")
    durable.move(tmp_path / "open/segment", tmp_path / "sealed/segment")
    assert (names(tmp_path / "open"), names(tmp_path / "sealed")) == ([], ["segment"])
    assert (tmp_path / "sealed/segment").read_bytes() == OLD


def test_many_moves_cost_one_sync_of_each_directory(tmp_path: Path, traced: TracedOs) -> None:
    """Of which those that were done before, or by half, are finished."""
    for directory in ("open", "sealed"):
        (tmp_path / directory).mkdir()
    files = [tmp_path / "open" / name for name in "abc"]
    for file in files:
        file.write_bytes(OLD)
    os.rename(files[0], tmp_path / "sealed" / "a")
    os.link(files[1], tmp_path / "sealed" / "b")
    traced.calls.clear()
    durable.move_all(files, tmp_path / "sealed")
    assert [call for call in traced.calls if call.startswith("fsync")] == ["fsync sealed", "fsync open"]
    assert traced.calls.index("rename c") < traced.calls.index("fsync sealed")
    assert (names(tmp_path / "open"), names(tmp_path / "sealed")) == ([], ["a", "b", "c"])
    traced.calls.clear()
    durable.move_all([], tmp_path / "sealed")
    assert traced.calls == []


def test_a_removal_is_durable_and_can_be_repeated(tmp_path: Path, traced: TracedOs) -> None:
    (tmp_path / "a").write_bytes(OLD)
    for _ in range(2):
        traced.calls.clear()
        durable.remove(tmp_path / "a")
        assert f"fsync {tmp_path.name}" in traced.calls
        assert names(tmp_path) == []


def test_each_new_directory_is_durable_in_its_parent(tmp_path: Path, traced: TracedOs) -> None:
    made = durable.make_dir(tmp_path / "a" / "b")
    assert made == tmp_path / "a" / "b" and made.is_dir()
    assert [call for call in traced.calls if call.startswith("fsync")] == [f"fsync {tmp_path.name}", "fsync a"]
    traced.calls.clear()
    durable.make_dir(made)
    assert traced.calls == []


def test_a_positioned_write_goes_on_where_a_short_one_ended(tmp_path: Path, traced: TracedOs) -> None:
    path = tmp_path / "segment"
    path.write_bytes(b"." * 10)
    traced.write_limit = 3
    fd = os.open(path, os.O_WRONLY)
    try:
        durable.pwrite_all(fd, b"12345678", 6)
    finally:
        os.close(fd)
    assert path.read_bytes() == b"......12345678"
    assert len(traced.calls) == 3


# -- a kill between any two steps ------------------------------------------------------------------------------------

CHILD = """
import os, sys
from pathlib import Path
from agent import durable

left = int(sys.argv[2])

def stepping(real):
    def call(*args, **kwargs):
        global left
        if left == 0:
            os._exit(9)  # as kill -9 does: no clean-up of any kind
        left -= 1
        return real(*args, **kwargs)
    return call

for name in ("open", "write", "fsync", "close", "rename", "unlink"):
    setattr(os, name, stepping(getattr(os, name)))
real_write = os.write
os.write = lambda fd, data: real_write(fd, data[:11])
durable.write_file(Path(sys.argv[1]), sys.argv[3].encode())
os._exit(0)
"""


def kill_after(path: Path, steps: int) -> bool:
    """Whether the child was killed before it was through."""
    words = [sys.executable, "-c", CHILD, str(path), str(steps), NEW.decode()]
    done = subprocess.run(words, cwd=Path(__file__).parents[1], check=False, timeout=60)
    assert done.returncode in (0, 9)
    return done.returncode == 9


@pytest.mark.parametrize("before", [OLD, None])
def test_a_kill_between_any_two_steps_leaves_old_or_new_whole(tmp_path: Path, before: bytes | None) -> None:
    path = tmp_path / "state"
    seen = []
    for steps in range(40):
        path.unlink(missing_ok=True)
        if before is not None:
            path.write_bytes(before)
        killed = kill_after(path, steps)
        seen.append(path.read_bytes() if path.exists() else None)
        if not killed:
            break
    # open, three short writes, fsync, close, rename, and the directory's open, fsync, close.
    assert seen == [before] * 7 + [NEW] * 4
    # What a kill leaves behind is aside, under a name that nothing reads.
    assert all(name == "state" or (name.startswith(".state.") and name.endswith(".tmp")) for name in names(tmp_path))


# -- disks that refuse -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("step", "number", "says", "next_step"),
    [
        ("write", errno.ENOSPC, "No space left on device", "free space"),
        ("fsync", errno.ENOSPC, "No space left on device", "free space"),
        ("open", errno.EROFS, "Read-only file system", "read-only: remount"),
        ("rename", errno.EROFS, "Read-only file system", "read-only: remount"),
        ("fsync", errno.EIO, "Input/output error", "replace the card"),
        ("open", errno.EACCES, "Permission denied", "owner and mode"),
        ("open", errno.EPERM, "Operation not permitted", "owner and mode"),
        ("write", errno.EDQUOT, "quota exceeded", "check the disk"),
    ],
)
def test_a_refused_write_names_the_file_and_leaves_the_old_one(
    tmp_path: Path, traced: TracedOs, step: str, number: int, says: str, next_step: str
) -> None:
    path = tmp_path / "state"
    path.write_bytes(OLD)
    traced.fail_at = (step, number)
    with pytest.raises(StorageError) as caught:
        durable.write_file(path, NEW)
    assert caught.value.exit_status == Exit.STORAGE
    assert str(path) in caught.value.message and says in caught.value.message
    assert next_step in caught.value.hint
    assert isinstance(caught.value.__cause__, OSError)
    assert path.read_bytes() == OLD
    assert names(tmp_path) == ["state"]


def test_a_really_full_disk() -> None:
    """/dev/full answers every write with ENOSPC."""
    fd = os.open("/dev/full", os.O_WRONLY)
    try:
        with (
            pytest.raises(StorageError, match="cannot write /dev/full: No space left on device"),
            durable.storage_errors(Path("/dev/full"), "cannot write"),
        ):
            durable.write_all(fd, b"x")
    finally:
        os.close(fd)


def test_other_calls_name_what_they_were_about(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"cannot move to .*/b: .*/a: No such file"):
        durable.move(tmp_path / "a", tmp_path / "b")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError, match=r"cannot create directory .*/file/sub: Not a directory"):
        durable.make_dir(tmp_path / "file" / "sub")
    with pytest.raises(StorageError, match=r"cannot remove .*/none/a: No such file"):
        durable.remove(tmp_path / "none" / "a")
    with pytest.raises(StorageError, match=r"cannot write .*/none/a: No such file"):
        durable.write_file(tmp_path / "none" / "a", NEW)


def test_an_error_that_is_not_the_disks_passes_through(tmp_path: Path) -> None:
    with pytest.raises(KeyError), durable.storage_errors(tmp_path, "cannot"):
        raise KeyError
    with pytest.raises(TypeError):
        durable.write_file(tmp_path / "state", "text")
    assert names(tmp_path) == []


# -- modes and traps -------------------------------------------------------------------------------------------------


def test_nobody_else_can_read_what_is_written(tmp_path: Path) -> None:
    previous = os.umask(0)
    try:
        durable.write_file(tmp_path / "state", NEW)
        durable.write_file(tmp_path / "shared", NEW, mode=0o644)
        durable.make_dir(tmp_path / "spool")
    finally:
        os.umask(previous)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()}
    assert modes == {"state": 0o600, "shared": 0o644, "spool": 0o700}


def test_a_link_laid_where_the_file_is_written_aside_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(OLD)
    (tmp_path / f".state.{os.getpid()}.tmp").symlink_to(victim)
    with pytest.raises(StorageError):
        durable.write_file(tmp_path / "state", NEW)
    assert victim.read_bytes() == OLD
    assert not (tmp_path / "state").exists()


def test_a_link_under_the_name_itself_is_replaced(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(OLD)
    (tmp_path / "state").symlink_to(victim)
    durable.write_file(tmp_path / "state", NEW)
    assert (victim.read_bytes(), (tmp_path / "state").read_bytes()) == (OLD, NEW)
    assert not (tmp_path / "state").is_symlink()


def test_an_empty_file(tmp_path: Path) -> None:
    durable.write_file(tmp_path / "state", b"")
    assert (tmp_path / "state").read_bytes() == b""


def test_a_copy_is_there_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "part"
    durable.write_copy(path, b"one")
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"one", 0o600)

    def full(fd: int, data: bytes) -> None:
        os.write(fd, data[:1])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(durable, "write_all", full)
    with pytest.raises(StorageError):
        durable.write_copy(path, b"two")
    assert path.read_bytes() == b"one" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("there", ["nothing", "below a file", "a link", "a pipe", "a directory"])
def test_what_is_no_file_is_nothing_to_read(tmp_path: Path, there: str) -> None:
    path, file = tmp_path / "it", tmp_path / "file"
    file.write_bytes(b"x")
    assert durable.read_if_whole(file) == b"x"
    if there == "below a file":
        path = file / "it"
    elif there == "a link":
        path.symlink_to(file)
    elif there == "a pipe":
        os.mkfifo(path)
    elif there == "a directory":
        path.mkdir()
    assert durable.read_if_whole(path) is None


@pytest.mark.parametrize(("number", "lost"), [(errno.EIO, True), (errno.ENOMEM, False), (errno.EACCES, False)])
def test_what_is_only_unread_does_not_count_as_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, lost: bool
) -> None:
    def refuses(*_: object) -> None:
        raise OSError(number, "refused")

    monkeypatch.setattr(durable, "opened", refuses)
    with nullcontext() if lost else pytest.raises(StorageError, match="cannot read"):
        assert durable.read_if_whole(tmp_path / "it") is None


def test_data_that_is_synced_where_nothing_may_be_written_is_not_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """ext4 has 0 for an answer there, and writes nothing (tests/vm/test_vm_faults.py has it on a real one)."""
    path = tmp_path / "a segment"
    with path.open("wb") as file:
        durable.sync_data(file.fileno())
        monkeypatch.setattr(os, "fstatvfs", lambda fd: SimpleNamespace(f_flag=os.ST_RDONLY | os.ST_NOATIME))
        with pytest.raises(OSError, match="Read-only file system") as caught:
            durable.sync_data(file.fileno())
        assert caught.value.errno == errno.EROFS

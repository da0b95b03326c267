"""All persistence goes through here: durable means fsynced, and a name appears only when what it names is whole.

The order (write, fsync, rename, fsync the directory) is that of POSIX rename(2) and fsync(2).
"""

from __future__ import annotations

import errno
import io
import json
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, cast

from agent.errors import StorageError
from agent.headway import gone_on


@contextmanager
def storage_errors(path: Path, doing: str) -> Iterator[None]:
    """Translate an OSError about `path` into a StorageError that names it and the next step."""
    try:
        yield
    except OSError as err:
        hints = {
            errno.ENOSPC: "free space on this file system, or name another directory",
            errno.EROFS: "the file system is read-only: remount it or check the card",
            errno.EIO: "the disk reports an I/O error: replace the card",
            errno.EACCES: "check the owner and mode of this path",
            errno.EPERM: "check the owner and mode of this path",
        }
        reason = os.strerror(err.errno) if err.errno else str(err)
        raise StorageError(f"{doing} {path}: {reason}", hints.get(err.errno or 0, "check the disk")) from err


def is_lost(err: OSError) -> bool:
    """True where the disk says that it has lost blocks: to read them again will not help."""
    return err.errno in (errno.EIO, errno.EBADMSG, errno.EUCLEAN)


def says_lost(err: StorageError) -> bool:
    """The same, of one that was translated."""
    return isinstance(err.__cause__, OSError) and is_lost(err.__cause__)


def says_full(err: StorageError) -> bool:
    """Whether one that was translated says that there is no room: as soon as there is, the same will do."""
    return isinstance(err.__cause__, OSError) and err.__cause__.errno in (errno.ENOSPC, errno.EDQUOT)


def is_there(path: Path) -> bool:
    """Whether the name is there. Raises StorageError where that cannot be seen."""
    with storage_errors(path, "cannot look for"):
        return path.exists()


def names(directory: Path, suffix: str = "") -> list[str]:
    """The sorted names in a directory that end in `suffix`. Unlike Path.glob, which passes over what it may not read,
    this raises StorageError: what cannot be seen must not count as not there.
    """
    with storage_errors(directory, "cannot list"), os.scandir(directory) as entries:
        return sorted(entry.name for entry in entries if entry.name.endswith(suffix))


def files(directory: Path) -> list[str]:
    """As `names`, of regular files alone: links, pipes, devices and directories are none, whatever they are called."""
    with storage_errors(directory, "cannot list"), os.scandir(directory) as entries:
        return sorted(entry.name for entry in entries if entry.is_file(follow_symlinks=False))


def dirs(directory: Path) -> list[str]:
    """The same of directories, but for links to one."""
    with storage_errors(directory, "cannot list"), os.scandir(directory) as entries:
        return sorted(entry.name for entry in entries if entry.is_dir(follow_symlinks=False))


def is_aside(name: str) -> bool:
    """Whether this is the name of a file written aside, whose rename is to come or never came."""
    return name.startswith(".") and name.endswith(".tmp")


def is_file(path: Path) -> bool:
    """Whether a regular file has this name, and no link does. Raises StorageError where that cannot be seen."""
    with storage_errors(path, "cannot look for"):
        try:
            return stat.S_ISREG(os.lstat(path).st_mode)
        except (FileNotFoundError, NotADirectoryError):
            return False


def opened(path: Path, mode: str = "rb", buffering: int = -1) -> io.BufferedReader:
    """A regular file, opened; OSError for anything else. No link is followed, and no pipe waited for."""
    return cast(io.BufferedReader, open(path, mode, buffering, opener=_opener))


def _opener(name: str, flags: int) -> int:
    fd = os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError("it is no regular file")
    return fd


def read_file(path: Path) -> bytes:
    """All of a regular file, opened as `opened` does it. Raises OSError."""
    with opened(path) as file:
        return file.read()


_NO_FILE = (None, errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENXIO)
"""What `opened` raises where nothing, or no regular file, has the name."""


@contextmanager
def if_there(path: Path) -> Iterator[None]:
    """What reads a file stands below this, and tells nothing where there is none, or the disk has lost it. Raises
    StorageError for any other trouble: that may pass, and what is there would count as not there.
    """
    with storage_errors(path, "cannot read"):
        try:
            yield
        except OSError as err:
            if err.errno not in _NO_FILE and not is_lost(err):
                raise


def read_if_whole(path: Path) -> bytes | None:
    """As `read_file`; None, and StorageError, as `if_there`."""
    with if_there(path):
        return read_file(path)
    return None


UNREADABLE = (ValueError, LookupError, TypeError, OverflowError, RecursionError)
"""What values raise that are taken out of a JSON file which somebody else wrote, or half of which is there."""
MAX_STATE = 256 << 10


def read_of_boot(path: Path, boot_id: str, most: int = MAX_STATE) -> dict[str, Any] | None:
    """The JSON object in a file that a process keeps for the next one within the boot, whose id it has as `boot`. None
    where there is none, of this boot, that can be read, of at most so many bytes.
    """
    try:
        with opened(path) as file:
            told = json.loads(file.read(most))
        return told if isinstance(told, dict) and told["boot"] == boot_id else None
    except (OSError, *UNREADABLE):
        return None


def sync_data(fd: int) -> None:
    """Make what was written to this open file durable, as far as a reader needs it: fdatasync(2). Raises OSError, also
    where the file system may only be read by now: ext4 then writes nothing, and has 0 for an answer (fs/ext4/fsync.c).
    """
    os.fdatasync(fd)
    if os.fstatvfs(fd).f_flag & os.ST_RDONLY:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))
    gone_on()


def fsync_dir(path: Path) -> None:
    """Make the names in a directory durable."""
    fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
        gone_on()
    finally:
        os.close(fd)


def sync_names(paths: Iterable[Path], root: Path) -> None:
    """Make the names of these durable, and of the directories that lead to them from `root`, each once: whoever made
    them may have been killed before its own sync, and to find a name says nothing of the disk. Raises StorageError.
    """
    for directory in {above: None for path in paths for above in path.parents if above.is_relative_to(root)}:
        with storage_errors(directory, "cannot sync"):
            fsync_dir(directory)


def make_dir(path: Path, mode: int = 0o700) -> Path:
    """Create a directory (and its parents) and make its name durable; an existing one is left as it is."""
    for _ in making_dir(path, mode):
        pass
    with storage_errors(path, "cannot create directory"):
        path.mkdir(mode=mode, exist_ok=True)
    return path


def making_dir(path: Path, mode: int = 0o700) -> Iterator[None]:
    """`make_dir` in steps of one sync each: the uppermost that is not there, then the one in it."""
    for new in reversed([p for p in (path, *path.parents) if not p.exists()]):
        with storage_errors(path, "cannot create directory"):
            # One by one: mkdir with parents=True would give the upper ones the umask's mode, not ours.
            new.mkdir(mode=mode, exist_ok=True)
            fsync_dir(new.parent)
        yield


@contextmanager
def replacing(path: Path, mode: int = 0o600) -> Iterator[int]:
    """A file descriptor to write to; at the end what was written replaces `path` in one durable step: after a power
    cut either the old or the new content is there, whole. Where the body raises, nothing has changed.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with storage_errors(path, "cannot write"):
        fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
        try:
            try:
                yield fd
                os.fsync(fd)
                gone_on()
            finally:
                os.close(fd)
            os.rename(aside, path)
        except BaseException:
            aside.unlink(missing_ok=True)
            raise
        fsync_dir(path.parent)


def write_file(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace `path` by `data`, durably and at once."""
    with replacing(path, mode) as fd:
        write_all(fd, data)


def writing(path: Path, data: bytes, mode: int = 0o600) -> Iterator[None]:
    """`write_file` in two steps of one sync each; nothing is to be seen of it before the second. Not gone on with, it
    leaves nothing.
    """
    aside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with storage_errors(path, "cannot write"):
            fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
            try:
                write_all(fd, data)
                os.fsync(fd)
                gone_on()
            finally:
                os.close(fd)
        yield
        with storage_errors(path, "cannot write"):
            os.rename(aside, path)
    except BaseException:
        # What stays is written over by the next try, or removed by recovery.
        with suppress(OSError):
            aside.unlink()
        raise
    with storage_errors(path, "cannot write"):
        fsync_dir(path.parent)


def write_copy(path: Path, data: bytes, mode: int = 0o600) -> None:
    """Replace `path` by `data` at once, but not durably: for what can be made anew at any time. Whoever looks finds all
    of it or nothing new; a power cut soon after may still take it.
    """
    folder, name = os.path.split(path)
    aside = os.path.join(folder, f".{name}.{os.getpid()}.tmp")
    with storage_errors(path, "cannot write"):
        fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
        try:
            try:
                write_all(fd, data)
            finally:
                os.close(fd)
            os.rename(aside, path)
        except BaseException:
            Path(aside).unlink(missing_ok=True)
            raise


def create_file(path: Path, data: bytes, mode: int = 0o600) -> bool:
    """Make a new file, durably and at once, with its mode from the first byte. False, and nothing changed, where the
    name is taken.
    """
    aside = path.with_name(f".{path.name}.{os.urandom(8).hex()}.new")
    with storage_errors(path, "cannot write"):
        fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, mode)
        try:
            try:
                write_all(fd, data)
                os.fsync(fd)
                gone_on()
            finally:
                os.close(fd)
            try:
                # link(2), not rename(2): it never takes the name from another file.
                os.link(aside, path)
            except FileExistsError:
                return False
        finally:
            aside.unlink(missing_ok=True)
        fsync_dir(path.parent)
    return True


def write_all(fd: int, data: bytes) -> None:
    """write(2) until every byte is taken."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]


def pwrite_all(fd: int, data: bytes, offset: int) -> None:
    """pwrite(2) until every byte is taken; nearly always one call."""
    view = memoryview(data)
    while view:
        count = os.pwrite(fd, view, offset)
        offset += count
        view = view[count:]


def move(source: Path, target: Path) -> None:
    """Rename within one file system, durable on both sides: the state of what moves has changed, once. One that was
    done by half, or not made durable, is finished by the same call again.
    """
    for _ in moving(source, target):
        pass


def moving(source: Path, target: Path) -> Iterator[None]:
    """`move` in two steps of one sync each. Between them a power cut may leave both names."""
    with storage_errors(source, f"cannot move to {target}:"):
        _rename(source, target)
        fsync_dir(target.parent)
    if source.parent != target.parent:
        yield
        with storage_errors(source, f"cannot move to {target}:"):
            fsync_dir(source.parent)


def move_all(sources: Sequence[Path], target: Path) -> None:
    """`move` of files of one directory to the directory `target`, under their names, with one sync of each side for
    all of them.
    """
    for source in sources:
        with storage_errors(source, f"cannot move to {target}:"):
            _rename(source, target / source.name)
    # The new names first.
    for directory in {target: None, **{source.parent: None for source in sources}} if sources else ():
        with storage_errors(directory, "cannot sync"):
            fsync_dir(directory)


def _rename(source: Path, target: Path) -> None:
    if same_file(source, target):
        # The power went when only the new name was on the disk. rename(2) does nothing then, and says it did.
        os.unlink(source)
    elif os.path.lexists(source) or not os.path.lexists(target):
        os.rename(source, target)


def same_file(one: Path, other: Path) -> bool:
    """Whether both names are there, and are one file."""
    try:
        first, second = os.lstat(one), os.lstat(other)
    except FileNotFoundError:
        return False
    return (first.st_dev, first.st_ino) == (second.st_dev, second.st_ino)


def remove(path: Path) -> None:
    """Unlink, durably; a missing file is fine, so a repeated call is too."""
    with storage_errors(path, "cannot remove"):
        path.unlink(missing_ok=True)
        fsync_dir(path.parent)


@contextmanager
def giving_back(path: Path) -> Iterator[None]:
    """What removes a file, durably, stands below this: then its blocks go too, for which the kernel would else wait as
    long as somebody holds it open, maps it or has another name for it. A cut in between leaves no name of an empty one.
    """
    try:
        fd = os.open(path, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        # Removed before, or not to be opened: no reason to keep it.
        yield
        return
    try:
        yield
        with storage_errors(path, "cannot free the blocks of"):
            os.ftruncate(fd, 0)
    finally:
        os.close(fd)

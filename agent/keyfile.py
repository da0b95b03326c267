"""Files that hold a secret: made with their final mode from the first byte, never over another, and read only where
nobody but their owner could have read or replaced them.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from agent import durable
from agent.errors import KeyTrustError, reason

MAX_KEY_BYTES = 1 << 20
_HANDED_OVER = "CREDENTIALS_DIRECTORY"


def handed_over(path: Path) -> Path:
    """The copy of this secret that the supervisor gives to this process alone (systemd.exec(5), LoadCredential=), by
    the file's name; `path` where it gives none.
    """
    directory = os.environ.get(_HANDED_OVER, "")
    given = Path(directory, path.name)
    return given if directory and given.exists() else path


def create(path: Path, data: bytes, what: str) -> None:
    """Write a secret that must not be there yet, mode 0600, in a directory of mode 0700 that is made where missing.

    Raises KeyTrustError where the name is taken (nothing is changed) or others may write the directory, StorageError.
    """
    durable.make_dir(path.parent)
    _check_directory(path, what)
    if not durable.create_file(path, data, 0o600):
        raise KeyTrustError(f"{what} {path} is there already, nothing was changed", "move it away if it is not needed")


def read(path: Path, what: str, hint: str) -> bytes:
    """The secret. Raises KeyTrustError where it is not there, not a file, not this user's, or open to others."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError as err:
        raise KeyTrustError(f"{what} {path}: {reason(err)}", hint) from err
    try:
        # Looked at through the descriptor: it is this file that is read, whatever its name is given to meanwhile.
        _check_file(os.fstat(fd), path, what)
        _check_directory(path, what)
        return _all(fd)
    except OSError as err:
        raise KeyTrustError(f"{what} {path}: {reason(err)}", hint) from err
    finally:
        os.close(fd)


def _all(fd: int) -> bytes:
    data = b""
    while len(data) < MAX_KEY_BYTES and (piece := os.read(fd, 65536)):
        data += piece
    return data


def _check_file(found: os.stat_result, path: Path, what: str) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise KeyTrustError(f"{what} {path} is not a regular file", "name the file itself")
    if not _is_ours(found):
        raise KeyTrustError(
            f"{what} {path} belongs to user {found.st_uid}, not to this one ({os.geteuid()})",
            f"chown {os.geteuid()} {path}",
        )
    mode = stat.S_IMODE(found.st_mode)
    # systemd may let its user in by an access control list, whose mask shows as the group's right to read.
    given = str(path.parent) == os.environ.get(_HANDED_OVER, "")
    if mode & (0o037 if given else 0o077):
        raise KeyTrustError(f"{what} {path} is readable by others (mode {mode:o})", f"chmod 600 {path}")


def _is_ours(found: os.stat_result) -> bool:
    """This user's, or root's. Root gave a daemon its key, and may look at it."""
    return os.geteuid() in (found.st_uid, 0) or found.st_uid == 0


def _check_directory(path: Path, what: str) -> None:
    """Who may write the directory may put another key there."""
    try:
        found = path.parent.stat()
    except OSError as err:
        raise KeyTrustError(f"{what} {path}: {reason(err)}", "check the directory") from err
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o022:
        raise KeyTrustError(
            f"others may write the directory of {what} {path} (mode {mode:o})", f"chmod go-w {path.parent}"
        )
    if not _is_ours(found):
        raise KeyTrustError(
            f"the directory of {what} {path} belongs to user {found.st_uid}, not to this one ({os.geteuid()})",
            f"chown {os.geteuid()} {path.parent}",
        )

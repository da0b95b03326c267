"""Secrets in files: private from the first byte, never overwritten, and refused where somebody else could have had a
hand in them.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any

import pytest

from agent import keyfile
from agent.errors import KeyTrustError, StorageError
from agent.identity import FileSigner, open_signer
from agent.station.layout import AgencyPaths
from tests.camera_kit import CAMERA

SECRET = b"a secret"


def test_private_from_the_first_byte_whatever_the_umask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[tuple[int, int]] = []
    real = os.write

    def write(fd: int, data: Any) -> int:
        found = os.fstat(fd)
        modes.append((stat.S_IMODE(found.st_mode), found.st_size))
        return real(fd, data)

    monkeypatch.setattr(os, "write", write)
    before = os.umask(0)
    try:
        keyfile.create(tmp_path / "new" / "a.key", SECRET, "key")
    finally:
        os.umask(before)
    assert modes == [(0o600, 0)]
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "new" / "a.key").stat().st_mode) == 0o600
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["a.key"]


def test_never_over_another(tmp_path: Path) -> None:
    path = tmp_path / "a.key"
    keyfile.create(path, SECRET, "key")
    for other in (b"another", SECRET):
        with pytest.raises(KeyTrustError, match="nothing was changed"):
            keyfile.create(path, other, "key")
    (tmp_path / "b.key").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(KeyTrustError, match="nothing was changed"):
        keyfile.create(tmp_path / "b.key", SECRET, "key")
    assert path.read_bytes() == SECRET
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.key", "b.key"]


def test_a_disk_that_refuses_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(fd: int, data: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", refuse)
    with pytest.raises(StorageError, match="No space"):
        keyfile.create(tmp_path / "a.key", SECRET, "key")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o666])
def test_open_to_others(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "a.key"
    keyfile.create(path, SECRET, "key")
    assert keyfile.read(path, "key", "") == SECRET
    path.chmod(mode)
    with pytest.raises(KeyTrustError, match="readable by others"):
        keyfile.read(path, "key", "")


def test_a_directory_that_others_may_write(tmp_path: Path) -> None:
    path = tmp_path / "d" / "a.key"
    keyfile.create(path, SECRET, "key")
    path.parent.chmod(0o770)
    with pytest.raises(KeyTrustError, match="others may write the directory"):
        keyfile.read(path, "key", "")
    with pytest.raises(KeyTrustError, match="others may write the directory"):
        keyfile.create(path.with_name("b.key"), SECRET, "key")


def test_of_another_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.key"
    keyfile.create(path, SECRET, "key")
    mine = os.geteuid() or 1234  # what is root's is everybody's to trust
    monkeypatch.setattr(os, "geteuid", lambda: mine)
    for other, what in ((path, "identity key"), (tmp_path, "the directory of identity key")):
        real = os.stat(other)
        stranger = os.stat_result((real.st_mode, 0, 0, 1, mine + 1000, 0, real.st_size, 0, 0, 0))
        with monkeypatch.context() as patch:
            if other is path:
                patch.setattr(os, "fstat", lambda fd, found=stranger: found)
            else:
                patch.setattr(Path, "stat", lambda self, found=stranger: found)
            with pytest.raises(KeyTrustError, match=f"{what} .* belongs to user {mine + 1000}"):
                keyfile.read(path, "identity key", "")


def test_no_regular_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.key", 0o600)
    for path in (tmp_path / "pipe.key", tmp_path):
        with pytest.raises(KeyTrustError, match="not a regular file"):
            keyfile.read(path, "key", "")


def test_the_identity_key_is_read_so(agency: AgencyPaths, tmp_path: Path) -> None:
    path = tmp_path / "identity.key"
    keyfile.create(path, agency.camera(CAMERA).identity_key.read_bytes(), "identity key")
    FileSigner(path)
    path.chmod(0o644)
    with pytest.raises(KeyTrustError, match="readable by others"):
        FileSigner(path)


def test_what_the_supervisor_hands_over_is_read_in_its_place(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, given = tmp_path / "etc" / "identity.key", tmp_path / "given"
    key = agency.camera(CAMERA).identity_key.read_bytes()
    keyfile.create(path, SECRET, "identity key")
    given.mkdir()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(given))
    # Nothing of that name was handed over.
    assert keyfile.handed_over(path) == path
    (given / "identity.key").write_bytes(key)
    (given / "identity.key").chmod(0o440)
    given.chmod(0o500)
    assert open_signer(path, Path()).public == FileSigner(agency.camera(CAMERA).identity_key).public
    (given / "identity.key").chmod(0o444)
    with pytest.raises(KeyTrustError, match="readable by others"):
        open_signer(path, Path())
    # Only there is a group's right to read taken for an access control list's.
    monkeypatch.delenv("CREDENTIALS_DIRECTORY")
    (given / "identity.key").chmod(0o440)
    with pytest.raises(KeyTrustError, match="readable by others"):
        open_signer(given / "identity.key", Path())

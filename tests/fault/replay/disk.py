"""What a disk may hold when the power goes: everything that was synced, and of the rest any part of it.

The model is harsher than any file system we know. Of bytes written since the last fsync of their file, each block may
be there or not, hold zeros, or hold something else; a longer file may have its new length or not. Of names changed
since the last fsync of their directory, each change may be there or not, in any combination; a rename may have made
the new name and left the old one. After a sync that was refused, no later one makes durable what was written before
it. What it does not allow: a synced byte that changes, a rename that only removes.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.fault.replay.tape import Do, Op


class Content:
    """A file's bytes, without the zeros at its end, and its size. Never changed, so its digest is made once."""

    __slots__ = ("_digest", "data", "size")

    def __init__(self, data: bytes, size: int) -> None:
        self.data = data.rstrip(b"\0")
        self.size = size
        self._digest: bytes | None = None

    @property
    def digest(self) -> bytes:
        if self._digest is None:
            self._digest = hashlib.sha256(self.size.to_bytes(8, "big") + self.data).digest()
        return self._digest


EMPTY = Content(b"", 0)


@dataclass(frozen=True)
class Image:
    """One state of the disk: files by path, directories, modes that were set."""

    files: Mapping[str, Content]
    file_numbers: Mapping[str, int]
    directories: frozenset[str]
    modes: Mapping[str, int]

    @property
    def bare(self) -> bool:
        """Whether no file says anything yet: the same in every life."""
        return not any(content.data for content in self.files.values())

    @property
    def digest(self) -> bytes:
        whole = hashlib.sha256()
        for path in sorted(self.directories):
            whole.update(f"{path}/ {self.modes.get(path, 0):o}\n".encode())
        for path, content in sorted(self.files.items()):
            whole.update(path.encode() + b"\0" + content.digest)
        return whole.digest()

    def lay_out(self, root: Path) -> None:
        """Make it real, in a directory that is not there yet."""
        root.mkdir()
        for path in sorted(self.directories):
            os.mkdir(root / path, 0o755)
        laid: dict[int, str] = {}
        for path, content in self.files.items():
            number = self.file_numbers[path]
            if number in laid:
                os.link(f"{root}/{laid[number]}", f"{root}/{path}")
                continue
            laid[number] = path
            fd = os.open(f"{root}/{path}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
            os.write(fd, content.data)
            os.ftruncate(fd, content.size)
            os.close(fd)
        for path in self.directories:
            if path in self.modes:
                os.chmod(root / path, self.modes[path])


@dataclass(frozen=True, slots=True)
class Name:
    """A name that comes to stand for a file, for a directory (0), or for nothing (None)."""

    path: str
    file: int | None
    mode: int = 0

    @property
    def directory(self) -> str:
        return os.path.dirname(self.path) or "."


@dataclass(frozen=True, slots=True)
class Pending:
    """A change that is not durable yet: of a file's bytes or length, or of names, which belong together. It is `doomed`
    once its sync was refused: the kernel may have given it up, and no later sync makes it durable.
    """

    op: Op
    names: tuple[Name, ...] = ()
    doomed: bool = False


Piece = tuple[int, bytes]
"""Bytes that reached the disk at an offset of their file."""


@dataclass(frozen=True, slots=True)
class Fate:
    """What became of one pending change. Of a write: the `pieces` that are there, and whether the file has become as
    long as it should. Of anything else: whether it is `done`; of a rename, also whether only the new name is made.
    """

    done: bool = True
    pieces: tuple[Piece, ...] | None = None
    longer: bool = True
    half: bool = False


DONE, NOT_DONE = Fate(), Fate(done=False, pieces=(), longer=False)
HALF = Fate(half=True)


@dataclass
class Disk:
    """What is durable, and in order what is pending. `play` goes on by one operation."""

    names: dict[str, int] = field(default_factory=dict)
    modes: dict[str, int] = field(default_factory=dict)
    files: dict[int, Content] = field(default_factory=dict)
    pending: list[Pending] = field(default_factory=list)

    @classmethod
    def of(cls, image: Image, numbers: Mapping[str, int]) -> Disk:
        """After a restart all that is there is durable. `numbers` are the tape's for the files."""
        names = {**dict.fromkeys(image.directories, 0), **numbers}
        return cls(names, dict(image.modes), {numbers[path]: content for path, content in image.files.items()}, [])

    def copy(self) -> Disk:
        return Disk(dict(self.names), dict(self.modes), dict(self.files), list(self.pending))

    def play(self, op: Op) -> None:
        match op.do:
            case Do.SYNC | Do.SYNC_DATA:
                self._sync(op.file)
            case Do.SYNC_DIR:
                self._sync_names(op.path)
            case Do.REFUSED:
                self.pending = [
                    replace(p, doomed=True) if not p.names and p.op.file == op.file else p for p in self.pending
                ]
            case Do.PROMISE | Do.COUNT:
                pass
            case _:
                self.pending.append(pending_of(op))

    def _sync(self, file: int) -> None:
        mine = [p for p in self.pending if not p.names and p.op.file == file]
        kept = [p.op for p in mine if not p.doomed]
        left = [p for p in mine if p.doomed and not any(_undoes(op, p.op) for op in kept)]
        self.files[file] = _apply(self.files.get(file, EMPTY), ((op, DONE) for op in kept))
        self.pending = [p for p in self.pending if p.names or p.op.file != file] + left

    def _sync_names(self, directory: str) -> None:
        left = []
        for change in self.pending:
            here = [n for n in change.names if n.directory == directory]
            if any(n.file is None for n in here):
                # No rename only removes: the new name is on the disk with the old one's end.
                here = list(change.names)
            for name in here:
                _name(self.names, self.modes, name)
            away = tuple(n for n in change.names if n not in here)
            if away or not change.names:
                left.append(Pending(change.op, away))
        self.pending = left

    def image(self, fates: Iterable[Fate]) -> Image:
        """With one fate for each pending change."""
        names, modes, changes = dict(self.names), dict(self.modes), {}
        for change, fate in zip(self.pending, fates, strict=True):
            if not change.names:
                changes.setdefault(change.op.file, []).append((change.op, fate))
            elif fate.done:
                # The name that a rename takes away stands first.
                for name in change.names[fate.half :]:
                    _name(names, modes, name)
        there = {path for path in names if all(p in names for p in _parents(path))}
        numbers = {path: names[path] for path in there if names[path]}
        files = {number: self.files.get(number, EMPTY) for number in numbers.values()}
        for number in files.keys() & changes.keys():
            files[number] = _apply(files[number], changes[number])
        directories = frozenset(path for path in there if not names[path])
        return Image({path: files[n] for path, n in numbers.items()}, numbers, directories, modes)


def _parents(path: str) -> Iterator[str]:
    while path := os.path.dirname(path):
        yield path


def pending_of(op: Op) -> Pending:
    match op.do:
        case Do.CREATE:
            return Pending(op, (Name(op.path, op.file),))
        case Do.MKDIR:
            return Pending(op, (Name(op.path, 0, op.mode),) if op.path != "." else ())
        case Do.CHMOD:
            return Pending(op, (Name(op.path, 0, op.mode),))
        case Do.UNLINK:
            return Pending(op, (Name(op.path, None),))
        case Do.LINK:
            return Pending(op, (Name(op.to, op.file),))
        case Do.RENAME:
            return Pending(op, (Name(op.path, None), Name(op.to, op.file)))
    return Pending(op)


def _undoes(op: Op, earlier: Op) -> bool:
    """Whether nothing of the earlier change shows once this one is durable."""
    if op.do is Do.TRUNCATE:
        return op.size <= (earlier.offset if earlier.do is Do.WRITE else earlier.size)
    covers = op.offset <= earlier.offset and earlier.offset + len(earlier.data) <= op.offset + len(op.data)
    return op.do is earlier.do is Do.WRITE and covers


def _name(names: dict[str, int], modes: dict[str, int], name: Name) -> None:
    if name.file is None:
        names.pop(name.path, None)
    else:
        names[name.path] = name.file
        if not name.file:
            modes[name.path] = name.mode


def _apply(content: Content, changes: Iterable[tuple[Op, Fate]]) -> Content:
    data, size = bytearray(content.data), content.size
    for op, fate in changes:
        match op.do:
            case Do.WRITE:
                pieces = ((op.offset, op.data),) if fate.pieces is None else fate.pieces
                for at, piece in pieces:
                    if len(data) < at:
                        data.extend(bytes(at - len(data)))
                    data[at : at + len(piece)] = piece
                    size = max(size, at + len(piece))
                size = max(size, op.offset + len(op.data)) if fate.longer else size
            case Do.ALLOCATE if fate.done:
                size = max(size, op.size)
            case Do.TRUNCATE if fate.done:
                del data[op.size :]
                size = op.size
    return Content(bytes(data), size)

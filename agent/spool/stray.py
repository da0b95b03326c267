"""What lies in the spool and is not of it: what another machine left on the card ("._" files, folders), or somebody put
there. It is passed over and left where it is, since it may be evidence of something; and shown, so that it is found.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from agent import durable
from agent.formats import epoch
from agent.formats.pack import is_segment
from agent.formats.seal import is_seal
from agent.spool.inbox import kind_of
from agent.spool.store import Spool, is_receipt

_Ours = Callable[[os.DirEntry[str]], bool]


def strays(spool: Spool) -> list[str]:
    """Their kinds and directories, each pair once; never by name, which may be hostile. Raises StorageError."""
    places: dict[str, _Ours] = {
        "open": _file(is_segment),
        "sealed": _file(lambda name: is_segment(name) or is_seal(name)),
        "delivered": _file(lambda name: is_segment(name) or is_seal(name)),
        "receipts": _file(is_receipt),
        # Beside the logs stand small files of the recorder, which it finds by their names.
        "log": lambda e: (e.is_dir if epoch.is_number(e.name) else e.is_file)(follow_symlinks=False),
    }
    found = {(kind, name) for name, ours in places.items() for kind in _strange(spool.root / name, ours)}
    return [f"{kind} in {name}/" for kind, name in sorted(found)]


def _file(fits: Callable[[str], bool]) -> _Ours:
    """A regular file of such a name, or one that is being written aside."""
    return lambda e: e.is_file(follow_symlinks=False) and (fits(e.name) or durable.is_aside(e.name))


def _strange(directory: Path, ours: _Ours) -> Iterator[str]:
    with durable.storage_errors(directory, "cannot look into"), os.scandir(directory) as entries:
        for entry in entries:
            # One may go meanwhile.
            with contextlib.suppress(FileNotFoundError):
                if not ours(entry):
                    yield kind_of(entry.stat(follow_symlinks=False).st_mode) or "a file of another name"

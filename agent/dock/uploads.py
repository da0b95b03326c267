"""Where each segment's upload is on the station, so that another process goes on where this one was killed. A server
of tus need not find an upload by its name: then only its URL leads to what it already has.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import threading
from pathlib import Path

from agent.formats.seal import SealRecord

MAX_LINES = 4096
"""Of more, the older half is forgotten: those segments start over."""
MAX_BYTES = 4 << 20
LOG = logging.getLogger("bodycam.uploader")


class Uploads:
    """One JSON line for each upload in a file, the last one counts; without a file, in memory. Thread-safe. What cannot
    be read or written costs a new upload and nothing else.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._known: dict[str, str] = {}
        lines = _read(path) if path else []
        for line in lines[-MAX_LINES // 2 :] if len(lines) > MAX_LINES else lines:
            with contextlib.suppress(ValueError, TypeError, KeyError, RecursionError):
                value = json.loads(line)
                self._known[str(value["key"])] = str(value["url"])
        if len(lines) > MAX_LINES:
            self._write("".join(map(_line, *zip(*self._known.items(), strict=True))), os.O_TRUNC)

    def url(self, base: str, record: SealRecord) -> str | None:
        """Where these bytes were being sent on the station at `base`."""
        with self._lock:
            return self._known.get(_key(base, record))

    def remember(self, base: str, record: SealRecord, url: str) -> None:
        """They are sent there from now on."""
        key = _key(base, record)
        with self._lock:
            self._known[key] = url
            self._write(_line(key, url), os.O_APPEND)

    def _write(self, text: str, how: int) -> None:
        if self._path is None:
            return
        try:
            # Not synced: after a power cut the upload begins anew, which is no loss.
            fd = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | how, 0o600)
            with os.fdopen(fd, "wb") as file:
                file.write(text.encode("ascii"))
        except OSError as err:
            LOG.warning("cannot write %s: %s", self._path, err.strerror)


def _key(base: str, record: SealRecord) -> str:
    return f"{base} {record.segment} {record.sha256}"


def _line(key: str, url: str) -> str:
    return json.dumps({"key": key, "url": url}) + "\n"


def _read(path: Path) -> list[str]:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES).decode("ascii", "replace").splitlines()
    except OSError:
        return []

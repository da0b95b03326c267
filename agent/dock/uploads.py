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

from agent import durable
from agent.formats.seal import SealRecord

MAX_LINES = 4096
MAX_BYTES = 1 << 20
"""Of more, the older half is forgotten: those segments start over."""
LOG = logging.getLogger("bodycam.uploader")


class Uploads:
    """One JSON line for each upload in a file, the last one counts; without a file, in memory. Thread-safe. What cannot
    be read or written costs a new upload and nothing else.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._known: dict[str, str] = {}
        lines, all_of_it = _read(path) if path else ([], True)
        for line in lines:
            with contextlib.suppress(ValueError, TypeError, KeyError, RecursionError):
                value = json.loads(line)
                self._take(str(value["key"]), str(value["url"]))
        self._lines, self._bytes = len(lines), sum(len(line) + 1 for line in lines)
        if self._lines > MAX_LINES or not all_of_it:
            self._forget()

    def url(self, base: str, record: SealRecord) -> str | None:
        """Where these bytes were being sent on the station at `base`."""
        with self._lock:
            return self._known.get(_key(base, record))

    def remember(self, base: str, record: SealRecord, url: str) -> None:
        """They are sent there from now on."""
        key = _key(base, record)
        line = _line(key, url)
        with self._lock:
            self._take(key, url)
            self._lines, self._bytes = self._lines + 1, self._bytes + len(line)
            if self._lines > MAX_LINES or self._bytes > MAX_BYTES:
                self._forget()
            else:
                self._write(line, os.O_APPEND)

    def _take(self, key: str, url: str) -> None:
        """Newest last."""
        self._known.pop(key, None)
        self._known[key] = url

    def _forget(self) -> None:
        """All but the newest, in the file and in memory."""
        kept: dict[str, str] = {}
        total = 0
        for key, url in list(self._known.items())[: -MAX_LINES // 2 - 1 : -1]:
            total += len(_line(key, url))
            if total > MAX_BYTES // 2:
                break
            kept[key] = url
        self._known = dict(reversed(kept.items()))
        lines = [_line(key, url) for key, url in self._known.items()]
        self._lines, self._bytes = len(lines), sum(map(len, lines))
        self._write("".join(lines), os.O_TRUNC)

    def _write(self, text: str, how: int) -> None:
        if self._path is None:
            return
        try:
            # Not synced: after a power cut the upload begins anew, which is no loss.
            fd = os.open(
                self._path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK | how, 0o600
            )
            with os.fdopen(fd, "wb") as file:
                file.write(text.encode("ascii"))
        except OSError as err:
            LOG.warning("cannot write %s: %s", self._path, err.strerror)


def _key(base: str, record: SealRecord) -> str:
    return f"{base} {record.segment} {record.sha256}"


def _line(key: str, url: str) -> str:
    return json.dumps({"key": key, "url": url}) + "\n"


def _read(path: Path) -> tuple[list[str], bool]:
    """The newest lines, which are at the end, and whether that is all of them."""
    try:
        with durable.opened(path) as file:
            start = max(0, file.seek(0, os.SEEK_END) - MAX_BYTES)
            file.seek(start)
            return file.read(MAX_BYTES).decode("ascii", "replace").splitlines(), not start
    except OSError:
        return [], True

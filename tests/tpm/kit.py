"""A real software TPM for tests: Debian's swtpm, as a process of its own."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

DEADLINE_S = 20.0


class SoftwareTpm:
    """`start` and `stop` are power on and off; its memory lies in `state` and can be put back like a card's."""

    def __init__(self, directory: Path) -> None:
        self.state = directory / "state"
        self.state.mkdir(exist_ok=True)
        # A socket's path has room for 107 bytes, and a test's own directory may be longer.
        self._short = tempfile.mkdtemp(prefix="tpm-")
        self.path = Path(self._short) / "tpm"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> SoftwareTpm:
        assert shutil.which("swtpm"), "swtpm is missing: tools/setup test"
        log = (self.state.parent / "swtpm.log").open("ab")
        listen = ["--server", f"type=unixio,path={self.path}", "--ctrl", f"type=unixio,path={self.path}.ctrl"]
        flags = ["--flags", "not-need-init,startup-clear"]
        self._process = subprocess.Popen(
            ["swtpm", "socket", "--tpm2", "--tpmstate", f"dir={self.state}", *listen, *flags],
            stdout=log,
            stderr=log,
        )
        log.close()
        end = time.monotonic() + DEADLINE_S
        while True:
            with suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
                probe.connect(str(self.path))
                return self
            assert self._process.poll() is None and time.monotonic() < end, "swtpm did not start"
            time.sleep(0.01)

    def stop(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(DEADLINE_S)
            self._process = None

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self._short, ignore_errors=True)

    @property
    def tcti(self) -> str:
        """For tpm2-tools."""
        return f"swtpm:path={self.path}"


@contextmanager
def software_tpm(directory: Path) -> Iterator[SoftwareTpm]:
    tpm = SoftwareTpm(directory)
    try:
        yield tpm.start()
    finally:
        tpm.close()

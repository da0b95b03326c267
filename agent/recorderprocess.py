"""`bodycam-agent recorder`: the order in which the process comes up. Signals first, then the button's line, and only
then what is heavy: a press is heard, and an end is clean, from the first instants on.
"""

from __future__ import annotations

import logging
import signal
from collections.abc import Callable
from pathlib import Path

from agent import heap, journalstream
from agent.errors import Exit
from agent.hardening import hardened
from agent.notify import notify

LISTENING = "STATUS=the button's line is requested"
"""What is told to whoever supervises, as sd_notify(3) has it; a benchmark measures up to here."""


class Ending:
    """SIGTERM and SIGINT: remembered until there is something to end, then passed on."""

    def __init__(self) -> None:
        self.asked = False
        self._stop: Callable[[], None] | None = None
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._hear)

    def then(self, stop: Callable[[], None]) -> None:
        """From here on `stop` is called; at once, where it was asked for before."""
        self._stop = stop
        if self.asked:
            stop()

    def _hear(self, *_: object) -> None:
        self.asked = True
        if self._stop:
            self._stop()


def run(file: Path) -> int:
    """The exit status."""
    ending = Ending()
    journalstream.install(logging.WARNING)
    hardened()
    heap.settle()
    from agent.configstart import begin, digest_of
    from agent.controls.panel import first_panel

    digest = digest_of(file)
    begun = begin(file)
    config = begun.warn(file)
    # Before anything heavy is imported: from here on no press is lost.
    panel = first_panel(config.panel)
    notify(LISTENING)
    begun.tell(digest)
    from agent.recorder import Recorder

    recorder = Recorder(config, panel=panel, file=file, wrong=begun.faults)
    ending.then(recorder.stop)
    recorder.officer.start()
    try:
        # Asked to end before anything was opened, there is nothing to open.
        if not ending.asked:
            recorder.start()
            recorder.run()
    finally:
        recorder.close()
    return int(Exit.OK)

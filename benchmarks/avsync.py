"""`python -m benchmarks.avsync`: flash against beep in what is exported, event by event.

The light and the beep come from a process outside the agent, on one clock (tests/lab/flasher.py). Without a film both
ways are recorded and exported: a clip through the whole product, and real PortAudio with pictures from that process
through the whole recorder. With one, made by any camera and microphone in front of that light, it is that film that is
measured.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from agent.cli import guarded
from agent.errors import Exit
from tests import avsync
from tests.lab import outside


def main(argv: Sequence[str] | None = None) -> int:
    """Status 0 where 95 % of the events are within 10 ms and the worst within 20, 3 where not."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.avsync",
        description="Flash against beep in exported recordings.",
        epilog="examples:\n  python -m benchmarks.avsync --seconds 60\n  python -m benchmarks.avsync RECORDING.mp4",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("film", type=Path, nargs="*", metavar="FILM", help="measure these, and record nothing")
    parser.add_argument("--seconds", type=int, default=30, metavar="S", help="how long to record (default %(default)s)")
    options = parser.parse_args(argv)
    return guarded(lambda: _run(options.film, options.seconds))


def _run(films: Sequence[Path], seconds: int) -> int:
    kept = True
    for name, found in _measured(films, seconds):
        problems = found.verdict()
        kept = kept and not problems
        print(json.dumps({"film": name, **found.figures(), "problems": problems}), flush=True)
    return int(Exit.OK if kept else Exit.DEVICE)


def _measured(films: Sequence[Path], seconds: int) -> Iterator[tuple[str, avsync.Offsets]]:
    for film in films:
        yield str(film), avsync.measure(film)
    if not films:
        with tempfile.TemporaryDirectory() as place:
            work = Path(place)
            light = outside.clip(work / "light.mov", seconds + 2)
            yield "clip", avsync.measure(outside.exported(light, seconds, work / "bench"))
            yield "portaudio", avsync.measure(outside.film(work, seconds)[0])


if __name__ == "__main__":
    sys.exit(main())

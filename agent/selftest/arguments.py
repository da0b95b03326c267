"""What `bodycam-agent selftest` takes; no more than argparse is loaded for it."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from agent.hardening import hardened

TEXT = "measure configuration, camera, microphone, controls, card, key, clock and dock, each against its limit"
EXAMPLES = """examples:
  systemctl stop bodycam-recorder; bodycam-agent selftest
  bodycam-agent selftest --only storage --only key --json
  bodycam-agent selftest --only controls --ask
  bodycam-agent selftest --avsync     with a light that flashes as it beeps, close to the lens
The status is that of what failed first: 2 configuration; 3 camera, microphone, avsync, controls,
clock, key (a TPM that does not answer); 4 storage; 5 dock; 6 key, dock (a key that is missing or
not to be trusted)."""
NAMES = ("configuration", "camera", "microphone", "avsync", "controls", "storage", "key", "clock", "dock")


def add(parser: argparse.ArgumentParser, config: Path) -> None:
    parser.add_argument("--only", action="append", choices=NAMES, help="only this check; may be repeated")
    parser.add_argument(
        "--avsync", action="store_true", help="wait for flashes and beeps, and say which latency_ms would fit"
    )
    parser.add_argument("--events", type=_events, default=10, metavar="N", help="so many of them (default %(default)s)")
    parser.add_argument(
        "--ask",
        action="store_true",
        help="ask whether each light, the vibration and the tone came, and wait for a press of each input",
    )
    parser.add_argument("--json", action="store_true", help="print the lines as JSON")
    parser.add_argument("--config", type=Path, default=config, metavar="FILE", help="configuration of that camera")


def run(options: argparse.Namespace) -> int:
    """The exit status."""
    hardened()
    from agent.configstart import begin
    from agent.selftest.commands import selftest
    from agent.selftest.controls import Hands
    from agent.selftest.run import Options, Parts

    events = options.events if options.avsync else None
    begun = begin(options.config)
    parts = Parts(hands=Hands(ask=_ask if options.ask else None), notes=begun.notes)
    return selftest(begun.config, Options(tuple(options.only or ()), events), options.json, parts)


def _ask(question: str) -> bool:
    """On standard error, so that JSON stays JSON. No answer is no yes."""
    print(f"{question} [y/n] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _events(text: str) -> int:
    if not text.isdecimal() or not 3 <= int(text) <= 100:
        raise argparse.ArgumentTypeError("a whole number, 3 to 100")
    return int(text)

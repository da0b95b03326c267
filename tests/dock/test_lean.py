"""`requests` comes without a charset guesser, and without taking one away from others."""

from __future__ import annotations

import subprocess
import sys


def said(program: str) -> str:
    done = subprocess.run([sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    return done.stdout.strip()


def test_the_transport_loads_no_charset_guesser_and_says_nothing_of_it() -> None:
    guesser = "charset_normalizer"
    assert said(f"import sys, requests; print('{guesser}' in sys.modules)") == "True"
    assert said(f"import sys, agent.dock.transport; print('{guesser}' in sys.modules)") == "False"
    assert said("import agent.dock.transport, requests; print(requests.compat.chardet)") == "None"


def test_whoever_wants_a_guesser_still_gets_it() -> None:
    assert (
        said("import agent.dock.transport, charset_normalizer as c; print(c.from_bytes(b'a').best() is None)")
        == "False"
    )
    assert said("import requests, agent.dock.transport as t; print(bool(requests.compat.chardet))") == "True"

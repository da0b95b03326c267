"""The uploader loads no library that it does without: `requests` comes without a charset guesser, and takes none
away from others; what encrypts is the station's, and the recorder's.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from agent.formats import age


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


def test_what_encrypts_is_not_loaded(tmp_path: Path) -> None:
    to = age.X25519Identity.generate().recipient.to_string()
    (tmp_path / "ask.json").write_text(json.dumps({"v": 1, "boot": "b", "nonce": "0f" * 32, "recipient": to}))
    program = f"""
import sys
from pathlib import Path
import agent.cli, agent.config, agent.uploader, agent.dock.transport, agent.dock.uploads
asked = agent.dock.services.read_question(Path({str(tmp_path)!r}), "b")
print("cryptography" in sys.modules, asked.to)
"""
    assert said(program).split() == ["False", to]

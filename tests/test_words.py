"""What errors advise is there: each command that a message names in backticks can be run."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent import cli

ROOT = Path(__file__).parent.parent
MAINS = {"agent": cli.agent_main, "station": cli.station_main, "evidence": cli.evidence_main}
SYSTEM = {"chmod", "chown", "lslocks", "mount", "openssl", "sha256sum", "tar", "age", "apt", "make", "pip"}


def advised() -> Iterator[tuple[str, str]]:
    """(file, what stands in backticks in an error)."""
    for path in sorted((ROOT / "agent").rglob("*.py")):
        for call in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id.endswith("Error"):
                words = "".join(
                    part.value if isinstance(part, ast.Constant) and isinstance(part.value, str) else " "
                    for argument in call.args
                    for part in ast.walk(argument)
                    if isinstance(part, (ast.Constant, ast.FormattedValue))
                )
                yield from ((path.name, found) for found in re.findall(r"`([^`]+)`", words))


def subcommands(tool: str, capsys: pytest.CaptureFixture[str]) -> set[str]:
    with pytest.raises(SystemExit):
        MAINS[tool](["--help"])
    return set(re.findall(r"^    ([a-z]+)\b", capsys.readouterr().out, re.MULTILINE))


def test_every_command_that_an_error_names_exists(capsys: pytest.CaptureFixture[str]) -> None:
    known = {tool: subcommands(tool, capsys) for tool in MAINS}
    assert {"bench", "ctl"} <= known["agent"] and "serve" in known["station"] and "verify" in known["evidence"]
    everything = list(advised())
    assert len(everything) >= 5
    for place, words in everything:
        first, *rest = words.split()
        tool = first.removeprefix("bodycam-")
        if tool in known and tool != first:
            assert not rest or rest[0] in known[tool] or rest[0].startswith("-"), (place, words)
        else:
            assert first in SYSTEM | set().union(*known.values()), (place, words)

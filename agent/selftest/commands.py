"""`bodycam-agent selftest`: the lines on a screen or as JSON."""

from __future__ import annotations

import json
import textwrap

from agent.config import Config
from agent.output import Screen
from agent.selftest.line import Line, Verdict
from agent.selftest.run import Options, Parts, run
from agent.words import Words

COLUMNS, INDENT = 118, 21


def selftest(config: Config, options: Options, as_json: bool, parts: Parts | None = None) -> int:
    """The exit status of what failed first, 0 where nothing did."""
    screen = Screen()

    def tell(line: Line) -> None:
        if not as_json:
            screen.put(text_of(line))

    result = run(config, options, parts or Parts(), tell)
    words = Words(config.camera.language).of_selftest(result.passed, [line.name for line in result.failed])
    told = {**result.to_dict(), "words": words}
    screen.put(json.dumps(told, indent=2) if as_json else f"{result.verdict}\n{words}")
    return int(result.status)


def text_of(line: Line) -> str:
    """The line, broken at the screen's width; where it fails, the next step beneath it."""
    told = f"{line.measured} (limit: {line.limit})" if line.limit else line.measured
    head = f"{line.name:<12} {line.verdict.value:<8}"
    rest = " " * INDENT
    text = textwrap.fill(told, COLUMNS, initial_indent=head, subsequent_indent=rest, break_long_words=False)
    if line.verdict is Verdict.FAIL and line.hint:
        text += f"\n{rest}next: {line.hint}"
    return text

"""The recorder with its watch over lens and microphone on a clip, too: there it would only look at live sources, and
the comparison plays a clip. At the end it says on standard error how many pictures it looked at.

python -m benchmarks.watched recorder --config FILE
"""

from __future__ import annotations

import sys
from typing import Any

from agent.capture import watch
from agent.cli import agent_main
from agent.intake import picture, sound

SAYS = "pictures were looked at"


class Looking(watch.PictureWatch):
    looks = 0

    def _see(self, mono_ns: int, luma: Any) -> list[watch.Change]:
        Looking.looks += 1
        return super()._see(mono_ns, luma)


def main(words: list[str]) -> int:
    """Exit status as that of the recorder."""
    vars(picture)["PictureWatch"] = Looking
    for module in (picture, sound):
        vars(module)["watches"] = lambda settings, _: settings.watch
    try:
        return agent_main(words)
    finally:
        print(f"{Looking.looks} {SAYS}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

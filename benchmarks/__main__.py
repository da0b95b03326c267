"""`python -m benchmarks`: run comparisons, print one table of ratios."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence

from agent.cli import guarded
from agent.errors import Exit, UsageError
from benchmarks import recorder_vs_ffmpeg, report
from benchmarks.clip import NAMES as CLIPS

Run = Callable[[str, int, int, Callable[[str], None]], report.Comparison]
COMPARISONS: dict[str, tuple[Run, str]] = {
    recorder_vs_ffmpeg.NAME: (recorder_vs_ffmpeg.run, "CPU of the whole recorder against plain ffmpeg, 720p30"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status as agent/errors.py documents it."""
    words = list(sys.argv[1:] if argv is None else argv)
    options = _parser().parse_args(words)
    return guarded(lambda: _run(options, words))


def _run(options: argparse.Namespace, words: list[str]) -> int:
    if options.list:
        print("\n".join(f"{name:22} {text}" for name, (_, text) in COMPARISONS.items()))
        return int(Exit.OK)
    unknown = [name for name in options.names if name not in COMPARISONS]
    if unknown:
        raise UsageError(f"there is no comparison {unknown[0]!r}", f"one of: {', '.join(COMPARISONS)}")
    clips = CLIPS if options.clip == "all" else (options.clip,)
    done = [
        COMPARISONS[name][0](clip, options.seconds, options.repeat, _say)
        for name in options.names or COMPARISONS
        for clip in clips
    ]
    told = report.document(done, " ".join(["python -m benchmarks", *words]))
    print(json.dumps(told, indent=2) if options.json else report.table(done))
    if options.write:
        _say(f"written: {report.write(told)}")
    return int(Exit.OK)


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def _whole(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 600:
        raise argparse.ArgumentTypeError("1 to 600")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Compare with what people would use instead, on this machine, in one run.",
        epilog="examples:\n  make benchmark\n  python -m benchmarks recorder-vs-ffmpeg --clip all --repeat 3 --write",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="comparisons to run (default: all)")
    parser.add_argument("--list", action="store_true", help="list the comparisons, and run none")
    parser.add_argument(
        "--clip", choices=[*CLIPS, "all"], default=CLIPS[0], help="what is played (default %(default)s)"
    )
    parser.add_argument("--seconds", type=_whole, default=60, metavar="S", help="how long a side runs (default 60)")
    parser.add_argument("--repeat", type=_whole, default=1, metavar="N", help="rounds, for medians (default 1)")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    parser.add_argument("--write", action="store_true", help="keep them in docs/results/benchmark.json")
    return parser


if __name__ == "__main__":
    sys.exit(main())

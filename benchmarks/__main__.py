"""`python -m benchmarks`: run comparisons, print one table of ratios."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Sequence

from agent.cli import guarded
from agent.errors import Exit, UsageError
from benchmarks import (
    evidence_vs_stock,
    log_after_a_year,
    recorder_1080p,
    recorder_vs_ffmpeg,
    report,
    ring_flush,
    sealing_vs_primitives,
    start_to_ready,
    upload_vs_curl,
)
from benchmarks.clip import NAMES as CLIPS

COMPARISONS = {
    recorder_vs_ffmpeg.NAME: "CPU of the whole recorder against plain ffmpeg, 720p30",
    recorder_1080p.NAME: "the same at 1080p30, with overlay and watch off and on; CPU beyond a bare loop",
    evidence_vs_stock.VERIFY: "bodycam-evidence verify against sha256sum over the same files; memory",
    evidence_vs_stock.DECRYPT: "bodycam-evidence decrypt against age -d on one file of the same bytes; memory",
    sealing_vs_primitives.NAME: "CPU and bytes to seal a second of footage against the primitives alone",
    start_to_ready.NAME: "from the start of the service until a press would record, and its imports alone; seconds",
    upload_vs_curl.NAME: "the uploader as shipped against curl's PATCH, 64 MiB segments, nginx with mutual TLS",
    upload_vs_curl.SMALL: "the same against tuspy, 4 MiB segments",
    ring_flush.NAME: "how many times faster than real time the pre-event ring becomes durable, 1080p30 at 8 Mbit/s",
    **{name: f"the same on a card that takes {ms} ms more for each sync" for name, ms in ring_flush.SLOW_MS.items()},
    log_after_a_year.NAME: "start on, append to and prove a log of 15 million leaves against one of an hour",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status as agent/errors.py documents it."""
    words = list(sys.argv[1:] if argv is None else argv)
    options = _parser().parse_args(words)
    return guarded(lambda: _run(options, words))


def _run(options: argparse.Namespace, words: list[str]) -> int:
    if options.list:
        print("\n".join(f"{name:22} {text}" for name, text in COMPARISONS.items()))
        return int(Exit.OK)
    unknown = [name for name in options.names if name not in COMPARISONS]
    if unknown:
        raise UsageError(f"there is no comparison {unknown[0]!r}", f"one of: {', '.join(COMPARISONS)}")
    command = " ".join(["python -m benchmarks", *words])
    done = [found for name in options.names or COMPARISONS for found in _compare(name, options)]
    print(json.dumps(report.document(done, command), indent=2) if options.json else report.table(done))
    if options.write:
        _say(f"written: {', '.join(map(str, report.write(done, command)))}")
    missed = [f"{compared.name} ({', '.join(compared.missed())})" for compared in done if compared.missed()]
    if missed:
        _say(f"missed: {', '.join(missed)}")
    return int(Exit.DEVICE if missed and options.hold else Exit.OK)


def _compare(name: str, options: argparse.Namespace) -> Iterator[report.Compared]:
    if name == recorder_vs_ffmpeg.NAME:
        for clip in CLIPS if options.clip == "all" else (options.clip,):
            yield recorder_vs_ffmpeg.run(clip, options.seconds, options.repeat, _say)
    elif name == recorder_1080p.NAME:
        yield recorder_1080p.run(
            CLIPS[0] if options.clip == "all" else options.clip, options.seconds, options.repeat, _say
        )
    elif name == evidence_vs_stock.VERIFY:
        yield evidence_vs_stock.verify(options.mib, options.repeat, _say)
    elif name == evidence_vs_stock.DECRYPT:
        yield evidence_vs_stock.decrypt(options.mib, options.repeat, _say)
    elif name == start_to_ready.NAME:
        yield start_to_ready.run(options.repeat, _say)
    elif name == upload_vs_curl.NAME:
        yield upload_vs_curl.large(options.mib, options.repeat, _say)
    elif name == upload_vs_curl.SMALL:
        yield upload_vs_curl.small(options.mib, options.repeat, _say)
    elif name == ring_flush.NAME or name in ring_flush.SLOW_MS:
        yield ring_flush.run(options.repeat, _say, name=name)
    elif name == log_after_a_year.NAME:
        yield log_after_a_year.run(options.repeat, _say)
    else:
        yield sealing_vs_primitives.run(options.seconds, options.repeat, _say)


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def _whole(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 4096:
        raise argparse.ArgumentTypeError("1 to 4096")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Compare with what people would use instead, on this machine, in one run.",
        epilog="examples:\n  make benchmark\n  python -m benchmarks recorder-vs-ffmpeg --clip all --repeat 3 --write\n"
        "\nexit status: 0; 2 for words that are none of these; with --hold 3 where a figure misses its aim",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help="comparisons to run (default: all)")
    parser.add_argument("--list", action="store_true", help="list the comparisons, and run none")
    parser.add_argument(
        "--clip", choices=[*CLIPS, "all"], default=CLIPS[0], help="what is played (default %(default)s)"
    )
    parser.add_argument("--seconds", type=_whole, default=60, metavar="S", help="how long a side runs (default 60)")
    parser.add_argument("--mib", type=_whole, default=1024, metavar="N", help="how much evidence (default 1024)")
    parser.add_argument("--repeat", type=_whole, default=1, metavar="N", help="rounds, for medians (default 1)")
    parser.add_argument("--hold", action="store_true", help="end with 3 where a figure misses its aim")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    parser.add_argument("--write", action="store_true", help="keep them in docs/results/benchmark*.json")
    return parser


if __name__ == "__main__":
    sys.exit(main())

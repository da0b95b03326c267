"""`python -m tests.fuzz`: run, keep, replay. `make fuzz` is its short form; docs/fuzzing.md tells how to use it."""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.fuzz.cover import Cover

COVER = Cover()


def main(argv: Sequence[str] | None = None) -> int:
    """0 where every input kept its promises, 1 where one did not."""
    options = _parser().parse_args(argv)
    COVER.install()
    from tests.fuzz import guard
    from tests.fuzz.work import Work

    guard.limit_memory()
    work = Work(COVER, options.targets, random.Random(options.seed))
    if options.replay:
        told = work.replay_files(options.replay)
    elif options.corpus:
        told = work.replay_corpus(options.share or 1)
    else:
        told = work.fuzz(options.inputs, options.seconds, options.keep, options.share)
    if options.json:
        print(json.dumps(told, indent=2))
    return int(bool(told["failures"]))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz",
        description="Coverage-guided fuzzing of everything that reads evidence.",
        epilog="examples:\n"
        "  make fuzz                                  every target, 20 s each\n"
        '  make fuzz ARGS="note leaf --seconds 300"   two of them, five minutes each\n'
        '  make fuzz ARGS="segment --keep"            and add what reached something new to the corpus\n'
        '  make fuzz ARGS="--corpus"                  replay the corpus, and print what it reaches of each file\n'
        '  make fuzz ARGS="note --replay FILE"        one input again, with its trace',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="which readers; all of them where none is named")
    parser.add_argument("--seconds", type=float, help="so long for each target (default: 20)")
    parser.add_argument("--inputs", type=int, help="so many inputs in all, shared among the targets by their cost")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32), help="of the changes")
    parser.add_argument("--keep", action="store_true", help="write the smallest corpus that reaches as much")
    parser.add_argument("--corpus", action="store_true", help="replay the corpus and print what it reaches")
    parser.add_argument("--share", type=float, help="use only this share of the corpus, and nothing that runs found")
    parser.add_argument("--replay", nargs="+", type=Path, metavar="FILE", help="run these inputs and nothing else")
    parser.add_argument("--json", action="store_true", help="figures as JSON on standard output")
    return parser


if __name__ == "__main__":
    sys.exit(main())

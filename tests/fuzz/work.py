"""What the command does: targets one after the other, corpus in, corpus out, figures."""

from __future__ import annotations

import hashlib
import random
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from agent.errors import UsageError
from tests.fuzz import readers
from tests.fuzz.cover import Cover
from tests.fuzz.engine import ASIDE, CORPUS, Failure, Loop, Target, load, play, save, save_all, shorter, smallest_set
from tests.fuzz.targets import TARGETS

T = TypeVar("T")

LONG_BELOW = 50
"""Targets of a smaller share have long inputs."""


def some(all_of_it: list[T], share: float) -> list[T]:
    """So large a share, spread over the whole, and one at least."""
    return all_of_it[:: max(1, round(1 / max(share, 0.001)))]


class Work:
    """Over the targets of these names, or all of them."""

    def __init__(self, cover: Cover, names: Sequence[str], rng: random.Random) -> None:
        known = {target.name: target for target in TARGETS}
        if unknown := [name for name in names if name not in known]:
            raise UsageError(f"no target {unknown[0]!r}", f"name one of: {', '.join(known)}")
        self._cover, self._rng = cover, rng
        self._targets = [known[name] for name in names] or list(TARGETS)
        # Some of a reader is made as it is imported; what else that reaches no input has to reach again.
        self._reached = cover.reached()
        self._failures: dict[str, str] = {}

    def fuzz(self, inputs: int | None, seconds: float | None, keep: bool, share: float | None = None) -> dict[str, Any]:
        """So many inputs in all (a few more, where the shares do not divide them), or so many seconds for each target;
        from a `share` of the corpus, or from it all and what earlier runs found.
        """
        if inputs is None and seconds is None:
            seconds = 20.0
        shares = sum(target.share for target in self._targets)
        counts: dict[str, int] = {}
        for target in self._targets:
            mine = None if inputs is None else max(1, -(-inputs * target.share // shares))
            counts[target.name] = self._fuzz_one(target, mine, seconds, keep, share)
        return self._figures(inputs=sum(counts.values()), inputs_by_target=counts)

    def _fuzz_one(
        self, target: Target, inputs: int | None, seconds: float | None, keep: bool, share: float | None
    ) -> int:
        queue = ASIDE / "queue" / target.name
        held = load(CORPUS / target.name)
        if keep or not any(name.startswith("seed-") for name in held):
            made = {f"seed-{name}": data for name, data in target.seeds().items()}
            save_all(CORPUS / target.name, made | held)
        known = list(load(CORPUS / target.name).values())
        pool = [*known, *load(queue).values()] if share is None else some(known, share)
        loop = Loop(target, self._cover, self._rng, pool)
        before = len(loop.outcome.kept)
        out = loop.run(inputs, seconds)
        for data in out.kept[before:]:
            save(queue, data)
        for data, failure in out.failures.values():
            self._report(target, data, failure)
        if keep:
            self._keep(target, [*load(CORPUS / target.name).values(), *out.kept])
        self._reached |= out.reached
        rate = out.inputs / max(out.seconds, 0.001)
        said = f"{target.name:8} {out.inputs:8} inputs {rate:7.0f}/s, slowest {out.slowest_s * 1000:6.0f} ms, "
        self._say(f"{said}{len(out.kept) - before:4} new, {len(out.failures)} failures")
        return out.inputs

    def _report(self, target: Target, data: bytes, failure: Failure) -> None:
        """Keep a shortened input that breaks the same promise, with its trace."""

        def still(less: bytes) -> bool:
            found = play(target, self._cover, less)[1]
            return found is not None and found.key == failure.key

        if failure.key != "memory" and "TooSlow" not in failure.key and still(data):
            data = shorter(data, still)
        path = save(ASIDE / "crashes" / target.name, data)
        path.with_suffix(".txt").write_text(f"{failure.key}\n\n{failure.trace}", "utf-8")
        self._failures[f"{target.name}: {failure.key}"] = str(path)
        self._say(f"FAIL {target.name}: {failure.key}\n     again: make fuzz ARGS='{target.name} --replay {path}'")

    def _keep(self, target: Target, inputs: Iterable[bytes]) -> None:
        """Write the corpus anew; inputs of defects that were mended, named `defect-...`, stay."""
        directory = CORPUS / target.name
        named = {n: d for n, d in load(directory).items() if n.startswith(("defect-", "seed-"))}
        # Of long inputs each is worth a line, and not only another way through known ones.
        worth = self._cover.lines if target.share < LONG_BELOW else -1
        have = 0
        for other in (t for t in TARGETS if t.name in target.beside):
            for data in load(CORPUS / other.name).values():
                have |= play(other, self._cover, data)[0]
        kept = smallest_set(target, self._cover, named.values(), inputs, worth, have)
        save_all(directory, named | {hashlib.sha256(data).hexdigest()[:12]: data for data in kept})
        self._say(f"{target.name:8} {len(named)} named and {len(kept)} other inputs in {directory.name}/")

    def replay_corpus(self, share: float = 1) -> dict[str, Any]:
        """Every kept input once."""
        counts: dict[str, int] = {}
        for target in self._targets:
            inputs = load(CORPUS / target.name)
            for name, data in some(list(inputs.items()), share):
                self._play(target, name, data)
            counts[target.name] = len(inputs)
        rows = readers.table(self._cover.places, self._cover.lines_of(self._reached))
        for line in readers.lines(rows):
            self._say(line)
        percent_of = {name.removeprefix("agent."): readers.percent([row]) for row in rows for name in [row[0]]}
        return self._figures(corpus=sum(counts.values()), corpus_by_target=counts, lines_percent=readers.percent(rows),
                             lines_percent_by_file=percent_of)  # fmt: skip

    def replay_files(self, paths: Sequence[Path]) -> dict[str, Any]:
        """These inputs, to each target chosen."""
        for path in paths:
            data = load(path.parent)[path.name]
            for target in self._targets:
                self._play(target, path.name, data)
        return self._figures()

    def _play(self, target: Target, name: str, data: bytes) -> None:
        reached, failure = play(target, self._cover, data)
        self._reached |= reached
        if failure is not None:
            self._failures[f"{target.name}/{name}"] = failure.key
            self._say(f"FAIL {target.name}/{name}: {failure.key}\n{failure.trace}")

    def _figures(self, **figures: Any) -> dict[str, Any]:
        return {**figures, "failures": self._failures}

    @staticmethod
    def _say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

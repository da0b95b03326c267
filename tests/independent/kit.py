"""The verifier in another language, run over what it is given; and a life's whole log in the form of a range, so that
both forms are held to the same words of the page.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import subprocess
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from pathlib import Path
from select import select

from agent.formats import merkle, tlogproof
from tests.builders import Camera, agency, frontier_of
from tests.evidence.range_kit import written

SCRIPT = Path(__file__).parent / "verify.mjs"


class _Judge:
    """The other verifier, started once and asked line by line: what it costs to start, and to read a certificate for
    the first time, is paid once by all tests.
    """

    def __init__(self) -> None:
        # Node 18 warns that its X25519 is new. Whatever else it says beside its answers fails the test that asked.
        env, pipe = os.environ | {"NODE_NO_WARNINGS": "1"}, subprocess.PIPE
        self._beside = tempfile.TemporaryFile()  # noqa: SIM115 - as long as the process
        words = ["node", str(SCRIPT)]
        self._node = subprocess.Popen(words, stdin=pipe, stdout=pipe, stderr=self._beside, text=True, env=env)
        atexit.register(self.end)

    def end(self) -> None:
        self._node.kill()
        self._node.wait()

    def ask(self, words: list[str]) -> list[tuple[str, str]]:
        """(place, what it says of it) for each line that it would print for these words."""
        assert self._node.stdin and self._node.stdout
        with suppress(BrokenPipeError):  # it ended: its answer tells
            print(json.dumps(words), file=self._node.stdin, flush=True)
        answer = self._node.stdout.readline() if select([self._node.stdout], [], [], 300)[0] else "no answer in 300 s"
        self._beside.seek(0)
        complaint = self._beside.read().decode()
        if not answer.startswith("[") or complaint:
            self.end()
            _judge.cache_clear()  # the next test asks one that is well
        assert answer.startswith("[") and not complaint, (answer or "it ended") + complaint
        return [(place, said) for place, said in json.loads(answer)]


@cache
def _judge() -> _Judge:
    return _Judge()


def verdicts(
    root: Path, *directories: Path, head: Path | None = None, revoked: Path | None = None, key: Path | None = None
) -> dict[Path, str]:
    """What the other verifier says of each directory: "verified", or a line "FAIL name, segment: text" each failure."""
    told: dict[str, list[str]] = {str(directory): [] for directory in directories}
    for path, said in _judge().ask(words_for(root, *directories, head=head, revoked=revoked, key=key)):
        told[path].append(said)
    assert all(told.values()), told
    return {directory: "\n".join(told[str(directory)]) for directory in directories}


def words_for(root: Path, *directories: Path, **options: Path | None) -> list[str]:
    """The words of a command line that asks for that."""
    more = [word for name, value in options.items() if value for word in (f"--{name}", value)]
    return [str(word) for word in ("--trust", root, *more, *directories)]


def names_in(said: str) -> set[tuple[str, str | None]]:
    """(finding, segment) of each failure in what the other verifier says; the segment is None where it is of none."""
    lines = [line.removeprefix("FAIL ").partition(": ")[0].partition(", ") for line in said.splitlines()]
    return {(what, segment or None) for what, _, segment in lines if what != "verified"}


def as_range(camera: Camera, path: Path, left_out: frozenset[int] = frozenset()) -> Path:
    """The proof of a range that holds every leaf of the log but these; its report names all parts of the recording
    that ends first.
    """
    segments = [*camera.segments, *([camera.open] if camera.open else [])]
    entries = {entry.index: entry for segment in segments for entry in segment.entries}
    size, checkpoint = len(entries), camera.docked(len(entries))
    recording = next(s.header.recording for s in segments if s.init is not None)
    parts = sum(b'"class":"media"' in e.leaf for s in segments if s.header.recording == recording for e in s.entries)
    told = {"recording": recording, "mp4_sha256": "", "first_part": 0, "last_part": parts - 1, "shift_s": 0}
    content = {
        "report.json": json.dumps({"v": 1, "export": told}).encode(),
        "checkpoint": checkpoint,
        "init.age": next(s.init for s in segments if s.init is not None),
    }
    content |= {f"chains/{hashlib.sha256(s.chain).hexdigest()}.pem": s.chain for s in segments}
    for index in sorted(entries.keys() - left_out):
        hashes = merkle.inclusion_proof(index, size, lambda a, b: frontier_of(camera.hashes[a:b]).root())
        proof = tlogproof.InclusionProof(index, tuple(hashes), checkpoint).to_bytes()
        stem, entry = f"entries/{index:010d}", entries[index]
        content |= {f"{stem}.age": entry.sealed, f"{stem}.json": entry.leaf, f"{stem}.tlog-proof": proof}
    return written(path, content)


Judged = tuple[list[tuple[Path, Path]], dict[Path, str]]
"""Of each life its segments and its range, and what the other verifier says of each."""


def both_forms(place: Path, lives: Iterable[tuple[Camera, frozenset[int]]]) -> Judged:
    """Each life below `place`, in a range without the leaves named; one run of the other verifier over all."""
    root, found = agency().write_trust(place)[0], []
    for number, (camera, left_out) in enumerate(lives):
        camera.write(place / f"{number}")
        found.append((place / f"{number}", as_range(camera, place / f"{number}.proof.tar", left_out)))
    return found, verdicts(root, *(path for paths in found for path in paths))

"""The loop: take an input that reached something new, change it, run it; keep it if it reaches something new again.

A run that breaks a promise is kept and named, and the search goes on.
"""

from __future__ import annotations

import hashlib
import io
import random
import tarfile
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from agent.errors import AgentError
from tests.fuzz import guard
from tests.fuzz.mutate import havoc

HERE = Path(__file__).resolve().parent
CORPUS = HERE / "corpus"
ASIDE = HERE.parent.parent / ".cache" / "fuzz"
PACKED = "packed.tar.xz"
_APART = 512
_PATHS = 200


class Broken(Exception):
    """A promise other than "raises only what it documents" does not hold."""


def demand(holds: bool, what: str) -> None:
    if not holds:
        raise Broken(what)


class Counters(Protocol):
    """What the loop needs of `cover.Cover`."""

    def clear(self) -> None: ...
    def reached(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Target:
    """One reader. `run` returns where the input was accepted or refused as documented, and raises anything else.
    `mutate` changes an input, with another one at hand. `cpu_s` is what one run may take, `share` its part of inputs
    that are counted over all targets. What the corpora of those `beside` it reach needs no input of its own.
    """

    name: str
    run: Callable[[bytes], None]
    mutate: Callable[[bytes, random.Random, bytes], bytes]
    seeds: Callable[[], dict[str, bytes]]
    cpu_s: float = 2.0
    share: int = 10
    beside: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Failure:
    """A broken promise. `key` is the same for inputs that break it at the same place."""

    key: str
    trace: str


@dataclass
class Outcome:
    inputs: int = 0
    seconds: float = 0.0
    reached: int = 0
    slowest_s: float = 0.0
    failures: dict[str, tuple[bytes, Failure]] = field(default_factory=dict)
    kept: list[bytes] = field(default_factory=list)


class Loop:
    """Fuzzes one target from a pool of inputs."""

    def __init__(self, target: Target, cover: Counters, rng: random.Random, pool: Iterable[bytes]) -> None:
        self._target, self._cover, self._rng = target, cover, rng
        self.outcome = Outcome()
        self._pool: list[bytes] = []
        self._paths: deque[bytes] = deque(maxlen=_PATHS)
        self._seen_paths: set[int] = set()
        for data in pool:
            self._try(data)
            if data not in self._pool:
                self._pool.append(data)

    def run(self, inputs: int | None = None, seconds: float | None = None) -> Outcome:
        """Until so many more inputs, or so many seconds, have passed."""
        begin = time.monotonic()
        done = 0
        while (inputs is None or done < inputs) and (seconds is None or time.monotonic() - begin < seconds):
            self._try(self._changed(self._pick(), self._pick()))
            done += 1
        self.outcome.inputs += done
        self.outcome.seconds += time.monotonic() - begin
        return self.outcome

    def _changed(self, data: bytes, other: bytes) -> bytes:
        try:
            return self._target.mutate(data, self._rng, other)
        except (AgentError, ValueError, LookupError, TypeError, RecursionError):
            # What it tried to make cannot be written at all: by chance alone, then.
            return havoc(data, self._rng, other)

    def _pick(self) -> bytes:
        """Any of the pool, the newest more often; or one that took a way of its own through known places."""
        if self._paths and self._rng.random() < 0.25:
            return self._rng.choice(self._paths)
        newest = self._pool[-20:] if self._rng.random() < 0.3 else self._pool
        return self._rng.choice(newest)

    def _try(self, data: bytes) -> None:
        out = self.outcome
        begin = time.thread_time()
        reached, failure = play(self._target, self._cover, data)
        out.slowest_s = max(out.slowest_s, time.thread_time() - begin)
        if failure is not None:
            known = out.failures.get(failure.key)
            if known is None or len(data) < len(known[0]):
                out.failures[failure.key] = (data, failure)
        elif reached & ~out.reached:
            out.reached |= reached
            self._pool.append(data)
            out.kept.append(data)
        elif (path := hash(reached)) not in self._seen_paths and len(self._seen_paths) < 200_000:
            self._seen_paths.add(path)
            self._paths.append(data)


def play(target: Target, cover: Counters, data: bytes) -> tuple[int, Failure | None]:
    """One run: the places it reached, and the promise it broke, if any."""
    memory = guard.peak_kib()
    cover.clear()
    try:
        with guard.within(target.cpu_s):
            target.run(data)
    except KeyboardInterrupt:
        raise
    except BaseException as err:
        return cover.reached(), _failure(err)
    grown = guard.peak_kib() - memory
    if grown > guard.GROWTH_KIB:
        return cover.reached(), Failure("memory", f"{grown} KiB more for {len(data)} bytes")
    return cover.reached(), None


def _failure(err: BaseException) -> Failure:
    frames = traceback.extract_tb(err.__traceback__)
    ours = [f for f in frames if "/agent/" in f.filename] or list(frames)
    at = f"{Path(ours[-1].filename).name}:{ours[-1].name}" if ours else "?"
    said = f"{err}"[:60] if type(err).__name__ == "Broken" else ""
    return Failure(f"{type(err).__name__} {at} {said}".strip(), "".join(traceback.format_exception(err))[-6000:])


# -- inputs on disk ------------------------------------------------------------------------------------------------


def load(directory: Path) -> dict[str, bytes]:
    """Inputs by name, in order of name: files of their own, and those packed into one."""
    found = {}
    for path in directory.iterdir() if directory.is_dir() else []:
        if path.name == PACKED:
            with tarfile.open(path, "r:xz") as archive:
                found |= {member.name: _content(archive, member) for member in archive}
        elif path.suffix != ".txt":
            found[path.name] = path.read_bytes()
    return dict(sorted(found.items()))


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> bytes:
    file = archive.extractfile(member)
    return file.read() if file is not None else b""


def save(directory: Path, data: bytes, name: str = "") -> Path:
    """A file of its own, under its digest where it has no name."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / (name or hashlib.sha256(data).hexdigest()[:12])
    path.write_bytes(data)
    return path


def save_all(directory: Path, inputs: dict[str, bytes]) -> None:
    """Exactly these. Long ones go into one archive, for they have much in common; it is made first, so that what keeps
    it from being made costs nothing of what was there.
    """
    directory.mkdir(parents=True, exist_ok=True)
    packed = {name: data for name, data in sorted(inputs.items()) if len(data) > _APART}
    archived = io.BytesIO()
    # A higher preset takes more than the memory that a run of readers may have.
    with tarfile.open(fileobj=archived, mode="w:xz", preset=6) as archive:
        for name, data in packed.items():
            told = tarfile.TarInfo(name)
            told.size = len(data)
            archive.addfile(told, io.BytesIO(data))
    for path in directory.iterdir():
        path.unlink()
    for name, data in inputs.items():
        if len(data) <= _APART:
            save(directory, data, name)
    if packed:
        save(directory, archived.getvalue(), PACKED)


# -- less of it ----------------------------------------------------------------------------------------------------


def smallest_set(
    target: Target, cover: Counters, held: Iterable[bytes], inputs: Iterable[bytes], worth: int = -1, have: int = 0
) -> list[bytes]:
    """As few and as short inputs as reach, with those `held` in any case, all that these reach: the greedy cover.
    Inputs that break a promise are left out. Only places of `worth` count that others do not `have`.
    """
    have |= ~worth
    for data in held:
        have |= play(target, cover, data)[0]
    ranked = sorted(set(inputs), key=lambda data: (len(data), data))
    played = [(data, play(target, cover, data)) for data in ranked]
    left = {data: reached for data, (reached, failure) in played if failure is None}
    chosen = []
    while left:
        best = max(left, key=lambda data: ((left[data] & ~have).bit_count() / (1 + len(data) / 1024), -len(data)))
        if not left[best] & ~have:
            break
        have |= left.pop(best)
        chosen.append(best)
    return chosen


def shorter(data: bytes, still: Callable[[bytes], bool], seconds: float = 20) -> bytes:
    """A shorter input of which `still` holds, by leaving out ever smaller pieces."""
    end, size = time.monotonic() + seconds, max(1, len(data) // 2)
    while size and time.monotonic() < end:
        at = 0
        while at < len(data) and time.monotonic() < end:
            less = data[:at] + data[at + size :]
            if still(less):
                data = less
            else:
                at += size
        size //= 2
    return data

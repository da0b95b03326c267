"""Sources that misbehave as written: in front of any lens or microphone, a script of one letter for each picture or
block says what becomes of it. What follows the script is regular. For tests and for the bench.

| letter | what the device does |
| --- | --- |
| r | regular |
| d | captured and lost: what cannot wait was not fetched in time; counted as the device would |
| s | nothing is captured, and nothing is said: it stalls |
| h | held back until the next letter that is none: a burst |
| e | the stamp of the one before |
| b | a stamp a second too early |
| w | a stamp an hour ahead; p: an hour ago |
| z | an empty buffer |
| f | from here on another format: a picture of half the size, sound of half the samples |
| u | unplugged: the device says so, and nothing more comes |
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Generic, TypeVar

from agent.capture.base import AudioSource, Signal, SignalKind, SourceSignal, VideoSource, monotonic_ns
from agent.model import NS, AudioBlock, VideoFrame

HOUR_NS = 3600 * NS
_SHIFT_NS = {"b": -NS, "w": HOUR_NS, "p": -HOUR_NS}
LETTERS = frozenset("rdsheb" + "wpzfu")

Item = TypeVar("Item", VideoFrame, AudioBlock)


class Script(Generic[Item]):
    """What comes out of `play` for each item that goes in. Raises ValueError for a letter that means nothing."""

    def __init__(self, letters: str) -> None:
        unknown = set(letters) - LETTERS
        if unknown:
            raise ValueError(f"no such fault: {', '.join(sorted(unknown))}")
        self._letters = iter(letters)
        self._held: list[Item] = []
        self._last_ns: int | None = None
        self.lost = self.stalled = 0
        self.changed = self.unplugged = False

    def play(self, item: Item) -> list[tuple[str, Item]]:
        """Each with its letter; those that only a letter explains come with it."""
        letter = "s" if self.unplugged else next(self._letters, "r")
        self.lost += letter in "dz"
        self.stalled += letter == "s"
        self.changed = self.changed or letter == "f"
        if letter == "u":
            self.unplugged = True
        if letter == "h":
            self._held.append(item)
        if letter in "dshu":
            return []
        played: list[tuple[str, Item]] = [("h", held) for held in self._held]
        self._held = []
        stamp_ns = item.mono_ns + _SHIFT_NS.get(letter, 0)
        if letter == "e" and self._last_ns is not None:
            stamp_ns = self._last_ns
        self._last_ns = stamp_ns
        played.append((letter, replace(item, mono_ns=stamp_ns)))
        return played


class ScriptedCamera:
    """A VideoSource in front of another; its pictures as the script says."""

    def __init__(self, source: VideoSource, script: str) -> None:
        self._source, self._script = source, Script[VideoFrame](script)
        self.name, self.live = f"scripted {source.name}", source.live

    @property
    def fps(self) -> float:
        return self._source.fps

    @property
    def dropped_frames(self) -> int:
        return self._source.dropped_frames + self._script.lost

    @property
    def doubtful_frames(self) -> int:
        return self._source.doubtful_frames

    def start(self, deliver: Callable[[VideoFrame], None], signal: Signal) -> None:
        script = self._script

        def play(frame: VideoFrame) -> None:
            was_there = not script.unplugged
            for letter, item in script.play(frame):
                if letter == "z":
                    continue
                picture = item.picture
                if script.changed:
                    picture = picture.reformat(picture.width // 2, picture.height // 2)
                deliver(replace(item, sequence=item.sequence - script.stalled, picture=picture))
            if was_there and script.unplugged:
                signal(SourceSignal(SignalKind.LOST, monotonic_ns(), f"{self.name} gives no more pictures"))

        self._source.start(play, signal)

    def stop(self, deadline_s: float = 2.0) -> bool:
        return self._source.stop(deadline_s)


class ScriptedMicrophone:
    """An AudioSource in front of another; `pace` is how fast it samples, of what it says."""

    def __init__(self, source: AudioSource, script: str, pace: float = 1.0) -> None:
        self._source, self._script, self._pace = source, Script[AudioBlock](script), pace
        self.name, self.live = f"scripted {source.name}", source.live

    @property
    def dropped_blocks(self) -> int:
        return self._source.dropped_blocks + self._script.lost

    def start(self, deliver: Callable[[AudioBlock], None], signal: Signal) -> None:
        script = self._script

        def play(block: AudioBlock) -> None:
            was_there = not script.unplugged
            for letter, item in script.play(block):
                samples = round(len(item.pcm) // 2 * self._pace) // (2 if script.changed else 1)
                deliver(replace(item, pcm=b"" if letter == "z" else item.pcm[: samples * 2]))
            if was_there and script.unplugged:
                signal(SourceSignal(SignalKind.LOST, monotonic_ns(), f"{self.name} gives no more sound"))

        self._source.start(play, signal)

    def stop(self, deadline_s: float = 2.0) -> bool:
        return self._source.stop(deadline_s)

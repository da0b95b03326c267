"""Lives that no camera of ours lives, validly signed: what the page says of the order in which leaves may come."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

from agent.formats import leaf as leaves
from agent.formats.leaf import Kind
from tests.builders import Camera

OTHER = "r0000000999-00000000"


class Life(NamedTuple):
    """A life with a recording in it. `sound` by the page, as segments and as a range of all its leaves but `left_out`;
    `whole` where the two differ: what the segments alone show.
    """

    name: str
    live: Callable[[Camera], object]
    sound: bool
    whole: bool | None = None
    left_out: frozenset[int] = frozenset()


def begun(camera: Camera) -> str:
    """Leaves 0 to 3: a session, a start, a seal, and a part."""
    camera.new_session()
    recording = camera.start()
    camera.part()
    return recording


def ended(camera: Camera) -> None:
    camera.part()
    camera.stop()
    camera.shutdown()


def say(camera: Camera, kind: Kind, recording: str | None, **facts: object) -> None:
    camera.event(kind, facts=facts, recording=recording)


def between(kind: Kind, recording: Callable[[str], str | None], **facts: object) -> Callable[[Camera], object]:
    """One leaf of this kind between the two parts."""

    def live(camera: Camera) -> None:
        own = begun(camera)
        say(camera, kind, recording(own), **facts)
        ended(camera)

    return live


def after(kind: Kind, recording: Callable[[str], str | None], **facts: object) -> Callable[[Camera], object]:
    """One leaf of this kind after the recording's stop."""

    def live(camera: Camera) -> None:
        own = begun(camera)
        camera.part()
        camera.stop()
        say(camera, kind, recording(own), **facts)
        camera.shutdown()

    return live


def counted(*counters: object) -> Callable[[Camera], object]:
    """What the counter says in session and start."""

    def live(camera: Camera) -> None:
        camera.new_session(counter=counters[0])
        camera.start(counter=counters[1])
        camera.part()
        ended(camera)

    return live


def resumed(root: str | None) -> Callable[[Camera], object]:
    """A second session that says to continue a log of this root; the true one, where None."""

    def live(camera: Camera) -> None:
        begun(camera)
        ended(camera)
        camera.forge = lambda leaf: bent(leaf, root) if root is not None else leaf
        camera.new_session()
        camera.shutdown()

    return live


def bent(leaf: leaves.Leaf, root: str) -> leaves.Leaf:
    if not isinstance(leaf, leaves.EventLeaf) or leaf.kind is not Kind.SESSION:
        return leaf
    return replace(leaf, facts={**leaf.facts, "resumes": {"size": leaf.common.index, "root": root}})


def cut(camera: Camera) -> None:
    begun(camera)
    camera.crash().shutdown()


def cut_nameless(camera: Camera) -> None:
    begun(camera)
    camera.forge = lambda leaf: (
        replace(leaf, recording=None) if isinstance(leaf, leaves.EventLeaf) and leaf.kind is Kind.RECOVERY else leaf
    )
    camera.crash().shutdown()


def unstarted(camera: Camera) -> None:
    """Parts of a recording whose start is an event of another kind."""
    camera.forge = lambda leaf: (
        replace(leaf, kind=Kind.EVENT) if isinstance(leaf, leaves.EventLeaf) and leaf.kind is Kind.START else leaf
    )
    begun(camera)
    ended(camera)


def other_session(camera: Camera) -> None:
    """A recording that goes on in the next session, which says nothing of it."""
    recording = begun(camera)
    held = camera.parts, camera.start_ns
    camera.new_session(same_boot=True)
    camera.recording, (camera.parts, camera.start_ns) = recording, held
    camera.rotate()
    ended(camera)


def own(recording: str) -> str:
    return recording


def nobody(recording: str) -> None:
    return None


def never(recording: str) -> str:
    return "r0000000000-00000000"


STOPPED: dict[str, object] = {"interrupted": False}
CUT: dict[str, object] = {"segment": "e0000000000-00000000", "entries": 1, "torn_bytes": 0, "interrupted": True}
LIVES = [
    Life("plain", lambda camera: (begun(camera), ended(camera)), True),
    Life("a stop between two parts", between(Kind.STOP, own, parts=1, **STOPPED), False),
    Life("a stop between two parts, of both", between(Kind.STOP, own, parts=2, **STOPPED), False),
    Life("a stop of nothing between two parts", between(Kind.STOP, nobody, parts=1, **STOPPED), False),
    Life("a stop of what never started between two parts", between(Kind.STOP, never, parts=0, **STOPPED), False),
    Life("a stop of what starts later", between(Kind.STOP, lambda own: OTHER, parts=0, **STOPPED), False),
    Life("a second stop", after(Kind.STOP, own, parts=2, **STOPPED), False),
    Life("a stop of what never started", after(Kind.STOP, never, parts=0, **STOPPED), False),
    Life("a stop, then a cut", after(Kind.RECOVERY, own, parts=2, **CUT), False),
    Life("a cut between two parts", between(Kind.RECOVERY, own, parts=1, **CUT), False),
    Life("a cut of what never started", after(Kind.RECOVERY, never, parts=0, **CUT), False),
    Life("a shutdown between two parts", between(Kind.SHUTDOWN, nobody), False),
    Life("a shutdown of a recording between two parts", between(Kind.SHUTDOWN, own), False),
    Life("a start at another index", between(Kind.START, lambda own: OTHER), False),
    Life("a start of nothing", between(Kind.START, nobody), False),
    Life("a second start", between(Kind.START, own), False),
    Life("an event between two parts", between(Kind.EVENT, own), True),
    Life("counted from 1", counted(1, 2), True),
    Life("a start counted with 0", counted(None, 0), False),
    Life("a start counted with true", counted(None, True), False),
    Life("counted twice the same", counted(3, 3), False),
    Life("counted by two", counted(3, 5), False),
    Life("counted by two, with a gap", counted(3, 5), True, whole=False, left_out=frozenset({0})),
    Life("cut", cut, True),
    Life("a cut of nothing", cut_nameless, False),
    Life("parts without a start", unstarted, False),
    Life("another session in the middle", other_session, False),
    Life("resumed", resumed(None), True),
    Life("resumed from another root", resumed("A" * 43 + "="), True, whole=False),
    Life("resumed from what is not base64", resumed("x"), False),
    Life("resumed from another spelling", resumed("A" * 42 + "B="), False),
    Life("resumed from 31 bytes", resumed("A" * 42 + "=="), False),
    Life("resumed from 33 bytes", resumed("A" * 44), False),
]

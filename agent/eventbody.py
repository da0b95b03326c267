"""How an event's sealed body is written and read: its fields are those of a frozen dataclass, each of one kind
(docs/evidence-format.md, "Bodies"). What the events are stands in events.py.
"""

from __future__ import annotations

import re
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from enum import Enum
from typing import Annotated, Any, ClassVar, TypeVar, Union, get_args, get_origin, get_type_hints

from agent.errors import EvidenceError

MAX_TEXT = 1000
MAX_NAMES = 64
_LIMIT = 1 << 63

Sha256 = Annotated[str, re.compile(r"[0-9a-f]{64}")]
Signed = Annotated[int, "signed"]


class State(Enum):
    """What a camera does with a powered second. `fault`: a press would not record. `stopped`: the recorder ended as
    asked, and the power stayed on.
    """

    STARTING = "starting"
    READY = "ready"
    RECORDING = "recording"
    MUTED = "muted"
    SLEEPING = "sleeping"
    DOCKED = "docked"
    FAULT = "fault"
    STOPPED = "stopped"


class Actor(Enum):
    """Who or what brought something about. `ctl` is whoever may use the control socket."""

    OFFICER = "officer"
    CTL = "ctl"
    DOCK = "dock"
    STATION = "station"
    RECORDER = "recorder"
    KERNEL = "kernel"


class ClockChange(Enum):
    """Why a clock event was written."""

    START = "start"
    SOURCE = "source"
    STEP = "step"
    SUSPEND = "suspend"


class Docking(Enum):
    """Whether the camera stands in its dock."""

    DOCKED = "docked"
    UNDOCKED = "undocked"


class Level(Enum):
    """How much is left of what runs out, or how much is too much."""

    NORMAL = "normal"
    LOW = "low"
    HIGH = "high"
    CRITICAL = "critical"


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all. `NAME` is the body's `type`."""

    NAME: ClassVar[str] = ""

    def body(self) -> dict[str, Any]:
        """The body to seal. A text that is too long is cut: nothing may keep an event out of the log."""
        told = {f.name: _written(getattr(self, f.name)) for f in fields(self)}
        return {"type": self.NAME, **{name: value for name, value in told.items() if value is not None}}


@dataclass(frozen=True, slots=True)
class Noticed(Event):
    """`detail` in words; it began at `mono_ns`, before it was noticed."""

    detail: str
    mono_ns: int


E = TypeVar("E", bound=Event)


def read_event(event: type[E], body: Mapping[str, Any]) -> E:
    """The event that a body of its `type` holds; keys it does not know are ignored. Raises EvidenceError that names
    the key.
    """
    kinds = get_type_hints(event, include_extras=True)
    return event(**{f.name: read_field(body, f.name, kinds[f.name], event.NAME) for f in fields(event)})


def read_field(body: Mapping[str, Any], key: str, kind: Any, name: str) -> Any:
    """One value of this kind, of a body of the type `name`. Raises EvidenceError."""
    value, wanted = body.get(key), kind
    if _may_be_none(kind):
        if value is None:
            return None
        wanted = next(k for k in get_args(kind) if k is not type(None))
    try:
        return _reader(wanted)(value)
    except (ValueError, TypeError):
        raise EvidenceError(f"body of {name}: {key} is not valid") from None


def _may_be_none(kind: Any) -> bool:
    return get_origin(kind) in (types.UnionType, Union) and type(None) in get_args(kind)


def _reader(kind: Any) -> Callable[[Any], Any]:
    """What turns a JSON value into one of this kind, or raises ValueError or TypeError."""
    if get_origin(kind) is Annotated:
        base, rule = get_args(kind)
        return _whole(-_LIMIT) if base is int else _text(rule)
    if get_origin(kind) is tuple:
        return _texts
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind
    return {int: _whole(0), str: _text(), bool: _flag}[kind]


def _whole(least: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if type(value) is not int or not least <= value < _LIMIT:
            raise ValueError
        return value

    return read


def _text(form: re.Pattern[str] | None = None) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if not isinstance(value, str) or len(value) > MAX_TEXT or (form and not form.fullmatch(value)):
            raise ValueError
        return value

    return read


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or len(value) > MAX_NAMES:
        raise ValueError
    return tuple(map(_text(), value))


def _flag(value: Any) -> bool:
    if type(value) is not bool:
        raise ValueError
    return value


def _written(value: Any) -> Any:
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, tuple):
        return [_written(v) for v in value[:MAX_NAMES]]
    return value[:MAX_TEXT] if isinstance(value, str) else value

"""Bodies of events: each comes back as it was written, nothing else is taken for one, and the format page is exact."""

from __future__ import annotations

import json
import re
from dataclasses import FrozenInstanceError, fields
from enum import Enum
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent import events
from agent.errors import EvidenceError
from agent.eventbody import MAX_NAMES, MAX_TEXT, Event, Sha256, Signed
from agent.formats import leaf as leaves

PAGE = Path(__file__).resolve().parent.parent / "docs" / "evidence-format.md"
WHOLE, TEXT = st.integers(0, (1 << 63) - 1), st.text(max_size=40)
PLAIN: dict[Any, tuple[str, st.SearchStrategy[Any]]] = {
    int: ("whole", WHOLE),
    str: ("text", TEXT),
    bool: ("flag", st.booleans()),
    tuple[str, ...]: ("texts", st.lists(TEXT, max_size=4).map(tuple)),
    Signed: ("signed", st.integers(-(1 << 63), (1 << 63) - 1)),
    Sha256: ("sha256", st.text("0123456789abcdef", min_size=64, max_size=64)),
}


def kinds(event: type[Event]) -> dict[str, tuple[Any, bool]]:
    """Its fields: kind, and whether it may be absent."""
    hints = get_type_hints(event, include_extras=True)
    found = {}
    for name in (f.name for f in fields(event)):
        choices = (
            [k for k in get_args(hints[name]) if k is not type(None)] if type(None) in get_args(hints[name]) else []
        )
        found[name] = (choices[0] if choices else hints[name], bool(choices))
    return found


def word(kind: Any) -> str:
    return PLAIN[kind][0] if kind in PLAIN else kind.__name__.lower()


def values(kind: Any, optional: bool) -> st.SearchStrategy[Any]:
    plain = PLAIN[kind][1] if kind in PLAIN else st.sampled_from(kind)
    return st.none() | plain if optional else plain


@st.composite
def any_event(draw: st.DrawFn) -> Event:
    event = draw(st.sampled_from(events.ALL))
    return event(**{name: draw(values(*kind)) for name, kind in kinds(event).items()})


def sample(event: type[Event]) -> Event:
    """One with every field there."""
    given_: dict[Any, Any] = {int: 7, str: "x", bool: True, tuple[str, ...]: ("a",), Signed: -7, Sha256: "ab" * 32}
    return event(**{n: given_[k] if k in given_ else next(iter(k)) for n, (k, _) in kinds(event).items()})


@given(any_event())
def test_each_event_comes_back_as_it_was_written(event: Event) -> None:
    plain, digest = leaves.seal_body(event.body(), bytes(32))
    told = events.parse(leaves.open_body(plain, digest))
    assert (told.event, told.type, told.late) == (event, event.NAME, False)


@pytest.mark.parametrize("event", events.ALL, ids=lambda e: e.NAME)
def test_a_body_that_lacks_a_key_or_holds_another_kind_is_refused(event: type[Event]) -> None:
    body = sample(event).body()
    assert events.parse(body).event == sample(event)
    for name, (kind, optional) in kinds(event).items():
        short = {k: v for k, v in body.items() if k != name}
        if optional:
            assert getattr(events.parse(short).event, name) is None
        else:
            with pytest.raises(EvidenceError, match=name):
                events.parse(short)
        for wrong in ({}, 1.5, "?" * (MAX_TEXT + 1), 1 << 63, -(1 << 63) - 1, ["a"] * (MAX_NAMES + 1), [1]):
            with pytest.raises(EvidenceError, match=name):
                events.parse({**body, name: wrong})
        for wrong, right in ((True, bool), (1, int), ("x", str)):
            if kind is not right and not (kind is Signed and right is int):
                with pytest.raises(EvidenceError, match=name):
                    events.parse({**body, name: wrong})
        if kind is int:
            with pytest.raises(EvidenceError, match=name):
                events.parse({**body, name: -1})


def test_what_a_reader_does_not_know_it_ignores() -> None:
    told = events.parse({**events.Cleared("disk").body(), "later": {"version": 2}})
    assert told.event == events.Cleared("disk")
    assert events.parse({"type": "of.tomorrow", "x": 1}) == events.Told("of.tomorrow", None)


@pytest.mark.parametrize("name", [None, 7, "", "Upper", "a b", "x" * 41, "a\n", ["heartbeat"]])
def test_what_has_no_type_is_no_body(name: Any) -> None:
    with pytest.raises(EvidenceError, match="type"):
        events.parse({"type": name})


def test_a_late_body_says_when_it_was_to_be_written_and_of_what() -> None:
    late = {"late": True, "mono_ns": 5, "boottime_ns": 9, "recording": "r0000000007-5f2c09ab"}
    told = events.parse({**events.Cleared("disk").body(), **late})
    assert (told.late, told.mono_ns, told.boottime_ns, told.recording) == tuple(late.values())
    for key, wrong in (("late", 1), ("mono_ns", "5"), ("boottime_ns", -1), ("recording", 7)):
        with pytest.raises(EvidenceError, match=key):
            events.parse({**events.Cleared("disk").body(), **late, key: wrong})


def test_what_is_too_long_is_cut_and_never_refused() -> None:
    told = events.Fault("disk", "x" * 5000, 1).body()
    assert told["detail"] == "x" * MAX_TEXT
    beat = events.Heartbeat(tuple(map(str, range(500)))).body()
    assert len(beat["faults"]) == MAX_NAMES
    for body in (told, beat):
        assert events.parse(body).event is not None


def test_no_event_changes_after_it_was_made() -> None:
    event = events.Cleared("disk")
    with pytest.raises(FrozenInstanceError):
        event.what = "lens"


def test_each_body_is_json_of_its_own_type() -> None:
    assert len({e.NAME for e in events.ALL}) == len(events.ALL)
    for event in events.ALL:
        assert json.loads(json.dumps(sample(event).body()))["type"] == event.NAME


def test_the_format_page_documents_exactly_these_bodies() -> None:
    section = PAGE.read_text("utf-8").split("### Bodies")[1].split("## 4.")[0]
    rows = re.findall(r"^\| `([a-z.]+)` \| ([^|]*) \|", section, re.MULTILINE)
    spelled = {}
    for event in events.ALL:
        keys = [f"`{n}` {word(kind)}{'?' if optional else ''}" for n, (kind, optional) in kinds(event).items()]
        spelled[event.NAME] = ", ".join(keys) or "none"
    assert dict(rows) == spelled
    assert len(rows) == len(spelled)


def test_the_format_page_names_each_word_a_key_may_hold() -> None:
    section = PAGE.read_text("utf-8").split("### Bodies")[1].split("| type |")[0]
    used = {kind for event in events.ALL for kind, _ in kinds(event).values() if kind not in PLAIN}
    assert used
    for kind in used:
        assert issubclass(kind, Enum)
        listed = section.split(f"`{kind.__name__.lower()}`: ")[1]
        listed = re.sub(r"\([^)]*\)", "", listed).split(".")[0]
        assert re.findall(r"`(\w+)`", listed) == [member.value for member in kind]

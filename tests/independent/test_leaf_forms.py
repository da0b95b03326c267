"""Leaves of forms that no camera of ours writes, validly signed: both verifiers judge them as the format page does."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from agent.formats import leaf as leaves
from agent.formats.leaf import Kind
from tests.builders import Camera, agency
from tests.evidence.kit import failures
from tests.evidence.test_verify_sh import run
from tests.independent.kit import Judged, both_forms

Value = dict[str, Any]
HEX, NAME, OTHER = "ab" * 32, "e0000000000-00000000", "r0000000001-0000000a-0003"
HEAD = {"origin": "bodycam.local/cam-0001/1", "size": 1, "root": "A" * 43 + "="}
GONE = {"segment": OTHER, "sha256": HEX, "receipt": HEX}
LEFT = {"segment": NAME, "epoch": 1, "size": 9, "sha256": HEX, "whole": True}
SEALED = {"segment": NAME, "size": 9, "sha256": HEX, "first": 0, "entries": 1}
CLOSED = {"segment": OTHER, "entries": 1, "torn_bytes": 0}


class Form(NamedTuple):
    """The first leaf of a kind in a life, its bytes bent before they are hashed and signed; `sound` by the page."""

    name: str
    kind: str
    bend: Callable[[bytes], bytes]
    sound: bool


def nested(levels: int) -> list[Any]:
    return [nested(levels - 1)] if levels > 1 else []


def keyed(change: Callable[[Value], object]) -> Callable[[bytes], bytes]:
    def bend(data: bytes) -> bytes:
        value = json.loads(data)
        change(value)
        return json.dumps(value, separators=(",", ":")).encode() + b"\n"

    return bend


def each(kind: str, sound: bool, at: str, /, **values: object) -> Iterator[Form]:
    """One form for each value: `a__1=x` sets key `a`, `...` takes it away. `at` is "", or the object that has it."""
    for name, value in values.items():
        key = name.split("__")[0]

        def change(leaf: Value, key: str = key, value: object = value) -> None:
            held = leaf[at] if at else leaf
            if value is ...:
                del held[key]
            else:
                held[key] = value

        yield Form(f"{kind} {at} {key}={value}", kind, keyed(change), sound)


def told(kind: str, sound: bool, *facts: object) -> Iterator[Form]:
    """The mark is a leaf of this kind instead, with these facts; a recovery leaf is signed by the identity too."""
    mark = kind if kind == "recovery" else "event"
    for fact in facts:
        bend = keyed(lambda leaf, fact=fact: leaf.update(kind=kind, facts=fact))
        yield Form(f"{kind} {json.dumps(fact)}", mark, bend, sound)


def without(value: Value) -> list[Value]:
    return [{k: v for k, v in value.items() if k != key} for key in value]


FORMS = [
    *each("media", True, "", later={"a": [1]}, kind="stop", facts={"parts": 7, "epoch": 1, "counter": 0}, start_ns=-5),
    *each("media", True, "", zz__1=10**19, zz__2=-(10**18), zz__3=nested(49), zz__4=[nested(48)] * 40),
    *each("media", False, "", zz__1=10**20, zz__2=-(10**19), zz__3=nested(50), zz__4={"a": nested(49)}),
    *each("media", False, "", recipients__1=..., recipients__2=HEX[1:], recipients__3=HEX.upper()),
    *each("media", False, "", idr__1=1, idr__2=..., duration_ns__1=-1, duration_ns__2=..., duration_ns__3=1 << 63),
    *each("media", False, "", start_ns__1=-(1 << 62) - 1, start_ns__2=..., zero_mono_ns=-1, part=True, boot="x"),
    *each("media", False, "", recording=None, v=2, utc__1=None, utc__2=..., sealed=[]),
    *each("shutdown", False, "", kind="x", facts__1=..., facts__2=[], body=..., recording__1=..., recording__2="x"),
    *each("media", True, "utc", bound_ms=None, source="unverified", time="2028-02-29T23:59:59.999999Z"),
    *each("media", True, "", utc={"time": None, "source": "none", "bound_ms": None}),
    *each("media", False, "utc", bound_ms__1=..., bound_ms__2=-1, bound_ms__3="12", bound_ms__4=True),
    *each("media", False, "utc", source__1=..., source__2="gps", source__3="none", source__4=None, time__1=None),
    *each("media", False, "utc", time__1="2026-99-99T00:00:00.000000Z", time__2="2026-02-29T00:00:00.000000Z"),
    *each("media", False, "utc", time__1="1900-02-29T00:00:00.000000Z", time__2="0000-01-01T00:00:00.000000Z"),
    *each("media", False, "utc", time__1="2026-01-01T24:00:00.000000Z", time__2="2026-12-31T23:59:60.000000Z"),
    *each("media", False, "utc", time__1="2026-01-00T00:00:00.000000Z", time__2="2026-04-31T00:00:00.000000Z"),
    Form("white space within", "media", lambda data: b"{ \r\n\t" + data[1:-2] + b" \n}\n", True),
    Form("two newlines", "media", lambda data: data + b"\n", False),
    Form("no newline", "media", lambda data: data[:-1], False),
    Form("a space before", "media", lambda data: b" " + data, False),
    Form("a space before the newline", "media", lambda data: data[:-1] + b" \n", False),
    Form("a carriage return", "media", lambda data: data[:-1] + b"\r\n", False),
    *told("event", True, {"a": 1}, {"counter": 0}),
    *told("event", False, {"epoch": {"follows": HEAD}}, {"epoch": None}),
    *each("start", False, "facts", epoch__1={"reason": "behind", "follows": HEAD}, epoch__2=None, counter=0),
    *each("session", False, "facts", epoch__1={"reason": "behind", "follows": HEAD, "left": None}, epoch__2=None),
    *each("session", False, "facts", session_cert__1=..., session_cert__2=HEX, receipt__1=..., receipt__2=1),
    *each("session", False, "facts", agent__1=..., agent__2=3, resumes__1=..., resumes__2="x", resumes__3={}),
    *each("session", False, "facts", resumes={"size": 4, "root": "A" * 43 + "="}),
    *each("stop", False, "facts", parts__1=..., parts__2=9, parts__3=True, interrupted__1=..., interrupted__2=True),
    *told("delivery", True, {"receipt": HEX, "segments": []}, {"receipt": HEX, "segments": [NAME, OTHER]}),
    *told("delivery", False, *without({"receipt": HEX, "segments": []}), {"receipt": HEX, "segments": {"a": NAME}}),
    *told("delivery", False, {"receipt": "x", "segments": []}, {"receipt": HEX, "segments": ["../x"]}),
    *told("deletion", True, {"segments": []}, {"segments": [GONE], "reason": "age"}),
    *told("deletion", False, {}, {"segments": NAME}, {"segments": [NAME]}, {"segments": [GONE, 1]}),
    *told("deletion", False, *({"segments": [item]} for item in without(GONE))),
    *told("kept", True, {"segments": []}),
    *told("kept", False, {}, {"segments": NAME}, {"segments": [LEFT]}, *({"segments": [i]} for i in without(LEFT))),
    *told("seal", False, *without(SEALED), SEALED | {"size": -1}, SEALED | {"sha256": ""}, SEALED | {"entries": "1"}),
    *told("recovery", True, CLOSED),
    *told("recovery", False, *without(CLOSED), CLOSED | {"entries": -1}, CLOSED | {"parts": 1}),
    *told("recovery", False, CLOSED | {"interrupted": True}, CLOSED | {"parts": 3, "interrupted": False}),
]  # fmt: skip


def lived(form: Form) -> Camera:
    """A short life in which the first such leaf has this form."""
    camera, left, real = Camera(agency(), seed=5), [form], leaves.to_bytes

    def to_bytes(leaf: leaves.Leaf) -> bytes:
        data = real(leaf)
        value = json.loads(data)
        if not left or value.get("kind", value["class"]) != form.kind:
            return data
        bent = left.pop().bend(data)
        assert bent != data
        return bent

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(leaves, "to_bytes", to_bytes)
        camera.new_session()
        camera.start()
        for _ in range(3):
            camera.part()
        camera.event(Kind.RECOVERY if form.kind == "recovery" else Kind.EVENT)
        camera.stop()
        camera.shutdown()
    assert not left
    return camera


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    return both_forms(tmp_path_factory.mktemp("forms"), ((lived(form), frozenset[int]()) for form in FORMS))


@pytest.mark.wide
@pytest.mark.parametrize("number", range(len(FORMS)), ids=lambda number: FORMS[number].name[:60])
def test_both_say_what_the_page_says(number: int, judged: Judged) -> None:
    (found, said), form = judged, FORMS[number]
    for path in found[number]:
        assert (failures(path) == []) == form.sound, form.name
        assert (said[path] == "verified") == form.sound, (form.name, said[path])


BY_SHELL = (
    "kind=",
    "facts={'parts'",
    "counter",
    "recipients=AB",
    "idr=1",
    "duration_ns=-1",
    "bound_ms=-1",
    "source=gps",
)
"""The script looks at fewer keys; where it does, it says the same."""


@pytest.mark.wide
@pytest.mark.parametrize(
    "form",
    [f for f in FORMS if f.kind in ("media", "event") and any(w in f.name for w in BY_SHELL)],
    ids=lambda form: form.name[:60],
)
def test_the_script_says_so_too(form: Form, tmp_path: Path) -> None:
    root = agency().write_trust(tmp_path)[0]
    paths = sorted(lived(form).write(tmp_path / "seg"), key=lambda path: path.name[1:])
    done = run(*paths, "--trust", root)
    assert (done.returncode == 0) == form.sound, done.stdout

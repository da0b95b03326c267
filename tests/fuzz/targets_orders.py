"""Target: what the dock brings besides receipts: orders of the agency, the signed time."""

from __future__ import annotations

import contextlib
import json
import random

from agent.errors import EvidenceError
from agent.formats import note, order, signedtime
from agent.formats.order import ALL_CAMERAS, Assignment, Configuration, Order, Tag, Tags
from agent.formats.signedtime import SignedTime
from tests.fuzz.engine import Target, demand
from tests.fuzz.keys import CAMERA, RECEIPT_KEY, ed25519
from tests.fuzz.mutate import havoc, number

CONFIG_KEY = ed25519("config")
CONFIG, STATION = "config.test", "station.test"


def run_order(data: bytes) -> None:
    """EvidenceError or one order for this camera, in one spelling, all of it fit for a terminal and for an event."""
    with contextlib.suppress(EvidenceError):
        text = note.parse(data).text
        with contextlib.suppress(EvidenceError):
            demand(order.parse(text).text() == text, "an order has two spellings")
        with contextlib.suppress(EvidenceError):
            demand(signedtime.parse(text).text() == text, "a signed time has two spellings")
    with contextlib.suppress(EvidenceError):
        found = order.check(data, CONFIG, CONFIG_KEY.public_key(), CAMERA)
        demand(found.camera in (CAMERA, ALL_CAMERAS), "an order for another camera was taken")
        demand(note.parse(data).to_bytes() == data, "a signed order has two spellings")
        _check_body(found.body)
    with contextlib.suppress(EvidenceError):
        told = signedtime.check(data, STATION, RECEIPT_KEY.public_key(), CAMERA, "0f" * 32)
        demand((told.camera, told.nonce) == (CAMERA, "0f" * 32), "the time was told to another camera")
        demand(0 <= told.utc_ns < 1 << 63, "a time that no clock has")


def _check_body(body: order.Body) -> None:
    match body:
        case Assignment():
            words = [word for word in (body.officer, body.unit, body.shift) if word is not None]
        case Tags():
            words = [word for tag in body.tags for word in (tag.id, tag.ar, tag.fr, tag.en)]
            demand(len({tag.id for tag in body.tags}) == len(body.tags), "a tag stands twice")
        case Configuration():
            words = []
    demand(all(word.isprintable() and word for word in words), "a word of an order can steer a terminal")


def mutate_order(data: bytes, rng: random.Random, other: bytes) -> bytes:
    """Lines, and the body in its base64; mostly signed again by the key that belongs there."""
    if rng.random() < 0.2:
        return havoc(data, rng, other)
    lines = (data.decode("utf-8", "replace").rpartition("\n\n")[0] + "\n").split("\n")
    at = rng.randrange(len(lines))
    word, _, value = lines[at].partition(" ")
    if word == "body":
        lines[at] = f"body {note.b64(_change_body(value, rng))}"
    elif word in ("number", "issued", "expires", "utc", "bound") and rng.random() < 0.7:
        lines[at] = f"{word} {rng.choice((number(rng), 0, 1, (1 << 53) - 1, 1 << 53, (1 << 63) - 1, 'unknown'))}"
    elif word == "kind":
        lines[at] = f"kind {rng.choice(('assignment', 'configuration', 'tags', 'x'))}"
    elif word == "camera":
        lines[at] = f"camera {rng.choice((CAMERA, ALL_CAMERAS, 'cam-2', '../x'))}"
    else:
        lines = havoc("\n".join(lines).encode(), rng).decode("utf-8", "replace").split("\n")
    text = "\n".join(lines)
    name, key = rng.choice(((CONFIG, CONFIG_KEY), (CONFIG, CONFIG_KEY), (STATION, RECEIPT_KEY), (CONFIG, RECEIPT_KEY)))
    if text.startswith(signedtime.MAGIC) and rng.random() < 0.9:
        name, key = STATION, RECEIPT_KEY
    return note.Note(text, (note.sign_ed25519(text, name, key),)).to_bytes()


def _change_body(coded: str, rng: random.Random) -> bytes:
    try:
        body = note.unb64(coded)
        value = json.loads(body)
    except (EvidenceError, ValueError, RecursionError):
        return havoc(coded.encode(), rng)
    if not isinstance(value, dict) or not value or rng.random() < 0.3:
        return havoc(body, rng)
    key = rng.choice(sorted(value))
    odd = (None, "", "x", " x", "x\x1b", "x" * 101, 0, -1, 1.5, True, [], {}, number(rng), "é")
    if isinstance(value[key], list) and value[key] and rng.random() < 0.7:
        tags = value[key]
        spot = rng.randrange(len(tags))
        if isinstance(tags[spot], dict) and tags[spot] and rng.random() < 0.6:
            tags[spot][rng.choice(sorted(tags[spot]))] = rng.choice(odd)
        else:
            tags[spot:spot] = rng.choice(([tags[spot]], tags * 40, [5], [{}]))
            # What was changed is changed again: without a bound it outgrows the memory of a run.
            del tags[100:]
    else:
        value[rng.choice((key, "more"))] = rng.choice(odd)
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii")
    except (ValueError, TypeError):
        return havoc(body, rng)


def seeds_order() -> dict[str, bytes]:
    tags = Tags((Tag("arrest", "توقيف", "arrestation", "arrest"), Tag("traffic", "مرور", "circulation", "traffic")))
    made = {
        "assignment": Order(CAMERA, 1, 1_780_000_000, 1_780_086_400, Assignment("4711", "Traffic 2", None, 5)),
        "nobody": Order(CAMERA, 2, 1_780_000_000, 0, Assignment(None, None, None)),
        "configuration": Order(CAMERA, 3, 1_780_000_000, 0, Configuration("[camera]\n")),
        "tags": Order(ALL_CAMERAS, 4, 1_780_000_000, 0, tags),
        "other": Order("cam-2", 4, 1_780_000_000, 0, Configuration("")),
    }
    times = {
        "time": SignedTime(STATION, CAMERA, "0f" * 32, 1_780_000_000_000_000_000, 3),
        "time-unknown": SignedTime(STATION, CAMERA, "0f" * 32, 1_780_000_000_000_000_000, None),
        "time-other": SignedTime(STATION, "cam-2", "00" * 32, 0, 0),
    }
    signed = {name: order.sign(one, CONFIG, CONFIG_KEY) for name, one in made.items()}
    return signed | {name: signedtime.sign(one, RECEIPT_KEY) for name, one in times.items()}


TARGETS = (Target("order", run_order, mutate_order, seeds_order, share=60),)

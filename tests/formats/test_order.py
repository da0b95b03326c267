"""Orders and the signed time: one spelling, one key, one camera, and nothing that steers a terminal."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.errors import EvidenceError
from agent.formats import note, order, signedtime
from agent.formats.order import ALL_CAMERAS, Assignment, Configuration, Kind, Order, Tag, Tags
from agent.formats.signedtime import SignedTime

KEY, OTHER = Ed25519PrivateKey.from_private_bytes(bytes(32)), Ed25519PrivateKey.from_private_bytes(b"\1" * 32)
NAME, CAMERA = "config.test", "cam-0001"
WORN = Assignment("no. 4711", "Traffic 2", "early", 1_780_030_000)
LIST = Tags((Tag("arrest", "توقيف", "arrestation", "arrest"), Tag("traffic-2", "مرور", "circulation", "traffic")))
ORDERS = (
    Order(CAMERA, 1, 1_780_000_000, 1_780_086_400, WORN),
    Order(CAMERA, 7, 1_780_000_000, 0, Assignment(None, None, None)),
    Order(CAMERA, order.MAX_NUMBER, 0, 0, Configuration("[camera]\nid = 'é'\n")),
    Order(ALL_CAMERAS, 2, 1, 0, LIST),
)
TOLD = SignedTime("station.test", CAMERA, "0f" * 32, 1_780_000_000_123_456_789, 12)


def signed(text: str, key: Ed25519PrivateKey = KEY, name: str = NAME) -> bytes:
    return note.Note(text, (note.sign_ed25519(text, name, key),)).to_bytes()


@pytest.mark.parametrize("made", ORDERS, ids=lambda made: made.kind.value)
def test_an_order_comes_back_as_it_was_signed(made: Order) -> None:
    assert order.check(order.sign(made, NAME, KEY), NAME, KEY.public_key(), CAMERA) == made


def test_an_order_is_for_one_camera_and_tags_for_all() -> None:
    data = order.sign(ORDERS[0], NAME, KEY)
    with pytest.raises(EvidenceError, match="for camera cam-0001, not for cam-0002"):
        order.check(data, NAME, KEY.public_key(), "cam-0002")
    assert order.check(order.sign(ORDERS[3], NAME, KEY), NAME, KEY.public_key(), "cam-0002") == ORDERS[3]
    with pytest.raises(EvidenceError, match="not a camera name"):
        order.sign(replace(ORDERS[0], camera=ALL_CAMERAS), NAME, KEY)


@pytest.mark.parametrize("key, name", [(OTHER, NAME), (KEY, "config.other")])
def test_another_key_or_name_is_refused(key: Ed25519PrivateKey, name: str) -> None:
    with pytest.raises(EvidenceError, match=r"no signature of config\.test by the expected key"):
        order.check(order.sign(ORDERS[0], name, key), NAME, KEY.public_key(), CAMERA)


def test_a_changed_byte_anywhere_is_refused() -> None:
    data = order.sign(ORDERS[0], NAME, KEY)
    for at in range(len(data)):
        changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
        with pytest.raises(EvidenceError):
            order.check(changed, NAME, KEY.public_key(), CAMERA)


def test_one_that_is_too_long_is_not_read() -> None:
    with pytest.raises(EvidenceError):
        order.sign(Order(CAMERA, 1, 0, 0, Configuration("x" * order.MAX_ORDER)), NAME, KEY)
    with pytest.raises(EvidenceError, match="longer than"):
        order.check(b"x" * (order.MAX_ORDER + 1), NAME, KEY.public_key(), CAMERA)


@pytest.mark.parametrize(
    "before, after",
    [
        ("kind assignment", "kind deletion"),
        ("kind assignment", "kind tags"),
        ("number 1", "number 0"),
        ("number 1", "number 01"),
        ("number 1", "number 9007199254740992"),
        ("expires ", "expires -"),
        ("camera cam-0001", "camera ../../etc"),
        ("bodycam-order/v1", "bodycam-order/v2"),
        ("issued", "made"),
        ("\nbody ", "\nmore x\nbody "),
    ],
)
def test_other_spellings_are_refused(before: str, after: str) -> None:
    text = ORDERS[0].text()
    assert before in text
    with pytest.raises(EvidenceError):
        order.check(signed(text.replace(before, after)), NAME, KEY.public_key(), CAMERA)


@pytest.mark.parametrize(
    "body",
    [
        b"[]", b"{}", b"{" * 20_000, b'{"officer":1,"shift":null,"unit":null,"until":0}', b"\xff",
        b'{"officer":"x","shift":null,"unit":null,"until":-1}',
        b'{"officer":"\\u001b[2J","shift":null,"unit":null,"until":0}',
        b'{"officer": "x","shift":null,"unit":null,"until":0}',
        b'{"officer":"x","shift":null,"unit":null,"until":true}',
        b'{"more":1,"officer":"x","shift":null,"unit":null,"until":0}',
    ],
)  # fmt: skip
def test_a_body_is_read_strictly(body: bytes) -> None:
    text = ORDERS[0].text().rsplit("body ", 1)[0] + f"body {note.b64(body)}\n"
    with pytest.raises(EvidenceError):
        order.parse(text)


@pytest.mark.parametrize(
    "tags",
    [
        (),
        (Tag("a", "x", "x", "x"),) * 2,
        (Tag("A b", "x", "x", "x"),),
        (Tag("a", "", "x", "x"),),
        (Tag("a", "x", " x", "x"),),
        (Tag("a", "x", "x", "x\x1b[2J"),),
        (Tag("a", "x", "x", "x" * 101),),
        tuple(Tag(f"t{n}", "x", "x", "x") for n in range(order.MAX_TAGS + 1)),
    ],
)
def test_a_list_of_tags_is_short_printable_and_has_each_once(tags: tuple[Tag, ...]) -> None:
    with pytest.raises(EvidenceError):
        order.sign(Order(ALL_CAMERAS, 1, 0, 0, Tags(tags)), NAME, KEY)


def test_every_kind_has_a_body() -> None:
    assert {made.kind for made in ORDERS} == set(Kind) == set(order.KINDS.values())


def check_time(data: bytes, camera: str = CAMERA, nonce: str = TOLD.nonce) -> SignedTime:
    return signedtime.check(data, TOLD.station, KEY.public_key(), camera, nonce)


def test_a_signed_time_answers_one_nonce_of_one_camera() -> None:
    data = signedtime.sign(TOLD, KEY)
    assert check_time(data) == TOLD
    unvouched = replace(TOLD, bound_ms=None)
    assert check_time(signedtime.sign(unvouched, KEY)) == unvouched
    with pytest.raises(EvidenceError, match="another question"):
        check_time(data, nonce="00" * 32)
    with pytest.raises(EvidenceError, match="for cam-0001 by"):
        check_time(data, camera="cam-0002")
    with pytest.raises(EvidenceError, match="no signature"):
        check_time(signedtime.sign(TOLD, OTHER))
    with pytest.raises(EvidenceError, match="longer than"):
        check_time(data + b"x" * signedtime.MAX_TIME)


@pytest.mark.parametrize(
    "before, after",
    [
        ("utc 1", "utc -1"),
        ("utc 1780000000123456789", "utc 9223372036854775808"),
        ("bound 12", "bound 012"),
        ("bound 12", "bound never"),
        ("nonce 0f", "nonce 0F"),
        ("bodycam-time/v1", "bodycam-order/v1"),
        ("utc ", "more x\nutc "),
    ],
)
def test_a_signed_time_has_one_spelling(before: str, after: str) -> None:
    text = TOLD.text()
    assert before in text
    with pytest.raises(EvidenceError):
        check_time(signed(text.replace(before, after), KEY, TOLD.station))


def test_no_receipt_is_taken_for_a_time_nor_an_order_for_either() -> None:
    with pytest.raises(EvidenceError, match="not a signed time"):
        check_time(signed(ORDERS[0].text(), KEY, TOLD.station))
    with pytest.raises(EvidenceError, match="not an order"):
        order.check(signed(TOLD.text()), NAME, KEY.public_key(), CAMERA)

"""What stands on the card beside an order is no signature: the record of what was taken, edited by hand."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.errors import EvidenceError
from agent.formats import note, order
from agent.formats.order import ALL_CAMERAS, Assignment, Body, Configuration, Kind, Order, Tag, Tags
from agent.ordernumbers import Highest
from agent.orders import Book, Orders
from tests.camera_kit import CAMERA

NAME = "config.agency"
NOW_S = 1_800_000_000
LIST = Tags((Tag("arrest", "توقيف", "arrestation", "arrest"),))


class Card:
    """A camera's orders on a card that anybody may have edited; `installed` is what root was asked to put in place."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.key, self.retired = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
        self.installed: list[str] = []

    def signed(self, key: Ed25519PrivateKey, body: Body, number: int = 5) -> bytes:
        camera = ALL_CAMERAS if isinstance(body, Tags) else CAMERA
        return order.sign(Order(camera, number, NOW_S - 10, 0, body), NAME, key)

    def edit(self, kind: Kind, data: bytes) -> None:
        """As if this note had been taken."""
        taken = {"number": 5, "sha256": hashlib.sha256(data).hexdigest(), "issued_s": 1, "text_sha256": None}
        (self.directory / "taken.json").write_text(json.dumps({"v": 1, kind.value: taken}))

    def start(self, key: Ed25519PrivateKey | None = None) -> Orders:
        keys = note.parse_vkeys(note.vkey(NAME, note.ED25519, (key or self.key).public_key()))
        return Orders(CAMERA, keys, Book(self.directory), lambda _: None, self._install, lambda *_: None)

    def _install(self, body: Configuration, came: Highest) -> str:
        self.installed.append(body.toml)
        return "0" * 64


@pytest.fixture
def card(tmp_path: Path) -> Card:
    return Card(tmp_path)


@pytest.mark.parametrize("kind", list(Kind))
def test_no_digest_on_the_card_stands_for_the_signature_of_a_configuration(card: Card, kind: Kind) -> None:
    data = card.signed(Ed25519PrivateKey.generate(), Configuration("the attacker's recipients"))
    card.edit(kind, data)
    with pytest.raises(EvidenceError):
        card.start().accept(data, NOW_S)
    assert card.installed == []


def test_a_digest_of_one_kind_is_none_of_another(card: Card) -> None:
    data = card.signed(Ed25519PrivateKey.generate(), Assignment("no. 1", None, None, 0))
    card.edit(Kind.TAGS, data)
    with pytest.raises(EvidenceError):
        card.start().accept(data, NOW_S)


def test_what_was_taken_is_known_again_after_its_key_was_retired(card: Card) -> None:
    worn = card.signed(card.retired, Assignment("no. 4711", None, None, 0))
    assert card.start(card.retired).accept(worn, NOW_S)
    after = card.start()
    assert after.accept(worn, NOW_S) is None
    assert after.assignment and after.assignment.officer == "no. 4711"
    listed = card.signed(card.retired, LIST)
    assert card.start(card.retired).accept(listed, NOW_S)
    assert card.start().tags == LIST.tags


@pytest.mark.parametrize("data", [b"junk", b"", b"\xff\n\n", b"a text\n\nno signature\n"])
def test_kept_tags_that_are_none_keep_nothing_else_from_starting(card: Card, data: bytes) -> None:
    """An agent of a later version may read more strictly, too: the list comes again at the dock."""
    card.edit(Kind.TAGS, data)
    (card.directory / "tags.note").write_bytes(data)
    made = card.start()
    assert made.tags == ()
    listed = card.signed(card.key, LIST, number=6)
    assert made.accept(listed, NOW_S)
    assert made.tags == LIST.tags

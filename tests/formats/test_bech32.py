"""Bech32: the vectors of BIP 173, and one spelling for each value."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.formats import bech32

VALID = {
    "A12UEL5L": ("a", b""),
    "a12uel5l": ("a", b""),
    "abcdef1qpzry9x8gf2tvdw0s3jn54khce6mua7lmqqqxw": (
        "abcdef",
        bytes.fromhex("00443214c74254b635cf84653a56d7c675be77df"),
    ),
    "split1checkupstagehandshakeupstreamerranterredcaperred2y9e3w": (
        "split",
        bytes.fromhex("c5f38b70305f519bf66d85fb6cf03058f3dde463ecd7918f2dc743918f2d"),
    ),
}
INVALID = ["pzry9x0s0muk", "1pzry9x0s0muk", "x1b4n0q5v", "li1dgmt3", "A1G7SGD8", "10a06t8", "1qzzfhee", "a12UEL5L"]


def with_groups(groups: list[int]) -> str:
    """A text with a right checksum over any 5-bit groups, also such as encode never writes."""
    mask = bech32._checksum(bech32._spread("age") + groups + [0] * 6) ^ 1
    tail = groups + [mask >> 5 * (5 - i) & 31 for i in range(6)]
    return "age1" + "".join(bech32._ALPHABET[group] for group in tail)


@pytest.mark.parametrize("text", VALID)
def test_valid(text: str) -> None:
    assert bech32.decode(text) == VALID[text]
    assert bech32.encode(*VALID[text]) == text.lower()


@pytest.mark.parametrize("text", INVALID)
def test_invalid(text: str) -> None:
    with pytest.raises(ValueError):
        bech32.decode(text)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_round_trip(data: bytes) -> None:
    assert bech32.decode(bech32.encode("age", data)) == ("age", data)
    assert bech32.decode(bech32.encode("age", data).upper()) == ("age", data)


@pytest.mark.parametrize("groups", [[0, 1], [0, 3], [0, 0, 0], [31], [0]])
def test_padding_has_one_spelling(groups: list[int]) -> None:
    with pytest.raises(ValueError, match="padding"):
        bech32.decode(with_groups(groups))
    assert bech32.decode(with_groups([0, 0])) == ("age", b"\0")

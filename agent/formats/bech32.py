"""Bech32 (BIP 173) as age uses it: no limit on the length, and text that is all upper or all lower case.

The checksum catches typing errors; it is no authentication.
"""

from __future__ import annotations

_ALPHABET = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_VALUE = {char: value for value, char in enumerate(_ALPHABET)}
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_CHECKSUM_CHARS = 6


def encode(prefix: str, data: bytes) -> str:
    """Lower-case text `prefix 1 data checksum`; `prefix` is lower case."""
    values = _regroup(data, 8, 5, pad=True)
    mask = _checksum(_spread(prefix) + values + [0] * _CHECKSUM_CHARS) ^ 1
    values += [mask >> 5 * (_CHECKSUM_CHARS - 1 - i) & 31 for i in range(_CHECKSUM_CHARS)]
    return prefix + "1" + "".join(_ALPHABET[value] for value in values)


def decode(text: str) -> tuple[str, bytes]:
    """(lower-case prefix, data) of `text`. Raises ValueError on anything encode, or its upper case, would not write."""
    if text != text.lower() and text != text.upper():
        raise ValueError("mixed upper and lower case")
    prefix, one, tail = text.lower().rpartition("1")
    if not one or not prefix or not all(0x21 <= ord(char) <= 0x7E for char in prefix):
        raise ValueError("no valid prefix before a 1")
    if len(tail) < _CHECKSUM_CHARS or not all(char in _VALUE for char in tail):
        raise ValueError("a character that Bech32 does not use, or too few of them")
    values = [_VALUE[char] for char in tail]
    if _checksum(_spread(prefix) + values) != 1:
        raise ValueError("the checksum is wrong: a typing error")
    return prefix, bytes(_regroup(values[:-_CHECKSUM_CHARS], 5, 8, pad=False))


def _spread(prefix: str) -> list[int]:
    codes = [ord(char) for char in prefix]
    return [code >> 5 for code in codes] + [0] + [code & 31 for code in codes]


def _checksum(values: list[int]) -> int:
    state = 1
    for value in values:
        top = state >> 25
        state = (state & 0x1FFFFFF) << 5 ^ value
        for bit, term in enumerate(_GENERATOR):
            if top >> bit & 1:
                state ^= term
    return state


def _regroup(values: bytes | list[int], have: int, want: int, *, pad: bool) -> list[int]:
    """Cut a string of `have`-bit values into `want`-bit ones; without `pad`, what is left over must be
    short and zero.
    """
    held, bits, out = 0, 0, []
    for value in values:
        held, bits = (held << have | value) & 0xFFF, bits + have
        while bits >= want:
            bits -= want
            out.append(held >> bits & (1 << want) - 1)
    left = held & (1 << bits) - 1
    if pad:
        return [*out, left << want - bits] if bits else out
    if bits >= have or left:
        raise ValueError("padding that is not zero")
    return out

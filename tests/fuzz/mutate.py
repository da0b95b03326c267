"""Changes to bytes, numbers, lines and JSON that know nothing of a format."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, MutableMapping, MutableSequence
from typing import Any

MAX_BYTES = 1 << 17
INTERESTING = (0, 1, -1, 2, 7, 8, 15, 16, 31, 32, 63, 64, 65, 127, 128, 255, 256, 511, 512, 513, 1023, 1024, 4095, 4096,
               65535, 65536, 1 << 31, (1 << 32) - 1, 1 << 32, (1 << 62) - 1, 1 << 62, (1 << 63) - 1, 1 << 63, 10**18,
               10**19, 10**20, 8**11 - 1)  # fmt: skip
WORDS = (
    b"\n",
    b"\n\n",
    b"\r",
    b"\0",
    b" ",
    b"\xe2\x80\x94 ",
    b"-> ",
    b"--- ",
    b"=",
    b"==",
    b"+",
    b"/",
    b"..",
    b"\xc2\x9b31m",
    b"\x1b[2J",
    b"\xe2\x80\xae",
    b"\xef\xbb\xbf",
    b"\xff",
    b"\x80",
    b"null",
    b"true",
    b"[]",
    b"{}",
    b"-0",
    b"1e9",
    b"1.5",
    b"NaN",
    b"00",
    b'"',
    b"\\u0000",
    b"\\ud800",
    b"[" * 1000,
    b"9" * 5000,
    b"ustar\x0000",
    bytes(512),
    b"segment ",
    b"certificate ",
    b"checkpoint ",
    b"age-encryption.org/v1\n",
    b"X25519",
    b"mlkem768x25519",
)

Op = Callable[[bytearray, random.Random, bytes], None]


def _flip(data: bytearray, rng: random.Random, other: bytes) -> None:
    if data:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def _set(data: bytearray, rng: random.Random, other: bytes) -> None:
    if data:
        data[rng.randrange(len(data))] = rng.choice((rng.choice(b"\0\n -0/+=\x7f\xff"), rng.randrange(256)))


def _cut(data: bytearray, rng: random.Random, other: bytes) -> None:
    at = _place(data, rng)
    del data[at : at + _length(rng)]


def _end(data: bytearray, rng: random.Random, other: bytes) -> None:
    del data[_place(data, rng) :]


def _repeat(data: bytearray, rng: random.Random, other: bytes) -> None:
    at, length = _place(data, rng), _length(rng)
    to = _place(data, rng)
    data[to:to] = data[at : at + length] * rng.choice((1, 1, 1, 2, 20))


def _word(data: bytearray, rng: random.Random, other: bytes) -> None:
    at, word = _place(data, rng), rng.choice(WORDS)
    data[at : at + rng.choice((0, 1, len(word)))] = word


def _splice(data: bytearray, rng: random.Random, other: bytes) -> None:
    at, length, start = _place(data, rng), _length(rng), _place(other, rng)
    data[at : at + rng.choice((0, length))] = other[start : start + length]


def _digits(data: bytearray, rng: random.Random, other: bytes) -> None:
    found = list(re.finditer(rb"[0-9]{1,20}", data))
    if found:
        hit = rng.choice(found)
        data[hit.start() : hit.end()] = str(number(rng, int(hit[0]))).encode()


def _lines(data: bytearray, rng: random.Random, other: bytes) -> None:
    lines = bytes(data).split(b"\n")
    one, two = rng.randrange(len(lines)), rng.randrange(len(lines))
    match rng.randrange(4):
        case 0:
            lines[one], lines[two] = lines[two], lines[one]
        case 1:
            del lines[one]
        case 2:
            lines.insert(one, lines[two])
        case _:
            lines[one] = rng.choice(other.split(b"\n"))
    data[:] = b"\n".join(lines)


def _blocks(data: bytearray, rng: random.Random, other: bytes) -> None:
    count = len(data) // 512
    if count:
        one, two = rng.randrange(count) * 512, rng.randrange(count) * 512
        match rng.randrange(3):
            case 0:
                data[one : one + 512] = bytes(512)
            case 1:
                del data[one : one + 512]
            case _:
                data[one : one + 512], data[two : two + 512] = data[two : two + 512], data[one : one + 512]


OPS: tuple[Op, ...] = (_flip, _set, _cut, _end, _repeat, _word, _splice, _digits, _lines, _blocks)


def havoc(data: bytes, rng: random.Random, other: bytes = b"") -> bytes:
    """A few changes one after the other, seldom many."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 5, 12))):
        rng.choice(OPS)(changed, rng, other)
    return bytes(changed[:MAX_BYTES])


def number(rng: random.Random, near: int = 0) -> int:
    return rng.choice(
        (rng.choice(INTERESTING), near + rng.choice((-2, -1, 1, 2)), near * 2, -near, rng.getrandbits(70))
    )


def _place(data: bytes | bytearray, rng: random.Random) -> int:
    return rng.randrange(len(data) + 1)


def _length(rng: random.Random) -> int:
    return rng.choice((1, 1, 2, 3, 4, 8, 16, 32, rng.randrange(1, 64), rng.randrange(1, 2048)))


# -- JSON ----------------------------------------------------------------------------------------------------------

Holder = MutableMapping[str, Any] | MutableSequence[Any]


def change_json(value: Any, rng: random.Random) -> Any:
    """The same value, changed in place somewhere inside it: another value, a key gone, renamed, moved."""
    spots = list(_spots(value))
    if not spots:
        return scalar(rng)
    holder, key = rng.choice(spots)
    match rng.randrange(7):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, MutableMapping):
            holder[rng.choice((key + "x", "v", "", "é", key[:-1]))] = holder.pop(key)
        case 2:
            other, there = rng.choice(spots)
            if _has(holder, key) and _has(other, there):
                holder[key] = other[there]
        case 3 if type(holder[key]) is int:
            holder[key] = number(rng, holder[key])
        case 4 if isinstance(holder[key], str):
            holder[key] = havoc(holder[key].encode(), rng).decode("utf-8", "replace")
        case 5:
            holder[key] = [holder[key]]
        case _:
            holder[key] = scalar(rng)
    return value


def scalar(rng: random.Random) -> Any:
    return rng.choice(
        (None, True, False, "", "x" * 40, [], {}, [[]], {"v": 1}, 1.5, -0.0, number(rng), str(number(rng)))
    )


def json_line(value: Any, rng: random.Random) -> bytes:
    """As our writers spell it, sometimes otherwise."""
    separators = rng.choice(((",", ":"), (",", ":"), (",", ":"), (", ", ": ")))
    try:
        return json.dumps(value, separators=separators).encode("ascii") + b"\n"
    except (ValueError, RecursionError):
        return b"{}\n"


def _has(holder: Holder, key: Any) -> bool:
    return key in holder if isinstance(holder, MutableMapping) else key < len(holder)


def _spots(value: Any) -> list[tuple[Any, Any]]:
    found: list[tuple[Any, Any]] = []
    stack = [value]
    while stack and len(found) < 500:
        here = stack.pop()
        inside: list[tuple[Any, Any]] = []
        if isinstance(here, dict):
            inside = list(here.items())
        elif isinstance(here, list):
            inside = list(enumerate(here))
        found += [(here, key) for key, _ in inside]
        stack += [child for _, child in inside]
    return found

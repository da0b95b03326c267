"""Two shapes that several formats have, taken apart whatever their state and put together with right lengths: DER, and
archives of named members.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from agent.formats import pack
from tests.fuzz.mutate import havoc

# -- DER -----------------------------------------------------------------------------------------------------------


@dataclass
class Node:
    """One DER value: the bytes inside, or the values inside."""

    tag: int
    content: bytes = b""
    inner: list[Node] | None = None
    lead: bytes = b""
    """Bytes of the content before the values inside it: the count of unused bits of a BIT STRING."""

    def to_bytes(self) -> bytes:
        content = self.content if self.inner is None else self.lead + b"".join(n.to_bytes() for n in self.inner)
        return bytes([self.tag]) + der_length(len(content)) + content

    def all(self) -> list[Node]:
        return [self, *(n for child in self.inner or [] for n in child.all())]


def der_length(size: int) -> bytes:
    if size < 128:
        return bytes([size])
    wide = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([128 + len(wide)]) + wide


def parse_der(data: bytes, depth: int = 0) -> list[Node] | None:
    """The values side by side in `data`; None where it is no DER."""
    nodes, at = [], 0
    while at < len(data):
        if at + 2 > len(data) or data[at] & 0x1F == 0x1F or depth > 12:
            return None
        tag, size, at = data[at], data[at + 1], at + 2
        if size >= 128:
            wide = size - 128
            size, at = int.from_bytes(data[at : at + wide], "big"), at + wide
            if not 1 <= wide <= 3:
                return None
        if at + size > len(data):
            return None
        nodes.append(_node(tag, data[at : at + size], depth))
        at += size
    return nodes


def _node(tag: int, content: bytes, depth: int) -> Node:
    lead = 1 if tag == 0x03 and content[:1] == b"\0" else 0
    if tag & 0x20 or tag in (0x03, 0x04):
        inner = parse_der(content[lead:], depth + 1)
        if inner:
            return Node(tag, b"", inner, content[:lead])
    return Node(tag, content)


TAGS = bytes.fromhex("01 02 03 04 05 06 0c 13 14 16 17 18 1c 1e 30 31 80 82 a0 a1 a3 a4")


def change_der(top: Node, rng: random.Random, other: Node | None = None) -> None:
    """One change somewhere below `top`, in place."""
    nodes = top.all()
    node = rng.choice(nodes)
    match rng.randrange(7):
        case 0:
            node.tag = rng.choice(TAGS)
        case 1 if node.inner:
            del node.inner[rng.randrange(len(node.inner))]
        case 2 if node.inner:
            node.inner.insert(rng.randrange(len(node.inner) + 1), rng.choice(node.inner))
        case 3 if node.inner and len(node.inner) > 1:
            rng.shuffle(node.inner)
        case 4 if other is not None:
            taken = rng.choice(other.all())
            node.tag, node.content, node.inner, node.lead = taken.tag, taken.content, taken.inner, taken.lead
        case 5:
            node.tag, node.inner, node.content = 0x30, [Node(node.tag, node.content, node.inner, node.lead)], b""
            node.lead = b""
        case _ if node.inner is None:
            node.content = havoc(node.content, rng)
        case _:
            node.inner = []


# -- archives ------------------------------------------------------------------------------------------------------

Member = tuple[str, bytes]


def split_archive(data: bytes) -> list[Member]:
    """The members as far as their headers give names and sizes; checksums and padding are not looked at."""
    members, at = [], 0
    while at + pack.BLOCK <= len(data):
        block = data[at : at + pack.BLOCK]
        try:
            name, size = block[:100].rstrip(b"\0").decode("ascii"), int(block[124:135], 8)
        except (ValueError, UnicodeError):
            break
        if not name or size < 0:
            break
        members.append((name, data[at + pack.BLOCK : at + pack.BLOCK + size]))
        at += pack.BLOCK + size + -size % pack.BLOCK
    return members


def join_archive(members: list[Member], trailer: bytes = pack.TRAILER) -> bytes:
    """With sizes, checksums and padding as they must be."""
    return b"".join(pack.member(name[:99] or "x", content) for name, content in members) + trailer


def change_members(members: list[Member], rng: random.Random, other: list[Member]) -> list[Member]:
    """Swapped, left out, put in twice, renamed, or taken from another archive."""
    members = list(members)
    if not members:
        return list(other)
    one, two = rng.randrange(len(members)), rng.randrange(len(members))
    match rng.randrange(6):
        case 0:
            members[one], members[two] = members[two], members[one]
        case 1:
            del members[one]
        case 2:
            members.insert(two, members[one])
        case 3:
            members[one] = (members[two][0], members[one][1])
        case 4:
            members[one] = (_name(members[one][0], rng), members[one][1])
        case _ if other:
            members.insert(one, rng.choice(other))
    return members


def _name(name: str, rng: random.Random) -> str:
    return havoc(name.encode(), rng).decode("ascii", "ignore").replace("\0", "")[:99] or "x"

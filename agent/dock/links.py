"""Network interfaces as the kernel tells of them to anybody: carrier from sysfs, addresses from rtnetlink(7). The
only file that asks.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

SYS_NET = Path("/sys/class/net")
_RTM_NEWADDR, _RTM_GETADDR, _NLMSG_ERROR, _NLMSG_DONE = 20, 22, 2, 3
_REQUEST_DUMP = 0x301
_IFA_ADDRESS, _IFA_LOCAL = 1, 2
_UNUSABLE = 0x08 | 0x40
"""IFA_F_DADFAILED, IFA_F_TENTATIVE (linux/if_addr.h): nobody may be spoken to from there."""
_SCOPE_LINK = 253
_ANSWER_S = 1.0
_READ_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Address:
    """One address of an interface, as text."""

    interface: str
    address: str


class Links(Protocol):
    """Asked a few times a second. What cannot be told is told as not there."""

    def carrier(self, interface: str) -> bool: ...

    def addresses(self) -> list[Address]:
        """Those that reach beyond the cable: neither of loopback nor link-local."""

    def interface_of(self, address: str) -> str:
        """The interface that has this address of ours; "" where none has."""


class KernelLinks:
    """Of this machine. Needs no privilege."""

    def __init__(self, sys_net: Path = SYS_NET) -> None:
        self._sys_net = sys_net

    def carrier(self, interface: str) -> bool:
        try:
            return (self._sys_net / interface / "carrier").read_text("ascii").strip() == "1"
        except (OSError, UnicodeDecodeError):
            # An interface that is down answers EINVAL.
            return False

    def addresses(self) -> list[Address]:
        return [a for a, scope in self._all() if scope < _SCOPE_LINK]

    def interface_of(self, address: str) -> str:
        plain = address.partition("%")[0]
        return next((a.interface for a, _ in self._all() if a.address == plain), "")

    def _all(self) -> list[tuple[Address, int]]:
        try:
            with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE) as ask:
                ask.settimeout(_ANSWER_S)
                # nlmsghdr and ifaddrmsg (netlink(7), rtnetlink(7)): all addresses of all families.
                ask.send(struct.pack("=IHHIIBBBBI", 24, _RTM_GETADDR, _REQUEST_DUMP, 1, 0, 0, 0, 0, 0, 0))
                return list(_read_addresses(ask))
        except OSError:
            return []


def _read_addresses(ask: socket.socket) -> Iterator[tuple[Address, int]]:
    while True:
        data = ask.recv(_READ_BYTES)
        while len(data) >= 16:
            length, kind = struct.unpack_from("=IH", data)
            if kind in (_NLMSG_DONE, _NLMSG_ERROR) or not 16 <= length <= len(data):
                return
            if kind == _RTM_NEWADDR:
                yield from parse_address(data[16:length])
            data = data[(length + 3) & ~3 :]


def parse_address(message: bytes) -> Iterator[tuple[Address, int]]:
    """(address, scope) of an RTM_NEWADDR message (rtnetlink(7)): none where it is not in use, or of another family."""
    if len(message) < 8:
        return
    family, _, flags, scope, index = struct.unpack_from("=BBBBI", message)
    found: dict[int, bytes] = {}
    rest = message[8:]
    while len(rest) >= 4:
        length, kind = struct.unpack_from("=HH", rest)
        if length < 4:
            break
        found[kind] = rest[4:length]
        rest = rest[(length + 3) & ~3 :]
    # IFA_ADDRESS is the other end of a point-to-point link, where IFA_LOCAL is this one.
    raw = found.get(_IFA_LOCAL, found.get(_IFA_ADDRESS, b""))
    if flags & _UNUSABLE or len(raw) != {socket.AF_INET: 4, socket.AF_INET6: 16}.get(family, -1):
        return
    with contextlib.suppress(OSError):
        yield Address(socket.if_indextoname(index), socket.inet_ntop(family, raw)), scope


class SyntheticLinks:
    """The twin: links as they are set."""

    def __init__(self) -> None:
        self.carriers: set[str] = set()
        self.known: list[Address] = []

    def carrier(self, interface: str) -> bool:
        return interface in self.carriers

    def addresses(self) -> list[Address]:
        return list(self.known)

    def interface_of(self, address: str) -> str:
        return next((a.interface for a in self.known if a.address == address), "")

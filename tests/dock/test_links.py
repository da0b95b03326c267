"""Carrier, addresses, power and heat, as the kernel tells of them and as the twins do."""

from __future__ import annotations

import socket
import struct
from pathlib import Path

import pytest

from agent.dock.links import Address, KernelLinks, Links, SyntheticLinks, parse_address
from agent.dock.policy import HeatPolicy
from agent.dock.presence import AnyPresence, LinkPresence, PowerPresence, SyntheticPresence
from agent.dock.station import HeldError
from agent.dock.wire import Unmetered


def kernel(tmp_path: Path) -> Links:
    return KernelLinks()


def twin(tmp_path: Path) -> Links:
    links = SyntheticLinks()
    links.known = [Address("lo", "127.0.0.1")]
    return links


@pytest.mark.parametrize("make", [kernel, twin])
def test_an_address_of_ours_leads_to_its_interface_and_another_to_none(tmp_path: Path, make) -> None:
    links = make(tmp_path)
    assert links.interface_of("127.0.0.1") == "lo"
    assert links.interface_of("192.0.2.1") == ""
    assert links.carrier("no-such-interface") is False


def test_loopback_does_not_reach_beyond_the_cable() -> None:
    assert "lo" not in {a.interface for a in KernelLinks().addresses()}
    assert all(a.address.count(".") == 3 or ":" in a.address for a in KernelLinks().addresses())


def test_carrier_is_what_sysfs_says_and_a_link_that_is_down_has_none(tmp_path: Path) -> None:
    for name, text in (("up", "1\n"), ("out", "0\n"), ("odd", "\xff")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "carrier").write_bytes(text.encode("latin-1"))
    (tmp_path / "down" / "carrier").mkdir(parents=True)
    links = KernelLinks(tmp_path)
    assert [links.carrier(name) for name in ("up", "out", "odd", "down", "gone")] == [True, False, False, False, False]


def message(flags: int = 0, family: int = socket.AF_INET, *parts: tuple[int, bytes]) -> bytes:
    """An ifaddrmsg for loopback, with attributes."""
    body = struct.pack("=BBBBI", family, 24, flags, 0, socket.if_nametoindex("lo"))
    for kind, raw in parts:
        body += struct.pack("=HH", 4 + len(raw), kind) + raw + bytes(-len(raw) % 4)
    return body


def test_an_address_is_read_from_its_message_and_one_that_is_not_in_use_is_none() -> None:
    local, peer = socket.inet_aton("192.0.2.1"), socket.inet_aton("192.0.2.2")
    assert list(parse_address(message(0, socket.AF_INET, (1, peer), (2, local)))) == [(Address("lo", "192.0.2.1"), 0)]
    six = socket.inet_pton(socket.AF_INET6, "2001:db8::1")
    assert list(parse_address(message(0, socket.AF_INET6, (1, six)))) == [(Address("lo", "2001:db8::1"), 0)]
    for unusable in (
        message(0x40, socket.AF_INET, (1, peer)),
        message(0x08, socket.AF_INET6, (1, six)),
        message(0, socket.AF_INET, (1, six)),
        message(0, socket.AF_PACKET, (1, peer)),
        message(0, socket.AF_INET),
        message(0, socket.AF_INET) + b"\x01\x00\x01\x00",
        b"",
    ):
        assert list(parse_address(unusable)) == []


def test_a_link_counts_with_carrier_and_address_on_an_interface_that_is_named() -> None:
    links = SyntheticLinks()
    docked = LinkPresence(links, ["eth*", "usb0"]).docked
    assert not docked()
    links.carriers = {"eth0", "wlan0"}
    assert not docked()
    links.known = [Address("wlan0", "192.0.2.7"), Address("usb0", "192.0.2.8")]
    assert not docked()
    links.known.append(Address("eth0", "192.0.2.9"))
    assert docked()
    links.carriers.remove("eth0")
    assert not docked()


def supply(root: Path, name: str, kind: str, online: str | None) -> None:
    (root / name).mkdir()
    (root / name / "type").write_text(f"{kind}\n")
    if online is not None:
        (root / name / "online").write_text(f"{online}\n")


def test_power_from_outside_is_not_the_battery(tmp_path: Path) -> None:
    assert not PowerPresence(tmp_path / "gone").docked()
    supply(tmp_path, "BAT0", "Battery", "1")
    supply(tmp_path, "usb", "USB", "0")
    supply(tmp_path, "odd", "Mains", None)
    assert not PowerPresence(tmp_path).docked()
    # 2: a charger whose voltage is agreed on.
    for online in (1, 2):
        (tmp_path / "usb" / "online").write_text(f"{online}\n")
        assert PowerPresence(tmp_path).docked()


def test_any_of_several_will_do() -> None:
    one, other = SyntheticPresence(), SyntheticPresence()
    both = AnyPresence([one, other])
    assert not both.docked()
    other.is_docked = True
    assert both.docked()


def test_heat_holds_until_it_is_five_degrees_cooler(tmp_path: Path) -> None:
    policy = HeatPolicy(80, tmp_path)
    assert policy.hold() == ""
    for name in ("thermal_zone0", "thermal_zone1"):
        (tmp_path / name).mkdir()
    cool, hot = (tmp_path / name / "temp" for name in ("thermal_zone0", "thermal_zone1"))
    cool.write_text("41000\n")
    told = []
    for celsius in ("80000", "80500", "77000", "74000", "nonsense"):
        hot.write_text(celsius)
        told.append(bool(policy.hold()))
    assert told == [False, True, True, False, False]
    hot.write_text("91234\n")
    assert policy.hold() == "too hot to send: 91 degrees Celsius, above 80"


def test_a_metered_way_is_not_taken() -> None:
    links = SyntheticLinks()
    links.known = [Address("wwan0", "127.0.0.1")]
    with socket.create_server(("127.0.0.1", 0)) as peer, socket.create_connection(peer.getsockname()) as sock:
        Unmetered(links, ["ppp*"]).check(sock)
        with pytest.raises(HeldError, match="metered: wwan0"):
            Unmetered(links, ["wwan*"]).check(sock)
        # Nobody can tell: it may be one that costs.
        links.known = []
        with pytest.raises(HeldError, match="may be metered"):
            Unmetered(links, ["wwan*"]).check(sock)
        Unmetered(links, []).check(sock)

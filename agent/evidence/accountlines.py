"""The accounts of a shift, in plain lines and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from agent.errors import printable
from agent.evidence.accounts import Off, Powered
from agent.evidence.ledger import CameraAccounts
from agent.evidence.tiling import Account, Doing
from agent.model import NS


def lines(cameras: Sequence[CameraAccounts]) -> Iterator[str]:
    """One line for each account, and the sums of each boot."""
    for camera in cameras:
        for powered in camera.boots:
            if powered.off is not None:
                yield f"off {_off(powered.off)}"
            yield from map(printable, _boot_lines(camera.camera, powered))
            yield ""


def _boot_lines(camera: str, powered: Powered) -> Iterator[str]:
    first, last = f"leaf {powered.first_leaf} of {powered.origins[0]}", f"leaf {powered.last_leaf}"
    last += f" of {powered.origins[-1]}" if len(powered.origins) > 1 else ""
    yield f"accounts of {camera}, boot {powered.boot}: kernel started {powered.when(0)}, {first} to {last}"
    for account in powered.accounts:
        yield f"  {_date(powered, account.begin_ns)}{account.length_ns / NS:>12.3f} s  {_what(account)}"
    yield f"  {_date(powered, powered.end_ns)}{'':>14}  {_end(powered)}"
    doubtful = sum(not powered.vouched(a.begin_ns) for a in powered.accounts)
    if doubtful:
        yield f"  ? the camera's own clock alone vouches for {doubtful} of these {len(powered.accounts)} dates"
    sums = ", ".join(f"{doing.value} {ns / NS:.3f} s" for doing, ns in powered.totals().items())
    yield f"  in all {powered.end_ns / NS:.3f} s: {sums or 'nothing'}"
    if not powered.unaccounted:
        yield "  every second is accounted for"
    for recording, pieces, leaf in powered.lost_pieces:
        yield f"  ! {pieces} pieces of half a second of {recording} are not kept, as its stop says (leaf {leaf})"
    if powered.sealed_events:
        sealed = f"{powered.sealed_events} events were not opened"
        yield f"  {sealed}: they say in which state the camera was, and why (-i KEYFILE)"


def _date(powered: Powered, at_ns: int) -> str:
    """With a mark in its last column where nobody but the camera vouches for it."""
    return powered.date(at_ns) + ("?" if powered.doubtful(at_ns) else " ")


def _what(account: Account) -> str:
    of = f" {account.recording}" if account.recording else ""
    by = f", by {account.actor}" if account.actor else ""
    how = "" if account.doing is Doing.UNKNOWN else f" ({account.sure.value})"
    return f"{account.doing.value}{of}: {account.reason}{by}{how}"


def _end(powered: Powered) -> str:
    if powered.lost:
        return "how it ended is not known: leaves after this are not here, or not proven"
    if powered.tail_ns is None:
        return "the recorder was asked to end, and did"
    return (
        f"{Doing.ENDED.value}: the power went at most {powered.tail_ns // NS} s after this, or what follows is not here"
    )


def _off(off: Off) -> str:
    bound = "" if off.at_most_ns is None else f"; at most {off.at_most_ns / NS:.0f} s by receipts of a station"
    if off.length_ns is None:
        return f"between these boots: length unknown{bound}"
    vouched = "by synchronised clocks" if off.vouched else "by the camera's own clock, which nobody vouches for"
    length_s = f"{off.length_ns / NS:.3f} s from the last leaf to the start of the kernel"
    return f"between these boots: {length_s}, {vouched}{bound}"


def to_json(cameras: Sequence[CameraAccounts]) -> list[dict[str, Any]]:
    """The same for scripts. Keys are stable."""
    return [{"camera": c.camera, "boots": [_boot_json(b) for b in c.boots]} for c in cameras]


def _boot_json(powered: Powered) -> dict[str, Any]:
    off = powered.off
    return {
        "boot": powered.boot,
        "logs": powered.origins,
        "leaves": [powered.first_leaf, powered.last_leaf],
        "off_before": None if off is None else _off_json(off),
        "kernel_started": powered.when(0),
        "end_s": _seconds(powered.end_ns),
        "ended": "unknown" if powered.lost else "stopped" if powered.tail_ns is None else "without stop",
        "tail_s": _seconds(powered.tail_ns),
        "sealed_events": powered.sealed_events,
        "lost_pieces": [
            {"recording": recording, "pieces": pieces, "leaf": leaf} for recording, pieces, leaf in powered.lost_pieces
        ],
        "totals_s": {doing.value: _seconds(ns) for doing, ns in powered.totals().items()},
        "accounts": [_account_json(powered, a) for a in powered.accounts],
    }


def _off_json(off: Off) -> dict[str, Any]:
    return {"length_s": _seconds(off.length_ns), "vouched": off.vouched, "at_most_s": _seconds(off.at_most_ns)}


def _account_json(powered: Powered, account: Account) -> dict[str, Any]:
    return {
        "state": account.doing.value,
        "begin_s": _seconds(account.begin_ns),
        "end_s": _seconds(account.end_ns),
        "when": powered.when(account.begin_ns),
        "reason": account.reason,
        "actor": account.actor,
        "recording": account.recording,
        "leaf": account.leaf,
        "sure": account.sure.value,
    }


def _seconds(ns: int | None) -> float | None:
    return None if ns is None else ns / NS

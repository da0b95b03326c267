"""The `[dock]` section of the configuration: when the camera is docked, and how it reaches the station."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from agent.configrules import FilePath, Key, StationUrl, Text, TextList, Whole, Wrong, ZeroOrWhole, one_of

_ETC = "/etc/bodycam-agent"
MIN_LIMIT_KBPS = 64
"""Below it a shift's recordings would take weeks, and a station's patience with a connection is not tried."""
_PEM = FilePath("PEM file")
_VKEY = r"[^\s+]{1,100}\+[0-9a-f]{8}\+[A-Za-z0-9+/]{44}"


class _Presence(TextList):
    """One of them may stand alone, without a list."""

    def read(self, value: object, base_dir: Path) -> tuple[str, ...]:
        return super().read([value] if isinstance(value, str) else value, base_dir)


_INTERFACE = Text("the name of a network interface, where * and ? stand for others", r"[\w.@:*?-]{1,15}")


@dataclass(frozen=True, slots=True, kw_only=True)
class DockConfig:
    """The station and how to reach it."""

    station_url: Annotated[str, Key(StationUrl(), "The station.", example="https://station.example:8443")]
    ca: Annotated[Path, Key(_PEM, "The root that the station's certificate chains to.", example=f"{_ETC}/root.pem")]
    client_cert: Annotated[
        Path, Key(_PEM, "The uploader's TLS certificate, then its chain.", example=f"{_ETC}/tls.pem")
    ]
    client_key: Annotated[Path, Key(_PEM, "The key of that certificate.", example=f"{_ETC}/tls.key")]
    receipt_key: Annotated[
        str,
        Key(
            Text("a verifier key: name+hash+base64", _VKEY, 160),
            "The station's key whose receipts allow deletion, as the station prints it.",
            example="station.example+0123abcd+...",
        ),
    ]
    config_key: Annotated[
        str,
        Key(
            Text("a verifier key: name+hash+base64", f"({_VKEY})?", 160),
            'The agency\'s key that signs assignments, configurations and tag lists, as the station prints it; "" to '
            "take none.",
        ),
    ] = ""
    receipt_key_next: Annotated[
        str,
        Key(
            Text("a verifier key: name+hash+base64", f"({_VKEY})?", 160),
            'The successor of receipt_key, which counts as well while the station exchanges its key; "" where there is '
            "none.",
        ),
    ] = ""
    config_key_next: Annotated[
        str,
        Key(
            Text("a verifier key: name+hash+base64", f"({_VKEY})?", 160),
            'The successor of config_key, which counts as well while the agency exchanges its key; "" where there is '
            "none.",
        ),
    ] = ""
    presence: Annotated[
        tuple[str, ...],
        Key(
            _Presence(one_of("outbox", "link", "power", "always"), short=True),
            "When to look for the station: any of the recorder's word in the outbox, a network cable with carrier and "
            "address, power from outside, always.",
        ),
    ] = ("outbox",)
    interfaces: Annotated[
        tuple[str, ...], Key(TextList(_INTERFACE, short=True), "The network interfaces that presence = link looks at.")
    ] = ("eth*", "en*", "usb*")
    metered: Annotated[
        tuple[str, ...],
        Key(TextList(_INTERFACE, short=True), "Network interfaces that cost by the byte: nothing goes there."),
    ] = ("wwan*", "ppp*", "rmnet*")
    max_celsius: Annotated[
        int, Key(Whole("degrees Celsius", 40, 120), "Nothing is sent while the processor is hotter than this.")
    ] = 80
    start_spread_s: Annotated[
        int,
        Key(
            Whole("seconds", 0, 600),
            "After docking wait a random time up to this, so that a rack of cameras does not ask at once.",
        ),
    ] = 5
    parallel: Annotated[int, Key(Whole("connections", 1, 4), "Segments sent at the same time.")] = 4
    limit_kbps: Annotated[
        int,
        Key(
            ZeroOrWhole("kbit/s", MIN_LIMIT_KBPS, 10_000_000),
            "Upload at most this fast, with one segment at a time for each 1000; 0: no limit.",
            wrong=Wrong.NEAREST,
        ),
    ] = 0

    @property
    def receipt_keys(self) -> tuple[str, ...]:
        """The keys whose receipts, heads and times count."""
        return tuple(filter(None, (self.receipt_key, self.receipt_key_next)))

    @property
    def config_keys(self) -> tuple[str, ...]:
        """The keys whose orders are taken; none where this camera takes no orders."""
        return tuple(filter(None, (self.config_key, self.config_key_next)))

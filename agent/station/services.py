"""What the station answers a docked camera besides receipts: the time, signed, and the agency's newest orders."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent import durable
from agent.clock import Clock
from agent.formats.order import MAX_ORDER, Kind
from agent.formats.signedtime import NONCE, SignedTime, sign
from agent.model import NS
from agent.station.orders import order_file, served
from agent.station.web import TEXT, Refused, Response

MAX_NONCE = 64


class Services:
    """Thread-safe. `name` and `key` are those of receipts; orders were signed before, by a key that is not here."""

    def __init__(self, name: str, key: Ed25519PrivateKey, orders: Path, clock: Clock) -> None:
        self._name, self._key, self._orders, self._clock = name, key, orders, clock

    def time(self, camera: str, nonce: bytes) -> Response:
        """Raises Refused (400)."""
        text = nonce.decode("ascii", "replace")
        if not NONCE.fullmatch(text):
            raise Refused(400, "send a nonce: 64 hex digits")
        utc = self._clock.utc()
        return Response(200, sign(SignedTime(self._name, camera, text, utc.ns, utc.bound_ms), self._key), TEXT)

    def order(self, camera: str, kind: str) -> Response:
        """Raises Refused (404)."""
        if kind not in {k.value for k in Kind}:
            raise Refused(404, "no such kind of order")
        path = order_file(self._orders, camera, Kind(kind))
        with durable.storage_errors(path, "cannot read"):
            try:
                with path.open("rb") as file:
                    data = file.read(MAX_ORDER)
            except FileNotFoundError:
                raise Refused(404, "no order of this kind") from None
        served(self._orders, camera, data, self._clock.utc().ns // NS)
        return Response(200, data, TEXT)

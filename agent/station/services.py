"""What the station answers a docked camera besides receipts: the time, signed, and the agency's newest orders."""

from __future__ import annotations

import logging
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.clock import Clock
from agent.errors import EvidenceError, KeyTrustError, StorageError
from agent.formats import age
from agent.formats.order import PINNED, RECIPIENT, Kind, Order
from agent.formats.signedtime import NONCE, SignedTime, sign
from agent.model import NS
from agent.station import pins
from agent.station.orders import served, to_serve
from agent.station.web import BYTES, TEXT, Refused, Response

MAX_NONCE = 64
LOG = logging.getLogger("bodycam.station")


class Services:
    """Thread-safe. `name` and `key` are those of receipts; orders were signed before, by a key that is not here."""

    def __init__(self, name: str, key: Ed25519PrivateKey, orders: Path, clock: Clock) -> None:
        self._name, self._key, self._orders, self._clock = name, key, orders, clock
        self._unnoted: dict[tuple[str, Kind, int], int] = {}

    def time(self, camera: str, nonce: bytes) -> Response:
        """Raises Refused (400)."""
        text = nonce.decode("ascii", "replace")
        if not NONCE.fullmatch(text):
            raise Refused(400, "send a nonce: 64 hex digits")
        utc = self._clock.utc()
        return Response(200, sign(SignedTime(self._name, camera, text, utc.ns, utc.bound_ms), self._key), TEXT)

    def heard(self, camera: str, keys: str | None) -> None:
        """Which keys the camera says that it pins; it says so again with each visit. Raises Refused (400)."""
        if keys is None:
            return
        if not pins.FORM.fullmatch(keys):
            raise Refused(400, f"{PINNED}: send hashes of verifier keys, with blanks between")
        try:
            pins.note(self._orders, camera, keys.split(), self._clock.utc().ns // NS)
        except StorageError as err:
            # What it asks for is answered all the same.
            LOG.error("camera %s: which keys it pins is not noted: %s", camera, err)

    def order(self, camera: str, kind: str, to: str | None) -> Response:
        """The newest of this kind, encrypted to the age recipient `to`; as it was signed for a camera that names none.
        Raises Refused: 404 where there is none that can be read, 400 for what is no recipient.
        """
        if kind not in {k.value for k in Kind}:
            raise Refused(404, "no such kind of order")
        try:
            found = to_serve(self._orders, camera, Kind(kind))
        except (EvidenceError, StorageError) as err:
            # Not the station's state, in which a camera asks for nothing else for a while: the others are whole.
            LOG.error("camera %s: its order is not served: %s", camera, err)
            raise Refused(404, "the order of this kind cannot be read here") from err
        if found is None:
            raise Refused(404, "no order of this kind")
        made, data = found
        answer = Response(200, data, TEXT) if to is None else Response(200, _sealed(data, to), BYTES)
        self._served(camera, made)
        return answer

    def _served(self, camera: str, made: Order) -> None:
        """Note it; where the disk does not take that, the next time that the camera asks, as of now."""
        key, now_s = (camera, made.kind, made.number), self._clock.utc().ns // NS
        try:
            served(self._orders, camera, made, self._unnoted.get(key, now_s))
            self._unnoted.pop(key, None)
        except StorageError as err:
            self._unnoted.setdefault(key, now_s)
            LOG.error("camera %s: that it was given its order is not noted: %s", camera, err)


def _sealed(data: bytes, to: str) -> bytes:
    try:
        return age.encrypt(data, [age.X25519Recipient.parse(to)]).data
    except KeyTrustError as err:
        raise Refused(400, f"{RECIPIENT}: {err.message}") from None

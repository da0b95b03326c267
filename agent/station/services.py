"""What the station answers a docked camera besides receipts: the time, signed, and the agency's newest orders."""

from __future__ import annotations

import logging
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent import durable
from agent.clock import Clock
from agent.errors import KeyTrustError, StorageError
from agent.formats import age
from agent.formats.order import MAX_ORDER, PINNED, RECIPIENT, Kind
from agent.formats.signedtime import NONCE, SignedTime, sign
from agent.model import NS
from agent.station import pins
from agent.station.orders import order_file, served
from agent.station.web import BYTES, TEXT, Refused, Response

MAX_NONCE = 64
LOG = logging.getLogger("bodycam.station")


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
        Raises Refused: 404 where there is none, 400 for what is no recipient.
        """
        if kind not in {k.value for k in Kind}:
            raise Refused(404, "no such kind of order")
        path = order_file(self._orders, camera, Kind(kind))
        with durable.storage_errors(path, "cannot read"):
            try:
                with path.open("rb") as file:
                    data = file.read(MAX_ORDER)
            except FileNotFoundError:
                raise Refused(404, "no order of this kind") from None
        answer = Response(200, data, TEXT) if to is None else Response(200, _sealed(data, to), BYTES)
        served(self._orders, camera, data, self._clock.utc().ns // NS)
        return answer


def _sealed(data: bytes, to: str) -> bytes:
    try:
        return age.encrypt(data, [age.X25519Recipient.parse(to)]).data
    except KeyTrustError as err:
        raise Refused(400, f"{RECIPIENT}: {err.message}") from None

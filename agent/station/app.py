"""The station's paths, and who may use them: every request belongs to the camera its TLS certificate names."""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import NameOID

from agent import durable
from agent.clock import SystemClock
from agent.errors import ConfigError, EvidenceError, KeyTrustError, StorageError
from agent.formats import certs, receipt
from agent.formats.epoch import number_of
from agent.formats.order import PINNED, RECIPIENT
from agent.model import CAMERA_NAME
from agent.station import admin, check, database, keptleaves, retention, witness
from agent.station.attest import MAX_REQUEST, Attestor, Signer
from agent.station.conflicts import Conflicts
from agent.station.epochs import Epochs
from agent.station.index import Index
from agent.station.layout import AgencyPaths
from agent.station.logs import MAX_TILE, Logs
from agent.station.services import MAX_NONCE, Services
from agent.station.state import State
from agent.station.store import Store
from agent.station.tus import Tus
from agent.station.web import JSON, TEXT, Refused, Request, Response, request_of

MAX_CHAIN = 64 << 10
FULL = "its disk is full, make room there"
LOG = logging.getLogger("bodycam.station")


class Renewal:
    """The present key's cosignature on all that stands under an earlier one, made once. A full disk keeps no station
    from its start: what it refuses is done with the first request after there is room.
    """

    def __init__(self, renew: Callable[[], object]) -> None:
        self._renew, self._due = renew, True

    def go_on(self) -> None:
        """Until it is done."""
        if not self._due:
            return
        try:
            self._renew()
            self._due = False
        except StorageError as err:
            LOG.error("heads under the earlier key are not cosigned anew yet: %s", err)


class App:
    """A WSGI application (PEP 3333)."""

    def __init__(
        self,
        name: str,
        issuing: x509.Certificate,
        tus: Tus,
        cosigner: witness.Witness,
        logs: Logs,
        state: State,
        attestor: Attestor,
        services: Services,
        revoked: Callable[[str], bool],
        renewal: Renewal,
    ) -> None:
        self.name, self._services, self._revoked, self._renewal = name, services, revoked, renewal
        self._tus, self._witness, self._logs, self._state, self._attestor = tus, cosigner, logs, state, attestor
        self._camera_of = functools.lru_cache(maxsize=1024)(lambda pem: camera_of(pem, issuing))

    def __call__(self, environ: Mapping[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
        request = None
        try:
            camera = self._camera_of(str(environ.get("SSL_CLIENT_CERT", "")))
            request = request_of(environ, camera)
            self._renewal.go_on()
            answer = self._route(request)
        except Refused as refused:
            answer = refused.response()
        except StorageError as err:
            # The camera tries again later; a person reads the log.
            LOG.error("%s", err)
            why = FULL if durable.says_full(err) or database.is_full(err.__cause__) else "it cannot store this now"
            answer = Refused(507, f"the station: {why}", {"Retry-After": "30"}).response()
        if request is not None:
            request.body.drain()
        body = answer.start(start_response)
        # RFC 9110, 9.3.2: none in answer to HEAD, or it is taken for the head of the next answer.
        return [] if environ["REQUEST_METHOD"] == "HEAD" else body

    def _route(self, request: Request) -> Response:
        words = request.path.strip("/").split("/")
        trusted = words in (["add-checkpoint"], ["attest"], ["time"]) or words[0] == "orders"
        if trusted and self._revoked(request.camera):
            # Its bytes are stored all the same: they may be what was recorded before.
            LOG.warning("camera %s, which was revoked, is at the dock", request.camera)
            raise Refused(403, f"camera {request.camera} was revoked: its bytes are stored, and not receipted")
        match request.method, words:
            case _, ["files"]:
                return self._tus.answer(request, "")
            case _, ["files", upload]:
                return self._tus.answer(request, upload)
            case "POST", ["add-checkpoint"]:
                return self._add_checkpoint(request)
            case "GET", ["log", epoch]:
                return self._log_state(request, witness.parse_epoch(epoch))
            case "GET", ["log", epoch, "checkpoint"]:
                return self._cosigned_head(request, witness.parse_epoch(epoch))
            case "PUT", ["log", epoch, "chain"]:
                return self._put_chain(request, witness.parse_epoch(epoch))
            case "PUT", ["log", epoch, "tile", *_]:
                data = request.body.read_all(MAX_TILE)
                self._logs.put_tile(request.camera, witness.parse_epoch(epoch), "/".join(words[2:]), data)
                return Response(204)
            case "POST", ["attest"]:
                return self._attestor.answer(request.camera, request.body.read_all(MAX_REQUEST))
            case "POST", ["time"]:
                return self._services.time(request.camera, request.body.read_all(MAX_NONCE))
            case "GET", ["orders", kind]:
                self._services.heard(request.camera, request.headers.get(PINNED))
                return self._services.order(request.camera, kind, request.headers.get(RECIPIENT))
            case "GET", ["receipts", "newest"]:
                return Response(200, self._attestor.newest(request.camera), TEXT)
        raise Refused(404, "nothing here")

    def _add_checkpoint(self, request: Request) -> Response:
        body = request.body.read_all(witness.MAX_REQUEST)
        answer = self._witness.add_checkpoint(request.camera, body)
        if answer.status == 200:
            epoch = int(witness.parse_request(body).checkpoint.origin.rsplit("/", 1)[1])
            self._after_cosigning(request.camera, epoch)
        return answer

    def _after_cosigning(self, camera: str, epoch: int) -> None:
        """The cosignature stands; that the tiles lead there may be shown now or, where they come later or the disk does
        not give them back, at attestation.
        """
        head = self._state.head(camera, epoch)
        if head is None:
            return
        try:
            self._logs.put_checkpoint(camera, epoch, head.note)
            self._logs.prove(camera, epoch, head)
        except EvidenceError as err:
            LOG.info("camera %s epoch %d: %s", camera, epoch, err.message)
        except StorageError as err:
            LOG.error("camera %s epoch %d: %s", camera, epoch, err)

    def _put_chain(self, request: Request, epoch: int) -> Response:
        pem = request.body.read_all(MAX_CHAIN)
        self._witness.add_chain(request.camera, pem)
        self._logs.put_chain(request.camera, epoch, hashlib.sha256(pem).hexdigest(), pem)
        return Response(204)

    def _log_state(self, request: Request, epoch: int) -> Response:
        """Where to go on: the size last cosigned, how much of it is proven by tiles, and the newest epoch."""
        head = self._state.head(request.camera, epoch)
        newest = self._state.newest_epoch(request.camera)
        value = {"cosigned": head.size if head else 0, "proven": head.proven if head else 0, "newest": newest}
        return Response(200, json.dumps(value).encode(), JSON)

    def _cosigned_head(self, request: Request, epoch: int) -> Response:
        """What shows a camera, under a signature, that it is behind."""
        head = self._state.head(request.camera, epoch)
        if head is None:
            raise Refused(404, "nothing of this log is cosigned")
        return Response(200, head.note, TEXT)


def open_app(paths: AgencyPaths, state: State, index: Index | None = None) -> App:
    """The station of one agency directory, all parts put together. Raises KeyTrustError, StorageError."""
    trust = admin.load_certificates(paths.trust_root)[0]
    issuing = admin.load_certificates(paths.issuing_certificate)[0]
    signer = Signer(*admin.receipt_signer(paths))
    name = signer.name
    conflicts = Conflicts(paths.station / "conflicts")
    store = Store(paths.station, conflicts)
    logs = Logs(paths.station / "log", state, conflicts)
    cosigner = witness.Witness(state, conflicts, trust, name, signer.key, logs.root_at, logs.goes_on)

    def learn(camera: str, origin: str, found: check.Found | None, stored: receipt.Stored) -> None:
        if index is None:
            return
        if found is None:
            index.kept(camera, stored.segment, stored.sha256, stored.place)
            return
        until_s, now_s = stored.until_s, int(time.time())
        index.add(
            camera, stored.segment, number_of(origin), found.sha256, found.size, found.told, stored.place, now_s,
            until_s,
        )  # fmt: skip

    def look_through(camera: str, more: bool) -> None:
        if index is not None and (more or index.kept_waits(camera)):
            keptleaves.learn(paths.station, index, state, logs, camera)

    attestor = Attestor(
        paths.station, trust, signer, store, logs, state, Epochs(state, conflicts, logs.root_at), kept_s(paths), learn,
        look_through, conflicts.file,
    )  # fmt: skip

    def revoked(camera: str) -> bool:
        return durable.is_there(paths.revocation(camera))

    renewal = Renewal(lambda: cosigner.renew(lambda camera: not revoked(camera)))
    renewal.go_on()
    services = Services(name, signer.key, paths.orders, SystemClock())
    return App(name, issuing, Tus(store), cosigner, logs, state, attestor, services, revoked, renewal)


def kept_s(paths: AgencyPaths) -> Callable[[], int]:
    """How long what is stored now is kept at least; 0 without end, also where what the agency wrote cannot be read."""

    def days() -> int:
        try:
            policy = retention.load(paths)
        except ConfigError as err:
            LOG.error("%s: everything is kept", err.message)
            return 0
        return policy.days * retention.DAY_S if policy else 0

    return days


def camera_of(pem: str, issuing: x509.Certificate) -> str:
    """The camera a TLS client certificate names. Raises Refused (403).

    TLS checked that the chain leads to the root; here it must also be the role, and issued at its depth: a camera's
    identity key is a CA too, and must not be able to make another camera of itself.
    """
    try:
        certificate = certs.parse_pem(pem.encode())[0]
        certificate.verify_directly_issued_by(issuing)
        role = certs.attribute(certificate, NameOID.ORGANIZATIONAL_UNIT_NAME)
        camera = certs.common_name(certificate)
    except (KeyTrustError, InvalidSignature, ValueError, TypeError, IndexError):
        raise Refused(403, "this certificate is not issued by the agency's issuing CA") from None
    if role != certs.CAMERA_TLS or not CAMERA_NAME.fullmatch(camera):
        raise Refused(403, f"a certificate with the role {role!r} is not a camera's TLS certificate")
    return camera

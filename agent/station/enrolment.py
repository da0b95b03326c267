"""A camera's request in, the agency's answer out: certificates for the keys that the camera made, whom to trust, and
the keys of its configuration that the agency decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from agent import durable
from agent.configrules import StationUrl
from agent.errors import KeyTrustError, UsageError, reason
from agent.formats import bundle, certs
from agent.station import admin, orders
from agent.station.layout import AgencyPaths, CameraPaths
from agent.station.onekey import Taken, alone

DEFAULT_PORT = 8443


@dataclass(frozen=True, slots=True)
class Enrolled:
    """`fingerprint` is the identity key's, as the camera told it; `again` where it was enrolled before."""

    camera: str
    answer: Path
    fingerprint: str
    again: bool


def enrol_request(
    root: Path,
    request: bytes,
    camera: str | None = None,
    station_url: str | None = None,
    profile: bundle.Tables | None = None,
    taken: Taken | None = None,
) -> Enrolled:
    """Certificates for the keys of a request, and the answer to install. For keys that are enrolled already the answer
    is written anew, with the recipients of today.

    `camera`, where given, is who must be asking; `profile` holds the keys of one that was checked;
    `taken`, for a batch, is what is enrolled so far, of who is `onekey.alone`, and gets these keys. Raises
    KeyTrustError, UsageError, StorageError.
    """
    paths = AgencyPaths(root)
    if station_url is not None:
        _check_url(station_url)
    requests = certs.read_requests(request)
    asked = {found.role: found for found in requests}
    identity, tls = asked.get(certs.IDENTITY), asked.get(certs.CAMERA_TLS)
    if identity is None or tls is None or len(requests) != 2 or identity.name != tls.name:
        raise KeyTrustError("the request is not for one camera's identity and TLS keys", "make it with provision")
    if camera is not None and identity.name != camera:
        raise KeyTrustError(f"the request is of camera {identity.name[:60]!r}, not of {camera}", "check who sent it")
    here = paths.camera(identity.name)
    if paths.revocation(identity.name).exists():
        raise KeyTrustError(
            f"camera {identity.name} was revoked: {paths.revocation(identity.name)}",
            "provision it anew, under another name",
        )
    with alone(paths, taken) as known:
        again = here.identity_chain.exists()
        if again:
            _check_same(here, identity, tls)
            # Two that an earlier version enrolled with one key are not found otherwise.
            known.check(identity.name, identity.public, tls.public)
        else:
            admin.enrol(root, identity.name, identity.pem, tls.pem, known)
    # Whoever exchanges a key meanwhile is to renew this one, or to be in it.
    with orders.alone(paths.orders):
        durable.write_file(here.answer, _answer(paths, identity.name, station_url, profile or {}).to_bytes(), 0o644)
    return Enrolled(identity.name, here.answer, certs.fingerprint(identity.public), again)


def _check_same(here: CameraPaths, *asked: certs.Request) -> None:
    """Another key under the name of an enrolled camera would be another camera."""
    for request, path in zip(asked, (here.identity_chain, here.tls_chain), strict=True):
        (own, *_) = admin.load_certificates(path)
        if own.public_key() != request.public:
            raise KeyTrustError(
                f"camera {request.name} is enrolled already, with another key: nothing was changed",
                "give a new key a new camera name, so that each name means one key for ever",
            )


def _answer(paths: AgencyPaths, camera: str, station_url: str | None, profile: bundle.Tables) -> bundle.Bundle:
    here = paths.camera(camera)
    tables = {name: dict(keys) for name, keys in profile.items()}
    tables.setdefault("sealing", {})["recipients"] = _text(paths.recipients).split()
    tables.setdefault("dock", {})["station_url"] = station_url or _url(paths)
    tables["dock"] |= admin.pinned(paths)
    return bundle.Bundle(camera, _text(here.identity_chain), _text(here.tls_chain), _text(paths.trust_root), tables)


def _check_url(text: str) -> None:
    """Here, and not on each camera of a batch."""
    try:
        StationUrl().read(text, Path())
    except ValueError as err:
        raise UsageError(f"--station-url {err}", "name the station as cameras reach it") from None


def _url(paths: AgencyPaths) -> str:
    host = certs.common_name(admin.load_certificates(paths.tls_chain)[0])
    return f"https://{f'[{host}]' if ':' in host else host}:{DEFAULT_PORT}"


def _text(path: Path) -> str:
    try:
        return path.read_text("ascii")
    except OSError as err:
        raise UsageError(f"{path}: {reason(err)}", "name the agency's directory with --dir") from err

"""The agency's keys and certificates: made once by `init`, then one `enrol` per camera.

Nothing here overwrites a key. Every certificate is made by agent.formats.certs.issue, so its role and depth are
those of docs/evidence-format.md, "Certificates".
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from agent import durable, keyfile
from agent.errors import KeyTrustError, UsageError
from agent.formats import age, certs, note
from agent.station.layout import AgencyPaths, CameraPaths, successor
from agent.station.onekey import Taken, alone

LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")
_BACKDATE = datetime.timedelta(minutes=10)
"""A desk's two clocks may differ a little; a TLS peer compares notBefore with its own."""

PrivateKey = ec.EllipticCurvePrivateKey | Ed25519PrivateKey


def is_initialised(root: Path) -> bool:
    """True where `init` was here, even if it was cut short."""
    return AgencyPaths(root).root_key.exists()


def init(
    root: Path, name: str = "bench", hosts: Sequence[str] = LOCAL_HOSTS, post_quantum: bool = False
) -> AgencyPaths:
    """Make an agency: CA, age identities, receipt and configuration keys, the station's TLS certificate.

    `name` is the agency's, for people; `hosts` are the DNS names and addresses cameras reach the station at;
    `post_quantum` says which kind of age identities. Raises KeyTrustError where keys are there already or
    post-quantum ones cannot be made, UsageError for the names, StorageError.
    """
    paths = AgencyPaths(root)
    _check_name(name)
    _check_hosts(hosts)
    _refuse_existing(paths)
    for directory in ("ca", "keys", "trust", "tls", "camera", "station"):
        durable.make_dir(root / directory)
    root_key, issuing_key = _p256(), _p256()
    now = _not_before()
    root_cert = certs.issue(
        name=name, role=certs.ROOT, public=root_key.public_key(), issuer=None, issuer_key=root_key, not_before=now,
        path_length=2,
    )  # fmt: skip
    issuing = certs.issue(
        name=name, role=certs.ISSUING, public=issuing_key.public_key(), issuer=root_cert, issuer_key=root_key,
        not_before=now, path_length=1,
    )  # fmt: skip
    write_key(paths.root_key, root_key)
    write_key(paths.issuing_key, issuing_key)
    for path, certificate in (
        (paths.root_certificate, root_cert),
        (paths.trust_root, root_cert),
        (paths.issuing_certificate, issuing),
    ):
        durable.write_file(path, certs.pem([certificate]), 0o644)
    _make_identities(paths, name, post_quantum)
    _make_receipt_key(paths, name)
    write_key(paths.config_key, Ed25519PrivateKey.generate())
    config_vkey(paths)
    issue_station(paths, hosts)
    return paths


def issue_station(paths: AgencyPaths, hosts: Sequence[str]) -> None:
    """A fresh TLS key and certificate for the station, for these names and addresses."""
    issuing, issuing_key = _issuer(paths)
    key = _p256()
    certificate = certs.issue(
        name=hosts[0], role=certs.STATION_TLS, public=key.public_key(), issuer=issuing, issuer_key=issuing_key,
        not_before=_not_before(), tls=certs.SERVER_AUTH, hosts=hosts,
    )  # fmt: skip
    durable.write_file(paths.tls_key, _pem(key), 0o600)
    durable.write_file(paths.tls_chain, certs.pem([certificate, issuing]), 0o644)


def enrol(
    root: Path,
    camera: str,
    identity_csr: bytes | None = None,
    tls_csr: bytes | None = None,
    taken: Taken | None = None,
) -> CameraPaths:
    """Certificates for one camera, from its CSRs (PEM); where there is none, the key is made here, for a bench.

    `taken`, where given, is what is enrolled so far, of who is `onekey.alone`, and gets these keys. Raises
    KeyTrustError for a CSR that is not good, a camera that is enrolled already or a key that is another's, UsageError
    for its name, StorageError.
    """
    paths = AgencyPaths(root)
    with alone(paths, taken) as known:
        return _enrol(paths, camera, identity_csr, tls_csr, known)


def _enrol(
    paths: AgencyPaths, camera: str, identity_csr: bytes | None, tls_csr: bytes | None, taken: Taken
) -> CameraPaths:
    issuing, issuing_key = _issuer(paths)
    here = paths.camera(camera)
    if here.identity_chain.exists() or here.identity_key.exists():
        raise KeyTrustError(f"camera {camera} is enrolled already, in {here.directory}", "choose another name")
    asked = _public(identity_csr, f"identity CSR of {camera}"), _public(tls_csr, f"TLS CSR of {camera}")
    taken.check(camera, *(public for public in asked if public is not None))
    durable.make_dir(here.directory)
    identity, tls = asked[0] or _make_key(here.identity_key), asked[1] or _make_key(here.tls_key)
    now = _not_before()
    identity_cert = certs.issue(
        name=camera, role=certs.IDENTITY, public=identity, issuer=issuing, issuer_key=issuing_key, not_before=now,
        path_length=0,
    )  # fmt: skip
    tls_cert = certs.issue(
        name=camera, role=certs.CAMERA_TLS, public=tls, issuer=issuing, issuer_key=issuing_key, not_before=now,
        tls=certs.CLIENT_AUTH,
    )  # fmt: skip
    durable.write_file(here.tls_chain, certs.pem([tls_cert, issuing]), 0o644)
    durable.write_file(here.identity_chain, certs.pem([identity_cert, issuing]), 0o644)
    taken.add(camera, identity, tls)
    return here


def lock_away(paths: AgencyPaths) -> str:
    """What `init` tells the person who ran it."""
    return (
        f"Lock away, off this machine, and delete here:\n"
        f"  {paths.root_key}  (makes issuing certificates; not needed day to day)\n"
        f"  {paths.agency_identity}  (opens every recording)\n"
        f"  {paths.escrow_identity}  (opens every recording; keep it apart from the agency's)\n"
        f"Keep for whoever gives orders to cameras (assign, configure, tags); serving needs it not:\n"
        f"  {paths.config_key}\n"
        f"Give to whoever verifies evidence: {paths.trust_root}"
    )


def load_ed25519(path: Path) -> Ed25519PrivateKey:
    """Raises KeyTrustError."""
    key = _load(path)
    if not isinstance(key, Ed25519PrivateKey):
        raise KeyTrustError(f"{path} is not an Ed25519 key", "run bodycam-station init in a new directory")
    return key


def load_certificates(path: Path) -> list[x509.Certificate]:
    """Raises KeyTrustError."""
    try:
        return certs.parse_pem(path.read_bytes())
    except OSError as err:
        raise KeyTrustError(f"certificate {path}: {err.strerror}", "run bodycam-station init") from err


def _check_name(name: str) -> None:
    if not 1 <= len(name) <= 48 or not name.isprintable() or not name.strip():
        raise UsageError(f"{name[:60]!r} cannot be the agency's name", "use 1 to 48 printable characters")


def _check_hosts(hosts: Sequence[str]) -> None:
    """The first is the certificate's common name, which has room for 64 characters (RFC 5280, ub-common-name)."""
    for host in hosts:
        if not re.fullmatch(r"[A-Za-z0-9._:*-]{1,64}", host):
            raise UsageError(
                f"--host {host[:70]!r} is not a host name or address", "write a name of 1 to 64 ASCII characters"
            )


def _refuse_existing(paths: AgencyPaths) -> None:
    keys = (
        paths.root_key, paths.issuing_key, paths.agency_identity, paths.escrow_identity, paths.receipt_key,
        paths.config_key, paths.tls_key,
    )  # fmt: skip
    found = [str(p) for p in keys if p.exists()]
    if found:
        raise KeyTrustError(
            f"there are keys already, nothing was changed: {', '.join(found)}", "name another --dir, or use this one"
        )


def _make_identities(paths: AgencyPaths, name: str, post_quantum: bool) -> None:
    kind = age.PqIdentity if post_quantum else age.X25519Identity
    recipients = []
    for path, what in ((paths.agency_identity, "agency"), (paths.escrow_identity, "escrow")):
        identity = kind.generate()
        recipients.append(identity.recipient.to_string())
        text = age.identity_file(identity, f"{what} evidence key of {_one_line(name)}: opens every recording")
        keyfile.create(path, text.encode(), "age identity")
    durable.write_file(paths.recipients, "".join(r + "\n" for r in recipients).encode(), 0o644)


def _make_receipt_key(paths: AgencyPaths, name: str) -> None:
    key, station = Ed25519PrivateKey.generate(), station_name(name)
    write_key(paths.receipt_key, key)
    durable.write_file(paths.receipt_chain, receipt_chain(paths, station, key.public_key()), 0o644)
    for path, kind in ((paths.receipt_vkey, note.ED25519), (paths.witness_vkey, note.COSIGNATURE)):
        durable.write_file(path, f"{note.vkey(station, kind, key.public_key())}\n".encode(), 0o644)


def config_vkey(paths: AgencyPaths) -> str:
    """What cameras check orders by: the configuration key's public half, under a name made from the station's. It is
    written where it is missing, for an agency of an earlier version.
    """
    if not paths.config_vkey.exists():
        station, _ = note.parse_vkey(paths.receipt_vkey.read_text("ascii"))
        name = f"config.{station.removeprefix('station.')}"
        text = note.vkey(name, note.ED25519, load_ed25519(paths.config_key).public_key())
        durable.write_file(paths.config_vkey, f"{text}\n".encode("ascii"), 0o644)
    return paths.config_vkey.read_text("ascii").strip()


def receipt_chain(paths: AgencyPaths, station: str, public: Ed25519PublicKey) -> bytes:
    """The certificate of a receipt key under the station's name, then its issuer's."""
    issuing, issuing_key = _issuer(paths)
    certificate = certs.issue(
        name=station, role=certs.RECEIPT, public=public, issuer=issuing, issuer_key=issuing_key,
        not_before=_not_before(),
    )  # fmt: skip
    return certs.pem([certificate, issuing])


def receipt_signer(paths: AgencyPaths) -> tuple[str, Ed25519PrivateKey, tuple[x509.Certificate, ...]]:
    """The station's name, the key that signs receipts under it, and its certificates. Raises KeyTrustError, also where
    they do not belong together.
    """
    chain = tuple(load_certificates(paths.receipt_chain))
    name, certified = certs.check_receipt_key(chain, load_certificates(paths.trust_root)[0])
    key = load_ed25519(paths.receipt_key)
    if note.raw_public(key.public_key()) != note.raw_public(certified):
        raise KeyTrustError(
            f"{paths.receipt_key} is not the key of {paths.receipt_chain}",
            "where an exchange was cut, finish it: bodycam-station rotate --receipts --retire",
        )
    return name, key, chain


def pinned(paths: AgencyPaths) -> dict[str, str]:
    """Which of the agency's keys cameras are to believe, as keys of `[dock]`: those in force, and their successors
    while they are exchanged.
    """
    vkeys = {"receipt_key": paths.receipt_vkey, "config_key": paths.config_vkey}
    config_vkey(paths)
    now = {key: path.read_text("ascii").strip() for key, path in vkeys.items()}
    after = {f"{key}_next": successor(path) for key, path in vkeys.items()}
    return now | {key: path.read_text("ascii").strip() if path.exists() else "" for key, path in after.items()}


def station_name(agency: str) -> str:
    """The receipt key's name: what signed notes allow (no white space, no plus), made from the agency's."""
    slug = re.sub(r"[^a-z0-9.-]+", "-", agency.lower()).strip("-.") or "agency"
    return f"station.{slug}"


def _one_line(text: str) -> str:
    return " ".join(text.split())


def _issuer(paths: AgencyPaths) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = _load(paths.issuing_key)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise KeyTrustError(f"{paths.issuing_key} is not a P-256 key", "restore it from where it is kept")
    return load_certificates(paths.issuing_certificate)[0], key


def _make_key(path: Path) -> ec.EllipticCurvePublicKey:
    key = _p256()
    write_key(path, key)
    return key.public_key()


def _public(csr: bytes | None, what: str) -> ec.EllipticCurvePublicKey | None:
    if csr is None:
        return None
    try:
        request = x509.load_pem_x509_csr(csr)
        good = request.is_signature_valid
        public = request.public_key()
    except ValueError:
        good, public = False, None
    if not good or not isinstance(public, ec.EllipticCurvePublicKey) or not isinstance(public.curve, ec.SECP256R1):
        raise KeyTrustError(f"{what} is not a signed request for a P-256 key", "make it again on the camera")
    return public


def _load(path: Path) -> object:
    try:
        data = keyfile.read(path, "key", "run bodycam-station init, or restore the key")
        return serialization.load_pem_private_key(data, password=None)
    except ValueError as err:
        raise KeyTrustError(f"key {path} is not a PEM private key", "restore the key") from err


def _p256() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def write_key(path: Path, key: PrivateKey) -> None:
    """Raises KeyTrustError where the name is taken."""
    keyfile.create(path, _pem(key), "key")


def _pem(key: PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _not_before() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC).replace(microsecond=0) - _BACKDATE

"""The agency's certificates (RFC 5280 shapes): who may be a camera, a session, a station.

root > issuing > camera identity > camera session, and root > issuing > {receipt, camera TLS, station TLS}. A
certificate's role is its subject's OU together with its exact depth: an identity key can mint nothing but
sessions, because nothing else is accepted below it. Validity dates are not checked on camera chains: a camera may
boot without a clock, and what counts is the order in the log plus the cosigned time (docs/evidence-format.md,
"Certificates").
"""

from __future__ import annotations

import datetime
import hashlib
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from agent.errors import KeyTrustError
from agent.formats.roles import CAMERA_TLS as CAMERA_TLS
from agent.formats.roles import IDENTITY as IDENTITY
from agent.formats.roles import ISSUING as ISSUING
from agent.formats.roles import RECEIPT as RECEIPT
from agent.formats.roles import ROOT as ROOT
from agent.formats.roles import SESSION as SESSION
from agent.formats.roles import STATION_TLS as STATION_TLS
from agent.model import CAMERA_NAME

FOREVER = datetime.datetime(9999, 12, 31, 23, 59, 59, tzinfo=datetime.UTC)
"""RFC 5280 section 4.1.2.5: no well-defined end of validity."""

PublicKey = ec.EllipticCurvePublicKey | Ed25519PublicKey

# What `cryptography` raises for a certificate that parses as DER and is malformed further in: it reads lazily.
_MALFORMED = (
    ValueError,
    TypeError,
    KeyError,  # by an ASN.1 tag of which the library knows no string
    UnsupportedAlgorithm,
    x509.ExtensionNotFound,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)


def issue(
    *,
    name: str,
    role: str,
    public: PublicKey,
    issuer: x509.Certificate | None,
    issuer_key: ec.EllipticCurvePrivateKey,
    not_before: datetime.datetime,
    path_length: int | None = None,
    tls: x509.ObjectIdentifier | None = None,
    hosts: Sequence[str] = (),
) -> x509.Certificate:
    """One certificate signed by `issuer_key` (ECDSA P-256, SHA-256). `path_length` not None makes it a CA;
    `issuer` None makes it the root.

    `tls` is an ExtendedKeyUsage for TLS certificates, `hosts` their DNS names or IP addresses.
    """
    subject = x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, role), x509.NameAttribute(NameOID.COMMON_NAME, name)]
    )
    is_ca = path_length is not None
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(not_before)
        .not_valid_after(FOREVER)
        .add_extension(x509.BasicConstraints(is_ca, path_length), critical=True)
        .add_extension(_key_usage(is_ca), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False)
    )
    if tls is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([tls]), critical=False)
    if hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName([_host(h) for h in hosts]), critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


SERVER_AUTH, CLIENT_AUTH = ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _key_usage(is_ca: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=is_ca,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )


def pem(certificates: Sequence[x509.Certificate]) -> bytes:
    """PEM, in the order given."""
    return b"".join(c.public_bytes(serialization.Encoding.PEM) for c in certificates)


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


def parse_pem(data: bytes) -> list[x509.Certificate]:
    """At most 8 certificates. Raises KeyTrustError."""
    try:
        if len(data) > 64 << 10 or data.count(b"-----BEGIN") > 8:
            raise ValueError
        return x509.load_pem_x509_certificates(data)
    except (ValueError, x509.InvalidVersion):
        raise KeyTrustError("not a PEM file of certificates") from None


def parse_chain(data: bytes) -> list[x509.Certificate]:
    """Certificates as evidence holds them, in their one spelling (docs/evidence-format.md, section 6): PEM as `openssl
    x509` writes it, one after the other, and nothing else. Raises KeyTrustError.
    """
    found = parse_pem(data)
    if pem(found) != data:
        raise KeyTrustError("not certificates in their one spelling, PEM of 64 characters a line and nothing else")
    return found


def parse_der(data: bytes) -> x509.Certificate:
    """Raises KeyTrustError."""
    try:
        return x509.load_der_x509_certificate(data)
    except (ValueError, x509.InvalidVersion):
        raise KeyTrustError("not a DER certificate") from None


def attribute(certificate: x509.Certificate, oid: x509.ObjectIdentifier) -> str:
    """The one value of a subject attribute. Raises KeyTrustError."""
    try:
        found = certificate.subject.get_attributes_for_oid(oid)
    except _MALFORMED as err:
        raise KeyTrustError(f"a certificate's subject cannot be read: {err}") from None
    if len(found) != 1 or not isinstance(found[0].value, str):
        raise KeyTrustError("a certificate's subject is not of the expected form")
    return found[0].value


def common_name(certificate: x509.Certificate) -> str:
    return attribute(certificate, NameOID.COMMON_NAME)


# -- requests (PKCS #10) -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Request:
    """Who asks for a certificate of which role, for a key that signed the request."""

    name: str
    role: str
    public: ec.EllipticCurvePublicKey
    pem: bytes


def request(name: str, role: str, key: ec.EllipticCurvePrivateKey) -> bytes:
    """A certificate signing request, PEM."""
    subject = x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, role), x509.NameAttribute(NameOID.COMMON_NAME, name)]
    )
    made = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return made.public_bytes(serialization.Encoding.PEM)


def read_requests(data: bytes) -> list[Request]:
    """The requests of a PEM file, at most 8. Raises KeyTrustError for one that its own key did not sign."""
    begin, end = b"-----BEGIN CERTIFICATE REQUEST-----", b"-----END CERTIFICATE REQUEST-----"
    blocks = [begin + part.split(end)[0] + end + b"\n" for part in data.split(begin)[1:]]
    if not 1 <= len(blocks) <= 8 or len(data) > 64 << 10:
        raise KeyTrustError("not a PEM file of certificate signing requests", "make it on the camera, with provision")
    return [_read_request(block) for block in blocks]


def _read_request(block: bytes) -> Request:
    hint = "make it again on the camera"
    try:
        found = x509.load_pem_x509_csr(block)
        good, public = found.is_signature_valid, found.public_key()
        roles = found.subject.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)
        names = found.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except _MALFORMED as err:
        raise KeyTrustError(f"a certificate signing request cannot be read: {err}", hint) from None
    if not good or not isinstance(public, ec.EllipticCurvePublicKey) or not isinstance(public.curve, ec.SECP256R1):
        raise KeyTrustError("a certificate signing request is not signed by the P-256 key it names", hint)
    if len(roles) != 1 or len(names) != 1:
        raise KeyTrustError("a certificate signing request does not say who asks, and for which role", hint)
    return Request(str(names[0].value), str(roles[0].value), public, block)


def fingerprint(public: ec.EllipticCurvePublicKey) -> str:
    """Hex SHA-256 of the SubjectPublicKeyInfo: what two people compare."""
    info = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(info).hexdigest()


# -- chains --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Session:
    """What a camera's chain proves: this session key signs for this camera, by leave of this identity key."""

    camera: str
    boot: str
    key: Ed25519PublicKey
    identity: ec.EllipticCurvePublicKey
    certificate_der: bytes


def check_session(chain: Sequence[x509.Certificate], root: x509.Certificate) -> Session:
    """Check session, identity, issuing against the root. Raises KeyTrustError with what is wrong."""
    if len(chain) != 3:
        raise KeyTrustError(f"a camera's chain has 3 certificates (session, identity, issuing), this one {len(chain)}")
    session, identity, issuing = chain
    _check_issuing(issuing, root)
    _check_link(identity, issuing, IDENTITY, path_length=0)
    _check_link(session, identity, SESSION, path_length=None)
    return read_session(chain)


def check_minted(chain: Sequence[x509.Certificate]) -> Session:
    """What a camera's chain says, where its identity key vouches for the session. NOT checked against any root: whose
    identity it is, `is_identity_of` tells the camera that reads its own card. Raises KeyTrustError.
    """
    found = read_session(chain)
    _check_link(chain[0], chain[1], SESSION, path_length=None)
    return found


def is_identity_of(identity: x509.Certificate, own: Sequence[x509.Certificate]) -> bool:
    """Whether an identity certificate is of the camera with the certificates `own` (identity, issuing): it is for the
    same key, or, of a camera that was given another key, for the same name by the same issuer.
    """
    if common_name(identity) != common_name(own[0]):
        return False
    if identity.public_key() == own[0].public_key():
        return True
    try:
        _check_link(identity, own[1], IDENTITY, path_length=0)
    except KeyTrustError:
        return False
    return True


def read_session(chain: Sequence[x509.Certificate]) -> Session:
    """What a camera's chain says, NOT checked against any root nor within itself. Raises KeyTrustError."""
    if len(chain) != 3:
        raise KeyTrustError(f"a camera's chain has 3 certificates (session, identity, issuing), this one {len(chain)}")
    session, identity, _ = chain
    try:
        key, identity_key = session.public_key(), identity.public_key()
        name, identity_name = common_name(session), common_name(identity)
    except _MALFORMED as err:
        raise KeyTrustError(f"a camera's chain has a key that cannot be read: {err}") from None
    camera, _, boot = name.partition(" ")
    if not isinstance(key, Ed25519PublicKey) or not isinstance(identity_key, ec.EllipticCurvePublicKey):
        raise KeyTrustError("a camera's chain has a key of the wrong kind")
    if camera != identity_name or not boot:
        raise KeyTrustError(f"the session certificate {name!r} is not for the camera {identity_name!r}")
    if not CAMERA_NAME.fullmatch(camera):
        raise KeyTrustError(f"{camera!r} in a camera's chain is not a camera name")
    return Session(camera, boot, key, identity_key, der(session))


def check_camera(
    chain: Sequence[x509.Certificate], root: x509.Certificate, role: str
) -> tuple[str, ec.EllipticCurvePublicKey]:
    """(camera, key) of an identity or TLS chain: the certificate and its issuer's. Raises KeyTrustError."""
    if len(chain) != 2:
        raise KeyTrustError(f"a camera's own chain has 2 certificates (its own, issuing), this one {len(chain)}")
    _check_issuing(chain[1], root)
    _check_link(chain[0], chain[1], role, path_length=0 if role == IDENTITY else None)
    try:
        key = chain[0].public_key()
    except _MALFORMED as err:
        raise KeyTrustError(f"the key of a certificate with the role {role!r} cannot be read: {err}") from None
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise KeyTrustError(f"the key of a certificate with the role {role!r} is not P-256")
    return common_name(chain[0]), key


def check_receipt_key(chain: Sequence[x509.Certificate], root: x509.Certificate) -> tuple[str, Ed25519PublicKey]:
    """(station name, receipt key) of a receipt's certificates. Raises KeyTrustError."""
    if len(chain) != 2:
        raise KeyTrustError("a receipt carries 2 certificates: the receipt key's and its issuer's")
    _check_issuing(chain[1], root)
    _check_link(chain[0], chain[1], RECEIPT, path_length=None)
    try:
        key = chain[0].public_key()
    except _MALFORMED as err:
        raise KeyTrustError(f"the receipt key cannot be read: {err}") from None
    if not isinstance(key, Ed25519PublicKey):
        raise KeyTrustError("the receipt key is not Ed25519")
    return common_name(chain[0]), key


def check_root(root: x509.Certificate) -> None:
    """The trust anchor must be what `bodycam-station init` makes: a self-signed CA with the root's role."""
    _check_link(root, root, ROOT, path_length=2)


def _check_issuing(issuing: x509.Certificate, root: x509.Certificate) -> None:
    check_root(root)
    _check_link(issuing, root, ISSUING, path_length=1)


def _check_link(child: x509.Certificate, parent: x509.Certificate, role: str, path_length: int | None) -> None:
    try:
        found = attribute(child, NameOID.ORGANIZATIONAL_UNIT_NAME)
        basic = child.extensions.get_extension_for_class(x509.BasicConstraints).value
        usage = child.extensions.get_extension_for_class(x509.KeyUsage).value
        child.verify_directly_issued_by(parent)
    except InvalidSignature:
        raise KeyTrustError(
            f"the certificate of {child.subject.rfc4514_string()!r} is not signed by its issuer"
        ) from None
    except _MALFORMED as err:
        raise KeyTrustError(f"a certificate with the role {role!r} is malformed or has another issuer: {err}") from None
    if der(child)[-len(child.signature) - 1] != 0:
        # The unused-bits byte of the signature's BIT STRING: a signature is whole bytes, so there is one value for it.
        raise KeyTrustError(f"the certificate of {child.subject.rfc4514_string()!r} is not in its one spelling")
    wants_ca = path_length is not None
    if found != role or basic.ca != wants_ca or basic.path_length != path_length or usage.key_cert_sign != wants_ca:
        raise KeyTrustError(f"a certificate has the role {found!r} where {role!r} belongs")

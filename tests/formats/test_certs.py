"""The agency's certificates: roles, depth, and a reader that survives whatever it is given."""

from __future__ import annotations

import base64
import contextlib
import random

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.errors import KeyTrustError
from agent.formats import certs
from tests.builders import BOOTS, T0, Camera, agency, make_agency


def chain_of(camera: Camera) -> list[x509.Certificate]:
    return certs.parse_pem(camera.chain)


@pytest.fixture
def camera() -> Camera:
    return Camera(agency()).new_session()


def issue(camera: Camera, name: str, role: str, **how: object) -> x509.Certificate:
    arguments = {
        "public": Ed25519PrivateKey.generate().public_key(),
        "issuer": camera.identity_cert,
        "issuer_key": camera.identity_key,
        "not_before": T0,
    } | how
    return certs.issue(name=name, role=role, **arguments)


def test_a_camera_chain_proves_camera_boot_and_keys(camera: Camera) -> None:
    session = certs.check_session(chain_of(camera), agency().root)
    assert (session.camera, session.boot) == (camera.name, BOOTS[0])
    assert session.key == camera.session_key.public_key()
    assert session.identity == camera.identity_key.public_key()


def test_a_chain_to_another_root_is_refused(camera: Camera) -> None:
    with pytest.raises(KeyTrustError):
        certs.check_session(chain_of(camera), make_agency("another").root)


def test_an_identity_key_can_mint_nothing_but_sessions(camera: Camera) -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    below = certs.issue(
        name="cam-0002", role=certs.IDENTITY, public=other.public_key(), issuer=camera.identity_cert,
        issuer_key=camera.identity_key, not_before=T0, path_length=0,
    )  # fmt: skip
    session = issue(camera, f"cam-0002 {BOOTS[0]}", certs.SESSION, issuer=below, issuer_key=other)
    with pytest.raises(KeyTrustError):
        certs.check_session([session, below, camera.identity_cert], agency().root)
    receipt = issue(camera, "station", certs.RECEIPT)
    with pytest.raises(KeyTrustError):
        certs.check_receipt_key([receipt, camera.identity_cert], agency().root)


@pytest.mark.parametrize("role", [certs.RECEIPT, certs.CAMERA_TLS, certs.IDENTITY, "", "bodycam camera session "])
def test_a_session_of_another_role_is_refused(camera: Camera, role: str) -> None:
    if not role:
        role = "x"
    forged = issue(camera, f"{camera.name} {BOOTS[0]}", role)
    with pytest.raises(KeyTrustError, match="role"):
        certs.check_session([forged, *chain_of(camera)[1:]], agency().root)


def test_a_session_that_is_a_ca_is_refused(camera: Camera) -> None:
    forged = issue(camera, f"{camera.name} {BOOTS[0]}", certs.SESSION, path_length=0)
    with pytest.raises(KeyTrustError):
        certs.check_session([forged, *chain_of(camera)[1:]], agency().root)


def test_a_session_for_another_camera_is_refused(camera: Camera) -> None:
    forged = issue(camera, f"cam-0002 {BOOTS[0]}", certs.SESSION)
    with pytest.raises(KeyTrustError, match="not for the camera"):
        certs.check_session([forged, *chain_of(camera)[1:]], agency().root)


def test_a_session_signed_by_another_key_is_refused(camera: Camera) -> None:
    other = ec.generate_private_key(ec.SECP256R1())
    forged = issue(camera, f"{camera.name} {BOOTS[0]}", certs.SESSION, issuer_key=other)
    with pytest.raises(KeyTrustError, match="not signed by its issuer"):
        certs.check_session([forged, *chain_of(camera)[1:]], agency().root)


def test_a_chain_of_another_length_is_refused(camera: Camera) -> None:
    chain = chain_of(camera)
    for wrong in ([], chain[:2], [*chain, agency().root]):
        with pytest.raises(KeyTrustError, match="3 certificates"):
            certs.check_session(wrong, agency().root)


def test_receipt_key() -> None:
    a = agency()
    assert certs.check_receipt_key([a.receipt_cert, a.issuing], a.root) == (a.station, a.receipt_key.public_key())


def test_no_more_than_eight_certificates_are_read(camera: Camera) -> None:
    with pytest.raises(KeyTrustError):
        certs.parse_pem(camera.chain * 3)


def test_a_flipped_bit_anywhere_in_a_chain_is_refused_and_never_crashes(camera: Camera) -> None:
    """Unless the PEM still says the same bytes (its line ends are not covered by it; the leaf's digest covers them)."""
    chosen = random.Random(7)
    before = [certs.der(c) for c in chain_of(camera)]
    for offset in range(0, len(camera.chain), 3):
        data = bytearray(camera.chain)
        data[offset] ^= 1 << chosen.randrange(8)
        try:
            chain = certs.parse_pem(bytes(data))
            certs.check_session(chain, agency().root)
        except KeyTrustError:
            continue
        assert [certs.der(c) for c in chain] == before, offset


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
def test_a_flipped_bit_anywhere_in_der_is_refused_and_never_crashes(camera: Camera) -> None:
    chain = [certs.der(c) for c in chain_of(camera)]
    for which, der in enumerate(chain):
        for offset in range(len(der)):
            data = bytearray(der)
            data[offset] ^= 1 << (offset % 8)
            forged = [*chain[:which], bytes(data), *chain[which + 1 :]]
            with pytest.raises(KeyTrustError):
                certs.check_session([certs.parse_der(c) for c in forged], agency().root)
            with contextlib.suppress(KeyTrustError):
                certs.read_session([certs.parse_der(c) for c in forged])


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
def test_a_name_whose_strings_are_of_another_type_is_refused_and_never_crashes(camera: Camera) -> None:
    """Of most ASN.1 tags the library knows no string, and says so by an error of its own kind."""
    chain = [certs.der(c) for c in chain_of(camera)]
    for which, der in enumerate(chain):
        for at in [at + 5 for at in range(len(der)) if der[at : at + 4] == b"\x06\x03\x55\x04" and der[at + 5] == 0x0C]:
            for tag in set(range(256)) - {0x0C}:
                forged = [*chain[:which], der[:at] + bytes([tag]) + der[at + 1 :], *chain[which + 1 :]]
                with pytest.raises(KeyTrustError):
                    certs.check_session([certs.parse_der(c) for c in forged], agency().root)
                with contextlib.suppress(KeyTrustError):
                    certs.read_session([certs.parse_der(c) for c in forged])


def test_a_second_spelling_of_a_signature_is_refused() -> None:
    """A signature that ends in zero bits reads the same where its BIT STRING says that those bits are unused."""
    camera = Camera(agency())
    while True:
        chain = certs.parse_pem(camera.new_session().chain)
        if chain[0].signature[-1] & 1 == 0:
            break
    data = bytearray(certs.der(chain[0]))
    data[-len(chain[0].signature) - 1] = 1
    other = certs.parse_der(bytes(data))
    assert other.signature == chain[0].signature
    with pytest.raises(KeyTrustError, match="one spelling"):
        certs.check_session([other, *chain[1:]], agency().root)


def test_a_request_of_another_version_is_refused() -> None:
    """PKCS #10 knows version 0 alone; the library that reads it raises an error of its own kind for any other."""
    data = certs.request("cam-0001", certs.IDENTITY, ec.generate_private_key(ec.SECP256R1()))
    der = x509.load_pem_x509_csr(data).public_bytes(serialization.Encoding.DER)
    other = der.replace(b"\x02\x01\x00", b"\x02\x01\x03", 1)
    body = base64.encodebytes(other).decode("ascii")
    pem = f"-----BEGIN CERTIFICATE REQUEST-----\n{body}-----END CERTIFICATE REQUEST-----\n"
    with pytest.raises(KeyTrustError, match="cannot be read"):
        certs.read_requests(pem.encode("ascii"))


@pytest.mark.parametrize("role", [certs.IDENTITY, certs.CAMERA_TLS])
def test_a_camera_whose_key_cannot_be_read_is_refused(role: str) -> None:
    """Whatever an issuing key signed: the library reads a certificate's key only when it is asked for it."""
    agency = make_agency()
    made = certs.issue(
        name="cam-0001", role=role, public=ec.generate_private_key(ec.SECP256R1()).public_key(), issuer=agency.issuing,
        issuer_key=agency.issuing_key, not_before=T0, path_length=0 if role == certs.IDENTITY else None,
    )  # fmt: skip
    tbs = made.tbs_certificate_bytes.replace(bytes.fromhex("2a8648ce3d030107"), bytes.fromhex("2a8648ce3d030147"), 1)
    signature = agency.issuing_key.sign(tbs, ec.ECDSA(hashes.SHA256()))
    algorithm = bytes.fromhex("300a06082a8648ce3d040302")
    body = tbs + algorithm + bytes([3, len(signature) + 1, 0]) + signature
    strange = certs.parse_der(b"\x30\x82" + len(body).to_bytes(2, "big") + body)
    with pytest.raises(KeyTrustError, match="cannot be read"):
        certs.check_camera([strange, agency.issuing], agency.root, role)


def test_a_request_whose_names_are_of_another_type_is_refused() -> None:
    data = certs.request("cam-0001", certs.IDENTITY, key := ec.generate_private_key(ec.SECP256R1()))
    found = x509.load_pem_x509_csr(data)
    info = found.tbs_certrequest_bytes.replace(b"\x06\x03\x55\x04\x0b\x0c", b"\x06\x03\x55\x04\x0b\x08", 1)
    signature = key.sign(info, ec.ECDSA(hashes.SHA256()))
    body = info + bytes.fromhex("300a06082a8648ce3d040302") + bytes([3, len(signature) + 1, 0]) + signature
    der = b"\x30\x82" + len(body).to_bytes(2, "big") + body
    text = base64.encodebytes(der).decode("ascii")
    pem = f"-----BEGIN CERTIFICATE REQUEST-----\n{text}-----END CERTIFICATE REQUEST-----\n"
    with pytest.raises(KeyTrustError, match="cannot be read"):
        certs.read_requests(pem.encode("ascii"))

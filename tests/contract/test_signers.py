"""One contract for every identity key: a file, and a TPM (a real swtpm)."""

from __future__ import annotations

import copy
import datetime
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from agent import keyfile
from agent.configrules import KeyPlace, TpmHandle
from agent.errors import KeyTrustError, UsageError
from agent.formats import certs, merkle, note
from agent.identity import Signer, open_signer
from agent.sealing.session import open_session
from agent.station import admin
from agent.station.layout import AgencyPaths
from agent.tpm import key
from agent.tpm.device import Tpm
from tests.station.kit import own_agency
from tests.tpm.kit import software_tpm

HANDLE = TpmHandle(0x81010001)
BOOT = "11111111-2222-3333-4444-555555555555"
HASH = ec.ECDSA(hashes.SHA256())


@pytest.fixture(scope="module", params=["file", "tpm"])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[KeyPlace, Path]]:
    """A fresh key of each kind: (where it lies, the TPM's device)."""
    directory = tmp_path_factory.mktemp("signer")
    if request.param == "file":
        made = ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        keyfile.create(directory / "identity.key", made, "identity key")
        yield directory / "identity.key", Path("/dev/null")
    else:
        with software_tpm(directory) as tpm:
            key.create(Tpm(tpm.path), HANDLE)
            yield HANDLE, tpm.path


@pytest.fixture
def signer(place: tuple[KeyPlace, Path]) -> Signer:
    return open_signer(*place)


@pytest.fixture(scope="module")
def paths(agency: AgencyPaths, tmp_path_factory: pytest.TempPathFactory) -> AgencyPaths:
    return own_agency(agency, tmp_path_factory.mktemp("contract") / "agency")


def enrolled(paths: AgencyPaths, signer: Signer, camera: str) -> bytes:
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    csr = request.sign(signer.issuing_key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    return admin.enrol(paths.root, camera, identity_csr=csr).identity_chain.read_bytes()


@pytest.mark.parametrize("size", [0, 1, 31, 32, 33, 64, 1023, 1024, 1025, 100_000])
def test_signs_what_its_public_key_verifies(signer: Signer, size: int) -> None:
    message = b"m" * size
    signature = signer.sign(message)
    signer.public.verify(signature, message, HASH)
    with pytest.raises(InvalidSignature):
        signer.public.verify(signature, message + b"!", HASH)


def test_the_same_key_each_time_it_is_opened(place: tuple[KeyPlace, Path], signer: Signer) -> None:
    open_signer(*place).public.verify(signer.sign(b"m"), b"m", HASH)
    assert isinstance(signer.public.curve, ec.SECP256R1)


def test_signs_a_request_and_a_certificate_that_openssl_accepts(signer: Signer, tmp_path: Path) -> None:
    request = (
        x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(signer.issuing_key, hashes.SHA256())
    )
    assert request.is_signature_valid
    root = certs.issue(
        name="own", role=certs.ROOT, public=signer.public, issuer=None, issuer_key=signer.issuing_key,
        not_before=datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC), path_length=2,
    )  # fmt: skip
    certs.check_root(root)
    (tmp_path / "root.pem").write_bytes(certs.pem([root]))
    command = ["openssl", "verify", "-x509_strict", "-check_ss_sig", "-CAfile", "root.pem", "root.pem"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr


def test_certifies_a_session_and_signs_its_checkpoints(paths: AgencyPaths, signer: Signer, place: object) -> None:
    camera = "cam-file" if isinstance(place[0], Path) else "cam-tpm"  # type: ignore[index]
    chain = paths.camera(camera).identity_chain
    pem = chain.read_bytes() if chain.exists() else enrolled(paths, signer, camera)
    session = open_session(signer, pem, camera, BOOT)
    root = certs.parse_pem(paths.trust_root.read_bytes())[0]
    proven = certs.check_session(certs.parse_pem(session.chain_pem), root)
    assert (proven.camera, proven.boot) == (camera, BOOT)
    origin = f"bodycam.local/{camera}/1"
    signed = note.parse(session.sign_checkpoint(note.Checkpoint(origin, 0, merkle.Frontier().root()), True).note)
    assert len(signed.signatures) == 2
    signer.public.verify(signed.signatures[1].value, signed.text.encode(), HASH)


def test_a_certificate_for_another_key_is_refused(paths: AgencyPaths, signer: Signer, agency: AgencyPaths) -> None:
    chain = agency.camera("cam-test").identity_chain.read_bytes()
    with pytest.raises(KeyTrustError, match="the identity certificate is for another key"):
        open_session(signer, chain, "cam-test", BOOT)


def test_a_key_in_hardware_does_nothing_but_sign(place: tuple[KeyPlace, Path], signer: Signer) -> None:
    issuing = signer.issuing_key
    if isinstance(place[0], Path):
        return
    assert copy.deepcopy(issuing) is copy.copy(issuing) is issuing
    other = ec.generate_private_key(ec.SECP256R1()).public_key()
    pem = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    for use in (
        issuing.private_numbers,
        lambda: issuing.private_bytes(*pem),
        lambda: issuing.exchange(ec.ECDH(), other),
        lambda: issuing.sign(b"m", ec.ECDSA(hashes.SHA384())),
    ):
        with pytest.raises(UsageError):
            use()

"""The agency's keys: made once, private, and good for what their certificates say."""

from __future__ import annotations

import stat
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from agent.errors import Exit, KeyTrustError, UsageError
from agent.formats import age, certs, note
from agent.station import admin, retention
from agent.station.commands import main
from agent.station.layout import AgencyPaths
from tests.camera_kit import CAMERA
from tests.station.kit import own_agency


def test_private_files_are_private(agency: AgencyPaths) -> None:
    for path in agency.root.rglob("*"):
        mode = stat.S_IMODE(path.stat().st_mode)
        if path.is_dir():
            assert mode == 0o700, path
        elif path.suffix in (".key", ".agekey"):
            assert mode == 0o600, path


def test_init_does_not_touch_keys_that_are_there(agency: AgencyPaths, tmp_path: Path) -> None:
    paths = own_agency(agency, tmp_path / "agency")
    before = {p: p.read_bytes() for p in paths.root.rglob("*") if p.is_file()}
    with pytest.raises(KeyTrustError, match="nothing was changed"):
        admin.init(paths.root)
    assert {p: p.read_bytes() for p in paths.root.rglob("*") if p.is_file()} == before


def test_recipients_are_those_of_the_two_identities(agency: AgencyPaths) -> None:
    identities = [age.parse_identity_file(p.read_text())[0] for p in (agency.agency_identity, agency.escrow_identity)]
    assert agency.recipients.read_text().split() == [i.recipient.to_string() for i in identities]


def test_receipt_key_is_certified_under_the_name_of_its_verifier_keys(agency: AgencyPaths) -> None:
    root = certs.parse_pem(agency.trust_root.read_bytes())[0]
    name, key = certs.check_receipt_key(certs.parse_pem(agency.receipt_chain.read_bytes()), root)
    assert note.parse_vkey(agency.receipt_vkey.read_text()) == (name, key)
    assert note.parse_vkey(agency.witness_vkey.read_text(), note.COSIGNATURE) == (name, key)


@pytest.mark.parametrize(
    "leaf", ["tls/station.pem", f"camera/{CAMERA}/tls.pem", f"camera/{CAMERA}/identity.pem", "keys/receipt.pem"]
)
def test_openssl_accepts_every_chain(agency: AgencyPaths, leaf: str) -> None:
    path = str(agency.root / leaf)
    command = ["openssl", "verify", "-x509_strict", "-CAfile", str(agency.trust_root), "-untrusted", path, path]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr


def test_enrol_from_requests_leaves_no_key_here(agency: AgencyPaths, tmp_path: Path) -> None:
    paths = own_agency(agency, tmp_path / "agency")
    files = []
    for which in ("identity", "tls"):
        key = ec.generate_private_key(ec.SECP256R1())
        request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
        files.append(tmp_path / f"{which}.csr")
        files[-1].write_bytes(request.public_bytes(serialization.Encoding.PEM))
    argv = ["enrol", "--dir", str(paths.root), "--camera", "cam-2"]
    assert main([*argv, "--identity-csr", str(files[0]), "--tls-csr", str(files[1])]) == Exit.OK
    camera = paths.camera("cam-2")
    assert sorted(p.name for p in camera.directory.iterdir()) == ["identity.pem", "tls.pem"]
    assert certs.common_name(certs.parse_pem(camera.identity_chain.read_bytes())[0]) == "cam-2"


def test_a_damaged_request_is_refused(agency: AgencyPaths, tmp_path: Path) -> None:
    paths = own_agency(agency, tmp_path / "agency")
    key = ec.generate_private_key(ec.SECP256R1())
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    der = bytearray(request.public_bytes(serialization.Encoding.DER))
    der[-1] ^= 1
    damaged = x509.load_der_x509_csr(bytes(der)).public_bytes(serialization.Encoding.PEM)
    with pytest.raises(KeyTrustError, match="CSR"):
        admin.enrol(paths.root, "cam-2", identity_csr=damaged)


def test_enrolled_cameras_and_bad_names_are_refused(agency: AgencyPaths, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyTrustError, match="enrolled already"):
        admin.enrol(agency.root, CAMERA)
    with pytest.raises(UsageError):
        admin.enrol(agency.root, "../escape")
    assert main(["enrol", "--dir", str(agency.root), "--camera", CAMERA]) == Exit.KEYS
    assert "next:" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["", " ", "a\nb", "x" * 49])
def test_agency_names_that_no_certificate_takes(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError):
        admin.init(tmp_path, name)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("agency_name", "station"), [("City Police", "station.city-police"), ("شرطة", "station.agency")]
)
def test_station_name_is_a_key_name(agency_name: str, station: str) -> None:
    assert note.check_name(admin.station_name(agency_name)) == station


def test_init_says_what_to_lock_away(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "--dir", str(tmp_path / "new"), "--host", "127.0.0.1"]) == Exit.OK
    told = capsys.readouterr().out
    assert all(name in told for name in ("root.key", "agency.agekey", "escrow.agekey"))


def test_init_says_that_receipts_are_without_end_unless_it_is_told_for_how_long(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", "--dir", str(tmp_path / "endless")]) == Exit.OK
    assert "no retention.toml yet" in capsys.readouterr().out
    assert main(["init", "--dir", str(tmp_path / "kept"), "--keep-days", "90"]) == Exit.OK
    assert "Kept: 90 days" in capsys.readouterr().out
    policy = retention.load(AgencyPaths(tmp_path / "kept"))
    assert policy is not None and policy.days == 90
    for days in ("0", "-1", "36501"):
        assert main(["init", "--dir", str(tmp_path / "none"), "--keep-days", days]) == Exit.USAGE
    assert not (tmp_path / "none").exists()


def test_init_leaves_a_policy_that_somebody_wrote_before(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = AgencyPaths(tmp_path)
    paths.retention.write_text("days = 90\n")
    assert main(["init", "--dir", str(tmp_path), "--keep-days", "30"]) == Exit.USAGE
    assert "leave --keep-days out" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [paths.retention]
    assert main(["init", "--dir", str(tmp_path)]) == Exit.OK
    assert "retention.toml" not in capsys.readouterr().out
    assert paths.retention.read_text() == "days = 90\n"

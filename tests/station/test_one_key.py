"""Whoever has a camera's key signs as that camera, so no two cameras are enrolled with one."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from agent.cli import station_main
from agent.errors import Exit, KeyTrustError, StorageError
from agent.formats import certs
from agent.provision import Wanted, prepare
from agent.station import admin, turn
from agent.station.enrolment import enrol_request
from agent.station.layout import AgencyPaths
from agent.station.onekey import Taken, alone
from agent.station.revocation import revoke
from tests.station.kit import own_agency

FILE = Wanted("cam-0001", "file", Path("/dev/tpmrm0"))
P256 = ec.SECP256R1()


@pytest.fixture
def paths(agency: AgencyPaths, tmp_path: Path) -> AgencyPaths:
    return own_agency(agency, tmp_path / "agency")


def copied(folder: Path, camera: str) -> bytes:
    """The request of a camera whose card was copied from that of cam-0001 after its first step."""
    first = prepare(folder / "cam-0001", FILE).request
    shutil.copytree(folder / "cam-0001", folder / camera)
    (folder / camera / "provision.json").unlink()
    (folder / camera / first.name).unlink()
    return prepare(folder / camera, replace(FILE, camera=camera)).request.read_bytes()


def asked(camera: str, identity: ec.EllipticCurvePrivateKey, tls: ec.EllipticCurvePrivateKey) -> bytes:
    return certs.request(camera, certs.IDENTITY, identity) + certs.request(camera, certs.CAMERA_TLS, tls)


def test_a_key_of_another_camera_is_refused_and_that_camera_named(paths: AgencyPaths, tmp_path: Path) -> None:
    second = copied(tmp_path, "cam-0002")
    enrol_request(paths.root, (tmp_path / "cam-0001" / "cam-0001.csr").read_bytes())
    with pytest.raises(KeyTrustError, match="key of camera cam-0001") as told:
        enrol_request(paths.root, second)
    assert told.value.hint is not None
    for name in ("recorder/identity.key", "uploader/tls.key"):
        assert name in told.value.hint
        (tmp_path / "cam-0002" / name).unlink()
    assert not paths.camera("cam-0002").directory.exists()
    # As it says: with new keys, by the first step once more.
    again = prepare(tmp_path / "cam-0002", replace(FILE, camera="cam-0002"))
    assert not enrol_request(paths.root, again.request.read_bytes()).again
    assert enrol_request(paths.root, (tmp_path / "cam-0001" / "cam-0001.csr").read_bytes()).again


def test_the_key_of_a_revoked_camera_comes_under_no_other_name(paths: AgencyPaths, tmp_path: Path) -> None:
    second = copied(tmp_path, "cam-0002")
    enrol_request(paths.root, (tmp_path / "cam-0001" / "cam-0001.csr").read_bytes())
    revoke(paths.root, "cam-0001", "lost")
    with pytest.raises(KeyTrustError, match="key of camera cam-0001"):
        enrol_request(paths.root, second)


def test_of_two_requests_of_a_batch_with_one_key_the_second_is_refused(
    paths: AgencyPaths, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    carried = tmp_path / "requests"
    carried.mkdir()
    (carried / "cam-0002.csr").write_bytes(copied(tmp_path, "cam-0002"))
    shutil.copy(tmp_path / "cam-0001" / "cam-0001.csr", carried)
    assert station_main(["enrol", "--dir", str(paths.root), "--csr", str(carried), "--json"]) == Exit.KEYS
    told = json.loads(capsys.readouterr().out)
    assert [one["camera"] for one in told["enrolled"]] == ["cam-0001"]
    assert [Path(one["csr"]).name for one in told["refused"]] == ["cam-0002.csr"]


@pytest.mark.parametrize("keys", [lambda a, b, _: (b, a), lambda a, _, new: (new, a), lambda _, b, new: (b, new)])
def test_neither_key_of_a_camera_is_any_key_of_another(
    paths: AgencyPaths, keys: Callable[..., tuple[ec.EllipticCurvePrivateKey, ec.EllipticCurvePrivateKey]]
) -> None:
    identity, tls, new = (ec.generate_private_key(P256) for _ in range(3))
    enrol_request(paths.root, asked("cam-0001", identity, tls))
    with pytest.raises(KeyTrustError, match="key of camera cam-0001"):
        enrol_request(paths.root, asked("cam-0002", *keys(identity, tls, new)))


def test_one_key_for_both_certificates_is_refused(paths: AgencyPaths) -> None:
    key = ec.generate_private_key(P256)
    with pytest.raises(KeyTrustError, match="one key for both"):
        enrol_request(paths.root, asked("cam-0001", key, key))
    assert not paths.camera("cam-0001").directory.exists()


def test_two_that_share_a_key_from_before_are_told(paths: AgencyPaths) -> None:
    identity, tls = ec.generate_private_key(P256), ec.generate_private_key(P256)
    for camera in ("cam-0001", "cam-0002"):
        (found, other) = certs.read_requests(asked(camera, identity, tls))
        admin.enrol(paths.root, camera, found.pem, other.pem, Taken({}))
    with pytest.raises(KeyTrustError, match="camera cam-0002 asks with a key of camera cam-0001") as told:
        enrol_request(paths.root, asked("cam-0002", identity, tls))
    # Another key comes under this name no more, and without its own it would not start.
    assert told.value.hint is not None
    assert "rm " not in told.value.hint and "under a new name" in told.value.hint


def test_a_request_for_each_certificate_by_itself_is_held_to_the_same(paths: AgencyPaths) -> None:
    identity, tls = ec.generate_private_key(P256), ec.generate_private_key(P256)
    enrol_request(paths.root, asked("cam-0001", identity, tls))
    with pytest.raises(KeyTrustError, match="key of camera cam-0001"):
        admin.enrol(paths.root, "cam-0002", certs.request("cam-0002", certs.IDENTITY, tls))
    assert not paths.camera("cam-0002").directory.exists(), "nor was a key made"


def test_a_certificate_that_cannot_be_read_is_named_since_its_key_is_not_known(paths: AgencyPaths) -> None:
    here = paths.camera("cam-0001")
    enrol_request(paths.root, asked("cam-0001", ec.generate_private_key(P256), ec.generate_private_key(P256)))
    here.tls_chain.write_bytes(b"damaged")
    with pytest.raises(KeyTrustError, match=str(here.tls_chain)):
        enrol_request(paths.root, asked("cam-0002", ec.generate_private_key(P256), ec.generate_private_key(P256)))
    # What lies beside the cameras is none.
    here.directory.rename(here.directory.with_name("cam-0001 (copy)"))
    enrol_request(paths.root, asked("cam-0002", ec.generate_private_key(P256), ec.generate_private_key(P256)))


@pytest.mark.parametrize("at_once", ["a request", "a request for each certificate", "a directory"])
def test_nobody_enrols_between_anothers_look_at_the_keys_and_its_certificates(
    paths: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at_once: str
) -> None:
    monkeypatch.setattr(turn, "WAIT_S", 0.02)
    identity, tls, issue = ec.generate_private_key(P256), ec.generate_private_key(P256), certs.issue
    first, second = asked("cam-0001", identity, tls), asked("cam-0002", identity, tls)
    (carried := tmp_path / "requests").mkdir()
    (carried / "cam-0001.csr").write_bytes(first)
    refused = list[StorageError]()

    def meanwhile(**wanted: Any) -> x509.Certificate:
        if not refused:
            with pytest.raises(StorageError, match="`bodycam-station enrol` may hold it") as told:
                enrol_request(paths.root, second)
            refused.append(told.value)
        return issue(**wanted)

    monkeypatch.setattr(certs, "issue", meanwhile)
    if at_once == "a request":
        enrol_request(paths.root, first)
    elif at_once == "a directory":
        assert station_main(["enrol", "--dir", str(paths.root), "--csr", str(carried)]) == Exit.OK
    else:
        found, other = certs.read_requests(first)
        admin.enrol(paths.root, "cam-0001", found.pem, other.pem)
    assert refused
    with pytest.raises(KeyTrustError, match="key of camera cam-0001"):
        enrol_request(paths.root, second)
    assert not paths.camera("cam-0002").directory.exists()


def test_a_directory_is_answered_by_what_was_enrolled_while_it_waited(
    paths: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    identity, tls = ec.generate_private_key(P256), ec.generate_private_key(P256)
    (carried := tmp_path / "requests").mkdir()
    (carried / "cam-0002.csr").write_bytes(asked("cam-0002", identity, tls))
    take = turn.take

    def waits(*held: Any) -> None:
        if not paths.camera("cam-0001").directory.exists():
            paths.camera("cam-0001").directory.mkdir()
            with alone(paths, Taken({})) as known:
                enrol_request(paths.root, asked("cam-0001", identity, tls), taken=known)
        take(*held)

    monkeypatch.setattr(turn, "take", waits)
    assert station_main(["enrol", "--dir", str(paths.root), "--csr", str(carried)]) == Exit.KEYS
    assert "key of camera cam-0001" in capsys.readouterr().err

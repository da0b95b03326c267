"""A camera's name: the longest that is allowed records, and one character more is refused wherever a name comes in."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.config import CameraConfig, check, dump
from agent.errors import EvidenceError, KeyTrustError, UsageError
from agent.formats import certs
from agent.formats import leaf as leaves
from agent.identity import FileSigner
from agent.model import CAMERA_NAME_CHARS
from agent.sealing.session import open_session
from agent.station import admin
from agent.station.commands import main as station
from agent.station.layout import AgencyPaths
from tests.formats.test_leaf import COMMON, MEDIA

BOOT = "11111111-2222-4333-8444-555555555555"
LONGEST = "c" * CAMERA_NAME_CHARS
TOO_LONG = LONGEST + "c"


@pytest.fixture(scope="module")
def agency(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("agency") / "agency"
    admin.init(root)
    return root


def test_the_longest_name_leaves_room_for_a_boot_id_in_a_common_name() -> None:
    """RFC 5280, appendix A.1: ub-common-name is 64."""
    assert len(f"{LONGEST} {BOOT}") == 64


def test_a_camera_with_the_longest_name_opens_its_session(agency: Path) -> None:
    camera = admin.enrol(agency, LONGEST)
    session = open_session(FileSigner(camera.identity_key), camera.identity_chain.read_bytes(), LONGEST, BOOT)
    root = certs.parse_pem((agency / "trust" / "root.pem").read_bytes())[0]
    proven = certs.check_session(certs.parse_pem(session.chain_pem), root)
    assert (proven.camera, proven.boot) == (LONGEST, BOOT)


def test_its_leaves_can_be_read() -> None:
    value = json.loads(leaves.to_bytes(MEDIA)) | {"camera": LONGEST}
    assert leaves.parse(json.dumps(value).encode() + b"\n").common.camera == LONGEST
    assert COMMON.camera != LONGEST


def test_the_leaf_parser_refuses_one_more() -> None:
    value = json.loads(leaves.to_bytes(MEDIA)) | {"camera": TOO_LONG}
    with pytest.raises(EvidenceError, match="camera"):
        leaves.parse(json.dumps(value).encode() + b"\n")


@pytest.mark.parametrize(("name", "mistakes"), [(LONGEST, 0), (TOO_LONG, 1)])
def test_config_check(name: str, mistakes: int) -> None:
    from dataclasses import replace

    from tests.config_kit import BASE, sample

    found = check(dump(replace(sample(), camera=CameraConfig(id=name))), BASE)
    assert len(found) == mistakes
    assert all("is not 1 to 27 of a-z, 0-9 and -" in mistake for mistake in found)


def test_enrol_refuses_one_more(agency: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert station(["enrol", "--dir", str(agency), "--camera", TOO_LONG]) == 2
    assert "use 1 to 27 of a-z, 0-9 and -" in capsys.readouterr().err
    assert not (agency / "camera" / TOO_LONG).exists()


def test_a_session_for_one_more_is_refused_in_words(agency: Path) -> None:
    """A certificate from elsewhere may bear such a name; that must not be a crash of the recorder."""
    camera = admin.enrol(agency, "short")
    with pytest.raises(UsageError, match="1 to 27"):
        open_session(FileSigner(camera.identity_key), camera.identity_chain.read_bytes(), TOO_LONG, BOOT)


@pytest.mark.parametrize("host", ["h" * 65, "stätion"])
def test_a_station_host_that_no_certificate_can_name_is_refused_before_keys_are_made(
    host: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert station(["init", "--dir", str(tmp_path / "a"), "--host", host]) == 2
    assert "--host" in capsys.readouterr().err
    assert not (tmp_path / "a").exists()


def test_a_chain_whose_camera_has_a_longer_name_is_not_trusted(agency: Path) -> None:
    paths = AgencyPaths(agency)
    issuing, issuing_key = admin._issuer(paths)
    identity_key, session_key = admin._p256(), Ed25519PrivateKey.generate()
    now = admin._not_before()
    identity = certs.issue(
        name=TOO_LONG, role=certs.IDENTITY, public=identity_key.public_key(), issuer=issuing, issuer_key=issuing_key,
        not_before=now, path_length=0,
    )  # fmt: skip
    session = certs.issue(
        name=f"{TOO_LONG} boot", role=certs.SESSION, public=session_key.public_key(), issuer=identity,
        issuer_key=identity_key, not_before=now,
    )  # fmt: skip
    root = certs.parse_pem(paths.trust_root.read_bytes())[0]
    with pytest.raises(KeyTrustError, match="name"):
        certs.check_session([session, identity, issuing], root)

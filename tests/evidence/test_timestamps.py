"""An RFC 3161 timestamp over a cosigned head travels with a range, and stock openssl checks it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from agent.errors import EvidenceError, UsageError
from agent.evidence.commands import main
from agent.evidence.findings import What
from agent.evidence.stamp import Stamp, load_stamp
from agent.formats import note, receipt, timestamp
from tests.builders import agency
from tests.evidence.kit import failures, report_of
from tests.evidence.range_kit import indexes, members, range_of, written
from tests.film import film_camera

CONFIG = """
[tsa]
default_tsa = one
[one]
serial = {place}/serial
signer_cert = {place}/tsa.pem
signer_key = {place}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256, sha512
accuracy = secs:1
ess_cert_id_alg = sha256
[ca]
basicConstraints = critical, CA:true
[leaf]
extendedKeyUsage = critical, timeStamping
"""


def openssl(place: Path, *words: object) -> str:
    done = subprocess.run(["openssl", *map(str, words)], cwd=place, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with ca.pem, tsa.pem and what `openssl ts -reply` needs."""
    place = tmp_path_factory.mktemp("tsa")
    (place / "tsa.cnf").write_text(CONFIG.format(place=place))
    (place / "serial").write_text("01\n")
    ec = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-config", "/dev/null"]
    openssl(
        place,
        "req",
        "-x509",
        *ec[:-2],
        "-keyout",
        "ca.key",
        "-out",
        "ca.pem",
        "-subj",
        "/CN=authority",
        "-days",
        "3650",
    )
    openssl(place, "req", *ec[:-2], "-keyout", "tsa.key", "-out", "tsa.csr", "-subj", "/CN=stamps")
    sign = ["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "3650", "-extfile", "tsa.cnf"]
    openssl(place, "x509", "-req", "-in", "tsa.csr", *sign, "-extensions", "leaf", "-out", "tsa.pem")
    return place


def stamp(authority: Path, data: bytes, place: Path, digest: str = "-sha256") -> Path:
    (place / "head.note").write_bytes(data)
    openssl(place, "ts", "-query", digest, "-cert", "-data", "head.note", "-out", "head.tsq")
    words = ["-config", authority / "tsa.cnf", "-section", "one", "-queryfile", "head.tsq", "-out", "head.tsr"]
    openssl(place, "ts", "-reply", *words)
    return place / "head.tsr"


def cosigned(data: bytes) -> bytes:
    return receipt.parse(note.parse(data).text).checkpoint


@pytest.fixture(scope="module")
def place(authority: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """seg/ with two receipts, head.tsr over the later one's head, root.pem, agency.agekey."""
    place = tmp_path_factory.mktemp("stamped")
    camera = film_camera()
    camera.write(place / "seg")
    agency().write_trust(place)
    for size in (camera.frontier.size - 1, camera.frontier.size):
        (place / "seg" / f"{size}.receipt").write_bytes(camera.receipt(camera.segments, size))
    stamp(authority, cosigned((place / "seg" / f"{camera.frontier.size}.receipt").read_bytes()), place)
    return place


def stamped(place: Path, authority: Path | None) -> Stamp | None:
    return load_stamp(place / "head.tsr", authority / "ca.pem" if authority else None)


def test_the_proof_leads_to_the_head_that_was_stamped(place: Path, authority: Path, tmp_path: Path) -> None:
    proof = range_of(place / "seg", tmp_path / "out", stamp=stamped(place, authority))
    report = report_of(proof)
    assert report.verified
    (view,) = report.ranges
    assert view.head.head is not None and view.stamped is not None
    assert view.head.head.data == (place / "head.note").read_bytes()
    assert any(f.what is What.UNCHECKED and "openssl ts -verify" in f.text for f in report.findings)
    subprocess.run(["tar", "-xf", proof, "-C", tmp_path], check=True)
    readme = (tmp_path / "README.txt").read_text()
    (command,) = [line.strip() for line in readme.splitlines() if line.startswith("    openssl ts")]
    done = subprocess.run(command.split(), cwd=tmp_path, capture_output=True, text=True)
    assert "Verification: OK" in done.stdout + done.stderr, done.stderr


def test_the_time_is_that_which_openssl_reads(place: Path) -> None:
    said = timestamp.parse((place / "head.tsr").read_bytes())
    text = openssl(place, "ts", "-reply", "-in", "head.tsr", "-text")
    assert f"{said.time[11:19]}" in text and f" {said.time[:4]} GMT" in text
    assert said.sha256 == openssl(place, "dgst", "-sha256", "-r", "head.note").split()[0]


def test_without_a_range_it_is_one_of_all_parts(place: Path, authority: Path, tmp_path: Path) -> None:
    proof = range_of(place / "seg", tmp_path / "out", "", "", stamp=stamped(place, None))
    assert failures(proof) == []
    content = members(proof)
    assert sum(b'"class":"media"' in content[f"entries/{i:010d}.json"] for i in indexes(content)) == 8
    assert "trust/tsa.pem" not in content


def test_a_timestamp_of_something_else_is_refused_with_the_recipe(
    place: Path, authority: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = stamp(authority, b"something else", tmp_path)
    words = [
        "export",
        place / "seg",
        "--trust",
        place / "root.pem",
        "-i",
        place / "agency.agekey",
        "-o",
        tmp_path / "out",
    ]
    assert main([*map(str, words), "--timestamp", str(other)]) == 2
    told = capsys.readouterr().err
    assert "is over no checkpoint at hand" in told and "openssl ts -query" in told
    assert not list((tmp_path / "out").glob("*.tar"))


def test_a_timestamp_changed_or_of_another_checkpoint(place: Path, authority: Path, tmp_path: Path) -> None:
    content = members(range_of(place / "seg", tmp_path / "out", stamp=stamped(place, authority)))
    other = stamp(authority, b"something else", tmp_path).read_bytes()
    for data in (other, b"", b"\x30\x00", content["timestamp.tsr"][:-1], content["timestamp.tsr"] + b"\0"):
        found = failures(written(tmp_path / "r.proof.tar", content | {"timestamp.tsr": data}))
        assert [f.what for f in found] == [What.ALTERED_BYTES]
        assert "timestamp.tsr" in found[0].text


def test_a_timestamp_is_over_the_bytes_of_the_checkpoint_whoever_signed_it(
    place: Path, authority: Path, tmp_path: Path
) -> None:
    """Without its station's certificate the checkpoint proves nothing; the timestamp is still over it."""
    content = members(range_of(place / "seg", tmp_path / "out", stamp=stamped(place, authority)))
    del content["station.pem"]
    assert [f.what for f in failures(written(tmp_path / "r.proof.tar", content))] == [What.BAD_SIGNATURE]


def test_only_a_granted_response_over_a_sha256_will_do(place: Path, authority: Path, tmp_path: Path) -> None:
    longer = stamp(authority, b"x", tmp_path, "-sha512")
    with pytest.raises(EvidenceError, match="SHA-256"):
        timestamp.parse(longer.read_bytes())
    refused = bytes.fromhex("30053003020102")
    with pytest.raises(EvidenceError, match="did not grant"):
        timestamp.parse(refused)
    data = (place / "head.tsr").read_bytes()
    for cut in range(0, len(data), 7):
        with pytest.raises(EvidenceError):
            timestamp.parse(data[:cut])


def test_wrong_uses(place: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--timestamp-ca without"):
        load_stamp(None, place / "root.pem")
    with pytest.raises(UsageError, match=r"--timestamp .*root.pem"):
        load_stamp(place / "root.pem", None)
    with pytest.raises(UsageError, match=r"--timestamp-ca .*head.tsr"):
        load_stamp(place / "head.tsr", place / "head.tsr")
    with pytest.raises(UsageError, match=r"nothing\.tsr"):
        load_stamp(tmp_path / "nothing.tsr", None)

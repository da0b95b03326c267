"""age files both ways with npm's age-encryption, at every size around a chunk boundary, for both types of recipient.

`make setup` fetches it into .cache/npm; where it is missing the tests fail: they prove nothing without it.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from agent.errors import EvidenceError, KeyTrustError
from agent.formats import age, age_header
from tests.formats.age_kit import ALICE, BOB, CHUNK, EVE, SIZES, text

HERE = Path(__file__).parent
PACKAGES = HERE.parents[1] / ".cache" / "npm"
# Of each type: whom we seal to, and one who must not open it.
PEOPLE: dict[str, tuple[age.Identity, age.Identity, age.Identity]] = {
    "x25519": (ALICE, BOB, EVE),
    "pq": (age.PqIdentity(bytes([1]) * 32), age.PqIdentity(bytes([2]) * 32), age.PqIdentity(bytes([3]) * 32)),
}
KINDS = list(PEOPLE)
ALTERED_SIZE = 2 * CHUNK


@dataclass(frozen=True)
class Answer:
    """What the other implementation said, and where its files are."""

    folder: Path
    opened: dict[str, str]
    generated: list[dict[str, str]]
    recipients: list[str]


def altered(sealed: bytes) -> dict[str, bytes]:
    """A file that must not open: cut at a chunk boundary, cut by a byte, one more behind it, a bit of each half."""
    header = age_header.parse(sealed).size
    flipped = bytearray(sealed)
    flipped[-1] ^= 1
    return {
        "cut-at-chunk": sealed[: header + 16 + CHUNK + 16],
        "cut": sealed[:-1],
        "longer": sealed + b"\0",
        "flipped": bytes(flipped),
        "header": sealed.replace(b"\n--- ", b"\n-> x\n\n--- ", 1),
    }


def write_ours(folder: Path) -> dict[str, dict[str, str]]:
    """Files of ours by name, each with who is to open it."""
    jobs = {}
    for kind, (first, second, other) in PEOPLE.items():
        recipients = [first.recipient, second.recipient]
        files = {
            f"{size}-{n}": (age.encrypt(text(size), recipients).data, (first, second)[n])
            for size in SIZES
            for n in (0, 1)
        }
        whole = age.encrypt(text(ALTERED_SIZE), recipients).data
        files |= {name: (data, first) for name, data in altered(whole).items()}
        files["other"] = (whole, other)
        for name, (data, who) in files.items():
            (folder / f"{kind}-{name}").write_bytes(data)
            jobs[f"{kind}-{name}"] = {"file": str(folder / f"{kind}-{name}"), "identity": who.to_string()}
    return jobs


@pytest.fixture(scope="module")
def answer(tmp_path_factory: pytest.TempPathFactory) -> Answer:
    assert (PACKAGES / "node_modules" / "age-encryption").is_dir(), "npm's age-encryption is missing: `make setup`"
    folder = tmp_path_factory.mktemp("npm")
    plaintext = folder / "plaintext"
    plaintext.write_bytes(text(max(SIZES)))
    ours = write_ours(folder)
    job: dict[str, Any] = {
        "plaintext": str(plaintext),
        "open": list(ours.values()),
        "seal": [
            {
                "file": str(folder / f"{kind}-{size}.theirs"),
                "size": size,
                "recipients": [who.recipient.to_string() for who in (second, first)],
            }
            for kind, (first, second, _) in PEOPLE.items()
            for size in SIZES
        ],
        "generate": KINDS,
        "recipients": [who.to_string() for kind in KINDS for who in PEOPLE[kind]],
    }
    command = ["node", "--no-warnings", str(HERE / "age.mjs"), str(PACKAGES)]
    done = subprocess.run(command, input=json.dumps(job), capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    said = json.loads(done.stdout)
    return Answer(folder, dict(zip(ours, said["opened"], strict=True)), said["generated"], said["recipients"])


@pytest.mark.wide
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_it_opens_what_we_write_for_each_recipient(answer: Answer, kind: str, size: int) -> None:
    for n in (0, 1):
        assert answer.opened[f"{kind}-{size}-{n}"] == hashlib.sha256(text(size)).hexdigest()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", KINDS)
def test_we_open_what_it_writes_for_each_recipient(answer: Answer, kind: str, size: int) -> None:
    sealed = (answer.folder / f"{kind}-{size}.theirs").read_bytes()
    first, second, other = PEOPLE[kind]
    for who in (first, second):
        assert age.decrypt(sealed, [other, who]) == text(size)
    with pytest.raises(KeyTrustError, match="no identity fits"):
        age.decrypt(sealed, [other])


@pytest.mark.parametrize("name", ["cut-at-chunk", "cut", "longer", "flipped", "header", "other"])
@pytest.mark.parametrize("kind", KINDS)
def test_it_refuses_what_we_refuse(answer: Answer, kind: str, name: str) -> None:
    sealed = (answer.folder / f"{kind}-{name}").read_bytes()
    first, _, other = PEOPLE[kind]
    with pytest.raises((EvidenceError, KeyTrustError)):
        age.decrypt(sealed, [other if name == "other" else first])
    assert answer.opened[f"{kind}-{name}"].startswith("refused: ")


def test_it_names_the_same_recipient_for_each_of_our_identities(answer: Answer) -> None:
    assert answer.recipients == [who.recipient.to_string() for kind in KINDS for who in PEOPLE[kind]]


def test_we_read_the_identities_that_it_makes(answer: Answer) -> None:
    for made in answer.generated:
        identity = age.parse_identity(made["identity"])
        assert identity.recipient.to_string() == made["recipient"]
        assert identity.to_string() == made["identity"]


def test_the_lock_pins_every_package_and_names_no_server() -> None:
    packages = json.loads((HERE / "package-lock.json").read_text())["packages"]
    locked = [package for name, package in packages.items() if name]
    assert len(locked) > 5
    assert all(package["integrity"].startswith("sha512-") and "resolved" not in package for package in locked)

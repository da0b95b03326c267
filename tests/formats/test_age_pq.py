"""Post-quantum age keys. The C2SP vectors of the type are in test_age.py, among the others."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import asymmetric

from agent.config import check
from agent.errors import EvidenceError, KeyTrustError
from agent.formats import age, age_header
from agent.station import admin
from tests.camera_kit import CAMERA, Desk, begin, failing, report
from tests.config_kit import with_value
from tests.formats.age_kit import SIZES, text
from tests.formats.test_age import VECTORS, read_vector

ALICE, BOB = (age.PqIdentity(bytes([n]) * 32) for n in (1, 2))


@pytest.mark.parametrize("size", SIZES)
def test_any_size_there_and_back(size: int) -> None:
    sealed = age.encrypt(text(size), [ALICE.recipient, BOB.recipient])
    for identity in (ALICE, BOB):
        assert age.decrypt(sealed.data, [identity]) == text(size)
    with pytest.raises(KeyTrustError, match="no identity fits"):
        age.decrypt(sealed.data, [age.PqIdentity.generate(), age.X25519Identity.generate()])


def test_we_open_what_another_implementation_writes() -> None:
    data = (Path(__file__).parents[1] / "vectors" / "age" / "pq-npm.age").read_bytes()
    identities = read_vector("hybrid")[1]
    assert age.decrypt(data, identities) == b"what npm wrote, a camera reads"
    assert len(age_header.parse(data).stanzas) == 2


def test_the_vectors_of_the_type_are_among_those_tried() -> None:
    assert sum(name.startswith("hybrid") for name in VECTORS) == 18


def test_both_halves_are_needed() -> None:
    """An encapsulation of which either half is another's opens nothing."""
    file_key = bytes(range(16))
    mine, other = ALICE.recipient.wrap(file_key), ALICE.recipient.wrap(file_key)
    assert ALICE.unwrap([mine]) == ALICE.unwrap([other]) == file_key
    one, two = (age_header.unb64(s.args[1].encode()) for s in (mine, other))
    for mixed in (one[:1088] + two[1088:], two[:1088] + one[1088:]):
        assert ALICE.unwrap([age_header.Stanza((mine.args[0], age_header.b64(mixed)), mine.body)]) is None


def test_no_two_stanzas_are_alike() -> None:
    wrapped = {ALICE.recipient.wrap(bytes(16)) for _ in range(20)}
    assert len({s.args[1] for s in wrapped}) == len({s.body for s in wrapped}) == 20


def test_kinds_are_not_mixed() -> None:
    with pytest.raises(KeyTrustError, match="together"):
        age.encrypt(b"x", [ALICE.recipient, age.X25519Identity.generate().recipient])
    recipients = [ALICE.recipient.to_string(), age.X25519Identity.generate().recipient.to_string()]
    (mistake,) = check(with_value("sealing.recipients", repr(recipients)), Path("/"))
    assert "mixes post-quantum" in mistake
    assert check(with_value("sealing.recipients", repr([ALICE.recipient.to_string()])), Path("/")) == []


def test_keys_are_written_as_they_are_read() -> None:
    for identity in (ALICE, age.PqIdentity.generate()):
        assert age.parse_identity(identity.to_string()) == identity
        assert age.parse_recipient(identity.recipient.to_string()) == identity.recipient
        assert age.parse_identity_file(age.identity_file(identity, "a note")) == [identity]
        assert identity.to_string() not in repr(identity)


@pytest.mark.parametrize("wrong", ["upper", "short", "typo", "low order", "no ML-KEM key", "long"])
def test_a_wrong_recipient_is_refused(wrong: str) -> None:
    key, good = ALICE.recipient.key, ALICE.recipient.to_string()
    typo = good[:-1] + ("q" if good[-1] != "q" else "p")
    said = {
        "upper": good.upper(),
        "short": age.PqRecipient(key[:-1]).to_string(),
        "typo": typo,
        "low order": age.PqRecipient(key[:1184] + bytes(32)).to_string(),
        # Coefficients of 12 bits, of which none may be 3329 or more.
        "no ML-KEM key": age.PqRecipient(b"\xff" * 1184 + key[1184:]).to_string(),
        "long": good + "q" * 5000,
    }[wrong]
    with pytest.raises(KeyTrustError):
        age.parse_recipient(said)


def test_a_wrong_identity_is_refused_and_not_shown() -> None:
    good = ALICE.to_string()
    for wrong in (good.lower(), good[:-1] + "Q", good[:-3], good + "Q" * 500):
        with pytest.raises(KeyTrustError) as caught:
            age.parse_identity(wrong)
        assert wrong[20:40].lower() not in str(caught.value).lower()


def test_without_ml_kem_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    """X25519 goes on: Debian's own package of the library is older."""
    sealed = age.encrypt(b"x", [ALICE.recipient]).data
    monkeypatch.setitem(sys.modules, "cryptography.hazmat.primitives.asymmetric.mlkem", None)
    monkeypatch.delattr(asymmetric, "mlkem", raising=False)
    for attempt in (lambda: age.decrypt(sealed, [ALICE]), lambda: ALICE.recipient):
        with pytest.raises(KeyTrustError, match="ML-KEM") as caught:
            attempt()
        assert "48" in caught.value.hint
    other = age.X25519Identity.generate()
    assert age.decrypt(age.encrypt(b"x", [other.recipient]).data, [ALICE, other]) == b"x"


def test_a_flipped_bit_anywhere_is_refused() -> None:
    data = bytearray(age.encrypt(b"seven words", [ALICE.recipient]).data)
    step = 97
    for at in range(0, len(data) * 8, step):
        data[at // 8] ^= 1 << at % 8
        with pytest.raises((EvidenceError, KeyTrustError)):
            age.decrypt(bytes(data), [ALICE])
        data[at // 8] ^= 1 << at % 8


def test_an_agency_with_post_quantum_keys_records_and_verifies(tmp_path: Path) -> None:
    agency = admin.init(tmp_path / "agency", "city", post_quantum=True)
    admin.enrol(tmp_path / "agency", CAMERA)
    desk = begin(Desk(agency, tmp_path / "spool").open())
    name = desk.record(3)
    desk.sealer.stop_recording(name, {"type": "record.stop"})
    assert failing(report(desk)) == []
    assert isinstance(desk.identity(), age.PqIdentity)

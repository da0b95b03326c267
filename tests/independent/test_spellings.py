"""Small inputs in another spelling than the page gives, or of which it says that they do not matter: both verifiers
judge each alike, and as said here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from agent.evidence.findings import What
from agent.formats import certs, note
from tests.builders import Camera, agency, simple_camera
from tests.evidence.kit import failures
from tests.evidence.range_kit import cosigned_range, members, written
from tests.evidence.test_cosigned import CHAIN, STATION, exported, life
from tests.evidence.test_ranges import Members
from tests.film import film_camera
from tests.independent.kit import names_in, verdicts

SOUND: set[str] = set()
ALTERED, RECEIPT, REVOCATION = {"altered-export"}, {"bad-receipt"}, {"bad-revocation"}
HEAD, CHAINS = {"bad-head"}, {"untrusted-chain"}
BEGIN, END = b"-----BEGIN CERTIFICATE-----\n", b"-----END CERTIFICATE-----\n"

# -- certificates in PEM -----------------------------------------------------------------------------------------------


def wrapped(width: int, ended: bytes = b"\n") -> Callable[[bytes], bytes]:
    def again(block: re.Match[bytes]) -> bytes:
        data = block[1].replace(b"\n", b"")
        lines = b"".join(data[at : at + width] + ended for at in range(0, len(data), width))
        return BEGIN + lines + END

    return lambda pem: re.sub(BEGIN + b"(.*?)" + END, again, pem, flags=re.DOTALL)


PEM: dict[str, Callable[[bytes], bytes]] = {
    "32 a line": wrapped(32),
    "48 a line": wrapped(48),
    "76 a line": wrapped(76),
    "in one line": wrapped(1 << 16),
    "lines ended otherwise": wrapped(64, b"\r\n"),
    "a comment before": lambda pem: b"subject=x\n" + pem,
    "an empty line between": lambda pem: pem.replace(END + BEGIN, END + b"\n" + BEGIN),
    "an empty line behind": lambda pem: pem + b"\n",
    "no newline at the end": lambda pem: pem[:-1],
    "another label": lambda pem: pem.replace(b" CERTIFICATE-", b" X509 CERTIFICATE-"),
}


def test_sixty_four_a_line_is_as_it_stands() -> None:
    pem = life().chain
    assert wrapped(64)(pem) == pem == certs.pem(certs.parse_pem(pem))


class Spelling(Camera):
    """Writes its chain so, and names it so in each leaf."""

    spell: Callable[[bytes], bytes]

    def _open_events(self) -> None:
        self.chain = self.spell(self.chain)
        super()._open_events()


def segment_with(change: Callable[[bytes], bytes], place: Path) -> Path:
    """The one segment of such a camera."""
    camera = Spelling(agency())
    camera.spell = change
    camera.new_session().shutdown().write(place)
    return place


# -- report.json -------------------------------------------------------------------------------------------------------


def told(**changes: object) -> Callable[[bytes], bytes]:
    def change(report: bytes) -> bytes:
        held = json.loads(report)
        held["export"] |= changes
        return json.dumps(held).encode()

    return change


def more(text: bytes) -> Callable[[bytes], bytes]:
    """Another key, which nobody knows."""
    return lambda report: report.rstrip()[:-1] + b', "x": ' + text + b"}"


REPORTS: dict[str, tuple[Callable[[bytes], bytes], set[str]]] = {
    "whole with a fraction of zero": (told(first_part=2.0), SOUND),
    "with an exponent": (lambda report: told(first_part=2)(report).replace(b'_part": 2,', b'_part": 2e0,'), SOUND),
    "a fraction": (told(first_part=2.5), ALTERED),
    "true for a number": (told(first_part=True), ALTERED),
    "a text for a number": (told(first_part="2"), ALTERED),
    "a number of 54 bits": (told(last_part=1 << 53), ALTERED),
    "a list around the recording": (told(recording=["r0000000001-00000000"]), ALTERED),
    "a text for the shift": (told(shift_s="0"), ALTERED),
    "no shift": (lambda report: told()(report).replace(b"shift_s", b"shifted"), SOUND),
    "a byte order mark": (lambda report: b"\xef\xbb\xbf" + report, ALTERED),
    "another encoding": (lambda report: report.decode().encode("utf-16"), ALTERED),
    "no number": (more(b"NaN"), ALTERED),
    "no end": (more(b"-Infinity"), ALTERED),
    "a large number": (more(b"1" * 5_000), SOUND),
    "a byte that is no UTF-8": (more(b'"\xff"'), ALTERED),
    "half a pair in UTF-8": (more(b'"\xed\xa0\x80"'), ALTERED),
    "half a pair escaped": (more(b'"\\ud800"'), SOUND),
    "UTF-8": (more('"é"'.encode()), SOUND),
    "a control character": (more(b'"\x01"'), ALTERED),
    "fifty lists": (more(b"[" * 49 + b"]" * 49), SOUND),
    "fifty-one lists": (more(b"[" * 50 + b"]" * 50), ALTERED),
    "20,000 lists": (more(b"[" * 20_000 + b"]" * 20_000), ALTERED),
    "a key twice": (more(b'1, "export": {}'), ALTERED),
    "a key twice, the last the right one": (lambda report: b'{"export": 1, ' + report.lstrip()[1:], SOUND),
    "a comma more": (lambda report: report.rstrip()[:-1] + b",}", ALTERED),
    "a comment": (lambda report: report + b"// x", ALTERED),
    "a list": (lambda report: b"[]", ALTERED),
    "nothing": (lambda report: b"", ALTERED),
}

# -- members that a proof has no place for -----------------------------------------------------------------------------

ODD = {
    "range": ["segments/x.tar", "receipts/y.receipt", "cosigned/checkpoint", "trust/x.pem", "x.revocation"],
    "whole": ["segments/sub/x.tar", "segments/x.TAR", "receipts/x/y.receipt", "cosigned/extra", "earlier/checkpoint"],
}


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, tuple[Path, str, set[str]]]]:
    """Of each case its path, what the other verifier says, and what both should."""
    place = tmp_path_factory.mktemp("spellings")
    root = agency().write_trust(place)[0]
    sound = {
        "range": cosigned_range(film_camera(), place / "r"),
        "whole": exported(life(), place / "w", life().head().size),
    }
    held, made = {kind: members(proof) for kind, proof in sound.items()}, {}

    def put(name: str, kind: str, changes: Members, wanted: set[str]) -> None:
        proof = written(place / f"{len(made)}.proof.tar", held[kind] | changes)
        made[name] = (proof, wanted)

    for kind in held:
        put(f"{kind}: as it is", kind, {}, SOUND)
    for name, change in PEM.items():
        put(f"range, station.pem: {name}", "range", {"station.pem": change(held["range"]["station.pem"])}, CHAINS)
        for member in (STATION, CHAIN):
            put(f"whole, {member}: {name}", "whole", {member: change(held["whole"][member])}, HEAD)
        made[f"segment, chain.pem: {name}"] = (segment_with(change, place / f"{len(made)}"), CHAINS)
    for name, (change, wanted) in REPORTS.items():
        put(f"report.json: {name}", "range", {"report.json": change(held["range"]["report.json"])}, wanted)
    for kind, names in ODD.items():
        for name in names:
            put(f"{kind}, no place for {name}", kind, {name: b"x"}, SOUND)
    for name, (edit, wanted) in REVOCATIONS.items():
        made[f"revocation: {name}"] = (revoked(edit, place / f"{len(made)}"), wanted)
    said = verdicts(root, *(path for path, _ in made.values()))
    yield {name: (path, said[path], wanted) for name, (path, wanted) in made.items()}


# -- revocations -------------------------------------------------------------------------------------------------------

Lines = list[str]


def revoked(edit: Callable[[Lines], object], place: Path) -> Path:
    """A whole log, and beside it a revocation that counts all of it, edited before the station signs it."""
    camera, a = simple_camera(), agency()
    camera.write(place)
    lines = note.parse(camera.revocation(camera.frontier.size)).text.split("\n")
    edit(lines)
    text = "\n".join(lines)
    signed = note.Note(text, (note.sign_ed25519(text, a.station, a.receipt_key),)).to_bytes()
    (place / "cam-0001.revocation").write_bytes(signed)
    return place


def at(number: int, text: str) -> Callable[[Lines], object]:
    return lambda lines: lines.__setitem__(number, text)


def log_line(edit: Callable[[str], list[str]]) -> Callable[[Lines], object]:
    def change(lines: Lines) -> None:
        number = next(n for n, line in enumerate(lines) if line.startswith("log "))
        lines[number : number + 1] = edit(lines[number])

    return change


def swapped(lines: Lines) -> None:
    lines[3], lines[4] = lines[4], lines[3]


REVOCATIONS: dict[str, tuple[Callable[[Lines], object], set[str]]] = {
    "as it is": (lambda lines: None, SOUND),
    "lines swapped": (swapped, REVOCATION),
    "a line more": (lambda lines: lines.insert(5, "more 1"), REVOCATION),
    "no reason": (lambda lines: lines.pop(4), REVOCATION),
    "an empty reason": (at(4, "reason "), REVOCATION),
    "a reason of other letters": (at(4, "reason perdue à l'école — vélo"), SOUND),
    "a reason with two spaces": (at(4, "reason a  b"), SOUND),
    "a reason that ends in a space": (at(4, "reason lost "), REVOCATION),
    "a reason that begins with one": (at(4, "reason  lost"), REVOCATION),
    "a reason of another space": (at(4, "reason lost\u00a0here"), REVOCATION),
    "a reason without width": (at(4, "reason lost\u200bhere"), REVOCATION),
    "a reason of 200": (at(4, "reason " + "x" * 200), SOUND),
    "a reason of 201": (at(4, "reason " + "x" * 201), REVOCATION),
    "issued soon": (at(3, "issued soon"), REVOCATION),
    "issued with a leading zero": (at(3, "issued 01"), REVOCATION),
    "no camera's name": (at(2, "camera CAM"), REVOCATION),
    "a size with a leading zero": (log_line(lambda line: [line.replace("/1 ", "/1 0")]), REVOCATION),
    "a size of 19 digits": (log_line(lambda line: [line.replace("/1 ", "/1 " + "1" * 19)]), REVOCATION),
    "a root that is none": (log_line(lambda line: [line.rpartition(" ")[0] + " AAAA"]), REVOCATION),
    "a log twice": (log_line(lambda line: [line, line]), REVOCATION),
    "a log twice, of two sizes": (
        log_line(lambda line: [line, line.replace("/1 ", "/1 1")]), REVOCATION),
    "a log behind the certificates": (lambda lines: lines.insert(-1, lines.pop(5)), REVOCATION),
    "a certificate more": (lambda lines: lines.insert(-1, lines[-2]), REVOCATION),
    "a certificate in PEM": (at(-2, f"certificate {note.b64(certs.pem([agency().issuing]))}"), REVOCATION),
    "bytes behind a certificate": (at(-2, f"certificate {note.b64(certs.der(agency().issuing) + b'x')}"), REVOCATION),
}  # fmt: skip
NAMES = [
    *(f"{kind}: as it is" for kind in ("range", "whole")),
    *(f"{of}: {name}" for name in PEM for of in
      ("range, station.pem", f"whole, {STATION}", f"whole, {CHAIN}", "segment, chain.pem")),
    *(f"report.json: {name}" for name in REPORTS),
    *(f"{kind}, no place for {name}" for kind, names in ODD.items() for name in names),
    *(f"revocation: {name}" for name in REVOCATIONS),
]  # fmt: skip


@pytest.mark.wide
@pytest.mark.parametrize("name", NAMES)
def test_both_judge_each_spelling_as_the_page_does(name: str, judged: dict[str, tuple[Path, str, set[str]]]) -> None:
    path, said, wanted = judged[name]
    ours = {(f.what.value, f.segment) for f in failures(path)}
    assert names_in(said) == ours, said
    assert wanted == SOUND if not ours else wanted <= {what for what, _ in ours}, ours


def test_each_case_is_asked_for(judged: dict[str, tuple[Path, str, set[str]]]) -> None:
    assert sorted(NAMES) == sorted(judged)
    assert {what for _, _, wanted in judged.values() for what in wanted} <= {what.value for what in What}

"""The proof beside an exported MP4: the original segments, untouched, and what is needed to check them without us."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from agent import durable
from agent.errors import UsageError
from agent.evidence.blobs import CHUNK, Blob
from agent.evidence.sources import MAX_MEMBERS
from agent.evidence.stamp import Stamp
from agent.formats import pack

README = """Proof of {recording}
{rule}

{mp4} was made from the segments in this archive. The segments are what the camera wrote,
byte for byte; the archive holds no key. To check without any software of the maker, with tar, sha256sum,
age, openssl and ffprobe:

    tar -xf {proof}
    tar -xf segments/{segment}.tar   # init, chain, and for each leaf .age .json .note
    sha256sum {entry}.age                            # its leaf names this digest:
    grep -o '"sealed":{{"sha256":"[0-9a-f]*"' {entry}.json
    openssl verify -no_check_time -CAfile trust/root.pem -untrusted chain.pem chain.pem
    age -d -i agency.agekey init.age > part.mp4           # with a key of one of the recipients
    age -d -i agency.agekey {entry}.age >> part.mp4  # one part, behind the init: it plays
    ffprobe part.mp4
{cosigned}
docs/verify.sh of the maker's sources does all of it for every entry, checkpoint signatures and Merkle roots included:

    verify.sh {proof} --trust trust/root.pem --key agency.agekey

Compare trust/root.pem with the agency's own publication of it: whoever made this archive chose this copy.

That the MP4 holds the very pictures and sounds of the segments: let verify.sh keep the parts it opens, and compare
(where the MP4 is of the whole recording; a piece of it has fewer)

    verify.sh segments/*.tar --trust trust/root.pem --key agency.agekey --excerpt --media parts.mp4
    ffmpeg -i parts.mp4 -map 0 -c copy -f streamhash -
    ffmpeg -i {mp4} -map 0 -c copy -f streamhash -

With the maker's tool; with a key it compares every packet of the MP4 with the sealed parts, without one its SHA-256
with the one in report.json:

    bodycam-evidence verify {mp4} --trust root.pem -i agency.agekey

It also writes each leaf with its own inclusion in the signed head, as a C2SP tlog-proof, for the tools of others:

    bodycam-evidence proofs {proof} --trust root.pem -o leaves

report.json says what was verified when this archive was made; it proves nothing by itself.
"""


RANGE_README = """Proof of a part of {recording}
{rule}

{mp4} was made from the entries in this archive. They are what the camera wrote, byte for byte, and
what leads each of them to one checkpoint that the camera signed; nothing else of its log is here. The archive holds no
key. To check without any software of the maker, with tar, sha256sum, age, openssl and ffprobe:

    tar -xf {proof}
    sha256sum entries/{entry}.age                    # its leaf names this digest:
    grep -o '"sealed":{{"sha256":"[0-9a-f]*"' entries/{entry}.json
    openssl verify -no_check_time -CAfile trust/root.pem -untrusted chains/{chain}.pem chains/{chain}.pem
    age -d -i agency.agekey init.age > part.mp4           # with a key of one of the recipients
    age -d -i agency.agekey entries/{entry}.age >> part.mp4  # one part, behind the init: it plays
    ffprobe part.mp4
{stamp}
Each entries/*.tlog-proof is a C2SP tlog-proof: the path from its leaf to the root in the checkpoint. docs/verify.sh of
the maker's sources follows all of them, with the signatures on the checkpoint, and keeps the parts it opens, so that
the MP4 can be compared with them:

    verify.sh {proof} --trust trust/root.pem --key agency.agekey --media parts.mp4
    ffmpeg -i parts.mp4 -map 0 -c copy -f streamhash -
    ffmpeg -i {mp4} -map 0 -c copy -f streamhash -

Compare trust/root.pem with the agency's own publication of it: whoever made this archive chose this copy.

With the maker's tool; with a key it compares every packet of the MP4 with the sealed parts, without one its SHA-256
with the one in report.json:

    bodycam-evidence verify {mp4} --trust root.pem -i agency.agekey

report.json says which parts this archive is to hold; it is not signed, and proves nothing by itself. Nothing here
speaks of what the camera recorded before, after or beside these parts.
"""


COSIGNED_README = """
A station saw this log, and signed for it: cosigned/checkpoint bears the camera's signatures and, last, the station's
with its time; cosigned/consistency leads there from the leaves of the segments in this archive (RFC 6962, 2.1.2). Who
the station is shows by

    openssl verify -no_check_time -CAfile trust/root.pem -untrusted cosigned/station.pem cosigned/station.pem
    openssl x509 -in cosigned/station.pem -noout -subject
"""
STAMPED = """
A timestamp authority saw the checkpoint (compare trust/tsa.pem, too, with the authority's own publication):

    openssl ts -verify -data checkpoint -in timestamp.tsr -CAfile trust/tsa.pem
"""
STAMPED_ALONE = """
A timestamp authority saw the checkpoint; with its root certificate as tsa.pem this shows it, and by when:
openssl ts -verify -data checkpoint -in timestamp.tsr -CAfile tsa.pem
"""
REWRAPPED_README = """{name}, for the holder of another key
{rule}

What is in this archive is what the camera wrote, opened for you by a holder of a key: each entries/*.age and init.age
has a new header before the payload of the camera, and beside it, as *.header, the one that the camera wrote. With age:

    tar -xf {proof}
    age -d -i court.key init.age > part.mp4               # with the key it was rewrapped for
    age -d -i court.key entries/{entry}.age >> part.mp4  # one part, behind the init: it plays
    ffprobe part.mp4

What the leaf names is the camera's header and the payload, which follows the first line that begins with "--- ":

    at=$(grep -abm 1 '^--- ' entries/{entry}.age | cut -d: -f1)
    line=$(tail -c +$((at + 1)) entries/{entry}.age | head -n 1 | wc -c)
    {{ cat entries/{entry}.header; tail -c +$((at + line + 1)) entries/{entry}.age; }} | sha256sum
    grep -o '"sealed":{{"sha256":"[0-9a-f]*"' entries/{entry}.json

docs/verify.sh of the maker's sources does so for every entry, and follows each leaf to the signed checkpoint:

    verify.sh {proof} --trust trust/root.pem --key court.key

Compare trust/root.pem with the agency's own publication of it: whoever made this archive chose this copy. With the
maker's tool; with a key it also shows that the new header holds the file key to which the camera's own is bound:

    bodycam-evidence verify {proof} --trust root.pem -i court.key

report.json says which parts this archive is to hold; it is not signed, and proves nothing by itself. Nothing here
speaks of what the camera recorded before, after or beside these parts.
"""


@dataclass(frozen=True, slots=True)
class Piece:
    """One member: its name, and its bytes or where they lie."""

    name: str
    content: bytes | Blob


def piece_of(folder: str, blob: Blob) -> Piece:
    """A file under its own name where a ustar member can bear it (100 bytes with the folder), else under its digest."""
    if re.fullmatch(r"[A-Za-z0-9._-]{1,90}", blob.name):
        return Piece(f"{folder}/{blob.name}", blob)
    suffix = next((s for s in (".tar", ".receipt", ".purge", ".vouched") if blob.name.endswith(s)), "")
    return Piece(f"{folder}/{blob.sha256()[:32]}{suffix}", blob)


def json_bytes(value: Any) -> bytes:
    """As reports are written."""
    return json.dumps(value, indent=2).encode("ascii") + b"\n"


def report_bytes(told: dict[str, Any], most: int) -> bytes:
    """With the first `most` findings and how many were left out, since no reader takes a report of any length."""
    verification = told["verification"]
    findings = verification["findings"]
    if len(findings) > most:
        left = {"findings": findings[:most], "findings_left_out": len(findings) - most}
        told = {**told, "verification": {**verification, **left}}
    return json_bytes(told)


def readme(recording: str, mp4: str, proof: str, segment: str, index: int, cosigned: bool) -> bytes:
    """`index` is that of a part in `segment`, to show the commands with; `cosigned`: a station's head is beside it."""
    names = {"recording": recording, "mp4": mp4, "proof": proof, "segment": segment, "entry": f"{index:010d}"}
    names["cosigned"] = COSIGNED_README if cosigned else ""
    return README.format(**names, rule="=" * (len(recording) + 9)).encode()


def range_readme(recording: str, mp4: str, proof: str, chain: str, index: int, stamp: Stamp | None) -> bytes:
    """`index` is that of a part, `chain` the SHA-256 of the chain its leaf names, to show the commands with."""
    names = {"recording": recording, "mp4": mp4, "proof": proof, "chain": chain, "entry": f"{index:010d}"}
    names["stamp"] = "" if stamp is None else STAMPED if stamp.authority is not None else STAMPED_ALONE
    return RANGE_README.format(**names, rule="=" * (len(recording) + 19)).encode()


def rewrapped_readme(name: str, index: int) -> bytes:
    """`name` is the export's, `index` that of a part."""
    names = {"name": name, "proof": f"{name}.proof.tar", "entry": f"{index:010d}"}
    return REWRAPPED_README.format(**names, rule="=" * (len(name) + 31)).encode()


def write_proof(path: Path, pieces: Iterable[Piece]) -> None:
    """A tar in the one spelling of a segment; it appears under its name when it is whole. Raises StorageError,
    UsageError where no reader takes so many members.
    """
    with durable.replacing(path) as fd:
        for count, piece in enumerate(pieces):
            if count == MAX_MEMBERS:
                text = f"{path.name} would hold more than {MAX_MEMBERS} members, which no verifier reads"
                raise UsageError(text, "export pieces of it, with --from and --to")
            _write(fd, piece)
        durable.write_all(fd, pack.TRAILER)


def _write(fd: int, piece: Piece) -> None:
    content = piece.content
    if isinstance(content, bytes):
        durable.write_all(fd, pack.member(piece.name, content))
        return
    durable.write_all(fd, pack.member_header(piece.name, content.size))
    with content.reader() as window:
        for offset in range(0, content.size, CHUNK):
            durable.write_all(fd, window.at(offset, CHUNK))
    durable.write_all(fd, pack.padding(content.size))

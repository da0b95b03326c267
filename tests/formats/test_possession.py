"""The answer to a challenge, as docs/evidence-format.md, "Possession", says it."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
from pathlib import Path

import pytest

from agent.errors import EvidenceError
from agent.formats import possession
from agent.formats.possession import Answering
from agent.formats.seal import SealRecord

CHALLENGE = "000102030405060708090a0b0c0d0e0f"
RECORD = SealRecord("e0000000000-00000000", 1, "0" * 64, 0, 1, None, 0, challenge=CHALLENGE)


def test_it_is_what_the_page_says_also_by_another_tool(tmp_path: Path) -> None:
    answering = Answering(CHALLENGE)
    for data in (b"ab", b"", b"c"):
        answering.update(data)
    said = tmp_path / "said"
    said.write_bytes(b"bodycam-possession/v1\n" + bytes(range(16)) + b"abcd")
    by_tool = subprocess.run(["sha256sum", str(said)], capture_output=True, text=True, check=True).stdout
    assert answering.with_end(b"d") == by_tool[:32]
    # Asked twice it says the same.
    assert answering.with_end(b"d") == by_tool[:32]


VECTORS = Path(__file__).parents[1] / "vectors" / "possession"
TOLD = json.loads((VECTORS / "vectors.json").read_text("ascii"))
NODE = """
const [prefix, challenge, path] = process.argv.slice(1);
const hash = require("node:crypto").createHash("sha256").update(Buffer.from(prefix + challenge, "hex"));
console.log(hash.update(require("node:fs").readFileSync(path)).digest().subarray(0, 16).toString("hex"));
"""


def segment_of(vector: dict[str, str]) -> bytes:
    return (VECTORS / vector["file"]).read_bytes() if "file" in vector else bytes.fromhex(vector["hex"])


@pytest.mark.parametrize("vector", TOLD["tests"], ids=lambda vector: vector["what"])
def test_the_published_answers_are_those_of_this_code_and_of_others_tools(
    vector: dict[str, str], tmp_path: Path
) -> None:
    data, ours = segment_of(vector), Answering(vector["challenge"])
    for at in range(0, len(data), 1000):
        ours.update(data[at : at + 1000])
    segment, asked = tmp_path / "segment", tmp_path / "asked"
    segment.write_bytes(data)
    asked.write_bytes(bytes.fromhex(TOLD["prefix"]) + bytes.fromhex(vector["challenge"]) + data)
    tools = [["sha256sum", asked], ["openssl", "dgst", "-sha256", "-r", asked]]
    if shutil.which("node"):
        tools.append(["node", "-e", NODE, TOLD["prefix"], vector["challenge"], segment])
    said = [subprocess.run(words, capture_output=True, text=True, check=True).stdout[:32] for words in tools]
    assert {ours.with_end(), *said} == {vector["answer"]}


def test_the_published_vectors_are_what_printf_and_sha256sum_make() -> None:
    made = subprocess.run([VECTORS / "generate.sh"], capture_output=True, check=True, timeout=60).stdout
    assert made == (VECTORS / "vectors.json").read_bytes()


def test_neither_digest_nor_another_challenge_makes_it() -> None:
    answering = Answering(CHALLENGE)
    answering.update(b"abcd")
    other = Answering(possession.challenge())
    other.update(b"abcd")
    digest = Answering(CHALLENGE)
    digest.update(hashlib.sha256(b"abcd").digest())
    assert (
        len({answering.with_end(), other.with_end(), digest.with_end(), hashlib.sha256(b"abcd").hexdigest()[:32]}) == 4
    )
    assert len({possession.challenge() for _ in range(100)}) == 100


def test_a_record_keeps_its_challenge_and_one_without_any_reads_as_ever() -> None:
    assert SealRecord.parse(RECORD.to_bytes()) == RECORD
    plain = SealRecord("e0000000000-00000000", 1, "0" * 64, 0, 1, None, 0).to_bytes()
    assert b"challenge" not in plain and b"answer" not in plain


@pytest.mark.parametrize("other", [CHALLENGE.upper(), CHALLENGE[:-1], CHALLENGE + "0", "x" * 32])
def test_another_spelling_of_a_challenge_is_no_seal_record(other: str) -> None:
    with pytest.raises(EvidenceError):
        SealRecord.parse(RECORD.to_bytes().replace(CHALLENGE.encode(), other.encode()))

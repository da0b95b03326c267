"""The TPM's key and counter, on a real swtpm, checked with Debian's tpm2-tools where they know better than we do."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from agent.configrules import TpmHandle
from agent.errors import DeviceError, Exit, KeyTrustError
from agent.identity import TpmSigner
from agent.tpm import key, wire
from agent.tpm.counter import NvCounter
from agent.tpm.device import Tpm
from tests.tpm.kit import SoftwareTpm, software_tpm

HANDLE, INDEX = TpmHandle(0x81010001), 0x01800100
ATTRIBUTES = "fixedtpm|fixedparent|sensitivedataorigin|userwithauth|sign"


@pytest.fixture(scope="module")
def swtpm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SoftwareTpm]:
    with software_tpm(tmp_path_factory.mktemp("swtpm")) as tpm:
        yield tpm


@pytest.fixture
def own(tmp_path: Path) -> Iterator[SoftwareTpm]:
    """One that a test may spoil."""
    with software_tpm(tmp_path) as tpm:
        yield tpm


def tools(tpm: SoftwareTpm, directory: Path, *command: str) -> bytes:
    env = {**os.environ, "TPM2TOOLS_TCTI": tpm.tcti}
    return subprocess.run(command, cwd=directory, env=env, capture_output=True, timeout=30, check=True).stdout


def test_other_tools_see_a_key_that_cannot_leave_and_take_its_signature(swtpm: SoftwareTpm, tmp_path: Path) -> None:
    handle = TpmHandle(0x81010010)
    public = key.create(Tpm(swtpm.path), handle)
    told = tools(swtpm, tmp_path, "tpm2_readpublic", "-c", f"0x{handle:x}", "-f", "pem", "-o", "key.pem").decode()
    assert "value: fixedtpm|fixedparent|sensitivedataorigin|userwithauth|noda|sign" in told
    assert serialization.load_pem_public_key((tmp_path / "key.pem").read_bytes()) == public
    (tmp_path / "sig").write_bytes(key.sign(Tpm(swtpm.path), handle, b"evidence"))
    (tmp_path / "text").write_bytes(b"evidence")
    command = ["openssl", "dgst", "-sha256", "-verify", "key.pem", "-signature", "sig", "text"]
    assert subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=20, check=False).returncode == 0
    tools(swtpm, tmp_path, "tpm2_sign", "-c", f"0x{handle:x}", "-g", "sha256", "-f", "plain", "-o", "theirs", "text")
    public.verify((tmp_path / "theirs").read_bytes(), b"evidence", ec.ECDSA(hashes.SHA256()))


def test_each_key_is_another_and_none_takes_the_place_of_one(swtpm: SoftwareTpm) -> None:
    tpm = Tpm(swtpm.path)
    first, second = key.create(tpm, 0x81010020), key.create(tpm, 0x81010021)
    assert first != second
    with pytest.raises(KeyTrustError, match="0x81010020 already, nothing was changed"):
        key.create(tpm, 0x81010020)
    assert key.load(tpm, 0x81010020) == first


def test_key_and_counter_outlive_the_power(own: SoftwareTpm) -> None:
    tpm = Tpm(own.path)
    public, counter = key.create(tpm, HANDLE), NvCounter(tpm, INDEX)
    assert counter.ensure()
    before = counter.increment()
    own.stop()
    own.start()
    assert key.load(tpm, HANDLE) == public
    assert not counter.ensure()
    assert counter.value() == before
    assert counter.increment() == before + 1


def test_a_counter_that_is_made_anew_goes_on_above_the_old_one(own: SoftwareTpm, tmp_path: Path) -> None:
    counter = NvCounter(Tpm(own.path), INDEX)
    counter.ensure()
    highest = [counter.increment() for _ in range(5)][-1]
    tools(own, tmp_path, "tpm2_nvundefine", f"0x{INDEX:x}")
    with pytest.raises(DeviceError, match="no counter at TPM index"):
        counter.value()
    assert counter.ensure()
    assert counter.value() > highest


def test_other_tools_read_the_counter_and_cannot_write_it(swtpm: SoftwareTpm, tmp_path: Path) -> None:
    counter = NvCounter(Tpm(swtpm.path), INDEX)
    counter.ensure()
    value = counter.increment()
    assert int.from_bytes(tools(swtpm, tmp_path, "tpm2_nvread", f"0x{INDEX:x}"), "big") == value
    (tmp_path / "zero").write_bytes(bytes(8))
    with pytest.raises(subprocess.CalledProcessError):
        tools(swtpm, tmp_path, "tpm2_nvwrite", f"0x{INDEX:x}", "-C", f"0x{INDEX:x}", "-i", "zero")
    assert counter.value() == value


# -- what is wrong, in words ---------------------------------------------------------------------------------------


def test_no_tpm(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path, Path("/dev/null")):
        with pytest.raises(DeviceError) as caught:
            TpmSigner(HANDLE, path)
        assert caught.value.exit_status == Exit.DEVICE
        assert str(path) in str(caught.value) or "cut short" in str(caught.value)


def test_nothing_at_the_handle(swtpm: SoftwareTpm) -> None:
    with pytest.raises(KeyTrustError, match="no key at TPM handle 0x81010777") as caught:
        TpmSigner(TpmHandle(0x81010777), swtpm.path)
    assert caught.value.exit_status == Exit.KEYS


@pytest.mark.parametrize(
    ("handle", "options", "words"),
    [
        (0x81010030, ("-G", "rsa2048"), "not for ECDSA on P-256"),
        (0x81010031, ("-G", "ecc384:ecdsa-sha384", "-a", ATTRIBUTES), "not for ECDSA on P-256"),
        (0x81010032, ("-G", "ecc256"), "not for ECDSA on P-256"),
    ],
)
def test_a_key_of_another_kind(
    swtpm: SoftwareTpm, tmp_path: Path, handle: int, options: tuple[str, ...], words: str
) -> None:
    tools(swtpm, tmp_path, "tpm2_createprimary", "-C", "o", "-c", "k.ctx", *options)
    tools(swtpm, tmp_path, "tpm2_evictcontrol", "-C", "o", "-c", "k.ctx", f"0x{handle:x}")
    tools(swtpm, tmp_path, "tpm2_flushcontext", "-t")
    with pytest.raises(KeyTrustError, match=words):
        TpmSigner(TpmHandle(handle), swtpm.path)


def test_a_key_that_was_brought_in_from_outside(swtpm: SoftwareTpm, tmp_path: Path) -> None:
    outside = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    (tmp_path / "k.pem").write_bytes(outside)
    tools(swtpm, tmp_path, "tpm2_createprimary", "-C", "o", "-c", "p.ctx")
    tools(
        swtpm,
        tmp_path,
        "tpm2_import",
        "-C",
        "p.ctx",
        "-G",
        "ecc:ecdsa-sha256",
        "-i",
        "k.pem",
        "-u",
        "k.pub",
        "-r",
        "k.priv",
    )
    tools(swtpm, tmp_path, "tpm2_flushcontext", "-t")
    tools(swtpm, tmp_path, "tpm2_load", "-C", "p.ctx", "-u", "k.pub", "-r", "k.priv", "-c", "k.ctx")
    tools(swtpm, tmp_path, "tpm2_evictcontrol", "-C", "o", "-c", "k.ctx", "0x81010040")
    tools(swtpm, tmp_path, "tpm2_flushcontext", "-t")
    with pytest.raises(KeyTrustError, match="was not made in this TPM or may leave it"):
        TpmSigner(TpmHandle(0x81010040), swtpm.path)


def test_a_key_with_a_password_and_then_a_tpm_that_is_locked_out(own: SoftwareTpm, tmp_path: Path) -> None:
    tools(own, tmp_path, "tpm2_dictionarylockout", "--setup-parameters", "--max-tries=2", "--recovery-time=1000")
    tools(
        own, tmp_path, "tpm2_createprimary", "-C", "o", "-G", "ecc:ecdsa-sha256", "-a", ATTRIBUTES, "-p", "x", "-c", "k"
    )
    tools(own, tmp_path, "tpm2_evictcontrol", "-C", "o", "-c", "k", "0x81010001")
    tools(own, tmp_path, "tpm2_flushcontext", "-t")
    signer = TpmSigner(HANDLE, own.path)
    said = []
    for _ in range(4):
        with pytest.raises(DeviceError) as caught:
            signer.sign(b"m")
        said.append(str(caught.value))
    assert "wants a password that is not empty" in said[0]
    assert "locked out after wrong passwords" in said[-1]
    assert "tpm2_dictionarylockout --clear-lockout" in said[-1]
    # A key of ours has no password to guess: it goes on signing.
    key.sign(Tpm(own.path), _made(Tpm(own.path)), b"m")


def _made(tpm: Tpm) -> int:
    key.create(tpm, 0x81010002)
    return 0x81010002


def test_an_owner_with_a_password_is_told(own: SoftwareTpm, tmp_path: Path) -> None:
    tools(own, tmp_path, "tpm2_changeauth", "-c", "o", "secret")
    with pytest.raises(DeviceError, match="refuses to make a key: it wants a password"):
        key.create(Tpm(own.path), HANDLE)


def test_an_index_that_is_no_counter(own: SoftwareTpm, tmp_path: Path) -> None:
    tools(own, tmp_path, "tpm2_nvdefine", f"0x{INDEX:x}", "-C", "o", "-s", "8", "-a", "authread|authwrite|ownerread")
    for use in (NvCounter(Tpm(own.path), INDEX).ensure, NvCounter(Tpm(own.path), INDEX).value):
        with pytest.raises(DeviceError, match="is no counter"):
            use()


# -- answers that no TPM gives -------------------------------------------------------------------------------------


class Scripted:
    """A TPM that answers as it is told."""

    def __init__(self, *answers: bytes) -> None:
        self.answers, self.heard = list(answers), 0

    def exchange(self, command: bytes) -> bytes:
        self.heard += 1
        return self.answers.pop(0)

    def close(self) -> None:
        pass


def answer(code: int, body: bytes = b"", tag: int = 0x8001) -> bytes:
    return tag.to_bytes(2, "big") + (10 + len(body)).to_bytes(4, "big") + code.to_bytes(4, "big") + body


def test_one_that_asks_for_patience_gets_it() -> None:
    r, s = 5, 7
    signature = wire.sized(b"\x05") + wire.sized(b"\x07")
    body = b"\x00\x18\x00\x0b" + signature
    good = answer(0, len(body).to_bytes(4, "big") + body + bytes(5), 0x8002)
    scripted = Scripted(answer(wire.RETRY), answer(wire.TESTING), answer(wire.NV_RATE), good)
    der = key.sign(Tpm(Path("x"), lambda path: scripted), HANDLE, b"m")
    assert (scripted.heard, der) == (4, bytes([0x30, 6, 2, 1, r, 2, 1, s]))


@pytest.mark.parametrize(
    "said",
    [b"", b"\x80", bytes(10), answer(0)[:-1], answer(0) + b"x", answer(0, tag=0x8002), answer(0, bytes(4), 0x8002),
     answer(0, b"\xff\xff\xff\xff", 0x8002), answer(0, bytes([0, 0, 0, 4, 0, 0x14, 0, 0x0B]), 0x8002)],
)  # fmt: skip
def test_noise_is_a_clear_error(said: bytes) -> None:
    with pytest.raises(DeviceError):
        key.sign(Tpm(Path("x"), lambda path: Scripted(said)), HANDLE, b"m")


def test_every_prefix_of_a_real_answer_is_a_clear_error(swtpm: SoftwareTpm) -> None:
    key.create(Tpm(swtpm.path), 0x81010050)
    with Tpm(swtpm.path).session() as session:
        body = session.run(wire.read_public(0x81010050), "show")
        signature = session.run(wire.sign(0x81010050, sha256(b"m").digest()), "sign")
    assert wire.ecc_public(wire.Reader(body)) is not None
    public_size = 2 + int.from_bytes(body[:2], "big")
    for size in range(public_size):
        with pytest.raises(DeviceError):
            wire.ecc_public(wire.Reader(body[:size]))
    for size in range(len(signature) - 5):
        with pytest.raises(DeviceError):
            wire.ecdsa_signature(wire.parameters(signature[:size])[1])

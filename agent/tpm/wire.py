"""The few TPM 2.0 commands that an identity key and a counter need, as bytes (TCG TPM 2.0 Library, parts 2 and 3).

Everything is big-endian; a TPM2B is a two-byte size and that many bytes. Authorisation is by password session with an
empty password: it adds nothing on the wire that a bus could keep secret, for neither the digest to sign nor the
counter is one.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from agent.errors import DeviceError

OWNER, NULL_HIERARCHY = 0x40000001, 0x40000007
_PASSWORD_SESSION = 0x40000009
_NO_SESSIONS, _SESSIONS, _HASHCHECK = 0x8001, 0x8002, 0x8024
_ECC, _SHA256, _NULL, _ECDSA, _P256 = 0x0023, 0x000B, 0x0010, 0x0018, 0x0003

EVICT_CONTROL, NV_DEFINE_SPACE, CREATE_PRIMARY, NV_INCREMENT = 0x120, 0x12A, 0x131, 0x134
NV_READ, SIGN, FLUSH_CONTEXT, NV_READ_PUBLIC, READ_PUBLIC = 0x14E, 0x15D, 0x165, 0x169, 0x173
NV_WRITE = 0x137

# TPMA_OBJECT: fixedTPM, fixedParent, sensitiveDataOrigin, userWithAuth, noDA, sign. Made in this TPM, never to leave.
NON_EXPORTABLE = 1 << 1 | 1 << 4 | 1 << 5
SIGNING_KEY = NON_EXPORTABLE | 1 << 6 | 1 << 10 | 1 << 18
# TPMA_NV: AUTHWRITE, type COUNTER, OWNERREAD, AUTHREAD, NO_DA. Not ORDERLY: such a counter leaps after a power cut.
COUNTER = 1 << 2 | 1 << 4 | 1 << 17 | 1 << 18 | 1 << 25
# The same, of no type but bytes.
PLAIN = COUNTER & ~(1 << 4)
_NV_TYPE, _NV_COUNTER, _NV_PLAIN, NV_WRITTEN = 0xF << 4, 1 << 4, 0, 1 << 29


def sized(data: bytes) -> bytes:
    """A TPM2B."""
    return struct.pack(">H", len(data)) + data


def command(code: int, handles: tuple[int, ...] = (), parameters: bytes = b"", authorised: bool = False) -> bytes:
    """A whole command; `authorised` adds the empty password for its first handle."""
    body = b"".join(struct.pack(">I", handle) for handle in handles)
    if authorised:
        session = struct.pack(">IHBH", _PASSWORD_SESSION, 0, 0, 0)
        body += struct.pack(">I", len(session)) + session
    body += parameters
    return struct.pack(">HII", _SESSIONS if authorised else _NO_SESSIONS, 10 + len(body), code) + body


class Reader:
    """The parameters of a response, in order. Every step raises DeviceError where there is less than it asks for."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def take(self, size: int) -> bytes:
        if size > len(self._data):
            raise DeviceError("the TPM's answer is cut short", "check that the device is a TPM 2.0")
        taken, self._data = self._data[:size], self._data[size:]
        return taken

    def u16(self) -> int:
        return int.from_bytes(self.take(2), "big")

    def u32(self) -> int:
        return int.from_bytes(self.take(4), "big")

    def sized(self) -> bytes:
        return self.take(self.u16())


def response(data: bytes) -> tuple[int, bytes]:
    """(response code, what follows it). Raises DeviceError for what is no response of a TPM."""
    r = Reader(data)
    tag, size, code = r.u16(), r.u32(), r.u32()
    if size != len(data) or tag not in (_NO_SESSIONS, _SESSIONS, 0x00C4):
        raise DeviceError("what answers is not a TPM 2.0", "name the device of a TPM 2.0")
    return code, data[10:]


def parameters(body: bytes, handles: int = 0) -> tuple[list[int], Reader]:
    """(handles, parameters) of a response to an authorised command."""
    r = Reader(body)
    found = [r.u32() for _ in range(handles)]
    return found, Reader(r.take(r.u32()))


# -- keys ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class EccPublic:
    """TPMT_PUBLIC of a key on P-256; `attributes` is TPMA_OBJECT."""

    attributes: int
    x: int
    y: int


def p256_template(seed: bytes) -> bytes:
    """TPM2B_PUBLIC of an ECDSA signing key. A primary key follows from the TPM's own seed and from this template, so
    64 random bytes in its `unique` field make it a new one.
    """
    scheme = struct.pack(">HHHHH", _NULL, _ECDSA, _SHA256, _P256, _NULL)
    unique = sized(seed[:32]) + sized(seed[32:64])
    return sized(struct.pack(">HHI", _ECC, _SHA256, SIGNING_KEY) + sized(b"") + scheme + unique)


def create_primary(seed: bytes) -> bytes:
    sensitive = sized(sized(b"") + sized(b""))
    rest = sensitive + p256_template(seed) + sized(b"") + struct.pack(">I", 0)
    return command(CREATE_PRIMARY, (OWNER,), rest, authorised=True)


def evict_control(handle: int, persistent: int) -> bytes:
    return command(EVICT_CONTROL, (OWNER, handle), struct.pack(">I", persistent), authorised=True)


def flush_context(handle: int) -> bytes:
    return command(FLUSH_CONTEXT, parameters=struct.pack(">I", handle))


def read_public(handle: int) -> bytes:
    return command(READ_PUBLIC, (handle,))


def ecc_public(r: Reader) -> EccPublic | None:
    """A TPM2B_PUBLIC; None for a key of another kind than ECDSA on P-256."""
    r = Reader(r.sized())
    kind, _, attributes, _ = r.u16(), r.u16(), r.u32(), r.sized()
    if kind != _ECC:
        return None
    # A symmetric algorithm only restricted decryption keys have, and a KDF nobody.
    symmetric, scheme = r.u16(), r.u16()
    if symmetric != _NULL or scheme not in (_ECDSA, _NULL):
        return None
    if scheme == _ECDSA and r.u16() != _SHA256:
        return None
    curve, _ = r.u16(), r.u16()
    x, y = r.sized(), r.sized()
    return EccPublic(attributes, int.from_bytes(x, "big"), int.from_bytes(y, "big")) if curve == _P256 else None


def sign(handle: int, digest: bytes) -> bytes:
    """ECDSA over a SHA-256 digest that was made outside: the ticket says so, and an unrestricted key takes that."""
    ticket = struct.pack(">HI", _HASHCHECK, NULL_HIERARCHY) + sized(b"")
    scheme = struct.pack(">HH", _ECDSA, _SHA256)
    return command(SIGN, (handle,), sized(digest) + scheme + ticket, authorised=True)


def ecdsa_signature(r: Reader) -> tuple[int, int]:
    """(r, s) of a TPMT_SIGNATURE. Raises DeviceError for another kind."""
    if (r.u16(), r.u16()) != (_ECDSA, _SHA256):
        raise DeviceError("the TPM signed by another scheme than ECDSA with SHA-256")
    return int.from_bytes(r.sized(), "big"), int.from_bytes(r.sized(), "big")


# -- counter -------------------------------------------------------------------------------------------------------


def nv_define_counter(index: int) -> bytes:
    public = struct.pack(">IHI", index, _SHA256, COUNTER) + sized(b"") + struct.pack(">H", 8)
    return command(NV_DEFINE_SPACE, (OWNER,), sized(b"") + sized(public), authorised=True)


def nv_increment(index: int) -> bytes:
    return command(NV_INCREMENT, (index, index), authorised=True)


def nv_read_counter(index: int) -> bytes:
    return command(NV_READ, (index, index), struct.pack(">HH", 8, 0), authorised=True)


def nv_read_public(index: int) -> bytes:
    return command(NV_READ_PUBLIC, (index,))


def nv_is_counter(r: Reader) -> tuple[bool, bool]:
    """(it is a counter, it was incremented before) of a TPM2B_NV_PUBLIC."""
    r = Reader(r.sized())
    _, _, attributes = r.u32(), r.u16(), r.u32()
    return attributes & _NV_TYPE == _NV_COUNTER, bool(attributes & NV_WRITTEN)


# -- bytes ---------------------------------------------------------------------------------------------------------


def nv_define_plain(index: int, size: int) -> bytes:
    public = struct.pack(">IHI", index, _SHA256, PLAIN) + sized(b"") + struct.pack(">H", size)
    return command(NV_DEFINE_SPACE, (OWNER,), sized(b"") + sized(public), authorised=True)


def nv_write(index: int, data: bytes) -> bytes:
    return command(NV_WRITE, (index, index), sized(data) + struct.pack(">H", 0), authorised=True)


def nv_read(index: int, size: int) -> bytes:
    return command(NV_READ, (index, index), struct.pack(">HH", size, 0), authorised=True)


def nv_is_plain(r: Reader, size: int) -> tuple[bool, bool]:
    """(it holds so many bytes, it was written before) of a TPM2B_NV_PUBLIC."""
    r = Reader(r.sized())
    _, _, attributes, _, holds = r.u32(), r.u16(), r.u32(), r.sized(), r.u16()
    return attributes & _NV_TYPE == _NV_PLAIN and holds == size, bool(attributes & NV_WRITTEN)


# -- response codes (part 2, section 6.6) --------------------------------------------------------------------------

LOCKOUT, NV_RATE, RETRY, YIELDED, TESTING, NOT_STARTED = 0x921, 0x920, 0x922, 0x908, 0x90A, 0x100
NV_DEFINED, NV_UNINITIALIZED = 0x14C, 0x14A
AGAIN = frozenset({NV_RATE, RETRY, YIELDED, TESTING})
_HANDLE, _AUTH_FAIL, _BAD_AUTH, _NV_SPACE = 0x8B, 0x8E, 0xA2, 0x14B


def plain(code: int) -> int:
    """A response code without the number of the handle, session or parameter it is about."""
    return code & 0xBF if code & 0x80 else code


def is_absent(code: int) -> bool:
    """Nothing is at that handle."""
    return plain(code) == _HANDLE


def refusal(code: int, doing: str) -> DeviceError:
    """What a response code means, in words."""
    where = {
        _HANDLE: ("nothing is at that handle", "name the handle that `bodycam-agent provision` told"),
        _AUTH_FAIL: ("it wants a password that is not empty", "make the key with bodycam-agent provision"),
        _BAD_AUTH: ("it wants a password that is not empty", "make the key with bodycam-agent provision"),
        LOCKOUT: (
            "it is locked out after wrong passwords",
            "wait, or: tpm2_dictionarylockout --clear-lockout",
        ),
        NOT_STARTED: ("it was not started", "the firmware or the kernel starts it: tpm2_startup --clear"),
        NV_DEFINED: ("that handle is taken", "name another one"),
        _NV_SPACE: ("it has no room left", "remove what is not needed: tpm2_getcap handles-persistent"),
    }
    words, hint = where.get(plain(code), (f"response code 0x{code:x}", "look it up: tpm2_rc_decode"))
    return DeviceError(f"the TPM refuses to {doing}: {words}", hint)

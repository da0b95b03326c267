"""The payload of an age v1 file: a nonce, then chunks of 64 KiB, each sealed for its place (c2sp.org/age)."""

from __future__ import annotations

from collections.abc import Iterator

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from agent.errors import EvidenceError
from agent.formats import age_header

PAYLOAD_NONCE_BYTES = 16
CHUNK_BYTES = 64 << 10
TAG_BYTES = 16
_SEALED_BYTES = CHUNK_BYTES + TAG_BYTES


def payload_key(file_key: bytes, payload_nonce: bytes) -> bytes:
    """The key of all chunks of one file. The file key is already unique; the nonce separates it from its other uses."""
    return age_header.derive(file_key, payload_nonce, b"payload")


def chunk_nonce(index: int, *, final: bool) -> bytes:
    """Unique under one payload key: each index is used once, and the last byte keeps a final chunk apart from
    an inner one.

    11 bytes hold more chunks than any file has; past them to_bytes raises rather than wrap around.
    """
    return index.to_bytes(11, "big") + bytes([final])


class ChunkSealer:
    """Seals one payload as it arrives. The last chunk is held back until it is known to be the last."""

    def __init__(self, key: bytes) -> None:
        self._aead = ChaCha20Poly1305(key)
        self._index = 0
        self._held = b""

    def update(self, data: bytes) -> list[bytes]:
        """The sealed chunks that are complete and not the last."""
        data = self._held + data
        at, out = 0, []
        while len(data) - at > CHUNK_BYTES:
            out.append(self._seal(data[at : at + CHUNK_BYTES], final=False))
            at += CHUNK_BYTES
        self._held = data[at:]
        return out

    def finish(self) -> bytes:
        """The sealed last chunk: empty only where the whole payload is."""
        last, self._held = self._held, b""
        return self._seal(last, final=True)

    def _seal(self, chunk: bytes, *, final: bool) -> bytes:
        # Unique: the key is this file's alone (fresh file key and payload nonce), and the index never repeats.
        sealed = self._aead.encrypt(chunk_nonce(self._index, final=final), chunk, None)
        self._index += 1
        return sealed


def open_chunks(key: bytes, data: bytes, start: int) -> Iterator[bytes]:
    """Authentic chunks of `data[start:]`, in order.

    Raises EvidenceError where the first wrong thing stands, after having yielded all before it: a caller that wants
    all or nothing must run to the end before it uses anything.
    """
    aead, view = ChaCha20Poly1305(key), memoryview(data)
    index = 0
    while True:
        sealed = view[start : start + _SEALED_BYTES]
        start += len(sealed)
        chunk, final = _open(aead, index, sealed, expect_final=start == len(data))
        if final and not chunk and index:
            raise EvidenceError("age payload ends in an empty chunk")
        yield chunk
        if final and start < len(data):
            raise EvidenceError(f"age payload has {len(data) - start} bytes after its final chunk")
        if final:
            return
        if start == len(data):
            raise EvidenceError(f"age payload is cut short after chunk {index}")
        index += 1


def _open(aead: ChaCha20Poly1305, index: int, sealed: memoryview, *, expect_final: bool) -> tuple[bytes, bool]:
    """(chunk, whether it was sealed as the final one). The place tells which to expect; the other is tried to
    name what is wrong: a file cut at a chunk boundary, or one with something behind its end.
    """
    if len(sealed) < TAG_BYTES:
        raise EvidenceError(f"age payload is cut short in chunk {index}")
    for final in (expect_final, not expect_final):
        if len(sealed) < _SEALED_BYTES and not final:
            continue
        try:
            return aead.decrypt(chunk_nonce(index, final=final), sealed, None), final
        except InvalidTag:
            continue
    state = "altered or cut short" if expect_final else "altered"
    raise EvidenceError(f"age payload is {state} in chunk {index}")

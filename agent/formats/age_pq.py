"""Post-quantum identities and recipients of age (c2sp.org/age, "The hybrid post-quantum recipient type").

A file key is wrapped by HPKE (RFC 9180, base mode, HKDF-SHA256, ChaCha20-Poly1305) under the hybrid KEM
MLKEM768-X25519, which is X-Wing (draft-connolly-cfrg-xwing-kem; KEM id 0x647a of draft-ietf-hpke-pq): to open it,
both ML-KEM-768 (FIPS 203) and X25519 (RFC 7748) would have to be broken.

ML-KEM comes from `cryptography`, in its wheels since 48; where it is missing, KeyTrustError says so.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import ModuleType

from cryptography.exceptions import InvalidTag, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from agent.errors import EvidenceError, KeyTrustError
from agent.formats import age_header, bech32
from agent.formats.age_header import Stanza
from agent.formats.age_x25519 import FILE_KEY_BYTES, public_bytes, shared_secret

IDENTITY_PREFIX = "age-secret-key-pq-"
RECIPIENT_PREFIX = "age1pq"
_TYPE = "mlkem768x25519"
_INFO = b"age-encryption.org/mlkem768x25519"
_SEED_BYTES = 32
_MLKEM_KEY, _MLKEM_CIPHERTEXT, _X25519 = 1184, 1088, 32
_BODY_BYTES = FILE_KEY_BYTES + 16
_XWING_LABEL = rb"\.//^" + b"\\"
_SUITE = b"HPKE" + (0x647A).to_bytes(2, "big") + (0x0001).to_bytes(2, "big") + (0x0003).to_bytes(2, "big")
_HINT = "use a key made by age-keygen -pq"


@dataclass(frozen=True, slots=True)
class PqRecipient:
    """Whom to encrypt to: an X-Wing public key, 1216 bytes (ML-KEM-768's, then X25519's)."""

    key: bytes

    @classmethod
    def parse(cls, text: str) -> PqRecipient:
        """Read `age1pq1...`. Raises KeyTrustError, also for a key that is none of ML-KEM or a low-order point."""
        key = _parse_key(text, RECIPIENT_PREFIX, _MLKEM_KEY + _X25519, "age post-quantum recipient", text[:60] + "...")
        if text != text.lower():
            raise KeyTrustError(
                f"age recipient is not in lower case: {text[:60]}...", "write it as age-keygen prints it"
            )
        recipient = cls(key)
        recipient.wrap(bytes(FILE_KEY_BYTES))
        return recipient

    def to_string(self) -> str:
        return bech32.encode(RECIPIENT_PREFIX, self.key)

    def wrap(self, file_key: bytes) -> Stanza:
        """The stanza that carries `file_key` to this recipient, under an encapsulation of its own."""
        mlkem = _mlkem()
        try:
            secret_m, ciphertext_m = mlkem.MLKEM768PublicKey.from_public_bytes(self.key[:_MLKEM_KEY]).encapsulate()
        except ValueError:
            raise KeyTrustError(f"age recipient is no ML-KEM-768 key: {self.to_string()[:60]}...", _HINT) from None
        ephemeral = X25519PrivateKey.generate()
        share = public_bytes(ephemeral)
        secret_x = shared_secret(ephemeral, self.key[_MLKEM_KEY:])
        if secret_x is None:
            raise KeyTrustError(f"age recipient is a low-order point: {self.to_string()[:60]}...", _HINT)
        key, nonce = _key_schedule(_combine(secret_m, secret_x, share, self.key[_MLKEM_KEY:]))
        # Unique: key and nonce come from an encapsulation made for this one stanza, and encrypt once.
        body = ChaCha20Poly1305(key).encrypt(nonce, file_key, None)
        return Stanza((_TYPE, age_header.b64(ciphertext_m + share)), body)


@dataclass(frozen=True, slots=True)
class PqIdentity:
    """Who can decrypt: an X-Wing seed, 32 bytes. It never shows in a repr or in an error."""

    seed: bytes = field(repr=False)

    @classmethod
    def parse(cls, text: str) -> PqIdentity:
        """Read `AGE-SECRET-KEY-PQ-1...`. Raises KeyTrustError."""
        seed = _parse_key(text, IDENTITY_PREFIX, _SEED_BYTES, "age post-quantum identity", "(not shown)")
        if text != text.upper():
            raise KeyTrustError("age identity is not in upper case", "write it as age-keygen prints it")
        return cls(seed)

    @classmethod
    def generate(cls) -> PqIdentity:
        return cls(secrets.token_bytes(_SEED_BYTES))

    def to_string(self) -> str:
        return bech32.encode(IDENTITY_PREFIX, self.seed).upper()

    @property
    def recipient(self) -> PqRecipient:
        """Raises KeyTrustError where `cryptography` has no ML-KEM."""
        seed_m, secret_x = self._expand()
        public_m = _mlkem().MLKEM768PrivateKey.from_seed_bytes(seed_m).public_key().public_bytes_raw()
        return PqRecipient(public_m + public_bytes(secret_x))

    def unwrap(self, stanzas: Sequence[Stanza]) -> bytes | None:
        """The file key, or None where no stanza is for this identity.

        Raises EvidenceError for any malformed stanza of this type, before one is tried; other types are not looked at.
        Raises KeyTrustError where there is one and `cryptography` has no ML-KEM.
        """
        ours = [(_encapsulated(stanza), stanza.body) for stanza in stanzas if stanza.args[0] == _TYPE]
        if not ours:
            return None
        seed_m, secret = self._expand()
        private_m, public_x = _mlkem().MLKEM768PrivateKey.from_seed_bytes(seed_m), public_bytes(secret)
        for encapsulated, body in ours:
            ciphertext_m, share = encapsulated[:_MLKEM_CIPHERTEXT], encapsulated[_MLKEM_CIPHERTEXT:]
            secret_x = shared_secret(secret, share)
            if secret_x is None:
                raise EvidenceError("age header: a post-quantum stanza holds a low-order point")
            key, nonce = _key_schedule(_combine(private_m.decapsulate(ciphertext_m), secret_x, share, public_x))
            try:
                return ChaCha20Poly1305(key).decrypt(nonce, body, None)
            except InvalidTag:
                continue
        return None

    def _expand(self) -> tuple[bytes, X25519PrivateKey]:
        """(ML-KEM seed d || z, X25519 secret): X-Wing's expandDecapsulationKey."""
        expanded = hashlib.shake_256(self.seed).digest(96)
        return expanded[:64], X25519PrivateKey.from_private_bytes(expanded[64:])


def _combine(secret_m: bytes, secret_x: bytes, share: bytes, public_x: bytes) -> bytes:
    """X-Wing's Combiner."""
    return hashlib.sha3_256(secret_m + secret_x + share + public_x + _XWING_LABEL).digest()


def _key_schedule(shared: bytes) -> tuple[bytes, bytes]:
    """(key, nonce of the first message) of HPKE's base mode, RFC 9180 section 5.1: no PSK, age's info."""
    context = b"\x00" + _extract(b"", b"psk_id_hash", b"") + _extract(b"", b"info_hash", _INFO)
    secret = _extract(shared, b"secret", b"")
    return _expand(secret, b"key", context, 32), _expand(secret, b"base_nonce", context, 12)


def _extract(salt: bytes, label: bytes, key: bytes) -> bytes:
    """LabeledExtract of RFC 9180 section 4. HKDF-Extract is HMAC, and HMAC pads an empty key with zeros."""
    return hmac.digest(salt, b"HPKE-v1" + _SUITE + label + key, "sha256")


def _expand(secret: bytes, label: bytes, info: bytes, length: int) -> bytes:
    """LabeledExpand of RFC 9180 section 4."""
    labelled = length.to_bytes(2, "big") + b"HPKE-v1" + _SUITE + label + info
    return HKDFExpand(hashes.SHA256(), length, labelled).derive(secret)


def _encapsulated(stanza: Stanza) -> bytes:
    """The encapsulation in a well-formed stanza. The body's length is checked before anything decrypts it, so that no
    ciphertext can be made to open under several keys (partitioning oracle).
    """
    if len(stanza.args) != 2:
        raise EvidenceError("age header: a post-quantum stanza does not have two arguments")
    encapsulated = age_header.unb64(stanza.args[1].encode("ascii"))
    if len(encapsulated) != _MLKEM_CIPHERTEXT + _X25519 or len(stanza.body) != _BODY_BYTES:
        raise EvidenceError("age header: a post-quantum stanza's encapsulation or body has another length")
    return encapsulated


def _parse_key(text: str, prefix: str, size: int, what: str, shown: str) -> bytes:
    hint = "copy the whole line that age-keygen -pq printed"
    try:
        # Under two characters a byte, prefix and checksum: what is longer is no key, and not worth reading to its end.
        found, key = bech32.decode(text) if len(text) <= size * 2 + 40 else ("", b"")
    except ValueError as err:
        raise KeyTrustError(f"not an {what}: {shown}: {err}", hint) from None
    if found != prefix or len(key) != size:
        raise KeyTrustError(f"not an {what}: {shown}", hint)
    return key


def _mlkem() -> ModuleType:
    """ML-KEM of `cryptography`, which its older releases and some builds of it lack."""
    try:
        from cryptography.hazmat.primitives.asymmetric import mlkem

        mlkem.MLKEM768PrivateKey.from_seed_bytes(bytes(64))
    except (ImportError, UnsupportedAlgorithm):
        raise KeyTrustError(
            "post-quantum age keys need ML-KEM, which this Python package cryptography does not have",
            "install cryptography 48 or newer from PyPI, or use X25519 recipients",
        ) from None
    return mlkem

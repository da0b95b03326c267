"""X25519 identities and recipients of age (c2sp.org/age, "The X25519 recipient type").

A recipient wraps a file key into a stanza; an identity finds its stanza and unwraps. Another recipient type is another
pair of classes with the same two methods.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from agent.errors import EvidenceError, KeyTrustError
from agent.formats import age_header, bech32
from agent.formats.age_header import Stanza

FILE_KEY_BYTES = 16
_TYPE = "X25519"
_INFO = b"age-encryption.org/v1/X25519"
_KEY_BYTES = 32
_BODY_BYTES = FILE_KEY_BYTES + 16
_HINT = "use a key made by age-keygen"
_RECIPIENT_PREFIX = "age"
_IDENTITY_PREFIX = "age-secret-key-"

# Fixed by the specification. Unique all the same: each wrap key encrypts once, for it comes from an ephemeral secret
# made for that one stanza.
_WRAP_NONCE = bytes(12)


@dataclass(frozen=True, slots=True)
class X25519Recipient:
    """Whom to encrypt to: a public key, 32 bytes (RFC 7748)."""

    key: bytes

    @classmethod
    def parse(cls, text: str) -> X25519Recipient:
        """Read `age1...`. Raises KeyTrustError, also for a low-order point: no secret can be shared with it."""
        key = _parse_key(text, _RECIPIENT_PREFIX, "age X25519 recipient", shown=text[:80])
        if text != text.lower():
            raise KeyTrustError(f"age recipient is not in lower case: {text[:80]}", "write it as age-keygen prints it")
        if shared_secret(X25519PrivateKey.generate(), key) is None:
            raise KeyTrustError(f"age recipient is a low-order point: {text[:80]}", _HINT)
        return cls(key)

    def to_string(self) -> str:
        return bech32.encode(_RECIPIENT_PREFIX, self.key)

    def wrap(self, file_key: bytes) -> Stanza:
        """The stanza that carries `file_key` to this recipient, under an ephemeral secret of its own."""
        ephemeral = X25519PrivateKey.generate()
        share = public_bytes(ephemeral)
        shared = shared_secret(ephemeral, self.key)
        if shared is None:
            raise KeyTrustError(f"age recipient is a low-order point: {self.to_string()}", _HINT)
        wrap_key = age_header.derive(shared, share + self.key, _INFO)
        body = ChaCha20Poly1305(wrap_key).encrypt(_WRAP_NONCE, file_key, None)
        return Stanza((_TYPE, age_header.b64(share)), body)


@dataclass(frozen=True, slots=True)
class X25519Identity:
    """Who can decrypt: a secret key, 32 bytes. It never shows in a repr or in an error."""

    secret: bytes = field(repr=False)
    # Worked out once: it is as dear as the exchange itself, which comes with every file.
    _key: X25519PrivateKey = field(init=False, repr=False, compare=False)
    _public: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        key = X25519PrivateKey.from_private_bytes(self.secret)
        object.__setattr__(self, "_key", key)
        object.__setattr__(self, "_public", public_bytes(key))

    @classmethod
    def parse(cls, text: str) -> X25519Identity:
        """Read `AGE-SECRET-KEY-1...`. Raises KeyTrustError."""
        secret = _parse_key(text, _IDENTITY_PREFIX, "age X25519 identity", shown="(not shown)")
        if text != text.upper():
            raise KeyTrustError("age identity is not in upper case", "write it as age-keygen prints it")
        return cls(secret)

    @classmethod
    def generate(cls) -> X25519Identity:
        return cls(secrets.token_bytes(_KEY_BYTES))

    def to_string(self) -> str:
        return bech32.encode(_IDENTITY_PREFIX, self.secret).upper()

    @property
    def recipient(self) -> X25519Recipient:
        return X25519Recipient(self._public)

    def unwrap(self, stanzas: Sequence[Stanza]) -> bytes | None:
        """The file key, or None where no stanza is for this identity.

        Raises EvidenceError for any malformed X25519 stanza, before one is tried; other types are not looked at.
        """
        ours = [(_share(stanza), stanza.body) for stanza in stanzas if stanza.args[0] == _TYPE]
        for share, body in ours:
            shared = shared_secret(self._key, share)
            if shared is None:
                raise EvidenceError("age header: an X25519 stanza holds a low-order point")
            try:
                wrap_key = age_header.derive(shared, share + self._public, _INFO)
                return ChaCha20Poly1305(wrap_key).decrypt(_WRAP_NONCE, body, None)
            except InvalidTag:
                continue
        return None


def _share(stanza: Stanza) -> bytes:
    """The ephemeral share of a well-formed X25519 stanza. The body's length is checked before anything decrypts it,
    so that no ciphertext can be made to open under several keys (partitioning oracle).
    """
    if len(stanza.args) != 2:
        raise EvidenceError("age header: an X25519 stanza does not have two arguments")
    share = age_header.unb64(stanza.args[1].encode("ascii"))
    if len(share) != _KEY_BYTES or len(stanza.body) != _BODY_BYTES:
        raise EvidenceError("age header: an X25519 stanza's share or body is not 32 bytes long")
    return share


def shared_secret(secret: X25519PrivateKey, public: bytes) -> bytes | None:
    """X25519 (RFC 7748 section 5), None where the result is all zero: some backends raise, others hand it out."""
    try:
        shared = secret.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:
        return None
    return shared if any(shared) else None


def public_bytes(secret: X25519PrivateKey) -> bytes:
    """The public key, 32 bytes."""
    return secret.public_key().public_bytes_raw()


def _parse_key(text: str, prefix: str, what: str, shown: str) -> bytes:
    hint = "copy the whole line that age-keygen printed"
    try:
        # A key has 74 characters at most; what is much longer is another type, and not worth reading to its end.
        found, key = bech32.decode(text) if len(text) <= 100 else ("", b"")
    except ValueError as err:
        raise KeyTrustError(f"not an {what}: {shown}: {err}", hint) from None
    if found != prefix or len(key) != _KEY_BYTES:
        raise KeyTrustError(f"not an {what}: {shown}", hint)
    return key

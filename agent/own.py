"""What on the card is this camera's own: whoever has the card alone can write there whatever he likes, and the camera
must sign none of it as if it had written it.

The camera's own certificates are the measure. It was given them, and they lie where its configuration says; what lies
in the spool proves itself against them, or counts as damage.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from agent import durable
from agent.errors import AgentError, EvidenceError
from agent.formats import certs, note, pack
from agent.formats import epoch as epochs

REMEMBERED = 64
"""Chains that were checked: the segments of one session have the same."""


class ForeignError(EvidenceError):
    """It is whole in itself, and by the keys of another camera, or of nobody's."""


class Own:
    """`stem` is what the origins of this camera's logs share; `identity_chain` its identity and issuing certificates
    (PEM). Raises KeyTrustError where they are none.
    """

    def __init__(self, stem: str, identity_chain: bytes) -> None:
        self.stem = stem
        self._chain = certs.parse_pem(identity_chain)[-2:]
        self._camera = certs.common_name(self._chain[0])
        self._known: dict[bytes, certs.Session] = {}

    def origin(self, epoch: int) -> str:
        """The name of one epoch's log."""
        return f"{self.stem}/{epoch}"

    def session(self, chain_pem: bytes) -> certs.Session:
        """The session of a chain, where this camera's identity key vouches for it. Raises ForeignError for another's,
        EvidenceError for what does not hold together, as what a cut tore.
        """
        digest = hashlib.sha256(chain_pem).digest()
        if digest not in self._known:
            found = self._checked(chain_pem)
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            self._known[digest] = found
        return self._known[digest]

    def _checked(self, chain_pem: bytes) -> certs.Session:
        try:
            chain = certs.parse_pem(chain_pem)
            found = certs.check_minted(chain)
            ours = certs.is_identity_of(chain[1], self._chain)
        except AgentError as err:
            raise EvidenceError(err.message) from err
        if not ours:
            raise ForeignError(f"it is signed by keys for {found.camera} which are not those of {self._camera}")
        return found

    def segment(self, header: pack.SegmentHeader, chain_pem: bytes) -> certs.Session:
        """As `session`, of a segment's chain; and its log is one of this camera's. Raises as that."""
        found = self.session(chain_pem)
        if epochs.split(header.origin)[0] != self.stem:
            raise ForeignError(f"it is of the log {header.origin}, not of one of {self.stem}")
        return found

    def head(self, data: bytes, chain_pem: Callable[[], bytes], epoch: int) -> note.Checkpoint:
        """A checkpoint of one epoch that this camera signed: with its identity key, whichever session it was, or else
        with the session's of this chain, as a TPM that was silent leaves it. Raises EvidenceError.
        """
        signed = note.parse(data)
        head, origin = note.parse_checkpoint(signed.text), self.origin(epoch)
        if head.origin != origin:
            raise EvidenceError(f"the checkpoint is of the log {head.origin[:80]}")
        identity = self._chain[0].public_key()
        if not (isinstance(identity, ec.EllipticCurvePublicKey) and note.verify_ecdsa(signed, origin, identity)):
            note.verify_ed25519(signed, origin, self.session(chain_pem()).key)
        return head

    def head_beside(self, chain: Path, epoch: int) -> Callable[[bytes], note.Checkpoint]:
        """The same of a checkpoint whose chain lies in this file. StorageError where reading that may fail for now."""

        def chain_pem() -> bytes:
            if (data := durable.read_if_whole(chain)) is None:
                raise EvidenceError(f"{chain} cannot be read, and the identity key did not sign")
            return data

        return lambda data: self.head(data, chain_pem, epoch)

"""Whose signatures count: the agency's root, and the session chains that lead to it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from cryptography import x509

from agent.errors import AgentError, KeyTrustError
from agent.evidence.blobs import read_small, said_of
from agent.formats import certs

MAX_PEM = 64 << 10


def load_root(path: Path) -> x509.Certificate:
    """The agency's root certificate. Raises KeyTrustError."""
    hint = "name the agency's root certificate (PEM), as `bodycam-station init` wrote it to trust/root.pem"
    try:
        found = certs.parse_pem(read_small(path, MAX_PEM))
        if len(found) != 1:
            raise KeyTrustError(f"it holds {len(found)} certificates")
        certs.check_root(found[0])
    except AgentError as err:
        raise KeyTrustError(f"trust anchor {path}: {said_of(path, err)}", hint) from err
    return found[0]


class Trust:
    """The root, and every chain met so far by its SHA-256, so that a damaged copy of one can be read from another."""

    def __init__(self, root: x509.Certificate) -> None:
        self.root = root
        self._sessions: dict[str, certs.Session] = {}

    def learn(self, chain_pem: bytes) -> certs.Session:
        """Check a chain against the root and remember it. Raises KeyTrustError with what is wrong."""
        digest = hashlib.sha256(chain_pem).hexdigest()
        if digest not in self._sessions:
            self._sessions[digest] = certs.check_session(certs.parse_chain(chain_pem), self.root)
        return self._sessions[digest]

    def known(self, digest: str) -> certs.Session | None:
        """The session of a chain with this SHA-256, if it was met and is trusted."""
        return self._sessions.get(digest)

    def sessions(self, camera: str) -> list[certs.Session]:
        """Every trusted session of this camera."""
        return [s for s in self._sessions.values() if s.camera == camera]

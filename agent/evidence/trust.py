"""Whose signatures count: the agency's root, and the session chains that lead to it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from agent.errors import AgentError, KeyTrustError
from agent.evidence.blobs import read_small, said_of
from agent.formats import certs, note

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
        self._identities: dict[str, dict[bytes, ec.EllipticCurvePublicKey]] = {}
        self._of_camera: dict[str, list[certs.Session]] = {}
        self._by_key: dict[str, tuple[int, dict[bytes, list[certs.Session]]]] = {}

    def learn(self, chain_pem: bytes) -> certs.Session:
        """Check a chain against the root and remember it. Raises KeyTrustError with what is wrong."""
        digest = hashlib.sha256(chain_pem).hexdigest()
        if digest not in self._sessions:
            self._sessions[digest] = found = certs.check_session(certs.parse_chain(chain_pem), self.root)
            self._of_camera.setdefault(found.camera, []).append(found)
            self._identities.setdefault(found.camera, {})[note.spki(found.identity)] = found.identity
        return self._sessions[digest]

    def known(self, digest: str) -> certs.Session | None:
        """The session of a chain with this SHA-256, if it was met and is trusted."""
        return self._sessions.get(digest)

    def identities(self, origin: str) -> Iterable[ec.EllipticCurvePublicKey]:
        """The identity keys of the camera of this log, each once."""
        return self._identities.get(_camera_of(origin), {}).values()

    def signers(self, origin: str, signed: note.Note) -> list[certs.Session]:
        """Every trusted session of the camera of this log that signed the note. Raises EvidenceError where a signature
        by the key of one is wrong.
        """
        by_key = self._keys(origin)
        named = dict.fromkeys(one.key_id for one in signed.signatures if one.name == origin)
        found = (session for key_id in named for session in by_key.get(key_id, ()))
        return [session for session in found if note.is_by_ed25519(signed, origin, session.key)]

    def _keys(self, origin: str) -> dict[bytes, list[certs.Session]]:
        """The camera's sessions by what a signature of each says of its key. Not made anew for each note: a log may
        have as many sessions as there are heads of it.
        """
        sessions = self._of_camera.get(_camera_of(origin), [])
        count, by_key = self._by_key.get(origin, (0, {}))
        for session in sessions[count:]:
            by_key.setdefault(note.key_id(origin, note.ED25519, note.raw_public(session.key)), []).append(session)
        self._by_key[origin] = len(sessions), by_key
        return by_key


def _camera_of(origin: str) -> str:
    return (origin.split("/")[-2:-1] or [""])[0]

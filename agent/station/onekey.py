"""One key, one camera. Two that share a key are one to whoever checks what it signed: of a lost one that is revoked,
the key would go on signing under the other's name. A card that was copied after its keys were made brings that about.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from agent import durable
from agent.errors import KeyTrustError, reason
from agent.formats import certs
from agent.model import CAMERA_NAME
from agent.station import turn
from agent.station.layout import AgencyPaths, CameraPaths

_HINT = (
    "make new keys: on that camera, rm /etc/bodycam-agent/recorder/identity.key /etc/bodycam-agent/uploader/tls.key "
    "(a key in the TPM: name another handle), and repeat the first step"
)
_HINT_ENROLLED = (
    "take no key away while it owes evidence: decommission both cameras (operations.md), then provision each anew, "
    "under a new name (a key in the TPM: under another handle)"
)
"""Of one that records with that key: its name means this key for ever, so a new one comes under a new name."""


@dataclass(frozen=True, slots=True)
class Taken:
    """Whose each key is: cameras by the fingerprints of their identity and TLS keys. A revoked camera's is its own for
    ever.
    """

    cameras: dict[str, set[str]]

    @classmethod
    def of(cls, paths: AgencyPaths) -> Taken:
        """Of every camera that was enrolled, read once. Raises KeyTrustError for a certificate that cannot be read, as
        nobody knows then whose that key is.
        """
        taken = cls({})
        for path in sorted((paths.root / "camera").glob("*/*.pem")):
            here = CameraPaths(path.parent)
            if CAMERA_NAME.fullmatch(path.parent.name) and path in (here.identity_chain, here.tls_chain):
                taken._note(path.parent.name, _fingerprint(path))
        return taken

    def check(self, camera: str, *asked: ec.EllipticCurvePublicKey) -> None:
        """Raises KeyTrustError where one of the keys is another camera's, or where they are one."""
        prints = [certs.fingerprint(public) for public in asked]
        enrolled = any(camera in self.cameras.get(found, set()) for found in prints)
        hint = _HINT_ENROLLED if enrolled else _HINT
        if len(set(prints)) != len(prints):
            raise KeyTrustError(f"camera {camera} asks with one key for both of its certificates", hint)
        for found in prints:
            others = self.cameras.get(found, set()) - {camera}
            if others:
                raise KeyTrustError(
                    f"camera {camera} asks with a key of camera {min(others)}, {found}: nothing was changed", hint
                )

    def add(self, camera: str, *keys: ec.EllipticCurvePublicKey) -> None:
        for public in keys:
            self._note(camera, certs.fingerprint(public))

    def _note(self, camera: str, fingerprint: str) -> None:
        self.cameras.setdefault(fingerprint, set()).add(camera)


def alone(paths: AgencyPaths, taken: Taken | None = None) -> AbstractContextManager[Taken]:
    """Nobody else enrols inside the block: from this look at whose each key is to the certificates for it, or two could
    have one in the same moment. `taken` where who asks is alone already. Raises KeyTrustError, and StorageError, also
    where it is not free in time.
    """
    return _alone(paths) if taken is None else nullcontext(taken)


@contextmanager
def _alone(paths: AgencyPaths) -> Iterator[Taken]:
    if not paths.trust_root.exists():
        # No agency: whoever enrols says so, and nothing is made where somebody mistyped.
        yield Taken.of(paths)
        return
    durable.make_dir(paths.station)
    with turn.alone(paths.enrolment_lock, "enrolment", "another `bodycam-station enrol`"):
        yield Taken.of(paths)


def _fingerprint(path: Path) -> str:
    try:
        public = certs.parse_pem(path.read_bytes())[0].public_key()
    except (OSError, KeyTrustError) as err:
        what = reason(err) if isinstance(err, OSError) else err.message
        raise KeyTrustError(f"certificate {path}: {what}", "restore it from a backup: its key is to be known") from err
    if not isinstance(public, ec.EllipticCurvePublicKey):
        raise KeyTrustError(f"certificate {path} is not for a P-256 key", "restore it from a backup")
    return certs.fingerprint(public)

"""Where an agency's things lie below one directory: keys, trust, certificates, and what the station holds."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from agent.errors import UsageError
from agent.model import CAMERA_NAME, CAMERA_NAME_FORM


@dataclass(frozen=True, slots=True)
class CameraPaths:
    """What enrolment leaves for one camera. The two keys are absent where the camera keeps its own and sent a CSR."""

    directory: Path

    @property
    def identity_key(self) -> Path:
        return self.directory / "identity.key"

    @property
    def identity_chain(self) -> Path:
        """Identity certificate, then the issuing one."""
        return self.directory / "identity.pem"

    @property
    def answer(self) -> Path:
        """What `bodycam-agent provision --certificate` takes."""
        return self.directory / f"{self.directory.name}.bundle"

    @property
    def tls_key(self) -> Path:
        return self.directory / "tls.key"

    @property
    def tls_chain(self) -> Path:
        return self.directory / "tls.pem"


@dataclass(frozen=True, slots=True)
class AgencyPaths:
    """Paths only; nothing here touches the disk."""

    root: Path

    @property
    def root_key(self) -> Path:
        return self.root / "ca" / "root.key"

    @property
    def issuing_key(self) -> Path:
        return self.root / "ca" / "issuing.key"

    @property
    def root_certificate(self) -> Path:
        return self.root / "ca" / "root.pem"

    @property
    def issuing_certificate(self) -> Path:
        return self.root / "ca" / "issuing.pem"

    @property
    def agency_identity(self) -> Path:
        return self.root / "keys" / "agency.agekey"

    @property
    def escrow_identity(self) -> Path:
        return self.root / "keys" / "escrow.agekey"

    @property
    def receipt_key(self) -> Path:
        return self.root / "keys" / "receipt.key"

    @property
    def receipt_chain(self) -> Path:
        """The receipt key's certificate, then its issuer's."""
        return self.root / "keys" / "receipt.pem"

    @property
    def config_key(self) -> Path:
        return self.root / "keys" / "config.key"

    @property
    def config_vkey(self) -> Path:
        """By which cameras check orders."""
        return self.root / "trust" / "config.vkey"

    @property
    def orders(self) -> Path:
        """The newest orders, as they are served."""
        return self.station / "orders"

    @property
    def trust_root(self) -> Path:
        return self.root / "trust" / "root.pem"

    def identity(self, which: str, generation: int) -> Path:
        """The secret age key of the agency or of the escrow; the first ones have no number."""
        return self.root / "keys" / (f"{which}.agekey" if generation == 1 else f"{which}-{generation}.agekey")

    def old_recipients(self, generation: int) -> Path:
        """Those that footage was sealed to before a rotation."""
        return self.root / "trust" / f"recipients-{generation}.txt"

    @property
    def recipients(self) -> Path:
        """Those that footage is sealed to now."""
        return self.root / "trust" / "recipients.txt"

    @property
    def receipt_vkey(self) -> Path:
        return self.root / "trust" / "receipt.vkey"

    @property
    def witness_vkey(self) -> Path:
        return self.root / "trust" / "witness.vkey"

    @property
    def tls_key(self) -> Path:
        return self.root / "tls" / "station.key"

    @property
    def tls_chain(self) -> Path:
        return self.root / "tls" / "station.pem"

    @property
    def station(self) -> Path:
        """What the station holds."""
        return self.root / "station"

    @property
    def state(self) -> Path:
        """What it must not forget."""
        return self.station / "state.sqlite"

    @property
    def index(self) -> Path:
        """What it knows of what it holds; made anew at any time."""
        return self.station / "index.sqlite"

    @property
    def access(self) -> Path:
        """Who opened, held and purged what."""
        return self.station / "access.jsonl"

    @property
    def answers(self) -> Path:
        """The list of the answers to install, of the newest rotation or exchange that made several."""
        return self.root / "answers.sha256"

    @property
    def retention(self) -> Path:
        """How long recordings are kept, as the agency writes it; without it for ever."""
        return self.root / "retention.toml"

    @property
    def enrolment_lock(self) -> Path:
        """Held by whoever enrols cameras."""
        return self.station / "enrol.lock"

    @property
    def holds_lock(self) -> Path:
        """Held by whoever holds, releases or purges a recording."""
        return self.station / "holds.lock"

    def hold(self, camera: str, recording: str) -> Path:
        """Present where this recording must not be purged."""
        return self.station / "holds" / check_camera(camera) / f"{recording}.json"

    def purges(self, camera: str) -> Path:
        """What the station signed of recordings that it deleted; for whoever verifies."""
        return self.station / "purges" / check_camera(camera)

    def purge(self, camera: str, recording: str, number: int) -> Path:
        return self.purges(camera) / f"{recording}-{number}.purge"

    def kept_head(self, camera: str, segment: str) -> Path:
        """Of what was purged from this segment on."""
        return self.purges(camera) / f"{segment}.vouched"

    def revocation(self, camera: str) -> Path:
        """Present where the agency stopped trusting this camera; for whoever verifies, like the root certificate."""
        return self.root / "trust" / "revoked" / f"{check_camera(camera)}.revocation"

    def camera(self, camera: str) -> CameraPaths:
        """Raises UsageError for a name that is not a camera's."""
        return CameraPaths(self.root / "camera" / check_camera(camera))


def places(camera: str, segment: str, sha256: str) -> tuple[str, str]:
    """Where these bytes of a segment may lie, below what the station holds: under its name, or beside other bytes that
    had the name first.
    """
    return f"segments/{camera}/{segment}.tar", f"conflicts/{camera}/{segment}.{sha256}.tar"


def successor(path: Path) -> Path:
    """Of a key of the station, while it is exchanged."""
    return path.with_stem(f"{path.stem}-next")


def retired(path: Path, number: int) -> Path:
    """The first, second, ... that was there before."""
    return path.with_stem(f"{path.stem}-{number}")


def check_camera(name: str) -> str:
    """The name, if it may name a camera (docs/evidence-format.md, "Names"). Raises UsageError."""
    if not CAMERA_NAME.fullmatch(name):
        raise UsageError(f"{name[:60]!r} is not a camera name", f"use {CAMERA_NAME_FORM}")
    return name

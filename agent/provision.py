"""A camera gets its keys, and what the agency says of them, in two steps that may each be repeated.

`prepare` makes the identity key (in the TPM or a file) and the TLS key, here on the camera, and writes one request for
both. `install` takes the agency's answer, after checking that it is for these keys. Neither writes over a key.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from agent import config, configfile, durable, publicfile
from agent.configrules import KeyPlace, SigningKey, TpmIndex
from agent.errors import ConfigError, KeyTrustError, UsageError, reason
from agent.formats import age, bundle, certs, note
from agent.identity import FileSigner, Signer, create_key, key_is_there, open_signer
from agent.model import CAMERA_NAME, CAMERA_NAME_FORM
from agent.tpm.counter import NvCounter
from agent.tpm.device import Tpm

_FIRST = {
    "video": {"source": "picamera"},
    "audio": {"source": "default"},
    "spool": {"dir": "/var/lib/bodycam-agent/spool"},
    "control": {"socket": "/run/bodycam-agent/control.sock"},
}
"""What a camera's first configuration says unless the agency says otherwise."""


DROP_IN = (
    "install -D -m 644 /usr/share/doc/bodycam-agent/examples/tpm.conf "
    "/etc/systemd/system/bodycam-recorder.service.d/tpm.conf && systemctl daemon-reload"
)
"""What lets the recorder's unit open the TPM (docs/operations.md)."""
OF_THE_UNITS = Path("/etc/bodycam-agent")
"""The directory that systemd/*.service name."""
RESTART = "systemctl restart bodycam-recorder bodycam-uploader"
"""Both: where there was no configuration yet systemd started neither, and the recorder does not bring the uploader."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a camera's things lie below one directory. Secrets stand in directories of their own, mode 0700, and
    belong to who provisions; systemd hands each to the one process that uses it (systemd/*.service, LoadCredential=).
    """

    root: Path

    @property
    def identity_key(self) -> Path:
        return self.root / "recorder" / "identity.key"

    @property
    def tls_key(self) -> Path:
        return self.root / "uploader" / "tls.key"

    @property
    def record(self) -> Path:
        """Which camera this is, and where its identity key lies."""
        return self.root / "provision.json"

    @property
    def config(self) -> Path:
        return self.root / "agent.toml"

    def request(self, camera: str) -> Path:
        return self.root / f"{camera}.csr"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What `provision` is asked to make. `key` is "file" or "tpm:0x...", `counter` "" or "tpm:0x...", as in the
    configuration.
    """

    camera: str
    key: str
    tpm_device: Path
    counter: str = ""

    def record(self) -> dict[str, Any]:
        return {
            "v": 1,
            "camera": self.camera,
            "identity_key": self.key,
            "tpm_device": str(self.tpm_device),
            "counter": self.counter,
        }

    def index(self) -> int | None:
        try:
            return TpmIndex().read(self.counter, Path())
        except ValueError as err:
            raise UsageError(f"--counter {err}", "none, or an index like tpm:0x01800100") from None

    def place(self, here: Place) -> KeyPlace:
        if self.key == "file":
            return here.identity_key
        hint = "file, or a handle like tpm:0x81010001"
        if not self.key.startswith("tpm:"):
            # Not taken for a path: a handle that is misspelt would become a key in a file.
            raise UsageError(f"--key {self.key[:60]!r} says neither file nor tpm", hint)
        try:
            return SigningKey().read(self.key, here.root)
        except ValueError as err:
            raise UsageError(f"--key {err}", hint) from None


@dataclass(frozen=True, slots=True)
class Prepared:
    """What `prepare` did: the request to send, and the identity key's fingerprint to compare."""

    camera: str
    request: Path
    key: str
    fingerprint: str
    made: tuple[str, ...]

    def told(self) -> tuple[dict[str, Any], list[str]]:
        """As JSON, and for people."""
        value = {
            "camera": self.camera,
            "csr": str(self.request),
            "identity_key": self.key,
            "identity_fingerprint": self.fingerprint,
            "made": list(self.made),
        }
        lines = [
            f"Made: {', '.join(self.made)}." if self.made else "The keys were here already.",
            f"  identity key   {self.key}, fingerprint {self.fingerprint}",
            f"  request        {self.request}",
            f"At the agency: bodycam-station enrol --dir AGENCY --csr {self.request.name}",
        ]
        if self.key.startswith("tpm:"):
            lines += [
                "For the recorder's unit, which may not open the TPM by itself (needs Debian's tpm-udev):",
                f"  {DROP_IN}",
            ]
        return value, lines


@dataclass(frozen=True, slots=True)
class Installed:
    """What `install` did: files that are new or changed."""

    camera: str
    config: Path
    bundle_sha256: str
    fingerprint: str
    written: tuple[str, ...]

    def told(self) -> tuple[dict[str, Any], list[str]]:
        """As JSON, and for people."""
        value = {
            "camera": self.camera,
            "config": str(self.config),
            "bundle_sha256": self.bundle_sha256,
            "identity_fingerprint": self.fingerprint,
            "written": list(self.written),
        }
        lines = [
            f"{self.camera}: " + (f"wrote {', '.join(self.written)}." if self.written else "nothing new."),
            f"  answer         SHA-256 {self.bundle_sha256}   (compare with what the agency told)",
        ]
        to_do = f"Restart the recorder and the uploader, which read {self.config} when they start"
        ours = self.config == Place(OF_THE_UNITS).config
        return value, [*lines, *([f"{to_do}:", f"  {RESTART}"] if ours else [f"{to_do}."])]


# -- the first step ------------------------------------------------------------------------------------------------


def prepare(directory: Path, wanted: Wanted) -> Prepared:
    """Keys and request; what is there already is kept and used. Raises KeyTrustError, DeviceError, StorageError,
    UsageError.
    """
    if not CAMERA_NAME.fullmatch(wanted.camera):
        raise UsageError(f"{wanted.camera[:60]!r} is not a camera name ({CAMERA_NAME_FORM})", "choose another")
    here = Place(directory.absolute())
    place, index = wanted.place(here), wanted.index()
    # Public certificates and the configuration lie here, for both daemons; what is secret lies deeper.
    publicfile.make_dir(here.root)
    _remember(here, wanted)
    made = []
    if key_is_there(place, wanted.tpm_device):
        signer = open_signer(place, wanted.tpm_device)
    else:
        signer = create_key(place, wanted.tpm_device)
        made.append("identity key")
    if not key_is_there(here.tls_key, wanted.tpm_device):
        create_key(here.tls_key, wanted.tpm_device)
        made.append("TLS key")
    if index is not None and NvCounter(Tpm(wanted.tpm_device), index).ensure():
        made.append("start counter")
    requests = certs.request(wanted.camera, certs.IDENTITY, signer.issuing_key)
    requests += certs.request(wanted.camera, certs.CAMERA_TLS, FileSigner(here.tls_key).issuing_key)
    durable.write_file(here.request(wanted.camera), requests, 0o644)
    return Prepared(
        wanted.camera, here.request(wanted.camera), wanted.key, certs.fingerprint(signer.public), tuple(made)
    )


def _remember(here: Place, wanted: Wanted) -> None:
    """Until a request is there, which somebody may have sent, another choice takes the place of one that failed."""
    before = _record(here)
    if before == wanted:
        return
    if before is not None and here.request(before.camera).exists():
        request, mistaken = here.request(before.camera), ""
        if not (here.root / "identity.pem").exists():
            # With the keys: where this card is a copy of another camera's, they are its. A TPM's is this one's.
            made = [path for path in (here.record, request, here.identity_key, here.tls_key) if path.exists()]
            mistaken = (
                f"; where that was a mistake, or this is a copy of its card, and no agency has answered {request} "
                f"for this camera: rm {' '.join(map(str, made))}"
            )
        raise KeyTrustError(
            f"{here.root} is camera {before.camera}'s, its key {before.key}; nothing was changed",
            f"repeat it with what {here.record} says, or name another --dir{mistaken}",
        )
    durable.write_file(here.record, json.dumps(wanted.record(), indent=2).encode() + b"\n", 0o644)


def _record(here: Place) -> Wanted | None:
    try:
        value = json.loads(here.record.read_bytes())
        device, counter = Path(value["tpm_device"]), str(value.get("counter", ""))
        return Wanted(str(value["camera"]), str(value["identity_key"]), device, counter)
    except FileNotFoundError:
        return None
    except OSError as err:
        raise UsageError(f"{here.record}: {reason(err)}", "name the camera's directory with --dir") from err
    except (ValueError, KeyError, TypeError):
        raise UsageError(f"{here.record} is damaged", "move it away, and repeat the first step") from None


# -- the second step -----------------------------------------------------------------------------------------------


def install(directory: Path, data: bytes) -> Installed:
    """The agency's answer to the request. Nothing is written before all of it was found to fit.

    Keys of the configuration that the agency decides are set over those that are there. Raises KeyTrustError where the
    answer is not for this camera and its keys, or of another agency than before; ConfigError, StorageError.
    """
    here = Place(directory.absolute())
    wanted = _record(here)
    if wanted is None:
        raise UsageError(f"{here.root} has no keys yet", "first: bodycam-agent provision --camera NAME")
    signer = open_signer(wanted.place(here), wanted.tpm_device)
    if data.startswith(b"-----BEGIN CERTIFICATE-----"):
        return _install_chain(here, wanted, data, signer)
    answer = bundle.parse(data)
    _check(here, wanted, answer, signer)
    text = _configuration(here, wanted, answer)
    publicfile.open_dir(here.root)
    written = []
    for name, content in (
        ("root.pem", answer.trust_root),
        ("identity.pem", answer.identity_chain),
        ("tls.pem", answer.tls_chain),
        ("agent.toml", text),
    ):
        if publicfile.put(here.root / name, content.encode("utf-8")):
            written.append(name)
    digest = hashlib.sha256(data).hexdigest()
    return Installed(answer.camera, here.config, digest, certs.fingerprint(signer.public), tuple(written))


def _install_chain(here: Place, wanted: Wanted, data: bytes, signer: Signer) -> Installed:
    """The identity chain alone, for a camera that has everything else."""
    trusted = here.root / "root.pem"
    if not trusted.exists():
        raise KeyTrustError(
            f"there is no {trusted} to check this certificate against", "take the agency's whole answer"
        )
    root = certs.parse_pem(trusted.read_bytes())[0]
    _check_chain(wanted.camera, data, root, certs.IDENTITY, signer.public)
    written = ("identity.pem",) if publicfile.put(here.root / "identity.pem", data) else ()
    digest = hashlib.sha256(data).hexdigest()
    return Installed(wanted.camera, here.config, digest, certs.fingerprint(signer.public), written)


def _check_chain(camera: str, chain: bytes, root: x509.Certificate, role: str, key: ec.EllipticCurvePublicKey) -> None:
    hint = f"send {camera}.csr to the agency again"
    name, public = certs.check_camera(certs.parse_pem(chain), root, role)
    if name != camera:
        raise KeyTrustError(f"the certificate of the {role} is for {name!r}, not for {camera}", hint)
    if public != key:
        raise KeyTrustError(f"the certificate of the {role} is for another key than this camera's", hint)


def read_answer(path: Path, sha256: str | None = None, listed: Path | None = None) -> bytes:
    """The file, if it is the one with this digest where one is given; or, with the list of a batch, one of those that
    it names, the digest being the list's own. Raises UsageError, KeyTrustError.
    """
    data = _read(path)
    if listed is None:
        if sha256 is not None:
            _is_told(path, data, sha256, "answer")
        return data
    if sha256 is None:
        raise UsageError(f"nobody says whether {listed} is the agency's list", "give the list's digest: --sha256 HEX")
    text = _read(listed)
    _is_told(listed, text, sha256, "list")
    if hashlib.sha256(data).hexdigest().encode() not in {line.split(b" ")[0] for line in text.splitlines()}:
        raise KeyTrustError(f"{path} is none of the answers in {listed}: nothing was changed", _AGAIN)
    return data


_MOST = 1 << 20
"""Of a file: more than any answer (bundle.MAX_BUNDLE), and a list of ten thousand."""
_AGAIN = "bring the file from the agency again, and compare what was told"


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MOST)
    except OSError as err:
        raise UsageError(f"{path}: {reason(err)}", "name the file that bodycam-station enrol wrote") from err


def _is_told(path: Path, data: bytes, sha256: str, what: str) -> None:
    if hashlib.sha256(data).hexdigest() != sha256.lower():
        raise KeyTrustError(
            f"{path} is another {what} than the one with SHA-256 {sha256[:64]}: nothing was changed", _AGAIN
        )


def _check(here: Place, wanted: Wanted, answer: bundle.Bundle, signer: Signer) -> None:
    if answer.camera != wanted.camera:
        raise KeyTrustError(
            f"the answer is for camera {answer.camera[:60]!r}, this is {wanted.camera}", "take this camera's"
        )
    (root,) = _one(certs.parse_pem(answer.trust_root.encode()))
    certs.check_root(root)
    trusted = here.root / "root.pem"
    if trusted.exists() and certs.der(certs.parse_pem(trusted.read_bytes())[0]) != certs.der(root):
        raise KeyTrustError(
            f"the answer is of another agency than {trusted}: nothing was changed",
            "to change the agency, provision the camera anew in another --dir",
        )
    for role, chain, key in (
        (certs.IDENTITY, answer.identity_chain, signer.public),
        (certs.CAMERA_TLS, answer.tls_chain, FileSigner(here.tls_key).public),
    ):
        _check_chain(wanted.camera, chain.encode("ascii"), root, role, key)


def _one(found: list[Any]) -> list[Any]:
    if len(found) != 1:
        raise KeyTrustError("the answer holds more than one root certificate")
    return found


def _configuration(here: Place, wanted: Wanted, answer: bundle.Bundle) -> str:
    """What the agency decides, over what stands there, over what every camera needs; paths are this camera's own."""
    try:
        before = here.config.read_text("utf-8")
    except FileNotFoundError:
        before = configfile.overlaid("", _FIRST)
    except (OSError, UnicodeDecodeError) as err:
        raise ConfigError(f"configuration {here.config}: {reason(err)}", "correct it, or move it away") from err
    own = {
        "camera": {"id": wanted.camera},
        "sealing": {
            "identity_key": str(here.identity_key) if wanted.key == "file" else wanted.key,
            "identity_chain": str(here.root / "identity.pem"),
            "tpm_device": str(wanted.tpm_device),
            "rollback_counter": wanted.counter,
        },
        "dock": {
            "ca": str(here.root / "root.pem"),
            "client_cert": str(here.root / "tls.pem"),
            "client_key": str(here.tls_key),
        },
    }
    text = configfile.overlaid(configfile.overlaid(before, answer.config), own)
    made = config.parse(text, here.root, "the agency's configuration over this camera's")
    for recipient in made.sealing.recipients:
        age.parse_recipient(recipient)
    note.parse_vkeys(*made.dock.receipt_keys, *made.dock.config_keys)
    return config.dump(made)

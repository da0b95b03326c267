"""The station's own keys exchanged: the one that signs receipts, and the one that signs orders. Cameras pin both.

First the successor is made, and each camera is told to believe both. The old key goes on signing, alone, until every
camera has said that it pins the successor. Then the old one is retired: the successor takes its place, and each camera
is told to believe that one alone. Every step may be cut, and is finished by the same command again.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent import configfile, durable, keyfile
from agent.errors import KeyTrustError, UsageError
from agent.formats import bundle, note
from agent.formats.order import ALL_CAMERAS, Configuration, Kind
from agent.station import admin, orders, pins, turn
from agent.station.layout import AgencyPaths, retired, successor


class Which(Enum):
    """Whose key is exchanged."""

    RECEIPTS = "receipts"
    ORDERS = "orders"


@dataclass(frozen=True, slots=True)
class Told:
    """What an exchange did: `ordered` cameras take it at their next dock, `renewed` ones have a new answer to install,
    of `others` nobody here knows the configuration. `lacking` do not pin the key yet, as far as they said.
    """

    which: Which
    vkey: str
    ordered: tuple[str, ...]
    renewed: tuple[str, ...]
    others: tuple[str, ...]
    lacking: tuple[str, ...]
    retired: tuple[Path, ...] = ()


def begin(root: Path, which: Which) -> Told:
    """Make the successor, and tell each camera to believe both. Raises KeyTrustError, UsageError, StorageError."""
    paths = AgencyPaths(root)
    files = _files(paths, which)
    _check_agency(paths)
    with orders.alone(paths.orders):
        if successor(files[-1]).exists() and not successor(files[0]).exists():
            raise KeyTrustError(
                f"the old key of {which.value} is being retired, and that was cut",
                f"finish it: bodycam-station rotate --{which.value} --retire",
            )
        if which is Which.ORDERS and not paths.config_key.exists():
            raise KeyTrustError(
                f"{paths.config_key} is not here: the key of orders is exchanged where it is",
                "put it back there until its successor has taken its place, and repeat this",
            )
        _make(paths, which)
    return _tell(paths, which, successor(files[-1]))


def retire(root: Path, which: Which, anyway: bool = False) -> Told:
    """Put the successor in the place of the old key, and tell each camera to believe it alone. Raises UsageError where
    there is none, where cameras do not pin it yet (unless `anyway`), or where the station serves.
    """
    paths = AgencyPaths(root)
    files = _files(paths, which)
    _check_agency(paths)
    gone: tuple[Path, ...] = ()
    if successor(files[-1]).exists():
        # Where the secret is replaced already, that was decided, and can only be finished.
        lacking = _lacking(paths, successor(files[-1])) if successor(files[0]).exists() else ()
        if lacking and not anyway:
            raise UsageError(
                f"not yet: {_named(lacking)} not pin the next key of {which.value}, and would refuse what it signs",
                "dock them, twice where the order is still to come; revoke a lost one; --anyway leaves them behind",
            )
        with _not_serving(paths, which), orders.alone(paths.orders):
            # Who waited for the lock may find that another has done it.
            gone = _replace(files) if successor(files[-1]).exists() else ()
    elif successor(files[0]).exists():
        raise UsageError(
            f"the next key of {which.value} is made by half", f"finish it: bodycam-station rotate --{which.value}"
        )
    elif not retired(files[-1], 1).exists():
        raise UsageError(
            f"there is no next key of {which.value} to take the place of this one",
            f"make it first: bodycam-station rotate --{which.value}",
        )
    done = replace(_tell(paths, which, files[-1]), retired=gone)
    if which is Which.ORDERS:
        _sign_again(paths)
    return done


def lacks(paths: AgencyPaths, camera: str) -> tuple[str, ...]:
    """In words, the keys of the station that this camera does not pin, as far as it said: first those that are to
    come, which it has not taken yet.
    """
    told = pins.told(paths.orders, camera)
    found = []
    for which in Which:
        vkey = _files(paths, which)[-1]
        after = successor(vkey)
        if after.exists() and (told is None or _hash(after) not in told):
            found.append(f"the next key of {which.value}")
        elif told is not None and vkey.exists() and _hash(vkey) not in told:
            found.append(f"the key of {which.value}")
    return tuple(found)


# -- keys ----------------------------------------------------------------------------------------------------------


def _files(paths: AgencyPaths, which: Which) -> tuple[Path, ...]:
    """In the order in which they are made and replaced: the secret first; the last says which key is in force."""
    if which is Which.RECEIPTS:
        return paths.receipt_key, paths.receipt_chain, paths.witness_vkey, paths.receipt_vkey
    return paths.config_key, paths.config_vkey


def _make(paths: AgencyPaths, which: Which) -> None:
    """What of the successor is not there yet."""
    before = _files(paths, which)
    key_file, *rest = map(successor, before)
    if not key_file.exists():
        admin.write_key(key_file, Ed25519PrivateKey.generate())
    key = admin.load_ed25519(key_file)
    name, _ = note.parse_vkey(before[-1].read_text("ascii"))
    if which is Which.RECEIPTS and not rest[0].exists():
        durable.write_file(rest[0], admin.receipt_chain(paths, name, key.public_key()), 0o644)
    for path in rest:
        if path.suffix == ".vkey" and not path.exists():
            kind = note.COSIGNATURE if path == successor(paths.witness_vkey) else note.ED25519
            durable.write_file(path, f"{note.vkey(name, kind, key.public_key())}\n".encode("ascii"), 0o644)


def _replace(files: tuple[Path, ...]) -> tuple[Path, ...]:
    """Each successor in the place of the one before, which is kept aside. Returns where the old ones are."""
    vkey = files[-1]
    number = 1
    # Where this was cut before its last step, the newest that is aside is the one still in force.
    while retired(vkey, number).exists() and retired(vkey, number).read_bytes() != vkey.read_bytes():
        number += 1
    for path in files:
        after, aside = successor(path), retired(path, number)
        if not after.exists():
            continue
        secret = path.suffix == ".key"
        data = keyfile.read(path, "key", "restore it") if secret else path.read_bytes()
        durable.create_file(aside, data, 0o600 if secret else 0o644)
        durable.move(after, path)
    return tuple(retired(path, number) for path in files)


@contextmanager
def _not_serving(paths: AgencyPaths, which: Which) -> Iterator[None]:
    """A station that serves signs with the receipt key that it began with. Raises UsageError."""
    if which is Which.ORDERS or not paths.station.is_dir():
        yield
        return
    path = paths.station / "lock"
    fd = turn.opened(path)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(
                "the station serves, and signs with the old key", "stop it, repeat this, and start it again"
            ) from None
        yield
    finally:
        os.close(fd)


# -- cameras -------------------------------------------------------------------------------------------------------


def _tell(paths: AgencyPaths, which: Which, vkey: Path) -> Told:
    """Orders and answers with the keys of now, where they have others."""
    ordered, renewed, others = [], [], []
    # The key that signs orders may be elsewhere; an exchange of it cannot.
    signs = paths.config_key.exists()
    for name in _cameras(paths):
        # For each camera what is pinned now: another exchange may have begun since this one has.
        with orders.alone(paths.orders):
            pinned = {"dock": admin.pinned(paths)}
            if signs and _order(paths, name, pinned):
                ordered.append(name)
            if _renew(paths.camera(name).answer, pinned):
                renewed.append(name)
            elif name not in ordered:
                others.append(name)
    key = vkey.read_text("ascii").strip()
    return Told(which, key, tuple(ordered), tuple(renewed), tuple(others), _lacking(paths, vkey))


def _order(paths: AgencyPaths, camera: str, pinned: bundle.Tables) -> bool:
    """Whether the agency orders this camera's configuration: then the one with these keys."""
    before = orders.newest(paths.orders, camera, Kind.CONFIGURATION)
    if before is None or not isinstance(before.body, Configuration):
        return False
    if _differs(configfile.tables(before.body.toml), pinned):
        orders.give_alone(paths, camera, Configuration(configfile.overlaid(before.body.toml, pinned)))
    return True


def _renew(answer: Path, pinned: bundle.Tables) -> bool:
    """Whether the camera has an answer to install: then it has these keys."""
    if not answer.exists():
        return False
    held = bundle.parse(answer.read_bytes())
    if _differs(held.config, pinned):
        dock = {**held.config.get("dock", {}), **pinned["dock"]}
        durable.write_file(answer, replace(held, config={**held.config, "dock": dock}).to_bytes(), 0o644)
    return True


def _differs(tables: bundle.Tables, wanted: bundle.Tables) -> bool:
    dock = tables.get("dock", {})
    return any(dock.get(key, "") != value for key, value in wanted["dock"].items())


def _sign_again(paths: AgencyPaths) -> None:
    """What is served and was signed by the retired key: cameras that took it know it by its digest, all others get it
    anew. One that came too late for them is served no more.
    """
    for camera in (ALL_CAMERAS, *_cameras(paths)):
        for kind in (Kind.TAGS,) if camera == ALL_CAMERAS else (Kind.ASSIGNMENT,):
            with orders.alone(paths.orders):
                _sign_one_again(paths, camera, kind)


def _sign_one_again(paths: AgencyPaths, camera: str, kind: Kind) -> None:
    name, public = note.parse_vkey(admin.config_vkey(paths))
    now_s = int(time.time())
    file = orders.order_file(paths.orders, camera, kind)
    made = orders.newest(paths.orders, camera, kind)
    if made is None or _signed_by(file, name, public):
        return
    if made.expires_s and made.expires_s <= now_s:
        if not orders.was_served(paths.orders, camera, made):
            durable.remove(file)
    else:
        orders.give_alone(paths, camera, made.body, made.expires_s - now_s if made.expires_s else 0)


def _signed_by(file: Path, name: str, public: object) -> bool:
    with durable.storage_errors(file, "cannot read"):
        signed = note.parse(file.read_bytes())
    wanted = note.key_id(name, note.ED25519, note.raw_public(public))  # type: ignore[arg-type]
    return any(one.key_id == wanted for one in signed.signatures)


def _cameras(paths: AgencyPaths) -> list[str]:
    """Those that are enrolled and trusted."""
    found = durable.names(paths.root / "camera")
    return [n for n in found if paths.camera(n).identity_chain.exists() and not paths.revocation(n).exists()]


def _lacking(paths: AgencyPaths, vkey: Path) -> tuple[str, ...]:
    wanted = _hash(vkey)
    return tuple(name for name in _cameras(paths) if wanted not in (pins.told(paths.orders, name) or ()))


def _hash(vkey: Path) -> str:
    with durable.storage_errors(vkey, "cannot read"):
        return note.hash_of(vkey.read_text("ascii"))


def _named(cameras: tuple[str, ...]) -> str:
    more = len(cameras) - 5
    listed = ", ".join(cameras[:5]) + (f" and {more} more" if more > 0 else "")
    return f"{listed} {'does' if len(cameras) == 1 else 'do'}"


def _check_agency(paths: AgencyPaths) -> None:
    if not paths.receipt_vkey.exists():
        raise UsageError(f"{paths.root} is no agency's directory", "name it with --dir")
    admin.config_vkey(paths)

"""The agency's orders: signed here by its configuration key, put where the station serves them, and kept."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from agent import config, configcheck, configfile, durable, profiles
from agent.errors import ConfigError, EvidenceError, KeyTrustError, StorageError, UsageError
from agent.formats import note, order
from agent.formats.order import ALL_CAMERAS, MAX_ORDER, Assignment, Body, Configuration, Kind, Order, Tag, Tags
from agent.station import admin, turn
from agent.station.layout import AgencyPaths

_EVERY = "_all"
"""No camera's name."""
_LATEST_S = 253_402_300_799
"""The last second of the year 9999."""
AGAIN = ".again"
"""Beside a damaged `.served`: when the camera was next given that order."""
_MAX_TIME = 20
"""Bytes of a time in POSIX seconds."""
_HOLDERS = "another `bodycam-station assign`, `configure`, `tags`, `enrol` or `rotate`"

Stamp = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Given:
    """An order that was signed, and where it lies."""

    order: Order
    file: Path


@dataclass(frozen=True, slots=True)
class Damaged:
    """What was an order, where it lies, and why it cannot be read."""

    file: Path
    why: str


def order_file(orders: Path, camera: str, kind: Kind) -> Path:
    """The newest order of a kind for this camera."""
    return orders / (_EVERY if kind is Kind.TAGS else camera) / f"{kind.value}.note"


def give(root: Path, camera: str, body: Body, valid_s: int = 0, now_s: int | None = None) -> Given:
    """Sign the next order of its kind. `camera` is "*" for a list of tags; it can be taken for `valid_s` seconds, 0 for
    ever. Raises UsageError, KeyTrustError, StorageError.
    """
    paths = AgencyPaths(root)
    with alone(paths.orders):
        return give_alone(paths, camera, body, valid_s, now_s)


def give_alone(paths: AgencyPaths, camera: str, body: Body, valid_s: int = 0, now_s: int | None = None) -> Given:
    """As `give`, for who is `alone`: so that what was read before is still so, and the key the one in force."""
    if camera != ALL_CAMERAS:
        _check_enrolled(paths, camera)
    key = admin.load_ed25519(paths.config_key)
    name, public = note.parse_vkey(admin.config_vkey(paths))
    if note.raw_public(key.public_key()) != note.raw_public(public):
        raise KeyTrustError(
            f"{paths.config_key} is not the key of {paths.config_vkey}",
            "where an exchange was cut, finish it: bodycam-station rotate --orders --retire",
        )
    now = int(time.time()) if now_s is None else now_s
    kind = order.KINDS[type(body)]
    file = order_file(paths.orders, camera, kind)
    # Numbers go up by the clock where they can: an agency whose station was restored gives none a second time.
    number = max(now, _last(file) + 1)
    made = Order(camera, number, now, now + valid_s if valid_s else 0, body)
    try:
        data = order.sign(made, name, key)
        order.check(data, name, public, camera)
    except EvidenceError as err:
        raise UsageError(err.message, "correct it, and repeat this") from err
    history = durable.make_dir(file.parent / "given")
    durable.write_file(history / f"{kind.value}-{number}.note", data, 0o600)
    durable.write_file(file, data, 0o600)
    return Given(made, file)


def newest(orders: Path, camera: str, kind: Kind) -> Order | None:
    """The order of this kind that is served now. Raises EvidenceError, StorageError where it cannot be read."""
    file = order_file(orders, camera, kind)
    return _read(file)[0] if durable.is_there(file) else None


def to_serve(orders: Path, camera: str, kind: Kind) -> tuple[Order, bytes] | None:
    """The same, with its bytes as they were signed."""
    file = order_file(orders, camera, kind)
    return _read(file) if durable.is_there(file) else None


def damaged(orders: Path, cameras: Iterable[str], whole: dict[Path, Stamp]) -> list[Damaged]:
    """What would be served to these, if it could be read. `whole` is what could, filled in and not read again as long
    as it is the same file, and unchanged.
    """
    files = [order_file(orders, camera, kind) for camera in cameras for kind in Kind if kind is not Kind.TAGS]
    files.append(order_file(orders, ALL_CAMERAS, Kind.TAGS))
    found = []
    for file in filter(durable.is_there, files):
        stamp = _stamp(file)
        if whole.get(file) == stamp:
            continue
        one = _given(file)
        if isinstance(one, Damaged):
            found.append(one)
        else:
            whole[file] = stamp
    return found


def _stamp(file: Path) -> Stamp:
    with durable.storage_errors(file, "cannot look at"):
        found = file.stat()
    return found.st_ino, found.st_size, found.st_ctime_ns


def served(orders: Path, camera: str, made: Order, now_s: int) -> None:
    """The camera was given this order. Noted once for each, so that it is known who wore it when; and where that note
    is damaged, once more beside it. Raises StorageError.
    """
    if made.camera == ALL_CAMERAS:
        return
    marker = _served(orders, camera, made)
    if marker.exists():
        try:
            _time_in(marker)
            return
        except (EvidenceError, StorageError):
            marker = marker.with_suffix(AGAIN)
    if not marker.exists():
        durable.make_dir(marker.parent)
        durable.create_file(marker, f"{now_s}\n".encode("ascii"))


def was_served(orders: Path, camera: str, made: Order) -> bool:
    """Whether the camera was ever given it. Raises StorageError."""
    return durable.is_there(_served(orders, camera, made))


def since_s(note_file: Path) -> int | None:
    """When the camera was first given the order of this note in `given/` (POSIX seconds); None where it never was.
    Raises EvidenceError, StorageError where what was noted of that cannot be read.
    """
    return _time_in(note_file.with_suffix(".served"))


def again_s(note_file: Path) -> int | None:
    """When it was first given it after what `since_s` reads was damaged; None where that is not known."""
    try:
        found = _time_in(note_file.with_suffix(AGAIN))
    except (EvidenceError, StorageError):
        return None
    return found if found is not None and found <= _LATEST_S else None


def _time_in(marker: Path) -> int | None:
    with durable.storage_errors(marker, "cannot read"):
        try:
            with marker.open("rb") as opened:
                data = opened.read(_MAX_TIME + 1)
        except FileNotFoundError:
            return None
    if len(data) > _MAX_TIME or not data.strip().isdigit():
        raise EvidenceError(f"{marker} does not say when the camera was given its order")
    return int(data)


def _served(orders: Path, camera: str, made: Order) -> Path:
    return orders / camera / "given" / f"{made.kind.value}-{made.number}.served"


def given(orders: Path, camera: str, kind: Kind) -> list[Given | Damaged]:
    """All orders of a kind ever given to a camera, oldest first by the number in the name. Raises StorageError."""
    directory = orders / camera / "given"
    if not directory.is_dir():
        return []
    files = (directory / name for name in durable.names(directory, ".note") if name.startswith(f"{kind.value}-"))
    return [_given(file) for file in sorted(files, key=number_of)]


def _given(file: Path) -> Given | Damaged:
    try:
        return Given(_read(file)[0], file)
    except (EvidenceError, StorageError) as err:
        return Damaged(file, err.message)


def number_of(file: Path) -> int:
    """Of an order in `given/`, by its name: about when it was issued (POSIX seconds), and not before."""
    number = file.stem.rpartition("-")[2]
    return int(number) if number.isdecimal() else 0


def read_tags(path: Path) -> Tags:
    """A TOML file: a table for each tag's id, with its words in ar, fr and en. Raises ConfigError."""
    tables = configfile.tables(configfile.text_of(path))
    tags = []
    for name, words in tables.items():
        if set(words) != {"ar", "fr", "en"} or not all(isinstance(word, str) for word in words.values()):
            raise ConfigError(f"tags {path}: [{name}] needs its word in ar, fr and en, and nothing else")
        tags.append(Tag(name, words["ar"], words["fr"], words["en"]))
    if not tags:
        raise ConfigError(f"tags {path}: there is none", 'write for each: [id], ar = "...", fr = "...", en = "..."')
    return Tags(tuple(tags))


def read_configuration(paths: AgencyPaths, file: Path, camera: str, profile: str | None = None) -> Configuration:
    """A whole agent.toml, with a profile laid over it where one is named, checked as `bodycam-agent config check` does.
    As at enrolment the agency's keys are those of today, whatever the file says. Raises ConfigError, UsageError.
    """
    what = f"configuration {file}"
    text, base_dir = configfile.text_of(file), file.absolute().parent
    if mistakes := configcheck.of_file(text, base_dir):
        raise ConfigError(f"{what}:" + "".join(f"\n  - {mistake}" for mistake in mistakes))
    loaded = config.parse(text, base_dir, what)
    if loaded.camera.id != camera:
        raise ConfigError(f"{what} is of camera {loaded.camera.id}, not of {camera}")
    if profile is not None:
        loaded = profiles.over(loaded, profile)
    keys: configfile.Tables = {
        "sealing": {"recipients": _text(paths.recipients).split()},
        "dock": dict(admin.pinned(paths)),
    }
    text = configfile.overlaid(config.dump(loaded), keys)
    return Configuration(config.dump(config.parse(text, base_dir, what)))


def _text(path: Path) -> str:
    with durable.storage_errors(path, "cannot read"):
        return path.read_text("ascii").strip()


def assignment(officer: str | None, unit: str | None, shift: str | None, until_s: int) -> Assignment:
    """Empty words are none."""
    return Assignment(officer or None, unit or None, shift or None, until_s)


def _check_enrolled(paths: AgencyPaths, camera: str) -> None:
    if not paths.camera(camera).identity_chain.exists():
        raise UsageError(f"no camera {camera} is enrolled in {paths.root}", "check its name")
    if paths.revocation(camera).exists():
        raise UsageError(f"camera {camera} was revoked", "give no more orders to it")


def _last(file: Path) -> int:
    """The highest number that was given. Each is in a name in `given/` first: so one that is damaged has one too."""
    history, kind = file.parent / "given", f"{file.stem}-"
    names = durable.names(history, ".note") if durable.is_there(history) else []
    numbers = [number_of(history / name) for name in names if name.startswith(kind)]
    served_now = _given(file) if durable.is_there(file) else None
    return max([served_now.order.number if isinstance(served_now, Given) else 0, *numbers])


def _read(file: Path) -> tuple[Order, bytes]:
    with durable.storage_errors(file, "cannot read"), file.open("rb") as opened:
        data = opened.read(MAX_ORDER)
    try:
        return order.parse(note.parse(data).text), data
    except EvidenceError as err:
        raise EvidenceError(f"{file}: {err.message}", "give it again") from err


@contextmanager
def alone(orders: Path) -> Iterator[None]:
    """One gives orders at a time, or exchanges the key that signs them: so no number is given twice, and nothing is
    given that rests on what another has replaced. Not to be entered twice by one.
    """
    path = durable.make_dir(orders) / "lock"
    fd = turn.opened(path)
    try:
        turn.take(fd, path, "the agency's orders", _HOLDERS)
        yield
    finally:
        os.close(fd)

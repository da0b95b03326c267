"""New evidence keys for what is recorded from now on. The old ones go on opening what was recorded before.

The last thing that changes is trust/recipients.txt: a rotation that was cut is finished by the next one, with the keys
that it made.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from agent import configfile, durable, keyfile
from agent.errors import KeyTrustError, UsageError, reason
from agent.formats import age, bundle
from agent.formats.order import Configuration, Kind
from agent.station import orders
from agent.station.layout import AgencyPaths

WHICH = ("agency", "escrow")


@dataclass(frozen=True, slots=True)
class Rotated:
    """`ordered` cameras are told at their next dock, by an order of their configuration; `renewed` ones have a new
    answer to install, `others` were enrolled with keys made here and have none.
    """

    generation: int
    identities: tuple[Path, ...]
    recipients: tuple[str, ...]
    renewed: tuple[str, ...]
    others: tuple[str, ...]
    ordered: tuple[str, ...] = ()


def rotate(root: Path, post_quantum: bool | None = None) -> Rotated:
    """Make the next agency and escrow identities, and answers for the cameras that name their recipients.

    `post_quantum` None keeps the kind of today's. Raises KeyTrustError, UsageError where no agency is there,
    StorageError.
    """
    paths = AgencyPaths(root)
    now = _read(paths.recipients)
    if post_quantum is None:
        post_quantum = now.startswith("age1pq1")
    generation = _generation(paths, now) + 1
    identities = tuple(paths.identity(which, generation) for which in WHICH)
    recipients = tuple(
        _recipient(path, which, generation, post_quantum) for path, which in zip(identities, WHICH, strict=True)
    )
    with orders.alone(paths.orders):
        renewed, others = _renew(paths, recipients)
        ordered = _order(paths, recipients)
        durable.write_file(paths.old_recipients(generation - 1), now.encode("ascii"), 0o644)
        durable.write_file(paths.recipients, "".join(r + "\n" for r in recipients).encode("ascii"), 0o644)
    return Rotated(generation, identities, recipients, tuple(renewed), tuple(others), ordered)


def _generation(paths: AgencyPaths, now: str) -> int:
    """Of today's recipients. The newest of the old ones are the same where a rotation was cut before its last step."""
    number = 1
    while paths.old_recipients(number).exists():
        if _read(paths.old_recipients(number)) == now:
            return number
        number += 1
    return number


def _recipient(path: Path, which: str, generation: int, post_quantum: bool) -> str:
    """Of a new identity, or of the one that a rotation which was cut has made."""
    if not path.exists():
        identity = (age.PqIdentity if post_quantum else age.X25519Identity).generate()
        text = age.identity_file(identity, f"{which} evidence key {generation}: opens what was recorded under it")
        keyfile.create(path, text.encode("ascii"), "age identity")
    made = age.parse_identity_file(keyfile.read(path, "age identity", "move it away").decode("utf-8"))
    if len(made) != 1 or isinstance(made[0], age.PqIdentity) is not post_quantum:
        raise KeyTrustError(f"{path} is there already, and no key of this rotation", "move it away")
    return made[0].recipient.to_string()


def _renew(paths: AgencyPaths, recipients: tuple[str, ...]) -> tuple[list[str], list[str]]:
    renewed, others = [], []
    for name in durable.names(paths.root / "camera"):
        answer = paths.camera(name).answer
        if paths.revocation(name).exists():
            continue
        if not answer.exists():
            others.append(name)
            continue
        before = bundle.parse(answer.read_bytes())
        sealing = {**before.config.get("sealing", {}), "recipients": list(recipients)}
        after = replace(before, config={**before.config, "sealing": sealing})
        durable.write_file(answer, after.to_bytes(), 0o644)
        renewed.append(name)
    return renewed, others


def _order(paths: AgencyPaths, recipients: tuple[str, ...]) -> tuple[str, ...]:
    """Cameras whose configuration the agency orders get the next one; none where the key that signs it is elsewhere."""
    if not paths.config_key.exists():
        return ()
    ordered = []
    for name in durable.names(paths.root / "camera"):
        before = orders.newest(paths.orders, name, Kind.CONFIGURATION)
        if before is None or paths.revocation(name).exists() or not isinstance(before.body, Configuration):
            continue
        sealing = {"sealing": {"recipients": list(recipients)}}
        orders.give_alone(paths, name, Configuration(configfile.overlaid(before.body.toml, sealing)))
        ordered.append(name)
    return tuple(ordered)


def _read(path: Path) -> str:
    try:
        return path.read_text("ascii")
    except OSError as err:
        raise UsageError(f"{path}: {reason(err)}", "name the agency's directory with --dir") from err

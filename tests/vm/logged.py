"""What a camera said in its log, as the agency reads it: the bodies of the events that its station holds."""

from __future__ import annotations

from typing import Any

from agent.formats import age
from agent.formats import leaf as leaves
from tests.camera_kit import read
from tests.vm.bodycam import BodyCamera
from tests.vm.cuts import Held
from tests.waits import stored_in


def said(camera: BodyCamera, kind: str) -> list[dict[str, Any]]:
    """Of events of that type, in the log's order."""
    identity = age.parse_identity_file(camera.station.paths.agency_identity.read_text())[0]
    found = []
    for path in camera.station.segments():
        for entry, leaf in read(path)[2]:
            if isinstance(leaf, leaves.EventLeaf):
                body = leaves.open_body(age.decrypt(entry.sealed, [identity]), leaf.body)
                found.append((leaf.common.index, body))
    return [body for _, body in sorted(found, key=lambda item: item[0]) if body["type"] == kind]


def held_by(camera: BodyCamera) -> Held:
    """All leaves at its station, and what events say sealed."""
    identity = age.parse_identity_file(camera.station.paths.agency_identity.read_text())[0]
    bodies = {}
    for path in camera.station.segments():
        for entry, leaf in read(path)[2]:
            if isinstance(leaf, leaves.EventLeaf):
                bodies[leaf.common.index] = leaves.open_body(age.decrypt(entry.sealed, [identity]), leaf.body)
    return Held.of(stored_in([camera.station.held]), bodies)


def faults(camera: BodyCamera) -> set[str]:
    return {str(body["what"]) for body in said(camera, "fault")}


def cleared(camera: BodyCamera) -> set[str]:
    return {str(body["what"]) for body in said(camera, "cleared")}

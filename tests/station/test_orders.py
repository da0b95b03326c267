"""`bodycam-station assign`, `configure`, `tags`: signed by the agency's key, numbered upwards, served to the camera."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent import config, profiles
from agent.errors import ConfigError, UsageError
from agent.formats import age, note, order, signedtime
from agent.formats.order import (
    ALL_CAMERAS,
    ENCRYPTED,
    MAX_ORDER,
    MAX_SEALED,
    RECIPIENT,
    Assignment,
    Configuration,
    Kind,
    Order,
    Tags,
)
from agent.station import admin, orders
from agent.station.commands import main
from agent.station.layout import AgencyPaths
from agent.station.revocation import revoke
from tests.camera_kit import CAMERA
from tests.config_kit import MINIMAL, save
from tests.station.kit import Bench, own_agency

TAGS = """
[arrest]
ar = "توقيف"
fr = "arrestation"
en = "arrest"
[traffic]
ar = "مرور"
fr = "circulation"
en = "traffic"
"""


def taken(station: Bench, kind: Kind, camera: str = CAMERA) -> Order:
    """As the camera would."""
    answer = station.ask("GET", f"/orders/{kind.value}")
    assert answer.status == 200, answer
    return order.check(answer.body, *note.parse_vkey(station.paths.config_vkey.read_text()), camera)


def test_an_assignment_is_signed_served_and_the_next_has_a_higher_number(station: Bench) -> None:
    where = ["--dir", str(station.paths.root)]
    assert station.ask("GET", "/orders/assignment").status == 404
    assert main(["assign", CAMERA, *where, "--officer", "no. 4711", "--unit", "Traffic 2", "--hours", "8"]) == 0
    first = taken(station, Kind.ASSIGNMENT)
    assert isinstance(first.body, Assignment)
    assert (first.body.officer, first.body.unit, first.body.shift) == ("no. 4711", "Traffic 2", None)
    assert first.expires_s == first.body.until_s
    assert abs(first.body.until_s - first.issued_s - 8 * 3600) <= 2
    assert main(["assign", CAMERA, *where, "--nobody"]) == 0
    second = taken(station, Kind.ASSIGNMENT)
    assert second.number > first.number
    assert second.body == Assignment(None, None, None)
    assert [one.file.stem for one in orders.given(station.paths.orders, CAMERA, Kind.ASSIGNMENT)] == [
        f"assignment-{made.number}" for made in (first, second)
    ]


def test_a_configuration_is_checked_before_it_is_signed(station: Bench, tmp_path: Path) -> None:
    text, paths = MINIMAL.replace("cam-0001", CAMERA), station.paths
    assert main(["configure", CAMERA, str(save(tmp_path, text)), "--dir", str(station.paths.root)]) == 0
    body = taken(station, Kind.CONFIGURATION).body
    assert isinstance(body, Configuration)
    assert f'id = "{CAMERA}"' in body.toml
    made = config.parse(
        orders.read_configuration(paths, save(tmp_path, text), CAMERA, "traffic").toml, tmp_path, "made"
    )
    theirs = profiles.over(config.parse(text, tmp_path, "x"), "traffic")
    assert (made.video, made.recording) == (theirs.video, theirs.recording)
    # The agency's keys are those of today.
    assert made.sealing.recipients == tuple(paths.recipients.read_text().split())
    assert made.dock.config_key == paths.config_vkey.read_text().strip()
    assert made.dock.receipt_key == paths.receipt_vkey.read_text().strip()
    away = text.replace("[camera]", '[camera]\ntimezone = "Mars/Phobos"')
    for wrong, words in (
        (text.replace("[audio]", "[sound]"), "sound"),
        (MINIMAL, "of camera cam-0001, not of"),
        (away, "Mars/Phobos"),
    ):
        with pytest.raises(ConfigError, match=words):
            orders.read_configuration(paths, save(tmp_path, wrong), CAMERA)


def test_a_list_of_tags_is_for_every_camera(station: Bench, tmp_path: Path) -> None:
    file = tmp_path / "tags.toml"
    file.write_text(TAGS)
    assert main(["tags", str(file), "--dir", str(station.paths.root)]) == 0
    found = taken(station, Kind.TAGS, "any-camera")
    assert (found.camera, isinstance(found.body, Tags) and [t.id for t in found.body.tags]) == (
        ALL_CAMERAS,
        ["arrest", "traffic"],
    )
    for text, words in (("", "there is none"), ('[a]\nen = "x"', "in ar, fr and en"), ("a = 1", "outside of every")):
        file.write_text(text)
        with pytest.raises(ConfigError, match=words):
            orders.read_tags(file)
    file.write_text(TAGS.replace("[arrest]", "[Arrest]"))
    assert main(["tags", str(file), "--dir", str(station.paths.root)]) == 2


def test_a_camera_sees_its_own_orders_only(station: Bench) -> None:
    admin.enrol(station.paths.root, "cam-other")
    orders.give(station.paths.root, "cam-other", Assignment("x", None, None))
    assert station.ask("GET", "/orders/assignment").status == 404
    for path in ("/orders/deletion", "/orders/..%2f..", "/orders", "/orders/tags/x"):
        assert station.ask("GET", path).status == 404


@pytest.mark.parametrize(
    "arguments",
    [
        ["no-such-camera", "--nobody"],
        [CAMERA, "--officer", ""],
        [CAMERA, "--officer", "  "],
        ["../x", "--nobody"],
        [CAMERA, "--officer", "x\x1b[2J"],
        [CAMERA, "--officer", "x" * 101],
        [CAMERA, "--officer", "x", "--hours", "-1"],
        [CAMERA, "--officer", "x", "--until", "yesterday"],
        [CAMERA, "--officer", "x", "--until", "2020-01-01T00:00"],
    ],
)
def test_a_wrong_assignment_is_refused(station: Bench, arguments: list[str]) -> None:
    assert main(["assign", *arguments, "--dir", str(station.paths.root)]) == 2
    assert not list(station.paths.orders.glob("*/*.note"))


def test_an_order_is_encrypted_to_whom_the_camera_names(station: Bench) -> None:
    orders.give(station.paths.root, CAMERA, Assignment("no. 4711", None, None))
    me = age.X25519Identity.generate()
    answer = station.ask("GET", "/orders/assignment", headers={RECIPIENT: me.recipient.to_string()})
    assert answer.body.startswith(ENCRYPTED)
    assert age.decrypt(answer.body, [me]) == station.ask("GET", "/orders/assignment").body
    pq = age.PqIdentity.generate().recipient.to_string()
    for bad in ("", "age1x", "age1" + "q" * 58, pq):
        assert station.ask("GET", "/orders/assignment", headers={RECIPIENT: bad}).status == 400


def test_the_largest_order_still_fits_a_message_when_it_is_encrypted(station: Bench) -> None:
    root = station.paths.root
    text = "#" * (MAX_ORDER * 3 // 4 - 300)
    given = orders.give(root, CAMERA, Configuration(text))
    assert MAX_ORDER - 1000 < given.file.stat().st_size <= MAX_ORDER
    me = age.X25519Identity.generate()
    answer = station.ask("GET", "/orders/configuration", headers={RECIPIENT: me.recipient.to_string()})
    assert age.decrypt(answer.body, [me]) == given.file.read_bytes() and len(answer.body) <= MAX_SEALED


def test_numbers_go_up_even_where_the_clock_goes_back(station: Bench) -> None:
    root = station.paths.root
    numbers = [
        orders.give(root, CAMERA, Assignment("x", None, None), now_s=now).order.number for now in (500, 400, 400, 600)
    ]
    assert numbers == [500, 501, 502, 600]


def test_an_order_that_the_disk_damaged_is_not_served(station: Bench) -> None:
    given = orders.give(station.paths.root, CAMERA, Assignment("x", None, None))
    given.file.write_bytes(given.file.read_bytes()[:-40])
    answer = station.ask("GET", "/orders/assignment")
    assert (answer.status, answer.headers.get("Retry-After")) == (404, None)


def test_a_revoked_camera_gets_no_time_and_no_orders(station: Bench) -> None:
    orders.give(station.paths.root, CAMERA, Assignment("no. 4711", None, None))
    assert station.ask("POST", "/time", b"0f" * 32).status == 200
    revoke(station.paths.root, CAMERA, "lost")
    assert station.ask("POST", "/time", b"0f" * 32).status == 403
    assert station.ask("GET", "/orders/assignment").status == 403
    with pytest.raises(UsageError, match="was revoked"):
        orders.give(station.paths.root, CAMERA, Assignment("x", None, None))


def test_the_time_is_signed_for_the_camera_that_asks(station: Bench) -> None:
    name, key = note.parse_vkey(station.paths.receipt_vkey.read_text())
    answer = station.ask("POST", "/time", b"0f" * 32)
    told = signedtime.check(answer.body, name, key, CAMERA, "0f" * 32)
    assert told.utc_ns > 1_780_000_000 * 10**9
    for bad in (b"", b"0F" * 32, b"0f" * 31, b"0f" * 32 + b"\n", b"\xff" * 64):
        assert station.ask("POST", "/time", bad).status in (400, 413)


def test_the_configuration_key_need_not_be_where_the_station_serves(station: Bench) -> None:
    orders.give(station.paths.root, CAMERA, Assignment("x", None, None))
    station.paths.config_key.unlink()
    assert taken(station, Kind.ASSIGNMENT).body == Assignment("x", None, None)
    assert main(["assign", CAMERA, "--nobody", "--dir", str(station.paths.root)]) == 6


def test_an_agency_of_an_earlier_version_gets_its_verifier_key(agency: AgencyPaths, tmp_path: Path) -> None:
    paths = own_agency(agency, tmp_path / "agency")
    before = paths.config_vkey.read_text()
    paths.config_vkey.unlink()
    assert admin.config_vkey(paths) + "\n" == before


def test_as_json(station: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["assign", CAMERA, "--nobody", "--dir", str(station.paths.root), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["kind"], told["camera"]) == ("assignment", CAMERA)

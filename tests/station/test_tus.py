"""tus 1.0.0: what a camera sends arrives whole or not at all, whoever is cut off when."""

from __future__ import annotations

import base64
import errno
import hashlib
import json
import os
import random
from contextlib import ExitStack
from pathlib import Path

import pytest

from agent.formats import certs
from agent.identity import FileSigner
from agent.station import admin, conflicts
from agent.station.app import open_app
from agent.station.conflicts import Conflicts
from agent.station.store import MAX_OPEN_UPLOADS, MAX_SEGMENT, Store, TooManyError
from tests.camera_kit import CAMERA
from tests.station.kit import NAME, PATCH, TUS, Answer, Bench, Cut, announcement, digest

DATA = random.Random(7).randbytes(700_001)


def patch(station: Bench, path: str, data: bytes, offset: int, **more: str) -> int:
    headers = {**PATCH, "Upload-Offset": str(offset), **{k.replace("_", "-"): v for k, v in more.items()}}
    return station.ask("PATCH", path, data, headers).status


def test_options_name_the_extensions(station: Bench) -> None:
    answer = station.ask("OPTIONS", "/files")
    assert (answer.status, answer.headers["Tus-Version"], answer.headers["Tus-Extension"]) == (
        204,
        "1.0.0",
        "creation,creation-with-upload,checksum",
    )
    assert answer.headers["Tus-Max-Size"] == str(MAX_SEGMENT)


def with_upload(station: Bench, data: bytes | Cut, length: int = len(DATA), **more: str) -> Answer:
    """An announcement that brings the bytes, or some of them."""
    headers = {
        **PATCH,
        **announcement(NAME, digest(DATA), len(DATA)),
        **{k.replace("_", "-"): v for k, v in more.items()},
    }
    return station.ask("POST", "/files", data, headers, length)


def test_bytes_that_come_with_the_announcement_are_a_whole_segment(station: Bench) -> None:
    answer = with_upload(station, DATA)
    assert (answer.status, answer.headers["Upload-Offset"]) == (201, str(len(DATA)))
    assert station.segment(NAME).read_bytes() == DATA
    assert station.offset(answer.headers["Location"]) == len(DATA)
    again = with_upload(station, DATA)
    assert (again.status, again.headers["Upload-Offset"]) == (201, str(len(DATA)))
    assert not list(station.paths.station.glob("uploads/*.part"))
    assert station.conflicts() == []


@pytest.mark.parametrize("cut", [0, 1, 256 << 10, 700_000])
def test_an_announcement_that_is_cut_off_keeps_what_came_and_the_next_one_tells_how_much(
    station: Bench, cut: int
) -> None:
    with_upload(station, Cut(DATA, cut))
    path = station.announce(DATA)
    assert station.offset(path) == cut
    if cut:
        # Bytes that come a second time are passed over.
        again = with_upload(station, b"x" * 1000, 1000)
        assert (again.status, again.headers["Upload-Offset"]) == (201, str(cut))
    assert patch(station, path, DATA[cut:], cut) == 204
    assert station.segment(NAME).read_bytes() == DATA


def test_a_part_may_come_with_the_announcement_and_the_rest_after_it(station: Bench) -> None:
    answer = with_upload(station, DATA[:1000], 1000)
    assert answer.headers["Upload-Offset"] == "1000"
    assert patch(station, answer.headers["Location"], DATA[1000:], 1000) == 204
    assert station.segment(NAME).read_bytes() == DATA


def test_what_comes_with_an_announcement_is_checked_as_any_other_piece(station: Bench) -> None:
    good = base64.b64encode(hashlib.sha256(DATA[:1000]).digest()).decode()
    assert with_upload(station, b"y" * 1000, 1000, Upload_Checksum=f"sha256 {good}").status == 460
    assert station.offset(station.announce(DATA)) == 0
    assert with_upload(station, DATA[:1000], 1000, Upload_Checksum="md5 AAAA").status == 400
    assert with_upload(station, DATA[:1000], 1000, Content_Type="text/plain").status == 415
    assert with_upload(station, DATA + b"x", len(DATA) + 1).status == 413
    answer = with_upload(station, DATA[:1000], 1000, Upload_Checksum=f"sha256 {good}")
    assert answer.headers["Upload-Offset"] == "1000"
    assert with_upload(station, b"z" * len(DATA)).headers["Upload-Offset"] == "1000"


def test_an_announcement_with_other_bytes_than_it_says_stores_nothing(station: Bench) -> None:
    assert with_upload(station, DATA[:-1] + b"!").status == 460
    assert not station.segment(NAME).exists()
    assert with_upload(station, DATA).status == 201
    assert station.segment(NAME).read_bytes() == DATA


def test_two_announcements_at_a_time_do_not_write_to_one_upload(station: Bench) -> None:
    class Curious(Cut):
        seen: int = 0

        def read(self, size: int | None = -1) -> bytes:
            Curious.seen = Curious.seen or with_upload(station, DATA).status
            return super().read(size)

    answer = with_upload(station, Curious(DATA, len(DATA)))
    assert (Curious.seen, answer.status) == (423, 201)
    assert station.segment(NAME).read_bytes() == DATA


@pytest.mark.parametrize("cut", [0, 1, 255 << 10, 256 << 10, (256 << 10) + 1, 700_000])
def test_resumes_where_the_peer_was_cut_off(station: Bench, cut: int) -> None:
    path = station.announce(DATA)
    station.ask("PATCH", path, Cut(DATA, cut), {**PATCH, "Upload-Offset": "0"}, len(DATA))
    assert station.offset(path) == cut
    assert not station.segment(NAME).exists()
    assert patch(station, path, DATA[cut:], cut) == 204
    assert station.segment(NAME).read_bytes() == DATA
    assert station.offset(path) == len(DATA)
    assert not list(station.paths.station.glob("uploads/*.part"))


def test_a_broken_connection_keeps_what_came(station: Bench) -> None:
    path = station.announce(DATA)
    with pytest.raises(ConnectionResetError):
        station.ask(
            "PATCH", path, Cut(DATA, 300_000, ConnectionResetError()), {**PATCH, "Upload-Offset": "0"}, len(DATA)
        )
    assert station.offset(path) == 300_000


def test_a_new_process_goes_on_with_what_the_old_one_had(station: Bench) -> None:
    path = station.announce(DATA)
    patch(station, path, DATA[:1000], 0)
    again = Bench(station.paths, open_app(station.paths, station.state), station.state)
    assert again.offset(path) == 1000
    assert again.announce(DATA) == path
    assert patch(again, path, DATA[1000:], 1000) == 204


def test_a_cut_between_the_last_byte_and_the_name_is_finished_by_the_next_question(station: Bench) -> None:
    path = station.announce(DATA)
    part = station.paths.station / "uploads" / f"{path.rsplit('/', 1)[1]}.part"
    part.write_bytes(DATA)
    assert station.offset(path) == len(DATA)
    assert station.segment(NAME).read_bytes() == DATA


def test_bytes_that_went_bad_on_the_disk_start_over(station: Bench) -> None:
    path = station.announce(DATA)
    assert patch(station, path, DATA[:5000], 0) == 204
    part = station.paths.station / "uploads" / f"{path.rsplit('/', 1)[1]}.part"
    part.write_bytes(b"\0" * 5000)
    assert patch(station, path, DATA[5000:], 5000) == 460
    assert not station.segment(NAME).exists()
    assert station.offset(path) == 0
    assert patch(station, path, DATA, 0) == 204


def test_a_wrong_digest_is_refused(station: Bench) -> None:
    path = station.announce(DATA, sha256=digest(b"something else"))
    assert patch(station, path, DATA, 0) == 460
    assert not station.segment(NAME).exists()


def test_the_same_segment_twice_is_one_object(station: Bench) -> None:
    assert station.upload(DATA).status == 204
    inode = station.segment(NAME).stat().st_ino
    for info in station.paths.station.glob("uploads/*.json"):
        info.unlink()
    path = station.announce(DATA)
    assert station.offset(path) == len(DATA)
    assert station.segment(NAME).stat().st_ino == inode
    assert station.conflicts() == []


def test_a_second_content_is_kept_aside_and_filed(station: Bench) -> None:
    other = DATA[:-1] + b"!"
    assert station.upload(DATA).status == 204
    assert station.upload(other).status == 204
    assert station.segment(NAME).read_bytes() == DATA
    (filed,) = station.conflicts()
    assert (filed["kind"], filed["segment"]) == ("two-contents", NAME)
    aside = station.paths.station / "conflicts" / filed["camera"] / filed["aside"]
    assert aside.read_bytes() == other
    assert station.offset(station.announce(other)) == len(other)


def test_a_flood_of_second_contents_keeps_no_fork_out_of_the_conflicts(
    station: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(conflicts, "MAX_FILED", 3)
    filed = Conflicts(station.paths.station / "conflicts")
    for number in range(6):
        filed.file(CAMERA, "two-contents", {"came": number})
    # What was filed stays filed, and counts again after a restart.
    again = Conflicts(station.paths.station / "conflicts")
    again.file(CAMERA, "two-contents", {"came": 0})
    again.file(CAMERA, "two-contents", {"came": 6})
    for kind in ("epoch", "epoch-contradicts", "fork"):
        again.file(CAMERA, kind, {})
    kinds = [c["kind"] for c in station.conflicts()]
    assert sorted(kinds) == ["epoch", "epoch-contradicts", "fork", *["two-contents"] * 3]
    assert [r.message.split(" has ")[1] for r in caplog.records] == [
        "3 conflicts of kind two-contents: no more of it are filed"
    ] * 2


def test_of_too_many_second_contents_of_a_segment_the_oldest_gives_way(station: Bench) -> None:
    """None has a receipt. Whoever held its upload for done has to send it again."""
    kept = station.paths.station / "conflicts" / CAMERA
    contents = [bytes([number]) * 9 for number in range(conflicts.MAX_ASIDES + 3)]
    for number, data in enumerate(contents):
        assert station.upload(data).status == 204
        if number:
            os.utime(kept / f"{NAME}.{digest(data)}.tar", (number, number))
    assert sorted(path.name for path in kept.glob("*.tar")) == sorted(f"{NAME}.{digest(d)}.tar" for d in contents[3:])
    assert station.segment(NAME).read_bytes() == contents[0]
    assert station.offset(station.announce(contents[1])) == 0
    assert station.offset(station.announce(contents[3])) == 0, "it gave way to that one"
    assert station.offset(station.announce(contents[-1])) == 9


def test_checksum_of_a_piece(station: Bench) -> None:
    path = station.announce(DATA)
    good = base64.b64encode(hashlib.sha256(DATA[:1000]).digest()).decode()
    assert patch(station, path, DATA[:1000], 0, Upload_Checksum=f"sha256 {good}") == 204
    assert patch(station, path, DATA[1000:2000], 1000, Upload_Checksum=f"sha256 {good}") == 460
    assert station.offset(path) == 1000
    assert patch(station, path, b"x", 1000, Upload_Checksum="md5 AAAA") == 400


def test_a_checked_piece_that_is_cut_off_is_dropped(station: Bench) -> None:
    path = station.announce(DATA)
    good = base64.b64encode(hashlib.sha256(DATA).digest()).decode()
    headers = {**PATCH, "Upload-Offset": "0", "Upload-Checksum": f"sha256 {good}"}
    assert station.ask("PATCH", path, Cut(DATA, 5000), headers, len(DATA)).status == 460
    assert station.offset(path) == 0


def test_one_request_at_a_time(station: Bench) -> None:
    path = station.announce(DATA)

    class Curious(Cut):
        seen: int = 0

        def read(self, size: int | None = -1) -> bytes:
            Curious.seen = Curious.seen or patch(station, path, DATA, 0)
            return super().read(size)

    answer = station.ask("PATCH", path, Curious(DATA, len(DATA)), {**PATCH, "Upload-Offset": "0"}, len(DATA))
    assert (Curious.seen, answer.status) == (423, 204)
    assert station.segment(NAME).read_bytes() == DATA


@pytest.mark.parametrize(
    ("name", "sha256", "length", "status"),
    [
        ("../../etc/passwd", "0" * 64, 5, 400),
        ("e0000000000-91b3c4d7.tar", "0" * 64, 5, 400),
        ("e0000000000-91b3c4d7\n", "0" * 64, 5, 400),
        (NAME, "0" * 63, 5, 400),
        (NAME, "G" * 64, 5, 400),
        (NAME, "0" * 64, MAX_SEGMENT + 1, 413),
        (NAME, "0" * 64, MAX_SEGMENT, 201),
    ],
)
def test_announcements_are_checked(station: Bench, name: str, sha256: str, length: int, status: int) -> None:
    assert station.ask("POST", "/files", b"", announcement(name, sha256, length)).status == status


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"Tus-Resumable": "0.2.2"}, 412),
        ({"Content-Type": "application/json"}, 415),
        ({"Upload-Offset": "1"}, 409),
        ({"Upload-Offset": "-1"}, 400),
        ({"Upload-Offset": ""}, 400),
        ({"Transfer-Encoding": "chunked"}, 411),
    ],
)
def test_malformed_patches_change_nothing(station: Bench, change: dict[str, str], status: int) -> None:
    path = station.announce(DATA)
    assert station.ask("PATCH", path, DATA, {**PATCH, "Upload-Offset": "0", **change}).status == status
    assert station.offset(path) == 0


def test_more_bytes_than_announced(station: Bench) -> None:
    path = station.announce(DATA)
    assert patch(station, path, DATA + b"x", 0) == 413
    assert station.offset(path) == 0


def test_uploads_of_another_camera_are_not_there(station: Bench) -> None:
    path = station.announce(DATA)
    admin.enrol(station.paths.root, "cam-2")
    other = Bench(station.paths, station.app, station.state, station.paths.camera("cam-2").tls_chain.read_text())
    assert other.ask("HEAD", path, b"", TUS).status == 404
    assert other.announce(DATA) != path
    assert other.upload(DATA).status == 204
    assert other.segment(NAME, "cam-2").exists()
    assert not station.segment(NAME).exists()


def fill(station: Bench, count: int = MAX_OPEN_UPLOADS) -> list[str]:
    """So many unfinished uploads, one a second; the oldest first."""
    paths = [station.announce(DATA, f"e{number:010d}-91b3c4d7") for number in range(count)]
    for number, path in enumerate(paths):
        os.utime(part_of(station, path), (1_000 + number, 1_000 + number))
    return paths


def part_of(station: Bench, path: str) -> Path:
    return station.paths.station / "uploads" / f"{path.rsplit('/', 1)[1]}.part"


def test_at_the_bound_the_upload_that_rested_longest_makes_room_and_can_come_again(station: Bench) -> None:
    paths = fill(station)
    # The first announced is not the one that rested longest, if bytes came meanwhile.
    assert patch(station, paths[0], DATA[:1000], 0) == 204
    another = station.announce(DATA, f"e{999:010d}-91b3c4d7")
    assert station.ask("HEAD", paths[1], b"", TUS).status == 404
    assert station.offset(paths[0]) == 1000
    assert len(list(station.paths.station.glob("uploads/*.part"))) == MAX_OPEN_UPLOADS
    assert patch(station, another, DATA, 0) == 204
    again = station.announce(DATA, f"e{1:010d}-91b3c4d7")
    assert again == paths[1]
    assert patch(station, again, DATA, 0) == 204
    assert station.segment(f"e{1:010d}-91b3c4d7").read_bytes() == DATA


def test_an_upload_that_is_being_written_to_makes_room_for_no_other(station: Bench) -> None:
    paths = fill(station)

    class Meanwhile(Cut):
        status = 0

        def read(self, size: int | None = -1) -> bytes:
            if not Meanwhile.status:
                os.utime(part_of(station, paths[0]), (1, 1))
                Meanwhile.status = station.ask("POST", "/files", b"", more()).status
            return super().read(size)

    def more() -> dict[str, str]:
        return announcement(f"e{999:010d}-91b3c4d7", digest(DATA), len(DATA))

    headers = {**PATCH, "Upload-Offset": "0"}
    assert station.ask("PATCH", paths[0], Meanwhile(DATA, len(DATA)), headers, len(DATA)).status == 204
    assert Meanwhile.status == 201
    assert station.segment(f"e{0:010d}-91b3c4d7").read_bytes() == DATA
    assert station.ask("HEAD", paths[1], b"", TUS).status == 404


def test_a_camera_at_work_on_all_its_uploads_is_told_to_finish_some(station: Bench) -> None:
    store = Store(station.paths.station, Conflicts(station.paths.station / "conflicts"))
    with ExitStack() as at_work:
        for number in range(MAX_OPEN_UPLOADS):
            at_work.enter_context(store.claim(store.create(CAMERA, f"e{number:010d}-91b3c4d7", "0" * 64, 5).upload))
        with pytest.raises(TooManyError):
            store.create(CAMERA, f"e{999:010d}-91b3c4d7", "0" * 64, 5)
    store.create(CAMERA, f"e{999:010d}-91b3c4d7", "0" * 64, 5)


def test_uploads_of_another_camera_make_no_room(station: Bench) -> None:
    fill(station)
    admin.enrol(station.paths.root, "cam-2")
    other = Bench(station.paths, station.app, station.state, station.paths.camera("cam-2").tls_chain.read_text())
    other.announce(DATA)
    assert len(list(station.paths.station.glob("uploads/*.part"))) == MAX_OPEN_UPLOADS + 1


@pytest.mark.parametrize(
    "damaged", [b"", b"\0" * 200, b"{}", b"[]", b'{"done": 1}', b"[" * 100_000], ids=lambda data: repr(data[:12])
)
@pytest.mark.parametrize("restart", [True, False])
def test_a_damaged_upload_record_is_set_aside_and_said_and_the_segment_comes_again(
    station: Bench, damaged: bytes, restart: bool, caplog: pytest.LogCaptureFixture
) -> None:
    path, whole = station.announce(DATA), station.announce(DATA, f"e{1:010d}-91b3c4d7")
    for of in (path, whole):
        assert patch(station, of, DATA[:1000], 0) == 204
    info = part_of(station, path).with_suffix(".json")
    info.write_bytes(damaged)
    if restart:
        station = Bench(station.paths, open_app(station.paths, station.state), station.state)
    assert station.ask("HEAD", path, b"", TUS).status == 404
    assert "is damaged" in caplog.text and info.name in caplog.text
    assert info.with_suffix(".damaged").read_bytes() == damaged
    assert station.upload(DATA).status == 204
    assert station.segment(NAME).read_bytes() == DATA
    assert station.offset(whole) == 1000


@pytest.mark.parametrize(("code", "status"), [(errno.EACCES, 507), (errno.EMFILE, 507), (errno.EIO, 404)])
def test_a_record_that_only_this_moment_cannot_read_is_not_set_aside(
    station: Bench, monkeypatch: pytest.MonkeyPatch, code: int, status: int
) -> None:
    path = station.announce(DATA)
    info, read = part_of(station, path).with_suffix(".json"), Path.read_bytes

    def refused(file: Path) -> bytes:
        if file == info:
            raise OSError(code, "refused")
        return read(file)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_bytes", refused)
        assert station.ask("HEAD", path, b"", TUS).status == status
    assert info.exists() == (status != 404)


def test_a_method_override_replaces_the_method(station: Bench) -> None:
    path = station.announce(DATA)
    headers = {**PATCH, "Upload-Offset": "0", "X-HTTP-Method-Override": "PATCH"}
    assert station.ask("POST", path, DATA, headers).status == 204


def test_a_full_disk_is_not_the_cameras_fault(station: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    path = station.announce(DATA)

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("os.pwrite", full)
        answer = station.ask("PATCH", path, DATA, {**PATCH, "Upload-Offset": "0"})
    assert (answer.status, answer.headers["Retry-After"]) == (507, "30")
    assert patch(station, path, DATA, station.offset(path)) == 204


def test_only_cameras_are_served(station: Bench) -> None:
    paths = station.paths
    identity = paths.camera(CAMERA).identity_chain.read_text()
    for pem in ("", "junk", paths.tls_chain.read_text(), identity, paths.trust_root.read_text()):
        stranger = Bench(paths, station.app, station.state, pem or " ")
        assert stranger.ask("OPTIONS", "/files").status == 403, pem[:40]


def test_a_cameras_own_ca_cannot_make_another_camera_of_it(station: Bench) -> None:
    keys = station.paths.camera(CAMERA)
    identity = certs.parse_pem(keys.identity_chain.read_bytes())[0]
    signer = FileSigner(keys.identity_key)
    forged = certs.issue(
        name="cam-2", role=certs.CAMERA_TLS, public=signer.public, issuer=identity, issuer_key=signer.issuing_key,
        not_before=identity.not_valid_before_utc, tls=certs.CLIENT_AUTH,
    )  # fmt: skip
    stranger = Bench(station.paths, station.app, station.state, certs.pem([forged]).decode())
    assert stranger.ask("OPTIONS", "/files").status == 403


def test_state_of_uploads_is_plain_json(station: Bench) -> None:
    station.announce(DATA)
    (info,) = Path(station.paths.station / "uploads").glob("*.json")
    assert json.loads(info.read_bytes())["sha256"] == digest(DATA)

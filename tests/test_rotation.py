"""Evidence keys are exchanged; what was recorded before and after opens with its own, out of one spool and one log."""

from __future__ import annotations

import contextlib
import json
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from agent import config, configfile, durable
from agent.cli import evidence_main, station_main
from agent.errors import Exit, KeyTrustError, UsageError
from agent.evidence.decrypt import decrypt
from agent.evidence.opening import load_identities
from agent.evidence.sources import collect
from agent.evidence.trust import load_root
from agent.evidence.verify import verify
from agent.formats import age
from agent.formats import leaf as leaves
from agent.formats.order import Configuration, Kind
from agent.provision import Wanted, install, prepare
from agent.spool.store import Spool
from agent.station import admin, orders, rotation
from agent.station.enrolment import enrol_request
from agent.station.layout import AgencyPaths
from tests.camera_kit import CAMERA, all_leaves_of
from tests.recorder_kit import RecorderProcess, make_config
from tests.station.kit import own_agency

PROFILE = """
[video]
source = "synthetic"
width = 320
height = 240
bitrate_kbps = 500
[audio]
source = "synthetic"
[recording]
pre_event_s = 1
"""


@pytest.fixture
def paths(agency: AgencyPaths, tmp_path: Path) -> AgencyPaths:
    return own_agency(agency, tmp_path / "agency")


def enrolled(paths: AgencyPaths, camera: Path, profile: str = "") -> None:
    request = prepare(camera, Wanted("cam-0001", "file", Path("/dev/tpmrm0"))).request.read_bytes()
    answer = enrol_request(paths.root, request, profile=configfile.tables(profile)).answer
    install(camera, answer.read_bytes())


# -- footage -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Footage:
    """One spool with a recording from before and one from after a rotation."""

    paths: AgencyPaths
    spool: Path
    before: str
    after: str

    def keys(self, *generations: int) -> list[Path]:
        return [self.paths.identity("agency", number) for number in generations]


def record(camera: Path, life: Path) -> str:
    with RecorderProcess(config.load(camera / "agent.toml"), life) as recorder:
        recorder.until(lambda status: status["state"] == "ready")
        name = str(recorder.ask("record")["recording"])
        recorder.until(lambda status: status["media_s"] >= 1.5)
        assert recorder.ask("stop")["whole"]
        assert recorder.stop() == Exit.OK
    return name


@pytest.fixture(scope="module")
def footage(agency: AgencyPaths, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Footage]:
    root = tmp_path_factory.mktemp("rotation")
    paths, camera = own_agency(agency, root / "agency"), root / "camera"
    enrolled(paths, camera, f'{PROFILE}[spool]\ndir = "{root}/spool"\n[control]\nsocket = "{root}/c.sock"\n')
    before = record(camera, root / "life")
    rotation.rotate(paths.root)
    assert install(camera, paths.camera("cam-0001").answer.read_bytes()).written == ("agent.toml",)
    yield Footage(paths, root / "spool", before, record(camera, root / "life"))


def test_one_log_that_verifies_as_ever(footage: Footage) -> None:
    report = verify(collect([footage.spool]), load_root(footage.paths.trust_root))
    assert report.verified
    assert len(report.logs) == 1
    assert set(report.logs[0].watch.recordings) == {footage.before, footage.after}


def test_a_recording_is_sealed_to_one_set_throughout(footage: Footage) -> None:
    sets: dict[str | None, set[str]] = {}
    for leaf in all_leaves_of(Spool(footage.spool)):
        if isinstance(leaf, leaves.MediaLeaf) or leaf.recording:
            sets.setdefault(leaf.recording, set()).add(leaf.common.recipients)
    expected = {
        footage.before: footage.paths.old_recipients(1),
        footage.after: footage.paths.recipients,
    }
    for recording, file in expected.items():
        recipients = [age.parse_recipient(text) for text in file.read_text().split()]
        assert sets[recording] == {age.recipient_set_hash(recipients)}


def test_both_keys_together_open_all_of_it(footage: Footage, tmp_path: Path) -> None:
    sources = collect([footage.spool])
    done = decrypt(sources.segments, load_identities(*footage.keys(1, 2)), tmp_path)
    assert done.failures == []
    assert {name[:20] for name in done.files if name.startswith("r")} == {footage.before, footage.after}


@pytest.mark.parametrize(("generation", "opens", "locked"), [(1, "before", "after"), (2, "after", "before")])
def test_each_key_opens_its_own_and_nothing_else(
    footage: Footage, tmp_path: Path, generation: int, opens: str, locked: str
) -> None:
    for which in ("agency", "escrow"):
        key = footage.paths.identity(which, generation)
        done = decrypt(collect([footage.spool]).segments, load_identities(key), tmp_path / which)
        assert {name[:20] for name in done.files if name.startswith("r")} == {getattr(footage, opens)}
        assert any(getattr(footage, locked) in failure for failure in done.failures)
        assert not any(getattr(footage, opens) in failure for failure in done.failures)


def test_the_commands_take_a_key_for_each_generation(
    footage: Footage, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trust = ["--trust", str(footage.paths.trust_root)]
    both = [word for key in footage.keys(1, 2) for word in ("-i", str(key))]
    segments = [str(b) for b in sorted((footage.spool / "sealed").glob("*.tar"))]
    assert evidence_main(["decrypt", *segments, *both, "-o", str(tmp_path / "d")]) == Exit.OK
    assert evidence_main(["export", str(footage.spool), *both, *trust, "-o", str(tmp_path / "e")]) == Exit.OK
    assert {p.stem for p in (tmp_path / "e").glob("*.mp4")} == {footage.before, footage.after}
    for recording in (footage.before, footage.after):
        mp4 = str(tmp_path / "e" / f"{recording}.mp4")
        assert evidence_main(["verify", mp4, *trust, *both]) == Exit.OK
    capsys.readouterr()
    one = ["export", str(footage.spool), "-i", str(footage.keys(2)[0]), *trust]
    assert evidence_main([*one, "--recording", footage.after, "-o", str(tmp_path / "new")]) == Exit.OK
    assert evidence_main([*one, "-o", str(tmp_path / "all")]) == Exit.KEYS
    assert f"no identity given opens {footage.before}" in capsys.readouterr().err


def test_the_stock_tool_opens_both(footage: Footage, tmp_path: Path) -> None:
    for generation, recording in ((1, footage.before), (2, footage.after)):
        segment = next((footage.spool / "sealed").glob(f"{recording}-*.tar"))
        subprocess.run(["tar", "-xf", segment, "-C", tmp_path, "init.age"], check=True, timeout=20)
        for number in (1, 2):
            key = footage.paths.identity("agency", number)
            command = ["age", "-d", "-i", str(key), str(tmp_path / "init.age")]
            done = subprocess.run(command, capture_output=True, timeout=20, check=False)
            assert (done.returncode == 0) == (number == generation)


# -- keys ----------------------------------------------------------------------------------------------------------


def test_old_keys_stay_as_they_are(paths: AgencyPaths) -> None:
    old = {p: p.read_bytes() for p in (paths.agency_identity, paths.escrow_identity)}
    was = paths.recipients.read_text()
    first, second = rotation.rotate(paths.root), rotation.rotate(paths.root)
    assert (first.generation, second.generation) == (2, 3)
    assert {p: p.read_bytes() for p in old} == old
    assert paths.old_recipients(1).read_text() == was
    assert tuple(paths.old_recipients(2).read_text().split()) == first.recipients
    assert tuple(paths.recipients.read_text().split()) == second.recipients
    assert len({was, *first.recipients, *second.recipients}) == 5
    for path, recipient in zip(second.identities, second.recipients, strict=True):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert load_identities(path)[0].recipient.to_string() == recipient


def test_it_goes_on_where_old_secret_keys_were_locked_away(paths: AgencyPaths) -> None:
    for _ in range(2):
        done = rotation.rotate(paths.root)
        for path in done.identities:
            path.unlink()
    assert done.generation == 3


def test_the_kind_stays_unless_it_is_asked_for(paths: AgencyPaths, tmp_path: Path) -> None:
    assert all(r.startswith("age1") and not r.startswith("age1pq1") for r in rotation.rotate(paths.root).recipients)
    assert all(r.startswith("age1pq1") for r in rotation.rotate(paths.root, post_quantum=True).recipients)
    assert all(r.startswith("age1pq1") for r in rotation.rotate(paths.root).recipients)


def test_answers_follow_and_cameras_without_one_are_named(paths: AgencyPaths, tmp_path: Path) -> None:
    enrolled(paths, tmp_path / "camera", PROFILE)
    done = rotation.rotate(paths.root)
    assert (done.renewed, done.others) == (("cam-0001",), (CAMERA,))
    toml = tmp_path / "camera" / "agent.toml"
    before = config.load(toml)
    install(tmp_path / "camera", paths.camera("cam-0001").answer.read_bytes())
    after = config.load(toml)
    assert after.sealing.recipients == done.recipients
    assert (after.video, after.dock) == (before.video, before.dock)


class Cut(Exception):
    """The power goes."""


def cut_after(writes: int, patch: pytest.MonkeyPatch) -> None:
    left = [writes]
    for name in ("write_file", "create_file"):
        real = getattr(durable, name)

        def write(*args: Any, real: Any = real, **more: Any) -> Any:
            left[0] -= 1
            if left[0] < 0:
                raise Cut
            return real(*args, **more)

        patch.setattr(durable, name, write)


@pytest.mark.parametrize("writes", range(6))
def test_a_cut_rotation_is_finished_with_the_keys_it_made(paths: AgencyPaths, tmp_path: Path, writes: int) -> None:
    """Two keys, one answer, what the recipients were, what they are: after five writes it is done."""
    enrolled(paths, tmp_path / "camera", PROFILE)
    was = paths.recipients.read_text()
    with pytest.MonkeyPatch.context() as patch:
        cut_after(writes, patch)
        with contextlib.suppress(Cut):
            rotation.rotate(paths.root)
    made = [p.read_bytes() for which in rotation.WHICH if (p := paths.identity(which, 2)).exists()]
    assert len(made) == min(writes, 2)
    assert (paths.recipients.read_text() == was) == (writes < 5)
    if writes < 5:
        done = rotation.rotate(paths.root)
        assert done.generation == 2
        assert [p.read_bytes() for p in done.identities][: len(made)] == made
    assert not paths.identity("agency", 3).exists()
    assert paths.old_recipients(1).read_text() == was
    assert rotation.rotate(paths.root).generation == 3


def test_a_strange_file_in_the_way_is_not_taken_for_a_key(paths: AgencyPaths) -> None:
    other = age.identity_file(age.PqIdentity.generate(), "of another kind")
    for text in ("", "no key\n", other):
        paths.identity("escrow", 2).write_text(text)
        paths.identity("escrow", 2).chmod(0o600)
        with pytest.raises(KeyTrustError):
            rotation.rotate(paths.root)
        assert paths.identity("escrow", 2).read_text() == text
        assert not paths.old_recipients(1).exists()


def test_without_an_agency(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="name the agency's directory"):
        rotation.rotate(tmp_path)


def test_the_command_says_what_to_lock_away_and_what_to_bring_where(
    paths: AgencyPaths, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    enrolled(paths, tmp_path / "camera", PROFILE)
    assert station_main(["rotate", "--dir", str(paths.root)]) == Exit.OK
    told = capsys.readouterr().out
    assert all(name in told for name in ("agency-2.agekey", "escrow-2.agekey", "cam-0001.bundle", "Keep the old ones"))
    assert station_main(["rotate", "--dir", str(paths.root), "--json"]) == Exit.OK
    assert json.loads(capsys.readouterr().out)["generation"] == 3
    assert admin.is_initialised(paths.root)


def test_a_camera_whose_configuration_is_ordered_takes_them_at_its_dock(paths: AgencyPaths, tmp_path: Path) -> None:
    text = config.dump(make_config(paths, tmp_path))
    file = tmp_path / "camera.toml"
    file.write_text(text)
    before = orders.give(paths.root, CAMERA, orders.read_configuration(paths, file, CAMERA)).order
    done = rotation.rotate(paths.root)
    assert done.ordered == (CAMERA,)
    after = orders.newest(paths.orders, CAMERA, Kind.CONFIGURATION)
    assert after is not None
    assert after.number > before.number
    assert isinstance(after.body, Configuration)
    made, old = config.parse(after.body.toml, tmp_path, "after"), config.parse(text, tmp_path, "before")
    assert made == replace(old, sealing=replace(old.sealing, recipients=done.recipients))
    # Nor does the file of yesterday bring the old ones back.
    again = orders.read_configuration(paths, file, CAMERA)
    assert config.parse(again.toml, tmp_path, "again").sealing.recipients == done.recipients
    paths.config_key.unlink()
    assert rotation.rotate(paths.root).ordered == ()

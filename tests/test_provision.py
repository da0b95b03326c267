"""A camera's keys are made on the camera, and what the agency says of them is taken only where it fits."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from agent import config, configfile, durable
from agent.cli import agent_main, station_main
from agent.dock.wire import Credentials
from agent.errors import ConfigError, DeviceError, Exit, KeyTrustError, UsageError
from agent.evidence.sources import collect
from agent.evidence.trust import load_root
from agent.evidence.verify import verify
from agent.formats import age, certs
from agent.identity import open_signer
from agent.provision import DROP_IN, Installed, Place, Prepared, Wanted, install, prepare, read_answer
from agent.station import admin
from agent.station.enrolment import enrol_request
from agent.station.layout import AgencyPaths
from tests.recorder_kit import RecorderProcess
from tests.station.kit import own_agency
from tests.tpm.kit import software_tpm

CAMERA = "cam-0001"
SYSTEMD = Path(__file__).parent.parent / "systemd"
PROFILE = """
[camera]
unit = "traffic"
[video]
width = 320
height = 240
bitrate_kbps = 500
"""


@pytest.fixture
def paths(agency: AgencyPaths, tmp_path: Path) -> AgencyPaths:
    return own_agency(agency, tmp_path / "agency")


@pytest.fixture(params=["file", "tpm:0x81010001"])
def wanted(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Wanted]:
    if request.param == "file":
        yield Wanted(CAMERA, "file", Path("/dev/tpmrm0"))
    else:
        with software_tpm(tmp_path) as tpm:
            yield Wanted(CAMERA, request.param, tpm.path, "tpm:0x01800100")


HOUSE = Path(__file__).resolve().parent.parent
FILE = Wanted(CAMERA, "file", Path("/dev/tpmrm0"))


def run(main: Callable[..., int], capsys: pytest.CaptureFixture[str], *argv: str | Path) -> dict[str, Any]:
    status = main([str(a) for a in argv] + ["--json"])
    told = capsys.readouterr()
    assert status == Exit.OK, told.err
    found: dict[str, Any] = json.loads(told.out)
    return found


def files(directory: Path) -> dict[str, bytes]:
    return {str(p.relative_to(directory)): p.read_bytes() for p in directory.rglob("*") if p.is_file()}


def test_three_commands_make_a_camera_that_records(
    paths: AgencyPaths, wanted: Wanted, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    profile, camera = tmp_path / "traffic.toml", tmp_path / "camera"
    profile.write_text(PROFILE)
    key = ["--key", wanted.key, "--tpm-device", wanted.tpm_device]
    asked = run(agent_main, capsys, "provision", "--dir", camera, "--camera", CAMERA, *key)
    counted = ["start counter"] if wanted.key != "file" else []
    assert asked["made"] == ["identity key", "TLS key", *counted]
    enrolled = run(
        station_main, capsys, "enrol", "--dir", paths.root, "--csr", asked["csr"], "--profile", profile,
        "--station-url", "https://station.example:8443", "--camera", CAMERA,
    )  # fmt: skip
    assert enrolled["identity_fingerprint"] == asked["identity_fingerprint"]
    take = ["--certificate", enrolled["bundle"], "--sha256", enrolled["bundle_sha256"].upper()]
    done = run(agent_main, capsys, "provision", "--dir", camera, *take)
    assert done["bundle_sha256"] == enrolled["bundle_sha256"]
    assert done["written"] == ["root.pem", "identity.pem", "tls.pem", "agent.toml"]

    own = {"video": {"source": "synthetic"}, "audio": {"source": "none"}}
    own |= {"spool": {"dir": f"{tmp_path}/spool"}, "control": {"socket": f"{tmp_path}/c.sock"}}
    here = camera / "agent.toml"
    here.write_text(configfile.overlaid(here.read_text(), own))
    made = config.load(here)
    assert made.sealing.recipients == tuple(paths.recipients.read_text().split())
    assert (made.camera.id, made.camera.unit) == (CAMERA, "traffic")
    assert made.dock.station_url == "https://station.example:8443"
    assert made.sealing.rollback_counter == (0x01800100 if counted else None)
    signer = open_signer(made.sealing.identity_key, made.sealing.tpm_device)
    assert certs.fingerprint(signer.public) == asked["identity_fingerprint"]
    Credentials(made.dock.ca, made.dock.client_cert, made.dock.client_key).context()
    with RecorderProcess(made, tmp_path / "life") as recorder:
        recorder.until(lambda status: status["state"] == "ready")
        recorder.ask("record")
        recorder.until(lambda status: status["media_s"] >= 0.5)
        recorder.ask("stop")
        assert recorder.stop() == Exit.OK
    assert verify(collect([made.spool.dir]), load_root(paths.trust_root)).verified
    # The agency has certificates of this camera, and none of its keys.
    assert sorted(p.name for p in paths.camera(CAMERA).directory.iterdir()) == [
        f"{CAMERA}.bundle", "identity.pem", "tls.pem",
    ]  # fmt: skip


def test_each_step_may_be_repeated_and_changes_nothing(paths: AgencyPaths, wanted: Wanted, tmp_path: Path) -> None:
    camera = tmp_path / "camera"
    first = prepare(camera, wanted)
    answer = enrol_request(paths.root, first.request.read_bytes())
    install(camera, answer.answer.read_bytes())
    before = files(camera)
    second = prepare(camera, wanted)
    assert (second.made, second.fingerprint) == ((), first.fingerprint)
    again = enrol_request(paths.root, second.request.read_bytes())
    assert again.again and not answer.again
    assert install(camera, again.answer.read_bytes()).written == ()
    after = files(camera)
    # A request is signed anew each time it is written; nothing else is.
    assert {k: v for k, v in after.items() if not k.endswith(".csr")} == {
        k: v for k, v in before.items() if not k.endswith(".csr")
    }


@pytest.mark.parametrize("umask", [0o027, 0o077])
def test_both_daemons_may_read_what_is_installed_under_any_umask_also_where_an_earlier_one_kept_them_from_it(
    paths: AgencyPaths, wanted: Wanted, tmp_path: Path, umask: int
) -> None:
    camera, before = tmp_path / "etc" / "camera", os.umask(umask)
    try:
        answer = enrol_request(paths.root, prepare(camera, wanted).request.read_bytes()).answer.read_bytes()
        written = [camera / name for name in install(camera, answer).written]
        assert len(written) >= 4 and {path.stat().st_mode & 0o777 for path in written} == {0o644}
        assert {path.stat().st_mode & 0o777 for path in camera.rglob("*.key")} == {0o600}
        assert {path.parent for path in written} == {camera}
        assert {path.stat().st_mode & 0o777 for path in (camera, camera.parent)} == {0o755}
        for path in written:
            path.chmod(0o600)
        camera.chmod(0o700)
        prepare(camera, wanted)
        assert camera.stat().st_mode & 0o777 == 0o700, "whoever has a directory of his own keeps it as it is"
        assert install(camera, answer).written == ()
        assert {path.stat().st_mode & 0o777 for path in written} == {0o644}
        assert camera.stat().st_mode & 0o777 == 0o755
    finally:
        os.umask(before)


def test_a_cut_anywhere_is_mended_by_doing_it_again(
    paths: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The power goes before each durable write in turn; a key that was made once stays the key."""
    camera, keys = tmp_path / "camera", set()

    class Cut(Exception):
        pass

    def cutting(writes: int) -> pytest.MonkeyPatch:
        patch, left = pytest.MonkeyPatch(), [writes]
        for name in ("write_file", "create_file"):
            real = getattr(durable, name)

            def write(*args: Any, real: Any = real, **more: Any) -> Any:
                left[0] -= 1
                if left[0] < 0:
                    raise Cut
                return real(*args, **more)

            patch.setattr(durable, name, write)
        return patch

    for writes in range(20):
        patch = cutting(writes)
        try:
            request = prepare(camera, FILE).request
            install(camera, enrol_request(paths.root, request.read_bytes()).answer.read_bytes())
        except Cut:
            continue
        finally:
            patch.undo()
            if Place(camera).identity_key.exists():
                keys.add(Place(camera).identity_key.read_bytes())
        break
    else:
        raise AssertionError("never whole")
    assert writes > 4
    assert len(keys) == 1
    assert config.load(camera / "agent.toml").camera.id == CAMERA


def test_keys_are_private_and_never_written_over(tmp_path: Path) -> None:
    camera = tmp_path / "camera"
    prepare(camera, FILE)
    here = Place(camera)
    for key in (here.identity_key, here.tls_key):
        assert stat.S_IMODE(key.stat().st_mode) == 0o600
        assert stat.S_IMODE(key.parent.stat().st_mode) == 0o700
    before = files(camera)
    for other in (Wanted("cam-0002", "file", FILE.tpm_device), Wanted(CAMERA, "tpm:0x81010001", FILE.tpm_device)):
        with pytest.raises(KeyTrustError, match="nothing was changed"):
            prepare(camera, other)
    assert files(camera) == before
    here.identity_key.write_bytes(b"damaged")
    with pytest.raises(KeyTrustError, match="is not a PEM private key"):
        prepare(camera, FILE)
    assert here.identity_key.read_bytes() == b"damaged"


def test_each_daemon_is_handed_its_own_key_and_no_file_is_given_away(tmp_path: Path) -> None:
    here, installed = Place(tmp_path / "camera"), Place(Path("/etc/bodycam-agent"))
    for _ in range(2):
        prepare(here.root, FILE)
        for key in (here.identity_key, here.tls_key):
            assert {key.stat().st_uid, key.parent.stat().st_uid} == {os.geteuid()}
            assert [stat.S_IMODE(path.stat().st_mode) for path in (key, key.parent)] == [0o600, 0o700]
    for daemon, key in (("recorder", installed.identity_key), ("uploader", installed.tls_key)):
        unit = (SYSTEMD / f"bodycam-{daemon}.service").read_text("utf-8")
        assert f"LoadCredential={key.name}:{key}\n" in unit


@pytest.mark.parametrize(
    "key", ["", "tpm", "tpm:", "TPM:0x81010001", "file:id.key", "tpm:0x1", "tpm:0x81800000", "tpm:81010001"]
)
def test_a_handle_that_is_none(tmp_path: Path, key: str) -> None:
    with pytest.raises(UsageError, match="--key"):
        prepare(tmp_path / "camera", Wanted(CAMERA, key, FILE.tpm_device))
    with pytest.raises(UsageError, match="--counter"):
        prepare(tmp_path / "camera", replace(FILE, counter="tpm:0x01c00000"))
    assert not (tmp_path / "camera").exists()


# -- answers that do not fit ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Scene:
    camera: Path
    answer: dict[str, Any]
    paths: AgencyPaths
    other: dict[str, Any]
    """The answer to another camera of the same agency."""
    foreign: dict[str, Any]
    """The answer of another agency to the same request."""


@pytest.fixture
def scene(paths: AgencyPaths, tmp_path: Path) -> Scene:
    request = prepare(tmp_path / "camera", FILE).request.read_bytes()
    sister = prepare(tmp_path / "sister", Wanted("cam-0002", "file", FILE.tpm_device)).request.read_bytes()
    elsewhere = admin.init(tmp_path / "elsewhere", "another agency")
    answers = [
        json.loads(enrol_request(root, asked).answer.read_bytes())
        for root, asked in ((paths.root, request), (paths.root, sister), (elsewhere.root, request))
    ]
    return Scene(tmp_path / "camera", answers[0], paths, answers[1], answers[2])


def put(scene: Scene, answer: dict[str, Any]) -> Installed:
    return install(scene.camera, json.dumps(answer).encode())


@pytest.mark.wide
@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        (lambda s: s.other, KeyTrustError, "the answer is for camera 'cam-0002'"),
        (lambda s: {**s.other, "camera": CAMERA}, KeyTrustError, "identity is for 'cam-0002'"),
        (lambda s: {**s.answer, "identity_chain": s.foreign["identity_chain"]}, KeyTrustError, "another issuer"),
        (lambda s: {**s.answer, "trust_root": s.foreign["trust_root"]}, KeyTrustError, "another issuer"),
        (lambda s: {**s.answer, "identity_chain": s.answer["tls_chain"]}, KeyTrustError, "has the role"),
        (lambda s: {**s.answer, "tls_chain": s.other["tls_chain"]}, KeyTrustError, "is for 'cam-0002'"),
        (lambda s: {**s.answer, "identity_chain": ""}, KeyTrustError, "not a PEM file|2 certificates"),
        (lambda s: {**s.answer, "trust_root": s.answer["trust_root"] * 2}, KeyTrustError, "more than one root"),
        (lambda s: {**s.answer, "v": 2}, KeyTrustError, "of a version"),
        (lambda s: {k: v for k, v in s.answer.items() if k != "config"}, KeyTrustError, "not whole"),
        (lambda s: {**s.answer, "config": {}}, ConfigError, "sealing.recipients: is missing"),
        (lambda s: with_key(s, "sealing", "recipients", []), ConfigError, "at least one"),
        (lambda s: with_key(s, "sealing", "recipients", ["age1" + "q" * 58]), KeyTrustError, "recipient"),
        (lambda s: with_key(s, "sealing", "recipient", "x"), ConfigError, "did you mean recipients"),
        (lambda s: with_key(s, "dock", "station_url", "http://x"), ConfigError, "is not https"),
    ],
)  # fmt: skip
def test_an_answer_that_does_not_fit_changes_nothing(
    scene: Scene, change: Callable[[Scene], dict[str, Any]], error: type[Exception], words: str
) -> None:
    before = files(scene.camera)
    with pytest.raises(error, match=words):
        put(scene, change(scene))
    assert files(scene.camera) == before
    assert put(scene, scene.answer).written


def with_key(scene: Scene, section: str, key: str, value: object) -> dict[str, Any]:
    tables = scene.answer["config"]
    return {**scene.answer, "config": {**tables, section: {**tables.get(section, {}), key: value}}}


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b"\xff", b"[" * 100_000, b'"' + b"x" * (300 << 10) + b'"'])
def test_noise_is_no_answer(scene: Scene, data: bytes) -> None:
    with pytest.raises(KeyTrustError):
        install(scene.camera, data)


def test_another_agency_does_not_take_over(scene: Scene) -> None:
    put(scene, scene.answer)
    before = files(scene.camera)
    with pytest.raises(KeyTrustError, match="of another agency"):
        put(scene, scene.foreign)
    assert files(scene.camera) == before


def test_an_answer_cannot_say_where_this_cameras_own_things_lie(scene: Scene) -> None:
    put(scene, with_key(scene, "sealing", "identity_key", "/tmp/other.key"))
    assert config.load(scene.camera / "agent.toml").sealing.identity_key == Place(scene.camera).identity_key


def test_what_was_set_on_the_camera_stays_where_the_agency_does_not_decide(scene: Scene) -> None:
    put(scene, scene.answer)
    toml = scene.camera / "agent.toml"
    toml.write_text(toml.read_text().replace("pre_event_s = 30", "pre_event_s = 60"))
    assert put(scene, with_key(scene, "camera", "unit", "stadium")).written == ("agent.toml",)
    made = config.load(toml)
    assert (made.recording.pre_event_s, made.camera.unit) == (60, "stadium")


def test_the_chain_alone_is_taken_where_it_fits(scene: Scene) -> None:
    chain = scene.answer["identity_chain"].encode()
    with pytest.raises(KeyTrustError, match="to check this certificate against"):
        install(scene.camera, chain)
    put(scene, scene.answer)
    (scene.camera / "identity.pem").unlink()
    assert install(scene.camera, chain).written == ("identity.pem",)
    with pytest.raises(KeyTrustError, match="is for 'cam-0002'"):
        install(scene.camera, scene.other["identity_chain"].encode())


def test_an_answer_that_was_exchanged_on_the_way(scene: Scene, tmp_path: Path) -> None:
    """Somebody's own recipients in an answer that is good otherwise: only its digest tells."""
    told, swapped = tmp_path / "told.bundle", tmp_path / "swapped.bundle"
    told.write_text(json.dumps(scene.answer))
    own = age.X25519Identity.generate().recipient.to_string()
    swapped.write_text(json.dumps(with_key(scene, "sealing", "recipients", [own])))
    digest = hashlib.sha256(told.read_bytes()).hexdigest()
    assert read_answer(told, digest) == told.read_bytes()
    with pytest.raises(KeyTrustError, match="is another answer than the one with SHA-256"):
        read_answer(swapped, digest)


def test_there_must_be_keys_first(scene: Scene, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="has no keys yet"):
        install(tmp_path / "empty", json.dumps(scene.answer).encode())


# -- requests that do not fit --------------------------------------------------------------------------------------


def test_a_new_key_under_an_old_name_is_refused(paths: AgencyPaths, tmp_path: Path) -> None:
    first, second = (prepare(tmp_path / name, FILE).request.read_bytes() for name in ("a", "b"))
    enrolled = enrol_request(paths.root, first)
    before = files(paths.camera(CAMERA).directory)
    with pytest.raises(KeyTrustError, match="enrolled already, with another key: nothing was changed"):
        enrol_request(paths.root, second)
    assert files(paths.camera(CAMERA).directory) == before
    assert enrol_request(paths.root, first).fingerprint == enrolled.fingerprint


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda asked, other: b"", "not a PEM file of certificate signing requests"),
        (lambda asked, other: asked[: len(asked) // 2], "not for one camera's identity and TLS keys|cannot be read"),
        (lambda asked, other: asked + asked, "not for one camera's"),
        (lambda asked, other: asked[: len(asked) // 2] + other[len(other) // 2 :], "one camera's|cannot be read"),
        (lambda asked, other: asked[:300] + bytes([asked[300] ^ 1]) + asked[301:], "request"),
        (lambda asked, other: other, "the request is of camera 'cam-0002', not of cam-0001"),
    ],
)  # fmt: skip
def test_a_request_that_does_not_fit(
    paths: AgencyPaths, tmp_path: Path, spoil: Callable[[bytes, bytes], bytes], words: str
) -> None:
    asked = prepare(tmp_path / "a", FILE).request.read_bytes()
    other = prepare(tmp_path / "b", Wanted("cam-0002", "file", FILE.tpm_device)).request.read_bytes()
    with pytest.raises(KeyTrustError, match=words):
        enrol_request(paths.root, spoil(asked, other), CAMERA)
    assert not paths.camera(CAMERA).directory.exists()


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("[video]\nsorce = 1\n", "did you mean source"),
        ("video = 1\n", "video: is a section"),
        ('[video]\nsource = "synthetic"\n', "video.source: belongs to one camera, not to a profile"),
        ("[recording]\npre_event_s = 120\nring_mib = 1\n", "recording.ring_mib: 1 MiB cannot hold"),
        ("[video]\nfps = 99\n[signals]\ntone = 1\n", "signals.tone"),
        ('[camera]\ntimezone = "Mars/Phobos"\n', "camera.timezone: 'Mars/Phobos' is not a time zone"),
    ],
)
def test_a_profile_with_a_mistake_enrols_nobody(
    paths: AgencyPaths, tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str, mistake: str
) -> None:
    request = prepare(tmp_path / "a", FILE).request
    profile = tmp_path / "p.toml"
    profile.write_text(text)
    enrol = ["enrol", "--dir", str(paths.root), "--csr", str(request), "--profile", str(profile)]
    assert station_main(enrol) == Exit.USAGE
    told = capsys.readouterr().err
    assert str(profile) in told
    assert mistake in told
    assert not paths.camera(CAMERA).directory.exists()


def test_a_profile_is_found_by_its_name(paths: AgencyPaths, tmp_path: Path) -> None:
    request = prepare(tmp_path / "a", FILE).request
    enrol = ["enrol", "--dir", str(paths.root), "--csr", str(request), "--profile", "stadium"]
    assert station_main(enrol) == Exit.OK
    install(tmp_path / "a", paths.camera(CAMERA).answer.read_bytes())
    assert config.load(tmp_path / "a" / "agent.toml").recording.pre_event_s == 120


def test_until_there_is_a_request_another_choice_takes_the_place_of_one_that_failed(tmp_path: Path) -> None:
    missing = tmp_path / "tpmrm9"
    with pytest.raises(DeviceError, match="no TPM at"):
        prepare(tmp_path / "camera", Wanted(CAMERA, "tpm:0x81010001", missing))
    assert prepare(tmp_path / "camera", replace(FILE, camera="cam-00099")).camera == "cam-00099"
    # By now the request may have been sent. Where it was not, the way out is told, and works.
    with pytest.raises(KeyTrustError) as told:
        prepare(tmp_path / "camera", FILE)
    assert "cam-00099's" in str(told.value) and told.value.hint
    assert "cam-00099.csr" in told.value.hint
    for name in told.value.hint.split(": rm ")[1].split():
        Path(name).unlink()
    # With new keys: those that were there may be another camera's, of whose card this is a copy.
    made = prepare(tmp_path / "camera", FILE)
    assert made.camera == CAMERA and made.made == ("identity key", "TLS key")


def test_a_camera_that_was_answered_is_told_no_way_to_forget_who_it_is(scene: Scene) -> None:
    put(scene, scene.answer)
    with pytest.raises(KeyTrustError) as told:
        prepare(scene.camera, replace(FILE, camera="cam-00099"))
    assert "rm " not in (told.value.hint or "")


def test_a_key_in_a_tpm_comes_with_what_the_recorders_unit_needs_for_it(tmp_path: Path) -> None:
    prepared = Prepared(CAMERA, tmp_path / "x.csr", "tpm:0x81010001", "00", ())
    _, lines = prepared.told()
    page = (HOUSE / "docs/operations.md").read_text("utf-8")
    assert any("tpm-udev" in line for line in lines) and "`tpm-udev`" in page
    assert DROP_IN.replace(" && ", "\n") in page and f"  {DROP_IN}" in lines
    assert not any("tpm-udev" in line for line in replace(prepared, key="file").told()[1])


def test_an_answer_that_was_installed_is_read_by_both_daemons_once_they_are_started_anew(tmp_path: Path) -> None:
    """The uploader, too: systemd started neither before there was a configuration, and nothing else starts it."""
    page = (HOUSE / "docs/operations.md").read_text("utf-8")
    both, etc = "systemctl restart bodycam-recorder bodycam-uploader", Path("/etc/bodycam-agent")
    for unit in ("recorder", "uploader"):
        assert f"--config {etc}/agent.toml" in (HOUSE / f"systemd/bodycam-{unit}.service").read_text("utf-8")
    on_a_camera = Installed(CAMERA, Place(etc).config, "00", "00", ())
    assert on_a_camera.told()[1][-2:] == [
        f"Restart the recorder and the uploader, which read {etc}/agent.toml when they start:",
        f"  {both}",
    ]
    assert f"\n{both}\n" in page
    # Elsewhere no unit reads it.
    on_a_desk = replace(on_a_camera, config=tmp_path / "agent.toml").told()[1]
    assert on_a_desk[-1] == f"Restart the recorder and the uploader, which read {tmp_path}/agent.toml when they start."
    assert not any("systemctl" in line for line in on_a_desk)


def test_the_words_for_people_name_the_next_step(
    paths: AgencyPaths, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    camera = tmp_path / "camera"
    assert agent_main(["provision", "--dir", str(camera), "--camera", CAMERA]) == Exit.OK
    told = capsys.readouterr().out
    assert f"bodycam-station enrol --dir AGENCY --csr {CAMERA}.csr" in told
    assert station_main(["enrol", "--dir", str(paths.root), "--csr", str(camera / f"{CAMERA}.csr")]) == Exit.OK
    bundle = paths.camera(CAMERA).answer
    digest = hashlib.sha256(bundle.read_bytes()).hexdigest()
    step = f"On the camera: bodycam-agent provision --certificate {CAMERA}.bundle --sha256 {digest}"
    assert step in capsys.readouterr().out.splitlines()
    assert agent_main(["provision", "--dir", str(camera), "--certificate", str(bundle)]) == Exit.OK
    assert "Restart the recorder and the uploader, which read" in capsys.readouterr().out
    assert agent_main(["provision", "--dir", str(camera), "--certificate", str(camera / "none")]) == Exit.USAGE
    assert "name the file that bodycam-station enrol wrote" in capsys.readouterr().err
    assert station_main(["enrol", "--dir", str(paths.root)]) == Exit.USAGE

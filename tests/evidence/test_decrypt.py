"""Parts in the clear: all that is authentic, and nothing else."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from agent.errors import KeyTrustError
from agent.evidence import entries as assembled
from agent.evidence.blobs import Blob, blob_of
from agent.evidence.decrypt import Decrypted, decrypt
from agent.evidence.opening import load_identities
from agent.evidence.sources import collect
from agent.formats import age, pack
from agent.formats import leaf as leaves
from tests.builders import INIT, Camera, agency, make_agency, simple_camera
from tests.evidence.range_kit import range_of
from tests.film import film_camera


def run(out: Path, *paths: Path) -> Decrypted:
    return decrypt(collect(paths).segments, [agency().identity], out)


def test_every_entry_in_the_clear(tmp_path: Path) -> None:
    camera = Camera(agency()).new_session()
    camera.start()
    camera.part(b"first part")
    camera.part(b"second part")
    camera.stop()
    done = run(tmp_path / "out", *camera.write(tmp_path / "seg"))
    assert done.failures == []
    media = tmp_path / "out" / camera.segments[1].name
    assert {p.name: p.read_bytes() for p in media.iterdir() if p.suffix != ".json"} == {
        "init.mp4": INIT,
        "0000000003.m4s": b"first part",
        "0000000004.m4s": b"second part",
    }
    assert json.loads((media / "0000000005.json").read_bytes()) == {"type": "record.stop", "reason": "test"}
    assert (
        json.loads((tmp_path / "out" / camera.segments[0].name / "0000000001.json").read_bytes())["trigger"] == "test"
    )


def test_plaintext_is_for_its_owner_alone(tmp_path: Path) -> None:
    run(tmp_path / "out", *simple_camera().write(tmp_path / "seg"))
    for path in (tmp_path / "out").rglob("*"):
        assert path.stat().st_mode & 0o077 == 0, path


def test_nothing_that_fails_authentication_is_written_and_the_rest_is(tmp_path: Path) -> None:
    camera = simple_camera()
    entries = camera.segments[1].entries
    entries[1].sealed = age.encrypt(b"forged, and encrypted to the right key", camera.recipients).data
    entries[2].leaf = b"{}\n"
    done = run(tmp_path / "out", *camera.write(tmp_path / "seg"))
    written = {p.name for p in (tmp_path / "out" / camera.segments[1].name).iterdir()}
    assert written == {"init.mp4", "0000000002.json", "0000000005.m4s"}
    assert len(done.failures) == 2
    assert not any(b"forged" in p.read_bytes() for p in (tmp_path / "out").rglob("*") if p.is_file())


def test_each_leaf_of_a_part_is_parsed_once_and_a_bounded_number_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[bytes] = []
    parse = leaves.parse

    def counted(data: bytes) -> leaves.Leaf:
        parsed.append(data)
        return parse(data)

    monkeypatch.setattr(leaves, "parse", counted)
    monkeypatch.setattr(assembled, "_LEAVES_KEPT", 2)
    camera = Camera(agency()).new_session()
    camera.start()
    for number in range(4):
        camera.part(b"part %d" % number)
    camera.stop()
    path = camera.write(tmp_path / "seg")[1]
    parsed.clear()
    done = run(tmp_path / "out", path)
    assert done.failures == []
    written = sorted((tmp_path / "out" / path.stem).glob("*.m4s"))
    assert [p.read_bytes() for p in written] == [b"part %d" % number for number in range(4)]
    times = [parsed.count(data) for data in dict.fromkeys(parsed) if isinstance(parse(data), leaves.MediaLeaf)]
    assert times == [1, 1, 2, 2]


def test_a_leaf_and_content_that_fit_but_do_not_decrypt_give_nothing(tmp_path: Path) -> None:
    """The leaf may be forged to fit a cut payload: the age authentication still has the last word."""
    camera = Camera(agency()).new_session()
    camera.start()
    encrypt = age.encrypt

    def cut(plain: bytes, recipients: object) -> age.SealedFile:
        sealed = encrypt(plain, recipients)
        return age.SealedFile(sealed.data[:-1], sealed.header_size)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(age, "encrypt", cut)
        camera.part()
    camera.stop()
    done = run(tmp_path / "out", *camera.write(tmp_path / "seg"))
    assert len(done.failures) == 1
    assert not list((tmp_path / "out").rglob("0000000003.m4s"))


def test_an_open_segment_gives_what_it_has(tmp_path: Path) -> None:
    camera = Camera(agency()).new_session()
    camera.start()
    camera.part()
    assert camera.open
    camera.open.sealed = False
    path = camera.open.write(tmp_path / "open")
    path.write_bytes(path.read_bytes() + bytes(5000))
    assert run(tmp_path / "out", path).failures == []


def test_the_wrong_key_is_a_key_error(tmp_path: Path) -> None:
    paths = simple_camera().write(tmp_path / "seg")
    with pytest.raises(KeyTrustError, match="no identity"):
        decrypt(collect(paths).segments, [make_agency("another").identity], tmp_path / "out")


def test_a_file_with_a_strange_name_stays_inside(tmp_path: Path) -> None:
    data = simple_camera().segments[1].to_bytes()
    path = tmp_path / "...tar"
    path.write_bytes(data)
    run(tmp_path / "out", path)
    assert [p.name[:8] for p in (tmp_path / "out").iterdir()] == ["segment-"]


def test_two_files_of_one_name_keep_apart(tmp_path: Path) -> None:
    """A copy is done once; another segment under that name gets a directory of its own."""
    one, other = simple_camera().segments[1], simple_camera(seed=2).segments[1]
    paths = [tmp_path / name / f"{one.name}.tar" for name in ("a", "b", "c", "d")]
    for path, data in zip(paths, (one.to_bytes(), other.to_bytes(), one.to_bytes(), other.to_bytes()), strict=True):
        path.parent.mkdir()
        path.write_bytes(data)
    done = run(tmp_path / "out", *paths)
    assert done.failures == []
    names = {path.name: path for path in (tmp_path / "out").iterdir()}
    (of_digest,) = names.keys() - {one.name}
    assert of_digest.startswith("segment-")
    for name, path in ((one.name, paths[0]), (of_digest, paths[1])):
        alone = run(tmp_path / "alone" / path.parent.name, path)
        there = {p.name: p.read_bytes() for p in names[name].iterdir()}
        assert there == {p.name: p.read_bytes() for p in (alone.out / one.name).iterdir()}
    assert len(done.files) == len(set(done.files)) == sum(len(list(path.iterdir())) for path in names.values())
    told = "\n".join(done.lines())
    assert f"{paths[1]} is another file of that name: below {of_digest}" in told
    assert f"{paths[2]} has the same bytes as {paths[0]}: done once" in told
    assert f"{paths[3]} has the same bytes as {paths[1]}: done once" in told


def test_no_range_takes_the_name_that_a_segment_gets_from_its_digest(tmp_path: Path) -> None:
    camera = film_camera()
    camera.write(tmp_path / "seg")
    odd = tmp_path / "x.tar"
    odd.write_bytes(camera.segments[1].to_bytes())
    digest = hashlib.sha256(odd.read_bytes()).hexdigest()[:16]
    proof = range_of(tmp_path / "seg", tmp_path / "range").rename(tmp_path / f"segment-{digest}.proof.tar")
    given = collect([proof, odd])
    done = decrypt(given.segments, [agency().identity], tmp_path / "out", ranges=given.ranges)
    assert done.failures == done.notes == []
    of_range, of_segment = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert of_range.startswith("range-") and of_segment == f"segment-{digest}"


def test_a_file_longer_than_any_segment_is_not_read_whatever_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / "x.tar"
    with long.open("wb") as file:
        file.truncate(pack.MAX_SEGMENT + 1)
    monkeypatch.setattr(Blob, "reader", lambda blob: pytest.fail(f"{blob.path} is read"))
    done = decrypt([blob_of(long)], [agency().identity], tmp_path / "out")
    assert len(done.failures) == 1 and "it was not read" in done.failures[0]


def test_an_init_that_is_not_the_one_its_leaves_name_is_not_handed_out(tmp_path: Path) -> None:
    camera = simple_camera()
    camera.segments[1].init = age.encrypt(b"FORGED INIT", camera.recipients).data
    done = run(tmp_path / "out", *camera.write(tmp_path / "seg"))
    assert any("init.age" in failure for failure in done.failures)
    forged, own = (tmp_path / "out" / segment.name for segment in camera.segments[1:3])
    assert not (forged / "init.mp4").exists() and list(forged.glob("*.m4s"))
    assert (own / "init.mp4").read_bytes() == INIT


@pytest.mark.parametrize("text", [b"", b"# nothing\n", b"\xff\xfe", b"AGE-SECRET-KEY-1NOTAKEY\n"])
def test_a_bad_key_file_is_named_and_never_shown(text: bytes, tmp_path: Path) -> None:
    path = tmp_path / "agency.agekey"
    path.write_bytes(text)
    with pytest.raises(KeyTrustError) as caught:
        load_identities(path)
    assert "NOTAKEY" not in str(caught.value)
    assert os.fspath(path) in str(caught.value)


def test_a_missing_key_file_is_a_key_error(tmp_path: Path) -> None:
    with pytest.raises(KeyTrustError):
        load_identities(tmp_path / "none")

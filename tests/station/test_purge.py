"""A purge is signed before it deletes, once, whatever cuts it short, and says what was deleted and nothing else."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent import durable
from agent.cli import evidence_main
from agent.formats import purge
from agent.station import admin, purgenotes
from agent.station.index import Index
from tests.camera_kit import CAMERA, ORIGIN
from tests.station.test_knowledge import Held, in_several, later, without_index
from tests.station.test_knowledge import held_a_day as held

__all__ = ["held", "in_several"]

DAY_S = 86_400


def notes_of(held: Held, recording: str) -> list[purge.Purge]:
    """Each is what a verifier takes."""
    root = admin.load_certificates(held.station.paths.trust_root)[0]
    files = sorted(held.station.paths.purges(CAMERA).glob(f"{recording}-*.purge"))
    return [purge.check(file.read_bytes(), root) for file in files]


def test_the_note_says_what_went_and_when_it_might(held: Held, monkeypatch: Any) -> None:
    stored = {s.segment: s for s in held.receipt.stored}
    until_s = held.recording(held.first).purge_s
    later(monkeypatch, 2)
    assert held.run("purge") == 0
    assert not held.station.paths.purges(CAMERA).exists()
    assert held.run("purge", "--yes") == 0
    (told,) = notes_of(held, held.first)
    (gone,) = told.gone
    assert (told.origin, told.camera, told.recording) == (ORIGIN, CAMERA, held.first)
    assert (told.until_s, abs(told.purged_s - time.time()) < 60) == (until_s, True)
    assert (gone.sha256, gone.size) == (stored[gone.segment].sha256, stored[gone.segment].size)
    # Between two segments that stay, it leaves no leaf that nobody tells of.
    left = {(s.first, s.first + s.entries) for s in held.knows()._index.segments(CAMERA) if s.recording is None}
    assert {end for _, end in left} >= {gone.first}
    assert {first for first, _ in left} >= {gone.end}


def test_it_is_durable_before_the_first_file_goes(held: Held, monkeypatch: Any) -> None:
    later(monkeypatch, 2)
    removed, remove = list[str](), durable.remove

    def looked(path: Path) -> None:
        (told,) = notes_of(held, path.stem[:20])
        assert path.stem in {gone.segment for gone in told.gone}
        removed.append(path.stem)
        remove(path)

    monkeypatch.setattr(durable, "remove", looked)
    assert held.run("purge", "--yes") == 0
    assert len(removed) == 2


def test_where_nothing_can_be_signed_nothing_goes(held: Held, capsys: Any, monkeypatch: Any) -> None:
    before = held.stored()
    later(monkeypatch, 2)
    held.station.paths.receipt_key.rename(held.station.paths.receipt_key.with_suffix(".away"))
    assert held.run("purge", "--yes") == 6
    assert held.stored() == before


class Cut(BaseException):
    """The power went."""


@pytest.mark.parametrize("before", ["the first unlink", "the second unlink", "the index knows"])
def test_a_purge_that_was_cut_short_goes_on_with_the_same_note(before: str, held: Held, monkeypatch: Any) -> None:
    later(monkeypatch, 2)
    with monkeypatch.context() as patch:
        remove, calls = durable.remove, list[Path]()

        def cut(path: Path) -> None:
            calls.append(path)
            if len(calls) == {"the first unlink": 1, "the second unlink": 2}.get(before):
                raise Cut
            remove(path)

        def unknown(*_: object) -> None:
            raise Cut

        patch.setattr(durable, "remove", cut)
        if before == "the index knows":
            patch.setattr(Index, "purged", unknown)
        with pytest.raises(Cut):
            held.run("purge", "--yes")
    first = {path: path.read_bytes() for path in held.station.paths.purges(CAMERA).iterdir()}
    later(monkeypatch, 1)
    assert held.run("purge", "--yes") == 0
    assert not [name for name in held.stored() if name.startswith("r")]
    assert {path: path.read_bytes() for path in first} == first
    assert all(len(notes_of(held, recording)) == 1 for recording in (held.first, held.second))


def test_it_goes_on_also_where_the_index_was_made_anew_meanwhile(
    in_several: Held, capsys: Any, monkeypatch: Any
) -> None:
    """Of several segments some are gone, and the access log says that all went."""
    held = in_several
    later(monkeypatch, 2)
    mine = [name for name in held.stored() if name.startswith(held.first)]
    assert len(mine) > 1
    with monkeypatch.context() as patch:
        remove, calls = durable.remove, list[Path]()

        def cut(path: Path) -> None:
            calls.append(path)
            if len(calls) == 2:
                raise Cut
            remove(path)

        patch.setattr(durable, "remove", cut)
        with pytest.raises(Cut):
            held.run("purge", "--yes")
    without_index(held)
    assert held.run("index") == 0
    assert [one["purged_s"] for one in held.told(capsys, "find")["recordings"]] == [None, None]
    assert held.told(capsys, "purge", "--yes")["purged"] == [[CAMERA, held.first], [CAMERA, held.second]]
    assert not [name for name in held.stored() if name.startswith("r")]
    (told,) = notes_of(held, held.first)
    assert [gone.segment for gone in told.gone] == mine


def test_what_the_disk_lost_is_not_called_purged(held: Held, monkeypatch: Any) -> None:
    (path,) = (held.station.paths.station / "segments" / CAMERA).glob(f"{held.first}-*.tar")
    path.unlink()
    later(monkeypatch, 2)
    assert held.run("purge", "--yes") == 0
    assert (len(notes_of(held, held.first)), len(notes_of(held, held.second))) == (0, 1)


def test_what_the_disk_lost_is_told_and_never_signed_for(held: Held, capsys: Any, monkeypatch: Any) -> None:
    """Not by a later purge, and not where the index was made anew."""
    (path,) = (held.station.paths.station / "segments" / CAMERA).glob(f"{held.first}-*.tar")
    path.unlink()
    later(monkeypatch, 2)
    assert held.run("purge", "--yes") == 0
    assert re.search(f"purged: .*{held.first}.* 1 of its segments WERE GONE BEFORE", capsys.readouterr().out)
    for again in range(2):
        assert held.told(capsys, "purge", "--yes")["noted"] == []
        assert notes_of(held, held.first) == []
        assert "missing-segment" in {f["what"] for f in verified(held, capsys, status=1)}
        (camera,) = held.told(capsys, "status")["cameras"]
        assert (camera["purged"], camera["purged_unsigned"], camera["lost"]) == (2, 0, 1)
        if not again:
            without_index(held)
            assert held.run("index") == 0
    assert held.run("status", "--access") == 0
    told = capsys.readouterr().out
    assert "1 segments WERE GONE BEFORE THEIR PURGE" in told and "WITHOUT A SIGNED NOTE" not in told
    assert f"its days are over; gone before: {path.stem}" in told
    assert held.run("hold", held.first, "--until", "never", "--reason", "case 17") == 2
    assert f"{held.first} was gone before its days were over" in capsys.readouterr().err


def test_what_was_lost_after_a_purge_was_cut_short_is_not_signed_for(held: Held, capsys: Any, monkeypatch: Any) -> None:
    """The line of the access log says that it went, no note does, and the index was made anew from that."""
    later(monkeypatch, 2)
    with monkeypatch.context() as patch:

        def cut(*_: object) -> None:
            raise Cut

        patch.setattr(purgenotes.PurgeNotes, "write", cut)
        with pytest.raises(Cut):
            held.run("purge", "--yes")
    (path,) = (held.station.paths.station / "segments" / CAMERA).glob(f"{held.first}-*.tar")
    path.unlink()
    without_index(held)
    assert held.run("index") == 0
    assert held.told(capsys, "purge", "--yes")["noted"] == []
    assert (len(notes_of(held, held.first)), len(notes_of(held, held.second))) == (0, 1)


def test_what_was_lost_and_comes_again_is_purged_as_any(held: Held, capsys: Any, monkeypatch: Any) -> None:
    (path,) = (held.station.paths.station / "segments" / CAMERA).glob(f"{held.first}-*.tar")
    data = path.read_bytes()
    path.unlink()
    later(monkeypatch, 2)
    assert held.run("purge", "--yes") == 0
    path.write_bytes(data)
    assert held.run("index") == 0
    assert held.recording(held.first).lost_segments == 0
    assert held.told(capsys, "purge", "--yes")["purged"] == [[CAMERA, held.first]]
    assert len(notes_of(held, held.first)) == 1
    assert "missing-segment" not in {f["what"] for f in verified(held, capsys)}


def test_what_is_held_has_no_note(held: Held, monkeypatch: Any) -> None:
    assert held.run("hold", held.first, "--until", "never", "--reason", "case 17") == 0
    later(monkeypatch, 2)
    assert held.run("purge", "--yes") == 0
    assert (len(notes_of(held, held.first)), len(notes_of(held, held.second))) == (0, 1)


def test_more_segments_than_one_note_names_have_several(held: Held, monkeypatch: Any) -> None:
    monkeypatch.setattr(purgenotes, "MAX_SEGMENTS", 2)
    segments = [s for s in held.knows()._index.segments(CAMERA) if s.recording == held.first]
    (one,) = segments
    many = [
        replace(one, name=f"{held.first}-{n:04d}", first=one.first + n * one.entries, seq=n, place=one.place)
        for n in range(5)
    ]
    signer = purgenotes.PurgeNotes(held.station.paths, held.station.state)
    now_s = int(time.time())
    signer.write(many, now_s, now_s)
    signer.write(many, now_s - 1, now_s)
    told = notes_of(held, held.first)
    assert [len(one.gone) for one in told] == [2, 2, 1, 2, 2, 1]
    assert [gone.segment for one in told[:3] for gone in one.gone] == [s.name for s in many]


def test_a_strange_file_in_its_place_stands_in_nobodys_way(held: Held, monkeypatch: Any) -> None:
    path = held.station.paths.purge(CAMERA, held.first, 1)
    durable.make_dir(path.parent)
    path.write_bytes(b"not a note")
    later(monkeypatch, 2)
    assert held.run("purge", "--yes") == 0
    assert path.read_bytes() == b"not a note"
    assert held.station.paths.purge(CAMERA, held.first, 2).exists()


def test_what_was_purged_before_there_were_notes_has_one_with_the_next_purge(
    held: Held, capsys: Any, monkeypatch: Any
) -> None:
    later(monkeypatch, 2)
    then_s = int(time.time())
    assert held.run("purge", "--yes") == 0
    for path in held.station.paths.purges(CAMERA).iterdir():
        path.unlink()
    (camera,) = held.told(capsys, "status")["cameras"]
    assert (camera["purged"], camera["purged_unsigned"]) == (2, 2)
    assert held.run("status") == 0
    assert "2 purged (2 of them WITHOUT A SIGNED NOTE" in capsys.readouterr().out
    later(monkeypatch, 9)
    assert held.told(capsys, "purge")["noted"] == []
    assert held.told(capsys, "purge", "--yes")["noted"] == [[CAMERA, held.first], [CAMERA, held.second]]
    assert held.told(capsys, "purge", "--yes")["noted"] == []
    (told,) = notes_of(held, held.first)
    assert abs(told.purged_s - then_s) < 60
    (camera,) = held.told(capsys, "status")["cameras"]
    assert (camera["purged"], camera["purged_unsigned"]) == (2, 0)


def test_what_an_earlier_version_told_too_little_of_stays_without(held: Held, capsys: Any, monkeypatch: Any) -> None:
    """Its line of the access log has names and digests alone."""
    later(monkeypatch, 2)
    assert held.run("purge", "--yes") == 0
    for path in held.station.paths.purges(CAMERA).iterdir():
        path.unlink()
    with held.knows()._index._lock:
        held.knows()._index._db.execute("UPDATE segment SET until_s = 0 WHERE purged_s IS NOT NULL")
    assert held.told(capsys, "purge", "--yes")["noted"] == []


@pytest.mark.parametrize("command", [("purge", "--yes"), ("index",)])
def test_notes_are_listed_once_however_many_recordings_were_purged(
    held: Held, monkeypatch: Any, command: tuple[str, ...]
) -> None:
    later(monkeypatch, 2)
    assert held.run("purge", "--yes") == 0
    listed, names = list[Path](), durable.names

    def looked(directory: Path, suffix: str = "") -> list[str]:
        listed.append(directory)
        return names(directory, suffix)

    monkeypatch.setattr(durable, "names", looked)
    assert held.run(*command) == 0
    assert listed.count(held.station.paths.purges(CAMERA)) == 1


# -- what a verifier makes of it -----------------------------------------------------------------------------------


def verified(held: Held, capsys: Any, *more: str, status: int = 0) -> list[dict[str, Any]]:
    """The findings about the whole directory of the station, but for what it keeps beside the evidence."""
    paths = held.station.paths
    capsys.readouterr()
    trust = ("--trust", str(paths.trust_root), "--json")
    assert evidence_main(["verify", str(paths.station), *more, *trust]) == status
    found: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["findings"]
    return found


def test_what_is_left_verifies_and_says_who_deleted_what_and_why(held: Held, capsys: Any, monkeypatch: Any) -> None:
    assert not {"purged", "missing-segment"} & {f["what"] for f in verified(held, capsys)}
    assert held.run("hold", held.second, "--until", "never", "--reason", "case 17") == 0
    later(monkeypatch, 2)
    assert held.run("purge", "--yes") == 0
    (told,) = (f for f in verified(held, capsys) if f["what"] == "purged")
    assert told["recording"] == held.first
    assert re.search(r"1 segment deleted by station \S+ at 20.*: it was kept until 20", told["text"])
    (note,) = held.station.paths.purges(CAMERA).iterdir()
    note.rename(held.station.paths.root / note.name)
    assert "missing-segment" in {f["what"] for f in verified(held, capsys, status=1)}
    beside = verified(held, capsys, str(held.station.paths.root / note.name))
    assert [f["recording"] for f in beside if f["what"] == "purged"] == [held.first]


def test_another_recording_is_opened_and_exported_and_a_purged_one_is_said_to_be(
    held: Held, capsys: Any, monkeypatch: Any, tmp_path: Path
) -> None:
    assert held.run("hold", held.second, "--until", "never", "--reason", "case 17") == 0
    later(monkeypatch, 2)
    assert held.run("purge", "--yes") == 0
    paths = held.station.paths
    words = ["-i", held.key, "--reason", "case 17", "-o", str(tmp_path / "opened")]
    assert held.run("open", held.second, *words) == 0
    capsys.readouterr()
    assert held.run("open", held.first, *words) == 2
    assert "was purged on 20" in capsys.readouterr().err
    export = ["export", str(paths.station), "-i", held.key, "--trust", str(paths.trust_root)]
    assert evidence_main([*export, "--recording", held.second, "-o", str(tmp_path / "second")]) == 0
    capsys.readouterr()
    assert evidence_main([*export, "--recording", held.first, "-o", str(tmp_path / "first")]) == 2
    assert f"{held.first} was purged: 1 segment deleted by station" in capsys.readouterr().err

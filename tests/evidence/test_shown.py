"""What an exported MP4 shows of its packets is what the camera sealed: with a key every change is refused."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest

from agent.errors import EvidenceError
from agent.evidence import remux
from agent.evidence.shown import check_shown
from agent.model import AUDIO_HZ, NS, VIDEO_HZ, MediaPart, Track
from tests.evidence.shown_kit import EDIT, ENTRY, MVHD, SHOWN, TKHD, Change
from tests.evidence.shown_kit import place as at_box
from tests.film import film
from tests.media.test_parts import encoded, mux


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """plain.mp4, init and parts; film.mp4, as an export has them; piece-plain.mp4, piece.mp4 likewise of a few."""
    place, (init, parts) = tmp_path_factory.mktemp("shown"), film()
    for name, some in (("", parts), ("piece-", parts[2:5])):
        (place / f"{name}plain.mp4").write_bytes(init + b"".join(part.data for part in some))
        shift = Fraction(some[0].start_ns, NS)
        remux.remux(place / f"{name}plain.mp4", place / f"{name}film.mp4", end_of(some), shift)
    return place


def end_of(parts: Iterable[MediaPart]) -> Fraction:
    return Fraction(max(part.start_ns + part.duration_ns for part in parts), NS)


def compare(place: Path, film_path: Path, piece: str = "") -> None:
    some = film()[1][2:5] if piece else film()[1]
    shift = Fraction(some[0].start_ns if piece else 0, NS)
    remux.compare(place / f"{piece}plain.mp4", film_path, end_of(some), shift)


@pytest.mark.wide
@pytest.mark.parametrize("piece", ["", "piece-"])
@pytest.mark.parametrize(("change", "words"), [row[1:] for row in SHOWN], ids=[row[0] for row in SHOWN])
def test_no_change_to_what_is_shown_goes_unseen(
    change: Change, words: str, piece: str, place: Path, tmp_path: Path
) -> None:
    data = bytearray((place / f"{piece}film.mp4").read_bytes())
    change(data)
    (tmp_path / "film.mp4").write_bytes(data)
    with pytest.raises(EvidenceError, match=re.escape(words)):
        compare(place, tmp_path / "film.mp4", piece)


@pytest.mark.parametrize("sound", [True, False])
def test_what_the_recorder_muxes_is_shown_as_it_was_sealed(sound: bool, tmp_path: Path) -> None:
    """Whole, as a piece, and (where it could not be written otherwise) as the parts themselves."""
    info, packets = encoded(sound)
    init, parts = mux(info, list(packets))
    for number, some in enumerate((parts, parts[2:5])):
        plain, made = tmp_path / f"{number}.parts", tmp_path / f"{number}.mp4"
        plain.write_bytes(init + b"".join(part.data for part in some))
        remux.remux(plain, made, end_of(some), Fraction(some[0].start_ns, NS) if number else Fraction(0))
        remux.compare(plain, plain, end_of(some))


def test_a_film_of_hours_has_longer_numbers(tmp_path: Path) -> None:
    """64 bits in some boxes (version 1), where the init has 32."""
    info, packets = encoded()
    late = {Track.VIDEO: 7200 * VIDEO_HZ, Track.AUDIO: 7200 * AUDIO_HZ}
    half = max(n for n, packet in enumerate(packets) if packet.track is Track.VIDEO and packet.key)
    moved = [replace(p, pts=p.pts + late[p.track]) if n >= half else p for n, p in enumerate(packets)]
    init, parts = mux(info, moved)
    plain, made = tmp_path / "plain", tmp_path / "film.mp4"
    plain.write_bytes(init + b"".join(part.data for part in parts))
    remux.remux(plain, made, end_of(parts))
    data = bytearray(made.read_bytes())
    assert [data[at_box(data, path)] for path in (MVHD, TKHD, EDIT)] == [1, 1, 1]


def test_each_byte_of_the_index_is_looked_at_or_tells_nothing(place: Path, tmp_path: Path) -> None:
    """Changed one by one, up to the table of times; whatever a box claims then, it ends in a refusal."""
    data, path, init = (place / "film.mp4").read_bytes(), tmp_path / "film.mp4", film()[0]
    end, unseen = end_of(film()[1]), set[int]()
    alone = [bytes(one for *_, one in remux.packets(place / "plain.mp4", track)) for track in range(2)]
    check_shown(init, place / "film.mp4", end, alone)
    for offset in range(32, data.index(b"stts") - 4):
        bent = bytearray(data)
        bent[offset] ^= 0x11
        path.write_bytes(bent)
        try:
            check_shown(init, path, end, alone)
        except EvidenceError:
            continue
        unseen.add(offset)
    assert unseen <= {n for begin, end in telling_nothing(bytearray(data)) for n in range(begin, end)}


def telling_nothing(data: bytearray) -> Iterator[tuple[int, int]]:
    """Numbers and names that are compared otherwise, or that no player shows as a part of the recording."""
    mvhd, tkhd, media = (at_box(data, path) for path in (MVHD, TKHD, "moov/trak/mdia/mdhd"))
    entry, handler = at_box(data, ENTRY), at_box(data, "moov/trak/mdia/hdlr")
    yield mvhd + 96, mvhd + 100  # the next track's id
    for box, offset in ((mvhd, 12), (mvhd, 16), (tkhd, 20), (at_box(data, EDIT), 8)):
        yield box + offset + 2, box + offset + 4  # less than a millisecond
    yield media + 12, media + 16  # by this the packets have their times, which are compared
    yield media + 18, media + 20
    yield at_box(data, EDIT) + 12, at_box(data, EDIT) + 16
    yield handler + 24, handler + 37  # its name
    yield entry + 42, entry + 74  # the compressor's
    for name in ("avcC", "btrt"):
        box = at_box(data, f"{ENTRY}/{name}")
        yield box, box + 100

"""Every powered second is accounted for: random lives through the real recorder, and what their logs then say."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from agent.evidence.accounts import IDLE_BOUND_NS, RECORDING_BOUND_NS, Powered
from agent.evidence.findings import Finding, Sure, What
from agent.evidence.ledger import accounts_of
from agent.evidence.sources import collect
from agent.evidence.tiling import Account, Doing
from agent.evidence.trust import load_root
from agent.evidence.verify import Report, verify
from agent.formats import age
from agent.model import NS
from agent.station.layout import AgencyPaths
from tests import campaigns
from tests.life_model import Ended, Fork, Life, Seen
from tests.test_epochs import Card

PARTS = 4
LIVES = campaigns.size(sample=6, full=100)
Step = tuple[Any, ...]

WAITS = st.sampled_from([0, 1, 2, 3, 7, 20, 60, 240, 500])
"""Ticks after each step: within a second, across a part, across a heartbeat or two."""
STEPS = st.tuples(
    st.one_of(
        st.just(("record",)),
        st.just(("record",)),
        st.sampled_from([("mute",), ("unmute",)]),
        st.sampled_from([("sleep",), ("wake",)]),
        st.sampled_from([("stop",), ("mark",), ("doubt_clock",)]),
        st.sampled_from([("lose_lens",), ("give_lens",)]),
        st.tuples(st.just("dock"), st.booleans()),
        st.tuples(st.just("freeze"), st.integers(1, 60)),
        st.tuples(st.just("suspend"), st.integers(1, 5_000)),
        st.tuples(st.just("step"), st.integers(-86_400, 86_400)),
        st.tuples(st.just("refuse"), st.integers(1, 400), st.booleans()),
        st.tuples(st.just("power_off"), st.integers(0, 100_000)),
        st.tuples(st.just("cut"), st.integers(0, 100_000)),
        st.tuples(st.just("kill"), st.integers(0, 200)),
        st.tuples(st.just("restart"), st.integers(1, 200)),
    ),
    WAITS,
)


def live(life: Life, steps: Sequence[tuple[Step, int]], said: bool) -> None:
    for (name, *arguments), ticks in steps:
        getattr(life, name)(*arguments)
        # A part each half second is what costs here.
        life.wait(min(ticks, 60) if life.model.recording else ticks)
    life.over(said)


def report_on(agency: AgencyPaths, life: Life) -> Report:
    report = verify(collect(life.places), load_root(agency.trust_root))
    fails = [f for f in report.findings if f.fails]
    assert [f.line() for f in fails if not is_of_a_fork(f, life.forks)] == []
    for fork in life.forks:
        assert any(f.what is What.FORK and f.segment in fork.leaves for f in fails), "two histories are named"
    return report


def is_of_a_fork(finding: Finding, forks: list[Fork]) -> bool:
    """What a verifier has to say of a card that was put back, and of nothing that was written before or after: that
    there are two histories, and that what one says of where a segment ends is not so in the other. Nothing that lies
    in either is missing.
    """
    if not forks or finding.what not in (What.FORK, What.BAD_EPOCH, What.MISSING_PARTS):
        return False
    of_all = finding.segment is None and finding.what is not What.MISSING_PARTS
    return of_all or any(finding.segment in fork.leaves for fork in forks)


def boots_of(life: Life, report: Report, identities: Sequence[age.Identity]) -> list[Powered]:
    """With a key nothing is unaccounted for but what was not recorded; without, what was said late does not show. Of
    two histories a verifier follows one, and says so of the seconds that only the other tells of.
    """
    before = len(report.findings)
    (camera,) = accounts_of(report, identities)
    every = [(number, a) for number, powered in enumerate(camera.boots) for a in powered.unaccounted]
    holes = [(number, a) for number, a in every if is_in(life.frozen, number, a) and a.recording]
    silences = [(number, a) for number, a in every if number not in forked(life) and (number, a) not in holes]
    told = report.findings[before:]
    assert [f.what for f in told] == [What.UNACCOUNTED] * len(every)
    assert sum(f.sure is not Sure.LIKELY for f in told) <= len(every) - len(silences)
    for number, silence in silences:
        assert not identities
        assert is_in(life.refused, number, silence)
    return camera.boots


def is_in(times: Sequence[tuple[int, int, int]], number: int, account: Account) -> bool:
    return any(b == number and begin < account.end_ns and account.begin_ns < end for b, begin, end in times)


def forked(life: Life) -> set[int]:
    """The boots in which a log has two histories."""
    return {number for fork in life.forks for number in fork.boots}


def doing_at(powered: Powered, at_ns: int) -> Doing:
    (there,) = (a for a in powered.accounts if a.begin_ns <= at_ns < a.end_ns)
    return there.doing


def check_tiles(powered: Powered) -> None:
    assert [a.begin_ns for a in powered.accounts] == [0, *(a.end_ns for a in powered.accounts[:-1])]
    assert all(a.length_ns > 0 for a in powered.accounts)
    assert powered.end_ns == powered.last.boottime_ns
    assert sum(powered.totals().values()) == powered.end_ns


def check_end(powered: Powered, ended: Ended) -> None:
    """The bound holds for when the power really went."""
    assert not powered.lost
    if ended.said:
        assert powered.tail_ns is None
        return
    assert powered.tail_ns == (RECORDING_BOUND_NS if ended.recording else IDLE_BOUND_NS)
    assert powered.end_ns <= ended.boottime_ns <= powered.end_ns + powered.tail_ns


def check_seen(boots: list[Powered], seen: Seen, ended: Ended, key: bool) -> None:
    powered = boots[seen.boot]
    bound_ns = RECORDING_BOUND_NS if ended.recording else IDLE_BOUND_NS
    if seen.boottime_ns >= powered.end_ns:
        # After the last leaf: only a cut explains it, and only for so long.
        assert not ended.said
        assert seen.boottime_ns - powered.end_ns <= bound_ns
        return
    found = doing_at(powered, seen.boottime_ns)
    if not ended.said and found is Doing.ENDED:
        assert ended.boottime_ns - bound_ns <= seen.boottime_ns
    elif not key and found is Doing.RECORDING:
        assert seen.doing in (Doing.RECORDING, Doing.MUTED)
    elif key or found not in (Doing.ON, Doing.UNKNOWN):
        assert found is seen.doing
    else:
        assert seen.doing in (Doing.READY, Doing.DOCKED, Doing.FAULT, Doing.SLEEPING, Doing.UNKNOWN)


def check_off(life: Life, boots: list[Powered]) -> None:
    """By clocks that somebody vouches for it is known to the length of the tail."""
    for number, off_ns in enumerate(life.off_ns):
        if {number, number + 1} & forked(life):
            continue
        last = [e for e in life.ended if e.boot == number][-1]
        off = boots[number + 1].off
        assert off is not None
        if off.vouched:
            assert off.length_ns is not None
            assert abs(off.length_ns - off_ns - (last.boottime_ns - boots[number].end_ns)) < NS // 10


def check(agency: AgencyPaths, life: Life) -> dict[Doing, int]:
    identity = age.parse_identity_file(agency.agency_identity.read_text())[0]
    report, sums = report_on(agency, life), dict[Doing, int]()
    for identities in ([identity], []):
        boots = boots_of(life, report, identities)
        assert [b.boot for b in boots] == life.boots
        for number, powered in enumerate(boots):
            check_tiles(powered)
            if number not in forked(life):
                check_end(powered, [e for e in life.ended if e.boot == number][-1])
        for seen in life.seen:
            if seen.boot not in forked(life):
                check_seen(boots, seen, life.ended[seen.life], bool(identities))
        check_off(life, boots)
        for powered in boots if identities else []:
            assert powered.sealed_events == 0
            for doing, ns in powered.totals().items():
                sums[doing] = sums.get(doing, 0) + ns
    return sums


@pytest.mark.campaign
@pytest.mark.parametrize("part", range(campaigns.size(sample=1, full=PARTS)))
def test_the_accounts_of_any_life_tile_it_and_say_what_was(
    agency: AgencyPaths, tmp_path_factory: pytest.TempPathFactory, part: int
) -> None:
    campaign = campaigns.Campaign("accounts", part, PARTS)
    sums: dict[Doing, int] = {}
    figures = {"lives": 0, "boots": 0, "looks": 0}

    @seed(part)
    @settings(
        max_examples=LIVES,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(st.lists(STEPS, min_size=4, max_size=16), st.booleans())
    def any_life(steps: list[tuple[Step, int]], said: bool) -> None:
        with pytest.MonkeyPatch.context() as patch:
            life = Life(agency, tmp_path_factory.mktemp("life"), patch)
            live(life, steps, said)
            for doing, ns in check(agency, life).items():
                sums[doing] = sums.get(doing, 0) + ns
        figures["lives"] += 1
        figures["boots"] += len(life.boots)
        figures["looks"] += len(life.seen)

    any_life()
    campaign.finish(**figures, seconds={doing.value: round(ns / NS) for doing, ns in sorted(sums.items(), key=str)})


def test_a_life_with_everything_in_it(agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each step at least once, and each state in the sums."""
    life = Life(agency, tmp_path, monkeypatch)
    steps: list[tuple[Step, int]] = [
        *[
            (("dock", False), 260),
            (("record",), 9),
            (("mute",), 3),
            (("freeze", 20), 3),
            (("suspend", 100), 5),
            (("mark",), 0),
            (("stop",), 3),
        ],
        *[
            (("refuse", 150, True), 0),
            (("step", -3600), 1),
            (("dock", False), 0),
            (("record",), 0),
            (("lose_lens",), 0),
        ],
        *[
            (("sleep",), 1),
            (("stop",), 1),
            (("sleep",), 300),
            (("dock", True), 9),
            (("dock", False), 1),
            (("sleep",), 9),
        ],
        *[(("record",), 300), (("give_lens",), 0), (("kill", 130), 1), (("doubt_clock",), 1), (("record",), 5)],
        *[(("kill", 0), 0), (("restart", 50), 0), (("doubt_clock",), 5), (("cut", 1000), 0), (("dock", True), 0)],
        *[(("power_off", 50), 0), (("record",), 7)],
    ]
    live(life, steps, said=False)
    sums = check(agency, life)
    # Its key opens what it says, and its station still has it all.
    assert set(sums) == set(Doing) - {Doing.ON, Doing.PURGED}
    assert 19 * NS < sums[Doing.UNKNOWN] < 20 * NS + NS // 2


def test_a_log_that_begins_in_the_middle_of_a_life_leaves_no_second_out(
    agency: AgencyPaths, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A card is put back to an older state; at the dock the station tells that it saw more."""
    card = Card(agency, tmp_path)
    life = Life(agency, tmp_path, monkeypatch)
    image = card.image()
    life.wait(300)
    life.camera.vault.sealer.seal_open()
    head = card.cosigned((card.spool / "log/1/checkpoint").read_bytes())
    life.over(said=False)
    card.put_back(image)
    life = Life(agency, tmp_path, monkeypatch, boots=list(life.boots))
    life.wait(300)
    (card.spool / "inbox" / "head.checkpoint").write_bytes(head)
    life.dock(True)
    life.wait(300)
    life.dock(False)
    life.over(said=True)
    identity = age.parse_identity_file(agency.agency_identity.read_text())[0]
    for identities in ([identity], []):
        (camera,) = accounts_of(verify(collect([card.spool]), load_root(agency.trust_root)), identities)
        powered = camera.boots[-1]
        check_tiles(powered)
        assert [origin[-2:] for origin in powered.origins] == ["/1", "/2"]
        assert powered.unaccounted == []
        for seen in life.seen:
            found = doing_at(powered, seen.boottime_ns)
            assert found is seen.doing or (not identities and found is Doing.ON)

"""The benchmarks measure what they say: costs of real children, ratios within a round. No speed is asserted."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Literal

import pytest

from agent.errors import AgentError, Exit
from agent.model import MediaPart
from agent.station.layout import AgencyPaths
from benchmarks import __main__ as command
from benchmarks import footage, log_after_a_year, recorder_1080p, report, ring_flush, sides, upload_vs_curl
from benchmarks.measure import Cost, cpu_so_far_s, reap, run_child
from benchmarks.report import CostComparison, CostRun
from benchmarks.sides import SideRun
from tests import media_samples
from tests.camera_kit import Desk, begin, make_agency
from tests.campaigns import RESULTS
from tests.interop import tus_path

BUSY = "import time\nwhile time.process_time() < 0.3: pass"


def comparison(*rounds: tuple[float, float]) -> report.Comparison:
    """Rounds of (recorder, ffmpeg) CPU seconds."""
    runs = tuple(
        (
            SideRun("recorder", Cost(ours - 1, 1.0, 150.4), 1800, 1799, 4100.0, startup_cpu_s=0.7),
            SideRun("ffmpeg", Cost(plain, 0.0, 91.0), 1800, 1800, 4090.0),
        )
        for ours, plain in rounds
    )
    return report.Comparison("recorder-vs-ffmpeg", "phone", 60, "ffmpeg", 1.15, runs, {"ffmpeg": "x264 164"})


def test_a_ratio_is_taken_within_its_round_and_the_median_of_rounds_counts() -> None:
    assert comparison((11.0, 10.0), (13.0, 10.0), (12.0, 10.0)).ratio("recorder") == pytest.approx(1.2)
    # The quotient of the medians would be 2.
    assert comparison((10.0, 10.0), (30.0, 20.0), (24.0, 12.0)).ratio("recorder") == pytest.approx(1.5)
    assert comparison((11.0, 10.0)).ratio("ffmpeg") == 1.0


def test_sides_that_encoded_more_pictures_are_compared_by_the_picture() -> None:
    made = report.Comparison(
        *("recorder-1080p30", "phone", 60, "ffmpeg", 1.15),
        (
            (
                SideRun("recorder", Cost(20.0, 0.0, 1.0), 2000, 1999, 1.0),
                SideRun("ffmpeg", Cost(9, 0, 1), 1000, 1000, 1),
            ),
        ),
        {},
    )
    assert made.ratio("recorder") == pytest.approx(20 / 18)


def test_what_the_recorder_takes_more_than_a_bare_loop_is_told_for_a_minute_of_pictures() -> None:
    rounds = [
        (
            SideRun(recorder_1080p.PLAIN, Cost(ours, 1.0, 1.0), 900, 890, 1.0),
            SideRun("pyav", Cost(10, 0, 1), 900, 900, 1),
        )
        for ours in (10.0, 11.0, 19.0)
    ]
    assert recorder_1080p.over_bare_s(rounds) == pytest.approx(4.0)


def test_figures_that_one_comparison_has_stand_beside_its_ratio() -> None:
    made = comparison((11.5, 10.0))
    told = replace(made, more={"over_bare_s": 3.5})
    assert told.to_dict() == made.to_dict() | {"over_bare_s": 3.5}
    assert "over_bare_s: 3.5" in told.words()


def test_the_watch_looks_at_the_clip_where_it_is_asked_for(tmp_path: Path) -> None:
    agency = make_agency(tmp_path / "agency")
    run = sides.run_recorder(agency, media_samples.talk(), 2, tmp_path, side="on", more=True)
    assert run.side == "on" and run.kept > 30


@pytest.mark.parametrize("log", ["", "1 pictures were looked at\n", "59 pictures were looked at\n", "60 pictures\n"])
def test_a_watch_that_does_not_look_is_no_comparison(log: str) -> None:
    with pytest.raises(AgentError, match="did not look"):
        sides.check_looks(log, 60)
    sides.check_looks("note: something\n60 pictures were looked at\n", 60)


def test_the_table_has_a_line_for_each_side_and_aligned_columns() -> None:
    head, ours, plain, empty, words = report.table([comparison((11.5, 10.0))]).splitlines()
    assert ours.split() == [
        "recorder-vs-ffmpeg",
        "phone",
        "recorder",
        "11.50",
        "-",
        "1.150",
        "0.70",
        "150",
        "1800",
        "4100",
    ]
    assert plain.split() == ["recorder-vs-ffmpeg", "phone", "ffmpeg", "10.00", "-", "1.000", "-", "91", "1800", "4090"]
    assert len(head) == len(ours) == len(plain) and not empty
    assert "1.150 of ffmpeg's CPU (aim 1.15; rounds 1.150)" in words


def test_the_spread_of_the_rounds_is_told_and_not_only_their_median() -> None:
    made = comparison((10.0, 10.0), (30.0, 20.0), (24.0, 12.0))
    assert "rounds 1.000, 1.500, 2.000" in report.table([made])
    assert made.figures("recorder")["ratio_of_each_round"] == [1.0, 1.5, 2.0]
    assert made.figures("recorder")["cpu_s_of_each_round"] == [10.0, 30.0, 24.0]


def test_the_document_says_how_to_repeat_it() -> None:
    told = report.document([comparison((11.5, 10.0))], "python -m benchmarks --write")
    assert json.loads(json.dumps(told)) == told
    assert {"commit", "command", "machine", "comparisons"} == set(told)
    assert {"arch", "cpus", "python"} <= set(told["machine"])
    assert told["comparisons"][0]["sides"]["recorder"]["pictures_kept"] == [1799]


def test_a_childs_cost_is_its_own(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.touch()
    cost = reap(subprocess.Popen([sys.executable, "-c", BUSY]), 60, log)
    # Its peak memory begins at what this process held when it was forked (getrusage(2)), so it has no upper bound here.
    assert 0.3 <= cost.cpu_s < 10 and cost.peak_rss_mib > 1


def test_a_figure_of_one_side_alone_is_told_without_another() -> None:
    alone = CostRun("recorder", Cost(1.0, 0.0, 9.0), 2.0, {"seconds": 2.0, "line_s": 0.2})
    base = CostRun("python alone", Cost(0.1, 0.0, 3.0), 0.1, {"seconds": 0.1})
    made = CostComparison("start-to-ready", "twins", "python alone", None, ((alone, base),), {})
    assert "seconds 2.0 (0.1); line_s 0.2;" in made.words()
    assert made.to_dict()["line_s"] == 0.2


def costs(*rounds: tuple[float, float], by: Literal["wall", "cpu"] = "wall") -> CostComparison:
    """Rounds of (verify, sha256sum) seconds; each took half as much CPU as time, sha256sum all of it."""
    runs = tuple(
        (
            CostRun("verify", Cost(ours / 2, 0.0, 40.2), ours, {"figure": ours * 10}),
            CostRun("sha256sum", Cost(stock, 0.0, 2.0), stock, {"figure": stock}),
            CostRun("verify, 64 MiB", Cost(0.1, 0.0, 39.6), 0.1),
        )
        for ours, stock in rounds
    )
    return CostComparison("verify-vs-sha256sum", "1024 MiB", "sha256sum", 2.0, runs, {"sha256sum": "9.1"}, by)


def test_costs_are_compared_by_time_and_by_cpu_within_each_round() -> None:
    made = costs((2.0, 1.0), (9.0, 3.0), (4.0, 4.0))
    told = made.to_dict()
    assert (told["ratio"], told["wall_ratio"], told["cpu_ratio"]) == (2.0, 2.0, 1.0)
    assert told["ratio_of_each_round"] == [2.0, 3.0, 1.0]
    assert (told["peak_rss_mib"], told["peak_rss_mib_of_less"]) == (40, 40)
    assert told["figure"] == 40.0
    assert costs((2.0, 1.0), by="cpu").to_dict()["ratio"] == 1.0
    head, first, base, less, empty, words = report.table([made]).splitlines()
    assert first.split()[3:] == ["verify", "2.00", "4.00", "2.000", "-", "40", "-", "-"]
    assert base.split()[3:] == ["sha256sum", "3.00", "3.00", "1.000", "-", "2", "-", "-"]
    assert less.split()[3:] == ["verify,", "64", "MiB", "0.10", "0.10", "-", "-", "40", "-", "-"]
    assert len(head) == len(first) == len(base) == len(less) and not empty
    assert "2.000 of sha256sum's time (rounds 2.000, 3.000, 1.000); 1.000 of sha256sum's CPU" in words
    assert "aim 2.0" in words


def test_each_kind_of_result_has_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report, "RESULTS", tmp_path)
    report.write([costs((2.0, 1.0))], "again")
    assert [path.name for path in tmp_path.iterdir()] == ["benchmark-verify-vs-sha256sum.json"]
    told = json.loads((tmp_path / "benchmark-verify-vs-sha256sum.json").read_text("utf-8"))
    assert (told["ratio"], told["command"]) == (2.0, "again")
    report.write([comparison((11.0, 10.0)), costs((2.0, 1.0))], "again")
    assert {path.name for path in tmp_path.iterdir()} == {"benchmark.json", "benchmark-verify-vs-sha256sum.json"}


def test_the_peak_of_a_child_is_its_own_and_not_that_of_its_parent(tmp_path: Path) -> None:
    held = b"x" * (96 << 20)
    cost, wall_s = run_child(["sleep", "0.3"], tmp_path / "log", 60)
    assert 0 < cost.peak_rss_mib < 64 < len(held) >> 20
    assert 0.3 <= wall_s < 60


def test_a_child_that_fails_or_hangs_is_an_error_with_its_words(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("it says why", "utf-8")
    with pytest.raises(AgentError, match="ended with 3: it says why"):
        reap(subprocess.Popen([sys.executable, "-c", "raise SystemExit(3)"]), 60, log)
    with pytest.raises(AgentError, match="ended with -9"):
        reap(subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"]), 0.2, log)


def test_cpu_so_far_of_a_living_process_grows() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", BUSY + "\nprint(flush=True)\ninput()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdin and child.stdout
        child.stdout.readline()
        assert cpu_so_far_s(child.pid) >= 0.25
        child.communicate(b"\n")


def test_the_x264_build_is_read_from_the_stream() -> None:
    stream = b"..x264 - core 164 r3095 baee400 - H.264/MPEG-4 AVC codec"
    assert sides.x264_version(stream) == "164 r3095 baee400"
    assert sides.x264_version(b"..x264 - core 165 - H.264/MPEG-4 AVC codec") == "165"
    assert sides.x264_version(b"another encoder") == "unknown"


def test_an_unknown_comparison_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["recorder-vs-nothing"]) == Exit.USAGE
    assert "one of: recorder-vs-ffmpeg" in capsys.readouterr().err


@pytest.mark.parametrize(("kept", "fits"), [(59, False), (60, True), (75, True), (90, True), (91, False)])
def test_a_recorder_that_lost_what_it_had_encoded_is_compared_with_nothing(kept: int, fits: bool) -> None:
    status = {"video_frames": kept, "intake": {"frames_encoded": 90}}
    with contextlib.nullcontext() if fits else pytest.raises(AgentError, match=f"{kept} pictures were kept of 60"):
        sides.check_kept(status, pressed=60)


def test_two_seconds_of_it_run_for_real(capsys: pytest.CaptureFixture[str]) -> None:
    assert command.main(["recorder-vs-ffmpeg", "--clip", "talk", "--seconds", "2", "--json"]) == Exit.OK
    (told,) = json.loads(capsys.readouterr().out)["comparisons"]
    sides_ = told["sides"]
    assert list(sides_) == ["recorder", "ffmpeg", "pyav"]
    (encoded,) = sides_["recorder"]["pictures_encoded"]
    assert encoded >= 50
    assert sides_["ffmpeg"]["pictures_kept"] == sides_["pyav"]["pictures_kept"] == [encoded]
    # That the recorder kept all up to the press that stops is held by the run itself.
    assert 50 <= sides_["recorder"]["pictures_kept"][0] <= encoded
    assert all(side["cpu_s"] > 0 for side in sides_.values())


def test_a_few_mebibytes_of_evidence_run_for_real(capsys: pytest.CaptureFixture[str]) -> None:
    names = ["verify-vs-sha256sum", "decrypt-vs-age", "sealing-vs-primitives"]
    assert command.main([*names, "--mib", "2", "--seconds", "2", "--json"]) == Exit.OK
    verify, decrypt, sealing = json.loads(capsys.readouterr().out)["comparisons"]
    assert list(verify["sides"]) == ["verify", "sha256sum", "verify, 1 MiB"]
    assert list(decrypt["sides"]) == ["decrypt", "age", "decrypt, 1 MiB"]
    assert list(sealing["sides"]) == ["sealer", "primitives"]
    for told in (verify, decrypt, sealing):
        assert told["ratio"] > 0 and told["peak_rss_mib"] > 1
    sealer, primitives = (sealing["sides"][side]["overhead_bytes_per_s_of_footage"] for side in sealing["sides"])
    # 4 chunks of a part each have a tag; two parts a second.
    assert primitives == 2 * (4 * 16 + 2 * 32 + 32 + 64) < sealer


def test_footage_is_sealed_between_its_parts_as_a_camera_does_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = begin(Desk(make_agency(tmp_path / "agency"), tmp_path / "spool").open())
    media, owed = desk.sealer.media, []

    def watched(recording: str, part: MediaPart) -> int:
        owed.append(desk.sealer.owes)
        return media(recording, part)

    monkeypatch.setattr(desk.sealer, "media", watched)
    footage.record(desk, 125, b"a part")
    assert len(list(desk.spool.sealed_dir.glob("*-0001.tar"))) == 1
    # Before the first part nothing gave the segment of events the time.
    assert (len(owed), any(owed[1:])) == (125, False)


def test_one_segment_goes_up_for_real_on_each_side(capsys: pytest.CaptureFixture[str]) -> None:
    if tus_path.missing():
        pytest.skip(tus_path.missing())
    names = [upload_vs_curl.NAME, upload_vs_curl.SMALL]
    assert command.main([*names, "--mib", "1", "--json"]) == Exit.OK
    large, small = json.loads(capsys.readouterr().out)["comparisons"]
    assert list(large["sides"]) == ["uploader", "curl"]
    assert list(small["sides"]) == ["uploader", "tuspy"]
    # The peak is that of the uploader as it is shipped, whatever the load of the machine.
    assert 20 < large["peak_rss_mib"] <= 40 and 20 < small["peak_rss_mib"] <= 40
    # Start-up is in the ratios that have an aim.
    assert large["sides"]["uploader"]["cpu_s"] > large["start_cpu_s"] / 2 and large["cpu_ratio"] > 1
    assert f"{upload_vs_curl.PARALLEL} at a time as shipped" in large["input"] and "with the starts" in small["input"]
    # No more of the figures: a MiB goes up in less time than two starts differ by.
    assert all(
        side["start_wall_s"] > 0 and "mb_s" in side for told in (large, small) for side in told["sides"].values()
    )


@pytest.mark.parametrize(
    ("cpu_s", "peak_mib", "missed"), [(1.2, 40.4, []), (1.21, 40, ["cpu_ratio"]), (1.0, 40.6, ["peak_rss_mib"])]
)
def test_each_figure_that_has_an_aim_is_held_to_it(cpu_s: float, peak_mib: float, missed: list[str]) -> None:
    ours, theirs = CostRun("uploader", Cost(cpu_s, 0, peak_mib), 1.0), CostRun("curl", Cost(1.0, 0, 12), 1.0)
    told = CostComparison("it", "what", "curl", 1.1, ((ours, theirs),), {}, aims=upload_vs_curl.AIMS)
    assert told.to_dict()["aims"] == {"cpu_ratio": 1.2, "peak_rss_mib": 40}
    assert told.to_dict()["missed"] == told.missed() == missed
    assert ("MISSED: " in told.words()) == bool(missed)
    slow = CostRun("uploader", Cost(1.0, 0, 40), 1.2)
    assert CostComparison("it", "what", "curl", 1.1, ((slow, theirs),), {}, aims={"wall_ratio": 1}).missed() == [
        "ratio", "wall_ratio"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("ours", "over", "missed"), [(11.0, 4.0, []), (12.0, 4.0, ["ratio"]), (11.0, 4.01, ["over_bare_s_of_a_minute"])]
)
def test_the_recorder_is_held_to_each_of_its_aims(ours: float, over: float, missed: list[str]) -> None:
    more, aims = {"over_bare_s_of_a_minute": over}, {"over_bare_s_of_a_minute": 4.0}
    told = replace(comparison((ours, 10.0)), more=more, aims=aims)
    assert told.to_dict()["missed"] == told.missed() == missed
    assert ("MISSED: " in told.words()) == bool(missed)


def test_a_ratio_holds_the_start_and_the_start_is_told_beside_it(tmp_path: Path) -> None:
    upload_vs_curl.make_spool(tmp_path / "spool", 1_000_000, 2)
    place = upload_vs_curl.Place(tmp_path, AgencyPaths(tmp_path), "", tmp_path, tmp_path / "spool", ())
    given: list[list[Path]] = []

    def idle(empty: upload_vs_curl.Place) -> CostRun:
        given.append(empty.segments)
        return CostRun("a side", Cost(0.5, 0.25, 30), 0.5)

    told = upload_vs_curl._with_start(CostRun("a side", Cost(1.5, 0.5, 40), 2.5), idle, place)
    assert given == [[]]
    assert (told.wall_s, told.cost) == (2.5, Cost(1.5, 0.5, 40))
    assert told.more == {
        "mb_s": 0.8,
        "cpu_s_per_gib": 2.0 * (1 << 30) / 2_000_000,
        "start_cpu_s": 0.75,
        "start_wall_s": 0.5,
    }
    base = CostRun("curl", Cost(1.0, 0.0, 12), 1.5, {**told.more, "start_cpu_s": 0.5, "start_wall_s": 0.5})
    made = CostComparison("it", "what", "curl", 1.1, ((told, base),), {}).to_dict()
    assert (made["wall_ratio"], made["cpu_ratio"]) == (1.67, 2.0)
    assert (made["wall_ratio_without_start"], made["cpu_ratio_without_start"]) == (2.0, 2.5)
    assert report.without_start({"sides": {"a": made["sides"]["curl"], "b": {"wall_s": 1, "cpu_s": 1}}}) == {}


def test_a_daemon_took_as_long_as_until_what_was_waited_for(tmp_path: Path) -> None:
    code = "import signal, time; signal.signal(signal.SIGTERM, lambda *_: (time.sleep(2), exit(0))); time.sleep(60)"
    began = time.monotonic()
    _, wall_s = run_child([sys.executable, "-c", code], tmp_path / "log", 60, lambda: time.monotonic() > began + 1)
    assert 0.9 < wall_s < 2 < time.monotonic() - began


def test_the_ring_of_two_seconds_becomes_durable_oldest_first() -> None:
    found = ring_flush.run(1, lambda words: None, ring_s=2)
    told = found.to_dict()
    assert told["parts_in_order"] and told["ring_s"] == pytest.approx(2, abs=0.1)
    assert 0 < told["flush_s"] <= told["first_live_s"]
    assert told["multiple"] == pytest.approx(told["ring_s"] / told["flush_s"], rel=0.05)
    assert told["control_ring_s"] == pytest.approx(ring_flush.CONTROL_S, abs=0.1)
    assert told["control_first_live_s"] > 0
    assert f"behind {told['control_ring_s']:.1f} s of ring after {told['control_first_live_s']:.2f} s" in found.words()


@pytest.mark.parametrize(("name", "sync_ms"), [*ring_flush.SLOW_MS.items(), (ring_flush.NAME, 0)])
def test_a_slow_card_takes_its_time_for_each_sync_and_is_gone_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, sync_ms: int
) -> None:
    slept, flush = list[float](), ring_flush.Flush(30, 30_000_000, 2.0, 2.4, True)
    real = os.fsync, os.fdatasync
    monkeypatch.setattr(time, "sleep", slept.append)
    with (tmp_path / "file").open("wb") as file, ring_flush.slow_card(sync_ms):
        os.fsync(file.fileno())
        os.fdatasync(file.fileno())
    assert slept == ([sync_ms / 1_000] * 2 if sync_ms else [])
    assert (os.fsync, os.fdatasync) == real
    told = ring_flush.FlushRuns((flush,), (flush,), name, sync_ms)
    assert told.words().startswith(f"{name}: ") and told.to_dict().get("sync_ms", 0) == sync_ms


@pytest.mark.parametrize("first_live_s", [2.4, 2.6])
def test_how_long_a_live_picture_waits_behind_the_ring_is_told(first_live_s: float) -> None:
    """Behind a second of ring it is there after 0.5 s; the whole ring takes 2. That it waits is decided (0030)."""
    whole = ring_flush.Flush(30, 30_000_000, 2.0, first_live_s, True)
    control = ring_flush.Flush(1, 1_000_000, 0.1, 0.5, True)
    found = ring_flush.FlushRuns((whole,) * 3, (control,) * 3)
    assert found.to_dict()["live_waits_s"] == pytest.approx(first_live_s - 0.5)
    assert f"it waits {first_live_s - 0.5:.2f} s" in found.words()


def flushed(multiple: float) -> ring_flush.FlushRuns:
    runs = (ring_flush.Flush(30, 30_000_000, 30 / multiple, 2.4, True),)
    return ring_flush.FlushRuns(runs, runs)


@pytest.mark.parametrize(
    ("compared", "figure"),
    [
        (flushed(9.9), "multiple"),
        (flushed(10.0), ""),
        (comparison((11.6, 10.0)), "ratio"),
        (comparison((11.5, 10.0)), ""),
    ],
)
def test_a_figure_that_misses_its_aim_is_told_and_with_hold_ends_so(
    compared: report.Compared, figure: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(command, "_compare", lambda name, options: iter([compared]))
    assert command.main([compared.name, "--hold"]) == (Exit.DEVICE if figure else Exit.OK)
    out, err = capsys.readouterr()
    assert (f"MISSED: {figure}" in out and f"missed: {compared.name} ({figure})" in err) is bool(figure)
    assert command.main([compared.name, "--json"]) == Exit.OK
    (told,) = json.loads(capsys.readouterr().out)["comparisons"]
    assert told["missed"] == ([figure] if figure else [])


def test_no_published_figure_misses_its_aim() -> None:
    files = sorted(RESULTS.glob("benchmark*.json"))
    told = [
        one
        for file in files
        for document in [json.loads(file.read_text())]
        for one in document.get("comparisons", [document])
    ]
    assert {one["comparison"] for one in told} >= set(command.COMPARISONS) - {log_after_a_year.NAME}
    for one in told:
        multiple = one.get("multiple")
        assert not one.get("missed"), one["comparison"]
        assert multiple is None or multiple >= one["aim"]
        assert multiple is not None or one["aim"] is None or one["ratio"] <= one["aim"], one["comparison"]

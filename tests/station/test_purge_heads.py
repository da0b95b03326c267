"""A purge keeps the head that leaves before it wait for, and nothing where none does."""

from __future__ import annotations

from typing import Any

import pytest

from tests.camera_kit import CAMERA, Desk
from tests.station.kit import Bench
from tests.station.test_attest import silent
from tests.station.test_knowledge import Held, kept_a_day, later
from tests.station.test_purge import verified


class Hung(Held):
    """Its identity key hangs as the second recording starts, and answers again within it."""

    hangs = False

    def _record(self, mark: str | None = None) -> str:
        hung, self.hangs = self.hangs, True
        if not hung:
            return super()._record(mark)
        signer, begin = self.desk.log.session.signer, self.desk.sealer.begin_media
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(signer, "sign", silent)

            def answers(*args: Any) -> None:
                patch.undo()
                begin(*args)

            patch.setattr(self.desk.sealer, "begin_media", answers)
            return super()._record(mark)


@pytest.mark.parametrize("hung", [True, False])
def test_what_a_purge_took_away_no_leaf_before_it_lacks(
    hung: bool, station: Bench, desk: Desk, capsys: Any, monkeypatch: Any
) -> None:
    held = kept_a_day(Hung(station, desk) if hung else Held(station, desk))
    before = [f for f in verified(held, capsys) if f["what"] == "identity-silent"]
    assert len(before) == hung
    later(monkeypatch, 2)
    assert held.run("purge", "--yes") == 0
    kept = sorted(path.stem for path in station.paths.purges(CAMERA).glob("*.vouched"))
    assert kept == ([f"{held.second}-0000"] if hung else [])
    after = [f for f in verified(held, capsys) if f["what"] == "identity-silent"]
    assert after == before
    for path in station.paths.purges(CAMERA).glob("*.vouched"):
        path.unlink()
    left = {f["what"] for f in verified(held, capsys, status=int(hung))}
    assert ("missing-signature" in left) is hung

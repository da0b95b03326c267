"""What was given beside segments, and speaks of their logs: later heads, receipts, revocations, purge notes, tiles."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from agent.errors import AgentError, EvidenceError, KeyTrustError, UnreadableError
from agent.evidence.blobs import Blob, blob_at
from agent.evidence.candidates import Candidate
from agent.evidence.cosigned import Cosigned, bad_head, of_export, read_cosigned
from agent.evidence.findings import Finding, What, refused
from agent.evidence.heads import CheckedReceipt, Head, TileLog, camera_head, load_head, read_receipts
from agent.evidence.keptheads import Kept, read_kept
from agent.evidence.purged import CheckedPurge, read_purges
from agent.evidence.revoked import read_revocations, revoked_heads
from agent.evidence.roots import Hints
from agent.evidence.sources import COSIGNED, Sources
from agent.evidence.trust import Trust
from agent.evidence.unreadnotes import UnreadNotes
from agent.formats import merkle, note
from agent.formats.revocation import Revocation

MAX_HINTS = 16
"""Different heads of segments for one place of the log; more than one are a fork, or forged."""


@dataclass
class Given:
    """What of it holds in itself, `findings` about what does not, and what of it cannot be read. The logs `on_cards`
    and `at_stations` are those that something in a directory which was given shows to have been there: tiles or a
    receipt of a spool, a receipt for segments in its station's own directory. `lent` are those of the receipts by
    which an export tells who has what it lacks, by file.
    """

    tiles: list[TileLog] = field(default_factory=list)
    heads: list[Head] = field(default_factory=list)
    receipts: list[CheckedReceipt] = field(default_factory=list)
    lent: dict[Blob, list[CheckedReceipt]] = field(default_factory=dict)
    revoked: list[Revocation] = field(default_factory=list)
    cosigned: list[Cosigned] = field(default_factory=list)
    purges: list[CheckedPurge] = field(default_factory=list)
    kept: list[Kept] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    on_cards: set[str] = field(default_factory=set)
    at_stations: set[str] = field(default_factory=set)
    unread: UnreadNotes = field(default_factory=UnreadNotes)

    def frontiers(self, origin: str, candidates: Sequence[Candidate]) -> Hints:
        """Unproven frontiers from tiles and from the heads of all segments."""
        by_size: dict[int, list[merkle.Frontier]] = {}
        for candidate in candidates:
            if candidate.frontier is not None:
                by_size.setdefault(candidate.first, []).append(candidate.frontier)

        of_log = [tiles for tiles in self.tiles if tiles.origin == origin]

        def known(size: int) -> Iterator[merkle.Frontier]:
            for tiles in of_log:
                yield from tiles.frontier(size)
            yield from by_size.get(size, [])[:MAX_HINTS]

        return known


def read_given(sources: Sources, trust: Trust, asked: Sequence[Path]) -> Given:
    """All of it, and the heads that were `asked` for; `trust` knows the chains of the segments by now. Raises
    UsageError for a head of which nothing can be made.
    """
    found = Given()
    logs = [(directory, TileLog(directory)) for directory in sources.logs]
    for _, tiles in logs:
        tiles.learn(trust)
    found.revoked, bad = read_revocations(sources.revocations, trust)
    found.findings += bad
    found.heads += revoked_heads(found.revoked)
    for blob in sources.receipts:
        good, bad = read_receipts([blob], trust, sources.of_stations)
        good = [replace(checked, proof=sources.proof_of(blob)) for checked in good]
        found.receipts += good
        found.lent |= {blob: good} if blob in sources.lent else {}
        found.findings += bad
        found.on_cards |= {checked.receipt.origin for checked in good if sources.on_card(blob.path)}
        found.at_stations |= {checked.receipt.origin for checked in good if checked.at_home and checked.receipt.stored}
        if any(finding.what is What.UNREADABLE for finding in bad):
            found.unread.add_receipt(blob, blob.path in sources.of_stations)
    found.heads += [checked.head for checked in found.receipts]
    for directory, tiles in logs:
        _read_tiles(directory, tiles, sources.checkpoints.get(directory), trust, found)
        found.on_cards |= {tiles.origin} if tiles.size and sources.on_card(directory) else set()
    for source in sources.cosigned:
        name = source.blob.name
        try:
            found.cosigned.append(read_cosigned(source, trust))
        except UnreadableError as err:
            found.findings.append(of_export(What.UNREADABLE, name, f"{name}: {COSIGNED}: {err.message}"))
        except (EvidenceError, KeyTrustError) as err:
            found.findings.append(bad_head(name, f"{name}: {COSIGNED}: {err.message}"))
    for path in asked:
        _read_asked(path, trust, found)
    found.kept, bad = read_kept(sources.kept, trust)
    found.findings += bad
    # One that came meanwhile vouches for the leaves before it, but asks for none that it names.
    found.heads += [kept.head for kept in found.kept if kept.blob.path not in sources.late]
    found.purges, bad, unread = read_purges(sources.purges, found.receipts, trust)
    found.findings += bad
    for blob in unread:
        found.unread.add_purge(blob)
    found.unread.add_holders(sources)
    return found


def _read_tiles(directory: Path, tiles: TileLog, listed: bytes | None, trust: Trust, found: Given) -> None:
    try:
        head = tiles.load(trust) if listed is None else _head_listed(directory, tiles, listed, trust)
    except AgentError as err:
        # Without a chain that the disk does not give, nobody knows who signed the checkpoint.
        unread = Finding(What.UNREADABLE, f"log {directory}: {tiles.unread}") if tiles.unread else None
        found.findings.append(unread or refused(What.BAD_HEAD, f"log {directory}: {err.message}", err))
        return
    found.heads.append(head)
    found.tiles.append(tiles)
    leads = head.size == 0 or tiles.leads_to(head)
    if tiles.unread or not leads:
        text = f"log {directory}: " + (tiles.unread or "the tiles do not lead to the checkpoint beside them")
        found.findings.append(Finding(What.UNREADABLE if tiles.unread else What.UNCHECKED, text))


def _head_listed(directory: Path, tiles: TileLog, listed: bytes, trust: Trust) -> Head:
    """Of the checkpoint as it stood then; what the tiles have gone on by since is asked of nobody. Raises
    EvidenceError.
    """
    head = camera_head(note.parse(listed), trust, f"{directory.name}/checkpoint")
    tiles.size, tiles.origin = head.size, head.origin
    return head


def _read_asked(asked: Path, trust: Trust, found: Given) -> None:
    try:
        head, checked = load_head(asked, trust)
    except (EvidenceError, KeyTrustError, UnreadableError) as err:
        found.findings.append(refused(What.BAD_HEAD, f"--head {asked.name}: {err.message}", err))
        if isinstance(err, UnreadableError):
            found.unread.add_receipt(blob_at(asked))
        return
    found.heads.append(head)
    found.receipts += [checked] if checked else []

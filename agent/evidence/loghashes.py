"""The log's tree out of what was given: the frontiers between segments, their leaves where a path asks for one, and
tiles where there are some. Nothing here is proven: a path counts where it leads to a signed root.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from agent.errors import EvidenceError
from agent.evidence.heads import TileLog
from agent.evidence.layout import Scanner
from agent.evidence.opening import SegmentOpener
from agent.evidence.result import SegmentResult, holding
from agent.formats import merkle, pack
from agent.formats.tlogproof import Extension

MAX_NODES = 2_000_000
"""Hashes that are remembered; past it they are computed again."""


class LogHashes:
    """Subtree hashes of one log, for `merkle.inclusion_proof` and `merkle.consistency_proof`."""

    def __init__(self, results: Sequence[SegmentResult], tiles: Sequence[TileLog] = ()) -> None:
        self._results, self._tiles = results, tiles
        self._nodes: dict[tuple[int, int], bytes] = {}
        self._read: set[str] = set()
        for before, result in pairwise([None, *results]):
            if result is not None and (before is None or before.end < result.first):
                self._learn_head(result)
        for result in results:
            if result.frontier is not None:
                self._learn(result.frontier)

    def subtree(self, start: int, end: int) -> bytes:
        """Merkle Tree Hash of the leaves start <= i < end, a node of the tree. Raises EvidenceError where a leaf of it
        is not at hand.
        """
        known = self._nodes.get((start, end))
        if known is not None:
            return known
        count = end - start
        if count == 1:
            return self._leaf(start)
        half = 1 << (count - 1).bit_length() - 1
        try:
            found = merkle.node_hash(self.subtree(start, start + half), self.subtree(start + half, end))
        except EvidenceError:
            found = self._from_tiles(start, end)
        if len(self._nodes) < MAX_NODES:
            self._nodes[start, end] = found
        return found

    def learn_extension(self, extension: Extension, size: int) -> None:
        """The hashes that lead from one tree to a larger one: nodes of it whose leaves need not be at hand."""
        nodes: list[tuple[int, int]] = []

        def note(start: int, end: int) -> bytes:
            nodes.append((start, end))
            return b""

        merkle.consistency_proof(extension.old, size, note)
        for node, found in zip(nodes, extension.hashes, strict=True):
            self._nodes.setdefault(node, found)

    def _learn(self, frontier: merkle.Frontier) -> None:
        start, hashes = 0, iter(frontier.hashes)
        for bit in reversed(range(frontier.size.bit_length())):
            if frontier.size >> bit & 1:
                self._nodes[start, start + (1 << bit)] = next(hashes)
                start += 1 << bit

    def _learn_head(self, result: SegmentResult) -> None:
        """The log before it, of which the end was not given, as the segment states it."""
        with result.blob.patient() as window:
            member = Scanner(window).run(head_only=True).head(pack.HEADER)
            if member is None:
                return
            try:
                self._learn(pack.SegmentHeader.parse(window.at(member.data, member.size)).frontier)
            except EvidenceError:
                return

    def _leaf(self, index: int) -> bytes:
        result = holding(self._results, index)
        if result is not None and result.name not in self._read:
            self._read.add(result.name)
            self._learn_leaves(result)
            if (index, index + 1) in self._nodes:
                return self._nodes[index, index + 1]
        return self._from_tiles(index, index + 1)

    def _learn_leaves(self, result: SegmentResult) -> None:
        with result.blob.patient() as window:
            for index, slot in SegmentOpener(window, ()).entries.slots.items():
                data = window.at(member.data, member.size) if (member := slot.get("json")) else b""
                if member and not window.lacks(member.data, member.size):
                    self._nodes[index, index + 1] = merkle.leaf_hash(data)

    def _from_tiles(self, start: int, end: int) -> bytes:
        for tiles in self._tiles:
            try:
                return tiles.subtree(start, end)
            except EvidenceError:
                continue
        raise EvidenceError(f"the log's leaves {start} to {end - 1} are not at hand")

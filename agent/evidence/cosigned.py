"""What proves a whole recording from outside: a head of its log that a station cosigned, and what leads there from the
leaves of its segments (docs/evidence-format.md, section 9, "Whole").
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from agent.errors import EvidenceError
from agent.evidence.findings import Finding, What
from agent.evidence.rangehead import SignedHead, read_member, signed_head, station_of
from agent.evidence.sources import COSIGNED, PROOF, ProofMembers
from agent.evidence.trust import MAX_PEM, Trust
from agent.formats import certs, merkle, pack
from agent.formats.tlogproof import MAX_PROOF, Extension

CHECKPOINT, CONSISTENCY = f"{COSIGNED}/checkpoint", f"{COSIGNED}/consistency"
STATION, CHAIN = f"{COSIGNED}/station.pem", f"{COSIGNED}/chain.pem"


@dataclass(frozen=True, slots=True)
class Cosigned:
    """A head whose signatures hold, the camera's and a station's; `extension` is still to be followed from the leaves.
    `station` and `chain` are the certificates of both, `name` is the export's.
    """

    name: str
    head: SignedHead
    extension: Extension
    station: bytes
    chain: bytes

    @property
    def origin(self) -> str:
        return self.head.point.origin

    @property
    def by_identity(self) -> bool:
        return self.head.by_identity

    @property
    def signer(self) -> bytes:
        """The certificate of the session that signed the head, in DER."""
        return certs.der(certs.parse_pem(self.chain)[0])

    @property
    def told(self) -> str:
        """Which leaves the head vouches for, and who signed it when, in words."""
        return f"the leaves below {self.extension.old}: {self.head.told}"

    def members(self) -> Iterator[tuple[str, bytes]]:
        """(name, content), as `read_cosigned` takes them."""
        yield CHECKPOINT, self.head.data
        yield CONSISTENCY, self.extension.to_bytes()
        yield STATION, self.station
        yield CHAIN, self.chain

    def check(self, root: bytes) -> None:
        """Raises EvidenceError unless the log with this root at the old size goes on to the head."""
        point = self.head.point
        merkle.verify_consistency(self.extension.old, root, point.size, point.root, self.extension.hashes)


def read_cosigned(source: ProofMembers, trust: Trust) -> Cosigned:
    """The members that an export has in this folder. Raises EvidenceError and KeyTrustError for what does not hold in
    itself, StorageError.
    """
    chain, station = read_member(source, CHAIN, MAX_PEM), read_member(source, STATION, MAX_PEM)
    data = read_member(source, CHECKPOINT, pack.MAX_NOTE)
    head = signed_head(data, {"": trust.learn(chain)}, station_of(station, trust.root), CHAIN)
    if head.time_s is None:
        raise EvidenceError(f"no station cosigned {CHECKPOINT}")
    extension = Extension.parse(read_member(source, CONSISTENCY, MAX_PROOF))
    return Cosigned(source.blob.name.removesuffix(PROOF), head, extension, station, chain)


def bad_head(name: str, text: str) -> Finding:
    """Of the cosigned head in an export called `name`."""
    return of_export(What.BAD_HEAD, name, text)


def of_export(what: What, name: str, text: str) -> Finding:
    """Of an export called `name`: of which recording, where it has the name of one."""
    recording = name.removesuffix(PROOF)
    return Finding(what, text, recording=recording if pack.RECORDING_ID.fullmatch(recording) else None)


Without = Callable[[int, int], Iterator[tuple[int, int]]]
"""The runs of the leaves start <= i < end that nothing explains."""


def tell_cosigned(
    one: Cosigned, roots: Mapping[int, bytes], spans: Sequence[tuple[int, int]], without: Without
) -> Iterator[Finding]:
    """Against the log by its roots, the leaves (first, end) that are here, in order, and those that notes explain;
    nothing where they lead to it.
    """
    old, told = one.extension.old, f"{one.name}: {one.head.told}"
    at = bisect_left(spans, old, key=lambda span: span[1])
    hidden = "hidden by damage"
    # Asked first: where another export goes on behind a gap, the root there is known, and proves nothing before.
    if at == len(spans) or spans[at][0] >= old:
        held = spans[at - 1][1] if at else 0
        if held == 0:
            yield bad_head(one.name, f"{told}, is led to by {old} leaves, of which none is here")
            return
        if runs := list(without(held, old)):
            for first, end in runs:
                which = f"the last {end - first}" if end == old else f"{end - first}"
                text = f"{told}, was led to by {old} leaves: {which} of them are in no segment given"
                yield Finding(What.MISSING_SEGMENT, text, first=first, last=end - 1)
            return
        hidden = "gone with what was purged"
    root = roots.get(old)
    if root is None:
        yield Finding(What.UNCHECKED, f"{told}, was not compared: the root of {old} leaves is {hidden}")
        return
    try:
        one.check(root)
    except EvidenceError:
        text = f"{told}, is not led to by the leaves below {old}: {CONSISTENCY} is altered, or it is of another log"
        yield bad_head(one.name, text)

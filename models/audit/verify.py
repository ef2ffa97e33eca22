"""Checking the access log: each entry as written, none missing, moved or cut off."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from models.audit.records import CHAINS, GENESIS, Head, digest, entry_id
from models.audit.repo import AuditRepo

Anchors = Mapping[int, Head]
"""Heads that were kept elsewhere, by chain: what was there then must be there still."""


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that is not as it was written."""

    chain: int
    seq: int | None
    what: str


@dataclass(slots=True)
class Verdict:
    """What verifying found."""

    entries: int = 0
    faults: list[Fault] = field(default_factory=list)
    heads: dict[int, Head] = field(default_factory=dict)


async def verify(repo: AuditRepo, anchors: Anchors | None = None) -> Verdict:
    """Read the whole log and return what is wrong with it.

    A cut end is found by the signed head, which moves with every entry. Whoever puts back an
    older copy of both, entries and head, is found by an anchor from the time between.

    Raises:
        models.db.DatabaseError: the database did not answer as it should.
    """
    verdict = Verdict()
    for chain in sorted({*await repo.chains(), *(anchors or {})}):
        await _Walk(repo, chain, verdict).go((anchors or {}).get(chain))
    return verdict


class _Walk:
    """Along one chain, from its first entry to its head."""

    def __init__(self, repo: AuditRepo, chain: int, verdict: Verdict) -> None:
        self._repo = repo
        self._chain = chain
        self._verdict = verdict
        self._last = Head(chain, -1, GENESIS)

    async def go(self, anchor: Head | None) -> None:
        if self._chain not in range(CHAINS):
            self._fault(None, "there is no such chain")
        anchored = anchor is None or anchor == self._last
        async for entry in self._repo.iter_chain(self._chain):
            self._verdict.entries += 1
            self._look_at(entry)
            self._last = Head(self._chain, entry["seq"], str(entry["hash"]))
            anchored = anchored or self._last == anchor
        if anchor is not None and not anchored:
            self._fault(anchor.seq, "the entry of the anchor is not there")
        await self._end()

    def _look_at(self, entry: Mapping[str, Any]) -> None:
        seq = entry["seq"]
        if seq != self._last.seq + 1:
            self._fault(self._last.seq + 1, f"missing, up to {seq}")
        elif entry["previous"] != self._last.hash:
            self._fault(seq, "does not follow the entry before it")
        if not _is_as_written(entry):
            self._fault(seq, "altered")

    async def _end(self) -> None:
        found = await self._repo.find_head(self._chain)
        if found is None:
            self._fault(None, "the head is missing")
            return
        head, signature = found
        self._verdict.heads[self._chain] = head
        if signature != self._repo.signature(head):
            self._fault(head.seq, "the signature of the head is not ours")
        elif head != self._last:
            self._fault(head.seq, f"the signed head, but the last entry is {self._last.seq}")

    def _fault(self, seq: int | None, what: str) -> None:
        self._verdict.faults.append(Fault(self._chain, seq, what))


def _is_as_written(entry: Mapping[str, Any]) -> bool:
    """Tell whether an entry has the hash that it says."""
    if entry["_id"] != entry_id(entry["chain"], entry["seq"]):
        return False
    try:
        return bool(digest(entry["previous"], entry) == entry["hash"])
    except (TypeError, ValueError):
        return False

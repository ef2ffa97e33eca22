"""Compare a client's ledger with what MongoDB holds: lost, duplicated, altered, out of order."""

import json
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Protocol

from server.simulation.ledger import VERSION, digest


class Store(Protocol):
    """What the audit reads; `models.play.repo.PlayRepo` is one."""

    def iter_frames(self, session_id: str, *, merged: bool) -> AsyncIterator[tuple[int, bytes]]:
        """Yield (seq, bytes) of every stored `frames` message, repeats too unless `merged`."""
        ...

    def iter_events(self, session_id: str) -> AsyncIterator[dict[str, Any]]:
        """Yield every other numbered message as stored."""
        ...

    async def list_records(self, session_id: str) -> list[dict[str, Any]]:
        """Return the PlayRecords of the session."""
        ...

    async def find_result(self, session_id: str) -> dict[str, Any] | None:
        """Return the TherapyResult, if there is one."""
        ...


@dataclass(slots=True)
class Sitting:
    """What the ledger says of one session."""

    sent: dict[int, tuple[str, str]] = field(default_factory=dict)
    """Event and digest of each seq."""
    buffered: int = -1
    stored: int = -1
    refused: set[int] = field(default_factory=set)
    records: dict[int, str] = field(default_factory=dict)
    """Digest of the answered PlayRecord of each set."""
    result: str | None = None
    """Digest of the answered TherapyResult: the session is sealed."""

    @property
    def promised(self) -> int:
        """The last seq that has to be in MongoDB: `stored`, or `buffered` once sealed."""
        return self.stored if self.result is None else max(self.buffered, self.stored)


@dataclass(slots=True)
class Finding:
    """How one session, or all of them together, compare. All of it counts messages and results."""

    sent: int = 0
    buffered: int = 0
    stored: int = 0
    found: int = 0
    lost: int = 0
    """Acknowledged, and not in MongoDB."""
    duplicated: int = 0
    """In MongoDB more than once."""
    altered: int = 0
    """In MongoDB with a content that was not sent."""
    out_of_order: int = 0
    """In MongoDB with the content of another seq of the session."""

    @property
    def clean(self) -> bool:
        """Whether nothing is lost, duplicated, altered or out of order."""
        return not (self.lost or self.duplicated or self.altered or self.out_of_order)

    def add(self, other: "Finding") -> None:
        """Add the counts of another session."""
        for each in fields(self):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))


@dataclass(slots=True)
class Report:
    """The findings of every session of a ledger."""

    sessions: dict[str, Finding] = field(default_factory=dict)

    @property
    def total(self) -> Finding:
        """The findings of all sessions together."""
        total = Finding()
        for finding in self.sessions.values():
            total.add(finding)
        return total

    def as_json(self) -> dict[str, Any]:
        """Return the totals, and the findings by session, as plain JSON."""
        each = {name: asdict(finding) for name, finding in self.sessions.items()}
        return {**asdict(self.total), "sessions": each}


def read_ledger(path: Path) -> dict[str, Sitting]:
    """Read a ledger; a last line cut short by a crash is left out.

    Raises:
        ValueError: the file is no ledger, or of another version.
    """
    with path.open(encoding="utf-8") as lines:
        return _sittings(lines)


def _sittings(lines: Iterable[str]) -> dict[str, Sitting]:
    sittings: dict[str, Sitting] = {}
    version = None
    for line in lines:
        if not line.endswith("\n"):
            break
        entry = json.loads(line)
        if entry["kind"] == "run":
            version = entry["version"]
        if version != VERSION:
            raise ValueError(f"a ledger of version {version}; this reads version {VERSION}")
        if "session_id" in entry:
            _note(sittings.setdefault(entry["session_id"], Sitting()), entry)
    if version is None:
        raise ValueError("no ledger: its first line is missing")
    return sittings


def _note(sitting: Sitting, entry: dict[str, Any]) -> None:
    match entry["kind"]:
        case "message":
            sitting.sent[entry["seq"]] = (entry["event"], entry["digest"])
        case "ack":
            sitting.buffered = max(sitting.buffered, entry["buffered"])
            sitting.stored = max(sitting.stored, entry["stored"])
        case "refused":
            sitting.refused.add(entry["seq"])
        case "set":
            sitting.records[entry["set_no"]] = entry["record"]
        case "sealed":
            sitting.result = entry["result"]


async def compare(sitting: Sitting, session_id: str, store: Store) -> Finding:
    """Compare one session of the ledger with what is stored of it."""
    finding = Finding(
        sent=len(sitting.sent), buffered=sitting.buffered + 1, stored=sitting.stored + 1
    )
    await _compare_messages(sitting, session_id, store, finding)
    await _compare_results(sitting, session_id, store, finding)
    return finding


async def audit(path: Path, store: Store) -> Report:
    """Compare a whole ledger with MongoDB, one session at a time."""
    report = Report()
    for session_id, sitting in read_ledger(path).items():
        report.sessions[session_id] = await compare(sitting, session_id, store)
    return report


async def _compare_messages(
    sitting: Sitting, session_id: str, store: Store, finding: Finding
) -> None:
    copies: Counter[int] = Counter()
    known = {content for _, content in sitting.sent.values()}

    def check(seq: int, event: str, content: str) -> None:
        copies[seq] += 1
        if copies[seq] > 1:
            finding.duplicated += 1
        sent = sitting.sent.get(seq)
        if sent == (event, content):
            return
        if sent is not None and seq in sitting.refused and event in (sent[0], "void"):
            return  # kept to hold its seq, without effect and without its content
        if content in known:
            finding.out_of_order += 1
        else:
            finding.altered += 1

    async for seq, payload in store.iter_frames(session_id, merged=False):
        check(seq, "frames", digest(payload))
    async for event in store.iter_events(session_id):
        check(event["seq"], event["event"], digest(event["payload"] or {}))
    finding.found = len(copies)
    finding.lost += sum(seq not in copies for seq in range(sitting.promised + 1))


async def _compare_results(
    sitting: Sitting, session_id: str, store: Store, finding: Finding
) -> None:
    """Compare what was answered as a record or a result with what is stored."""
    ends = {content: seq for seq, (event, content) in sitting.sent.items() if event == "set:end"}
    stored: dict[int, list[str]] = {}
    for document in await store.list_records(session_id):
        stored.setdefault(document["set_no"], []).append(answered_digest(document))
    for set_no, answered in sitting.records.items():
        found = stored.get(set_no, [])
        finding.duplicated += max(0, len(found) - 1)
        if answered in found:
            continue
        if found:
            finding.altered += 1
        # A record is stored with the message it is made of.
        elif ends.get(digest({"set_no": set_no}), sitting.promised + 1) <= sitting.promised:
            finding.lost += 1
    if sitting.result is not None:
        result = await store.find_result(session_id)
        if result is None:
            finding.lost += 1
        elif answered_digest(result) != sitting.result:
            finding.altered += 1


def answered_digest(document: dict[str, Any]) -> str:
    """Return the digest that a stored record or result has when it is answered to a client."""
    return digest({key: value for key, value in document.items() if key != "_id"})

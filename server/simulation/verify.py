"""Verify sessions while the next ones are played: audited and scored again as they are sealed."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from models.db import Mongo
from models.errors import AppError
from models.play.repo import PlayRepo
from server.simulation.audit import Finding, Sitting, compare
from server.simulation.ledger import Played, digest
from sessions.catalogue import catalogue
from sessions.rescore import rescore_session


@dataclass(slots=True)
class Verdict:
    """What became of the sessions verified."""

    finding: Finding = field(default_factory=Finding)
    sessions: int = 0
    different: list[str] = field(default_factory=list)
    """Sessions whose records come out otherwise when they are scored again."""

    @property
    def rescored_equal(self) -> bool:
        """Whether there were sessions, and every record came out the same byte for byte."""
        return self.sessions > 0 and not self.different


class Verifier:
    """A ledger in memory that holds open sessions alone; sealed ones are verified at once.

    The work is done on one thread with a loop of its own, so that it holds up no child. A run may
    last for days: what is kept of a verified session is its counts.
    """

    def __init__(self, connect: Callable[[], Mongo]) -> None:
        """Prepare; `connect` opens the database, once for each session."""
        self._connect = connect
        self._open: dict[str, Sitting] = {}
        self._verdict = Verdict()
        self._pending: list[Future[tuple[str, Finding, bool]]] = []
        self._thread = ThreadPoolExecutor(1, "verifier")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._thread.shutdown(cancel_futures=True)

    def opened(self, session_id: str, child_id: str) -> None:  # noqa: ARG002 - of the protocol
        """Begin a session."""
        self._open[session_id] = Sitting()

    def message(self, session_id: str, seq: int, event: str, body: bytes | dict[str, Any]) -> None:
        """Keep the digest of a message about to be sent."""
        self._open[session_id].sent[seq] = (event, digest(body))

    def acknowledged(self, session_id: str, buffered: int, stored: int) -> None:
        """Move the two marks."""
        sitting = self._open.get(session_id)
        if sitting is not None:  # the last `ack` may come after the answer to the close
            sitting.buffered = max(sitting.buffered, buffered)
            sitting.stored = max(sitting.stored, stored)

    def refused(self, session_id: str, seq: int, code: str) -> None:  # noqa: ARG002 - of the protocol
        """Keep that a message took its seq without effect."""
        self._open[session_id].refused.add(seq)

    def played(self, session_id: str, played: Played) -> None:
        """Keep the digest of an answered record."""
        self._open[session_id].records[played.set_no] = digest(played.record)

    def sealed(self, session_id: str, seq: int, result: dict[str, Any]) -> None:  # noqa: ARG002 - of the protocol
        """Verify a session whose close was answered."""
        self._open[session_id].result = digest(result)
        self._submit(session_id)

    async def finish(self) -> Verdict:
        """Verify what is left, sealed or not, and return what became of all."""
        for session_id in list(self._open):
            self._submit(session_id)
        for pending in self._pending:
            await asyncio.wrap_future(pending)
        self._collect()
        return self._verdict

    def _submit(self, session_id: str) -> None:
        self._collect()
        sitting = self._open.pop(session_id)
        self._pending.append(self._thread.submit(self._verify, session_id, sitting))

    def _collect(self) -> None:
        """Add up what is done."""
        done = [pending for pending in self._pending if pending.done()]
        self._pending = [pending for pending in self._pending if not pending.done()]
        for pending in done:
            session_id, finding, equal = pending.result()
            self._verdict.sessions += 1
            self._verdict.finding.add(finding)
            if not equal:
                self._verdict.different.append(session_id)

    def _verify(self, session_id: str, sitting: Sitting) -> tuple[str, Finding, bool]:
        return asyncio.run(self._verify_session(session_id, sitting))

    async def _verify_session(self, session_id: str, sitting: Sitting) -> tuple[str, Finding, bool]:
        mongo = self._connect()
        try:
            repo = PlayRepo(mongo.database)
            finding = await compare(sitting, session_id, repo)
            return session_id, finding, await rescores_equal(repo, session_id)
        finally:
            await mongo.close()


async def rescores_equal(repo: PlayRepo, session_id: str) -> bool:
    """Return whether every record of a stored session comes out the same byte for byte."""
    try:
        sets = await rescore_session(repo, catalogue(), session_id)
    except AppError:
        return False  # it is not stored, or the library has lost its motion
    return all(one.equal for one in sets)

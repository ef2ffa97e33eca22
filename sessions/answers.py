"""The answers of one session: owed until a message is kept, and given again to who asks again."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from models.errors import AppError, ErrorCode

KEPT = 64
"""Answers kept for a client that asks again; those somebody waits for are kept besides."""

Reply = Callable[[dict[str, Any] | AppError], None]


@dataclass(slots=True)
class _Outcome:
    """The answer to an event, given once its message is `buffered` (a close: `stored`)."""

    seq: int
    answer: dict[str, Any] | AppError | None = None
    at_stored: bool = False
    waiting: list[tuple[Reply, float]] = field(default_factory=list)
    """Replies owed, each with the monotonic time after which `busy` is said instead."""


class Answers:
    """What the messages of a session are answered, by their number."""

    __slots__ = ("_outcomes", "owed")

    def __init__(self) -> None:
        self.owed = 0
        """Replies that somebody waits for."""
        self._outcomes: dict[int, _Outcome] = {}

    def __contains__(self, seq: int) -> bool:
        return seq in self._outcomes

    def expect(self, seq: int, reply: Reply, deadline: float, *, at_stored: bool) -> None:
        """Owe the answer to a message that was taken."""
        self._keep(_Outcome(seq, None, at_stored, [(reply, deadline)]))
        self.owed += 1

    def know(self, seq: int, answer: dict[str, Any] | AppError) -> None:
        """Know the answer to a message of before, for a client that asks again."""
        self._keep(_Outcome(seq, answer))

    def ask_again(self, seq: int, reply: Reply, deadline: float) -> None:
        """Owe an answer once more; one that is not known any more is an empty one."""
        outcome = self._outcomes.get(seq)
        if outcome is None:
            reply({})
        else:
            outcome.waiting.append((reply, deadline))
            self.owed += 1

    def resolve(self, seq: int, answer: dict[str, Any] | AppError) -> None:
        """Set the answer to a message, if anybody asked for it."""
        outcome = self._outcomes.get(seq)
        if outcome is not None:
            outcome.answer = answer

    def settle(self, buffered: int, stored: int) -> None:
        """Give the answers whose mark is reached."""
        if not self.owed:
            return
        for outcome in self._outcomes.values():
            mark = stored if outcome.at_stored else buffered
            if outcome.waiting and outcome.answer is not None and outcome.seq <= mark:
                self.owed -= len(outcome.waiting)
                for reply, _ in outcome.waiting:
                    reply(outcome.answer)
                outcome.waiting.clear()

    def expire(self, now: float) -> None:
        """Say `busy` to those who have waited too long; asking again is safe."""
        if not self.owed:
            return
        for outcome in self._outcomes.values():
            late = [reply for reply, deadline in outcome.waiting if now > deadline]
            if late:
                self.owed -= len(late)
                outcome.waiting = [w for w in outcome.waiting if now <= w[1]]
                for reply in late:
                    reply(busy_error())

    def _keep(self, outcome: _Outcome) -> None:
        self._outcomes[outcome.seq] = outcome
        while len(self._outcomes) > KEPT:
            # What is owed stays; how much that is, the limit of unacknowledged messages says.
            gone = next((known.seq for known in self._outcomes.values() if not known.waiting), None)
            if gone is None:
                break
            del self._outcomes[gone]


def busy_error() -> AppError:
    """The store does not keep up or does not answer: the message took no number."""
    return AppError(ErrorCode.BUSY, "The server cannot take this now; send it again.", retry_ms=500)

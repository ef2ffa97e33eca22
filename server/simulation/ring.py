"""What a client has sent and may have to send again: numbered messages, kept until stored."""

import asyncio
import itertools
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

CONTROL_BYTES = 256
"""What the server counts for a message that is no `frames`."""


@dataclass(slots=True, eq=False)
class Message:
    """One numbered message of a session, and what goes out beside its seq."""

    seq: int
    event: str
    body: bytes | dict[str, Any]
    begin: int = 0
    """Bytes of all messages of the session before it."""
    answer: asyncio.Future[dict[str, Any]] | None = None
    """Where the callback's answer goes; None for frames, which have no callback."""
    sent_at: float | None = None
    """Monotonic seconds of its first sending; None while it waits in the ring."""
    buffered_at: float | None = None
    """Monotonic seconds when the first word of `buffered` came, by `ack` or by its own answer."""

    @property
    def size(self) -> int:
        """Bytes it counts for."""
        return len(self.body) if isinstance(self.body, bytes) else CONTROL_BYTES

    @property
    def settled(self) -> bool:
        """Whether nobody waits for an answer of its own."""
        return self.answer is None or self.answer.done()


class Ring:
    """The unacknowledged messages of one session in the order of their seq, without holes.

    Three positions divide the numbers: below `start` everything is stored and forgotten, below
    `cursor` it has been handed to the socket, below `end` it waits its turn. A hole on the server's
    side moves the cursor back; sending goes on from there in order.
    """

    def __init__(self) -> None:
        self._messages: deque[Message] = deque()
        self._bytes = 0
        self.start = 0
        self.cursor = 0
        self.buffered = -1
        self.stored = -1

    @property
    def end(self) -> int:
        """The next seq to be given out."""
        return self.start + len(self._messages)

    @property
    def unbuffered(self) -> int:
        """How many messages wait for `buffered`."""
        return self.end - 1 - self.buffered

    @property
    def in_flight(self) -> int:
        """How many messages were handed to the socket and are not known to be buffered."""
        return max(0, self.cursor - 1 - self.buffered)

    @property
    def bytes_with_next(self) -> int:
        """Bytes under way to `buffered` once the next message is handed to the socket."""
        return self._begin_of(self.cursor + 1) - self._begin_of(self.buffered + 1)

    def __len__(self) -> int:
        return len(self._messages)

    def __iter__(self) -> Iterator[Message]:
        return iter(self._messages)

    def append(
        self,
        event: str,
        body: bytes | dict[str, Any],
        answer: asyncio.Future[dict[str, Any]] | None = None,
    ) -> Message:
        """Give the next seq to a message and keep it."""
        message = Message(self.end, event, body, self._bytes, answer)
        self._bytes += message.size
        self._messages.append(message)
        return message

    def _begin_of(self, seq: int) -> int:
        return self._messages[seq - self.start].begin if seq < self.end else self._bytes

    def next_unsent(self) -> Message | None:
        """Return the message at the cursor and move on; None at the end."""
        if self.cursor >= self.end:
            return None
        message = self._messages[self.cursor - self.start]
        self.cursor += 1
        return message

    def rewind(self, expected: int) -> bool:
        """Set the cursor back to `expected`; False if that is not in the ring any more."""
        if not self.start <= expected <= self.end:
            return False
        self.cursor = min(self.cursor, expected)
        return True

    def forfeit(self, expected: int) -> bool:
        """Rewind, and take back `buffered`: Redis may have lost its last second.

        False if that is not possible, because it was called stored or was never sent.
        """
        if expected <= self.stored or not self.rewind(expected):
            return False
        self.buffered = min(self.buffered, expected - 1)
        return True

    def resume(self, expected: int, stored: int) -> list[Message] | None:
        """Go on where the server is; return the messages newly buffered.

        What lies below `expected` and still waits for its own answer is kept, to be asked again.
        None if the server asks for what it has called stored, or for what was never sent.
        """
        if not self.stored < expected <= self.end:
            return None
        self.buffered = min(self.buffered, expected - 1)
        fresh = self.acknowledge(expected - 1, stored)
        self.cursor = max(expected, self.start)
        return fresh

    def unanswered(self) -> list[Message]:
        """Return the messages before the cursor that still wait for an answer of their own."""
        sent = itertools.islice(self._messages, self.cursor - self.start)
        return [message for message in sent if not message.settled]

    def kept(self, first: int, last: int) -> list[Message]:
        """Return the messages `first` to `last` as far as the ring still has them."""
        bounds = range(max(first, self.start), min(last, self.end - 1) + 1)
        return [self._messages[seq - self.start] for seq in bounds]

    def acknowledge(self, buffered: int, stored: int) -> list[Message]:
        """Move both marks and forget what is stored; return the messages newly buffered.

        A message that still waits for its own answer stays: asking again is how it gets one.
        """
        last = min(buffered, self.end - 1)
        first = max(self.buffered + 1, self.start)
        fresh = [self._messages[seq - self.start] for seq in range(first, last + 1)]
        self.buffered = max(self.buffered, last)
        self.stored = max(self.stored, min(stored, last))
        while self._messages and self.start <= self.stored and self._messages[0].settled:
            self._messages.popleft()
            self.start += 1
        self.cursor = max(self.cursor, self.start)
        return fresh

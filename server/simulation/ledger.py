"""The client's own record of what it sent and what the server acknowledged, as JSON lines.

One object a line, its `kind` first. Times are seconds of the writer's monotonic clock.

| kind | fields |
| --- | --- |
| `run` | `version`, `at` (UTC) |
| `open` | `session_id`, `child_id`, `t` |
| `message` | `session_id`, `seq`, `event`, `digest`, `bytes`, `t`: written before it is sent |
| `ack` | `session_id`, `buffered`, `stored`, `t`: cumulative marks, as received |
| `refused` | `session_id`, `seq`, `code`, `t`: refused for its content; the seq is taken |
| `set` | `session_id`, `set_no`, `motion`, `side`, `reps_true`, `reps` by class, `record` |
| `sealed` | `session_id`, `seq`, `result`, `t`: the close was answered |

`digest`, `record` and `result` are `digest` below of what was sent or answered.
"""

import json
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

from config.clock import Clock

VERSION = 1


def canonical(value: Any) -> bytes:
    """Return the one JSON spelling of a value: sorted keys, no blanks, UTF-8, finite numbers.

    A field that is null and one that is absent mean the same in the contract, as 30 and 30.0 do.
    """
    return json.dumps(
        _plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
    ).encode()


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items() if item is not None}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def digest(body: Any) -> str:
    """Return 128 bits of blake2b in hex: of bytes as they are, else of the canonical JSON."""
    data = body if isinstance(body, bytes) else canonical(body)
    return blake2b(data, digest_size=16).hexdigest()


class Ledger(Protocol):
    """What a player tells of every message, and a child of every set."""

    def opened(self, session_id: str, child_id: str) -> None:
        """Note a session that the server opened."""
        ...

    def message(self, session_id: str, seq: int, event: str, body: bytes | dict[str, Any]) -> None:
        """Note a message about to be sent."""
        ...

    def acknowledged(self, session_id: str, buffered: int, stored: int) -> None:
        """Note the two marks of an `ack`."""
        ...

    def refused(self, session_id: str, seq: int, code: str) -> None:
        """Note a message that was refused for its content and took its seq all the same."""
        ...

    def played(self, session_id: str, played: "Played") -> None:
        """Note a finished set."""
        ...

    def sealed(self, session_id: str, seq: int, result: dict[str, Any]) -> None:
        """Note that `session:close` was answered: everything up to `seq` is stored."""
        ...


@dataclass(frozen=True, slots=True)
class Played:
    """A finished set: the truth, the `rep` events by class and the record answered."""

    set_no: int
    motion: str
    side: str
    reps_true: int
    reps: dict[str, int]
    record: dict[str, Any]


class FileLedger:
    """Appends lines to a file as things happen; holds nothing but the file's own buffer."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._clock = clock
        self._file = path.open("w", encoding="utf-8", buffering=1 << 16)
        self._write(kind="run", version=VERSION, at=clock.now().isoformat())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Write out what is buffered and close the file."""
        self._file.close()

    def opened(self, session_id: str, child_id: str) -> None:
        """Note a session that the server opened."""
        self._write(kind="open", session_id=session_id, child_id=child_id, t=self._now())

    def message(self, session_id: str, seq: int, event: str, body: bytes | dict[str, Any]) -> None:
        """Note a message about to be sent."""
        size = len(body) if isinstance(body, bytes) else len(canonical(body))
        # Spelled by hand: nearly every line is one of these.
        self._file.write(
            f'{{"kind":"message","session_id":{json.dumps(session_id)},"seq":{seq},'
            f'"event":"{event}","digest":"{digest(body)}","bytes":{size},"t":{self._now()}}}\n'
        )

    def acknowledged(self, session_id: str, buffered: int, stored: int) -> None:
        """Note the two marks of an `ack`."""
        self._file.write(
            f'{{"kind":"ack","session_id":{json.dumps(session_id)},"buffered":{buffered},'
            f'"stored":{stored},"t":{self._now()}}}\n'
        )

    def refused(self, session_id: str, seq: int, code: str) -> None:
        """Note a message that was refused for its content and took its seq all the same."""
        self._write(kind="refused", session_id=session_id, seq=seq, code=code, t=self._now())

    def played(self, session_id: str, played: Played) -> None:
        """Note a finished set."""
        self._write(
            kind="set",
            session_id=session_id,
            set_no=played.set_no,
            motion=played.motion,
            side=played.side,
            reps_true=played.reps_true,
            reps=played.reps,
            record=digest(played.record),
        )
        self._file.flush()

    def sealed(self, session_id: str, seq: int, result: dict[str, Any]) -> None:
        """Note that `session:close` was answered: everything up to `seq` is stored."""
        self._write(
            kind="sealed", session_id=session_id, seq=seq, result=digest(result), t=self._now()
        )
        self._file.flush()

    def _now(self) -> float:
        return round(self._clock.monotonic(), 6)

    def _write(self, **line: Any) -> None:
        self._file.write(json.dumps(line, separators=(",", ":"), ensure_ascii=False) + "\n")

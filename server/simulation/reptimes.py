"""Which message completed a repetition: the set is scored again, and the answer is exact."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from server.simulation.latency import Latencies
from sessions.frames import decode
from sessions.scoring.batch import Batch
from sessions.scoring.marks import Rep
from sessions.scoring.plan import SetPlan

KEPT_SETS = 400
"""Sets kept for this; a longer run measures its first ones."""


@dataclass(slots=True)
class Take:
    """One set as it was sent, and when the server told its repetitions."""

    plan: SetPlan
    payloads: list[bytes] = field(default_factory=list)
    sent_at: list[float] = field(default_factory=list)
    """Monotonic seconds at which each payload was handed to the socket."""
    told_at: dict[int, float] = field(default_factory=dict)
    """Monotonic seconds at which each `rep_no` was received."""

    def note(self, payload: bytes, sent_at: float) -> None:
        """Keep a payload with its time of sending."""
        self.payloads.append(payload)
        self.sent_at.append(sent_at)


def rep_latencies(takes: Sequence[Take]) -> Latencies:
    """Return the times from sending the message that completes a repetition to its `rep`.

    Scoring is a pure function of the messages, so scoring them here finds the very message that
    closed each repetition on the server. All sets are scored side by side in one batch.
    """
    latencies = Latencies()
    batch = Batch()
    slots = [batch.open(take.plan) for take in takes]
    longest = max((len(take.payloads) for take in takes), default=0)
    for k in range(longest):
        now = [n for n, take in enumerate(takes) if k < len(take.payloads)]
        work = [(slots[n], decode(takes[n].payloads[k], takes[n].plan.space)) for n in now]
        for mark in batch.step(work):
            take = takes[now[mark.work_index]]
            told_at = take.told_at.get(mark.rep_no) if isinstance(mark, Rep) else None
            if told_at is not None:
                latencies.add(told_at - take.sent_at[k])
    return latencies

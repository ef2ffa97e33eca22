"""The ring of unacknowledged messages: numbers, marks, holes."""

import asyncio

from hypothesis import given
from hypothesis import strategies as st

from server.simulation.ring import Ring


def _filled(n: int) -> Ring:
    ring = Ring()
    for i in range(n):
        ring.append("frames", bytes([i]))
    while ring.next_unsent() is not None:
        pass
    return ring


def test_numbers_rise_without_holes() -> None:
    assert [message.seq for message in _filled(4)] == [0, 1, 2, 3]


def test_buffered_is_told_once_and_kept_until_stored() -> None:
    ring = _filled(5)
    assert [m.seq for m in ring.acknowledge(2, -1)] == [0, 1, 2]
    assert (len(ring), ring.unbuffered) == (5, 2)
    assert [m.seq for m in ring.acknowledge(3, 2)] == [3]
    assert [m.seq for m in ring] == [3, 4]
    assert ring.acknowledge(3, 2) == []


def test_a_late_mark_changes_nothing() -> None:
    ring = _filled(5)
    ring.acknowledge(4, 3)
    assert ring.acknowledge(1, 0) == []
    assert (ring.buffered, ring.stored, ring.end) == (4, 3, 5)


def test_a_mark_beyond_the_end_counts_what_there_is() -> None:
    ring = _filled(2)
    assert len(ring.acknowledge(99, 99)) == 2
    assert (ring.buffered, ring.stored, len(ring)) == (1, 1, 0)


def test_a_hole_sends_again_from_there_in_order() -> None:
    ring = _filled(6)
    ring.acknowledge(2, 1)
    assert ring.rewind(3)
    sent = []
    while (message := ring.next_unsent()) is not None:
        sent.append(message.seq)
    assert sent == [3, 4, 5]


def test_what_is_forgotten_cannot_be_sent_again() -> None:
    ring = _filled(6)
    ring.acknowledge(5, 3)
    assert not ring.rewind(2)
    assert not ring.rewind(7)
    assert ring.next_unsent() is None


async def test_a_message_waiting_for_its_answer_stays() -> None:
    ring = Ring()
    answer = asyncio.get_running_loop().create_future()
    ring.append("session:close", {"reason": "finished"}, answer)
    ring.next_unsent()
    ring.acknowledge(0, 0)
    assert len(ring) == 1
    assert ring.rewind(0)
    answer.set_result({})
    ring.acknowledge(0, 0)
    assert len(ring) == 0


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-1, 60), st.integers(-1, 60))))
def test_positions_stay_in_order_whatever_comes(steps: list[tuple[int, int, int]]) -> None:
    ring = Ring()
    sizes: list[int] = []
    for kind, first, second in steps:
        if kind == 0:
            body: bytes | dict[str, int] = {} if second % 3 == 0 else bytes(1 + second)
            sizes.append(ring.append("frames", body).size)
        elif kind == 1:
            ring.next_unsent()
        elif kind == 2:
            ring.acknowledge(first, second)
        else:
            ring.rewind(first)
        assert ring.start <= ring.cursor <= ring.end
        assert -1 <= ring.stored <= ring.buffered < max(1, ring.end)
        assert [m.seq for m in ring] == list(range(ring.start, ring.end))
        assert ring.bytes_with_next == sum(sizes[ring.buffered + 1 : ring.cursor + 1]) - sum(
            sizes[ring.cursor + 1 : ring.buffered + 1]
        )

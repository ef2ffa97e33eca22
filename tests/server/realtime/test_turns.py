"""Turns of the loop: everybody is written once, and a pause is made only while much comes."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.metrics import REGISTRY
from server.realtime.turns import ENOUGH, HURRY, TIMED, WINDOW_S, WORTH, Turns

PAUSE_S = 0.004


class Hall:
    """A loop whose time is told by hand, and what was done in it."""

    def __init__(self, pause_s: float = PAUSE_S) -> None:
        self.now = 0.0
        self.hurried = False
        self.pauses: list[float] = []
        self.turns = Turns(pause_s, lambda: self.now, lambda: self.hurried, self._sleep)

    def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    async def turn(self, took: int, seconds: float) -> int:
        """Let so many messages come in one turn; return the pauses it made."""
        before = len(self.pauses)
        self.now += seconds
        for _ in range(took):
            self.turns.took()
        await asyncio.sleep(0)
        return len(self.pauses) - before


class Line:
    """Counts how often it is written."""

    def __init__(self) -> None:
        self.flushed = 0

    def flush(self) -> None:
        self.flushed += 1


async def test_what_was_put_in_a_turn_is_written_at_its_end() -> None:
    hall, lines = Hall(), [Line(), Line()]
    for line in lines:
        hall.turns.soon(line)
    assert [line.flushed for line in lines] == [0, 0]
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [line.flushed for line in lines] == [1, 1]


def spent(stage: str) -> float:
    """Return the seconds a stage has taken so far."""
    value = REGISTRY.get_sample_value("gemgem_stage_seconds_total", {"stage": stage})
    assert value is not None
    return value


async def test_some_reads_are_timed_and_stand_for_all() -> None:
    hall = Hall()
    before = spent("receive")
    chosen = [hall.turns.took() for _ in range(3 * TIMED)]
    assert chosen == [*[False] * (TIMED - 1), True] * 3
    for seconds in (0.001, 0.002, 0.003):
        hall.turns.timed(seconds)
    await asyncio.sleep(0)
    assert spent("receive") == before, "told once a window"
    await hall.turn(1, WINDOW_S)
    assert spent("receive") - before == pytest.approx(0.006 * TIMED)


async def test_writing_is_timed() -> None:
    hall = Hall()
    before = spent("send")

    class Slow(Line):
        def flush(self) -> None:
            hall.now += 0.002

    for _ in range(2):
        hall.turns.soon(Slow())
    await hall.turn(1, WINDOW_S)
    assert spent("send") - before == pytest.approx(0.004)


async def test_a_quiet_server_makes_no_pause() -> None:
    hall = Hall()
    each = 2 * PAUSE_S / WORTH
    for _ in range(500):
        await hall.turn(1, each)
    assert not hall.pauses


async def test_a_pause_is_made_while_much_comes_and_not_after() -> None:
    hall = Hall()
    each = PAUSE_S / WORTH / 4
    for _ in range(1000):
        await hall.turn(1, each)
    assert set(hall.pauses) == {PAUSE_S}
    await hall.turn(1, 2 * WINDOW_S)
    assert await hall.turn(1, PAUSE_S) == 0


async def test_a_turn_that_found_enough_makes_no_pause() -> None:
    hall = Hall()
    for _ in range(50):
        await hall.turn(ENOUGH, PAUSE_S)
    assert not hall.pauses


async def test_what_is_only_written_makes_no_pause() -> None:
    hall = Hall()
    for _ in range(1000):
        await hall.turn(1, PAUSE_S / WORTH / 4)
    made = len(hall.pauses)
    hall.turns.soon(Line())
    await asyncio.sleep(0)
    assert len(hall.pauses) == made


async def test_pauses_are_short_while_something_is_under_way() -> None:
    hall = Hall()
    for _ in range(100):
        await hall.turn(20, PAUSE_S)
    hall.hurried = True
    assert await hall.turn(20, PAUSE_S) == 1
    assert hall.pauses[-1] == PAUSE_S / HURRY
    hall.hurried = False
    assert await hall.turn(20, PAUSE_S) == 1


async def test_none_is_made_where_none_is_wanted() -> None:
    hall = Hall(pause_s=0.0)
    for _ in range(1000):
        await hall.turn(3, 0.0001)
    assert not hall.pauses


@given(st.lists(st.tuples(st.integers(0, 200), st.floats(0, 0.05)), max_size=60))
def test_a_turn_pauses_at_most_once(played: list[tuple[int, float]]) -> None:
    async def play() -> None:
        hall = Hall()
        for took, seconds in played:
            assert await hall.turn(took, seconds) <= 1

    asyncio.run(play())

"""The rows of the state: fields are views of them, wherever they are read and written."""

import numpy as np
import pytest

from sessions.scoring.layout import FIELDS, ROWS, put_rows
from sessions.scoring.state import State
from tests.sessions.scoring.made import MOTIONS, plan


def filled(capacity: int) -> State:
    """Every field of every slot holds other bytes than its neighbours."""
    state = State(capacity)
    for k, (name, (_, before, _)) in enumerate(FIELDS.items()):
        field = getattr(state, name)
        for slot in range(capacity):
            field[(slice(None),) * len(before) + (slot,)] = (k + 7 * slot) % 100 + 1
    return state


def told_of(state: State, slot: int) -> dict[str, bytes]:
    """Return the bytes of each field of a slot."""
    return {
        name: getattr(state, name)[(slice(None),) * len(before) + (slot,)].tobytes()
        for name, (_, before, _) in FIELDS.items()
    }


def told(state: State) -> list[dict[str, bytes]]:
    """Return the same of every slot."""
    return [told_of(state, slot) for slot in range(state.capacity)]


def test_a_field_lies_in_one_row_at_most() -> None:
    names = [name for row in ROWS.values() for name in row]
    assert len(names) == len(set(names))
    assert set(names) <= FIELDS.keys()


def test_rows_fetched_and_stored_carry_the_fields_and_touch_no_other_slot() -> None:
    state = filled(5)
    before, frozen = told(state), state.frozen.copy()
    slot = np.array([3, 1])
    for name in ROWS:
        rows = getattr(state, name)
        put_rows(rows, slot, rows.take(slot))
    assert told(state) == before
    past = state.past.take(slot)
    past["last_us"] = 1_000, 2_000
    past["frozen"] += 1
    put_rows(state.past, slot, past)
    assert state.last_us[[1, 3]].tolist() == [2_000, 1_000]
    assert (state.frozen - frozen).tolist() == [0, 1, 0, 1, 0]
    after = told(state)
    assert [after[k] == before[k] for k in range(5)] == [True, False, True, False, True]


def test_rows_of_numbers_are_stored_whole() -> None:
    state = filled(5)
    slot = np.array([4, 0])
    put_rows(state.speeds, slot, np.arange(128, dtype=np.float32).reshape(2, 64))
    assert state.speeds[0].tolist() == list(range(64, 128))
    assert state.speeds[4].tolist() == list(range(64))
    assert (state.speeds[1:4] == filled(5).speeds[1:4]).all()


def test_growing_keeps_every_field() -> None:
    state = filled(3)
    before = told(state)
    state.grow(8, 0, 0)
    assert told(state)[:3] == before
    state.last_us[7] = 12
    assert state.past["last_us"].tolist()[7] == 12


def test_growing_keeps_the_frames_of_the_rings() -> None:
    state = State(2)
    state.grow(2, 3, 2)
    state.ring_us[1] = 5, 6, 7
    state.ring_f[1] = 0.5
    state.grow(4, 5, 3)
    assert state.ring_us[1].tolist() == [5, 6, 7, 0, 0]
    assert state.ring_f[1, :3].tolist() == [[0.5, 0.5, 0.0]] * 3
    # The fields are the rows, not copies of them.
    state.ring_x[3, 4] = 2.5
    assert state.rings[3, 4]["ring_x"] == 2.5


def test_memory_is_told_once_for_a_row_and_its_fields() -> None:
    fields = sum(
        np.dtype(kind).itemsize * int(np.prod(before + after))
        for kind, before, after in FIELDS.values()
    )
    assert fields <= State(8).nbytes() <= fields + 8 * len(ROWS)


@pytest.mark.parametrize("motion", MOTIONS)
def test_a_slot_begins_alike_whatever_was_in_it(motion: str) -> None:
    used, new = filled(2), State(2)
    for state in (used, new):
        state.assign(1, plan(motion), 0)
        state.anchors[:, 1] = 0.0, 1.0
    mine, theirs, other = told_of(used, 1), told_of(new, 1), told_of(used, 0)
    untouched = told_of(filled(2), 0)
    for name in FIELDS.keys() - {"motion"}:
        assert mine[name] == theirs[name]
        assert other[name] == untouched[name]

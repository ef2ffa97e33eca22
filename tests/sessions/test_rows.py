"""Frames taken of many sessions at once do what they would have done one by one."""

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sessions.engine import Engine
from sessions.rows import LARGEST, RING, Rows
from sessions.session import Session
from sessions.terms import Message
from tests.sessions.test_engine import FRAMES, START, Ear, House

OTHER = FRAMES[0][:3] + b"\x01" + FRAMES[0][4:]
"""As long as the others, but of another space."""
BAD = b"rubbish that is no frame message"


def offered(engine: Engine, frames: Sequence[tuple[Session, int, bytes]]) -> list[bool]:
    """Let frames come as the edge finds them: together, and one by one what is not taken so.

    Returns:
        Which were taken together.
    """
    berths = np.array([session.berth() for session, _, _ in frames])
    seqs = np.array([seq for _, seq, _ in frames])
    taken = np.zeros(len(frames), np.bool_)
    for size in {len(payload) for _, _, payload in frames}:
        at = np.flatnonzero([len(payload) == size for _, _, payload in frames])
        parts = np.frombuffer(b"".join([frames[n][2] for n in at]), np.uint8).reshape(at.size, size)
        taken[at] = engine.take_frames(berths[at, 0], berths[at, 1], seqs[at], parts)
    for n in np.flatnonzero(~taken):
        session, seq, payload = frames[n]
        session.offer_frames(seq, payload)
    return [bool(one) for one in taken]


@dataclass
class Run:
    """A house whose sessions are played step by step, together or one by one."""

    together: bool
    house: House
    players: list[tuple[Session, Ear]] = field(default_factory=list)
    waiting: list[tuple[Session, int, bytes]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.house.engine.gather = self.gather
        self.players = [self.house.enter(f"s{n}") for n in range(3)]

    def gather(self) -> None:
        """Bring what came since the last tick, at most one frame of each session."""
        frames, self.waiting = self.waiting, []
        if not self.together:
            for session, seq, payload in frames:
                session.offer_frames(seq, payload)
        elif frames:
            offered(self.house.engine, frames)

    async def step(self, who: int, what: str, n: int) -> None:
        """Do one thing."""
        session, ear = self.players[who]
        if what in ("frame", "bad", "other", "again", "ahead"):
            payload = {"bad": BAD, "other": OTHER}.get(what, FRAMES[n % len(FRAMES)])
            off = {"again": -1, "ahead": 2}.get(what, 0)
            if all(one is not session for one, _, _ in self.waiting):
                self.waiting.append((session, max(0, session.expected + off), payload))
        elif what in ("start", "end", "pause"):
            event, payload = {
                "start": ("set:start", {**START, "set_no": n + 1}),
                "end": ("set:end", {"set_no": n}),
                "pause": ("session:pause", {"paused": n % 2 == 0}),
            }[what]
            # What waits in the socket comes first.
            self.waiting, mine = [], self.waiting
            for one, seq, frame in mine:
                one.offer_frames(seq, frame)
            session.offer(Message(session.expected, event, payload), 256, None, 0.0)
        elif what == "append":
            await self.house.appender.append_due()
        elif what == "again here":
            session.player = ear
        elif what == "look":
            assert session.cursor <= session.expected
        self.house.tick(n % 3)

    def kept(self) -> dict[str, list[Any]]:
        """Return what was appended of each session, message by message."""
        found: dict[str, list[Any]] = {session.id: [] for session, _ in self.players}
        for append in self.house.stream.appends:
            for item in append.items:
                document = dict(item.document)
                document.pop("at")
                of = found[append.session_id]
                if "messages" in document:
                    of += [*enumerate(document["messages"], document["seq0"])]
                else:
                    of.append(document)
        return found


STEPS = st.lists(
    st.tuples(
        st.integers(0, 2),
        st.sampled_from(
            ["frame"] * 12
            + ["bad", "other", "again", "ahead", "start", "end", "pause"]
            + ["append"] * 3
            + ["again here", "look"]
        ),
        st.integers(0, 40),
    ),
    max_size=120,
)


@settings(deadline=None, max_examples=60)
@given(STEPS, st.sampled_from([{}, {"unacked_messages": 5}, {"unacked_bytes": 2000}]))
def test_together_or_one_by_one_is_the_same(
    steps: list[tuple[int, str, int]], limits: dict[str, int]
) -> None:
    async def play(together: bool) -> Run:
        run = Run(together, House(**limits))
        for step in steps:
            await run.step(*step)
        run.house.tick(15)
        await run.house.appender.append_due()
        run.house.tick(15)
        return run

    async def check() -> None:
        plain, quick = await play(False), await play(True)
        assert quick.kept() == plain.kept()
        for (one, heard), (other, told) in zip(plain.players, quick.players, strict=True):
            assert (other.expected, other.cursor, other.state) == (
                one.expected,
                one.cursor,
                one.state,
            )
            assert other.records == one.records
            assert other.recent == one.recent
            for event in ("gap", "refused", "rep", "peak", "score"):
                assert told.told(event) == heard.told(event)

    # What is told in a set has the time in it when it was begun.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("tests.sessions.test_engine.Hand.time_us", lambda _: 1_000_000)
        asyncio.run(check())


@pytest.fixture
def house() -> House:
    return House()


def streaming(house: House, count: int = 3) -> list[Session]:
    """Return sessions whose next frame is taken together with others."""
    sessions = [house.enter(f"s{n}")[0] for n in range(count)]
    offered(house.engine, [(session, 0, FRAMES[0]) for session in sessions])
    house.tick()
    return sessions


def taken(house: House, session: Session, payload: bytes, seq: int | None = None) -> bool:
    """Tell whether a frame is taken together with others."""
    number = session.expected if seq is None else seq
    return offered(house.engine, [(session, number, payload)])[0]


async def test_frames_like_the_last_are_taken_and_others_are_not(house: House) -> None:
    first, second, third = streaming(house)
    assert taken(house, first, FRAMES[1])
    assert not taken(house, second, OTHER)
    assert not taken(house, third, FRAMES[1], seq=third.expected + 1), "one is missing"
    assert not taken(house, third, FRAMES[1], seq=0), "it was here"
    assert not taken(house, third, FRAMES[1] + b"\0")
    assert not taken(house, third, b"")
    assert taken(house, first, FRAMES[2])
    house.tick()
    assert first.cursor == 3


@pytest.mark.parametrize(
    ("limits", "under_way", "landed"),
    [
        ({}, RING, 0),
        ({"unacked_messages": 6}, 2, 3),
        ({"unacked_bytes": 8 * len(FRAMES[1])}, 4, 3),
    ],
)
async def test_a_row_takes_what_may_wait_while_an_append_is_under_way(
    limits: dict[str, int], under_way: int, landed: int
) -> None:
    house = House(**limits)
    (session,) = streaming(house, 1)
    house.tick(15)
    await house.appender.append_due()
    row, key = session.berth()
    frame = np.frombuffer(FRAMES[1], np.uint8)[None]

    def brings(first: int, most: int) -> int:
        """Return how many were taken."""
        for seq in range(first, first + most):
            if not house.engine.take_frames(*np.array([[row], [key], [seq]]), frame)[0]:
                return seq - first
        return most

    assert brings(1, 3) == 3
    house.tick(15)
    ((_, append),) = house.engine.cut_due(0)
    assert append.packed, "it was cut as the row had it"
    assert brings(4, 99) == under_way
    session.landed()
    assert session.buffered == 3
    assert brings(4 + under_way, 99) == landed


async def test_only_who_plays_a_session_has_its_frames_taken(house: House) -> None:
    session, other, _ = streaming(house)
    row, key = session.berth()
    frame = np.frombuffer(FRAMES[1], np.uint8)[None]

    def brings(row: int, key: int) -> bool:
        seqs = np.array([session.expected])
        return bool(house.engine.take_frames(np.array([row]), np.array([key]), seqs, frame)[0])

    assert not brings(row, other.berth()[1])
    assert not brings(row, 0)
    assert not brings(row, -1), "the key of a row that takes nothing"
    assert brings(row, key)
    session.player = Ear()
    assert not brings(row, key), "a connection that was replaced"
    house.engine.remove(other)
    assert not brings(*other.berth())
    assert other.expected == 1, "what was taken before stays counted"


async def test_nothing_is_taken_ahead_of_what_waits_in_an_inbox(house: House) -> None:
    session, *_ = streaming(house)
    session.offer(Message(1, "set:start", START), 256, None, 0.0)
    assert not taken(house, session, FRAMES[1])
    house.tick()
    assert taken(house, session, FRAMES[2])


async def test_what_a_session_was_told_of_early_is_appended_all_the_same(house: House) -> None:
    session, *_ = streaming(house)
    house.tick(15)
    await house.appender.append_due()
    assert taken(house, session, FRAMES[1])
    house.tick()
    assert session.cursor == 2, "as a snapshot asks"
    house.tick(15)  # and nothing comes any more
    await house.appender.append_due()
    assert session.buffered == 1


async def test_a_row_takes_no_more_than_lies_in_it_and_the_rest_waits(house: House) -> None:
    session, *_ = streaming(house)
    together = [taken(house, session, FRAMES[n], n) for n in range(1, RING + 3)]
    assert together == [True] * RING + [False] * 2
    assert session.recent[-1] == FRAMES[RING]
    house.tick(15)
    await house.appender.append_due()
    (append,) = [one for one in house.stream.appends if one.session_id == session.id]
    stored = [message for item in append.items for message in item.document["messages"]]
    assert stored == FRAMES[: RING + 3]


async def test_there_is_as_much_room_in_a_row_as_without(house: House) -> None:
    session, *_ = streaming(house)
    most = house.limits.unacked_messages
    for n in range(1, most - 1):
        assert taken(house, session, FRAMES[n % 40])
        assert not session.full(len(FRAMES[0]))
    assert not taken(house, session, FRAMES[0]), "it goes in, but no other after it"
    assert session.full(len(FRAMES[0]))
    house.tick(15)
    await house.appender.append_due()
    house.tick()
    assert not session.full(len(FRAMES[0]))
    assert session.expected == session.buffered + 1 == most


async def test_what_is_too_large_for_a_row_is_taken_by_itself(house: House) -> None:
    session, *_ = house.enter()
    wide = FRAMES[0][:4] + (7).to_bytes(2, "little") + FRAMES[0][6:24] + 7 * FRAMES[0][24:]
    longest = FRAMES[0][:4] + (8).to_bytes(2, "little") + FRAMES[0][6:24] + 8 * FRAMES[0][24:]
    assert len(wide) <= LARGEST < len(longest)
    for payload, how in ((wide, True), (longest, False)):
        taken(house, session, payload)
        house.tick()
        assert taken(house, session, payload) is how
        house.tick()
    assert session.recent == [wide, wide, longest, longest]


async def test_sessions_with_messages_of_several_lengths_are_appended_together(
    house: House,
) -> None:
    first, second, third = streaming(house)
    two = FRAMES[0][:4] + (2).to_bytes(2, "little") + FRAMES[0][6:] + FRAMES[1][24:]
    taken(house, second, two)
    house.tick()
    assert taken(house, first, FRAMES[1])
    assert taken(house, second, two)
    assert taken(house, third, FRAMES[3])
    house.tick(15)
    await house.appender.append_due()
    stored = {
        append.session_id: [m for item in append.items for m in item.document["messages"]]
        for append in house.stream.appends
    }
    assert stored == {
        "s0": [FRAMES[0], FRAMES[1]],
        "s1": [FRAMES[0], two, two],
        "s2": [FRAMES[0], FRAMES[3]],
    }


async def test_there_are_rows_for_as_many_as_come(house: House) -> None:
    sessions = streaming(house, 200)
    frames = [(session, 1, FRAMES[n % 20]) for n, session in enumerate(sessions)]
    assert all(offered(house.engine, frames))
    for session in sessions[::2]:
        house.engine.remove(session)
    house.tick()
    again = [house.enter(f"t{n}")[0] for n in range(100)]
    assert len({session.row for session in (*sessions[1::2], *again)}) == 200
    assert all(session.cursor == 2 for session in sessions)


def test_scores_come_evenly_however_many_there_are() -> None:
    rows: Rows[Session] = Rows(0.2)
    house = House()
    numbers = [rows.enter(house.enter(f"s{n}")[0], 0, n / 8) for n in range(8)]
    at: dict[int, list[int]] = {row: [] for row in numbers}
    for tick in range(100):
        for row in rows.scores_due(np.array(numbers + numbers[:1]), 50.0 + tick / 100):
            at[row].append(tick)
    assert all({b - a for a, b in itertools.pairwise(n[1:])} <= {19, 20, 21} for n in at.values())
    assert len({n[1] % 20 for n in at.values()}) == 8

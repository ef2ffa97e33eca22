"""The engine without sockets: who is woken, what is due when, and what becomes of the fenced."""

import asyncio
import itertools
from collections.abc import Sequence
from typing import Any, cast

import msgpack
import pytest

from config.clock import SystemClock
from config.settings import load_settings
from models.bus import Bus
from models.errors import AppError, ErrorCode
from models.play.buffer import Answer, Append, PlayBuffer, Taken
from models.play.keys import PlayKeys
from models.play.ownership import Ownership
from models.play.records import read_item
from models.therapy.rules import Therapy
from sessions.appender import Appender
from sessions.catalogue import catalogue
from sessions.dues import AT_ONCE, LEAST_TURNS
from sessions.engine import Engine
from sessions.feed import FeedHub
from sessions.opened import opened_of
from sessions.session import Session
from sessions.synthetic import ChildParameters, play_set
from sessions.terms import Message, State


class Hand(SystemClock):
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.at = 100.0

    def monotonic(self) -> float:
        return self.at


class Ear:
    """A player that keeps what it is told."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, Any]] = []

    def send(self, event: str, *args: object) -> None:
        self.heard.append((event, *args))  # type: ignore[arg-type]  # one argument each

    def tell(self, event: str, body: bytes) -> None:
        self.send(event, msgpack.unpackb(body))

    def end(self, event: str, error: AppError) -> None:
        self.heard.append((event, error.code))

    def told(self, event: str) -> list[Any]:
        return [body for name, body in self.heard if name == event]


def as_read(append: Append) -> Append:
    """Return an append with the items that are read in it."""
    content = msgpack.unpackb(append.packed or append.pack(), raw=True)[6:]
    return append._replace(items=list(map(read_item, content[::2], content[1::2])))


class Stream:
    """A stream that takes everything but what is of the fenced."""

    def __init__(self) -> None:
        self.fenced: set[str] = set()
        self.appends: list[Append] = []

    async def append(self, appends: Sequence[Append]) -> list[Answer]:
        await asyncio.sleep(0)
        self.appends += [as_read(append) for append in appends]
        return [
            Answer(Taken.FENCED, a.first - 1)
            if a.session_id in self.fenced
            else Answer(Taken.TAKEN, a.last)
            for a in appends
        ]


class House:
    """An engine with its appender."""

    def __init__(self, shards: int = 1, **limits: int) -> None:
        self.clock = Hand()
        self.keys = PlayKeys("t", shards)
        self.limits = live = load_settings().live.model_copy(update=limits)
        self.tick_s = live.tick_ms / 1000
        self.stream = Stream()
        self.engine = Engine(
            catalogue=catalogue(), hub=FeedHub(), clock=self.clock, limits=live, keys=self.keys
        )
        self.appender = Appender(
            engine=self.engine,
            buffer=cast("PlayBuffer", self.stream),
            ownership=cast("Ownership", None),
            bus=cast("Bus", None),
            keys=self.keys,
            clock=self.clock,
        )

    def enter(self, name: str = "s") -> tuple[Session, Ear]:
        """Add a session and its player."""
        document = {
            "_id": name, "child_id": "c", "opened_by": "u", "kind": "free", "schedule_id": None,
            "space": "world", "fps": 30.0, "opened_us": 0,
        }  # fmt: skip
        session, ear = Session(opened_of(document, Therapy(), ""), self.limits, 1), Ear()
        session.player = ear
        self.engine.add(session)
        return session, ear

    def tick(self, times: int = 1) -> None:
        """Let time pass, tick by tick."""
        for _ in range(times):
            self.clock.at += self.tick_s
            self.engine.tick()


@pytest.fixture
def house() -> House:
    return House()


def _frames() -> list[bytes]:
    fist = catalogue().motion("fist")
    assert fist is not None
    played = play_set(ChildParameters(side="right"), fist.definition, reps=1, seed=1)
    return [message.payload for message in played.messages(1)]


FRAMES = _frames()
START = {
    "set_no": 1, "motion": "fist", "side": "right", "asked_reps": 1, "asked_hold_s": None,
    "guide_t0_us": 0, "difficulty": None,
}  # fmt: skip


def starting(session: Session) -> None:
    """Open a set."""
    session.offer(Message(session.expected, "set:start", START), 256, None, 0.0)


@pytest.mark.parametrize("shards", [1, 4, 8])
async def test_a_chunk_ends_within_its_time_at_a_turn_of_its_shard(shards: int) -> None:
    house = House(shards)
    sessions = [house.enter(f"s{n}")[0] for n in range(24)]
    at: dict[str, list[int]] = {session.id: [] for session in sessions}
    house.tick()
    turns = 0
    for tick in range(75):
        for session in sessions:
            session.offer_frames(session.expected, FRAMES[tick % 60])
        house.tick()
        house.stream.appends.clear()
        await house.appender.append_due()
        for append in house.stream.appends:
            at[append.session_id].append(tick)
        assert len({house.keys.shard_of(one.session_id) for one in house.stream.appends}) <= 1
        turns += bool(house.stream.appends)
    chunk = house.limits.chunk_ms / house.limits.tick_ms
    for ticks in at.values():
        assert {b - a for a, b in itertools.pairwise(ticks)} <= {int(chunk), int(chunk) + 1}
    assert turns >= LEAST_TURNS * 75 // chunk - LEAST_TURNS


async def test_a_control_event_takes_the_frames_before_it_along_at_once(house: House) -> None:
    session, _ = house.enter()
    session.offer_frames(0, FRAMES[0])
    house.tick()
    starting(session)
    session.offer_frames(2, FRAMES[1])
    house.tick()
    await house.appender.append_due()
    (append,) = house.stream.appends
    assert (append.first, append.last) == (0, 2)
    assert [item.last for item in append.items] == [0, 1, 2]
    assert session.buffered == 2


async def test_a_session_may_be_lost_twice(house: House) -> None:
    session, _ = house.enter()
    house.tick()
    session.offer_frames(0, FRAMES[0])
    house.tick()
    assert session.in_turn, "its turn has not come"
    house.engine.remove(session)
    house.engine.remove(session)  # its append under way was refused, after another owner was told
    house.tick(15)
    await house.appender.append_due()
    assert not house.stream.appends


async def test_many_that_are_due_together_go_in_more_than_one_append(house: House) -> None:
    sessions = [house.enter(f"s{n}")[0] for n in range(AT_ONCE + 10)]
    for session in sessions:
        starting(session)
    house.tick()
    await house.appender.append_due()
    assert len(house.stream.appends) == AT_ONCE
    assert house.engine.due.is_set()
    await house.appender.append_due()
    assert all(session.buffered == 0 for session in sessions)


async def test_a_fenced_session_is_gone_whatever_its_client_goes_on_sending(house: House) -> None:
    old, ear = house.enter()
    house.stream.fenced.add("s")
    old.offer_frames(0, FRAMES[0])
    house.tick(13)
    await house.appender.append_due()
    assert ear.told("superseded") == [ErrorCode.SUPERSEDED]
    assert not house.engine.sessions
    house.stream.fenced.clear()
    new, _ = house.enter()
    old.offer_frames(1, FRAMES[1])
    starting(new)
    house.tick(13)
    appending = asyncio.create_task(house.appender.run())
    async with asyncio.timeout(5):
        await house.appender.settle()
    appending.cancel()
    await asyncio.gather(appending, return_exceptions=True)
    assert house.engine.sessions == {"s": new}
    assert new.buffered == 0
    assert [a.token for a in house.stream.appends[1:]] == [new.token]


async def test_one_removed_late_does_not_take_the_one_that_came_back(house: House) -> None:
    old, _ = house.enter()
    new, _ = house.enter()
    house.engine.remove(old)
    assert house.engine.sessions == {"s": new}
    starting(new)
    house.tick()
    assert new.state is State.PLAYING


async def test_frames_and_events_are_taken_in_the_order_of_their_numbers(house: House) -> None:
    session, ear = house.enter()
    assert session.offer_frames(0, FRAMES[0])
    starting(session)
    assert session.offer_frames(2, FRAMES[1])
    assert not session.offer_frames(1, FRAMES[1])  # done before: nothing is said
    assert not session.offer_frames(5, FRAMES[2])
    assert ear.heard == [("gap", {"expected": 3})]
    assert session.offer_frames(3, b"rubbish")
    assert session.offer_frames(4, FRAMES[3])
    house.tick()
    assert [body["seq"] for body in ear.told("refused")] == [3]
    assert session.cursor == session.expected == 5
    assert list(session.recent) == [FRAMES[0], FRAMES[1], FRAMES[3]]
    await house.appender.append_due()
    events = [item.document.get("event") for item in house.stream.appends[0].items]
    assert events == [None, "set:start", None, "void", None]


async def test_a_malformed_close_closes_nothing(house: House) -> None:
    session, _ = house.enter()
    starting(session)
    malformed = AppError(ErrorCode.INVALID, "pain: at most 10.")
    assert session.offer(Message(1, "session:close", None, malformed), 10, None, 0.0)
    assert session.offer_frames(2, FRAMES[0])
    house.tick()
    assert session.state is State.PLAYING
    session.abandon()
    house.tick()
    assert session.state is State.SEALED


async def test_a_session_without_room_is_busy_until_what_it_holds_has_landed(house: House) -> None:
    session, ear = house.enter()
    most = house.limits.unacked_messages
    for seq in range(most):
        room = session.offer_frames(seq, FRAMES[seq % len(FRAMES)])
        assert (session.expected, room) == (seq + 1, seq + 1 < most)
    assert not session.offer_frames(most, FRAMES[0])
    assert ear.told("refused")[0]["code"] == "busy"
    house.tick(13)
    assert not session.offer_frames(most, FRAMES[0])
    await house.appender.append_due()
    assert session.offer_frames(most, FRAMES[0])


async def test_a_session_with_too_many_bytes_is_busy_as_well(house: House) -> None:
    session, _ = house.enter()
    big = bytes(house.limits.unacked_bytes // 2)
    assert session.offer_frames(0, big)
    assert not session.offer_frames(1, big), "there is no room for another like it"
    assert session.expected == 2
    assert not session.offer_frames(2, b"x")
    house.tick()
    session.offer_frames(2, b"")
    await house.appender.append_due()  # the two are refused as frames, and take their numbers
    assert session.buffered == 1
    assert session.offer_frames(3, big)


async def test_scores_of_all_come_evenly_and_five_a_second(house: House) -> None:
    ears = []
    for n in range(20):
        session, ear = house.enter(f"s{n}")
        starting(session)
        ears.append(ear)
    house.tick()
    most = 0
    for n in range(50):
        before = sum(len(ear.told("score")) for ear in ears)
        for session in house.engine.sessions.values():
            session.offer_frames(session.expected, FRAMES[n])
        house.tick()
        if n > 10:
            most = max(most, sum(len(ear.told("score")) for ear in ears) - before)
    assert all(5 <= len(ear.told("score")) <= 7 for ear in ears)
    assert most <= 4


def gathering(house: House, brings: dict[int, list[tuple[Session, int]]]) -> None:
    """Let ticks find frames as they begin: by the number of the tick, sessions and seqs."""
    ticks = itertools.count(1)

    def gather() -> None:
        for session, seq in brings.get(next(ticks), ()):
            session.offer_frames(seq, FRAMES[seq % len(FRAMES)])

    house.engine.gather = gather


async def test_what_a_tick_finds_is_scored_and_kept_as_what_waited_for_it(house: House) -> None:
    first, ear = house.enter("first")
    second, other = house.enter("second")
    last = len(FRAMES)
    for session in (first, second):
        starting(session)
    house.tick()
    gathering(house, {1 + seq: [(first, seq)] for seq in range(1, last)})
    for seq in range(1, last):
        second.offer_frames(seq, FRAMES[seq])
        house.tick()
        await house.appender.append_due()
    house.tick(13)
    await house.appender.append_due()
    assert first.expected == second.expected == last
    assert first.buffered == second.buffered == last - 1
    assert ear.told("peak") == other.told("peak") != []
    assert first.recent == second.recent == FRAMES[last - 8 : last]
    kept: dict[str, list[bytes]] = {"first": [], "second": []}
    for append in house.stream.appends:
        for item in append.items:
            kept[append.session_id] += item.document.get("messages", ())
    assert kept["first"] == kept["second"] == FRAMES[1:]
    for session in (first, second):
        session.offer(Message(last, "set:end", {"set_no": 1}), 256, None, 0.0)
    house.tick()
    assert first.records[0]["reps"] == second.records[0]["reps"] != []


async def test_what_a_tick_finds_stays_behind_what_waits_already(house: House) -> None:
    session, _ = house.enter()
    gathering(house, {1: [(session, 1)], 2: [(session, 2)], 3: [(session, 4)]})
    starting(session)
    house.tick()  # the set begins, the frame is examined
    assert session.state is State.PLAYING
    house.tick()
    assert (session.cursor, len(session.inbox)) == (3, 0)
    session.offer(Message(3, "set:end", {"set_no": 1}), 256, None, 0.0)
    house.tick()  # the frame behind the end of the set
    assert session.state is State.IDLE
    assert session.cursor == 5
    assert session.records[0]["verdicts"]["accepted"] <= 2


async def test_frames_that_come_between_ticks_wait_for_the_next(house: House) -> None:
    session, _ = house.enter()
    for seq in range(3):
        session.offer_frames(seq, FRAMES[seq])
        assert (session.cursor, len(session.inbox)) == (seq, 1)
        house.tick()
    assert session.cursor == 3

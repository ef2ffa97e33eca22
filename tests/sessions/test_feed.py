"""Thinning: a slow reader gets the newest frame and every repetition, never an older offset."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sessions.feed import FeedHub, FeedItem, Joined, Thinner

FRAME = b"\0" * 4 + b"\1\0" + b"\0" * 18
REP = b"\x80"


class Reader(Thinner):
    """A reader whose backlog a test sets."""

    def __init__(self, max_fps: float = 1e6) -> None:
        super().__init__(self, 4, max_fps, lambda: self.now)
        self.got: list[FeedItem] = []
        self.backlog = 0
        self.renewed = 0
        self.now = 0.0
        self._pulsed = False

    def pulsed_at(self, now: float) -> None:
        self.now = now
        if self._pulsed:
            self._pulsed = not self.pulse()

    def send(self, item: FeedItem) -> None:
        self.got.append(item)

    def post(self, encoded: Any, *, lossy: bool = False) -> None:
        raise AssertionError(f"{encoded}, {lossy}: what is sent is kept in `got`")

    def late(self) -> None:
        self._pulsed = True

    def renew(self) -> None:
        self.renewed += 1
        self.restart()  # as a sink does when the snapshot comes


def item(offset: int, **extra: bytes) -> FeedItem:
    return FeedItem("s", offset, FRAME, extra)


def test_a_fast_reader_gets_everything() -> None:
    reader = Reader()
    for n in range(10):
        reader.feed(item(n))
        reader.pulsed_at(n / 50)
    assert [i.offset for i in reader.got] == list(range(10))


def test_a_slow_reader_gets_the_newest_and_every_repetition() -> None:
    reader = Reader()
    reader.backlog = 4
    reader.pulsed_at(0.0)
    for n in range(5):
        reader.feed(item(n))
    reader.feed(item(5, rep=REP))
    reader.feed(item(6))
    reader.feed(item(7))
    assert [(i.offset, i.frames) for i in reader.got] == [(5, b"")], "without its picture"
    reader.backlog = 0
    reader.pulsed_at(0.5)
    assert [i.offset for i in reader.got] == [5, 7]
    assert reader.renewed == 0


def test_who_was_slow_for_long_starts_afresh() -> None:
    reader = Reader()
    reader.backlog = 4
    reader.pulsed_at(1.0)
    reader.feed(item(0))
    reader.pulsed_at(1.02)
    reader.feed(item(1))
    reader.pulsed_at(2.5)
    reader.backlog = 0
    reader.pulsed_at(2.6)
    assert reader.renewed == 1
    assert not reader.got, "it is in the snapshot already"
    reader.pulsed_at(9.0)
    assert reader.renewed == 1


def test_a_rate_is_kept_to() -> None:
    reader = Reader(max_fps=10)
    for n in range(300):
        reader.pulsed_at(n / 100)
        reader.feed(item(n))
    assert 28 <= len(reader.got) <= 33


def test_what_is_told_keeps_its_picture_whatever_the_rate() -> None:
    reader = Reader(max_fps=1)
    for n in range(3):
        reader.feed(item(n))
    reader.feed(item(3, peak=REP))
    reader.feed(FeedItem("s", 4, b"", {"rep": REP}))
    assert [(i.offset, i.frames) for i in reader.got] == [(0, FRAME), (3, FRAME), (4, b"")]
    reader.pulsed_at(1.9)
    reader.feed(item(5))
    reader.pulsed_at(2.0)
    assert reader.got[-1].offset == 5, "two pictures have had their second each"


def test_the_last_that_was_held_back_is_sent_at_the_end() -> None:
    reader = Reader(max_fps=1)
    for n in range(3):
        reader.feed(item(n))
    reader.flush()
    reader.flush()
    assert [i.offset for i in reader.got] == [0, 2]


@given(
    st.lists(
        st.tuples(st.booleans(), st.booleans(), st.integers(0, 8), st.floats(0, 0.2)), max_size=80
    )
)
def test_offsets_never_go_back_and_no_repetition_is_dropped(
    steps: list[tuple[bool, bool, int, float]],
) -> None:
    reader, now = Reader(max_fps=20), 0.0
    telling = []
    for n, (rep, pulse, backlog, wait) in enumerate(steps):
        now += wait
        reader.now = now
        reader.backlog = backlog
        if pulse:
            reader.pulsed_at(now)
        reader.feed(item(n, **({"rep": REP} if rep else {})))
        telling += [n] if rep else []
    offsets = [i.offset for i in reader.got]
    assert offsets == sorted(set(offsets))
    assert set(telling) <= set(offsets)


class Sink:
    """Keeps what a hub sends."""

    def __init__(self) -> None:
        self.items: list[FeedItem] = []
        self.starts: list[Joined] = []
        self.results: list[dict[str, Any]] = []

    def feed(self, item: FeedItem) -> None:
        self.items.append(item)

    def snapshot(self, joined: Joined) -> None:
        self.starts.append(joined)

    def ended(self, session_id: str, result: dict[str, Any]) -> None:
        self.results.append(result)


def test_a_hub_makes_a_feed_only_while_somebody_reads() -> None:
    hub, sink = FeedHub(), Sink()
    hub.publish("s", FRAME)
    assert hub.join("s", sink) == 0
    assert hub.join("s", sink) == 0, "joining twice"
    hub.publish("s", FRAME, [{"peak": b"\x80"}, {"rep": b"\x80"}], b"\x80")
    assert [(i.offset, i.frames != b"", sorted(i.extra)) for i in sink.items] == [
        (1, True, ["peak", "score"]),
        (2, False, ["rep"]),
    ]
    hub.refresh("s", lambda offset: Joined("s", {}, 1, offset))
    assert sink.starts[0].offset == 2
    hub.leave("s", sink)
    assert not hub.watched("s")
    hub.join("s", sink)
    hub.end("s", {"done": True})
    assert sink.results == [{"done": True}]
    assert hub.readers("s") == 0

"""The load: many players and their watchers over bare sockets, sent by the clock, heard by epoll.

All players of a run send the same round at the same time, spread evenly over a period, and share
what they send: a message is made once a round for each simulated child, and sending it is one call
of the kernel. Latency counts from the call that sent a frame to the moment its effect was read.
"""

import gc
import select
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass

from tests.load.transport.conn import ROUNDS, Conn, Heard
from tests.load.transport.door import Door
from tests.load.transport.motion import Motion
from tests.load.transport.speech import GAME

SLOTS = 32
"""Parts of a period in which players send: about a millisecond each."""
STRIDE = 13
"""From the slot of one player to that of the next: coprime to their number."""
RATE = 30
"""Frames a second of each player."""
WATCH_EVERY = 5
"""One session in so many has a watcher."""
ASK_EVERY = 10
"""One player in so many asks the time once a second."""
SETTLE_S = 2.0
"""How long after the last frame its effects may come."""


@dataclass(frozen=True, slots=True)
class Window:
    """What was sent and heard at one level, the warming up left out."""

    sessions: int
    seconds: float
    frames: int
    """Sent within the window, by all players."""
    unsettled: int
    """Connections that had not heard of all that was sent when the wait for it ended."""
    thinned: float
    """Share of the watched frames that did not come, of all rounds."""
    late: "array[float]"
    """By how much the generator began each slot too late, seconds."""
    heard: Heard


class Generator:
    """Players and watchers of one server. One thread, nothing waits but for the clock.

    Args:
        watch_every: one session in so many is watched, 0 for none.
    """

    def __init__(self, door: Door, motion: Motion, watch_every: int = WATCH_EVERY) -> None:
        self.players: list[Conn] = []
        self.watchers: list[Conn] = []
        self._door = door
        self._motion = motion
        self._watch_every = watch_every
        self._rate = RATE // motion.frames
        """Messages a second of each player."""
        self._slot_s = 1 / self._rate / SLOTS
        self._conns: dict[int, Conn] = {}
        self._epoll = select.epoll()
        self._number = 0
        """The round."""
        self._wires: dict[tuple[int, int], bytes] = {}
        self._clock = door.dialect.event(GAME, "clock", [{"t_us": 1}], 7)

    def idle(self, count: int) -> None:
        """Add connections that join and then do nothing."""
        self._add(self._door.idle(count, self.pump))

    def grow(self, players: int) -> None:
        """Add players until there are so many, each fifth with a watcher."""
        have = len(self.players)
        if players <= have:
            return
        made = self._door.players(players - have, self.pump)
        self._add(made)
        for n, player in enumerate(made, have):
            player.slot = n * STRIDE % SLOTS
            player.child = n % len(self._motion)
            player.frames = self._motion.frames
        self.players += made
        every = self._watch_every
        watched = [p for n, p in enumerate(made, have) if every and n % every == 0]
        watchers = self._door.watchers(watched, self.pump)
        self._add(watchers)
        for watcher in watchers:
            watcher.frames = self._motion.frames
        self.watchers += watchers

    @property
    def sent(self) -> int:
        """Frames sent so far."""
        return self._motion.frames * sum(conn.sent for conn in self.players)

    def _add(self, made: list[Conn]) -> None:
        for conn in made:
            conn.made()
            self._conns[conn.fd] = conn
            self._epoll.register(conn.fd, select.EPOLLIN)

    def pump(self, seconds: float = 0.0) -> None:
        """Hear what is there, and wait for more until the time is over."""
        until = time.perf_counter() + seconds
        while True:
            self._hear(max(0.0, until - time.perf_counter()))
            if time.perf_counter() >= until:
                return

    def _hear(self, seconds: float) -> None:
        ready = self._epoll.poll(seconds)
        if ready:
            now = time.perf_counter()
            conns = self._conns
            for fd, _ in ready:
                conn = conns[fd]
                conn.ready(now)
                if conn.over:
                    self._epoll.unregister(fd)
                    del conns[fd]

    def run(self, players: int, warm_s: float, seconds: float, mark: Callable[[], None]) -> Window:
        """Let the first so many players play.

        Args:
            mark: called when the window begins and when it ends.
        """
        playing = self.players[:players]
        among = set(playing)
        watching = [w for w in self.watchers if w.player in among]
        slots: list[list[Conn]] = [[] for _ in range(SLOTS)]
        for conn in playing:
            slots[conn.slot].append(conn)
            conn.seq_round = self._number + 1 - conn.seq
        asking = playing[::ASK_EVERY] if self._door.scored else []
        ask_in = {conn.fd: n % self._rate for n, conn in enumerate(asking)}
        before = sum(w.left_out for w in watching)
        heard = self._door.heard
        late = array("d")
        warm, total = (round(s / self._slot_s) for s in (warm_s, warm_s + seconds))
        gc.collect()
        gc.disable()
        try:
            sent = self._send(slots, ask_in, warm, total, late, mark, heard)
        finally:
            gc.enable()
        self._number += ROUNDS  # so that nothing late is taken for something of the next run
        both = [*playing, *watching]
        until = time.perf_counter() + SETTLE_S
        while True:
            left = sum(not conn.settled(self._door.scored) for conn in both)
            if not left or time.perf_counter() > until:
                break
            self.pump(0.02)
        thinned = sum(w.left_out for w in watching) - before
        fed = max(1, len(watching) * total // SLOTS)
        frames = sent * self._motion.frames
        return Window(players, seconds, frames, left, thinned / fed, late, heard.taken())

    def _send(
        self,
        slots: list[list[Conn]],
        ask_in: dict[int, int],
        warm: int,
        total: int,
        late: "array[float]",
        mark: Callable[[], None],
        heard: Heard,
    ) -> int:
        """Send slot after slot; return how many messages the window had."""
        begin = time.perf_counter() + 0.05
        window = 0
        for step in range(total):
            due = begin + step * self._slot_s
            self._hear(max(0.0, due - time.perf_counter()))
            while (now := time.perf_counter()) < due:
                self._hear(due - now)
            if step == warm:
                heard.clear()
                mark()
            if step >= warm:
                late.append(now - due)
            slot = step % SLOTS
            if slot == 0:
                self._number += 1
                self._wires.clear()
            sent = self._send_slot(slots[slot], ask_in)
            if step >= warm:
                window += sent
        mark()
        return window

    def _send_slot(self, conns: list[Conn], ask_in: dict[int, int]) -> int:
        wires, number = self._wires, self._number
        place, turn = number % ROUNDS, number % self._rate
        clock = time.perf_counter
        for conn in conns:
            seq = conn.seq
            key = (seq, conn.child)
            wire = wires.get(key)
            if wire is None:
                payload = self._motion.payload(conn.child, number)
                wire = wires[key] = self._door.dialect.frames(seq, payload)
            conn.seq = seq + 1
            conn.sent += 1
            conn.sent_at[place] = now = clock()
            conn.send(wire)
            if ask_in.get(conn.fd) == turn:
                conn.ask(self._clock, now)
        return len(conns)

    def close(self) -> None:
        """Hang up everywhere."""
        self._door.close()
        self._epoll.close()

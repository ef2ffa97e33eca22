"""Who owns a session: opening it, taking it over, and the place of its child."""

from collections import defaultdict
from collections.abc import Container, Sequence
from dataclasses import dataclass

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from config.clock import Clock
from models.play import scripts
from models.play.keys import PlayKeys
from models.play.records import Item


@dataclass(frozen=True, slots=True)
class Owned:
    """A session taken over: the new owner's token, and the marks as they stand.

    `lost`: Redis had lost something; `expected` may have gone back.
    """

    token: int
    last: int
    stored: int
    sealed: bool
    lost: bool


class Ownership:
    """The marks of sessions in Redis, apart from what is appended.

    Raises:
        redis.exceptions.RedisError, OSError, TimeoutError: from every method; the same call may
            be made again.
    """

    def __init__(self, redis: Redis, keys: PlayKeys, ttl_seconds: int, clock: Clock) -> None:
        self._redis = redis
        self._keys = keys
        self._ttl = ttl_seconds
        self._clock = clock
        self._open = redis.register_script(scripts.OPEN)
        self._take = redis.register_script(scripts.TAKE)
        self._snapshot = redis.register_script(scripts.SNAPSHOT)
        self._lower = redis.register_script(scripts.LOWER)
        self._hold = redis.register_script(scripts.HOLD)
        self._settle = redis.register_script(scripts.SETTLE_PLACES)

    @property
    def shards(self) -> int:
        """How many shards the sessions are spread over."""
        return self._keys.shards

    async def claim_opening(
        self, user_id: str, client_key: str, session_id: str, resume_token: str
    ) -> tuple[str, str]:
        """Return the session and the resume token of this `client_key`: those given, if it is new.

        The token lies here in clear, for its owner alone and no longer than the marks, so that an
        answer that was lost can be given again by any worker.
        """
        key = self._keys.opening(user_id, client_key)
        pair = f"{session_id} {resume_token}"
        known = await self._redis.set(key, pair, nx=True, get=True, ex=self._ttl)
        claimed, _, token = (pair if known is None else _text(known)).partition(" ")
        return claimed, token

    async def open(self, session_id: str, child_id: str, item: Item) -> int | None:
        """Make the session's marks and append its document; return the owner's token.

        None if the session is there already.
        """
        shard = self._keys.shard_of(session_id)
        token = self._now_ms()
        made = await self._open(
            keys=[
                self._keys.stream(shard),
                self._keys.session(session_id),
                self._keys.open_sessions(shard),
            ],
            args=[token, self._ttl, item.field(), item.blob(), session_id, child_id, token],
        )
        return token if made else None

    async def take(self, session_id: str, child_id: str, stored: int, *, sealed: bool) -> Owned:
        """Become the owner of a session, whoever owned it before; that one is fenced from now on.

        Args:
            stored: the highest message number up to which MongoDB has everything, or -1.
            sealed: whether MongoDB has the session's result.
        """
        reply = await self._take(
            keys=[
                self._keys.session(session_id),
                self._keys.open_sessions(self._keys.shard_of(session_id)),
            ],
            args=[self._now_ms(), self._ttl, stored, child_id, session_id, int(sealed)],
        )
        token, last, marked, state, lost = reply
        return Owned(
            int(token), int(last), int(marked), sealed=_text(state) == "sealed", lost=bool(lost)
        )

    async def lower(self, session_id: str, token: int, last: int) -> None:
        """Take `last` back to where nothing is missing. Only the owner may."""
        await self._lower(keys=[self._keys.session(session_id)], args=[token, last])

    async def keep_snapshots(self, snapshots: Sequence[tuple[str, int, bytes]]) -> None:
        """Keep the scoring state of some sessions, each in place of an older one.

        Those of a shard are kept in one call.

        Args:
            snapshots: the session, its owner's token and the state.
        """
        shards: dict[int, _Kept] = defaultdict(lambda: ([], []))
        for session_id, token, snapshot in snapshots:
            shard = self._keys.shard_of(session_id)
            keys, args = shards[shard]
            keys.append(self._keys.session_in(shard, session_id))
            args += (token, snapshot)
        for keys, args in shards.values():
            await self._snapshot(keys=keys, args=args)

    async def read_snapshot(self, session_id: str) -> bytes | None:
        """Return the newest snapshot of a session."""
        kept = await self._redis.hget(self._keys.session(session_id), "snapshot")
        return kept if isinstance(kept, bytes) else None

    async def list_idle(
        self, shard: int, older_ms: int, but: Container[str] = ()
    ) -> list[tuple[str, str]]:
        """Return (session, child) of the open sessions without a message for so long.

        Args:
            but: sessions that are not asked about.
        """
        known = map(_text, await self._redis.smembers(self._keys.open_sessions(shard)))
        ids = [session_id for session_id in known if session_id not in but]
        pipe = self._redis.pipeline(transaction=False)
        for session_id in ids:
            pipe.hmget(self._keys.session(session_id), "child", "at")
        idle = []
        before = self._now_ms() - older_ms
        for session_id, (child, at) in zip(ids, await pipe.execute(), strict=True):
            if child is not None and at is not None and int(at) < before:
                idle.append((session_id, _text(child)))
        return idle

    async def hold_child(self, child_id: str, session_id: str, lease_ms: int) -> bool:
        """Take or renew the child's place for this session; False if another session has it."""
        key = self._keys.child(child_id)
        return bool(await self._hold(keys=[key], args=[session_id, lease_ms]))

    async def child_holder(self, child_id: str) -> str:
        """Return the session that has the child's place, or an empty string."""
        return _text(await self._redis.get(self._keys.child(child_id)) or "")

    async def settle_children(
        self, held: Sequence[tuple[str, str]], left: Sequence[tuple[str, str]], lease_ms: int
    ) -> None:
        """Renew some children's places and give others back, all in one round trip.

        Args:
            held: children with the session that has the place; one that another has stays its own.
            left: the same of places to be given back.
        """
        shards: dict[int, _Settled] = defaultdict(lambda: ([], []))
        for n, places in enumerate((left, held)):
            for place in places:
                shards[self._keys.shard_of(place[0])][n].append(place)
        calls = list(shards.values())
        try:
            await self._settle_children(calls, lease_ms)
        except NoScriptError:
            # The scripts were flushed. Doing it twice changes nothing.
            await self._redis.script_load(scripts.SETTLE_PLACES)
            await self._settle_children(calls, lease_ms)

    async def _settle_children(self, calls: "Sequence[_Settled]", lease_ms: int) -> None:
        pipe = self._redis.pipeline(transaction=False)
        for left, held in calls:
            places = [*left, *held]
            keys = [self._keys.child(child_id) for child_id, _ in places]
            args = [lease_ms, len(left), *(session_id for _, session_id in places)]
            pipe.execute_command("EVALSHA", self._settle.sha, len(keys), *keys, *args)
        await pipe.execute()

    def _now_ms(self) -> int:
        return self._clock.time_us() // 1000


def _text(value: object) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


_Settled = tuple[list[tuple[str, str]], list[tuple[str, str]]]
"""Places of one shard, each a child and a session: those given back, those renewed."""
_Kept = tuple[list[str], list[int | bytes]]
"""Snapshots of one shard: the keys of the sessions; the token and the state of each."""

"""Names of the play keys in Redis. Those of a shard share its hash tag: a script may touch many."""

import zlib
from dataclasses import dataclass

GROUP = "flush"
"""Consumer group that carries the streams to MongoDB."""


@dataclass(frozen=True, slots=True)
class PlayKeys:
    """Key names under one prefix, spread over a fixed number of shards."""

    prefix: str
    shards: int

    def shard_of(self, session_id: str) -> int:
        """Return the shard of a session, or of a child; every process computes the same."""
        return zlib.crc32(session_id.encode()) % self.shards

    def stream(self, shard: int) -> str:
        """The shard's stream of play records."""
        return f"{self.prefix}:{{{shard}}}:stream"

    def lease(self, shard: int) -> str:
        """Which consumer works the shard's stream now."""
        return f"{self.prefix}:{{{shard}}}:lease"

    def session(self, session_id: str) -> str:
        """The session's marks: token, last, stored, state, child, at, snapshot."""
        return self.session_in(self.shard_of(session_id), session_id)

    def session_in(self, shard: int, session_id: str) -> str:
        """The same, for who knows the session's shard."""
        return f"{self.prefix}:{{{shard}}}:session:{session_id}"

    def open_sessions(self, shard: int) -> str:
        """Ids of the shard's sessions that are not sealed."""
        return f"{self.prefix}:{{{shard}}}:open"

    def stored(self, shard: int) -> str:
        """Channel on which the flusher tells what is stored, of any shard."""
        return f"{self.prefix}:stored:{shard}"

    def opening(self, user_id: str, client_key: str) -> str:
        """The session that a client's `client_key` opened."""
        return f"{self.prefix}:opening:{user_id}:{client_key}"

    def child(self, child_id: str) -> str:
        """The session a child plays now, held by a lease of its worker."""
        return f"{self.prefix}:{{{self.shard_of(child_id)}}}:child:{child_id}"

    def taken(self) -> str:
        """Channel on which a new owner of a session is told."""
        return f"{self.prefix}:taken"

    def feed(self, session_id: str) -> str:
        """Channel of a session's feed, used while somebody on another worker watches."""
        return f"{self.prefix}:feed:{session_id}"

    def node(self, node: str) -> str:
        """Channel on which a worker is asked for a feed."""
        return f"{self.prefix}:node:{node}"

    def nodes(self) -> str:
        """Sorted set of the workers, by the Unix time at which their entry lapses."""
        return f"{self.prefix}:nodes"

    def live(self, node: str) -> str:
        """The live list of one worker."""
        return f"{self.prefix}:live:{node}"

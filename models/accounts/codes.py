"""One-time codes: sent to somebody, good once, for a while, and for a few guesses."""

from collections.abc import Callable

from redis.asyncio import Redis
from redis.exceptions import RedisError

from models.errors import AppError, ErrorCode
from models.limits import TAKE, Rate

CHECKS = 5
"""Guesses at one code."""
DIGITS = "0123456789"
LETTERS = "23456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Nothing that could be read as something else."""

CHECK = """
-- KEYS: of the code. ARGV: digest of the guess. Answers 1 for the code, which is used up then.
local held = redis.call('HMGET', KEYS[1], 'digest', 'left')
if not held[1] then return 0 end
if held[1] == ARGV[1] then redis.call('DEL', KEYS[1]); return 1 end
if tonumber(held[2]) <= 1 then redis.call('DEL', KEYS[1])
else redis.call('HINCRBY', KEYS[1], 'left', -1) end
return 0
"""


class OneTimeCodes:
    """Codes in Redis, as digests under a secret key: reading Redis does not give them away.

    Args:
        digest: a keyed digest of a text.
        choose: returns one of a string's characters at random.
    """

    def __init__(
        self,
        redis: Redis,
        prefix: str,
        digest: Callable[[str], str],
        choose: Callable[[str], str],
    ) -> None:
        self._redis = redis
        self._prefix = prefix
        self._digest = digest
        self._choose = choose
        self._check = redis.register_script(CHECK)
        self._take = redis.register_script(TAKE)

    async def issue(self, subject: str, *, alphabet: str, length: int, seconds: int) -> str:
        """Return a new code for a subject; the one before it is good no more.

        Args:
            subject: what the code is for and whose it is.

        Raises:
            AppError: `busy`, Redis does not answer.
        """
        code = "".join(self._choose(alphabet) for _ in range(length))
        key = self._key(subject)
        try:
            async with self._redis.pipeline(transaction=True) as pipe:
                pipe.delete(key)
                pipe.hset(key, mapping={"digest": self._bound(subject, code), "left": CHECKS})
                pipe.expire(key, seconds)
                await pipe.execute()
        except (RedisError, OSError) as error:
            raise _busy() from error
        return code

    async def check(self, subject: str, code: str) -> bool:
        """Tell whether it is the code; of many who ask at once, one is told yes.

        Raises:
            AppError: `busy`, Redis does not answer.
        """
        guess = self._bound(subject, code.strip().upper().replace("-", "").replace(" ", ""))
        try:
            return bool(await self._check(keys=[self._key(subject)], args=[guess]))
        except (RedisError, OSError) as error:
            raise _busy() from error

    async def allow(self, counted: dict[str, tuple[Rate, ...]], now_us: int) -> None:
        """Count a message to be sent, or refuse it; nothing is sent uncounted.

        Args:
            counted: who is counted for it, and how often each may be.

        Raises:
            AppError: `rate_limited`; or `busy`, Redis does not answer.
        """
        keys, numbers = [], []
        for who, rates in counted.items():
            for rate in rates:
                name = self._digest(f"send:{who}")[:32]
                keys.append(f"{self._prefix}:{{sends}}:{name}:{rate.seconds}")
                numbers += [rate.interval_us, rate.burst_us]
        try:
            wait_us = int(await self._take(keys=keys, args=[now_us, *numbers]))
        except (RedisError, OSError) as error:
            raise _busy() from error
        if wait_us > 0:
            raise AppError(
                ErrorCode.RATE_LIMITED,
                "Too many codes were asked for; wait as long as `retry_ms` says.",
                retry_ms=-(-wait_us // 1000),
            )

    def _key(self, subject: str) -> str:
        return f"{self._prefix}:code:{self._digest(f'subject:{subject}')[:32]}"

    def _bound(self, subject: str, code: str) -> str:
        return self._digest(f"code:{subject}:{code}")


def code_refused() -> AppError:
    """Return the refusal of a code: the same for wrong, over, used and never sent."""
    return AppError(
        ErrorCode.CODE_REFUSED,
        "The code is not the one that was sent, or holds no longer; ask for another.",
    )


def _busy() -> AppError:
    return AppError(ErrorCode.BUSY, "Codes cannot be kept right now; try again.", retry_ms=1000)

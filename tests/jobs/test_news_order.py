"""News of providers in any order, some of them twice, acted on at any time: the same end."""

import asyncio
import secrets
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from config.clock import SystemClock
from models.accounts.records import Provider, Role, SignInMethod, User
from models.accounts.tokens import create_dev_key
from models.inbox import Kind, News
from server.background import Background, build_background
from server.stores import open_stores
from tests.serving import settings_of


@dataclass(frozen=True)
class Told:
    """One piece of news, and whether what lies in the inbox is acted on after it."""

    source: Provider
    kind: Kind
    after_s: float
    """Since the account was made."""
    acted: bool = False


BASE = (
    (Provider.APPLE, Kind.MAIL_OFF, 1.0),
    (Provider.APPLE, Kind.MAIL_ON, 2.0),
    (Provider.APPLE, Kind.MAIL_ON, 3.0),
    (Provider.APPLE, Kind.MAIL_OFF, 3.0),
    (Provider.APPLE, Kind.CUT, 4.0),
    (Provider.APPLE, Kind.CUT, 5.0),
    (Provider.APPLE, Kind.CUT, -3600.0),
)
"""The last of those about mail turns it off; the last one is older than the account."""
BOTH = (*BASE, (Provider.KAKAO, Kind.CUT, 4.5), (Provider.KAKAO, Kind.CUT, -60.0))


@st.composite
def orders(draw: st.DrawFn, base: tuple[tuple[Provider, Kind, float], ...]) -> list[Told]:
    """Draw all of the news, some of them again, in an order of their own."""
    again = draw(st.lists(st.sampled_from(base), max_size=6))
    order = draw(st.permutations([*base, *again]))
    return [Told(*one, acted=draw(st.booleans())) for one in order]


async def end_of(behind: Background, told: list[Told], providers: tuple[Provider, ...]) -> User:
    """Make an account, bring the news, and return what became of it."""
    clock, leaving = behind.stores.clock, behind.leaving
    made, subject = clock.now(), secrets.token_hex(8)
    made -= timedelta(microseconds=made.microsecond % 1000)
    user = User(
        id=f"u_{subject}",
        roles=(Role.GUARDIAN,),
        methods=tuple(SignInMethod(one, subject, made) for one in providers),
        locale="ko",
        zone="Asia/Seoul",
        created_at=made,
    )
    await behind.people.repo.insert(user)
    for one in told:
        named = f"{one.source}:{one.kind}:{one.after_s}:{subject}"
        at = made + timedelta(seconds=one.after_s)
        await leaving.inbox.put(News(named, one.source, one.kind, subject, at), clock.now())
        while one.acted and await leaving.news.look():
            pass
    while await leaving.news.look():
        pass
    found = await behind.people.repo.find(user.id)
    assert found is not None
    return found


def test_any_order_comes_to_the_same_end(
    mongo_url: str, redis_url: str, mongo_database: str, redis_prefix: str, tmp_path: Path
) -> None:
    key = tmp_path / "dev-key.pem"
    create_dev_key(key)
    given_settings = settings_of(mongo_url, redis_url, mongo_database, redis_prefix, key)
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:

        async def opened() -> Background:
            behind = build_background(open_stores(given_settings, SystemClock(), "t"), flush=False)
            await behind.leaving.repo.ensure_indexes()
            await behind.leaving.inbox.ensure_indexes()
            return behind

        behind = runner.run(opened())

        @settings(max_examples=25, deadline=None)
        @given(orders(BASE))
        def alone(told: list[Told]) -> None:
            found = runner.run(end_of(behind, told, (Provider.APPLE,)))
            [method] = found.methods
            assert (found.status, method.mail_off) == ("withdrawing", True)

        @settings(max_examples=25, deadline=None)
        @given(orders(BOTH))
        def beside_another(told: list[Told]) -> None:
            found = runner.run(end_of(behind, told, (Provider.APPLE, Provider.KAKAO)))
            assert (found.status, len(found.methods)) == ("withdrawing", 1)

        alone()
        beside_another()
        runner.run(behind.close())

"""What providers tell us of our people: links they cut, mail that is not passed on."""

from collections.abc import Mapping
from urllib.parse import parse_qs

from pydantic import ConfigDict, Field

from clients.appleid import AppleNotice
from handlers.deps import Deps
from handlers.routing import Policy, PublicCall, Query, Routes, Signed, View

routes = Routes("/webhooks", tag="webhooks")


async def _apple(deps: Deps, _: Mapping[str, str], raw: bytes) -> AppleNotice:
    return await deps.webhooks.read_apple(raw)


async def _kakao(deps: Deps, headers: Mapping[str, str], raw: bytes) -> dict[str, str]:
    deps.webhooks.check_kakao(headers.get("Authorization"))
    form = parse_qs(raw.decode("utf-8", "replace"))
    return {name: values[0] for name, values in form.items()}


APPLE = Policy((), signed=Signed("Apple", _apple))
KAKAO = Policy((), signed=Signed("Kakao", _kakao))


class UnlinkQuery(Query):
    """Whom Kakao unlinked. What else Kakao may say is not read."""

    model_config = ConfigDict(extra="ignore")

    app_id: str = Field(default="", alias="app_id")
    user_id: str = Field(default="", alias="user_id")
    referrer_type: str = Field(default="", alias="referrer_type")


class TakenView(View):
    """The call was taken; what follows from it is done soon."""

    taken: bool = True


@routes.post("/apple-account", policy=APPLE)
async def take_apple_account(call: PublicCall, raw: bytes) -> TakenView:
    """Take a server-to-server notification of Sign in with Apple: `{"payload": "<JWT>"}`.

    It is kept before it is answered, and taken once however often it comes.
    """
    await call.deps.webhooks.take_apple(call.told)
    return TakenView()


@routes.post("/kakao-unlink", policy=KAKAO)
async def take_kakao_unlink(call: PublicCall, raw: bytes) -> TakenView:
    """Take Kakao's word that somebody was unlinked: a form of `app_id`, `user_id`, `referrer_type`.

    `Authorization: KakaoAK <admin key>`. Whoever bears the key is answered 200.
    """
    return await _unlink(call, call.told)


@routes.get("/kakao-unlink", policy=KAKAO)
async def take_kakao_unlink_query(call: PublicCall, query: UnlinkQuery) -> TakenView:
    """Take the same from the query."""
    return await _unlink(call, query.model_dump())


async def _unlink(call: PublicCall, told: Mapping[str, str]) -> TakenView:
    names = ("app_id", "user_id", "referrer_type")
    app_id, user_id, referrer = (told.get(name, "") for name in names)
    await call.deps.webhooks.take_kakao(call.new_id("e"), app_id, user_id, referrer)
    return TakenView()

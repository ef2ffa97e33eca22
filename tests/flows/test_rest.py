"""The frame of the REST routes over real HTTP: what it takes, refuses, repeats and tells."""

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from pydantic import SecretStr

from config.clock import SystemClock
from config.settings import Settings
from handlers.rest.tables import ROUTES
from models.accounts.records import Role
from models.accounts.tokens import mint
from models.codes import ERRORS, ErrorCode
from tests.factories import ManualClock
from tests.handlers.routing.sample import Notes
from tests.serving import Served, serving

NOTE = {"text": "hello"}


@dataclass
class Answer:
    """What came back."""

    status: int
    headers: Any
    body: Any
    """Parsed where it is JSON."""

    @property
    def code(self) -> str:
        """The code of a refusal, whose status is the code's own."""
        error = self.body["error"]
        assert ERRORS[ErrorCode(error["code"])].status == self.status
        assert error["trace_id"] == self.headers["X-Request-Id"]
        assert error["message"]
        return str(error["code"])


class Api:
    """A client of one server."""

    def __init__(self, served: Served, notes: Notes, http: aiohttp.ClientSession) -> None:
        self.served = served
        self.notes = notes
        self._http = http
        self.token: str | None = served.token(Role.GUARDIAN, "child-1")

    async def ask(self, method: str, path: str, **more: Any) -> Answer:
        """Send a request, signed in unless the token was taken away."""
        headers = {**({"Authorization": f"Bearer {self.token}"} if self.token else {}),
                   **more.pop("headers", {})}  # fmt: skip
        url = self.served.url + path
        async with self._http.request(method, url, headers=headers, **more) as answer:
            raw = await answer.read()
            json = answer.content_type == "application/json" and raw
            return Answer(answer.status, answer.headers, await answer.json() if json else raw)

    async def post(self, body: Any = None, path: str = "/v1/notes", **more: Any) -> Answer:
        """Write a note."""
        return await self.ask("POST", path, json=NOTE if body is None else body, **more)


@asynccontextmanager
async def api_of(settings: Settings) -> AsyncIterator[Api]:
    notes = Notes()
    async with (
        serving(settings, (*ROUTES, *notes.routes())) as served,
        aiohttp.ClientSession() as http,
    ):
        yield Api(served, notes, http)


@pytest.fixture
async def api(settings: Settings) -> AsyncIterator[Api]:
    async with api_of(settings) as made:
        yield made


def with_http(settings: Settings, **more: Any) -> Settings:
    return settings.model_copy(update={"http": settings.http.model_copy(update=more)})


# -- what goes in and comes out


async def test_a_thing_is_made_and_shown_in_camel_case(api: Api) -> None:
    made = await api.post({"text": "hi", "weightKg": 2.5, "colour": {"red": 3}})
    assert made.status == 201
    assert set(made.body) == {"id", "text", "weightKg", "writtenBy", "at"}
    assert made.body["writtenBy"] == "guardian-1"
    assert made.body["at"].endswith("Z")
    shown = await api.ask("GET", f"/v1/notes/{made.body['id']}")
    assert (shown.status, shown.body) == (200, made.body)
    assert (await api.ask("DELETE", f"/v1/notes/{made.body['id']}")).status == 204
    assert (await api.ask("GET", f"/v1/notes/{made.body['id']}")).code == "not_found"


BODIES = (
    (b'{"text": "a", "more": 1}', "body.more"),
    (b'{"text": 1}', "body.text"),
    (b'{"text": ""}', "body.text"),
    (b'{"text": null}', "body.text"),
    (b'{"text": {"$gt": ""}}', "body.text"),
    (b'{"text": ["a"]}', "body.text"),
    (b"{}", "body.text"),
    (b'{"text": "a", "weightKg": NaN}', "body.weightKg"),
    (b'{"text": "a", "weightKg": Infinity}', "body.weightKg"),
    (b'{"text": "a", "weightKg": 1e999}', "body.weightKg"),
    (b'{"text": "a", "weightKg": "1"}', "body.weightKg"),
    (b'{"text": "a", "weight_kg": 1}', "body.weight_kg"),
    (b'{"text": "a", "colour": {"red": 1, "green": 2}}', "body.colour.green"),
    (b'{"text": "a", "colour": {"red": true}}', "body.colour.red"),
    (b'{"text": "a", "kind": "other"}', "body.kind"),
    (b"[]", "body"),
    (b"null", "body"),
    (b"", "body"),
    (b"{", "body"),
    (b'{"text": "\xff"}', "body"),
    (b'{"text": "\\ud800"}', "body"),
    (b"[" * 5000, "body"),
)


async def test_a_body_that_does_not_fit_is_refused_with_where(api: Api) -> None:
    headers = {"Content-Type": "application/json"}
    for body, at in BODIES:
        answer = await api.ask("POST", "/v1/notes", data=body, headers=headers)
        assert answer.code == "invalid", body
        faults = answer.body["error"]["details"]["faults"]
        assert faults[0]["at"] == at, body
        assert faults[0]["problem"]
    assert api.notes.written == 0


async def test_what_was_sent_is_not_sent_back(api: Api) -> None:
    answer = await api.post({"text": 1, "kind": "hunter2hunter2", "colour": "swordfish"})
    assert answer.code == "invalid"
    assert "hunter2" not in str(answer.body)
    assert "swordfish" not in str(answer.body)


@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"Content-Type": "text/plain"}, "unsupported_media_type"),
        ({"Content-Type": "application/x-www-form-urlencoded"}, "unsupported_media_type"),
        ({"Content-Type": "application/json; charset=euc-kr"}, "unsupported_media_type"),
        ({"Content-Type": "application/json", "Content-Encoding": "gzip"}, "invalid"),
    ],
)
async def test_other_kinds_of_bodies_are_refused(
    api: Api, headers: dict[str, str], code: str
) -> None:
    answer = await api.ask("POST", "/v1/notes", data=b'{"text": "a"}', headers=headers)
    assert answer.code == code


@pytest.mark.parametrize("told", [True, False])
async def test_a_body_that_is_too_large_is_refused(settings: Settings, told: bool) -> None:
    async with api_of(with_http(settings, body_bytes=1000)) as api:

        async def parts() -> AsyncIterator[bytes]:
            for _ in range(20):
                yield b" " * 100

        headers = {"Content-Type": "application/json"}
        data = b" " * 2000 if told else parts()
        answer = await api.ask("POST", "/v1/notes", data=data, headers=headers)
        assert answer.code == "too_large"


QUERIES = (
    "limit=0",
    "limit=201",
    "limit=x",
    "limit=1&limit=2",
    "limit=1.5",
    "offset=1",
    "cursor=",
    "cursor=x",
    "cursor=WzFd!",
    "cursor=WyJhIl0",
    "cursor=W10",
    "cursor=WzEsMl0",
    "limit[$gt]=1",
)


async def test_a_query_that_does_not_fit_is_refused(api: Api) -> None:
    for query in QUERIES:
        assert (await api.ask("GET", f"/v1/notes?{query}")).code == "invalid", query


async def test_a_route_without_a_query_takes_none(api: Api) -> None:
    note = (await api.post()).body["id"]
    assert (await api.ask("GET", f"/v1/notes/{note}?a=1")).code == "invalid"
    assert (await api.ask("GET", f"/v1/notes/{'x' * 65}")).code == "invalid"
    assert (await api.ask("GET", "/v1/notes/a%24b")).code == "invalid"


async def test_pages_follow_one_another_to_the_end(api: Api) -> None:
    empty = await api.ask("GET", "/v1/notes")
    assert empty.body == {"items": [], "nextCursor": None}
    made = [(await api.post({"text": f"note {n}"})).body["id"] for n in range(7)]
    found: list[str] = []
    query = "?limit=3"
    for _ in range(5):
        page = (await api.ask("GET", f"/v1/notes{query}")).body
        found += [note["id"] for note in page["items"]]
        if page["nextCursor"] is None:
            break
        query = f"?limit=3&cursor={page['nextCursor']}"
    assert found == made


async def test_a_hook_gets_its_bytes_as_they_came(api: Api) -> None:
    api.token = None
    answer = await api.ask("POST", "/v1/hooks", data=b"\x00\xff raw", headers={"X-Signature": "s"})
    assert answer.body == {"size": 6, "signature": "s"}


# -- methods, headers, languages


async def test_methods(api: Api) -> None:
    got = await api.ask("GET", "/v1/notes")
    head = await api.ask("HEAD", "/v1/notes")
    assert (head.status, head.body) == (200, b"")
    assert head.headers["Content-Length"] == got.headers["Content-Length"]
    api.token = None
    options = await api.ask("OPTIONS", "/v1/notes")
    assert (options.status, options.headers["Allow"]) == (204, "GET, HEAD, OPTIONS, POST")
    refused = await api.ask("PUT", "/v1/notes")
    assert refused.code == "method_not_allowed"
    assert {m.strip() for m in refused.headers["Allow"].split(",")} == {
        "GET", "HEAD", "OPTIONS", "POST",
    }  # fmt: skip
    assert (await api.ask("GET", "/v1/nothing")).code == "not_found"


async def test_every_answer_is_careful(api: Api) -> None:
    for answer in (await api.ask("GET", "/v1/notes"), await api.ask("GET", "/v1/nothing")):
        headers = answer.headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cache-Control"] == "no-store"
        assert headers["Content-Security-Policy"].startswith("default-src 'none'")
        assert headers["Server"] == "gemgem"
        assert "Access-Control-Allow-Origin" not in headers


async def test_a_request_keeps_its_own_id(api: Api) -> None:
    own = str(uuid.uuid4())
    answer = await api.ask("GET", "/v1/nothing", headers={"X-Request-Id": own})
    assert answer.headers["X-Request-Id"] == own
    for bad in ("short", "x" * 65, "a b c d e f", "<script>alert"):
        answer = await api.ask("GET", "/v1/nothing", headers={"X-Request-Id": bad})
        assert answer.headers["X-Request-Id"] != bad


async def test_refusals_are_told_in_the_language_asked_for(api: Api) -> None:
    korean = await api.ask("GET", "/v1/nothing", headers={"Accept-Language": "en;q=0.1, ko"})
    assert korean.body["error"]["message"] == ERRORS[ErrorCode.NOT_FOUND].korean
    assert korean.headers["Content-Language"] == "ko"
    english = await api.ask("GET", "/v1/nothing", headers={"Accept-Language": "ko;q=0.1, en"})
    assert english.body["error"]["message"].isascii()


async def test_pages_of_listed_origins_may_read_and_no_others(settings: Settings) -> None:
    origin = "https://console.example"
    async with api_of(with_http(settings, origins=(origin,))) as api:
        ask = {"Access-Control-Request-Method": "POST", "Origin": origin}
        flight = await api.ask("OPTIONS", "/v1/notes", headers=ask)
        assert flight.status == 204
        assert flight.headers["Access-Control-Allow-Origin"] == origin
        assert "POST" in flight.headers["Access-Control-Allow-Methods"]
        assert "Idempotency-Key" in flight.headers["Access-Control-Allow-Headers"]
        for path in ("/v1/notes", "/v1/nothing"):
            answer = await api.ask("GET", path, headers={"Origin": origin})
            assert answer.headers["Access-Control-Allow-Origin"] == origin
            assert "Origin" in answer.headers["Vary"]
            assert "Access-Control-Allow-Credentials" not in answer.headers
        for other in ("https://evil.example", "null", "https://console.example.evil.example"):
            answer = await api.ask("GET", "/v1/notes", headers={"Origin": other})
            assert "Access-Control-Allow-Origin" not in answer.headers
            assert "Origin" in answer.headers["Vary"]


async def test_what_is_no_http_gets_no_detail_of_the_server(api: Api) -> None:
    host, port = api.served.url.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nBad Header: \x00\r\n\r\n")
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    assert answer.startswith(b"HTTP/1.0 400")
    assert b"aiohttp" not in answer
    assert b"Python" not in answer


# -- who may


async def test_nobody_is_let_in_without_a_token(api: Api) -> None:
    api.token = None
    for token in (None, "", "x.y.z"):
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        answer = await api.ask("GET", "/v1/notes", headers=headers)
        assert answer.code == "unauthenticated"
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    answer = await api.ask("GET", "/v1/notes", headers={"Authorization": "Basic YTpi"})
    assert answer.code == "unauthenticated"


async def test_who_may_not_enter_learns_nothing_of_the_body(api: Api) -> None:
    api.token = api.served.token(Role.THERAPIST, "*")
    assert (await api.post({"wrong": 1})).code == "forbidden"
    assert api.notes.written == 0


async def test_a_child_that_is_missing_looks_like_one_that_is_not_yours(api: Api) -> None:
    assert (await api.ask("GET", "/v1/children/child-1/notes")).status == 200
    answers = [
        await api.ask("GET", f"/v1/children/{child}/notes", headers={"X-Request-Id": "12345678"})
        for child in ("child-2", "no-such-child")
    ]
    assert answers[0].code == "not_found"
    assert answers[0].body == answers[1].body


async def test_an_admin_says_why(api: Api) -> None:
    api.token = api.served.token(Role.ADMIN, "*")
    path = "/v1/children/child-1/notes"
    assert (await api.ask("GET", path)).code == "invalid"
    for bad in ("a", "%ff%fe%fd", "a%0ab c", "x" * 201):
        assert (await api.ask("GET", path, headers={"X-Reason": bad})).code == "invalid", bad
    headers = {"X-Reason": "%EB%B3%B4%ED%98%B8%EC%9E%90%20%EC%9A%94%EC%B2%AD"}
    assert (await api.ask("GET", path, headers=headers)).body["signature"] == "보호자 요청"
    api.token = api.served.token(Role.GUARDIAN, "*", roles=[Role.GUARDIAN, Role.ADMIN])
    assert (await api.ask("GET", path)).status == 200, "let in as guardian"


async def test_an_old_sign_in_has_to_be_renewed_for_what_needs_a_fresh_one(api: Api) -> None:
    clock = ManualClock(SystemClock().time_us() - 301_000_000)
    api.token = mint(api.served.key, sub="guardian-1", roles=[Role.GUARDIAN], clock=clock)
    answer = await api.ask("DELETE", "/v1/notes/n-1")
    assert answer.code == "reauthentication_required"
    assert "max_age=300" in answer.headers["WWW-Authenticate"]
    assert (await api.ask("GET", "/v1/notes")).status == 200


async def test_a_service_needs_its_scope(api: Api) -> None:
    for scope, status in (("", 403), ("other", 403), ("other notes:read", 200)):
        api.token = api.served.token(Role.SERVICE, scope=scope)
        assert (await api.ask("GET", "/v1/exports")).status == status


# -- repeats


async def test_a_repeat_gives_the_first_answer_and_writes_nothing(api: Api) -> None:
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    first = await api.post(headers=headers)
    again = await api.post(headers=headers)
    assert (again.status, again.body) == (first.status, first.body)
    assert again.headers["Idempotent-Replay"] == "true"
    assert "Idempotent-Replay" not in first.headers
    assert api.notes.written == 1
    other = await api.post({"text": "another"}, headers=headers)
    assert other.code == "idempotency_key_reused"
    api.token = api.served.token(Role.GUARDIAN, sub="guardian-2")
    assert (await api.post(headers=headers)).body["id"] != first.body["id"]
    for bad in ("short", "x" * 129, "not a key at all!!"):
        assert (await api.post(headers={"Idempotency-Key": bad})).code == "invalid"


async def test_of_many_repeats_at_once_one_is_done(api: Api) -> None:
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    answers = await asyncio.gather(*(api.post(headers=headers) for _ in range(12)))
    assert api.notes.written == 1
    for answer in answers:
        if answer.status != 201:
            assert answer.code == "request_in_progress"
            assert answer.headers["Retry-After"] == "1"
    assert len({answer.body["id"] for answer in answers if answer.status == 201}) == 1


async def test_what_broke_half_way_is_done_again_as_the_same_thing(api: Api) -> None:
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    api.notes.fails.append(RuntimeError("the power went"))
    assert (await api.post(headers=headers)).code == "internal"
    done = await api.post(headers=headers)
    assert done.status == 201
    assert list(api.notes.kept) == [done.body["id"]]
    assert api.notes.written == 2


# -- how often


async def test_too_many_requests_are_refused_with_when_to_come_back(settings: Settings) -> None:
    rate = settings.rate.model_copy(update={"others": 4, "sign_in_account": 2})
    settings = with_http(settings.model_copy(update={"rate": rate}), proxies=("127.0.0.0/8",))
    async with api_of(settings) as api:
        for _ in range(4):
            assert (await api.ask("GET", "/v1/notes")).status == 200
        refused = await api.ask("GET", "/v1/notes")
        assert refused.code == "rate_limited"
        assert 0 < int(refused.headers["Retry-After"]) <= 15
        assert 0 < refused.body["error"]["retry_ms"] <= 15_000
        assert (await api.ask("GET", "/v1/notes/n-1")).code == "not_found", "another route"
        api.token = None
        codes = []
        for n in range(6):
            headers = {"X-Forwarded-For": "203.0.113.7", "Authorization": f"Bearer guess-{n}"}
            codes.append((await api.ask("GET", "/v1/notes", headers=headers)).code)
        assert codes == ["unauthenticated"] * 4 + ["rate_limited"] * 2, "guessing is counted"
        other = {"X-Forwarded-For": "203.0.113.8"}
        assert (await api.ask("GET", "/v1/notes", headers=other)).code == "unauthenticated"
        hook = {"X-Signature": "somebody@example.com"}
        statuses = [(await api.ask("POST", "/v1/hooks", headers=hook)).status for _ in range(3)]
        assert statuses == [200, 200, 429], "an account that only the content names"


# -- what the log says


async def test_a_failure_is_logged_with_its_id_and_told_without_detail(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    api.notes.fails.append(RuntimeError("connection string with a password"))
    with caplog.at_level(logging.INFO):
        answer = await api.post(headers={"X-Request-Id": "request-12345"})
    assert answer.code == "internal"
    assert "password" not in str(answer.body)
    lines = [r.getMessage() for r in caplog.records if r.name == "access"]
    assert len(lines) == 1
    assert lines[0].startswith('route="POST /v1/notes" status=500 ms=')
    assert lines[0].endswith("user=guardian-1 request=request-12345")
    failure = next(r for r in caplog.records if r.name == "handlers.errors")
    assert "request-12345" in failure.getMessage()


async def test_no_line_of_the_log_holds_what_was_sent(
    api: Api, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        await api.post({"text": "a secret text"})
        await api.post({"text": "a secret text", "more": 1})
        await api.ask("GET", "/v1/notes/secret-id?secret=query")
    said = "\n".join(r.getMessage() for r in caplog.records if r.name in ("access", "handlers"))
    assert "POST /v1/notes" in said
    assert "secret" not in said
    assert str(api.token) not in caplog.text


# -- when a store is away

NOWHERE = "127.0.0.1:9"


async def test_without_mongodb_a_request_is_told_to_come_back(settings: Settings) -> None:
    away = SecretStr(f"mongodb://{NOWHERE}/?directConnection=true")
    async with api_of(settings.model_copy(update={"mongo_url": away})) as api:
        answer = await api.ask("GET", "/v1/children/child-1/results")
        assert answer.code == "busy"
        assert int(answer.headers["Retry-After"]) >= 1
        assert (await api.ask("GET", "/v1/notes")).status == 200, "others go on"


async def test_without_redis_requests_are_counted_by_the_worker(settings: Settings) -> None:
    away = SecretStr(f"redis://{NOWHERE}/0")
    rate = settings.rate.model_copy(update={"others": 3})
    async with api_of(settings.model_copy(update={"redis_url": away, "rate": rate})) as api:
        statuses = [(await api.ask("GET", "/v1/notes")).status for _ in range(5)]
    assert statuses == [200, 200, 200, 429, 429]

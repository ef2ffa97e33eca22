"""One route at work: who asks, how often, may they, what do they say; then the handler."""

import hashlib
import re
from dataclasses import replace
from typing import Any

from aiohttp import web

from handlers.auth import principal_of_header
from handlers.deps import Deps
from handlers.languages import preferred
from handlers.ratelimit import client_of, networks
from handlers.requests import REQUEST_ID, ROUTE, WHO
from handlers.routing.call import Call, PublicCall
from handlers.routing.reading import read_body, read_parameter, read_query, read_reason
from handlers.routing.routes import Route
from models.accounts.records import Principal
from models.answers import Asked, Kept, Turn
from models.audit.records import Act
from models.errors import AppError, ErrorCode

_KEY = re.compile(r"[A-Za-z0-9_-]{16,128}")
JSON = "application/json"


class Endpoint:
    """Answers the requests of one route."""

    def __init__(self, route: Route, deps: Deps) -> None:
        self._route = route
        self._name = route.name
        self._deps = deps
        self._proxies = networks(deps.settings.http.proxies)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """Answer one request.

        Raises:
            AppError: the refusal; the middleware gives it its form.
        """
        route = self._route
        request[ROUTE] = self._name
        call = await self._admitted(request)
        signature = route.signature
        given: dict[str, Any] = {
            p.python_name: read_parameter(p, request.match_info[p.python_name], "path")
            for p in signature.path
        }
        if isinstance(call, Call) and route.policy.child is not None:
            call = await self._through_the_door(call, given[route.policy.child])
        query = read_query(signature.query[1] if signature.query else None, request)
        if signature.query:
            given[signature.query[0]] = query
        for p in signature.headers:
            given[p.python_name] = read_parameter(p, request.headers.get(p.wire_name), "header")
        raw = b""
        if signature.body:
            given[signature.body[0]], raw = await read_body(signature.body[1], request)
        elif signature.raw:
            given[signature.raw] = raw = await request.read()
        if isinstance(call, Call):
            await self._write_down(call, given)
        if not route.idempotent or "Idempotency-Key" not in request.headers:
            return self._response(Kept(route.status, await self._body(call, given)))
        return await self._once(request, call, given, raw)

    async def _admitted(self, request: web.Request) -> PublicCall | Call:
        """Count the request, and return the call of somebody who may make it."""
        route, deps = self._route, self._deps
        who: Principal | None = None
        refused: AppError | None = None
        if not route.policy.public:
            try:
                who = principal_of_header(deps.verifier, request.headers.get("Authorization"))
                request[WHO] = _named(who)
            except AppError as error:
                refused = error  # counted first: guessing is not free
        address = client_of(
            request.remote, request.headers.getall("X-Forwarded-For", ()), self._proxies
        )
        told = None
        if route.policy.signed is None:
            account = who.answerable if who else None
            await deps.gate.pass_or_refuse(
                self._name, route.limit, address=address, account=account
            )
        else:
            told = await route.policy.signed.check(deps, request.headers, await request.read())
        if refused is not None:
            raise refused
        call = PublicCall(
            deps=deps,
            route=self._name,
            request_id=request[REQUEST_ID],
            address=address,
            language=preferred(request.headers.get("Accept-Language")),
            now=deps.clock.now(),
            key=None,
            limit=route.limit,
            device=request.headers.get("User-Agent", "")[:200],
            told=told,
        )
        if who is None:
            return call
        reason = read_reason(request)
        route.policy.admit(who, deps.clock.time_us() // 1_000_000, reason, changes=route.changes)
        fields = {name: getattr(call, name) for name in PublicCall.__slots__}
        return Call(**fields, who=who, reason=reason)

    async def _write_down(self, call: Call, given: dict[str, Any]) -> None:
        """Write down what an admin is about to do; what cannot be written down is refused."""
        who, actor = call.who, call.who.actor
        if actor is None and not self._route.policy.admins:
            return
        body = self._route.signature.body
        said = getattr(given[body[0]], "reason", None) if body else None
        act = Act(
            about=given.get("user_id") if actor is None else who.user_id,
            user_id=who.answerable,
            sign_in=who.sign_in,
            action=self._name,
            address=call.address,
            trace_id=call.request_id,
            reason=call.reason or said or (actor.reason if actor else None),
            at_us=self._deps.clock.time_us(),
            forced=actor is not None,
        )
        await self._deps.audit.record([act])

    async def _through_the_door(self, call: Call, child_id: str) -> Call:
        purpose = self._route.policy.purpose
        if purpose is None:
            purpose = "read" if self._route.method == "GET" else "write"
        child = await self._deps.access.child(call.who, child_id, call.visit(purpose))
        return replace(call, reached=child)

    async def _body(self, call: PublicCall, given: dict[str, Any]) -> bytes:
        view = await self._route.handler(call, **given)
        return b"" if view is None else view.model_dump_json(by_alias=True).encode()

    async def _once(
        self, request: web.Request, call: PublicCall, given: dict[str, Any], raw: bytes
    ) -> web.Response:
        """Do what a request with an `Idempotency-Key` asks for, unless it was done before."""
        asked = _asked(request, call, raw)
        answers = self._deps.answers
        turn = await answers.begin(asked)
        if isinstance(turn, Kept):
            answer = self._response(turn)
            answer.headers["Idempotent-Replay"] = "true"
            return answer
        kept = await self._done(replace(call, key=asked.id), given, turn)
        await answers.keep(asked, turn, kept)
        return self._response(kept)

    async def _done(self, call: PublicCall, given: dict[str, Any], turn: Turn) -> Kept:
        try:
            return Kept(self._route.status, await self._body(call, given))
        except AppError as error:
            # A refusal changed nothing; whatever else went wrong may have been half done.
            give_up = self._deps.answers.forget if error.status < 500 else self._deps.answers.free
            await give_up(turn)
            raise
        except Exception:
            await self._deps.answers.free(turn)
            raise

    @staticmethod
    def _response(kept: Kept) -> web.Response:
        if kept.status == 204:
            return web.Response(status=204)
        return web.Response(status=kept.status, body=kept.body, content_type=JSON, charset="utf-8")


def _named(who: Principal) -> str:
    """Return who asks: of a forced token both, the account and the admin."""
    return who.user_id if who.actor is None else f"{who.user_id} by={who.actor.user_id}"


def _asked(request: web.Request, call: PublicCall, raw: bytes) -> Asked:
    key = request.headers["Idempotency-Key"]
    if not _KEY.fullmatch(key):
        raise AppError(
            ErrorCode.INVALID,
            "header.Idempotency-Key takes 16 to 128 letters, digits, - and _: a UUID for instance.",
        )
    who = _named(call.who) if isinstance(call, Call) else ""
    parts = (request.path_qs.encode(), raw)
    digest = hashlib.sha256(b"".join(len(p).to_bytes(8, "big") + p for p in parts)).hexdigest()
    return Asked(principal=who, route=call.route, key=key, digest=digest)

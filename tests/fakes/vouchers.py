"""Google, Apple and Kakao as one small app on loopback: sign, rotate keys, lie, stall and fail."""

import functools
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.fakes.mood import Moody

ISSUERS = {
    "google": "https://accounts.google.com",
    "apple": "https://appleid.apple.com",
    "kakao": "https://kauth.kakao.com",
}
AUDIENCES = {"google": "client.google", "apple": "com.gemgem.app", "kakao": "kakao-app-key"}
KAKAO_APP_ID = 4711
KAKAO_ADMIN_KEY = "kakao-admin-key"


@functools.cache
def _key(n: int) -> rsa.RSAPrivateKey:
    # Made once a run: that takes longer than most of what is done with them.
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


class FakeVouchers(Moody):
    """Keys, tokens and answers. Change an attribute to make it misbehave."""

    def __init__(self) -> None:
        super().__init__()
        self.url = ""
        self.keys: dict[str, rsa.RSAPrivateKey] = {}
        self.kid = ""
        self._rotations = 0
        self.cut = False
        self.cache_control = "public, max-age=3600"
        self.codes: dict[str, str] = {}
        """Apple's authorization codes, each good once, and the refresh token they give."""
        self.revoked: list[str] = []
        self.people: dict[str, dict[str, Any]] = {}
        """Kakao's access tokens: `app_id`, `id`, `account`."""
        self.unlinked: list[str] = []
        """Kakao's people who were unlinked by our admin key."""
        self.strangers: set[str] = set()
        """Kakao's people who are not linked to our app."""
        self.rotate()

    def rotate(self, *, keep: bool = False) -> None:
        """Sign with a new key from now on; the old ones are listed only if kept."""
        if not keep:
            self.keys.clear()
        self.kid = f"k{len(self.keys)}-{time.monotonic_ns()}"
        self.keys[self.kid] = _key(self._rotations)
        self._rotations += 1

    def token(self, provider: str, subject: str = "s-1", **claims: Any) -> str:
        """Return an ID token; `claims` override, None leaves one out. `kid`, `key` too."""
        now = int(time.time())
        kid = claims.pop("kid", self.kid)
        key = claims.pop("key", None) or self.keys[self.kid]
        body = {
            "iss": ISSUERS[provider],
            "aud": AUDIENCES[provider],
            "sub": subject,
            "iat": now,
            "exp": now + 600,
            **claims,
        }
        body = {name: value for name, value in body.items() if value is not None}
        return jwt.encode(body, key, algorithm="RS256", headers={"kid": kid})

    def notice(self, kind: str, subject: str = "s-1", **claims: Any) -> str:
        """Return a notification of Apple; `claims` override. `at`, `jti`, `kid`, `key` too."""
        now = int(time.time())
        at = claims.pop("at", now * 1000)
        events = json.dumps({"type": kind, "sub": subject, "event_time": at})
        jti = claims.pop("jti", f"jti-{time.monotonic_ns()}")
        told = {"sub": None, "exp": None, "jti": jti, "events": events, **claims}
        return self.token("apple", **told)

    async def _jwks(self, request: web.Request) -> web.Response:
        listed = []
        for kid, key in self.keys.items():
            entry = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key()))
            listed.append({**entry, "kid": kid, "use": "sig", "alg": "RS256"})
        listed.append({"kty": "oct", "k": "c2VjcmV0", "kid": "oct", "use": "sig"})
        text = json.dumps({"keys": listed})
        return web.Response(
            text=text[: len(text) // 2] if self.cut else text,
            content_type="application/json",
            headers={"Cache-Control": self.cache_control},
        )

    async def _token(self, request: web.Request) -> web.Response:
        form = await request.post()
        secret = jwt.decode(str(form["client_secret"]), options={"verify_signature": False})
        assert secret["aud"] == ISSUERS["apple"]
        assert secret["sub"] == form["client_id"] == AUDIENCES["apple"]
        given = self.codes.pop(str(form["code"]), None)
        if given is None:
            return web.json_response({"error": "invalid_grant"}, status=400)
        return web.json_response({"refresh_token": given, "access_token": "a", "expires_in": 3600})

    async def _revoke(self, request: web.Request) -> web.Response:
        form = await request.post()
        self.revoked.append(str(form["token"]))
        return web.Response()

    async def _unlink(self, request: web.Request) -> web.Response:
        form = await request.post()
        if request.headers.get("Authorization") != f"KakaoAK {KAKAO_ADMIN_KEY}":
            return web.json_response({"code": -401}, status=401)
        assert form["target_id_type"] == "user_id"
        subject = str(form["target_id"])
        if subject in self.strangers:
            return web.json_response({"msg": "NotRegistered", "code": -101}, status=400)
        self.unlinked.append(subject)
        return web.json_response({"id": subject})

    def _person(self, request: web.Request) -> dict[str, Any] | None:
        _, _, token = request.headers.get("Authorization", "").partition(" ")
        return self.people.get(token)

    async def _token_info(self, request: web.Request) -> web.Response:
        person = self._person(request)
        if person is None:
            return web.json_response({"code": -401}, status=401)
        return web.json_response({"id": person["id"], "app_id": person["app_id"]})

    async def _me(self, request: web.Request) -> web.Response:
        person = self._person(request)
        if person is None:
            return web.json_response({"code": -401}, status=401)
        return web.json_response({"id": person["id"], "kakao_account": person["account"]})


@asynccontextmanager
async def fake_vouchers() -> AsyncIterator[FakeVouchers]:
    """Run it on a free port."""
    fake = FakeVouchers()
    app = fake.application()
    for path in ("/oauth2/v3/certs", "/auth/keys", "/.well-known/jwks.json"):
        app.router.add_get(path, fake._jwks)
    app.router.add_post("/auth/token", fake._token)
    app.router.add_post("/auth/revoke", fake._revoke)
    app.router.add_post("/v1/user/unlink", fake._unlink)
    app.router.add_get("/v1/user/access_token_info", fake._token_info)
    app.router.add_get("/v2/user/me", fake._me)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    fake.url = f"http://{host}:{port}"
    yield fake
    await runner.cleanup()

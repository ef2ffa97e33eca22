"""Google, Apple and Kakao: who is let in, who is not, what is linked, and what their outages do."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import jwt
import pymongo
import pytest

from config.settings import Settings
from tests.fakes.vouchers import KAKAO_APP_ID
from tests.flows.people import GOOD, Town, town

Admin = pymongo.MongoClient[dict[str, object]]
PROVIDERS = ("google", "apple", "kakao")


@pytest.fixture
async def here(settings: Settings, tmp_path: Path) -> AsyncIterator[Town]:
    async with town(settings, tmp_path) as running:
        yield running


def verified(email: str) -> dict[str, Any]:
    """Return the claims of a verified e-mail, as Apple may write them."""
    return {"email": email, "email_verified": "true"}


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_the_first_sign_in_makes_an_account_and_the_next_finds_it(
    here: Town, provider: str
) -> None:
    person = here.person()
    token = here.vouchers.token(provider, **verified("Minjun@Example.com"))
    first = await person.social(provider, idToken=token)
    assert first.status == 200
    assert first["created"]
    person.keep(first)
    me = await person.me()
    assert (me["email"], me["emailVerified"]) == ("minjun@example.com", True)
    assert [method["provider"] for method in me["methods"]] == [provider]
    tablet = here.person("device-0002")
    again = await tablet.social(provider, idToken=here.vouchers.token(provider))
    assert not again["created"]
    assert again["userId"] == first["userId"]


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize(
    "changed",
    [
        {"iss": "https://evil.example"},
        {"aud": "another.app"},
        {"aud": ["another.app"]},
        {"exp": 1_700_000_000},
        {"iat": 4_000_000_000},
        {"sub": ""},
        {"nonce": "of another"},
        {"kid": "unknown"},
    ],
    ids=str,
)
async def test_tokens_that_are_not_for_us_are_refused(
    here: Town, provider: str, changed: dict[str, Any]
) -> None:
    token = here.vouchers.token(provider, **changed)
    answer = await here.person().social(provider, idToken=token)
    assert (answer.status, answer.code) == (401, "unauthenticated")


@pytest.mark.parametrize("provider", PROVIDERS)
async def test_forged_tokens_are_refused(here: Town, provider: str) -> None:
    vouchers = here.vouchers
    good = vouchers.token(provider)
    head, body, signature = good.split(".")
    other = "A" if signature[10] != "A" else "B"
    said = jwt.decode(good, options={"verify_signature": False})
    public = vouchers.keys[vouchers.kid].public_key()
    numbers = public.public_numbers()
    forged = [
        f"{head}.{body}.",
        f"{head}.{body}.{signature[:10]}{other}{signature[11:]}",
        jwt.encode(said, "", algorithm="none", headers={"kid": vouchers.kid}),
        # The old trick: the public key as the secret of an HMAC.
        jwt.encode(said, str(numbers.n), algorithm="HS256", headers={"kid": vouchers.kid}),
        "not.a.token",
        "x" * 8000,
    ]
    person = here.person()
    assert (await person.social(provider, idToken=good)).status == 200
    for token in forged:
        answer = await person.social(provider, idToken=token)
        assert (answer.status, answer.code) == (401, "unauthenticated"), token[:40]


async def test_a_nonce_must_be_the_one_of_the_token(here: Town) -> None:
    person = here.person()
    google = here.vouchers.token("google", nonce="n-1")
    assert (await person.social("google", idToken=google, nonce="n-1")).status == 200
    assert (await person.social("google", idToken=google, nonce="n-2")).status == 401
    assert (await person.social("google", idToken=google)).status == 401
    hashed = hashlib.sha256(b"raw").hexdigest()
    apple = here.vouchers.token("apple", nonce=hashed)
    assert (await person.social("apple", idToken=apple, nonce="raw")).status == 200
    assert (await person.social("apple", idToken=apple, nonce=hashed)).status == 401


async def test_kakaos_access_token_must_belong_to_our_app(here: Town) -> None:
    account = {"email": "jiu@example.com", "is_email_valid": True, "is_email_verified": True}
    here.vouchers.people = {
        "ours": {"app_id": KAKAO_APP_ID, "id": 77, "account": account},
        "theirs": {"app_id": 1, "id": 77, "account": account},
    }
    person = here.person()
    stolen = await person.social("kakao", accessToken="theirs")
    assert (stolen.status, stolen.code) == (401, "unauthenticated")
    assert "/v2/user/me" not in here.vouchers.asked
    person.keep(await person.social("kakao", accessToken="ours"))
    assert (await person.me())["email"] == "jiu@example.com"
    same = await here.person().social("kakao", idToken=here.vouchers.token("kakao", "77"))
    assert same["userId"] == (await person.me())["id"]
    assert (await person.social("kakao", accessToken="unknown")).status == 401
    assert (await person.social("kakao", accessToken="a", idToken="b")).status == 400


async def test_a_known_email_has_to_be_linked_by_its_own_way_in(here: Town) -> None:
    minjun = here.person()
    minjun.keep(await minjun.sign_up("minjun@example.com"))
    token = here.vouchers.token("google", **verified("minjun@example.com"))
    refused = await here.person().social("google", idToken=token)
    assert (refused.status, refused.code) == (409, "link_required")
    assert refused["error"]["details"] == {"providers": ["local"]}
    early = await minjun.call("PUT", "/v1/me/methods/google", {"idToken": token})
    assert (early.status, early.code) == (409, "conflict")  # the address may be another's
    code = await here.mail.code("minjun@example.com")
    await minjun.call("POST", "/v1/me/email/confirmation", {"code": code})
    linked = await minjun.call("PUT", "/v1/me/methods/google", {"idToken": token})
    assert [method["provider"] for method in linked["methods"]] == ["local", "google"]
    again = await minjun.call("PUT", "/v1/me/methods/google", {"idToken": token})
    assert again.status == 200
    found = await here.person().social("google", idToken=token)
    assert found["userId"] == linked["id"]


async def test_an_unverified_email_of_a_provider_links_and_claims_nothing(here: Town) -> None:
    minjun = here.person()
    minjun.keep(await minjun.sign_up("minjun@example.com"))
    for claims in ({"email_verified": False}, {"email_verified": "false"}, {}):
        token = here.vouchers.token("google", f"s-{claims}", email="minjun@example.com", **claims)
        other = here.person().keep(await here.person().social("google", idToken=token))
        me = await other.me()
        assert me["email"] is None
        assert me["id"] != (await minjun.me())["id"]


async def test_a_way_in_leads_to_one_account_and_the_last_one_stays(here: Town) -> None:
    vouchers = here.vouchers
    one, two = here.person(), here.person("device-0002")
    one.keep(await one.social("google", idToken=vouchers.token("google", "g-1")))
    two.keep(await two.social("kakao", idToken=vouchers.token("kakao", "k-2")))
    taken = await one.call(
        "PUT", "/v1/me/methods/kakao", {"idToken": vouchers.token("kakao", "k-2")}
    )
    assert (taken.status, taken.code) == (409, "conflict")
    last = await one.call("DELETE", "/v1/me/methods/google")
    assert (last.status, last.code) == (409, "last_method")
    assert (await one.call("DELETE", "/v1/me/methods/apple")).status == 404
    await one.call("PUT", "/v1/me/methods/kakao", {"idToken": vouchers.token("kakao", "k-1")})
    both = await asyncio.gather(
        one.call("DELETE", "/v1/me/methods/google"), one.call("DELETE", "/v1/me/methods/kakao")
    )
    assert sorted(answer.status for answer in both) == [200, 409]
    assert len((await one.me())["methods"]) == 1


async def test_many_first_sign_ins_at_once_make_one_account(
    here: Town, mongo_admin: Admin, mongo_database: str
) -> None:
    token = here.vouchers.token("google", **verified("minjun@example.com"))
    answers = await asyncio.gather(
        *(here.person(f"device-{n:04d}").social("google", idToken=token) for n in range(10))
    )
    assert {answer.status for answer in answers} == {200}
    assert len({answer["userId"] for answer in answers}) == 1
    assert sum(answer["created"] for answer in answers) == 1
    assert mongo_admin[mongo_database]["users"].count_documents({}) == 1


async def test_apples_code_is_exchanged_and_its_token_sealed_and_given_back(
    here: Town, mongo_admin: Admin, mongo_database: str
) -> None:
    vouchers = here.vouchers
    vouchers.codes = {"code-1": "apple-refresh-1", "code-2": "apple-refresh-2"}
    person = here.person()
    token = vouchers.token("apple", **verified("minjun@example.com"))
    person.keep(await person.social("apple", idToken=token, code="code-1", name="민준"))
    assert (await person.me())["name"] == "민준"
    user = str(mongo_admin[mongo_database]["users"].find_one({}))
    assert "apple-refresh" not in user
    assert (await person.social("apple", idToken=token, code="code-1")).status == 401  # good once
    assert (await person.social("apple", idToken=token, code="code-2")).status == 200
    password = await person.call("POST", "/v1/me/password", {"password": GOOD})
    assert [method["provider"] for method in password["methods"]] == ["apple", "local"]
    assert (await person.call("DELETE", "/v1/me/methods/apple")).status == 200
    assert vouchers.revoked == ["apple-refresh-2"]
    assert (await here.person().sign_in("minjun@example.com")).status == 200


async def test_keys_that_rotate_are_fetched_and_an_outage_is_survived(here: Town) -> None:
    vouchers, person = here.vouchers, here.person()
    assert (await person.social("google", idToken=vouchers.token("google"))).status == 200
    for _ in range(5):
        assert (await person.social("google", idToken=vouchers.token("google"))).status == 200
    assert vouchers.asked.count("/oauth2/v3/certs") == 1
    vouchers.status = 503
    known = vouchers.token("google")
    assert (await person.social("google", idToken=known)).status == 200
    away = await person.social("kakao", idToken=vouchers.token("kakao"))
    assert (away.status, away.code) == (503, "provider_unavailable")
    assert int(away.headers["Retry-After"]) > 0
    person.keep(await person.social("google", idToken=known))
    assert (await person.refresh()).status == 200  # who is signed in goes on


async def test_an_answer_cut_short_and_one_that_stalls_are_outages(here: Town) -> None:
    vouchers = here.vouchers
    vouchers.cut = True
    cut = await here.person().social("apple", idToken=vouchers.token("apple"))
    assert (cut.status, cut.code) == (503, "provider_unavailable")
    vouchers.cut = False
    assert (await here.person().social("apple", idToken=vouchers.token("apple"))).status == 200


async def test_a_provider_that_is_not_set_up_says_so(settings: Settings, tmp_path: Path) -> None:
    nothing: dict[str, dict[str, Any]] = {"google": {"client_ids": []}}
    async with town(settings, tmp_path, **nothing) as here:
        answer = await here.person().social("google", idToken=here.vouchers.token("google"))
        assert (answer.status, answer.code) == (503, "provider_unavailable")


async def test_somebody_who_signed_up_with_anothers_address_loses_it(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("models.accounts.local.MAIL_RATES", ())
    async with town(settings, tmp_path) as here:
        squatter = here.person("device-6666")
        squatter.keep(await squatter.sign_up("victim@example.com"))
        token = here.vouchers.token("google", "squatter")
        stays = await squatter.call("PUT", "/v1/me/methods/google", {"idToken": token})
        assert stays.status == 409
        victim = here.person()
        await victim.call("POST", "/v1/password-resets", {"email": "victim@example.com"})
        code = await here.mail.code("victim@example.com", 2)
        await victim.call(
            "POST",
            "/v1/password-resets/confirmation",
            {"email": "victim@example.com", "code": code, "password": "my own sentence 11"},
        )
        victim.keep(await victim.sign_in("victim@example.com", "my own sentence 11"))
        assert (await squatter.refresh()).status == 401
        assert (await squatter.sign_in("victim@example.com")).status == 401

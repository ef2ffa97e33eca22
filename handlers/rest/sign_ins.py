"""Signing in by e-mail, Google, Apple or Kakao; going on; seeing and ending what is signed in."""

from typing import Self

from pydantic import Field, model_validator

from handlers.rest.account_shapes import (
    IN_PERSON,
    PEOPLE,
    DeviceBody,
    Email,
    NewPerson,
    Password,
    Secret,
    SignInView,
    TokensView,
    holder,
    sign_in_view,
    tokens_view,
)
from handlers.routing import (
    PUBLIC,
    Body,
    Call,
    Id,
    Limit,
    Page,
    Policy,
    PublicCall,
    Routes,
    View,
)
from models.accounts.emails import canonical_email
from models.accounts.records import Provider, Role
from models.accounts.vouching import Proof
from models.errors import AppError, ErrorCode

routes = Routes("/v1", tag="sign-ins")

CURRENT = "current"
"""Stands for the caller's own sign-in in a path."""
SOCIAL_ERRORS = {
    ErrorCode.UNAUTHENTICATED,
    ErrorCode.LINK_REQUIRED,
    ErrorCode.PROVIDER_UNAVAILABLE,
}


class PasswordSignIn(Body):
    """An e-mail and its password."""

    email: Email
    password: Password
    device: DeviceBody


class GoogleSignIn(NewPerson):
    """A proof of Google."""

    id_token: Secret
    nonce: Secret | None = Field(default=None, description="As the app gave it to Google.")
    device: DeviceBody


class AppleSignIn(NewPerson):
    """A proof of Apple."""

    id_token: Secret
    nonce: Secret | None = Field(
        default=None, description="The raw one; the token holds its SHA-256."
    )
    code: Secret | None = Field(default=None, description="The authorization code.")
    device: DeviceBody


class KakaoSignIn(NewPerson):
    """A proof of Kakao: an ID token, or an access token where there is none."""

    id_token: Secret | None = None
    access_token: Secret | None = None
    nonce: Secret | None = None
    device: DeviceBody

    @model_validator(mode="after")
    def _holds_one_token(self) -> Self:
        if (self.id_token is None) == (self.access_token is None):
            raise ValueError("send either idToken or accessToken")
        return self


class Refresh(Body):
    """A refresh token that was not used yet."""

    refresh_token: Secret
    device_id: str = Field(min_length=8, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")


class PasswordAgain(Body):
    """The caller's password."""

    password: Password


class AccessView(View):
    """A new access token of the same sign-in."""

    access_token: str
    expires_in: int


@routes.post("/sign-ins", policy=PUBLIC, limit=Limit.SIGN_IN, errors={ErrorCode.UNAUTHENTICATED})
async def sign_in(call: PublicCall, body: PasswordSignIn) -> TokensView:
    """Sign in by e-mail and password.

    Wrong and unknown are answered alike, and alike fast. After a failure the account's next
    attempt has to wait, 1 s at first and up to 5 min.
    """
    await call.count(canonical_email(body.email))
    return tokens_view(
        await call.deps.accounts.local.sign_in(body.email, body.password, body.device.record())
    )


@routes.post("/sign-ins/google", policy=PUBLIC, limit=Limit.SIGN_IN, errors=SOCIAL_ERRORS)
async def sign_in_by_google(call: PublicCall, body: GoogleSignIn) -> TokensView:
    """Sign in by Google; the first time makes an account."""
    return await _social(
        call, Provider.GOOGLE, Proof(id_token=body.id_token, nonce=body.nonce), body, body.device
    )


@routes.post("/sign-ins/apple", policy=PUBLIC, limit=Limit.SIGN_IN, errors=SOCIAL_ERRORS)
async def sign_in_by_apple(call: PublicCall, body: AppleSignIn) -> TokensView:
    """Sign in by Apple; the first time makes an account."""
    proof = Proof(id_token=body.id_token, nonce=body.nonce, code=body.code, name=body.name)
    return await _social(call, Provider.APPLE, proof, body, body.device)


@routes.post("/sign-ins/kakao", policy=PUBLIC, limit=Limit.SIGN_IN, errors=SOCIAL_ERRORS)
async def sign_in_by_kakao(call: PublicCall, body: KakaoSignIn) -> TokensView:
    """Sign in by Kakao; the first time makes an account."""
    proof = Proof(id_token=body.id_token, access_token=body.access_token, nonce=body.nonce)
    return await _social(call, Provider.KAKAO, proof, body, body.device)


async def _social(
    call: PublicCall, provider: Provider, proof: Proof, person: NewPerson, device: DeviceBody
) -> TokensView:
    tokens, created = await call.deps.accounts.social.sign_in(
        provider, proof, person.account(call), device.record()
    )
    return tokens_view(tokens, created=created)


@routes.post("/tokens", policy=PUBLIC, limit=Limit.REFRESH, errors={ErrorCode.UNAUTHENTICATED})
async def refresh(call: PublicCall, body: Refresh) -> TokensView:
    """Exchange a refresh token for new tokens.

    A refresh token is good once. Presented again it ends the sign-in, unless its own device asks
    within 10 s because the answer was lost.
    """
    return tokens_view(
        await call.deps.accounts.sign_ins.refresh(body.refresh_token, body.device_id)
    )


@routes.get("/sign-ins", policy=Policy(PEOPLE))
async def list_sign_ins(call: Call) -> Page[SignInView]:
    """List what the caller is signed in on, children's devices among them; last used first."""
    held = await call.deps.accounts.sign_ins.list_of(call.who.user_id)
    return Page[SignInView](items=[sign_in_view(one, call.who.sign_in) for one in held])


@routes.delete(
    "/sign-ins/{sign_in_id}",
    policy=Policy(PEOPLE | {Role.CHILD}, in_person=True),
    errors={ErrorCode.NOT_FOUND},
)
async def end_sign_in(call: Call, sign_in_id: Id) -> None:
    """Sign out: `current`, or another device of the caller. Its connections end within 2 s."""
    own = sign_in_id in (CURRENT, call.who.sign_in)
    if Role.CHILD in call.who.roles and not own:
        raise AppError(ErrorCode.NOT_FOUND, "There is no such sign-in.")
    await call.deps.accounts.sign_ins.end(call.who.user_id, call.who.sign_in if own else sign_in_id)


@routes.delete("/sign-ins", policy=IN_PERSON)
async def end_all_sign_ins(call: Call) -> None:
    """Sign out everywhere, here and on children's devices too."""
    await call.deps.accounts.sign_ins.end_everything(call.who.user_id)


@routes.post(
    "/sign-ins/current/confirmation",
    policy=IN_PERSON,
    limit=Limit.SIGN_IN,
    errors={ErrorCode.UNAUTHENTICATED},
)
async def give_password_again(call: Call, body: PasswordAgain) -> AccessView:
    """Give the password once more, for what needs a recent sign-in."""
    user, signed_in = await holder(call)
    accounts = call.deps.accounts
    await accounts.local.give_password_again(user, body.password)
    token, _ = await accounts.sign_ins.give_again(signed_in.id)
    return AccessView(access_token=token, expires_in=call.deps.settings.account.access_seconds)

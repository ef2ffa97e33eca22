"""An account of one's own: signing up, what it says, its e-mail, password and telephone."""

from pydantic import Field

from handlers.rest.account_shapes import (
    FRESH_SECONDS,
    IN_PERSON,
    PEOPLE,
    Code,
    DeviceBody,
    Email,
    Locale,
    MeView,
    Name,
    NewPerson,
    Password,
    Secret,
    Social,
    TokensView,
    Zone,
    holder,
    me_view,
    tokens_view,
)
from handlers.routing import PUBLIC, Body, Call, Limit, Policy, PublicCall, Routes
from models.accounts.emails import canonical_email
from models.accounts.records import Provider
from models.accounts.vouching import Proof
from models.errors import ErrorCode

routes = Routes("/v1", tag="accounts")


class SignUp(NewPerson):
    """Somebody who wants an account."""

    email: Email
    password: Password
    device: DeviceBody


class ResetRequest(Body):
    """Somebody who does not know their password."""

    email: Email
    locale: Locale | None = Field(default=None, description="As `Accept-Language` unless given.")


class Reset(Body):
    """A new password, by the code of the mail."""

    email: Email
    code: Code
    password: Password


class Profile(Body):
    """What is to be changed; what is not given stays."""

    name: Name | None = None
    locale: Locale | None = None
    zone: Zone | None = None


class FirstPassword(Body):
    """A password for an account that has none."""

    password: Password


class NewPassword(FirstPassword):
    """Another password, by the one before it."""

    current: Password


class GivenCode(Body):
    """A code that was sent."""

    code: Code


class MethodProof(Body):
    """A proof of a provider, as for signing in by it."""

    id_token: Secret | None = None
    access_token: Secret | None = Field(default=None, description="Of Kakao alone.")
    nonce: Secret | None = None
    code: Secret | None = Field(default=None, description="Of Apple alone.")

    def proof(self) -> Proof:
        """Return what is to be verified."""
        return Proof(
            id_token=self.id_token,
            access_token=self.access_token,
            nonce=self.nonce,
            code=self.code,
        )


class PhoneNumber(Body):
    """A telephone number with its country code."""

    number: str = Field(min_length=8, max_length=32, examples=["+82 10-1234-5678"])


class PhoneCode(PhoneNumber):
    """A number, and the code that was sent to it."""

    code: Code


@routes.post(
    "/accounts",
    policy=PUBLIC,
    limit=Limit.SIGN_UP,
    status=201,
    idempotent=True,
    errors={ErrorCode.PASSWORD_REFUSED, ErrorCode.EMAIL_ALREADY_REGISTERED},
)
async def sign_up(call: PublicCall, body: SignUp) -> TokensView:
    """Make an account with an e-mail and a password, and sign in to it.

    A code to verify the address is mailed. An address that has an account is answered with the
    ways it can be signed in by.
    """
    await call.count(canonical_email(body.email))
    tokens = await call.deps.accounts.local.sign_up(
        body.account(call), body.email, body.password, body.device.record()
    )
    return tokens_view(tokens, created=True)


@routes.post("/password-resets", policy=PUBLIC, limit=Limit.SIGN_IN)
async def request_reset(call: PublicCall, body: ResetRequest) -> None:
    """Ask for a code to set a new password; answered alike whether there is an account or not."""
    locale = body.locale or call.language.value
    await call.deps.accounts.local.request_reset(body.email, locale)


@routes.post(
    "/password-resets/confirmation",
    policy=PUBLIC,
    limit=Limit.SIGN_IN,
    errors={ErrorCode.PASSWORD_REFUSED, ErrorCode.CODE_REFUSED},
)
async def reset_password(call: PublicCall, body: Reset) -> None:
    """Set a new password by the code of the mail. Everything signed in ends."""
    await call.count(canonical_email(body.email))
    await call.deps.accounts.local.reset(body.email, body.code, body.password)


@routes.get("/me", policy=Policy(PEOPLE))
async def show_me(call: Call) -> MeView:
    """Show the caller's account."""
    accounts = call.deps.accounts
    return me_view(accounts, await accounts.profiles.find(call.who.user_id))


@routes.patch("/me", policy=Policy(PEOPLE))
async def change_me(call: Call, body: Profile) -> MeView:
    """Change name, language or time zone."""
    accounts = call.deps.accounts
    user = await accounts.profiles.find(call.who.user_id)
    changed = await accounts.profiles.change(
        user, name=body.name, locale=body.locale, zone=body.zone
    )
    return me_view(accounts, changed)


@routes.put(
    "/me/password",
    policy=IN_PERSON,
    limit=Limit.SIGN_IN,
    errors={ErrorCode.UNAUTHENTICATED, ErrorCode.PASSWORD_REFUSED, ErrorCode.CONFLICT},
)
async def change_password(call: Call, body: NewPassword) -> TokensView:
    """Change the password. Every sign-in ends but the one this answers with."""
    user, signed_in = await holder(call)
    local = call.deps.accounts.local
    return tokens_view(
        await local.change_password(user, body.current, body.password, signed_in.device)
    )


@routes.post(
    "/me/password",
    policy=Policy(PEOPLE, fresh_seconds=FRESH_SECONDS),
    limit=Limit.SIGN_IN,
    errors={ErrorCode.PASSWORD_REFUSED, ErrorCode.CONFLICT},
)
async def add_password(call: Call, body: FirstPassword) -> MeView:
    """Add a password to an account that has none, as one more way in."""
    user, _ = await holder(call)
    accounts = call.deps.accounts
    return me_view(accounts, await accounts.local.add_password(user, body.password))


@routes.post("/me/email/code", policy=IN_PERSON, limit=Limit.CODE_SEND, errors={ErrorCode.CONFLICT})
async def send_email_code(call: Call) -> None:
    """Mail the code that verifies the account's address once more."""
    accounts = call.deps.accounts
    await accounts.local.send_verification(await accounts.profiles.find(call.who.user_id))


@routes.post(
    "/me/email/confirmation",
    policy=IN_PERSON,
    limit=Limit.SIGN_IN,
    errors={ErrorCode.CODE_REFUSED},
)
async def confirm_email(call: Call, body: GivenCode) -> MeView:
    """Verify the account's address by the code of the mail."""
    accounts = call.deps.accounts
    user = await accounts.profiles.find(call.who.user_id)
    return me_view(accounts, await accounts.local.confirm_email(user, body.code))


@routes.put(
    "/me/methods/{provider}",
    policy=Policy(PEOPLE, fresh_seconds=FRESH_SECONDS),
    limit=Limit.SIGN_IN,
    errors={ErrorCode.UNAUTHENTICATED, ErrorCode.CONFLICT, ErrorCode.PROVIDER_UNAVAILABLE},
)
async def link_method(call: Call, provider: Social, body: MethodProof) -> MeView:
    """Add a way in. A password is one too: `POST /v1/me/password`."""
    user, _ = await holder(call)
    accounts = call.deps.accounts
    return me_view(accounts, await accounts.social.link(user, Provider(provider), body.proof()))


@routes.delete(
    "/me/methods/{provider}",
    policy=Policy(PEOPLE, fresh_seconds=FRESH_SECONDS),
    errors={ErrorCode.NOT_FOUND, ErrorCode.LAST_METHOD, ErrorCode.PROVIDER_UNAVAILABLE},
)
async def unlink_method(call: Call, provider: Provider) -> MeView:
    """Remove a way in, but never the last one."""
    user, _ = await holder(call)
    accounts = call.deps.accounts
    return me_view(accounts, await accounts.social.unlink(user, provider))


@routes.post(
    "/me/phone/code",
    policy=IN_PERSON,
    limit=Limit.CODE_SEND,
    errors={ErrorCode.PROVIDER_UNAVAILABLE},
)
async def send_phone_code(call: Call, body: PhoneNumber) -> None:
    """Send a code to a mobile number of Korea or the USA, known or not."""
    accounts = call.deps.accounts
    user = await accounts.profiles.find(call.who.user_id)
    await accounts.phones.send_code(user, body.number, call.address)


@routes.put(
    "/me/phone",
    policy=IN_PERSON,
    limit=Limit.SIGN_IN,
    errors={ErrorCode.CODE_REFUSED, ErrorCode.CONFLICT, ErrorCode.PROVIDER_UNAVAILABLE},
)
async def confirm_phone(call: Call, body: PhoneCode) -> MeView:
    """Keep a number, by the code that was sent to it."""
    user, _ = await holder(call)
    accounts = call.deps.accounts
    return me_view(accounts, await accounts.phones.confirm(user, body.number, body.code))


@routes.delete("/me/phone", policy=IN_PERSON)
async def forget_phone(call: Call) -> None:
    """Remove the number."""
    user, _ = await holder(call)
    await call.deps.accounts.phones.forget(user)

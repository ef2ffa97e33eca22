"""Accounts that others vouch for: signed in to, made at the first time, linked, unlinked."""

from dataclasses import dataclass

from config import metrics
from config.clock import Clock
from models.accounts.emails import canonical_email
from models.accounts.profiles import NewAccount, Profiles, WasHere
from models.accounts.records import (
    USABLE,
    Device,
    Provider,
    SignInMethod,
    User,
    email_key,
    method_key,
)
from models.accounts.repo import AccountRepo, TakenError
from models.accounts.sign_ins import SignIns, Tokens
from models.accounts.vouching import Proof, Vouched, Vouchers
from models.cipher import Context, FieldCipher
from models.errors import AppError, ErrorCode


@dataclass(frozen=True, slots=True)
class SocialParts:
    """What social sign-in is made of."""

    accounts: AccountRepo
    sign_ins: SignIns
    profiles: Profiles
    vouchers: Vouchers
    cipher: FieldCipher
    was_here: WasHere
    clock: Clock


class SocialAccounts:
    """What somebody can do with a proof of Google, Apple or Kakao.

    An account is found by the provider's own id of the person, never by an e-mail: those change
    hands, and not every provider verifies them.
    """

    def __init__(self, parts: SocialParts) -> None:
        self._p = parts

    async def sign_in(
        self, provider: Provider, proof: Proof, new: NewAccount, device: Device
    ) -> tuple[Tokens, bool]:
        """Sign in; return the tokens, and whether the account was made by it.

        Args:
            new: used where there is no account yet.

        Raises:
            AppError: `unauthenticated`, `provider_unavailable`; `link_required` where the verified
                e-mail belongs to an account with other ways in, with those `providers`.
        """
        try:
            vouched = await self._p.vouchers.identify(provider, proof)
            user, made = await self._account(vouched, proof, new)
        except AppError:
            metrics.SIGN_INS.labels(provider, "refused").inc()
            raise
        metrics.SIGN_INS.labels(provider, "let_in").inc()
        return await self._p.sign_ins.begin(user, device), made

    async def link(self, user: User, provider: Provider, proof: Proof) -> User:
        """Give an account another way in; one that it has already is no error.

        Raises:
            AppError: `unauthenticated`, `provider_unavailable`; `conflict` where the way leads to
                another account, where there is one by this provider, or where the account's own
                e-mail is not verified: it may be somebody else's, who is to get it whole.
        """
        if user.email is not None and not user.email_verified:
            raise AppError(ErrorCode.CONFLICT, "Verify the e-mail first.")
        vouched = await self._p.vouchers.identify(provider, proof)
        has = user.method(provider)
        if has is not None and has.subject == vouched.identity.subject:
            return user
        if await self._p.was_here([method_key(provider, vouched.identity.subject)]):
            await self._p.accounts.mark_returning(user.id)
        try:
            linked = await self._p.accounts.add_method(
                user.id, await self._method(vouched, proof, user.id)
            )
        except TakenError as error:
            raise AppError(
                ErrorCode.CONFLICT, f"This sign-in by {provider.value} has another account."
            ) from error
        if linked is None:
            raise AppError(
                ErrorCode.CONFLICT, f"The account has a sign-in by {provider.value} already."
            )
        return linked

    async def unlink(self, user: User, provider: Provider) -> User:
        """Take a way in from an account, never the last one.

        Raises:
            AppError: `not_found`, `last_method`; `provider_unavailable` where Apple cannot be told.
        """
        method = user.method(provider)
        if method is None:
            raise AppError(ErrorCode.NOT_FOUND, "The account has no such way in.")
        if len(user.methods) == 1:
            raise _last()
        if method.refresh_sealed is not None and method.client_id is not None:
            granted = self._p.cipher.open(method.refresh_sealed, _place(user.id))
            await self._p.vouchers.withdraw_apple(granted, method.client_id)
        left = await self._p.accounts.remove_method(user.id, provider)
        if left is not None:
            return left
        now = await self._p.profiles.find(user.id)
        if now.method(provider) is not None:
            raise _last()
        return now

    async def _account(self, vouched: Vouched, proof: Proof, new: NewAccount) -> tuple[User, bool]:
        identity = vouched.identity
        key = method_key(vouched.provider, identity.subject)
        user = await self._p.accounts.find_by_method(key)
        if user is None:
            user = await self._make(vouched, proof, new)
            if user is not None:
                return user, True
            # Another request of the same person was faster.
            user = await self._p.accounts.find_by_method(key)
        if user is None or user.status not in USABLE or not await self._vouch(user, key):
            raise AppError(ErrorCode.UNAUTHENTICATED, "The account is closed.")
        if proof.code is not None and vouched.client_id is not None:
            await self._renew_grant(user, proof.code, vouched.client_id)
        return user, False

    async def _vouch(self, user: User, key: str) -> bool:
        """Keep that the provider vouches now: what it said before does not count any more."""
        return await self._p.accounts.vouch(user.id, key, self._p.clock.now())

    async def _make(self, vouched: Vouched, proof: Proof, new: NewAccount) -> User | None:
        """Store a new account; None if the way in has one by now."""
        identity = vouched.identity
        email = _verified_email(vouched)
        if email is not None and (owner := await self._p.accounts.find_by_email(email)):
            raise _link_required(owner)
        named = NewAccount(
            id=new.id,
            name=(new.name or proof.name or identity.name or "")[:60] or None,
            locale=new.locale,
            zone=new.zone,
        )
        method = await self._method(vouched, proof, new.id)
        known = [method.key] if email is None else [method.key, email_key(email)]
        user = self._p.profiles.account(
            named,
            method,
            email=email,
            verified=email is not None,
            returning=await self._p.was_here(known),
        )
        try:
            await self._p.accounts.insert(user)
        except TakenError as error:
            if error.what != "email" or email is None:
                return None
            owner = await self._p.accounts.find_by_email(email)
            if owner is None or any(known.key == method.key for known in owner.methods):
                return None
            raise _link_required(owner) from error
        return user

    async def _method(self, vouched: Vouched, proof: Proof, user_id: str) -> SignInMethod:
        sealed = None
        if proof.code is not None and vouched.client_id is not None:
            granted = await self._p.vouchers.apple_grant(proof.code, vouched.client_id)
            sealed = None if granted is None else self._p.cipher.seal(granted, _place(user_id))
        return SignInMethod(
            provider=vouched.provider,
            subject=vouched.identity.subject,
            linked_at=self._p.clock.now(),
            refresh_sealed=sealed,
            client_id=None if sealed is None else vouched.client_id,
        )

    async def _renew_grant(self, user: User, code: str, client_id: str) -> None:
        """Keep the newest refresh token; the one from before does where Apple is away."""
        try:
            granted = await self._p.vouchers.apple_grant(code, client_id)
        except AppError as error:
            if error.code is ErrorCode.PROVIDER_UNAVAILABLE:
                return
            raise
        if granted is not None:
            sealed = self._p.cipher.seal(granted, _place(user.id))
            await self._p.accounts.set_apple_grant(user.id, sealed, client_id)


def _verified_email(vouched: Vouched) -> str | None:
    identity = vouched.identity
    if identity.email is None or not identity.email_verified:
        return None
    try:
        return canonical_email(identity.email)
    except AppError:
        return None  # one that we cannot write to is none


def _place(user_id: str) -> Context:
    return Context("users", "refresh_sealed", user_id)


def _link_required(owner: User) -> AppError:
    return AppError(
        ErrorCode.LINK_REQUIRED,
        "This e-mail has an account already: sign in by one of `providers`, then link.",
        details={"providers": owner.providers},
    )


def _last() -> AppError:
    return AppError(
        ErrorCode.LAST_METHOD, "This is the only way into the account; add another one first."
    )

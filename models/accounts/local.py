"""Accounts with an e-mail and a password: made, signed in to, verified, given another password."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

from clients.base import UpstreamError
from clients.mail import Mail
from clients.pwned import PwnedPasswords
from config import metrics
from config.clock import Clock
from models.accounts.codes import LETTERS, OneTimeCodes, code_refused
from models.accounts.emails import canonical_email
from models.accounts.letters import (
    other_method_mail,
    password_changed_mail,
    reset_mail,
    verification_mail,
)
from models.accounts.passwords import Hasher, check_password, refused
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
from models.accounts.throttle import Throttle
from models.db import Session
from models.errors import AppError, ErrorCode
from models.limits import Rate
from models.mails import NOTICE_LIFE, Mails

log = logging.getLogger(__name__)

Transact = Callable[[Callable[[Session], Awaitable[User | None]]], Awaitable[User | None]]
"""Does work in one transaction."""

CODE_LENGTH = 8
"""Of `LETTERS`: 39 bits, of which a guesser gets five tries a code."""
CODE_LIFE = timedelta(minutes=30)
MAIL_RATES = (Rate(1, 60), Rate(10, 86_400))
"""Mails with codes to one address."""
TOLD_RATE = Rate(20, 3600)
"""How often it is told that an address is registered."""


@dataclass(frozen=True, slots=True)
class LocalParts:
    """What local accounts are made of."""

    transact: Transact
    accounts: AccountRepo
    sign_ins: SignIns
    profiles: Profiles
    hasher: Hasher
    pwned: PwnedPasswords | None
    throttle: Throttle
    codes: OneTimeCodes
    mails: Mails
    was_here: WasHere
    clock: Clock


class LocalAccounts:
    """What somebody can do with an e-mail and a password.

    Raises:
        AppError: why not; texts and times are alike for addresses that are known and unknown,
            but for the one answer of `sign_up` that says so.
    """

    def __init__(self, parts: LocalParts) -> None:
        self._p = parts

    async def sign_up(self, new: NewAccount, email: str, password: str, device: Device) -> Tokens:
        """Make an account, sign it in, and mail the code that verifies its address.

        Raises:
            AppError: `invalid`, `password_refused`, or `email_already_registered` with the
                providers it can be signed in by.
        """
        address = canonical_email(email)
        check_password(password, email=address, name=new.name)
        owner = await self._p.accounts.find_by_email(address)
        if owner is None:
            owner = await self._made(new, address, password)
        elif owner.id != new.id or not await self._matches(owner, password):
            raise await self._registered(address, owner)
        # Else the same request came before, and was left half done.
        try:
            await self.send_verification(owner)
        except AppError as error:
            # The account is there: its holder asks for a code when they want one.
            log.warning("no code was sent at a sign-up: %s", error.code.value)
        return await self._p.sign_ins.begin(owner, device)

    async def _made(self, new: NewAccount, address: str, password: str) -> User:
        await self._refuse_breached(password)
        method = SignInMethod(
            provider=Provider.LOCAL,
            subject=address,
            linked_at=self._p.clock.now(),
            password_hash=await self._p.hasher.hash(password),
        )
        user = self._p.profiles.account(
            new,
            method,
            email=address,
            verified=False,
            returning=await self._p.was_here([email_key(address)]),
        )
        try:
            await self._p.accounts.insert(user)
        except TakenError as error:
            raise await self._registered(
                address, await self._p.accounts.find_by_email(address)
            ) from error
        return user

    async def sign_in(self, email: str, password: str, device: Device) -> Tokens:
        """Sign in.

        Raises:
            AppError: `unauthenticated`, alike for wrong and unknown; `rate_limited` after failures.
        """
        address = canonical_email(email)
        await self._p.throttle.attempt(address)
        user = await self._p.accounts.find_by_method(method_key(Provider.LOCAL, address))
        if user is None or not await self._matches(user, password):
            if user is None:
                await self._p.hasher.verify(None, password)
            metrics.SIGN_INS.labels(Provider.LOCAL, "refused").inc()
            raise AppError(ErrorCode.UNAUTHENTICATED, "E-mail or password is wrong.")
        await self._p.throttle.succeeded(address)
        metrics.SIGN_INS.labels(Provider.LOCAL, "let_in").inc()
        return await self._p.sign_ins.begin(user, device)

    async def give_password_again(self, user: User, password: str) -> None:
        """Check the password of somebody who is signed in.

        Raises:
            AppError: `unauthenticated`; `rate_limited` after failures.
        """
        local = user.method(Provider.LOCAL)
        address = user.id if local is None else local.subject
        await self._p.throttle.attempt(address)
        if not await self._matches(user, password):
            raise AppError(ErrorCode.UNAUTHENTICATED, "The password is wrong.")
        await self._p.throttle.succeeded(address)

    async def change_password(
        self, user: User, current: str, password: str, device: Device
    ) -> Tokens:
        """Change the password and end every sign-in, the caller's too; return new tokens.

        Raises:
            AppError: `unauthenticated`, `password_refused`, `rate_limited`; `conflict` without a
                password, or when it was changed meanwhile.
        """
        had = user.method(Provider.LOCAL)
        if had is None:
            raise AppError(ErrorCode.CONFLICT, "The account has no password; add one.")
        await self.give_password_again(user, current)
        hashed = await self._taken(password, user)
        now = await self._p.profiles.find(user.id)
        local = now.method(Provider.LOCAL)
        # What was checked is what is replaced; hashing it anew at sign-in made no other password.
        if local is None or now.version != user.version:
            raise _meanwhile()
        changed = await self._change(user.id, hashed, old=local.password_hash)
        if changed is None:
            raise _meanwhile()
        await self._p.sign_ins.end_all(changed, "password_changed")
        return await self._p.sign_ins.begin(changed, device)

    async def add_password(self, user: User, password: str) -> User:
        """Give an account its first password.

        Raises:
            AppError: `password_refused`; `conflict` without a verified e-mail, or with a password.
        """
        if user.email is None or not user.email_verified:
            raise AppError(ErrorCode.CONFLICT, "A password needs a verified e-mail.")
        method = SignInMethod(
            provider=Provider.LOCAL,
            subject=user.email,
            linked_at=self._p.clock.now(),
            password_hash=await self._taken(password, user),
        )
        try:
            linked = await self._p.accounts.add_method(user.id, method)
        except TakenError:
            linked = None
        if linked is None:
            raise AppError(ErrorCode.CONFLICT, "The account has a password; change it.")
        return linked

    async def request_reset(self, email: str, locale: str) -> None:
        """Mail a code for a new password, if there is an account; the caller is not told.

        Raises:
            AppError: `invalid`, `rate_limited`.
        """
        address = canonical_email(email)
        await self._count_mail(address)
        code = await self._issue(f"reset:{address}")
        user = await self._p.accounts.find_by_email(address)
        key = f"reset:{address}:{code}"
        if user is None or user.status not in USABLE or user.is_test:
            nobody = reset_mail("", locale, code, _minutes())
            await self._p.mails.feign(nobody, key=key, life=CODE_LIFE)
        elif user.method(Provider.LOCAL) is None:
            await self._post(user, other_method_mail(address, user), key, CODE_LIFE)
        else:
            await self._post(user, reset_mail(address, locale, code, _minutes()), key, CODE_LIFE)

    async def reset(self, email: str, code: str, password: str) -> None:
        """Set a new password by the code of the mail; every sign-in of the account ends.

        The code also proves the address, so whoever signed up with somebody else's loses it.

        Raises:
            AppError: `password_refused`, `code_refused`.
        """
        address = canonical_email(email)
        check_password(password, email=address, name=None)
        await self._refuse_breached(password)
        if not await self._p.codes.check(f"reset:{address}", code):
            raise code_refused()
        user = await self._p.accounts.find_by_method(method_key(Provider.LOCAL, address))
        if user is None or user.status not in USABLE:
            raise code_refused()
        changed = await self._change(user.id, await self._p.hasher.hash(password))
        if changed is None:
            raise code_refused()
        await self._p.accounts.confirm_email(user.id, address)
        await self._p.throttle.succeeded(address)
        await self._p.sign_ins.end_all(changed, "password_changed")

    async def send_verification(self, user: User) -> None:
        """Mail the code that verifies the address; nothing happens where it is verified.

        Raises:
            AppError: `conflict` without an address; `rate_limited`.
        """
        if user.email is None:
            raise AppError(ErrorCode.CONFLICT, "The account has no e-mail.")
        if user.email_verified:
            return
        await self._count_mail(user.email)
        code = await self._issue(f"verify:{user.id}:{user.email}")
        mail = verification_mail(user.email, user.locale, code, _minutes())
        await self._post(user, mail, f"verify:{user.id}:{code}", CODE_LIFE)

    async def confirm_email(self, user: User, code: str) -> User:
        """Verify the address by the code of the mail.

        Raises:
            AppError: `code_refused`.
        """
        if user.email is None or user.email_verified:
            return user
        if not await self._p.codes.check(f"verify:{user.id}:{user.email}", code):
            raise code_refused()
        confirmed = await self._p.accounts.confirm_email(user.id, user.email)
        if confirmed is None:
            raise code_refused()
        return confirmed

    async def _matches(self, user: User, password: str) -> bool:
        local = user.method(Provider.LOCAL)
        stored = None if local is None else local.password_hash
        if not await self._p.hasher.verify(stored, password) or user.status not in USABLE:
            return False
        if stored is not None and self._p.hasher.is_stale(stored):
            renewed = await self._p.hasher.hash(password)
            await self._p.accounts.replace_hash(user.id, stored, renewed)
        return True

    async def _taken(self, password: str, user: User) -> str:
        """Return the hash of a password that may be taken."""
        check_password(password, email=user.email, name=self._p.profiles.name_of(user))
        await self._refuse_breached(password)
        return await self._p.hasher.hash(password)

    async def _change(self, user_id: str, new: str, *, old: str | None = None) -> User | None:
        """Store another password and the mail that tells of it, both or neither."""

        async def work(session: Session) -> User | None:
            user = await self._p.accounts.change_password(user_id, new, old=old, session=session)
            if user is not None and user.email is not None:
                mail = password_changed_mail(user.email, user.locale)
                key = f"password:{user.id}:{user.version}"
                await self._post(user, mail, key, NOTICE_LIFE, session)
            return user

        return await self._p.transact(work)

    async def _refuse_breached(self, password: str) -> None:
        if self._p.pwned is None:
            return
        try:
            seen = await self._p.pwned.count(password)
        except UpstreamError as error:
            # The list that comes with the server was asked before, and people must get in.
            log.warning("breached passwords are not checked: %s", error)
            return
        if seen:
            raise refused("breached", "it stands in lists of stolen passwords")

    async def _registered(self, address: str, owner: User | None) -> AppError:
        await self._p.codes.allow({f"registered:{address}": (TOLD_RATE,)}, self._p.clock.time_us())
        return AppError(
            ErrorCode.EMAIL_ALREADY_REGISTERED,
            "This e-mail has an account already; sign in by one of `providers`.",
            details={"providers": [] if owner is None else owner.providers},
        )

    async def _count_mail(self, address: str) -> None:
        await self._p.codes.allow({f"mail:{address}": MAIL_RATES}, self._p.clock.time_us())

    async def _issue(self, subject: str) -> str:
        return await self._p.codes.issue(
            subject,
            alphabet=LETTERS,
            length=CODE_LENGTH,
            seconds=int(CODE_LIFE.total_seconds()),
        )

    async def _post(
        self, user: User, mail: Mail, key: str, life: timedelta, session: Session | None = None
    ) -> None:
        if not user.is_test:
            await self._p.mails.post(mail, key=key, about=user.id, life=life, session=session)


def _minutes() -> int:
    return int(CODE_LIFE.total_seconds()) // 60


def _meanwhile() -> AppError:
    return AppError(ErrorCode.CONFLICT, "The password was changed meanwhile; sign in again.")

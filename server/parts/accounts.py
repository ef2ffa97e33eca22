"""The composition of accounts: clients of the services that are set up, and what uses them."""

import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from clients.appleid import AppleId
from clients.base import Upstream
from clients.google import Google
from clients.kakao import Kakao
from clients.mail import FolderMailer, Mailer, SmtpMailer
from clients.pwned import PwnedPasswords
from clients.sens import Sens
from clients.twilio import TwilioVerify
from config.clock import Clock
from config.services import AccountSettings
from config.settings import Settings
from models.accounts.accounts import Accounts
from models.accounts.argon import HashCost
from models.accounts.codes import OneTimeCodes
from models.accounts.local import LocalAccounts, LocalParts
from models.accounts.passwords import Hasher
from models.accounts.phone_numbers import Country
from models.accounts.phones import OwnCodes, Phones, PhoneVerifier, TextFolder
from models.accounts.profiles import Profiles
from models.accounts.repo import AccountRepo
from models.accounts.sign_in_repo import SignInRepo
from models.accounts.sign_ins import Lives, SignIns
from models.accounts.signing import Issuer
from models.accounts.social import SocialAccounts, SocialParts
from models.accounts.throttle import Throttle
from models.accounts.vouching import Vouchers
from models.mails import Mails
from models.outbox import Outbox
from models.withdrawal.tombstones import Tombstones
from server.stores import Stores

PATIENCE_S = 6.0
"""Somebody waits for a sign-in or a code: all tries together end by then."""
BREACH_PATIENCE_S = 2.0


@dataclass(frozen=True, slots=True)
class AccountParts:
    """Accounts, and what of them runs and is closed."""

    accounts: Accounts
    repo: AccountRepo
    vouchers: Vouchers
    outbox: Outbox
    tombstones: Tombstones
    mails: Mails
    mailer: Mailer | None
    closing: tuple[Callable[[], Awaitable[None]], ...]
    hasher: Hasher

    async def close(self) -> None:
        """Close every connection and thread."""
        for close in self.closing:
            await close()
        self.hasher.close()


def build_accounts(stores: Stores, *, muted: bool = False) -> AccountParts:
    """Return accounts as the settings describe them; nothing is connected yet.

    Args:
        muted: nobody is mailed.
    """
    settings, redis, cipher, clock = stores.settings, stores.redis, stores.cipher, stores.clock
    rules = settings.account
    repo = AccountRepo(stores.mongo.database)
    profiles = Profiles(repo, cipher, clock)
    hasher = Hasher(_cost(rules))
    pwned = PwnedPasswords(
        Upstream("pwned", settings.pwned.url, attempts=2, patience_s=BREACH_PATIENCE_S, clock=clock)
    )
    vouchers = _vouchers(settings, clock)
    mailer = _mailer(settings)
    outbox = Outbox(stores.mongo.database, cipher)
    tombstones = Tombstones(stores.mongo.database, cipher, clock)
    mails = Mails(outbox, clock, muted=muted)
    sign_ins = _sign_ins(stores, repo, mails)
    codes = OneTimeCodes(
        redis,
        settings.store.redis_prefix,
        digest=lambda text: cipher.index(text, "code"),
        choose=secrets.choice,
    )
    twilio, sens = _twilio(settings, clock), _sens(settings, clock)
    verifiers: dict[Country, PhoneVerifier] = {}
    if isinstance(mailer, FolderMailer):
        written = OwnCodes(codes, TextFolder(mailer))
        verifiers = {"KR": written, "US": written}
    if sens is not None:
        verifiers["KR"] = OwnCodes(codes, sens)
    if twilio is not None:
        verifiers["US"] = twilio
    local = LocalAccounts(
        LocalParts(
            transact=stores.mongo.transact,
            accounts=repo,
            sign_ins=sign_ins,
            profiles=profiles,
            hasher=hasher,
            pwned=pwned if settings.pwned.url else None,
            throttle=Throttle(
                redis,
                settings.store.redis_prefix,
                clock,
                rules.delay_first_seconds * 1000,
                rules.delay_most_seconds * 1000,
            ),
            codes=codes,
            mails=mails,
            was_here=tombstones.was_here,
            clock=clock,
        )
    )
    social = SocialAccounts(
        SocialParts(
            accounts=repo,
            sign_ins=sign_ins,
            profiles=profiles,
            vouchers=vouchers,
            cipher=cipher,
            was_here=tombstones.was_here,
            clock=clock,
        )
    )
    phones = Phones(repo, codes, cipher, verifiers, tombstones.was_here, clock)
    closing = [vouchers.close, pwned.close]
    closing += [] if twilio is None else [twilio.close]
    closing += [] if sens is None else [sens.close]
    return AccountParts(
        accounts=Accounts(local, social, sign_ins, profiles, phones),
        repo=repo,
        vouchers=vouchers,
        outbox=outbox,
        tombstones=tombstones,
        mails=mails,
        mailer=mailer,
        closing=tuple(closing),
        hasher=hasher,
    )


def _sign_ins(stores: Stores, repo: AccountRepo, mails: Mails) -> SignIns:
    settings, clock = stores.settings, stores.clock
    rules, token = settings.account, settings.token
    return SignIns(
        repo=SignInRepo(stores.mongo.database),
        accounts=repo,
        issuer=Issuer(
            signer=stores.token_keys.signer,
            issuer=token.issuer,
            audience=token.audience,
            seconds=rules.access_seconds,
            clock=clock,
            new_id=lambda: secrets.token_hex(16),
        ),
        revocations=stores.revocations,
        clock=clock,
        lives=Lives(
            idle=timedelta(days=rules.idle_days),
            absolute=timedelta(days=rules.absolute_days),
            reuse=timedelta(seconds=rules.reuse_seconds),
            each=rules.sign_ins,
        ),
        mails=mails,
        new_secret=lambda: secrets.token_hex(32),
        new_id=lambda: secrets.token_hex(16),
    )


def _cost(rules: AccountSettings) -> HashCost:
    return HashCost(
        passes=rules.hash_passes,
        memory_kib=rules.hash_memory_kib,
        lanes=rules.hash_lanes,
        at_once=rules.hash_threads,
    )


def _vouchers(settings: Settings, clock: Clock) -> Vouchers:
    google, apple, kakao = settings.google, settings.apple, settings.kakao
    admin_key = settings.kakao_admin_key

    def upstream(name: str, url: str) -> Upstream:
        return Upstream(name, url, attempts=2, patience_s=PATIENCE_S, clock=clock)

    return Vouchers(
        Google(upstream("google", google.url), google.client_ids, clock)
        if google.client_ids
        else None,
        AppleId(
            upstream("apple", apple.id_url),
            upstream("apple-keys", apple.id_url),
            apple.client_ids,
            clock,
            team_id=apple.team_id,
            key_id=apple.key_id,
            private_key=settings.apple_key,
        )
        if apple.client_ids
        else None,
        Kakao(
            upstream("kakao-keys", kakao.auth_url),
            upstream("kakao", kakao.api_url),
            kakao.app_keys,
            kakao.app_id,
            clock,
            None if admin_key is None else admin_key.get_secret_value(),
        )
        if kakao.app_keys
        else None,
    )


def _mailer(settings: Settings) -> Mailer | None:
    mail = settings.mail
    if mail.host:
        password = settings.smtp_password
        return SmtpMailer(
            mail.host,
            mail.port,
            mail.security,
            mail.sender,
            settings.smtp_user,
            None if password is None else password.get_secret_value(),
        )
    return FolderMailer(Path(mail.folder), mail.sender) if mail.folder else None


def _twilio(settings: Settings, clock: Clock) -> TwilioVerify | None:
    twilio, account, token = settings.twilio, settings.twilio_account, settings.twilio_token
    if not twilio.service or account is None or token is None:
        return None
    upstream = Upstream("twilio", twilio.url, attempts=2, patience_s=PATIENCE_S, clock=clock)
    return TwilioVerify(upstream, twilio.service, account, token.get_secret_value())


def _sens(settings: Settings, clock: Clock) -> Sens | None:
    sens, key, secret = settings.sens, settings.sens_access_key, settings.sens_secret
    if not sens.service or key is None or secret is None:
        return None
    upstream = Upstream("sens", sens.url, attempts=2, patience_s=PATIENCE_S, clock=clock)
    return Sens(upstream, sens.service, sens.sender, key, secret.get_secret_value(), clock)

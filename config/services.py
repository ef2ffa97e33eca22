"""Settings of accounts and of outside services: where they are, and who we are with them."""

import ipaddress
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[int, Field(gt=0)]


class _Section(BaseModel):
    """A part of the tree: frozen, and a misspelt name in it is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class AccountSettings(_Section):
    """How long sign-ins last, and what passwords cost."""

    access_seconds: Annotated[int, Field(ge=60, le=86_400)]
    """Life of an access token."""
    idle_days: Positive
    """A sign-in not used for so long is over."""
    absolute_days: Positive
    """A sign-in is over then, used or not."""
    reuse_seconds: Positive
    """A device that lost the answer to a refresh may ask again this long."""
    sign_ins: Positive
    """Sign-ins of one account; devices of one child."""
    hash_passes: Annotated[int, Field(ge=2)]
    hash_memory_kib: Annotated[int, Field(ge=19_456)]
    hash_lanes: Positive
    hash_threads: Positive
    """Passwords hashed at once."""
    delay_first_seconds: Positive
    """Wait after one failed sign-in; it doubles with each."""
    delay_most_seconds: Positive


class WithdrawalSettings(_Section):
    """Leaving the product."""

    undo_hours: Annotated[int, Field(ge=0)]
    """How long somebody may change their mind; nothing is erased before."""
    tombstone_days: Positive
    """How long it stays known, as hashes alone, that somebody was here."""
    outside_attempts: Positive
    """After so many the operators hear that a provider was not told."""
    look_seconds: Annotated[int | float, Field(gt=0)]
    """How often a worker looks for withdrawals that are due."""


class WebhookSettings(_Section):
    """News that providers bring."""

    attempts: Positive
    """After so many failures it is left; the operators heard of the trouble long before."""
    keep_days: Positive
    """How long it stays known what was done, without whom it was about."""
    look_seconds: Annotated[int | float, Field(gt=0)]
    """How often a worker looks for news that are due."""


class OutboxSettings(_Section):
    """What is told outside: mail."""

    attempts: Positive
    """After so many failures it is left; the operators heard of the trouble long before."""
    look_seconds: Annotated[int | float, Field(gt=0)]
    """How often a process looks for what others put there."""


class GoogleSettings(_Section):
    """Sign-in with Google; not offered without client ids."""

    url: str
    client_ids: tuple[str, ...]


class AppleSettings(_Section):
    """Sign-in with Apple; not offered without client ids."""

    id_url: str
    client_ids: tuple[str, ...]
    """Bundle and services ids."""
    team_id: str
    key_id: str
    """Of the key `GEMGEM_APPLE_KEY`, which exchanges codes."""


class KakaoSettings(_Section):
    """Sign-in with Kakao; not offered without app keys."""

    auth_url: str
    api_url: str
    app_keys: tuple[str, ...]
    app_id: int


class PwnedSettings(_Section):
    """Lists of stolen passwords; only the own one is asked where no URL is set."""

    url: str


class TwilioSettings(_Section):
    """Codes to US numbers; not sent without a service."""

    url: str
    service: str


class SensSettings(_Section):
    """Text messages to Korean numbers; not sent without a service."""

    url: str
    service: str
    sender: str
    """The registered number messages come from."""


class MailSettings(_Section):
    """Mail: by a server, or into a folder on machines where nobody should get any."""

    host: str
    port: Annotated[int, Field(gt=0, le=65535)]
    security: Literal["tls", "starttls", "none"]
    sender: str
    folder: str
    """Where mails and text messages are written while `host` is empty."""


def url_fault(url: str) -> str | None:
    """Return what keeps an address of an outside service from production."""
    parts = urlsplit(url)
    if parts.scheme != "https":
        return "is not https"
    host = parts.hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return "is this machine"
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    return "is a private address" if not address.is_global else None

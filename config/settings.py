"""Settings: one frozen tree, read once from `config/defaults.toml` and the environment."""

import ipaddress
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from pydantic_settings import SettingsError as UnreadableError

from config.services import (
    AccountSettings,
    AppleSettings,
    GoogleSettings,
    KakaoSettings,
    MailSettings,
    OutboxSettings,
    PwnedSettings,
    SensSettings,
    TwilioSettings,
    WebhookSettings,
    WithdrawalSettings,
    url_fault,
)

DEFAULTS = Path(__file__).with_name("defaults.toml")

Positive = Annotated[int, Field(gt=0)]
Seconds = Annotated[int | float, Field(gt=0)]
Labels = Annotated[tuple[str, ...], Field(min_length=5, max_length=5)]
Share = Annotated[float, Field(gt=0, le=1)]


class SettingsError(Exception):
    """Values that cannot be used. `faults` names each, and never repeats it."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


class _Section(BaseModel):
    """A part of the tree: frozen, and a misspelt name in it is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class HttpSettings(_Section):
    """Where the process listens and what a request may be."""

    host: str
    port: Annotated[int, Field(ge=0, le=65535)]
    body_bytes: Positive
    """Largest HTTP request body."""
    origins: tuple[str, ...]
    """Browser origins allowed to connect besides the server's own."""
    head_seconds: Positive
    """A connection that has not sent a whole request head by then is closed."""
    proxies: tuple[str, ...]
    """Addresses or networks of the proxies whose `X-Forwarded-For` is believed."""
    grace_seconds: Positive
    """Longest time from the request to stop until the process ends."""

    @field_validator("proxies")
    @classmethod
    def _are_networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            ipaddress.ip_network(name)
        return value


class TokenSettings(_Section):
    """What an access token must say to be taken."""

    issuer: str
    audience: str
    leeway_seconds: int
    """Clock difference that is forgiven between machines."""


class RateSettings(_Section):
    """Requests a minute of one address or one account to one route."""

    sign_in_address: Positive
    sign_in_account: Positive
    sign_up: Positive
    refresh: Positive
    code_send: Positive
    others: Positive


class CareSettings(_Section):
    """Children and those who care for them."""

    day_start_hour: Annotated[int, Field(ge=0, le=6)]
    """Wall time at which a child's local day starts."""
    invite_hours: Positive
    """How long an invitation of a guardian or a therapist can be taken."""
    care_days: Positive
    """How long care lasts when the guardian says nothing else."""
    care_days_most: Positive
    guardian_link: str
    """Opens the app with the code of a guardian's invitation, which is put behind it."""
    care_link: str
    """The same for a therapist's invitation."""
    grade_labels_ko: Labels
    """Names of the grades 1 to 5."""
    grade_labels_en: Labels


class GradeSettings(_Section):
    """The weekly rule that proposes grades."""

    look_seconds: Seconds
    """How often a worker looks for children whose week is over."""
    wait_hours: Annotated[int, Field(ge=0, le=96)]
    """A week is looked at so long after its end: what was played late is stored by then."""
    sets: Positive
    """Finished sets of a week that say something; fewer say nothing."""
    days: Annotated[int, Field(ge=1, le=7)]
    """Different days they were played on."""
    quality: Share
    """Share of a set's frames that must be good for it to count."""
    up: Share
    """From this share of what was asked on a week speaks for a higher grade."""
    down: Annotated[float, Field(ge=0, lt=1)]
    """Up to this share it speaks for a lower one."""

    @model_validator(mode="after")
    def _leaves_room_to_stay(self) -> Self:
        if self.down >= self.up:
            raise ValueError("down must be less than up")
        return self


class SocketSettings(_Section):
    """Limits of a Socket.IO connection."""

    transport: Literal["lean", "stock"]
    """`lean` handles messages in the parser's callback; `stock` is the library's own loop."""
    ping_interval: Seconds
    ping_timeout: Seconds
    pause_ms: Annotated[float, Field(ge=0, le=10)]
    """Longest pause between two turns of the loop while messages come by the thousand a second."""
    message_bytes: Positive
    """Largest message on the wire; a bigger one closes the connection with 1009."""
    polling: bool
    """Whether long polling is served beside WebSocket; its connections are not rate limited."""
    messages_s: Positive
    bytes_s: Positive
    burst_seconds: Positive
    """Messages and bytes of that many seconds may come at once."""
    over_seconds: Positive
    """A client still over its rate this long after `slow_down` is closed."""
    attachments: Positive
    """Binary parts of one packet."""
    attachment_bytes: Positive
    """What they may hold together."""
    attachment_seconds: Positive
    """Announced parts that are not there by then close the connection."""
    json_depth: Positive
    json_length: Positive
    """Items of a list or an object."""
    queue_packets: Positive
    """Packets that may wait for a slow reader before it is closed, frames of feeds left out."""
    queue_bytes: Positive
    send_buffer_bytes: Positive
    """What the kernel may hold of what is sent to a connection (Linux takes twice that)."""
    clogged_seconds: Positive
    """A watcher whose queue is full for that long is closed."""
    write_seconds: Positive
    """A connection that takes nothing of what waits for it this long is aborted."""
    watcher_packets: Positive
    """Packets waiting for a watcher at which its feed is thinned to the newest."""
    namespaces: Positive
    """Namespaces one connection may ask for, each once."""
    connect_seconds: Positive
    """Every attempt to join a namespace is answered by then."""
    join_seconds: Positive
    """An upgraded connection that joined no namespace by then is closed."""
    account_connections: Positive
    """Connections of one account, to all workers together."""
    address_connections: Positive
    """Connections from one address to all workers together; none is counted for a peer on this
    machine itself."""
    place_seconds: Positive
    """A place lasts so long in Redis without being renewed: those of a dead worker lapse."""
    place_wait_ms: Positive
    """How long a connection waits for Redis to count places before its worker decides alone."""
    connections: Positive
    """Connections of this worker."""
    retry_ms: Positive
    """When a connect that found no room may be tried again."""


class LiveSettings(_Section):
    """The live engine: its clock, its queues, what a session may hold."""

    tick_ms: Positive
    chunk_ms: Positive
    """Frames of one session are appended in chunks of this length."""
    ack_ms: Positive
    score_ms: Positive
    unacked_messages: Annotated[int, Field(gt=0, le=4096)]
    """Messages a session may have that Redis has not confirmed."""
    unacked_bytes: Positive
    sessions: Positive
    """Open sessions of one worker."""
    close_seconds: Positive
    """How long `session:close` waits for `stored` before it answers `busy`."""
    grace_seconds: Positive
    """How long a session without a connection waits to be resumed before it is sealed."""
    snapshot_seconds: Positive
    """How often the scoring state of an open set is kept for another worker."""
    linger_seconds: Positive
    """How long a sealed session is kept to answer again."""
    watchers: Positive
    """Watchers of one session on one worker."""
    directory_ms: Positive
    """How often a worker publishes its live list."""


class StoreSettings(_Section):
    """Redis and MongoDB: names and waiting times."""

    mongo_database: str
    mongo_driver: Literal["motor", "pymongo"]
    redis_prefix: str
    redis_cluster: bool
    """Whether the URL leads to a Redis Cluster."""
    shards: Positive
    """Streams the play records are spread over; fixed while streams hold anything."""
    redis_timeout_ms: Positive
    session_ttl_seconds: Positive
    """Redis forgets the marks of a session this long after its last message."""
    flush: bool
    """Whether a serving process flushes; without it `gemgem worker` has to run beside."""
    flush_ms: Positive
    flush_entries: Positive
    """Entries read from one stream in one round."""
    lease_ms: Positive
    """A consumer holds a stream this long without renewing."""
    alarm_share: Share
    """Share of Redis's memory from which the operators are told."""
    refuse_share: Share
    """Share of Redis's memory from which no session is opened."""
    attempts: Positive
    """Failures of one document after which it goes to the dead letters."""


class Settings(BaseSettings):
    """Everything the process may be told from outside.

    Environment variables win over the file: `GEMGEM_MONGO_URL`, `GEMGEM_HTTP__PORT`, ...
    """

    model_config = SettingsConfigDict(
        env_prefix="GEMGEM_", env_nested_delimiter="__", frozen=True, extra="ignore"
    )

    mongo_url: SecretStr | None = None
    redis_url: SecretStr | None = None
    dev_key: Path | None = None
    """PEM file of the development key; its tokens carry their own grants (claim `children`)."""
    node: str | None = None
    """Name of this process among its peers; made at start when not given."""
    field_keys: SecretStr | None = None
    """Keys personal fields are sealed with: `id:base64` of 32 bytes each, the newest first."""
    index_key: SecretStr | None = None
    """Base64 of the 32 bytes that look-up indexes of sealed fields are made with."""
    env: Literal["development", "production"] = "development"
    """In production nothing that only a laptop may do is taken."""
    token_keys: tuple[Path, ...] = ()
    """PEM files of P-256 keys: the first signs access tokens, all verify them."""
    apple_key: Path | None = None
    """PEM file of the key that exchanges codes with Apple."""
    kakao_admin_key: SecretStr | None = None
    """Unlinks people who leave from our app at Kakao."""
    twilio_account: str | None = None
    twilio_token: SecretStr | None = None
    sens_access_key: str | None = None
    sens_secret: SecretStr | None = None
    smtp_user: str | None = None
    smtp_password: SecretStr | None = None
    log_level: str = "INFO"
    discord_webhook: SecretStr | None = None
    """Channel of the operators; alarms are posted there when it is set."""

    http: HttpSettings
    token: TokenSettings
    rate: RateSettings
    care: CareSettings
    grade: GradeSettings
    socket: SocketSettings
    live: LiveSettings
    store: StoreSettings
    account: AccountSettings
    withdrawal: WithdrawalSettings
    webhook: WebhookSettings
    outbox: OutboxSettings
    google: GoogleSettings
    apple: AppleSettings
    kakao: KakaoSettings
    pwned: PwnedSettings
    twilio: TwilioSettings
    sens: SensSettings
    mail: MailSettings

    @model_validator(mode="after")
    def _is_fit_for_production(self) -> Self:
        if self.env == "production" and (faults := self._laptop_faults()):
            raise ValueError("not in production: " + "; ".join(faults))
        return self

    def _laptop_faults(self) -> list[str]:
        """Return what only a laptop may do."""
        faults = []
        if self.dev_key is not None:
            faults.append("GEMGEM_DEV_KEY lets its holder be anybody")
        if not self.token_keys:
            faults.append("GEMGEM_TOKEN_KEYS must name the keys that sign")
        if not self.mail.host or self.mail.security == "none":
            faults.append("mail.host must name a mail server, with TLS")
        for name in ("google", "apple", "kakao", "pwned", "twilio", "sens"):
            for key, value in getattr(self, name).model_dump().items():
                if key.endswith("url") and value and (fault := url_fault(value)):
                    faults.append(f"{name}.{key} {fault}")
        return faults

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the library's signature
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the library's signature
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order of the sources: arguments, environment, `defaults.toml`."""
        defaults = TomlConfigSettingsSource(settings_cls, DEFAULTS)
        return init_settings, env_settings, defaults


def load_settings(**overrides: Any) -> Settings:
    """Read the settings; `overrides` are top-level values that win over everything.

    Raises:
        SettingsError: naming every faulty value at once.
    """
    try:
        return Settings(**overrides)
    except ValidationError as error:
        found = error.errors(include_input=False, include_url=False)
        named = (".".join(str(part) for part in one["loc"]) for one in found)
        faults = (f"{name}: {one['msg']}" for name, one in zip(named, found, strict=True))
        raise SettingsError([fault.removeprefix(": ") for fault in faults]) from None
    except UnreadableError as error:  # says the name alone
        raise SettingsError([f"{error}: write JSON"]) from None

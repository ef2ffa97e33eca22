"""The whole composition, readable from top to bottom."""

import secrets
from collections.abc import Sequence
from pathlib import Path

from aiohttp import web
from redis.exceptions import RedisError

from config.clock import Clock, SystemClock
from config.settings import Settings
from config.version import VERSION
from handlers.deps import Deps
from handlers.live.contract import check_live
from handlers.live.game import GameNamespace
from handlers.live.watch import WatchNamespace
from handlers.places import Places
from handlers.ratelimit import rates_of
from handlers.rest.documents import add_documents
from handlers.rest.pages import add_pages
from handlers.rest.tables import ROUTES
from handlers.routing import Route
from handlers.routing.mount import mount
from jobs.alarms import Alarms
from jobs.flush import Flusher
from jobs.indexes import Indexes
from jobs.janitor import Janitor
from jobs.runner import Runner
from models.accounts.presence import Presence
from models.accounts.revocations import Revocations
from models.accounts.signing import TokenKeyError, TokenKeys, load_token_keys
from models.accounts.tokens import Verifier
from models.answers import Answers
from models.bus import Bus
from models.cipher import FieldCipher, KeyRingError, dev_ring, ring_of
from models.db import DatabaseError, Mongo
from models.limits import Gate
from models.play.buffer import PlayBuffer
from models.play.history import Histories
from models.play.keys import PlayKeys
from models.play.ownership import Ownership
from models.play.pressure import Pressure
from models.play.repo import PlayRepo
from models.play.stream import PlayStream
from models.redis import connect_redis
from models.therapy.repo import TherapyRepo
from server.accounts import build_accounts
from server.administration import build_administration
from server.families import build_families
from server.grades import build_grades
from server.lifespan import Parts, attach
from server.middleware import middlewares
from server.realtime.server import Realtime
from server.telemetry import Health, add_telemetry
from server.withdrawal import build_leaving
from sessions.appender import Appender
from sessions.catalogue import catalogue
from sessions.directory import Directory
from sessions.engine import Engine
from sessions.feed import FeedHub
from sessions.rebuild import Rebuilder
from sessions.registry import Registry
from sessions.rehearsal import Rehearsal
from sessions.relay import Relay
from sessions.takeover import Takeover

ROOT = Path(__file__).resolve().parent.parent


class ConfigurationError(Exception):
    """The settings do not say what the process needs. The message says what to do."""


def build_app(
    settings: Settings, clock: Clock | None = None, routes: Sequence[Route] = ROUTES
) -> web.Application:
    """Return the application; nothing is connected or started before it runs.

    Raises:
        ContractError: a live event has no declared policy.
        ConfigurationError: a store is not named, or no key to verify tokens with.
    """
    if settings.mongo_url is None or settings.redis_url is None:
        raise ConfigurationError(
            "Set GEMGEM_MONGO_URL and GEMGEM_REDIS_URL, or start with `serve --embedded`."
        )
    token_keys, cipher = token_keys_of(settings), field_cipher(settings)
    clock = clock or SystemClock()
    node = settings.node or f"n-{secrets.token_hex(4)}"
    store = settings.store

    redis = connect_redis(
        settings.redis_url.get_secret_value(),
        store.redis_timeout_ms / 1000,
        cluster=store.redis_cluster,
    )
    mongo = Mongo(settings.mongo_url.get_secret_value(), store.mongo_database, store.mongo_driver)
    keys = PlayKeys(store.redis_prefix, store.shards)
    repo = PlayRepo(mongo.database)
    buffer = PlayBuffer(redis, keys, store.session_ttl_seconds, clock)
    ownership = Ownership(redis, keys, store.session_ttl_seconds, clock)
    stream = PlayStream(redis, keys, node)
    bus = Bus(redis)
    answers = Answers(mongo.database, clock)

    families = build_families(
        mongo,
        redis,
        bus,
        prefix=store.redis_prefix,
        cipher=field_cipher(settings),
        clock=clock,
        settings=settings.care,
    )
    revocations = Revocations(redis, bus, store.redis_prefix, clock)
    alarms = Alarms(settings.discord_webhook)
    pressure = Pressure(store.alarm_share, store.refuse_share, alarms.raise_alarm)

    hub = FeedHub()
    engine = Engine(catalogue=catalogue(), hub=hub, clock=clock, limits=settings.live)
    appender = Appender(
        engine=engine, buffer=buffer, ownership=ownership, bus=bus, keys=keys, clock=clock
    )
    rebuilder = Rebuilder(catalogue())
    takeover = Takeover(
        ownership=ownership,
        histories=Histories(repo, stream),
        repo=repo,
        rebuilder=rebuilder,
        bus=bus,
        keys=keys,
        limits=settings.live,
    )
    relay = Relay(node=node, engine=engine, hub=hub, bus=bus, keys=keys, clock=clock)
    directory = Directory(
        node=node,
        engine=engine,
        redis=redis,
        keys=keys,
        clock=clock,
        every_ms=settings.live.directory_ms,
    )
    registry = Registry(
        node=node,
        engine=engine,
        ownership=ownership,
        takeover=takeover,
        pressure=pressure,
        bus=bus,
        keys=keys,
        clock=clock,
        limits=settings.live,
        new_id=lambda: f"s_{secrets.token_urlsafe(15)}",
        access=families.access,
        day_start_hour=settings.care.day_start_hour,
        therapies=TherapyRepo(mongo.database),
    )

    people = build_accounts(
        settings,
        redis=redis,
        database=mongo.database,
        revocations=revocations,
        cipher=cipher,
        signer=token_keys.signer,
        clock=clock,
    )
    admins = build_administration(
        mongo,
        accounts=people.repo,
        revocations=revocations,
        cipher=cipher,
        signer=token_keys.signer,
        token=settings.token,
        hasher=people.hasher,
        families=families,
        rehearsal=Rehearsal(repo, catalogue()),
        clock=clock,
        alarm=alarms.raise_alarm,
    )
    runner = Runner(clock, outages=(RedisError, DatabaseError, OSError, TimeoutError))
    flusher = None
    if store.flush:
        flusher = Flusher(
            stream=stream,
            repo=repo,
            clock=clock,
            settings=store,
            alarm=alarms.raise_alarm,
        )
    janitor = Janitor(ownership=ownership, registry=registry, limits=settings.live)
    token = settings.token
    verifier = Verifier(
        token_keys.verifying,
        token.issuer,
        token.audience,
        token.leeway_seconds,
        revocations.covers,
        revocations.outdates,
        clock,
    )
    leaving = build_leaving(
        settings,
        mongo=mongo,
        redis=redis,
        keys=keys,
        stream=stream,
        people=people,
        families=families,
        revocations=revocations,
        cipher=cipher,
        clock=clock,
        node=node,
        alarm=alarms.raise_alarm,
    )
    indexes = Indexes((answers, *families.indexed, *admins.indexed, leaving.repo, leaving.inbox))
    awaited = {"indexes are being made": indexes.made}
    health = Health(redis, mongo, runner, clock, pressure, awaited)
    deps = Deps(
        settings=settings,
        version=VERSION,
        node=node,
        clock=clock,
        verifier=verifier,
        engine=engine,
        registry=registry,
        relay=relay,
        directory=directory,
        repo=repo,
        gate=Gate(redis, store.redis_prefix, rates_of(settings.rate), clock),
        answers=answers,
        accounts=people.accounts,
        access=families.access,
        children=families.children,
        consents=families.consents,
        care=families.care,
        clinical=families.clinical,
        grades=families.grades,
        attributes=families.attributes,
        looks=families.looks,
        withdrawals=leaving.withdrawals,
        audit=families.audit,
        admin=admins.administration,
        webhooks=leaving.webhooks,
    )

    limits = settings.socket
    places = Places(
        Presence(redis, store.redis_prefix, store.shards, limits.place_seconds * 1000),
        node,
        clock,
        lease_s=limits.place_seconds,
        wait_s=limits.place_wait_ms / 1000,
    )
    app = web.Application(
        middlewares=middlewares(clock, settings.http.origins),
        client_max_size=settings.http.body_bytes,
    )
    realtime = Realtime(settings.http, limits, clock, places, appender.is_appending)
    game, watch = GameNamespace(deps, realtime), WatchNamespace(deps, realtime)
    check_live((game, watch))
    realtime.add(game)
    realtime.add(watch)
    realtime.attach(app)
    revocations.told += [game.revoke, watch.revoke]
    families.changes.told += [game.access_changed, watch.access_changed]
    add_telemetry(app, health)
    mount(app, routes, deps)
    add_documents(app, routes, ROOT)
    add_pages(app, ROOT)

    attach(
        app,
        Parts(
            redis=redis,
            mongo=mongo,
            repo=repo,
            bus=bus,
            revocations=revocations,
            changes=families.changes,
            engine=engine,
            appender=appender,
            relay=relay,
            registry=registry,
            rebuilder=rebuilder,
            directory=directory,
            flusher=flusher,
            indexes=indexes,
            janitor=janitor,
            alarms=alarms,
            people=people,
            leaving=leaving.job,
            news=leaving.news,
            grades=build_grades(settings, mongo, clock),
            runner=runner,
            health=health,
            places=places,
            realtime=realtime,
            game=game,
            watch=watch,
        ),
    )
    return app


def token_keys_of(settings: Settings) -> TokenKeys:
    """Return the keys of access tokens that the settings name.

    Raises:
        ConfigurationError: there is none, or one cannot be used.
    """
    if settings.dev_key is None and not settings.token_keys:
        raise ConfigurationError(
            "No key to sign tokens with: set GEMGEM_TOKEN_KEYS to PEM files, GEMGEM_DEV_KEY to one "
            "on a laptop, or start with `serve --embedded`, which makes that."
        )
    try:
        return load_token_keys(settings.token_keys, settings.dev_key)
    except TokenKeyError as error:
        raise ConfigurationError(f"GEMGEM_TOKEN_KEYS: {error}.") from error


def field_cipher(settings: Settings) -> FieldCipher:
    """Return the cipher of personal fields that the settings describe.

    Raises:
        ConfigurationError: a key is missing or is none.
    """
    keys, index_key = settings.field_keys, settings.index_key
    if keys is None and index_key is None and settings.dev_key is not None:
        return FieldCipher(dev_ring(settings.dev_key))
    if keys is None or index_key is None:
        raise ConfigurationError("Set GEMGEM_FIELD_KEYS and GEMGEM_INDEX_KEY, both of them.")
    try:
        return FieldCipher(ring_of(keys.get_secret_value(), index_key.get_secret_value()))
    except KeyRingError as error:
        raise ConfigurationError(str(error)) from error

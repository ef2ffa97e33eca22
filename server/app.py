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
from jobs.janitor import Janitor
from jobs.runner import Runner
from models.accounts.presence import Presence
from models.accounts.tokens import Verifier
from models.answers import Answers
from models.db import DatabaseError
from models.limits import Gate
from models.play.buffer import PlayBuffer
from models.play.history import Histories
from models.play.ownership import Ownership
from models.play.repo import PlayRepo
from models.therapy.repo import TherapyRepo
from server.background import build_background
from server.lifespan import Parts, attach
from server.middleware import middlewares
from server.parts.administration import build_administration
from server.realtime.harvest import Harvest
from server.realtime.server import Realtime
from server.stores import open_stores
from server.telemetry import Health, add_telemetry
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


def build_app(
    settings: Settings, clock: Clock | None = None, routes: Sequence[Route] = ROUTES
) -> web.Application:
    """Return the application; nothing is connected or started before it runs.

    Raises:
        ContractError: a live event has no declared policy.
        ConfigurationError: a store is not named, or no key to verify tokens with.
    """
    clock = clock or SystemClock()
    stores = open_stores(settings, clock, "n")
    background = build_background(stores, flush=settings.store.flush)
    people, families, leaving = background.people, background.families, background.leaving
    node, store, redis, mongo = stores.node, settings.store, stores.redis, stores.mongo
    keys, stream, bus, revocations = stores.keys, stores.stream, stores.bus, stores.revocations
    repo = PlayRepo(mongo.database)
    buffer = PlayBuffer(redis, keys, store.session_ttl_seconds, clock)
    ownership = Ownership(redis, keys, store.session_ttl_seconds, clock)

    hub = FeedHub()
    engine = Engine(catalogue=catalogue(), hub=hub, clock=clock, limits=settings.live, keys=keys)
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
    relay = Relay(
        node=node,
        engine=engine,
        hub=hub,
        bus=bus,
        keys=keys,
        clock=clock,
        watchers=settings.live.watchers,
    )
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
        pressure=background.pressure,
        bus=bus,
        keys=keys,
        clock=clock,
        limits=settings.live,
        new_id=lambda: f"s_{secrets.token_urlsafe(15)}",
        access=families.access,
        day_start_hour=settings.care.day_start_hour,
        therapies=TherapyRepo(mongo.database),
    )
    appender.on_sealed.append(registry.sealed)

    admin = build_administration(
        mongo,
        accounts=people.repo,
        revocations=revocations,
        cipher=stores.cipher,
        signer=stores.token_keys.signer,
        token=settings.token,
        hasher=people.hasher,
        families=families,
        rehearsal=Rehearsal(repo, catalogue()),
        clock=clock,
        alarm=background.alarms.raise_alarm,
    )
    runner = Runner(clock, outages=(RedisError, DatabaseError, OSError, TimeoutError))
    janitor = Janitor(ownership=ownership, registry=registry, limits=settings.live)
    token = settings.token
    verifier = Verifier(
        stores.token_keys.verifying,
        token.issuer,
        token.audience,
        token.leeway_seconds,
        revocations.covers,
        revocations.outdates,
        clock,
    )
    awaited = {"indexes are being made": background.indexes.made}
    health = Health(redis, mongo, runner, clock, background.pressure, awaited)
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
        answers=Answers(mongo.database, clock),
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
        admin=admin,
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
    harvest = Harvest(engine.take_frames, clock.monotonic)
    engine.gather = harvest.collect
    realtime = Realtime(settings.http, limits, clock, places, appender.is_appending, harvest)
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
            background=background,
            engine=engine,
            appender=appender,
            relay=relay,
            registry=registry,
            rebuilder=rebuilder,
            directory=directory,
            janitor=janitor,
            runner=runner,
            health=health,
            places=places,
            realtime=realtime,
            game=game,
            watch=watch,
        ),
    )
    return app

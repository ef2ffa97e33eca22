"""`gemgem serve`: the server itself."""

import argparse
import asyncio
import contextlib
import logging
import shlex
import signal
import sys
from contextlib import AsyncExitStack
from pathlib import Path

from aiohttp import web
from pydantic import SecretStr

from config.clock import SystemClock
from config.logs import configure_logs
from config.settings import Settings, load_settings
from server.app import ROOT, build_app
from server.embedded import EmbeddedError
from server.embedded.home import DATA, embed
from server.garbage import Garbage
from server.lifespan import PARTS
from server.listener import site_runner
from server.loop import run_loop
from server.supervisor import Lifeline, Supervisor, SupervisorError, hold_port

log = logging.getLogger(__name__)


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the command."""
    parser = commands.add_parser("serve", help="run the server")
    parser.add_argument(
        "--embedded",
        action="store_true",
        help="start a MongoDB and a Valkey of its own where no URL is set, and make a key",
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=DATA,
        help="directory of --embedded's data and key (default: %(default)s)",
    )
    parser.add_argument(
        "--fresh", action="store_true", help="begin with no data, and remove it at the end"
    )
    parser.add_argument("--host", help="address to listen on")
    parser.add_argument("--port", type=_port, help="port to listen on")
    parser.add_argument(
        "--workers",
        type=_count,
        default=1,
        help="processes that share the port, one a core (Linux); SIGHUP replaces them one by one",
    )
    parser.add_argument("--supervised", action="store_true", help=argparse.SUPPRESS)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM; 0 when everything was put away in order."""
    try:
        settings = _settings(args)
        configure_logs(settings.log_level)
        return run_loop(_serve_many(args, settings) if args.workers > 1 else _serve(args, settings))
    except (EmbeddedError, SupervisorError) as error:
        print(f"serve: {error}", file=sys.stderr)
    except OSError as error:
        print(f"serve: {error.strerror or error}", file=sys.stderr)
    except KeyboardInterrupt:
        return 130
    return 2


def _settings(args: argparse.Namespace) -> Settings:
    settings = load_settings()
    given = {k: v for k, v in (("host", args.host), ("port", args.port)) if v is not None}
    return settings.model_copy(update={"http": settings.http.model_copy(update=given)})


async def _serve(args: argparse.Namespace, settings: Settings) -> int:
    stopping = _stopping()
    async with AsyncExitStack() as stack:
        if args.embedded:
            data = None if args.fresh else args.data
            settings = await stack.enter_async_context(embed(settings, data))
        app = build_app(settings)
        runner = site_runner(app, settings.http)
        stack.push_async_callback(runner.cleanup)
        await runner.setup()
        http = settings.http
        site = web.TCPSite(
            runner, http.host, http.port, backlog=1024, reuse_port=args.supervised or None
        )
        await site.start()
        host, port = runner.addresses[0][:2]
        log.info("serving on http://%s:%s", host, port)
        if args.supervised:
            await _report(runner)
        elif args.embedded:
            _export(settings, f"http://{host}:{port}")
        parts = app[PARTS]
        garbage = Garbage(
            SystemClock(), lambda: not (parts.game.connections or parts.watch.connections)
        )
        await parts.runner.start("garbage", garbage.run)
        await stopping.wait()
        log.info("stopping")
        _stop_at_once_next_time()
    return 0


async def _report(runner: web.AppRunner) -> None:
    """Tell the supervisor where to reach this worker alone, and end with it."""
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(f"http://127.0.0.1:{runner.addresses[-1][1]}", flush=True)
    Lifeline().hold()


async def _serve_many(args: argparse.Namespace, settings: Settings) -> int:
    """Supervise workers; nothing but that is done in this process."""
    stopping = _stopping()
    async with AsyncExitStack() as stack:
        held = stack.enter_context(hold_port(settings.http.host, settings.http.port))
        host, port = held.getsockname()[:2]
        if args.embedded:
            data = None if args.fresh else args.data
            settings = await stack.enter_async_context(embed(settings, data))
        environment = {
            f"GEMGEM_{name}": value for name, value in _shared(settings).items() if value
        }
        serve = [sys.executable, "-m", "server", "serve", "--supervised"]
        supervisor = Supervisor(
            [*serve, "--host", host, "--port", str(port)],
            {**environment, "PYTHONPATH": str(ROOT)},
            args.workers,
            SystemClock(),
        )
        running = asyncio.create_task(supervisor.run())
        rolls: set[asyncio.Task[bool]] = set()

        def roll() -> None:
            task = asyncio.create_task(supervisor.roll())
            rolls.add(task)
            task.add_done_callback(rolls.discard)

        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, roll)
        ready = asyncio.create_task(_announce(args, settings, supervisor, f"http://{host}:{port}"))
        stop = asyncio.create_task(stopping.wait())
        try:
            await asyncio.wait((running, stop), return_when=asyncio.FIRST_COMPLETED)
            log.info("stopping")
            _stop_at_once_next_time()
            supervisor.stop()
            await running
        finally:
            for task in (ready, stop, running, *rolls):
                task.cancel()
            await asyncio.gather(ready, stop, running, *rolls, return_exceptions=True)
    return 0


async def _announce(
    args: argparse.Namespace, settings: Settings, supervisor: Supervisor, url: str
) -> None:
    await supervisor.until_ready()
    log.info("serving on %s with %d workers", url, args.workers)
    if args.embedded:
        _export(settings, url)


def _shared(settings: Settings) -> dict[str, str | None]:
    """Return what the workers are told besides our environment, which --embedded changes."""
    return {
        "MONGO_URL": _url(settings.mongo_url),
        "REDIS_URL": _url(settings.redis_url),
        "DEV_KEY": None if settings.dev_key is None else str(settings.dev_key),
        "MAIL__FOLDER": settings.mail.folder,
    }


def _stopping() -> asyncio.Event:
    """Return an event that SIGINT and SIGTERM set."""
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopping.set)
    return stopping


def _stop_at_once_next_time() -> None:
    """A second signal ends the process at once; nothing acknowledged is lost by it."""
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.remove_signal_handler(number)


def _export(settings: Settings, url: str) -> None:
    """Print what the other commands need to find this server, ready for `eval`."""
    values = {
        "GEMGEM_MONGO_URL": _url(settings.mongo_url),
        "GEMGEM_REDIS_URL": _url(settings.redis_url),
        "GEMGEM_DEV_KEY": str(settings.dev_key),
        "GEMGEM_URL": url,
    }
    with contextlib.suppress(BrokenPipeError):
        for name, value in values.items():
            print(f"export {name}={shlex.quote(value or '')}", flush=True)


def _port(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 65535:
        raise argparse.ArgumentTypeError("must be between 0 and 65535")
    return number


def _count(text: str) -> int:
    number = int(text)
    if not 1 <= number <= 128:
        raise argparse.ArgumentTypeError("must be between 1 and 128")
    return number


def _url(secret: SecretStr | None) -> str | None:
    return None if secret is None else secret.get_secret_value()

"""`gemgem worker`: the jobs alone, beside servers that players are connected to."""

import argparse
import asyncio
import logging
import signal
import sys

from aiohttp import web
from pydantic import ValidationError

from config.clock import SystemClock
from config.logs import configure_logs
from config.settings import Settings, load_settings
from server.app import ConfigurationError
from server.loop import run_loop
from server.supervisor import Lifeline
from server.worker import build_worker

log = logging.getLogger(__name__)


def add(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Register the command."""
    parser = commands.add_parser(
        "worker", help="run the jobs alone: the flush to MongoDB, the weekly look at grades"
    )
    parser.add_argument(
        "--port", type=int, default=0, help="port on loopback of its health (default: any)"
    )
    parser.add_argument("--supervised", action="store_true", help=argparse.SUPPRESS)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Work until SIGINT or SIGTERM; 0 when everything was put away in order."""
    try:
        settings = load_settings()
        configure_logs(settings.log_level)
        return run_loop(_work(args, settings))
    except ValidationError as error:
        print(f"worker: {error.error_count()} settings are wrong: {error}", file=sys.stderr)
    except ConfigurationError as error:
        print(f"worker: {error}", file=sys.stderr)
    except OSError as error:
        print(f"worker: {error.strerror or error}", file=sys.stderr)
    return 2


async def _work(args: argparse.Namespace, settings: Settings) -> int:
    stopping = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    runner = web.AppRunner(
        build_worker(settings, SystemClock()), access_log=None, shutdown_timeout=1.0
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", args.port).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        log.info("working; health at %s", url)
        if args.supervised:
            print(url, flush=True)
            Lifeline().hold()
        await stopping.wait()
        log.info("stopping")
    finally:
        await runner.cleanup()
    return 0

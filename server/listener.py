"""How the process meets the network: one listener, and how long it waits for a request."""

from aiohttp import web

from config.settings import HttpSettings

LINGER_SECONDS = 2.0
"""How long the rest of a refused body is read, so that the refusal can be read too."""
SHUTDOWN_SECONDS = 2.0


def site_runner(app: web.Application, http: HttpSettings) -> web.AppRunner:
    """Return the runner of the application."""
    return web.AppRunner(
        app,
        access_log=None,
        # A handler cancelled while it takes leave of a client would leave half of it behind.
        handler_cancellation=False,
        shutdown_timeout=SHUTDOWN_SECONDS,
        # aiohttp has one clock for both: for the first request head, and for the next one.
        keepalive_timeout=float(http.head_seconds),
        lingering_time=LINGER_SECONDS,
    )

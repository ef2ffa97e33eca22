"""How the process meets the network: one listener, and how long it waits for a request."""

import logging

from aiohttp import web, web_response
from aiohttp.http_exceptions import HttpProcessingError

from config import metrics
from config.settings import HttpSettings

# What is no HTTP is answered by aiohttp alone, which would name itself and Python, with versions.
web_response.SERVER_SOFTWARE = "gemgem"  # type: ignore[attr-defined]  # a constant of its own

LINGER_SECONDS = 2.0
"""How long the rest of a refused body is read, so that the refusal can be read too."""
SHUTDOWN_SECONDS = 2.0


class _Quiet(logging.Filter):
    """Counts what is no HTTP instead of logging it: whoever sends it could fill the log."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a record is written."""
        error = record.exc_info[1] if record.exc_info else None
        if isinstance(error, HttpProcessingError):
            metrics.LIMITED.labels("no_http").inc()
            return False
        return True


_log = logging.getLogger("http")
_log.addFilter(_Quiet())


def site_runner(app: web.Application, http: HttpSettings) -> web.AppRunner:
    """Return the runner of the application."""
    return web.AppRunner(
        app,
        access_log=None,
        logger=_log,
        # A handler cancelled while it takes leave of a client would leave half of it behind.
        handler_cancellation=False,
        shutdown_timeout=SHUTDOWN_SECONDS,
        # aiohttp has one clock for both: for the first request head, and for the next one.
        keepalive_timeout=float(http.head_seconds),
        lingering_time=LINGER_SECONDS,
    )

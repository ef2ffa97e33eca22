"""What is known of a request while it is answered, for the log and the error mapper."""

import re
import secrets

from aiohttp import web

REQUEST_ID = web.RequestKey("request_id", str)
ROUTE = web.RequestKey("route", str)
"""Method and template of the route that answers."""
WHO = web.RequestKey("who", str)
"""Id of the user who asks."""

_SENT_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")


def request_id_of(sent: str | None) -> str:
    """Return the id a request is known by: the client's own if it is one, else a new one."""
    if sent is not None and _SENT_ID.fullmatch(sent):
        return sent
    return secrets.token_hex(8)

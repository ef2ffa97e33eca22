"""Every table of routes the server serves, in the order of the documentation."""

from handlers.rest import results
from handlers.routing.routes import Route, check

ROUTES: tuple[Route, ...] = check((results.routes,))

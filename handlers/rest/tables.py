"""Every table of routes the server serves, in the order of the documentation."""

from handlers.rest import accounts, results, sign_ins
from handlers.routing.routes import Route, check

ROUTES: tuple[Route, ...] = check((accounts.routes, sign_ins.routes, results.routes))

"""Every table of routes the server serves, in the order of the documentation."""

from handlers.rest import care, children, clinical, consents, families, results
from handlers.routing.routes import Route, check

ROUTES: tuple[Route, ...] = check(
    (
        children.routes,
        families.routes,
        consents.routes,
        care.routes,
        clinical.routes,
        results.routes,
    )
)

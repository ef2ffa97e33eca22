"""Every table of routes the server serves, in the order of the documentation."""

from handlers.rest import (
    accounts,
    admin_attributes,
    admin_test_accounts,
    admin_tokens,
    admin_users,
    attributes,
    care,
    children,
    clinical,
    consents,
    devices,
    families,
    grades,
    results,
    sign_ins,
    webhooks,
    withdrawals,
)
from handlers.routing.routes import Route, check

ROUTES: tuple[Route, ...] = check(
    (
        accounts.routes,
        sign_ins.routes,
        children.routes,
        families.routes,
        devices.routes,
        consents.routes,
        care.routes,
        clinical.routes,
        grades.routes,
        attributes.routes,
        results.routes,
        withdrawals.routes,
        webhooks.routes,
        admin_users.routes,
        admin_attributes.routes,
        admin_tokens.routes,
        admin_test_accounts.routes,
    )
)

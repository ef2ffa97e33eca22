"""REST routes from typed functions: what a resource in handlers/rest needs to declare its own."""

from handlers.routing.call import Call, PublicCall
from handlers.routing.policy import PUBLIC, Policy, Signed
from handlers.routing.routes import Route, RouteError, Routes
from handlers.routing.shapes import Body, ChildId, Id, Page, PageQuery, Query, View
from handlers.routing.signature import Header
from models.limits import Limit

__all__ = [
    "PUBLIC",
    "Body",
    "Call",
    "ChildId",
    "Header",
    "Id",
    "Limit",
    "Page",
    "PageQuery",
    "Policy",
    "PublicCall",
    "Query",
    "Route",
    "RouteError",
    "Routes",
    "Signed",
    "View",
]

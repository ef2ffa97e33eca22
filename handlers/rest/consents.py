"""Consents: what guardians are asked to agree to, and what they agreed to."""

from datetime import datetime
from typing import Annotated, Final

from pydantic import AwareDatetime, Field, TypeAdapter

from handlers.routing import (
    PUBLIC,
    Body,
    Call,
    ChildId,
    Id,
    Page,
    PageQuery,
    Policy,
    PublicCall,
    Routes,
    View,
)
from models.accounts.records import Role
from models.children.records import Child, Consent, Locale
from models.consent.records import documents
from models.errors import AppError, ErrorCode

routes = Routes("/v1", tag="consents")

ROW_PLACE: Final = TypeAdapter(tuple[AwareDatetime, Id])
"""Where a row stands in the history: its time and its id."""
Version = Annotated[int, Field(ge=1, lt=10_000)]


class DocumentView(View):
    """One version of what is agreed to."""

    purpose: Consent
    version: int
    title_ko: str
    title_en: str
    text_ko: str
    text_en: str


class DocumentsView(View):
    """The newest document of each purpose."""

    items: list[DocumentView]


class ConsentChange(Body):
    """Giving or withdrawing a consent."""

    given: bool
    version: Version | None = Field(
        default=None, description="Of the document that was shown; needed to give it."
    )
    locale: Locale = Field(description="In which language it was shown.")


class ConsentView(View):
    """The state of one consent."""

    purpose: Consent
    given: bool
    version: int | None = Field(description="Of the document agreed to; null if it never was.")
    newest_version: int = Field(description="Of the document shown now.")
    at: datetime | None


class ConsentsView(View):
    """The state of every consent of a child."""

    items: list[ConsentView]


class ConsentRowView(View):
    """One time a consent was given or withdrawn."""

    purpose: Consent
    given: bool
    version: int
    locale: Locale
    by: str
    at: datetime


@routes.get("/consent-documents", policy=PUBLIC)
async def list_documents(call: PublicCall) -> DocumentsView:
    """List the newest document of each purpose, in both languages."""
    return DocumentsView(items=[_document(p, len(versions)) for p, versions in documents().items()])


@routes.get("/consent-documents/{purpose}/{version}", policy=PUBLIC, errors={ErrorCode.NOT_FOUND})
async def show_document(
    call: PublicCall,
    purpose: Consent,
    version: Version,
) -> DocumentView:
    """Show a document as it was agreed to, also one that was replaced."""
    return _document(purpose, version)


def _document(purpose: Consent, version: int) -> DocumentView:
    versions = documents()[purpose]
    if version > len(versions):
        raise AppError(ErrorCode.NOT_FOUND, "There is no such version.")
    one = versions[version - 1]
    return DocumentView(
        purpose=purpose,
        version=version,
        title_ko=one.title["ko"],
        title_en=one.title["en"],
        text_ko=one.text["ko"],
        text_en=one.text["en"],
    )


def _states(child: Child) -> ConsentsView:
    items = []
    for purpose, versions in documents().items():
        state = (child.consents or {}).get(purpose)
        items.append(
            ConsentView(
                purpose=purpose,
                given=state is not None and state.given,
                version=state.version if state else None,
                newest_version=len(versions),
                at=state.at if state else None,
            )
        )
    return ConsentsView(items=items)


@routes.get(
    "/children/{child_id}/consents",
    policy=Policy({Role.GUARDIAN, Role.ADMIN}, child="child_id", purpose="family"),
)
async def list_consents(call: Call, child_id: ChildId) -> ConsentsView:
    """List what is agreed to for a child."""
    return _states(call.child)


@routes.put(
    "/children/{child_id}/consents/{purpose}",
    policy=Policy({Role.GUARDIAN}, child="child_id", purpose="consent"),
    errors={ErrorCode.CONFLICT},
)
async def settle_consent(
    call: Call, child_id: ChildId, purpose: Consent, body: ConsentChange
) -> ConsentsView:
    """Give or withdraw a consent; what it allowed ends within two seconds."""
    consents, by = call.deps.consents, call.who.user_id
    if not body.given:
        return _states(await consents.withdraw(child_id, purpose, body.locale, by))
    if body.version is None:
        raise AppError(ErrorCode.INVALID, "body.version must say which document was shown.")
    return _states(await consents.give(child_id, purpose, body.version, body.locale, by))


@routes.get(
    "/children/{child_id}/consent-history",
    policy=Policy({Role.GUARDIAN, Role.ADMIN}, child="child_id", purpose="family"),
)
async def consent_history(call: Call, child_id: ChildId, page: PageQuery) -> Page[ConsentRowView]:
    """List every time a consent was given or withdrawn, the newest first."""
    found = await call.deps.consents.history(child_id, page.limit, page.after(ROW_PLACE))
    views = [ConsentRowView.model_validate(row) for _, row in found]
    place = (found[-1][1].at.isoformat(), found[-1][0]) if found else None
    return Page[ConsentRowView].of(views, page.limit, place)

"""What holds of a child for a time besides its profile: its part in a clinical trial."""

from datetime import UTC, datetime
from typing import Any, Final

from pydantic import AwareDatetime, Field

from handlers.rest.clinical import READ, WhyQuery
from handlers.routing import Body, Call, ChildId, Id, Policy, Routes, View
from models.accounts.records import Role
from models.attributes.records import Attribute, AttributeType, ClinicalTrial, Label, TrialName
from models.errors import AppError, ErrorCode

routes = Routes("/v1", tag="attributes")

TRIAL: Final = Policy({Role.ADMIN}, child="child_id", purpose="trial")
MOST: Final = 200


class Time(Body):
    """From when to when something holds."""

    valid_from: AwareDatetime | None = Field(default=None, description="Now unless given.")
    valid_to: AwareDatetime | None = None

    def span(self, now: datetime) -> tuple[datetime, datetime | None]:
        """Return both ends in UTC."""
        first = (self.valid_from or now).astimezone(UTC)
        return first, self.valid_to and self.valid_to.astimezone(UTC)


class TrialBody(Time):
    """A child's part in a clinical trial."""

    trial: TrialName
    site: Id = Field(description="The clinic that is the trial site.")
    arm: Label
    subject_no: Label
    protocol_version: Label
    pins_difficulty: bool = Field(
        default=True,
        description="The protocol says how hard the child plays: no grade is proposed.",
    )


class TrialView(View):
    """A child's part in a clinical trial."""

    trial: str
    site: str
    arm: str | None = Field(description="For admins alone.")
    subject_no: str
    protocol_version: str
    pins_difficulty: bool


class HeldView(View):
    """That something holds of somebody for a time."""

    id: str
    type: AttributeType
    valid_from: datetime
    valid_to: datetime | None
    holds: bool
    set_by: str
    close_reason: str | None


class AttributeView(HeldView):
    """Something that holds of a child for a time."""

    value: TrialView


class AttributesView(View):
    """What holds or held of a child, the newest first."""

    items: list[AttributeView]


@routes.post(
    "/children/{child_id}/trials",
    policy=TRIAL,
    status=201,
    idempotent=True,
    errors={ErrorCode.CONFLICT},
)
async def enrol(call: Call, child_id: ChildId, body: TrialBody) -> AttributeView:
    """Let a child take part in a clinical trial; one at a time."""
    site = await call.deps.care.find_clinic(body.site)
    if site.kind != "trial_site":
        raise AppError(ErrorCode.INVALID, "body.site is a clinic, not a trial site.")
    trial = ClinicalTrial(**body.model_dump(exclude={"valid_from", "valid_to"}))
    done = await call.deps.attributes.set(
        call.new_id("at"), child_id, trial, *body.span(call.now), call.who.user_id, call.reason
    )
    return _attribute(call, done)


@routes.get("/children/{child_id}/attributes", policy=READ)
async def list_attributes(call: Call, child_id: ChildId) -> AttributesView:
    """List what holds or held of a child besides its profile."""
    found = await call.deps.attributes.list_of(child_id, MOST)
    return AttributesView(items=[_attribute(call, one) for one in found])


@routes.delete("/children/{child_id}/attributes/{attribute_id}", policy=TRIAL)
async def close_attribute(
    call: Call, child_id: ChildId, attribute_id: Id, query: WhyQuery
) -> AttributeView:
    """Let an attribute end now."""
    done = await call.deps.attributes.close(child_id, attribute_id, call.who.user_id, query.why)
    return _attribute(call, done)


def held(call: Call, one: Attribute) -> dict[str, Any]:
    """Return what `HeldView` shows of an attribute, by name."""
    names = HeldView.model_fields.keys() - {"holds"}
    return {name: getattr(one, name) for name in names} | {
        "holds": one.holds(call.deps.clock.now())
    }


def _attribute(call: Call, one: Attribute) -> AttributeView:
    value = one.value.model_dump()
    if Role.ADMIN not in call.who.roles:
        value["arm"] = None  # who treats or plays may not know it
    return AttributeView(**held(call, one), value=TrialView(**value))

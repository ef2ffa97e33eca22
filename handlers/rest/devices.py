"""Children's devices: a tablet that a guardian lets play one child, and nothing else."""

from typing import Final

from handlers.rest.account_shapes import (
    DeviceBody,
    SignInView,
    TokensView,
    holder,
    sign_in_view,
    tokens_view,
)
from handlers.routing import Body, Call, ChildId, Id, Policy, Routes, View
from models.accounts.records import Role
from models.errors import AppError, ErrorCode

routes = Routes("/v1", tag="devices")

FAMILY: Final = Policy({Role.GUARDIAN, Role.ADMIN}, child="child_id", purpose="family")


class NewDevice(Body):
    """The device a child is to play on."""

    device: DeviceBody


class DevicesView(View):
    """The devices a child plays on, the last used first."""

    items: list[SignInView]


@routes.post(
    "/children/{child_id}/devices",
    policy=Policy({Role.GUARDIAN}, child="child_id", purpose="family", in_person=True),
    status=201,
    idempotent=True,
)
async def add_device(call: Call, child_id: ChildId, body: NewDevice) -> TokensView:
    """Sign a device in for a child, in the caller's name.

    Its tokens reach that child alone. It ends when it is taken away, when the child is removed,
    and with the guardian: their sign-out everywhere, or their leaving the family.
    """
    user, _ = await holder(call)
    return tokens_view(
        await call.deps.accounts.sign_ins.issue_child_device(user, child_id, body.device.record())
    )


@routes.get("/children/{child_id}/devices", policy=FAMILY)
async def list_devices(call: Call, child_id: ChildId) -> DevicesView:
    """List the devices a child plays on, whichever guardian let them in."""
    held = await call.deps.accounts.sign_ins.list_of_child(child_id)
    return DevicesView(items=[sign_in_view(one, call.who.sign_in) for one in held])


@routes.delete("/children/{child_id}/devices/{sign_in_id}", policy=FAMILY)
async def remove_device(call: Call, child_id: ChildId, sign_in_id: Id) -> None:
    """Take a device away; its connections end within two seconds."""
    sign_ins = call.deps.accounts.sign_ins
    held = {one.id: one for one in await sign_ins.list_of_child(child_id)}
    if sign_in_id not in held:
        raise AppError(ErrorCode.NOT_FOUND, "There is no such device.")
    await sign_ins.end(held[sign_in_id].user_id, sign_in_id)


async def end_devices(call: Call, child_id: str, user_id: str | None = None) -> None:
    """Sign the devices of a child out: all of them, or those that one guardian let in.

    The door has closed to them already; this ends what of them is listed and connected.
    """
    sign_ins = call.deps.accounts.sign_ins
    for one in await sign_ins.list_of_child(child_id):
        if user_id in (None, one.user_id):
            await sign_ins.end(one.user_id, one.id)

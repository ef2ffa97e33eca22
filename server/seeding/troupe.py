"""Who `gemgem demo` makes: families, and a therapist with all their children in care."""

from dataclasses import dataclass
from datetime import date
from typing import Final

from models.accounts.records import Role
from models.children.actions import Profile
from server.seeding.seeder import ZONE, Person, Seeder
from server.seeding.village import CONSENTS

BORN: Final = date(2018, 3, 4)
CLINIC: Final = "데모 어린이의원"


@dataclass(frozen=True, slots=True)
class Login:
    """What somebody signs in by."""

    email: str
    password: str


@dataclass(frozen=True, slots=True)
class Family:
    """A guardian, and the ids of their children."""

    guardian: Login
    children: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Troupe:
    """Everybody of one demonstration."""

    therapist: Login
    families: tuple[Family, ...]


async def assemble(seeder: Seeder, run: str, children: int, most: int) -> Troupe:
    """Make everybody.

    A password's hash is what takes time here, so brothers and sisters share a guardian.

    Args:
        run: what no other demonstration has in its ids.
        children: how many there are to be, in all.
        most: children of one guardian.

    Raises:
        AppError: a service refused.
    """
    wanted = Person(f"u_demo_{run}_0", Role.THERAPIST, "데모 치료사", f"therapist@{run}.example")
    therapist, clinic = await seeder.person(wanted), f"cl_demo_{run}"
    await seeder.clinic(clinic, CLINIC, therapist, [therapist])
    families: list[Family] = []
    for first in range(0, children, most):
        place = len(families) + 1
        wanted = Person(
            f"u_demo_{run}_{place}",
            Role.GUARDIAN,
            f"보호자 {place}",
            f"family-{place}@{run}.example",
        )
        guardian = await seeder.person(wanted)
        kids = tuple(f"c_demo_{run}_{n}" for n in range(first, min(first + most, children)))
        for n, child_id in enumerate(kids, first + 1):
            said = Profile(f"아이 {n}", BORN, None, None, "both", "ko", ZONE, None)
            await seeder.child(child_id, [guardian], said)
            await seeder.consents(child_id, guardian, CONSENTS)
            await seeder.care(child_id, guardian, therapist, clinic)
        families.append(Family(_login(seeder, wanted.email), kids))
    return Troupe(_login(seeder, f"therapist@{run}.example"), tuple(families))


def _login(seeder: Seeder, email: str) -> Login:
    return Login(email, seeder.password(email))

"""Who `gemgem seed` makes: two families, a clinic with two therapists, an admin."""

from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from models.accounts.records import Role, User
from models.children.actions import Profile
from models.children.records import Consent, Hands
from server.seeding.seeder import ZONE, Person, Seeder

MINA: Final = Person("u_seed_mina", Role.GUARDIAN, "김민아", "mina@family.example")
JUNHO: Final = Person("u_seed_junho", Role.GUARDIAN, "박준호", "junho@family.example")
LEE: Final = Person("u_seed_lee", Role.THERAPIST, "이서윤", "lee@clinic.example")
CHOI: Final = Person("u_seed_choi", Role.THERAPIST, "최도현", "choi@clinic.example")
ADMIN: Final = Person("u_seed_admin", Role.ADMIN, "관리자", "admin@gemgem.example")
PEOPLE: Final = (MINA, JUNHO, LEE, CHOI, ADMIN)
CLINIC: Final = ("cl_seed", "바른손 어린이의원")
CONSENTS: Final = (Consent.PLAY_DATA, Consent.THERAPIST_VIEWING)


@dataclass(frozen=True, slots=True)
class Kid:
    """A child that is to be there."""

    id: str
    name: str
    alias: str
    born: date
    hand: Hands
    guardians: tuple[Person, ...]
    in_care: bool = False


KIDS: Final = (
    Kid("c_seed_jiu", "김지우", "번개", date(2018, 3, 4), "right", (MINA,), in_care=True),
    Kid("c_seed_seoyeon", "김서연", "구름", date(2019, 11, 21), "left", (MINA,)),
    Kid("c_seed_doyun", "박도윤", "바람", date(2017, 7, 30), "right", (JUNHO,)),
    Kid("c_seed_hajun", "박하준", "햇살", date(2016, 5, 12), "both", (MINA, JUNHO)),
)


async def settle(seeder: Seeder) -> dict[str, Any]:
    """Make everybody who is not there yet, and return who there is.

    Raises:
        AppError: a service refused.
    """
    users: dict[str, User] = {one.id: await seeder.person(one) for one in PEOPLE}
    therapists = [users[LEE.id], users[CHOI.id]]
    await seeder.clinic(*CLINIC, users[ADMIN.id], therapists)
    for kid in KIDS:
        guardians = [users[one.id] for one in kid.guardians]
        said = Profile(kid.name, kid.born, None, None, kid.hand, "ko", ZONE, kid.alias)
        await seeder.child(kid.id, guardians, said)
        await seeder.consents(kid.id, guardians[0], CONSENTS)
        if kid.in_care:
            await seeder.care(kid.id, guardians[0], therapists[0], CLINIC[0])
    return {
        "people": [
            {
                "id": users[one.id].id,
                "role": one.role.value,
                "name": one.name,
                "email": one.email,
                # Nobody but its owner knows one that was changed.
                "password": seeder.password(one.email)
                if await seeder.has_password(users[one.id])
                else None,
            }
            for one in PEOPLE
        ],
        "children": [
            {
                "id": kid.id,
                "name": kid.name,
                "alias": kid.alias,
                "guardians": [one.email for one in kid.guardians],
                "clinic": CLINIC[1] if kid.in_care else None,
            }
            for kid in KIDS
        ],
    }

"""What handlers may reach: one frozen dataclass, built by the composition."""

from dataclasses import dataclass

from config.clock import Clock
from config.settings import Settings
from models.accounts.accounts import Accounts
from models.accounts.tokens import Verifier
from models.admin.administration import Administration
from models.answers import Answers
from models.attributes.actions import Attributes
from models.audit.log import AuditLog
from models.audit.repo import AuditRepo
from models.children.access import Access
from models.children.actions import Children
from models.clinic.actions import ClinicalRecords
from models.clinic.care import Care
from models.clinic.grades import Grades
from models.consent.actions import Consents
from models.limits import Gate
from models.play.repo import PlayRepo
from models.webhooks import Webhooks
from models.withdrawal.actions import Withdrawals
from sessions.directory import Directory
from sessions.engine import Engine
from sessions.registry import Registry
from sessions.relay import Relay


@dataclass(frozen=True, slots=True)
class Deps:
    """Everything a handler may call."""

    settings: Settings
    version: str
    node: str
    clock: Clock
    verifier: Verifier
    engine: Engine
    registry: Registry
    relay: Relay
    directory: Directory
    repo: PlayRepo
    gate: Gate
    answers: Answers
    accounts: Accounts
    access: Access
    children: Children
    consents: Consents
    care: Care
    clinical: ClinicalRecords
    grades: Grades
    attributes: Attributes
    looks: AuditRepo
    withdrawals: Withdrawals
    audit: AuditLog
    admin: Administration
    webhooks: Webhooks

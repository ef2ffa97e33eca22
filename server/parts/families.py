"""The part of the composition that is about children and those who care for them."""

import os
from dataclasses import dataclass

from redis.asyncio import Redis

from config.clock import Clock
from config.settings import CareSettings
from jobs.indexes import Indexed
from models.attributes.actions import Attributes
from models.attributes.repo import AttributeRepo
from models.audit.log import AuditLog
from models.audit.repo import AuditRepo
from models.bus import Bus
from models.children.access import Access
from models.children.actions import Children
from models.children.changes import AccessChanges
from models.children.repo import ChildRepo
from models.cipher import FieldCipher
from models.clinic.actions import ClinicalRecords
from models.clinic.care import Care
from models.clinic.grade_repo import GradeRepo
from models.clinic.grades import Grades
from models.clinic.record_repo import RecordRepo
from models.clinic.repo import CareRepo
from models.consent.actions import Consents
from models.consent.repo import ConsentRepo
from models.db import Mongo


@dataclass(frozen=True, slots=True)
class Families:
    """What handlers and sessions reach of it."""

    access: Access
    changes: AccessChanges
    children: Children
    consents: Consents
    care: Care
    clinical: ClinicalRecords
    grades: Grades
    attributes: Attributes
    looks: AuditRepo
    child_repo: ChildRepo
    care_repo: CareRepo
    grade_repo: GradeRepo
    audit: AuditLog
    indexed: tuple[Indexed, ...]


def build_families(
    mongo: Mongo,
    redis: Redis,
    bus: Bus,
    *,
    prefix: str,
    cipher: FieldCipher,
    clock: Clock,
    settings: CareSettings,
) -> Families:
    """Return the parts; nothing is connected by it."""
    looks = audit_repo(mongo, cipher)
    audit = AuditLog(looks)
    child_repo, consent_repo = ChildRepo(mongo), ConsentRepo(mongo)
    care_repo, record_repo = CareRepo(mongo), RecordRepo(mongo)
    attribute_repo, grade_repo = AttributeRepo(mongo), GradeRepo(mongo)
    attributes = Attributes(attribute_repo, clock)
    changes = AccessChanges(redis, bus, prefix, clock)
    return Families(
        access=Access(child_repo, audit, clock),
        changes=changes,
        children=Children(
            child_repo,
            cipher,
            changes,
            attributes,
            clock,
            random=os.urandom,
            day_start_hour=settings.day_start_hour,
            invite_hours=settings.invite_hours,
        ),
        consents=Consents(consent_repo, child_repo, changes, clock),
        care=Care(
            care_repo,
            cipher,
            changes,
            clock,
            random=os.urandom,
            invite_hours=settings.invite_hours,
        ),
        clinical=ClinicalRecords(record_repo, cipher, clock),
        grades=Grades(grade_repo, attributes, clock),
        attributes=attributes,
        looks=looks,
        child_repo=child_repo,
        care_repo=care_repo,
        grade_repo=grade_repo,
        audit=audit,
        indexed=(
            looks,
            child_repo,
            consent_repo,
            care_repo,
            record_repo,
            grade_repo,
            attribute_repo,
        ),
    )


def audit_repo(mongo: Mongo, cipher: FieldCipher) -> AuditRepo:
    """Return the access log, its heads signed with the key of look-up indexes."""
    return AuditRepo(mongo, lambda text: cipher.index(text, "access log head"))

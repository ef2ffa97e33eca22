"""Telephone numbers that codes may be sent to: Korean and US ones, in their one E.164 form."""

import re
from typing import Literal

from models.errors import AppError, ErrorCode

Country = Literal["KR", "US"]

_SIGNS = re.compile(r"[\s().\-‐‑–]")
_KOREAN = re.compile(r"\+82(?:10\d{8}|1[16789]\d{7,8})")
_NANP = re.compile(r"\+1([2-9]\d{2})([2-9]\d{2})\d{4}")

# Area codes that share +1 and are not the mainland's: messages there cost much, and are what
# traffic pumping is made of (North American Numbering Plan Administrator).
_CARIBBEAN = (
    "242 246 264 268 284 340 345 441 473 649 658 664 721 758 767 784 787 809 829 849 868 869 876 "
    "939"
)
_PACIFIC = "670 671 684"
_CANADA = (
    "204 226 236 249 250 257 263 289 306 343 354 365 367 368 382 387 403 416 418 428 431 437 438 "
    "450 460 468 474 506 514 519 548 568 579 581 584 587 600 604 613 622 633 639 644 647 655 672 "
    "677 683 688 705 709 742 753 778 780 782 807 819 825 867 873 879 942"
)
_PREMIUM = "900 976"
_NO_PERSON = (
    "500 521 522 523 524 525 526 527 528 529 532 533 535 538 542 543 544 545 546 547 549 550 552 "
    "553 554 556 566 569 577 578 588 589 700 710 800 822 833 844 855 866 877 880 881 882 883 884 "
    "885 886 887 888 889"
)
_REFUSED = frozenset(f"{_CARIBBEAN} {_PACIFIC} {_CANADA} {_PREMIUM} {_NO_PERSON}".split())


def canonical_number(text: str) -> tuple[str, Country]:
    """Return a number in E.164 form, and its country.

    Spaces, hyphens, dots and brackets are dropped, and a zero behind `+82`.

    Raises:
        AppError: `invalid`; also for numbers no code is sent to.
    """
    number = _SIGNS.sub("", text)
    if not re.fullmatch(r"\+[0-9]{8,15}", number):
        raise _refused("write it with its country code: +82 10 1234 5678")
    if number.startswith("+820"):
        number = f"+82{number[4:]}"
    if _KOREAN.fullmatch(number):
        return number, "KR"
    found = _NANP.fullmatch(number)
    if found is None:
        raise _refused("only mobile numbers of Korea and the USA can be verified")
    area, exchange = found.groups()
    if area in _REFUSED or area[1:] == "11" or exchange[1:] == "11" or exchange == "976":
        raise _refused("no codes are sent to numbers of this kind")
    return number, "US"


def masked_number(number: str) -> str:
    """Return a number as its owner knows it: `+82 ••••5678`."""
    code = "+82" if number.startswith("+82") else "+1"
    return f"{code} ••••{number[-4:]}"


def _refused(why: str) -> AppError:
    return AppError(ErrorCode.INVALID, f"`number`: {why}.", details={"field": "number"})

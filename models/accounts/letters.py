"""What accounts are written: mails and texts, in Korean and English."""

from datetime import datetime
from zoneinfo import ZoneInfo

from clients.mail import Mail
from models.accounts.records import Provider, User

_NAMES = {
    Provider.GOOGLE: ("구글", "Google"),
    Provider.APPLE: ("애플", "Apple"),
    Provider.KAKAO: ("카카오", "Kakao"),
}


def verification_mail(to: str, locale: str, code: str, minutes: int) -> Mail:
    """Return the mail with the code that verifies an address."""
    if locale == "ko":
        return Mail(
            to,
            "이메일 인증번호",
            f"인증번호: {grouped(code)}\n\n앱에 이 번호를 입력해 주세요. {minutes}분 동안 "
            "사용할 수 있습니다.\n가입한 적이 없다면 이 메일을 무시해 주세요.\n",
        )
    return Mail(
        to,
        "Your verification code",
        f"Your code: {grouped(code)}\n\nEnter it in the app within {minutes} minutes.\n"
        "If you did not sign up, ignore this mail.\n",
    )


def reset_mail(to: str, locale: str, code: str, minutes: int) -> Mail:
    """Return the mail with the code that sets a new password."""
    if locale == "ko":
        return Mail(
            to,
            "비밀번호 재설정 인증번호",
            f"인증번호: {grouped(code)}\n\n앱에 이 번호와 새 비밀번호를 입력해 주세요. {minutes}분 "
            "동안 사용할 수 있습니다.\n요청한 적이 없다면 이 메일을 무시해 주세요. 비밀번호는 "
            "바뀌지 않습니다.\n",
        )
    return Mail(
        to,
        "Your code for a new password",
        f"Your code: {grouped(code)}\n\nEnter it in the app with a new password within {minutes} "
        "minutes.\nIf you did not ask for it, ignore this mail: your password stays as it is.\n",
    )


def other_method_mail(to: str, user: User) -> Mail:
    """Return the mail to somebody who wants a new password and never had one."""
    names = [_NAMES[m.provider] for m in user.methods if m.provider in _NAMES]
    if user.locale == "ko":
        ways = ", ".join(korean for korean, _ in names)
        return Mail(
            to,
            "로그인 방법 안내",
            f"이 계정에는 비밀번호가 없습니다. {ways} 계정으로 로그인해 주세요.\n",
        )
    ways = " or ".join(english for _, english in names)
    return Mail(to, "How you sign in", f"Your account has no password: sign in with {ways}.\n")


def password_changed_mail(to: str, locale: str) -> Mail:
    """Return the mail that tells of a new password."""
    if locale == "ko":
        return Mail(
            to,
            "비밀번호가 변경되었습니다",
            "비밀번호가 변경되어 모든 기기에서 로그아웃되었습니다.\n"
            "직접 바꾸지 않았다면 지금 비밀번호를 재설정해 주세요.\n",
        )
    return Mail(
        to,
        "Your password was changed",
        "Your password was changed, and every device was signed out.\n"
        "If it was not you, reset your password now.\n",
    )


def reused_mail(to: str, locale: str, device: str) -> Mail:
    """Return the mail that tells of a sign-in ended because its refresh token came twice."""
    if locale == "ko":
        return Mail(
            to,
            "보안을 위해 로그아웃했습니다",
            f"'{device}' 기기의 로그인 정보가 두 곳에서 쓰여 그 기기를 로그아웃했습니다.\n"
            "다시 로그인해 주세요. 다른 사람이 쓴 것 같다면 비밀번호를 바꾸고 로그인된 기기 "
            "목록을 확인해 주세요.\n",
        )
    return Mail(
        to,
        "You were signed out for safety",
        f"What keeps the device '{device}' signed in was used in two places, so it was signed "
        "out.\nSign in again. If it was somebody else, change your password and look through "
        "the devices that are signed in.\n",
    )


def cut_mail(to: str, locale: str, provider: Provider, erase_at: datetime, zone: str) -> Mail:
    """Return the mail to somebody whose last way in was cut at its provider."""
    korean, english = _NAMES[provider]
    day = _wall(erase_at, zone)
    if locale == "ko":
        return Mail(
            to,
            "계정이 삭제될 예정입니다",
            f"{korean} 계정과의 연결이 끊어졌습니다. 다른 로그인 방법이 없어 {day}에 계정과 "
            f"기록이 삭제됩니다.\n계속 이용하려면 그 전에 {korean} 계정으로 다시 로그인한 뒤 "
            "탈퇴를 취소해 주세요.\n",
        )
    return Mail(
        to,
        "Your account will be erased",
        f"You disconnected the app at {english}, and your account has no other way in. It is "
        f"erased on {day}, with its records.\nTo keep it, sign in with {english} again before "
        "that, and undo the withdrawal.\n",
    )


def leaving_mail(to: str, locale: str, erase_at: datetime, zone: str) -> Mail:
    """Return the mail to somebody who asked to leave."""
    day = _wall(erase_at, zone)
    if locale == "ko":
        return Mail(
            to,
            "탈퇴 신청이 접수되었습니다",
            f"모든 기기에서 로그아웃되었고, {day}에 계정과 기록이 삭제됩니다.\n계속 이용하려면 그 "
            "전에 다시 로그인한 뒤 탈퇴를 취소해 주세요.\n직접 신청하지 않았다면 지금 로그인해 "
            "탈퇴를 취소하고 비밀번호를 바꿔 주세요.\n",
        )
    return Mail(
        to,
        "You asked to leave",
        f"Every device was signed out, and your account is erased on {day}, with its records.\n"
        "To keep it, sign in before that and undo the withdrawal.\nIf it was not you, sign in "
        "now, undo the withdrawal and change your password.\n",
    )


def staying_mail(to: str, locale: str) -> Mail:
    """Return the mail to somebody who undid their withdrawal."""
    if locale == "ko":
        return Mail(
            to,
            "탈퇴가 취소되었습니다",
            "탈퇴가 취소되어 계정과 기록이 그대로 남아 있습니다.\n"
            "직접 취소하지 않았다면 지금 비밀번호를 바꿔 주세요.\n",
        )
    return Mail(
        to,
        "Your account stays",
        "The withdrawal was undone: your account and its records are as they were.\n"
        "If it was not you, change your password now.\n",
    )


def erased_mail(to: str, locale: str, withdrawal_id: str) -> Mail:
    """Return the last mail to somebody who left."""
    if locale == "ko":
        return Mail(
            to,
            "계정이 삭제되었습니다",
            f"계정과 기록을 모두 삭제했습니다. 확인서 번호: {withdrawal_id}\n무엇이 왜 남는지는 "
            "확인서에서 볼 수 있습니다. 이 메일을 끝으로 이메일 주소도 지웁니다.\n",
        )
    return Mail(
        to,
        "Your account is erased",
        f"Your account and its records are erased. Your receipt: {withdrawal_id}\nThe receipt "
        "says what remains and why. With this mail we forget your address, too.\n",
    )


def text_of_code(code: str, locale: str) -> str:
    """Return the text message with a code; at most 90 bytes of EUC-KR, which is one SMS."""
    if locale == "ko":
        return f"[gemgem] 인증번호 {code}. 다른 사람에게 알려주지 마세요."
    return f"[gemgem] Your code is {code}. Share it with nobody."


def _wall(at: datetime, zone: str) -> str:
    """Return a time as clocks show it where somebody lives: `2026-03-02 09:00 (Asia/Seoul)`."""
    return f"{at.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M} ({zone})"


def grouped(code: str) -> str:
    """Return a code as it is read aloud: `K7M2-9QXF`."""
    return "-".join(code[i : i + 4] for i in range(0, len(code), 4))

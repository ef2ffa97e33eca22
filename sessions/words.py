"""Short texts a child or guardian reads while playing, in Korean and English."""

import numpy as np

from sessions.scoring.looks import Look

ADVICE: dict[str, dict[str, str]] = {
    "hand_missing": {
        "ko": "손이 보이지 않아요. 손을 화면 안으로 넣어 주세요.",
        "en": "I cannot see the hand. Bring it into the picture.",
    },
    "chirality_inverted": {
        "ko": "왼손과 오른손이 바뀐 것 같아요. 카메라 설정을 확인해 주세요.",
        "en": "Left and right seem to be swapped. Please check the camera setting.",
    },
    "poor_tracking": {
        "ko": "손이 잘 보이지 않아요. 조금 더 밝은 곳에서 해 볼까요?",
        "en": "The hand is hard to see. A brighter place may help.",
    },
}
"""By code of the event `advice`."""

POOR = 0.5
"""Share of valid frames of the last second below which tracking is called poor."""


def advice_codes(look: Look) -> list[str | None]:
    """Return the code to show for the tracking of each hand; None when all is well."""
    poor = look.quality < POOR
    codes: list[str | None] = [None] * len(poor)
    for i in np.flatnonzero(look.missing | look.inverted | poor).tolist():
        if look.missing[i]:
            codes[i] = "hand_missing"
        else:
            codes[i] = "chirality_inverted" if look.inverted[i] else "poor_tracking"
    return codes

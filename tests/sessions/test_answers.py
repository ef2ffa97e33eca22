"""Answers: owed until a mark, given again, and never owed for ever."""

from typing import Any

from models.errors import AppError, ErrorCode
from sessions.answers import KEPT, Answers


class Asker:
    """Keeps what it is answered."""

    def __init__(self) -> None:
        self.heard: list[Any] = []

    def __call__(self, answer: Any) -> None:
        self.heard.append(answer.code if isinstance(answer, AppError) else answer)


def test_an_answer_waits_for_its_mark() -> None:
    answers, event, close = Answers(), Asker(), Asker()
    answers.expect(3, event, 10.0, at_stored=False)
    answers.expect(4, close, 10.0, at_stored=True)
    answers.settle(4, 4)
    assert event.heard == close.heard == []  # not known yet
    answers.resolve(3, {"a": 1})
    answers.resolve(4, {"b": 2})
    answers.resolve(5, {"c": 3})  # nobody asked
    answers.settle(2, 2)
    assert answers.owed == 2
    answers.settle(4, 3)
    assert event.heard == [{"a": 1}]
    assert close.heard == []
    answers.settle(4, 4)
    assert close.heard == [{"b": 2}]
    assert answers.owed == 0


def test_who_asks_again_is_told_again() -> None:
    answers, first, again, stranger = Answers(), Asker(), Asker(), Asker()
    answers.expect(0, first, 10.0, at_stored=False)
    answers.ask_again(0, again, 10.0)
    answers.resolve(0, {"a": 1})
    answers.settle(0, -1)
    assert first.heard == again.heard == [{"a": 1}]
    answers.ask_again(7, stranger, 10.0)
    assert stranger.heard == [{}]
    answers.know(8, AppError(ErrorCode.CONFLICT, "no"))
    answers.ask_again(8, stranger, 10.0)
    answers.settle(8, 8)
    assert stranger.heard == [{}, ErrorCode.CONFLICT]
    assert 8 in answers
    assert 9 not in answers


def test_who_waits_too_long_is_told_to_ask_again() -> None:
    answers, hasty, patient = Answers(), Asker(), Asker()
    answers.expire(5.0)
    answers.expect(0, hasty, 1.0, at_stored=False)
    answers.ask_again(0, patient, 3.0)
    answers.expire(2.0)
    assert hasty.heard == [ErrorCode.BUSY]
    assert patient.heard == []
    assert answers.owed == 1
    answers.resolve(0, {})
    answers.settle(0, 0)
    assert patient.heard == [{}]


def test_old_answers_are_forgotten_but_not_those_that_are_owed() -> None:
    answers, asker = Answers(), Asker()
    answers.expect(0, asker, 1.0, at_stored=False)
    for seq in range(1, KEPT + 2):
        answers.know(seq, {})
    assert 0 in answers
    assert 2 not in answers
    assert KEPT + 1 in answers
    answers.resolve(0, {})
    answers.settle(0, -1)
    assert asker.heard == [{}]
    answers.know(KEPT + 2, {})
    assert 0 not in answers


def test_all_who_wait_are_answered_however_many() -> None:
    answers, askers = Answers(), [Asker() for _ in range(4 * KEPT)]
    for seq, asker in enumerate(askers):
        answers.expect(seq, asker, 1.0, at_stored=False)
        answers.resolve(seq, {})
    answers.settle(len(askers), -1)
    assert all(asker.heard == [{}] for asker in askers)
    assert answers.owed == 0

"""A Redis that fills up: told once, then no new sessions, until there is room again."""

import pytest

from models.errors import AppError
from models.play.pressure import Pressure

GB = 1 << 30


def test_it_is_told_once_each_time_and_refuses_above_the_limit() -> None:
    alarms: list[str] = []
    pressure = Pressure(0.6, 0.8, alarms.append)
    pressure.note([{"used_memory": GB // 2, "maxmemory": GB}])
    pressure.check()
    assert alarms == []
    for share in (0.7, 0.75):
        pressure.note([{"used_memory": share * GB, "maxmemory": GB}])
        pressure.check()
    assert len(alarms) == 1
    assert "75%" not in alarms[0]
    pressure.note([{"used_memory": 1, "maxmemory": GB}, {"used_memory": 0.9 * GB, "maxmemory": GB}])
    with pytest.raises(AppError) as refused:
        pressure.check()
    assert refused.value.code == "busy"
    pressure.note([{"used_memory": 1, "maxmemory": GB}])
    pressure.check()
    pressure.note([{"used_memory": 0.6 * GB, "maxmemory": GB}])
    assert len(alarms) == 2


def test_without_a_limit_it_is_never_full() -> None:
    alarms: list[str] = []
    pressure = Pressure(0.6, 0.8, alarms.append)
    pressure.note([{"used_memory": 10 * GB, "maxmemory": 0}])
    pressure.check()
    assert pressure.share == 0
    assert alarms == []

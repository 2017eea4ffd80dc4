"""Places for trainings that run at the same time."""

import pytest

from ppcls.errors import ConfigError
from ppcls.tuning.devices import Slot, parse_devices
from ppcls.utils import environment


def test_without_devices_one_at_a_time():
    assert parse_devices(None) == [Slot()]


def test_gpus():
    assert [(slot.changes, slot.variables) for slot in parse_devices("gpu:2,0")] == [
        (["Global.device=gpu"], {"CUDA_VISIBLE_DEVICES": number}) for number in ("2", "0")
    ]


def test_processes_share_the_cores(monkeypatch):
    monkeypatch.delenv(environment.THREADS)
    monkeypatch.setattr(environment, "cores", lambda: 8)
    slots = parse_devices("cpu:3")
    assert [slot.variables for slot in slots] == [{environment.THREADS: "2"}] * 3
    assert slots[0].changes == ["Global.device=cpu"]


def test_the_users_number_of_threads_stays(monkeypatch):
    monkeypatch.setenv(environment.THREADS, "5")
    monkeypatch.setattr(environment, "threads_are_chosen_here", lambda: False)
    assert parse_devices("cpu:2") == [Slot(["Global.device=cpu"])] * 2


@pytest.mark.parametrize("text", ["gpu", "cpu:0", "cpu:-1", "gpu:0,0", "tpu:1", ""])
def test_mistakes(text):
    with pytest.raises(ConfigError, match="--devices"):
        parse_devices(text)

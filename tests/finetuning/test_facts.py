"""What a recipe is decided from."""

import types

import jax
import pytest

from efficientnet.finetuning import facts


def test_a_device_that_does_not_know_its_memory_is_no_obstacle(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse() -> None:
        raise NotImplementedError

    device = types.SimpleNamespace(platform="tpu", device_kind="TPU v5e", memory_stats=refuse)
    monkeypatch.setattr(jax, "devices", lambda: [device])
    monkeypatch.setattr(jax, "local_devices", lambda: [device])
    machine = facts.of_machine()
    assert machine.device_bytes is None
    assert str(machine).startswith(f"{jax.device_count()} x TPU v5e, ")

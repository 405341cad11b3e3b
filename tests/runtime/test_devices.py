"""What XLA is asked for on each platform."""

import jax
import pytest

from efficientnet.runtime import devices


@pytest.mark.parametrize("deterministic", [True, False])
def test_only_gpus_are_asked_for_determinism(deterministic: bool) -> None:
    def asked(platform: str) -> bool:
        options = devices.compiler_options(platform, deterministic)
        return options.get("xla_gpu_exclude_nondeterministic_ops", False)

    assert asked("gpu") == deterministic
    assert not asked("cpu")
    assert not asked("tpu")


def test_the_options_of_this_platform_are_known_to_its_compiler() -> None:
    program = devices.jit(lambda x: x + 1, devices.data_mesh(), deterministic=True)
    assert program(jax.numpy.ones(3)).tolist() == [2, 2, 2]

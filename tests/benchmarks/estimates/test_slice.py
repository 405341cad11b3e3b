"""Estimates for slices that are not there."""

import contextlib
import dataclasses
import importlib.util
import json
import pathlib
from collections.abc import Callable
from unittest import mock

import jax
import pytest
from ml_collections import ConfigDict

from benchmarks.estimates import chips, outline, slice, table
from benchmarks.estimates.compiled import GIB, Estimate, estimate, quickly
from configs import common
from efficientnet.commands import command_line
from efficientnet.errors import UserError
from efficientnet.network.variants import VARIANTS, Variant
from efficientnet.runtime import devices
from efficientnet.training.setup import Data
from scripts import compile_tpu

needs_libtpu = pytest.mark.skipif(
    importlib.util.find_spec("libtpu") is None,
    reason="libtpu is not installed: pip install -e '.[tpu]'",
)


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> Callable[..., ConfigDict]:
    """Returns a function that makes a recipe of stages for the variant `tiny`."""
    variant = Variant(width=0.25, depth=0.3, resolution=32, dropout=0.2)
    monkeypatch.setitem(VARIANTS, "tiny", variant)

    def recipe(*stages: ConfigDict) -> ConfigDict:
        config = common.get_config()
        config.variant, config.weights = "tiny", ""
        config.data.validation_fraction = 0.2
        config.stages = stages
        return config

    return recipe


@pytest.mark.parametrize("topology", ["v5e", "v5e:", "v5e:2x2x1", "v4:2x2", "v9:1x1", "v5e:32x32"])
def test_a_topology_that_cannot_be_is_named(topology: str) -> None:
    with pytest.raises(UserError, match=f"--topology={topology}: "):
        chips.parse_topology(topology)


def test_clocks_agree_with_the_peak_rates() -> None:
    # 2 operations per cycle for each multiplier of the matrix units; bfloat16 operations a second.
    multipliers = {"v4": 8 * 128**2, "v5e": 4 * 128**2, "v5p": 8 * 128**2, "v6e": 4 * 256**2}
    peaks = {"v4": 275e12, "v5e": 197e12, "v5p": 459e12, "v6e": 918e12}
    for name, chip in chips.CHIPS.items():
        assert chip.clock_hertz * 2 * multipliers[name] == pytest.approx(peaks[name], rel=0.01)


def test_without_libtpu_one_sentence_says_what_to_install(
    hide: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    hide("libtpu")
    command = ["--config=configs/solar_lite0.py", "--topology=v5e:2x2", "--classes=2"]
    assert command_line.run(compile_tpu.main, command) == 1
    assert capsys.readouterr().err.endswith("pip install -e '.[tpu]' installs libtpu\n")


@pytest.mark.parametrize("argument", ["--batch=0", "--batch=x", "--classes=0", "--config.nose=1"])
def test_wrong_arguments_are_named(argument: str, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["--config=configs/solar_lite0.py", "--topology=v5e:2x2", argument]
    assert command_line.run(compile_tpu.main, command) == 1
    assert argument.split("=")[0].split(".")[-1].strip("-") in capsys.readouterr().err


def test_what_is_compiled_for_a_slice_runs_as_the_trainers_step(
    tiny: Callable[..., ConfigDict],
) -> None:
    stages = (
        common.stage("head", "predictions", 2, cached_copies=2),
        common.stage("all", "all", 2, batch_norm="trained", ema_decay=0.9, micro_batches=2),
    )
    config = tiny(*stages)
    config.batch_size = 16
    config.data.cache_resolution = 40
    config.augment = "random_resized_crop|color_jitter(brightness=0.2)"
    data = outline.data_of(common.parse(config), classes=3, photos=40)
    assert (len(data.train), len(data.validation), len(data.class_names)) == (40, 10, 3)
    experiment = outline.outline(common.parse(config), devices.data_mesh(), data)
    for program, shapes in (
        outline.train_step(experiment, 0),
        outline.train_step(experiment, 1),
        outline.eval_step(experiment),
    ):
        lowered = program.lower(*shapes)
        kept = jax.tree.leaves(lowered.out_info)
        assert kept
        assert "mhlo.num_partitions = 8" in lowered.as_text()


def estimates(memory_per_image: float, fixed: float) -> Callable[[int, int], Estimate]:
    def compiled(size: int, number: int) -> Estimate:
        # The second stage needs a tenth more; there is a step at 64 as padding makes them.
        memory = (fixed + memory_per_image * size) * (1 + number / 10) * (1.02 if size > 64 else 1)
        return Estimate("x", memory <= 1 * GIB, int(memory))

    return compiled


@pytest.mark.parametrize("per_image", [1e6, 3.3e6, 9e6])
def test_the_largest_batch_fits_and_the_next_does_not(per_image: float) -> None:
    config = common.get_config()
    config.stages = (common.stage("head", "predictions", 1), common.stage("all", "all", 1))
    compiled = estimates(per_image, 5e7)
    size = slice._largest(common.parse(config), 4, 1 * GIB, compiled)
    assert size % 32 == 0
    assert compiled(size, 1).fits
    assert not compiled(size + 32, 1).fits


def test_a_batch_that_needs_rematerialization_is_too_large() -> None:
    config = common.get_config()
    config.stages = (common.stage("all", "all", 1),)

    def compiled(size: int, number: int) -> Estimate:
        # As B0 on a v5e: up to 0.8 GiB all is kept; from there on the compiler repeats some.
        memory = min(1e6 * size, 0.8 * GIB + 1e5 * size)
        return Estimate("x", memory <= GIB, int(memory), rematerialized=int(memory >= 0.8 * GIB))

    size = slice._largest(common.parse(config), 4, GIB, compiled)
    assert compiled(size, 0).fits_easily
    assert compiled(size + 64, 0).fits
    assert not compiled(size + 64, 0).fits_easily


@pytest.mark.parametrize(
    ("message", "gib"),
    [
        ("Ran out of memory in memory space hbm. Used 18.25G of 15.75G hbm.", 18.25),
        ("memory required for HLO temporaries (15.76G) exceeds available HBM (15.75G).", 15.76),
        ("required for HLO temporaries (170.5P) exceeds available HBM (15.75G).", 170.5 * 2**20),
    ],
)
def test_what_the_compiler_says_does_not_fit_has_its_size(message: str, gib: float) -> None:
    program = mock.Mock()
    program.lower().compile.side_effect = jax.errors.JaxRuntimeError(message)
    result = estimate("all", program, (), chips.CHIPS["v5e"], 8)
    assert not result.fits
    assert result.memory_bytes_per_chip == int(gib * GIB)


def test_other_errors_of_the_compiler_are_not_taken_for_a_lack_of_memory() -> None:
    program = mock.Mock()
    program.lower().compile.side_effect = jax.errors.JaxRuntimeError("INTERNAL: 15.76G")
    with pytest.raises(jax.errors.JaxRuntimeError, match="INTERNAL"):
        estimate("all", program, (), chips.CHIPS["v5e"], 8)


def test_quick_compilations_end_with_their_block() -> None:
    def level() -> object:
        return jax.config.values["jax_optimization_level"]

    before = level()
    with contextlib.suppress(KeyError), quickly():
        assert level() == "O0"
        raise KeyError
    assert level() == before != "O0"


def test_where_nothing_fits_one_sentence_says_so() -> None:
    config = common.get_config()
    config.stages = (common.stage("all", "all", 1),)
    with pytest.raises(UserError, match=r"not even a batch of 32 fits: take config\.remat=True"):
        slice._largest(common.parse(config), 4, 1 * GIB, estimates(1e6, 5e9))


def test_hours_add_up_training_validation_features_and_tests(
    tiny: Callable[..., ConfigDict],
) -> None:
    config = tiny(
        common.stage("head", "predictions", 3, cached_copies=2), common.stage("all", "all", 2.5)
    )
    data = outline.data_of(common.parse(config), classes=3, photos=400)
    data = Data(data.class_names, data.train, data.validation, outline._unread(50))
    fast, slow = (
        Estimate(name, True, 0, images_per_second_per_chip=rate)
        for name, rate in (("head", 1000.0), ("all", 10.0))
    )
    evaluation = Estimate("evaluation", True, 0, images_per_second_per_chip=100.0)
    how = {"dtype": "float32", "matmul_precision": "highest"}
    result = slice.SliceEstimate("v5e:1x2", 32, (fast, slow), evaluation, photos=400, **how)
    hours = slice._hours(common.parse(config), data, result, devices=2)
    head = 3 * 400 / 2000 + (2 * 400 + 3 * 100 + 50) / 200
    rest = 2.5 * 400 / 20 + (3 * 100 + 50) / 200
    assert hours == pytest.approx((head + rest) / 3600)
    unknown = Estimate("all", False, 0)
    result = dataclasses.replace(result, stages=(fast, unknown))
    assert slice._hours(common.parse(config), data, result, devices=2) is None


@needs_libtpu
@pytest.mark.slow
def test_the_script_compiles_a_tiny_network_for_v5e(
    tiny: Callable[..., ConfigDict],
    tmp_path: pathlib.Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LIBTPU_INIT_ARGS", "")  # as it was before, for later tests
    recipe = tmp_path / "recipe.py"
    recipe.write_text(
        "from configs import common\n"
        "def get_config():\n"
        "    config = common.get_config()\n"
        "    config.variant, config.weights = 'tiny', ''\n"
        "    config.data.source = 'tiny'\n"
        "    config.stages = (common.stage('all', 'all', 2, batch_norm='trained'),)\n"
        "    return config\n"
    )
    command = [f"--config={recipe}", "--topology=v5e:2x2", "--batch=32", "--classes=3"]
    command += ["--photos=100", "--config.dtype=bfloat16", "--json"]
    assert command_line.run(compile_tpu.main, command) == 0
    printed = capsys.readouterr().out
    result = json.loads(printed.splitlines()[-1])
    (stage,) = result["stages"]
    assert stage["name"] == "all"
    assert stage["fits"]
    assert 0 < stage["memory_bytes_per_chip"] < GIB
    assert stage["estimated_cycles"] > 1000
    assert stage["images_per_second_per_chip"] == pytest.approx(
        8 * 1.5e9 / stage["estimated_cycles"]
    )
    assert result["evaluation"]["estimated_cycles"] < stage["estimated_cycles"]
    assert result["hours"] > 0
    # One for the gradients; at most one for each BatchNorm forward, and one backward.
    layers = 1 + 2 + 7 * 3 + 1  # stem, block1a without expansion, seven other blocks, top
    (reduced,) = [c for c in stage["collectives"] if c["kind"] == "all-reduce"]
    assert 1 <= reduced["count"] <= 2 * layers + 3


def test_the_table_names_every_stage_and_the_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    good = Estimate("head", True, GIB, 1_000_000, 2000.0, 4e8, 3e7, ())
    bad = Estimate("all", False, 20 * GIB)
    result = slice.SliceEstimate("v5e:2x2", 512, (good, bad), good, 0, "float32", "default")
    monkeypatch.setattr(table, "versions", lambda: {"libtpu": "0.0.42"})
    text = table.table(result)
    tight = dataclasses.replace(good, name="tight", rematerialized=3)
    assert "| yes, repeating 3 instructions |" in table.table(
        dataclasses.replace(result, stages=(tight, bad))
    )
    assert "| head | 1.00 GiB | yes | 1.00 M | 2,000 | 0.40 | 30.0 | none |" in text
    assert "| all | 20.00 GiB | no | - | - | - | - | - |" in text
    assert "one pass of bfloat16 in training (config.matmul_precision=default) and six" in text
    assert "config.dtype=bfloat16" in table.table(dataclasses.replace(result, dtype="bfloat16"))

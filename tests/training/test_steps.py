"""One training step: what it changes, what it must not, and that parts make the whole."""

import contextlib
import re
from typing import Any, get_args

import flax.linen as nn
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from trees import assert_trees_close

from efficientnet.config import BatchNormPolicy, StageConfig
from efficientnet.network import freeze_groups
from efficientnet.network.model import EfficientNet, init_variables
from efficientnet.network.ops.batch_norm import BatchNorm
from efficientnet.network.variants import VARIANTS, Variant
from efficientnet.training import optim, steps

CLASSES = 3
KEY = jax.random.key(0)
HEADED = Variant(width=0.1, depth=0.3, resolution=32, dropout=0.2)
OFF = {"mean": 0.0, "std": 255.0, "rng": KEY}


class Small(nn.Module):
    """A dense layer and a BatchNorm for each freeze group: compiles in no time."""

    num_classes: int = CLASSES
    dropout: float = 0.0
    in_precision = contextlib.nullcontext

    @nn.compact
    def __call__(
        self,
        images: jax.Array,
        training_groups: tuple[str, ...] = (),
        batch_norm_groups: tuple[str, ...] = (),
    ) -> jax.Array:
        x = images.reshape(images.shape[0], -1)
        for group in freeze_groups.GROUPS[:-1]:
            name = f"{group}a" if group.startswith("block") else group
            x = nn.Dense(4, use_bias=True, name=f"{name}_conv")(x)
            average = group not in batch_norm_groups
            x = jnp.tanh(BatchNorm(use_running_average=average, name=f"{name}_bn")(x))
        x = nn.Dropout(self.dropout, deterministic="predictions" not in training_groups)(x)
        return nn.Dense(self.num_classes, name="predictions")(x)


def batch(size: int = 8, seed: int = 0, resolution: int = 2) -> dict[str, jax.Array]:
    rng = np.random.default_rng(seed)
    return {
        "image": jnp.asarray(rng.integers(0, 256, (size, resolution, resolution, 3), np.uint8)),
        "label": jnp.asarray(rng.integers(0, CLASSES, size, np.int32)),
        "mask": jnp.ones(size, bool),
    }


def start(
    model: Any, schedule: optax.Schedule | None = None, **fields: Any
) -> tuple[Any, steps.TrainState]:
    """Returns a compiled step and its first state for a stage with these fields."""
    fields = {"optimizer": "sgd", "learning_rate": 0.1, **fields}
    weights = fields.pop("class_weights", None)
    stage = StageConfig("s", fields.pop("train", "all"), 1, **fields)
    row = model.variant if isinstance(model, EfficientNet) else VARIANTS["b0"]
    schedule = schedule or optax.constant_schedule(stage.learning_rate)
    tx = optim.make_optimizer(stage, schedule, row)
    if isinstance(model, EfficientNet):
        variables = init_variables(model, KEY)
    else:
        variables = model.init(KEY, jnp.zeros((1, 2, 2, 3)))
    state = steps.initial_state(variables, stage, tx)
    step = steps.make_train_step(model, stage, tx, **OFF, class_weights=weights)
    return jax.jit(step), state


def different(before: Any, after: Any) -> set[str]:
    """Returns the names of the leaves with another bit in them."""
    pairs = zip(jax.tree_util.tree_leaves_with_path(before), jax.tree.leaves(after), strict=True)
    return {
        "/".join(key.key for key in path)
        for (path, old), new in pairs
        if np.asarray(old).tobytes() != np.asarray(new).tobytes()
    }


def allowed(names: set[str], groups: tuple[str, ...], batch_norm: str) -> set[str]:
    """Returns which leaves ('params/...' and 'batch_stats/...') a stage may change."""
    may = set()
    for name in names:
        collection, layer, _ = name.split("/")
        if freeze_groups.group_of(layer) not in groups:
            continue
        if collection == "batch_stats" and batch_norm == "frozen":
            continue
        if collection == "params" and layer.endswith("_bn") and batch_norm != "trained":
            continue
        may.add(name)
    return may


@hypothesis.settings(max_examples=8, deadline=None, derandomize=True)
@hypothesis.given(
    groups=st.sets(st.sampled_from(freeze_groups.GROUPS), min_size=1),
    batch_norm=st.sampled_from(get_args(BatchNormPolicy)),
    name=st.sampled_from(list(optim.OPTIMIZERS)),
    ema_decay=st.sampled_from([0.0, 0.9]),
    clip_norm=st.sampled_from([0.0, 1e-3]),
    micro_batches=st.sampled_from([1, 2]),
)
def test_what_is_frozen_stays_bit_identical(
    groups: set[str],
    batch_norm: str,
    name: str,
    ema_decay: float,
    clip_norm: float,
    micro_batches: int,
) -> None:
    step, state = start(
        Small(dropout=0.2),
        train=",".join(groups),
        batch_norm=batch_norm,
        optimizer=name,
        ema_decay=ema_decay,
        clip_norm=clip_norm,
        micro_batches=micro_batches,
        weight_decay=0.1,
        learning_rate=0.01,
    )
    first = jax.tree.map(jnp.copy, state.variables)
    for seed in range(3):
        state, _ = step(state, batch(seed=seed))
    names = {
        "/".join(k.key for k in path) for path, _ in jax.tree_util.tree_leaves_with_path(first)
    }
    may = allowed(names, tuple(groups), batch_norm)
    assert different(first, state.variables) == may
    if ema_decay:
        assert different(first, state.averaged_variables) == may


@pytest.mark.slow
def test_frozen_blocks_of_the_real_network_stay_bit_identical() -> None:
    model = EfficientNet(Variant(width=0.25, depth=0.3, resolution=32, dropout=0.2), CLASSES)
    step, state = start(
        model, train="block7-", batch_norm="trained", ema_decay=0.9, clip_norm=1.0, weight_decay=0.1
    )
    first = jax.tree.map(jnp.copy, state.variables)
    state, _ = step(state, batch(resolution=32))
    names = {
        "/".join(k.key for k in path) for path, _ in jax.tree_util.tree_leaves_with_path(first)
    }
    may = allowed(names, ("block7", "top", "predictions"), "trained")
    changed = different(first, state.variables)
    assert changed <= may
    # Stochastic depth or a gradient of 0 may leave a leaf alone, but not the classifier.
    assert {"params/predictions/kernel", "params/block7a_project_conv/kernel"} <= changed


@pytest.mark.parametrize("name", ["sgd", "adamw"])
def test_parts_of_a_batch_give_the_update_of_the_whole(name: str) -> None:
    results = []
    for parts in (1, 4):
        step, state = start(Small(), optimizer=name, micro_batches=parts, weight_decay=0.1)
        for seed in range(2):
            state, loss = step(state, batch(seed=seed))
        results.append((state, loss))
    (whole, whole_loss), (parted, parted_loss) = results
    np.testing.assert_allclose(whole_loss, parted_loss, rtol=1e-5)
    assert_trees_close(whole.params, parted.params, rtol=2e-4, atol=1e-6)
    counted = [s.epoch_metrics.compute() for s in (whole, parted)]
    assert counted[0]["top1"] == counted[1]["top1"]


@pytest.mark.parametrize("fields", [{}, {"micro_batches": 2}, {"mixup": 0.4}])
def test_what_is_masked_counts_for_nothing(fields: dict[str, Any]) -> None:
    step, state = start(Small(), **fields)
    full = batch()
    full["mask"] = jnp.array([True, True, False, True, True, False, True, True])
    other = {**full, "image": full["image"].at[jnp.array([2, 5])].set(7)}
    other["label"] = full["label"].at[jnp.array([2, 5])].set(0)
    (one, loss), (two, same) = step(state, full), step(state, other)
    np.testing.assert_allclose(loss, same, rtol=1e-6)
    assert_trees_close(one.params, two.params, rtol=1e-5, atol=1e-7)
    if fields:
        return
    good = {name: value[full["mask"]] for name, value in full.items()}
    alone, expected = step(state, good)
    np.testing.assert_allclose(loss, expected, rtol=1e-5)
    assert_trees_close(one.params, alone.params, rtol=1e-4, atol=1e-6)
    nothing, loss = step(state, {**full, "mask": jnp.zeros(8, bool)})
    assert loss == 0
    assert not different(state.params, nothing.params)


def test_parts_of_a_batch_move_the_statistics_one_after_the_other() -> None:
    step, state = start(Small(), micro_batches=2, batch_norm="statistics", train="stem")
    data = batch()
    after, _ = step(state, data)
    model, variables = Small(), state.variables
    for part in (slice(0, None, 2), slice(1, None, 2)):
        _, updates = model.apply(
            variables,
            data["image"][part] / 255.0,
            batch_norm_groups=("stem",),
            mutable=["batch_stats"],
        )
        variables = {**variables, **updates}
    np.testing.assert_allclose(
        after.batch_stats["stem_bn"]["mean"], variables["batch_stats"]["stem_bn"]["mean"], rtol=1e-5
    )


def test_a_step_is_a_function_of_the_step_number() -> None:
    step, state = start(Small(dropout=0.5), mixup=0.4, cutmix=1.0, ema_decay=0.9)
    state, _ = step(state, batch())
    again = [step(state, batch(seed=1)) for _ in range(2)]
    assert different(again[0][0].params, again[1][0].params) == set()
    other, _ = step(state.replace(step=state.step + 1), batch(seed=1))
    assert different(again[0][0].params, other.params)


def test_averages_follow_by_the_reference_formula() -> None:
    step, state = start(Small(), train="predictions", ema_decay=0.15)
    expected = np.asarray(state.params["predictions"]["kernel"])
    for number in range(1, 4):
        state, _ = step(state, batch(seed=number))
        decay = min(0.15, (1 + number) / (10 + number))
        kernel = np.asarray(state.params["predictions"]["kernel"])
        expected = decay * expected + (1 - decay) * kernel
    found = state.averaged_variables["params"]["predictions"]["kernel"]
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert state.averages["params"].keys() == {"predictions"}


def test_the_gradient_of_weighted_smoothed_classes_is_that_of_the_formula() -> None:
    weights = jnp.array([3.0, 1.0, 0.5])
    step, state = start(
        Small(),
        train="predictions",
        momentum=0.0,
        learning_rate=1.0,
        label_smoothing=0.1,
        class_weights=weights,
    )
    data = batch()
    after, loss = step(state, data)

    def by_hand(head: Any) -> jax.Array:
        variables = {**state.variables, "params": {**state.params, "predictions": head}}
        log_probabilities = jax.nn.log_softmax(Small().apply(variables, data["image"] / 255.0))
        targets = 0.9 * jax.nn.one_hot(data["label"], CLASSES) + 0.1 / CLASSES
        return jnp.mean(weights[data["label"]] * -jnp.sum(targets * log_probabilities, axis=-1))

    value, grads = jax.value_and_grad(by_hand)(state.params["predictions"])
    np.testing.assert_allclose(loss, value, rtol=1e-5)
    expected = optax.tree.sub(state.params["predictions"], grads)
    assert_trees_close(after.params["predictions"], expected, rtol=1e-4, atol=1e-6)


def test_a_step_that_is_not_finite_changes_nothing() -> None:
    step, state = start(Small(), ema_decay=0.9, batch_norm="trained")
    state, _ = step(state, batch())
    bad = batch(seed=1)
    bad["image"] = bad["image"].astype(jnp.float32).at[0, 0, 0, 0].set(jnp.nan)
    after, loss = step(state, bad)
    assert np.isnan(loss)
    assert after.step == state.step + 1
    for part in ("params", "batch_stats", "averages"):
        assert different(getattr(state, part), getattr(after, part)) == set()
    jax.tree.map(np.testing.assert_array_equal, state.opt_state, after.opt_state)
    assert state.epoch_metrics.compute() == after.epoch_metrics.compute()


def test_the_schedule_goes_on_over_a_step_that_changed_nothing() -> None:
    step, state = start(Small(), schedule=lambda number: jnp.where(number == 1, 0.1, 0.0))
    bad = batch()
    bad["image"] = jnp.full(bad["image"].shape, jnp.nan)
    state, loss = step(state, bad)
    assert np.isnan(loss)
    after, _ = step(state, batch())
    before, moved = (s.params["predictions"]["kernel"] for s in (state, after))
    assert not np.array_equal(before, moved)


def test_a_policy_for_some_groups_moves_no_batch_norm_of_others() -> None:
    step, state = start(
        Small(), train="block7-", batch_norm="trained", batch_norm_groups="top", ema_decay=0.9
    )
    first = jax.tree.map(jnp.copy, state.variables)
    state, _ = step(state, batch())
    changed = different(first, state.variables)
    assert {name for name in changed if "_bn/" in name} == {
        *(f"batch_stats/top_bn/{leaf}" for leaf in ("mean", "var")),
        *(f"params/top_bn/{leaf}" for leaf in ("scale", "bias")),
    }
    assert "params/block7a_conv/kernel" in changed
    assert different(first, state.averaged_variables) == changed


@pytest.mark.slow
def test_the_heads_own_batch_norm_goes_on_training_where_the_backbones_is_frozen() -> None:
    model = EfficientNet(HEADED, CLASSES, head_batch_norm=True)
    step, state = start(model, train="top-", batch_norm="trained", batch_norm_groups="predictions")
    first = jax.tree.map(jnp.copy, state.variables)
    state, _ = step(state, batch(resolution=32))
    changed = different(first, state.variables)
    norms = {name for name in changed if "_bn/" in name}
    assert norms == {
        *(f"batch_stats/predictions_bn/{leaf}" for leaf in ("mean", "var")),
        *(f"params/predictions_bn/{leaf}" for leaf in ("scale", "bias")),
    }
    assert "params/top_conv/kernel" in changed


@pytest.mark.slow
@pytest.mark.parametrize("active", [False, True])
def test_stochastic_depth_of_a_frozen_backbone_is_active_if_a_stage_says_so(active: bool) -> None:
    model = EfficientNet(HEADED, CLASSES, dropout=0.0, drop_connect=0.9)
    step, state = start(model, train="predictions", drop_in_frozen=active)
    first = jax.tree.map(jnp.copy, state.variables)
    losses = {
        float(step(state.replace(step=jnp.asarray(number)), batch(resolution=32))[1])
        for number in range(4)
    }
    assert (len(losses) > 1) == active
    after, _ = step(state, batch(resolution=32))
    assert different(first, after.variables) == {
        "params/predictions/kernel",
        "params/predictions/bias",
    }


@pytest.mark.parametrize("platform", ["cuda", "tpu"])
@pytest.mark.parametrize("precision", ["highest", "default"])
def test_products_of_float32_have_the_precision_of_the_network(
    precision: str, platform: str
) -> None:
    model = EfficientNet(HEADED, num_classes=CLASSES, matmul_precision=precision)
    step, state = start(model)
    images = batch(resolution=32)
    lowered = step.trace(state, images).lower(lowering_platforms=(platform,)).as_text()
    products = re.findall(r"stablehlo\.(?:dot_general|convolution).*", lowered)
    rounded = [product for product in products if "[HIGHEST, HIGHEST]" not in product]
    rounded = [product for product in rounded if product.count("<precision HIGHEST>") != 2]
    assert len(products) > 100
    assert len(rounded) > 100 if precision == "default" else not rounded

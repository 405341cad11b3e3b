"""Which leaves a stage trains."""

import jax
import pytest

from configs import common
from efficientnet.config import BatchNormPolicy, StageConfig
from efficientnet.errors import UserError
from efficientnet.network import freeze_groups
from efficientnet.network.freeze_groups import Trainable, split_params
from efficientnet.network.model import EfficientNet, init_variables
from efficientnet.network.variants import Variant


@pytest.fixture(scope="module")
def params() -> dict[str, object]:
    model = EfficientNet(Variant(width=0.25, depth=0.3, resolution=32, dropout=0.2), 3)
    return jax.eval_shape(lambda: init_variables(model, jax.random.key(0)))["params"]


def trains(train: str, batch_norm: str = "frozen") -> Trainable:
    return freeze_groups.trainable(StageConfig("s", train, 1, batch_norm=batch_norm))


def test_the_two_parts_make_the_whole(params: dict[str, object]) -> None:
    trainable, frozen = split_params(params, trains("block6-"))
    assert {**trainable, **frozen} == params
    assert not trainable.keys() & frozen.keys()


def test_frozen_batch_norm_keeps_its_scale_and_bias(params: dict[str, object]) -> None:
    for policy in ("frozen", "statistics"):
        trainable, _ = split_params(params, trains("all", policy))
        assert not [layer for layer in trainable if layer.endswith("_bn")]
    trainable, frozen = split_params(params, trains("block7-", "trained"))
    assert {"block7a_bn", "top_bn"} <= trainable.keys()
    assert "block6a_bn" in frozen


def test_only_trained_groups_use_the_batchs_statistics() -> None:
    assert trains("block7-").batch_norm_groups == ()
    for policy in ("statistics", "trained"):
        assert trains("block7-", policy).batch_norm_groups == ("block7", "top", "predictions")


def test_unfreezing_goes_from_the_classifier_down() -> None:
    found = common.progressive("block6", 2, learning_rate=0.8, rate_factor=0.5, optimizer="sgd")
    assert [s.train for s in found] == ["predictions-", "top-", "block7-", "block6-"]
    assert [s.learning_rate for s in found] == [0.8, 0.4, 0.2, 0.1]
    assert [freeze_groups.parse(s.train)[0] for s in found] == [
        "predictions",
        "top",
        "block7",
        "block6",
    ]
    assert {s.optimizer for s in found} == {"sgd"}
    assert {s.epochs for s in found} == {2.0}


def test_what_names_nothing_is_an_error() -> None:
    with pytest.raises(UserError, match="'block9' in 'block9' names no freeze group"):
        trains("block9")
    with pytest.raises(UserError, match="batch_norm 'on'"):
        trains("all", "on")
    with pytest.raises(UserError, match="names no freeze group"):
        common.progressive("block0", 1)


def test_a_policy_for_some_groups_leaves_the_batch_norm_of_others_frozen(
    params: dict[str, object],
) -> None:
    stage = StageConfig("s", "block7-", 1, batch_norm="trained", batch_norm_groups="top")
    found = freeze_groups.trainable(stage)
    assert found.batch_norm_groups == ("top",)
    trainable, frozen = split_params(params, found)
    assert {"top_bn", "top_conv", "block7a_project_conv"} <= trainable.keys()
    assert {"block7a_project_bn", "block6a_project_bn"} <= frozen.keys()


@pytest.mark.parametrize(
    ("groups", "policy"),
    [("top", "frozen"), ("block6", "trained"), ("all", "statistics"), ("block6-", "trained")],
)
def test_a_policy_without_effect_is_refused(groups: str, policy: BatchNormPolicy) -> None:
    stage = StageConfig("s", "block7-", 1, batch_norm=policy, batch_norm_groups=groups)
    with pytest.raises(UserError, match=f"stage 's' has batch_norm_groups '{groups}': expected g"):
        freeze_groups.trainable(stage)


def test_dropout_is_active_where_a_stage_trains_or_everywhere() -> None:
    assert trains("top-").dropout_groups == ("top", "predictions")
    every = freeze_groups.trainable(StageConfig("s", "top-", 1, drop_in_frozen=True))
    assert every.dropout_groups == freeze_groups.GROUPS
    with pytest.raises(UserError, match="drop_in_frozen, can train on cached features"):
        freeze_groups.trainable(
            StageConfig("s", "predictions", 1, drop_in_frozen=True, cached_copies=1)
        )

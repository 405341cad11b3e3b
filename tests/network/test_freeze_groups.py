import pytest

from efficientnet.errors import UserError
from efficientnet.network import freeze_groups


@pytest.mark.parametrize(
    ("layer", "group"),
    [
        ("stem_conv", "stem"),
        ("stem_bn", "stem"),
        ("block2a_expand_conv", "block2"),
        ("block7b_project_bn", "block7"),
        ("top_bn", "top"),
        ("predictions", "predictions"),
    ],
)
def test_every_layer_has_a_group(layer: str, group: str) -> None:
    assert freeze_groups.group_of(layer) == group


@pytest.mark.parametrize(
    ("spec", "groups"),
    [
        ("all", freeze_groups.GROUPS),
        ("predictions", ("predictions",)),
        ("block6-", ("block6", "block7", "top", "predictions")),
        ("block6-block7, predictions", ("block6", "block7", "predictions")),
        ("stem-", freeze_groups.GROUPS),
        ("predictions,stem", ("stem", "predictions")),
    ],
)
def test_specs_name_groups_from_input_to_output(spec: str, groups: tuple[str, ...]) -> None:
    assert freeze_groups.parse(spec) == groups


@pytest.mark.parametrize("spec", ["", "block8", "block7-block6", "block6a", "head", "-block6"])
def test_a_spec_that_names_nothing_is_refused(spec: str) -> None:
    with pytest.raises(UserError, match="names no freeze group"):
        freeze_groups.parse(spec)


def test_a_split_loses_nothing() -> None:
    variables = dict.fromkeys(("stem_conv", "block6a_bn", "block7a_bn", "predictions"), 0)
    chosen, rest = freeze_groups.split(variables, ("block7", "predictions"))
    assert set(chosen) == {"block7a_bn", "predictions"}
    assert {**chosen, **rest} == variables

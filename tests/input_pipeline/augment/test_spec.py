import subprocess
import sys

import pytest

import input_pipeline
from efficientnet.errors import UserError
from input_pipeline.augment import spec
from input_pipeline.augment.geometry import Affine, FlipLeftRight, RandomResizedCrop, Translate


def test_operations_come_in_reading_order_with_their_arguments():
    text = "random_resized_crop(scale=(0.5, 1.0)) | flip_left_right | affine(25, shear=8)"
    assert input_pipeline.parse(text) == (
        RandomResizedCrop(scale=(0.5, 1.0)),
        FlipLeftRight(),
        Affine(rotate=25, shear=8),
    )
    assert input_pipeline.parse("translate(0.2)") == (Translate(translate=0.2),)
    assert input_pipeline.parse(" ") == ()


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("flip_left_right | pad(fill='blur') |pad", "pad(fill='blur')"),
        (" pad ", "pad"),
        ("resize(method='bicubic')|flip_left_right", ""),
        ("", ""),
    ],
)
def test_an_operation_is_found_by_its_name(text, found):
    assert spec.find(text, "pad") == found


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("resize|mixup", ["mixup", "random_resized_crop", "color_jitter"]),
        ("resize|", ["resize|"]),
        ("resize[0]", ["resize[0]"]),
        ("affine(turn=3)", ["turn=3", "rotate"]),
        ("affine(25, rotate=25)", ["rotate"]),
        ("flip_left_right(0.5, 0.5)", ["probability"]),
        ("affine(rotate=__import__('os'))", ["plain value"]),
        ("affine(rotate='much')", ["affine", "rotate='much'", "number"]),
        ("random_resized_crop(scale=0.5)", ["random_resized_crop", "scale=0.5", "two numbers"]),
        ("random_resized_crop(scale=(1.0, 0.5))", ["scale=(1.0, 0.5)"]),
        ("flip_left_right(probability=2)", ["flip_left_right", "probability=2"]),
        ("color_jitter", ["color_jitter", "changes nothing"]),
        ("color_jitter(brightness=-1)", ["brightness=-1"]),
        ("pad('white')", ["pad", "fill='white'", "'edge', 'blur'", "(red, green, blue)"]),
        ("pad((255, 0))", ["fill=(255, 0)"]),
        ("pad(256)", ["fill=256"]),
        ("pad(None)", ["fill=None"]),
        ("pad(method='nearest')", ["method='nearest'", "bilinear, bicubic"]),
        ("resize_center_crop('256')", ["size='256'", "number"]),
    ],
)
def test_a_wrong_specification_is_named(text, named):
    with pytest.raises(UserError) as error:
        input_pipeline.parse(text)
    assert all(part in str(error.value) for part in named)
    assert "\n" not in str(error.value)


def test_a_text_is_checked_without_tensorflow():
    code = "import sys, input_pipeline.augment.spec as spec; spec.parse('resize|rotate'); "
    command = [sys.executable, "-c", code + "sys.exit('tensorflow' in sys.modules)"]
    assert subprocess.run(command).returncode == 0

"""Augmentations as text in reading order: 'random_resized_crop(scale=(0.5, 1))|flip_left_right'."""

import ast
import inspect
from collections.abc import Callable

from efficientnet.errors import UserError
from input_pipeline.augment import color, geometry, policies
from input_pipeline.augment.operation import Operation

OPS: dict[str, Callable[..., Operation]] = {
    "affine": geometry.Affine,
    "auto_augment": policies.AutoAugment,
    "brightness": lambda brightness=0.2: color.ColorJitter(brightness=brightness),
    "channel_brightness": color.ChannelBrightness,
    "channel_contrast": color.ChannelContrast,
    "center_crop": geometry.CenterCrop,
    "color_jitter": color.ColorJitter,
    "contrast": lambda contrast=0.1: color.ColorJitter(contrast=contrast),
    "down_up_sample": color.DownUpSample,
    "flip_left_right": geometry.FlipLeftRight,
    "flip_up_down": geometry.FlipUpDown,
    "gaussian_noise": color.GaussianNoise,
    "grayscale": color.Grayscale,
    "hue": lambda hue=0.05: color.ColorJitter(hue=hue),
    "pad": geometry.Pad,
    "rand_augment": policies.RandAugment,
    "random_erasing": color.RandomErasing,
    "random_resized_crop": geometry.RandomResizedCrop,
    "resize": geometry.Resize,
    "resize_center_crop": geometry.ResizeCenterCrop,
    "rotate": geometry.Rotate,
    "saturation": lambda saturation=0.2: color.ColorJitter(saturation=saturation),
    "translate": geometry.Translate,
}


def parse(text: str) -> tuple[Operation, ...]:
    """Reads a specification: names of `OPS`, with Python arguments, joined by '|'.

    Raises:
      UserError: the text is not of this form, or an operation or argument is unknown or wrong.
    """
    return tuple(map(_operation, _terms(text)))


def steps(text: str) -> tuple[str, ...]:
    """Returns each operation of a specification, with its arguments, as a specification."""
    return tuple(map(ast.unparse, _terms(text)))


def find(text: str, name: str) -> str:
    """Returns the first operation of a name in a specification, with its arguments; '' for none."""
    found = (ast.unparse(term) for term in _terms(text) if _name(term) == name)
    return next(found, "")


def _terms(text: str) -> list[ast.expr]:
    if not text.strip():
        return []
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError:
        raise UserError(
            f"augmentation {text!r} can't be read: expected operations joined by '|', such as "
            "'random_resized_crop(scale=(0.5, 1.0))|flip_left_right'"
        ) from None
    terms = []
    while isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.BitOr):
        terms.append(tree.right)
        tree = tree.left
    return [tree, *reversed(terms)]


def _name(term: ast.expr) -> str:
    return ast.unparse(term.func if isinstance(term, ast.Call) else term)


def _operation(term: ast.expr) -> Operation:
    name = _name(term)
    if name not in OPS:
        raise UserError(f"unknown augmentation {name!r}: expected one of {', '.join(OPS)}")
    call = term if isinstance(term, ast.Call) else ast.Call(term, [], [])
    accepted = inspect.signature(OPS[name])
    try:
        positional = [ast.literal_eval(value) for value in call.args]
        keywords = {str(word.arg): ast.literal_eval(word.value) for word in call.keywords}
    except ValueError:
        raise UserError(
            f"augmentation {ast.unparse(term)!r} has an argument that is not a plain value: "
            "give numbers, text or tuples of them"
        ) from None
    try:
        accepted.bind(*positional, **keywords)
    except TypeError:
        names = ", ".join(accepted.parameters)
        raise UserError(
            f"augmentation {ast.unparse(term)!r} does not fit {name}({names}): correct its "
            "arguments"
        ) from None
    try:
        return OPS[name](*positional, **keywords)
    except UserError as error:
        raise UserError(f"augmentation {name}: {error}") from None

"""The `config.json` beside weights, as timm and transformers write it for the Hugging Face Hub."""

import dataclasses
import json
import math
import re
from collections.abc import Mapping
from typing import Any

from etils import epath

from efficientnet.errors import UserError
from efficientnet.network.variants import VARIANTS
from efficientnet.weights.conventions import Preprocessing

FILE = "config.json"
PROCESSOR = "preprocessor_config.json"  # of transformers, the part that prepares photos
FILES = (FILE, PROCESSOR)
TIMM_NAME = re.compile(r"(?:tf_)?efficientnet_(b[0-8]|l2|lite[0-4])")
# What transformers calls the network that is ours.
PLAIN = {"batch_norm_eps": (1e-3,), "hidden_act": ("swish", "silu"), "pooling_type": ("mean",)}
# Arguments of timm's networks that don't change what our network computes.
HARMLESS = {"drop_path_rate", "drop_rate", "img_size", "in_chans", "num_classes"}
METHODS = {"bilinear": "bilinear", "bicubic": "bicubic", 2: "bilinear", 3: "bicubic"}  # 2, 3: PIL's


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """What a `config.json` says of weights.

    Attributes:
      name: of the model, such as 'tf_efficientnet_b0.ns_jft_in1k'; '' if it says none.
      variant: a key of `VARIANTS`; '' if only the weights tell.
      preprocessing: None if it says none.
      resolution: pixels per side that the network was trained for; None if it says none.
      preparation: of photos for testing, in our syntax of augmentations; '' if it says none.
      class_names: in label order; () if it says none.
      license: of the weights; '' if it says none.
    """

    name: str = ""
    variant: str = ""
    preprocessing: Preprocessing | None = None
    resolution: int | None = None
    preparation: str = ""
    class_names: tuple[str, ...] = ()
    license: str = ""


def beside(path: epath.Path, name: str) -> epath.Path:
    """Returns the path of a file that goes with weights, which may be a file or a whole folder."""
    return (path if path.is_dir() else path.parent) / name


def read(weights: epath.Path, place: str = "") -> ModelConfig:
    """Reads the config beside weights; without one, nothing is known.

    Args:
      weights: the path of a file, or of a folder that holds one.
      place: the repository, for errors; '' for weights on a disk, whose config may be anything's.

    Raises:
      UserError: it is of an EfficientNet that was changed, is damaged, or describes another network
        in a repository.
    """
    path = beside(weights, FILE)
    where = place or str(path)
    content = _json(path, where)
    kind = content.get("architecture") or content.get("model_type") or content.get("architectures")
    of_timm = TIMM_NAME.fullmatch(str(content.get("architecture")))
    if not of_timm and kind != "efficientnet":
        if kind and place:
            raise UserError(
                f"{place} is a {kind}: expected an EfficientNet of the first version, one of "
                f"{', '.join(VARIANTS)}"
            )
        return ModelConfig()
    try:
        if of_timm:
            return _of_timm(content, of_timm[1], where)
        return _of_transformers(content, _json(path.with_name(PROCESSOR), where), where)
    except UserError:
        raise
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise UserError(
            f"the {FILE} of {where} is not as timm or transformers write it ({reason}): mend it, "
            "or move the weights away from it"
        ) from error


def _json(path: epath.Path, place: str) -> Mapping[str, Any]:
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        content = None
    if not isinstance(content, dict):
        raise UserError(f"the {path.name} of {place} is no JSON object: fetch it again")
    return content


def _of_timm(content: Mapping[str, Any], variant: str, place: str) -> ModelConfig:
    arguments = {"global_pool": content.get("global_pool"), **(content.get("model_args") or {})}
    if arguments["global_pool"] in (None, "avg"):
        del arguments["global_pool"]
    changed = sorted(set(arguments) - HARMLESS)
    if changed:
        raise _changed(place, changed)
    # Before 2023 all was on one level.
    settings = content.get("pretrained_cfg", content)
    tag = settings.get("tag") or ""
    shape = settings.get("input_size")
    return ModelConfig(
        name=f"{content['architecture']}.{tag}".rstrip("."),
        # L2 at 475 pixels is a variant here; the weights and their path tell.
        variant=variant if variant != "l2" else "",
        preprocessing=_preprocessing(_numbers(settings, "mean"), _numbers(settings, "std")),
        resolution=_side(shape[-2], shape[-1]) if shape else None,
        preparation=_preparation(settings),
        class_names=_timm_classes(content, settings),
        license=str(settings.get("license") or ""),
    )


def _preparation(settings: Mapping[str, Any]) -> str:
    fraction = settings.get("crop_pct")
    method = METHODS.get(settings.get("interpolation", ""), "bilinear")
    if fraction is None or not 0 < fraction <= 1:
        return ""
    if settings.get("crop_mode") == "squash":
        return f"resize(method='{method}')"
    return f"center_crop({float(fraction)}, method='{method}')"


def _timm_classes(content: Mapping[str, Any], settings: Mapping[str, Any]) -> tuple[str, ...]:
    names, descriptions = (
        content.get(key) or settings.get(key) or {} for key in ("label_names", "label_descriptions")
    )
    return tuple(str(descriptions.get(name, name)) for name in _in_order(names))


def _of_transformers(
    content: Mapping[str, Any], processor: Mapping[str, Any], place: str
) -> ModelConfig:
    changed = [key for key, plain in PLAIN.items() if content.get(key, plain[0]) not in plain]
    if changed:
        raise _changed(place, changed)
    # Names that transformers makes up where nobody gave any are none.
    names = _in_order(content.get("id2label") or {})
    made_up = [f"LABEL_{number}" for number in range(len(names))]
    size = processor.get("size") or content.get("image_size")
    if isinstance(size, Mapping):
        size = _side(size["height"], size["width"])
    return ModelConfig(
        name="transformers",
        preprocessing=_of_processor(processor) if processor else None,
        resolution=size,
        preparation="",
        class_names=() if list(names) == made_up else names,
    )


def _of_processor(processor: Mapping[str, Any]) -> Preprocessing | None:
    """Returns what the steps of transformers' EfficientNetImageProcessor amount to."""
    mean, std = _numbers(processor, "image_mean"), _numbers(processor, "image_std")
    factor = processor.get("rescale_factor", 1 / 255) if processor.get("do_rescale", True) else 1
    offset = 1 if processor.get("rescale_offset", False) else 0
    last = std  # with `include_top`, the photo is divided by it once more
    if not processor.get("do_normalize", True):
        mean, std = [0.0] * len(mean), [1.0] * len(std)
    if not processor.get("include_top", True):
        last = [1.0] * len(std)
    return _preprocessing(
        [(value + offset) / factor / 255 for value in mean],
        [one * other / factor / 255 for one, other in zip(std, last, strict=True)],
    )


def _numbers(settings: Mapping[str, Any], key: str) -> list[float]:
    values = settings.get(key)
    if values is None:
        return []
    return [float(value) for value in (values if isinstance(values, list) else [values])]


def _preprocessing(mean: list[float], std: list[float]) -> Preprocessing | None:
    """Returns means and standard deviations that are given on the scale from 0 to 1, if any are."""
    if not mean and not std:
        return None
    if not all(map(math.isfinite, mean + std)) or len(mean) != len(std) or min(std) <= 0:
        raise ValueError(f"mean {mean} and standard deviation {std}")
    return Preprocessing(tuple(255 * value for value in mean), tuple(255 * value for value in std))


def _in_order(names: Mapping[str, Any] | list[Any]) -> tuple[str, ...]:
    """Returns names that are a list, or numbered from 0; () if some are missing."""
    if isinstance(names, Mapping):
        numbered = {int(number): name for number, name in names.items()}
        if sorted(numbered) != list(range(len(numbered))):
            return ()
        names = [numbered[number] for number in sorted(numbered)]
    return tuple(str(name) for name in names)


def _side(height: int, width: int) -> int | None:
    return height if height == width else None


def _changed(place: str, what: list[str]) -> UserError:
    return UserError(
        f"{place} is an EfficientNet with another {', '.join(what)}: expected one as published"
    )

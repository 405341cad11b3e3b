"""What goes with weights: preprocessing, padding and epsilon of the network they come from."""

import dataclasses

from etils import epath

from efficientnet.paths import is_in_bucket

IMAGENET_MEAN = (0.485, 0.456, 0.406)  # of the colors from 0 to 1
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """`(x - mean) / std` for each color of an image on the scale from 0 to 255."""

    mean: tuple[float, ...]
    std: tuple[float, ...]

    def gray(self) -> "Preprocessing":
        """Returns the means over the colors, for gray images."""
        return Preprocessing(*((sum(values) / len(values),) for values in (self.mean, self.std)))


MEAN_STD = Preprocessing(
    tuple(255 * value for value in IMAGENET_MEAN), tuple(255 * value for value in IMAGENET_STD)
)
PLUS_MINUS_ONE = Preprocessing((127.5,) * 3, (127.5,) * 3)  # 2x/255 - 1
LITE = Preprocessing((127.0,) * 3, (128.0,) * 3)


@dataclasses.dataclass(frozen=True)
class Conventions:
    """Preprocessing, padding and BatchNorm's epsilon."""

    preprocessing: Preprocessing
    padding: str = "same"
    bn_epsilon: float = 1e-3


def hint_of(path: epath.Path, name: str = "") -> str:
    """The words that tell checkpoints of the same shapes apart, in lower case.

    These are the last names of the path, and the model's name in a `model_config` beside it.
    """
    whole = path if is_in_bucket(path) else path.absolute()
    return "/".join([*whole.parts[-4:], name]).lower()

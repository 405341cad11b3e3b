"""Fine-tunes an EfficientNet in stages.

    python train.py --config=configs/cars_b0.py --workdir=runs/cars_b0

The same command again resumes where the last one stopped, and shows the result of a run that is
done. Any field of the config can be overridden: --config.batch_size=64,
--config.stages[1].learning_rate=1e-4. Watch with `tensorboard --logdir WORKDIR`.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before TensorFlow is imported

import logging
import sys

from absl import app, flags
from ml_collections import config_flags

from efficientnet.errors import UserError
from efficientnet.huge_pages import restart_with_huge_pages

CONFIG = config_flags.DEFINE_config_file("config", None, "The recipe, a file in configs/.")
WORKDIR = flags.DEFINE_string("workdir", None, "Where the run's checkpoints and results go.")


def main(_: list[str]) -> None:
    """Runs the recipe that the flags name."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING, force=True)
    logging.getLogger("efficientnet").setLevel(logging.INFO)
    from efficientnet import training

    training.run(CONFIG.value, str(WORKDIR.value))


def parse_flags(argv: list[str]) -> list[str]:
    """Parses the command line; a wrong override of the config is an error that names the field."""
    try:
        rest = app.parse_flags_with_usage(argv)
        for name, value in (("config", CONFIG.value), ("workdir", WORKDIR.value)):
            if value is None:
                raise UserError(f"--{name} is missing: see python train.py --help")
        return rest
    except (UserError, OSError) as error:
        reason = str(error)
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        wrong = [word for word in argv if word.lstrip("-").startswith("config")]
        reason = (
            f"{' '.join(wrong)} doesn't fit the config, whose fields configs/common.py declares: "
            f"{str(error).splitlines()[0]}"
        )
    sys.exit(f"error: {reason}")


if __name__ == "__main__":
    restart_with_huge_pages()
    try:
        app.run(main, flags_parser=parse_flags)
    except UserError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted: the same command resumes from the last checkpoint")

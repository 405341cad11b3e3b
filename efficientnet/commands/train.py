"""Fine-tunes an EfficientNet in stages.

    python train.py --config=configs/cars_b0.py --workdir=runs/cars_b0

Run the same command again to resume where it stopped, or to show the result of a finished run. Any
field of the config can be overridden: --config.batch_size=64,
--config.stages[1].learning_rate=1e-4. Watch with `tensorboard --logdir WORKDIR`.
"""

from efficientnet.runtime import preemption
from efficientnet.runtime.huge_pages import restart_with_huge_pages

if __name__ == "__main__":  # before the long imports, so that signals are always handled
    preemption.hold_signals()
    restart_with_huge_pages()
    preemption.Stop().__enter__()

import os
import sys

from absl import app, flags

from configs import common
from efficientnet.commands import command_line, recipes
from efficientnet.errors import UserError
from efficientnet.paths import printable

sys.modules["__main__"].__doc__ = __doc__  # which --help shows
recipes.define()
WORKDIR = flags.DEFINE_string("workdir", None, "The folder for checkpoints and results.")
COORDINATOR = flags.DEFINE_string(
    "coordinator",
    os.environ.get("JAX_COORDINATOR_ADDRESS"),
    "With several processes: HOST:PORT of the first, or 'auto' on Cloud TPU or under Slurm; see "
    "docs/clusters.md.",
)
NUM_PROCESSES = flags.DEFINE_integer(
    "num_processes", os.environ.get("JAX_NUM_PROCESSES"), "The number of processes."
)
PROCESS_ID = flags.DEFINE_integer(
    "process_id", os.environ.get("JAX_PROCESS_ID"), "The number of this process, from 0."
)


def main(_: list[str]) -> None:
    """Runs the recipe given by the flags."""
    command_line.show_log("efficientnet", "input_pipeline")
    recipe = flags.FLAGS["config"].value
    config = None if common.is_open(recipe) else common.parse(recipe)
    # JAX and TensorFlow take seconds to import; a wrong flag is reported before.
    from efficientnet.finetuning import open_recipe
    from efficientnet.runtime import compilation_cache, distributed, failures
    from efficientnet.training.run import run
    from efficientnet.training.start import NOTHING

    failures.silence_failed_saves()
    compilation_cache.enable()
    distributed.start(COORDINATOR.value, NUM_PROCESSES.value, PROCESS_ID.value)
    workdir = str(WORKDIR.value)
    opened = NOTHING
    if config is None:
        config, opened = open_recipe.close(recipe, workdir)
    run(config, workdir, opened)


def parse_flags(argv: list[str]) -> list[str]:
    """Parses the command line; an error in it is a `UserError` that names the flag."""
    with recipes.explained(argv[1:]):
        rest = flags.FLAGS(argv)
    for flag in ("config", "workdir"):
        if flags.FLAGS[flag].value is None:
            raise UserError(f"--{flag} is missing: see --help")
    return rest


if __name__ == "__main__":
    try:
        app.run(main, flags_parser=parse_flags)
    except UserError as error:
        preemption.end_at_once(1, f"error: {printable(str(error))}")
    except preemption.Stopped as stopped:
        preemption.end_at_once(preemption.STOPPED, str(stopped))

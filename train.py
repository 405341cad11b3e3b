"""Fine-tunes an EfficientNet in stages.

    python train.py --config=configs/cars_b0.py --workdir=runs/cars_b0

The same command again resumes where the last one stopped, and shows the result of a run that is
done. Any field of the config can be overridden: --config.batch_size=64,
--config.stages[1].learning_rate=1e-4. Watch with `tensorboard --logdir WORKDIR`.
"""

from efficientnet.runtime import preemption
from efficientnet.runtime.huge_pages import restart_with_huge_pages

if __name__ == "__main__":  # before all that takes time, so that a signal is always answered
    preemption.hold_signals()
    restart_with_huge_pages()
    preemption.Stop().__enter__()

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # before TensorFlow is imported

import logging

from absl import app, flags
from ml_collections import config_flags

from efficientnet.errors import UserError
from scripts import recipes

config_flags.DEFINE_config_file("config", None, "The recipe, a file in configs/.")
WORKDIR = flags.DEFINE_string("workdir", None, "Where the run's checkpoints and results go.")
COORDINATOR = flags.DEFINE_string(
    "coordinator",
    os.environ.get("JAX_COORDINATOR_ADDRESS"),
    "Of several processes: HOST:PORT of the first, or 'auto' to ask Cloud TPU, Slurm or Open MPI.",
)
NUM_PROCESSES = flags.DEFINE_integer(
    "num_processes", os.environ.get("JAX_NUM_PROCESSES"), "How many processes there are."
)
PROCESS_ID = flags.DEFINE_integer(
    "process_id", os.environ.get("JAX_PROCESS_ID"), "Which of them this is, from 0."
)


def main(_: list[str]) -> None:
    """Runs the recipe that the flags name."""
    logging.basicConfig(format="%(message)s", level=logging.WARNING, force=True)
    for package in ("efficientnet", "input_pipeline"):
        logging.getLogger(package).setLevel(logging.INFO)
    config = recipes.run_config(flags.FLAGS["config"])
    # JAX and TensorFlow take seconds to import, and a wrong flag should not.
    from efficientnet.runtime import compilation_cache, distributed, failures
    from efficientnet.training.run import run

    failures.silence_failed_saves()
    compilation_cache.enable()
    distributed.start(COORDINATOR.value, NUM_PROCESSES.value, PROCESS_ID.value)
    run(config, str(WORKDIR.value))


def parse_flags(argv: list[str]) -> list[str]:
    """Parses the command line; what is wrong with it is a `UserError` that names the flag."""
    with recipes.explained(argv[1:]):
        rest = flags.FLAGS(argv)
    for flag in ("config", "workdir"):
        if flags.FLAGS[flag].value is None:
            raise UserError(f"--{flag} is missing: see python train.py --help")
    return rest


if __name__ == "__main__":
    try:
        app.run(main, flags_parser=parse_flags)
    except UserError as error:
        preemption.end_at_once(1, f"error: {error}")
    except preemption.Stopped as stopped:
        preemption.end_at_once(preemption.STOPPED, str(stopped))

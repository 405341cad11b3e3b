"""Suggests the learning rate of a stage by a range test, and draws its plot.

    python scripts/find_rate.py --config=configs/cars_lite0.py --output=rate.png \
        --config.data.directory=DIRECTORY
    python scripts/find_rate.py --config=configs/cars_lite0.py --stage=all --workdir=runs/cars_all \
        --output=rate.png --config.data.directory=DIRECTORY

Over at most 100 training steps the rate rises from 1e-6 to 10, until the network is worse than
guessing; the suggestion is a certain part of that, see docs/learning_rates.md. A stage after the
first starts from the best weights of the stage before it, in a run that has trained it. With
`learning_rate="auto"` in the recipe, each stage does this when it begins.
"""

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from efficientnet import records
from efficientnet.commands import command_line, recipes
from efficientnet.config import RunConfig
from efficientnet.errors import UserError
from efficientnet.paths import check_file, user_path, write_whole

if TYPE_CHECKING:
    from efficientnet.training.setup import Experiment


def main(arguments: Sequence[str]) -> None:
    """Parses the arguments, runs the test, writes the plot and prints the suggestion."""
    parser = command_line.parser(__doc__, allow_abbrev=False)
    parser.add_argument("--config", required=True, metavar="RECIPE", help="as for train.py")
    parser.add_argument("--stage", metavar="NAME", help="of the recipe, by default its first")
    parser.add_argument(
        "--workdir", metavar="RUN", help="a run that has trained the stage before this one"
    )
    parser.add_argument("--output", type=user_path, required=True, help="a .png to write")
    args, overrides = parser.parse_known_args(arguments)
    check_file(args.output, (".png",))
    recipe = recipes.read(args.config, overrides)
    number = stage_number(recipe, args.stage)
    stage = recipe.stages[number]
    if number and not args.workdir:
        raise UserError(
            f"stage {stage.name!r} starts from the weights of stage "
            f"{recipe.stages[number - 1].name!r}: give --workdir=RUN of a run that has trained it"
        )
    if number and stage.start == "last":
        raise UserError(
            f"stage {stage.name!r} starts from the last weights of the stage before, which a run "
            "does not keep: train with learning_rate='auto', which finds the rate on the way"
        )
    command_line.show_log("efficientnet", "input_pipeline")
    # JAX and TensorFlow take seconds to import; a wrong argument is reported before.
    from efficientnet.reporting import plots, range_tests
    from efficientnet.runtime import compilation_cache
    from efficientnet.training import range_test, setup

    compilation_cache.enable()
    experiment = setup.prepare(recipe)
    variables = experiment.variables
    if number:
        variables = weights_of(args.workdir, recipe.stages[number - 1].name, experiment)
    found = range_test.of_stage(experiment, number, variables)
    write_whole(args.output, plots.png(range_tests.draw(found, stage.name)))
    print(f"wrote {args.output}; suggestion for stage {stage.name}: {found.suggestion:.2g}")
    if args.json:
        command_line.print_json({"stage": stage.name, **records.to_json(found)})


def stage_number(recipe: RunConfig, name: str | None) -> int:
    """Returns which stage of a recipe has a name, from 0; without one, the first."""
    names = [stage.name for stage in recipe.stages]
    if name is not None and name not in names:
        raise UserError(f"--stage={name}: the recipe has the stages {', '.join(names)}")
    return names.index(name) if name is not None else 0


def weights_of(workdir: str, stage: str, experiment: "Experiment") -> Any:
    """Returns the best weights of a stage of a run, which an experiment goes on with.

    Raises:
      UserError: there are none, or they are of other classes or of another variant.
    """
    from efficientnet.inference.loading import load_run

    run = load_run(workdir, stage)
    if run.config.variant != experiment.config.variant:
        raise UserError(
            f"--workdir={workdir} is a run of {run.config.variant}, the recipe is of "
            f"{experiment.config.variant}"
        )
    if tuple(run.class_names) != experiment.data.class_names:
        raise UserError(f"--workdir={workdir} is a run of other classes than the recipe's")
    return run.variables


if __name__ == "__main__":
    sys.exit(command_line.run(main))

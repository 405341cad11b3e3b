"""Labels that are made wrong, over a stand-in for the cross-validation."""

import csv
import json
import pathlib
from collections.abc import Callable, Sequence

import pytest
from ml_collections import ConfigDict

from benchmarks import suspected_labels
from efficientnet.commands import command_line, cross_validate
from input_pipeline.sources import SOURCES

# How ml_collections loads a config.
pytestmark = pytest.mark.filterwarnings("ignore:the load_module:DeprecationWarning")

RECIPE = """
from configs import common

def get_config():
    config = common.get_config()
    config.data.source = "tiny"
    config.stages = (common.stage("all", train="all", epochs=1),)
    return config
"""


def test_flipped_labels_are_wrong_and_never_for_testing(tiny: Callable[..., ConfigDict]) -> None:
    source = SOURCES["tiny"]()
    train = source.splits["train"]
    flipped = suspected_labels.flip(source, 0.2, seed=0)
    assert len(flipped) == 10
    assert flipped == suspected_labels.flip(source, 0.2, seed=0)
    assert flipped.keys() != suspected_labels.flip(source, 0.2, seed=1).keys()
    for name, label in flipped.items():
        right = source.class_names[train.labels[train.names.index(name)]]
        assert label in {*source.class_names} - {right}


def test_the_recall_counts_flipped_labels_in_the_first_part_of_the_list(
    tmp_path: pathlib.Path,
    tiny: Callable[..., ConfigDict],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def ranked(words: Sequence[str]) -> None:
        """Ranks three of five flipped photos first."""
        given = dict(word.lstrip("-").split("=", 1) for word in words)
        with open(given["config.data.corrections"]) as file:
            flipped = [row["name"] for row in csv.DictReader(file)]
        names = [f"{number}.png" for number in range(50)]
        first = [*flipped[:3], *(name for name in names if name not in flipped), *flipped[3:]]
        table = pathlib.Path(given["workdir"]) / cross_validate.LABELS
        table.write_text("\n".join(["name", *first]), "utf-8-sig")
        assert given["config.seed"] == "3"

    monkeypatch.setattr(cross_validate, "main", ranked)
    (tmp_path / "recipe.py").write_text(RECIPE)
    words = [f"--config={tmp_path / 'recipe.py'}", f"--workdir={tmp_path / 'runs'}"]
    suspected_labels.main([*words, "--share=0.1", "--config.seed=3"])
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result == {
        "photos": 50,
        "flipped": 5,
        "seed": 0,
        "looked_at": 5,
        "found": 3,
        "recall": 0.6,
    }
    assert command_line.run(suspected_labels.main, [*words, "--share=2"]) == 1
    assert "expected numbers below 1" in capsys.readouterr().err

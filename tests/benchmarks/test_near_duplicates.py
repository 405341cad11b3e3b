import json

import numpy as np
from PIL import Image

from benchmarks import near_duplicates
from efficientnet.commands import command_line


def test_planted_copies_are_found_and_others_counted_apart(tmp_path, capsys):
    rng = np.random.default_rng(0)
    for number in range(20):
        coarse, fine = (
            Image.fromarray(rng.integers(0, 160, (side, side, 3)).astype(np.uint8)).resize(
                (160, 120)
            )
            for side in (6, 24)
        )
        photo = Image.blend(coarse, fine, 0.3)
        folder = tmp_path / ("train", "test")[number % 2] / "abab"[number // 2 % 2]
        folder.mkdir(parents=True, exist_ok=True)
        photo.save(folder / f"{number}.jpg")
        if number == 7:
            photo.resize((100, 100)).save(folder / "twin.png")
    words = [f"--data={tmp_path}", "--source=folders", "--copies=8", "--json"]
    assert command_line.run(near_duplicates.main, words) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["recall_by_kind"] == dict.fromkeys(near_duplicates.CHANGES, 1.0)
    assert result["recall"] == 1
    assert (result["photos"], result["planted"]) == (29, 8)
    assert result["pairs_with_copies"] >= 8
    assert (result["false_pairs"], result["pairs_in_the_data"]) == (0, 1)

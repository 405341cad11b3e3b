"""ELPV: photos of solar cells in electroluminescence, functional or defective.

2,624 gray 300x300 photos from the wheel `elpv-dataset`; Deitsch et al. 2019, "Automatic
classification of defective photovoltaic module cells in electroluminescence images", train on
75 % and test on 25 % (1,968 / 656). Their split is not published; this one has their sizes and
keeps the proportions of defect probability and cell type.
"""

import importlib.util

from etils import epath

from efficientnet.errors import UserError
from input_pipeline.sources.split import Source, from_files
from input_pipeline.sources.splitting import stratify

CLASS_NAMES = ("functional", "defective")
TEST_FRACTION = 0.25


def load(seed: int = 0) -> Source:
    """Opens ELPV from the installed wheel; defective means a defect probability >= 0.5.

    Raises:
      UserError: the wheel is not installed, or is incomplete.
    """
    # find_spec does not run the wheel's code.
    spec = importlib.util.find_spec("elpv_dataset")
    if spec is None or not spec.submodule_search_locations:
        raise UserError(
            "the ELPV photos are missing, they come in the wheel elpv-dataset: "
            "pip install '.[demo]'"
        )
    directory = epath.Path(next(iter(spec.submodule_search_locations))) / "data"
    table = directory / "labels.csv"
    if not table.is_file():
        raise UserError(f"the wheel elpv-dataset has no {table}: pip install '.[demo]' again")
    rows = [line.split() for line in table.read_text("utf-8").splitlines() if line.strip()]
    names = [row[0] for row in rows]
    labels = [int(float(row[1]) >= 0.5) for row in rows]
    strata = [f"{row[1]} {row[2]}" for row in rows]
    photos = from_files(directory, names, labels)
    train, test = stratify(strata, names, TEST_FRACTION, seed)
    return Source("elpv", CLASS_NAMES, {"train": photos.take(train), "test": photos.take(test)})

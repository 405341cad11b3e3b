"""Reads what Keras saves: `.h5` of Keras 2 and 3, `.weights.h5`, and `.keras`."""

from etils import epath

from efficientnet.errors import UserError
from efficientnet.weights.readers import archives, hdf5
from efficientnet.weights.readers.checkpoint import Checkpoint, Tensor, map_file

WEIGHTS_MEMBER = "model.weights.h5"
# Keras 3 numbers a layer's variables; this is what the numbers mean.
NUMBERED = {
    "batch_normalization": ("gamma", "beta", "moving_mean", "moving_variance"),
    "normalization": ("mean", "variance", "count"),
}
NUMBERED_KERNEL = ("kernel", "bias")
# Variables of the optimizer or of the model as a whole.
OTHER_ROOTS = ("optimizer_weights", "optimizer", "vars", "top_level_model_weights")


def read(path: epath.Path) -> Checkpoint:
    """Opens a file; its tensors are called `layer/variable` and are views of the file.

    A layer has the name it had in Keras, or, where Keras 3 saved only its class and number, those.
    Before it stand the layers that it lies in, in the formats of Keras 3 always, else where two
    variables would have the same name.
    """
    data = map_file(path)
    if data[:4] == archives.ZIP_MAGIC:
        members = archives.zip_members(path, data)
        if WEIGHTS_MEMBER not in members:
            raise UserError(f"{path} is a zip archive without {WEIGHTS_MEMBER}: expected a .keras")
        content = members[WEIGHTS_MEMBER]()
        return Checkpoint(path, "Keras 3 archive", _tensors(content), checksummed=True)
    tensors = _tensors(memoryview(data))
    return Checkpoint(path, "HDF5", tensors)


def _tensors(data: memoryview) -> dict[str, Tensor]:
    datasets, names = hdf5.read(data)
    places: dict[str, list[tuple[str, Tensor]]] = {}  # and tensors, by name
    for place, tensor in datasets.items():
        parts = place.split("/")
        if parts[0] in OTHER_ROOTS or (parts[0] == "model_weights" and parts[1] in OTHER_ROOTS):
            continue
        *above, last = parts
        if above[-1:] == ["vars"]:
            layer = above[-2]
            kind = layer.rstrip("0123456789").rstrip("_") if "2d" not in layer else layer
            words = dict(enumerate(NUMBERED.get(kind, NUMBERED_KERNEL)))
            above[-2:] = [names.get("/".join(above), layer)]
            name = place = "/".join((*above, words.get(int(last), last)))
        else:
            variable = last.partition(":")[0]
            variable = {"depthwise_kernel": "kernel"}.get(variable, variable)
            name, place = f"{above[-1]}/{variable}", "/".join((*above, variable))
        places.setdefault(name, []).append((place, tensor))
    return {
        name if len(found) == 1 else place: tensor
        for name, found in places.items()
        for place, tensor in found
    }

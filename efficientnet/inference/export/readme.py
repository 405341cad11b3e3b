"""The README of an exported network."""

from collections.abc import Sequence

import input_pipeline
from efficientnet.inference.export.formats import FORMATS
from efficientnet.inference.network import Network
from input_pipeline.augment.geometry import CenterCrop, Resize

PAGE = """\
# An exported EfficientNet

An image classifier with {classes} classes, from {source}. Its input is uint8
[batch, {side}, {side}, {channels}] for any batch size; it normalizes the photos itself. Its outputs
are `logits` and `probabilities`, float32 [batch, {classes}], in the order of `labels.txt`.

## Photos

{photos}
## Networks

After it was written, each was run in a separate process on a CPU and agreed with the original
network to 1e-4; `metadata.json` has the differences.
"""

PHOTOS = """\
```python
import numpy as np
from PIL import Image, ImageOps

photo = ImageOps.exif_transpose(Image.open("photo.jpg")).convert("{mode}")
{crop}photo = photo.resize(({side}, {side}), Image.Resampling.{method}{box})
images = np.asarray(photo).reshape(1, {side}, {side}, {channels})
```

This is `{preparation}`, the preprocessing of the network's evaluation, up to rounding.
"""
CROP = """\
side = round({fraction} * min(photo.size))
left, top = ((length - side) // 2 for length in photo.size)
"""

FORMAT = """\

### {name}

Needs {needs}.

```python
{loading}```
"""
ANSWER = """
## Answers

```python
labels = open("labels.txt").read().splitlines()
print(labels[np.argmax(answer["probabilities"][0])])
```
"""


def readme(network: Network, formats: Sequence[str], source: str) -> str:
    """Returns the README; its lines of Python can be run in the exported folder."""
    side, channels = network.resolution, network.channels
    text = PAGE.format(
        classes=len(network.class_names),
        source=source,
        side=side,
        channels=channels,
        photos=_photos(network),
    )
    for key in formats:
        form = FORMATS[key]
        text += FORMAT.format(name=form.name, needs=form.needs, loading=form.loading)
    return text + ANSWER


def _photos(network: Network) -> str:
    operations = input_pipeline.parse(network.preparation) or (Resize(),)
    operation, *more = operations
    if more or not isinstance(operation, Resize | CenterCrop) or not operation.antialias:
        return f"In the network's evaluation they were preprocessed by `{network.preparation}`.\n\n"
    crop = box = ""
    if isinstance(operation, CenterCrop):
        crop = CROP.format(fraction=operation.fraction)
        box = ", box=(left, top, left + side, top + side)"
    return PHOTOS.format(
        mode="RGB" if network.channels == 3 else "L",
        crop=crop,
        side=network.resolution,
        channels=network.channels,
        preparation=network.preparation,
        method=operation.method.upper(),
        box=box,
    )

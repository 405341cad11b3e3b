"""The formats that a network can be exported to: how to write each, and how to read it."""

import dataclasses
import importlib.util
import pathlib
from collections.abc import Callable, Collection

import jax
import jax.numpy as jnp
from jax import export

from efficientnet.errors import UserError
from efficientnet.inference.network import Network

PLATFORMS = ("cpu", "tpu", "cuda")
ONNX_OPSET = 17


@dataclasses.dataclass(frozen=True)
class Format:
    """One way to write a network.

    Attributes:
      name: of the file or folder.
      write: writes a network to a path.
      needs: the packages needed to read it.
      loading: the lines of Python that read it and map `images` to `answer`.
    """

    name: str
    write: Callable[[Network, pathlib.Path], None]
    needs: str
    loading: str


def write_stablehlo(network: Network, path: pathlib.Path) -> None:
    """Writes a `jax.export` for any batch size on all of `PLATFORMS`."""

    def classify(images: jax.Array) -> dict[str, jax.Array]:
        logits = jnp.asarray(network.module.apply(network.variables, network.preprocess(images)))
        return {"logits": logits, "probabilities": jax.nn.softmax(logits)}

    (batch,) = export.symbolic_shape("batch")
    shape = (batch, network.resolution, network.resolution, network.channels)
    exported = export.export(jax.jit(classify), platforms=PLATFORMS)(
        jax.ShapeDtypeStruct(shape, jnp.uint8)
    )
    path.write_bytes(exported.serialize())


def write_saved_model(network: Network, path: pathlib.Path) -> None:
    """Writes a TensorFlow SavedModel with the network as its signature `serving_default`."""
    import tensorflow as tf

    from efficientnet.inference.export.tensorflow_graph import Graph

    graph = Graph(network)
    tf.saved_model.save(graph, str(path), signatures=graph.classify)


def write_tflite(network: Network, path: pathlib.Path) -> None:
    """Writes a TFLite file that computes in float32 throughout."""
    import tensorflow as tf

    from efficientnet.inference.export.tensorflow_graph import Graph

    graph = Graph(network)
    functions = [graph.classify.get_concrete_function()]
    converter = tf.lite.TFLiteConverter.from_concrete_functions(functions, graph)
    path.write_bytes(converter.convert())


def write_onnx(network: Network, path: pathlib.Path) -> None:
    """Writes an ONNX file."""
    import tf2onnx

    from efficientnet.inference.export.tensorflow_graph import Graph

    classify = Graph(network).classify
    model, _ = tf2onnx.convert.from_function(classify, classify.input_signature, opset=ONNX_OPSET)
    path.write_bytes(model.SerializeToString())


def check_formats(formats: Collection[str]) -> None:
    """Raises a `UserError` if a format is unknown, or is ONNX and its converter is missing."""
    for name in formats:
        if name not in FORMATS:
            raise UserError(f"unknown format {name!r}: expected some of {', '.join(FORMATS)}")
    if "onnx" in formats and not all(map(importlib.util.find_spec, ("tf2onnx", "onnxruntime"))):
        raise UserError("ONNX needs tf2onnx and onnxruntime: pip install '.[onnx]'")


FORMATS = {
    "stablehlo": Format(
        "network.stablehlo",
        write_stablehlo,
        "jax",
        """\
import pathlib
from jax import export

network = export.deserialize(pathlib.Path("network.stablehlo").read_bytes())
answer = network.call(images)
""",
    ),
    "saved_model": Format(
        "saved_model",
        write_saved_model,
        "tensorflow",
        """\
import tensorflow as tf

network = tf.saved_model.load("saved_model").signatures["serving_default"]
answer = network(images=tf.constant(images))
""",
    ),
    "tflite": Format(
        "network.tflite",
        write_tflite,
        "tensorflow, or ai-edge-litert with `ai_edge_litert.interpreter.Interpreter` in its place",
        """\
import tensorflow as tf

network = tf.lite.Interpreter("network.tflite").get_signature_runner()
answer = network(images=images)
""",
    ),
    "onnx": Format(
        "network.onnx",
        write_onnx,
        "onnxruntime",
        """\
import onnxruntime

network = onnxruntime.InferenceSession("network.onnx")
names = ["logits", "probabilities"]
answer = dict(zip(names, network.run(names, {"images": images})))
""",
    ),
}
DEFAULT = ("stablehlo", "saved_model", "tflite")

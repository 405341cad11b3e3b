"""The network in TensorFlow's own operations, for SavedModel, TFLite and ONNX.

Calling XLA from TensorFlow (jax2tf) would need no second network, but TFLite and ONNX have no such
call, and TFLite's converter stops at the slices of unknown length and the dots of four dimensions
in it. That this network equals the Flax one is checked in every export.
"""

from typing import Any

import numpy as np

from efficientnet.inference.network import Network
from input_pipeline.quiet_tensorflow import tf

ACTIVATIONS = {"swish": tf.nn.swish, "relu6": tf.nn.relu6, "linear": tf.identity}


class Graph(tf.Module):
    """Maps uint8 images [n, resolution, resolution, channels] to logits and probabilities."""

    def __init__(self, network: Network) -> None:
        super().__init__()
        self._module = network.module
        self._mean = np.asarray(network.preprocessing.mean, np.float32)
        self._std = np.asarray(network.preprocessing.std, np.float32)
        statistics = network.variables["batch_stats"]
        # Variables, because constants would have to fit into one message of 2 GB.
        self._weights = {
            layer: {
                name: tf.Variable(np.asarray(value), trainable=False)
                for name, value in {**leaves, **statistics.get(layer, {})}.items()
            }
            for layer, leaves in network.variables["params"].items()
        }
        size = [None, network.resolution, network.resolution, network.channels]
        images = tf.TensorSpec(size, tf.uint8, name="images")
        self.classify = tf.function(self._classify, input_signature=[images], autograph=False)

    def _classify(self, images: tf.Tensor) -> dict[str, tf.Tensor]:
        module, variant = self._module, self._module.variant
        act = variant.activation
        x = (tf.cast(images, tf.float32) - self._mean) / self._std
        x = self._batch_norm("stem_bn", self._conv("stem_conv", x, 2), act)
        for block in variant.blocks():
            name, shortcut = block.name, x
            if block.expand_ratio != 1:
                x = self._conv(f"{name}_expand_conv", x)
                x = self._batch_norm(f"{name}_expand_bn", x, act)
            x = self._conv(f"{name}_dwconv", x, block.stride, depthwise=True)
            x = self._batch_norm(f"{name}_bn", x, act)
            if block.se_filters:
                gate = tf.reduce_mean(x, axis=[1, 2], keepdims=True)
                gate = ACTIVATIONS[act](self._conv(f"{name}_se_reduce", gate))
                x *= tf.sigmoid(self._conv(f"{name}_se_expand", gate))
            x = self._conv(f"{name}_project_conv", x)
            x = self._batch_norm(f"{name}_project_bn", x, "linear")
            if block.has_shortcut:
                x += shortcut
        x = self._batch_norm("top_bn", self._conv("top_conv", x), act)
        x = tf.reduce_mean(x, axis=[1, 2])
        if module.head_batch_norm:
            x = self._batch_norm("predictions_bn", x, "linear", epsilon=1e-3)
        classifier = self._weights["predictions"]
        logits = tf.matmul(x, classifier["kernel"]) + classifier["bias"]
        return {"logits": logits, "probabilities": tf.nn.softmax(logits)}

    def _conv(self, name: str, x: tf.Tensor, stride: int = 1, depthwise: bool = False) -> tf.Tensor:
        weights: dict[str, Any] = self._weights[name]
        kernel = weights["kernel"]
        size = kernel.shape[0]
        padding = "SAME"
        if size > 1 and (self._module.padding or self._module.variant.padding) == "symmetric":
            sides = [size // 2, size // 2]
            x, padding = tf.pad(x, [[0, 0], sides, sides, [0, 0]]), "VALID"
        convolve = tf.nn.conv2d
        if depthwise:
            # TensorFlow has the channels before the multiplier.
            convolve, kernel = tf.nn.depthwise_conv2d, tf.transpose(kernel, [0, 1, 3, 2])
        y = convolve(x, kernel, [1, stride, stride, 1], padding)
        return y + weights["bias"] if "bias" in weights else y

    def _batch_norm(
        self, name: str, x: tf.Tensor, activation: str, epsilon: float | None = None
    ) -> tf.Tensor:
        weights = self._weights[name]
        epsilon = epsilon or self._module.bn_epsilon or self._module.variant.bn_epsilon
        factor = weights["scale"] * tf.math.rsqrt(weights["var"] + epsilon)
        return ACTIVATIONS[activation](x * factor + (weights["bias"] - weights["mean"] * factor))

"""The network in TensorFlow's own operations, for SavedModel, TFLite and ONNX.

jax2tf would need no second network, but it calls XLA, which TFLite and ONNX cannot, and TFLite's
converter fails on the slices of unknown length and the four-dimensional dots in its result. Every
export checks that this network agrees with the Flax one.
"""

from typing import Any

import numpy as np

from efficientnet.inference.network import Network
from efficientnet.network import architecture
from efficientnet.network.architecture import Conv, SqueezeExcite
from input_pipeline.quiet_tensorflow import tf

ACTIVATIONS = {
    "swish": tf.nn.swish,
    "relu6": tf.nn.relu6,
    "linear": tf.identity,
    "sigmoid": tf.sigmoid,
}


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
        network = architecture.build(self._module.variant, images.shape[-1])
        x = (tf.cast(images, tf.float32) - self._mean) / self._std
        x = self._convolve(x, network.stem)
        for block in network.blocks:
            shortcut = x
            for layer in block.layers:
                if isinstance(layer, SqueezeExcite):
                    means = tf.reduce_mean(x, axis=[1, 2], keepdims=True)
                    x *= self._convolve(self._convolve(means, layer.reduce), layer.expand)
                else:
                    x = self._convolve(x, layer)
            if block.shortcut:
                x += shortcut
        x = self._convolve(x, network.top)
        x = tf.reduce_mean(x, axis=[1, 2])
        if self._module.head_batch_norm:
            x = self._batch_norm(x, "predictions_bn", epsilon=1e-3)
        classifier = self._weights["predictions"]
        logits = tf.matmul(x, classifier["kernel"]) + classifier["bias"]
        return {"logits": logits, "probabilities": tf.nn.softmax(logits)}

    def _convolve(self, x: tf.Tensor, conv: Conv) -> tf.Tensor:
        """A convolution, its BatchNorm or bias, and its activation."""
        weights: dict[str, Any] = self._weights[conv.name]
        kernel, padding = weights["kernel"], "SAME"
        symmetric = (self._module.padding or self._module.variant.padding) == "symmetric"
        if conv.kernel > 1 and symmetric:
            sides = [conv.kernel // 2, conv.kernel // 2]
            x, padding = tf.pad(x, [[0, 0], sides, sides, [0, 0]]), "VALID"
        convolution = tf.nn.conv2d
        if conv.depthwise:
            # TensorFlow has the channels before the multiplier.
            convolution, kernel = tf.nn.depthwise_conv2d, tf.transpose(kernel, [0, 1, 3, 2])
        x = convolution(x, kernel, [1, conv.stride, conv.stride, 1], padding)
        if conv.batch_norm is None:
            x += weights["bias"]
        else:
            epsilon = self._module.bn_epsilon or self._module.variant.bn_epsilon
            x = self._batch_norm(x, conv.batch_norm, epsilon)
        return ACTIVATIONS[conv.activation](x)

    def _batch_norm(self, x: tf.Tensor, name: str, epsilon: float) -> tf.Tensor:
        weights = self._weights[name]
        factor = weights["scale"] * tf.math.rsqrt(weights["var"] + epsilon)
        return x * factor + (weights["bias"] - weights["mean"] * factor)

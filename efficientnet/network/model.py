"""EfficientNet as a plain Flax Linen module, with the layer names of Keras Applications."""

import contextlib
from collections.abc import Collection
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from efficientnet.network import architecture, layers
from efficientnet.network.architecture import Block, Conv, SqueezeExcite
from efficientnet.network.freeze_groups import group_of
from efficientnet.network.ops.batch_norm import BatchNorm
from efficientnet.network.variants import Variant


class EfficientNet(nn.Module):
    """EfficientNet (Tan and Le 2019, figure 2 and table 1) for images of any size.

    Parameters and BatchNorm statistics are float32 whatever `dtype` is. The activations after the
    stem, each block and the top are sown into the collection `intermediates` under the names
    `stem`, `block1a`, ..., `top`, if a caller makes that collection mutable.

    Attributes:
      variant: the row of `variants.VARIANTS` to build.
      num_classes: length of the logits.
      dropout: rate before the classifier; None takes the variant's.
      drop_connect: stochastic depth's drop rate at the last block, growing linearly from 0.
      padding: 'same' or 'symmetric'; None takes the variant's.
      bn_epsilon: added to BatchNorm's variance; None takes the variant's.
      dtype: of the computation, float32 or bfloat16.
      features_only: return the pooled features instead of logits, without a classifier.
      classifier_only: take pooled features instead of images; only the classifier remains.
      remat: store only the input of each block for the gradient, and recompute the rest.
      batch_norm_parts: number of consecutive parts of the batch which BatchNorm's statistics are
        computed of separately; with one part per device, no device waits for another.
      head_batch_norm: normalize the features with a BatchNorm `predictions_bn` in the group
        `predictions`, as the heads of the Keras guide do.
      matmul_precision: of products and convolutions of float32 arrays: 'highest' is float32; with
        'high' and 'default' GPUs round the factors to TensorFloat-32 (10 bits of fraction), and
        TPUs multiply in three passes and in one of bfloat16 (7 bits).
      own_kernels: the devices among which the batch is divided, to compute depthwise convolutions
        on NVIDIA GPUs with `ops.depthwise_kernels`; None for those of XLA.
    """

    variant: Variant
    num_classes: int = 1000
    dropout: float | None = None
    drop_connect: float = 0.2
    padding: str | None = None
    bn_epsilon: float | None = None
    dtype: Any = jnp.float32
    features_only: bool = False
    classifier_only: bool = False
    remat: bool = False
    batch_norm_parts: int = 1
    head_batch_norm: bool = False
    matmul_precision: str = "highest"
    own_kernels: Mesh | None = None

    def in_precision(self) -> contextlib.AbstractContextManager[None]:
        """Returns the context in which a forward pass is traced, and its gradient should be.

        A network in bfloat16 multiplies numbers that are rounded already, so it takes the default.
        """
        if self.dtype == jnp.bfloat16:
            return contextlib.nullcontext()
        return jax.default_matmul_precision(self.matmul_precision)

    @nn.compact
    def __call__(
        self,
        images: jax.Array,
        training_groups: Collection[str] = (),
        batch_norm_groups: Collection[str] = (),
    ) -> jax.Array:
        """Maps normalized images to logits.

        Args:
          images: [N, H, W, C] floats, normalized as the weights expect.
          training_groups: freeze groups that run dropout and stochastic depth; they draw from the
            random stream `dropout`. Group `predictions` owns the dropout before the classifier.
          batch_norm_groups: freeze groups whose BatchNorm uses, and updates, the statistics of the
            batch instead of the running ones.

        Returns:
          Float32 logits [N, num_classes], or features [N, variant.top_filters].
        """
        with self.in_precision():
            x = images
            if not self.classifier_only:
                x = self.features(images, training_groups, batch_norm_groups)
            if self.features_only:
                return x
            return self.classify(x, training_groups, batch_norm_groups)

    def classify(
        self,
        features: jax.Array,
        training_groups: Collection[str],
        batch_norm_groups: Collection[str],
    ) -> jax.Array:
        """The classifier: pooled features to float32 logits."""
        x = features
        if self.head_batch_norm:
            average = "predictions" not in batch_norm_groups
            x = BatchNorm(
                use_running_average=average, parts=self.batch_norm_parts, name="predictions_bn"
            )(x)
        rate = self.variant.dropout if self.dropout is None else self.dropout
        x = nn.Dropout(rate, deterministic="predictions" not in training_groups)(x)
        return nn.Dense(self.num_classes, kernel_init=layers.dense_kernel_init, name="predictions")(
            x
        )

    def features(
        self,
        images: jax.Array,
        training_groups: Collection[str],
        batch_norm_groups: Collection[str],
    ) -> jax.Array:
        """Everything before the classifier: images to pooled float32 features."""
        network = architecture.build(self.variant, images.shape[-1])
        x = jnp.asarray(images, self.dtype)
        x = self.convolve(x, network.stem, batch_norm_groups)
        self.sow("intermediates", "stem", x)

        compute = type(self).block
        if self.remat:
            compute = nn.remat(compute, static_argnums=(2, 3, 5))
        for block in network.blocks:
            survival = 1.0 - self.drop_connect * block.index / len(network.blocks)
            if group_of(block.name) not in training_groups:
                survival = 1.0
            key = self.make_rng("dropout") if block.shortcut and survival < 1.0 else None
            with jax.named_scope(block.name):  # for profiles
                x = compute(self, x, block, survival, key, tuple(batch_norm_groups))
            self.sow("intermediates", block.name, x)

        x = self.convolve(x, network.top, batch_norm_groups)
        self.sow("intermediates", "top", x)

        return jnp.mean(x, axis=(1, 2), dtype=jnp.float32)

    def block(
        self,
        x: jax.Array,
        block: Block,
        survival: float,
        key: jax.Array | None,
        batch_norm_groups: Collection[str],
    ) -> jax.Array:
        """The layers of a block, and its shortcut.

        With a `key`, what each example adds to the shortcut survives with probability `survival`.
        """
        shortcut, gate = x, None
        for layer in block.layers:
            if isinstance(layer, SqueezeExcite):
                reduce, expand = layer.reduce, layer.expand
                gate = layers.squeeze_excite(
                    x,
                    layers.KernelAndBias(reduce.filters, name=reduce.name)(reduce.filters_in),
                    layers.KernelAndBias(expand.filters, name=expand.name)(expand.filters_in),
                    reduce.activation,
                )
            else:
                x, gate = self.convolve(x, layer, batch_norm_groups, gate), None
        if block.shortcut:
            if key is not None:
                x = layers.stochastic_depth(x, survival, key)
            x = x + shortcut
        return x

    def convolve(
        self,
        x: jax.Array,
        conv: Conv,
        batch_norm_groups: Collection[str],
        gate: jax.Array | None = None,
    ) -> jax.Array:
        """A convolution, its BatchNorm and its activation.

        BatchNorm takes the batch's statistics in `batch_norm_groups`, else the running ones. The
        activation is part of it, so that the gradient needs no more than the layer's input. A 1x1
        convolution to more channels is part of it too where the batch's statistics are needed: they
        follow from those of the few channels before. A `gate` scales the channels of `x` first.
        """
        of_batch = group_of(conv.name) in batch_norm_groups
        kernel = None
        if conv.depthwise:
            x = layers.DepthwiseConv(
                conv.kernel,
                conv.stride,
                self._padding,
                self.dtype,
                self.own_kernels,
                name=conv.name,
            )(x)
        elif conv.widens and of_batch and gate is None:
            kernel = layers.PointwiseKernel(conv.filters, name=conv.name)(x.shape[-1])
        else:
            x = layers.Conv(
                conv.filters, conv.kernel, conv.stride, self._padding, self.dtype, name=conv.name
            )(x, gate)
        return BatchNorm(
            use_running_average=not of_batch,
            epsilon=self.variant.bn_epsilon if self.bn_epsilon is None else self.bn_epsilon,
            activation=conv.activation,
            parts=self.batch_norm_parts,
            dtype=self.dtype,
            name=conv.batch_norm,
        )(x, kernel)

    @property
    def _padding(self) -> str:
        return self.variant.padding if self.padding is None else self.padding


def init_variables(model: EfficientNet, rng: jax.Array, channels: int = 3) -> dict[str, Any]:
    """Returns freshly initialized `{'params': ..., 'batch_stats': ...}` without running the model.

    Args:
      model: the network.
      rng: a PRNG key.
      channels: of the input images, 3 for color or 1 for gray.
    """
    model = model.clone(own_kernels=None)  # one image can't be divided among devices
    images = jax.ShapeDtypeStruct((1, 32, 32, channels), jnp.float32)
    # As one program: hundreds of small ones take longer to compile, and are not cached.
    variables = jax.jit(lambda key: model.lazy_init(key, images))(rng)
    return {name: variables[name] for name in ("params", "batch_stats")}

"""The chapter's networks as a user of TensorFlow writes them ("Dive into Deep Learning", section 8.6)."""

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import numpy as np  # noqa: E402
import tensorflow as tf  # noqa: E402

import cases  # noqa: E402


class Residual(tf.keras.Model):
    def __init__(self, num_channels, use_1x1conv=False, strides=1):
        super().__init__()
        self.conv1 = tf.keras.layers.Conv2D(num_channels, padding="same", kernel_size=3, strides=strides)
        self.conv2 = tf.keras.layers.Conv2D(num_channels, kernel_size=3, padding="same")
        self.conv3 = None
        if use_1x1conv:
            self.conv3 = tf.keras.layers.Conv2D(num_channels, kernel_size=1, strides=strides)
        self.bn1 = tf.keras.layers.BatchNormalization()
        self.bn2 = tf.keras.layers.BatchNormalization()

    def call(self, X):
        Y = tf.keras.activations.relu(self.bn1(self.conv1(X)))
        Y = self.bn2(self.conv2(Y))
        if self.conv3 is not None:
            X = self.conv3(X)
        Y += X
        return tf.keras.activations.relu(Y)


class ResNeXtBlock(tf.keras.Model):
    def __init__(self, num_channels, groups, bot_mul, use_1x1conv=False, strides=1):
        super().__init__()
        bot_channels = int(round(num_channels * bot_mul))
        self.conv1 = tf.keras.layers.Conv2D(bot_channels, 1, strides=1)
        self.conv2 = tf.keras.layers.Conv2D(
            bot_channels, 3, strides=strides, padding="same", groups=bot_channels // groups
        )
        self.conv3 = tf.keras.layers.Conv2D(num_channels, 1, strides=1)
        self.bn1 = tf.keras.layers.BatchNormalization()
        self.bn2 = tf.keras.layers.BatchNormalization()
        self.bn3 = tf.keras.layers.BatchNormalization()
        if use_1x1conv:
            self.conv4 = tf.keras.layers.Conv2D(num_channels, 1, strides=strides)
            self.bn4 = tf.keras.layers.BatchNormalization()
        else:
            self.conv4 = None

    def call(self, X):
        Y = tf.keras.activations.relu(self.bn1(self.conv1(X)))
        Y = tf.keras.activations.relu(self.bn2(self.conv2(Y)))
        Y = self.bn3(self.conv3(Y))
        if self.conv4:
            X = self.bn4(self.conv4(X))
        return tf.keras.activations.relu(Y + X)


class ResNet(tf.keras.Model):
    def __init__(self, arch, num_classes=10):
        super().__init__()
        self.net = tf.keras.models.Sequential([self.b1(arch[0][1])])
        for i, b in enumerate(arch):
            self.net.add(self.block(*b, first_block=(i == 0)))
        self.net.add(
            tf.keras.models.Sequential(
                [tf.keras.layers.GlobalAvgPool2D(), tf.keras.layers.Dense(units=num_classes)]
            )
        )

    def b1(self, num_channels):
        return tf.keras.models.Sequential(
            [
                tf.keras.layers.Conv2D(num_channels, kernel_size=7, strides=2, padding="same"),
                tf.keras.layers.BatchNormalization(),
                tf.keras.layers.Activation("relu"),
                tf.keras.layers.MaxPool2D(pool_size=3, strides=2, padding="same"),
            ]
        )

    def block(self, num_residuals, num_channels, first_block=False):
        blk = tf.keras.models.Sequential()
        for i in range(num_residuals):
            if i == 0 and not first_block:
                blk.add(Residual(num_channels, use_1x1conv=True, strides=2))
            else:
                blk.add(Residual(num_channels))
        return blk

    def call(self, X):
        return self.net(X)


def tiny():
    """What Keras does in its own way."""
    layers = tf.keras.layers
    image = tf.keras.Input((21, 24, 3))
    x = layers.Conv2D(8, 3, strides=2, padding="same", name="conv1")(image)
    x = layers.BatchNormalization(name="bn1")(x)
    x = layers.Activation("gelu")(x)
    x = layers.MaxPooling2D(3, strides=2, padding="same")(x)
    x = layers.DepthwiseConv2D(3, strides=2, padding="same", depth_multiplier=2, name="depthwise")(x)
    x = layers.LayerNormalization(name="norm")(x)
    x = layers.LeakyReLU()(x)
    x = layers.Conv2D(12, (5, 2), padding="same", name="conv2")(x)
    x = layers.BatchNormalization(name="bn2")(x)
    x = layers.AveragePooling2D(2, strides=1, padding="same")(x)
    x = layers.Flatten()(x)
    x = layers.Dense(10, name="fc")(x)
    return tf.keras.Model(image, x)


NETWORKS = {
    "residual": lambda: Residual(3),
    "residual_projected": lambda: Residual(6, use_1x1conv=True),
    "residual_halving": lambda: Residual(6, use_1x1conv=True, strides=2),
    "resnext": lambda: ResNeXtBlock(16, 4, 1),
    "resnext_projected": lambda: ResNeXtBlock(12, 8, 2, use_1x1conv=True),
    "resnext_halving": lambda: ResNeXtBlock(24, 4, 0.5, use_1x1conv=True, strides=2),
    "tiny": tiny,
    "small_resnet": lambda: ResNet(cases.SMALL_RESNET),
    "resnet18": lambda: ResNet(cases.RESNET18),
}


def save(make, x, draw, stem):
    tf.keras.utils.clear_session(free_memory=False)
    tf.keras.config.set_floatx("float32")
    network = make()
    network(x)  # gives the layers their shapes
    for variable in network.variables:
        variable.assign(draw(variable.path, variable.shape))

    network.save_weights(stem + ".weights.h5")
    if make is tiny:  # the others are classes of their own, of which Keras saves the weights alone
        network.save(stem + ".keras")
        network.save(stem + ".h5")
        np.savez(stem + ".npz", **{variable.path: variable.numpy() for variable in network.variables})

    tf.keras.config.set_floatx("float64")
    exact = make()
    exact(x.astype(np.float64))
    exact.set_weights(network.get_weights())
    return exact(x.astype(np.float64)).numpy()


if __name__ == "__main__":
    cases.main(NETWORKS, channels_last=True, save=save)

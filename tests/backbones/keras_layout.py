"""Weights files in the layout of the released ones, and models with random weights to fill them."""
import h5py
import numpy as np


def write(model, path):
    """Writes weights in the layout of the released files: a group per layer with the names of its weights."""
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in model.layers]
        file.attrs["backend"] = b"tensorflow"
        file.attrs["keras_version"] = b"2.0"
        for layer in model.layers:
            group = file.create_group(layer.name)
            names = [f"{layer.name}/{index}:0".encode() for index in range(len(layer.weights))]
            group.attrs["weight_names"] = names
            for name, value in zip(names, layer.get_weights()):
                group[name.decode()] = value


def randomize(model, seed=0):
    """Gives biases and batch normalization random values too, and keeps the scale of the features."""
    rng = np.random.default_rng(seed)
    for layer in model.layers:
        values = layer.get_weights()
        if len(values) == 4:  # scale, offset, moving mean and variance
            count = values[0].size
            layer.set_weights([rng.uniform(0.5, 1, count), *rng.normal(0, 0.2, (2, count)), rng.uniform(1, 2, count)])
        elif values:
            layer.set_weights([values[0], rng.normal(0, 0.2, values[1].shape)])

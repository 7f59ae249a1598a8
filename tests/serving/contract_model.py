"""The small model that the contract tests ask: an export's own graph over colours, and signatures of other types."""
import pathlib

import tensorflow as tf

from ornet_tf.inference import localizer, saved_model
from tests.serving import tiny_export

CLASS_NAMES = ("red", "grün", "blue")
# What no export has: several inputs, other types, a scalar, an assertion on what was sent.
_OTHERS = ("numbers", "whole", "checked", "echo")
_LONGEST_WAIT = 120.0  # seconds: no server waits for a test that is gone


class _Colours:
    """A method without weights: the map is the red channel, the class the strongest channel."""

    parts = {}
    trainable_variables = {}

    def predict(self, images):
        strongest = tf.reduce_mean(images, axis=(1, 2)) / 25.0
        return {"activation_map": tf.image.resize(images[..., :1] / 255.0, [8, 8]), "logits": strongest}


class _Gate(tf.saved_model.experimental.TrackableResource):
    """Keeps a version loading until its file assets/gate says `open`."""

    def __init__(self, asset):
        super().__init__()
        self._asset = asset

    def _create_resource(self):
        return tf.raw_ops.VarHandleOp(dtype=tf.bool, shape=[], shared_name="gate")

    def _initialize(self):
        end = tf.timestamp() + _LONGEST_WAIT

        def is_closed(now):
            # The name depends on the clock, so that no optimizer reads the file only once.
            nothing = tf.strings.substr(tf.strings.as_string(now), 0, 0)
            content = tf.io.read_file(tf.strings.join([self._asset.asset_path, nothing]))
            return tf.logical_and(now < end, content != "open")

        tf.while_loop(is_closed, lambda now: [tf.timestamp()], [tf.timestamp()])

    def _destroy_resource(self):
        """Has nothing to free."""


def write(path, *, offset=0.0, gate=None):
    """Saves a version into the folder `path`.

    Args:
      path: the version's folder.
      offset: what `total` of the signature `numbers` has on top, to tell versions apart.
      gate: a file called gate: loading lasts until its copy in the version's folder says `open` (see `open_gate`).
        Such a version has two signatures only, image_tensor and numbers: it is written and loaded sooner.
    """
    options = {"resize": 36, "crop": 32, "threshold": 0.5, "box_rule": "largest", "max_boxes": 2}
    module = localizer.Localizer(_Colours(), CLASS_NAMES, **options)
    module.others = tiny_export.TinyExport(offset)
    if gate is not None:
        module.gate_file = tf.saved_model.Asset(str(gate))  # the module's own: only then is its path kept up to date
        module.gate = _Gate(module.gate_file)
    signatures = {**saved_model._signatures(module), **{name: getattr(module.others, name) for name in _OTHERS}}
    if gate is not None:
        signatures = {name: signatures[name] for name in ("image_tensor", "numbers")}
    tf.saved_model.save(module, str(path), signatures=signatures)


def open_gate(path):
    """Lets the version in the folder `path` finish loading."""
    (pathlib.Path(path) / "assets" / "gate").write_text("open")

"""ImageNet with boxes, from its unpacked archives, with VGG16: the paper's setting (section 4.1), for several GPUs.

  python -m ornet_tf.datasets check --config=configs/imagenet_folders.py
  python -m ornet_tf.train --config=configs/imagenet_folders.py --workdir=runs/imagenet

The paths are those of Kaggle's archive, unpacked in the current folder; --config.dataset.options.root, .boxes,
.val_labels and .synsets change them. --config.dataset.options.validation_per_class=10
--config.evaluation.threshold_split=validation hold out ten training images of each class to choose thresholds.

As in the paper, the evaluator is a public VGG16 with its own fully connected head, which is not trained (0 epochs):
here that of Keras, whose published class errors are not quite the paper's (docs/training.md). Stage one starts from the
same weights. Keras downloads them (vgg16_weights_tf_dim_ordering_tf_kernels.h5, 553 MB);
--config.backbone.options.weights=FILE reads that file instead. The data must have the 1,000 classes in the ascending
order of their synset ids. CAM needs another head, so Grad-CAM takes its place.

Stage one trains for 5 epochs and stage two for 3, at batch size 256. That is 1,078 PFLOP, or 19 hours of a V100 at its
float32 peak (benchmarks/README.md). This configuration has not been run here.
"""
from ml_collections import ConfigDict

from ornet_tf import config as ornet


def get_config() -> ConfigDict:
    """Returns the experiment."""
    config = ornet.default()
    options = {
        "root": "ILSVRC/Data/CLS-LOC",
        "boxes": "ILSVRC/Annotations/CLS-LOC",
        "val_labels": "LOC_val_solution.csv",
        "synsets": "LOC_synset_mapping.txt",
        "validation_per_class": 0,
    }
    config.dataset = ConfigDict({"name": "imagenet", "options": options})
    config.backbone.options.head = "fully_connected"
    config.phase.evaluator.epochs = 0.0  # keeps the public weights
    config.phase.stage_one.update({"epochs": 5.0, "batch_size": 256, "learning_rate": 1e-3})
    config.phase.stage_two.update({"epochs": 3.0, "batch_size": 256, "learning_rate": 1e-4})
    config.evaluation.report_rows = ("centre_box", "mean_features", "grad_cam", "stage_one", "stage_two")
    return config

"""ImageNet with VGG16: the paper's setting (section 4.1), for several GPUs.

  python -m ornet_tf.train --config=configs/imagenet.py --workdir=runs/imagenet

Prepare imagenet2012 with TFDS first; its images are then unpacked to files once. TFDS has no boxes for ImageNet, so an
evaluation measures classification only; configs/imagenet_folders.py has boxes and describes the method.
"""
from ml_collections import ConfigDict

from configs import imagenet_folders


def get_config() -> ConfigDict:
    """Returns the experiment."""
    config = imagenet_folders.get_config()
    splits = {"train": "train", "validation": "validation", "test": "validation"}
    config.dataset = ConfigDict({"name": "tfds", "options": {"name": "imagenet2012", "data_dir": "", "splits": splits}})
    return config

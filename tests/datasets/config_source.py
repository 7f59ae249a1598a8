"""Loads a split as the scripts do: by a file of configs/, with paths of a test."""
import importlib.util

from ornet_tf.data import loading
from tests import source_tree


def load(name, split, **options):
    """Returns the source of a split of configs/<name>.py; `options` replace options of the data set.

    Paths are converted to text, as on the command line.
    """
    from ornet_tf import config_check

    spec = importlib.util.spec_from_file_location(name, source_tree.ROOT / "configs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = module.get_config()
    config.dataset.options.update({key: v if isinstance(v, (int, bool)) else str(v) for key, v in options.items()})
    config_check.validate(config)
    return loading.load_source(config, split)

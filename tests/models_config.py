"""A models.config of one model, as TensorFlow Serving reads it."""
import pathlib


def write(path, versions, **labels):
    """Writes the versions that are held and the labels that point at them."""
    held = " ".join(f"versions: {version}" for version in versions)
    pointed = " ".join(f'version_labels {{ key: "{key}" value: {value} }}' for key, value in labels.items())
    policy = f"model_version_policy {{ specific {{ {held} }} }}"
    pathlib.Path(path).write_text(f'model_config_list {{ config {{ name: "ornet" {policy} {pointed} }} }}')

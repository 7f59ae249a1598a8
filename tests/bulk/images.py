"""Images, shards and jobs for tests of bulk localization."""
import io
import tarfile

import numpy as np
import pyarrow
import tensorflow as tf
from PIL import Image
from pyarrow import parquet

from ornet_tf.bulk import columns, export_version, inputs, output_folder, plan, worker


def png(number):
    """Returns a small PNG with a red or green rectangle, every fifth without."""
    pixels = np.zeros([20 + number % 3, 30, 3], np.uint8)
    if number % 5:
        pixels[number % 9 : number % 9 + 7, number % 11 : number % 11 + 9, number % 2] = 255
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def write_folder(folder, count):
    """Writes images, of which number 3 is no image and number 4 is empty; returns their paths in order."""
    folder.mkdir(parents=True)
    paths = [folder / f"{number:05d}.png" for number in range(count)]
    for number, path in enumerate(paths):
        path.write_bytes({3: b"no image", 4: b""}.get(number, png(number)))
    return [str(path) for path in paths]


def write_tar(path, members):
    """Writes a tar file of (name, content) pairs."""
    with tarfile.open(path, "w") as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))


def damaged_gzip(content, damage):
    """Returns a gzip file with one of four kinds of damage: in its middle, or in the checksum at its end."""
    middle = len(content) // 2
    return {
        "truncated": content[:middle],
        "no trailer": content[:-8],
        "overwritten": content[:middle] + np.random.default_rng(0).bytes(len(content) - middle),
        "trailer": content[:-8] + bytes(8),
    }[damage]


def write_tfrecord(path, examples, **options):
    """Writes a TFRecord file of examples: dictionaries of bytes, or bytes as they are."""
    with tf.io.TFRecordWriter(str(path), **options) as writer:
        for example in examples:
            writer.write(example if isinstance(example, bytes) else _example(example))


def _example(features):
    values = {name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[v])) for name, v in features.items()}
    return tf.train.Example(features=tf.train.Features(feature=values)).SerializeToString()


def write_parquet(path, columns, row_group_size):
    """Writes a Parquet file of columns."""
    parquet.write_table(pyarrow.table(columns), path, row_group_size=row_group_size)


def make_plan(text, *, part_size=4, model_version="7@0", image_field="", key_field="", max_bytes=1000):
    """Returns the plan for an input, and what was found."""
    found = inputs.find(str(text), part_size)
    made = plan.Plan(
        str(text), found.kind, found.digest, model_version, part_size, image_field, key_field, max_bytes, found.parts
    )
    return made, found


def make_job(text, output, export, **options):
    """Returns a job whose plan is stored in the folder `output`."""
    folder = output_folder.OutputFolder(str(output))
    folder.create()
    made, found = make_plan(text, model_version=export_version.read(export), **options)
    plan.store(made, found.files, folder)
    return worker.Job(made, str(export), folder, batch_size=3, threads=1)


def expected_table(model, paths, model_version):
    """Returns the table of image files that a single process makes with `ornet_tf.load(...).localize`."""
    results = []
    for path, found in zip(paths, model.localize(paths)):
        results.append(columns.Result(path, path, found, "unsupported" if found.status else "ok", found.status))
    return columns.table(results, model_version)


def read_output(folder):
    """Returns the rows of all shards, in the order of the parts."""
    shards = sorted((folder / output_folder.DETECTIONS).iterdir())
    return pyarrow.concat_tables([parquet.read_table(path) for path in shards]).replace_schema_metadata(None)

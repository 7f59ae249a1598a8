"""What a prediction has written."""
import json
import pathlib

from ornet_tf.inference import prediction


def list_of(workdir):
    path = pathlib.Path(workdir) / "predictions" / "predictions.json"
    return json.loads(path.read_text(encoding="ascii"))


def predicted(config, workdir, inputs):
    count, failed = prediction.predict(config, workdir, inputs)
    results = list_of(workdir)
    assert len(results) == count
    return results, failed

import numpy as np
import tensorflow as tf

from ornet_tf.inference import labelled_method


class Method:
    """A method whose map is its label."""

    parts = {"a": "part"}

    def predict_with_labels(self, images, labels):
        return {"activation_map": tf.cast(labels, images.dtype)[:, tf.newaxis, tf.newaxis, tf.newaxis] + 0 * images}


def test_a_prediction_is_that_of_the_given_classes_and_else_of_the_first_one():
    given = labelled_method.GivenClasses()
    method = labelled_method.LabelledMethod(Method(), given)
    assert method.parts == Method.parts

    @tf.function
    def predict(images, classes):
        with given.of_batch(classes):
            return method.predict(images)["activation_map"]

    images = tf.zeros([3, 1, 1, 1])
    for classes in ([2, 0, 1], [1, 1, 2]):
        np.testing.assert_array_equal(predict(images, tf.constant(classes))[:, 0, 0, 0], classes)
    assert not method.predict(images)["activation_map"].numpy().any()

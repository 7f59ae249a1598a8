"""Trains the phases of an experiment in order. The same command resumes an interrupted run.

  python -m ornet_tf.train --config=configs/toybirds.py --workdir=runs/toybirds
"""
from __future__ import annotations

from absl import flags, logging
from ml_collections import ConfigDict

from ornet_tf import app
from ornet_tf.runs import interruption


def main(config: ConfigDict, workdir: str, *, allow_changed_settings: bool, profile: bool) -> None:
    """Trains every phase of the configuration that is not finished."""
    from ornet_tf.training import phases  # late, as importing TensorFlow takes seconds

    phases.train(config, workdir, allow_changed_settings=allow_changed_settings, profile=profile)
    logging.info("All phases are trained. TensorBoard: tensorboard --logdir=%s", workdir)


if __name__ == "__main__":
    app.run(
        main,
        when_ended=interruption.RESUMES,
        options={
            "workdir": app.WORKDIR,
            "allow_changed_settings": flags.DEFINE_bool(
                "allow_changed_settings",
                False,
                "Resume the run even if the configuration has changed since it was started.",
            ),
            "profile": flags.DEFINE_bool(
                "profile", False, "Profile the second window of steps of each phase for TensorBoard."
            ),
        },
    )

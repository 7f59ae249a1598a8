"""The door of every script: the flags --config and --workdir, logging, seeds, devices."""
from __future__ import annotations

import os
import re
import sys
from typing import Callable

import tensorflow as tf
from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

from ornet_tf import interruption, registry
from ornet_tf.compat import keras
from ornet_tf.config_check import validate
from ornet_tf.datasets import SPLITS

_CONFIG = config_flags.DEFINE_config_file(
    "config", None, "The experiment: a Python file with get_config(). --config.a.b=value replaces one value of it."
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run: checkpoints, logs and results live in it.")

_CONFIG_FLAGS = ("--config", "-config")
# What ml_collections makes of a mistyped --config.a.b=value.
_OF_NAMES = (AttributeError, LookupError, TypeError, ValueError)

UserError = (ValueError, TypeError, OSError, FloatingPointError, tf.errors.OpError)


def run(
    main: Callable[..., None],
    *,
    takes_files: bool = False,
    trains: bool = False,
    exports: bool = False,
    checks: bool = False,
    reproduces: bool = False,
) -> None:
    """Parses the flags and calls `main(config, workdir)`.

    What a user can mend (a wrong option, a missing or broken file, a full disk) ends in one sentence on standard error
    and exit status 1; the traceback comes with --verbosity=1. A run that a signal ended has exit status 75.

    Args:
      main: what the program does.
      takes_files: whether the arguments after the flags are handed on: `main(config, workdir, files)`.
      trains: whether the flags of training are there: `main(config, workdir, profile=..., allow_changed_settings=...)`.
      exports: whether the flag of exporting is there: `main(config, workdir, keep=...)`.
      checks: whether the flags of checking data are there, and no --workdir: `main(config, split=..., duplicates=...,
        headers_only=..., json=...)`.
      reproduces: whether the flags of studies are there: `main(config, workdir, what=..., seeds=...)`.
    """
    of_program = _define(trains=trains, exports=exports, checks=checks, reproduces=reproduces)
    places = {} if checks else {"workdir": _WORKDIR}

    def start(argv):
        if len(argv) > 1 and not takes_files:
            raise app.UsageError(f"Unexpected argument {argv[1]!r}; options look like --config=FILE.")
        logging.set_stderrthreshold("info")
        # TensorFlow logs two timings at every checkpoint, at the level of our own messages.
        logging.get_absl_handler().addFilter(lambda record: record.module != "functional_saver")
        try:
            with interruption.listen():
                config = _CONFIG.value
                validate(config)
                prepare(config)
                options = {name: flag.value for name, flag in of_program.items()}
                folders = [os.path.abspath(place.value) for place in places.values()]
                main(config, *folders, *([argv[1:]] if takes_files else []), **options)
        except interruption.Interrupted as ended:
            logging.debug("The error in full:", exc_info=True)
            sys.stderr.write(f"\n{ended}\n")
            sys.exit(interruption.EXIT_CODE)
        except UserError as error:
            logging.debug("The error in full:", exc_info=True)
            message = error.message if isinstance(error, tf.errors.OpError) else str(error)
            sys.stderr.write(f"Error: {message}\n")
            sys.exit(1)

    flags.mark_flags_as_required(["config", *places, *(["what"] if reproduces else [])])
    app.run(start, argv=with_installed_config(sys.argv), flags_parser=_parse)


def _define(*, trains: bool, exports: bool, checks: bool, reproduces: bool) -> dict[str, flags.FlagHolder]:
    """Defines the flags that a program has of its own; see `run`."""
    of_program = {}
    if trains:
        of_program["allow_changed_settings"] = flags.DEFINE_bool(
            "allow_changed_settings", False, "Go on with a run although the configuration has changed since its start."
        )
        of_program["profile"] = flags.DEFINE_bool(
            "profile", False, "Record the second loop of steps of each phase for TensorBoard's profiler."
        )
    if exports:
        of_program["keep"] = flags.DEFINE_integer(
            "keep", None, "How many versions stay, the new one among them; without it, all.", lower_bound=1
        )
    if checks:
        of_program["split"] = flags.DEFINE_enum("split", None, SPLITS, "The split to look at; without it, all.")
        of_program["duplicates"] = flags.DEFINE_bool(
            "duplicates", False, "Also look for pictures that are in several splits, by the content of their files."
        )
        of_program["headers_only"] = flags.DEFINE_bool(
            "headers_only", False, "Read sizes from the headers: faster, but pictures that break off are not found."
        )
        of_program["json"] = flags.DEFINE_bool("json", False, "Write the report as JSON.")
    if reproduces:
        of_program["what"] = flags.DEFINE_list(
            "what", None, "Tables and figures, by their file names in ornet_tf/studies, separated by commas, or `all`."
        )
        of_program["seeds"] = flags.DEFINE_list("seeds", None, "Seeds, separated by commas; without it, config.seed.")
    return of_program


def _parse(argv: list[str]) -> list[str]:
    """Parses the flags; a value that the configuration does not have is answered in a sentence."""
    try:
        return app.parse_flags_with_usage(argv)
    except OSError as error:  # there is no --config file that a value could be replaced in
        sys.stderr.write(f"Error: {error}\n")
        sys.exit(1)
    except _OF_NAMES:
        argv = flags.FLAGS.read_flags_from_files(argv, force_gnu=False)
        config = _config_of_file(argv)
        message = mistyped(argv, config) if config else ""
        if not message:  # it is the --config file that fails
            raise
        logging.debug("The error in full:", exc_info=True)
        sys.stderr.write(f"Error: {message}\n")
        sys.exit(1)


def _config_of_file(argv: list[str]) -> ConfigDict:
    """Returns what the --config file alone gives; empty where it fails."""
    path = ""
    for argument, following in zip(argv, [*argv[1:], ""]):
        flag, equals, value = argument.partition("=")
        if flag in _CONFIG_FLAGS:
            path = value if equals else following
    try:
        return flags.FLAGS[_CONFIG.name].parser.parse(path)
    except _OF_NAMES:
        return ConfigDict()


def mistyped(argv: list[str], config: ConfigDict) -> str:
    """Returns a sentence about the first --config.a.b=value whose name a configuration does not have, or ""."""
    for argument in argv:
        name = re.match(rf"--?(?:no)?{_CONFIG.name}\.([^=]*)", argument)
        level, where = config, _CONFIG.name
        for key in name.group(1).split(".") if name else ():
            key, _, index = key.partition("[")
            if not isinstance(level, ConfigDict) or key not in level:
                has = f"has {', '.join(level) or 'nothing'}" if isinstance(level, ConfigDict) else f"is {level!r}"
                hint = registry.did_you_mean(key, level) if isinstance(level, ConfigDict) else ""
                return f"{argument}: the configuration has no such value; {where} {has}.{hint}"
            level, where = level[key], f"{where}.{key}"
            if index:  # what is in a tuple has no names, and can't be replaced
                return f"{argument}: the values of {where} are replaced all at once; it is {level!r}."
    return ""


def with_installed_config(argv: list[str]) -> list[str]:
    """Returns the command line in which a --config that is not below this folder is the one installed with us.

    So `--config=configs/toybirds.py` works from any folder after `pip install`.
    """
    beside = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

    def located(path: str) -> str:
        installed = os.path.join(beside, path)
        return installed if path and not os.path.exists(path) and os.path.isfile(installed) else path

    found = []
    for previous, argument in zip(["", *argv], argv):
        flag, equals, path = argument.partition("=")
        if previous in _CONFIG_FLAGS:
            argument = located(argument)
        elif flag in _CONFIG_FLAGS and equals:
            argument = f"{flag}={located(path)}"
        found.append(argument)
    return found


def prepare(config: ConfigDict) -> None:
    """Seeds everything that draws random numbers and logs what the run computes on."""
    keras.utils.set_random_seed(config.seed)
    for device in tf.config.list_physical_devices("GPU"):
        tf.config.experimental.set_memory_growth(device, True)
    onednn = os.environ.get("TF_ENABLE_ONEDNN_OPTS")
    # Of the machine: asking for logical ones would start TensorFlow, after which no cluster can be joined.
    devices = tf.config.list_physical_devices("GPU") or tf.config.list_physical_devices("CPU")
    logging.info(
        "TensorFlow %s, Keras %s, %s (TF_ENABLE_ONEDNN_OPTS=%s).",
        tf.__version__, keras.__version__, ", ".join(d.name for d in devices), onednn,
    )

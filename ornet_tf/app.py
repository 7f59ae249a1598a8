"""The shared entry point of all scripts: the flags --config and --workdir, logging, seeds, devices, errors."""
from __future__ import annotations

import errno
import os
import re
import sys
from collections.abc import Callable, Mapping

import tensorflow as tf
from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

from ornet_tf import paths, registry
from ornet_tf.compat import keras
from ornet_tf.config_check import validate
from ornet_tf.data import decoding
from ornet_tf.errors import UserError
from ornet_tf.runs import interruption

_CONFIG = config_flags.DEFINE_config_file(
    "config",
    None,
    "The experiment: a Python file with get_config(), such as configs/toybirds.py. --config.a.b=value replaces one "
    "value of it. ornet_tf/config.py documents all options; the options of a plug-in stand in its own file.",
)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder of the run: checkpoints, logs and results live in it.")

_CONFIG_FLAGS = ("--config", "-config")
# What ml_collections makes of a mistyped --config.a.b=value.
_OF_NAMES = (AttributeError, LookupError, TypeError, ValueError)

# TensorFlow's errors about damaged records, and about hosts that do not answer.
_OF_ENVIRONMENT = (
    tf.errors.DataLossError, tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.DeadlineExceededError,
    tf.errors.CancelledError,
)
# How its messages end that pass on an error of the system: "runs/x; No such file or directory".
_OF_SYSTEM = tuple(f"; {os.strerror(number)}" for number in errno.errorcode)


def run(
    main: Callable[..., None],
    *,
    takes_files: bool = False,
    takes_workdir: bool = True,
    options: Mapping[str, flags.FlagHolder] | None = None,
    when_ended: str = interruption.ANEW,
) -> None:
    """Parses the flags and calls `main(config, workdir)`.

    What a user can mend (a wrong option, a missing or broken file, a full disk) ends in one sentence on standard error
    and exit status 1; its traceback comes with --verbosity=1. Other errors are bugs and end with their traceback. A run
    that a signal ended has exit status 75.

    Args:
      main: what the program does.
      takes_files: whether the arguments after the flags are handed on: `main(config, workdir, files)`.
      takes_workdir: whether there is --workdir; without it, `main(config)`.
      options: the flags that the program has of its own, by the name of the keyword that `main` takes.
      when_ended: the end of the sentence about a signal: what is there, and what the same command would do.
    """
    options = options or {}
    places = {_WORKDIR.name: _WORKDIR} if takes_workdir else {}

    def start(argv):
        if len(argv) > 1 and not takes_files:
            raise app.UsageError(f"Unexpected argument {argv[1]!r}; options look like --config=FILE.")
        logging.set_stderrthreshold("info")
        # TensorFlow logs two timings at every checkpoint, at the level of our own messages.
        logging.get_absl_handler().addFilter(lambda record: record.module != "functional_saver")
        try:
            with interruption.listen(when_ended):
                folders = [os.fspath(paths.local(place.value, f"--{name}")) for name, place in places.items()]
                config = _CONFIG.value
                validate(config)
                prepare(config)
                values = {name: flag.value for name, flag in options.items()}
                main(config, *folders, *([argv[1:]] if takes_files else []), **values)
        except interruption.Interrupted as ended:
            logging.debug("The error in full:", exc_info=True)
            sys.stderr.write(f"\n{ended}\n")
            sys.exit(interruption.EXIT_CODE)
        except Exception as error:
            message = for_user(error)
            if not message:
                raise
            logging.debug("The error in full:", exc_info=True)
            sys.stderr.write(f"Error: {message}\n")
            sys.exit(1)

    flags.mark_flags_as_required([_CONFIG.name, *places])
    # --help lists what is a key flag of the module that was started.
    for name in (_CONFIG.name, *places, *(flag.name for flag in options.values())):
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS[name])
    app.run(start, argv=with_installed_config(sys.argv), flags_parser=_parse)


def for_user(error: Exception) -> str:
    """Returns what a user is told about an error, or "" if it is a bug of this code.

    A full disk, a missing file, memory that does not suffice and hosts that are gone can reach a program as errors of
    the system or of TensorFlow. TensorFlow's other errors, such as those about shapes, are bugs.
    """
    while hasattr(error, "ag_error_metadata") and isinstance(error.__context__, UserError):
        error = error.__context__  # as it was raised: each function that AutoGraph converts adds lines of code to it
    if isinstance(error, (UserError, OSError)):
        return str(error)
    if isinstance(error, tf.errors.OpError):
        if decoding.is_refusal(error):
            reason = decoding.refusal_reason(error)
            return f"An image can't be used: {reason}. It has changed since the images were checked."
        if isinstance(error, tf.errors.ResourceExhaustedError):
            return f"Memory or disk does not suffice: {error.message}"
        if isinstance(error, _OF_ENVIRONMENT) or error.message.endswith(_OF_SYSTEM):
            return error.message
    return ""


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

"""The shared entry point of all programs: the flags --config and --workdir, logging, errors.

TensorFlow, whose import takes seconds, is imported when the flags are parsed. So `main` of a program imports its own
work itself.
"""
from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from absl import app, flags, logging
from ml_collections import ConfigDict, config_flags

from ornet_tf import paths, registry
from ornet_tf.errors import UserError
from ornet_tf.runs import interruption

_CONFIG = config_flags.DEFINE_config_file(
    "config",
    None,
    "The experiment: a Python file with get_config(), such as configs/toybirds.py. --config.a.b=value replaces one "
    "value. ornet_tf/config.py documents all options; a plug-in's file documents its own options.",
)
# The programs that have a workdir pass this flag to `run`.
WORKDIR = flags.DEFINE_string("workdir", None, "The folder of the run, with its checkpoints, logs and results.")

_CONFIG_FLAGS = ("--config", "-config")
# Raised by ml_collections for a mistyped --config.a.b=value.
_NAME_ERRORS = (AttributeError, LookupError, TypeError, ValueError)


def run(
    main: Callable[..., None],
    *,
    options: Mapping[str, flags.FlagHolder],
    arguments: str = "",
    when_ended: str = interruption.STARTS_OVER,
) -> None:
    """Parses the flags and calls `main(config, **options)`.

    An error that the user can fix (a wrong option, a missing or broken file, a full disk) is reported in one sentence
    on standard error, with exit status 1; --verbosity=1 adds the traceback. Other errors are bugs and show their
    traceback. A program that a signal stops has exit status 75.

    Args:
      main: the function of the program.
      options: the program's flags except --config, by the keyword of `main` that takes the value.
      arguments: the keyword of `main` that takes the arguments after the flags; "" for a program without arguments.
      when_ended: the end of the sentence about a signal: what is saved, and what the same command would do.
    """

    def start(argv):
        if len(argv) > 1 and not arguments:
            raise app.UsageError(f"Unexpected argument {argv[1]!r}; options look like --config=FILE.")
        logging.set_stderrthreshold("info")
        # TensorFlow logs two timings for each checkpoint, at the level of our messages.
        logging.get_absl_handler().addFilter(lambda record: record.module != "functional_saver")
        try:
            config = _CONFIG.value
            hasattr(config, "seed")  # raises the error of a missing file
            values = {name: _value(flag) for name, flag in options.items()}
        except (UserError, OSError) as error:
            _fail(str(error))
        # Late, as importing TensorFlow takes seconds. A signal in that time ends the program at once.
        from ornet_tf import program

        try:
            with interruption.listen(when_ended):
                program.prepare(config)
                main(config, **values, **({arguments: argv[1:]} if arguments else {}))
        except interruption.Interrupted as ended:
            logging.debug("The error in full:", exc_info=True)
            sys.stderr.write(f"\n{ended}\n")
            sys.exit(interruption.EXIT_CODE)
        except Exception as error:
            message = program.user_message(error)
            if not message:
                raise
            _fail(message)

    flags.mark_flags_as_required([_CONFIG.name, *(flag.name for flag in options.values() if flag is WORKDIR)])
    # --help lists the key flags of the started module.
    for name in (_CONFIG.name, *(flag.name for flag in options.values())):
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flags.FLAGS[name])
    app.run(start, argv=use_installed_config(sys.argv), flags_parser=_parse)


def _value(flag: flags.FlagHolder) -> Any:
    """Returns the value of a flag; --workdir becomes an absolute path.

    Raises:
      UserError: if --workdir is not a path on this machine.
    """
    return os.fspath(paths.local(flag.value, f"--{flag.name}")) if flag is WORKDIR else flag.value


def _fail(message: str) -> NoReturn:
    """Ends the program with one sentence about the error that is handled."""
    logging.debug("The error in full:", exc_info=True)
    sys.stderr.write(f"Error: {message}\n")
    sys.exit(1)


def _parse(argv: list[str]) -> list[str]:
    """Parses the flags and reports an unknown --config.a.b=value in one sentence."""
    try:
        return app.parse_flags_with_usage(argv)
    except OSError as error:  # the --config file is missing
        _fail(str(error))
    except _NAME_ERRORS:
        argv = flags.FLAGS.read_flags_from_files(argv, force_gnu=False)
        config = _read_config_file(argv)
        message = explain_unknown_option(argv, config) if config else ""
        if not message:  # the --config file itself fails
            raise
        _fail(message)


def _read_config_file(argv: list[str]) -> ConfigDict:
    """Returns the configuration in the --config file without replaced values, or an empty one if the file fails."""
    path = ""
    for argument, following in zip(argv, [*argv[1:], ""]):
        flag, equals, value = argument.partition("=")
        if flag in _CONFIG_FLAGS:
            path = value if equals else following
    try:
        return flags.FLAGS[_CONFIG.name].parser.parse(path)
    except _NAME_ERRORS:
        return ConfigDict()


def explain_unknown_option(argv: list[str], config: ConfigDict) -> str:
    """Returns a message about the first --config.a.b=value whose name is not in the configuration, or ""."""
    for argument in argv:
        name = re.match(rf"--?(?:no)?{_CONFIG.name}\.([^=]*)", argument)
        level, where = config, _CONFIG.name
        for key in name.group(1).split(".") if name else ():
            key, _, index = key.partition("[")
            if not isinstance(level, ConfigDict) or key not in level:
                has = f"has {', '.join(level) or 'nothing'}" if isinstance(level, ConfigDict) else f"is {level!r}"
                hint = registry.did_you_mean(key, level) if isinstance(level, ConfigDict) else ""
                return f"{argument}: unknown option; {where} {has}.{hint}"
            level, where = level[key], f"{where}.{key}"
            if index:
                return f"{argument}: expected all values of {where} at once; now it is {level!r}."
    return ""


def use_installed_config(argv: list[str]) -> list[str]:
    """Returns the command line with a missing --config file replaced by the one that was installed with the package.

    So `--config=configs/toybirds.py` works from any folder after `pip install`.
    """
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

    def locate(path: str) -> str:
        installed = os.path.join(root, path)
        return installed if path and not os.path.exists(path) and os.path.isfile(installed) else path

    arguments = []
    for previous, argument in zip(["", *argv], argv):
        flag, equals, path = argument.partition("=")
        if previous in _CONFIG_FLAGS:
            argument = locate(argument)
        elif flag in _CONFIG_FLAGS and equals:
            argument = f"{flag}={locate(path)}"
        arguments.append(argument)
    return arguments

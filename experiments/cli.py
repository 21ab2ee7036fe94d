"""The code that all commands share: flags in; one sentence and exit code 2 for a mistake.

Nothing here imports jax. So `--help` and mistakes in flags are answered at once, and Ctrl-C during
the import of jax causes no traceback.
"""

import contextlib
import functools
import hashlib
import io
import os
import platform
import re
import signal
import sys
import threading
import typing
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from absl import flags, logging

from experiments.messages import fail, stopped
from samplernn_jax.jobs.options import base
from samplernn_jax.jobs.options.processes import ProcessOptions

flags.disclaim_key_flags()  # the flags that are defined here belong to the commands

OptionsT = TypeVar("OptionsT", bound=base.Options)
T = TypeVar("T")

Define = Callable[[flags.FlagValues, list[str]], Callable[[], T]]
"""Defines flags for a whole command line, and returns a function that reads them."""

_PLAIN = (
    (r"invalid literal for int\(\) with base 10: .*", "must be a whole number"),
    (r"could not convert string to float: .*", "must be a number"),
    (r"\('Non-boolean argument to boolean flag', .*\)", "must be true or false"),
)
"""Messages of Python and absl about a value, and their wording here."""


def main(
    argv: Sequence[str] | None,
    usage: str | None,
    define: Define[T],
    act: Callable[[T], None],
    together: bool = False,
) -> int:
    """Runs a command in this process; may be called any number of times.

    Args:
        argv: the flags; None for those of this process.
        usage: printed by --help above the flags; the docstring of the command's module.
        define: see `Define`, such as `options`.
        act: the command, a function of the flags' values; a ValueError or OSError that it raises
            is printed without a traceback.
        together: whether several processes may run the command together.

    Returns:
        The exit code.
    """
    arguments = [sys.argv[0], *(sys.argv[1:] if argv is None else argv)]
    try:
        values = flags.FlagValues()
        read_processes = options(ProcessOptions)(values, arguments) if together else ProcessOptions
        read = define(values, arguments)
        if asks_for_help(arguments):  # before absl asks for required flags
            help = values.get_help(include_special_flags=False)
            print((usage or "").strip(), "\n\nFlags:", help, sep="\n")
            return 0
        _parse(values, arguments)
        processes = read_processes()
        if processes.coordinator is None:  # otherwise the other processes must learn of mistakes
            read = functools.partial(_itself, read())
        from experiments import running  # here, as it imports jax

        return running.run(lambda: act(read()), processes)
    except (flags.Error, ValueError) as error:
        return fail(str(error))
    except KeyboardInterrupt:
        return stopped()


def asks_for_help(arguments: list[str]) -> bool:
    """Returns whether a command line asks for --help."""
    return not {"--help", "-h"}.isdisjoint(arguments)


def _itself(value: T) -> T:
    return value


def run(command: Callable[[], int]) -> NoReturn:
    """Runs the `main` of a command as this process, and exits with its code."""
    _prepare_streams()
    sys.unraisablehook = _send_again
    _keep_compiled_programs()
    logging.set_verbosity(logging.FATAL)  # orbax logs a lot that users do not need
    sys.exit(command())


def options(kind: type[OptionsT]) -> Define[OptionsT]:
    """Returns the `Define` of an options dataclass, from its fields' names, rules and help."""

    def define(values: flags.FlagValues, arguments: list[str]) -> Callable[[], OptionsT]:
        del arguments
        types = typing.get_type_hints(kind)
        for field in base.fields(kind):
            _define_flag(values, field.name, types[field.name], field.default, field.metadata)
        return lambda: _read(kind, values)

    return define


def _define_flag(
    values: flags.FlagValues, name: str, kind: Any, default: Any, metadata: Any
) -> None:
    """Defines the absl flag for a field of an options dataclass."""
    rules: base.Rules = metadata["rules"]
    is_required = default is base.REQUIRED
    common: dict[str, Any] = {
        "name": name,
        "default": None if is_required else default,
        "help": rules.help,
        "flag_values": values,
        "required": is_required,
    }
    if isinstance(default, tuple):
        common["default"] = [base.as_text(x) for x in default]
    bounds = {"lower_bound": rules.least, "upper_bound": rules.most}
    if rules.choices is not None:
        flags.DEFINE_enum(**common, enum_values=rules.choices)
    elif base.is_numbers(kind):
        flags.DEFINE_list(**common)
    elif _is(kind, tuple[str, ...]):
        flags.DEFINE_multi_string(**common)
    elif _is(kind, bool):
        flags.DEFINE_boolean(**common)
    elif _is(kind, int):
        flags.DEFINE_integer(**common, **bounds)
    elif _is(kind, float):
        flags.DEFINE_float(**common, **bounds)
    else:
        flags.DEFINE_string(**common)


def _is(kind: Any, wanted: Any) -> bool:
    """Returns whether a type is the wanted one, possibly with None."""
    return kind == wanted or wanted in typing.get_args(kind)


def _read(kind: type[OptionsT], values: flags.FlagValues) -> OptionsT:
    """Returns the options that parsed flags give.

    Raises:
        ValueError: a flag breaks a rule.
    """
    names = [field.name for field in base.fields(kind)]
    types = typing.get_type_hints(kind)
    given = frozenset(name for name in names if values[name].present)
    return kind(given=given, **{name: _value(name, types[name], values) for name in names})


def _value(name: str, kind: Any, values: flags.FlagValues) -> Any:
    value = values[name].value
    if not isinstance(value, list):
        return value
    return base.as_numbers(name, value) if base.is_numbers(kind) else tuple(value)


def _parse(values: flags.FlagValues, arguments: list[str]) -> None:
    """Parses the command line.

    Raises:
        flags.Error: the user made a mistake; the message names it.
    """
    try:
        with config_mistakes():
            rest = values(arguments)
    except flags.IllegalFlagValueError as error:
        missing = re.findall(r"Flag (--\w+) must have a value other than None", str(error))
        if missing:
            raise flags.Error(f"{' and '.join(missing)} must be given; see --help") from error
        raise flags.Error(_plain(str(error))) from error
    if len(rest) > 1:
        raise flags.Error(f"{rest[1]!r}: is not a flag; see --help")


def _plain(message: str) -> str:
    for pattern, words in _PLAIN:
        message = re.sub(pattern, words, message)
    choices = re.search(r"value should be one of <(.*)>", message)
    if choices is None:
        return message
    return message.replace(choices[0], f"must be one of {choices[1].replace('|', ', ')}")


@contextlib.contextmanager
def config_mistakes() -> Iterator[None]:
    """Words the errors of ml_collections about --config flags.

    Raises:
        flags.Error: ml_collections refuses a flag.
    """
    try:
        yield
    except flags.Error:
        raise
    except (AttributeError, KeyError) as error:
        reason = str(error.args[0]).replace("\\n", " ").replace("\\'", "'").strip("\"'")
        raise flags.Error(f"--config: there is no such field, {reason}") from error
    except (TypeError, ValueError, IndexError) as error:
        reason, *no_name = str(error).split(": SyntaxError(")
        more = " as the name of a field" if no_name else ""
        raise flags.Error(f"--config: {reason}{more}") from error


def _send_again(unraisable: "sys.UnraisableHookArgs") -> None:
    """Repeats a Ctrl-C that came where Python drops exceptions, as in jax's callback of the GC."""
    if not issubclass(unraisable.exc_type, KeyboardInterrupt):
        sys.__unraisablehook__(unraisable)
        return
    # Later, as Python drops what is raised here too.
    again = threading.Timer(0.05, os.kill, [os.getpid(), signal.SIGINT])
    again.daemon = True
    again.start()


def _prepare_streams() -> None:
    """Makes sure that printing works; a stream that was closed at the start is None."""
    if sys.stderr is None:
        sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    if sys.stdout is None:
        message = (
            "standard output is closed, but must be a terminal, a pipe or a file such as /dev/null"
        )
        sys.exit(fail(message))
    for stream in (sys.stdout, sys.stderr):  # file names may hold what a terminal cannot show
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _keep_compiled_programs() -> None:
    """Keeps compiled programs for the next process, unless the user has configured the cache."""
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # there is no home folder
        return
    folder = cache / "samplernn_jax" / f"compiled_{_kind_of_cpu()}"
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)


def _kind_of_cpu() -> str:
    """Distinguishes CPUs with different instructions, as hosts may share a home folder."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = [platform.platform()]
    features = next((line for line in lines if line.startswith(("flags", "Features"))), lines[0])
    return hashlib.sha256(features.encode()).hexdigest()[:8]

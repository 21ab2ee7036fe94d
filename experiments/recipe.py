"""The flag --config: a recipe, which is a program, and fields set on the command line."""

import sys
import traceback
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import ml_collections
from absl import flags
from ml_collections import config_flags

from experiments.cli import asks_for_help, config_mistakes

flags.disclaim_key_flags()  # the flag is the command's


class Recipe(NamedTuple):
    """A recipe, with the fields that were set on the command line.

    Attributes:
        name: the file's name, without its ending.
        values: the values of the configuration.
        given: the fields that were set on the command line, by names such as "model.dim".
    """

    name: str
    values: dict[str, Any]
    given: dict[str, Any]


def define(
    values: flags.FlagValues, arguments: list[str], default: Path, help: str
) -> Callable[[], Recipe]:
    """Defines the flag, and gives a function that reads it once it is parsed.

    Raises:
        flags.Error: the command line sets a field that the default recipe does not have.
    """
    with config_mistakes():
        holder = config_flags.DEFINE_config_file(
            "config", None, help, flag_values=values, sys_argv=arguments
        )
        flag = values[holder.name]
        flag.parser = _Parser()
        if asks_for_help(arguments):  # the default recipe, which may import jax, need not run
            flag.default_as_str = repr(str(default))
        else:
            values.set_default(holder.name, str(default))

    def read() -> Recipe:
        name = Path(flag.config_filename.split(":", 1)[0]).stem
        return Recipe(name, flag.value.to_dict(), config_flags.get_override_values(flag))

    return read


class _Parser(flags.ArgumentParser):
    """Runs a recipe, and reports a mistake in it with its line."""

    def parse(self, argument: str) -> ml_collections.ConfigDict:
        """Returns the result of the file's `get_config`, which gets the text after a colon.

        Raises:
            flags.Error: there is no such file, the program fails, or it returns something else.
        """
        file, *given = argument.split(":", 1)
        if not Path(file).is_file():
            what = (
                "must be" if Path(file).exists() or not file else "there is no such file; must be"
            )
            raise flags.Error(f"config={file}: {what} a recipe, such as the files in configs/")
        try:
            module = _run(file)
            if not hasattr(module, "get_config"):
                raise flags.Error(f"config={file}: must define get_config()")
            config = module.get_config(*given)
        except flags.Error:
            raise
        except (Exception, SystemExit) as error:
            raise flags.Error(f"config={_where_it_failed(error, file)}") from error
        if not isinstance(config, ml_collections.ConfigDict):
            kind = type(config).__name__
            raise flags.Error(
                f"config={file}: get_config() returns {kind}, but must return a ConfigDict"
            )
        config.lock()
        return config

    def flag_type(self) -> str:
        """The flag's type in --help."""
        return "config object"


def _run(file: str) -> types.ModuleType:
    """Runs a recipe and returns its module, which has the name "recipe" while it runs."""
    module = types.ModuleType("recipe")
    module.__file__ = file
    sys.modules[module.__name__] = module  # where dataclasses look for their module
    try:
        exec(compile(Path(file).read_bytes(), file, "exec"), module.__dict__)
    finally:
        del sys.modules[module.__name__]
    return module


def _where_it_failed(error: BaseException, file: str) -> str:
    """Returns the file, the line and the error of a recipe."""
    if isinstance(error, SyntaxError) and error.filename == file:
        return f"{file}, line {error.lineno}: {type(error).__name__}: {error.msg}"
    for frame, line in reversed([*traceback.walk_tb(error.__traceback__)]):
        if frame.f_code.co_filename == file:
            return f"{file}, line {line}: {type(error).__name__}: {error}"
    return f"{file}: {type(error).__name__}: {error}"

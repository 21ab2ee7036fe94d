"""What all commands share: flags in, one sentence and exit code 2 for what the user got wrong."""

import contextlib
import hashlib
import io
import os
import platform
import re
import sys
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import jax
import ml_collections
from absl import flags, logging

from samplernn_jax.devices import give_cpu_devices_threads
from samplernn_jax.interruption import Interrupted
from samplernn_jax.processes import end_all, is_first_process, leave
from samplernn_jax.storage import check_local


def run(main: Callable[[], None], usage: str) -> None:
    """Parses the command line and runs `main`.

    Args:
        main: the command; a ValueError or OSError that it raises is printed without a
            traceback.
        usage: printed by --help above the flags; the docstring of the command's module.
    """
    _prepare_streams()
    logging.set_verbosity(logging.FATAL)  # orbax tells much that no user asked for
    if not {"--help", "-h"}.isdisjoint(sys.argv):  # before absl asks for what is required
        print(usage.strip(), "\n\nFlags:", flags.FLAGS.main_module_help(), sep="\n")
        return
    try:
        _parse()
        _keep_compiled_programs()
        give_cpu_devices_threads()
        main()
        sys.stdout.flush()
    except OSError as error:
        if error.filename is None and not _can_print():
            _fail(f"standard output: cannot be written ({error.strerror})", error)
        _fail(f"{error.filename}: {error.strerror}" if error.filename else str(error), error)
    except ValueError as error:
        _fail(str(error), error)
    except Interrupted as interrupted:
        leave()
        if is_first_process():
            print(f"\n{interrupted}", file=sys.stderr)
        sys.exit(interrupted.exit_code)
    except KeyboardInterrupt as error:
        end_all(error, "it was stopped", 130)
        print("\nStopped.", file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        reason = f"{type(error).__name__}: {_one_line(str(error))}"
        end_all(error, reason, 1, with_traceback=True)
        raise
    leave()


def _prepare_streams() -> None:
    """Makes sure that what is printed can be written; a stream that was closed at start is None."""
    if sys.stderr is None:
        sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    if sys.stdout is None:
        _fail("standard output is closed, must be a terminal, a pipe or a file such as /dev/null")
    for stream in (sys.stdout, sys.stderr):  # names of files may hold what a terminal cannot show
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _can_print() -> bool:
    """Whether one more line can be printed; if not it is dropped, as Python tries again at exit."""
    try:
        print(flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return False
    return True


def _keep_compiled_programs() -> None:
    """Keeps what takes long to compile for the next time, unless the user has said where or not."""
    if "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    try:
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError:  # there is no home
        return
    jax.config.update(
        "jax_compilation_cache_dir", str(cache / "samplernn_jax" / f"compiled_{_kind_of_cpu()}")
    )


def _kind_of_cpu() -> str:
    """Tells CPUs with other instructions apart, as hosts may share a home."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = [platform.platform()]
    features = next((line for line in lines if line.startswith(("flags", "Features"))), lines[0])
    return hashlib.sha256(features.encode()).hexdigest()[:8]


def refuse_unless(condition: bool, why: str, *names: str) -> None:
    """Raises ValueError where one of the named flags is given, unless the condition holds."""
    for name in names:
        if flags.FLAGS[name].present and not condition:
            raise ValueError(f"{name}={flags.FLAGS[name].value}: {why}")


def check_paths(*names: str) -> None:
    """Raises ValueError where one of the named flags is given, and no path on this machine."""
    for name in names:
        value = flags.FLAGS[name].value
        for path in value if isinstance(value, list) else [value]:
            if path == "":
                raise ValueError(f"{name}='': must not be empty")
            if path is not None:
                check_local(name, path)


class RecipeParser(flags.ArgumentParser):
    """Runs a recipe, whose mistakes are told with their line: it is a program."""

    def __init__(self, parser: flags.ArgumentParser) -> None:
        """Wraps the parser of `config_flags`."""
        self._parser = parser

    def parse(self, path: str) -> ml_collections.ConfigDict:
        """What the `get_config` of the file gives.

        Raises:
            flags.Error: there is no such file, the program fails, or it gives something else.
        """
        file = path.split(":", 1)[0]
        if not Path(file).is_file():
            raise flags.Error(f"config={file}: must be a recipe, such as the files in configs/")
        try:
            config = self._parser.parse(path)
            getattr(config, "lock", None)  # raises an OSError that was put off
        except (Exception, SystemExit) as error:
            raise flags.Error(f"config={_where_it_failed(error, file)}") from error
        if not isinstance(config, ml_collections.ConfigDict):
            kind = type(config).__name__
            raise flags.Error(f"config={file}: get_config() returns {kind}, must return ConfigDict")
        return config


def _where_it_failed(error: BaseException, file: str) -> str:
    """The file, the line and the error of a recipe."""
    if isinstance(error, SyntaxError) and error.filename == file:
        return f"{file}, line {error.lineno}: {type(error).__name__}: {error.msg}"
    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None:
        for frame, line in reversed([*traceback.walk_tb(cause.__traceback__)]):
            if frame.f_code.co_filename == file:
                return f"{file}, line {line}: {type(cause).__name__}: {cause}"
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    first = causes[-1]
    if isinstance(first, AttributeError) and first.name == "get_config":
        return f"{file}: must define get_config()"
    return f"{file}: {type(first).__name__}: {first}"


@contextlib.contextmanager
def config_mistakes() -> Iterator[None]:
    """Ends the program with a sentence where ml_collections refuses a --config flag."""
    try:
        yield
    except flags.Error:
        raise
    except (AttributeError, KeyError) as error:
        reason = str(error.args[0]).replace("\\n", " ").replace("\\'", "'").strip("\"'")
        _fail(f"--config: there is no such field, {reason}")
    except (TypeError, ValueError, IndexError) as error:
        reason, *no_name = str(error).split(": SyntaxError(")
        _fail(f"--config: {reason}" + (" as the name of a field" if no_name else ""))


def _parse() -> None:
    try:
        with config_mistakes():
            rest = flags.FLAGS(sys.argv)
    except flags.IllegalFlagValueError as error:
        missing = re.findall(r"Flag (--\w+) must have a value other than None", str(error))
        _fail(f"{' and '.join(missing)} must be given; see --help" if missing else str(error))
    except flags.Error as error:
        _fail(str(error))
    if len(rest) > 1:
        _fail(f"{rest[1]!r}: is not a flag; see --help")


def _fail(message: str, error: BaseException | None = None) -> NoReturn:
    if error is not None:
        end_all(error, _one_line(message), 2)
    print(f"error: {_one_line(message)}", file=sys.stderr)
    sys.exit(2)


def _one_line(message: str) -> str:
    return re.sub(r"\s+", " ", message)

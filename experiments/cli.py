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
from absl import flags, logging

from samplernn_jax.parallel import give_cpu_devices_threads
from samplernn_jax.processes import are_several, end_all, is_first_process, leave
from samplernn_jax.training.interruption import Interrupted


def run(main: Callable[[], None], usage: str) -> None:
    """Parses the command line and runs `main`.

    Args:
        main: the command; a ValueError or OSError that it raises is printed without a
            traceback.
        usage: printed by --help above the flags; the docstring of the command's module.
    """
    for stream in (sys.stdout, sys.stderr):  # names of files may hold what a terminal cannot show
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    logging.set_verbosity(logging.FATAL)  # orbax tells much that no user asked for
    if not {"--help", "-h"}.isdisjoint(sys.argv):  # before absl asks for what is required
        print(usage.strip(), "\n\nFlags:", flags.FLAGS.main_module_help(), sep="\n")
        return
    _parse()
    _keep_compiled_programs()
    give_cpu_devices_threads()
    try:
        main()
    except OSError as error:
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
        if are_several():
            traceback.print_exc()
        end_all(error, f"{type(error).__name__}: {_one_line(str(error))}", 1)
        raise
    leave()


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


@contextlib.contextmanager
def config_mistakes() -> Iterator[None]:
    """Ends the program with a sentence where ml_collections refuses a --config flag."""
    try:
        yield
    except (AttributeError, KeyError) as error:
        reason = str(error.args[0]).replace("\\n", " ").replace("\\'", "'").strip("\"'")
        _fail(f"--config: there is no such field, {reason}")
    except (TypeError, OSError, SyntaxError) as error:
        _fail(f"--config: {error}")


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

"""What all commands share: flags in, one sentence and exit code 2 for what the user got wrong."""

import re
import sys
from collections.abc import Callable
from typing import NoReturn

from absl import flags


def run(main: Callable[[], None], usage: str) -> None:
    """Parses the command line and runs `main`.

    Args:
        main: the command; a ValueError that it raises is printed without a traceback.
        usage: printed by --help above the flags; the docstring of the command's module.
    """
    help_flag = flags.DEFINE_bool("help", False, "Show this help.", short_name="h")
    try:
        rest = flags.FLAGS(sys.argv)
        if help_flag.value:
            print(usage.strip(), "\n\nFlags:", _flag_help(), sep="\n")
            return
        if len(rest) > 1:
            raise ValueError(f"{rest[1]!r}: is not a flag; see --help")
        main()
    except (flags.Error, ValueError) as error:
        _fail(str(error))
    except (AttributeError, KeyError, TypeError) as error:
        # ml_collections refuses unknown fields and wrong types of --config.x=y with these.
        if "config_flags" not in str(error.__traceback__ and _files(error)):
            raise
        _fail(error.args[0] if error.args else str(error))
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        sys.exit(130)


def _flag_help() -> str:
    return flags.FLAGS.main_module_help()


def _files(error: BaseException) -> list[str]:
    frames, trace = [], error.__traceback__
    while trace:
        frames.append(trace.tb_frame.f_code.co_filename)
        trace = trace.tb_next
    return frames


def _fail(message: str) -> NoReturn:
    print("error: " + re.sub(r"\s+", " ", message), file=sys.stderr)
    sys.exit(2)

"""The last line of a command: every way it can end becomes an exit code and at most one line on standard error."""

from __future__ import annotations

import errno
import os
import re
import sys
import traceback
import warnings
from collections.abc import Callable
from typing import Any

import typer

from sordine.cli.console import nobody_reads
from sordine.errors import SordineError, nearest

DONE, FOUND, WRONG, FAULT, INTERRUPTED = 0, 1, 2, 3, 130
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
OUT_OF_MEMORY = ("can't allocate memory", "CUDA out of memory", "malloc of size", "realloc of size")


def guarded(command: Callable[[], Any]) -> int:
    """The exit code of a command: its own, or what its error means. Tracebacks only under SORDINE_DEBUG=1."""
    with warnings.catch_warnings():
        if not _debugging():
            warnings.simplefilter("ignore")
            # Libraries that reset the filters in threads of their own do not know of this one: nothing is shown either.
            warnings.showwarning = lambda *told, **more: None
        code = _ended(command)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        nobody_reads()
    return code


def _ended(command: Callable[[], Any]) -> int:
    usage_error = typer.BadParameter.__mro__[1]  # click's UsageError, wherever this version of typer keeps it
    try:
        return int(command() or DONE)
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except SystemExit as error:
        # typer's own answer to a closed pipe
        return DONE if isinstance(error.__context__, BrokenPipeError) else int(error.code or 0)
    except BrokenPipeError:
        nobody_reads()
        return DONE
    except SordineError as error:
        return _refuse(str(error))
    except MemoryError:
        return _refuse("out of memory; SORDINE_MEMORY (bytes of a table held at once) can be lowered")
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        if error.errno in FULL:
            return _refuse(f"the disk is full{where}")
        if error.filename:
            return _refuse(f"{error.strerror or type(error).__name__}{where}")
        return _fault(error)
    except Exception as error:
        if isinstance(error, usage_error):
            return _refuse(_usage(error))
        if any(sign in str(error) for sign in OUT_OF_MEMORY):
            return _refuse(f"out of memory: {str(error).splitlines()[0]}")
        return _fault(error)


def _usage(error: Any) -> str:
    """A wrong call in one line: what is wrong, the nearest name that would be right, and where the help is."""
    context = getattr(error, "ctx", None)
    path = context.command_path.removeprefix("sordine").strip() if context is not None else ""
    said = " ".join(error.format_message().split()).rstrip(".")
    said = said[:1].lower() + said[1:]
    if context is not None and hasattr(error, "option_name") and hasattr(error, "possibilities"):
        options = [o for p in context.command.params for o in getattr(p, "opts", []) if o.startswith("-")]
        said = f"no option {error.option_name}; {nearest(error.option_name, [*options, '--help'])}"
    elif match := re.match(r"no such command ['\"]?([^'\"]*)", said):
        commands = list(getattr(context.command, "commands", {})) if context is not None else []
        said = f"no command {match[1]!r}; {nearest(match[1], commands)}"
    elif path:
        said = f"{said}; see sordine {path} --help"
    return f"{path}: {said}" if path else said


def _refuse(message: str) -> int:
    _last_line(message)
    return WRONG


def _fault(error: Exception) -> int:
    said = " ".join(str(error).split())[:300]
    name = type(error).__name__ + (f": {said}" if said else "")
    _last_line(f"a fault of ours, please report it: {name} (SORDINE_DEBUG=1 shows where)")
    return FAULT


def _last_line(message: str) -> None:
    sys.stdout.flush()
    print("sordine: " + " ".join(message.split()), file=sys.stderr)
    if _debugging():
        traceback.print_exc()


def _debugging() -> bool:
    return os.environ.get("SORDINE_DEBUG", "") not in ("", "0")

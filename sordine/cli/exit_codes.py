"""Turn every outcome of a command into an exit code and at most one line on standard error."""

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

from sordine.cli.console import discard_output
from sordine.errors import SordineError, nearest, visible

DONE, FOUND, WRONG, FAULT, INTERRUPTED = 0, 1, 2, 3, 130
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
OUT_OF_MEMORY = ("can't allocate memory", "CUDA out of memory", "malloc of size", "realloc of size")


def guarded(command: Callable[[], Any]) -> int:
    """Run a command and return its exit code.

    0: done. 1: more leakage than allowed was found, or no setting keeps the limit. 2: the input or the call is wrong.
    3: a fault of Sordine. 130: interrupted. A traceback is printed only under SORDINE_DEBUG=1.
    """
    with warnings.catch_warnings():
        if not _debugging():
            warnings.simplefilter("ignore")
            # Some libraries reset the filters in their own threads, so the function that shows warnings is replaced.
            warnings.showwarning = lambda *warning, **where: None
        code = _outcome(command)
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        discard_output()
    return code


def _outcome(command: Callable[[], Any]) -> int:
    usage_error = typer.BadParameter.__mro__[1]  # click's UsageError, wherever this version of typer has it
    try:
        return int(command() or DONE)
    except (KeyboardInterrupt, typer.Abort):
        return INTERRUPTED
    except SystemExit as error:  # typer raises it where the pipe is closed
        return DONE if isinstance(error.__context__, BrokenPipeError) else int(error.code or 0)
    except BrokenPipeError:
        discard_output()
        return DONE
    except SordineError as error:
        return _refuse(str(error))
    except MemoryError:
        return _refuse("out of memory; set SORDINE_MEMORY to fewer bytes (how much of a table is held at once)")
    except OSError as error:
        return _os_error(error)
    except Exception as error:
        if isinstance(error, usage_error):
            return _refuse(_usage(error))
        if any(sign in str(error) for sign in OUT_OF_MEMORY):
            return _refuse(f"out of memory: {str(error).splitlines()[0]}")
        return _fault(error)


def _os_error(error: OSError) -> int:
    where = f": {error.filename}" if error.filename else ""
    if error.errno in FULL:
        return _refuse(f"the disk is full{where}")
    if error.filename:
        return _refuse(f"{error.strerror or type(error).__name__}{where}")
    return _fault(error)


def _usage(error: Any) -> str:
    """Return one line for a wrong call: what is wrong, the nearest name that is right, and where the help is."""
    context = getattr(error, "ctx", None)
    path = context.command_path.removeprefix("sordine").strip() if context is not None else ""
    message = " ".join(error.format_message().split()).rstrip(".")
    message = message[:1].lower() + message[1:]
    if context is not None and hasattr(error, "option_name") and hasattr(error, "possibilities"):
        shown = [p for p in context.command.params if not getattr(p, "hidden", False)]
        options = [o for p in shown for o in getattr(p, "opts", []) if o.startswith("-")]
        message = f"unknown option {error.option_name}; {nearest(error.option_name, [*options, '--help'])}"
    elif match := re.match(r"no such command ['\"]?([^'\"]*)", message):
        commands = list(getattr(context.command, "commands", {})) if context is not None else []
        message = f"unknown command {match[1]!r}; {nearest(match[1], commands)}"
    elif path:
        message = f"{message}; see sordine {path} --help"
    return f"{path}: {message}" if path else message


def _refuse(message: str) -> int:
    _last_line(message)
    return WRONG


def _fault(error: Exception) -> int:
    message = " ".join(str(error).split())[:300]
    name = type(error).__name__ + (f": {message}" if message else "")
    _last_line(f"this is a fault of Sordine; please report it: {name} (SORDINE_DEBUG=1 shows where it happened)")
    return FAULT


def _last_line(message: str) -> None:
    sys.stdout.flush()
    line = visible("sordine: " + " ".join(message.split()))
    print(line.encode(errors="backslashreplace").decode(), file=sys.stderr)  # a name may hold half a character
    if _debugging():
        traceback.print_exc()


def _debugging() -> bool:
    return os.environ.get("SORDINE_DEBUG", "") not in ("", "0")

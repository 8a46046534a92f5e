"""The folder beside a sweep's page: its points until the sweep is done. It is marked, held against a second run, and of what
lies in it only what the sweep made is taken away."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from sordine.errors import SordineError
from sordine.evaluation.report import Report
from sordine.evaluation.report_json import from_json

try:
    import fcntl
except ImportError:  # no such thing on Windows: two runs in one folder are then not told apart
    fcntl = None  # type: ignore[assignment]

MARK, POINTS, SHARED = "sordine-sweep", "points", "shared"
REPORT, MODIFIER = "report.json", "modifier"
SAYS = f"`sordine sweep` made this folder, and takes its {POINTS}/ and {SHARED}/ away when it is done.\n"
POINT = re.compile(r".+-[0-9a-f]{16}")


def require_own(folder: Path) -> None:
    """Raise SordineError where a sweep must not take this for its folder: it is no folder, or holds anything and was not made by one."""
    if (folder.exists() or folder.is_symlink()) and not folder.is_dir():
        raise SordineError(f"{folder} is no folder, and the sweep needs one of that name: name another page with -o")
    if folder.is_dir() and not (folder / MARK).is_file() and any(folder.iterdir()):
        raise SordineError(
            f"{folder} is not a sweep's (no {MARK} in it), and the sweep needs a folder of that name: name another page with -o"
        )


@contextlib.contextmanager
def held(folder: Path) -> Iterator[None]:
    """The sweep's folder, made and marked where it is not there, held against a second run; temporary files of a killed run go.

    Where the block fails and nothing was fitted, what this call made is gone again. Raises SordineError where the folder is not
    the sweep's own, or another run is at work in it.
    """
    require_own(folder)
    missing = [above for above in folder.absolute().parents if not above.exists()]
    mark = folder / MARK
    new = not mark.exists()
    folder.mkdir(parents=True, exist_ok=True)
    if new:
        mark.write_text(SAYS, encoding="utf-8")
    with _locked(mark):
        for left in (*folder.glob(f"{SHARED}/.*.part"), *folder.glob(f"{POINTS}/*/.*.part")):
            shutil.rmtree(left, ignore_errors=True)
        try:
            yield
        except Exception:
            if new and not fitted(folder):
                take_away(folder)
                for above in missing:
                    _if_empty(above)
            raise


@contextlib.contextmanager
def _locked(mark: Path) -> Iterator[None]:
    if fcntl is None:
        yield
        return
    with open(mark, "a", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise SordineError(f"another sweep is at work in {mark.parent}") from None
        if not mark.exists():  # it has ended in between
            raise SordineError(f"another sweep was at work in {mark.parent}: try again")
        yield


def fitted(folder: Path) -> bool:
    """Whether any point was fitted."""
    return any((folder / POINTS).glob(f"*/{MODIFIER}"))


def take_away(folder: Path) -> bool:
    """Remove what a sweep made, and the folder where nothing else is in it; whether it is gone."""
    for point in (folder / POINTS).glob("*"):
        if POINT.fullmatch(point.name) and not point.is_symlink():
            shutil.rmtree(point / MODIFIER, ignore_errors=True)
            (point / REPORT).unlink(missing_ok=True)
            for left in point.glob(".*.part"):
                shutil.rmtree(left, ignore_errors=True)
            _if_empty(point)
    _if_empty(folder / POINTS)
    shutil.rmtree(folder / SHARED, ignore_errors=True)
    (folder / MARK).unlink(missing_ok=True)
    _if_empty(folder)
    return not folder.exists()


def _if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()


def weights_of(point: Path, name: str, log: Callable[[str], None]) -> str | None:
    """The digest of a finished point's weights; None where there are none. A damaged point is taken away, and that it is made again is said."""
    from sordine.methods.registry import load

    modifier, report = point / MODIFIER, point / REPORT
    if modifier.exists():
        try:
            return load(modifier).card.weights
        except SordineError as error:
            log(f"{name}: made again: {error}")
            if modifier.is_dir():
                shutil.rmtree(modifier)
            else:
                modifier.unlink()
    report.unlink(missing_ok=True)  # of a modifier that is gone
    return None


def report_of(point: Path, weights: str, name: str, log: Callable[[str], None]) -> Report | None:
    """The report of a point whose weights have this digest; None where there is none, or none that is whole and of these weights."""
    try:
        found = from_json((point / REPORT).read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, SordineError) as error:
        log(f"{name}: attacked again: {error}")
        return None
    if (found.modifier or {}).get("weights") != weights:
        log(f"{name}: attacked again: its report is of another modifier")
        return None
    return found

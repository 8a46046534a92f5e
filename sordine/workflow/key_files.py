"""Key files: a modifier's key lies beside its directory and never in it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from sordine.data import unfinished
from sordine.errors import SordineError
from sordine.keys import Key


def beside(modifier: Path) -> Path:
    """Return the path of a modifier's key file: MODIFIER.key, in the folder that holds MODIFIER."""
    modifier = Path(modifier).absolute()
    return modifier.parent / f"{modifier.name}.key"


@contextlib.contextmanager
def key_for_fit(
    modifier: Path, given: Path | None, log: Callable[[str], None], made: Callable[[], bool] = lambda: False
) -> Iterator[Key]:
    """Give the key of a fit: the given file's, else that of the file beside the modifier, else a new one.

    A new key is written beside the modifier.
    A new key file is removed where the fit fails. It stays where the fit is interrupted, so that the next call uses it.

    Parameters
    ----------
    modifier
        Directory that the fit writes.
    given
        Key file, or None.
    log
        Takes a line about the key file.
    made
        Returns whether work was done under a new key from which the next call continues. The key file stays then.

    Raises
    ------
    SordineError
        Where the key file lies in the modifier's directory, or is not a key.
    """
    path = Path(given) if given is not None else beside(modifier)
    unfinished.mend(path)
    if given is not None or path.exists():
        if path.resolve().is_relative_to(Path(modifier).resolve()):
            raise SordineError(f"the key file {path} lies in the modifier's directory and must not: move it elsewhere")
        log(f"the key is the existing file {path}")
        yield Key.read(path)
        return
    key = Key.fresh()
    path.parent.mkdir(parents=True, exist_ok=True)
    key.write(path)
    log(f"the new key is in {path}: store it safely, keep it secret, and do not share it")
    try:
        yield key
    except Exception:
        if made():
            raise
        path.unlink(missing_ok=True)
        log(f"Fitting failed. Removed the new key file {path}.")
        raise


def key_of_modifier(modifier: Path, given: Path | None) -> Key:
    """Return the key of a fitted modifier: of the given file, else of the file beside the modifier.

    Raises
    ------
    SordineError
        Where there is no such file, or it is not a key.
    """
    path = Path(given) if given is not None else beside(modifier)
    if given is None and not path.exists():
        raise SordineError(f"there is no key file {path}: name the key file with --key")
    return Key.read(path)


def key_by_fingerprint(folder: Path, fingerprint: str) -> Key:
    """Return the key with this fingerprint among the *.key files of a folder.

    Raises
    ------
    SordineError
        Where no file has it.
    """
    for path in sorted(Path(folder).glob("*.key")):
        try:
            key = Key.read(path)
        except SordineError:
            continue
        if key.fingerprint == fingerprint:
            return key
    raise SordineError(
        f"no *.key file in {folder} is the key of the transformation: name it with --key, "
        "or the modifier with --modifier"
    )

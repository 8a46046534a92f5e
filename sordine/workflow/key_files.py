"""Where a modifier's key is: beside its directory, never inside it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from sordine.errors import SordineError
from sordine.keys import Key


def beside(modifier: Path) -> Path:
    """The key file of a modifier's directory: MODIFIER.key, in the folder that holds MODIFIER."""
    modifier = Path(modifier).absolute()
    return modifier.parent / f"{modifier.name}.key"


@contextlib.contextmanager
def key_for_fit(
    modifier: Path, given: Path | None, log: Callable[[str], None], made: Callable[[], bool] = lambda: False
) -> Iterator[Key]:
    """The key to fit under: the given file, else the one beside the modifier, else a new one written there.

    A new key is taken back where the fit is refused; it stays where the fit is interrupted, for the next try, and where
    `made` says that something was made under it that the next try goes on from.
    """
    path = Path(given) if given is not None else beside(modifier)
    if given is not None or path.exists():
        if path.resolve().is_relative_to(Path(modifier).resolve()):
            raise SordineError(f"key file {path} lies inside the modifier's directory, which is shipped: move it out")
        log(f"the key is {path}, which was there already")
        yield Key.read(path)
        return
    key = Key.fresh()
    path.parent.mkdir(parents=True, exist_ok=True)
    key.write(path)
    log(f"a new key is in {path}: keep it, keep it secret, and keep it out of what you ship")
    try:
        yield key
    except Exception:
        if made():
            raise
        path.unlink(missing_ok=True)
        log(f"nothing was fitted: the new key in {path} is taken back")
        raise


def key_of_modifier(modifier: Path, given: Path | None) -> Key:
    """The key of a fitted modifier: the given file, else the one beside it. Raises SordineError where there is none."""
    path = Path(given) if given is not None else beside(modifier)
    if given is None and not path.exists():
        raise SordineError(f"there is no key at {path}; name the key file with --key")
    return Key.read(path)


def key_by_fingerprint(folder: Path, fingerprint: str) -> Key:
    """The key with this fingerprint among the *.key files of a folder. Raises SordineError where none has it."""
    for path in sorted(Path(folder).glob("*.key")):
        try:
            key = Key.read(path)
        except SordineError:
            continue
        if key.fingerprint == fingerprint:
            return key
    raise SordineError(
        f"no *.key file in {folder} is the key these records were transformed under; name it with --key or --modifier"
    )

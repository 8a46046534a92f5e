"""The shape of the package: its rooms, and the sizes of its functions."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache

import pytest

from tests.fixtures.paths import ROOT

PACKAGE = ROOT / "sordine"
MODULES = {"__init__", "__main__", "errors", "policy", "keys", "run", "estimator"}
PACKAGES = {"metrics", "data", "models", "features", "methods", "attacks", "evaluation", "workflow", "cli"}
MOST_LINES, MOST_PARAMETERS = 60, 8

# A function that may be larger, and why. At most ten.
EXCEPTIONS: dict[str, str] = {}


@cache
def functions() -> list[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    return list(_functions())


def _functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{path.relative_to(ROOT)}:{node.name}", node


def parameters(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    named = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return len(named) - (bool(named) and named[0].arg in ("self", "cls"))


def test_root_has_seven_modules_and_nine_packages() -> None:
    assert {path.stem for path in PACKAGE.glob("*.py")} == MODULES
    assert {path.parent.name for path in PACKAGE.glob("*/__init__.py")} == PACKAGES


def test_functions_are_short() -> None:
    sizes = {name: node.end_lineno - node.lineno + 1 for name, node in functions() if node.end_lineno}
    assert {n: lines for n, lines in sizes.items() if lines > MOST_LINES and n not in EXCEPTIONS} == {}


def test_functions_have_few_parameters() -> None:
    counts = {name: parameters(node) for name, node in functions()}
    assert {n: count for n, count in counts.items() if count > MOST_PARAMETERS and n not in EXCEPTIONS} == {}


def test_exceptions_are_few_and_needed() -> None:
    assert len(EXCEPTIONS) <= 10
    assert set(EXCEPTIONS) <= {name for name, _ in functions()}


@pytest.mark.parametrize("package", sorted(PACKAGES))
def test_each_package_says_what_it_is(package: str) -> None:
    tree = ast.parse((PACKAGE / package / "__init__.py").read_text(encoding="utf-8"))
    assert ast.get_docstring(tree)

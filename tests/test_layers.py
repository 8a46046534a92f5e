"""The one-way stack: a module imports its own floor or a lower one, and no floor holds a circle."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "sordine"

FLOORS = {
    1: "errors policy losses metrics picture_metrics information findings harder_findings reportfile weights nets keys files mapped",
    2: "table tablefile game modifier recipe statistics balance",
    3: "media features synthetic classifiers picture_models alignment",
    4: "methods attackers",
    5: "audit flaws verdict transform release media_release copies reconstruct harder cloud proved pooled beforehand",
    6: "search certify heldback sweep sweep_folder report estimator pairs",
    7: "__main__ cli job stages flow demo console keychain guard arguments options audit_command compare_command sweep_command",
}
FLOOR = {name: floor for floor, names in FLOORS.items() for name in names.split()}
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
# The package itself holds the public surface and imports every floor, when first asked.
INSIDE = [name for name in MODULES if name != "sordine"]


def home(module: str) -> str:
    """The room a module belongs to: the second part of its name."""
    return module.split(".")[1]


def imported(module: str, *, at_once: bool = False) -> set[str]:
    """Every module of the package that a module imports, wherever in its text; `at_once`: only those that it needs to load."""
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    found = set()
    for node in tree.body if at_once else ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: imports are absolute"
            base = node.module or ""
            found |= {f"{base}.{a.name}" if f"{base}.{a.name}" in MODULES else base for a in node.names}
    return {name for name in found if name.split(".")[0] == "sordine"} - {module}


IMPORTS = {module: imported(module) for module in INSIDE}


@pytest.mark.parametrize("module", INSIDE)
def test_a_module_imports_its_own_floor_or_a_lower_one(module: str) -> None:
    assert home(module) in FLOOR, f"place {home(module)} on a floor, in tests/test_layers.py and docs/architecture.md"
    for name in IMPORTS[module]:
        assert name != "sordine", f"{module} imports the public surface: name the module"
        assert name in MODULES, f"{module} imports {name}, which does not exist"
        assert FLOOR[home(name)] <= FLOOR[home(module)], f"{module} imports {name}, which is higher up"


def test_methods_and_attackers_are_siblings() -> None:
    for module in INSIDE:
        for one, other in (("methods", "attackers"), ("attackers", "methods")):
            if home(module) == one:
                assert not [n for n in IMPORTS[module] if home(n) == other], f"{module} imports {other}"


def test_no_method_imports_a_method() -> None:
    text = MODULES["sordine.methods"].read_text(encoding="utf-8")
    literal = next(
        node.value
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.AnnAssign | ast.Assign) and "METHODS" in ast.unparse(node).split("=")[0]
    )
    assert isinstance(literal, ast.Dict), "METHODS is a literal dict"
    kinds = {ast.unparse(value) for value in literal.values}
    files = {
        node.module
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.ImportFrom) and {a.name for a in node.names} & kinds
    }
    assert len(files) == len(kinds), "one file a method"
    for module in INSIDE:
        if home(module) == "methods" and module != "sordine.methods":
            assert not IMPORTS[module] & files, f"{module} imports a method's file"
            assert "sordine.methods" not in IMPORTS[module]


def test_no_floor_holds_a_circle() -> None:
    done: set[str] = set()

    def visit(module: str, above: tuple[str, ...]) -> None:
        assert module not in above, " -> ".join([*above[above.index(module) :], module])
        if module not in done:
            for name in imported(module, at_once=True):
                visit(name, (*above, module))
            done.add(module)

    for module in INSIDE:
        visit(module, ())


def test_there_are_no_rooms_for_odds_and_ends() -> None:
    for module, path in MODULES.items():
        assert not re.search(r"(^|\.)(utils?|helpers?|common|misc)$", module), module
        assert len(path.read_text(encoding="utf-8").splitlines()) <= 400, f"{path} is two rooms"

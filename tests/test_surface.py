"""The public names of the package."""

from __future__ import annotations

import ast
import subprocess
import sys

import sordine
from tests.fixtures.paths import ROOT

PUBLIC = [
    "Table",
    "Policy",
    "ALL_OTHERS",
    "Key",
    "Run",
    "extract",
    "fit",
    "transform",
    "audit",
    "release",
    "fit_under_limit",
    "sweep",
    "compare",
    "Modifier",
    "Budget",
    "ReadOptions",
    "Report",
    "read_report",
    "reading",
    "write_report",
    "load",
    "make_method",
    "Suppressor",
    "SordineError",
]


def test_the_public_names_are_those_of_the_design() -> None:
    assert sorted(sordine.__all__) == sorted(PUBLIC)


def test_public_names_stay_functions_after_modules_of_the_same_name_are_imported() -> None:
    code = (
        "import sordine.evaluation.audit, sordine.workflow.transform, sordine.workflow.sweep\n"
        "import sordine\n"
        "assert all(hasattr(sordine, name) for name in sordine.__all__)\n"
        "assert all(callable(getattr(sordine, name)) for name in sordine.__all__ if name != 'ALL_OTHERS')\n"
        "from sordine import audit, extract, fit, load, release, sweep, transform\n"
        "assert not hasattr(sordine, 'no_such_name')\n"
        "print(sordine.__version__)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.strip()[0].isdigit()


def test_importing_the_package_loads_no_large_library() -> None:
    code = "import sordine, sys; assert not {'torch', 'numpy', 'pyarrow', 'sklearn', 'rich'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_type_checkers_find_every_public_name() -> None:
    """What is imported under TYPE_CHECKING is what is public, from the same modules."""
    tree = ast.parse((ROOT / "sordine" / "__init__.py").read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    found = {
        alias.asname or alias.name: (node.module, alias.name)
        for node in imports
        if (node.module or "").startswith("sordine.")
        for alias in node.names
    }
    homes = next(
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "_HOMES"
    )
    assert found == homes

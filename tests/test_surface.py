from __future__ import annotations

import subprocess
import sys


def test_verbs_stay_verbs_whatever_was_imported_first():
    code = (
        "import sordine.evaluation.audit, sordine.workflow.release.table, sordine.workflow.transform\n"
        "from sordine.attacks.runner import Budget\n"
        "from sordine import audit, release, transform, fit, load, extract\n"
        "import sordine\n"
        "assert all(callable(v) for v in (audit, release, transform, fit, load, extract, sordine.audit)), audit\n"
        "assert all(hasattr(sordine, n) for n in sordine.__all__)\n"
        "assert not hasattr(sordine, 'nothing_such')\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_importing_the_package_is_light():
    code = "import sordine, sys; assert not {'torch', 'pyarrow', 'sklearn'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)

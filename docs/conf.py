"""Sphinx: `make docs` builds the site into build/docs. Nothing is fetched."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE / "_ext"), str(HERE.parent)]

project = "Sordine"
author = "The Sordine contributors"
copyright = "The Sordine contributors"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton", "generated"]
exclude_patterns = ["_ext", "_static", "images/*.py"]
source_suffix = {".md": "markdown"}

# Markdown
myst_heading_anchors = 4
myst_enable_extensions = ["deflist"]

# Docstrings: numpydoc style; single backticks are code.
default_role = "code"
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 90
autodoc_member_order = "bysource"
autodoc_default_options = {"exclude-members": "training, dump_patches, call_super_init, T_destination"}
napoleon_google_docstring = False
napoleon_use_ivar = True
napoleon_use_rtype = False
python_use_unqualified_type_names = True

# Links between pages must resolve. References to Python names are not looked up: nothing is fetched.
nitpicky = True
nitpick_ignore_regex = [("py:.*", r".*")]
suppress_warnings = ["myst.xref_missing.external"]

html_theme = "furo"
html_title = "Sordine"
html_static_path = ["_static"]
html_copy_source = False
html_show_sphinx = False
templates_path = []
pygments_style = "default"
copybutton_exclude = ".linenos, .gp, .go"

"""A page as PDF, by WeasyPrint. It fetches nothing: everything that a page shows is in the page."""

from __future__ import annotations

import logging
import re
from functools import lru_cache
from pathlib import Path

from PIL import ImageFile

from sordine.errors import SordineError

FOLDER = Path(__file__).parent
# The colours of classes in charts, as in style.css for print.
CLASSES = (
    *("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#8c6d00", "#56b4e9", "#1b2530", "#e69f00", "#7f3c8d", "#a5aa99"),
)
REST = "#c4c8cc"
MISSING = "a PDF needs WeasyPrint and the system library Pango: pip install 'sordine[pdf]'"


def to_pdf(page: str) -> bytes:
    """Return a page of this package (HTML) as PDF: A4, with page numbers.

    Raises
    ------
    SordineError
        Where WeasyPrint or a system library of it is missing.
    """
    check_pdf()
    from weasyprint import HTML
    from weasyprint.urls import URLFetcher

    style = (FOLDER / "pdf.css").read_text(encoding="utf-8")
    page = page.replace("</head>", f"<style>{style}</style></head>", 1)
    page = re.sub(r"(<svg\b[^>]*>)", lambda found: f"{found[1]}<style>{_chart_style()}</style>", page)
    made: bytes = HTML(string=page, url_fetcher=URLFetcher(allowed_protocols={"data"})).write_pdf()
    return made


def check_pdf() -> None:
    """Raise SordineError where a PDF cannot be made. Commands call this before any work."""
    strict = ImageFile.LOAD_TRUNCATED_IMAGES
    try:
        import weasyprint
    except (ImportError, OSError):  # OSError: Pango is missing
        raise SordineError(MISSING) from None
    finally:
        # The import lets Pillow read damaged pictures, everywhere in the process.
        ImageFile.LOAD_TRUNCATED_IMAGES = strict
    del weasyprint
    for name in ("weasyprint", "fontTools"):  # they warn of style that a PDF does not need
        logging.getLogger(name).setLevel(logging.ERROR)


@lru_cache
def _chart_style() -> str:
    style = (FOLDER / "pdf_charts.css").read_text(encoding="utf-8")
    colours = [*((f".k{i}", colour) for i, colour in enumerate(CLASSES)), (".rest", REST)]
    rules = "".join(f"{name}, {name} path {{ fill: {colour}; stroke: {colour}; }}\n" for name, colour in colours)
    return style + rules

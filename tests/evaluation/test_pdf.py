"""The page as PDF: its pages and text, and that nothing is fetched."""

from __future__ import annotations

import builtins
import re
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest
from PIL import ImageFile

from sordine.cli.app import main
from sordine.errors import SordineError
from sordine.evaluation.page import pdf
from sordine.evaluation.page.page import to_html
from sordine.evaluation.page.pdf import check_pdf, to_pdf
from sordine.evaluation.report_json import write_report
from tests.fixtures.report_example import example

try:
    check_pdf()
    MISSING = False
except SordineError:
    MISSING = True

needs_weasyprint = pytest.mark.skipif(MISSING, reason="needs the extra `pdf`")


def pages(made: bytes) -> int:
    """Return the number of pages: page objects, also in compressed object streams."""
    streams = [
        zlib.decompress(found[1])
        for found in re.finditer(rb"/FlateDecode[^>]*>>\s*stream\r?\n(.*?)\r?\nendstream", made, re.DOTALL)
        if b"/ObjStm" in made[max(0, found.start() - 200) : found.end()]
    ]
    return sum(len(re.findall(rb"/Type\s*/Page\b", part)) for part in (made, *streams))


@needs_weasyprint
def test_damaged_pictures_are_still_refused() -> None:
    to_pdf("<html><head></head><body>text</body></html>")
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


@needs_weasyprint
def test_a_report_becomes_a_pdf_of_several_pages() -> None:
    made = to_pdf(to_html(example()))
    assert made.startswith(b"%PDF")
    assert made.rstrip().endswith(b"%%EOF")
    assert pages(made) > 3


@needs_weasyprint
def test_nothing_outside_the_page_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def refuse(event: str, arguments: Any) -> None:
        if event == "socket.connect" and listening:
            asked.append(str(arguments))

    listening = [True]
    sys.addaudithook(refuse)
    picture = tmp_path / "secret.png"
    picture.write_bytes(b"\x89PNG")
    opened: list[str] = []
    real = builtins.open

    def noted(file: Any, *more: Any, **options: Any) -> Any:
        opened.append(str(file))
        return real(file, *more, **options)

    monkeypatch.setattr(builtins, "open", noted)
    page = f'<html><head></head><body><img src="{picture.as_uri()}"><img src="http://127.0.0.1:9/x.png"></body></html>'
    assert to_pdf(page).startswith(b"%PDF")
    listening.clear()
    assert asked == []
    assert str(picture) not in opened


@pytest.mark.slow
@needs_weasyprint
def test_reports_and_comparisons_are_written_as_pdf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_report(example(), json="a.json")
    write_report(example(level="leaks"), json="b.json")
    assert main(["report", "a.json", "-o", "a.html", "--pdf", "a.pdf"]) == 0
    assert main(["compare", "a.json", "b.json", "--pdf", "c.pdf"]) == 0
    for name in ("a.pdf", "c.pdf"):
        assert Path(name).read_bytes().startswith(b"%PDF")
    assert main(["report", "a.json", "--pdf", "a.pdf"]) == 2  # without --force nothing is replaced


def without_weasyprint(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    real = builtins.__import__

    def fail(name: str, *more: Any, **options: Any) -> Any:
        if name.split(".")[0] == "weasyprint":
            raise error
        return real(name, *more, **options)

    monkeypatch.setattr(builtins, "__import__", fail)


@pytest.mark.parametrize("error", [ImportError("no module"), OSError("cannot load library libpango")])
def test_without_weasyprint_the_error_names_the_extra(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_weasyprint(monkeypatch, error)
    with pytest.raises(SordineError, match=re.escape("sordine[pdf]")):
        write_report(example(), tmp_path / "r.html", pdf=tmp_path / "r.pdf")
    assert list(tmp_path.iterdir()) == []


def test_a_command_asks_for_weasyprint_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without_weasyprint(monkeypatch, ImportError("no module"))
    write_report(example(), json=tmp_path / "r.json")
    assert main(["report", str(tmp_path / "r.json"), "--pdf", str(tmp_path / "r.pdf")]) == 2
    error = capsys.readouterr().err
    assert "sordine[pdf]" in error
    assert error.strip().count("\n") == 0
    assert not (tmp_path / "r.pdf").exists()


def test_the_colours_of_classes_are_those_of_the_page() -> None:
    style = (pdf.FOLDER / "style.css").read_text(encoding="utf-8")
    printed = style[style.index("@media print") :]
    for i, colour in enumerate(pdf.CLASSES):
        assert re.search(rf"--k{i}: {colour}", printed)
    assert f"--rest: {pdf.REST}" in printed

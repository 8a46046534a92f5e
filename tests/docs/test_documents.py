"""README and user guide: every command and code block runs, every link leads somewhere.

A fenced block `bash` holds commands, `python` a program; the blocks of a page run in order, in one folder with the data
of `document_data`. Comments in the Markdown source, on the line before a block, say what cannot be seen:

    <!-- not run: REASON -->      the block is not run
    <!-- ends with 1: REASON -->  the last command of the block ends with exit code 1
    <!-- slow -->                 the block, and all after it on its page, run in the slow part
    <!-- file: NAME -->           the `yaml` block before is written to that file first
"""

from __future__ import annotations

import importlib
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

HOME = Path(__file__).resolve().parents[2]
DOCS = HOME / "docs"
RUN = [HOME / "README.md", *sorted((DOCS / "guide").glob("**/*.md"))]
ALL = [*RUN, HOME / "CONTRIBUTING.md", *sorted(p for p in DOCS.glob("**/*.md") if p not in RUN)]
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```\s*$", re.M | re.S)
MARK = re.compile(r"<!--\s*(not run: [^>]+?|ends with 1: [^>]+?|slow|file: [^>]+?)\s*-->")
MOST_NOT_RUN = 5


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its text, and the marks before it."""

    language: str
    text: str
    marks: tuple[str, ...]

    def mark(self, word: str) -> str | None:
        return next((m for m in self.marks if m.startswith(word)), None)


def blocks(path: Path) -> Iterator[Block]:
    """Yield the blocks of a page; an earlier `slow` holds for all that follow."""
    text, last, slow = path.read_text(encoding="utf-8"), 0, False
    for fence in FENCE.finditer(text):
        before = text[last : fence.start()].rstrip().splitlines()[-3:]
        marks = []
        while before and (found := MARK.fullmatch(before[-1].strip())):
            marks.append(found[1])
            before.pop()
        slow = slow or "slow" in marks
        yield Block(fence[1], fence[2], tuple(marks) + (("slow",) if slow else ()))
        last = fence.end()


def commands(text: str) -> Iterator[list[str]]:
    """Yield the words of each command of a bash block."""
    for line in text.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words:
            yield words


def run_page(path: Path, folder: Path, slow: bool) -> None:
    """Run the blocks of a page: the fast ones, or all of them."""
    names: dict[str, Any] = {"__name__": "__main__"}
    yaml = ""
    for block in blocks(path):
        if block.language == "yaml":
            yaml = block.text
        file = block.mark("file: ")
        if file:
            (folder / file.removeprefix("file: ")).write_text(yaml, encoding="utf-8")
        if block.mark("not run") or (block.mark("slow") and not slow):
            continue
        if block.language == "bash":
            every = list(commands(block.text))
            for words in every:
                wanted = 1 if block.mark("ends with 1: ") and words is every[-1] else 0
                run_command(words, path, wanted)
        elif block.language == "python":
            exec(compile(block.text, f"{path.name}: python", "exec"), names)


def run_command(words: list[str], path: Path, wanted: int = 0) -> None:
    """Run one command; those of Sordine in this process, which saves the imports."""
    if words[0] == "sordine":
        from sordine.cli.app import main

        code = main(words[1:])
    else:
        code = subprocess.run(words, check=False, env={**os.environ, "PYTHONPATH": str(HOME)}).returncode
    assert code == wanted, f"{path.relative_to(HOME)}: `{shlex.join(words)}` ended with {code}"


@pytest.fixture
def page_folder(document_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder with links to the data, which is the working folder."""
    for thing in document_data.iterdir():
        (tmp_path / thing.name).symlink_to(thing)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SORDINE_CACHE", str(tmp_path / "cache"))
    return tmp_path


def pages(slow: bool) -> list[Any]:
    """Return the pages with blocks to run in that part."""
    found = []
    for path in RUN:
        run = [b for b in blocks(path) if b.language in ("bash", "python") and not b.mark("not run")]
        if any(bool(b.mark("slow")) == slow for b in run):
            found.append(pytest.param(path, id=str(path.relative_to(HOME))))
    return found


@pytest.mark.parametrize("path", pages(slow=False))
def test_page_runs(path: Path, page_folder: Path) -> None:
    run_page(path, page_folder, slow=False)


@pytest.mark.slow
@pytest.mark.parametrize("path", pages(slow=True))
def test_slow_page_runs(path: Path, page_folder: Path, request: pytest.FixtureRequest) -> None:
    if "videos/" in path.read_text(encoding="utf-8"):
        (page_folder / "videos").symlink_to(request.getfixturevalue("videos"))
    run_page(path, page_folder, slow=True)


def test_few_blocks_are_not_run() -> None:
    left = [f"{p.name}: {m}" for p in RUN for b in blocks(p) if (m := b.mark("not run"))]
    assert len(left) <= MOST_NOT_RUN, left


# ------------------------------------------------------------------------------ commands in prose


def known_options() -> dict[str, set[str]]:
    """Return each command's options, from the application; old names, which are hidden, are left out."""
    import typer

    from sordine.cli.app import app

    group = typer.main.get_command(app)
    return {
        name: {o for p in made.params if not getattr(p, "hidden", False) for o in (*p.opts, *p.secondary_opts)}
        | {"--help", "--install-completion"}
        for name, made in group.commands.items()  # type: ignore[attr-defined]
    }


def prose(path: Path) -> str:
    return FENCE.sub("", path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("path", ALL, ids=lambda p: str(p.relative_to(HOME)))
def test_commands_in_prose_exist(path: Path) -> None:
    known = known_options()
    for code in re.findall(r"`([^`\n]+)`", prose(path)):
        words = code.split()
        if words[0] == "sordine" and len(words) > 1 and not words[1].startswith("-"):
            assert words[1] in known, code
        command = words[1] if words[0] == "sordine" and len(words) > 1 else words[0]
        if command in known:
            used = {w.split("=")[0] for w in words if re.match(r"--[a-z]", w)}
            assert used <= known[command], f"{code}: {used - known[command]}"


# ------------------------------------------------------------------------------ links


def anchors(path: Path) -> set[str]:
    """Return the anchors of a page's headings, as the site and code hosts make them."""
    found = set(re.findall(r"^\(([\w-]+)\)=$", path.read_text(encoding="utf-8"), re.M))
    for heading in re.findall(r"^#+ +(.*)$", prose(path), re.M):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").strip().lower()
        found.add(re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", plain)))
    return found


@pytest.mark.parametrize("path", ALL, ids=lambda p: str(p.relative_to(HOME)))
def test_links_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(path)):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        assert file.exists(), f"{target} in {path.relative_to(HOME)}"
        if anchor and file.suffix == ".md" and not anchor.startswith("sordine-"):
            assert anchor in anchors(file), f"{target} in {path.relative_to(HOME)}"


def test_documents_named_in_the_code_exist() -> None:
    for path in [*(HOME / "sordine").glob("**/*.py"), *(HOME / "benchmarks").glob("**/*.py")]:
        for name in re.findall(r"docs/[\w./-]+\.(?:md|json)", path.read_text(encoding="utf-8")):
            assert (HOME / name).exists(), f"{name} in {path.relative_to(HOME)}"


# ------------------------------------------------------------------------------ generated parts


def generated() -> Any:
    """Return the module that makes parts of the pages from the code."""
    import importlib.util

    spec = importlib.util.spec_from_file_location("generated", DOCS / "_ext" / "generated.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def asked_parts() -> list[str]:
    """Return the parts that pages ask for."""
    return sorted({w for p in ALL if p.exists() for w in re.findall(r"^```\{generated\} (.*)$", p.read_text(), re.M)})


@pytest.mark.parametrize("words", asked_parts())
def test_generated_part_is_a_table(words: str) -> None:
    made = generated().made(words)
    assert "| --- |" in made or "no options" in made or "autofunction" in made


def test_every_option_of_a_method_is_described() -> None:
    made = generated()
    for name in made.find(*made.REGISTRIES["method"]):
        rows = made.options("method", name).splitlines()[2:]
        empty = [row for row in rows if re.search(r"\|\s*\|\s*$", row)]
        assert not empty, f"{name}: {empty}"


def test_command_line_reference_has_every_command() -> None:
    text = generated().cli()
    assert all(f"## `sordine {name}`" in text for name in known_options())


# ------------------------------------------------------------------------------ CONTRIBUTING


def test_contributed_method_attack_and_extractor_work(
    document_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sordine import Budget, Key, Policy, Run, Table, audit, extract, fit, load, make_method, transform
    from sordine.attacks.registry import ATTACKS
    from sordine.evaluation.options import AuditOptions
    from sordine.features.registry import EXTRACTORS
    from sordine.methods.registry import METHODS

    monkeypatch.syspath_prepend(str(tmp_path))
    names: dict[str, Any] = {}
    for i, block in enumerate(b for b in blocks(HOME / "CONTRIBUTING.md") if b.language == "python"):
        (tmp_path / f"contributed_{i}.py").write_text(block.text, encoding="utf-8")
        names |= vars(importlib.import_module(f"contributed_{i}"))
    added = [(METHODS, "rounding", "Rounding"), (ATTACKS, "centroid", "Centroid"), (EXTRACTORS, "loudness", "Loudness")]
    try:
        for registry, name, cls in added:
            registry.register(name, names[cls])
        extract(document_data / "clips", "loudness", tmp_path / "t.parquet", options={"parts": "4"})
        table = Table.read(tmp_path / "t.parquet")
        assert table.shape == (4,)
        policy, key = Policy(("speaker",), (), ()), Key.of_seed(0)
        fit(table, policy, make_method("rounding", {"step": 0.5}), run=Run(key=key)).save(tmp_path / "m")
        modifier = load(tmp_path / "m")
        released = transform(modifier, table, key)
        budget = Budget(families=("centroid",), settings=("A",))
        options = AuditOptions(pretrained=False)
        report = audit(table, released, policy, modifier=modifier, key=key, budget=budget, options=options)
        assert report.headlines[0].attribute == "speaker"
    finally:
        for registry, name, _ in added:
            registry.unregister(name)

"""Parts of the pages that are made from the code: command line, job file, options, equations, public names.

A page asks for a part with a fenced block, which this extension replaces by Markdown before the page is parsed:

    ```{generated} options transport
    ```

`python docs/_ext/generated.py options transport` prints a part.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import json
import re
import sys
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

HOME = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```\{generated\}[ \t]*(?P<words>[^\n]*)\n```[ \t]*$", re.M)

# ------------------------------------------------------------------------------------ docstrings, leniently


def sections(text: str) -> dict[str, str]:
    """Split a numpydoc docstring into its sections; the text before the first one is under ''."""
    found: dict[str, list[str]] = {"": []}
    lines = inspect.cleandoc(text).splitlines()
    name, i = "", 0
    while i < len(lines):
        following = lines[i + 1] if i + 1 < len(lines) else ""
        if lines[i].strip() and re.fullmatch(r"-{3,}", following.strip()):
            name = lines[i].strip()
            found[name] = []
            i += 2
            continue
        found[name].append(lines[i])
        i += 1
    return {key: "\n".join(part).strip() for key, part in found.items()}


def entries(section: str) -> dict[str, str]:
    """Name -> description of a Parameters or Attributes section."""
    found: dict[str, str] = {}
    names: list[str] = []
    for line in section.splitlines():
        if line and not line[0].isspace():
            names = [name.strip().lstrip("*") for name in line.split(" : ")[0].split(",")]
            found.update(dict.fromkeys(names, ""))
        else:
            for name in names:
                found[name] = f"{found[name]} {line.strip()}".strip()
    return found


def descriptions(cls: type, names: list[str]) -> dict[str, str]:
    """Return field -> description: from numpydoc sections, a string below the field, or `name: text` in prose."""
    parts = sections(cls.__doc__ or "")
    found = {**entries(parts.get("Attributes", "")), **entries(parts.get("Parameters", ""))}
    found = {name: text for name, text in found.items() if name in names and text}
    found = {**below_fields(cls), **found}
    prose = " ".join(parts.get("", "").split())
    one = "|".join(map(re.escape, names))
    marks = list(re.finditer(rf"(?:(?<=^)|(?<=[.;:] ))((?:{one})(?:, (?:{one}))*): ", prose)) if names else []
    for mark, following in zip(marks, [*marks[1:], None], strict=False):
        text = prose[mark.end() : following.start() if following else len(prose)]
        text = re.split(r" Raises ", text)[0].strip().rstrip(".;")
        for name in mark.group(1).split(", "):
            found.setdefault(name, text)
    return found


def below_fields(cls: type) -> dict[str, str]:
    """Field -> the string literal that follows it in the class."""
    try:
        tree = ast.parse(inspect.cleandoc("\n" + inspect.getsource(cls))).body[0]
    except (OSError, TypeError, SyntaxError, IndexError):
        return {}
    found, last = {}, ""
    for node in getattr(tree, "body", []):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            last = node.target.id
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and last:
            found[last] = " ".join(str(node.value.value).split())
            last = ""
        else:
            last = ""
    return found


def summary(thing: Any) -> str:
    """Return the first sentence of a docstring."""
    text = " ".join(sections(thing.__doc__ or "").get("", "").split("\n\n")[0].split())
    return re.split(r"(?<=[.:]) (?=[A-Z`])", text)[0]


# ------------------------------------------------------------------------------------ tables


def cell(text: Any) -> str:
    return " ".join(str(text).replace("|", r"\|").split())


def table(head: list[str], rows: list[list[Any]]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell(c) for c in row) + " |" for row in lines) + "\n"


def of_type(hint: Any) -> str:
    """Return a type in words: `number`, `text`, `true or false`, or the values that may be chosen."""
    origin, inside = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Annotated:
        return of_type(inside[0]) + limits(inside[1:])
    if origin is typing.Literal:
        return " or ".join(f"`{value}`" for value in inside)
    if origin is typing.Union or type(hint).__name__ == "UnionType":
        return " or ".join(dict.fromkeys(of_type(one) for one in inside if one is not type(None)))
    if origin in (tuple, list):
        return "list of " + of_type(inside[0]) if inside else "list"
    if origin is not None and issubclass(origin, Mapping):
        return "names and values"
    words = {int: "whole number", float: "number", str: "text", bool: "true or false", Path: "path"}
    return words.get(hint, getattr(hint, "__name__", str(hint)))


def limits(constraints: tuple[Any, ...]) -> str:
    """Return the range that pydantic holds a field to, as words after its type."""
    signs = {"gt": ">", "ge": ">=", "lt": "<", "le": "<="}
    parts: list[Any] = []
    for one in constraints:
        parts += list(getattr(one, "metadata", [])) or [one]
    found = [
        f"{sign} {getattr(p, key):g}" for p in parts for key, sign in signs.items() if getattr(p, key, None) is not None
    ]
    return f" ({', '.join(found)})" if found else ""


def default_of(value: Any) -> str:
    if value is dataclasses.MISSING or value is inspect.Parameter.empty:
        return "required"
    if value is None or value == "":
        return "not set"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple | list):
        return "`" + ", ".join(map(str, value)) + "`" if value else "none"
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def options_of(cls: type) -> str:
    """Return the table of a dataclass's options."""
    fields = [f for f in dataclasses.fields(cls) if f.init]
    if not fields:
        return "It has no options.\n"
    try:
        hints = typing.get_type_hints(cls, include_extras=True)
    except (NameError, TypeError):
        hints = {}
    about = descriptions(cls, [f.name for f in fields])
    rows = []
    for f in fields:
        value = f.default if f.default_factory is dataclasses.MISSING else f.default_factory()
        rows.append([f"`{f.name}`", default_of(value), of_type(hints.get(f.name, f.type)), about.get(f.name, "")])
    return table(["option", "default", "value", "what it does"], rows)


# ------------------------------------------------------------------------------------ the registries


def find(*places: str) -> Any:
    """Return the first object that exists of several `module:name`."""
    for place in places:
        module, name = place.split(":")
        try:
            return getattr(importlib.import_module(module), name)
        except (ImportError, AttributeError):
            continue
    raise LookupError(f"none of these exists: {', '.join(places)}")


REGISTRIES = {
    "method": ("sordine.methods.registry:METHODS",),
    "extractor": ("sordine.features.registry:EXTRACTORS",),
    "obscure": ("sordine.data.media.obscure.styles:STYLES",),
    "layout": ("sordine.data.layouts.registry:LAYOUTS",),
    "attack": ("sordine.attacks.registry:ATTACKS",),
}


def options(kind: str, name: str | None = None) -> str:
    """Return the table of one class's options, or of all of a registry under headings."""
    registry = find(*REGISTRIES[kind])
    if name is not None:
        made = registry[name]
        return options_of(made) if dataclasses.is_dataclass(made) else arguments_of(made)
    parts = []
    for each in registry:
        made = registry[each]
        body = options_of(made) if dataclasses.is_dataclass(made) else arguments_of(made)
        parts.append(f"**`{each}`** {plain(summary(made))}\n\n{body}")
    return "\n".join(parts)


def arguments_of(function: Callable[..., Any]) -> str:
    """Return the table of a function's keyword arguments."""
    given = [p for p in inspect.signature(function).parameters.values() if p.default is not inspect.Parameter.empty]
    if not given:
        return "It has no options.\n"
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError):
        hints = {}
    parts = sections(function.__doc__ or "")
    about = entries(parts.get("Parameters", ""))
    prose = _Prose(function.__doc__ or "")
    about = {**descriptions(prose, [p.name for p in given]), **{k: v for k, v in about.items() if v}}
    rows = [
        [f"`{p.name}`", default_of(p.default), of_type(hints.get(p.name, str)), about.get(p.name, "")] for p in given
    ]
    return table(["option", "default", "value", "what it does"], rows)


class _Prose:
    """A docstring that `descriptions` can look at."""

    def __init__(self, text: str) -> None:
        self.__doc__ = text


def names(kind: str) -> str:
    """Return the table of a registry: name and first sentence."""
    registry = find(*REGISTRIES[kind])
    return table(["name", "what it is"], [[f"`{n}`", plain(summary(registry[n]))] for n in registry])


def attacks() -> str:
    """Return the table of attacks, with the budgets in which they take part."""
    registry = find(*REGISTRIES["attack"])
    rows = []
    for name in registry:
        budgets = getattr(registry[name], "budgets", ())
        rows.append([f"`{name}`", plain(summary(registry[name])), ", ".join(budgets)])
    return table(["attack", "what it is", "budgets"], rows)


def plain(text: str) -> str:
    return text.replace("*", r"\*").replace("<", "&lt;")


# ------------------------------------------------------------------------------------ the command line


def cli() -> str:
    """Return the reference of every command, from the Typer application."""
    import typer

    group = typer.main.get_command(find("sordine.cli.app:app", "sordine.cli:app"))
    commands = {name: c for name, c in group.commands.items() if not c.hidden}  # type: ignore[attr-defined]
    rows = [[f"[`{name}`](#sordine-{name})", first_line(c.help)] for name, c in commands.items()]
    return table(["command", "what it does"], rows) + "\n" + "\n".join(command(name, c) for name, c in commands.items())


def first_line(text: str | None) -> str:
    return (text or "").strip().split("\n")[0]


def command(name: str, made: Any) -> str:
    """Return the section of one command."""
    import typer

    arguments = [p for p in made.params if p.param_type_name == "argument"]
    chosen = [p for p in made.params if p.param_type_name == "option" and not getattr(p, "hidden", False)]
    words = [p.metavar or p.name.upper() for p in arguments]
    words = [w if p.required else f"[{w}]" for w, p in zip(words, arguments, strict=True)]
    lines = [f"(sordine-{name})=", f"## `sordine {name}`", "", plain(inspect.cleandoc(made.help or "")), ""]
    lines += ["```text", " ".join(["sordine", name, *words, "[OPTIONS]"]), "```", ""]
    rows = [[f"`{w.strip('[]')}`", "", getattr(p, "help", "") or ""] for w, p in zip(words, arguments, strict=True)]
    context = typer.Context(made) if hasattr(typer, "Context") else None
    rows += [[option_name(p, context), shown_default(p), p.help or ""] for p in chosen]
    if rows:
        lines.append(table(["argument or option", "default", "meaning"], [[*r[:2], plain(r[2])] for r in rows]))
    return "\n".join(lines) + "\n"


def option_name(option: Any, context: Any) -> str:
    value = "" if getattr(option, "is_flag", False) else f" {option.metavar or option.name.upper()}"
    spelled = ", ".join(f"`{o}`" for o in sorted(option.opts, key=len)) + "".join(
        f", `{o}`" for o in option.secondary_opts
    )
    return spelled + (f" `{value.strip()}`" if value else "") + (" (required)" if option.required else "")


def shown_default(option: Any) -> str:
    value = option.default
    if value is None or value is False or callable(value) or not isinstance(value, str | int | float | Path):
        return ""
    return f"`{value}`"


# ------------------------------------------------------------------------------------ the job file


def job() -> str:
    """Return the keys of a job file, from its schema."""
    made = find("sordine.workflow.job:Job")
    schema = made.model_json_schema()
    parts = [properties(schema, schema)]
    for name, part in schema.get("$defs", {}).items():
        if part.get("properties"):
            used = [k for k, v in schema["properties"].items() if name in json.dumps(v)]
            title = f"`{used[0]}` ({name})" if used else f"`{name}`"
            parts.append(f"## Keys of {title}\n\n{plain(part.get('description', ''))}\n\n{properties(part, schema)}")
    return "## Keys of a job\n\n" + "\n".join(parts)


def properties(part: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    rows = []
    for name, value in part["properties"].items():
        needed = " (required)" if name in part.get("required", []) else ""
        rows.append(
            [f"`{name}`{needed}", json_type(value, schema), json_default(value), plain(value.get("description", ""))]
        )
    return table(["key", "value", "default", "meaning"], rows)


def json_default(value: Mapping[str, Any]) -> str:
    if value.get("default") in (None, [], {}, ""):
        return ""
    return f"`{json.dumps(value['default'])}`" if not isinstance(value["default"], dict) else ""


def json_type(value: Mapping[str, Any], schema: Mapping[str, Any]) -> str:
    """Return the type of a JSON property in words."""
    if "anyOf" in value:
        return " or ".join(dict.fromkeys(json_type(v, schema) for v in value["anyOf"] if v.get("type") != "null"))
    if "$ref" in value:
        name = value["$ref"].split("/")[-1]
        return f"`{name}`" if "properties" in schema["$defs"][name] else "text or number"
    if "allOf" in value:
        return json_type(value["allOf"][0], schema)
    if "enum" in value or "const" in value:
        return " or ".join(f"`{json.dumps(v)}`" for v in value.get("enum", [value.get("const")]))
    words = {"integer": "whole number", "string": "text", "boolean": "true or false", "object": "names and values"}
    if value.get("type") == "array":
        return "list of " + json_type(value.get("items", {}), schema)
    if value.get("format") == "path":
        return "path"
    return words.get(value.get("type", ""), value.get("type", "any value"))


def report_schema() -> str:
    """Return the keys of a report, from its JSON Schema."""
    schema = json.loads((HOME / "docs" / "report.schema.json").read_text(encoding="utf-8"))
    parts = ["## Keys of a report\n\n" + properties(schema, schema)]
    for name, part in sorted(schema.get("$defs", {}).items()):
        if part.get("properties"):
            parts.append(f"## {name}\n\n{plain(part.get('description', ''))}\n\n{properties(part, schema)}")
    return "\n".join(parts)


# ------------------------------------------------------------------------------------ equations


def equations() -> str:
    """Return the catalogue equation -> paper -> function, from the References sections of the package's docstrings."""
    papers = find("sordine.methods.references:PAPERS")
    rows: dict[str, list[list[str]]] = {}
    for path in sorted((HOME / "sordine").glob("**/*.py")):
        for paper, row in equation_rows(path):
            rows.setdefault(paper, []).append(row)
    ordered = [p for p in papers if p in rows] + [p for p in rows if p not in papers]
    head = ["equation", "function or class", "what it is or returns", "remark"]
    parts = [
        f"## {name}\n\n{plain(papers.get(name, ''))}\n\n"
        + table(head, sorted(rows[name], key=lambda row: natural(row[0])))
        for name in ordered
    ]
    return "\n".join(parts) or "No docstring names a source.\n"


def equation_rows(path: Path) -> list[tuple[str, list[str]]]:
    """Return (paper, row) for each source that a public class or function of a file names."""
    references = find("sordine.methods.references:references")
    module = ".".join(path.relative_to(HOME).with_suffix("").parts).removesuffix(".__init__")
    rows = []
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name.startswith("_"):
            continue
        text = ast.get_docstring(node) or ""
        for source in references(_Prose(text)):
            first = plain(summary(_Prose(text)))
            year = f"{source.year}, {source.place}" if source.paper == "MaSS" else source.place
            rows.append((source.paper, [year, f"`{module}.{node.name}`", first, plain(source.remark)]))
    return rows


def natural(text: str) -> list[Any]:
    """Return a key that sorts eq. 9 before eq. 10."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in re.split(r"(\d+)", text)]


# ------------------------------------------------------------------------------------ public names

GROUPS = {
    "Describe the data and the policy": ("Table", "Policy", "ALL_OTHERS", "Key", "Run"),
    "Do the work": ("extract", "fit", "transform", "audit", "release"),
    "Search for an option": ("fit_under_limit", "sweep", "compare"),
    "Fitted modifiers and reports": ("Modifier", "Budget", "Report", "read_report", "write_report"),
    "Make and load methods": ("load", "make_method"),
    "Other": ("Suppressor", "SordineError"),
}


def api() -> str:
    """Return autodoc directives for every public name of the package."""
    import sordine

    listed = {name for group in GROUPS.values() for name in group}
    groups = {**GROUPS, "Further names": tuple(n for n in sordine.__all__ if n not in listed)}
    parts = []
    for title, members in groups.items():
        members = tuple(n for n in members if n in sordine.__all__)
        if not members:
            continue
        parts.append(f"## {title}\n")
        for name in members:
            thing = getattr(sordine, name)
            parts.append("```{eval-rst}")
            if inspect.isclass(thing):
                parts.append(f".. autoclass:: sordine.{name}\n   :members:\n")
            elif callable(thing):
                parts.append(f".. autofunction:: sordine.{name}\n")
            else:
                parts.append(f".. autodata:: sordine.{name}\n   :no-value:\n")
            parts.append("```\n")
    return "\n".join(parts)


PARTS: dict[str, Callable[..., str]] = {
    "cli": cli,
    "job": job,
    "report_schema": report_schema,
    "options": options,
    "names": names,
    "attacks": attacks,
    "equations": equations,
    "api": api,
}


def made(words: str) -> str:
    """Return the Markdown of one part; words: its name and arguments."""
    name, *arguments = words.split()
    return PARTS[name](*arguments)


def replace_blocks(text: str) -> str:
    """Put every generated part into the text of a page."""
    return BLOCK.sub(lambda mark: made(mark["words"]), text)


def _source_read(app: Any, name: str, source: list[str]) -> None:
    source[0] = replace_blocks(source[0])


def _escape(app: Any, what: str, name: str, thing: Any, opts: Any, lines: list[str]) -> None:
    """Docstrings are plain text: what reStructuredText would take for markup is escaped."""
    for i, line in enumerate(lines):
        if re.match(r"\s*\*{0,2}\w+( : |$)", line) or line.startswith(".. ["):
            continue
        parts = re.split(r"(`[^`]*`)", line)
        lines[i] = "".join(p if p.startswith("`") else re.sub(r"([*|]|(?<=\w)_\b)", r"\\\1", p) for p in parts)


def _skip(app: Any, what: str, name: str, thing: Any, skip: bool, opts: Any) -> bool | None:
    """Leave out what scikit-learn and torch add to a class."""
    if re.fullmatch(r"set_\w+_request|get_metadata_routing", name):
        return True
    module = getattr(thing, "__module__", None) or ""
    return True if module and not module.startswith("sordine") and callable(thing) else None


def setup(app: Any) -> dict[str, Any]:
    app.connect("source-read", _source_read)
    app.connect("autodoc-process-docstring", _escape, priority=100)
    app.connect("autodoc-skip-member", _skip)
    return {"version": "1", "parallel_read_safe": True}


if __name__ == "__main__":
    print(made(" ".join(sys.argv[1:])))

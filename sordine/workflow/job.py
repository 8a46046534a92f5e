"""The job file: a whole job in YAML, every key of which is checked before any data is loaded.

`python -m sordine.workflow.job` prints its JSON Schema, which is docs/job.schema.json.
"""

from __future__ import annotations

import json
import os
from collections.abc import Hashable
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema

from sordine.data.hostile import check_plain, read_limited
from sordine.data.reading.files import parts_in
from sordine.errors import SordineError, nearest
from sordine.policy import ALL_OTHERS, Policy


def _split(value: Any) -> Any:
    if value is None:
        return ()
    if isinstance(value, str):
        value = [name.strip() for name in value.split(",") if name.strip()]
    return () if value == ["none"] else value


_NAMES = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
Names = Annotated[tuple[str, ...], BeforeValidator(_split), WithJsonSchema(_NAMES)]
Watched = Annotated[
    tuple[str, ...] | Literal["all others"],
    BeforeValidator(lambda value: value if value == ALL_OTHERS else _split(value)),
    WithJsonSchema(_NAMES),
]


def _in_commas(value: Any) -> Any:
    # [8, 16] becomes 8,16, as --option takes it.
    plain = isinstance(value, list) and all(isinstance(v, int | float | str) and "," not in str(v) for v in value)
    return ",".join(map(str, value)) if plain and value else value


_ONE = {"anyOf": [{"type": t} for t in ("boolean", "integer", "number", "string")]}
Setting = Annotated[
    bool | int | float | str,
    BeforeValidator(_in_commas),
    WithJsonSchema({"anyOf": [*_ONE["anyOf"], {"type": "array", "items": _ONE, "minItems": 1}]}),
]


JOB_BYTES, JOB_DEPTH, JOB_NODES = 1 << 20, 20, 10_000


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class PolicyPart(_Part):
    """Which attributes to suppress, to preserve and to watch."""

    suppress: Names = ()
    """Attributes that must not be inferable from released records: a list, or names separated by commas."""
    preserve: Names = ()
    """Attributes that must stay inferable."""
    watch: Watched = ALL_OTHERS
    """Attributes that the method does not use and the audit attacks; `none` for none. Default: all others."""


class AuditPart(_Part):
    """How hard the audit tries, and what its report may show."""

    budget: Literal["quick", "standard", "paranoid"] = "standard"
    """The attacks that are run unless the other keys change them: a first look, the standard audit, or all attacks."""
    families: Names = ()
    """Families of attacks; empty: those of the budget."""
    settings: Names = ()
    """Scenarios of the threat model (A, B, C); empty: all of them."""
    seeds: Annotated[tuple[int, ...], Field(min_length=1)] = (0,)
    """Seeds of the attacks; all attacks are run once for each."""
    folds: Annotated[int, Field(ge=2)] | None = None
    """Folds of the cross-validation."""
    max_records: Annotated[int, Field(ge=20)] | None = None
    """Largest number of records that an attack is trained on."""
    known: tuple[Annotated[float, Field(gt=0, lt=1)], ...] | None = None
    """Shares of the classes of fitted records that an attacker knows; `[]` leaves this attacker out. Default: those of
    the budget."""
    more: Path | None = None
    """A table of labelled original records that only the attacker has, as further training records."""
    person: str | None = None
    """The attribute that names the person a record belongs to, for attacks on several records of a person.
    Default: the groups."""
    max_leakage: Annotated[float, Field(ge=0, le=1)] | None = None
    """Largest leakage. Where more is found the job fails (exit code 1) and nothing is released."""
    originals: bool = True
    """Whether the report may show original records."""
    pdf: bool = False
    """Whether to write the report as PDF too (report.pdf; needs WeasyPrint)."""
    pretrained: bool = True
    """Whether to test classifiers of the originals that are never retrained. Their failure is not privacy."""


class Job(_Part):
    """A whole job. Paths are relative to the job file."""

    source: Path
    """A table (Parquet or CSV), or a media folder or raw table for `extractor`."""
    extractor: str | None = None
    """The extractor that makes vectors of the source (docs/guide/extractors.md); none for a table of vectors."""
    options: dict[str, Setting] = {}
    """Options of the extractor."""
    weights: Path | None = None
    """A file of weights for the extractor; by default it finds its own, or learns them from the source."""
    layout: str | None = None
    """The data set whose layout the media folder has (docs/guide/layouts.md); by default it is detected."""
    layout_options: dict[str, Setting] = {}
    """Options of the layout."""
    features: Names = ()
    """The feature column or the channel columns; by default they are found by type."""
    read: dict[str, Setting] = {}
    """How the source is read: separator, decimal, encoding, nulls, rename, multi_label, label_separator,
    normalise_labels (docs/guide/tables.md)."""
    skip_bad: bool = False
    """Leave out files that cannot be decoded instead of stopping."""
    media: bool = False
    """Release copies of the source's files instead of vectors (for methods that draw substitutes), and show some in
    the report."""
    pictures: bool = False
    """Release pictures as files instead of a table of pictures (for methods that release pictures)."""
    raw_views: bool = False
    """Make MaSS's two views of a record from its file (B.1), four pairs for each record, instead of from its vector."""
    policy: PolicyPart
    """Which attributes to suppress, to preserve and to watch."""
    method: str | None = None
    """The method; by default the one that protects best under the policy."""
    settings: dict[str, Setting] = {}
    """Options of the method."""
    records_per_person: Annotated[int, Field(ge=1)] | None = None
    """Fit the most useful strength whose forecast leakage from so many records of one person is under 10 %. Where none
    is, the job fails (exit code 1) and fits nothing. Default: the strength that `settings` say."""
    pool: Path | None = None
    """A table whose records may be released in place of the source's own (substitution)."""
    key: Path | None = None
    """The key file; by default one is made beside the modifier."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Seed of the training."""
    device: str = "cpu"
    """Where to train: cpu, cuda or cuda:N."""
    workers: Annotated[int, Field(ge=1)] = 2
    """Threads; the result does not depend on it."""
    keep: Names | None = None
    """Columns to write beside the records; by default the preserved attributes, `none` for none."""
    audit: AuditPart | Literal[False] = AuditPart()
    """How hard the audit tries; `false` for no audit."""
    release: bool = True
    """Whether to write the folder that may leave."""
    despite_findings: bool = False
    """Release even what the audit found to leak."""
    out: Path | None = None
    """The folder for all results; by default JOB-out beside JOB.yaml."""

    def policy_of(self) -> Policy:
        """Return the policy.

        Raises
        ------
        SordineError
            Where an attribute has two roles.
        """
        return Policy(self.policy.suppress, self.policy.preserve, self.policy.watch)


class _Loader(yaml.SafeLoader):
    """Safe YAML in which no key may be repeated, and of limited depth and size, its aliases written out."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._sizes: dict[int, int] = {}  # id of a node -> how many nodes it is when its aliases are written out

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        event: Any = self.peek_event()
        mark, is_alias = event.start_mark, isinstance(event, yaml.AliasEvent)
        self._depth += 1
        if self._depth > JOB_DEPTH:
            raise yaml.MarkedYAMLError(problem="it is nested too deeply", problem_mark=mark)
        node = super().compose_node(parent, index)
        self._depth -= 1
        if is_alias and id(node) not in self._sizes:
            raise yaml.MarkedYAMLError(problem="an alias refers to what contains it", problem_mark=mark)
        children: list[Any] = []
        if isinstance(node, yaml.MappingNode):
            children = [part for pair in node.value for part in pair]
        elif isinstance(node, yaml.SequenceNode):
            children = node.value
        size = 1 + sum(self._sizes[id(child)] for child in children)
        if size > JOB_NODES:
            raise yaml.MarkedYAMLError(problem="it has too many values", problem_mark=mark)
        self._sizes[id(node)] = size
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        known = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in known:
                raise yaml.MarkedYAMLError(problem=f"key {key!r} is given twice", problem_mark=key_node.start_mark)
            known.add(key)
        return super().construct_mapping(node, deep)

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (ValueError, ArithmeticError, LookupError, AttributeError):  # a date or a number that is none
            value = str(node.value)[:40] if isinstance(node, yaml.ScalarNode) else node.tag
            raise yaml.MarkedYAMLError(
                problem=f"{value!r} is not a value; put text in quotes", problem_mark=node.start_mark
            ) from None


def read_job(path: str | Path) -> Job:
    """Return the job of a file, checked, with its paths resolved.

    Raises
    ------
    SordineError
        In one line: for a missing file, for text that is not YAML (with the line), for an unknown key (with the nearest
        known one), for a wrong value (with its place), a policy that contradicts itself, or a missing source.
    """
    path = Path(path)
    raw = _loaded(path)
    try:
        job = Job.model_validate(raw)
    except ValidationError as error:
        raise SordineError(f"{path.name}: {_first(error)}") from None
    try:
        job.policy_of()
    except SordineError as error:
        raise SordineError(f"{path.name}: {error}") from None
    job = _resolved(job, path)
    if job.extractor is None and job.source.is_dir() and not parts_in(job.source):
        raise SordineError(
            f"{path.name}: source: {job.source} is a folder: add an extractor (logmel, encoder, windows, columns ...)"
        )
    for field in ("options", "weights", "layout", "layout_options", "media", "raw_views"):
        if job.extractor is None and getattr(job, field):
            raise SordineError(f"{path.name}: {field}: the job has no extractor: add one, or remove {field}")
    return job


def described(job: Job) -> dict[str, Any]:
    """Return the job as a report may show it: keys that differ from their default, files by name, no key and no folder.

    So another person can write the same job file.
    """
    return _by_name(job.model_dump(mode="python", exclude_defaults=True, exclude={"key", "out", "workers"}))


def _by_name(found: Any) -> Any:
    if isinstance(found, dict):
        return {name: _by_name(value) for name, value in found.items()}
    if isinstance(found, list | tuple):
        return [_by_name(value) for value in found]
    if isinstance(found, Path) or (isinstance(found, str) and found.startswith(("/", "~", "."))):
        return Path(found).name
    return found


def _loaded(path: Path) -> dict[str, Any]:
    """The mapping in a YAML file."""
    try:
        raw = yaml.load(read_limited(path, JOB_BYTES).decode("utf-8"), _Loader)
        check_plain(raw, JOB_DEPTH)
    except FileNotFoundError:
        raise SordineError(f"{path} does not exist") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SordineError(f"{path} cannot be loaded: {getattr(error, 'strerror', None) or 'not UTF-8 text'}") from None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f", line {mark.line + 1}" if mark is not None else ""
        raise SordineError(f"{path}{line}: {error.problem or 'not YAML'}") from None
    except (yaml.YAMLError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise SordineError(f"{path} is not a job: {reason}") from None
    if not isinstance(raw, dict):
        raise SordineError(
            f"{path} is not a job: it needs source and policy; python -m sordine.workflow.job prints the schema"
        )
    return raw


def _resolved(job: Job, path: Path) -> Job:
    """The job with absolute paths. Raises SordineError where a file that it names does not exist."""
    base = path.absolute().parent
    out = base / (job.out if job.out is not None else f"{path.stem}-out")
    absolute = {
        name: _plain(base / value)
        for name in ("source", "pool", "key", "weights")
        if (value := getattr(job, name)) is not None
    }
    job = job.model_copy(update={**absolute, "out": out})
    if isinstance(job.audit, AuditPart) and job.audit.more is not None:
        more = _plain(base / job.audit.more)
        if not more.is_file():
            raise SordineError(f"{path.name}: audit.more: {more} does not exist")
        job = job.model_copy(update={"audit": job.audit.model_copy(update={"more": more})})
    for name in absolute:
        if not getattr(job, name).exists():
            raise SordineError(f"{path.name}: {name}: {getattr(job, name)} does not exist")
    return job


def _plain(path: Path) -> Path:
    """The path without `..`, where that is the same file: behind a symbolic link it may be another one."""
    short = Path(os.path.normpath(path))
    return short if path.exists() and short.exists() and short.samefile(path) else path


def _first(error: ValidationError) -> str:
    """The first error with its place, in one line. An unknown key comes before all others."""
    found = sorted(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    first = found[0]
    # The place also contains members of a union, which are not keys.
    *inner, last = first["loc"] or ("",)
    place = [str(part) for part in inner if not _of_union(part)]
    # An unknown key may have any name; it is always the last part.
    if first["type"] == "extra_forbidden" or not _of_union(last):
        place.append(str(last))
    where = ".".join(place)
    if first["type"] == "extra_forbidden":
        return f"{where}: unknown key; {nearest(place[-1], _keys(place[:-1]))}"
    if first["type"] == "missing":
        return f"{where}: is missing"
    given = json.dumps(first["input"], default=str)
    return f"{where}: {first['msg'][:1].lower()}{first['msg'][1:]}, not {given[:60]}"


def _of_union(part: int | str) -> bool:
    return isinstance(part, str) and (part in ("AuditPart", "int", "float", "bool", "str") or "[" in part)


def _keys(place: list[str]) -> list[str]:
    """The keys that are known at a place in the job file."""
    parts: dict[str, type[BaseModel]] = {"policy": PolicyPart, "audit": AuditPart}
    return list(parts.get(place[0] if place else "", Job).model_fields)


def schema_text() -> str:
    """Return the contents of docs/job.schema.json."""
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema"}
    return json.dumps(head | Job.model_json_schema() | {"title": "Sordine job"}, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    print(schema_text(), end="")

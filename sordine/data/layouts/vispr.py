"""VISPR: pictures with 68 visual privacy attributes, one JSON file a picture."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from sordine.data.layouts.reading import (
    TEST,
    TRAIN,
    VALIDATION,
    Missing,
    Validation,
    existing_records,
    names_in,
    parsed,
    table_of,
    with_usage,
)
from sordine.data.media.kinds import IMAGE, Media
from sordine.errors import SordineError

PARTS = {"train2017": TRAIN, "val2017": VALIDATION, "test2017": TEST}
# The five attributes of PA-HMDB51 as attributes of VISPR, which has several for a face and a relationship.
FIVE = {
    "skin_color": ("a17_color",),
    "face": ("a9_face_complete", "a10_face_partial"),
    "gender": ("a4_gender",),
    "nudity": ("a12_semi_nudity",),
    "relationship": ("a64_rel_personal", "a65_rel_social"),
}
SAFE = "a0_safe"
# fmt: off
ATTRIBUTES = (
    SAFE, "a1_age_approx", "a2_weight_approx", "a3_height_approx", "a4_gender", "a5_eye_color", "a6_hair_color",
    "a7_fingerprint", "a8_signature", "a9_face_complete", "a10_face_partial", "a11_tattoo", "a12_semi_nudity",
    "a13_full_nudity", "a16_race", "a17_color", "a18_ethnic_clothing", "a19_name_full", "a20_name_first",
    "a21_name_last", "a23_birth_city", "a24_birth_date", "a25_nationality", "a26_handwriting", "a27_marital_status",
    "a29_ausweis", "a30_credit_card", "a31_passport", "a32_drivers_license", "a33_student_id", "a35_mail",
    "a37_receipt", "a38_ticket", "a39_disability_physical", "a41_injury", "a43_medicine", "a46_occupation",
    "a48_occassion_work", "a49_phone", "a55_religion", "a56_sexual_orientation", "a57_culture", "a58_hobbies",
    "a59_sports", "a60_occassion_personal", "a61_opinion_general", "a62_opinion_political", "a64_rel_personal",
    "a65_rel_social", "a66_rel_professional", "a67_rel_competitors", "a68_rel_spectators", "a69_rel_views",
    "a70_education_history", "a73_landmark", "a74_address_current_complete", "a75_address_current_partial",
    "a78_address_home_complete", "a79_address_home_partial", "a82_date_time", "a85_username", "a90_email",
    "a92_email_content", "a97_online_conversation", "a99_legal_involvement", "a102_vehicle_ownership",
    "a103_license_plate_complete", "a104_license_plate_partial",
)
# fmt: on
ANNOTATIONS = ("{}", "annotations/{}", "{}_anno", "{}_annotation", "{}_annotations", "{}_anno/{}")


@dataclass(frozen=True)
class Vispr:
    """VISPR: `train2017/`, `val2017/` and `test2017/`, those that exist, with pictures and their annotations.

    An annotation is JSON with `labels`, a list of attribute ids. It lies beside its picture under the same name, or in
    `annotations/<part>/`, `<part>_anno/` or `<part>_annotation(s)/`. Columns are "yes" or "no". A picture without an
    annotation is left out and counted in the notes.

    Source: tribhuvanesh/vpa and Orekondy, Schiele and Fritz, arXiv 1703.10660; the choice of seven attributes as in Wu
    et al., arXiv 1906.05675, and code around it.

    Parameters
    ----------
    attributes
        `five` has skin_color, face, gender, nudity and relationship, each "yes" where one of VISPR's own attributes is
        present: the seven that work on PA-HMDB51 takes from VISPR (a17_color; a9_face_complete or a10_face_partial;
        a4_gender; a12_semi_nudity; a64_rel_personal or a65_rel_social). `all` has the 68 by their own names.
    validation
        Side of `val2017`: `train`, `test` or `drop`.
    missing
        `error` or `skip`, for annotations without a picture.
    """

    attributes: Literal["five", "all"] = "five"
    validation: Validation = "train"
    missing: Missing = "error"

    marks: ClassVar[tuple[str, ...]] = (
        "train2017/*.json",
        "annotations/train2017",
        "train2017_anno",
        "train2017_annotation",
    )

    def read(self, root: Path) -> Media:
        """Return the pictures. Raises SordineError where a file is wrong, or names an unknown attribute."""
        wanted = FIVE if self.attributes == "five" else {name: (name,) for name in ATTRIBUTES}
        columns: dict[str, list[str]] = defaultdict(list)
        usage, there, unlabelled = [], set[str](), 0
        parts = [part for part in PARTS if (root / part).is_dir()]
        if not parts:
            raise SordineError(f"{root} has none of {', '.join(p + '/' for p in PARTS)}; add one")
        for part in parts:
            home, files = _annotations(root, part)
            pictures = {name.rpartition(".")[0]: name for name in names_in(root / part) if _is_picture(name)}
            there |= {f"{part}/{name}" for name in pictures.values()}
            unlabelled += len(pictures.keys() - {name.removesuffix(".json") for name in files})
            for name in files:
                stem = name.removesuffix(".json")
                labels = _labels(home / name)
                columns["file_name"].append(f"{part}/{pictures.get(stem, stem + '.jpg')}")
                for column, any_of in wanted.items():
                    columns[column].append("no" if labels.isdisjoint(any_of) else "yes")
                usage.append(PARTS[part])
        records, more = with_usage(table_of(columns), usage, self.validation)
        records, notes = existing_records(records, there, root, self.missing)
        if unlabelled:
            notes.append(f"{unlabelled} pictures are left out: they have no annotation.")
        if absent := [part for part in PARTS if part not in parts]:
            notes.append(f"The folder has no {' and no '.join(absent)}.")
        return Media(root, "image", records, tuple(notes + more))


def _annotations(root: Path, part: str) -> tuple[Path, list[str]]:
    for pattern in ANNOTATIONS:
        home = root / pattern.format(part, part)
        found = sorted(name for name in names_in(home) if name.endswith(".json"))
        if found:
            return home, found
    places = ", ".join(pattern.format(part, part) + "/" for pattern in ANNOTATIONS)
    raise SordineError(f"{root} has no annotations of {part}; put .json files in one of {places}")


def _is_picture(name: str) -> bool:
    return "." + name.rpartition(".")[2].lower() in IMAGE


def _labels(path: Path) -> set[str]:
    """Return the attributes of one annotation."""
    found = parsed(path)
    labels = found.get("labels") if isinstance(found, dict) else None
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise SordineError(f"{path} needs a list named 'labels' of attribute names")
    if unknown := set(labels).difference(ATTRIBUTES):
        raise SordineError(f"{path}: {min(unknown)} is not an attribute of VISPR")
    return set(labels)

"""MotionSense: telephones in the pockets of 24 people, six activities in 15 trials, 50 samples a second."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.csv

from sordine.data.layouts.reading import TEST, TRAIN, checked, first_file, first_folder, folders_in, names_in, rows
from sordine.errors import SordineError

RECORDINGS = (
    "A_DeviceMotion_data/A_DeviceMotion_data",
    "data/A_DeviceMotion_data/A_DeviceMotion_data",
    "A_DeviceMotion_data",
    "data/A_DeviceMotion_data",
)
PEOPLE = ("data_subjects_info.csv", "data/data_subjects_info.csv")
ACTIVITIES = {
    "dws": "downstairs",
    "ups": "upstairs",
    "wlk": "walking",
    "jog": "jogging",
    "sit": "sitting",
    "std": "standing",
}
CHANNELS = {
    "acc_x": "userAcceleration.x",
    "acc_y": "userAcceleration.y",
    "acc_z": "userAcceleration.z",
    "gyro_x": "rotationRate.x",
    "gyro_y": "rotationRate.y",
    "gyro_z": "rotationRate.z",
}
GENDERS = {"0": "female", "1": "male"}
NUMBERS = {"age": "age", "height_cm": "height", "weight_kg": "weight"}

_FOLDER = re.compile(r"([a-z]+)_(\d+)")
_FILE = re.compile(r"sub_(\d+)\.csv")


def read_motion(
    root: str | Path,
    window: int = 128,
    step: int = 128,
    trials: Iterable[int] | None = None,
    *,
    test_trials: Iterable[int] = (),
    group: Literal["none", "recording", "trial"] = "none",
) -> pa.Table:
    """`A_DeviceMotion_data/<activity>_<trial>/sub_<n>.csv` with `data_subjects_info.csv`, cut into windows.

    A table for the extractor `windows`: id, subject ("sub_01"), activity, trial, window (its number in the recording),
    gender, age, height_cm, weight_kg, and six list columns of `window` float32: acc_* in g (userAcceleration), gyro_* in
    rad/s (rotationRate). Windows begin every `step` samples from the start of a recording; the incomplete rest is dropped.
    trials: which to read (they are numbered 1 to 16 over all activities, without 10), by default all. test_trials: gives the
    column `split`; the set's authors test on the short trials 11 to 16. group: a column that keeps the windows of one
    recording together, or of one trial of all people. Windows that overlap are only honest with one of the two.
    Raises SordineError naming the file where one is wrong, or where no recording is as long as a window.
    Source: mmalekzadeh/motion-sense (files and columns); Malekzadeh et al., IoTDI 2019.
    """
    root = Path(root)
    checked("group", group, ("none", "recording", "trial"))
    for option, value in (("window", window), ("step", step)):
        if not isinstance(value, int) or value < 1:
            raise SordineError(f"{option}={value!r} is not a whole number from 1 up")
    home = first_folder(root, RECORDINGS, "folder of recordings")
    people = _people(root)
    folders = _folders(home)
    wanted = _known(trials, "trials", folders) if trials is not None else {t for _, t in folders}
    tested = _known(test_trials, "test_trials", folders)
    columns: dict[str, list[Any]] = defaultdict(list)
    signals: dict[str, list[np.ndarray]] = {name: [] for name in CHANNELS}
    for (activity, trial), folder in sorted(folders.items(), key=lambda item: (item[0][1], item[0][0])):
        if trial not in wanted:
            continue
        for number, name in sorted(_recordings(home / folder)):
            path = home / folder / name
            if number not in people:
                raise SordineError(f"{root} does not describe the person of {path}")
            samples = _samples(path)
            starts = range(0, len(samples) - window + 1, step)
            for at, channel in enumerate(CHANNELS):
                signals[channel] += [samples[s : s + window, at] for s in starts]
            who, n = f"sub_{number:02d}", len(starts)
            columns["id"] += [f"{who}/{folder}/{w:03d}" for w in range(n)]
            columns["subject"] += [who] * n
            columns["activity"] += [ACTIVITIES[activity]] * n
            columns["trial"] += [trial] * n
            columns["window"] += range(n)
            for label, value in people[number].items():
                columns[label] += [value] * n
            if tested:
                columns["split"] += [TEST if trial in tested else TRAIN] * n
            if group != "none":
                columns["group"] += [f"{who}/{folder}" if group == "recording" else folder] * n
    if not columns["id"]:
        raise SordineError(f"{home} has no recording of {window} samples or more in the trials asked for")
    made = {name: pa.array(values) for name, values in columns.items()}
    for channel, pieces in signals.items():
        flat = pa.array(np.concatenate(pieces), pa.float32())
        made[channel] = pa.FixedSizeListArray.from_arrays(flat, window)
    return pa.table(made)


def _people(root: Path) -> dict[int, dict[str, Any]]:
    path = first_file(root, PEOPLE)
    if path is None:
        raise SordineError(f"{root} has none of {', '.join(PEOPLE)}")
    people = {}
    for line, row in rows(path, ("code", "gender", *NUMBERS.values())):
        for name in ("code", *NUMBERS.values()):
            if not row[name].isdecimal():
                raise SordineError(f"{path} line {line}: {name} is {row[name]!r}, not a whole number")
        if row["gender"] not in GENDERS:
            raise SordineError(f"{path} line {line}: gender is {row['gender']!r}, not 0 or 1")
        numbers = {label: int(row[name]) for label, name in NUMBERS.items()}
        people[int(row["code"])] = {"gender": GENDERS[row["gender"]], **numbers}
    return people


def _folders(home: Path) -> dict[tuple[str, int], str]:
    """(Activity, trial) -> the folder of its recordings."""
    found = {}
    for name in folders_in(home):
        match = _FOLDER.fullmatch(name)
        if not match or match[1] not in ACTIVITIES:
            raise SordineError(f"{home / name} is not called <activity>_<trial>; activities: {', '.join(ACTIVITIES)}")
        found[match[1], int(match[2])] = name
    if not found:
        raise SordineError(f"{home} has no folder called <activity>_<trial>")
    return found


def _known(trials: Iterable[int], option: str, folders: dict[tuple[str, int], str]) -> set[int]:
    there = {trial for _, trial in folders}
    asked = set(trials)
    for trial in sorted(asked):
        if trial not in there:
            raise SordineError(f"{option}: there is no trial {trial}; known: {', '.join(map(str, sorted(there)))}")
    return asked


def _recordings(folder: Path) -> list[tuple[int, str]]:
    """(Number of the person, file name) of each recording."""
    found = []
    for name in names_in(folder):
        match = _FILE.fullmatch(name)
        if not match:
            raise SordineError(f"{folder / name} is not called sub_<number>.csv")
        found.append((int(match[1]), name))
    return found


def _samples(path: Path) -> np.ndarray:
    """The six channels of one recording: (samples, 6) float32."""
    try:
        options = pa.csv.ConvertOptions(
            include_columns=list(CHANNELS.values()), column_types=dict.fromkeys(CHANNELS.values(), pa.float64())
        )
        table = pa.csv.read_csv(path, convert_options=options)
    except (pa.ArrowException, KeyError, OSError, UnicodeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise SordineError(f"{path} cannot be read as a recording: {reason}") from None
    samples = np.stack([table[name].to_numpy() for name in CHANNELS.values()], axis=1).astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(samples).all(axis=1))
    if len(bad):
        raise SordineError(f"{path} line {bad[0] + 2}: a channel is empty or not a finite number")
    return samples

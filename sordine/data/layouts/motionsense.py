"""MotionSense: telephones in the pockets of 24 people, six activities in 15 trials, 50 samples a second."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.csv

from sordine.data.layouts.reading import TEST, TRAIN, check_choice, first_file, first_folder, folders_in, names_in, rows
from sordine.errors import SordineError

RECORDINGS = (
    "A_DeviceMotion_data/A_DeviceMotion_data",
    "data/A_DeviceMotion_data/A_DeviceMotion_data",
    "A_DeviceMotion_data",
    "data/A_DeviceMotion_data",
)
MARKS = ("A_DeviceMotion_data", "data/A_DeviceMotion_data")  # a folder with one of these has this layout
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
    """Return the windows of MotionSense as a table for the extractor `windows`.

    The folder has `A_DeviceMotion_data/<activity>_<trial>/sub_<n>.csv` with `data_subjects_info.csv`. Columns: id,
    subject ("sub_01"), activity, trial, window (its number in the recording), gender, age, height_cm, weight_kg, and
    six list columns of `window` float32: acc_* in g (userAcceleration) and gyro_* in rad/s (rotationRate).

    Source: mmalekzadeh/motion-sense (files and columns); Malekzadeh et al., IoTDI 2019.

    Parameters
    ----------
    root
        The folder.
    window, step
        Samples of a window, and from one window to the next, at 50 Hz; an incomplete last window is dropped.
    trials
        Trials to use, numbered 1 to 16 over all activities, without 10; by default all.
    test_trials
        Trials of the test side, which give the column `split`. The authors test on the short trials 11 to 16.
    group
        Adds a column that joins the windows of one recording, or of one trial of all people. Overlapping windows need
        one of the two for a fair test.

    Raises
    ------
    SordineError
        Where a file is wrong, or no recording is as long as a window.
    """
    root = Path(root)
    _check_options(group, window=window, step=step)
    home = first_folder(root, RECORDINGS, "folder of recordings")
    people = _people(root)
    folders = _folders(home)
    wanted = _known(trials, "trials", folders) if trials is not None else {t for _, t in folders}
    tested = _known(test_trials, "test_trials", folders)
    columns: dict[str, list[Any]] = defaultdict(list)
    signals: dict[str, list[np.ndarray]] = {name: [] for name in CHANNELS}
    for recording in _all_recordings(home, folders, wanted):
        if recording.person not in people:
            raise SordineError(f"{root} does not describe person {recording.person} of {recording.path}; add a row")
        samples = _samples(recording.path)
        starts = range(0, len(samples) - window + 1, step)
        for at, channel in enumerate(CHANNELS):
            signals[channel] += [samples[s : s + window, at] for s in starts]
        for name, values in recording.columns(len(starts), people[recording.person]).items():
            columns[name] += values
        if tested:
            columns["split"] += [TEST if recording.trial in tested else TRAIN] * len(starts)
        if group != "none":
            columns["group"] += [recording.name if group == "recording" else recording.path.parent.name] * len(starts)
    return _table(columns, signals, window, home)


def _check_options(group: str, **sizes: Any) -> None:
    check_choice("group", group, ("none", "recording", "trial"))
    for option, value in sizes.items():
        if not isinstance(value, int) or value < 1:
            raise SordineError(f"{option}={value!r}; it must be a whole number of at least 1")


def _table(columns: dict[str, list[Any]], signals: dict[str, list[np.ndarray]], window: int, home: Path) -> pa.Table:
    """Return the columns and the windows of each channel as a table."""
    if not columns["id"]:
        raise SordineError(f"{home} has no recording of {window} samples or more in these trials; use a smaller window")
    made = {name: pa.array(values) for name, values in columns.items()}
    for channel, windows in signals.items():
        flat = pa.array(np.concatenate(windows), pa.float32())
        made[channel] = pa.FixedSizeListArray.from_arrays(flat, window)
    return pa.table(made)


@dataclass(frozen=True)
class _Recording:
    """One recording: its file, person, activity (short form) and trial."""

    path: Path
    person: int
    activity: str
    trial: int

    @property
    def subject(self) -> str:
        """The person as in the column `subject`."""
        return f"sub_{self.person:02d}"

    @property
    def name(self) -> str:
        """The person and the folder, unique."""
        return f"{self.subject}/{self.path.parent.name}"

    def columns(self, n: int, labels: dict[str, Any]) -> dict[str, list[Any]]:
        """Return the columns of its n windows."""
        return {
            "id": [f"{self.name}/{w:03d}" for w in range(n)],
            "subject": [self.subject] * n,
            "activity": [ACTIVITIES[self.activity]] * n,
            "trial": [self.trial] * n,
            "window": list(range(n)),
            **{label: [value] * n for label, value in labels.items()},
        }


def _all_recordings(home: Path, folders: dict[tuple[str, int], str], wanted: set[int]) -> Iterator[_Recording]:
    """Yield the recordings of the wanted trials, by trial, activity and person."""
    for (activity, trial), folder in sorted(folders.items(), key=lambda item: (item[0][1], item[0][0])):
        if trial in wanted:
            for person, name in sorted(_recordings(home / folder)):
                yield _Recording(home / folder / name, person, activity, trial)


def _people(root: Path) -> dict[int, dict[str, Any]]:
    path = first_file(root, PEOPLE)
    if path is None:
        raise SordineError(f"{root} has none of {', '.join(PEOPLE)}; add one")
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
    """Return the folder of each (activity, trial)."""
    found = {}
    for name in folders_in(home):
        match = _FOLDER.fullmatch(name)
        if not match or match[1] not in ACTIVITIES:
            raise SordineError(f"{home / name} is not named <activity>_<trial>; activities: {', '.join(ACTIVITIES)}")
        found[match[1], int(match[2])] = name
    if not found:
        raise SordineError(f"{home} has no folder named <activity>_<trial>")
    return found


def _known(trials: Iterable[int], option: str, folders: dict[tuple[str, int], str]) -> set[int]:
    there = {trial for _, trial in folders}
    chosen = set(trials)
    for trial in sorted(chosen):
        if trial not in there:
            raise SordineError(f"{option}: there is no trial {trial}; known: {', '.join(map(str, sorted(there)))}")
    return chosen


def _recordings(folder: Path) -> list[tuple[int, str]]:
    """Return (number of the person, file name) of each recording."""
    found = []
    for name in names_in(folder):
        match = _FILE.fullmatch(name)
        if not match:
            raise SordineError(f"{folder / name} is not named sub_<number>.csv")
        found.append((int(match[1]), name))
    return found


def _samples(path: Path) -> np.ndarray:
    """Return the six channels of one recording: (samples, 6) float32."""
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

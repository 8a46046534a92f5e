"""The embedded demo: voices that nobody spoke, from waveform to report."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from sordine.data.synthetic.voices import voices
from sordine.errors import SordineError
from sordine.workflow.job import read_job
from sordine.workflow.job_runner import Outcome, run_job

VOICES, JOB, OUT = "voices", "job.yaml", "out"

JOB_TEXT = """\
# What sordine demo runs: sordine run job.yaml does it again.
source: voices            # a media folder: wav files and metadata.csv
extractor: logmel         # the picture of a voice: bands x time
policy:
  suppress: [speaker, sex]
  preserve: [word]
  watch: [accent]         # hidden from the method, read by the audit
method: substitution
seed: 0
audit:
  seeds: [0]
out: out
"""


def run_demo(
    folder: Path,
    *,
    clips: int = 2000,
    force: bool = False,
    log: Callable[[str], None] = lambda line: None,
    progress: Callable[[str, int, int], None] | None = None,
) -> Outcome:
    """Make `clips` clips in FOLDER/voices and run the job that is written beside them; see FOLDER/out.

    Raises SordineError where the folder exists without `force`, or holds something else than a demo.
    """
    if folder.exists():
        if not folder.is_dir() or (any(folder.iterdir()) and not (folder / JOB).is_file()):
            raise SordineError(f"{folder} exists and is no demo of Sordine's: name another folder with -o")
        if not force and any(folder.iterdir()):
            raise SordineError(f"{folder} exists; give --force to replace it")
        for name in (VOICES, OUT):
            shutil.rmtree(folder / name, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / JOB).write_text(JOB_TEXT, encoding="utf-8")
    log(f"making {clips:,} clips in {folder / VOICES}: 12 speakers, 12 words, 2 sexes, 3 accents")
    move = progress
    bar = None if move is None else lambda done, of: move("voices", done, of)
    voices(folder / VOICES, clips, force=True, progress=bar)
    return run_job(read_job(folder / JOB), log=log, progress=progress)

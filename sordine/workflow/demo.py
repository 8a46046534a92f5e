"""The demo: synthetic voices, from waveforms to a report."""

from __future__ import annotations

import shutil
from pathlib import Path

from sordine.data.synthetic.voices import voices
from sordine.errors import SordineError
from sordine.run import Run, accepts_run_keywords
from sordine.workflow.job import read_job
from sordine.workflow.job_runner import Outcome, run_job

VOICES, JOB, OUT = "voices", "job.yaml", "out"

JOB_TEXT = """\
# The job of sordine demo; sordine run job.yaml repeats it.
source: voices            # a media folder: wav files and metadata.csv
extractor: logmel         # log-mel spectra: bands x time
policy:
  suppress: [speaker, sex]
  preserve: [word]
  watch: [accent]         # hidden from the method, attacked by the audit
seed: 0
audit:
  seeds: [0]
out: out
"""


@accepts_run_keywords
def run_demo(folder: Path, run: Run | None = None, *, clips: int = 2000, force: bool = False) -> Outcome:
    """Make synthetic voices in FOLDER/voices, write a job beside them and run it; its results are in FOLDER/out.

    Parameters
    ----------
    folder
        Folder of the demo.
    run
        Log and progress.
    clips
        Number of clips.
    force
        Replace an earlier demo.

    Raises
    ------
    SordineError
        Where the folder exists and `force` was not given, or it holds anything but a demo.
    """
    run = run or Run()
    if folder.exists():
        if not folder.is_dir() or (any(folder.iterdir()) and not (folder / JOB).is_file()):
            raise SordineError(f"{folder} exists and is not a demo of Sordine: name another folder with -o")
        if not force and any(folder.iterdir()):
            raise SordineError(f"{folder} exists; give --force to replace it")
        for name in (VOICES, OUT):
            shutil.rmtree(folder / name, ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / JOB).write_text(JOB_TEXT, encoding="utf-8")
    run.log(f"making {clips:,} clips in {folder / VOICES}: 12 speakers, 12 words, 2 sexes, 3 accents")
    voices(folder / VOICES, clips, force=True, run=run)
    return run_job(read_job(folder / JOB), run=run)

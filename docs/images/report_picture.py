"""Make the picture of the README from a report's page, with a headless Chromium and Pillow.

sordine protect voices/ -s speaker -p word -o out/        # voices/ as in the README
python docs/images/report_picture.py out/report.html docs/images/report.png
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

WIDTH, HEIGHT, COLOURS = 1100, 2010, 64
LEFT_OUT = "<style>nav, #risks, #attackers, #reading { display: none }</style>"  # so that the bars follow the verdict


def main(page: Path, picture: Path) -> None:
    """Write the upper part of the page as a PNG with few colours."""
    with tempfile.TemporaryDirectory() as folder:
        shot, copy = Path(folder) / "shot.png", Path(folder) / "page.html"
        copy.write_text(page.read_text(encoding="utf-8").replace("</head>", LEFT_OUT + "</head>"), encoding="utf-8")
        size = f"--window-size={WIDTH},{HEIGHT}"
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", size, f"--screenshot={shot}"]
        subprocess.run(["chromium", *flags, copy.as_uri()], check=True, capture_output=True)
        with Image.open(shot) as image:
            image.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(picture, optimize=True)
    print(f"{picture}: {picture.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

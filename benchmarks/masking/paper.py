"""Tables I and II of the masking paper as printed: face similarity, and the task's accuracy in per cent.

Section III.C swaps their numbers; the captions are right: I is emotion (FER+), II is hair colour (CelebA). K is given
for neither.
"""

from __future__ import annotations

from dataclasses import dataclass

NON_ADVERSARIAL, OURS = "Our Method - Non-Adversarial", "Our Method"
CIAGAN, DEEPPRIVACY = "CIAGAN + Dlib Face & Shape Predictor", "DeepPrivacy + DSFD + Mask-RCNN"
BLOCK, BLUR, ORIGINAL = "Block", "Gaussian Blur", "Original Image"


@dataclass(frozen=True)
class PaperTable:
    """number, title and the paper's data; rows: method -> (mean face similarity, accuracy of the task in per cent)."""

    number: str
    title: str
    rows: dict[str, tuple[float, float]]


TABLES = {
    "I": PaperTable(
        "I",
        "emotion on FER+ (neutral, happiness, surprise)",
        {
            ORIGINAL: (1.00, 92.49),
            BLOCK: (0.16, 81.34),
            BLUR: (0.35, 87.78),
            CIAGAN: (0.19, 87.79),
            DEEPPRIVACY: (0.26, 88.01),
            NON_ADVERSARIAL: (0.48, 89.81),
            OURS: (0.20, 88.64),
        },
    ),
    "II": PaperTable(
        "II",
        "hair colour on CelebA",
        {
            ORIGINAL: (1.00, 89.01),
            BLOCK: (0.36, 78.89),
            BLUR: (0.72, 85.86),
            CIAGAN: (0.31, 85.57),
            DEEPPRIVACY: (0.49, 84.49),
            NON_ADVERSARIAL: (0.47, 86.73),
            OURS: (0.35, 85.59),
        },
    ),
}

"""Where the faces of a picture are: OpenCV's bundled cascade, or MTCNN where it is installed."""

from __future__ import annotations

import threading
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from sordine.errors import SordineError

Detector = Literal["cascade", "mtcnn"]
WORKED_AT = 256  # pixels: a smaller picture is enlarged first, for the cascade's smallest face has 24
SLIMMEST = 20  # times as long as wide: a picture slimmer than that shows no face
_TURN = threading.Lock()  # a cascade keeps state while it looks


def detect(pixels: np.ndarray, detector: Detector = "cascade") -> np.ndarray:
    """The largest face of a picture (h, w, 3) uint8: its box (x, y, width, height) in pixels, float64; (0, 4) where there is none.

    cascade: Haar features (Viola and Jones, CVPR 2001), OpenCV's frontal-face cascade, on the equalised grey picture. mtcnn:
    that of facenet-pytorch (Zhang et al., 2016), which MaSS used. Raises SordineError where the one asked for is not installed.
    """
    boxes = _mtcnn(pixels) if detector == "mtcnn" else _cascade(pixels)
    if not len(boxes):
        return np.zeros((0, 4))
    return boxes[[int(np.argmax(boxes[:, 2] * boxes[:, 3]))]]


def _cascade(pixels: np.ndarray) -> np.ndarray:
    with _TURN:  # two threads must not import it at once
        cv2, classifier = _opencv(), _classifier()
    height, width = pixels.shape[:2]
    if max(height, width) > SLIMMEST * min(height, width):
        return np.zeros((0, 4))
    scale = max(1.0, WORKED_AT / min(height, width))
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    if scale > 1:
        grey = cv2.resize(grey, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_CUBIC)
    # A face that fills the picture is cut by its edges: a margin gives the cascade something to see around it.
    margin = min(grey.shape) // 2
    seen = cv2.copyMakeBorder(cv2.equalizeHist(grey), *(margin,) * 4, cv2.BORDER_REPLICATE)
    with _TURN:
        found = classifier.detectMultiScale(seen, scaleFactor=1.1, minNeighbors=2, minSize=(48, 48))
    boxes = np.array(found, np.float64).reshape(-1, 4)
    boxes[:, :2] -= margin
    return _inside(boxes / scale, height, width)


def _inside(boxes: np.ndarray, height: int, width: int) -> np.ndarray:
    left, top = boxes[:, 0].clip(0, width), boxes[:, 1].clip(0, height)
    right, bottom = (boxes[:, 0] + boxes[:, 2]).clip(0, width), (boxes[:, 1] + boxes[:, 3]).clip(0, height)
    inside = np.stack([left, top, right - left, bottom - top], 1)
    return inside[(inside[:, 2] > 0) & (inside[:, 3] > 0)]


def _opencv() -> Any:
    try:
        import cv2
    except ImportError:
        raise SordineError("finding faces needs OpenCV: pip install 'sordine[faces]'") from None
    if not hasattr(cv2, "CascadeClassifier"):
        raise SordineError(
            f"OpenCV {cv2.__version__} has no cascade any more: pip install 'sordine[faces]' takes one that has"
        )
    return cv2


@lru_cache(maxsize=1)
def _classifier() -> Any:
    cv2 = _opencv()
    made = cv2.CascadeClassifier(str(Path(cv2.data.haarcascades) / "haarcascade_frontalface_alt2.xml"))
    if made.empty():
        raise SordineError("OpenCV's frontal-face cascade cannot be loaded")
    return made


def _mtcnn(pixels: np.ndarray) -> np.ndarray:
    height, width = pixels.shape[:2]
    with _TURN:
        found, _ = _network().detect(pixels)
    if found is None:
        return np.zeros((0, 4))
    corners = np.array(found, np.float64).reshape(-1, 4)
    return _inside(np.concatenate([corners[:, :2], corners[:, 2:] - corners[:, :2]], 1), height, width)


@lru_cache(maxsize=1)
def _network() -> Any:
    try:
        from facenet_pytorch import MTCNN
    except ImportError:
        raise SordineError("detector mtcnn needs facenet-pytorch; detector cascade comes with sordine[faces]") from None
    return MTCNN(keep_all=True)

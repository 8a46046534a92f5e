"""Find the face in a picture, by the cascade that comes with OpenCV, or by MTCNN where it is installed."""

from __future__ import annotations

import threading
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np

from sordine.errors import SordineError

Detector = Literal["cascade", "mtcnn"]
LEAST_SIDE = 256  # pixels; a smaller picture is enlarged first, because the cascade needs faces of at least 24
MOST_ELONGATED = 20  # ratio of the sides above which no face is searched
_LOCK = threading.Lock()  # a cascade has state while it searches


def detect(pixels: np.ndarray, detector: Detector = "cascade") -> np.ndarray:
    """Return the box of the largest face in a picture.

    Parameters
    ----------
    pixels
        (h, w, 3) uint8.
    detector
        `cascade`: Haar features (Viola and Jones, CVPR 2001), the frontal-face cascade of OpenCV, on the equalised grey
        picture. `mtcnn`: that of facenet-pytorch (Zhang et al., 2016), which MaSS used.

    Returns
    -------
    numpy.ndarray
        (1, 4) float64 x, y, width and height in pixels; (0, 4) where there is no face.

    Raises
    ------
    SordineError
        Where the detector is not installed.
    """
    boxes = _mtcnn(pixels) if detector == "mtcnn" else _cascade(pixels)
    if not len(boxes):
        return np.zeros((0, 4))
    return boxes[[int(np.argmax(boxes[:, 2] * boxes[:, 3]))]]


def _cascade(pixels: np.ndarray) -> np.ndarray:
    with _LOCK:  # two threads must not import it at the same time
        cv2, classifier = _opencv(), _classifier()
    height, width = pixels.shape[:2]
    if max(height, width) > MOST_ELONGATED * min(height, width):
        return np.zeros((0, 4))
    scale = max(1.0, LEAST_SIDE / min(height, width))
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    if scale > 1:
        grey = cv2.resize(grey, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_CUBIC)
    # A face that fills the picture touches its edges; the cascade needs a margin around a face.
    margin = min(grey.shape) // 2
    extended = cv2.copyMakeBorder(cv2.equalizeHist(grey), *(margin,) * 4, cv2.BORDER_REPLICATE)
    with _LOCK:
        found = classifier.detectMultiScale(extended, scaleFactor=1.1, minNeighbors=2, minSize=(48, 48))
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
            f"OpenCV {cv2.__version__} has no cascade; install an older one with pip install 'sordine[faces]'"
        )
    return cv2


@lru_cache(maxsize=1)
def _classifier() -> Any:
    cv2 = _opencv()
    made = cv2.CascadeClassifier(str(Path(cv2.data.haarcascades) / "haarcascade_frontalface_alt2.xml"))
    if made.empty():
        raise SordineError(
            "the frontal-face cascade of OpenCV cannot be loaded; reinstall it with pip install 'sordine[faces]'"
        )
    return made


def _mtcnn(pixels: np.ndarray) -> np.ndarray:
    height, width = pixels.shape[:2]
    with _LOCK:
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

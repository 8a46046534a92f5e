"""Printed figures of the replacement paper: tables 1 to 4, and claims of its text. Per cent, as printed."""

from __future__ import annotations

BUDGETS = (0.001, 0.005, 0.01, 0.05)
PLANE_BUDGETS = (0.1, 0.5, 1.0, 1.5, 2.0)
CYCLES = (0, 5, 10, 50)

# Table 1: accuracy of the fixed classifier on s', and its deviation over five runs. budget -> secret -> (mean,
# deviation).
SUCCESS: dict[float, dict[str, tuple[float, float]]] = {
    0.001: {"smiling": (82.4, 2.1), "gender": (72.9, 1.5), "lipstick": (62.2, 3.1), "young": (59.2, 1.9)},
    0.005: {"smiling": (86.4, 3.7), "gender": (79.4, 0.6), "lipstick": (71.7, 2.4), "young": (62.1, 2.5)},
    0.01: {"smiling": (87.4, 2.1), "gender": (85.6, 1.4), "lipstick": (77.6, 2.4), "young": (59.6, 1.6)},
    0.05: {"smiling": (91.2, 2.9), "gender": (90.3, 4.3), "lipstick": (90.6, 4.2), "young": (67.7, 2.1)},
}

# Table 2: the retrained attacker on smiling. budget -> filter alone, generator alone, both.
PRIVACY: dict[float, tuple[float, float, float]] = {
    0.001: (89.3, 90.7, 88.7),
    0.005: (89.9, 91.2, 85.9),
    0.01: (89.8, 91.5, 83.2),
    0.05: (69.2, 78.7, 54.1),
}

# Table 3: correlation of two fixed classifiers' predictions once the column's attribute is replaced. row -> column ->
# r.
CORRELATIONS: dict[str, dict[str, float]] = {
    "smiling": {"smiling": 1.00, "gender": -0.04, "lipstick": 0.08, "young": -0.06},
    "gender": {"smiling": -0.07, "gender": 1.00, "lipstick": -0.44, "young": -0.21},
    "lipstick": {"smiling": 0.14, "gender": -0.30, "lipstick": 1.00, "young": 0.26},
    "young": {"smiling": 0.05, "gender": -0.11, "lipstick": 0.23, "young": 1.00},
    "high cheekbones": {"smiling": 0.14, "gender": -0.07, "lipstick": 0.15, "young": -0.01},
    "mouth open": {"smiling": 0.04, "gender": 0.00, "lipstick": 0.03, "young": -0.02},
    "heavy makeup": {"smiling": 0.12, "gender": -0.24, "lipstick": 0.47, "young": 0.22},
}

# Table 4: the largest correlations of smiling with other attributes in CelebA's training records.
WITH_SMILING: dict[str, float] = {
    "high cheekbones": 0.68,
    "mouth slightly open": 0.53,
    "rosy cheeks": 0.22,
    "oval face": 0.21,
    "wearing lipstick": 0.18,
    "heavy makeup": 0.18,
    "wearing earrings": 0.17,
    "attractive": 0.15,
    "gender": -0.14,
}

EDITING = 90.0  # accuracy of retrained attackers on StarGAN's edits, "roughly" (section 5)

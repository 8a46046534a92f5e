"""Replace the glasses of synthetic faces by a random value, and audit the result.

A minute of training shows how it is done, not how well it can do: docs/results/replacement.md has the figures.
Run: python examples/replacement.py
"""

from pathlib import Path

import numpy as np
import torch

from sordine import Budget, Key, Policy, Run, audit, fit, make_method, transform
from sordine.data.media.contact_sheet import contact_sheet
from sordine.data.synthetic.faces import faces
from sordine.evaluation.options import AuditOptions
from sordine.models.picture_classifier import PictureOptions, picture_outputs, train_picture_classifier

torch.set_num_threads(1)
table = faces(800, 0, size=16, people=10, test=200)
policy, key = Policy(suppress=("glasses",), watch=("sex",)), Key.of_seed(0)
options = {"widths": (8, 16, 32), "discriminator_width": 8, "epsilon": 0.02, "epochs": 12}
modifier = fit(table, policy, make_method("replacement", options), run=Run(key=key))
released = transform(modifier, table, key)

# Success: a classifier of originals predicts the value that was drawn, not the record's own.
unseen, after = table.part("test"), released.part("test")
fixed = train_picture_classifier(table.part("train"), "glasses", PictureOptions(epochs=6))
noise = torch.from_numpy(key.uniform("release", unseen.ids, modifier.noise).astype(np.float32)).clamp(1e-7, 1 - 1e-7)
drawn = modifier.drawn(noise)[:, 0].numpy()
on_originals = np.mean(picture_outputs(fixed, unseen.x).argmax(1) == unseen.y["glasses"])
on_released = np.mean(picture_outputs(fixed, after.x).argmax(1) == drawn)
print(f"fixed classifier: own value of originals {on_originals:.2f}, drawn value of releases {on_released:.2f}")

# Privacy: an attacker that is trained on released records.
report = audit(
    table,
    released,
    policy,
    modifier=modifier,
    key=key,
    budget=Budget.named("quick"),
    options=AuditOptions(pretrained=False),
)
for line in report.headlines:
    print(line.sentence)

x = unseen.batch(slice(0, 6))
with torch.no_grad():
    shown = {"original": x, **modifier.pictures(x, noise[:6]), "released": modifier(x, noise[:6]).x}
contact_sheet(Path("replacement.png"), list(shown), [v.numpy() for v in shown.values()])
print("replacement.png: original, filtered, each value put in, and released")

"""Replace the glasses of synthetic faces and see what is read afterwards. Run it: python examples/replacement.py

A minute's training shows how it is done, not how well it can do: docs/results/replacement.md has the figures.
"""

from pathlib import Path

import numpy as np
import torch

from sordine import Key, Policy, audit, fit, transform
from sordine.attacks.runner import Budget
from sordine.data.media.contact_sheet import contact_sheet
from sordine.data.synthetic.faces import faces
from sordine.methods.registry import make
from sordine.models.picture_classifier import PictureOptions, picture_outputs, train_picture_classifier
from sordine.run import Run

torch.set_num_threads(1)
table = faces(800, 0, size=16, people=10, test=200)
policy, key = Policy(suppress=("glasses",), watch=("sex",)), Key.of_seed(0)
method = make("replacement", {"widths": (8, 16, 32), "discriminator_width": 8, "epsilon": 0.02, "epochs": 12})
modifier = fit(table, policy, method, run=Run(key=key, log=print))
released = transform(modifier, table, key)

# Success: a classifier that learnt on originals reads the value that was drawn, not the record's own.
unseen, after = table.part("test"), released.part("test")
fixed = train_picture_classifier(table.part("train"), "glasses", PictureOptions(epochs=6))
noise = torch.from_numpy(key.uniform("release", unseen.ids, modifier.noise).astype(np.float32)).clamp(1e-7, 1 - 1e-7)
read, drawn = picture_outputs(fixed, after.x).argmax(1), modifier.drawn(noise)[:, 0].numpy()
before = picture_outputs(fixed, unseen.x).argmax(1)
print(
    f"fixed classifier: s of originals {np.mean(before == unseen.y['glasses']):.2f}, s' of releases {np.mean(read == drawn):.2f}"
)

# Privacy: an attacker who learns on released records.
quick = Budget(families=("logistic", "resnet"), settings=("A",))
for line in audit(table, released, policy, modifier=modifier, key=key, budget=quick, pretrained=False).headlines:
    print(line.sentence)

x = unseen.batch(slice(0, 6))
with torch.no_grad():
    shown = {"original": x, **modifier.pictures(x, noise[:6]), "released": modifier(x, noise[:6]).x}
contact_sheet(Path("replacement.png"), list(shown), [v.numpy() for v in shown.values()])
print("replacement.png: original, filtered, each value put in, and what is released")

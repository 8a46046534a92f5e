"""Drawn faces of which a fifth of the pixels leave, enough to tell the hair. Run it: python examples/masking.py [SHEET.png]"""

import sys

import numpy as np
import torch

from sordine import Key, Policy, fit, transform
from sordine.data.media.contact_sheet import contact_sheet
from sordine.data.synthetic.faces import faces
from sordine.methods.registry import make
from sordine.models.picture_classifier import PictureOptions, picture_outputs, train_picture_classifier
from sordine.run import Run

table = faces(1200, 0, size=32, people=8)
train, unseen = table.part("train"), table.part("test")
policy, key = Policy(preserve=("hair",)), Key.of_seed(0)
settings = {"widths": (8, 16, 32), "predictor_widths": (8, 16, 32, 64), "dense": 64, "steps": 240}
modifier = fit(table, policy, make("masking", {"keep": 20, **settings}), run=Run(key=key))
released = transform(modifier, table, key)

x, x_new = np.asarray(unseen.x), np.asarray(released.part("test").x)
share = (x_new > 0).any(1).mean()
print(f"{share:.0%} of the pixels are left; m is {modifier.card.fit['mask_kept']:.2f} on them on the mean")
reader = train_picture_classifier(train, "hair", PictureOptions(epochs=8, width=8))
for name, pictures in (("originals", x), ("released", x_new)):
    print(
        f"hair, by a classifier of originals, of {name}: {np.mean(picture_outputs(reader, pictures).argmax(1) == unseen.y['hair']):.2f}"
    )
for name, side in (("originals", train), ("released", released.part("train"))):
    attacker = train_picture_classifier(
        train.with_x(np.asarray(side.x)), "person", PictureOptions(epochs=8, width=8), run=Run(seed=1)
    )
    tried = x if name == "originals" else x_new
    print(
        f"person, by an attacker who learns from {name}: {np.mean(picture_outputs(attacker, tried).argmax(1) == unseen.y['person']):.2f}"
    )

if len(sys.argv) > 1:
    with torch.no_grad():
        masks = modifier.pictures(torch.from_numpy(x[:6].astype(np.float32)), torch.zeros(6, 0))["mask"].numpy()
    contact_sheet(sys.argv[1], ("original", "mask", "released"), (x[:6], masks, x_new[:6]))

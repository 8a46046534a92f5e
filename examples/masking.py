"""Release a fifth of the pixels of synthetic faces: enough to predict the hair.

Run: python examples/masking.py [SHEET.png]
"""

import sys

import numpy as np
import torch

from sordine import Key, Policy, Run, fit, make_method, transform
from sordine.data.media.contact_sheet import contact_sheet
from sordine.data.synthetic.faces import faces
from sordine.models.picture_classifier import PictureOptions, picture_outputs, train_picture_classifier

table = faces(1200, 0, size=32, people=8)
train, unseen = table.part("train"), table.part("test")
policy, key = Policy(preserve=("hair",)), Key.of_seed(0)
options = {"widths": (8, 16, 32), "predictor_widths": (8, 16, 32, 64), "dense": 64, "steps": 240}
modifier = fit(table, policy, make_method("masking", {"keep": 20, **options}), run=Run(key=key))
released = transform(modifier, table, key)

originals, masked = np.asarray(unseen.x), np.asarray(released.part("test").x)
print(f"{100 * (masked > 0).any(1).mean():.0f} % of the pixels are released")


def accuracy(model, pictures, attribute):
    """Return the share of correct predictions among the unseen records."""
    return np.mean(picture_outputs(model, pictures).argmax(1) == unseen.y[attribute])


classifier = train_picture_classifier(train, "hair", PictureOptions(epochs=8, width=8))
for name, pictures in (("originals", originals), ("released records", masked)):
    print(f"hair, classifier of originals, on {name}: {accuracy(classifier, pictures, 'hair'):.2f}")
for name, side, tested in (("originals", train, originals), ("released records", released.part("train"), masked)):
    known = train.with_x(np.asarray(side.x))
    attacker = train_picture_classifier(known, "person", PictureOptions(epochs=8, width=8), run=Run(seed=1))
    print(f"person, attacker trained on {name}: {accuracy(attacker, tested, 'person'):.2f}")

if len(sys.argv) > 1:
    with torch.no_grad():
        masks = modifier.pictures(torch.from_numpy(originals[:6].astype(np.float32)), torch.zeros(6, 0))["mask"]
    contact_sheet(sys.argv[1], ("original", "mask", "released"), (originals[:6], masks.numpy(), masked[:6]))

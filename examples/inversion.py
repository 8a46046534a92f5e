"""Faces released as a representation that serves a task, and what decoders still rebuild. Run it: python examples/inversion.py"""

import torch

from sordine import Key, Policy, fit, transform
from sordine.attacks.reconstruction.decoder import judge, rebuild, train_decoder
from sordine.data.media.contact_sheet import contact_sheet
from sordine.data.synthetic.faces import faces
from sordine.methods.registry import make
from sordine.metrics.accuracy import accuracy
from sordine.run import Run

key = Key.of_seed(0)
table = faces(1200, 0, size=32)
policy = Policy(preserve=("hair", "glasses"))
train, test = table.part("train"), table.part("test")
columns, pictures = ["original"], [test.x[:8]]
for lambda1 in (0.0, 1.0):
    fields = {"encoder": "resnet10", "steps": 150, "batch": 32, "decoder_lr": 2e-3, "decoder_steps": 2}
    encoder = fit(table, policy, make("inversion", {**fields, "lambda1": lambda1}), run=Run(key=key))
    z = transform(encoder, table, key)
    own, tried = z.part("train").x, z.part("test").x
    said = encoder.predict(torch.from_numpy(tried))
    read = {name: f"{accuracy(test.y[name], p.argmax(1).numpy()):.2f}" for name, p in said.items()}
    rebuilt = rebuild(train_decoder(own, train.x, seed=0, steps=200, width=16), tried)
    found = judge("decoder", test.x, rebuilt, train.x.mean(0))
    print(f"lambda1 = {lambda1:g}: z has {tried.shape[1]} numbers; the task is read at {read}")
    print(f"  a fresh decoder: {found.psnr:.1f} dB; the mean picture: {found.baseline_psnr:.1f} dB")
    columns.append(f"lambda1 {lambda1:g}")
    pictures.append(rebuilt[:8])
contact_sheet("rebuilt.png", columns, pictures)
print("rebuilt.png: originals, and what a decoder makes of z")

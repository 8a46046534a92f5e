"""Release faces as a representation for a task, and rebuild pictures from it with a fresh decoder.

Run: python examples/inversion.py
"""

import torch

from sordine import Key, Policy, Run, fit, make_method, transform
from sordine.attacks.reconstruction.decoder import DecoderOptions, judge, rebuild, train_decoder
from sordine.data.media.contact_sheet import contact_sheet
from sordine.data.synthetic.faces import faces
from sordine.metrics.accuracy import accuracy

key = Key.of_seed(0)
table = faces(1200, 0, size=32)
policy = Policy(preserve=("hair", "glasses"))
train, test = table.part("train"), table.part("test")
columns, pictures = ["original"], [test.x[:8]]
for lambda1 in (0.0, 1.0):
    options = {"encoder": "resnet10", "steps": 150, "batch": 32, "decoder_lr": 2e-3, "decoder_steps": 2}
    encoder = fit(table, policy, make_method("inversion", {**options, "lambda1": lambda1}), run=Run(key=key))
    z = transform(encoder, table, key)
    known, tested = z.part("train").x, z.part("test").x
    predictions = encoder.predict(torch.from_numpy(tested))
    task = {name: f"{accuracy(test.y[name], p.argmax(1).numpy()):.2f}" for name, p in predictions.items()}
    rebuilt = rebuild(train_decoder(known, train.x, DecoderOptions(steps=200, width=16)), tested)
    found = judge("decoder", test.x, rebuilt, train.x.mean(0))
    print(f"lambda1 = {lambda1:g}: {tested.shape[1]} numbers a record; accuracy of the task: {task}")
    print(f"  a fresh decoder: {found.psnr:.1f} dB; the mean picture: {found.baseline_psnr:.1f} dB")
    columns.append(f"lambda1 {lambda1:g}")
    pictures.append(rebuilt[:8])
contact_sheet("rebuilt.png", columns, pictures)
print("rebuilt.png: originals, and what a decoder rebuilds")

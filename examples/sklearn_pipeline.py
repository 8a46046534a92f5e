"""A scikit-learn pipeline that removes the speaker before it learns the word.

Run: python examples/sklearn_pipeline.py
"""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from sordine import Suppressor

rng = np.random.default_rng(0)
speaker, word = rng.integers(0, 4, 2000), rng.integers(0, 3, 2000)
x = rng.normal(size=(2000, 16)).astype(np.float32)
x += 2 * rng.normal(size=(4, 16))[speaker] + 2 * rng.normal(size=(3, 16))[word]
train, test = train_test_split(np.arange(2000), random_state=0)

pipeline = make_pipeline(Suppressor("leace", suppress="speaker"), LogisticRegression(max_iter=1000))
pipeline.fit(x[train], word[train], suppressor__attributes={"speaker": speaker[train]})
print(f"word:    {pipeline.score(x[test], word[test]):.2f} (baseline about 0.33)")

suppressor = pipeline[:-1]
attacker = LogisticRegression(max_iter=1000).fit(suppressor.transform(x[train]), speaker[train])
print(f"speaker: {attacker.score(suppressor.transform(x[test]), speaker[test]):.2f} (baseline about 0.25)")

"""A scikit-learn pipeline that takes the speaker out before it learns the word. Run it: python examples/sklearn_pipeline.py"""

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline

from sordine.estimator import Suppressor

rng = np.random.default_rng(0)
speaker, word = rng.integers(0, 4, 2000), rng.integers(0, 3, 2000)
x = rng.normal(size=(2000, 16)).astype(np.float32)
x += 2 * rng.normal(size=(4, 16))[speaker] + 2 * rng.normal(size=(3, 16))[word]
train, test = train_test_split(np.arange(2000), random_state=0)

mute = Suppressor("leace", suppress="speaker")
reads_word = make_pipeline(mute, LogisticRegression(max_iter=1000))
reads_word.fit(x[train], word[train], suppressor__attributes={"speaker": speaker[train]})
print(f"word:    {reads_word.score(x[test], word[test]):.2f} (one in three is right by chance)")

released = reads_word[:-1]  # what the second step is given
reads_speaker = LogisticRegression(max_iter=1000).fit(released.transform(x[train]), speaker[train])
print(
    f"speaker: {reads_speaker.score(released.transform(x[test]), speaker[test]):.2f} (one in four is right by chance)"
)

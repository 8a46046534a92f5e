from __future__ import annotations

import resource
import stat

import numpy as np
import pytest

from sordine.data.files import refuse_existing
from sordine.errors import SordineError
from sordine.keys import Key

IDS = [f"id{i}" for i in range(4000)]


def test_a_draw_depends_on_key_purpose_and_id_alone():
    key = Key.of_seed(1)
    drawn = key.uniform("release", IDS, 3)
    order = np.random.default_rng(0).permutation(len(IDS))
    assert (key.uniform("release", np.array(IDS, object)[order], 3) == drawn[order]).all()
    assert (key.uniform("release", IDS[7:8], 3) == drawn[7:8]).all()
    assert (key.uniform("release", IDS, 2) == drawn[:, :2]).all()  # the i-th word of a stream stays the i-th
    assert not (Key.of_seed(2).uniform("release", IDS, 3) == drawn).any()
    assert not (key.uniform("other", IDS, 3) == drawn).any()


def test_draws_are_uniform_normal_and_independent():
    key = Key.of_seed(3)
    u, z = key.uniform("u", IDS, 4), key.normal("z", IDS, 4)
    assert 0 < u.min() < u.max() < 1
    assert abs(u.mean() - 0.5) < 0.01
    assert np.abs(np.corrcoef(u.T) - np.eye(4)).max() < 0.06
    assert abs(z.mean()) < 0.03
    assert abs(z.std() - 1) < 0.03


def test_order_does_not_depend_on_the_order_asked_in():
    key = Key.of_seed(4)
    names = np.array(IDS, object)
    shuffled = names[np.random.default_rng(1).permutation(len(names))]
    assert (names[key.order("split", names)] == shuffled[key.order("split", shuffled)]).all()


def test_pseudonyms_are_unique_and_keyed():
    ours, theirs = Key.of_seed(5).pseudonyms(IDS), Key.of_seed(6).pseudonyms(IDS)
    assert len(set(ours)) == len(IDS)
    assert not set(ours) & set(theirs)


def test_key_files(tmp_path):
    key, path = Key.fresh(), tmp_path / "a.key"
    key.write(path)
    assert Key.read(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert key.secret.hex() not in repr(key)
    with pytest.raises(FileExistsError):
        Key.fresh().write(path)
    with pytest.raises(SordineError, match="does not exist"):
        Key.read(tmp_path / "b.key")
    path.chmod(0o600)
    path.write_text("not a key")
    with pytest.raises(SordineError, match="64 hexadecimal"):
        Key.read(path)


def test_a_key_that_may_not_be_read_is_not_called_malformed(tmp_path, monkeypatch):
    Key.fresh().write(tmp_path / "a.key")

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("sordine.keys.open", refuse, raising=False)
    with pytest.raises(SordineError, match="cannot be read: permission denied"):
        Key.read(tmp_path / "a.key")
    monkeypatch.setattr("pathlib.Path.read_bytes", refuse)
    with pytest.raises(SordineError, match="may be a key"):
        refuse_existing(tmp_path / "a.key", True)


def test_a_key_that_cannot_be_written_whole_leaves_no_file(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            Key.fresh().write(tmp_path / "a.key")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("content", "remedy"), [(b"", "Remove the file"), (b"zz" * 32, "restore"), (b"0" * 9999, "--key")]
)
def test_an_unusable_key_is_named_with_the_remedy(tmp_path, content, remedy):
    (tmp_path / "a.key").write_bytes(content)
    with pytest.raises(SordineError, match=f"a.key .*{remedy}"):
        Key.read(tmp_path / "a.key")

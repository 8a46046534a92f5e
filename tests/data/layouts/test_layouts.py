"""The folder layouts of the data sets: each made up in small as it is distributed, read, and broken."""

from __future__ import annotations

import json
import os
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from sordine.data.layouts import adience, vispr
from sordine.data.layouts.hmdb51 import source_of
from sordine.data.layouts.motionsense import read_motion
from sordine.data.layouts.registry import LAYOUTS, open_media
from sordine.data.media.audio import Waves
from sordine.data.media.cache import decode
from sordine.data.media.image import Pictures
from sordine.data.media.kinds import Media
from sordine.data.media.video import Clips
from sordine.errors import SordineError
from sordine.features.extract import extract

DATA = os.environ.get("SORDINE_DATA")


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def write(root: Path, name: str, text: str) -> None:
    touch(root, name)
    (root / name).write_text(text, encoding="utf-8")


def column(media: Media, name: str) -> list[object]:
    return list(media.records[name].to_pylist())


def refused(root: Path, layout: str, **options: object) -> str:
    with pytest.raises(SordineError) as caught:
        open_media(root, layout, options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# AudioMNIST


def person(**changes: object) -> dict[str, object]:
    entry = {"accent": "German", "age": "25", "gender": "male", "native speaker": "no", "origin": "Europe"}
    return entry | changes


PEOPLE = {
    "01": person(accent="german ", age=30),
    "02": person(gender="female", age="1234"),
    "03": person(accent="Tamil"),
}


@pytest.fixture
def audiomnist(tmp_path: Path) -> Path:
    write(tmp_path, "data/audioMNIST_meta.txt", json.dumps(PEOPLE))
    touch(tmp_path, *(f"data/{s}/{d}_{s}_{t}.wav" for s in PEOPLE for d in range(10) for t in range(50)))
    touch(tmp_path, "data/01/notes.txt", "data/01/._0_01_0.wav")
    return tmp_path


def test_audiomnist_has_the_labels_of_its_speakers(audiomnist):
    media = open_media(audiomnist)
    assert (media.kind, len(media)) == ("audio", 1500)
    assert media.files[0] == "data/01/0_01_0.wav"
    first = {k: v[0] for k, v in media.records.to_pydict().items()}
    assert first == {
        "file_name": "data/01/0_01_0.wav",
        "speaker": "01",
        "digit": "0",
        "accent": "german",
        "gender": "male",
        "native_speaker": "no",
        "age": "30",
    }
    assert set(column(media, "age")) == {"30", "1234", "25"}
    opened, accents = media.notes
    assert "data/audioMNIST_meta.txt" in opened
    assert "2 classes" in accents
    inner = open_media(audiomnist / "data", "audiomnist")
    assert inner.files[0] == "01/0_01_0.wav"


def test_audiomnist_paper_split_has_its_proportions_within_every_speaker_and_digit(audiomnist):
    media = open_media(audiomnist, "audiomnist", {"split": "paper"})
    cells = Counter(zip(column(media, "speaker"), column(media, "digit"), column(media, "usage"), strict=True))
    assert set(cells.values()) == {30, 10}
    assert {n for (_, _, usage), n in cells.items() if usage == "train"} == {30}
    assert Counter(column(media, "split")) == {"train": 1200, "test": 300}
    assert any("does not publish" in note for note in media.notes)
    again = open_media(audiomnist / "data", "audiomnist", {"split": "paper"})
    assert column(again, "usage") == column(media, "usage")  # wherever the set lies
    other = open_media(audiomnist, "audiomnist", {"split": "paper", "seed": "1"})
    assert column(other, "usage") != column(media, "usage")
    as_test = open_media(audiomnist, "audiomnist", {"split": "paper", "validation": "test"})
    assert Counter(column(as_test, "split")) == {"train": 900, "test": 600}
    dropped = open_media(audiomnist, "audiomnist", {"split": "paper", "validation": "drop"})
    assert Counter(column(dropped, "usage")) == {"train": 900, "test": 300}


def test_audiomnist_says_what_is_wrong(audiomnist):
    (audiomnist / "data/02/3_02_7.wav").unlink()
    said = refused(audiomnist, "audiomnist")
    assert "audioMNIST_meta.txt lists data/02/3_02_7.wav, which does not exist (1 of 1500 missing)" in said
    media = open_media(audiomnist, "audiomnist", {"missing": "skip"})
    assert len(media) == 1499
    assert any(note.startswith("1 of 1500 records are left out") for note in media.notes)
    touch(audiomnist, "data/04/0_04_0.wav")
    assert "does not describe speaker 04" in refused(audiomnist, "audiomnist", missing="skip")
    (audiomnist / "data/04/0_04_0.wav").rename(audiomnist / "data/04/zero.wav")
    assert "zero.wav" in refused(audiomnist, "audiomnist", missing="skip")
    write(audiomnist, "data/audioMNIST_meta.txt", '{\n"01": {"accent": "x"\n')
    assert "audioMNIST_meta.txt line 3: not JSON" in refused(audiomnist, "audiomnist")
    write(audiomnist, "data/audioMNIST_meta.txt", '{"01": {"accent": "x"}}')
    assert "speaker 01 has no 'gender'" in refused(audiomnist, "audiomnist")


def test_audiomnist_clips_are_decoded(tmp_path, monkeypatch):
    monkeypatch.setenv("SORDINE_CACHE", str(tmp_path / "cache"))
    root = tmp_path / "set"
    write(root, "data/audioMNIST_meta.txt", json.dumps({"01": person()}))
    for take in range(2):
        touch(root, f"data/01/7_01_{take}.wav")
        soundfile.write(root / f"data/01/7_01_{take}.wav", np.full(4800, 0.25 * (take + 1)), 48000)
    media = open_media(root, options={"missing": "skip"})
    got = decode(media, Waves(rate=8000, samples=1000))
    assert got.x.shape == (2, 1000)
    assert got.lengths.tolist() == [800, 800]
    np.testing.assert_allclose(got.x[:, 400], [0.25, 0.5], atol=0.01)


# Adience

HEADER = "user_id\toriginal_image\tface_id\tage\tgender\tx\ty\tdx\tdy\ttilt_ang\tfiducial_yaw_angle\tfiducial_score\n"


def face(user: str, image: str, number: int, age: str, gender: str) -> str:
    return f"{user}\t{image}\t{number}\t{age}\t{gender}\t0\t414\t1086\t1383\t-115\t30\t17\n"


def make_adience(root: Path, folds: list[list[tuple[str, str, int, str, str]]], folder: str = "aligned") -> Path:
    for fold, faces in enumerate(folds):
        write(root, f"fold_{fold}_data.txt", HEADER + "".join(face(*f) for f in faces))
        start = adience.FOLDERS[folder]
        touch(root, *(f"{folder}/{user}/{start}.{number}.{image}" for user, image, number, _, _ in faces))
    return root


FACES = [
    [("30601258@N03", "103_o.jpg", 1, "(25, 32)", "f"), ("30601258@N03", "104_o.jpg", 2, "35", "m")],
    [("8@N05", "a.jpg", 3, "None", "u")],
    [("9@N05", "b.jpg", 4, "(38, 42)", "")],
    [("9@N06", "c.jpg", 5, "(8, 23)", "m")],
    [("9@N07", "d.jpg", 6, "(60, 100)", "f")],
]


@pytest.mark.parametrize("folder", ["aligned", "faces"])
def test_adience_maps_ages_and_splits_by_fold(tmp_path, folder):
    media = open_media(make_adience(tmp_path, FACES, folder))
    assert media.kind == "image"
    assert media.files[0] == f"{folder}/30601258@N03/{adience.FOLDERS[folder]}.1.103_o.jpg"
    assert column(media, "data_id") == ["30601258@N03", "30601258@N03", "8@N05", "9@N05", "9@N06", "9@N07"]
    assert column(media, "age") == ["(25, 32)", "(38, 43)", None, "(38, 43)", "(8, 12)", "(60, 100)"]
    assert column(media, "gender") == ["female", "male", None, None, "male", "female"]
    assert column(media, "split") == ["train"] * 5 + ["test"]
    assert any("age of 1 " in note and "gender of 2 " in note for note in media.notes)
    other = open_media(tmp_path, "adience", {"test_folds": "0,1", "identity": "face_id"})
    assert column(other, "split") == ["test"] * 3 + ["train"] * 3
    assert column(other, "data_id") == ["1", "2", "3", "4", "5", "6"]


def test_every_odd_age_goes_to_a_group():
    assert set(adience.ODD_AGES.values()) <= set(adience.AGES)
    assert not set(adience.ODD_AGES) & set(adience.AGES)


def test_adience_says_what_is_wrong(tmp_path):
    make_adience(tmp_path, FACES)
    (tmp_path / "aligned/9@N06/landmark_aligned_face.5.c.jpg").unlink()
    assert "(1 of 6 missing)" in refused(tmp_path, "adience")
    assert len(open_media(tmp_path, "adience", {"missing": "skip"})) == 5
    assert "test_folds: '7'" in refused(tmp_path, "adience", test_folds=[7])
    write(tmp_path, "fold_2_data.txt", HEADER + face("u", "i.jpg", 1, "(25, 32)", "f") + "u\tj.jpg\t1\n")
    assert "fold_2_data.txt line 3: 3 fields" in refused(tmp_path, "adience")
    write(tmp_path, "fold_2_data.txt", HEADER + face("u", "i.jpg", 1, "elderly", "f"))
    assert "fold_2_data.txt line 2: age 'elderly'" in refused(tmp_path, "adience")
    write(tmp_path, "fold_2_data.txt", HEADER + face("u", "i.jpg", 1, "35", "x"))
    assert "fold_2_data.txt line 2: gender 'x' is not m, f or u" in refused(tmp_path, "adience")
    write(tmp_path, "fold_2_data.txt", HEADER.replace("face_id", "faceid"))
    assert "no column 'face_id'; did you mean 'faceid'?" in refused(tmp_path, "adience")
    (tmp_path / "fold_3_data.txt").unlink()
    write(tmp_path, "fold_2_data.txt", HEADER)
    assert "fold_3_data.txt does not exist" in refused(tmp_path, "adience")


def test_a_face_that_is_listed_twice_is_read_once(tmp_path):
    make_adience(tmp_path, [*FACES[:4], [*FACES[4], *FACES[4]]])
    media = open_media(tmp_path)
    assert len(media) == len(set(media.ids)) == 6
    assert any(note.startswith("1 records are left out") for note in media.notes)


def test_adience_paper_split_has_the_sizes_and_every_identity_on_both_sides(tmp_path):
    folds = [[(f"{u}@N", f"{i}.jpg", u, "35" if i < 5 else "None", "f") for i in range(6)] for u in range(5)]
    make_adience(tmp_path, folds)
    media = open_media(tmp_path, "adience", {"paper": "true", "sizes": [4, 9, 8], "seed": 3})
    assert Counter(column(media, "split")) == {"train": 9, "test": 8}
    sides = set(zip(column(media, "data_id"), column(media, "split"), strict=True))
    assert len(sides) == 8
    assert None not in column(media, "age")
    assert any("does not publish" in note for note in media.notes)
    assert media.records.equals(open_media(tmp_path, "adience", {"paper": True, "sizes": [4, 9, 8], "seed": 3}).records)
    assert "1089 identities with 2815 and 2525 faces cannot be drawn: 5 user_id" in refused(
        tmp_path, "adience", paper=True
    )


def test_adience_pictures_are_decoded(tmp_path, monkeypatch):
    from PIL import Image

    monkeypatch.setenv("SORDINE_CACHE", str(tmp_path / "cache"))
    root = make_adience(tmp_path / "set", FACES)
    for at, path in enumerate(sorted(root.glob("aligned/*/*.jpg"))):
        Image.new("RGB", (32, 32), (40 * at, 0, 0)).save(path)
    got = decode(open_media(root), Pictures(height=16, width=16))
    assert got.x.shape == (6, 3, 16, 16)
    assert not got.bad
    np.testing.assert_allclose(got.x[:, 0].mean(axis=(1, 2)), 40 * np.arange(6), atol=3)


# VISPR


def make_vispr(root: Path, pattern: str = "{}/") -> Path:
    pictures = {
        "train2017/2017_1": ["a17_color", "a4_gender", "a10_face_partial", "a65_rel_social"],
        "train2017/2017_2": ["a0_safe"],
        "val2017/2017_3": ["a9_face_complete", "a12_semi_nudity"],
        "test2017/2017_4": ["a64_rel_personal", "a104_license_plate_partial"],
    }
    for name, labels in pictures.items():
        part, _, stem = name.partition("/")
        touch(root, f"{name}.jpg")
        write(root, pattern.format(part) + f"{stem}.json", json.dumps({"id": stem, "labels": labels}))
    return root


@pytest.mark.parametrize("pattern", ["{}/", "annotations/{}/", "{}_anno/"])
def test_vispr_has_the_five_attributes(tmp_path, pattern):
    media = open_media(make_vispr(tmp_path, pattern))
    assert media.files == [
        "train2017/2017_1.jpg",
        "train2017/2017_2.jpg",
        "val2017/2017_3.jpg",
        "test2017/2017_4.jpg",
    ]
    five = {name: "".join(str(v)[0] for v in column(media, name)) for name in vispr.FIVE}
    assert five == {
        "skin_color": "ynnn",
        "face": "ynyn",
        "gender": "ynnn",
        "nudity": "nnyn",
        "relationship": "ynny",
    }
    assert column(media, "usage") == ["train", "train", "validation", "test"]
    assert column(media, "split") == ["train", "train", "train", "test"]


def test_vispr_has_all_attributes_on_request(tmp_path):
    media = open_media(make_vispr(tmp_path), "vispr", {"attributes": "all"})
    assert len(set(vispr.ATTRIBUTES)) == 68
    assert set(vispr.ATTRIBUTES) < set(media.records.column_names)
    assert column(media, "a104_license_plate_partial") == ["no", "no", "no", "yes"]
    assert {name for five in vispr.FIVE.values() for name in five} <= set(vispr.ATTRIBUTES)


def test_vispr_says_what_is_wrong(tmp_path):
    make_vispr(tmp_path)
    touch(tmp_path, "train2017/2017_9.jpg")
    assert any(note.startswith("1 pictures are left out") for note in open_media(tmp_path).notes)
    (tmp_path / "val2017/2017_3.jpg").unlink()
    assert "lists val2017/2017_3.jpg, which does not exist" in refused(tmp_path, "vispr")
    assert len(open_media(tmp_path, "vispr", {"missing": "skip"})) == 3
    write(tmp_path, "train2017/2017_2.json", '{"labels": ["a17_colour"]}')
    assert "2017_2.json: a17_colour" in refused(tmp_path, "vispr")
    write(tmp_path, "train2017/2017_2.json", '{"labels": "a17_color"}')
    assert "2017_2.json needs a list" in refused(tmp_path, "vispr")
    (tmp_path / "test2017/2017_4.json").unlink()
    write(tmp_path, "train2017/2017_2.json", '{"labels": []}')
    assert "no annotations of test2017" in refused(tmp_path, "vispr")


# HMDB51

CLIPS = {
    "brush_hair": [
        ("April_09_brush_hair_u_nm_np1_ba_goo_0.avi", 1),
        ("April_09_brush_hair_u_nm_np1_ba_goo_1.avi", 1),
        ("Brushing_Her_Hair__[_NEW_AUDIO_]_UPDATED!!!!_brush_hair_h_cm_np1_le_goo_1.avi", 2),
        ("oddly named.avi", 0),
    ],
    "wave": [("20060723sfjffbartsinger_wave_f_cm_np1_ba_med_0.avi", 2)],
}


def make_hmdb(root: Path, videos: str = "videos/") -> Path:
    for action, clips in CLIPS.items():
        touch(root, *(f"{videos}{action}/{name}" for name, _ in clips))
        # The true files end each line with a space.
        for number in (1, 2, 3):
            text = "".join(f"{name} {(mark + number - 1) % 3} \n" for name, mark in clips)
            write(root, f"testTrainMulti_7030_splits/{action}_test_split{number}.txt", text)
    return root


@pytest.mark.parametrize("videos", ["videos/", "hmdb51_org/", ""])
def test_hmdb51_reads_a_split(tmp_path, videos):
    make_hmdb(tmp_path, videos)
    if not videos:  # beside the actions lies the folder of splits, which holds no video
        assert len(open_media(tmp_path, "hmdb51")) == 4
        return
    media = open_media(tmp_path)
    assert media.kind == "video"
    assert media.files == [f"{videos}{a}/{name}" for a, clips in CLIPS.items() for name, mark in clips if mark]
    assert column(media, "action") == ["brush_hair"] * 3 + ["wave"]
    assert column(media, "split") == ["train", "train", "test", "test"]
    assert column(media, "group")[:2] == ["April_09", "April_09"]
    assert any(note.startswith("1 videos are left out") for note in media.notes)
    assert len(open_media(tmp_path, "hmdb51", {"unused": "train"})) == 5
    second = open_media(tmp_path, "hmdb51", {"split": 2})
    assert Counter(column(second, "split")) == {"test": 2, "train": 1}


def test_the_source_of_a_clip_is_told_from_its_name():
    assert source_of("A_b_(c)_brush_hair_u_nm_np12_le_med_10.avi", "brush_hair") == "A_b_(c)"
    assert source_of("A_sword_f_cm_np2_fr_bad_0.avi", "sword_exercise") == "A_sword"
    assert source_of("A_wave.avi", "wave") == "A_wave"


def test_hmdb51_says_what_is_wrong(tmp_path):
    make_hmdb(tmp_path)
    (tmp_path / "videos/wave" / CLIPS["wave"][0][0]).unlink()
    assert "(1 of 4 missing)" in refused(tmp_path, "hmdb51")
    assert len(open_media(tmp_path, "hmdb51", {"missing": "skip"})) == 3
    assert "known" in refused(tmp_path, "hmdb51", split=4)
    write(tmp_path, "testTrainMulti_7030_splits/wave_test_split1.txt", "a.avi 1\nb.avi 3\n")
    assert "wave_test_split1.txt line 2: 'b.avi 3' is not a file name and 0, 1 or 2" in refused(tmp_path, "hmdb51")
    touch(tmp_path, "videos/jump/a.avi")
    assert "jump_test_split1.txt" in refused(tmp_path, "hmdb51")


def test_hmdb51_clips_are_decoded(tmp_path, monkeypatch):
    av = pytest.importorskip("av")
    monkeypatch.setenv("SORDINE_CACHE", str(tmp_path / "cache"))
    root = make_hmdb(tmp_path / "set")
    for path in root.glob("videos/*/*.avi"):
        with av.open(str(path), "w") as file:
            stream = file.add_stream("mpeg4", rate=25)
            stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
            for shade in range(0, 200, 50):
                frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), shade, np.uint8), format="rgb24")
                file.mux(stream.encode(frame))
            file.mux(stream.encode())
    got = decode(open_media(root), Clips(height=16, width=16, frames=4, step=1))
    assert got.x.shape == (4, 4, 3, 16, 16)
    assert got.lengths.tolist() == [4] * 4
    means = got.x.mean(axis=(0, 2, 3, 4))
    assert (np.diff(means) > 20).all()


# PA-HMDB51


def entry(**changes: object) -> dict[str, object]:
    same = {name: [[0, 4, 0]] for name in ("skin_color", "relationship", "face", "nudity", "gender")}
    return same | {"review": True, "note": ""} | changes


FIRST = "April_09_brush_hair_u_nm_np1_ba_goo_0.avi"


def make_pa(root: Path, **changes: object) -> Path:
    touch(root, f"hmdb51_org/brush_hair/{FIRST}", "hmdb51_org/wave/other.avi")
    given = entry(
        skin_color=[[0, 4, [1, 3]]],
        face=[[0, 1, 2], [2, 3, 1], [4, 4, 0]],
        gender=[[0, 2, 1], [3, 4, 2]],
        nudity=[[1, 4, 1]],
    )
    write(root, "PrivacyAttributes/brush_hair.json", json.dumps({FIRST: given | changes}))
    write(root, "PrivacyAttributes/wave.json", json.dumps({"other.avi": entry()}))
    return root


def test_pa_hmdb51_has_a_record_a_frame(tmp_path):
    media = open_media(make_pa(tmp_path))
    assert len(media) == 10
    assert media.frames[:5] == [0, 1, 2, 3, 4]
    assert media.ids[1] == f"hmdb51_org/brush_hair/{FIRST}#00001"
    assert len(set(media.ids)) == 10
    assert column(media, "face")[:5] == ["yes"] * 4 + ["no"]
    assert column(media, "nudity")[:5] == [None, "yes", "yes", "yes", "yes"]
    assert column(media, "skin_color") == ["yes"] * 5 + ["no"] * 5
    assert column(media, "group") == ["April_09"] * 5 + ["other"] * 5
    assert column(media, "action") == ["brush_hair"] * 5 + ["wave"] * 5
    assert any(note.startswith("1 labels are missing") for note in media.notes)
    strict = open_media(tmp_path, "pa_hmdb51", {"face_from": 2, "nudity_from": "2", "every": 2})
    assert strict.frames[:3] == [0, 2, 4]
    assert column(strict, "face")[:3] == ["yes", "no", "no"]
    assert column(strict, "nudity")[:3] == [None, "no", "no"]


def test_pa_hmdb51_has_levels_in_words_and_records_of_whole_videos(tmp_path):
    media = open_media(make_pa(tmp_path), "pa_hmdb51", {"binary": False})
    assert column(media, "face")[:5] == ["complete", "complete", "partial", "partial", "invisible"]
    assert column(media, "skin_color")[0] == "several"
    videos = open_media(tmp_path, "pa_hmdb51", {"level": "video"})
    assert "frame" not in videos.records.column_names
    assert column(videos, "face") == ["yes", "no"]
    words = open_media(tmp_path, "pa_hmdb51", {"level": "video", "binary": False})
    assert column(words, "gender") == ["both", "unidentifiable"]
    assert column(words, "nudity") == ["partial", "none"]


def test_where_ranges_overlap_the_first_one_counts(tmp_path):
    media = open_media(make_pa(tmp_path, face=[[0, 2, 0], [1, 4, 2]]))
    assert column(media, "face")[:5] == ["no", "no", "no", "yes", "yes"]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"face": [[3, 1, 1]]}, "face range [3, 1, 1] is not [first frame, last frame, level]"),
        ({"face": [[0, 4]]}, "face range [0, 4] is not"),
        ({"face": [[0, 4, 3]]}, "face has no level 3; levels are 0 to 2"),
        ({"face": [[0, 4, [1, 2]]]}, "face has no level [1, 2]"),
        ({"gender": []}, "has no ranges of gender"),
    ],
)
def test_pa_hmdb51_names_the_video_of_a_wrong_range(tmp_path, changes, says):
    said = refused(make_pa(tmp_path, **changes), "pa_hmdb51")
    assert f"brush_hair.json: {FIRST}" in said
    assert says in said


def test_hmdb51_is_split_against_pa_hmdb51(tmp_path):
    make_hmdb(make_pa(tmp_path), "hmdb51_org/")
    with pytest.raises(SordineError, match="hmdb51 or pa_hmdb51"):
        open_media(tmp_path)
    media = open_media(tmp_path, "hmdb51", {"split": "pa"})
    test = [n for n, side in zip(media.files, column(media, "split"), strict=True) if side == "test"]
    assert test == [f"hmdb51_org/brush_hair/{FIRST}", "hmdb51_org/wave/other.avi"]
    assert len(media) == 6


# CelebA

HAIRS = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair", "Male", "Smiling")
ROWS = (("1", "-1", "-1", "-1", "1", "-1"), ("-1", "1", "1", "-1", "-1", "1"), ("-1", "-1", "-1", "1", "1", "1"))


def make_celeba(root: Path, *, csv: bool = False, folders: bool = False, pictures: str = "img_align_celeba/") -> Path:
    anno, evaluation = ("Anno/", "Eval/") if folders else ("", "")
    names = [f"{i:06d}.jpg" for i in (1, 2, 3)]
    touch(root, *(pictures + name for name in names))
    if csv:
        text = ",".join(["image_id", *HAIRS]) + "\n"
        text += "".join(",".join([name, *row]) + "\n" for name, row in zip(names, ROWS, strict=True))
        write(root, f"{anno}list_attr_celeba.csv", text)
        write(
            root,
            f"{evaluation}list_eval_partition.csv",
            "image_id,partition\n000001.jpg,0\n000002.jpg,1\n000003.jpg,2\n",
        )
    else:
        text = f"3\n{' '.join(HAIRS)} \n"
        text += "".join(name + "".join(f"{v:>3}" for v in row) + "\n" for name, row in zip(names, ROWS, strict=True))
        write(root, f"{anno}list_attr_celeba.txt", text)
        write(root, f"{evaluation}list_eval_partition.txt", "000001.jpg 0\n000002.jpg 1\n000003.jpg 2\n")
        write(root, f"{anno}identity_CelebA.txt", "000001.jpg 2880\n000003.jpg 7\n000002.jpg 2937\n")
    return root


@pytest.mark.parametrize("csv", [False, True])
@pytest.mark.parametrize(
    "pictures", ["img_align_celeba/", "img_align_celeba/img_align_celeba/", "Img/img_align_celeba/"]
)
def test_celeba_reads_text_and_csv(tmp_path, csv, pictures):
    media = open_media(make_celeba(tmp_path, csv=csv, folders=pictures.startswith("Img"), pictures=pictures))
    assert media.files == [f"{pictures}00000{i}.jpg" for i in (1, 2, 3)]
    assert column(media, "Male") == ["yes", "no", "yes"]
    assert column(media, "Smiling") == ["no", "yes", "yes"]
    assert column(media, "usage") == ["train", "validation", "test"]
    assert column(media, "split") == ["train", "train", "test"]
    if csv:
        assert any("identity_CelebA.txt" in note for note in media.notes)
    else:
        assert column(media, "identity") == ["2880", "2937", "7"]


def test_celeba_reads_named_attributes_and_hair_colour(tmp_path):
    media = open_media(make_celeba(tmp_path), "celeba", {"attributes": "Male", "hair_colour": True, "identity": False})
    assert media.records.column_names == ["file_name", "Male", "hair_colour", "usage", "split"]
    assert column(media, "hair_colour") == ["black", "gray"]
    assert column(media, "split") == ["train", "test"]
    assert any(note.startswith("1 pictures are left out") and "hair" in note for note in media.notes)
    assert "did you mean 'Male'?" in refused(tmp_path, "celeba", attributes=["Mail"])


def test_celeba_says_what_is_wrong(tmp_path):
    make_celeba(tmp_path)
    (tmp_path / "img_align_celeba/000002.jpg").unlink()
    assert "list_attr_celeba.txt lists img_align_celeba/000002.jpg, which does not exist (1 of 3" in refused(
        tmp_path, "celeba"
    )
    assert len(open_media(tmp_path, "celeba", {"missing": "skip"})) == 2
    good = (tmp_path / "list_attr_celeba.txt").read_text(encoding="utf-8")
    for bad, says in (
        (good.replace("000002.jpg -1", "000002.jpg"), "line 4: 6 fields"),
        (good.replace("000003.jpg -1", "000003.jpg  0"), "line 5: Black_Hair is '0', not 1 or -1"),
        (good.replace("3\n", "4\n", 1), "line 1: 4 pictures"),
        (good.partition("\n")[2], "must begin with the number of pictures"),
    ):
        write(tmp_path, "list_attr_celeba.txt", bad)
        said = refused(tmp_path, "celeba", missing="skip")
        assert f"list_attr_celeba.txt {says}" in said
    write(tmp_path, "list_attr_celeba.txt", good)
    write(tmp_path, "list_eval_partition.txt", "000001.jpg 0\n000003.jpg 2\n")
    assert "does not list 000002.jpg (1 of 3 pictures are not listed)" in refused(tmp_path, "celeba", missing="skip")
    write(tmp_path, "list_eval_partition.txt", "000001.jpg 0\n000002.jpg 5\n000003.jpg 2\n")
    assert "partition '5' is not 0, 1 or 2" in refused(tmp_path, "celeba", missing="skip")
    make_celeba(tmp_path / "csv", csv=True)
    listed = tmp_path / "csv/list_attr_celeba.csv"
    listed.write_text(listed.read_text(encoding="utf-8").replace("000003.jpg,-1", "000003.jpg"), encoding="utf-8")
    assert "list_attr_celeba.csv line 4: 6 fields" in refused(tmp_path / "csv", "celeba")


# FER+


def make_ferplus(root: Path, home: str = "data/") -> Path:
    lines = (
        "Usage,Image name,neutral,happiness,surprise,sadness,anger,disgust,fear,contempt,unknown,NF",
        "Training,fer0000000.png,4,0,0,1,3,2,0,0,0,0",  # nobody has more than half
        "Training,fer0000001.png,5,0,1,1,1,0,0,1,1,0",  # five of ten: more than half once single votes are struck
        "Training,,0,0,0,0,0,0,0,0,0,10",
        "Training,fer0000003.png,0,10,0,0,0,0,0,0,0,0",
        "PublicTest,fer0028638.png,0,0,8,0,0,0,2,0,0,0",
        "PublicTest,fer0028639.png,0,0,0,0,0,0,0,0,9,1",
        "PrivateTest,fer0032220.png,9,1,0,0,0,0,0,0,0,0",
        "PrivateTest,fer0032221.png,0,0,0,10,0,0,0,0,0,0",
    )
    write(root, "fer2013new.csv", "\n".join(lines) + "\n")
    folders = {"Training": "FER2013Train", "PublicTest": "FER2013Valid", "PrivateTest": "FER2013Test"}
    for line in lines[1:]:
        usage, name = line.split(",")[:2]
        if name:
            touch(root, f"{home}{folders[usage]}/{name}")
    return root


@pytest.mark.parametrize("home", ["", "data/"])
def test_ferplus_keeps_what_more_than_half_voted(tmp_path, home):
    media = open_media(make_ferplus(tmp_path, home))
    assert dict(zip(media.files, column(media, "expression"), strict=True)) == {
        f"{home}FER2013Train/fer0000003.png": "happiness",
        f"{home}FER2013Valid/fer0028638.png": "surprise",
        f"{home}FER2013Test/fer0032220.png": "neutral",
        f"{home}FER2013Test/fer0032221.png": "sadness",
    }
    assert column(media, "usage") == ["train", "validation", "test", "test"]
    assert column(media, "split") == ["train", "train", "test", "test"]
    for count, why in (
        ("1 rows", "no picture"),
        ("2 rows", "no winner"),
        ("1 rows", "voted unknown"),
        ("1 validation records", "train side"),
    ):
        assert any(count in note and why in note for note in media.notes)


def test_ferplus_has_three_ways_to_count_votes_and_subsets(tmp_path):
    make_ferplus(tmp_path)
    assert column(open_media(tmp_path, "ferplus", {"vote": "authors"}), "expression").count("neutral") == 2
    assert column(open_media(tmp_path, "ferplus", {"vote": "most"}), "expression").count("neutral") == 3
    three = open_media(tmp_path, "ferplus", {"classes": ("neutral", "happiness", "surprise")})
    assert column(three, "expression") == ["happiness", "surprise", "neutral"]
    assert any(note.startswith("1 rows are left out") and "another expression" in note for note in three.notes)


def test_ferplus_says_what_is_wrong(tmp_path):
    make_ferplus(tmp_path)
    assert "did you mean 'happiness'?" in refused(tmp_path, "ferplus", classes="hapiness")
    text = (tmp_path / "fer2013new.csv").read_text(encoding="utf-8")
    for old, new, says in (
        ("Training,fer0000003", "Trained,fer0000003", "line 5: usage 'Trained' is not"),
        ("fer0000003.png,0,10", "fer0000003.png,0,x", "line 5: happiness is 'x'"),
        ("fer0000003.png,0,10", "fer0000003.png,10", "line 5: 11 fields"),
    ):
        write(tmp_path, "fer2013new.csv", text.replace(old, new))
        assert f"fer2013new.csv {says}" in refused(tmp_path, "ferplus")


# MotionSense

MOTION_HEADER = (
    ",attitude.roll,attitude.pitch,attitude.yaw,gravity.x,gravity.y,gravity.z,"
    "rotationRate.x,rotationRate.y,rotationRate.z,userAcceleration.x,userAcceleration.y,userAcceleration.z\n"
)


def make_motion(root: Path) -> Path:
    write(root, "data_subjects_info.csv", "code,weight,height,age,gender\n1,102,188,46,1\n2,72,180,28,0")
    for folder, samples in (("dws_1", 40), ("wlk_7", 25), ("dws_11", 33)):
        for person in (1, 2):
            text = MOTION_HEADER + "".join(
                f"{t},9,9,9,9,9,9,{t}.25,{-t},{person},{t / 8},{person},0.5\n" for t in range(samples)
            )
            write(root, f"A_DeviceMotion_data/A_DeviceMotion_data/{folder}/sub_{person}.csv", text)
    return root


def test_motionsense_is_cut_into_windows(tmp_path):
    table = read_motion(make_motion(tmp_path), window=16, step=16)
    assert table.num_rows == 2 * (2 + 1 + 2)
    first = table.slice(1, 1).to_pylist()[0]
    assert {k: v for k, v in first.items() if not isinstance(v, list)} == {
        "id": "sub_01/dws_1/001",
        "subject": "sub_01",
        "activity": "downstairs",
        "trial": 1,
        "window": 1,
        "gender": "male",
        "age": 46,
        "height_cm": 188,
        "weight_kg": 102,
    }
    assert first["gyro_x"] == [t + 0.25 for t in range(16, 32)]
    assert first["acc_x"] == [t / 8 for t in range(16, 32)]
    assert first["acc_y"] == [1] * 16
    assert len(set(table["id"].to_pylist())) == table.num_rows


def test_motionsense_has_trials_splits_and_groups(tmp_path):
    table = read_motion(make_motion(tmp_path), 16, 8, [1, 11], test_trials=[11], group="recording")
    assert Counter(table["trial"].to_pylist()) == {1: 8, 11: 6}
    assert set(zip(table["trial"].to_pylist(), table["split"].to_pylist(), strict=True)) == {(1, "train"), (11, "test")}
    assert table["group"].to_pylist()[:5] == ["sub_01/dws_1"] * 4 + ["sub_02/dws_1"]
    assert set(read_motion(tmp_path, 16, group="trial")["group"].to_pylist()) == {"dws_1", "dws_11", "wlk_7"}


def test_motionsense_goes_through_the_extractor(tmp_path):
    pq.write_table(read_motion(make_motion(tmp_path), 16, 16), tmp_path / "motion.parquet")
    done = extract(tmp_path / "motion.parquet", "windows", tmp_path / "out.parquet")
    assert (done.rows, done.width) == (10, 276)


def test_motionsense_says_what_is_wrong(tmp_path):
    make_motion(tmp_path)
    for call, says in (
        ({"trials": [3]}, "trials: there is no trial 3; known: 1, 7, 11"),
        ({"window": 100}, "no recording of 100 samples or more"),
        ({"step": 0}, "step=0"),
    ):
        with pytest.raises(SordineError, match=says):
            read_motion(tmp_path, **call)
    recording = tmp_path / "A_DeviceMotion_data/A_DeviceMotion_data/wlk_7/sub_2.csv"
    good = recording.read_text(encoding="utf-8")
    for bad, says in (
        (good.replace(",0.5\n", ",\n", 1), "sub_2.csv line 2: a channel is empty"),
        (good.replace("3.25", "fast"), "sub_2.csv cannot be read as a recording"),
        (good.replace("rotationRate.x", "rotation.x"), "sub_2.csv cannot be read as a recording"),
    ):
        recording.write_text(bad, encoding="utf-8")
        with pytest.raises(SordineError, match=says):
            read_motion(tmp_path)
    recording.write_text(good, encoding="utf-8")
    write(tmp_path, "data_subjects_info.csv", "code,weight,height,age,gender\n1,102,188,46,1\n")
    with pytest.raises(SordineError, match="does not describe person"):
        read_motion(tmp_path)
    with pytest.raises(SordineError, match="read_motion"):
        open_media(tmp_path)


# Any layout


def test_a_folder_with_metadata_is_read_as_such(tmp_path):
    touch(tmp_path, "clips/a.wav", "clips/b.wav", "fold_0_data.txt")
    write(tmp_path, "metadata.csv", "file_name,frame,digit,split\nclips/b.wav,0,7,test\nclips/a.wav,3,8,train\n")
    media = open_media(tmp_path)
    assert (media.kind, media.files, media.notes) == ("audio", ["clips/b.wav", "clips/a.wav"], ())
    assert media.ids == ["clips/b.wav#00000", "clips/a.wav#00003"]
    assert "no option 'seed'" in refused(tmp_path, "metadata", seed=1)
    write(tmp_path, "metadata.csv", "file_name,frame\nclips/b.wav,first\nclips/a.wav,3\n")
    assert "metadata.csv: column 'frame'" in refused(tmp_path, "metadata")


def test_plain_files_are_read_without_labels_when_asked(tmp_path):
    touch(tmp_path, "b/2.png", "a.png", "b/c/1.jpg", "b/readme.txt", ".hidden/x.png", "b/.y.png")
    os.symlink(tmp_path, tmp_path / "b/loop")
    with pytest.raises(SordineError, match=r"has no metadata\.csv .* known: adience, audiomnist"):
        open_media(tmp_path)
    media = open_media(tmp_path, labels=False)
    assert media.files == ["a.png", "b/2.png", "b/c/1.jpg"]
    assert media.records.column_names == ["file_name"]
    assert media.notes == ("1 files are left out: their suffix is not one of a medium.",)
    touch(tmp_path, "z.wav")
    with pytest.raises(SordineError, match="one folder for each kind"):
        open_media(tmp_path, labels=False)
    (tmp_path / "empty").mkdir()
    with pytest.raises(SordineError, match="no sound, picture or video"):
        open_media(tmp_path / "empty", labels=False)


def test_unknown_names_get_the_nearest_known(tmp_path):
    assert "did you mean 'celeba'?" in refused(tmp_path, "celebA")
    assert "layout 'celeba' has no option 'attribute'; did you mean 'attributes'?" in refused(
        tmp_path, "celeba", attribute="x"
    )
    assert "layout 'celeba': validation = 'tests'" in refused(tmp_path, "celeba", validation="tests")
    with pytest.raises(SordineError, match="does not exist"):
        open_media(tmp_path / "none")
    assert all(layout.marks for layout in LAYOUTS.values())


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_an_empty_folder_is_refused_in_one_line(tmp_path, layout):
    assert str(tmp_path) in refused(tmp_path, layout)


@pytest.mark.data
@pytest.mark.skipif(not DATA, reason="SORDINE_DATA does not name the folder of the real data sets")
@pytest.mark.parametrize(("name", "kind"), [("fsdd", "audio"), ("yale_b", "image"), ("avletters", "video")])
def test_real_folders_with_metadata_are_read(name, kind):
    folder = Path(str(DATA)) / name
    media, plain = open_media(folder), open_media(folder, labels=False)
    assert media.kind == plain.kind == kind
    assert sorted(media.files) == plain.files

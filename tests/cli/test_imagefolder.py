"""Folders of images: trained on, gone on with, with files in them that are none."""

import os
import re
import shutil

import images
import pytest
import torch

CONFIG = """\
name: folder
data:
  kind: imagefolder
  root: pictures
  classes: 3
  image_size: 8
  val_resize: 10
  augment: [{kind: random_resized_crop, scale: [0.3, 1]}, {kind: horizontal_flip}]
  normalize: {mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225]}
  workers: 0
model:
  kind: static
  dim: 36
  layers: 3
  downsample_dim: 4
  feature_dim: 16
  stem: single
  pool: global
  wiring: {kind: dnw, prune_rate: 0.6}
training:
  epochs: 4
  batch_size: 8
  optimizer: {kind: sgd, lr: 0.05, momentum: 0.9}
execution: sparse
"""


@pytest.fixture
def folder(rewire):
    rewire.config.write_text(CONFIG)
    images.make(rewire.path("data", "pictures"), classes=3, train=21, val=9)
    return rewire.path("data", "pictures")


def tensors(rewire, output):
    found = torch.load(rewire.checkpoint(output), weights_only=True)
    return {name: tensor for name, tensor in found.items() if name not in ("config", "progress.seconds")}


def assert_same(rewire, a, b):
    assert rewire.rows(a) == rewire.rows(b)
    found, wanted = tensors(rewire, a), tensors(rewire, b)
    assert found.keys() == wanted.keys()
    for name, tensor in found.items():
        assert torch.equal(tensor, wanted[name]), name


def test_trains_and_goes_on_to_the_same_bits(rewire, folder):
    rewire.train("whole").check()
    assert [row["images"] for row in rewire.rows("whole")] == [21, 9] * 4
    assert len({row["loss"] for row in rewire.rows("whole")}) == 8
    for workers in (0, 1, 4):
        rewire.train(f"parts{workers}", data__workers=workers, training__epochs=2).check()
        rewire.train(f"parts{workers}", data__workers=workers).check()
        assert_same(rewire, f"parts{workers}", "whole")
    evaluated = rewire(
        "evaluate", rewire.config, "--checkpoint", rewire.checkpoint("whole"), "--json", data__workers=2
    ).check().json
    assert evaluated["samples"] == 9
    assert evaluated["loss"] == rewire.rows("whole")[-1]["loss"]


def test_predict_sees_what_an_evaluation_sees(rewire, folder):
    rewire.train("run", training__epochs=1).check()
    file = next((folder / "val" / "class1").glob("*.png"))
    shutil.rmtree(folder / "train")
    for other in (folder / "val").rglob("*.*"):
        if other != file:
            other.unlink()
    for name in ("class0", "class2"):  # the same image, for every class has one
        shutil.copy(file, folder / "val" / name)
    loss = rewire("evaluate", rewire.config, "--checkpoint", rewire.checkpoint("run"), "--json").check().json["loss"]
    result = rewire("predict", rewire.config, "--checkpoint", rewire.checkpoint("run"), file, "--json").check().json
    probabilities = result["predictions"][0]["probabilities"]
    assert list(probabilities) == ["class0", "class1", "class2"]
    expected = -sum(torch.tensor(list(probabilities.values()), dtype=torch.float64).log()) / 3
    assert loss == pytest.approx(expected.item(), rel=1e-5)
    elsewhere = rewire(
        "predict", rewire.config, "--data", "nowhere", "--checkpoint", rewire.checkpoint("run"), file, "--json"
    )
    assert list(elsewhere.check().json["predictions"][0]["probabilities"]) == ["0", "1", "2"]


# 65500 x 65500 pixels, then the header of a scan.
HUGE = (
    b"\xff\xd8\xff\xc0\x00\x11\x08\xff\xdc\xff\xdc\x03\x01\x22\x00\x02\x11\x01\x03\x11\x01"
    b"\xff\xda\x00\x0c\x03\x01\x00\x02\x11\x03\x11\x00\x3f\x00" + bytes(64)
)
BAD = {
    "cut.jpg": ((images.GUISES / "rgb.jpg").read_bytes()[:1500], "JPEG: Premature end of JPEG file"),
    "empty.jpg": (b"", "empty"),
    "header.jpg": ((images.GUISES / "rgb.jpg").read_bytes()[:30], "JPEG: "),
    "huge.jpg": (HUGE, "65500x65500 pixels, expected at most 67108864 in all"),
    "text.png": (b"no image", "neither PNG nor JPEG"),
    "cut.png": (images.noise(1)[:-40], "PNG: "),
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("split", ["train", "val"])
def test_a_bad_image_ends_the_training(rewire, folder, name, split):
    content, message = BAD[name]
    path = folder / split / "class1" / name
    path.write_bytes(content)
    done = rewire.train("run", data__workers=2).check(3)
    assert re.search(f"/{split}/class1/{re.escape(name)}: {re.escape(message)}", done.err.splitlines()[-1])


def test_bad_images_are_skipped_and_counted(rewire, folder):
    for name, (content, _) in BAD.items():
        (folder / "train" / "class1" / name).write_bytes(content)
    (folder / "val" / "class2" / "text.jpg").write_bytes(b"no image")
    os.symlink("nowhere", folder / "val" / "class2" / "link.jpg")
    settings = {"data__on_bad_image": "skip", "training__epochs": 3}
    done = rewire.train("run", **settings).check()
    for name, (_, message) in BAD.items():
        assert f"/train/class1/{name}: {message}" in done.err
        assert done.err.count(f"/class1/{name}: ") == 3  # once an epoch
    assert done.err.count("6 training and 2 test images skipped") == 3
    for train, test in zip(rewire.rows("run")[::2], rewire.rows("run")[1::2]):
        assert (train["images"], train["skipped"]) == (21, 6)
        assert (test["images"], test["skipped"]) == (9, 2)
    for workers in (1, 4):  # and in the middle of an epoch
        process = rewire.start_training(f"run{workers}", rows=2, data__workers=workers, training__save_every=1, **settings)
        process.kill()
        process.communicate()
        rewire.train(f"run{workers}", **settings).check()
        assert_same(rewire, f"run{workers}", "run")
    evaluated = rewire(
        "evaluate", rewire.config, "--checkpoint", rewire.checkpoint("run"), "--json", **settings
    ).check()
    assert (evaluated.json["samples"], evaluated.json["skipped"]) == (9, 2)
    assert "on 9 test images, 2 skipped" in evaluated.err


def test_no_image_at_all(rewire, folder):
    for path in (folder / "train").rglob("*.*"):
        path.write_bytes(b"text")
    done = rewire.train("run", data__on_bad_image="skip").check(3)
    assert "none of the 21 images can be read" in done.err.splitlines()[-1]


def test_folders_that_are_none(rewire, folder):
    def refused(message):
        rewire.train("run").refused(3, message)
        assert not rewire.path("run").exists()

    rewire.train("run", data__classes=4).refused(3, "/train: 3 folders of classes, expected data.classes = 4")
    os.rename(folder / "val" / "class2", folder / "val" / "class3")
    refused("/train: other classes than in data/pictures/val: only here: class2; only there: class3")
    shutil.rmtree(folder / "val")
    refused("data/pictures/val: no such folder; an image folder holds train/<class>/<image>")
    shutil.rmtree(folder / "train")
    refused("data/pictures/train: no such folder")


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"data__val_resize": 7}, "--set: data.val_resize: expected at least image_size, 8"),
        ({"data__on_bad_image": "ignore"}, "data.on_bad_image: expected one of error, skip, got 'ignore'"),
        ({"data__augment": "[{kind: random_resized_crop, size: 9}]"}, "data.augment: random_resized_crop: expected a size of 8"),
        ({"data__augment": "[{kind: random_resized_crop, scale: [1, 0.5]}]"}, "augment[0].scale: expected two ascending numbers"),
        ({"data__augment": "[{kind: random_resized_crop, ratio: [1]}]"}, "augment[0].ratio: expected two ascending numbers"),
        ({"data__classes": 0}, "data.classes: expected a number in [1, 65536], got 0"),
    ],
)  # fmt: skip
def test_keys_out_of_range(rewire, folder, settings, message):
    rewire("check", rewire.config, **settings).refused(2, message)


def test_the_size_of_a_crop_may_be_named(rewire, folder):
    augment = "[{kind: random_resized_crop, size: 8}]"
    assert re.search("^ +size: 8$", rewire("check", rewire.config, data__augment=augment).check().out, re.M)
    rewire.train("run", data__augment=augment, training__epochs=1).check()


def test_other_augmentations_begin_with_the_middle(rewire, folder):
    rewire.train("run", data__augment="[{kind: random_crop, padding: 1}]", training__epochs=1).check()

import numpy as np
import pytest
from checkpoint_files import WRITERS, leaves, write_safetensors

from efficientnet import weights
from efficientnet.commands import command_line, convert_weights
from efficientnet.errors import UserError
from efficientnet.weights import integrity

pytestmark = pytest.mark.usefixtures("tiny")


@pytest.mark.parametrize("form", WRITERS)
def test_every_format_is_converted_from_and_to_a_bucket(form, bucket, tmp_path):
    source = bucket.upload(WRITERS[form](tmp_path))
    output = bucket.root / "converted.safetensors"
    assert command_line.run(convert_weights.main, [str(source), f"--output={output}"]) == 0
    pretrained = weights.load_pretrained(str(output))
    for (collection, layer, leaf), array in leaves().items():
        np.testing.assert_array_equal(getattr(pretrained, collection)[layer][leaf], array)
    assert {path.name for path in bucket.root.iterdir()} == {source.name, output.name}


def test_prefix_and_hints_of_the_path(bucket, tmp_path):
    folder = bucket.upload(WRITERS["tf1"](tmp_path), "advprop/efficientnet-b0")
    pretrained = weights.load_pretrained(str(folder / "model.ckpt"))
    assert pretrained.preprocessing.std == (127.5,) * 3


def test_digest_beside_the_file_is_checked(bucket, tmp_path):
    path = bucket.upload(WRITERS["lukemelas-old"](tmp_path))
    integrity.record(path, integrity.digest_of(path))
    weights.load_pretrained(str(path))
    integrity.record(path, "0" * 64)
    with pytest.raises(UserError, match=r"is not the file that b0.pth.sha256 says"):
        weights.load_pretrained(str(path))


def test_what_is_wrong_is_one_sentence(bucket, tmp_path):
    with pytest.raises(UserError, match=r"no checkpoint at gs://.*/nothing.pth"):
        weights.load_pretrained(str(bucket.root / "nothing.pth"))
    (tmp_path / "empty.safetensors").write_bytes(b"")
    with pytest.raises(UserError, match="is empty: fetch it again"):
        weights.load_pretrained(str(bucket.upload(tmp_path / "empty.safetensors")))
    path = bucket.upload(write_safetensors(tmp_path / "x.safetensors", {"a": np.ones(3, "f4")}))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(UserError, match="is damaged, incomplete, or"):
        weights.load_pretrained(str(path))

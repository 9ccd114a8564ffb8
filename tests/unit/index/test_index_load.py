"""Everything in a manifest is checked when an index is loaded; every mismatch names its reason."""

import json

import numpy as np
import pytest

from workflow_lib.errors import InputError
from workflow_lib.index import build_index, load_index
from workflow_lib.index.base import UNCALIBRATED_NAME
from workflow_lib.index.windows import format_window, tabulate_windows
from workflow_lib.manifest import SEAL, write_manifest

MANIFEST = {"embedder": "test", "fingerprint": "f" * 64, "dim": 4, "window": 1000}


@pytest.fixture
def folder(tmp_path):
    vectors = np.eye(4, dtype=np.float32)
    names = [format_window(f"g{i // 2}", "c", 0 if i % 2 else 1000, 2000) for i in range(4)]
    build_index(vectors, tabulate_windows(names, {}), MANIFEST).save(tmp_path)
    return tmp_path


def edit(folder, **changes):
    """Change entries of the manifest (None: remove) as a program would that writes such manifests."""
    content = json.loads((folder / "manifest.json").read_text()) | changes
    kept = {key: value for key, value in content.items() if value is not None and key != SEAL}
    write_manifest(folder, kept, checksums=list(content["checksums"]), sealed=True)


def test_a_manifest_changed_by_hand_is_refused(folder):
    path = folder / "manifest.json"
    for text in (path.read_text().replace('"window": 1000', '"window": 1001'), path.read_text() + "\n"):
        path.write_text(text)
        with pytest.raises(InputError, match="this manifest was changed after it was written"):
            load_index(folder)


def test_a_damaged_manifest_of_the_grown_index_is_refused(folder):
    """It says whether the calibration is stale."""
    load_index(folder).save(folder, name=UNCALIBRATED_NAME)
    load_index(folder)
    path = folder / UNCALIBRATED_NAME
    text = path.read_text()
    for damaged in ("", text[: len(text) // 2], text.replace('"index_id": "', '"index_id": "0')):
        path.write_text(damaged)
        with pytest.raises(InputError, match=r"index\.json"):
            load_index(folder)


def test_other_versions_are_told(folder, caplog):
    load_index(folder)
    assert "was built with" not in caplog.text
    edit(folder, versions={"novabin": "0.0.1", "faiss": "1.0"})
    load_index(folder)
    assert "was built with faiss 1.0 (now " in caplog.text and "novabin 0.0.1 (now " in caplog.text


def test_a_metric_of_another_version_is_refused(folder):
    edit(folder, metric="cosine")
    with pytest.raises(InputError, match=r"metric 'cosine', expected 'chord'"):
        load_index(folder)


def test_an_unknown_kind_is_refused(folder):
    edit(folder, factory="NSG32")
    with pytest.raises(InputError, match="no index kind 'NSG32'"):
        load_index(folder)


def test_the_manifest_of_something_else_is_refused(folder):
    edit(folder, probes=None)
    with pytest.raises(InputError, match="no entry 'probes'"):
        load_index(folder)


def test_rows_of_another_index_are_refused(folder):
    ids = folder / "ids.tsv"
    ids.write_text(ids.read_text().replace("g1", "g7"))
    edit(folder)
    with pytest.raises(InputError, match="rows do not match the manifest"):
        load_index(folder)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.unlink(), "missing"),
        (lambda path: path.write_text(path.read_text().replace("g1", "g7")), "SHA-256 is"),
        (lambda path: path.write_text(path.read_text().replace("0\t", "x\t", 1)), "SHA-256 is"),
        (lambda path: path.write_bytes(path.read_bytes().replace(b"g1", b"\xff1")), "SHA-256 is"),
    ],
    ids=["gone", "name", "number", "no text"],
)
def test_a_damaged_table_of_windows_is_told_as_such(folder, damage, message):
    damage(folder / "ids.tsv")
    with pytest.raises(InputError, match=rf"ids\.tsv: {message}[\s\S]*delete {folder} and run again"):
        load_index(folder)


def test_probes_that_find_something_else_are_refused(folder):
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["probes"][0]["distances"][0] += 0.1
    edit(folder, probes=manifest["probes"])
    with pytest.raises(InputError, match="probe vectors find other neighbours"):
        load_index(folder)


def test_rows_in_another_order_are_found_by_the_probes(folder):
    """The same distances, of other rows: two windows have changed places in the index file."""
    index = load_index(folder)
    index._faiss = None
    other = build_index(np.eye(4, dtype=np.float32)[[1, 0, 2, 3]], index.table, MANIFEST)
    other.write_file(folder / "index.faiss")
    edit(folder)
    with pytest.raises(InputError, match="probe vectors find other neighbours"):
        load_index(folder)


def test_a_file_that_is_no_index_is_refused(folder):
    (folder / "index.faiss").write_bytes(b"nonsense")
    edit(folder)
    with pytest.raises(InputError, match="FAISS cannot read it"):
        load_index(folder)


def test_queries_of_another_embedder_are_refused(folder):
    index = load_index(folder)
    index.check_embedder({"embedder": "test", "fingerprint": "f" * 64, "dim": 4})
    with pytest.raises(InputError, match=r"q/manifest.json: embedder fingerprint 0000.*\(tnf\), the index has ffff"):
        index.check_embedder({"embedder": "tnf", "fingerprint": "0" * 64, "dim": 4}, path="q/manifest.json")
    with pytest.raises(InputError, match="dimension 5"):
        index.check_embedder({"embedder": "test", "fingerprint": "f" * 64, "dim": 5})


def test_another_vector_or_embedder_is_another_index(folder, tmp_path_factory):
    vectors = np.eye(4, dtype=np.float32)
    table = load_index(folder).table
    ids = {load_index(folder).index_id}
    for matrix, manifest in ((vectors[::-1], MANIFEST), (vectors, MANIFEST | {"fingerprint": "0" * 64})):
        other = tmp_path_factory.mktemp("other")
        build_index(matrix, table, manifest).save(other)
        ids.add(load_index(other).index_id)
    assert len(ids) == 3


def test_nothing_to_index_is_an_error_of_the_user():
    table = tabulate_windows([format_window("g", "c", 0, 10)], {})
    with pytest.raises(InputError, match="none of the reference windows can be indexed"):
        build_index(np.zeros((1, 4), np.float32), table, MANIFEST)
    with pytest.raises(InputError, match="2 vectors but 1 windows"):
        build_index(np.eye(4, dtype=np.float32)[:2], table, MANIFEST)

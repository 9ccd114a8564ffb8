"""Memory that the jobs of an index ask for."""

import json

import pytest

from workflow_lib.index.memory import building_mb, training_mb


def write_manifests(folder, n, parts, dim=96):
    for part in range(parts):
        (folder / str(part)).mkdir()
        (folder / str(part) / "manifest.json").write_text(json.dumps({"n": n // parts, "dim": dim}))
    return [folder / str(part) / name for part in range(parts) for name in ("manifest.json", "vectors.npy")]


def test_training_takes_what_it_learns_from_not_what_there_is(tmp_path):
    files = write_manifests(tmp_path, 10**8, 4)
    lists = {factory: training_mb(files, factory) - 2000 for factory in ("IVF4096,SQ8", "IVF*,Flat", "Flat")}
    assert lists["IVF4096,SQ8"] == 4096 * 256 * 96 * 4 * 3 // 10**6
    assert lists["IVF*,Flat"] == 32_768 * 256 * 96 * 4 * 3 // 10**6
    assert lists["Flat"] == 0


def test_training_on_few_windows_takes_all_of_them(tmp_path):
    files = write_manifests(tmp_path, 50_000, 1, dim=1024)
    assert training_mb(files, "IVF*,Flat") == 2000 + int(50_000 * 1024 * 4 * 3 / 1e6)


def test_what_cannot_be_trained_is_told_by_the_job(tmp_path):
    """Snakemake would stop at an error of the function that gives the memory."""
    files = write_manifests(tmp_path, 1000, 1)
    assert [training_mb(files, factory) for factory in ("PCA200,Flat", "NSG32")] == [2000, 2000]
    for text in ("", "{", "{}", "[]", '{"n": "1", "dim": 96}', '{"n": 1, "dim": null}'):
        files[0].write_text(text)
        assert training_mb(files, "Flat") == 2000
    files[0].write_bytes(b"\xff")
    assert training_mb(files, "Flat") == training_mb([], "Flat") == 2000
    files[0].unlink()
    with pytest.raises(FileNotFoundError):  # not made yet: Snakemake asks again
        training_mb(files, "Flat")


@pytest.mark.parametrize(
    ("factory", "in_parts", "share"),
    [
        ("Flat", True, 0.25), ("PCA64,Flat", True, 0.25), ("IVF*,SQ8", True, 0.25), ("OPQ*,IVF*,PQ*,RFlat", True, 0.25),
        ("auto", True, 0.25), ("PQ48x4fs,RFlat", True, 0.5), ("SQ8", True, 0.5), ("Flat", False, 4),
        ("OPQ*,IVF*,PQ*x4fsr", True, 0.5), ("OPQ*,IVF*,PQ*x4fsr,RFlat", True, 0.5),
    ],
)  # fmt: skip
def test_building_takes_what_is_not_merged_on_disk(factory, in_parts, share):
    assert building_mb(10_000, in_parts, factory) == 1500 + int(share * 10_000)

"""The stage version: changes with the code that decides a result, not with its comments."""

import shutil

import pytest

from workflow_lib import versions


@pytest.fixture
def package(root, tmp_path, monkeypatch):
    copy = tmp_path / "workflow_lib"
    shutil.copytree(root / "workflow_lib", copy, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(versions, "_PACKAGE", copy)

    def version(stage: str) -> str:
        for cached in (versions.stage_version, versions._tree, versions._syntax, versions._imported_files):
            cached.cache_clear()
        return versions.stage_version(stage)

    yield copy, version
    version("filter")


def test_code_of_the_stage_counts_comments_do_not(package):
    folder, version = package
    before = version("filter")
    path = folder / "filter/contigs.py"
    path.write_text(path.read_text() + "\n# a comment\n")
    assert version("filter") == before
    path.write_text(path.read_text() + "\nNEW = 1\n")
    assert version("filter") != before


def test_imported_library_code_counts_other_stages_do_not(package):
    folder, version = package
    before = {stage: version(stage) for stage in ("filter", "evaluate")}
    with open(folder / "fasta.py", "a") as handle:
        handle.write("\nNEW = 1\n")
    assert version("filter") != before["filter"]
    before = version("filter")
    with open(folder / "report/__init__.py", "a") as handle:
        handle.write("\nNEW = 1\n")
    assert version("filter") == before


def test_data_files_of_a_stage_count(package):
    folder, version = package
    before = version("report")
    (folder / "report/extra.html").write_text("<p>")
    assert version("report") != before


@pytest.mark.parametrize(("stage", "weights"), versions._WEIGHTS.items())
def test_weights_that_are_shipped_count_for_what_uses_them(package, stage, weights):
    folder, version = package
    before = {name: version(name) for name in (stage, "filter")}
    with open(folder / weights / "model.safetensors", "ab") as handle:
        handle.write(b" ")
    assert version(stage) != before[stage]
    assert version("filter") == before["filter"]


def test_unknown_stage():
    with pytest.raises(ValueError, match="no stage named 'nothing'"):
        versions.stage_version("nothing")

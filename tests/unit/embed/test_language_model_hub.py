"""Hub models: names, the pinned download, and a machine without a network."""

import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
from functools import partial
from pathlib import Path

import pytest
from tiny_models import write_bert

from workflow_lib.embed.hub import HUB_MODELS, fetch_model, hub_repository, model_folder_name
from workflow_lib.errors import InputError

COMMITS = {"main": "a" * 40, "v1": "b" * 40}
REPOSITORY = "someone/tiny-model"


class Hub(http.server.BaseHTTPRequestHandler):
    """The calls of the Hugging Face hub that a download needs: model, list of files, file."""

    def __init__(self, *arguments, folder: Path):
        self.folder = folder
        super().__init__(*arguments)

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, *, body):
        path = self.path.split("?")[0].strip("/")
        if path.startswith(f"api/models/{REPOSITORY}/tree/"):
            files = [
                {"type": "file", "path": path.name, "size": path.stat().st_size, "oid": "0" * 40}
                for path in self.folder.iterdir()
            ]
            return self.reply(200, json.dumps(files).encode(), {"Content-Type": "application/json"})
        if path.startswith(f"api/models/{REPOSITORY}"):
            revision = path.split("revision/")[1] if "revision/" in path else "main"
            return self.send_model(revision)
        if path.startswith(f"{REPOSITORY}/resolve/"):
            commit, name = path.removeprefix(f"{REPOSITORY}/resolve/").split("/", 1)
            content = (self.folder / name).read_bytes()
            return self.reply(200, content if body else b"", {
                "ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": commit,
                "Content-Length": str(len(content)),
            })  # fmt: skip
        return self.reply(404, b"{}", {"X-Error-Code": "RepoNotFound"})

    def send_model(self, revision):
        commit = COMMITS.get(revision, revision if revision in COMMITS.values() else None)
        if commit is None:
            return self.reply(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        names = [path.name for path in self.folder.iterdir()]
        content = {"id": REPOSITORY, "sha": commit, "siblings": [{"rfilename": name} for name in names]}
        return self.reply(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def reply(self, status, content, headers):
        self.send_response(status)
        headers.setdefault("Content-Length", str(len(content)))
        for key, value in headers.items():
            self.send_header(key, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def hub(tmp_path):
    folder = write_bert(tmp_path / "published")
    (folder / "README.md").write_text("a model")
    (folder / "code.py").write_text("raise SystemExit")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Hub, folder=folder))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield {"HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}", "HF_HOME": str(tmp_path / "home")}
    server.shutdown()


def run_python(root, code, environment):
    """Run code in a Python of its own: the hub's library reads its settings once."""
    variables = {**os.environ, "PYTHONPATH": str(root), "NO_PROXY": "127.0.0.1", **environment}
    return subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=False)


FETCH = "from workflow_lib.embed.hub import fetch_model; fetch_model({model!r}, {folder!r}, revision={revision!r})"


def test_a_model_is_fetched_at_a_commit_and_works_without_a_network(root, hub, tmp_path):
    folder = tmp_path / "models/tiny"
    folder.mkdir(parents=True)
    (folder / "pytorch_model-00001-of-00002.bin").write_bytes(b"of another revision")
    for revision, commit in ((None, COMMITS["main"]), ("v1", COMMITS["v1"])):
        code = FETCH.format(model=REPOSITORY, folder=str(folder), revision=revision)
        done = run_python(root, code, hub)
        assert done.returncode == 0, done.stderr
        record = json.loads((folder / "source.json").read_text())
        assert (record["repository"], record["revision"], record["commit"]) == (REPOSITORY, revision, commit)
        assert set(record["files"]) == {path.name for path in folder.iterdir()} - {"source.json"}
        assert "code.py" not in record["files"], "program code is fetched only if it is trusted"
    embed = (
        "from workflow_lib.embed import load_embedder\n"
        "e = load_embedder({name!r}); print(e.name, e.source.get('commit'), e.embed(['ACGTTGCAAC' * 9]).any())"
    )
    offline = {"HF_HUB_OFFLINE": "1", "HF_HOME": hub["HF_HOME"]}
    done = run_python(root, embed.format(name=str(folder)), offline)
    assert done.stdout.split() == [REPOSITORY, COMMITS["v1"], "True"], done.stderr
    for environment in (hub, offline):  # the first fills the cache of the hub's library
        done = run_python(root, embed.format(name=REPOSITORY), environment)
        assert done.stdout.split() == [REPOSITORY, COMMITS["main"], "True"], done.stderr


@pytest.mark.parametrize(
    ("model", "revision", "message"),
    [("someone/else", None, "there is no model someone/else"), (REPOSITORY, "v9", "has no revision 'v9'")],
)
def test_a_model_or_revision_that_does_not_exist(root, hub, tmp_path, model, revision, message):
    done = run_python(root, FETCH.format(model=model, folder=str(tmp_path / "x"), revision=revision), hub)
    assert done.returncode != 0
    assert message in done.stderr
    assert not (tmp_path / "x/source.json").exists()


@pytest.mark.parametrize("environment", [{"HF_HUB_OFFLINE": "1"}, {"HF_ENDPOINT": "http://127.0.0.1:9"}])
@pytest.mark.parametrize(
    "code",
    [
        FETCH.format(model="dnabert-s", folder="x", revision=None),
        "from workflow_lib.embed import load_embedder; load_embedder('dnabert-s')",
        "from workflow_lib.train.embedder import *; "
        "train_embedder('dnabert-s', 'no.tsv', 'x', options=ContrastiveOptions(), settings=LoopSettings())",
    ],
    ids=["fetch", "load", "train"],
)
def test_without_a_network_the_message_says_what_to_do(root, tmp_path, environment, code):
    done = run_python(
        root, f"import os; os.chdir({str(tmp_path)!r}); {code}", {**environment, "HF_HOME": str(tmp_path)}
    )
    assert "InputError" in done.stderr
    for part in ("zhihan1996/DNABERT-S is no folder, is not on this machine", "no network", "snakemake fetch_model"):
        assert part in done.stderr
    assert "give its path for the name (embed.model, or train.model)" in done.stderr


def test_names(tmp_path, monkeypatch):
    assert hub_repository("dnabert-s") == HUB_MODELS["dnabert-s"] == "zhihan1996/DNABERT-S"
    assert hub_repository("someone/model") == "someone/model"
    assert hub_repository("tnf-k") is None
    assert hub_repository("/data/models/mine") is None
    assert model_folder_name("dnabert-s") == "zhihan1996--DNABERT-S"
    (tmp_path / "someone/model").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert hub_repository("someone/model") is None, "a local folder goes first"


def test_there_is_nothing_to_fetch_for_other_embedders(tmp_path):
    with pytest.raises(InputError, match=r"'tnf-k': nothing to fetch.*\n.*dnabert-s"):
        fetch_model("tnf-k", tmp_path)

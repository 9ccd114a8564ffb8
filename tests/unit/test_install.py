"""The bootstrap's decisions, taken on real folders, real pip and real (small) executables."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]


def load(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "envs" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


install = load("install")
find_tools = load("find_tools")


def make_tool(folder, name, body="echo 1.0"):
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return path


def make_wheel(folder, name, version, requires=()):
    """A valid wheel with metadata only."""
    folder.mkdir(exist_ok=True)
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    metadata += "".join(f"Requires-Dist: {requirement}\n" for requirement in requires)
    files = {
        f"{info}/METADATA": metadata,
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    record = "".join(f"{path},,\n" for path in (*files, f"{info}/RECORD"))
    with zipfile.ZipFile(folder / f"{name}-{version}-py3-none-any.whl", "w") as wheel:
        for path, text in (*files.items(), (f"{info}/RECORD", record)):
            wheel.writestr(path, text)


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder that is the only place pip looks for packages."""
    for variable in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    (tmp_path / "index").mkdir()
    return tmp_path / "index"


@pytest.fixture
def cuda_index(index):
    make_wheel(index, "torch", install.TORCH_VERSION, ["nvidia_cublas==13.1", "triton==3.7"])
    make_wheel(index, "nvidia_cublas", "13.1")
    make_wheel(index, "triton", "3.7")
    return index


PYTHON = Path(sys.executable)


class TestPython:
    @pytest.mark.parametrize("version", [(3, 11), (3, 12), (3, 13)])
    def test_supported(self, version):
        install.check_python(version, can_make_venv=True)

    @pytest.mark.parametrize("version", [(3, 9), (3, 10), (3, 14)])
    def test_other_versions_are_named(self, version):
        with pytest.raises(install.InstallError, match=rf"3\.{version[1]} found; 3\.11 to 3\.13 expected"):
            install.check_python(version, can_make_venv=True)

    def test_missing_venv_names_the_debian_package(self):
        with pytest.raises(install.InstallError, match=r"apt-get install python3-venv"):
            install.check_python((3, 11), can_make_venv=False)

    def test_range_is_that_of_the_package(self):
        text = (ROOT / "pyproject.toml").read_text()
        low, high = re.search(r'requires-python = ">=3\.(\d+),<3\.(\d+)"', text).groups()
        assert (int(low), int(high) - 1) == (install.OLDEST[1], install.NEWEST[1])


class TestGpu:
    def test_no_tool_is_no_gpu(self, tmp_path):
        assert not install.has_gpu(str(tmp_path))

    @pytest.mark.parametrize(
        ("body", "expected"),
        [("echo 'GPU 0: NVIDIA H200'", True), ("echo 'No devices were found'", False), ("exit 9", False)],
    )
    def test_answer_of_the_tool_counts(self, tmp_path, body, expected):
        make_tool(tmp_path, "nvidia-smi", body)
        assert install.has_gpu(str(tmp_path)) is expected


class TestTorch:
    def test_cuda_packages_are_recognised(self):
        packages = [("torch", "2.13.0+cu130"), ("triton", "3.7"), ("nvidia-cublas", "13"), ("cuda-toolkit", "13")]
        assert len(install.cuda_packages(packages)) == len(packages)
        assert install.cuda_packages([("torch", "2.13.0+cpu"), ("sympy", "1.14"), ("numpy", "2.4")]) == []

    def test_gpu_takes_the_plain_build(self):
        assert install.choose_torch(PYTHON, gpu=True) == [f"torch==={install.TORCH_VERSION}"]

    def test_configured_index_with_cpu_build(self, index):
        make_wheel(index, "torch", f"{install.TORCH_VERSION}+cpu")
        assert install.choose_torch(PYTHON, gpu=False) == ["--no-deps", f"torch=={install.TORCH_VERSION}"]

    def test_cuda_build_is_refused_and_the_cpu_index_taken(self, cuda_index, tmp_path):
        make_wheel(tmp_path / "cpu", "torch", f"{install.TORCH_VERSION}+cpu")
        arguments = install.choose_torch(PYTHON, gpu=False, cpu_options=("--find-links", str(tmp_path / "cpu")))
        assert arguments[0] == "--no-deps"
        assert str(tmp_path / "cpu") in arguments

    def test_no_cpu_build_says_what_to_do(self, cuda_index):
        with pytest.raises(install.InstallError) as caught:
            install.choose_torch(PYTHON, gpu=False, cpu_options=())
        for words in ("2 CUDA packages (nvidia_cublas==13.1", install.CPU_INDEX, "PIP_FIND_LINKS", "TORCH=cuda"):
            assert words in str(caught.value)

    def test_no_build_at_all_carries_the_words_of_pip(self, index):
        with pytest.raises(install.InstallError, match="No matching distribution found for torch"):
            install.choose_torch(PYTHON, gpu=False, cpu_options=())

    def test_index_that_cannot_be_reached_is_told_from_one_without_torch(self, index, monkeypatch):
        monkeypatch.delenv("PIP_NO_INDEX")
        monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")  # the port "discard": nothing listens
        with pytest.raises(install.InstallError, match="it cannot be reached"):
            install.resolve(PYTHON, "torch", "--retries", "1", "--timeout", "1")


@pytest.fixture(scope="module")
def venv(tmp_path_factory):
    """Made by the first test that installs something, then kept: it takes seconds to make one."""
    return tmp_path_factory.mktemp("install") / "venv"


class TestInstall:
    @pytest.fixture
    def lock(self, tmp_path):
        path = tmp_path / "requirements.lock"
        path.write_text("")
        return path

    def test_real_run_then_nothing_to_do(self, index, lock, venv, monkeypatch):
        monkeypatch.setattr(install, "MODULES", "pip")
        make_wheel(index, "torch", f"{install.TORCH_VERSION}+cpu")
        assert install.install(venv, lock, torch="cpu") is True
        assert install.installed_torch(venv / "bin/python") == [("torch", f"{install.TORCH_VERSION}+cpu")]
        assert install.install(venv, lock, torch="cpu") is False

        lock.write_text("# changed\n")
        assert install.install(venv, lock, torch="cpu") is True

        (venv / "bin/python").unlink()
        assert install.install(venv, lock, torch="cpu") is True
        assert subprocess.run([venv / "bin/python", "-c", "pass"]).returncode == 0

    def test_failure_leaves_no_stamp(self, index, lock, venv):
        lock.write_text("nothing-of-this-name==1.0 --hash=sha256:" + "0" * 64 + "\n")
        with pytest.raises(install.InstallError, match="locked packages could not be installed"):
            install.install(venv, lock, torch="cpu")
        assert not (venv / install.STAMP).exists()

    def test_wrong_hash_is_refused(self, index, lock, venv):
        make_wheel(index, "example", "1.0")
        lock.write_text("example==1.0 --hash=sha256:" + "0" * 64 + "\n")
        with pytest.raises(install.InstallError, match="DO NOT MATCH THE HASHES"):
            install.install(venv, lock, torch="cpu")

    def test_old_python_gets_a_message_not_a_traceback(self, tmp_path):
        old = next((found for v in range(7, 11) if (found := shutil.which(f"python3.{v}"))), None)
        if old is None or subprocess.run([old, "-c", ""], capture_output=True).returncode:
            pytest.skip("no Python 3.7 to 3.10 here")
        command = [old, ROOT / "envs/install.py", "--venv", tmp_path / "venv"]
        answer = subprocess.run(command, capture_output=True, text=True)
        assert answer.returncode == 1
        assert "3.11 to 3.13 expected" in answer.stderr
        assert "Traceback" not in answer.stderr


class TestTools:
    @pytest.fixture
    def folder(self, tmp_path):
        return tmp_path / "bin"

    def add(self, folder, *names):
        folder.mkdir(exist_ok=True)
        for name in names:
            make_tool(folder, name)

    def test_on_path(self, folder, capsys):
        self.add(folder, *find_tools.TOOLS, "conda", "apt-get")
        plan = find_tools.make_plan(str(folder), root=True)
        assert (plan.kind, plan.snakemake_options) == ("path", "")
        find_tools.carry_out(plan, path=str(folder))
        assert "samtools 1.0" in capsys.readouterr().err

    def test_conda_before_apt(self, folder):
        self.add(folder, "fastp", "conda", "mamba", "apt-get")
        assert find_tools.make_plan(str(folder), root=True) == find_tools.Plan("conda")
        assert find_tools.Plan("conda").snakemake_options == "--sdm conda"

    @pytest.mark.parametrize("name", ["mamba", "micromamba"])
    def test_mamba_alone_brings_conda(self, folder, name):
        self.add(folder, name)
        plan = find_tools.make_plan(str(folder), root=False)
        assert plan.snakemake_options == "--sdm conda"
        assert plan.command[0] == str(folder / name)
        assert find_tools.CONDA_SPEC in plan.command

    def test_apt_as_root_installs_only_what_is_missing(self, folder):
        self.add(folder, "minimap2")
        installed = "".join(f"printf '#!/bin/sh\\necho 1.0' > {folder}/{tool}; " for tool in ("fastp", "samtools"))
        chmod = shutil.which("chmod")
        script = f'echo "$@" >> {folder}/calls; if [ $1 = install ]; then {installed} {chmod} +x {folder}/*; fi'
        make_tool(folder, "apt-get", script)
        plan = find_tools.make_plan(str(folder), root=True)
        find_tools.carry_out(plan, path=str(folder))
        assert (folder / "calls").read_text().splitlines() == [
            "update",
            "install --yes --no-install-recommends fastp samtools",
        ]

    def test_sudo_without_password_is_used(self, folder):
        self.add(folder, "apt-get", "sudo")
        plan = find_tools.make_plan(str(folder), root=False)
        assert plan.command[:3] == (str(folder / "sudo"), "-n", str(folder / "apt-get"))

    def test_sudo_with_password_is_not_used(self, folder):
        self.add(folder, "apt-get")
        make_tool(folder, "sudo", "exit 1")
        assert find_tools.make_plan(str(folder), root=False).kind == "none"

    def test_nothing_possible_names_the_commands(self, folder):
        self.add(folder, "samtools")
        plan = find_tools.make_plan(str(folder), root=False)
        with pytest.raises(find_tools.ToolsError) as caught:
            find_tools.carry_out(plan, path=str(folder))
        for words in ("apt-get install --no-install-recommends fastp minimap2\n", "bioconda", "brew install"):
            assert words in str(caught.value)

    def test_failed_apt_is_an_error(self, folder):
        make_tool(folder, "apt-get", "exit 100")
        plan = find_tools.make_plan(str(folder), root=True)
        with pytest.raises(find_tools.ToolsError, match=r"apt-get update` failed \(exit 100\)"):
            find_tools.carry_out(plan, path=str(folder))

    def test_tool_that_does_not_run_is_found_out(self, folder):
        self.add(folder, *find_tools.TOOLS)
        make_tool(folder, "samtools", "echo 'libcrypto.so.1.0.0: cannot open' >&2; exit 127")
        with pytest.raises(find_tools.ToolsError, match=r"does not run.*libcrypto"):
            find_tools.carry_out(find_tools.Plan("path"), path=str(folder))

    def test_command_line(self, folder):
        self.add(folder, *find_tools.TOOLS)
        make_tool(folder, "samtools", r"printf 'samtools 1.2\ncontributor \253\n'")  # not UTF-8, as Debian's
        command = [sys.executable, ROOT / "envs/find_tools.py"]
        answer = subprocess.run(command, capture_output=True, text=True, env={"PATH": str(folder)})
        assert (answer.returncode, answer.stdout.strip()) == (0, "")
        empty = subprocess.run(command, capture_output=True, text=True, env={"PATH": str(folder / "none")})
        assert empty.returncode == 1
        assert "To mend it" in empty.stderr


def locked_versions():
    lines = (ROOT / "envs/requirements.lock").read_text().splitlines()
    pairs = [match.groups() for line in lines if (match := re.match(r"([A-Za-z0-9._-]+)==([^ ;\\]+)", line))]
    return {name.lower(): version for name, version in pairs}


# Names that differ between conda-forge and PyPI.
PYPI_NAMES = {
    "matplotlib-base": "matplotlib",
    "python-isal": "isal",
    "faiss-gpu": "faiss-cpu",
    "huggingface_hub": "huggingface-hub",
}


class TestLock:
    def test_every_package_has_a_hash_and_none_is_for_cuda(self):
        text = (ROOT / "envs/requirements.lock").read_text()
        blocks = re.split(r"\n(?=[A-Za-z])", text)[1:]
        assert len(blocks) > 50
        assert all("--hash=sha256:" in block for block in blocks)
        assert install.cuda_packages(list(locked_versions().items())) == []
        assert "torch" not in locked_versions()

    def test_direct_dependencies_are_exact_and_locked(self):
        locked = locked_versions()
        for line in (ROOT / "envs/requirements.in").read_text().splitlines():
            if line and not line.startswith("#"):
                name, version = line.split("==")
                assert locked[name] == version

    def test_library_dependencies_are_locked(self):
        text = (ROOT / "pyproject.toml").read_text()
        block = re.search(r"\ndependencies = \[(.*?)\]", text, flags=re.DOTALL).group(1)
        names = set(re.findall(r'"([a-z0-9-]+)"', block))
        assert names - set(locked_versions()) == {"torch"}

    @pytest.mark.parametrize("name", sorted(path.name for path in (ROOT / "envs").glob("*.yaml")))
    def test_conda_environments_are_pinned_and_agree_with_the_lock(self, name):
        environment = yaml.safe_load((ROOT / "envs" / name).read_text())
        assert environment["channels"] == ["conda-forge", "bioconda", "nodefaults"]
        locked = locked_versions() | dict.fromkeys(("pytorch-cpu", "pytorch-gpu"), install.TORCH_VERSION)
        for dependency in environment["dependencies"]:
            package, version = dependency.split("=")
            package = PYPI_NAMES.get(package, package)
            assert version == locked.get(package, version)
            assert version[0].isdigit()

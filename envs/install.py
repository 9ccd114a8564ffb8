"""Make .venv: the locked Python packages and the torch build that fits this machine.

Standard library only, so that it runs on a bare machine: `python3 envs/install.py`. Nothing is done when neither the
lock nor this script changed since the last time. The tools of the demo are found by find_tools.py.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

TORCH_VERSION = "2.13.0"
# The index of the PyTorch project with builds that need no CUDA package (pytorch.org, "Start locally").
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
OLDEST, NEWEST = (3, 11), (3, 13)  # versions of Python that the lock is made for
STAMP = "novabin-installed"
# One module of each direct dependency; importing them shows that compiled parts fit this machine.
MODULES = (
    "Bio, faiss, huggingface_hub, isal, jinja2, jsonschema, matplotlib, numba, numpy, pandas, plotly, pysam, pytest, "
    "safetensors, scipy, sklearn, snakemake, snakemake_executor_plugin_slurm, threadpoolctl, tokenizers, torch, tqdm, "
    "transformers, yaml"
)


class InstallError(Exception):
    """Something the user must mend; the text says what was found and what to do."""


def check_python(version: tuple[int, int], *, can_make_venv: bool) -> None:
    """Refuse a Python that the lock is not made for, or that cannot make a virtual environment.

    Parameters
    ----------
    version : major and minor version of the running Python.
    can_make_venv : whether the modules venv and ensurepip are there.

    Raises
    ------
    InstallError
        Naming the version found and expected, or the Debian package that is missing.
    """
    found = ".".join(map(str, version))
    if not OLDEST <= version <= NEWEST:
        raise InstallError(
            f"Python {found} found; 3.{OLDEST[1]} to 3.{NEWEST[1]} expected.\n"
            "  To mend it: install one of them and name it: make PYTHON=python3.12 ..."
        )
    if not can_make_venv:
        raise InstallError(
            f"Python {found} cannot make virtual environments: its module venv or ensurepip is missing.\n"
            f"  To mend it, on Debian or Ubuntu: apt-get install python3-venv (or python{found}-venv)"
        )


def has_gpu(path: str | None = None) -> bool:
    """Whether `nvidia-smi`, looked up on `path`, lists a GPU."""
    tool = shutil.which("nvidia-smi", path=path)
    if tool is None:
        return False
    answer = subprocess.run([tool, "-L"], capture_output=True, text=True)
    return answer.returncode == 0 and "GPU " in answer.stdout


def stamp_text(lock: Path, *, torch: str) -> str:
    """Digest of all that decides what .venv holds: lock, this script, torch build and version of Python."""
    digest = hashlib.sha256()
    for part in (lock.read_bytes(), Path(__file__).read_bytes(), torch.encode(), str(sys.version_info[:2]).encode()):
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()


def cuda_packages(packages: list[tuple[str, str]]) -> list[str]:
    """Those of the (name, version) pairs that only serve a GPU, as `name==version`."""
    prefixes = ("nvidia-", "cuda-", "triton", "pytorch-triton")
    return [
        f"{name}=={version}"
        for name, version in packages
        if name.lower().replace("_", "-").startswith(prefixes) or "+cu" in version
    ]


def run_pip(python: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pip of the environment that `python` belongs to; its output is captured."""
    command = [str(python), "-m", "pip", *arguments]
    environment = dict(os.environ, PIP_DISABLE_PIP_VERSION_CHECK="1", PIP_NO_INPUT="1")
    return subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, env=environment)


def last_error(output: str) -> str:
    """The last line in which pip says what went wrong, and whether a connection failed."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")]
    lost = "it cannot be reached; " if "connection broken by" in output else ""
    return lost + (errors or lines or ["no message"])[-1]


def resolve(python: Path, requirement: str, *options: str) -> list[tuple[str, str]]:
    """(name, version) of every package that `pip install requirement` would bring; nothing is installed.

    Raises
    ------
    InstallError
        Where pip finds no solution; the text is pip's last error.
    """
    arguments = ["install", "--dry-run", "--ignore-installed", "--quiet", "--report", "-", *options, requirement]
    answer = run_pip(python, *arguments)
    if answer.returncode:
        raise InstallError(last_error(answer.stderr))
    return [(item["metadata"]["name"], item["metadata"]["version"]) for item in json.loads(answer.stdout)["install"]]


def choose_torch(python: Path, *, gpu: bool, cpu_options: tuple[str, ...] = ("--index-url", CPU_INDEX)) -> list[str]:
    """Arguments of `pip install` that bring the torch build for this machine.

    On a machine with a GPU the plain build with its CUDA packages. On any other the build that the configured index
    offers, if it brings no CUDA package, else that of the PyTorch project's index of CPU builds.

    Raises
    ------
    InstallError
        Where only a CUDA build can be had on a machine without a GPU.
    """
    if gpu:
        # "===" takes the plain build also where a local folder offers one marked "+cpu".
        return [f"torch==={TORCH_VERSION}"]
    requirement = f"torch=={TORCH_VERSION}"
    reasons = []
    for options in ((), ("--retries", "2", "--timeout", "30", *cpu_options)):
        try:
            unwanted = cuda_packages(resolve(python, requirement, *options))
        except InstallError as error:
            reasons.append(str(error))
            continue
        if not unwanted:
            return ["--no-deps", *options, requirement]
        reasons.append(f"it brings {len(unwanted)} CUDA packages ({', '.join(unwanted[:3])}, ...)")
    raise InstallError(
        f"no build of torch {TORCH_VERSION} without CUDA can be had, and this machine has no NVIDIA GPU.\n"
        f"  The package index that pip is set to use: {reasons[0]}\n"
        f"  {CPU_INDEX}: {reasons[1]}\n"
        f"  To mend it: let this machine reach {CPU_INDEX}; or fetch torch-{TORCH_VERSION}+cpu for Python "
        f"{sys.version_info[0]}.{sys.version_info[1]} from there on another machine, put the wheel into a folder and "
        "run again with PIP_FIND_LINKS=<folder>; or, if the CUDA build is wanted, with TORCH=cuda."
    )


def installed_torch(python: Path) -> list[tuple[str, str]]:
    """torch and the CUDA packages that are installed now, as (name, version); empty without torch."""
    answer = run_pip(python, "list", "--format", "json")
    packages = [(item["name"], item["version"]) for item in json.loads(answer.stdout or "[]")]
    if not any(name == "torch" for name, _ in packages):
        return []
    return [pair for pair in packages if pair[0] == "torch" or cuda_packages([pair])]


def install_torch(python: Path, *, gpu: bool) -> None:
    """Install torch unless the right build is there already."""
    present = installed_torch(python)
    version = dict(present).get("torch", "").partition("+")[0]
    if version == TORCH_VERSION and bool(cuda_packages(present)) == gpu:
        return
    arguments = choose_torch(python, gpu=gpu)
    say(f"torch {TORCH_VERSION}, {'CUDA' if gpu else 'CPU'} build ...")
    must(run_pip(python, "install", "--force-reinstall", *arguments), "torch could not be installed")


def must(answer: subprocess.CompletedProcess[str], what: str) -> None:
    """Raise InstallError with the output of a command that failed."""
    if answer.returncode:
        output = (answer.stdout + answer.stderr).strip()
        raise InstallError(f"{what} (exit {answer.returncode}):\n{output[-3000:]}\n  To mend it: see the lines above.")


def make_venv(folder: Path) -> Path:
    """Make the virtual environment, or keep the one there if its Python runs and is of this version."""
    python = folder / "bin" / "python"
    version = "import sys; print(*sys.version_info[:2], sep='.')"
    wanted = ".".join(map(str, sys.version_info[:2]))
    if python.exists():
        answer = subprocess.run([str(python), "-c", version], capture_output=True, text=True)
        if answer.returncode == 0 and answer.stdout.strip() == wanted:
            return python
    answer = subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], capture_output=True, text=True)
    must(answer, f"the virtual environment {folder} could not be made")
    return python


def install(venv: Path, lock: Path, *, torch: str = "auto") -> bool:
    """Bring `venv` to the state of `lock`; return False if it was there already.

    Parameters
    ----------
    venv : folder of the virtual environment.
    lock : requirements with hashes.
    torch : "cpu", "cuda", or "auto": CUDA where nvidia-smi lists a GPU.
    """
    gpu = torch == "cuda" or (torch == "auto" and has_gpu())
    stamp = venv / STAMP
    text = stamp_text(lock, torch="cuda" if gpu else "cpu")
    if stamp.exists() and stamp.read_text() == text and (venv / "bin" / "python").exists():
        return False
    can_make_venv = all(importlib.util.find_spec(module) is not None for module in ("venv", "ensurepip"))
    check_python(sys.version_info[:2], can_make_venv=can_make_venv)
    say(f"making {venv} with Python {sys.version.split()[0]} ...")
    python = make_venv(venv)
    stamp.unlink(missing_ok=True)
    say(f"installing the packages of {lock} (a few minutes the first time) ...")
    must(
        run_pip(python, "install", "--quiet", "--require-hashes", "--requirement", str(lock)),
        "the locked packages could not be installed; is the package index reachable?",
    )
    install_torch(python, gpu=gpu)
    say("checking ...")
    must(run_pip(python, "check"), "the installed packages do not fit together")
    command = [str(python), "-c", f"import {MODULES}"]
    must(subprocess.run(command, capture_output=True, text=True), "an installed package does not work")
    stamp.write_text(text)
    return True


def say(message: str) -> None:
    """Print progress at once."""
    print(f"novabin install: {message}", file=sys.stderr, flush=True)


def main() -> int:
    """Command line; 0 on success, 1 with a message otherwise."""
    here = Path(__file__).resolve().parent
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--venv", type=Path, default=here.parent / ".venv")
    parser.add_argument("--lock", type=Path, default=here / "requirements.lock")
    parser.add_argument("--torch", choices=("auto", "cpu", "cuda"), default="auto")
    arguments = parser.parse_args()
    try:
        if install(arguments.venv, arguments.lock, torch=arguments.torch):
            say(f"{arguments.venv} is ready")
    except (InstallError, OSError) as error:
        print(f"novabin install: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

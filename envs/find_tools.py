"""Find the command-line tools of the demo, or install them where that is allowed.

Prints the options that Snakemake needs to find them (nothing, or `--sdm conda`) on standard output, all else on
standard error. The order: on PATH; through conda, mamba or micromamba; through apt as root or with a password-free
sudo; else it says what to install. Standard library only.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

TOOLS = ("fastp", "minimap2", "samtools")
CONDA_FOLDER = ".venv-conda"  # where conda itself comes to if only mamba or micromamba is there
CONDA_SPEC = "conda>=24.7.1"  # the oldest that Snakemake 9 accepts
HELP = """none of conda, mamba, micromamba and apt can be used here to install them.
  To mend it, one of:
    Debian, Ubuntu:  sudo apt-get install --no-install-recommends {tools}
    conda:           conda install -c conda-forge -c bioconda {tools}
    Homebrew:        brew install {tools}
  then run the same command again."""


@dataclass(frozen=True)
class Plan:
    """How the tools come: `kind` is path, conda, mamba, apt or none; `command` what to run first, if anything."""

    kind: str
    command: tuple[str, ...] = ()

    @property
    def snakemake_options(self) -> str:
        """Options for Snakemake that go with this plan."""
        return "--sdm conda" if self.kind in ("conda", "mamba") else ""


class ToolsError(Exception):
    """The tools can be neither found nor installed; the text says what to do."""


def missing_tools(path: str) -> list[str]:
    """Those of TOOLS that are not on `path`."""
    return [tool for tool in TOOLS if shutil.which(tool, path=path) is None]


def make_plan(path: str, *, root: bool) -> Plan:
    """Decide how the tools come, from what is on `path` and whether the user is root."""
    missing = missing_tools(path)
    if not missing:
        return Plan("path")
    if shutil.which("conda", path=path):
        return Plan("conda")
    for tool in ("mamba", "micromamba"):
        if found := shutil.which(tool, path=path):
            folder = str(Path(__file__).resolve().parent.parent / CONDA_FOLDER)
            return Plan("mamba", (found, "create", "--yes", "--prefix", folder, "-c", "conda-forge", CONDA_SPEC))
    apt = shutil.which("apt-get", path=path)
    sudo = shutil.which("sudo", path=path)
    install = ("install", "--yes", "--no-install-recommends", *missing)
    if apt and root:
        return Plan("apt", (apt, *install))
    if apt and sudo and subprocess.run([sudo, "-n", "true"], capture_output=True).returncode == 0:
        return Plan("apt", (sudo, "-n", apt, *install))
    return Plan("none")


def run(command: tuple[str, ...]) -> None:
    """Run a command with its output on standard error; raise ToolsError if it fails."""
    say(" ".join(command))
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    answer = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=sys.stderr, env=environment)
    if answer.returncode:
        raise ToolsError(f"`{' '.join(command)}` failed (exit {answer.returncode}); see the lines above.")


def carry_out(plan: Plan, *, path: str) -> None:
    """Install what the plan says and check that the tools can then be found.

    Raises
    ------
    ToolsError
        Where nothing can be installed, an installation failed, or a tool that was found does not run.
    """
    if plan.kind == "none":
        missing = " ".join(missing_tools(path))
        raise ToolsError(f"missing on PATH: {missing}; {HELP.format(tools=missing)}")
    if plan.kind == "apt":
        update = plan.command[: plan.command.index("install")]
        run((*update, "update"))
    if plan.command:
        run(plan.command)
    if plan.kind in ("path", "apt"):
        if missing := missing_tools(path):
            raise ToolsError(f"still missing on PATH after the installation: {' '.join(missing)}")
        for tool in TOOLS:
            say(f"{tool} {tool_version(tool, path=path)} ({shutil.which(tool, path=path)})")


def tool_version(tool: str, *, path: str) -> str:
    """Version that a tool prints; ToolsError if it does not run."""
    executable = shutil.which(tool, path=path)
    # Debian's samtools prints a list of contributors that is not UTF-8.
    answer = subprocess.run([executable, "--version"], capture_output=True, text=True, errors="replace")
    if answer.returncode:
        raise ToolsError(
            f"{executable} does not run (exit {answer.returncode}): {answer.stderr.strip()[:300]}\n"
            "  To mend it: install it again, or take it off PATH so that another one is found."
        )
    lines = (answer.stdout or answer.stderr).split("\n")
    return lines[0].replace(tool, "").strip()


def say(message: str) -> None:
    """Print progress at once."""
    print(f"novabin tools: {message}", file=sys.stderr, flush=True)


def provide() -> str:
    """Find or install the tools and return the options that Snakemake needs; ToolsError if they cannot be had."""
    path = os.environ.get("PATH", os.defpath)
    plan = make_plan(path, root=os.geteuid() == 0)
    carry_out(plan, path=path)
    if plan.snakemake_options:
        say(f"the tools come from conda environments ({plan.snakemake_options})")
    return plan.snakemake_options


def main() -> int:
    """Command line; 0 on success, 1 with a message otherwise."""
    try:
        print(provide())
    except ToolsError as error:
        say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

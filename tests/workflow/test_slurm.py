"""The example on a real Slurm: a controller and a node, started here (needs root and Debian's slurm-wlm)."""

import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CONF = Path("/etc/slurm/slurm.conf")  # jobs look here: the plugin takes SLURM_CONF out of their environment
pytestmark = [pytest.mark.slurm, pytest.mark.usefixtures("slurm")]

# No accounting (the plugin then asks squeue), no cgroups, no munge: one node on this machine, for this user only.
SLURM_CONF = """
ClusterName=novabin
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/none
CredType=cred/none
SlurmctldPort={controller_port}
SlurmdPort={node_port}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU_Memory
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=1
AccountingStorageType=accounting_storage/none
MpiDefault=none
SlurmdParameters=config_overrides
ReturnToService=2
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0
NodeName={host} NodeAddr=127.0.0.1 CPUs=8 RealMemory=32000 State=UNKNOWN
PartitionName=standard Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


def free_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


@pytest.fixture(scope="module")
def slurm(tmp_path_factory):
    """A running cluster of one node."""
    programs = {name: shutil.which(name) for name in ("slurmctld", "slurmd", "sbatch", "sinfo")}
    missing = [name for name, path in programs.items() if path is None]
    if CONF.exists():
        pytest.skip(f"{CONF} is there: this machine belongs to a cluster")
    if missing or os.geteuid() != 0:
        pytest.skip(f"needs root and Slurm's programs; missing: {missing}")
    folder = tmp_path_factory.mktemp("slurm")
    (folder / "state").mkdir()
    (folder / "spool").mkdir()
    values = {"host": socket.gethostname(), "controller_port": free_port(), "node_port": free_port()}
    CONF.parent.mkdir(exist_ok=True)
    CONF.write_text(SLURM_CONF.format(folder=folder, **values))
    daemons = []
    try:
        for command in ([programs["slurmctld"], "-D"], [programs["slurmd"], "-D"]):
            log = (folder / f"{Path(command[0]).name}.out").open("w")
            daemons.append(subprocess.Popen(command, stdout=log, stderr=log))
        for _ in range(60):
            time.sleep(1)
            answer = subprocess.run(["sinfo", "-h", "-o", "%T"], capture_output=True, text=True)
            if answer.stdout.strip() == "idle":
                break
        else:
            pytest.fail("the node did not come up:\n" + "\n".join(p.read_text()[-2000:] for p in folder.glob("*.log")))
        yield
    finally:
        for daemon in daemons:
            daemon.terminate()
            daemon.wait(timeout=30)
        CONF.unlink()


def run_on_cluster(folder, snakefile):
    command = [sys.executable, "-m", "snakemake", "--snakefile", snakefile, "--profile", ROOT / "profiles/cluster"]
    command += ["--slurm-status-command", "squeue", "--slurm-no-account", "--latency-wait", "5"]
    command += ["--slurm-init-seconds-before-status-checks", "2", "--seconds-between-status-checks", "2"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def test_example_through_the_cluster_profile(tmp_path):
    for name in ("tests", "config"):
        (tmp_path / name).symlink_to(ROOT / name)
    answer = run_on_cluster(tmp_path, ROOT / "Snakefile")
    assert answer.returncode == 0, answer.stderr[-4000:]
    assert "has been submitted with SLURM jobid" in answer.stderr
    assert (tmp_path / "results/report/report.html").stat().st_size > 0


def test_retries_of_the_profile_submit_again_with_more_memory(tmp_path):
    snakefile = tmp_path / "Snakefile"
    snakefile.write_text(
        "rule grow:\n"
        '    output: "memory.txt"\n'
        "    resources:\n"
        "        mem_mb=lambda wildcards, attempt: 200 * attempt,\n"
        "        runtime=1,\n"
        '    shell: "test {resources.mem_mb} -ge 400 && squeue --noheader -j $SLURM_JOB_ID -o %m > {output}"\n'
    )
    answer = run_on_cluster(tmp_path, snakefile)
    assert answer.returncode == 0, answer.stderr[-4000:]
    assert (tmp_path / "memory.txt").read_text() == "400M\n"

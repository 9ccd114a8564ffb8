"""A task that is trained in a moment: vectors to their class, with noise drawn from every random state that is kept."""

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from workflow_lib.train import processes
from workflow_lib.train.loop import LoopSettings, train


class SmallTask:
    n_steps = 30

    def __init__(self, *, dies_at=None, hangs_at=None, noise=0.1, **identity):
        self.identity = {"genomes": "0" * 64, "strategy": "mutate", "seed": 1, **identity}
        torch.manual_seed(3)  # the first weights, and the state that a training begins with
        self.module = nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.Linear(8, 3))
        rows = torch.randn(60, 6, generator=torch.Generator().manual_seed(0))
        self.rows, self.labels = rows, rows[:, :3].argmax(1)
        self.dies_at, self.hangs_at, self.noise = dies_at, hangs_at, noise

    def loss(self, step, generator, device):
        if step == self.dies_at:
            raise KeyboardInterrupt
        if step == self.hangs_at:
            print("hangs", flush=True)
            import time

            time.sleep(600)
        chosen = torch.randint(50, (8,), generator=generator)
        noise = self.noise * torch.randn(8, 6)
        share = chosen.chunk(processes.n_processes())[processes.rank()]
        noise = noise.chunk(processes.n_processes())[processes.rank()]
        outputs = self.module((self.rows[share] + noise).to(device))
        return cross_entropy(outputs.float(), self.labels[share].to(device)), {"noise": float(noise.std())}

    @torch.no_grad()
    def validate(self, device):
        outputs = self.module(self.rows[50:].to(device)).float().cpu()
        return {
            "loss": float(cross_entropy(outputs, self.labels[50:])),
            "accuracy": float((outputs.argmax(1) == self.labels[50:]).float().mean()),
        }


SETTINGS = LoopSettings(
    learning_rate=0.05, warmup_steps=3, checkpoint_steps=4, validation_steps=10, log_steps=3, seed=2
)


def train_in(folder, device="cpu", settings=SETTINGS, resume=True, **options):
    """Weights of a training on one thread: a process that a test starts has to sum in the same order."""
    task = SmallTask(**options)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        train(task, settings, folder=folder, device=device, resume=resume)
    finally:
        torch.set_num_threads(before)
    return {name: tensor.cpu().numpy() for name, tensor in task.module.state_dict().items()}

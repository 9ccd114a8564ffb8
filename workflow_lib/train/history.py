"""The figures of a training: means over stretches of steps, validations, as a table and a plot."""

from __future__ import annotations

from pathlib import Path

from workflow_lib.files import atomic_open, atomic_path

_STYLE = {"svg.hashsalt": "novabin", "svg.fonttype": "none", "font.size": 11, "font.family": "sans-serif"}
_TRAINING, _HELD_OUT = "#0072B2", "#D55E00"  # Okabe & Ito's colours
VALIDATION_PREFIX = "held_out_"
_MARKED = 50  # points of a line up to which each is marked


class History:
    """Rows by step. Nothing in it tells the time, so that the same training gives the same bytes.

    Attributes
    ----------
    rows : a dict a step at which figures were recorded, with `step`; means over those steps since the row before that
        have the figure, the last step's `learning_rate`, and validation figures with the prefix `held_out_`.
    """

    def __init__(self, rows: list[dict] | None = None, sums: dict | None = None, counts: dict | None = None) -> None:
        self.rows = rows or []
        self._sums, self._counts = sums or {}, counts or {}

    def state(self) -> dict:
        """What a History is made from again."""
        return {"rows": self.rows, "sums": self._sums, "counts": self._counts}

    def add(self, *, learning_rate: float, **figures: float) -> None:
        """Count the figures of one step."""
        for name, value in figures.items():
            self._sums[name] = self._sums.get(name, 0.0) + value
            self._counts[name] = self._counts.get(name, 0) + 1
        self._sums["learning_rate"], self._counts["learning_rate"] = learning_rate, 1

    def close(self, step: int) -> dict[str, float]:
        """Record the means of the steps since the last call, at `step`; the row."""
        means = {name: value / self._counts[name] for name, value in self._sums.items()}
        self._sums, self._counts = {}, {}
        row = self._row(step)
        row.update(means)
        return row

    def add_validation(self, step: int, figures: dict[str, float]) -> None:
        """Record validation figures at `step`."""
        self._row(step).update({VALIDATION_PREFIX + name: value for name, value in figures.items()})

    def _row(self, step: int) -> dict[str, float]:
        if not self.rows or self.rows[-1]["step"] != step:
            self.rows.append({"step": step})
        return self.rows[-1]

    def series(self, name: str) -> tuple[list[int], list[float]]:
        """Steps and values of a column, where it has any."""
        rows = [row for row in self.rows if name in row]
        return [row["step"] for row in rows], [row[name] for row in rows]

    @property
    def columns(self) -> list[str]:
        """Names of the columns: step, learning_rate, loss, others of training, validation."""
        names = dict.fromkeys(["step", "learning_rate", "loss"])
        for held_out in (False, True):
            for row in self.rows:
                names.update(dict.fromkeys(name for name in row if name.startswith(VALIDATION_PREFIX) is held_out))
        return list(names)

    def write(self, path: str | Path) -> None:
        """Write the table, six significant digits, empty where a figure is not known."""
        columns = self.columns
        with atomic_open(path) as handle:
            handle.write("\t".join(columns) + "\n")
            for row in self.rows:
                cells = ("" if name not in row else _format(row[name]) for name in columns)
                handle.write("\t".join(cells) + "\n")

    def plot(self, path: str | Path) -> None:
        """Draw loss in training and held out, and below it the other validation figures, over steps, as SVG."""
        import matplotlib as mpl
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure

        others = [name for name in self.columns if name.startswith(VALIDATION_PREFIX) and not name.endswith("_loss")]
        with mpl.rc_context(_STYLE):
            figure = Figure(figsize=(7, 3.2 + 2.2 * len(others)), layout="constrained")
            FigureCanvasSVG(figure)
            panels = figure.subplots(1 + len(others), sharex=True, squeeze=False)[:, 0]
            self._draw(panels[0], "loss", _TRAINING, "training")
            self._draw(panels[0], VALIDATION_PREFIX + "loss", _HELD_OUT, "held out")
            panels[0].set(ylabel="loss")
            panels[0].legend(frameon=False)
            for panel, name in zip(panels[1:], others, strict=True):
                self._draw(panel, name, _HELD_OUT, None)
                panel.set(ylabel=name.removeprefix(VALIDATION_PREFIX).replace("_", " "))
            panels[-1].set(xlabel="step")
            with atomic_path(path) as temporary:
                figure.savefig(temporary, format="svg", metadata={"Date": None, "Creator": None})

    def _draw(self, axes, name: str, colour: str, label: str | None) -> None:
        steps, values = self.series(name)
        axes.plot(steps, values, color=colour, marker="." if len(steps) <= _MARKED else None, label=label)
        axes.grid(color="#DDDDDD", linewidth=0.6)


def _format(value: float) -> str:
    return str(value) if isinstance(value, int) else f"{value:.6g}"

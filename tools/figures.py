"""Write the pictures of figures/ from the outputs that the notebooks store, and the film of 02 (`make figures`).

A cell with the tag figure-NAME holds the picture NAME.png, so what README shows is what the notebook shows.
"""

import base64
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
from matplotlib.animation import FuncAnimation, PillowWriter
from notebook_files import NOTEBOOKS, ROOT, code_cells

from helpers.download import write

FOLDER = ROOT / "figures"
STEPS = [*range(10), *range(10, 251, 15), *[250] * 9]  # of the gradient ascent; the film rests on the last


def pictures(paths=NOTEBOOKS):
    """The pictures of tagged cells: file name → bytes of a PNG."""
    found = {}
    for path in paths:
        for cell in code_cells(path):
            for tag in cell.metadata.get("tags", []):
                if tag.startswith("figure-"):
                    (png,) = [o.data["image/png"] for o in cell.outputs if "image/png" in o.get("data", {})]
                    found[f"{tag.removeprefix('figure-')}.png"] = base64.b64decode(png)
    return found


def film(path, steps=STEPS):
    """Save the gradient ascent of 02 as an animation: run its code up to the function that draws one step."""
    namespace = {"__name__": "__main__"}
    (notebook,) = [path for path in NOTEBOOKS if path.stem.startswith("02")]
    for cell in code_cells(notebook):
        exec(cell.source, namespace)
        if "def draw(ax, step):" in cell.source:
            break
    plt.close("all")
    figure, ax = plt.subplots(figsize=(5, 3))

    def frame(step):
        ax.clear()
        namespace["draw"](ax, step)
        ax.legend(loc="upper left")

    FuncAnimation(figure, frame, steps).save(Path(path), PillowWriter(fps=6), dpi=80)
    plt.close(figure)


if __name__ == "__main__":
    matplotlib.use("agg")
    FOLDER.mkdir(exist_ok=True)
    for name, png in pictures().items():
        write(FOLDER / name, png)
    film(FOLDER / "02_gap.gif")

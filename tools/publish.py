"""Write the repository's address, which stands in pyproject.toml, wherever else it is needed.

    python tools/publish.py [OWNER/NAME]

With a name, that GitHub repository first becomes the address. Before that, it is an address that nobody can
register, and every place says that this copy is unpublished. The program writes the first code cell of each
notebook, which installs `helpers` if it is missing, a link to Colab below the notebook's title, environment.yml
and both READMEs.
"""

import re
import sys
import tomllib
from pathlib import Path

import nbformat

ROOT = Path(__file__).resolve().parent.parent
BOOTSTRAP = "bootstrap"  # the id of the cell
COLAB = "https://colab.research.google.com/github/"
GITHUB = "https://github.com/"

CELL = """\
# Install the helpers if this notebook runs on its own, for example on Colab.{remark}
import subprocess
import sys

SOURCE = "git+{address}@v{version}"
try:
    import helpers.session  # noqa: F401
except ModuleNotFoundError as error:
    if error.name == "helpers.session":
        found = sys.modules["helpers"].__file__
        raise ImportError(f"{{found}} hides the package helpers: rename it") from None
    print("Installing the helpers from", SOURCE)
    subprocess.run([sys.executable, "-m", "pip", "install", "-q", f"{name} @ {{SOURCE}}"], check=True)
"""
REMARK = "\n# This copy is unpublished, so the address does not exist yet: use a clone and `make setup`."
BADGE = "(https://colab.research.google.com/assets/colab-badge.svg)]({colab}00_check_your_setup.ipynb)"
TEXTS = {  # file: (before publication, after it)
    "README.md": (
        "This copy is unpublished: its address, `{address}`, does not exist, and a\n"
        "notebook needs a clone with `make setup`. After `make publish REPO=owner/name` each opens on its own.",
        f"[![Open in Colab]{BADGE}\n"
        "Each notebook also opens on its own: its first cell installs `helpers`, if it is missing, from\n"
        "<{address}>.",
    ),
    "README.zh.md": (
        "这一份还没有发布：它的地址 `{address}` 并不存在，笔记本要在克隆里运行（先 `make setup`）。\n"
        "运行 `make publish REPO=owner/name` 之后，每一本都可以单独打开，例如在 Colab 上。",
        f"[![在 Colab 中打开]{BADGE}\n"
        "每一本也可以单独打开：缺少 `helpers` 时，第一个单元格会从\n<{address}> 安装。",
    ),
    "environment.yml": (
        "# Part of {address} (unpublished: there is no such address); it needs the files beside it.",
        "# Part of {address}; it needs the files beside it.",
    ),
}
MARKS = {".md": ("<!-- address -->\n", "\n<!-- /address -->"), ".yml": ("", "\nname:")}


def project(root):
    return tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]


def values(root):
    """The values that the texts are filled with."""
    about = project(root)
    address = about["urls"]["Repository"]
    published = address.startswith(GITHUB)
    return {
        "address": address,
        "version": about["version"],
        "name": about["name"],
        "remark": "" if published else REMARK,
        "colab": f"{COLAB}{address.removeprefix(GITHUB)}/blob/main/notebooks/" if published else "",
    }


def stamped_notebook(path, filled):
    """The notebook's text with its first code cell and its link to Colab."""
    notebook = nbformat.read(path, as_version=4)
    opening, *others = [cell for cell in notebook.cells if cell.id != BOOTSTRAP]
    link = f"\n\n[Open in Colab]({filled['colab']}{path.name})" if filled["colab"] else ""
    opening.source = re.sub(r"\n\n\[Open in Colab\]\(.*\)", "", opening.source) + link
    first = nbformat.v4.new_code_cell(CELL.format(**filled).rstrip("\n"), id=BOOTSTRAP)
    at = next(i for i, cell in enumerate(others) if cell.cell_type == "code")
    notebook.cells = [opening, *others[:at], first, *others[at:]]
    executed = [cell for cell in notebook.cells if cell.cell_type == "code" and cell.source.strip()]
    if all(cell.execution_count for cell in executed[1:]):  # the new cell prints nothing: as if it had run
        for count, cell in enumerate(executed, start=1):
            cell.execution_count = count
            for output in cell.outputs:
                if "execution_count" in output:
                    output.execution_count = count
    return nbformat.writes(notebook) + "\n"


def stamped_text(path, filled):
    """The text of a README or of environment.yml with the address in its place."""
    text = path.read_text("utf-8")
    before, after = MARKS[path.suffix]
    start = text.index(before) + len(before)
    wanted = TEXTS[path.name][bool(filled["colab"])].format(**filled)
    return text[:start] + wanted + text[text.index(after, start) :]


def stamp(root):
    """{file: the text that it should hold} for every file with the address."""
    filled = values(root)
    found = {path: stamped_notebook(path, filled) for path in root.glob("notebooks/[0-9][0-9]_*.ipynb")}
    return found | {root / name: stamped_text(root / name, filled) for name in TEXTS}


def main(root, repository=None):
    if repository is not None:
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository, re.ASCII):
            sys.exit(f"REPO is {repository!r}; expected owner/name, as in github.com/owner/name")
        path = root / "pyproject.toml"
        old = f'Repository = "{project(root)["urls"]["Repository"]}"'
        text = path.read_text("utf-8").replace(old, f'Repository = "{GITHUB}{repository}"')
        path.write_text(text, "utf-8", newline="\n")
    for path, text in stamp(root).items():
        if path.read_text("utf-8") != text:
            path.write_text(text, "utf-8", newline="\n")
            print(f"written: {path.relative_to(root)}")
    filled = values(root)
    if filled["colab"]:
        print(f"Now commit, `git tag v{filled['version']}`, and push both to {filled['address']}")


if __name__ == "__main__":
    main(ROOT, *sys.argv[1:])

"""Print the oldest versions that pyproject.toml allows, as constraints for pip.

python tools/floors.py > floors.txt && pip install -c floors.txt -e .
"""

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
print("\n".join(dependency.replace(">=", "==") for dependency in project["dependencies"]))

"""Change the helpers' code in two thousand ways, and list the changes that no test notices (`make mutants`).

mutmut makes the changes; its settings stand in pyproject.toml. A change that no test can notice is listed
here, with the reason; at most one in twenty may be.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

from notebook_files import ROOT

MUTMUT = Path(sys.executable).with_name("mutmut")
EQUIVALENT = {  # reason: the changed lines
}


def mutmut(*arguments):
    command = [MUTMUT, *arguments]
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, encoding="utf-8", check=True).stdout


def changed_line(mutant):
    """The lines that a mutant has in place of others, as one."""
    lines = [line for line in mutmut("show", mutant).splitlines() if re.match(r"\+(?!\+)", line)]
    return " ".join(line[1:].strip() for line in lines)


def main():
    subprocess.run([MUTMUT, "run"], cwd=ROOT)  # its exit status does not count: survivors are judged below
    mutmut("export-cicd-stats")
    counts = json.loads((ROOT / "mutants" / "mutmut-cicd-stats.json").read_text("utf-8"))
    left = re.findall(r"^ *(\S+): (?!timeout)", mutmut("results"), re.M)  # a test without an end has noticed
    lines = {mutant: changed_line(mutant) for mutant in left}
    listed = {line: reason for reason, group in EQUIVALENT.items() for line in group}
    unknown = [mutant for mutant, line in lines.items() if line not in listed]
    for mutant in unknown:
        print(f"{mutant}\n    {lines[mutant]}")
    for line in listed.keys() - lines.values():
        print(f"listed as equivalent, but noticed or no longer made: {line}")
    total, equivalent = counts["total"], len(left) - len(unknown)
    noticed = total - len(left)
    print(f"{total} changes: {noticed} noticed, {equivalent} equivalent, {len(unknown)} survived")
    sys.exit(bool(unknown) or equivalent > total / 20)


if __name__ == "__main__":
    main()

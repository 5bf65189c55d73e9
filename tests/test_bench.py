"""The benchmark with tiny sizes: what it prints, never how fast it is."""

import os
import re
import subprocess
import sys

from notebook_files import ROOT


def test_the_benchmark_still_runs_prints_each_ratio_and_draws_the_growth(tmp_path):
    picture = tmp_path / "growth.png"
    options = ["--turns", "1", "--shrink", "25", "--picture", picture]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tests"), "PYTHONIOENCODING": "utf-8"}
    command = [sys.executable, ROOT / "tools" / "bench.py", *options]
    ended = subprocess.run(command, capture_output=True, env=environment, encoding="utf-8", timeout=300)
    assert ended.returncode == 0, ended.stderr
    ratios = re.findall(r"^(\w+), .+? +(\d+\.\d\d) +[≥≤] [\d.]+ ", ended.stdout, re.M)
    names = ["fit", "fit", "fit", "importance_weighted_nll", "render", "factor_vae_score", "beta_vae_score"]
    assert [name for name, _ in ratios] == names
    assert all(float(ratio) > 0 for _, ratio in ratios)
    ours, usual = map(float, re.search(r"mean losses ([\d.]+) and ([\d.]+) nats", ended.stdout).groups())
    assert abs(ours - usual) < 0.05 * usual  # the baseline learns the same
    assert "0 pixels of 400 images not as the outlines' inside test says" in ended.stdout
    assert len(re.findall(r"^\w+ +\d+ MB ", ended.stdout, re.M)) == 5
    assert len(re.findall(r"time grows as \w+\^-?\d+\.\d\d", ended.stdout)) == 7
    assert picture.exists()

"""The long trainings behind the stored models and the tables of seeds, one file per protocol.

`make experiments NAMES="likelihood"` runs a protocol. Each finished run appends a line to experiments/runs.jsonl,
stores its weights in helpers/trained and renews figures/results.json. A run that is interrupted goes on where it was.
"""

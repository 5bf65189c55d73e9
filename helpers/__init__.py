"""The package that the notebooks import: models, losses, training, data, metrics, plots and exercises."""

import warnings

# pooch imports tqdm.auto, which looks for ipywidgets and would warn in every notebook.
warnings.filterwarnings("ignore", "IProgress not found")

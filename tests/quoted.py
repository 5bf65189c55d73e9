"""Numbers that the text quotes and no cell prints: (where, phrase, its source or why it needs none).

Where: the numbers of the notebooks, or README (both languages). A phrase is a piece of the text as tests/test_text.py
reads it, without code and links; take as few words as make clear what the number is. `make test` says if a phrase is
no longer there.
"""

QUOTED = [
    # published
    ("08", "86.76", "Burda, Grosse & Salakhutdinov 2016, Table 1: VAE, k = 1, one stochastic layer"),
    ("03 08", "105.6", "pytorch/examples on GitHub, vae: the loss after 10 epochs, on grey pixels"),
    ("03 08", "pythae: 89.78", "clementchadebec/benchmark_VAE on GitHub, reproduced results, static MNIST"),
    ("03", "altosaar: 97.10", "altosaar/variational-autoencoder on GitHub, README, static MNIST"),
    ("06", "FactorVAE score ± 0.06 to 0.10", "Lin et al. 2020, spread over runs"),
    ("06", "DCI ± 0.10 or 0.11", "Lin et al. 2020, spread over runs"),
    ("06", "β = 4 and 6.4", "YannDubs/disentangling-vae on GitHub: the β of its logs"),
    ("06", "values above 0.95 after one epoch", "1Konny/FactorVAE on GitHub, issue 9"),
    # settings and definitions
    ("01", "a probability of 0.9", "defines `unsure`; the code says so, too"),
    ("02", "variance 0.01", "the variance from which the numbers of a cell are drawn"),
    ("03", "95 % of the prior", "the share inside the circle that the figure draws"),
    ("03", "default of 0.1", "torch.optim.Muon's weight_decay"),
    ("06", "below 0.05", "a threshold of the FactorVAE score, in an exercise"),
    ("07", "omentum 0.9", "a setting of Adam, β₁"),
    ("06", "5 % quantile", "the range of a traversal, in an exercise"),
    ("06", "95 % quantile", "the range of a traversal, in an exercise"),
    # computed in the text itself
    ("06", "78.4 w", "784 pixels / 10 latents"),
    ("06", "w = 0.051", "4 / 78.4"),
    ("06", "409.6 w", "4096 pixels / 10 latents"),
    ("06", "w = 0.0098", "4 / 409.6"),
    ("06 08", "39.2", "784 pixels / 20 latents"),
    # names
    ("07", "question 6.3", "a section of the article"),
    ("README", "Python 3.11", "a version"),
    ("README", "3.14", "a version"),
    ("README", "CC BY 4.0", "a licence"),
]

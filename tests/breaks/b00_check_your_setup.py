"""What breaks the cause of each claim of 00_check_your_setup: claim → (old source, new source)."""

LOAD = "digits = load_mnist(session.device)"

BREAKS = {
    # a column of each image was lost
    "Images are one channel of 28 by 28 pixels": (
        LOAD,
        LOAD + "._replace(**{f'{part}_images': torch.rand(1000, 1, 28, 27) for part in ('train', 'test')})"
        "\ndigits = digits._replace(train_labels=digits.train_labels[:1000])",
    ),
    # bytes were not scaled
    "Pixels run from 0 to 1": (
        LOAD,
        LOAD + "\ndigits = digits._replace(train_images=digits.train_images * 255)",
    ),
    # the test set was cut from the train set
    "No test image is a train image": (
        LOAD,
        LOAD + "\ndigits = digits._replace(test_images=digits.train_images[: len(digits.test_images)])",
    ),
    # labels and images out of step
    "Labels agree with pictures": (
        LOAD,
        LOAD + "\ndigits = digits._replace(train_labels=digits.train_labels.roll(1))",
    ),
    # the seed is ignored
    "One seed gives the same numbers again, another seed gives others": (
        "torch.manual_seed(seed)",
        "torch.manual_seed(0)",
    ),
    # the loader leaves out the last, partial batch
    "Both ways give each image once": ("shuffle=True)", "shuffle=True, drop_last=True)"),
}

"""Double descent: networks of growing width on noisy labels, all trained for the same number of epochs.

The main grid is the sweep over widths. ``noise`` is the same with other shares of wrong labels, ``epochs``
one width after fewer epochs: a shorter training is the beginning of the longer one, draw by draw.
"""

from prunability.studies.grid import Profile

WIDTHS = [2, 3, 4, 6, 8, 11, 16, 22, 32, 45, 64, 90, 128, 180]
# k of ResNet18(k).
SMALL, PAPER = [1, 2, 3, 4, 5, 6, 8, 10], [1, 2, 3, 4, 6, 8, 10, 12, 16, 20, 24, 32, 48, 64]
MLP = {
    "kind": "mlp",
    "label_noise": 0.2,
    "optimiser": "adam",
    "learning_rate": 3e-3,
    "stop_at_target": False,
}
# k of the 5-layer CNN.
MEDIUM = [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 20]
CNN = MLP | {"kind": "cnn", "precision": "bfloat16", "batch_size": 128}
RESNET = MLP | {"kind": "resnet18", "precision": "bfloat16", "batch_size": 128}

PROFILES = {
    "smoke": Profile(
        data="digits",
        n_train=100,
        grid={"width": [2, 6, 24], "seed": [0, 1]},
        fixed=MLP | {"batch_size": 50, "max_epochs": 60},
        also={
            "noise": {"label_noise": [0.0], "width": [2, 24], "seed": [0]},
            "epochs": {"width": [24], "max_epochs": [10], "seed": [0]},
        },
        claims=False,
        made_here=True,
    ),
    # 3,000 steps.
    "quick": Profile(
        data="digits",
        n_train=600,
        grid={"width": WIDTHS, "seed": [*range(5)]},
        fixed=MLP | {"batch_size": 128, "max_epochs": 750},
        also={
            "noise": {"label_noise": [0.0, 0.1], "width": WIDTHS, "seed": [0, 1]},
            "epochs": {"width": [180], "max_epochs": [2, 4, 8, 16, 32, 64, 128, 256, 512], "seed": [0, 1, 2]},
        },
        made_here=True,
    ),
    # Chosen for the time it takes and because one seed showed the test loss to peak within these widths.
    "small": Profile(
        data="cifar10",
        n_train=1000,
        grid={"width": SMALL, "seed": [*range(4)]},
        fixed=RESNET | {"learning_rate": 1e-3, "max_epochs": 60},
        also={
            "noise": {"label_noise": [0.0], "width": SMALL[::2], "seed": [0]},
            "epochs": {"width": [6], "max_epochs": [3, 10, 30], "seed": [0]},
        },
    ),
    "medium": Profile(
        data="cifar10",
        n_train=5000,
        grid={"width": MEDIUM, "seed": [*range(3)]},
        fixed=CNN | {"label_noise": 0.15, "learning_rate": 1e-3, "max_epochs": 100},
        also={
            "noise": {"label_noise": [0.0], "width": MEDIUM[::2], "seed": [0]},
            "epochs": {"width": [12], "max_epochs": [3, 10, 30], "seed": [0]},
        },
    ),
    "paper": Profile(
        data="cifar10",
        gpu=True,
        grid={"width": PAPER, "seed": [*range(3)]},
        fixed=RESNET | {"label_noise": 0.15, "learning_rate": 1e-4, "max_epochs": 200, "augmentation": True},
        also={
            "noise": {"label_noise": [0.0, 0.1], "width": PAPER, "seed": [0]},
            "epochs": {"width": [64], "max_epochs": [1, 2, 5, 10, 20, 50, 100], "seed": [0]},
        },
    ),
}

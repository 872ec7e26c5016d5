"""A companion to "Robustness to Pruning Predicts Generalization in Deep Neural Networks".

Configuration, data, networks, training, pruning and measures, run store, statistics, figures and claims
are modules of these names, each using only those before it; notebooks call them from the top.
"""

import time

# When this process began, by the clock that limits of time are measured with: importing torch takes seconds.
STARTED = time.monotonic()

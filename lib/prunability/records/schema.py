"""What stands in a published table: a page in Markdown beside it, written from the table and the code."""

from collections import Counter
from typing import get_args

import pyarrow as pa

from prunability.measures import REGISTRY, all_measures
from prunability.measures.probes import PROBES, name_in
from prunability.measures.search import Pruner
from prunability.records.columns import columns_of
from prunability.records.tables import OF_ROWS, Published

FIELDS = {
    "data": "name of the images",
    "run": "hash of the run's configuration, its identity",
    "checksum": "SHA-256 of configuration, result, measures and the weights' checksum",
    "weights": "SHA-256 of the run's file of initial and final weights, which is not published",
    "config.data.checksum": "SHA-256 of the images",
    "config.data.n_train": "training images, a fixed subset",
    "config.data.label_noise": "probability with which a training label was made wrong",
    "config.data.seed": "seed of the subset and of the wrong labels",
    "config.data.shuffled": "the part, simple or complex, that training images have from one another",
    "config.seed": "seed of initial weights, data order, dropout, augmentation and random pruning",
    "config.version": "version of the meaning of a configuration",
    "config.origin.kind": "where a network begins if not whole at its initialisation: ticket, child or static",
    "config.origin.round": "rounds of pruning and training again before this one",
    "config.origin.rewind": "epoch of the dense network at whose end a ticket begins, 0 its initialisation",
    "config.origin.pruned": "share of the weights left that a round takes",
    "config.origin.weights": "rewound to those of that epoch, or redrawn",
    "config.origin.places": "of the weights left: by magnitude, or random",
    "config.origin.epoch": "epoch of the dense network at whose end a child begins",
    "config.origin.order": "number of the child's own order of examples",
    "config.origin.density": "share of the prunable weights that a static random mask leaves",
    "config.network.kind": "architecture",
    "config.network.width": "channels, hidden units, or k of ResNet18(k) or CNN(k)",
    "config.network.depth": "blocks",
    "config.network.dropout": "probability",
    "config.network.linear_layers": "of an MLP, after its ReLU; none where it is missing",
    "config.training.optimiser": "sgd or adam",
    "config.training.learning_rate": "constant",
    "config.training.batch_size": "images",
    "config.training.weight_decay": "L2, on every parameter",
    "config.training.momentum": "SGD's momentum, Adam's β₁",
    "config.training.augmentation": "random crop and flip",
    "config.training.adversarial": "attack in training, in the range of a pixel; none where it is missing",
    "config.training.target_loss": "nats, training set, evaluation mode",
    "config.training.stop_at_target": "whether training stops there",
    "config.training.max_epochs": "epoch limit",
    "config.training.label_smoothing": "share of a step's target that is uniform over the classes, if any",
    "config.training.confidence_penalty": "weight of the entropy that is subtracted from a step's loss, if any",
    "config.training.temporal_smoothing": "share of a step's target that is the network's mean prediction, if any",
    "config.training.warmup_epochs": "epochs over which the learning rate rises to its value, if any",
    "config.training.precision": "of the training steps' forward passes; evaluation is in float32 or better",
    "result.status": "converged, not converged or diverged",
    "result.reason": "why it ended so",
    "result.epochs": "count, the last perhaps not whole",
    "result.steps": "count",
    "result.sum_of_training_losses": "nats, over all steps",
    "result.train_loss": "mean cross-entropy, nats, evaluation mode",
    "result.train_error": "fraction",
    "result.test_loss": "mean cross-entropy, nats",
    "result.test_error": "fraction",
    "result.curve": "an epoch each: mean minibatch loss, and training loss where last evaluated in it (nats)",
    "environment.aten": "instructions that PyTorch's own kernels used",
    **{
        f"environment.bfloat16_error_{pruner}": f"share of a sum of losses that the {pruner} scan took for "
        "its error in bfloat16; where there is none, float32 alone decided"
        for pruner in get_args(Pruner)
    },
    "environment.data": "name of the images where the run was made",
    "environment.device": "what the run was trained on",
    "environment.machine": "processor architecture",
    "environment.mkl": "how MKL was bound to the same bits: its mode and strictness, or off; none without MKL",
    "environment.onednn": "the most that oneDNN was allowed of the processor's instructions, where that was set",
    "environment.processor": "name, with family and model where the system tells",
    "environment.python": "version",
    "environment.tf32": "1 where a GPU's float32 products and convolutions might be rounded to TF32, else 0",
    "environment.threads": "that PyTorch computed with",
    "environment.torch": "version",
}


def document(table: Published) -> str:
    """The page: what the table is of, how its runs were made, and every column with type, unit and meaning."""
    origin, records = table.origin, table.records
    made = Counter(
        ", ".join(f"{key} {record.environment.get(key, 'not said')}" for key in ("device", "torch", "python"))
        for record in records
    )
    seconds = sum(sum(record.seconds.values()) for record in records)
    columns = columns_of(records) | {name: [""] for name in OF_ROWS}
    rows = [f"| `{name}` | {_type(values)} | {meaning(name)} |" for name, values in sorted(columns.items())]
    return "\n".join(
        [
            f"# {origin.study}, profile {origin.profile}: {origin.data.title}",
            "",
            f"{len(records)} finished runs of the study's {origin.runs} (seed {origin.seed}), written by "
            f"`prunability export {origin.study} --profile {origin.profile}`. A row is a run; a field that it "
            "lacks is null. Measures are oriented to rise with the test loss. What made a run stands in its row.",
            "",
            f"- images: {origin.data.title}, {origin.data.train:,} for training and {origin.data.test:,} for "
            f"testing, {origin.data.classes} classes, SHA-256 of their content {origin.data.checksum}",
            *(f"- {number} runs: {environment}" for environment, number in made.items()),
            f"- training and measures took {seconds / 3600:.1f} hours of one process in all",
            f"- SHA-256 of the library's files when it was exported: {origin.source}",
            "",
            "| column | type | meaning |",
            "| --- | --- | --- |",
            *rows,
            "",
        ]
    )


def meaning(column: str) -> str:
    """What a column holds.

    Raises:
        KeyError: nothing is known of it.
    """
    head, _, rest = column.partition(".")
    if head == "seconds":
        if rest in PROBES:
            return f"seconds of one process, probe `{rest}`{' of one pair' if PROBES[rest].pair else ''}"
        return "seconds of one process, " + ("training" if rest == "training" else f"function `{rest}`")
    if head == "curves" and (probed := name_in(rest)):
        partner = rest.removeprefix(f"{probed}_{PROBES[probed].version}").removeprefix("_")
        return f"what probe `{probed}` gave" + (f" of the pair with run {partner}" if partner else "")
    if head == "curves":
        pruner, _, points = rest.rpartition("_")
        if pruner not in get_args(Pruner):
            return "of a probe that the code which wrote this page does not know"
        return f"training loss in nats at the kept fractions 1/{points}, …, 1, {pruner} pruner; where it was drawn"
    if head != "measures":
        return FIELDS[column]
    function, kind, *name = rest.split(".", 2)
    if function not in REGISTRY or (name and name[0] not in all_measures()):
        return "of a measure that the code which wrote this page does not know"
    if kind in ("version", "undefined"):
        group = ", ".join(member.label for member in REGISTRY[function].measures)
        return f"{'version of' if kind == 'version' else 'why there is no value for'} {group}"
    known = all_measures()[name[0]]
    text = f"{known.label}: {known.formula}".replace("|", "\\|")
    return f"{'standard error of ' if kind == 'standard_errors' else ''}{text}, in {known.unit}"


def _type(values: list[object]) -> str:
    return str(pa.array(values).type).replace("element: ", "").replace("item: ", "")

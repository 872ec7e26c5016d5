"""What anybody gives to be measured, seen to be what is needed before any work starts; else one line says so."""

import warnings
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.parameter import is_lazy

from prunability.data.dataset import Dataset
from prunability.foundation.errors import PrunabilityError
from prunability.measures.search import prunable

# Of so many images two evaluations are compared, as far apart as a GPU may be from itself.
FEW, APART = 16, 1e-3
# Of a smaller share of weights that stay whole, such as a class token, nothing is said.
FEW_WHOLE = 0.01

Images = Tensor | Iterable[tuple[Tensor, Tensor]]


def see_network(model: object, what: str = "the network") -> nn.Module:
    """See that it is a module in evaluation mode that has its weights.

    Raises:
        PrunabilityError: it is none.
    """
    if not isinstance(model, nn.Module):
        raise PrunabilityError(f"a torch module is needed, this is a {type(model).__name__}")
    if isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel | torch.jit.ScriptModule):
        raise PrunabilityError(f"{what} is wrapped in a {type(model).__name__}: give the module itself")
    tensors = [*model.named_parameters(), *model.named_buffers()]
    if lazy := [name for name, tensor in tensors if is_lazy(tensor)]:
        raise PrunabilityError(
            f"{lazy[0]} of {what} is not yet initialised: evaluate it on a batch of images first"
        )
    if empty := [name for name, tensor in tensors if tensor.is_meta]:
        raise PrunabilityError(f"{empty[0]} of {what} has no values (device meta): load its weights first")
    if inferred := [name for name, tensor in tensors if tensor.is_inference()]:
        raise PrunabilityError(
            f"{inferred[0]} of {what} was made in inference mode: copy its state into a new module"
        )
    if training := [name for name, module in model.named_modules() if module.training]:
        where = "" if model.training else f" in its part {training[0]}"
        raise PrunabilityError(f"{what} is in training mode{where}: call its eval() first")
    return model


def see_start(initial: nn.Module, model: nn.Module) -> None:
    """See that it is the same network with other values.

    Raises:
        PrunabilityError: it is another.
    """
    ours, theirs = (
        {
            name: (list(tensor.shape), str(tensor.device))
            for name, tensor in see_network(of, what).named_parameters()
        }
        for of, what in ((model, "the network"), (initial, "the initial network"))
    )
    if differing := [name for name in ours | theirs if ours.get(name) != theirs.get(name)]:
        name = differing[0]
        raise PrunabilityError(
            f"the initial network must be the network with other values, on its device: {name} is "
            f"{_described(theirs.get(name))} there, {_described(ours.get(name))} in the network"
        )


def _described(found: tuple[list[int], str] | None) -> str:
    return f"{found[0]} on {found[1]}" if found else "missing"


def see_weights(model: nn.Module) -> Tensor:
    """See that there are weights to prune, each for itself; returns the first, and warns of weights left whole.

    Raises:
        PrunabilityError: there are none, or some would be pruned otherwise than asked.
    """
    weights, own = prunable(model), dict(model.named_parameters(remove_duplicate=False))
    if not weights:
        raise PrunabilityError("the network has no convolution and no linear weights that could be pruned")
    if made := [name for name in weights if name not in own]:
        raise PrunabilityError(
            f"{made[0]} is no parameter but computed from others, by a mask or a normalisation: make it permanent "
            "first (torch.nn.utils.prune.remove, remove_weight_norm, parametrize.remove_parametrizations)"
        )
    if len({weight.data_ptr() for weight in weights.values()}) < len(weights):
        raise PrunabilityError("two layers of the network share one weight tensor, which is not pruned twice")
    # Biases and what scales channels have one dimension.
    every = {name: parameter for name, parameter in model.named_parameters() if parameter.dim() > 1}
    places = {weight.data_ptr() for weight in weights.values()}  # a tied one has two names
    left = {name: parameter for name, parameter in every.items() if parameter.data_ptr() not in places}
    if (share := sum(p.numel() for p in left.values()) / sum(p.numel() for p in every.values())) > FEW_WHOLE:
        warnings.warn(
            f"{share:.1%} of the weights stay whole, for they are of no convolution, linear or attention layer: "
            f"{', '.join(left)}",
            stacklevel=5,
        )
    return next(iter(weights.values()))


def examples(images: Images, labels: Tensor | None) -> tuple[Tensor, Tensor]:
    """Images [N, ...] and classes [N], from tensors or from pairs.

    Raises:
        PrunabilityError: they are none.
    """
    if not isinstance(images, Tensor):
        if labels is not None:
            raise PrunabilityError(
                f"images are a {type(images).__name__}: give a tensor; or pairs of images and labels, and no labels"
            )
        images, labels = _joined(images)
    if labels is not None and not isinstance(labels, Tensor):
        raise PrunabilityError(f"labels are a {type(labels).__name__}: give a tensor")
    if labels is None or labels.dim() != 1 or labels.shape != images.shape[:1] or not len(labels):
        found = "none" if labels is None else list(labels.shape)
        raise PrunabilityError(f"labels must be [N] for images {list(images.shape)}, found {found}")
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise PrunabilityError(f"labels must be whole numbers, the classes, these are {labels.dtype}")
    return images, labels.long()


def _joined(images: object) -> tuple[Tensor, Tensor]:
    """All batches of a loader."""
    pairs = list(images) if isinstance(images, Iterable) else [None]
    if not pairs:
        raise PrunabilityError("there are no images: pairs of images and labels, all tensors, are needed")
    if not all(_is_pair(pair) for pair in pairs):
        raise PrunabilityError("pairs of images and labels, all tensors, are needed, as of a DataLoader")
    for what, part in zip(("images", "labels"), zip(*pairs, strict=True), strict=True):
        kinds = {(tuple(batch.shape[1:]), batch.dtype, batch.dim()): batch for batch in part}
        if len(kinds) > 1 or not part[0].dim():
            found = " and ".join(sorted(f"{list(batch.shape)} {batch.dtype}" for batch in kinds.values()))
            raise PrunabilityError(f"{what} must be batches [N, ...] of one shape and dtype, found {found}")
    x, y = (torch.cat(part) for part in zip(*pairs, strict=True))
    return x, y


def _is_pair(found: object) -> bool:
    return isinstance(found, list | tuple) and len(found) == 2 and all(isinstance(part, Tensor) for part in found)


def dataset(model: nn.Module, like: Tensor, images: Images, labels: Tensor | None) -> Dataset:
    """The training set, on the device of a weight that it is ``like``, seen to be what the network reads.

    Raises:
        PrunabilityError: it is not, or what the network gives is no logits of these classes.
    """
    x, y = (part.to(like.device) for part in examples(images, labels))
    if x.dtype != like.dtype:
        raise PrunabilityError(f"images are {x.dtype}, the network's weights {like.dtype}: convert the images")
    first, second = (_evaluated(model, x[:FEW]) for _ in range(2))
    if not _alike(first, second):
        raise PrunabilityError(
            "the network gives other outputs each time it is evaluated: in evaluation mode nothing may be random "
            "(dropout as a module, or called with training=self.training)"
        )
    if not _alike(first, torch.cat([_evaluated(model, part) for part in x[:FEW].tensor_split(2) if len(part)])):
        raise PrunabilityError(
            "what the network gives for an image hangs on the others that it is evaluated with: take nothing over "
            "the batch (a BatchNorm without running statistics, for one)"
        )
    classes = first.shape[1]
    if not 0 <= int(y.min()) <= int(y.max()) < classes:
        raise PrunabilityError(f"labels must lie in 0 to {classes - 1}, found {int(y.min())} to {int(y.max())}")
    if idle := _unused(model, x):
        raise PrunabilityError(
            f"{idle} is used for no output, and would be pruned for nothing: put nn.Identity() in its layer's place"
        )
    return Dataset(classes, x, y, x[:0], y[:0])


def _alike(first: Tensor, second: Tensor) -> bool:
    return torch.allclose(first, second, APART, APART * float(first.nan_to_num().abs().max()), equal_nan=True)


def _unused(model: nn.Module, images: Tensor) -> str | None:
    """The first weight of a network that no output of any image comes from, None where there is none such."""
    weights = {name: weight.detach().requires_grad_() for name, weight in prunable(model).items()}
    for few in images.split(FEW):
        with torch.enable_grad():
            outputs = functional_call(model, weights, (few,))
        if not outputs.requires_grad:  # it takes care itself that none are followed
            return None
        slopes = torch.autograd.grad(outputs.sum(), list(weights.values()), allow_unused=True)
        weights = {name: own for (name, own), slope in zip(weights.items(), slopes, strict=True) if slope is None}
        if not weights:
            return None
    return next(iter(weights))


def _evaluated(model: nn.Module, few: Tensor) -> Tensor:
    """The logits of some images."""
    shape = f"images {list(few.shape[1:])}, each {str(few.dtype).removeprefix('torch.')}"
    try:
        with torch.no_grad():
            outputs = model(few)
    except Exception as error:  # (a module may raise anything)
        reason = f"{type(error).__name__}: {error}".splitlines()[0]
        raise PrunabilityError(f"the network cannot be evaluated on {shape} ({reason})") from error
    wanted = "outputs must be logits [N, classes]"
    if not isinstance(outputs, Tensor):
        raise PrunabilityError(
            f"{wanted}, these are a {type(outputs).__name__}: wrap the network in a module that returns the logits"
        )
    if outputs.dim() != 2 or len(outputs) != len(few) or outputs.shape[1] < 2:
        raise PrunabilityError(f"{wanted}, 2 or more, these are {list(outputs.shape)} for {len(few)} images")
    if not outputs.is_floating_point():
        raise PrunabilityError(f"{wanted}, floating point, these are {outputs.dtype}")
    if bool((outputs >= 0).all()) and torch.allclose(outputs.sum(1), outputs.new_ones(()), APART):
        raise PrunabilityError(f"{wanted}, these are probabilities: leave out the softmax")
    return outputs

"""What kind of function a module from elsewhere is, as far as its graph can be followed."""

import operator
from collections import Counter

import torch
from torch import fx, nn
from torch.fx.experimental.optimization import fuse
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from prunability.measures.subject import UndefinedMeasureError
from prunability.training import networks
from prunability.training.networks import Network

# Layers, functions and methods whose outputs are piecewise linear in what they read and in any one parameter.
LAYERS = (
    nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Linear, _BatchNorm, nn.Identity, nn.Flatten, nn.Dropout, nn.Dropout2d,
    nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.MaxPool1d, nn.MaxPool2d, nn.AvgPool1d, nn.AvgPool2d,
    nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.ZeroPad2d,
)  # fmt: skip
FUNCTIONS = {
    torch.flatten, torch.relu, torch.add, torch.cat, torch.mean, operator.add, operator.iadd,
    F.relu, F.dropout, F.max_pool2d, F.avg_pool2d, F.adaptive_avg_pool2d, F.pad,
}  # fmt: skip
METHODS = {"flatten", "view", "reshape", "mean", "relu", "relu_", "size", "add", "add_", "amax", "contiguous"}


def graph_of(model: nn.Module) -> fx.Graph:
    """What a module computes, layer by layer.

    Raises:
        UndefinedMeasureError: its computation cannot be followed.
    """
    try:
        return fx.symbolic_trace(model).graph
    except Exception as error:  # (a module may raise anything when it is given a symbol)
        raise UndefinedMeasureError(f"the network's layers cannot be followed ({type(error).__name__})") from error


def folded(model: nn.Module) -> nn.Module:
    """A module of the same outputs without BatchNorm; itself where it has none.

    Raises:
        UndefinedMeasureError: a BatchNorm does not just follow a convolution.
    """
    if isinstance(model, Network):
        return networks.folded(model)
    if not _norms(model):
        return model
    graph_of(model)
    fused: nn.Module = fuse(model)
    if left := _norms(fused):
        raise UndefinedMeasureError(
            f"BatchNorm {left[0]} does not follow a convolution and cannot be folded into one"
        )
    return fused.eval()


def _norms(model: nn.Module) -> list[str]:
    return [name for name, module in model.named_modules() if isinstance(module, _BatchNorm)]


def piecewise_linear(model: nn.Module) -> None:
    """See that the outputs are piecewise linear in every single parameter.

    Raises:
        UndefinedMeasureError: they are not, or cannot be seen to be.
    """
    if isinstance(model, Network):
        return
    graph, modules = graph_of(model), dict(model.named_modules())
    used = Counter(str(node.target) for node in graph.nodes if node.op == "call_module")
    for node in graph.nodes:
        layer = modules.get(str(node.target)) if node.op == "call_module" else None
        known = {
            "call_module": isinstance(layer, LAYERS),
            "call_function": node.target in FUNCTIONS,
            "call_method": node.target in METHODS,
            "get_attr": False,
        }
        if not known.get(node.op, True):
            what = type(layer).__name__ if layer is not None else getattr(node.target, "__name__", node.target)
            raise UndefinedMeasureError(f"{what} is not known to be piecewise linear")
        if layer is not None and used[str(node.target)] > 1 and any(True for _ in layer.parameters()):
            raise UndefinedMeasureError(f"{node.target} is used more than once")

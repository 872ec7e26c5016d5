import pytest
import torch
from torch import nn
from torch.func import functional_call, stack_module_state
from torch.nn import functional as F

from helpers import small_network
from prunability.measures import TrainedRun
from prunability.measures.search import prunable
from prunability.training.config import NETWORKS, MLPConfig, NetworkConfig, NiNConfig
from prunability.training.layers import Convolution, Pointwise, SignShift, Windows
from prunability.training.loop import logits
from prunability.training.networks import Network, NiN, folded, largest_map, make_network

CONFIGS = {kind: small_network(kind, width=3, depth=3) for kind in NETWORKS}
SHAPE = (3, 16, 16)


def disturbed(config: NetworkConfig) -> Network:
    """A network whose BatchNorms are far from the identity; scales of any sign, one of them 0."""
    torch.manual_seed(0)
    network = make_network(config, SHAPE, 7).double().eval()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            nn.init.normal_(module.weight, 0.5)
            nn.init.normal_(module.bias)
            with torch.no_grad():
                module.weight[0] = 0
            module.running_mean.normal_()
            module.running_var.uniform_(0.1, 3)
    return network


@pytest.mark.parametrize(("size", "depth"), [(8, 1), (8, 3), (9, 2), (32, 4)])
def test_shapes(size: int, depth: int) -> None:
    network = NiN(NiNConfig(width=5, depth=depth, dropout=0.5), (3, size, size), 7)
    seen = []
    for block in network.blocks:
        block.register_forward_hook(lambda *args: seen.append(tuple(args[2].shape[1:])))
    assert network(torch.randn(2, 3, size, size)).shape == (2, 7)
    assert network.dropout_shapes((3, size, size)) == seen


@pytest.mark.parametrize("kind", CONFIGS)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_folding_changes_no_output(kind: str, dtype: torch.dtype, tolerance: float) -> None:
    network = disturbed(CONFIGS[kind]).to(dtype)
    x = torch.randn(10, *SHAPE, dtype=dtype)
    before, after = logits(network, x), logits(folded(network), x)
    assert (before - after).abs().max() <= tolerance * before.abs().max().clamp(min=1)
    assert (before - before.mean(0)).abs().max() > 1e-3


@pytest.mark.parametrize("kind", CONFIGS)
def test_folding_leaves_no_batchnorm_and_every_weight_its_name(kind: str) -> None:
    network = disturbed(CONFIGS[kind])
    copy = folded(network)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in copy.modules())
    assert {name: w.shape for name, w in prunable(copy).items()} == {
        name: w.shape for name, w in prunable(network).items()
    }
    for module in copy.modules():
        if isinstance(module, SignShift):
            assert set(module.sign.tolist()) <= {-1.0, 0.0, 1.0}


def test_resnet18_is_of_18_layers_and_of_its_widths() -> None:
    network = disturbed(CONFIGS["resnet18"])
    weights = prunable(network)
    shortcuts = [name for name in weights if "shortcut" in name]
    assert len(weights) - len(shortcuts) == 18
    assert len(shortcuts) == 3
    assert [w.shape[0] for name, w in weights.items() if "conv2" in name] == [3, 3, 6, 6, 12, 12, 24, 24]


def test_gradients_do_not_depend_on_evaluation_in_place() -> None:
    for config in CONFIGS.values():
        network, x = disturbed(config), torch.randn(4, *SHAPE, dtype=torch.float64)
        kept = x.clone()
        with torch.no_grad():
            quick = network(x)
        torch.testing.assert_close(network(x), quick)
        torch.testing.assert_close(x, kept, atol=0, rtol=0)


def test_folding_a_trained_network(trained: TrainedRun) -> None:
    torch.testing.assert_close(
        logits(trained.network, trained.data.train_images), trained.train_logits, atol=1e-10, rtol=0
    )


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("kind", CONFIGS)
def test_a_fleet_is_its_networks_one_by_one(kind: str, training: bool) -> None:
    """Outputs, gradients and BatchNorm's running statistics, with every network on its own images."""
    networks = [disturbed(CONFIGS[kind]) for _ in range(3)]
    for number, network in enumerate(networks):
        network.train(training)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter) * number)
    images = torch.randn(3, 6, *SHAPE, dtype=torch.float64)
    parameters, buffers = stack_module_state([*networks])
    parameters = {name: tensor.detach().requires_grad_() for name, tensor in parameters.items()}
    together = functional_call(
        networks[0].train(training), (parameters, buffers), (images.permute(0, 2, 3, 4, 1),)
    ).mT
    alone = torch.stack([network(x) for network, x in zip(networks, images, strict=True)])
    torch.testing.assert_close(together, alone, atol=1e-12, rtol=1e-12)
    weights = torch.randn_like(alone)
    (together * weights).sum().backward()
    (alone * weights).sum().backward()
    for number, network in enumerate(networks):
        for name, parameter in network.named_parameters():
            gradient = parameters[name].grad
            assert gradient is not None
            torch.testing.assert_close(gradient[number], parameter.grad, atol=1e-11, rtol=1e-10)
        for name, buffer in network.named_buffers():
            torch.testing.assert_close(buffers[name][number], buffer, atol=1e-12, rtol=1e-12)


@pytest.mark.parametrize("kind", CONFIGS)
def test_a_folded_fleet_may_share_its_images(kind: str) -> None:
    networks = [folded(disturbed(CONFIGS[kind])) for _ in range(2)]
    with torch.no_grad():
        for parameter in networks[1].parameters():
            parameter.mul_(1.1)
    images = torch.randn(6, *SHAPE, dtype=torch.float64)
    state = stack_module_state([*networks])
    together = functional_call(networks[0], state, (images.permute(1, 2, 3, 0)[None],)).mT
    torch.testing.assert_close(together, torch.stack([network(images) for network in networks]))


@pytest.mark.parametrize(("size", "stride", "padding"), [(1, 2, 0), (2, 2, 0), (3, 1, 1), (3, 2, 1), (5, 3, 2)])
def test_windows_are_those_of_the_convolution(size: int, stride: int, padding: int) -> None:
    x = torch.randn(1, 2, 7, 6, 3, dtype=torch.float64, requires_grad=True)
    layer = Convolution(2, 4, size, stride=stride, padding=padding).double()
    plain = layer(x[0].permute(3, 0, 1, 2)).permute(1, 2, 3, 0)
    layer.weight, layer.bias = (nn.Parameter(t.detach()[None]) for t in (layer.weight, layer.bias) if t is not None)
    torch.testing.assert_close(layer(x)[0], plain)
    assert torch.autograd.gradcheck(lambda x: Windows.apply(x, size, stride, padding), x)


def test_pointwise_is_the_convolution() -> None:
    layer = Pointwise(5, 3).double()
    x = torch.randn(4, 5, 6, 7, dtype=torch.float64)
    torch.testing.assert_close(layer(x), F.conv2d(x, layer.weight, layer.bias))


def test_largest_map() -> None:
    assert largest_map(NiN(NiNConfig(width=5, depth=2), (3, 9, 9), 7), (3, 9, 9)) == 5 * 5 * 5
    assert largest_map(make_network(MLPConfig(width=3), SHAPE, 7), SHAPE) == 7

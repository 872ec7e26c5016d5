import pytest
import torch
from torch import nn
from torch.nn import functional as F

from prunability.config import MLPConfig, NetworkConfig, NiNConfig, ResNetConfig
from prunability.measures import TrainedRun
from prunability.networks import Network, NiN, Pointwise, SignShift, folded, make_network
from prunability.pruning import prunable
from prunability.training import logits

CONFIGS: dict[str, NetworkConfig] = {
    "nin": NiNConfig(width=6, depth=3),
    "mlp": MLPConfig(width=5),
    "resnet18": ResNetConfig(width=3),
}
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
    x = torch.randn(2, 3, size, size)
    masks = network.dropout_masks(x.shape, torch.Generator())
    assert network(x, masks).shape == (2, 7)
    hook_shapes = []
    for block in network.blocks:
        block.register_forward_hook(lambda *args: hook_shapes.append(args[2].shape))
    network(x)
    assert [mask.shape for mask in masks] == hook_shapes


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


def test_pointwise_is_the_convolution() -> None:
    layer = Pointwise(5, 3).double()
    x = torch.randn(4, 5, 6, 7, dtype=torch.float64)
    torch.testing.assert_close(layer(x), F.conv2d(x, layer.weight, layer.bias))


def test_dropout_masks_keep_the_mean() -> None:
    network = NiN(NiNConfig(width=16, depth=1, dropout=0.3), (1, 8, 8), 2)
    (mask,) = network.dropout_masks((500, 1, 8, 8), torch.Generator().manual_seed(1))
    assert mask.unique().tolist() == [0.0, pytest.approx(1 / 0.7)]
    assert abs(mask.mean().item() - 1) < 0.02
    assert NiN(NiNConfig(width=16, depth=1), (1, 8, 8), 2).dropout_masks((5, 1, 8, 8), torch.Generator()) == []

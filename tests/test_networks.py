import pytest
import torch
from torch import nn
from torch.nn import functional as F

from prunability.config import NiNConfig
from prunability.measures import TrainedRun
from prunability.networks import NiN, Pointwise, folded
from prunability.training import logits


def disturbed(config: NiNConfig, channels: int) -> NiN:
    """A network whose BatchNorms are far from the identity."""
    torch.manual_seed(0)
    network = NiN(config, channels, 7).double().eval()
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight)
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            nn.init.normal_(module.weight, 1.5)
            nn.init.normal_(module.bias)
            module.running_mean.normal_()
            module.running_var.uniform_(0.1, 3)
    return network


@pytest.mark.parametrize(("size", "depth"), [(8, 1), (8, 3), (9, 2), (32, 4)])
def test_shapes(size: int, depth: int) -> None:
    network = NiN(NiNConfig(width=5, depth=depth, dropout=0.5), 3, 7)
    x = torch.randn(2, 3, size, size)
    masks = network.dropout_masks(x.shape, torch.Generator())
    assert network(x, masks).shape == (2, 7)
    hook_shapes = []
    for block in network.blocks:
        block.register_forward_hook(lambda *args: hook_shapes.append(args[2].shape))
    network(x)
    assert [mask.shape for mask in masks] == hook_shapes


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)])
def test_folding_changes_no_output(dtype: torch.dtype, tolerance: float) -> None:
    network = disturbed(NiNConfig(width=6, depth=3), 3).to(dtype)
    x = torch.randn(10, 3, 16, 16, dtype=dtype)
    before, after = logits(network, x), logits(folded(network), x)
    assert (before - after).abs().max() <= tolerance * before.abs().max().clamp(min=1)
    assert (before - before.mean(0)).abs().max() > 1e-3


def test_folded_batchnorm_only_adds_a_bias() -> None:
    for module in folded(disturbed(NiNConfig(width=4, depth=2), 3)).modules():
        if isinstance(module, nn.BatchNorm2d):
            x = torch.randn(2, 4, 3, 3, dtype=torch.float64)
            torch.testing.assert_close(module(x), x + module.bias[:, None, None], atol=1e-12, rtol=0)


def test_folding_a_trained_network(trained: TrainedRun) -> None:
    torch.testing.assert_close(
        logits(trained.folded, trained.data.train_images), trained.train_logits, atol=1e-10, rtol=0
    )


def test_pointwise_is_the_convolution() -> None:
    layer = Pointwise(5, 3).double()
    x = torch.randn(4, 5, 6, 7, dtype=torch.float64)
    torch.testing.assert_close(layer(x), F.conv2d(x, layer.weight, layer.bias))


def test_dropout_masks_keep_the_mean() -> None:
    network = NiN(NiNConfig(width=16, depth=1, dropout=0.3), 1, 2)
    (mask,) = network.dropout_masks((500, 1, 8, 8), torch.Generator().manual_seed(1))
    assert mask.unique().tolist() == [0.0, pytest.approx(1 / 0.7)]
    assert abs(mask.mean().item() - 1) < 0.02
    assert NiN(NiNConfig(width=16, depth=1), 1, 2).dropout_masks((5, 1, 8, 8), torch.Generator()) == []

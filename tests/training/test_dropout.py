import pytest
import torch

from prunability.training.config import RunConfig
from prunability.training.dropout import FIRST, GOLDEN, SECOND, dropout_keys, dropout_mask, hashed, places

CPU = torch.device("cpu")


def slow_hash(first: int, second: int, number: int) -> int:
    """The same in Python's whole numbers, cut to 32 bits with their sign."""

    def cut(value: int) -> int:
        return (value + 2**31) % 2**32 - 2**31

    mixed = cut(number * GOLDEN) ^ first
    mixed = cut((mixed ^ mixed >> 16) * FIRST) ^ second
    return cut((mixed ^ mixed >> 16) * SECOND)


def keys(count: int) -> torch.Tensor:
    return torch.randint(-(2**31), 2**31, (count, 2), generator=torch.Generator().manual_seed(0)).int()


def test_the_hash_is_what_it_says() -> None:
    numbers = places((2, 3, 5), 7, True, CPU)
    for first, second in keys(5):
        found = hashed(first, second, numbers).flatten().tolist()
        assert found == [slow_hash(int(first), int(second), number) for number in range(2 * 3 * 5 * 7)]


def test_noise_is_uniform_and_independent() -> None:
    """Of 200 keys by 40,000 places; bounds are five standard errors of independent uniform numbers."""
    count = 40_000
    pairs = keys(200)
    bits = hashed(
        pairs[:, :1, None, None, None], pairs[:, 1:, None, None, None], places((1, 1, 1), count, True, CPU)
    )
    uniform = (bits.flatten(1).double() + 2**31) / 2**32
    error = 5 / (200 * count) ** 0.5
    for power in (1, 2, 3):
        assert abs(uniform.pow(power).mean().item() - 1 / (power + 1)) < error
    between = torch.corrcoef(uniform)
    between.fill_diagonal_(0)
    assert between.abs().max() < 6 / count**0.5
    centred = (uniform - 0.5) * 12**0.5
    for lag in (1, 2, 3, 8, 16, 24, 64, 128, 1024):
        assert abs((centred[:, lag:] * centred[:, :-lag]).mean().item()) < 1.1 * error
    counts = torch.histc(uniform, 64, 0, 1)
    expected = uniform.numel() / 64
    assert (counts - expected).square().sum() / expected < 63 + 5 * (2 * 63) ** 0.5


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.4])
def test_a_mask_drops_with_its_rate_and_keeps_the_mean(rate: float) -> None:
    rates = torch.tensor([rate, 0.5], dtype=torch.float64)
    mask = dropout_mask(keys(2), rates, places((16, 8, 8), 100, True, CPU))
    assert mask.shape == (2, 16, 8, 8, 100)
    assert set(mask[0].unique().tolist()) == ({0.0, 1 / (1 - rate)} if rate else {1.0})
    assert mask[0].mean().item() == pytest.approx(1, abs=5 * (rate / (1 - rate) / mask[0].numel()) ** 0.5)


def test_alone_and_in_a_fleet_the_same() -> None:
    pairs, rates = keys(3), torch.tensor([0.3, 0.1, 0.3])
    together = dropout_mask(pairs, rates, places((4, 3, 2), 5, True, CPU))
    for number in range(3):
        (alone,) = dropout_mask(
            pairs[number : number + 1], rates[number : number + 1], places((4, 3, 2), 5, False, CPU)
        )
        assert alone.is_contiguous(memory_format=torch.channels_last)
        assert torch.equal(alone, together[number].permute(3, 0, 1, 2))


def test_keys_follow_from_run_and_epoch(small_run: RunConfig) -> None:
    other = RunConfig.model_validate({**small_run.model_dump(), "seed": 1})
    found = [dropout_keys(small_run, 3, 7, 2), dropout_keys(small_run, 4, 7, 2), dropout_keys(other, 3, 7, 2)]
    assert torch.equal(found[0], dropout_keys(small_run, 3, 7, 2))
    together = torch.cat([part.flatten(0, 1) for part in found])
    assert together.dtype == torch.int32
    assert len(together.unique(dim=0)) == 3 * 7 * 2

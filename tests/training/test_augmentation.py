import torch

from helpers import altered
from prunability.training.augmentation import augmented, moves
from prunability.training.config import RunConfig


def test_crops_and_flips_one_by_one() -> None:
    images = torch.randn(6, 3, 8, 16, dtype=torch.float64)
    draws = torch.tensor([[0, 0, 0], [1, 2, 0], [2, 4, 0], [1, 2, 1], [0, 4, 1], [2, 1, 1]])
    found = augmented(images, draws)
    for image, (row, column, flip), crop in zip(images, draws.tolist(), found, strict=True):
        for y in range(8):
            for x in range(16):
                # The crop of the padded image, then mirrored.
                from_y, from_x = y + row - 1, (15 - x if flip else x) + column - 2
                inside = 0 <= from_y < 8 and 0 <= from_x < 16
                expected = image[:, from_y, from_x] if inside else torch.zeros(3, dtype=torch.float64)
                assert torch.equal(crop[:, y, x], expected)


def test_moves_follow_from_run_and_epoch(small_run: RunConfig) -> None:
    run, image = altered(small_run, augmentation=True), torch.Size((3, 32, 32))
    found = moves(run, 0, 400, image)
    assert found.shape == (400, run.training.batch_size, 3)
    assert [sorted(part.unique().tolist()) for part in found.unbind(-1)] == [[*range(9)], [*range(9)], [0, 1]]
    assert torch.equal(found, moves(run, 0, 400, image))
    assert not torch.equal(found, moves(run, 1, 400, image))
    assert moves(small_run, 0, 400, image).shape == (400, run.training.batch_size, 0)


def test_without_moves_images_stay() -> None:
    images = torch.randn(2, 1, 4, 4)
    assert augmented(images, torch.empty(2, 0, dtype=torch.int64)) is images

"""Margins with a part shuffled against a slow loop, and effective ranks of matrices that one knows."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from prunability.data.dataset import Dataset
from prunability.data.parts import shuffled
from prunability.measures import TrainedRun, UndefinedMeasureError
from prunability.measures.simplicity import SHUFFLED, effective_rank, rank_of, reliance


def of_two_classes(run: TrainedRun) -> TrainedRun:
    """The run on its images of two classes, whose left half is called simple."""
    data, mask = run.data, torch.arange(8) < 4
    labels = torch.arange(len(data.test_labels)) % 2
    kept: Dataset = replace(data, test_labels=labels, simple=lambda images: images * mask)
    return replace(run, data=kept)


def test_margins_are_those_of_the_images_moved(mlp: TrainedRun) -> None:
    run = of_two_classes(mlp)
    images, labels = run.data.test_images, run.data.test_labels
    assert run.data.simple is not None
    row = np.reshape(reliance(run), (len(SHUFFLED), -1))
    for name, margins in zip(SHUFFLED, row, strict=True):
        moved = images if name == "clean" else shuffled(images, labels, run.data.simple, name)  # type: ignore[arg-type]
        with torch.no_grad():
            outputs = mlp.network(moved)
        slow = [float(out[label] - out[1 - label]) for out, label in zip(outputs, labels.tolist(), strict=True)]
        np.testing.assert_allclose(margins, slow, atol=1e-9)
    assert len({tuple(margins) for margins in row}) == len(SHUFFLED)
    with pytest.raises(UndefinedMeasureError, match="no parts"):
        reliance(mlp)


def test_rank_of_matrices_that_one_knows() -> None:
    assert rank_of(torch.outer(torch.arange(5.0), torch.ones(3)).double()) == pytest.approx(1)
    assert rank_of(torch.eye(7, dtype=torch.float64)) == pytest.approx(7)
    # Singular values 2, 1, 1: entropy ln 2 + ½ ln 2.
    assert rank_of(torch.diag(torch.tensor([2.0, 1, 1])).double()) == pytest.approx(2**1.5)
    with pytest.raises(UndefinedMeasureError, match="zeros"):
        rank_of(torch.zeros(3, 2))


@settings(max_examples=20, deadline=None)
@given(rows=st.integers(1, 6), columns=st.integers(1, 6), scale=st.floats(1e-3, 1e3), seed=st.integers(0, 99))
def test_rank_is_from_1_to_the_rank_whatever_the_scale(rows: int, columns: int, scale: float, seed: int) -> None:
    matrix = torch.randn(rows, columns, generator=torch.Generator().manual_seed(seed)).double()
    found = rank_of(matrix)
    assert 1 - 1e-9 <= found <= min(rows, columns) + 1e-9
    assert rank_of(scale * matrix) == pytest.approx(found)


@pytest.mark.parametrize("name", ["mlp", "tiny_nin"])
def test_rank_of_features_against_numpy(name: str, request: pytest.FixtureRequest) -> None:
    """Of what the classifier reads, which its own weights make the logits of."""
    run: TrainedRun = request.getfixturevalue(name)
    with torch.no_grad():
        x = run.data.train_images
        if name == "mlp":
            read = run.folded.relu(run.folded.hidden(x.flatten(1)))  # type: ignore[operator]
        else:
            for block in run.folded.blocks:  # type: ignore[union-attr]
                x = block(x)
            read = x.mean((2, 3))
    values = np.linalg.svd((read - read.mean(0)).numpy(), compute_uv=False)
    shares = values[values > 0] / values.sum()
    (found,) = effective_rank(run)
    assert found == pytest.approx(np.exp(-(shares * np.log(shares)).sum()))
    assert found > 1.1

"""Random draws: every generator is seeded from what is drawn for whom, never from what ran before."""

import hashlib

import torch


def seed_for(*key: str | int) -> int:
    """A 63-bit seed from a key such as ``(run hash, "data order", epoch)``.

    Different keys give independent seeds; the same key gives the same seed on every machine.
    """
    digest = hashlib.sha256("\x1f".join(str(part) for part in key).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def generator(*key: str | int) -> torch.Generator:
    """A CPU generator for the draws named by ``key``.

    Draws are made on the CPU and moved, so that they do not depend on the device.
    """
    return torch.Generator().manual_seed(seed_for(*key))

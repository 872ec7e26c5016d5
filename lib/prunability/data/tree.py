"""Folders, files and links in memory, as they would be on a disk."""

from collections.abc import Iterator
from typing import NamedTuple, Union

from prunability.data.images import SPLITS
from prunability.data.layout import Child, Odd, Parts, hidden, name_of
from prunability.foundation.errors import PrunabilityError

# As many as Linux follows.
MOST_LINKS = 40


class Link(NamedTuple):
    """A symbolic link."""

    target: str


Node = Union["Folder", bytes, Odd, Link]
Folder = dict[str, Node]


def put(tree: Folder, parts: Parts, node: Node) -> None:
    """Add what has a name; the last of equal names counts.

    Raises:
        PrunabilityError: it lies below a file or a link, or is both a folder and something else.
    """
    folder = tree
    for part in parts[:-1]:
        below = folder.setdefault(part, {})
        if not isinstance(below, dict):
            raise PrunabilityError(f"{name_of(parts)} lies below what is no folder: pack it anew")
        folder = below
    before = folder.get(parts[-1])
    if before is not None and isinstance(before, dict) != isinstance(node, dict):
        raise PrunabilityError(f"{name_of(parts)} is both a folder and a file: pack it anew")
    if before is None or not isinstance(node, dict):
        folder[parts[-1]] = node


def shared(tree: Folder, target: Parts, name: Parts) -> Node:
    """What a hard link shares: it is there before it, and stays what it is if its other name is used again."""
    node: Node | None = tree
    for part in target:
        node = node.get(part) if isinstance(node, dict) else None
    if node is None or isinstance(node, dict):
        why = f"a hard link to {name_of(target)}, which is no file before it"
        raise PrunabilityError(f"{name_of(name)} is {why}: pack it anew")
    return node


def follow(tree: Folder, parts: Parts) -> tuple[Parts, Node | None]:
    """Where a path leads once its links are followed, and what is there: None where it leads nowhere or outside."""
    at: list[str] = []
    folders: list[Node] = [tree]
    rest, links = list(reversed(parts)), 0
    while rest:
        part, here = rest.pop(), folders[-1]
        if part == ".." and at:
            at.pop()
            folders.pop()
        elif part == ".." or not isinstance(here, dict):
            return (), None
        elif part not in ("", "."):
            node = here.get(part)
            if isinstance(node, Link):
                links += 1
                if links > MOST_LINKS or node.target.startswith("/"):
                    return (), None
                rest += reversed(node.target.split("/"))
            elif node is None:
                return (), None
            else:
                at.append(part)
                folders.append(node)
    return tuple(at), folders[-1]


def roots(tree: Folder, here: Folder, place: Parts) -> Iterator[Parts]:
    """The folders that hold every split, below one; none is looked for within another."""
    if all(isinstance(follow(tree, (*place, split))[1], dict) for split in SPLITS):
        yield place
        return
    for name, node in here.items():
        if isinstance(node, dict) and not hidden(name):
            yield from roots(tree, node, (*place, name))


def inside(tree: Folder, place: Parts) -> Iterator[Child[Parts]]:
    """What lies in a folder, its links followed."""
    _, here = follow(tree, place)
    assert isinstance(here, dict)
    for name, node in here.items():
        where, found = follow(tree, (*place, name))
        linked = isinstance(node, Link)
        if isinstance(found, dict):
            yield Child(name, linked, None, where)
        elif found is None or isinstance(found, Link):
            yield Child(name, linked, Odd("a link that leads nowhere"))
        else:
            yield Child(name, linked, found)

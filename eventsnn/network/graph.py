"""Paths and cycles in the graph of populations."""

from collections.abc import Sequence


def reachable(start: str, edges: Sequence[tuple[str, str]]) -> set[str]:
    """Populations that spikes of `start` can reach, itself included."""
    found, frontier = {start}, [start]
    while frontier:
        here = frontier.pop()
        for pre, post in edges:
            if pre == here and post not in found:
                found.add(post)
                frontier.append(post)
    return found


def find_cycle(edges: Sequence[tuple[str, str]]) -> list[str]:
    """Return the populations of one cycle of a directed graph in order, or [] if it has none."""
    for pre, post in edges:
        path = _path(post, pre, edges)
        if path:
            return path
    return []


def _path(start: str, goal: str, edges: Sequence[tuple[str, str]]) -> list[str]:
    """Return a path of nodes from `start` to `goal` inclusive, or []."""
    came_from: dict[str, str | None] = {start: None}
    frontier = [start]
    while frontier:
        here: str | None = frontier.pop(0)
        if here == goal:
            path = []
            while here is not None:
                path.append(here)
                here = came_from[here]
            return path[::-1]
        for pre, post in edges:
            if pre == here and post not in came_from:
                came_from[post] = here
                frontier.append(post)
    return []

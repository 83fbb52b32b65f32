"""Paths and cycles in the graph of populations."""


def reachable(start, edges):
    """Populations that spikes of `start` can reach, itself included."""
    found, frontier = {start}, [start]
    while frontier:
        here = frontier.pop()
        for pre, post in edges:
            if pre == here and post not in found:
                found.add(post)
                frontier.append(post)
    return found


def find_cycle(edges):
    """Return the populations of one cycle of a directed graph in order, or [] if it has none."""
    for pre, post in edges:
        path = _path(post, pre, edges)
        if path:
            return path
    return []


def _path(start, goal, edges):
    """Return a path of nodes from `start` to `goal` inclusive, or []."""
    came_from, frontier = {start: None}, [start]
    while frontier:
        here = frontier.pop(0)
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

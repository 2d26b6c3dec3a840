"""The group tree as people read it: one line a group, in the order of the tree, with its depth."""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from players.models import Group


@dataclass(frozen=True)
class Line:
    """A group in the outline with its stored total, and the groups above it from the root on."""

    id: int
    name: str
    distance_total: Decimal
    above: tuple["Line", ...] = ()

    @property
    def depth(self) -> int:
        """How many groups stand above it."""
        return len(self.above)

    @property
    def parent(self) -> int | None:
        """The group that it stands below."""
        return self.above[-1].id if self.above else None

    @property
    def path(self) -> tuple["Line", ...]:
        """The groups above, and this one."""
        return (*self.above, self)


Node = tuple[int, str, Decimal, bool]


def outline(*, visible_only: bool = False) -> dict[int, Line]:
    """Every group by id, parents before their children, siblings by name; one statement.

    Groups of a cycle that got past the trigger have no root; they come last, the first of them as a root.
    visible_only: a hidden group is left out, and its children stand where it would.
    """
    nodes: list[Node] = []
    children: dict[int | None, list[Node]] = {}
    rows = Group.objects.order_by("name", "id").values_list("id", "name", "distance_total", "is_visible", "parent_id")
    for pk, name, km, is_visible, parent in rows:
        nodes.append((pk, name, km, is_visible or not visible_only))
        children.setdefault(parent, []).append(nodes[-1])
    lines: dict[int, Line] = {}
    seen: set[int] = set()
    # A stack and not recursion: how deep a tree is, is for its owner to say. What no root leads to is met at its end.
    stack: list[tuple[Iterator[Node], tuple[Line, ...]]] = [(iter(nodes), ()), (iter(children.get(None, ())), ())]
    while stack:
        siblings, above = stack[-1]
        node = next(siblings, None)
        if node is None:
            stack.pop()
        elif node[0] not in seen:
            pk, name, km, is_shown = node
            seen.add(pk)
            if is_shown:
                lines[pk] = Line(pk, name, km, above)
                above = lines[pk].path
            stack.append((iter(children.get(pk, ())), above))
    return lines

"""The tree of an answer's prefixes, and where in it to branch off.

A node is a prefix of answers, told apart by its tokens; the empty prefix is the
root. Two answers part at the node that is their longest common prefix.
"""

from collections.abc import Sequence


class Tree:
  """Answers to one prompt, node by node.

  Args:
    skip_first: nodes of fewer tokens are not open to branches.
    skip_last: nor are those in front of so many last tokens of an answer.
  """

  def __init__(self, skip_first: int = 0, skip_last: int = 0):
    self._skip_first = skip_first
    self._skip_last = skip_last
    self._count = 0
    # For each node the nodes behind it, by the token that leads there.
    self._children: list[dict[int, int]] = [{}]
    # The node -> entropy, answer and position where it was met first.
    self._met: dict[int, tuple[float, int, int]] = {}
    self._taken: set[int] = set()

  def add(self, tokens: Sequence[int], entropies: Sequence[float]) -> None:
    """Adds an answer.

    Args:
      tokens: of the answer.
      entropies: of the policy in front of each.
    """
    node = 0
    for position, token in enumerate(tokens):
      inside = self._skip_first <= position < len(tokens) - self._skip_last
      if inside and node not in self._met:
        self._met[node] = (entropies[position], self._count, position)
      children = self._children[node]
      if token not in children:
        children[token] = len(self._children)
        self._children.append({})
      node = children[token]
    self._count += 1

  def open_nodes(self) -> list[int]:
    """Nodes to branch off, by falling entropy; of equal ones the older first.

    Not where a branch was taken already, nor where answers part.
    """
    nodes = [
      node
      for node in self._met
      if node not in self._taken and len(self._children[node]) == 1
    ]
    return sorted(nodes, key=lambda node: (-self._met[node][0], node))

  def take(self, least: int = 0) -> tuple[int, int] | None:
    """Takes the open node of highest entropy.

    Args:
      least: tokens in front of the node at least.

    Returns:
      The answer that met it first, and the position in it; None where no node
      is open.
    """
    for node in self.open_nodes():
      _, answer, position = self._met[node]
      if position >= least:
        self._taken.add(node)
        return answer, position
    return None

  def branch_points(self) -> list[int]:
    """Depths of the nodes at which answers part, in tokens."""
    depth = [0] * len(self._children)
    for node, children in enumerate(self._children):
      for child in children.values():
        depth[child] = depth[node] + 1
    return sorted(
      depth[node]
      for node, children in enumerate(self._children)
      if len(children) > 1
    )


def branch_points(answers: Sequence[Sequence[int]]) -> list[int]:
  """Depths in tokens of the nodes at which the answers of a group part.

  Args:
    answers: tokens of each.
  """
  tree = Tree()
  for tokens in answers:
    tree.add(tokens, [0.0] * len(tokens))
  return tree.branch_points()

"""YAML from anywhere, as plain values of bounded size."""

from typing import Any

import yaml

_MOST_CHARACTERS = 256 << 10
_MOST_NODES = 10_000


def load_yaml(text: str) -> Any:
    """The value that a YAML document holds: mappings, lists and scalars, no other objects.

    Aliases make few lines into values without end (`&a [*a]`), or of exponential size, which only
    shows once something goes through them: what a value holds is counted before it is made.

    Raises:
      yaml.YAMLError: it is no YAML, or too much of it.
      ValueError: it has a date or a number that there is not.
    """
    if len(text) > _MOST_CHARACTERS:
        raise yaml.YAMLError(f"more than {_MOST_CHARACTERS} characters")
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is None:
            return None
        if _size(node, {}) > _MOST_NODES:
            raise yaml.YAMLError(
                f"more than {_MOST_NODES} values, aliases counted as often as used"
            )
        return loader.construct_document(node)
    except RecursionError as error:
        raise yaml.YAMLError("nested too deeply, or in itself") from error
    finally:
        loader.dispose()


def _size(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values there are with every alias written out; RecursionError if without end."""
    if id(node) not in known:
        children: list[yaml.Node] = []
        if isinstance(node, yaml.MappingNode):
            children = [child for pair in node.value for child in pair]
        elif isinstance(node, yaml.SequenceNode):
            children = node.value
        known[id(node)] = 1 + sum(_size(child, known) for child in children)
    return known[id(node)]

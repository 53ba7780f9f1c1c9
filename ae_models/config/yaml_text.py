"""YAML from untrusted sources, as plain values of bounded size."""

from typing import Any

import yaml

_MOST_CHARACTERS = 256 << 10
_MOST_NODES = 10_000


def load_yaml(text: str) -> Any:
    """The value of a YAML document: mappings, lists and scalars, no other objects.

    Aliases turn a few lines into endless values (`&a [*a]`), or values of exponential size, which
    only shows when they are traversed. The size is therefore counted before the value is built.

    Raises:
      yaml.YAMLError: it is not YAML, or it is too large.
      ValueError: it contains an impossible date or number.
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
    """The number of values with every alias written out; RecursionError if it is endless."""
    if id(node) not in known:
        children: list[yaml.Node] = []
        if isinstance(node, yaml.MappingNode):
            children = [child for pair in node.value for child in pair]
        elif isinstance(node, yaml.SequenceNode):
            children = node.value
        known[id(node)] = 1 + sum(_size(child, known) for child in children)
    return known[id(node)]

"""What is done to one partition: functions that take the list of its elements and give another.

They are bound to the user's functions with `functools.partial`, so that they travel.
"""

from __future__ import annotations

import functools
from collections import Counter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

Items = list[Any]


def mapped(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], items: Items) -> Items:
    """The function's value of each element."""
    return [function(item, *args, **kwargs) for item in items]


def flat_mapped(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], items: Items) -> Items:
    """All that the function gives for each element."""
    return [found for item in items for found in function(item, *args, **kwargs)]


def filtered(function: Callable[[Any], Any], items: Items) -> Items:
    """The elements that the function is true of."""
    return [item for item in items if function(item)]


def with_values(function: Callable[[Any], Any], items: Items) -> Items:
    """The pairs with the function's value of each value."""
    return [(key, function(value)) for key, value in items]


def with_each_value(function: Callable[[Any], Any], items: Items) -> Items:
    """The pairs of a key and each of what the function gives for its value."""
    return [(key, found) for key, value in items for found in function(value)]


def keyed(function: Callable[[Any], Any], items: Items) -> Items:
    """The pairs of the function's value of each element, and the element."""
    return [(function(item), item) for item in items]


def first_of_pairs(items: Items) -> Items:
    """The keys."""
    return [key for key, _ in items]


def second_of_pairs(items: Items) -> Items:
    """The values."""
    return [value for _, value in items]


def paired_with_nothing(items: Items) -> Items:
    """The pairs of each element and None."""
    return [(item, None) for item in items]


def paired_with_one(items: Items) -> Items:
    """The pairs of each element and 1."""
    return [(item, 1) for item in items]


def called(function: Callable[[Any], Any], items: Items) -> Items:
    """Nothing, after the function has been called with each element."""
    for item in items:
        function(item)
    return []


def reduced(function: Callable[[Any, Any], Any], items: Items) -> Items:
    """The one element that a function of two makes of all; nothing of nothing."""
    return [functools.reduce(function, items)] if items else []


def summed(items: Items) -> Items:
    """The sum."""
    return [sum(items)]


def counted(items: Items) -> Items:
    """The number of elements."""
    return [len(items)]


def tallied(items: Items) -> Items:
    """A dictionary with the number of times that each element is there."""
    return [dict(Counter(items))]


def combined(creator: Callable[[Any], Any], combiner: Callable[[Any, Any], Any], items: Items) -> Items:
    """The pairs of each key and what the functions make of its values."""
    found: dict[Any, Any] = {}
    for key, value in items:
        found[key] = combiner(found[key], value) if key in found else creator(value)
    return list(found.items())


def merged(merger: Callable[[Any, Any], Any], items: Items) -> Items:
    """The pairs of each key and what a function of two makes of all its values."""
    return combined(same, merger, items)


def sorted_by_key(key_func: Callable[[Any], Any], ascending: bool, items: Items) -> Items:
    """The pairs in the order of their keys; those of equal keys as they come."""
    return sorted(items, key=lambda pair: key_func(pair[0]), reverse=not ascending)


def same(value: Any) -> Any:
    """The value."""
    return value


def as_list(value: Any) -> Items:
    """A list of one."""
    return [value]


def appended(values: Items, value: Any) -> Items:
    """The list, with one more."""
    values.append(value)
    return values


def extended(values: Items, others: Items) -> Items:
    """Both lists in one; neither is changed, since without a session it may be needed again."""
    return values + others

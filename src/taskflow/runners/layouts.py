"""Which elements of a collection are which MPI rank's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence


class Layout(NamedTuple):
    """Blocks of a collection, dealt out to ranks in turn.

    Block b covers ``block_length`` elements from ``b * stride`` on and belongs to rank ``b % ranks``. A ``block_count``
    of -1 is one block for each rank.
    """

    block_count: int
    block_length: int = 1
    stride: int = 1

    def places(self, rank: int, ranks: int) -> list[int]:
        """The places of a rank's elements, block by block."""
        blocks = range(rank, ranks if self.block_count == -1 else self.block_count, ranks)
        return [block * self.stride + place for block in blocks for place in range(self.block_length)]

    def places_of_all(self, ranks: int, length: int) -> list[list[int]]:
        """The places of each rank's elements in a collection of that length. Raises ValueError if it is too short."""
        found = [self.places(rank, ranks) for rank in range(ranks)]
        last = max([place for places in found for place in places], default=-1)
        if last >= length:
            raise ValueError(
                f"the layout {self._asdict()} reaches element {last} of a collection, but that has {length} elements"
            )
        return found

    def given(self, elements: list[Any]) -> Any:
        """What a rank is given: the element itself if it has but one."""
        return elements[0] if len(elements) == 1 else elements

    def merged(self, collection: Sequence[Any], shares: Sequence[Any]) -> list[Any]:
        """The collection with each element as its owner has left it; of an element of several, as the first has."""
        result = list(collection)
        for rank in reversed(range(len(shares))):
            places = self.places(rank, len(shares))
            share = [shares[rank]] if len(places) == 1 else shares[rank]
            for place, element in zip(places, share, strict=True):
                result[place] = element
        return result

# SPDX-License-Identifier: Apache-2.0
"""Write an AVIF file anew around the items that make up its picture.

Kept are the primary item, the tiles of a grid, their alpha planes and, under ``safe``,
a rebuilt EXIF item. Thumbnails, gain maps, depth maps, XMP, names and whatever no item
refers to are not copied. Item properties and brands after the AVIF specification 1.1.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import replace

from veilset.errors import DecodeError
from veilset.metadata.av1_units import clean_obus
from veilset.metadata.exif import clean_exif
from veilset.metadata.icc_profile import clean_profile
from veilset.metadata.isobmff import Item, Items, box_bytes, iterate_boxes, read_items
from veilset.metadata.policy import PREVIEW, Cleaned, broken, cleaned, unsupported

_BRANDS = frozenset({b"avif", b"mif1", b"miaf", b"MA1A", b"MA1B"})
_ALPHA = (
    b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0",
    b"urn:mpeg:hevc:2015:auxid:1\0",
)
# Property and the lengths that its payload may have.
_LENGTHS: Mapping[bytes, tuple[int, ...]] = {
    b"ispe": (12,), b"pixi": (6, 7, 8, 9), b"irot": (1,), b"imir": (1,), b"pasp": (8,),
    b"clap": (32,), b"clli": (4,), b"mdcv": (24,), b"a1op": (1,), b"lsel": (2,),
    b"a1lx": (7, 13),
}  # fmt: skip
# Blocks of video fill tiles up to whole ones of 16; more might be a part of another picture.
_MOST_BEYOND_GRID = 15
_HANDLER = b"\0\0\0\0\0\0\0\0pict" + b"\0" * 13


def read_avif(data: bytes) -> tuple[list[bytes], Items, list[bytes]]:
    """Read the brands, the items and the names of all boxes of an AVIF file.

    Raises:
        DecodeError: "animated" if it holds an image sequence, "unsupported" if it is
            another file of the family, otherwise as ``read_items``.
    """
    boxes = list(iterate_boxes(data))
    names = [box.name for box in boxes]
    if names[:1] != [b"ftyp"] or names.count(b"meta") != 1:
        raise broken("The AVIF does not begin with its type, or has no list of items.")
    kind = boxes[0].payload
    brands = [kind[:4], *(kind[i : i + 4] for i in range(8, len(kind), 4))]
    if b"avis" in brands or b"moov" in names or b"moof" in names:
        raise DecodeError("animated", "The AVIF is animated. Split it into single frames first.")
    if b"avif" not in brands:
        raise unsupported("The file is of the HEIF family, but no AVIF.")
    meta = boxes[names.index(b"meta")].payload
    return brands, read_items(data, meta), names


def clean_avif(data: bytes, policy: str) -> Cleaned:
    """Clean an AVIF file; the coded pictures are copied byte for byte.

    Raises:
        DecodeError: As ``read_avif``; "unsupported" if the picture needs an item or a
            property that is not known.
    """
    brands, found, names = read_avif(data)
    kept = picture_items(found)
    removed = _name_others(found, kept, names)
    writer = ItemWriter()
    removed += writer.add_picture(found, kept)
    exif_items = [item for item in found.items.values() if item.type == b"Exif"]
    for item in exif_items[:1]:
        block = clean_exif(exif_of(item), policy, orientation=None)
        removed += block.removed
        if block.data:
            writer.add_exif(max(kept) + 1, block.data, found.primary)
    if len(exif_items) > 1:
        removed.append("second EXIF")
    listed = [brand for brand in dict.fromkeys(brands) if brand in _BRANDS]
    return cleaned([writer.join(listed, found.primary)], removed)


def extract_picture(found: Items, item_id: int) -> bytes:
    """Write an AVIF file of which the given item is the picture.

    Raises:
        DecodeError: As ``clean_avif``.
    """
    chosen = replace(found, primary=item_id)
    writer = ItemWriter()
    writer.add_picture(chosen, picture_items(chosen))
    return writer.join([b"avif", b"mif1", b"miaf"], item_id)


def exif_of(item: Item) -> bytes:
    """Give the EXIF block of an item, from its TIFF header on."""
    return item.data[int.from_bytes(item.data[:4], "big") + 4 :]


def picture_items(found: Items) -> set[int]:
    """Give the numbers of the items that the primary picture is made of."""
    kept = {found.primary}
    for _ in range(2):  # first the alpha plane, then the tiles of both
        for kind, source, targets in found.references:
            if kind == b"auxl" and found.primary in targets and _is_alpha(found, source):
                kept.add(source)
            # A tone-mapped picture is derived from two others: the tiles of a grid only.
            elif kind == b"dimg" and source in kept and _type_of(found, source) == b"grid":
                kept.update(targets)
    for item_id in kept:
        if _type_of(found, item_id) not in (b"av01", b"grid"):
            raise unsupported("The picture of the AVIF is of a kind that is not known.")
        if item_id > 0xFFF0:
            raise unsupported("The AVIF numbers its items too high.")
    _check_alphas_and_grids(found, kept)
    return kept


def _type_of(found: Items, item_id: int) -> bytes:
    item = found.items.get(item_id)
    return item.type if item else b""


def _check_alphas_and_grids(found: Items, kept: set[int]) -> None:
    """Refuse a second alpha plane, and grids with tiles, or parts of them, that are not shown."""
    alphas = [source for kind, source, _ in found.references if kind == b"auxl" and source in kept]
    if len(alphas) > 1:
        raise unsupported("The AVIF has several alpha planes.")
    tiles: dict[int, list[tuple[int, ...]]] = {
        item_id: [] for item_id in kept if _type_of(found, item_id) == b"grid"
    }
    for kind, source, targets in found.references:
        if kind == b"dimg" and source in tiles:
            tiles[source].append(targets)
    for grid, lists in tiles.items():
        n_rows, n_columns, width, height = _grid_form(found.items[grid].data)
        if len(lists) != 1 or len(lists[0]) != n_rows * n_columns:
            raise unsupported("The AVIF has a grid of another number of tiles than it states.")
        for tile_width, tile_height in {_size_of(found, tile) for tile in lists[0]}:
            beyond = (n_columns * tile_width - width, n_rows * tile_height - height)
            if min(beyond) < 0 or max(beyond) > _MOST_BEYOND_GRID:
                raise unsupported("The AVIF has a grid whose tiles do not fit its size.")


def _grid_form(data: bytes) -> tuple[int, int, int, int]:
    """Give rows, columns, width and height of a grid."""
    if len(data) not in (8, 12) or (len(data) == 12) != (data[1] & 1):
        raise broken("The grid of the AVIF has a wrong length.")
    width, height = struct.unpack_from(">LL" if len(data) == 12 else ">HH", data, 4)
    return data[2] + 1, data[3] + 1, width, height


def _size_of(found: Items, item_id: int) -> tuple[int, int]:
    """Give the size that an item states, as decoders scale it to; (0, 0) if it states none."""
    properties = [found.properties[index] for index, _ in found.items[item_id].properties]
    for name, payload in properties:
        if name == b"ispe" and len(payload) == 12:
            width, height = struct.unpack_from(">LL", payload, 4)
            return width, height
    return 0, 0


def _is_alpha(found: Items, item_id: int) -> bool:
    item = found.items.get(item_id)
    properties = [found.properties[index] for index, _ in item.properties] if item else []
    return any(name == b"auxC" and payload[4:] in _ALPHA for name, payload in properties)


def _name_others(found: Items, kept: set[int], names: list[bytes]) -> list[str]:
    removed = []
    thumbnails = {source for kind, source, _ in found.references if kind == b"thmb"}
    for item_id, item in found.items.items():
        if item_id in kept or item.type == b"Exif":
            continue
        if item_id in thumbnails:
            removed.append(f"{PREVIEW} (AVIF thumbnail)")
        elif item.type == b"mime":
            removed.append("XMP")
        else:
            removed.append(f"{PREVIEW} (AVIF item)")
    if found.others or set(names) - {b"ftyp", b"meta", b"mdat"}:
        removed.append("other AVIF boxes")
    return removed


class ItemWriter:
    """Collects items and writes them as one file."""

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.properties: dict[bytes, int] = {}
        self.references: list[tuple[bytes, int, tuple[int, ...]]] = []

    def add_picture(self, found: Items, kept: set[int]) -> list[str]:
        """Take over the items of a picture and how they refer to each other."""
        removed: list[str] = []
        for item_id in found.items:
            if item_id in kept:
                removed += self.add(found, found.items[item_id])
        for kind, source, targets in found.references:
            inside = source in kept and all(target in kept for target in targets)
            if inside and kind in (b"dimg", b"auxl", b"prem"):
                self.references.append((kind, source, targets))
        return removed

    def add(self, found: Items, item: Item) -> list[str]:
        """Take over a picture item with its allowed properties; name what went."""
        removed: list[str] = []
        data = item.data
        new = Item(item.item_id, item.type)
        names = {found.properties[index][0] for index, _ in item.properties}
        if item.type == b"av01":
            data = clean_obus(data)
            if data != item.data:
                removed.append("metadata in the AV1 stream")
                if b"a1lx" in names:
                    raise unsupported("The AVIF has layers with metadata between them.")
        new.data = data
        kept: set[bytes] = set()
        for index, is_essential in item.properties:
            name, payload = found.properties[index]
            allowed = _allowed_property(name, payload)
            # Those of a known name may turn or crop, whatever their length: none is dropped.
            if not allowed and (is_essential or name in _LENGTHS):
                raise unsupported("The AVIF needs a property that is not known.")
            if allowed != payload:
                removed.append("item properties")
            if allowed:
                # Colours that are stated by numbers may stand beside a profile.
                kind = b"nclx" if (name, payload[:4]) == (b"colr", b"nclx") else name
                if kind in kept:
                    raise unsupported("The AVIF states a property of an item twice.")
                kept.add(kind)
                new.properties.append((self._index(box_bytes(name, allowed)), is_essential))
        self.items.append(new)
        return removed

    def add_exif(self, item_id: int, block: bytes, primary: int) -> None:
        """Add an EXIF item that describes the primary one."""
        self.items.append(Item(item_id, b"Exif", b"\0\0\0\0" + block))
        self.references.append((b"cdsc", item_id, (primary,)))

    def _index(self, box: bytes) -> int:
        return self.properties.setdefault(box, len(self.properties))

    def join(self, brands: list[bytes], primary: int) -> bytes:
        """Write the file: ``ftyp``, ``meta`` and ``mdat``."""
        kind = box_bytes(b"ftyp", b"avif\0\0\0\0", *brands)
        # The length of the list of items does not depend on the offsets in it.
        start = len(kind) + len(self._meta(primary, 0)) + 8
        data = box_bytes(b"mdat", *(item.data for item in self.items))
        return kind + self._meta(primary, start) + data

    def _meta(self, primary: int, start: int) -> bytes:
        entries, places, links = [], [], []
        for item in self.items:
            info = struct.pack(">LHH4s", 2 << 24, item.item_id, 0, item.type) + b"\0"
            entries.append(box_bytes(b"infe", info))
            places.append(struct.pack(">HHHLL", item.item_id, 0, 1, start, len(item.data)))
            start += len(item.data)
            pairs = [(0x8000 if flag else 0) | index + 1 for index, flag in item.properties]
            if pairs:
                form = f">HB{len(pairs)}H"
                links.append(struct.pack(form, item.item_id, len(pairs), *pairs))
        references = [
            box_bytes(kind, struct.pack(f">HH{len(to)}H", source, len(to), *to))
            for kind, source, to in self.references
        ]
        count = struct.pack(">H", len(self.items))
        properties = box_bytes(
            b"iprp",
            box_bytes(b"ipco", *self.properties),
            box_bytes(b"ipma", struct.pack(">LL", 1, len(links)), *links),
        )
        return box_bytes(
            b"meta",
            b"\0\0\0\0",
            box_bytes(b"hdlr", _HANDLER),
            box_bytes(b"pitm", struct.pack(">LH", 0, primary)),
            box_bytes(b"iloc", b"\0\0\0\0\x44\0", count, *places),
            box_bytes(b"iinf", b"\0\0\0\0", count, *entries),
            *([box_bytes(b"iref", b"\0\0\0\0", *references)] if references else []),
            properties,
        )


def _allowed_property(name: bytes, payload: bytes) -> bytes:
    """Give what may stay of a property; empty if nothing may."""
    if name == b"av1C":
        return payload[:4]  # what follows repeats the sequence header of the stream
    if name == b"auxC":
        return payload if payload[4:] in _ALPHA else b""
    if name == b"colr" and payload[:4] == b"nclx":
        return payload[:11]
    if name == b"colr" and payload[:4] in (b"prof", b"rICC"):
        profile = clean_profile(payload[4:]).data
        return payload[:4] + profile if profile else b""
    return payload if len(payload) in _LENGTHS.get(name, ()) else b""

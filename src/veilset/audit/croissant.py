# SPDX-License-Identifier: Apache-2.0
"""The audit as Croissant 1.0: metadata that catalogues of data sets read.

The format is that of https://docs.mlcommons.org/croissant/docs/croissant-spec.html, with
the vocabulary for responsible AI. What nobody told is left out, never made up.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from veilset.audit.config import DataCard
from veilset.audit.results import COLUMNS, TableFile

_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileProperty": "cr:fileProperty",
    "fileObject": "cr:fileObject",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "parentField": "cr:parentField",
    "path": "cr:path",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}


def render_croissant(
    card: DataCard, name: str, about: str, limits: Sequence[str], tables: Sequence[TableFile]
) -> bytes:
    """Give the metadata as JSON-LD.

    Args:
        card: What the owner of the data set said of it.
        name: Name of the data set.
        about: What the audit found, in a few sentences.
        limits: What it can not say, a sentence each.
        tables: The tables beside it.

    Returns:
        UTF-8; the same for the same arguments.
    """
    description = f"{card.description.rstrip()} {about}".strip()
    told: Mapping[str, Any] = {
        "license": card.licence,
        "url": card.url,
        "creator": [{"@type": "sc:Person", "name": each} for each in card.creators],
        "citeAs": card.citation,
        "version": card.version,
        "datePublished": card.published,
    }
    value = {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": [
            "http://mlcommons.org/croissant/1.0",
            "http://mlcommons.org/croissant/RAI/1.0",
        ],
        "name": name,
        "description": description,
        **{key: each for key, each in told.items() if each},
        "rai:personalSensitiveInformation": about,
        "rai:dataLimitations": list(limits),
        "distribution": [_file(table) for table in tables],
        "recordSet": [_records(table) for table in tables],
    }
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode("utf-8")


def _file(table: TableFile) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": f"{table.name}.csv",
        "name": f"{table.name}.csv",
        "description": table.about,
        "contentUrl": f"tables/{table.name}.csv",
        "encodingFormat": "text/csv",
        "sha256": table.sha256_csv,
    }


def _records(table: TableFile) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet",
        "@id": table.name,
        "name": table.name,
        "description": table.about,
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"{table.name}/{column}",
                "name": f"{table.name}/{column}",
                "description": COLUMNS[column][1],
                "dataType": COLUMNS[column][0],
                "source": {
                    "fileObject": {"@id": f"{table.name}.csv"},
                    "extract": {"column": column},
                },
            }
            for column in table.columns
        ],
    }

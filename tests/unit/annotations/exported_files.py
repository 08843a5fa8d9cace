# SPDX-License-Identifier: Apache-2.0
# ruff: noqa: E501  lines of the tools are kept as they are
"""Small files as CVAT and Label Studio write them, after their documentation."""

from __future__ import annotations

CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta>
    <task>
      <id>17</id>
      <name>faces</name>
      <size>4</size>
      <mode>annotation</mode>
      <overlap>0</overlap>
      <bugtracker></bugtracker>
      <created>2026-01-05 10:00:00.000000+00:00</created>
      <updated>2026-01-05 10:30:00.000000+00:00</updated>
      <subset>default</subset>
      <start_frame>0</start_frame>
      <stop_frame>3</stop_frame>
      <frame_filter></frame_filter>
      <segments>
        <segment>
          <id>9</id>
          <start>0</start>
          <stop>3</stop>
          <url>http://localhost:8080/api/jobs/9</url>
        </segment>
      </segments>
      <owner>
        <username>curator</username>
        <email></email>
      </owner>
      <assignee></assignee>
      <labels>
        <label>
          <name>Face</name>
          <color>#ff0000</color>
          <type>any</type>
          <attributes>
            <attribute>
              <name>blurred</name>
              <mutable>False</mutable>
              <input_type>checkbox</input_type>
              <default_value>false</default_value>
              <values>false</values>
            </attribute>
            <attribute>
              <name>age</name>
              <mutable>False</mutable>
              <input_type>number</input_type>
              <default_value>0</default_value>
              <values>0
100
1</values>
            </attribute>
            <attribute>
              <name>place</name>
              <mutable>False</mutable>
              <input_type>select</input_type>
              <default_value>street</default_value>
              <values>street
poster</values>
            </attribute>
          </attributes>
        </label>
        <label>
          <name>outdoor</name>
          <color>#00ff00</color>
          <type>tag</type>
          <attributes>
          </attributes>
        </label>
      </labels>
    </task>
    <dumped>2026-01-05 11:00:00.000000+00:00</dumped>
  </meta>
  <image id="0" name="b/first.jpg" width="640" height="480">
    <box label="Face" source="manual" occluded="0" xtl="10.50" ytl="20.00" xbr="60.25" ybr="90.00" z_order="0">
      <attribute name="blurred">true</attribute>
      <attribute name="age">42</attribute>
      <attribute name="place">poster</attribute>
    </box>
    <box label="Face" source="auto" occluded="1" xtl="-5.00" ytl="400.00" xbr="50.00" ybr="500.00" z_order="0">
      <attribute name="score">0.75</attribute>
    </box>
    <tag label="outdoor" source="manual">
    </tag>
  </image>
  <image id="1" name="a/second.jpg" width="640" height="480">
  </image>
  <image id="2" name="a/third.jpg" width="200" height="100">
    <box label="Face" source="manual" occluded="0" xtl="80.00" ytl="40.00" xbr="120.00" ybr="60.00" rotation="90.00" z_order="0">
    </box>
    <ellipse label="Face" source="manual" occluded="0" cx="50.00" cy="50.00" rx="20.00" ry="10.00" z_order="0">
    </ellipse>
    <polygon label="Face" source="file" occluded="0" points="150.00,10.00;190.00,30.00;160.00,50.00" z_order="0">
    </polygon>
    <mask label="Face" source="semi-auto" occluded="0" rle="3, 5, 2" left="5" top="6" width="5" height="2" z_order="0">
    </mask>
    <skeleton label="Face" source="manual" z_order="0">
      <points label="eye" source="manual" outside="0" occluded="0" points="101.00,71.00">
      </points>
      <points label="chin" source="manual" outside="0" occluded="0" points="105.00,79.00">
        <attribute name="sure">true</attribute>
      </points>
    </skeleton>
    <box label="Face" source="manual" occluded="0" xtl="300.00" ytl="40.00" xbr="320.00" ybr="60.00" z_order="0">
    </box>
  </image>
</annotations>
"""

LABEL_STUDIO = """[
  {
    "id": 1,
    "annotations": [
      {
        "id": 1001, "completed_by": 10,
        "result": [
          {
            "original_width": 640, "original_height": 480, "image_rotation": 0,
            "value": {"x": 10.0, "y": 25.0, "width": 5.0, "height": 50.0, "rotation": 0,
                      "rectanglelabels": ["Face"]},
            "id": "Dx_aB91ISN", "from_name": "label", "to_name": "image",
            "type": "rectanglelabels", "origin": "manual"
          },
          {
            "original_width": 640, "original_height": 480, "image_rotation": 0,
            "value": {"choices": ["poster"]},
            "id": "Dx_aB91ISN", "from_name": "place", "to_name": "image",
            "type": "choices", "origin": "manual"
          },
          {
            "value": {"choices": ["outdoor"]}, "id": "whole", "from_name": "scene",
            "to_name": "image", "type": "choices", "origin": "manual"
          }
        ],
        "was_cancelled": false, "ground_truth": false,
        "created_at": "2026-01-05T21:52:49.513742Z", "updated_at": "2026-01-05T22:16:08.746926Z",
        "lead_time": 4.288, "prediction": {}, "result_count": 0, "task": 1
      }
    ],
    "file_upload": "8dc9e0c8-first.jpg", "drafts": [],
    "predictions": [
      {"model_version": "model 1", "result": [
        {"original_width": 640, "original_height": 480, "type": "rectanglelabels",
         "from_name": "label", "to_name": "image", "score": 0.5,
         "value": {"x": 0, "y": 0, "width": 1, "height": 1, "rectanglelabels": ["Face"]}}
      ]}
    ],
    "data": {"image": "/data/upload/3/8dc9e0c8-first.jpg"},
    "meta": {}, "project": 83
  },
  {"id": 2, "annotations": [{"id": 7, "result": [], "was_cancelled": false}], "predictions": [],
   "data": {"image": "/data/local-files/?d=a/second%20one.jpg"}},
  {"id": 3, "annotations": [{"id": 8, "result": [], "was_cancelled": true}], "predictions": [],
   "data": {"image": "http://example.com/photos/skipped.jpg"}},
  {"id": 4, "annotations": [], "predictions": [], "data": {"image": "s3://bucket/photos/new.jpg"}},
  {"id": 5, "annotations": [], "data": {"image": "photos/predicted.jpg"}, "predictions": [
    {"model_version": "model 2", "score": 0.9, "result": [
      {"original_width": 200, "original_height": 100, "type": "rectanglelabels", "id": "a",
       "from_name": "label", "to_name": "image", "score": 0.875,
       "value": {"x": 50, "y": 50, "width": 10, "height": 20, "rotation": 90,
                 "rectanglelabels": ["Face"]}},
      {"original_width": 200, "original_height": 100, "type": "ellipselabels", "id": "b",
       "from_name": "label", "to_name": "image", "score": 12,
       "value": {"x": 50, "y": 50, "radiusX": 5, "radiusY": 20, "rotation": 0,
                 "ellipselabels": ["Face"]}},
      {"original_width": 200, "original_height": 100, "type": "polygon", "id": "c",
       "from_name": "poly", "to_name": "image",
       "value": {"points": [[10, 10], [20, 90], [5, 50]], "closed": true}}
    ]}
  ]}
]
"""

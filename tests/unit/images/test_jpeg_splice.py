# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest

from tests.unit.images.jpeg_samples import drawn, encoded, pillow_pixels, sampled
from veilset.errors import DecodeError
from veilset.images.coefficients import read_coefficients, write_sequential
from veilset.images.decode import decode_image
from veilset.images.encode import replace_pixels
from veilset.images.jpeg_blocks import forward_blocks
from veilset.images.jpeg_entropy import code_lengths, code_words
from veilset.images.jpeg_markers import (
    APP2,
    DHT,
    SOI,
    ZIGZAG,
    parse_jpeg,
    quantisation_tables,
)

EVERYTHING = np.array([[0, 0, 48, 40]])


def test_zigzag_is_that_of_the_standard():
    assert ZIGZAG[:10].tolist() == [0, 1, 8, 16, 9, 2, 3, 10, 17, 24]
    assert sorted(ZIGZAG.tolist()) == list(range(64))


@pytest.mark.parametrize("quality", [30, 75, 95, 100])
@pytest.mark.parametrize("sampling", ["4:4:4", "gray"])
def test_blocks_equal_those_of_libjpeg_within_one_step(quality, sampling):
    image = drawn(61, 45)
    jpeg = parse_jpeg(sampled(image, sampling, quality=quality))
    tables = quantisation_tables(jpeg)
    for index, plane in enumerate(read_coefficients(jpeg)):
        every = np.ones(plane.shape[:2], dtype=bool)
        ours = forward_blocks(jpeg, index, image, every, tables[index])
        difference = np.abs(ours.reshape(plane.shape).astype(int) - plane)
        assert difference.max() <= 1
        # At quality 100 steps are 1 and the fixed-point transform of libjpeg shows.
        assert (difference > 0).mean() < (0.08 if quality == 100 else 0.05)


@pytest.mark.parametrize("sampling", ["4:2:0", "4:2:2", "4:4:0", "4:1:1"])
def test_subsampled_chroma_is_near_that_of_libjpeg(sampling):
    image = drawn(64, 48)
    jpeg = parse_jpeg(sampled(image, sampling, quality=90))
    tables = quantisation_tables(jpeg)
    for index, plane in enumerate(read_coefficients(jpeg)):
        every = np.ones(plane.shape[:2], dtype=bool)
        ours = forward_blocks(jpeg, index, image, every, tables[index])
        # libjpeg rounds each averaged sample, so a few coefficients differ by a step.
        assert np.abs(ours.reshape(plane.shape).astype(int) - plane).max() <= 1


@pytest.mark.parametrize("progressive", [False, True])
def test_a_file_written_with_its_own_coefficients_decodes_to_the_same_pixels(progressive):
    data = encoded(drawn(75, 53), quality=88, progressive=progressive, subsampling=2)
    output = replace_pixels(data, decode_image(data)[0], np.array([[0, 0, 1, 1]]))
    old, new = pillow_pixels(data), pillow_pixels(output)
    np.testing.assert_array_equal(old[:, 18:], new[:, 18:])


def test_bytes_behind_the_picture_and_their_index_go():
    secret = encoded(drawn(16, 16, 5))
    data = encoded(drawn(48, 40))
    index = b"MPF\0II*\0\x08\0\0\0\0\0\0\0\0\0"
    segment = b"\xff\xe2" + (len(index) + 2).to_bytes(2, "big") + index
    output = replace_pixels(SOI + segment + data[2:] + secret, drawn(48, 40, 2), EVERYTHING)
    assert output.count(SOI) == 1
    assert output.endswith(b"\xff\xd9")
    assert b"MPF\0" not in output
    assert not parse_jpeg(output).payloads(APP2)


def test_stereo_pairs_are_refused():
    data = encoded(drawn(48, 40))
    entry = (0x00020002).to_bytes(4, "little") + bytes(12)
    index = b"MPF\0II*\0\x08\0\0\0\1\0\x02\xb0\x07\0" + (16).to_bytes(4, "little")
    index += (26).to_bytes(4, "little") + bytes(4) + entry
    segment = b"\xff\xe2" + (len(index) + 2).to_bytes(2, "big") + index
    with pytest.raises(DecodeError) as caught:
        decode_image(SOI + segment + data[2:])
    assert caught.value.reason == "multi-picture"


def test_rgb_jpeg_without_colour_transform_is_spliced_in_rgb():
    image = drawn(48, 40)
    data = encoded(image, quality=95, keep_rgb=True)
    assert not parse_jpeg(data).is_ycc
    wanted = drawn(48, 40, 9)
    output = replace_pixels(data, wanted, EVERYTHING)
    assert not parse_jpeg(output).is_ycc
    assert np.abs(pillow_pixels(output).astype(int) - wanted).mean() < 4


def test_threads_give_what_one_thread_gives():
    cases = []
    for seed in range(24):
        data = sampled(drawn(90 + seed, 70, seed), "4:2:0", progressive=seed % 2, quality=60 + seed)
        cases.append((data, drawn(90 + seed, 70, seed + 50), np.array([[10, 9, 60, 50]])))
    alone = [replace_pixels(*case) for case in cases]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda case: replace_pixels(*case), cases * 4))
    assert together == alone * 4


@pytest.mark.parametrize(("place", "value"), [(5, 20000), (5, -1024), (5, 1024), (0, -1025)])
def test_coefficients_beyond_eight_bits_are_refused(place, value):
    jpeg = parse_jpeg(encoded(drawn(16, 16), gray=True))
    planes = read_coefficients(jpeg)
    planes[0][0, 0, place] = value
    with pytest.raises(DecodeError) as caught:
        write_sequential(jpeg, planes)
    assert caught.value.reason == "unsupported"


@pytest.mark.parametrize("seed", range(20))
def test_huffman_codes_are_prefix_free_at_most_16_bits_and_never_all_ones(seed):
    rng = np.random.default_rng(seed)
    counts = np.zeros(256, dtype=np.int64)
    used = rng.choice(256, size=int(rng.integers(1, 257)), replace=False)
    # Powers make the unlimited code far longer than 16 bits.
    counts[used] = 1 + (2.0 ** rng.uniform(0, 45, len(used))).astype(np.int64)
    counted, symbols = code_lengths(counts)
    assert sorted(symbols) == sorted(used.tolist())
    codes, lengths = code_words(counted, symbols)
    words = [format(codes[s], f"0{lengths[s]}b") for s in symbols]
    assert max(map(len, words)) <= 16
    assert not any(set(word) == {"1"} for word in words)
    words.sort()
    assert not any(b.startswith(a) for a, b in pairwise(words))


def test_tables_with_two_meanings_are_refused():
    data = bytearray(encoded(drawn(16, 16), gray=True))
    at = data.find(b"\xff\xdb")
    table = bytearray(data[at : at + 69])
    table[-1] ^= 1
    jpeg = parse_jpeg(bytes(data[:at]) + bytes(table) + bytes(data[at:]))
    with pytest.raises(DecodeError):
        quantisation_tables(jpeg)


def test_headers_that_would_crash_the_c_library_never_reach_it():
    data = encoded(drawn(24, 24))
    start = parse_jpeg(data).scans[0].segment.end
    rng = np.random.default_rng(3)
    n_refused = 0
    for _ in range(1500):
        broken = bytearray(data)
        for _ in range(rng.integers(1, 4)):
            broken[rng.integers(2, start)] = rng.integers(256)
        try:
            image, _ = decode_image(bytes(broken), max_pixels=1_000_000)
            replace_pixels(bytes(broken), image, np.array([[0, 0, 5, 5]]))
        except DecodeError:
            n_refused += 1
    assert n_refused > 100
    assert DHT in {segment.marker for segment in parse_jpeg(data).segments}


def test_progressive_files_whose_scans_leave_out_bits_are_refused():
    data = encoded(drawn(64, 64), gray=True, progressive=True, quality=95)
    jpeg = parse_jpeg(data)
    # The last scan refines the lowest bit of the AC values.
    assert jpeg.scans[-1].bits == (1, 0)
    cut = data[: jpeg.scans[-1].segment.start] + b"\xff\xd9"
    with pytest.raises(DecodeError) as caught:
        replace_pixels(cut, drawn(64, 64, 3), np.array([[0, 0, 64, 64]]))
    assert caught.value.reason == "unsupported"

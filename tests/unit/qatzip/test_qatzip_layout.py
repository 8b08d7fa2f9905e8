"""The structures that are passed to libqatzip, as its header lays them out on x86-64."""

from __future__ import annotations

import ctypes

import pytest

from ramferry.qatzip.library import QzSession, QzSessionParamsDeflate, words

OFFSETS = {
    QzSession: {
        "hw_session_stat": 0, "thd_sess_stat": 8, "internal": 16, "total_in": 24, "total_out": 32,
    },
    QzSessionParamsDeflate: {
        "direction": 0, "comp_lvl": 4, "comp_algorithm": 8, "max_forks": 12, "sw_backup": 16,
        "hw_buff_sz": 20, "strm_buff_sz": 24, "input_sz_thrshold": 28, "req_cnt_thrshold": 32,
        "wait_cnt_thrshold": 36, "polling_mode": 40, "is_sensitive_mode": 44, "huffman_hdr": 48,
        "data_fmt": 52,
    },
}  # fmt: skip
SIZES = {QzSession: 40, QzSessionParamsDeflate: 56}


@pytest.mark.parametrize("structure", SIZES)
def test_layout(structure: type[ctypes.Structure]) -> None:
    assert ctypes.sizeof(structure) == SIZES[structure]
    names = [field[0] for field in structure._fields_]
    assert {name: getattr(structure, name).offset for name in names} == OFFSETS[structure]


def test_codes_are_told_in_words() -> None:
    assert words(-103).startswith("-103 (no instance")
    assert words(77) == "77 (not a code that is known)"

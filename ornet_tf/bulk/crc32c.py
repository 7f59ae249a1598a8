"""CRC-32C (Castagnoli), the checksum of TFRecord files, in NumPy: some 0.6 ms for a record of 100 kB."""
from __future__ import annotations

import functools

import numpy as np

_POLYNOMIAL = 0x82F63B78  # of RFC 3720, with its bits reversed
_START = b"Td\x1fd"  # before the data, they bring the register from 0 to the start value of the standard, 2**32 - 1
_BLOCK = 256  # bytes
_BLOCKS_AT_ONCE = 512  # so that their places in the table, 8 bytes each, stay in a cache
_MASK = 0xA282EAD8


def masked(data: bytes) -> int:
    """Returns the CRC-32C as TFRecord files store it: rotated by 15 bits, plus a constant, uint32."""
    crc = value(data)
    return ((crc >> 15 | crc << 17) + _MASK) & 0xFFFFFFFF


def value(data: bytes) -> int:
    """Returns the CRC-32C of bytes as a number of 32 bits.

    The register is linear in the bytes. So that of a block is the XOR of an entry of a table for each byte, and those
    of two neighbours make that of a block of twice the length. Zeros before the data leave the register at 0.
    """
    blocks = -(-(len(_START) + len(data)) // _BLOCK)
    content = np.frombuffer((_START + data).rjust(blocks * _BLOCK, b"\0"), np.uint8)
    registers = np.empty(blocks, np.uint32)
    table = _block_table()
    first = np.arange(_BLOCK) * 256
    for start in range(0, blocks, _BLOCKS_AT_ONCE):
        some = content[start * _BLOCK : (start + _BLOCKS_AT_ONCE) * _BLOCK].reshape(-1, _BLOCK)
        registers[start : start + _BLOCKS_AT_ONCE] = np.bitwise_xor.reduce(table.take(first + some), axis=1)
    level = 0
    while len(registers) > 1:
        if len(registers) % 2:
            registers = np.insert(registers, 0, 0)
        registers = _shift(_shift_table(level), registers[0::2]) ^ registers[1::2]
        level += 1
    return int(registers[0]) ^ 0xFFFFFFFF


def _shift(table: np.ndarray, registers: np.ndarray) -> np.ndarray:
    """Returns what registers become after as many bytes of zeros as the table, uint32 [4, 256], stands for."""
    return (
        table[0][registers & 255] ^ table[1][registers >> 8 & 255]
        ^ table[2][registers >> 16 & 255] ^ table[3][registers >> 24]
    )  # fmt: skip


@functools.lru_cache
def _shift_table(level: int) -> np.ndarray:
    """Returns the table for `_BLOCK` << level bytes of zeros."""
    if level:
        half = _shift_table(level - 1)
        return np.stack([_shift(half, row) for row in half])
    table = np.arange(256, dtype=np.uint32) << np.array([[0], [8], [16], [24]], np.uint32)
    for _ in range(_BLOCK):
        table = _byte_table()[table & 255] ^ table >> 8
    return table


@functools.lru_cache
def _block_table() -> np.ndarray:
    """Returns the register after a block with one byte that is not 0, by its place and value, uint32 [65536]."""
    rows = [_byte_table()]
    while len(rows) < _BLOCK:
        rows.append(rows[0][rows[-1] & 255] ^ rows[-1] >> 8)
    return np.concatenate(rows[::-1])


@functools.lru_cache
def _byte_table() -> np.ndarray:
    """Returns the register after one byte, by its value, uint32 [256]."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = table >> 1 ^ (table & 1) * np.uint32(_POLYNOMIAL)
    return table

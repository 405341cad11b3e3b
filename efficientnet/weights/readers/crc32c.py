"""CRC-32C (Castagnoli, as in iSCSI, RFC 3720 appendix B.4), fast enough in NumPy for checkpoints.

A CRC register is linear in its contents over GF(2). So a long run of bytes is cut into lanes that
go through the register side by side, and the lanes' registers are put together by moving each one
past the bytes to its right, which is a 32x32 matrix of bits.
"""

import functools

import numpy as np

POLYNOMIAL = 0x82F63B78  # reflected
ONES = 0xFFFFFFFF
MIN_LANE_BYTES = 64
MAX_LANES = 1 << 13  # as many as keep the cache warm


@functools.cache
def _byte_table() -> np.ndarray:
    """What one byte at the low end of the register becomes eight steps later; uint32 [256]."""
    table: np.ndarray = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = (table >> 1) ^ np.where(table & 1, np.uint32(POLYNOMIAL), np.uint32(0))
    return table


@functools.cache
def _word_tables() -> np.ndarray:
    """What the four 16-bit parts of a word of 8 bytes become after it; uint32 [4, 65536]."""
    byte = _byte_table()
    value = np.arange(1 << 16, dtype=np.uint32)
    for _ in range(2):
        value = (value >> 8) ^ byte[value & 0xFF]
    tables = [value]
    for _ in range(3):
        for _ in range(2):
            value = (value >> 8) ^ byte[value & 0xFF]
        tables.append(value)
    return np.stack(tables[::-1])


@functools.cache
def _zeros_table(exponent: int) -> np.ndarray:
    """What each byte of the register becomes 2^exponent zero bytes later; uint32 [4, 256]."""
    if exponent == 0:
        byte = _byte_table()
        values = np.arange(256, dtype=np.uint32)
        return np.stack([byte, *(values << np.uint32(8 * i) for i in range(3))])
    half = _zeros_table(exponent - 1)
    return _through(half, half)


def _through(table: np.ndarray, registers: np.ndarray) -> np.ndarray:
    return (
        table[0][registers & 0xFF]
        ^ table[1][(registers >> 8) & 0xFF]
        ^ table[2][(registers >> 16) & 0xFF]
        ^ table[3][registers >> 24]
    )


def _skip(register: np.ndarray, length: int) -> np.ndarray:
    """The register after `length` zero bytes."""
    exponent = 0
    while length:
        if length & 1:
            register = _through(_zeros_table(exponent), register)
        length >>= 1
        exponent += 1
    return register


def crc32c(data: bytes | memoryview | np.ndarray) -> int:
    """Returns the CRC-32C of the bytes."""
    values = np.frombuffer(data, np.uint8)
    length = len(values)
    exponent = MIN_LANE_BYTES.bit_length() - 1
    while length >> exponent > MAX_LANES:
        exponent += 1
    # Lanes of 2^exponent bytes. Zeros in front of everything leave an empty register empty.
    lanes = np.zeros((length + (1 << exponent) - 1 >> exponent or 1, 1 << exponent), np.uint8)
    lanes.reshape(-1)[lanes.size - length :] = values
    registers = _lanes(lanes)
    while len(registers) > 1:
        if len(registers) % 2:
            registers = np.concatenate([np.zeros(1, np.uint32), registers])
        registers = _through(_zeros_table(exponent), registers[::2]) ^ registers[1::2]
        exponent += 1
    start = _skip(np.array([ONES], np.uint32), length)
    return int(registers[0] ^ start[0]) ^ ONES


def _lanes(lanes: np.ndarray) -> np.ndarray:
    """The registers after each row of bytes; [lanes, bytes] -> uint32 [lanes]."""
    tables = _word_tables()
    registers = np.zeros(len(lanes), np.uint32)
    for word in lanes.view("<u8").T:
        word = word ^ registers
        registers = (
            tables[0][word & 0xFFFF]
            ^ tables[1][(word >> 16) & 0xFFFF]
            ^ tables[2][(word >> 32) & 0xFFFF]
            ^ tables[3][word >> 48]
        )
    return registers


def masked(checksum: int) -> int:
    """The form in which LevelDB tables and TensorFlow store a CRC, so that it can be summed too."""
    return ((checksum >> 15 | checksum << 17) + 0xA282EAD8) & ONES

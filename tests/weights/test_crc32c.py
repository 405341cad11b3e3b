import numpy as np
import pytest

from efficientnet.weights.readers.crc32c import crc32c, masked


def reference(data: bytes) -> int:
    """One bit at a time."""
    register = 0xFFFFFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0x82F63B78 if register & 1 else 0)
    return register ^ 0xFFFFFFFF


def test_known_values():
    # RFC 3720, appendix B.4, and the usual check value.
    assert crc32c(b"123456789") == 0xE3069283
    assert crc32c(bytes(32)) == 0x8A9136AA
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
    assert crc32c(bytes(range(32))) == 0x46DD794E
    assert crc32c(b"") == 0
    assert masked(0) == 0xA282EAD8


@pytest.mark.parametrize("length", [1, 7, 8, 63, 64, 65, 127, 128, 1000, 4099])
def test_every_length_is_the_reference_s(length):
    data = np.random.default_rng(length).bytes(length)
    assert crc32c(data) == reference(data)
    assert crc32c(memoryview(data)[1:]) == reference(data[1:])


def test_long_data_in_lanes_longer_than_the_shortest():
    data = np.random.default_rng(0).bytes((1 << 20) + 77)
    register = crc32c(data)
    flipped = bytearray(data)
    flipped[500_000] ^= 4
    assert crc32c(bytes(flipped)) != register
    # A CRC over x and then 4 bytes of its own is the same for all x.
    ends = {crc32c(x + crc32c(x).to_bytes(4, "little")) for x in (data, bytes(flipped), b"1", b"")}
    assert len(ends) == 1

"""Is responsible for reading one section out of an ELF file of 32 or 64 bits, little endian."""

import struct


def section(binary, wanted):
    """The bytes of the section named `wanted`; None where there is none."""
    if binary[:4] != b"\x7fELF" or binary[5] != 1:
        raise SystemExit("not a little-endian ELF file")
    if binary[4] == 2:
        (table,) = struct.unpack_from("<Q", binary, 40)
        entry, count, names = struct.unpack_from("<HHH", binary, 58)
        header = "<IIQQQQ"
    else:
        (table,) = struct.unpack_from("<I", binary, 32)
        entry, count, names = struct.unpack_from("<HHH", binary, 46)
        header = "<IIIIII"
    # name, type, flags, address, offset, size
    headers = [struct.unpack_from(header, binary, table + number * entry) for number in range(count)]
    for name, _, _, _, offset, size in headers:
        start = headers[names][4] + name
        if binary[start : binary.index(b"\0", start)].decode() == wanted:
            return binary[offset : offset + size]
    return None

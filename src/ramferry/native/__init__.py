"""C libraries called straight into the caller's memory: ISA-L and libdeflate, by ctypes.

The Python packages ``isal`` and ``deflate`` return what they make as new bytes objects, which are
grown and copied while the GIL is held, and ISA-L's take the GIL back for each growth. Their
extension modules export the C functions themselves (the wheels of PyPI have the library inside,
Debian's packages link to it), and those are called here: once a packet, without the GIL, from
memory that is there into memory that is there.
"""

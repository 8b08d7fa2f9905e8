"""C libraries called straight into the caller's memory by ctypes: ISA-L, libdeflate, libzstd.

The Python packages of these libraries return what they make as new bytes objects, which are grown
and copied while the GIL is held, and some take the GIL back for each growth. Here the C functions
are called themselves: once a packet or member, without the GIL, from the caller's memory into
memory that was allocated before. Those of ISA-L and libdeflate are found in the extension modules
of ``isal`` and ``deflate``, which export them (PyPI's wheels have the library inside, Debian's
packages link to it). libzstd is the host's own.
"""

# SHA-256 of formats/lcx.ksy: 3fd89f33156c86b50f5003cf54639bb6aa0ec394255a28d41bb4df56f37794a7
# ruff: noqa
# fmt: off
# This is a generated file! Please edit source .ksy file and use kaitai-struct-compiler to rebuild
# type: ignore

import kaitaistruct
from kaitaistruct import KaitaiStruct, KaitaiStream, BytesIO


if getattr(kaitaistruct, 'API_VERSION', (0, 9)) < (0, 11):
    raise Exception("Incompatible Kaitai Struct Python API: 0.11 or later is required, but you have %s" % (kaitaistruct.__version__))

class Lcx(KaitaiStruct):
    """The container of an .lcx file, as container.md defines it. Bits are numbered from the most significant one.
    The checksum, limits and repeated tags are not checked here; the payload belongs to the codec.
    
    .. seealso::
       container.md
    """
    def __init__(self, _io, _parent=None, _root=None):
        super(Lcx, self).__init__(_io)
        self._parent = _parent
        self._root = _root or self
        self._read()

    def _read(self):
        self.magic = self._io.read_bits_int_be(12)
        if not self.magic == 2509:
            raise kaitaistruct.ValidationNotEqualError(2509, self.magic, self._io, u"/seq/0")
        self.version = self._io.read_bits_int_be(4)
        if not self.version == 1:
            raise kaitaistruct.ValidationNotEqualError(1, self.version, self._io, u"/seq/1")
        self.codec = self._io.read_bits_int_be(3)
        self.has_chunks = self._io.read_bits_int_be(1) != 0
        self.width_minus_1 = self._io.read_bits_int_be(14)
        self.height_minus_1 = self._io.read_bits_int_be(14)
        self.rate = self._io.read_bits_int_be(8)
        self.weights = self._io.read_bits_int_be(16)
        self.symbols = self._io.read_bits_int_be(8)
        self.checksum = self._io.read_bits_int_be(16)
        if self.has_chunks:
            pass
            self.chunks = []
            i = 0
            while True:
                _ = Lcx.Chunk(self._io, self, self._root)
                self.chunks.append(_)
                if _.tag == 0:
                    break
                i += 1

        self.payload = self._io.read_bytes_full()


    def _fetch_instances(self):
        pass
        if self.has_chunks:
            pass
            for i in range(len(self.chunks)):
                pass
                self.chunks[i]._fetch_instances()



    class Chunk(KaitaiStruct):
        def __init__(self, _io, _parent=None, _root=None):
            super(Lcx.Chunk, self).__init__(_io)
            self._parent = _parent
            self._root = _root
            self._read()

        def _read(self):
            self.tag = self._io.read_u1()
            if self.tag != 0:
                pass
                self.length = Lcx.Leb128(self._io, self, self._root)

            if self.tag != 0:
                pass
                self.data = self._io.read_bytes(self.length.value)



        def _fetch_instances(self):
            pass
            if self.tag != 0:
                pass
                self.length._fetch_instances()

            if self.tag != 0:
                pass



    class Leb128(KaitaiStruct):
        """Unsigned, seven bits a byte, lowest first; at most four bytes."""
        def __init__(self, _io, _parent=None, _root=None):
            super(Lcx.Leb128, self).__init__(_io)
            self._parent = _parent
            self._root = _root
            self._read()

        def _read(self):
            self.groups = []
            i = 0
            while True:
                _ = self._io.read_u1()
                self.groups.append(_)
                _ = self.groups[i]
                if not  ((_ < 128) or (i < 3)) :
                    raise kaitaistruct.ValidationExprError(self.groups[i], self._io, u"/types/leb128/seq/0")
                if _ < 128:
                    break
                i += 1


        def _fetch_instances(self):
            pass
            for i in range(len(self.groups)):
                pass


        @property
        def value(self):
            if hasattr(self, '_m_value'):
                return self._m_value

            self._m_value = (((self.groups[0] & 127) + ((self.groups[1] & 127) << 7 if len(self.groups) > 1 else 0)) + ((self.groups[2] & 127) << 14 if len(self.groups) > 2 else 0)) + ((self.groups[3] & 127) << 21 if len(self.groups) > 3 else 0)
            return getattr(self, '_m_value', None)


    @property
    def height(self):
        if hasattr(self, '_m_height'):
            return self._m_height

        self._m_height = self.height_minus_1 + 1
        return getattr(self, '_m_height', None)

    @property
    def width(self):
        if hasattr(self, '_m_width'):
            return self._m_width

        self._m_width = self.width_minus_1 + 1
        return getattr(self, '_m_width', None)

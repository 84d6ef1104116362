meta:
  id: lcx
  title: lcodec picture (.lcx), version 1
  file-extension: lcx
  license: BSD-3-Clause
  ks-version: 0.11
  endian: be
  bit-endian: be
doc: |
  The container of an .lcx file, as container.md defines it. Bits are numbered from the most significant one.
  The checksum, limits and repeated tags are not checked here; the payload belongs to the codec.
doc-ref: container.md
seq:
  - id: magic
    type: b12
    valid: 0x9cd
  - id: version
    type: b4
    valid: 1
  - id: codec
    type: b3
    doc: Numbers of the methods, see README.md.
  - id: has_chunks
    type: b1
  - id: width_minus_1
    type: b14
  - id: height_minus_1
    type: b14
  - id: rate
    type: b8
  - id: weights
    type: b16
    doc: Leading two bytes of the SHA-256 of the weights file.
  - id: symbols
    type: b8
    doc: Digest of the decoded symbols.
  - id: checksum
    type: b16
    doc: CRC-16 of the whole file with this field set to zero.
  - id: chunks
    type: chunk
    repeat: until
    repeat-until: _.tag == 0
    if: has_chunks
    doc: The last one is the end tag, without length and data.
  - id: payload
    size-eos: true
instances:
  width:
    value: width_minus_1 + 1
  height:
    value: height_minus_1 + 1
types:
  chunk:
    seq:
      - id: tag
        type: u1
        doc: Numbers of the tags, see README.md. From 0x80 on a reader must know the tag or refuse the file.
      - id: length
        type: leb128
        if: tag != 0
      - id: data
        size: length.value
        if: tag != 0
  leb128:
    doc: Unsigned, seven bits a byte, lowest first; at most four bytes.
    seq:
      - id: groups
        type: u1
        repeat: until
        repeat-until: _ < 0x80
        valid:
          expr: _ < 0x80 or _index < 3
    instances:
      value:
        value: >-
          (groups[0] & 0x7f)
          + (groups.size > 1 ? (groups[1] & 0x7f) << 7 : 0)
          + (groups.size > 2 ? (groups[2] & 0x7f) << 14 : 0)
          + (groups.size > 3 ? (groups[3] & 0x7f) << 21 : 0)

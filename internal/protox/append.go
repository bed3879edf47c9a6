package protox

import "encoding/binary"

// AppendUint appends a field of a number type.
func AppendUint(b []byte, num uint32, v uint64) []byte {
	return binary.AppendUvarint(binary.AppendUvarint(b, uint64(num)<<3|wireVarint), v)
}

// AppendBytes appends a byte string, a text or an encoded message as a field.
func AppendBytes(b []byte, num uint32, v []byte) []byte {
	b = binary.AppendUvarint(binary.AppendUvarint(b, uint64(num)<<3|wireBytes), uint64(len(v)))
	return append(b, v...)
}

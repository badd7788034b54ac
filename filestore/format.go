package filestore

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"slices"
	"time"
)

// A file has a mark, a checksum of its name and its content, and the content. That of a value is
// when it expires and its ttl, both in milliseconds, and the value.
const (
	mark      = "lookera1"
	headSize  = len(mark) + sha256.Size
	stampSize = 16
)

// pack returns a file with this name and content.
func pack(name string, content []byte) []byte {
	sum := checksum(name, content)
	return slices.Concat([]byte(mark), sum[:], content)
}

// unpack returns the content of the file with this name; nil if it is not as pack made it.
func unpack(name string, file []byte) []byte {
	file, ok := bytes.CutPrefix(file, []byte(mark))
	if !ok || len(file) < sha256.Size {
		return nil
	}
	content := file[sha256.Size:]
	if sum := checksum(name, content); !bytes.Equal(file[:sha256.Size], sum[:]) {
		return nil
	}
	return content
}

func checksum(name string, content []byte) [sha256.Size]byte {
	return sha256.Sum256(slices.Concat([]byte(name), []byte{0}, content))
}

// stamp returns the content that is the value until ttl has passed.
func stamp(value []byte, now time.Time, ttl time.Duration) []byte {
	life := (max(ttl, 1) - 1).Milliseconds() + 1
	content := binary.BigEndian.AppendUint64(nil, uint64(now.UnixMilli()+life))
	content = binary.BigEndian.AppendUint64(content, uint64(life))
	return append(content, value...)
}

// tolerance is how far the clock may be set back before a value is none. No more is needed for what
// keeps clocks right, and with no limit a value might never expire.
const tolerance = time.Minute

// stamped returns the value in a content; nil if its ttl has passed.
func stamped(content []byte, now time.Time) []byte {
	if len(content) <= stampSize {
		return nil
	}
	expiry := int64(binary.BigEndian.Uint64(content))
	life := int64(binary.BigEndian.Uint64(content[8:]))
	left := expiry - now.UnixMilli()
	if left <= 0 || left > life+tolerance.Milliseconds() {
		return nil
	}
	return content[stampSize:]
}

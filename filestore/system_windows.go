package filestore

import (
	"errors"
	"io/fs"

	"golang.org/x/sys/windows"
)

// dontFollow is nothing that a file can be opened with here. Links are seen before.
const dontFollow = 0

// isOwn takes the user's word.
func isOwn(fs.FileInfo) bool { return true }

// othersMay is not known from the mode.
func othersMay(fs.FileInfo, fs.FileMode) bool { return false }

// isFull reports whether there was no room to write.
func isFull(err error) bool {
	return errors.Is(err, windows.ERROR_DISK_FULL) || errors.Is(err, windows.ERROR_HANDLE_DISK_FULL)
}

//go:build unix

package filestore

import (
	"errors"
	"io/fs"
	"os"
	"syscall"
)

// dontFollow has the opening of a link fail, and that of a pipe not wait.
const dontFollow = syscall.O_NOFOLLOW | syscall.O_NONBLOCK

func isOwn(info fs.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int64(stat.Uid) == int64(os.Geteuid())
}

// othersMay reports whether others have any of these rights.
func othersMay(info fs.FileInfo, rights fs.FileMode) bool { return info.Mode()&rights != 0 }

// isFull reports whether there was no room to write.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

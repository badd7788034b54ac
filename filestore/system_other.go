//go:build !unix && !windows

package filestore

import "io/fs"

// There is no lock on a file here, and so no Store: each of its calls fails, and each process logs
// in for itself. This is for programs that are built for such a system, too.

const dontFollow = 0

func isOwn(fs.FileInfo) bool { return true }

func othersMay(fs.FileInfo, fs.FileMode) bool { return false }

func isFull(error) bool { return false }

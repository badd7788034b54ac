//go:build !linux

package redisserver

import "syscall"

// endsWithParent does nothing here.
var endsWithParent *syscall.SysProcAttr

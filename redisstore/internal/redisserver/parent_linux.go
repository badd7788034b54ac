package redisserver

import "syscall"

// endsWithParent has the system kill a process when the thread that started it ends.
var endsWithParent = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}

package stack

import "syscall"

// childAttributes puts a child in its own process group and has the kernel end
// it when we die, so that even kill -9 on us leaves nothing behind.
func childAttributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

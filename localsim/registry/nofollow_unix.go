//go:build unix

package registry

import "syscall"

// noFollow makes opening a symbolic link an error. A named pipe does not keep the
// program waiting for somebody at its other end.
const noFollow = syscall.O_NOFOLLOW | syscall.O_NONBLOCK

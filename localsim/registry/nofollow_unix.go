//go:build unix

package registry

import "syscall"

// noFollow makes opening a symbolic link an error. It also keeps the program from
// waiting for another process if the path is a named pipe.
const noFollow = syscall.O_NOFOLLOW | syscall.O_NONBLOCK

package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strconv"
	"strings"
)

// listens reports whether a process, and not another one, listens at a port of the loopback
// address. If this program may not know, it takes it for so.
func listens(pid int, address string) bool {
	_, port, _ := net.SplitHostPort(address)
	number, err := strconv.ParseUint(port, 10, 16)
	if err != nil {
		return false
	}
	// Java listens at 127.0.0.1 by a socket of IPv6. Of a process that has ended, there are
	// no files.
	tables, err := os.ReadFile("/proc/self/net/tcp")
	if err != nil {
		return true
	}
	if more, err := os.ReadFile("/proc/self/net/tcp6"); err == nil {
		tables = append(tables, more...)
	}
	sockets := listening(string(tables), number)
	dir := fmt.Sprintf("/proc/%d/fd/", pid)
	files, err := os.ReadDir(dir)
	if err != nil {
		return errors.Is(err, fs.ErrPermission)
	}
	for _, file := range files {
		to, err := os.Readlink(dir + file.Name())
		if errors.Is(err, fs.ErrPermission) {
			return true
		}
		for _, inode := range sockets {
			if to == "socket:["+inode+"]" {
				return true
			}
		}
	}
	return false
}

// listening returns the inodes of the sockets in a table of the kernel that listen at a
// port. Its columns are number, local address, remote address, state (0A is LISTEN), queues,
// timer, retransmits, user, timeout and inode (proc_net_tcp.txt of Linux).
func listening(table string, port uint64) (inodes []string) {
	for line := range strings.Lines(table) {
		f := strings.Fields(line)
		if len(f) >= 10 && f[3] == "0A" && strings.HasSuffix(f[1], fmt.Sprintf(":%04X", port)) {
			inodes = append(inodes, f[9])
		}
	}
	return inodes
}

//go:build unix

package daemon

import (
	"fmt"
	"os"
	"os/user"
	"strconv"
	"syscall"

	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// An identity is who a server runs as; nil is who this program runs as.
type identity struct{ uid, gid int }

// identityOf is who a server runs as that refuses root: the user of its package, or
// nobody.
func identityOf(name string) (*identity, error) {
	if name == "" || os.Geteuid() != 0 {
		return nil, nil //nolint:nilnil // nobody else
	}
	u, err := user.Lookup(name)
	if err != nil {
		if u, err = user.Lookup("nobody"); err != nil {
			return nil, fmt.Errorf("it refuses to run as root, and there is no user %s: %w", name, err)
		}
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.Atoi(u.Gid)
	return &identity{uid, gid}, err
}

// own gives a file to the server.
func (i *identity) own(path string) error {
	if i == nil {
		return nil
	}
	return os.Lchown(path, i.uid, i.gid)
}

// checkOwner refuses a directory that somebody else has made.
func checkOwner(path string) error {
	info, err := os.Lstat(path)
	if err != nil {
		return err
	}
	s, ok := info.Sys().(*syscall.Stat_t)
	if !ok || !info.IsDir() || int(s.Uid) != os.Geteuid() {
		return fmt.Errorf("%s is not a directory of ours; remove it", path)
	}
	return nil
}

// credential is the identity for the kernel.
func (i *identity) credential() *syscall.Credential {
	if i == nil {
		return nil
	}
	return &syscall.Credential{Uid: uint32(i.uid), Gid: uint32(i.gid)}
}

// terminate asks the server to end: PostgreSQL would wait for its clients after a
// SIGTERM.
func (d *Daemon) terminate() {
	signal := syscall.SIGTERM
	if d.kind == topology.Postgres {
		signal = syscall.SIGINT
	}
	_ = d.cmd.Process.Signal(signal) // it may have ended by now
}

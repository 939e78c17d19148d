//go:build unix

package sandbox

import (
	"errors"
	"os"
	"syscall"
)

var errLocked = errors.New("locked by another program") //nolint:gochecknoglobals // a sentinel

// lock takes the lock of the file, or returns errLocked. The system releases it
// when the process ends in whatever way.
func lock(path string) (unlock func(), err error) {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errLocked
		}
		return nil, &os.PathError{Op: "lock", Path: path, Err: err}
	}
	return func() { f.Close() }, nil
}

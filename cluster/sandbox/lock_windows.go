package sandbox

import (
	"errors"
	"os"
	"syscall"
)

var errLocked = errors.New("locked by another program") //nolint:gochecknoglobals // a sentinel

// lock opens the file for this process alone, or returns errLocked. The system
// closes it when the process ends in whatever way.
func lock(path string) (unlock func(), err error) {
	name, err := syscall.UTF16PtrFromString(path)
	if err != nil {
		return nil, err
	}
	const sharingViolation = syscall.Errno(32)
	handle, err := syscall.CreateFile(name, syscall.GENERIC_READ|syscall.GENERIC_WRITE, 0, nil, syscall.OPEN_ALWAYS, syscall.FILE_ATTRIBUTE_NORMAL, 0)
	if errors.Is(err, sharingViolation) {
		return nil, errLocked
	}
	if err != nil {
		return nil, &os.PathError{Op: "lock", Path: path, Err: err}
	}
	return func() { syscall.CloseHandle(handle) }, nil
}

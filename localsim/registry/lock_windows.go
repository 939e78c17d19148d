package registry

import (
	"errors"
	"os"
	"syscall"
	"time"
)

// lock waits until this process alone has the file open. The system closes it
// when the process ends in whatever way.
func lock(path string) (unlock func(), err error) {
	name, err := syscall.UTF16PtrFromString(path)
	if err != nil {
		return nil, err
	}
	const (
		sharingViolation = syscall.Errno(32)
		attempts         = 500
	)
	for attempt := 0; ; attempt++ {
		handle, err := syscall.CreateFile(name, syscall.GENERIC_READ|syscall.GENERIC_WRITE, 0, nil, syscall.OPEN_ALWAYS, syscall.FILE_ATTRIBUTE_NORMAL, 0)
		if err == nil {
			return func() { syscall.CloseHandle(handle) }, nil
		}
		if !errors.Is(err, sharingViolation) || attempt == attempts {
			return nil, &os.PathError{Op: "lock", Path: path, Err: err}
		}
		time.Sleep(10 * time.Millisecond)
	}
}

//go:build !linux

package stress

import (
	"fmt"
	"os"
	"runtime"
	"time"
)

// threadTime is not known here.
func threadTime() time.Duration { return 0 }

func (c Config) holdMemory(<-chan struct{}) error {
	return fmt.Errorf("holding memory needs Linux, this is %s", runtime.GOOS)
}

// forget does nothing here.
func forget(*os.File) error { return nil }

// openFile makes a file that goes away with the process.
func openFile(string) (*os.File, error) {
	return nil, fmt.Errorf("files without a name need Linux, this is %s", runtime.GOOS)
}

//go:build !linux

package nodeagent

import (
	"fmt"
	"log/slog"
	"runtime"
)

// machine exists on Linux only.
type machine struct{}

func openMachine(string, string, *slog.Logger) (*machine, error) {
	return nil, fmt.Errorf("the helper of a node needs Linux, this is %s", runtime.GOOS)
}

func (*machine) actuators(string) []actuator { return nil }

func (*machine) pods() ([]string, error) { return nil, nil }

func (*machine) admission() *admission { return &admission{} }

//go:build !linux

package netns

import (
	"fmt"
	"runtime"

	"github.com/vishvananda/netns"
)

// Namespace exists on Linux only.
type Namespace struct {
	Handle netns.NsHandle
	Target Target
	Place  Place
}

func no() error { return fmt.Errorf("network namespaces need Linux, this is %s", runtime.GOOS) }

// Open says that this is not Linux.
func Open(t Target) (*Namespace, error) { return DefaultFinder().Open(t) }

// Open says that this is not Linux.
func (f Finder) Open(Target) (*Namespace, error) { return nil, no() }

// OpenPod says that this is not Linux.
func (f Finder) OpenPod(string, []Process) (*Namespace, error) { return nil, no() }

// Check says that this is not Linux.
func (n *Namespace) Check() error { return no() }

// Named says that this is not Linux.
func (n *Namespace) Named() error { return no() }

// Inode is 0.
func (n *Namespace) Inode() uint64 { return 0 }

// Do says that this is not Linux.
func (n *Namespace) Do(func() error) error { return no() }

// Close does nothing.
func (n *Namespace) Close() error { return nil }

// DefaultInterface says that this is not Linux.
func (n *Namespace) DefaultInterface() (string, error) { return "", no() }

// Note says that this is not Linux.
func (n *Namespace) Note() (string, error) { return "", no() }

// SetNote says that this is not Linux.
func (n *Namespace) SetNote(string) error { return no() }

package daemon

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/gofrs/flock"
)

// A directory has the data of one server. While its program lives, the program holds a
// lock on a file in it; so a directory without one was left behind by a program that
// was killed.
type directory struct {
	path string
	lock *flock.Flock
}

const (
	dirPrefix = "store-"
	lockName  = "lock"
	dataName  = "data"
)

func (d *directory) data() string { return filepath.Join(d.path, dataName) }

// Base is the directory for the data of servers, below the state directory of this
// program. Root's home is closed to the users that servers run as, so as root it is
// one for temporary files.
func Base(stateDir string) string {
	if os.Geteuid() == 0 || stateDir == "" {
		return filepath.Join(os.TempDir(), fmt.Sprintf("microsim-stores-%d", max(os.Geteuid(), 0)))
	}
	return filepath.Join(stateDir, "stores")
}

// guard makes the base and holds it, so that nobody sweeps what is being made.
func guard(base string) (*flock.Flock, error) {
	if err := os.MkdirAll(base, 0o711); err != nil {
		return nil, err
	}
	if err := checkOwner(base); err != nil {
		return nil, err
	}
	l := flock.New(filepath.Join(base, ".lock"))
	return l, l.Lock()
}

// makeDirectory makes the directory of a server that runs as somebody, and removes
// those that were left behind.
func makeDirectory(base string, who *identity) (_ *directory, err error) {
	l, err := guard(base)
	if err != nil {
		return nil, fmt.Errorf("making a directory in %s: %w", base, err)
	}
	defer func() { err = errors.Join(err, l.Unlock()) }()
	if err := sweep(base); err != nil {
		return nil, err
	}
	path, err := os.MkdirTemp(base, dirPrefix)
	if err != nil {
		return nil, err
	}
	d := &directory{path: path, lock: flock.New(filepath.Join(path, lockName))}
	if err := errors.Join(d.lock.Lock(), os.Mkdir(d.data(), 0o700), who.own(path), who.own(d.data())); err != nil {
		return nil, errors.Join(err, d.remove())
	}
	return d, nil
}

func (d *directory) remove() error {
	err := errors.Join(d.lock.Unlock(), os.RemoveAll(d.path))
	if err != nil {
		return fmt.Errorf("removing the data of a store: %w", err)
	}
	return nil
}

// Sweep removes what programs have left below base that do not live any more.
func Sweep(base string) (err error) {
	if _, err := os.Stat(base); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	l, err := guard(base)
	if err != nil {
		return fmt.Errorf("looking for leftovers in %s: %w", base, err)
	}
	defer func() { err = errors.Join(err, l.Unlock()) }()
	return sweep(base)
}

func sweep(base string) error {
	entries, err := os.ReadDir(base)
	if err != nil {
		return fmt.Errorf("looking for leftovers: %w", err)
	}
	var errs []error
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), dirPrefix) || !e.IsDir() {
			continue
		}
		d := &directory{path: filepath.Join(base, e.Name())}
		d.lock = flock.New(filepath.Join(d.path, lockName))
		if free, err := d.lock.TryLock(); err != nil || !free {
			errs = append(errs, err)
			continue
		}
		errs = append(errs, d.remove())
	}
	return errors.Join(errs...)
}

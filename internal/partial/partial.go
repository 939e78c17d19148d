// Package partial keeps what is being written in a hidden directory, and removes
// such directories of programs that were killed.
package partial

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"github.com/gofrs/flock"
)

const (
	infix = ".partial-"
	// lockSuffix is that of the file beside a directory which is locked while its
	// program lives. The system gives the lock back when that is killed.
	lockSuffix = ".lock"
)

// A Dir is a hidden directory that this program fills.
type Dir struct {
	Path string
	lock *flock.Flock
}

// Make makes a hidden directory of its own in parent, which has to exist, for the
// thing of the given name; an empty name stands for parent itself. Before, it
// removes those that killed programs have left for the same name, and tells their
// paths.
func Make(parent, name string, removed func(path string)) (*Dir, error) {
	if err := Sweep(parent, name, removed); err != nil {
		return nil, err
	}
	path, lock, err := reserve(parent, name)
	if err != nil {
		return nil, err
	}
	d := &Dir{path, lock}
	if err := os.Mkdir(path, 0o755); err != nil {
		return nil, errors.Join(err, d.Remove())
	}
	return d, nil
}

// WriteFile writes a whole file, or leaves what was there. Until it is complete, its
// content is in a hidden directory beside it. Where a program was killed meanwhile, the
// next one that writes the same file removes that. A symbolic link stays, and the file
// that it leads to is written; a device or a pipe, such as /dev/null, stays and is written to.
func WriteFile(path string, mode fs.FileMode, write func(io.Writer) error) (err error) {
	path, special := follow(path)
	if special {
		return writeTo(path, write)
	}
	d, err := Make(filepath.Dir(path), filepath.Base(path), nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.Remove()) }()
	f, err := os.OpenFile(filepath.Join(d.Path, filepath.Base(path)), os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return err
	}
	if err := errors.Join(write(f), f.Chmod(mode), f.Sync(), f.Close()); err != nil {
		if hidden := (*fs.PathError)(nil); errors.As(err, &hidden) && hidden.Path == f.Name() {
			hidden.Path = path // the one that the user knows
		}
		return err
	}
	return os.Rename(f.Name(), path)
}

// follow returns the file to which a path leads, and whether it is a device or a pipe.
// WriteFile must not replace a device or a pipe by a file.
func follow(path string) (to string, special bool) {
	info, err := os.Stat(path)
	if err != nil {
		return path, false // there is none, or making one will say what is wrong
	}
	if !info.Mode().IsRegular() && !info.IsDir() {
		return path, true
	}
	if to, err := filepath.EvalSymlinks(path); err == nil {
		return to, false
	}
	return path, false
}

// writeTo writes to a device or a pipe.
func writeTo(path string, write func(io.Writer) error) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}

// IsLeftover reports whether a name is that of what Make makes for a thing of a name.
func IsLeftover(name, of string) bool { return strings.HasPrefix(name, prefix(of)) }

// CanWrite says why a file could not be written in its place.
func CanWrite(path string) error {
	path, special := follow(path)
	if special {
		return nil // opening a pipe would wait for its reader
	}
	d, err := Make(filepath.Dir(path), filepath.Base(path), nil)
	if err != nil {
		return err
	}
	return d.Remove()
}

// prefix is how the names of hidden directories begin.
func prefix(name string) string {
	if name == "" {
		return infix
	}
	return "." + name + infix
}

// reserve locks the lock file of a path that nothing stands at.
func reserve(parent, name string) (path string, lock *flock.Flock, err error) {
	for range 100 {
		path = filepath.Join(parent, fmt.Sprintf("%s%016x", prefix(name), rand.Uint64()))
		lock = flock.New(path + lockSuffix)
		held, err := lock.TryLock()
		if err != nil {
			return "", nil, err
		}
		// A sweep may have taken the file for a leftover before it was locked.
		if _, err := os.Stat(lock.Path()); held && err == nil {
			return path, lock, nil
		}
		_ = lock.Close() // nobody else knows this file
	}
	return "", nil, fmt.Errorf("reserving a directory beside %q: others remove its lock each time", filepath.Join(parent, name))
}

// Remove removes the directory, if it is still in its place, and the lock. It may be
// called again.
func (d *Dir) Remove() error {
	err := os.RemoveAll(d.Path)
	return errors.Join(err, release(d.lock))
}

// release gives a lock back and removes its file.
func release(lock *flock.Flock) error {
	if !lock.Locked() {
		return nil
	}
	// Windows does not remove files that are open; others must not lock a file that
	// is removed afterwards, which reserve detects.
	first := os.Remove(lock.Path())
	err := lock.Close()
	if first != nil {
		first = os.Remove(lock.Path())
	}
	if errors.Is(first, fs.ErrNotExist) {
		first = nil
	}
	return errors.Join(err, first)
}

// Sweep removes what Make made for the name in programs that live no more, and tells
// the paths; removed may be nil.
func Sweep(parent, name string, removed func(path string)) error {
	entries, err := os.ReadDir(parent)
	if err != nil {
		return err
	}
	for _, e := range entries {
		own, isLock := strings.CutSuffix(e.Name(), lockSuffix)
		if !isLock || !strings.HasPrefix(own, prefix(name)) || !e.Type().IsRegular() {
			continue
		}
		path := filepath.Join(parent, own)
		lock := flock.New(path+lockSuffix, flock.SetFlag(os.O_RDWR))
		if held, err := lock.TryLock(); err != nil || !held {
			continue // its program lives, or has just ended and removed it
		}
		info, err := os.Lstat(path)
		left := err == nil && info.IsDir()
		d := &Dir{path, lock}
		if err := d.Remove(); err != nil {
			return fmt.Errorf("removing %q, which a killed program has left: %w", path, err)
		}
		if left && removed != nil {
			removed(path)
		}
	}
	return nil
}

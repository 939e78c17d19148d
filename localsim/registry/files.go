package registry

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// The functions here follow no symbolic link in the directory of a registry: if
// others may write there, a link would make this program write or read a file of
// their choice.

// readFile reads a file. It is an error if the path is a link.
func readFile(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|noFollow, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(f)
}

// replaceFile writes a file in one step, so that readers find either the old file
// or the new one.
func replaceFile(path string, text []byte) error {
	temp := filepath.Join(filepath.Dir(path), "."+filepath.Base(path))
	// A killed program may have left a file there, or somebody a link.
	if err := os.Remove(temp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	f, err := os.OpenFile(temp, os.O_CREATE|os.O_EXCL|os.O_WRONLY|noFollow, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	if err := errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(temp))
	}
	return os.Rename(temp, path)
}

// removeLeftovers removes the directories that killed programs were making or
// removing. The caller holds the lock. Programs make and remove directories only
// under the lock, so no running program uses those that exist.
func (r *Registry) removeLeftovers() error {
	entries, err := os.ReadDir(r.dir)
	if err != nil {
		return fmt.Errorf("listing the state files: %w", err)
	}
	for _, e := range entries {
		if !strings.HasPrefix(e.Name(), newPrefix) && !strings.HasPrefix(e.Name(), oldPrefix) {
			continue
		}
		if err := os.RemoveAll(filepath.Join(r.dir, e.Name())); err != nil {
			return fmt.Errorf("removing what a killed program left in the state files: %w", err)
		}
	}
	return nil
}

// The prefixes of the names of directories that are being made or removed.
const (
	newPrefix = ".new-"
	oldPrefix = ".old-"
)

// readChildren returns the children in a file. It skips incomplete lines, because a
// holder that was killed while it wrote leaves one.
func readChildren(path string) []Child {
	text, _ := readFile(path)
	var children []Child
	for line := range bytes.Lines(text) {
		var c Child
		if json.Unmarshal(line, &c) == nil && c.PID > 0 {
			children = append(children, c)
		}
	}
	return children
}

// childrenSlack is how many more ended than running children the list may have.
const childrenSlack = 64

// compactLocked removes the ended children from the list if there are too many of
// them. The caller holds mu.
func (e *Entry) compactLocked(path string) error {
	if e.listed < e.compactAt {
		return nil
	}
	var lines bytes.Buffer
	e.listed = 0
	for _, c := range readChildren(path) {
		if !c.Alive() {
			continue
		}
		line, err := json.Marshal(c)
		if err != nil {
			return err
		}
		lines.Write(append(line, '\n'))
		e.listed++
	}
	e.compactAt = 2*e.listed + childrenSlack
	return replaceFile(path, lines.Bytes())
}

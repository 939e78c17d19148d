// Package registry records which systems run on this machine, in files that outlive
// the program that started them. So one program finds the system of another, and
// the remains of a killed program can be found and removed.
package registry

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gofrs/flock"
)

// DirVariable is the environment variable that names the state directory.
const DirVariable = "MICROSIM_STATE_DIR"

// DefaultDir returns the directory of the state files: the value of DirVariable,
// else microsim in $XDG_STATE_HOME, else ~/.local/state/microsim.
func DefaultDir(getenv func(string) string) (string, error) {
	if dir := getenv(DirVariable); dir != "" {
		return filepath.Abs(dir)
	}
	// The XDG specification tells programs to ignore relative paths.
	if dir := getenv("XDG_STATE_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "microsim"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("choosing a directory for state files: %w; set %s", err, DirVariable)
	}
	return filepath.Join(home, ".local", "state", "microsim"), nil
}

// A Registry is a directory with a directory for each running system. Several
// programs may use it at the same time.
type Registry struct{ dir string }

// Open returns the registry in the directory, and makes the directory if it does
// not exist.
func Open(dir string) (*Registry, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the directory for state files: %w; %s names another", err, DirVariable)
	}
	return &Registry{dir: dir}, nil
}

// A Record has the data about a system that its holder writes.
type Record struct {
	Name    string    `json:"name"`
	Holder  Process   `json:"holder"`
	Started time.Time `json:"started"`
	// ControlURL is empty until the system is ready.
	ControlURL string `json:"controlURL,omitempty"`
	Token      string `json:"token,omitempty"`
	// Network is the mark of the network namespaces that the holder has made; empty
	// if it makes none.
	Network string `json:"network,omitempty"`
}

// A Child is a process that a holder has started for a replica.
type Child struct {
	Process
	Replica string `json:"replica"`
}

// A System is one entry of the registry.
type System struct {
	Record
	// Children has all children that run, and some that have ended.
	Children []Child
	// Alive says that the holder runs. If not, the entry is stale.
	Alive bool
	// Damage is the error in the record, if it has one; then only Name and Children
	// are known.
	Damage error
}

// Leftover lists the children that still run.
func (s *System) Leftover() []Child {
	return slices.DeleteFunc(slices.Clone(s.Children), func(c Child) bool { return !c.Alive() })
}

// An ExistsError says that a name is taken.
type ExistsError struct{ System System }

func (e *ExistsError) Error() string {
	s := &e.System
	what := fmt.Sprintf("system %q runs on this machine already, started at %s by process %d", s.Name, s.Started.Local().Format(time.DateTime), s.Holder.PID)
	if !s.Alive {
		what = fmt.Sprintf("system %q was left behind by process %d, which has ended", s.Name, s.Holder.PID)
	}
	return fmt.Sprintf("%s; `kubectl microsim down %s --on local` removes it", what, s.Name)
}

// A NotFoundError says that no system has the name.
type NotFoundError struct {
	Name string
	// Known has the names of the existing systems.
	Known []string
}

func (e *NotFoundError) Error() string {
	if len(e.Known) == 0 {
		return fmt.Sprintf("no system %q runs on this machine; `kubectl microsim up --on local --detach` starts one", e.Name)
	}
	return fmt.Sprintf("no system %q runs on this machine; there is %s", e.Name, strings.Join(e.Known, ", "))
}

const (
	recordFile   = "system.json"
	childrenFile = "children.jsonl"
	lockFile     = ".lock"
)

// locked calls do under a lock, so that no other program adds or removes an entry
// in the meantime.
func (r *Registry) locked(do func() error) error {
	// The operating system releases the lock when this process ends in any way.
	lock := flock.New(filepath.Join(r.dir, lockFile), flock.SetFlag(os.O_CREATE|os.O_RDONLY|noFollow), flock.SetPermissions(0o600))
	defer lock.Close()
	if err := lock.Lock(); err != nil {
		return fmt.Errorf("locking the state files: %w", err)
	}
	return do()
}

// Create adds an entry for a system that this process holds. If the name is taken,
// it returns an ExistsError. But if the holder of that name has ended and left no
// process behind, Create replaces the entry.
func (r *Registry) Create(name string) (*Entry, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	self, err := Self()
	if err != nil {
		return nil, err
	}
	e := &Entry{registry: r, compactAt: childrenSlack, record: Record{Name: name, Holder: self, Started: time.Now()}}
	err = r.locked(func() error {
		if err := r.removeLeftovers(); err != nil {
			return err
		}
		old, err := r.read(name)
		var missing *NotFoundError
		switch {
		case errors.As(err, &missing):
		case err != nil:
			return err
		case old.Alive || len(old.Leftover()) > 0:
			return &ExistsError{System: old}
		default:
			if err := r.discard(name); err != nil {
				return fmt.Errorf("removing the stale entry of system %q: %w", name, err)
			}
		}
		return e.create()
	})
	if err != nil {
		return nil, err
	}
	return e, nil
}

// List returns all entries, sorted by name.
func (r *Registry) List() ([]System, error) {
	names, err := r.names()
	if err != nil {
		return nil, err
	}
	var systems []System
	for _, name := range names {
		s, err := r.read(name)
		var missing *NotFoundError
		if errors.As(err, &missing) {
			continue // removed since
		}
		if err != nil {
			return nil, err
		}
		systems = append(systems, s)
	}
	return systems, nil
}

// Find returns the entry of that name, or a NotFoundError.
func (r *Registry) Find(name string) (System, error) {
	if err := checkName(name); err != nil {
		return System{}, err
	}
	s, err := r.read(name)
	var missing *NotFoundError
	if errors.As(err, &missing) {
		missing.Known, _ = r.names()
	}
	return s, err
}

// Remove removes the entry if it still belongs to the same holder. It does not
// touch processes.
func (r *Registry) Remove(s System) error {
	if err := checkName(s.Name); err != nil {
		return err
	}
	return r.locked(func() error {
		now, err := r.read(s.Name)
		var missing *NotFoundError
		if errors.As(err, &missing) {
			return nil
		}
		if err != nil {
			return err
		}
		if now.Holder != s.Holder {
			return nil
		}
		if err := r.discard(s.Name); err != nil {
			return fmt.Errorf("removing the entry of system %q: %w", s.Name, err)
		}
		return nil
	})
}

// Sweep removes the remains of programs that were killed while they made or removed
// an entry.
func (r *Registry) Sweep() error { return r.locked(r.removeLeftovers) }

// discard hides an entry in one step, and then removes it, because readers, which
// take no lock, must not find a part of an entry.
func (r *Registry) discard(name string) error {
	grave, err := os.MkdirTemp(r.dir, oldPrefix)
	if err != nil {
		return err
	}
	if err := os.Rename(r.path(name), filepath.Join(grave, name)); err != nil {
		return errors.Join(err, os.Remove(grave))
	}
	return os.RemoveAll(grave)
}

func (r *Registry) path(name string) string { return filepath.Join(r.dir, name) }

func (r *Registry) names() ([]string, error) {
	dirs, err := os.ReadDir(r.dir)
	if err != nil {
		return nil, fmt.Errorf("listing the running systems: %w", err)
	}
	var names []string
	for _, d := range dirs {
		if d.IsDir() && checkName(d.Name()) == nil {
			names = append(names, d.Name())
		}
	}
	return names, nil
}

func (r *Registry) read(name string) (System, error) {
	s := System{Record: Record{Name: name}}
	info, err := os.Lstat(r.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		return System{}, &NotFoundError{Name: name}
	}
	if err == nil && !info.IsDir() {
		err = errors.New("it is not a directory, so this program did not make it; remove it")
	}
	if err != nil {
		return System{}, fmt.Errorf("reading the entry of system %q: %w", name, err)
	}
	text, err := readFile(filepath.Join(r.path(name), recordFile))
	if err == nil {
		err = json.Unmarshal(text, &s.Record)
	}
	if err == nil && s.Name != name {
		err = fmt.Errorf("the record is of system %q", s.Name)
	}
	if err != nil {
		s.Record, s.Damage = Record{Name: name}, fmt.Errorf("reading the entry of system %q: %w", name, err)
	}
	s.Children = readChildren(filepath.Join(r.path(name), childrenFile))
	s.Alive = s.Holder.Alive()
	return s, nil
}

// checkName refuses names that are not DNS labels, so that no name leads out of the
// directory.
func checkName(name string) error {
	for _, c := range name {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return fmt.Errorf("invalid system name %q: use a to z, 0 to 9 and -", name)
		}
	}
	if name == "" || len(name) > 63 || name[0] == '-' {
		return fmt.Errorf("invalid system name %q: use 1 to 63 letters, digits and -", name)
	}
	return nil
}

// An Entry is the holder's own entry. Several goroutines may call its methods at
// once.
type Entry struct {
	registry *Registry
	mu       sync.Mutex
	// The fields below are guarded by mu.

	record Record
	// listed counts the children in the list, which is compacted at compactAt.
	listed, compactAt int
}

// create makes the directory with its record in one step, so that no entry is ever
// without a holder.
func (e *Entry) create() error {
	temp, err := os.MkdirTemp(e.registry.dir, newPrefix)
	if err != nil {
		return fmt.Errorf("entering system %q: %w", e.record.Name, err)
	}
	defer func() { _ = os.RemoveAll(temp) }() // moved away where all went well
	if err := e.write(temp); err != nil {
		return err
	}
	if err := os.Rename(temp, e.registry.path(e.record.Name)); err != nil {
		return fmt.Errorf("entering system %q: %w", e.record.Name, err)
	}
	return nil
}

func (e *Entry) write(dir string) error {
	text, err := json.MarshalIndent(e.record, "", "  ")
	if err != nil {
		return err
	}
	if err := replaceFile(filepath.Join(dir, recordFile), append(text, '\n')); err != nil {
		return fmt.Errorf("writing the entry of system %q: %w", e.record.Name, err)
	}
	return nil
}

// Publish adds the address and the token of the control plane to the record, for
// other programs.
func (e *Entry) Publish(controlURL, token string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.record.ControlURL, e.record.Token = controlURL, token
	return e.write(e.registry.path(e.record.Name))
}

// NoteNetwork records the mark of a network before it is made.
func (e *Entry) NoteNetwork(mark string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.record.Network = mark
	return e.write(e.registry.path(e.record.Name))
}

// AddChild records a process that must not outlive the system.
func (e *Entry) AddChild(c Child) error {
	line, err := json.Marshal(c)
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	path := filepath.Join(e.registry.path(e.record.Name), childrenFile)
	if err := e.compactLocked(path); err != nil {
		return fmt.Errorf("noting process %d of system %q: %w", c.PID, e.record.Name, err)
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY|noFollow, 0o600)
	if err != nil {
		return fmt.Errorf("noting process %d of system %q: %w", c.PID, e.record.Name, err)
	}
	// A disk that was full may have left half a line there, which this one must not be
	// part of.
	_, err = f.Write(slices.Concat([]byte("\n"), line, []byte("\n")))
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("noting process %d of system %q: %w", c.PID, e.record.Name, err)
	}
	e.listed++
	return nil
}

// Remove removes the entry. It may be called again.
func (e *Entry) Remove() error {
	return e.registry.Remove(System{Record: e.record})
}

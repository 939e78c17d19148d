package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/gofrs/flock"

	"github.com/microsim-dev/kubectl-microsim/internal/partial"
)

// records are files that tell which clusters are ours, written before a cluster
// is made and removed after it is gone.
type records struct{ dir string }

type record struct {
	Name    string    `json:"name"`
	Created time.Time `json:"created"`
	// Ready is set when the cluster is complete.
	Ready bool `json:"ready"`
}

func (r records) file(name string) string       { return filepath.Join(r.dir, name+".json") }
func (r records) kubeconfig(name string) string { return filepath.Join(r.dir, name+".kubeconfig") }

// read returns the record of a cluster, or nil where there is none.
func (r records) read(name string) (*record, error) {
	data, err := os.ReadFile(r.file(name))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var rec record
	if err == nil {
		err = json.Unmarshal(data, &rec)
	}
	if err != nil {
		return nil, fmt.Errorf("reading the record of the sandbox %q: %w", name, err)
	}
	return &rec, nil
}

func (r records) write(rec record) error {
	data, err := json.Marshal(rec)
	if err == nil {
		err = partial.WriteFile(r.file(rec.Name), 0o600, func(w io.Writer) error {
			_, err := w.Write(data)
			return err
		})
	}
	if err != nil {
		return fmt.Errorf("writing the record of the sandbox %q: %w", rec.Name, err)
	}
	return nil
}

func (r records) markReady(name string) error {
	rec, err := r.read(name)
	if err != nil {
		return err
	}
	if rec == nil {
		return fmt.Errorf("the record of the sandbox %q has gone while it was made", name)
	}
	rec.Ready = true
	return r.write(*rec)
}

func (r records) remove(name string) error {
	for _, file := range []string{r.kubeconfig(name), r.file(name)} {
		if err := os.Remove(file); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing the record of the sandbox %q: %w", name, err)
		}
	}
	return nil
}

// begin keeps other programs of the user from making the same cluster until done
// is called, or this program ends.
func (r records) begin(name string) (done func(), err error) {
	if err := os.MkdirAll(r.dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the directory for records of sandboxes: %w", err)
	}
	// The system releases the lock if this process ends in whatever way.
	lock := flock.New(filepath.Join(r.dir, name+".lock"))
	locked, err := lock.TryLock()
	if err == nil && !locked {
		err = errors.New("another program is making it; wait for that, or end it")
	} else if err != nil {
		err = fmt.Errorf("locking its record: %w", err)
	}
	if err != nil {
		lock.Close()
		return nil, fmt.Errorf("creating the sandbox %q: %w", name, err)
	}
	return func() { lock.Close() }, nil
}

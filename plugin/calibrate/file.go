package calibrate

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/microsim-dev/kubectl-microsim/internal/partial"
	"github.com/microsim-dev/kubectl-microsim/localsim/registry"
	"github.com/microsim-dev/kubectl-microsim/localsim/virtual"
	"github.com/microsim-dev/kubectl-microsim/model/calibration"
	"github.com/microsim-dev/kubectl-microsim/model/result"
	"github.com/microsim-dev/kubectl-microsim/model/spec/decode"
)

// fileName is that of the calibration in the directory for state files.
const fileName = "calibration.json"

// defaultFile is the calibration that runs in virtual time read by themselves.
func defaultFile() (string, error) {
	dir, err := registry.DefaultDir(os.Getenv)
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, fileName), nil
}

// Read reads a calibration. It names all mistakes at once, each with its place.
func Read(path string) (*calibration.Calibration, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("reading the calibration: %w", err)
	}
	defer func() { _ = file.Close() }() // it was only read
	return read(path, file)
}

func read(name string, r io.Reader) (*calibration.Calibration, error) {
	data, err := decode.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("reading the calibration %q: %w", name, err)
	}
	const hint = "'kubectl microsim calibrate' writes one"
	f := &decode.File{Name: name, Types: decode.Types{Hint: hint}}
	nodes := f.Parse(data)
	if len(nodes) > 1 {
		f.Mistake(nodes[1], "", hint, "there is more than one document")
	}
	c := &calibration.Calibration{}
	if len(nodes) == 1 {
		root := nodes[0]
		f.Enter(root)
		f.WantValues(root, "", func(string) bool { return false })
		f.Decode(root, "", reflect.ValueOf(c).Elem())
		if len(f.Mistakes) == 0 {
			for _, p := range c.Validate() {
				f.MistakeAt(root.At(p.Path), p)
			}
		}
	}
	if err := f.Mistakes.Err([]string{name}); err != nil {
		return nil, err
	}
	return c, nil
}

// write writes a whole file, or leaves what was there. It does not overwrite a file
// that is not a calibration.
func write(path string, c *calibration.Calibration) error {
	if err := mayWrite(path); err != nil {
		return err
	}
	if err := partial.WriteFile(path, 0o644, c.Encode); err != nil {
		return fmt.Errorf("writing the calibration %q: %w", path, err)
	}
	return nil
}

// mayWrite says, before anything is measured, why a file cannot be written.
func mayWrite(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if at, err := os.Stat(filepath.Dir(path)); err != nil || !at.IsDir() {
			return fmt.Errorf("writing the calibration %q: its directory is not there", path)
		}
		return nil
	case err != nil:
		return fmt.Errorf("writing the calibration: %w", err)
	case !info.Mode().IsRegular():
		return fmt.Errorf("writing the calibration %q: it is no file: name one", path)
	}
	if _, err := Read(path); err != nil {
		return fmt.Errorf("writing the calibration %q: there is a file that is no calibration: remove it, or name another", path)
	}
	return nil
}

// None is the value of the flag for runs with the usual costs.
const None = "none"

// Flag is the flag that says what things take in virtual time.
type Flag struct{ path string }

// AddFlag adds --calibration.
func (f *Flag) AddFlag(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.path, "calibration", "",
		"in virtual time: what requests, calls and sleeps take, as a file that 'calibrate' has written, or none for the usual costs (default that of this machine, if it is calibrated)")
}

// Given reports whether a file was named.
func (f *Flag) Given() bool { return f.path != "" && f.path != None }

// Args is the flag as it was given, for the command line that does the same again.
func (f *Flag) Args() []string {
	if f.path == "" {
		return nil
	}
	return []string{"--calibration", f.path}
}

// Load returns the machine of runs in virtual time, and where its costs are from.
func (f *Flag) Load() (virtual.Machine, *result.Costs, error) {
	usual := &result.Costs{Of: result.UsualCosts}
	path := f.path
	switch path {
	case None:
		return virtual.Machine{}, usual, nil
	case "":
		var err error
		if path, err = defaultFile(); err != nil {
			return virtual.Machine{}, usual, nil //nolint:nilerr // without a home, there is no calibration either
		}
	}
	c, err := Read(path)
	switch {
	case f.path == "" && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)): // the home may be /dev/null
		return virtual.Machine{}, usual, nil
	case f.path == "" && err != nil:
		return virtual.Machine{}, nil, fmt.Errorf("this machine's calibration cannot be used; 'kubectl microsim calibrate' makes a new one after it is removed, --calibration none does without: %w", err)
	case err != nil:
		return virtual.Machine{}, nil, err
	}
	return virtual.Calibrated(c), virtual.CostsOf(c), nil
}

// Note tells, where a person looks, that the costs are not the usual ones.
func Note(w io.Writer, costs *result.Costs) {
	if costs.Of != result.UsualCosts {
		fmt.Fprintf(w, "note: requests, calls and sleeps cost what was %s (--calibration none: the usual costs)\n", costs.Text())
	}
}

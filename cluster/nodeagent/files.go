package nodeagent

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/order"
)

// maxNodeOrder bounds an order; a ConfigMap holds 1 MiB.
const maxNodeOrder = 4 << 20

// parseOrder reads one order and says what is wrong with it.
func parseOrder(data []byte) (order.Order, error) {
	var o order.Order
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&o); err != nil {
		return order.Order{}, fmt.Errorf("reading an order: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return order.Order{}, errors.New("reading an order: there is more after the end of the JSON object; give one order")
	}
	if o.Version < 0 {
		return order.Order{}, fmt.Errorf("order of %q: version %d is negative", o.Owner, o.Version)
	}
	return o, o.Validate()
}

// orderFile is what was last read of a file.
type orderFile struct {
	content []byte
	// owner is whose order the file held when it could be read.
	owner string
	err   error
}

// readOrders reads the files of a directory, by name. Those that are there but
// cannot be read are nil.
func readOrders(dir string) (map[string][]byte, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("listing orders: %w", err)
	}
	out := map[string][]byte{}
	for _, e := range entries {
		name := e.Name()
		if strings.HasPrefix(name, ".") || filepath.Ext(name) != ".json" {
			continue // a mounted ConfigMap has ..data and its versions
		}
		content, err := readAtMost(filepath.Join(dir, name))
		if errors.Is(err, fs.ErrNotExist) {
			continue // it has gone meanwhile
		}
		out[name] = content
	}
	return out, nil
}

func readAtMost(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxNodeOrder+1))
	if err == nil && len(content) > maxNodeOrder {
		err = fmt.Errorf("file %q is longer than %d bytes", path, maxNodeOrder)
	}
	if err != nil {
		return nil, err
	}
	return content, nil
}

// sync takes over what the files of the directory hold, and returns the pods
// that are concerned. A file that cannot be read changes nothing.
func (b *orderStore) sync(read map[string][]byte, now time.Time) (pods []string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(read)) {
		pods = append(pods, b.syncFile(name, read[name])...)
	}
	for name, f := range b.files {
		if _, there := read[name]; !there && b.fileGone(f, now) {
			if e := b.owners[f.owner]; e != nil {
				pods = append(pods, podsOf(e.order)...)
			}
			delete(b.files, name)
		}
	}
	return pods
}

func (b *orderStore) syncFile(name string, content []byte) (pods []string) {
	f := b.files[name]
	if f == nil {
		f = &orderFile{}
		b.files[name] = f
	} else if bytes.Equal(f.content, content) && (content != nil) == (f.content != nil) {
		return nil
	}
	f.content = content
	o, err := parseOrder(content)
	switch {
	case content == nil:
		err = errors.New("it cannot be opened and read")
	case err == nil && order.FileName(o.Owner) != name:
		err = fmt.Errorf("it holds the order of %q, whose file is %q", o.Owner, order.FileName(o.Owner))
	}
	if err != nil {
		f.err = fmt.Errorf("order file %q: %w; what was known before still counts", name, err)
		return nil
	}
	if before := b.owners[f.owner]; before != nil && f.owner != o.Owner {
		before.orderState = withdrawn
		pods = podsOf(before.order)
	}
	f.err, f.owner = nil, o.Owner
	return append(pods, b.takeFromFile(o)...)
}

func (b *orderStore) takeFromFile(o order.Order) (pods []string) {
	e := b.owners[o.Owner]
	switch {
	case e == nil || o.Version > e.order.Version:
		return b.take(o, time.Time{})
	case o.Version == e.order.Version && e.orderState == withdrawn:
		return b.take(o, time.Time{})
	case o.Version == e.order.Version:
		e.received = time.Time{}
	}
	return nil
}

// fileGone withdraws the order of a file that is no longer there, and returns
// whether the file can be forgotten.
func (b *orderStore) fileGone(f *orderFile, now time.Time) bool {
	e := b.owners[f.owner]
	if e == nil || e.orderState != active {
		return true
	}
	if !e.received.IsZero() && now.Sub(e.received) < fileGrace {
		return false
	}
	e.orderState = withdrawn
	return true
}

// troubles returns what is wrong with files, by name.
func (b *orderStore) troubles() map[string]error {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := map[string]error{}
	for name, f := range b.files {
		if f.err != nil {
			out[name] = f.err
		}
	}
	return out
}

package webui

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/topology"
)

// differences names what another system has changed, service by service.
func differences(old, next *topology.System) (what []string) {
	for i := range next.Services {
		service := &next.Services[i]
		before := old.Service(service.Name)
		if before == nil {
			what = append(what, service.Name+" is added")
			continue
		}
		if fields := changedFields(before, service); len(fields) > 0 {
			what = append(what, service.Name+": "+strings.Join(fields, ", "))
		}
	}
	for i := range old.Services {
		if name := old.Services[i].Name; next.Service(name) == nil {
			what = append(what, name+" is removed")
		}
	}
	if !slices.Equal(old.AllowHosts, next.AllowHosts) || !slices.Equal(old.Entry, next.Entry) {
		what = append(what, "entries and hosts of the system")
	}
	return what
}

// changedFields names what differs of a service, with the values if these are short.
func changedFields(a, b *topology.Service) []string {
	var d fieldDiff
	d.compare("", treeOf(a), treeOf(b))
	return d.found
}

func treeOf(s *topology.Service) any {
	var tree any
	text, err := json.Marshal(s)
	if err = errors.Join(err, json.Unmarshal(text, &tree)); err != nil {
		return err.Error() // a service of a file always has a JSON form
	}
	return tree
}

// A fieldDiff finds the fields by which two trees of JSON differ.
type fieldDiff struct{ found []string }

// compare compares what has a name in both; empty is the service itself.
func (d *fieldDiff) compare(name string, was, is any) {
	if reflect.DeepEqual(was, is) {
		return
	}
	beforeFields, ok := was.(map[string]any)
	if afterFields, both := is.(map[string]any); ok && both {
		d.fields(name, beforeFields, afterFields)
		return
	}
	before, ok := was.([]any)
	after, okToo := is.([]any)
	if (ok || was == nil) && (okToo || is == nil) && len(before)+len(after) > 0 && d.entries(name, before, after) {
		return
	}
	d.found = append(d.found, cmp.Or(within(name, valuesText(was, is)), "work and calls"))
}

func (d *fieldDiff) fields(name string, was, is map[string]any) {
	keys := maps.Clone(was)
	maps.Copy(keys, is)
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		switch key {
		case "endpoints", "steps", "call": // their entries have names of their own
			d.compare(name, was[key], is[key])
		default:
			d.compare(within(name, key), was[key], is[key])
		}
	}
}

// entries compares lists whose entries can be told apart, and reports whether they can.
func (d *fieldDiff) entries(name string, was, is []any) bool {
	before, ok := byName(was)
	after, okToo := byName(is)
	if !ok || !okToo {
		return false
	}
	names := maps.Clone(before)
	maps.Copy(names, after)
	for _, entry := range slices.Sorted(maps.Keys(names)) {
		inside := within(name, entry)
		if entry == "/" { // the endpoint that a service has if its file names none
			inside = name
		}
		old, had := before[entry]
		next, has := after[entry]
		switch {
		case !had:
			d.found = append(d.found, within(inside, "added"))
		case !has:
			d.found = append(d.found, within(inside, "removed"))
		case entry == "work": // which the field in it is named, too
			d.compare(name, old, next)
		default:
			d.compare(inside, old, next)
		}
	}
	return true
}

// byName tells the entries of a list apart: endpoints by their method and path, calls by whom
// they call, work by being it.
func byName(list []any) (named map[string]any, ok bool) {
	named = map[string]any{}
	for _, entry := range list {
		fields, _ := entry.(map[string]any)
		name := ""
		if path, is := fields["path"].(string); is {
			method, _ := fields["method"].(string)
			name = strings.TrimSpace(method + " " + path)
		} else if call, is := fields["call"].(map[string]any); is {
			name = fmt.Sprint("call of ", call["to"])
		} else if fields["work"] != nil {
			name = "work"
		}
		if _, twice := named[name]; twice || name == "" {
			return nil, false
		}
		named[name] = entry
	}
	return named, true
}

// valuesText is what a field was and is, as far as that is short.
func valuesText(was, is any) string {
	const short = 12
	before, after := valueText(was), valueText(is)
	if len(before) > short || len(after) > short {
		return ""
	}
	return before + " to " + after
}

func valueText(v any) string {
	switch v := v.(type) {
	case nil:
		return "none"
	case string:
		return v
	}
	text, err := json.Marshal(v)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// within names a part of what has a name, and the whole if the part has none.
func within(name, part string) string { return strings.TrimSpace(name + " " + part) }

package search

import (
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// set writes a text into a field of a struct, whose path has the names in files:
// retry.attempts. It first copies the values behind pointers, because other structs
// may share them. It does not check the value, which is the task of validation.
func set(v reflect.Value, path, text string) error {
	name, rest, deeper := strings.Cut(path, ".")
	field, known := fieldOf(v, name)
	if !field.IsValid() {
		return fmt.Errorf("%q is not known: %s", name, didYouMean(name, known))
	}
	if field.Kind() == reflect.Pointer {
		fresh := reflect.New(field.Type().Elem())
		if !field.IsNil() {
			fresh.Elem().Set(field.Elem())
		}
		field.Set(fresh)
		field = fresh.Elem()
	}
	if delay, ok := field.Addr().Interface().(*dist.Delay); ok && !deeper {
		d, err := unit.ParseDuration(text)
		*delay = dist.Fixed(d.Std())
		return err
	}
	if deeper {
		if field.Kind() != reflect.Struct {
			return fmt.Errorf("%s is one value: leave .%s out", name, rest)
		}
		return set(field, rest, text)
	}
	if err := setValue(field, name, text); err != nil {
		return err
	}
	if means := experiment.Absent(v.Type())[name]; means != "" && field.IsZero() {
		return fmt.Errorf("%s cannot be 0, which would mean %s: write more", name, means)
	}
	return nil
}

// setValue parses a text as in files, and stores the value.
func setValue(field reflect.Value, name, text string) error {
	if reader, ok := field.Addr().Interface().(encoding.TextUnmarshaler); ok {
		return reader.UnmarshalText([]byte(text))
	}
	switch field.Kind() {
	case reflect.String:
		field.SetString(text)
	case reflect.Int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return fmt.Errorf("%q is not a whole number", text)
		}
		field.SetInt(int64(n))
	case reflect.Float64:
		n, err := strconv.ParseFloat(text, 64)
		if err != nil {
			return fmt.Errorf("%q is not a number", text)
		}
		field.SetFloat(n)
	case reflect.Bool:
		b, err := strconv.ParseBool(text)
		if err != nil {
			return fmt.Errorf("%q is neither true nor false", text)
		}
		field.SetBool(b)
	case reflect.Struct:
		_, known := fieldOf(field, "")
		return fmt.Errorf("%s has several values: write one of %s", name, name+"."+strings.Join(known, ", "+name+"."))
	default:
		return fmt.Errorf("%s cannot be changed here: change the file", name)
	}
	return nil
}

// fieldOf returns the field with a name in files, and all such names.
func fieldOf(v reflect.Value, name string) (found reflect.Value, known []string) {
	for i := range v.NumField() {
		f := v.Type().Field(i)
		key, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous:
			inner, names := fieldOf(v.Field(i), name)
			if known = append(known, names...); inner.IsValid() {
				found = inner
			}
		case key != "" && key != "-":
			if known = append(known, key); key == name {
				found = v.Field(i)
			}
		}
	}
	return found, known
}

// ParseFault parses a fault in words: its type, its target and its parameters, as
// in "latency cart delay=300ms duration=5s".
func ParseFault(text string) (fault.Fault, error) {
	f := fault.Fault{Probability: 1}
	words := strings.Fields(text)
	if len(words) < 2 {
		return f, fmt.Errorf("reading fault %q: write its type, its target and its parameters, such as \"latency cart delay=300ms duration=5s\"", text)
	}
	f.Type = fault.Type(words[0])
	var err error
	if f.Target, err = fault.ParseTarget(words[1]); err != nil {
		return f, fmt.Errorf("reading fault %q: %w", text, err)
	}
	for _, word := range words[2:] {
		name, value, has := strings.Cut(word, "=")
		if !has {
			return f, fmt.Errorf("reading fault %q: %q sets nothing: write NAME=VALUE, such as delay=300ms", text, word)
		}
		if err := setFault(&f, name, value); err != nil {
			return f, fmt.Errorf("reading fault %q: %w", text, err)
		}
	}
	f = f.WithDefaults()
	if err := f.Validate().Err(); err != nil {
		return f, fmt.Errorf("reading fault %q: %w", text, err)
	}
	return f, nil
}

// setFault sets a field of a fault, or one of its parameters.
func setFault(f *fault.Fault, name, text string) error {
	v := reflect.ValueOf(f).Elem()
	switch name {
	case "name", "start", "duration", "probability":
		return set(v, name, text)
	case "direction":
		return set(v, "target.direction", text)
	}
	args := reflect.ValueOf(&f.Args).Elem()
	if field, known := fieldOf(args, name); !field.IsValid() {
		return errors.New(fmt.Sprintf("%q is not a parameter of a fault: ", name) + didYouMean(name, append(known, "start", "duration", "probability", "direction")))
	}
	return set(args, name, text)
}

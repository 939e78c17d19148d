package gateapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode"
)

// decode reads the body of a request, or a part of it, into a struct or a slice.
// A field that is not known is an error: it would have no effect, and the sender
// would not notice.
func decode(body []byte, into any) error {
	// Its words for a syntax error are those that clients know.
	if err := json.Unmarshal(body, new(json.RawMessage)); err != nil {
		return failure(badRequest, "bad request body: %v", err)
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	err := decoder.Decode(into)
	if err == nil {
		return nil
	}
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) {
		what := "it"
		if wrong.Field != "" {
			// The name of an embedded struct is ours, not the client's.
			what = fmt.Sprintf("field %q", wrong.Field[strings.LastIndexByte(wrong.Field, '.')+1:])
		}
		return failure(badRequest, "bad request body: %s is of type %s; it must be %s", what, wrong.Value, kindOf(wrong.Type))
	}
	if field, ok := unknownField(err); ok {
		return failure(badRequest, "bad request body: field %q is not known; known are %s", field, strings.Join(fieldsOf(reflect.TypeOf(into)), ", "))
	}
	return failure(badRequest, "bad request body: %v", err)
}

// unknownField is the name of the field that a decoder does not know. The
// standard library has no type for this error.
func unknownField(err error) (string, bool) {
	quoted, ok := strings.CutPrefix(err.Error(), "json: unknown field ")
	return strings.Trim(quoted, `"`), ok
}

// kindOf names a type in the terms of JSON.
func kindOf(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() { //nolint:exhaustive // the kinds of our fields
	case reflect.Bool:
		return "true or false"
	case reflect.String:
		return "a string"
	case reflect.Int, reflect.Int64:
		return "a whole number"
	case reflect.Float32, reflect.Float64:
		return "a number"
	case reflect.Slice:
		return "a list"
	}
	return "an object"
}

// fieldsOf lists the JSON names of the fields of a struct, or of the structs of a slice.
func fieldsOf(t reflect.Type) (names []string) {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	for f := range t.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous:
			names = append(names, fieldsOf(f.Type)...)
		case name != "":
			// It hides a field of that name of an embedded struct.
			names = append(slices.DeleteFunc(names, func(n string) bool { return n == name }), name)
		}
	}
	return names
}

// checkName refuses names that no path of the API can hold, and those that would
// disturb a terminal or a table.
func checkName(name string) error {
	if name == "." || name == ".." || strings.ContainsFunc(name, unicode.IsControl) || strings.Contains(name, "/") || len(name) > 253 {
		return failure(badRequest, "invalid name %q: use up to 253 characters without / and control characters, and neither . nor ..", name)
	}
	return nil
}

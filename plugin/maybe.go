package plugin

import (
	"fmt"
	"strconv"
)

// A maybe is a flag that is true, false, or not said.
type maybe struct{ to **bool }

func (m *maybe) String() string {
	if m.to == nil || *m.to == nil {
		return ""
	}
	return strconv.FormatBool(**m.to)
}

// Set reads true or false.
func (m *maybe) Set(text string) error {
	v, err := strconv.ParseBool(text)
	if err != nil {
		return fmt.Errorf("%q is neither true nor false", text)
	}
	*m.to = &v
	return nil
}

// Type is how help calls the value.
func (m *maybe) Type() string { return "bool" }

package cli

import (
	"fmt"
	"strconv"
)

// An optionalBool is a flag that is true, false, or not given.
type optionalBool struct{ to **bool }

// NewOptionalBool returns a flag that sets the variable, which stays nil if the
// flag is not given.
func NewOptionalBool(to **bool) *optionalBool { return &optionalBool{to} }

func (b *optionalBool) String() string {
	if b.to == nil || *b.to == nil {
		return ""
	}
	return strconv.FormatBool(**b.to)
}

// Set implements pflag.Value.
func (b *optionalBool) Set(text string) error {
	v, err := strconv.ParseBool(text)
	if err != nil {
		return fmt.Errorf("%q is neither true nor false", text)
	}
	*b.to = &v
	return nil
}

// Type implements pflag.Value.
func (b *optionalBool) Type() string { return "bool" }

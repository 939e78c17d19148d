//go:build !unix

package front

import (
	"context"
	"errors"
)

// CanFill says whether a backlog can be filled on this system.
const CanFill = false

// Fill fails.
func (*Stream) Fill(context.Context) error {
	return errors.New("the backlog cannot be filled on this system")
}

// Drain does nothing.
func (*Stream) Drain() {}

package netfault

import (
	"context"
	"errors"
	"time"
)

// Backend applies desired states in the one network namespace that it was made
// for. Its methods are called one at a time.
type Backend interface {
	// Name is the word that chooses the backend: "tc" or "emulate".
	Name() string

	// Check returns nil if the backend can work here, else an error that says
	// why not and what would help. It changes nothing.
	Check(ctx context.Context) error

	// Apply validates the state, changes the namespace to match it, reads it
	// back, and returns what really acts. It replaces what the same owner
	// applied before, and does not touch what already matches. It refuses what
	// it cannot do before it changes anything, and undoes its changes if it
	// fails half-way. It returns an [OwnedError] if another owner holds the
	// interface.
	//
	// Whether the faults outlive the process depends on the backend (tc's do,
	// emulate's do not); the caller of Apply must call Clear.
	Apply(ctx context.Context, s State) (Effective, error)

	// List returns what any process has set up in the namespace: one entry per
	// owner, ordered by owner. Fields that a backend cannot read back from
	// another process (the ids of rules) stay empty.
	List(ctx context.Context) ([]Effective, error)

	// Clear removes everything that carries the owner's mark, or with owner ""
	// everything that carries any mark of ours, and leaves the rest exactly as
	// it was. It returns nil if there is nothing to clear. The error names what
	// could not be removed, with the command that removes it.
	Clear(ctx context.Context, owner string) error
}

// Effective is what really acts, read back from where it acts, in the units of
// the desired state: delays as the clock in use can hold them, probabilities
// as the random numbers in use can decide them, limits as chosen.
type Effective struct {
	Backend string `json:"backend"`
	Owner   string `json:"owner"`
	// Generation is that of the state; empty if the state had none.
	Generation string    `json:"generation,omitempty"`
	Deadline   time.Time `json:"deadline,omitzero"`
	// Orphaned says that nothing acts: the process that carried the faults out
	// ended without taking back what marks them.
	Orphaned bool   `json:"orphaned,omitempty"`
	Links    []Link `json:"links"`
}

// ErrUnsupported is wrapped by the errors of Check and Apply if this kernel or
// this system lacks a feature; another backend may work.
var ErrUnsupported = errors.New("not supported here")

// OwnedError says that another owner's faults are set up on the interface.
type OwnedError struct {
	Interface string
	Owner     string
	Deadline  time.Time
}

func (e *OwnedError) Error() string {
	until := "until cleared"
	if !e.Deadline.IsZero() {
		until = "until " + e.Deadline.Format(time.RFC3339)
	}
	return "interface \"" + e.Interface + "\" has network faults of owner \"" + e.Owner + "\" " + until +
		"; wait, or take them back with `microsim-agent net clear --owner " + e.Owner + "`"
}

package netfault

import (
	"context"
	"errors"
	"time"
)

// Backend carries out desired states in the one network namespace that it was
// made for. Its methods are called one at a time.
type Backend interface {
	// Name is the word that chooses the backend: "tc" or "emulate".
	Name() string

	// Check returns nil if the backend can work here, else an error that says
	// why not and what would help. It changes nothing.
	Check(ctx context.Context) error

	// Apply validates the state, makes the namespace so, reads back, and
	// returns what really acts. What the same owner had applied before is
	// replaced; what is there already stays untouched. It refuses what it cannot
	// do before it changes anything, and takes back what it did if it fails
	// half-way. It refuses with [OwnedError] what another owner holds.
	//
	// Whether the faults outlive the process is the backend's matter (tc's do,
	// emulate's do not); whoever applies clears.
	Apply(ctx context.Context, s State) (Effective, error)

	// List returns what is set up in the namespace by any process, one entry
	// an owner, ordered by owner. What a backend cannot know of what another
	// process set up (the ids of rules) is left empty.
	List(ctx context.Context) ([]Effective, error)

	// Clear removes everything that carries the owner's mark, or with owner ""
	// everything that carries any mark of ours, and leaves the rest exactly as
	// it was. Nothing to clear is no error. What could not be removed is named
	// in the error, with the command that removes it.
	Clear(ctx context.Context, owner string) error
}

// Effective is what really acts, read back from where it acts, in the units of
// the desired state: delays as the clock in use can hold them, probabilities
// as the random numbers in use can decide them, limits as chosen.
type Effective struct {
	Backend  string    `json:"backend"`
	Owner    string    `json:"owner"`
	Deadline time.Time `json:"deadline,omitzero"`
	Links    []Link    `json:"links"`
}

// ErrUnsupported is wrapped by the errors of Check and Apply where this kernel
// or this system lacks what is needed; another backend may have it.
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

package edit

import (
	"encoding/json"
	"slices"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
)

// experiment returns the experiment that the operation is for.
func (t *target) experiment() (*experiment.Experiment, error) {
	if e := t.docs[t.index].Experiment; e != nil {
		return e, nil
	}
	return nil, refuse("document %d is a %s, and faults, loads and checks are those of an Experiment", t.index, t.docs[t.index].Origin.Kind)
}

// AddFault adds a fault to an experiment.
type AddFault struct {
	In
	Fault json.RawMessage `json:"fault"`
	// At is the place among the faults; nil means after the last.
	At *int `json:"at,omitempty"`
}

func (AddFault) kind() string { return "addFault" }

func (op AddFault) apply(t *target) error {
	e, err := t.experiment()
	if err != nil {
		return err
	}
	one, err := readFault(op.Fault)
	if err != nil {
		return err
	}
	at, err := place(op.At, len(e.Faults), "fault")
	if err != nil {
		return err
	}
	e.Faults = slices.Insert(e.Faults, at, one)
	return nil
}

func readFault(text json.RawMessage) (fault.Fault, error) {
	if len(text) == 0 {
		return fault.Fault{}, refuse("the fault is missing; write {\"type\": \"latency\", \"target\": \"cart\", \"delay\": \"1s\"}")
	}
	e, err := readExperiment(fields{"faults": []any{text}})
	if err != nil {
		return fault.Fault{}, err
	}
	return e.Faults[0], nil
}

// SetFault puts another fault in place of one. Of its text, what is equal stays.
type SetFault struct {
	In
	// Index counts the faults from 0.
	Index int             `json:"index"`
	Fault json.RawMessage `json:"fault"`
}

func (SetFault) kind() string { return "setFault" }

func (op SetFault) apply(t *target) error {
	e, err := t.experiment()
	if err != nil {
		return err
	}
	if op.Index < 0 || op.Index >= len(e.Faults) {
		return refuse("there is no fault %d: there are %d, counted from 0", op.Index, len(e.Faults))
	}
	one, err := readFault(op.Fault)
	if err != nil {
		return err
	}
	before := e.Faults[op.Index].Name
	e.Faults[op.Index] = one
	if before != "" && before != one.Name {
		renameFault(e, before, one.Name)
	}
	return nil
}

// renameFault changes the name of a fault in the variants that list it, or takes
// it out of them if it has none any more.
func renameFault(e *experiment.Experiment, before, after string) {
	for i := range e.Variants {
		v := &e.Variants[i]
		if after == "" {
			v.Faults = slices.DeleteFunc(v.Faults, func(name string) bool { return name == before })
			continue
		}
		for j, name := range v.Faults {
			if name == before {
				v.Faults[j] = after
			}
		}
	}
}

// RemoveFault removes a fault from an experiment, and from the variants that list
// it.
type RemoveFault struct {
	In
	// Index counts the faults from 0.
	Index int `json:"index"`
}

func (RemoveFault) kind() string { return "removeFault" }

func (op RemoveFault) apply(t *target) error {
	e, err := t.experiment()
	if err != nil {
		return err
	}
	if op.Index < 0 || op.Index >= len(e.Faults) {
		return refuse("there is no fault %d: there are %d, counted from 0", op.Index, len(e.Faults))
	}
	name := e.Faults[op.Index].Name
	e.Faults = slices.Delete(e.Faults, op.Index, op.Index+1)
	if name != "" {
		renameFault(e, name, "")
	}
	return nil
}

// SetLoad puts another load in place of an experiment's. Of its text, what is
// equal stays.
type SetLoad struct {
	In
	Load json.RawMessage `json:"load"`
}

func (SetLoad) kind() string { return "setLoad" }

func (op SetLoad) apply(t *target) error {
	e, err := t.experiment()
	if err != nil {
		return err
	}
	if !given(op.Load) {
		return refuse("the load is missing; write {\"rate\": 50, \"duration\": \"30s\"}")
	}
	read, err := readExperiment(fields{"load": op.Load})
	if err != nil {
		return err
	}
	e.Load = read.Load
	return nil
}

// AddCheck adds a check to an experiment.
type AddCheck struct {
	In
	Check json.RawMessage `json:"check"`
	// At is the place among the checks; nil means after the last.
	At *int `json:"at,omitempty"`
}

func (AddCheck) kind() string { return "addCheck" }

func (op AddCheck) apply(t *target) error {
	e, err := t.experiment()
	if err != nil {
		return err
	}
	if !given(op.Check) {
		return refuse("the check is missing; write \"errors < 1%%\"")
	}
	read, err := readExperiment(fields{"checks": []any{op.Check}})
	if err != nil {
		return err
	}
	at, err := place(op.At, len(e.Checks), "check")
	if err != nil {
		return err
	}
	e.Checks = slices.Insert(e.Checks, at, read.Checks...)
	return nil
}

// RemoveCheck removes a check from an experiment.
type RemoveCheck struct {
	In
	// Index counts the checks from 0.
	Index int `json:"index"`
}

func (RemoveCheck) kind() string { return "removeCheck" }

func (op RemoveCheck) apply(t *target) error {
	e, err := t.experiment()
	if err != nil {
		return err
	}
	if op.Index < 0 || op.Index >= len(e.Checks) {
		return refuse("there is no check %d: there are %d, counted from 0", op.Index, len(e.Checks))
	}
	e.Checks = slices.Delete(e.Checks, op.Index, op.Index+1)
	return nil
}

package virtual

import (
	"fmt"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// A Meaning says what a type of fault does in virtual time.
type Meaning struct {
	Type fault.Type
	// Text says what it does. Instead, Refused says why it is refused.
	Text, Refused string
}

// Meanings lists the meaning of each type of fault in the order of the vocabulary.
// It is the table in docs/virtual.md.
func Meanings() []Meaning {
	const bytes = "has no meaning in virtual time, which knows messages and no bytes; use --on local"
	return []Meaning{
		{fault.Latency, "decided and executed as by a real service", ""},
		{fault.Error, "decided and executed as by a real service", ""},
		{fault.Abort, "the client sees the connection end", ""},
		{fault.Hang, "holds the request, and its worker, until the fault ends or the client leaves", ""},
		{fault.Corrupt, "callers of the system cannot read an answer that is JSON; the load reads those to chains", ""},
		{fault.MemoryLeak, "counts against the budget of the service and its memory limit", ""},
		{fault.CPU, "work on the processors; with `cores` other than 1, as much of them for `hold` on the clock", ""},
		{fault.IO, "waits for the disk of the machine: its syncs, and the bytes at its rate", ""},
		{fault.Panic, "the client sees the connection end", ""},
		{fault.Unreachable, "decided and executed as by a real service", ""},

		{fault.Kill, "everything the process does ends; its clients see the connection end, new ones are refused, until the supervisor's back-off and the start are over", ""},
		{fault.Pause, "nothing of the process goes on; connections are taken by the system and wait", ""},
		{fault.Restart, "takes no new connections, finishes what is under way within the grace, and starts again", ""},

		{fault.CPUStress, "`cores` x `load` endless jobs share the processors of the target: those of its CPU limit, or else of the machine", ""},
		{fault.IOStress, "another writer shares the disk of the machine, so each write takes twice as long", ""},
		{fault.MemoryStress, "counts against the memory limit of the target; over it, the process is killed", ""},

		{fault.NetDelay, "each message is late; the opening of a connection is not", ""},
		{fault.NetLoss, "a message that is lost k times is 200 ms x (2^k - 1) late, as with TCP", ""},
		{fault.NetDuplicate, "", "changes nothing in virtual time: TCP drops what comes twice; leave it out"},
		{fault.NetCorrupt, "as net-loss: the receiver drops the packet because of its checksum", ""},
		{fault.NetReorder, "a message is delayed, or with `percent` is not", ""},
		{fault.NetRate, "messages to, or from, a replica queue for one line of this rate", ""},
		{fault.NetPartition, "messages are held back until the fault ends; new connections are made", ""},

		{fault.Refuse, "new connections are refused, and those there are end with their next message", ""},
		{fault.StopReading, "requests are held back until the fault ends", ""},
		{fault.StopAnswering, "answers are held back until the fault ends", ""},
		{fault.Close, "the connection ends before the request is read", ""},
		{fault.Reset, "the connection is reset at the first message, or `delay` after it", ""},
		{fault.CloseOnData, "the connection ends at the first message", ""},
		{fault.CorruptData, "the caller cannot read the answer; a service answers a request that it cannot read with 400", ""},
		{fault.Bandwidth, "a message takes its size by the rate, less one second's worth", ""},
		{fault.TimeLimit, "", bytes},
		{fault.ByteLimit, "", bytes},
		{fault.Slice, "", bytes},
		{fault.Concatenate, "", bytes},
		{fault.Substitute, "", bytes},

		{fault.SlowQuery, "decided and executed as by the embedded engine", ""},
		{fault.ConnectionsExhausted, "decided and executed as by the embedded engine", ""},
		{fault.LockWait, "decided and executed as by the embedded engine", ""},
		{fault.Failover, "decided and executed as by the embedded engine", ""},
		{fault.ReplicaLag, "decided and executed as by the embedded engine", ""},
		{fault.CacheFlush, "decided and executed as by the embedded engine", ""},
		{fault.AuthRevoked, "decided and executed as by the embedded engine", ""},
		{fault.DiskFull, "decided and executed as by the embedded engine", ""},
		{fault.ConsumerLag, "decided and executed as by the embedded engine", ""},
		{fault.PoisonMessage, "decided and executed as by the embedded engine", ""},
	}
}

// CanInject returns why a fault has no meaning in virtual time, or nil if it has
// one.
func CanInject(e *experiment.Experiment, f *fault.Fault) error {
	if err := f.Validate().Err(); err != nil {
		return err
	}
	if f.Rounds == nil {
		if err := checkTarget(e, f.Target); err != nil {
			return err
		}
	}
	for _, m := range Meanings() {
		if m.Type == f.Type && m.Refused != "" {
			return fmt.Errorf("%s %s", f.Type, m.Refused)
		}
	}
	if f.Type == fault.MemoryStress {
		if s := e.System.Service(f.Target.Service); s.Resources == nil || s.Resources.MemoryLimit == 0 {
			return fmt.Errorf("%s would have no effect on %q, which has no memory limit; give it resources: {memoryLimit: ...}", f.Type, f.Target.Service)
		}
	}
	if f.Args.Correlation != 0 {
		return fmt.Errorf("%s with a correlation has no meaning in virtual time, which draws for each message by itself; leave the correlation out", f.Type)
	}
	return nil
}

func checkTarget(e *experiment.Experiment, t fault.Target) error {
	s := e.System.Service(t.Service)
	switch {
	case s == nil:
		return fmt.Errorf("there is no service %q in system %q", t.Service, e.System.Name)
	case t.Replica > s.Replicas:
		return fmt.Errorf("service %q has %s, not %d", t.Service, unit.Count(s.Replicas, "replica"), t.Replica)
	case t.From != "" && e.System.Service(t.From) == nil:
		return fmt.Errorf("there is no service %q in system %q that could call %q", t.From, e.System.Name, t.Service)
	}
	return nil
}

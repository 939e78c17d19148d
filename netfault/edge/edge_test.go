package edge_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"math"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/internal/testenv/peer"
	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/fault"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
	"github.com/microsim-dev/kubectl-microsim/netfault/edge"
)

func start(t *testing.T) *edge.Edge {
	e, err := edge.Start("127.0.0.1", peer.Echo(t), 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// A client has one connection.
type client struct {
	net.Conn
	reader *bufio.Reader
}

func dial(t *testing.T, e *edge.Edge) *client {
	conn, err := net.Dial("tcp", e.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &client{conn, bufio.NewReader(conn)}
}

// ask sends a line and returns the answer and how long it took.
func (c *client) ask(line string, patience time.Duration) (string, time.Duration, error) {
	began := time.Now()
	_ = c.SetDeadline(began.Add(patience))
	if _, err := c.Write([]byte(line + "\n")); err != nil {
		return "", time.Since(began), err
	}
	answer, err := c.reader.ReadString('\n')
	return strings.TrimSuffix(answer, "\n"), time.Since(began), err
}

const (
	ms       = time.Millisecond
	patience = 10 * time.Second
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// Each fault is seen on a connection that was there before it and works again on
// a connection after it.
func TestEachFaultActs(t *testing.T) {
	long := strings.Repeat("x", 2000)
	closes := func(t *testing.T, c *client) {
		if answer, _, err := c.ask("hello", patience); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) && !errors.Is(err, syscall.EPIPE) {
			t.Errorf("the answer is %q, %v; want an end", answer, err)
		}
	}
	takes := func(line string, least time.Duration) func(*testing.T, *client) {
		return func(t *testing.T, c *client) {
			if answer, took, err := c.ask(line, patience); err != nil || answer != line || took < least {
				t.Errorf("the answer is of %d bytes after %v, %v; want %d not before %v", len(answer), took, err, len(line), least)
			}
		}
	}
	hangs := func(t *testing.T, c *client) {
		if answer, _, err := c.ask("hello", 200*ms); !isTimeout(err) {
			t.Errorf("the answer is %q, %v; want none", answer, err)
		}
	}
	for _, test := range []struct {
		fault fault.Fault
		acts  func(*testing.T, *client)
	}{
		{fault.Fault{Type: fault.NetDelay, Args: fault.Args{Delay: dist.Fixed(100 * ms)}}, takes("hello", 100*ms)},
		{fault.Fault{Type: fault.NetDelay, Target: fault.Target{Direction: fault.Both}, Args: fault.Args{Delay: dist.Fixed(100 * ms)}}, takes("hello", 200*ms)},
		{fault.Fault{Type: fault.NetRate, Args: fault.Args{Rate: 10000}}, takes(long+long, 200*ms)},
		{fault.Fault{Type: fault.NetLoss, Args: fault.Args{Percent: 100}}, hangs},
		{fault.Fault{Type: fault.NetPartition}, hangs},
		{fault.Fault{Type: fault.NetPartition, Target: fault.Target{Direction: fault.FromTarget}}, hangs},
		{fault.Fault{Type: fault.Refuse}, closes},
		{fault.Fault{Type: fault.StopReading}, hangs},
		{fault.Fault{Type: fault.StopAnswering}, hangs},
		{fault.Fault{Type: fault.Close}, closes},
		{fault.Fault{Type: fault.Reset}, closes},
		{fault.Fault{Type: fault.CloseOnData}, closes},
		{fault.Fault{Type: fault.CorruptData}, func(t *testing.T, c *client) {
			_ = c.SetDeadline(time.Now().Add(patience))
			_, _ = c.Write([]byte("hello"))
			got := make([]byte, 5)
			if _, err := io.ReadFull(c, got); err != nil || string(got) != "\x00\x00\x00\x00\x00" {
				t.Errorf("the answer is %q, %v", got, err)
			}
		}},
		{fault.Fault{Type: fault.Bandwidth, Args: fault.Args{Rate: 3000}}, takes(long+long, 200*ms)},
		{fault.Fault{Type: fault.TimeLimit, Args: fault.Args{Delay: dist.Fixed(50 * ms)}}, func(t *testing.T, c *client) {
			time.Sleep(100 * ms)
			closes(t, c)
		}},
		{fault.Fault{Type: fault.ByteLimit, Args: fault.Args{Size: 5}}, func(t *testing.T, c *client) {
			if answer, _, err := c.ask("hello, world", patience); answer != "hello" || !errors.Is(err, io.EOF) {
				t.Errorf("the answer is %q, %v", answer, err)
			}
		}},
		{fault.Fault{Type: fault.Slice, Args: fault.Args{Size: 10, Delay: dist.Fixed(ms)}}, takes(long, 200*ms)},
		{fault.Fault{Type: fault.Concatenate, Args: fault.Args{Size: 100, Hold: unit.Duration(150 * ms)}}, takes("hello", 150*ms)},
		{fault.Fault{Type: fault.Substitute, Args: fault.Args{Pattern: "h(.*)o", With: "j${1}y"}}, func(t *testing.T, c *client) {
			if answer, _, err := c.ask("hello", patience); answer != "jelly" {
				t.Errorf("the answer is %q, %v", answer, err)
			}
		}},
	} {
		name := string(test.fault.Type) + string(test.fault.Target.Direction)
		t.Run(name, func(t *testing.T) {
			e := start(t)
			c := dial(t, e)
			takes("before", 0)(t, c)
			f := test.fault
			f.Target.Service, f.Probability = "cart", 1
			if problems := f.Validate(); len(problems) > 0 {
				t.Fatal(problems.Err())
			}
			must(t, e.Set(map[string]fault.Fault{"x": f}))
			test.acts(t, c)
			if hits, counted := e.Hits()["x"]; counted != (f.Type != fault.Refuse) || counted && hits == 0 {
				t.Errorf("%d hits are counted, %v", hits, counted)
			}
			hits := e.Hits()["x"]
			must(t, e.Set(nil))
			if after := e.Hits()["x"]; after < hits {
				t.Errorf("of %d hits %d are remembered", hits, after)
			}
			takes("after", 0)(t, dial(t, e))
		})
	}
}

// A connection that a partition parts goes on after it, and so does one that
// began meanwhile.
func TestPartitionLosesNothing(t *testing.T) {
	e := start(t)
	old := dial(t, e)
	if _, _, err := old.ask("before", patience); err != nil {
		t.Fatal(err)
	}
	must(t, e.Set(map[string]fault.Fault{"x": {Type: fault.NetPartition, Probability: 1}}))
	young := dial(t, e)
	for _, c := range []*client{old, young} {
		if answer, _, err := c.ask("during", 100*ms); !isTimeout(err) {
			t.Fatalf("the answer is %q, %v", answer, err)
		}
	}
	must(t, e.Set(nil))
	for _, c := range []*client{old, young} {
		_ = c.SetDeadline(time.Now().Add(patience))
		if answer, err := c.reader.ReadString('\n'); answer != "during\n" {
			t.Errorf("after it the answer is %q, %v", answer, err)
		}
	}
}

// The conditions of a gate stay as they are while other faults come and go.
func TestFaultsStack(t *testing.T) {
	e := start(t)
	c := dial(t, e)
	slow := fault.Fault{Type: fault.NetDelay, Probability: 1, Args: fault.Args{Delay: dist.Fixed(60 * ms)}}
	slower := fault.Fault{Type: fault.NetDelay, Probability: 1, Args: fault.Args{Delay: dist.Fixed(80 * ms)}}
	for _, step := range []struct {
		faults map[string]fault.Fault
		least  time.Duration
	}{
		{map[string]fault.Fault{"a": slow}, 60 * ms},
		{map[string]fault.Fault{"a": slow, "b": slower}, 140 * ms},
		{map[string]fault.Fault{"b": slower}, 80 * ms},
		{nil, 0},
	} {
		must(t, e.Set(step.faults))
		if _, took, err := c.ask("hello", patience); err != nil || took < step.least {
			t.Errorf("with %d faults the answer took %v, %v; want at least %v", len(step.faults), took, err, step.least)
		}
	}
	if hits := e.Hits(); hits["a"] != 2 || hits["b"] != 2 {
		t.Errorf("hits are %v, want 2 of each", hits)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*ms)
	defer cancel()
	if e.Drain(ctx) == nil {
		t.Error("the gate is drained while there is a connection")
	}
	c.Close()
	must(t, e.Drain(t.Context()))
}

func TestRefusals(t *testing.T) {
	delay := fault.Args{Delay: dist.Fixed(ms)}
	for want, f := range map[string]fault.Fault{
		"net-duplicate acts on packets":  {Type: fault.NetDuplicate, Args: fault.Args{Percent: 10}},
		"net-corrupt acts on packets":    {Type: fault.NetCorrupt, Args: fault.Args{Percent: 10}},
		"--isolation netns":              {Type: fault.NetReorder, Args: fault.Args{Percent: 10, Delay: delay.Delay}},
		"correlation ties packets":       {Type: fault.NetLoss, Args: fault.Args{Percent: 10, Correlation: 0.5}},
		"is a distribution":              {Type: fault.NetDelay, Args: fault.Args{Delay: dist.Jittered(ms, ms)}},
		"leave the probability out":      {Type: fault.Refuse, Probability: 0.5},
		"more than a gate reads at once": {Type: fault.Slice, Args: fault.Args{Size: 1 << 20}},
		"more than a gate holds back":    {Type: fault.Concatenate, Args: fault.Args{Size: 1 << 30}},
		"a gate knows no latency":        {Type: fault.Latency, Args: delay},
	} {
		if err := edge.Can(&f); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s gives %v, want %q", f.Type, err, want)
		}
	}
}

// A type that is in the vocabulary and that a gate can do is not forgotten.
func TestEveryTypeIsKnown(t *testing.T) {
	args := fault.Args{Delay: dist.Fixed(ms), Rate: 1, Size: 1, Percent: 50, Pattern: "x"}
	for _, entry := range fault.Vocabulary() {
		f := fault.Fault{Type: entry.Type, Probability: 1, Args: args}
		packets := f.Type == fault.NetDuplicate || f.Type == fault.NetCorrupt || f.Type == fault.NetReorder
		want := entry.Layer == fault.OnEdge || entry.Layer == fault.OnNetwork && !packets
		if err := edge.Can(&f); (err == nil) != want {
			t.Errorf("%s: %v", f.Type, err)
		}
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// A probability is the share of connections that a fault hits.
func TestProbabilityIsOfConnections(t *testing.T) {
	const connections, share = 400, 0.3
	e := start(t)
	must(t, e.Set(map[string]fault.Fault{"x": {Type: fault.CloseOnData, Probability: share}}))
	closed := 0
	for range connections {
		c := dial(t, e)
		if _, _, err := c.ask("hello", patience); err != nil {
			closed++
		} else if _, _, err := c.ask("again", patience); err != nil {
			t.Error("a connection that was spared is not spared any more")
		}
		c.Close()
	}
	// 4.6 standard deviations of a binomial.
	if deviation := 4.6 * math.Sqrt(connections*share*(1-share)); math.Abs(float64(closed)-connections*share) > deviation {
		t.Errorf("%d of %d connections were hit, want about %.0f", closed, connections, connections*share)
	}
}

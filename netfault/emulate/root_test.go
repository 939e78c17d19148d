//go:build root && linux

package emulate

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"github.com/microsim-dev/kubectl-microsim/netfault"
	"github.com/microsim-dev/kubectl-microsim/netfault/netfaulttest"
)

// newBackend returns a backend for a node of the laboratory, closed with the test.
func newBackend(t testing.TB, n *netfaulttest.Node) *Backend {
	t.Helper()
	b := New(n.NS)
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("closing the backend: %v", err)
		}
	})
	return b
}

// TestMain gives the thread that moves packets a processor of the Go scheduler
// at any time, whatever the senders and receivers of the tests do.
func TestMain(m *testing.M) {
	if os.Getenv(helperEnv) != "" {
		os.Exit(helperMain())
	}
	runtime.GOMAXPROCS(16)
	os.Exit(m.Run())
}

// dump describes nftables and the queues of a namespace.
func dump(t *testing.T, n *netfaulttest.Node) string {
	t.Helper()
	var out strings.Builder
	conn, err := nftables.New(nftables.WithNetNSFd(int(n.NS)))
	if err != nil {
		t.Fatal(err)
	}
	chains, err := conn.ListChains()
	if err != nil {
		t.Fatal(err)
	}
	tables, err := conn.ListTables()
	if err != nil {
		t.Fatal(err)
	}
	for _, table := range tables {
		fmt.Fprintf(&out, "table %d %s\n", table.Family, table.Name)
	}
	for _, c := range chains {
		fmt.Fprintf(&out, "chain %d %s %s\n", c.Table.Family, c.Table.Name, c.Name)
	}
	err = n.Do(func() error {
		queues, err := os.ReadFile("/proc/thread-self/net/netfilter/nfnetlink_queue")
		out.WriteString("queues:\n")
		out.Write(queues)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func TestEveryEffect(t *testing.T) {
	netfaulttest.Run(t, netfaulttest.Options{
		New:  func(t *testing.T, n *netfaulttest.Node) netfault.Backend { return newBackend(t, n) },
		Dump: dump,
	})
}

// flow is some packets, enough to tell a delay from none.
func flow(direction netfault.Direction) netfaulttest.Flow {
	return netfaulttest.Flow{Direction: direction, Count: 200, Interval: 500 * time.Microsecond, Wait: 200 * time.Millisecond}
}

// expect measures both directions; the median delay must be at least low, and
// below 15 ms where low is 0.
func expect(t *testing.T, lab *netfaulttest.Lab, when string, low time.Duration) {
	t.Helper()
	for _, d := range []netfault.Direction{netfault.Egress, netfault.Ingress} {
		m, err := lab.Run(flow(d))
		if err != nil {
			t.Fatal(err)
		}
		median := m.Quantile(.5)
		if m.Lost() > 0 || m.Duplicates() > 0 || median < low || low == 0 && median > 15*time.Millisecond {
			t.Errorf("%s: %s median delay %v with %d lost and %d twice, want at least %v and none", when, d, median, m.Lost(), m.Duplicates(), low)
		}
	}
}

func delayed(owner string, d time.Duration) netfault.State {
	s := stateOf(netfault.Both, netfault.Impairment{Delay: d})
	s.Owner = owner
	return s
}

// TestTrafficFlowsWithoutTheProcess kills it in the middle: nothing is impaired,
// and another process finds and removes what is left.
func TestTrafficFlowsWithoutTheProcess(t *testing.T) {
	lab := netfaulttest.NewLab(t)
	before := dump(t, lab.Near)
	h := startHelper(t, lab.Near)
	s := delayed("killed", 50*time.Millisecond)
	s.Deadline = time.Now().Add(time.Hour).Truncate(time.Second)
	h.apply(s)
	expect(t, lab, "while the process lives", 50*time.Millisecond)
	h.kill()
	expect(t, lab, "after kill -9", 0)

	b := newBackend(t, lab.Near)
	list, err := b.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 1 || list[0].Owner != "killed" || !list[0].Deadline.Equal(s.Deadline) || len(list[0].Links) != 2 || list[0].Links[0].Interface != netfaulttest.Interface {
		t.Errorf("List tells of %+v, want the deadline, and both directions of the interface, of the owner that was killed", list)
	}
	var owned *netfault.OwnedError
	if _, err := b.Apply(t.Context(), delayed("other", time.Millisecond)); !errors.As(err, &owned) || owned.Owner != "killed" {
		t.Errorf("another owner's Apply gave %v, want an OwnedError", err)
	}
	if err := b.Clear(t.Context(), "somebody"); err != nil {
		t.Errorf("clearing an owner who has nothing: %v", err)
	}
	if dump(t, lab.Near) == before {
		t.Error("clearing one owner removed the rules of another")
	}
	if err := b.Clear(t.Context(), "killed"); err != nil {
		t.Fatal(err)
	}
	if after := dump(t, lab.Near); after != before {
		t.Errorf("after clearing:\n%s\nbefore:\n%s", after, before)
	}
	expect(t, lab, "after clearing", 0)
}

// TestTheSameOwnerTakesOver applies over what a killed process has left.
func TestTheSameOwnerTakesOver(t *testing.T) {
	lab := netfaulttest.NewLab(t)
	before := dump(t, lab.Near)
	h := startHelper(t, lab.Near)
	h.apply(delayed("again", 20*time.Millisecond))
	h.kill()
	b := newBackend(t, lab.Near)
	if _, err := b.Apply(t.Context(), delayed("again", 60*time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	expect(t, lab, "after taking over", 60*time.Millisecond)
	if err := b.Clear(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	if after := dump(t, lab.Near); after != before {
		t.Errorf("after clearing:\n%s\nbefore:\n%s", after, before)
	}
}

// TestChangeKeepsPackets changes the state again and again under traffic.
func TestChangeKeepsPackets(t *testing.T) {
	lab := netfaulttest.NewLab(t)
	b := newBackend(t, lab.Near)
	apply := func(d time.Duration) {
		if _, err := b.Apply(t.Context(), delayed("changing", d)); err != nil {
			t.Error(err)
		}
	}
	apply(30 * time.Millisecond)
	stop := make(chan struct{})
	var changes int
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := 0; ; n++ {
			select {
			case <-stop:
				changes = n
				return
			case <-time.After(20 * time.Millisecond):
				apply(time.Duration(30+n%3*10) * time.Millisecond)
			}
		}
	})
	for _, d := range []netfault.Direction{netfault.Egress, netfault.Ingress} {
		m, err := lab.Run(netfaulttest.Flow{Direction: d, Count: 4000, Interval: 200 * time.Microsecond})
		if err != nil {
			t.Error(err)
		} else if m.Lost() > 0 || m.Duplicates() > 0 || m.Quantile(0) < 29*time.Millisecond {
			t.Errorf("%s: %d lost, %d twice, the fastest took %v", d, m.Lost(), m.Duplicates(), m.Quantile(0))
		}
	}
	close(stop)
	wg.Wait()
	if changes < 10 {
		t.Errorf("only %d changes happened", changes)
	}
}

func TestClearReleasesWhatWaits(t *testing.T) {
	lab := netfaulttest.NewLab(t)
	b := newBackend(t, lab.Near)
	if _, err := b.Apply(t.Context(), delayed("x", 30*time.Second)); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for _, d := range []netfault.Direction{netfault.Egress, netfault.Ingress} {
		wg.Go(func() {
			m, err := lab.Run(netfaulttest.Flow{Direction: d, Count: 100, Interval: time.Millisecond, Wait: time.Second})
			if err != nil {
				t.Error(err)
			} else if m.Lost() > 0 || m.Duplicates() > 0 {
				t.Errorf("%s: %d lost, %d twice", d, m.Lost(), m.Duplicates())
			}
		})
	}
	held := func() (n int) {
		for _, c := range b.Stats().Classes {
			n += c.Held
		}
		return n
	}
	for start := time.Now(); held() < 150; time.Sleep(time.Millisecond) {
		if time.Since(start) > 10*time.Second {
			t.Fatalf("only %d packets wait", held())
		}
	}
	if err := b.Clear(t.Context(), "x"); err != nil {
		t.Error(err)
	}
	wg.Wait()
}

func TestDeadline(t *testing.T) {
	lab := netfaulttest.NewLab(t)
	before := dump(t, lab.Near)
	b := newBackend(t, lab.Near)
	s := delayed("brief", 30*time.Millisecond)
	s.Deadline = time.Now().Add(-time.Second)
	if _, err := b.Apply(t.Context(), s); err == nil {
		t.Error("a deadline that has passed was taken")
	}
	for _, in := range []time.Duration{time.Hour, 300 * time.Millisecond} {
		s.Deadline = time.Now().Add(in)
		if _, err := b.Apply(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		if in == time.Hour {
			expect(t, lab, "before the deadline", 30*time.Millisecond)
		}
	}
	time.Sleep(time.Until(s.Deadline))
	for start := time.Now(); dump(t, lab.Near) != before; time.Sleep(10 * time.Millisecond) {
		if time.Since(start) > 5*time.Second {
			t.Fatalf("after the deadline there is still:\n%s", dump(t, lab.Near))
		}
	}
	expect(t, lab, "after the deadline", 0)
}

func TestUnknownInterfaceChangesNothing(t *testing.T) {
	lab := netfaulttest.NewLab(t)
	before := dump(t, lab.Near)
	b := newBackend(t, lab.Near)
	s := delayed("x", time.Millisecond)
	s.Rules[0].Interface = "eth7"
	if _, err := b.Apply(t.Context(), s); err == nil || !strings.Contains(err.Error(), "eth7") {
		t.Errorf("got %v, want an error that names the interface", err)
	}
	if after := dump(t, lab.Near); after != before {
		t.Errorf("something was left:\n%s", after)
	}
}

func TestCheck(t *testing.T) {
	lab := netfaulttest.NewLab(t)
	if err := newBackend(t, lab.Near).Check(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestQueuesOfTheDeadStayAlone has another owner emulate beside what a killed
// process has left: its rules must not fill the other's queues.
func TestQueuesOfTheDeadStayAlone(t *testing.T) {
	lab := netfaulttest.NewLab(t)
	h := startHelper(t, lab.Near)
	h.apply(delayed("killed", 50*time.Millisecond))
	h.kill()
	b := newBackend(t, lab.Near)
	other := delayed("other", 50*time.Millisecond)
	other.Rules[0].Interface = "lo"
	if _, err := b.Apply(t.Context(), other); err != nil {
		t.Fatal(err)
	}
	expect(t, lab, "beside the dead", 0)
}

// TestClearedByAnotherProcess takes the rules away from a process that lives.
func TestClearedByAnotherProcess(t *testing.T) {
	lab := netfaulttest.NewLab(t)
	h := startHelper(t, lab.Near)
	h.apply(delayed("alive", 40*time.Millisecond))
	b := newBackend(t, lab.Near)
	if err := b.Clear(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	expect(t, lab, "after clearing", 0)
	h.apply(delayed("alive", 40*time.Millisecond))
	expect(t, lab, "after applying anew", 40*time.Millisecond)
	h.stop()
	expect(t, lab, "after the end", 0)
}

// TestAnySequence applies, changes, clears and crashes at random; at the end the
// namespace must be as it was.
func TestAnySequence(t *testing.T) {
	lab := netfaulttest.NewLab(t)
	before := dump(t, lab.Near)
	random := rand.New(rand.NewPCG(1, 2))
	impairments := []netfault.Impairment{
		{Delay: 20 * time.Millisecond, Jitter: 5 * time.Millisecond}, {Loss: netfault.Loss{Probability: .1}}, {Partition: true},
		{Duplicate: netfault.Chance{Probability: .3}}, {Corrupt: netfault.Chance{Probability: .3}}, {Rate: netfault.Rate{BytesPerSecond: 100_000}},
	}
	directions := []netfault.Direction{netfault.Egress, netfault.Ingress, netfault.Both}
	for range 4 {
		h := startHelper(t, lab.Near)
		for range 1 + random.IntN(4) {
			s := stateOf(directions[random.IntN(3)], impairments[random.IntN(len(impairments))])
			if random.IntN(2) == 0 {
				s.Rules[0].Peers = []netfault.Peer{{CIDR: netip.PrefixFrom(lab.Far.V4, 32)}}
			}
			h.apply(s)
			if _, err := lab.Run(netfaulttest.Flow{Direction: netfault.Egress, Count: 20, Interval: time.Millisecond, Wait: time.Millisecond}); err != nil {
				t.Fatal(err)
			}
		}
		if random.IntN(2) == 0 {
			h.kill()
		} else {
			h.stop()
		}
	}
	if err := newBackend(t, lab.Near).Clear(t.Context(), ""); err != nil {
		t.Fatal(err)
	}
	if after := dump(t, lab.Near); after != before {
		t.Errorf("after clearing:\n%s\nbefore:\n%s", after, before)
	}
	expect(t, lab, "at the end", 0)
}

// TestFrozen stops the thread that moves packets while more come than the queue
// takes: those must pass at once, and none be lost.
func TestFrozen(t *testing.T) {
	for _, d := range []netfault.Direction{netfault.Egress, netfault.Ingress} {
		lab := netfaulttest.NewLab(t)
		b := newBackend(t, lab.Near)
		const limit, count = 3000, 30_000
		if _, err := b.Apply(t.Context(), stateOf(d, netfault.Impairment{Delay: time.Millisecond, Limit: limit})); err != nil {
			t.Fatal(err)
		}
		frozen, thaw := make(chan struct{}), make(chan struct{})
		var wg sync.WaitGroup
		wg.Go(func() { b.loop.do(func() { close(frozen); <-thaw }) })
		<-frozen
		from, to := lab.Near, lab.Far
		if d == netfault.Ingress {
			from, to = to, from
		}
		sender, receiver := datagrams(t, from, to)
		for n := range count {
			if _, err := sender.Write(binary.BigEndian.AppendUint32(nil, uint32(n))); err != nil {
				t.Fatal(err)
			}
		}
		early := receiveAll(receiver)
		close(thaw)
		late := receiveAll(receiver)
		wg.Wait()
		if want := count - limit - spare; len(early) < want*9/10 || len(early) > want*11/10 {
			t.Errorf("%s: %d of %d passed while the thread was frozen, want about %d", d, len(early), count, want)
		}
		for n := range late {
			if early[n] {
				t.Fatalf("%s: packet %d came twice", d, n)
			}
		}
		if len(early)+len(late) != count {
			t.Errorf("%s: %d packets were lost; %+v", d, count-len(early)-len(late), b.Stats())
		}
	}
}

// force gives a socket a buffer beyond the system's bound.
func force(t *testing.T, c *net.UDPConn, option int) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var sockErr error
	err = raw.Control(func(fd uintptr) { sockErr = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, option, 128<<20) })
	if err := errors.Join(err, sockErr); err != nil {
		t.Fatal(err)
	}
}

// datagrams connects two UDP sockets, with room for a flood on either side.
func datagrams(t *testing.T, from, to *netfaulttest.Node) (sender, receiver *net.UDPConn) {
	t.Helper()
	err := to.Do(func() (err error) {
		receiver, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(to.V4, 0)))
		return err
	})
	if err == nil {
		err = from.Do(func() (err error) {
			sender, err = net.DialUDP("udp", nil, receiver.LocalAddr().(*net.UDPAddr))
			return err
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = errors.Join(sender.Close(), receiver.Close()) })
	force(t, receiver, unix.SO_RCVBUFFORCE)
	force(t, sender, unix.SO_SNDBUFFORCE)
	return sender, receiver
}

// receiveAll returns the numbers of the packets that come until none comes for a while.
func receiveAll(c *net.UDPConn) map[uint32]bool {
	seen := map[uint32]bool{}
	for buf := make([]byte, 64); ; {
		_ = c.SetReadDeadline(time.Now().Add(time.Second))
		n, err := c.Read(buf)
		if err != nil || n < 4 {
			return seen
		}
		seen[binary.BigEndian.Uint32(buf)] = true
	}
}

// TestChangedPackets covers what the common table shows for IPv4 and egress only.
func TestChangedPackets(t *testing.T) {
	for _, d := range []netfault.Direction{netfault.Egress, netfault.Ingress} {
		for _, v6 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/v6=%v", d, v6), func(t *testing.T) {
				lab := netfaulttest.NewLab(t)
				b := newBackend(t, lab.Near)
				measure := func(i netfault.Impairment) netfaulttest.Measured {
					if _, err := b.Apply(t.Context(), stateOf(d, i)); err != nil {
						t.Fatal(err)
					}
					f := flow(d)
					f.V6 = v6
					m, err := lab.Run(f)
					if err != nil {
						t.Fatal(err)
					}
					return m
				}
				if m := measure(netfault.Impairment{Duplicate: netfault.Chance{Probability: .5}}); m.Lost() > 0 || m.Duplicates() < 60 || m.Duplicates() > 140 {
					t.Errorf("%d lost and %d of 200 twice, want none and about half", m.Lost(), m.Duplicates())
				}
				if m := measure(netfault.Impairment{Corrupt: netfault.Chance{Probability: 1}}); m.Lost() != m.Sent {
					t.Errorf("%d of %d corrupted packets came to the reader", m.Sent-m.Lost(), m.Sent)
				}
				if m := measure(netfault.Impairment{Loss: netfault.Loss{Probability: 1}, ECN: true}); m.Lost() != m.Sent {
					t.Errorf("%d of %d packets without ECN were marked instead of lost", m.Sent-m.Lost(), m.Sent)
				}
			})
		}
	}
}

// Datagrams longer than the link takes are duplicated as others are.
func TestLargeDatagramsAreDuplicated(t *testing.T) {
	for _, v6 := range []bool{false, true} {
		lab := netfaulttest.NewLab(t)
		b := newBackend(t, lab.Near)
		if _, err := b.Apply(t.Context(), stateOf(netfault.Egress, netfault.Impairment{Duplicate: netfault.Chance{Probability: 1}})); err != nil {
			t.Fatal(err)
		}
		m, err := lab.Run(netfaulttest.Flow{Direction: netfault.Egress, V6: v6, Count: 50, Size: 5000, Interval: time.Millisecond})
		if err != nil || m.Lost() != 0 || m.Duplicates() != 50 {
			t.Errorf("v6=%v: of 50 datagrams %d were lost and %d came twice (%v), want 0 and 50", v6, m.Lost(), m.Duplicates(), err)
		}
	}
}

// Another process of the same owner replaces the faults; the end of the first
// process leaves them alone, and any process can list what acts.
func TestTheEndOfOneGenerationLeavesTheNext(t *testing.T) {
	lab := netfaulttest.NewLab(t)
	first, second := newBackend(t, lab.Near), newBackend(t, lab.Near)
	state := delayed("o", 20*time.Millisecond)
	state.Generation, state.Deadline = "first", time.Now().Add(time.Second)
	if _, err := first.Apply(t.Context(), state); err != nil {
		t.Fatal(err)
	}
	state = delayed("o", 40*time.Millisecond)
	state.Generation = "second"
	if _, err := second.Apply(t.Context(), state); err != nil {
		t.Fatal(err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	expect(t, lab, "after the first has ended", 40*time.Millisecond)
	list, err := newBackend(t, lab.Near).List(t.Context())
	if err != nil || len(list) != 1 || list[0].Generation != "second" || len(list[0].Links) != 2 {
		t.Fatalf("another process lists %+v, %v", list, err)
	}
	if c := list[0].Links[0].Classes; len(c) != 1 || c[0].Impairment.Delay != 40*time.Millisecond || c[0].Rules[0] != "r" {
		t.Errorf("another process lists the classes %+v", c)
	}
}

// A state proves only those variants of the kernel that it used.
func TestAVariantIsKnownOnlyForWhatItDid(t *testing.T) {
	link := func(d netfault.Direction, i netfault.Impairment) plan {
		l := netfault.Link{Direction: d, Classes: []netfault.Class{{Impairment: i}}}
		return plan{links: []linkPlan{{Link: l}}}
	}
	first := variants()[0]
	if got := link(netfault.Ingress, netfault.Impairment{Delay: 1}).proven(first, variants()); len(got) != 3 {
		t.Errorf("an ingress delay proves %+v", got)
	}
	if got := link(netfault.Egress, netfault.Impairment{Delay: 1}).proven(first, variants()); len(got) != 1 {
		t.Errorf("an egress delay leaves %+v", got)
	}
}

// firewall lets nothing in but replies, and masquerades what leaves.
func firewall(t *testing.T, n *netfaulttest.Node) {
	t.Helper()
	conn, err := nftables.New(nftables.WithNetNSFd(int(n.NS)))
	if err != nil {
		t.Fatal(err)
	}
	table := conn.AddTable(&nftables.Table{Name: "firewall", Family: nftables.TableFamilyIPv4})
	drop := nftables.ChainPolicyDrop
	input := conn.AddChain(&nftables.Chain{Name: "input", Table: table, Type: nftables.ChainTypeFilter,
		Hooknum: nftables.ChainHookInput, Priority: nftables.ChainPriorityFilter, Policy: &drop})
	conn.AddRule(&nftables.Rule{Table: table, Chain: input, Exprs: []expr.Any{
		&expr.Ct{Register: 1, Key: expr.CtKeySTATE},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: native32(expr.CtStateBitESTABLISHED), Xor: native32(0)},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: native32(0)},
		&expr.Verdict{Kind: expr.VerdictAccept},
	}})
	nat := conn.AddChain(&nftables.Chain{Name: "nat", Table: table, Type: nftables.ChainTypeNAT,
		Hooknum: nftables.ChainHookPostrouting, Priority: nftables.ChainPriorityNATSource})
	conn.AddRule(&nftables.Rule{Table: table, Chain: nat, Exprs: []expr.Any{&expr.Masq{}}})
	if err := conn.Flush(); err != nil {
		t.Fatal(err)
	}
}

// TestConnectionTracking holds a stateful firewall and address translation in
// the impaired namespace: replies must be recognized though it is a copy of each
// packet that leaves, whatever of it the kernel can do.
func TestConnectionTracking(t *testing.T) {
	for _, v := range variants() {
		t.Run(fmt.Sprintf("%+v", v), func(t *testing.T) {
			lab := netfaulttest.NewLab(t)
			firewall(t, lab.Near)
			b := newBackend(t, lab.Near)
			b.takes = []variant{v}
			_, err := b.Apply(t.Context(), delayed("tracked", 20*time.Millisecond))
			if errors.Is(err, netfault.ErrUnsupported) {
				t.Skipf("this kernel cannot do it: %v", err)
			}
			if err != nil {
				t.Fatal(err)
			}
			rate := bulk(t, lab, netfault.Egress, time.Second)
			if t.Logf("bulk got %.1f Mbit/s", rate*8/1e6); v.dup && rate < 1e6 {
				t.Errorf("a connection got %.0f bytes/s", rate)
			}
			for range 5 {
				if took := echo(t, lab); took < 40*time.Millisecond {
					t.Errorf("a UDP round trip took %v, want twice 20 ms", took)
				}
			}
		})
	}
}

// echo measures one round trip of a new UDP flow.
func echo(t *testing.T, lab *netfaulttest.Lab) time.Duration {
	t.Helper()
	var server, client *net.UDPConn
	err := lab.Far.Do(func() (err error) {
		server, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(lab.Far.V4, 0)))
		return err
	})
	if err == nil {
		err = lab.Near.Do(func() (err error) {
			client, err = net.DialUDP("udp", nil, server.LocalAddr().(*net.UDPAddr))
			return err
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	defer client.Close()
	var wg sync.WaitGroup
	wg.Go(func() {
		buf := make([]byte, 10)
		if _, from, err := server.ReadFromUDPAddrPort(buf); err == nil {
			_, _ = server.WriteToUDPAddrPort(buf, from) // if it is lost, the client waits in vain
		}
	})
	start := time.Now()
	if _, err := client.Write(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	_ = client.SetReadDeadline(start.Add(5 * time.Second))
	if _, err := client.Read(make([]byte, 10)); err != nil {
		t.Errorf("no reply: %v", err)
		_ = server.Close()
	}
	took := time.Since(start)
	wg.Wait()
	return took
}

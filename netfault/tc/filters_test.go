package tc

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/net/bpf"

	"github.com/microsim-dev/kubectl-microsim/netfault"
)

// frame is a packet as the kernel shows it to a filter: from the network
// header on, with its protocol beside it.
type frame struct {
	etherType uint16
	data      []byte
}

// execute runs a classic BPF program as the kernel would.
func execute(t *testing.T, program []bpf.Instruction, f frame) uint32 {
	t.Helper()
	var a, x uint32
	var mem [16]uint32
	load := func(k uint32, size int) (uint32, bool) {
		at := int(k - fromNetwork)
		if at < 0 || at+size > len(f.data) {
			return 0, false
		}
		v := uint32(0)
		for _, b := range f.data[at : at+size] {
			v = v<<8 | uint32(b)
		}
		return v, true
	}
	for pc, steps := 0, 0; ; pc, steps = pc+1, steps+1 {
		if steps > len(program) {
			t.Fatal("the program runs backwards")
		}
		ok := true
		branch := func(hit bool, jt, jf uint8) {
			if hit {
				pc += int(jt)
			} else {
				pc += int(jf)
			}
		}
		switch i := program[pc].(type) {
		case bpf.LoadExtension:
			a = uint32(f.etherType)
		case bpf.LoadAbsolute:
			a, ok = load(i.Off, i.Size)
		case bpf.LoadIndirect:
			a, ok = load(i.Off+x, i.Size)
		case bpf.LoadScratch:
			a = mem[i.N]
		case bpf.LoadConstant:
			if i.Dst == bpf.RegX {
				x = i.Val
			} else {
				a = i.Val
			}
		case bpf.StoreScratch:
			mem[i.N] = a
		case bpf.LoadMemShift:
			var b uint32
			b, ok = load(i.Off, 1)
			x = 4 * (b & 15)
		case bpf.ALUOpConstant:
			a &= i.Val
		case bpf.JumpIf:
			switch i.Cond {
			case bpf.JumpEqual:
				branch(a == i.Val, i.SkipTrue, i.SkipFalse)
			case bpf.JumpGreaterThan:
				branch(a > i.Val, i.SkipTrue, i.SkipFalse)
			case bpf.JumpGreaterOrEqual:
				branch(a >= i.Val, i.SkipTrue, i.SkipFalse)
			case bpf.JumpBitsSet:
				branch(a&i.Val != 0, i.SkipTrue, i.SkipFalse)
			default:
				t.Fatalf("condition %v is not one that we use", i.Cond)
			}
		case bpf.Jump:
			pc += int(i.Skip)
		case bpf.RetConstant:
			return i.Val
		default:
			t.Fatalf("instruction %v is not classic BPF as we use it", i)
		}
		if !ok {
			return 0
		}
	}
}

func classify(t *testing.T, programs [][]bpf.Instruction, f frame) uint32 {
	t.Helper()
	for _, p := range programs {
		if id := execute(t, p, f); id != 0 {
			return id
		}
	}
	return 0
}

// matchesU32 asks u32 filters in order, as the kernel would.
func matchesU32(m u32Match, f frame) bool {
	if m.protocol != etherTypeAll && m.protocol != f.etherType {
		return false
	}
	for _, k := range m.keys {
		if k.mask == 0 {
			continue
		}
		if int(k.at)+4 > len(f.data) || binary.BigEndian.Uint32(f.data[k.at:])&k.mask != k.value {
			return false
		}
	}
	return true
}

func classifyU32(l netfault.Link, f frame) int {
	for _, filter := range l.Filters {
		for _, m := range u32Matches(filter.Match, l.Direction) {
			if matchesU32(m, f) {
				return filter.Class
			}
		}
	}
	return netfault.Unimpaired
}

// build makes the frame of a packet, options bytes longer than it must be.
func build(p netfault.Packet, direction netfault.Direction, options int) frame {
	src, dst := netip.MustParseAddr("10.9.9.9"), p.Peer
	if p.Peer.Is6() {
		src = netip.MustParseAddr("fd99::9")
	}
	srcPort, dstPort := p.LocalPort, p.PeerPort
	if direction == netfault.Ingress {
		src, dst = dst, src
		srcPort, dstPort = dstPort, srcPort
	}
	transport := binary.BigEndian.AppendUint16(nil, srcPort)
	transport = binary.BigEndian.AppendUint16(transport, dstPort)
	transport = append(transport, make([]byte, 16)...)
	if p.Peer.Is4() {
		h := make([]byte, 20+options)
		h[0], h[9] = byte(0x45+options/4), p.Protocol
		copy(h[12:], src.AsSlice())
		copy(h[16:], dst.AsSlice())
		return frame{etherTypeIP4, append(h, transport...)}
	}
	h := make([]byte, 40)
	h[0], h[6] = 0x60, p.Protocol
	copy(h[8:], src.AsSlice())
	copy(h[24:], dst.AsSlice())
	return frame{etherTypeIP6, append(h, transport...)}
}

func randomLink(t *testing.T, r *rand.Rand, rules int) netfault.Link {
	t.Helper()
	pick := func(of ...string) string { return of[r.IntN(len(of))] }
	somePeers := func() []netfault.Peer {
		var out []netfault.Peer
		for range r.IntN(3) {
			text := pick("", "tcp:", "udp:", "icmp:") + pick("*", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.3", "10.1.2.0/31", "fd00::/16", "fd00::1", "fd00:0:0:1::/63")
			if !strings.HasPrefix(text, "icmp") {
				text += pick("", ";ports=1-3", ";ports=2", ";ports=3-9", ";local=2", ";ports=1;local=1-2", ";ports=4-65535")
			}
			p, err := netfault.ParsePeer(text)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, p)
		}
		return out
	}
	direction := []netfault.Direction{netfault.Egress, netfault.Ingress}[r.IntN(2)]
	s := netfault.State{}
	for n := range rules {
		s.Rules = append(s.Rules, netfault.Rule{ID: string(rune('a' + n)), Interface: "e", Direction: direction,
			Peers: somePeers(), Exempt: somePeers(), Impairment: netfault.Impairment{Delay: 1}})
	}
	links, err := netfault.Compile(s)
	if err != nil {
		t.Fatal(err)
	}
	return links[0]
}

func randomPacket(r *rand.Rand) netfault.Packet {
	addrs := []string{"10.1.2.3", "10.1.2.2", "10.1.2.1", "10.2.0.1", "1.1.1.1", "fd00::1", "fd00::2", "fd00:0:0:1::1", "fd00:0:0:2::1", "fe80::1"}
	p := netfault.Packet{Peer: netip.MustParseAddr(addrs[r.IntN(len(addrs))])}
	p.Protocol = []uint8{netfault.ProtoTCP, netfault.ProtoUDP, netfault.ProtoICMP, netfault.ProtoICMPv6, 47}[r.IntN(5)]
	if p.Protocol == netfault.ProtoICMP && p.Peer.Is6() {
		p.Protocol = netfault.ProtoICMPv6
	}
	if p.Protocol == netfault.ProtoICMPv6 && p.Peer.Is4() {
		p.Protocol = netfault.ProtoICMP
	}
	if p.Protocol == netfault.ProtoTCP || p.Protocol == netfault.ProtoUDP {
		p.PeerPort, p.LocalPort = uint16(1+r.IntN(10)), uint16(1+r.IntN(3))
	}
	return p
}

func TestFiltersMeanTheSelectors(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	classID := func(class int) uint32 { return uint32(class + 2) }
	for range 200 {
		l := randomLink(t, r, 1+r.IntN(4))
		programs := classifier(l.Filters, l.Direction, classID)
		for range 100 {
			p := randomPacket(r)
			want := l.Classify(p)
			f := build(p, l.Direction, 0)
			got := classify(t, programs, f)
			if got == 0 {
				got = classID(netfault.Unimpaired)
			}
			if got != classID(want) {
				t.Fatalf("BPF: %+v falls to %d, want %d, by %+v", p, got, classID(want), l.Filters)
			}
			if got := classifyU32(l, f); got != want {
				t.Fatalf("u32: %+v falls to %d, want %d, by %+v", p, got, want, l.Filters)
			}
			if got := classify(t, programs, build(p, l.Direction, 8)); got != 0 && got != classID(want) || got == 0 && want != netfault.Unimpaired {
				t.Fatalf("BPF: %+v with IP options falls to %d, want %d", p, got, classID(want))
			}
		}
	}
}

func TestProgramsStayBelowTheKernelsBound(t *testing.T) {
	var filters []netfault.Filter
	for n := range 512 {
		filters = append(filters, netfault.Filter{Class: n % 3, Match: netfault.Selector{
			Prefix: netip.PrefixFrom(netip.MustParseAddr("fd00::1"), 128), Protocol: netfault.ProtoTCP,
			Ports: netfault.PortRange{First: uint16(n), Last: uint16(n + 1)}, LocalPorts: netfault.PortRange{First: 1, Last: 2},
		}})
	}
	programs := classifier(filters, netfault.Egress, func(int) uint32 { return 1 })
	if len(programs) != 4 {
		t.Errorf("%d programs, want 4", len(programs))
	}
	for _, p := range programs {
		if len(p) > 4096 {
			t.Errorf("a program of %d instructions; the kernel takes 4096", len(p))
		}
	}
}

func TestFragments(t *testing.T) {
	l := netfault.Link{Direction: netfault.Egress, Filters: []netfault.Filter{
		{Match: netfault.Selector{Protocol: netfault.ProtoUDP, Ports: netfault.PortRange{First: 7, Last: 7}, LocalPorts: netfault.AnyPort}, Class: 0},
	}}
	programs := classifier(l.Filters, l.Direction, func(class int) uint32 { return uint32(class + 2) })
	p := netfault.Packet{Protocol: netfault.ProtoUDP, PeerPort: 7, LocalPort: 9}
	for _, tt := range []struct {
		name   string
		offset uint16
		want   uint32
	}{{"first", 0, 2}, {"later", 8, 0}} {
		p.Peer = netip.MustParseAddr("10.0.0.1")
		f := build(p, netfault.Egress, 0)
		binary.BigEndian.PutUint16(f.data[6:], 0x2000|tt.offset)
		if got := classify(t, programs, f); got != tt.want {
			t.Errorf("%s IPv4 fragment falls to %d, want %d", tt.name, got, tt.want)
		}
		p.Peer = netip.MustParseAddr("fd00::1")
		f = build(p, netfault.Egress, 0)
		f.data[6] = 44
		header := []byte{netfault.ProtoUDP, 0, 0, 0, 0, 0, 0, 0}
		binary.BigEndian.PutUint16(header[2:], tt.offset<<3|1)
		f.data = append(f.data[:40:40], append(header, f.data[40:]...)...)
		if got := classify(t, programs, f); got != tt.want {
			t.Errorf("%s IPv6 fragment falls to %d, want %d", tt.name, got, tt.want)
		}
	}
}

func FuzzClassifier(f *testing.F) {
	f.Add(uint16(etherTypeIP4), []byte{0x45, 0, 0})
	l := netfault.Link{Filters: []netfault.Filter{{Match: netfault.Selector{Prefix: netip.MustParsePrefix("10.0.0.0/8"), Ports: netfault.AnyPort, LocalPorts: netfault.AnyPort}}}}
	programs := classifier(l.Filters, netfault.Egress, func(int) uint32 { return 7 })
	f.Fuzz(func(t *testing.T, etherType uint16, data []byte) {
		got := classify(t, programs, frame{etherType, data})
		if got != 0 && (got != 7 || etherType != etherTypeIP4 || len(data) < 20 || data[16] != 10) {
			t.Errorf("a packet of type %x falls to %d: %x", etherType, got, data)
		}
	})
}

package tc

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/microsim-dev/kubectl-microsim/netfault"
)

// instruction is one of classic BPF (struct sock_filter).
type instruction struct {
	code   uint16
	jt, jf uint8
	k      uint32
}

// The instructions in use, by what they do (linux/filter.h).
const (
	opLoadWord   = 0x20 // A = 32 bits at k
	opLoadHalf   = 0x28 // A = 16 bits at k
	opLoadByte   = 0x30 // A = 8 bits at k
	opLoadHalfX  = 0x48 // A = 16 bits at X+k
	opLoadMem    = 0x60 // A = M[k]
	opLoadImm    = 0x00 // A = k
	opStoreMem   = 0x02 // M[k] = A
	opHeaderLenX = 0xb1 // X = 4 * (byte at k & 15)
	opAnd        = 0x54 // A &= k
	opJumpEqual  = 0x15
	opJumpAtMost = 0x25 // jt if A > k
	opJumpLeast  = 0x35 // jt if A >= k
	opJumpAny    = 0x45 // jt if A & k
	opJump       = 0x05
	opReturn     = 0x06
)

// Offsets that do not depend on the link layer: from the network header, and
// of the protocol number that the kernel keeps beside the packet.
const (
	fromNetwork  uint32 = 0xfff00000 // SKF_NET_OFF
	etherTypeAt  uint32 = 0xfffff000 // SKF_AD_OFF + SKF_AD_PROTOCOL
	etherTypeIP4        = 0x0800
	etherTypeIP6        = 0x86dd
)

// Scratch memory that the program's beginning fills for all filters.
const (
	memFamily   = 0 // 4, 6, or 0 for what is not IP
	memProtocol = 1
	memPeerPort = 2 // 0 where the packet carries no ports
	memOwnPort  = 3
	memAddress  = 4 // to 7: the peer's address
)

// assembler collects instructions; conditional jumps to a label are patched
// when it is set.
type assembler struct {
	code    []instruction
	pending map[string][]jump
}

type jump struct {
	at    int
	onHit bool // the branch to patch: jt, else jf; of opJump: k
}

func (a *assembler) add(code uint16, k uint32) {
	a.code = append(a.code, instruction{code: code, k: k})
}

// unless jumps to the label if the condition does not hold.
func (a *assembler) unless(code uint16, k uint32, label string) { a.jump(code, k, label, false) }

// when jumps to the label if the condition holds.
func (a *assembler) when(code uint16, k uint32, label string) { a.jump(code, k, label, true) }

func (a *assembler) jump(code uint16, k uint32, label string, onHit bool) {
	a.pending[label] = append(a.pending[label], jump{len(a.code), onHit})
	a.add(code, k)
}

// label sets the label here. Labels may be used again afterwards.
func (a *assembler) label(name string) {
	for _, j := range a.pending[name] {
		distance := len(a.code) - j.at - 1
		switch i := &a.code[j.at]; {
		case i.code == opJump:
			i.k = uint32(distance)
		case j.onHit:
			i.jt = uint8(distance)
		default:
			i.jf = uint8(distance)
		}
	}
	delete(a.pending, name)
}

// maxBlocks is how many filters one program holds, so that it stays below the
// kernel's 4096 instructions.
const maxBlocks = 128

// classifier returns programs that do what the filters say, to be tried one
// after the other: each returns the class id of the first filter that matches,
// or 0 if none does. IPv6 extension headers other than Fragment hide the ports.
func classifier(filters []netfault.Filter, direction netfault.Direction, classID func(class int) uint32) [][]instruction {
	var out [][]instruction
	for len(filters) > 0 {
		n := min(len(filters), maxBlocks)
		a := &assembler{pending: map[string][]jump{}}
		a.readPacket(direction)
		for _, f := range filters[:n] {
			a.filter(f.Match, classID(f.Class))
		}
		a.add(opReturn, 0)
		out = append(out, a.code)
		filters = filters[n:]
	}
	return out
}

// readPacket fills the scratch memory. A packet that is shorter than its
// headers say ends the program, unmatched.
func (a *assembler) readPacket(direction netfault.Direction) {
	a.add(opLoadImm, 0)
	for m := range uint32(8) {
		a.add(opStoreMem, m)
	}
	a.add(opLoadImm, 256) // no protocol of IP
	a.add(opStoreMem, memProtocol)
	a.add(opLoadWord, etherTypeAt)
	a.when(opJumpEqual, etherTypeIP6, "ip6")
	a.when(opJumpEqual, etherTypeIP4, "ip4")
	a.jump(opJump, 0, "filters", true)

	a.label("ip4")
	a.add(opLoadImm, 4)
	a.add(opStoreMem, memFamily)
	a.add(opLoadByte, fromNetwork+9)
	a.add(opStoreMem, memProtocol)
	a.add(opLoadWord, fromNetwork+choose(direction, 16, 12))
	a.add(opStoreMem, memAddress)
	a.add(opLoadHalf, fromNetwork+6)
	a.unless(opJumpAny, 0x1fff, "ip4first")
	a.jump(opJump, 0, "filters", true)
	a.label("ip4first")
	a.add(opHeaderLenX, fromNetwork)
	a.jump(opJump, 0, "ports", true)

	a.label("ip6")
	a.add(opLoadImm, 6)
	a.add(opStoreMem, memFamily)
	for n := range uint32(4) {
		a.add(opLoadWord, fromNetwork+choose(direction, 24, 8)+4*n)
		a.add(opStoreMem, memAddress+n)
	}
	const ldxImm = 0x01
	a.add(ldxImm, 40)
	a.add(opLoadByte, fromNetwork+6)
	a.add(opStoreMem, memProtocol)
	const fragment = 44
	a.unless(opJumpEqual, fragment, "ports")
	a.add(opLoadByte, fromNetwork+40)
	a.add(opStoreMem, memProtocol)
	a.add(opLoadHalf, fromNetwork+42)
	a.unless(opJumpAny, 0xfff8, "ip6first")
	a.jump(opJump, 0, "filters", true)
	a.label("ip6first")
	a.add(ldxImm, 48)

	a.label("ports")
	a.add(opLoadMem, memProtocol)
	a.when(opJumpEqual, netfault.ProtoTCP, "hasPorts")
	a.when(opJumpEqual, netfault.ProtoUDP, "hasPorts")
	a.jump(opJump, 0, "filters", true)
	a.label("hasPorts")
	a.add(opLoadHalfX, fromNetwork+choose(direction, 2, 0))
	a.add(opStoreMem, memPeerPort)
	a.add(opLoadHalfX, fromNetwork+choose(direction, 0, 2))
	a.add(opStoreMem, memOwnPort)
	a.label("filters")
}

// choose returns the first value for egress, where the peer is the destination,
// and the second for ingress.
func choose(direction netfault.Direction, egress, ingress uint32) uint32 {
	if direction == netfault.Ingress {
		return ingress
	}
	return egress
}

func (a *assembler) filter(s netfault.Selector, classID uint32) {
	if s.Prefix.IsValid() {
		a.prefix(s.Prefix)
	}
	if s.Protocol != 0 {
		a.add(opLoadMem, memProtocol)
		a.unless(opJumpEqual, uint32(s.Protocol), "next")
	}
	a.ports(memPeerPort, s.Ports)
	a.ports(memOwnPort, s.LocalPorts)
	a.add(opReturn, classID)
	a.label("next")
}

func (a *assembler) prefix(p netip.Prefix) {
	family := uint32(6)
	if p.Addr().Is4() {
		family = 4
	}
	a.add(opLoadMem, memFamily)
	a.unless(opJumpEqual, family, "next")
	for n, w := range prefixWords(p) {
		a.add(opLoadMem, memAddress+uint32(n))
		if w.mask != 0xffffffff {
			a.add(opAnd, w.mask)
		}
		a.unless(opJumpEqual, w.value, "next")
	}
}

func (a *assembler) ports(mem uint32, r netfault.PortRange) {
	if r == netfault.AnyPort {
		return
	}
	a.add(opLoadMem, mem)
	if r.First == r.Last {
		a.unless(opJumpEqual, uint32(r.First), "next")
		return
	}
	a.unless(opJumpLeast, uint32(r.First), "next")
	a.when(opJumpAtMost, uint32(r.Last), "next")
}

type maskedWord struct{ mask, value uint32 }

// prefixWords returns the 32-bit words of an address that a prefix fixes, in
// host order.
func prefixWords(p netip.Prefix) []maskedWord {
	b := p.Masked().Addr().AsSlice()
	var out []maskedWord
	for bits := p.Bits(); bits > 0; bits -= 32 {
		n := 4 * len(out)
		mask := ^uint32(0)
		if bits < 32 {
			mask <<= 32 - bits
		}
		value := uint32(b[n])<<24 | uint32(b[n+1])<<16 | uint32(b[n+2])<<8 | uint32(b[n+3])
		out = append(out, maskedWord{mask, value & mask})
	}
	return out
}

// encode returns the program as the kernel takes it.
func encode(program []instruction) []byte {
	var out []byte
	for _, i := range program {
		out = binary.NativeEndian.AppendUint16(out, i.code)
		out = append(out, i.jt, i.jf)
		out = binary.NativeEndian.AppendUint32(out, i.k)
	}
	return out
}

func (i instruction) String() string { return fmt.Sprintf("%d %d %d %d", i.code, i.jt, i.jf, i.k) }

package tc

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/net/bpf"

	"github.com/microsim-dev/kubectl-microsim/netfault"
)

const (
	// fromNetwork is an offset that does not depend on the link layer
	// (SKF_NET_OFF).
	fromNetwork uint32 = 0xfff00000

	etherTypeIP4 = 0x0800
	etherTypeIP6 = 0x86dd
)

// Scratch memory that the program's beginning fills for all filters.
const (
	memFamily   = 0 // 4, 6, or 0 for what is not IP
	memProtocol = 1
	memPeerPort = 2 // 0 where the packet carries no ports
	memOwnPort  = 3
	memAddress  = 4 // to 7: the peer's address
)

// assembler collects instructions; jumps to a label are patched when it is set.
type assembler struct {
	code    []bpf.Instruction
	pending map[string][]jump
}

type jump struct {
	at    int
	onHit bool // the branch of a bpf.JumpIf to patch
}

func (a *assembler) add(code ...bpf.Instruction) { a.code = append(a.code, code...) }

// unless jumps to the label if the condition on A does not hold.
func (a *assembler) unless(test bpf.JumpTest, k uint32, label string) {
	a.jump(bpf.JumpIf{Cond: test, Val: k}, label, false)
}

// when jumps to the label if the condition on A holds.
func (a *assembler) when(test bpf.JumpTest, k uint32, label string) {
	a.jump(bpf.JumpIf{Cond: test, Val: k}, label, true)
}

// always jumps to the label.
func (a *assembler) always(label string) { a.jump(bpf.Jump{}, label, true) }

func (a *assembler) jump(i bpf.Instruction, label string, onHit bool) {
	a.pending[label] = append(a.pending[label], jump{len(a.code), onHit})
	a.add(i)
}

// label sets the label here. Labels may be used again afterwards.
func (a *assembler) label(name string) {
	for _, j := range a.pending[name] {
		distance := len(a.code) - j.at - 1
		switch i := a.code[j.at].(type) {
		case bpf.Jump:
			i.Skip = uint32(distance)
			a.code[j.at] = i
		case bpf.JumpIf:
			if j.onHit {
				i.SkipTrue = uint8(distance)
			} else {
				i.SkipFalse = uint8(distance)
			}
			a.code[j.at] = i
		}
	}
	delete(a.pending, name)
}

// load loads from the packet, of which size bytes lie at the offset.
func (a *assembler) load(offset uint32, size int) { a.add(bpf.LoadAbsolute{Off: offset, Size: size}) }

// remember stores A in scratch memory, recall loads it from there.
func (a *assembler) remember(at int) { a.add(bpf.StoreScratch{Src: bpf.RegA, N: at}) }
func (a *assembler) recall(at int)   { a.add(bpf.LoadScratch{Dst: bpf.RegA, N: at}) }

// set remembers a constant.
func (a *assembler) set(at int, value uint32) {
	a.add(bpf.LoadConstant{Dst: bpf.RegA, Val: value})
	a.remember(at)
}

// maxBlocks is how many filters one program holds, so that it stays below the
// kernel's 4096 instructions.
const maxBlocks = 128

// classifier returns programs that do what the filters say, to be tried one
// after the other: each returns the class id of the first filter that matches,
// or 0 if none does. IPv6 extension headers other than Fragment hide the ports.
func classifier(filters []netfault.Filter, direction netfault.Direction, classID func(class int) uint32) [][]bpf.Instruction {
	var out [][]bpf.Instruction
	for len(filters) > 0 {
		n := min(len(filters), maxBlocks)
		a := &assembler{pending: map[string][]jump{}}
		a.readPacket(direction)
		for _, f := range filters[:n] {
			a.filter(f.Match, classID(f.Class))
		}
		a.add(bpf.RetConstant{Val: 0})
		out = append(out, a.code)
		filters = filters[n:]
	}
	return out
}

// readPacket fills the scratch memory. A packet that is shorter than its
// headers say ends the program, unmatched.
func (a *assembler) readPacket(direction netfault.Direction) {
	a.add(bpf.LoadConstant{Dst: bpf.RegA, Val: 0})
	for m := range 8 {
		a.remember(m)
	}
	a.set(memProtocol, 256) // no protocol of IP
	a.add(bpf.LoadExtension{Num: bpf.ExtProto})
	a.when(bpf.JumpEqual, etherTypeIP6, "ip6")
	a.when(bpf.JumpEqual, etherTypeIP4, "ip4")
	a.always("filters")

	a.label("ip4")
	a.set(memFamily, 4)
	a.load(fromNetwork+9, 1)
	a.remember(memProtocol)
	a.load(fromNetwork+choose(direction, 16, 12), 4)
	a.remember(memAddress)
	a.load(fromNetwork+6, 2)
	a.unless(bpf.JumpBitsSet, 0x1fff, "ip4first")
	a.always("filters")
	a.label("ip4first")
	a.add(bpf.LoadMemShift{Off: fromNetwork})
	a.always("ports")

	a.label("ip6")
	a.set(memFamily, 6)
	for n := range 4 {
		a.load(fromNetwork+choose(direction, 24, 8)+4*uint32(n), 4)
		a.remember(memAddress + n)
	}
	a.add(bpf.LoadConstant{Dst: bpf.RegX, Val: 40})
	a.load(fromNetwork+6, 1)
	a.remember(memProtocol)
	const fragment = 44
	a.unless(bpf.JumpEqual, fragment, "ports")
	a.load(fromNetwork+40, 1)
	a.remember(memProtocol)
	a.load(fromNetwork+42, 2)
	a.unless(bpf.JumpBitsSet, 0xfff8, "ip6first")
	a.always("filters")
	a.label("ip6first")
	a.add(bpf.LoadConstant{Dst: bpf.RegX, Val: 48})

	a.label("ports")
	a.recall(memProtocol)
	a.when(bpf.JumpEqual, netfault.ProtoTCP, "hasPorts")
	a.when(bpf.JumpEqual, netfault.ProtoUDP, "hasPorts")
	a.always("filters")
	a.label("hasPorts")
	a.add(bpf.LoadIndirect{Off: fromNetwork + choose(direction, 2, 0), Size: 2})
	a.remember(memPeerPort)
	a.add(bpf.LoadIndirect{Off: fromNetwork + choose(direction, 0, 2), Size: 2})
	a.remember(memOwnPort)
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
		a.recall(memProtocol)
		a.unless(bpf.JumpEqual, uint32(s.Protocol), "next")
	}
	a.ports(memPeerPort, s.Ports)
	a.ports(memOwnPort, s.LocalPorts)
	a.add(bpf.RetConstant{Val: classID})
	a.label("next")
}

func (a *assembler) prefix(p netip.Prefix) {
	family := uint32(6)
	if p.Addr().Is4() {
		family = 4
	}
	a.recall(memFamily)
	a.unless(bpf.JumpEqual, family, "next")
	for n, w := range prefixWords(p) {
		a.recall(memAddress + n)
		if w.mask != 0xffffffff {
			a.add(bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: w.mask})
		}
		a.unless(bpf.JumpEqual, w.value, "next")
	}
}

func (a *assembler) ports(mem int, r netfault.PortRange) {
	if r == netfault.AnyPort {
		return
	}
	a.recall(mem)
	if r.First == r.Last {
		a.unless(bpf.JumpEqual, uint32(r.First), "next")
		return
	}
	a.unless(bpf.JumpGreaterOrEqual, uint32(r.First), "next")
	a.when(bpf.JumpGreaterThan, uint32(r.Last), "next")
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

// encode returns the program as the kernel takes it: structs sock_filter.
func encode(program []bpf.Instruction) []byte {
	var out []byte
	for _, i := range program {
		raw, err := i.Assemble()
		if err != nil {
			panic(err) // no operand comes from outside
		}
		out = binary.NativeEndian.AppendUint16(out, raw.Op)
		out = append(out, raw.Jt, raw.Jf)
		out = binary.NativeEndian.AppendUint32(out, raw.K)
	}
	return out
}

// acceptAll is the program that matches every packet.
func acceptAll() string {
	return string(encode([]bpf.Instruction{bpf.RetConstant{Val: 0xffffffff}}))
}

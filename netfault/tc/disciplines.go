package tc

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/microsim-dev/kubectl-microsim/netfault"
)

// discipline is the kind of a queueing discipline and its parameters. All
// implementations are comparable by ==.
type discipline interface {
	kind() string
	// options encodes TCA_OPTIONS, for a new one or for one that exists.
	options(change bool) []byte
	fmt.Stringer
}

// plainQdisc has no parameters: blackhole, ingress, and disciplines that are
// not ours.
type plainQdisc string

func (q plainQdisc) kind() string        { return string(q) }
func (q plainQdisc) options(bool) []byte { return nil }
func (q plainQdisc) String() string      { return "" }

// prio sends every packet that no filter sorts into its first band: its
// priomap names no other, whatever a packet's type of service.
type prio struct{ bands uint32 }

// maxBands is the kernel's TCQ_PRIO_BANDS.
const maxBands = 16

func (q prio) kind() string        { return "prio" }
func (q prio) options(bool) []byte { return append(u32s(q.bands), make([]byte, 16)...) }
func (q prio) String() string {
	return fmt.Sprintf("bands %d priomap 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0", q.bands)
}

// htb sends packets that no filter matches directly, past its classes.
type htb struct{}

const directQueue = 1000 // packets; the default is the link's, which may be 0

func (q htb) kind() string { return "htb" }
func (q htb) options(bool) []byte {
	var out attrs
	// TCA_HTB_INIT: version, rate2quantum, defcls (0 is direct), debug, direct packets.
	out.u32s(2, 3, 10, 0, 0, 0)
	out.u32(5, directQueue) // TCA_HTB_DIRECT_QLEN
	return out
}
func (q htb) String() string { return fmt.Sprintf("default 0 direct_qlen %d", directQueue) }

// htbClassOptions describes a class that never delays a packet: it exists only
// to carry its child.
func htbClassOptions() []byte {
	const rate = math.MaxUint32 // bytes/s
	spec := ratespec(rate, 0)
	const buffer, quantum = 1 << 20, 60_000
	opt := append(append([]byte{}, spec...), spec...)
	opt = append(opt, u32s(buffer, buffer, quantum, 0, 0)...)
	var out attrs
	out.bytes(1, opt) // TCA_HTB_PARMS
	return out
}

// ratespec is struct tc_ratespec for an Ethernet link, which needs no table.
func ratespec(rate uint32, overhead uint16) []byte {
	const linkLayerEthernet = 1
	b := []byte{0, linkLayerEthernet}
	b = binary.NativeEndian.AppendUint16(b, overhead)
	b = binary.NativeEndian.AppendUint16(b, 0) // cell_align
	b = binary.NativeEndian.AppendUint16(b, 0) // mpu
	return binary.NativeEndian.AppendUint32(b, rate)
}

// pfifo is a plain queue of so many packets.
type pfifo struct{ limit uint32 }

func (q pfifo) kind() string        { return "pfifo" }
func (q pfifo) options(bool) []byte { return u32s(q.limit) }
func (q pfifo) String() string      { return fmt.Sprintf("limit %d", q.limit) }

// tbf is a rate and nothing else, for kernels without netem.
type tbf struct {
	rate     uint64 // bytes/s
	overhead uint16
	burst    uint32 // bytes, without the overhead of the packet that fills it
	limit    uint32 // bytes that may wait
	// ticks is how long the burst takes as the kernel shows it; zero in what is
	// asked.
	ticks uint32
}

// packetSize is the longest packet of an Ethernet link, header included.
const packetSize = 1514

// linkHeader is the longest header before a packet that a device counts beyond
// its MTU: Ethernet's with two VLAN tags.
const linkHeader = 22

// newTBF turns a rate (and nothing but a rate) into a token bucket on a device
// of that MTU. Its bucket holds one packet, since a longer one would never
// leave, or a millisecond of traffic if that is more; pieces of up to 64 KB,
// which segmentation offload makes, the kernel cuts up.
func newTBF(i netfault.Impairment, mtu int) tbf {
	burst := max(packetSize, uint64(mtu)+linkHeader, min(i.Rate.BytesPerSecond/1000, 1<<24))
	return tbf{
		rate: i.Rate.BytesPerSecond, overhead: uint16(i.Rate.PacketOverhead), burst: uint32(burst),
		limit: uint32(min(uint64(i.QueueLimit())*packetSize+burst, math.MaxInt32)),
	}
}

// tbfCan reports whether a token bucket can apply the whole impairment.
func tbfCan(i netfault.Impairment) bool {
	return i.RateOnly() && i.Rate.CellSize == 0 && i.Rate.PacketOverhead >= 0 && i.Rate.PacketOverhead <= math.MaxUint16
}

func (q tbf) kind() string { return "tbf" }
func (q tbf) options(bool) []byte {
	spec := ratespec(uint32(min(q.rate, math.MaxUint32)), q.overhead)
	opt := append(append([]byte{}, spec...), make([]byte, len(spec))...) // no peak rate
	opt = append(opt, u32s(q.limit, uint32(uint64(q.burstTicks())), 0)...)
	var out attrs
	out.bytes(1, opt) // TCA_TBF_PARMS
	if q.rate > math.MaxUint32 {
		out.u64(4, q.rate) // TCA_TBF_RATE64
	}
	out.u32(6, q.burst) // TCA_TBF_BURST
	return out
}

// burstTicks is how long the burst and the overhead take at the rate, in ticks.
func (q tbf) burstTicks() float64 {
	return (float64(q.burst) + float64(q.overhead)) / float64(q.rate) * 1e9 / nanosecondsATick
}

func (q tbf) String() string {
	return fmt.Sprintf("rate %dbps burst %d limit %d overhead %d", q.rate, q.burst, q.limit, q.overhead)
}

func (q tbf) impairment() netfault.Impairment {
	return netfault.Impairment{Rate: netfault.Rate{BytesPerSecond: q.rate, PacketOverhead: int32(q.overhead)}, Limit: q.limit / packetSize}
}

// parseTBF reads TCA_OPTIONS as the kernel dumps them. The burst comes back only
// as the time it takes, with the overhead, in 32 bits that slow rates overflow.
func parseTBF(b []byte) (tbf, error) {
	a, err := parseAttrs(b)
	if err != nil {
		return tbf{}, fmt.Errorf("tbf's parameters: %w", err)
	}
	p := a[1]
	if len(p) < 36 {
		return tbf{}, fmt.Errorf("tbf's parameters are %d bytes long, want 36", len(p))
	}
	q := tbf{rate: max(uint64(u32(p[8:])), u64(a[4])), overhead: binary.NativeEndian.Uint16(p[2:]), limit: u32(p[24:]), ticks: u32(p[28:])}
	q.burst = uint32(max(0, math.Round(float64(q.ticks)*nanosecondsATick*float64(q.rate)/1e9)-float64(q.overhead)))
	return q, nil
}

// canonical takes the burst as asked if the kernel shows the time that it takes,
// as near as the kernel computes it: to a part in 2^31, and without the bits
// beyond 32.
func (q tbf) canonical(asked tbf) tbf {
	want := asked.burstTicks()
	slack := 2 + want/(1<<30)
	if off := float64(int32(q.ticks - uint32(uint64(want)))); math.Abs(off) <= slack {
		q.burst = asked.burst
	}
	q.ticks = asked.ticks
	return q
}

// parseDiscipline reads kind and TCA_OPTIONS of a dumped discipline.
func parseDiscipline(kind string, options []byte) (discipline, error) {
	switch kind {
	case "netem":
		return parseNetem(options)
	case "tbf":
		return parseTBF(options)
	case "prio":
		return prio{u32(options)}, nil
	case "htb":
		return htb{}, nil
	case "pfifo":
		return pfifo{u32(options)}, nil
	}
	return plainQdisc(kind), nil
}

// same reports whether an installed discipline matches the requested one.
func same(there, asked discipline) bool {
	switch asked := asked.(type) {
	case netem:
		n, ok := there.(netem)
		return ok && n.canonical(asked) == asked
	case tbf:
		q, ok := there.(tbf)
		return ok && q.canonical(asked) == asked
	}
	return there == asked
}

package emulate

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/google/nftables/userdata"
	"github.com/google/nftables/xt"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/microsim-dev/kubectl-microsim/netfault"
	"github.com/microsim-dev/kubectl-microsim/netfault/emulate/nfqueue"
)

// Names in nftables. An owner has a table of each family, tablePrefix and the
// owner; its chains say the rest: untilPrefix with the deadline in Unix
// milliseconds, byPrefix with the generation, the direction and interface of
// each link, a chain for each class with the number of its queue, and one for
// the queue of originals. The comments of chainAbout, where no packet comes,
// hold the links as JSON, so that another process can list them.
const (
	tablePrefix = "microsim-emulate."
	untilPrefix = "until-"
	byPrefix    = "by-"
	chainAbout  = "about"
	classPrefix = "class-"

	originalsPrefix = "originals-"

	chainArrive = "prerouting"
	chainLeave  = "postrouting"
)

// Marks. Only markCopy is a bit of a packet's own mark, and only while its copy
// is on the way through the OUTPUT hooks to our queue.
const (
	markCopy     = 1 << 29
	markOriginal = 0x6d736f72 // dropped behind netfilter; nobody sees it after
	markInjected = 0x6d736964 // duplicates, which our rules leave alone
)

// Priorities: on arrival before fragments are put together and connections
// tracked, on departure after addresses are translated, where tc sees packets.
const (
	priorityArrive nftables.ChainPriority = -450
	priorityLeave  nftables.ChainPriority = 1000
)

// variant is what of the kernel's abilities rules are built upon.
type variant struct {
	native bool // nftables' own queue statement, else the NFQUEUE target of iptables
	dup    bool // copies that no socket owns, so that waiting does not throttle senders
	egress bool // originals are dropped behind netfilter, not in their queue
}

// variants returns all of them in the order in which they are tried.
func variants() []variant {
	return []variant{
		{native: true, dup: true, egress: true},
		{dup: true, egress: true},
		{native: true, dup: true},
		{dup: true},
		{native: true},
		{},
	}
}

// tryQueueing makes and removes a table in one transaction, so that nothing is
// changed, to see whether the kernel can queue by nftables.
func tryQueueing(ns netns.NsHandle) error {
	try := func(v variant) error {
		conn, err := nftables.New(nftables.WithNetNSFd(int(ns)))
		if err != nil {
			return err
		}
		r := rules{conn: conn, variant: v}
		table := conn.AddTable(&nftables.Table{Name: "microsim-emulate-check", Family: nftables.TableFamilyIPv4})
		r.add(conn.AddChain(&nftables.Chain{Name: "check", Table: table}), r.queue(nfqueue.FirstQueue, true))
		conn.DelTable(table)
		return conn.Flush()
	}
	err := try(variant{native: true})
	if err != nil && !errors.Is(err, unix.EPERM) {
		err = try(variant{})
	}
	return explainRules(err)
}

// explainRules says which feature is missing if the kernel refuses rules.
func explainRules(err error) error {
	var errno unix.Errno
	if errors.As(err, &errno) {
		err = errno // one for every message of a transaction says no more
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("setting nftables rules needs CAP_NET_ADMIN in the namespace: %w", err)
	}
	return fmt.Errorf("setting nftables rules: %w by this kernel (%w); it needs nf_tables, and nft_queue or xt_NFQUEUE; `modprobe -a nf_tables nft_queue` on the node may load them", netfault.ErrUnsupported, err)
}

// plan is the desired rules of one owner.
type plan struct {
	owner    string
	deadline time.Time
	by       string // the generation
	links    []linkPlan
	// originals is the queue of packets whose copies wait.
	originals uint16
	ipv6      bool
	about     string // the effective links as JSON
}

// linkPlan is a link with the queues of its classes.
type linkPlan struct {
	netfault.Link
	device device
	queues []uint16
}

func tableName(owner string) string { return tablePrefix + owner }

func linkChain(l netfault.Link) string { return string(l.Direction) + "-" + l.Interface }

// rules puts the messages of one transaction together.
type rules struct {
	conn *nftables.Conn
	plan plan
	variant
	old []*nftables.Chain
}

// install makes the owner's tables so that they do what the plan says, and
// nothing else, in one transaction. It returns the first of the variants that
// the kernel took.
func install(ns netns.NsHandle, p plan, tries []variant) (variant, error) {
	var first error
	for _, v := range tries {
		err := installVariant(ns, p, v)
		if err == nil {
			return v, nil
		}
		if first == nil {
			first = err
		}
		if errors.Is(err, unix.EPERM) {
			break
		}
	}
	return variant{}, explainRules(first)
}

// proven returns the variants that may still work after the kernel took one of
// them: those that equal it in each ability that the plan used. The plan proves
// nothing about the others: a kernel takes rules for arriving packets whatever dup
// and egress say.
func (p plan) proven(took variant, all []variant) []variant {
	queues, copies := false, false
	for _, l := range p.links {
		for n := range l.Classes {
			queues = true
			copies = copies || l.Direction == netfault.Egress && parts(l.Parts(n)).hold()
		}
	}
	var out []variant
	for _, v := range all {
		if (!queues || v.native == took.native) && (!copies || v.dup == took.dup && v.egress == took.egress) {
			out = append(out, v)
		}
	}
	return out
}

func installVariant(ns netns.NsHandle, p plan, v variant) error {
	conn, err := nftables.New(nftables.WithNetNSFd(int(ns)))
	if err != nil {
		return err
	}
	chains, err := conn.ListChains()
	if err != nil {
		return err
	}
	r := rules{conn: conn, plan: p, variant: v}
	for _, c := range chains {
		if c.Table.Name == tableName(p.owner) {
			r.old = append(r.old, c)
		}
	}
	families := []nftables.TableFamily{nftables.TableFamilyIPv4}
	if p.ipv6 {
		families = append(families, nftables.TableFamilyIPv6)
	}
	for _, f := range families {
		r.family(f)
	}
	if v.dup && v.egress {
		r.dropOriginals()
	}
	return conn.Flush()
}

// family fills the table of IPv4 or IPv6. The base chains stay as they are
// once they are there: when a hook goes away, the kernel drops what every queue
// of the namespace holds.
func (r *rules) family(f nftables.TableFamily) {
	table := r.conn.AddTable(&nftables.Table{Name: tableName(r.plan.owner), Family: f})
	base := func(name string, hook *nftables.ChainHook, priority nftables.ChainPriority) *nftables.Chain {
		return r.conn.AddChain(&nftables.Chain{Name: name, Table: table, Type: nftables.ChainTypeFilter, Hooknum: hook, Priority: &priority})
	}
	arrive := base(chainArrive, nftables.ChainHookPrerouting, priorityArrive)
	leave := base(chainLeave, nftables.ChainHookPostrouting, priorityLeave)
	r.conn.FlushTable(table)
	for _, c := range r.old {
		if c.Table.Family == f && c.Hooknum == nil {
			r.conn.DelChain(&nftables.Chain{Name: c.Name, Table: table})
		}
	}
	if !r.plan.deadline.IsZero() {
		r.conn.AddChain(&nftables.Chain{Name: untilPrefix + strconv.FormatInt(r.plan.deadline.UnixMilli(), 10), Table: table})
	}
	if r.plan.by != "" {
		r.conn.AddChain(&nftables.Chain{Name: byPrefix + r.plan.by, Table: table})
	}
	if f == nftables.TableFamilyIPv4 {
		r.about(r.conn.AddChain(&nftables.Chain{Name: chainAbout, Table: table}))
	}
	r.conn.AddChain(&nftables.Chain{Name: originalsPrefix + strconv.Itoa(int(r.plan.originals)), Table: table})
	r.add(leave, markIs(markInjected), accept())
	for _, l := range r.plan.links {
		from, key := leave, expr.MetaKeyOIFNAME
		if l.Direction == netfault.Ingress {
			from, key = arrive, expr.MetaKeyIIFNAME
		}
		chain := r.conn.AddChain(&nftables.Chain{Name: linkChain(l.Link), Table: table})
		r.add(from, interfaceIs(key, l.Interface), jumpTo(chain))
		r.link(chain, l)
	}
}

// commentSize is how many bytes of text a rule's comment holds: the kernel
// bounds user data to 256 bytes, with its header and a final zero.
const commentSize = 250

// about writes what the links do into comments.
func (r *rules) about(chain *nftables.Chain) {
	for text := range slices.Chunk([]byte(r.plan.about), commentSize) {
		r.conn.AddRule(&nftables.Rule{
			Table: chain.Table, Chain: chain, Exprs: []expr.Any{&expr.Verdict{Kind: expr.VerdictReturn}},
			UserData: userdata.AppendString(nil, userdata.TypeComment, string(text)),
		})
	}
}

// link decides which class a packet of a link falls into.
func (r *rules) link(chain *nftables.Chain, l linkPlan) {
	family := chain.Table.Family
	classes := make([]*nftables.Chain, len(l.queues))
	for n, queue := range l.queues {
		classes[n] = r.conn.AddChain(&nftables.Chain{Name: classPrefix + strconv.Itoa(int(queue)), Table: chain.Table})
		r.class(classes[n], l, queue, parts(l.Parts(n)).hold())
	}
	for _, f := range l.Filters {
		match, ok := matchSelector(f.Match, family, l.Direction == netfault.Egress)
		switch {
		case !ok: // not of this family
		case f.Class == netfault.Unimpaired:
			r.add(chain, match, accept())
		default:
			r.add(chain, match, jumpTo(classes[f.Class]))
		}
	}
}

// class hands packets to their queue.
func (r *rules) class(chain *nftables.Chain, l linkPlan, queue uint16, waits bool) {
	if r.dup && waits && l.Direction == netfault.Egress {
		r.add(chain, markHas(markCopy), r.queue(queue, false))
		if r.egress {
			// A copy cannot be cut into fragments, so what would be stays itself.
			r.add(chain, protocolIs(unix.IPPROTO_TCP), r.replaceByCopy(chain.Table.Family))
			r.add(chain, lengthAtMost(uint32(l.device.mtu)), r.replaceByCopy(chain.Table.Family))
		} else {
			// The packet that begins a connection must itself get through, or
			// connection tracking never confirms the connection; only TCP marks
			// that packet.
			r.add(chain, protocolIs(unix.IPPROTO_TCP), noSYN(), r.replaceByCopy(chain.Table.Family))
		}
	}
	r.add(chain, r.queue(queue, true))
}

// replaceByCopy sends an unowned copy of a packet that a local socket sent on
// its way, and the packet itself to its end.
func (r *rules) replaceByCopy(f nftables.TableFamily) []expr.Any {
	const address, out = 1, 2
	destination := &expr.Payload{DestRegister: address, Base: expr.PayloadBaseNetworkHeader, Offset: 16, Len: 4}
	if f == nftables.TableFamilyIPv6 {
		destination.Offset, destination.Len = 24, 16
	}
	var e []expr.Any
	e = append(e, &expr.Meta{Key: expr.MetaKeySKUID, Register: 1}) // no match if no socket owns it
	e = append(e, setMarkBits(^uint32(0), markCopy)...)
	e = append(e, destination,
		&expr.Meta{Key: expr.MetaKeyOIF, Register: out},
		&expr.Dup{RegAddr: address, RegDev: out, IsRegDevSet: true})
	e = append(e, setMarkBits(^uint32(markCopy), 0)...)
	return append(e, r.queue(r.plan.originals, true)...)
}

func (r *rules) queue(number uint16, bypass bool) []expr.Any {
	if r.native {
		q := &expr.Queue{Num: number, Total: 1}
		if bypass {
			q.Flag = expr.QueueFlagBypass
		}
		return []expr.Any{q}
	}
	// struct xt_NFQ_info_v3 {queuenum, queues_total, flags}, padded to 8 bytes.
	info := binary.NativeEndian.AppendUint16(nil, number)
	info = binary.NativeEndian.AppendUint16(info, 1)
	if bypass {
		info = append(info, 1)
	}
	unknown := xt.Unknown(append(info, make([]byte, 8-len(info))...))
	return []expr.Any{&expr.Target{Name: "NFQUEUE", Rev: 3, Info: &unknown}}
}

// dropOriginals ends the packets that passed netfilter for their copies.
func (r *rules) dropOriginals() {
	var table *nftables.Table
	seen := map[string]bool{}
	for _, l := range r.plan.links {
		if l.Direction != netfault.Egress || seen[l.Interface] {
			continue
		}
		seen[l.Interface] = true
		if table == nil {
			table = r.conn.AddTable(&nftables.Table{Name: tableName(r.plan.owner), Family: nftables.TableFamilyNetdev})
		}
		chain := r.conn.AddChain(&nftables.Chain{
			Name: originalsPrefix + l.Interface, Table: table, Type: nftables.ChainTypeFilter,
			Hooknum: nftables.ChainHookEgress, Priority: nftables.ChainPriorityFilter, Device: l.Interface,
		})
		r.conn.FlushChain(chain)
		r.add(chain, markIs(markOriginal), []expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}})
	}
}

func (r *rules) add(chain *nftables.Chain, parts ...[]expr.Any) {
	rule := &nftables.Rule{Table: chain.Table, Chain: chain}
	for _, p := range parts {
		rule.Exprs = append(rule.Exprs, p...)
	}
	r.conn.AddRule(rule)
}

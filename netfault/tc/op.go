package tc

import "fmt"

// Op is one step of a plan; its String is close to the command of the ip or tc
// program that would do the same.
type Op struct {
	Verb   Verb
	Object Object
}

// Verb is what an [Op] does.
type Verb string

// The verbs; Set is for attributes of a link.
const (
	Add    Verb = "add"
	Change Verb = "change"
	Delete Verb = "delete"
	Set    Verb = "set"
)

// String writes the operation.
func (o Op) String() string { return o.Object.text(o.Verb) }

// Object is what an [Op] acts on: a [Qdisc], [Class], [Filter], [Device] or [Alias].
type Object interface{ text(Verb) string }

// Qdisc is a queueing discipline.
type Qdisc struct {
	Dev            string
	Parent, Handle uint32
	discipline     discipline
}

func (q Qdisc) text(v Verb) string {
	out := fmt.Sprintf("qdisc %s dev %s %s handle %s %s", v, q.Dev, parentText(q.Parent), handleText(q.Handle), q.discipline.kind())
	if p := q.discipline.String(); p != "" && v != Delete {
		out += " " + p
	}
	return out
}

// Class is a class of an htb that carries a child.
type Class struct {
	Dev        string
	Parent, ID uint32
}

func (c Class) text(v Verb) string {
	return fmt.Sprintf("class %s dev %s parent %s classid %s htb rate 34359738360bit", v, c.Dev, handleText(c.Parent), handleText(c.ID))
}

// Filter sorts packets into classes, or redirects all of them to another
// device.
type Filter struct {
	Dev      string
	Parent   uint32
	Priority uint16
	Protocol uint16 // an Ethernet protocol
	Kind     string // bpf or u32
	Match    string // the program or the keys, as the kernel takes them
	ClassID  uint32 // of u32; a bpf program returns it
	Redirect string // the device that packets are led to, if any
}

func (f Filter) text(v Verb) string {
	out := fmt.Sprintf("filter %s dev %s parent %s prio %d protocol 0x%04x %s", v, f.Dev, handleText(f.Parent), f.Priority, f.Protocol, f.Kind)
	if f.Kind == "bpf" {
		out += fmt.Sprintf(" bytecode of %d instructions", len(f.Match)/8)
	} else {
		out += fmt.Sprintf(" match %x", f.Match[16:])
	}
	if f.ClassID != 0 {
		out += " classid " + handleText(f.ClassID)
	}
	if f.Redirect != "" {
		out += " action mirred egress redirect dev " + f.Redirect
	}
	return out
}

// Device is an ifb device of ours.
type Device struct{ Name, Alias string }

func (d Device) text(v Verb) string {
	if v == Delete {
		return "link delete dev " + d.Name
	}
	return fmt.Sprintf("link %s name %s type ifb alias %q up", v, d.Name, d.Alias)
}

// Alias is the free text of a link, which also holds our mark.
type Alias struct{ Dev, Text string }

func (a Alias) text(v Verb) string { return fmt.Sprintf("link %s dev %s alias %q", v, a.Dev, a.Text) }

func handleText(h uint32) string {
	if h&0xffff == 0 {
		return fmt.Sprintf("%x:", h>>16)
	}
	return fmt.Sprintf("%x:%x", h>>16, h&0xffff)
}

func parentText(h uint32) string {
	switch h {
	case atRoot:
		return "root"
	case atIngress:
		return "ingress"
	}
	return "parent " + handleText(h)
}

// Package tc carries out desired network states by the queueing disciplines
// of the Linux kernel, spoken to by netlink: no tc program is needed.
//
// Planning is pure: [Plan] turns links and facts about the namespace into
// operations, and runs everywhere. Applying them needs Linux and CAP_NET_ADMIN
// in the namespace.
//
// Where rules mean every packet, one netem stands at the interface's root.
// Where they mean some, a prio stands there (an htb where the kernel has no
// prio), with a class an impairment, into which a classic BPF program (u32
// filters where the kernel has no cls_bpf) sorts the packets; all others take
// the default path. What arrives is led through an ifb device of ours and
// impaired there as it leaves that.
//
// Two marks tell what is ours: the handle 6d73: of the root, and the owner and
// deadline in the alias of the interface, which any process can read.
package tc

// Package tc applies desired network states with the queueing disciplines of
// the Linux kernel. It uses netlink, so no tc program is needed.
//
// Planning is pure: [Plan] turns links and facts about the namespace into
// operations, and runs everywhere. Applying them needs Linux and CAP_NET_ADMIN
// in the namespace.
//
// If the rules match every packet, one netem is the interface's root. If they
// match some, the root is a prio (an htb if the kernel has no prio) with one
// class per impairment. A classic BPF program (u32 filters if the kernel has no
// cls_bpf) sorts the packets into the classes; all others take the default
// path. Arriving packets are redirected through an ifb device of ours and
// impaired as they leave it.
//
// Two marks tell what is ours: the handle 6d73: of the root, and the owner and
// deadline in the alias of the interface, which any process can read.
package tc

// Package emulate carries out desired states of netfault in user space, for
// kernels without netem.
//
// nftables rules in tables of our own queue the packets that a state means to
// this process by nfnetlink_queue; an [engine.Engine] for each class decides,
// and the verdict is held back until the packet shall leave. If the process
// dies, the queues bypass: traffic flows as if there were no rules.
//
// # What differs from netem
//
//   - Only IP packets are impaired; address resolution is not.
//   - Bulk TCP is cut into frames before it is decided about, except where
//     delay is all that is asked for; so losses and rates count frames where
//     netem on a veth counts pieces of up to 64 KB.
//   - A corrupted bit is always one that a transport checksum covers.
//   - Copies are sent by a raw socket. Copies of what arrives come to local
//     sockets by way of the loopback interface, so that a socket bound to the
//     interface does not see them.
//   - Rules act before fragments are put together on arrival, and before
//     packets are cut into fragments on departure.
//
// # Packets that leave
//
// A packet that is held back stays charged to the socket that sent it, and TCP
// sends little while much is charged; a delay would throttle the sender as no
// network does. netem takes the charge away; a queue cannot. So where the kernel
// has `dup`, a copy that no socket owns is made in the kernel and held back, and
// the packet itself is dropped: once it has left netfilter, so that connection
// tracking confirms it, or in the queue where the kernel cannot do that. The copy's
// queue does not bypass and the packet's does, so that without the process just
// the packet gets through. On IPv4 the copy has "don't fragment" set.
//
// # What it needs
//
// CAP_NET_ADMIN in the namespace, CAP_SYS_ADMIN to enter it, CAP_NET_RAW for
// duplicates. With CAP_SYS_NICE, and Linux 6.5 or later, packets are moved by a
// real-time thread, so that delays stay exact on a busy machine; a program whose other goroutines are busy
// does well to set GOMAXPROCS beyond the number of processors. A process that is
// stopped (SIGSTOP) holds packets until its queue is full; what comes after passes,
// as far as the senders, whose packets stay charged to them, can send more.
//
// If any program removes a netfilter hook of the namespace, such as the last
// rule of an iptables table, the kernel drops all packets that the queues hold.
package emulate

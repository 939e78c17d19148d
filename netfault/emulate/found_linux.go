package emulate

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/userdata"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"github.com/microsim-dev/kubectl-microsim/netfault"
)

// found is what carries one owner's mark in the namespace.
type found struct {
	owner    string
	by       string // the generation
	deadline time.Time
	links    []netfault.Link // without filters, and if comments are missing without classes
	queues   []uint16        // that the rules name
	tables   []*nftables.Table
}

// find reads who has set up what, ordered by owner.
func find(ns netns.NsHandle) ([]*found, error) {
	conn, err := nftables.New(nftables.WithNetNSFd(int(ns)))
	if err != nil {
		return nil, fmt.Errorf("reading nftables: %w", err)
	}
	tables, err := conn.ListTables()
	if err != nil {
		return nil, fmt.Errorf("reading the tables of nftables: %w", err)
	}
	var all []*found
	for _, t := range tables {
		owner, ours := strings.CutPrefix(t.Name, tablePrefix)
		if !ours {
			continue
		}
		n := slices.IndexFunc(all, func(f *found) bool { return f.owner == owner })
		if n < 0 {
			n = len(all)
			all = append(all, &found{owner: owner})
		}
		all[n].tables = append(all[n].tables, t)
	}
	if len(all) == 0 {
		return nil, nil
	}
	chains, err := conn.ListChains()
	if err != nil {
		return nil, fmt.Errorf("reading the chains of nftables: %w", err)
	}
	for _, f := range all {
		var about *nftables.Chain
		for _, c := range chains {
			if c.Table.Name == tableName(f.owner) && c.Table.Family == nftables.TableFamilyIPv4 {
				f.readChain(c.Name)
				if c.Name == chainAbout {
					about = c
				}
			}
		}
		if about != nil {
			f.readAbout(conn, about)
		}
		slices.SortFunc(f.links, func(a, b netfault.Link) int {
			return cmp.Or(cmp.Compare(a.Interface, b.Interface), cmp.Compare(a.Direction, b.Direction))
		})
	}
	slices.SortFunc(all, func(a, b *found) int { return cmp.Compare(a.owner, b.owner) })
	return all, nil
}

// readAbout takes the links from the comments, if these name the same ones as
// the chains do.
func (f *found) readAbout(conn *nftables.Conn, about *nftables.Chain) {
	rules, err := conn.GetRules(about.Table, about)
	if err != nil {
		return // the chain went while we looked; what it said is missing
	}
	var text strings.Builder
	for _, r := range rules {
		part, _ := userdata.GetString(r.UserData, userdata.TypeComment)
		text.WriteString(part)
	}
	var links []netfault.Link
	if json.Unmarshal([]byte(text.String()), &links) != nil {
		return
	}
	same := func(a, b netfault.Link) bool { return a.Interface == b.Interface && a.Direction == b.Direction }
	for n, l := range f.links {
		if at := slices.IndexFunc(links, func(o netfault.Link) bool { return same(l, o) }); at >= 0 {
			f.links[n] = links[at]
		}
	}
}

func (f *found) readChain(name string) {
	if by, ok := strings.CutPrefix(name, byPrefix); ok {
		f.by = by
		return
	}
	if text, ok := strings.CutPrefix(name, untilPrefix); ok {
		if ms, err := strconv.ParseInt(text, 10, 64); err == nil {
			f.deadline = time.UnixMilli(ms)
		}
		return
	}
	for _, prefix := range []string{classPrefix, originalsPrefix} {
		if text, ok := strings.CutPrefix(name, prefix); ok {
			if number, err := strconv.ParseUint(text, 10, 16); err == nil {
				f.queues = append(f.queues, uint16(number))
			}
		}
	}
	for _, d := range []netfault.Direction{netfault.Egress, netfault.Ingress} {
		if iface, ok := strings.CutPrefix(name, string(d)+"-"); ok {
			f.links = append(f.links, netfault.Link{Interface: iface, Direction: d})
		}
	}
}

// orphaned tells whether no process reads a queue that the rules name, so that
// all packets pass; read is what [readQueues] returned.
func (f *found) orphaned(read map[uint16]bool) bool {
	return read != nil && len(f.queues) > 0 && !slices.ContainsFunc(f.queues, func(q uint16) bool { return read[q] })
}

// readQueues returns the netfilter queues of the namespace that a process reads;
// nil if the kernel does not show them. It must run inside the namespace.
func readQueues() (map[uint16]bool, error) {
	text, err := os.ReadFile("/proc/thread-self/net/netfilter/nfnetlink_queue")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading which netfilter queues are in use: %w", err)
	}
	read := map[uint16]bool{}
	for line := range strings.Lines(string(text)) {
		number, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		if q, err := strconv.ParseUint(number, 10, 16); err == nil {
			read[uint16(q)] = true
		}
	}
	return read, nil
}

// remove takes the owner's tables away; with keepHooks only the rules, so that
// no packet is queued any more and those in queues are not dropped.
func (f *found) remove(ns netns.NsHandle, keepHooks bool) error {
	conn, err := nftables.New(nftables.WithNetNSFd(int(ns)))
	if err != nil {
		return fmt.Errorf("opening nftables: %w", err)
	}
	for _, t := range f.tables {
		if keepHooks {
			if t.Family != nftables.TableFamilyNetdev {
				conn.FlushTable(t)
			}
		} else {
			conn.DelTable(t)
		}
	}
	err = conn.Flush()
	if err == nil || errors.Is(err, unix.ENOENT) {
		return nil
	}
	var commands []string
	for _, t := range f.tables {
		commands = append(commands, fmt.Sprintf("nft delete table %s %s", familyName(t.Family), t.Name))
	}
	return fmt.Errorf("removing the nftables rules of owner %q: %w; to remove them by hand: %s", f.owner, err, strings.Join(commands, "; "))
}

func familyName(f nftables.TableFamily) string {
	switch f {
	case nftables.TableFamilyIPv4:
		return "ip"
	case nftables.TableFamilyIPv6:
		return "ip6"
	}
	return "netdev"
}

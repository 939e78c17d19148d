package kafkafront

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// Groups coordinates the consumer groups of a store, by Kafka's classic protocol: those
// that join get one generation, whose leader tells the others their partitions. It may
// be used by several goroutines.
type Groups struct {
	mu   sync.Mutex
	list map[string]*group
	// last numbers members and producers.
	last int64
}

// NewGroups returns a coordinator without groups.
func NewGroups() *Groups { return &Groups{list: map[string]*group{}} }

// Bounds of groups.
const (
	mostGroups  = 10_000
	mostMembers = 1000 // of all groups
	// mostTold is how much a member may say of itself, and be told, in bytes.
	mostTold    = 64 << 10
	leastWait   = 10 * time.Millisecond
	mostSession = 30 * time.Minute
)

type state uint8

const (
	// joining waits for all members to join again, syncing for the leader's plan.
	joining state = iota
	syncing
	stable
)

type group struct {
	state      state
	generation int32
	kind       string // of the protocol
	protocol   string
	members    []*member // the leader first
	// until is when the members that have not joined again are dropped.
	until time.Time
	// changed is closed when something changes.
	changed chan struct{}
}

type member struct {
	id string
	// client and host are what the client calls itself, and where it is.
	client, host string

	instance   *string
	protocols  []kmsg.JoinGroupRequestProtocol
	assignment []byte
	joined     bool
	session    time.Duration
	rebalance  time.Duration
	// seen is when it was last heard of; waits counts its requests that wait.
	seen  time.Time
	waits int
	// joins says that it waits for the next generation.
	joins bool
}

func (g *group) member(id string) *member {
	i := slices.IndexFunc(g.members, func(m *member) bool { return m.id == id })
	if i < 0 {
		return nil
	}
	return g.members[i]
}

// tell wakes those that wait for a change of the group.
func (g *group) tell() {
	close(g.changed)
	g.changed = make(chan struct{})
}

// rebalance lets the members join again.
func (g *group) rebalance(now time.Time) {
	if g.state == joining && !g.until.IsZero() {
		return
	}
	g.state, g.until = joining, now
	for _, m := range g.members {
		m.joined = m.joins
		g.until = later(g.until, now.Add(m.rebalance))
	}
	g.tell()
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// expire drops the members that were not heard of for too long, and those that have not
// joined in time.
func (g *group) expire(now time.Time) {
	n := len(g.members)
	over := g.state == joining && now.After(g.until)
	g.members = slices.DeleteFunc(g.members, func(m *member) bool {
		return m.waits == 0 && (now.Sub(m.seen) > m.session || over && !m.joined)
	})
	if len(g.members) < n && g.state != joining {
		g.rebalance(now)
	}
}

// complete begins a generation if all members have joined.
func (g *group) complete() {
	if g.state != joining || len(g.members) == 0 || slices.ContainsFunc(g.members, func(m *member) bool { return !m.joined }) {
		return
	}
	g.generation++
	g.state, g.protocol = syncing, g.choose()
	for _, m := range g.members {
		m.assignment = nil
	}
	g.tell()
}

// choose is the first protocol of the leader that all know.
func (g *group) choose() string {
	for _, p := range g.members[0].protocols {
		if !slices.ContainsFunc(g.members, func(m *member) bool { return !m.knows(p.Name) }) {
			return p.Name
		}
	}
	return ""
}

func (m *member) knows(protocol string) bool {
	return slices.ContainsFunc(m.protocols, func(p kmsg.JoinGroupRequestProtocol) bool { return p.Name == protocol })
}

func (m *member) metadata(protocol string) []byte {
	for _, p := range m.protocols {
		if p.Name == protocol {
			return p.Metadata
		}
	}
	return nil
}

// of returns a group, made if it is new; nil means that there are too many.
func (gs *Groups) of(name string) *group {
	g := gs.list[name]
	if g == nil {
		for other, old := range gs.list {
			if old.expire(time.Now()); len(old.members) == 0 {
				delete(gs.list, other)
			}
		}
		if len(gs.list) >= mostGroups {
			return nil
		}
		g = &group{changed: make(chan struct{})}
		gs.list[name] = g
	}
	return g
}

// join lets a member join, and waits until all have. Client is what it calls itself, host is
// where it is.
func (gs *Groups) join(ctx context.Context, r *kmsg.JoinGroupRequest, client, host string) (kmsg.Response, error) {
	response := r.ResponseKind().(*kmsg.JoinGroupResponse)
	response.MemberID, response.Generation = r.MemberID, -1
	gs.mu.Lock()
	defer gs.mu.Unlock()
	g, m, wrong := gs.admit(r, client, host)
	if response.ErrorCode = wrong; wrong != 0 {
		return response, nil
	}
	response.MemberID = m.id
	m.waits++
	m.joins = true
	defer func() {
		m.waits--
		m.joins, m.seen = false, time.Now()
	}()
	began := g.generation
	for g.complete(); g.state == joining || g.generation == began; g.complete() {
		if err := gs.wait(ctx, g, m); err != nil {
			return nil, err
		}
		if g.member(m.id) == nil {
			response.ErrorCode = kerr.UnknownMemberID.Code
			return response, nil
		}
		g.expire(time.Now())
	}
	response.Generation, response.LeaderID = g.generation, g.members[0].id
	response.ProtocolType, response.Protocol = kmsg.StringPtr(g.kind), kmsg.StringPtr(g.protocol)
	if m != g.members[0] {
		return response, nil
	}
	for _, other := range g.members {
		one := kmsg.NewJoinGroupResponseMember()
		one.MemberID, one.InstanceID, one.ProtocolMetadata = other.id, other.instance, other.metadata(g.protocol)
		response.Members = append(response.Members, one)
	}
	return response, nil
}

// admit notes that a member wants to be in the next generation.
func (gs *Groups) admit(r *kmsg.JoinGroupRequest, client, host string) (g *group, m *member, wrong int16) {
	now := time.Now()
	if r.Group == "" {
		return nil, nil, kerr.InvalidGroupID.Code
	}
	if g = gs.of(r.Group); g == nil {
		return nil, nil, kerr.GroupMaxSizeReached.Code
	}
	g.expire(now)
	m = g.member(r.MemberID)
	switch {
	case m == nil && r.MemberID != "":
		return nil, nil, kerr.UnknownMemberID.Code
	case len(g.members) > 0 && (g.kind != r.ProtocolType || !g.shares(r.Protocols, m)), len(r.Protocols) == 0:
		return nil, nil, kerr.InconsistentGroupProtocol.Code
	case size(r.Protocols) > mostTold, m == nil && gs.members() >= mostMembers:
		return nil, nil, kerr.GroupMaxSizeReached.Code
	}
	if m == nil {
		gs.last++
		m = &member{id: cmp.Or(client, "consumer") + "-" + strconv.FormatInt(gs.last, 10), client: client, host: host}
		g.members = append(g.members, m)
	}
	m.protocols, m.instance, m.seen = r.Protocols, r.InstanceID, now
	m.session = min(max(time.Duration(r.SessionTimeoutMillis)*time.Millisecond, time.Second), mostSession)
	m.rebalance = min(max(time.Duration(r.RebalanceTimeoutMillis)*time.Millisecond, m.session), mostSession)
	g.kind = r.ProtocolType
	g.rebalance(now)
	m.joined = true
	return g, m, 0
}

func size(protocols []kmsg.JoinGroupRequestProtocol) (n int) {
	for _, p := range protocols {
		n += len(p.Name) + len(p.Metadata)
	}
	return n
}

func (gs *Groups) members() (n int) {
	for _, g := range gs.list {
		n += len(g.members)
	}
	return n
}

// shares reports whether all other members know one of the protocols.
func (g *group) shares(protocols []kmsg.JoinGroupRequestProtocol, but *member) bool {
	return slices.ContainsFunc(protocols, func(p kmsg.JoinGroupRequestProtocol) bool {
		return !slices.ContainsFunc(g.members, func(m *member) bool { return m != but && !m.knows(p.Name) })
	})
}

// wait waits for a change of a group, or for a member's time to be over. The caller
// holds mu, which others get meanwhile.
func (gs *Groups) wait(ctx context.Context, g *group, m *member) error {
	changed := g.changed
	next := time.Until(g.until)
	if g.state != joining {
		next = m.rebalance
	}
	for _, other := range g.members {
		if other.waits == 0 {
			next = min(next, time.Until(other.seen.Add(other.session)))
		}
	}
	gs.mu.Unlock()
	defer gs.mu.Lock()
	timer := time.NewTimer(max(next, leastWait))
	defer timer.Stop()
	select {
	case <-changed:
	case <-timer.C:
	case <-ctx.Done():
		return ctx.Err()
	}
	return nil
}

// sync tells a member its partitions, as soon as the leader has told them all.
func (gs *Groups) sync(ctx context.Context, r *kmsg.SyncGroupRequest) (kmsg.Response, error) {
	response := r.ResponseKind().(*kmsg.SyncGroupResponse)
	gs.mu.Lock()
	defer gs.mu.Unlock()
	g := gs.list[r.Group]
	if response.ErrorCode = gs.heard(r.Group, r.MemberID, r.Generation); response.ErrorCode != 0 {
		return response, nil
	}
	m := g.member(r.MemberID)
	if m == g.members[0] && g.state == syncing {
		for _, one := range r.GroupAssignment {
			if other := g.member(one.MemberID); other != nil && len(one.MemberAssignment) <= mostTold {
				other.assignment = one.MemberAssignment
			}
		}
		g.state, g.until = stable, time.Time{}
		g.tell()
	}
	m.waits++
	defer func() { m.waits-- }()
	for g.state == syncing && g.generation == r.Generation {
		if err := gs.wait(ctx, g, m); err != nil {
			return nil, err
		}
		g.expire(time.Now())
	}
	m.seen = time.Now()
	if g.state != stable || g.generation != r.Generation || g.member(m.id) == nil {
		response.ErrorCode = kerr.RebalanceInProgress.Code
		return response, nil
	}
	response.ProtocolType, response.Protocol = kmsg.StringPtr(g.kind), kmsg.StringPtr(g.protocol)
	response.MemberAssignment = m.assignment
	return response, nil
}

// heard notes that a member is there, or says why it is none. The caller holds mu.
func (gs *Groups) heard(name, id string, generation int32) (wrong int16) {
	g := gs.list[name]
	if g == nil {
		return kerr.UnknownMemberID.Code
	}
	now := time.Now()
	if m := g.member(id); m != nil {
		m.seen = now
	}
	g.expire(now)
	g.complete()
	switch {
	case g.member(id) == nil:
		return kerr.UnknownMemberID.Code
	case g.state == joining:
		return kerr.RebalanceInProgress.Code
	case g.generation != generation:
		return kerr.IllegalGeneration.Code
	}
	return 0
}

func (gs *Groups) heartbeat(r *kmsg.HeartbeatRequest) kmsg.Response {
	response := r.ResponseKind().(*kmsg.HeartbeatResponse)
	gs.mu.Lock()
	defer gs.mu.Unlock()
	response.ErrorCode = gs.heard(r.Group, r.MemberID, r.Generation)
	return response
}

// check says why a member may not commit. Those that are in no group may, as far as the
// group has no members.
func (gs *Groups) check(name, id string, generation int32) (wrong int16) {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	if g := gs.list[name]; generation < 0 && (g == nil || len(g.members) == 0) {
		return 0
	}
	wrong = gs.heard(name, id, generation)
	if wrong == kerr.RebalanceInProgress.Code && gs.list[name].generation == generation {
		return 0 // what it has consumed before it joins again
	}
	return wrong
}

// leave lets members go: one, or those of a list in later versions.
func (gs *Groups) leave(r *kmsg.LeaveGroupRequest) kmsg.Response {
	response := r.ResponseKind().(*kmsg.LeaveGroupResponse)
	gs.mu.Lock()
	defer gs.mu.Unlock()
	g := gs.list[r.Group]
	drop := func(id string) (wrong int16) {
		if g == nil || g.member(id) == nil {
			return kerr.UnknownMemberID.Code
		}
		g.members = slices.DeleteFunc(g.members, func(m *member) bool { return m.id == id })
		g.rebalance(time.Now())
		g.tell()
		return 0
	}
	if r.Version < 3 {
		response.ErrorCode = drop(r.MemberID)
	}
	for _, m := range r.Members {
		one := kmsg.NewLeaveGroupResponseMember()
		one.MemberID, one.InstanceID, one.ErrorCode = m.MemberID, m.InstanceID, drop(m.MemberID)
		response.Members = append(response.Members, one)
	}
	return response
}

// producer is the number of a producer that is new.
func (gs *Groups) producer() int64 {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	gs.last++
	return gs.last
}

// Names are those of the groups that have members, which may not have committed anything.
func (gs *Groups) Names() (names []string) {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	for name, g := range gs.list {
		if len(g.members) > 0 {
			names = append(names, name)
		}
	}
	return names
}

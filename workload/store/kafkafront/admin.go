package kafkafront

import (
	"slices"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/microsim-dev/kubectl-microsim/model/store"
)

// Requests of tools that look at a broker, such as kafka-consumer-groups.

// administer answers a request that neither publishes nor consumes.
func (c *client) administer(request kmsg.Request) (kmsg.Response, error) {
	switch r := request.(type) {
	case *kmsg.ListGroupsRequest:
		return c.listGroups(r), nil
	case *kmsg.DescribeGroupsRequest:
		return c.describeGroups(r), nil
	case *kmsg.DeleteGroupsRequest:
		return c.deleteGroups(r), nil
	case *kmsg.DescribeConfigsRequest:
		return c.describeConfigs(r), nil
	case *kmsg.DescribeClusterRequest:
		return c.describeCluster(r), nil
	}
	return nil, errLost
}

// States of groups, as Kafka calls them.
const (
	stateEmpty = "Empty"
	stateDead  = "Dead"
)

// consumers is the kind of protocol of the groups that consume.
const consumers = "consumer"

func (g *group) stateName() string {
	switch {
	case len(g.members) == 0:
		return stateEmpty
	case g.state == joining:
		return "PreparingRebalance"
	case g.state == syncing:
		return "CompletingRebalance"
	default:
		return "Stable"
	}
}

// consumed are the groups that have said how far they have come, by name.
func (c *client) consumed() (names []string) {
	c.engine.Look(func(m *store.Store, _ time.Duration) { names = m.Groups() })
	return names
}

func (c *client) listGroups(r *kmsg.ListGroupsRequest) kmsg.Response {
	response := r.ResponseKind().(*kmsg.ListGroupsResponse)
	groups := c.engine.Groups()
	names := append(c.consumed(), groups.Names()...)
	slices.Sort(names)
	for _, name := range slices.Compact(names) {
		one := kmsg.NewListGroupsResponseGroup()
		one.Group, one.ProtocolType, one.GroupState = name, consumers, stateEmpty
		groups.look(name, func(g *group) { one.ProtocolType, one.GroupState = g.kind, g.stateName() })
		if len(r.StatesFilter) == 0 || slices.Contains(r.StatesFilter, one.GroupState) {
			response.Groups = append(response.Groups, one)
		}
	}
	return response
}

// look asks about a group that has members.
func (gs *Groups) look(name string, ask func(g *group)) {
	gs.mu.Lock()
	defer gs.mu.Unlock()
	g := gs.list[name]
	if g == nil {
		return
	}
	if g.expire(time.Now()); len(g.members) > 0 {
		ask(g)
	}
}

// describeGroups tells the members of groups, each group once, so that the answer is bound.
func (c *client) describeGroups(r *kmsg.DescribeGroupsRequest) kmsg.Response {
	response := r.ResponseKind().(*kmsg.DescribeGroupsResponse)
	known := c.consumed()
	slices.Sort(r.Groups)
	for _, name := range slices.Compact(r.Groups) {
		one := kmsg.NewDescribeGroupsResponseGroup()
		one.Group, one.State = name, stateDead
		if _, found := slices.BinarySearch(known, name); found {
			one.State, one.ProtocolType = stateEmpty, consumers
		}
		c.engine.Groups().look(name, func(g *group) { describeGroup(&one, g) })
		response.Groups = append(response.Groups, one)
	}
	return response
}

func describeGroup(one *kmsg.DescribeGroupsResponseGroup, g *group) {
	one.State, one.ProtocolType = g.stateName(), g.kind
	if g.state == stable {
		one.Protocol = g.protocol
	}
	for _, m := range g.members {
		member := kmsg.NewDescribeGroupsResponseGroupMember()
		member.MemberID, member.InstanceID, member.ClientID, member.ClientHost = m.id, m.instance, m.client, m.host
		if g.state == stable {
			member.ProtocolMetadata, member.MemberAssignment = m.metadata(g.protocol), m.assignment
		}
		one.Members = append(one.Members, member)
	}
}

// deleteGroups drops what groups without members have consumed.
func (c *client) deleteGroups(r *kmsg.DeleteGroupsRequest) kmsg.Response {
	response := r.ResponseKind().(*kmsg.DeleteGroupsResponse)
	for _, name := range r.Groups {
		one := kmsg.NewDeleteGroupsResponseGroup()
		one.Group, one.ErrorCode = name, kerr.GroupIDNotFound.Code
		c.engine.Look(func(m *store.Store, _ time.Duration) {
			hasMembers := false
			c.engine.Groups().look(name, func(*group) { hasMembers = true })
			switch {
			case hasMembers:
				one.ErrorCode = kerr.NonEmptyGroup.Code
			case m.Forget(name):
				one.ErrorCode = 0
			}
		})
		response.Groups = append(response.Groups, one)
	}
	return response
}

func (c *client) describeCluster(r *kmsg.DescribeClusterRequest) kmsg.Response {
	response := r.ResponseKind().(*kmsg.DescribeClusterResponse)
	one := kmsg.NewDescribeClusterResponseBroker()
	one.NodeID, one.Host, one.Port = broker, c.host, c.port
	response.ClusterID, response.ControllerID = clusterID, broker
	response.Brokers = append(response.Brokers, one)
	return response
}

// A setting is one of the topic, in the words of Kafka.
type setting struct{ name, value string }

// settings are those of the topic that say how the log behaves, by name.
func (c *client) settings() []setting {
	retention := 0
	c.engine.Look(func(m *store.Store, _ time.Duration) { retention = m.Retention() })
	return []setting{
		{"cleanup.policy", "delete"}, {"compression.type", "uncompressed"}, {"max.message.bytes", strconv.Itoa(mostBatch)},
		{"message.timestamp.type", "LogAppendTime"}, {"min.insync.replicas", "1"}, {"retention.bytes", strconv.Itoa(retention)}, {"retention.ms", "-1"},
	}
}

// fixed says where a setting comes from: the configuration of the broker, which does not
// change.
const fixed = kmsg.ConfigSourceStaticBrokerConfig

// describeConfigs tells the settings of the topic. The broker tells none of its own.
func (c *client) describeConfigs(r *kmsg.DescribeConfigsRequest) kmsg.Response {
	response := r.ResponseKind().(*kmsg.DescribeConfigsResponse)
	named := map[string]bool{}
	for _, asked := range r.Resources {
		one := kmsg.NewDescribeConfigsResponseResource()
		one.ResourceType, one.ResourceName = asked.ResourceType, asked.ResourceName
		switch {
		case asked.ResourceType == kmsg.ConfigResourceTypeBroker:
		case asked.ResourceType != kmsg.ConfigResourceTypeTopic || named[asked.ResourceName]:
			one.ErrorCode = kerr.InvalidRequest.Code
		case asked.ResourceName != Topic:
			one.ErrorCode = kerr.UnknownTopicOrPartition.Code
		default:
			named[asked.ResourceName] = true
			for _, s := range c.settings() {
				if asked.ConfigNames == nil || slices.Contains(asked.ConfigNames, s.name) {
					config := kmsg.NewDescribeConfigsResponseResourceConfig()
					config.Name, config.Value, config.ReadOnly, config.Source = s.name, kmsg.StringPtr(s.value), true, fixed
					one.Configs = append(one.Configs, config)
				}
			}
		}
		response.Resources = append(response.Resources, one)
	}
	return response
}

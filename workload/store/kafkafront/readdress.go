package kafkafront

import (
	"encoding/binary"
	"slices"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A broker tells its clients at which address they reach it. Behind a relay that address
// leads around the relay, or nowhere. So the relay puts its own address in its place.

// tellsAddresses reports whether the answer to a request may say where a broker is, or
// which versions of such requests a client may send.
func tellsAddresses(key int16) bool {
	return slices.Contains([]kmsg.Key{kmsg.Metadata, kmsg.FindCoordinator, kmsg.DescribeCluster, kmsg.ApiVersions}, kmsg.Key(key))
}

// readdress puts the address of the relay in place of those of brokers, and reports whether
// it has changed anything.
func (e *Exchange) readdress(response kmsg.Response) (changed bool) {
	put := func(id int32, host *string, port *int32) {
		if id >= 0 && *host != "" {
			*host, *port, changed = e.host, e.port, true
		}
	}
	switch r := response.(type) {
	case *kmsg.MetadataResponse:
		for i := range r.Brokers {
			put(r.Brokers[i].NodeID, &r.Brokers[i].Host, &r.Brokers[i].Port)
		}
	case *kmsg.FindCoordinatorResponse:
		put(r.NodeID, &r.Host, &r.Port)
		for i := range r.Coordinators {
			put(r.Coordinators[i].NodeID, &r.Coordinators[i].Host, &r.Coordinators[i].Port)
		}
	case *kmsg.DescribeClusterResponse:
		for i := range r.Brokers {
			put(r.Brokers[i].NodeID, &r.Brokers[i].Host, &r.Brokers[i].Port)
		}
	case *kmsg.ProduceResponse:
		for i := range r.Brokers {
			put(r.Brokers[i].NodeID, &r.Brokers[i].Host, &r.Brokers[i].Port)
		}
	case *kmsg.FetchResponse:
		for i := range r.Brokers {
			put(r.Brokers[i].NodeID, &r.Brokers[i].Host, &r.Brokers[i].Port)
		}
	case *kmsg.ApiVersionsResponse:
		return boundVersions(r)
	}
	return changed
}

// boundVersions lets clients send no version of a request that the relay has to understand,
// and does not.
func boundVersions(r *kmsg.ApiVersionsResponse) (changed bool) {
	for i := range r.ApiKeys {
		one := &r.ApiKeys[i]
		if !tellsAddresses(one.ApiKey) && !isOfMessages(one.ApiKey) {
			continue
		}
		if known := kmsg.RequestForKey(one.ApiKey).MaxVersion(); one.MaxVersion > known {
			one.MaxVersion, changed = known, true
		}
	}
	return changed
}

// isOfMessages reports whether a request publishes or consumes.
func isOfMessages(key int16) bool { return key == kmsg.Produce.Int16() || key == kmsg.Fetch.Int16() }

// parse reads the answer to a request after its head of size, number and tags.
func (x *exchanged) parse(rest []byte) (kmsg.Response, error) {
	response := kmsg.ResponseForKey(x.key)
	version := x.version
	if x.key == kmsg.ApiVersions.Int16() {
		// The answer to a version that the broker does not know has the first one.
		if len(rest) >= 2 && int16(binary.BigEndian.Uint16(rest)) == kerr.UnsupportedVersion.Code { //nolint:gosec // it is signed
			version = 0
		}
	}
	response.SetVersion(version)
	var err error
	if response.IsFlexible() && x.key != kmsg.ApiVersions.Int16() {
		if rest, err = skipTags(rest); err != nil {
			return nil, err
		}
	}
	if response.ReadFrom(rest) != nil {
		return nil, errLost
	}
	return response, nil
}

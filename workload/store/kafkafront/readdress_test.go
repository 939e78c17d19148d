package kafkafront

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/microsim-dev/kubectl-microsim/workload/store/intake"
)

// relayed is what a client gets of what a broker sends, if it has asked that.
func relayed(asked []head, sent []byte) (got []byte, answers int, rest io.Reader) {
	e := NewExchange(intake.NewBudget(1<<20), &net.TCPAddr{IP: net.IPv4(10, 0, 0, 7), Port: 9092})
	for _, h := range asked {
		e.asked = append(e.asked, exchanged{head: h})
	}
	e.ended = true
	var out bytes.Buffer
	rest = e.Relay(bytes.NewReader(sent), &out, func(bool, int) { answers++ })
	if rest != nil {
		_, _ = io.Copy(&out, rest)
	}
	return out.Bytes(), answers, rest
}

// answerOf is an answer that says where brokers are, at host and port.
func answerOf(key kmsg.Key, version int16, host string, port int32) kmsg.Response {
	response := kmsg.ResponseForKey(key.Int16())
	switch r := response.(type) {
	case *kmsg.MetadataResponse:
		r.Brokers = []kmsg.MetadataResponseBroker{{NodeID: 1, Host: host, Port: port}, {NodeID: 2, Host: host, Port: port, Rack: kmsg.StringPtr("r")}}
		r.ControllerID = 1
	case *kmsg.FindCoordinatorResponse:
		r.NodeID, r.Host, r.Port = 1, host, port
		if version >= 4 {
			r.NodeID, r.Host, r.Port = 0, "", 0
			r.Coordinators = []kmsg.FindCoordinatorResponseCoordinator{{Key: "g", NodeID: 1, Host: host, Port: port}}
		}
	case *kmsg.DescribeClusterResponse:
		r.Brokers = []kmsg.DescribeClusterResponseBroker{{NodeID: 1, Host: host, Port: port}}
	case *kmsg.ProduceResponse:
		if version >= 10 {
			r.Brokers = []kmsg.ProduceResponseBroker{{NodeID: 1, Host: host, Port: port}}
		}
	case *kmsg.FetchResponse:
		if version >= 16 {
			r.Brokers = []kmsg.FetchResponseBroker{{NodeID: 1, Host: host, Port: port}}
		}
	}
	response.SetVersion(version)
	return response
}

// Each answer that says where brokers are says where the relay is, in each version, and
// nothing else of it changes.
func TestAnswersHaveTheAddressOfTheRelay(t *testing.T) {
	for _, key := range []kmsg.Key{kmsg.Metadata, kmsg.FindCoordinator, kmsg.DescribeCluster, kmsg.Produce, kmsg.Fetch} {
		for version := int16(0); version <= kmsg.RequestForKey(key.Int16()).MaxVersion(); version++ {
			sent := answerOf(key, version, "broker.internal", 16000)
			h := head{key: key.Int16(), version: version, correlation: 7, flexible: sent.IsFlexible()}
			got, answers, _ := relayed([]head{h}, appendResponse(nil, h, sent))
			want := appendResponse(nil, h, answerOf(key, version, "10.0.0.7", 9092))
			if !bytes.Equal(got, want) || answers != 1 {
				t.Errorf("version %d of %s: %d answers,\n%q, want\n%q", version, key.Name(), answers, got, want)
			}
		}
	}
}

// A coordinator that is not there has no address, and gets none.
func TestErrorsGetNoAddress(t *testing.T) {
	r := kmsg.NewPtrFindCoordinatorResponse()
	r.ErrorCode, r.NodeID, r.Port = kerr.CoordinatorNotAvailable.Code, -1, -1
	r.SetVersion(2)
	h := head{key: kmsg.FindCoordinator.Int16(), version: 2, correlation: 7}
	sent := appendResponse(nil, h, r)
	if got, _, _ := relayed([]head{h}, sent); !bytes.Equal(got, sent) {
		t.Errorf("%q, want %q", got, sent)
	}
}

// Clients of a newer broker are told versions that the relay understands, of the requests that
// it has to; also where the broker does not know the version of their question.
func TestVersionsAreBound(t *testing.T) {
	for _, asked := range []int16{0, 3, 4} {
		for _, refused := range []bool{false, true} {
			answer := func(metadata int16) *kmsg.ApiVersionsResponse {
				r := kmsg.NewPtrApiVersionsResponse()
				r.ApiKeys = []kmsg.ApiVersionsResponseApiKey{{ApiKey: kmsg.Metadata.Int16(), MaxVersion: metadata}, {ApiKey: kmsg.Heartbeat.Int16(), MaxVersion: 99}, {ApiKey: 30000, MaxVersion: 99}}
				r.SetVersion(asked)
				if refused {
					r.ErrorCode = kerr.UnsupportedVersion.Code
					r.SetVersion(0)
				}
				return r
			}
			h := head{key: kmsg.ApiVersions.Int16(), version: asked, correlation: 7}
			got, _, _ := relayed([]head{h}, appendResponse(nil, h, answer(99)))
			want := appendResponse(nil, h, answer(kmsg.RequestForKey(kmsg.Metadata.Int16()).MaxVersion()))
			if !bytes.Equal(got, want) {
				t.Errorf("version %d: %q, want %q", asked, got, want)
			}
		}
	}
}

// The relay hands on as it is all that it does not look at, or does not understand, in whatever
// pieces it comes and wherever it ends.
func TestOtherAnswersAreHandedOn(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	keys := []kmsg.Key{kmsg.Heartbeat, kmsg.Fetch, kmsg.Metadata, kmsg.JoinGroup}
	for range 2000 {
		var sent []byte
		var asked []head
		for i := range r.IntN(4) {
			h := head{key: keys[r.IntN(len(keys))].Int16(), correlation: int32(i)} //nolint:gosec // it is small
			body := make([]byte, []int{0, 10, 40 << 10}[r.IntN(3)])
			for j := range body {
				body[j] = byte(r.IntN(256)) //nolint:gosec // it is one
			}
			message := append([]byte{0, 0, 0, 0, 0, 0, 0, byte(i)}, body...)
			size := len(message) - 4
			message[1], message[2], message[3] = byte(size>>16), byte(size>>8), byte(size)
			sent, asked = append(sent, message...), append(asked, h)
		}
		sent = sent[:len(sent)-r.IntN(min(len(sent), 20)+1)]
		got, _, rest := relayed(asked, sent)
		// A cut answer that has to be whole is not handed on, and ends the connection.
		if rest != nil && !bytes.Equal(got, sent) || rest == nil && !bytes.HasPrefix(sent, got) {
			t.Fatalf("%d bytes of %d, which differ", len(got), len(sent))
		}
	}
}

// A client that goes away ends the relay.
func TestRelayEndsWithItsClient(t *testing.T) {
	e := NewExchange(intake.NewBudget(1<<20), &net.TCPAddr{})
	h := head{key: kmsg.Metadata.Int16(), correlation: 7}
	e.asked = []exchanged{{head: h}}
	if e.Relay(bytes.NewReader(appendResponse(nil, h, answerOf(kmsg.Metadata, 0, "b", 1))), gone{}, func(bool, int) {}) != nil {
		t.Error("it would go on")
	}
}

type gone struct{}

func (gone) Write([]byte) (int, error) { return 0, errors.New("the client is gone") }

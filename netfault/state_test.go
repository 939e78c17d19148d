package netfault

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
)

const full = `{
  "owner": "run-1", "deadline": "2026-01-02T03:04:05Z",
  "rules": [{
    "id": "slow", "interface": "eth0", "direction": "egress",
    "peers": [{"cidr": "10.1.0.0/16", "ports": ["80", "8000-8100"], "protocol": "tcp"}, {"cidr": "fd00::1"}],
    "exempt": [{"protocol": "udp", "ports": ["53"]}, {"localPorts": ["9090"]}],
    "impairment": {
      "delay": "100ms", "jitter": "10.5ms", "distribution": "normal", "delayCorrelation": 0.25,
      "loss": {"gilbertElliott": {"goodToBad": 0.01, "badToGood": 0.3}},
      "duplicate": {"probability": 0.01}, "corrupt": {"probability": 0.02, "correlation": 0.1},
      "reorder": {"probability": 0.2, "gap": 5},
      "rate": {"bytesPerSecond": 125000, "packetOverhead": -14, "cellSize": 53, "cellOverhead": 5},
      "slot": {"minDelay": "1ms", "maxDelay": "2ms", "packets": 10, "bytes": 9000},
      "ecn": true, "seed": 7, "limit": 5000}
  }]}`

func TestParseKeepsEveryField(t *testing.T) {
	s, err := Parse(strings.NewReader(full))
	if err != nil {
		t.Fatal(err)
	}
	if s.Rules[0].Impairment.Jitter != 10500*time.Microsecond {
		t.Errorf("jitter = %v", s.Rules[0].Impairment.Jitter)
	}
	if got := s.Rules[0].Peers[1].CIDR.String(); got != "fd00::1/128" {
		t.Errorf("an address alone = %s", got)
	}
	out, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	again, err := Parse(bytes.NewReader(out))
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !reflect.DeepEqual(s, again) {
		t.Errorf("a state changed on its way through JSON:\n%+v\n%+v", s, again)
	}
}

func TestParseRefuses(t *testing.T) {
	for _, tt := range []struct{ name, in, want string }{
		{"unknown field", `{"owner":"a","rule":[]}`, `unknown field "rule"`},
		{"unknown field deep", `{"owner":"a","rules":[{"impairment":{"dealy":"1s"}}]}`, `unknown field "dealy"`},
		{"bare number", `{"owner":"a","rules":[{"impairment":{"delay":100}}]}`, `delay`},
		{"no unit", `{"owner":"a","rules":[{"impairment":{"delay":"100"}}]}`, `want a number with its unit`},
		{"two states", `{"owner":"a","rules":[]} {}`, `more after the end`},
		{"port 0", `{"owner":"a","rules":[{"peers":[{"ports":["0"]}]}]}`, `ports "0"`},
		{"host name", `{"owner":"a","rules":[{"peers":[{"cidr":"example.org"}]}]}`, `host names are not resolved`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := Parse(strings.NewReader(tt.in))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v does not say %q", err, tt.want)
			}
		})
	}
}

func TestValidateNamesEveryProblemAtOnce(t *testing.T) {
	s := State{Owner: "a b", Rules: []Rule{
		{ID: "x", Interface: "eth0/1", Direction: "up", Impairment: Impairment{Delay: -1, Loss: Loss{Probability: 1.5}}},
		{ID: "x", Interface: "eth0", Direction: Egress},
	}}
	err := s.Validate()
	for _, want := range []string{`owner "a b"`, `interface "eth0/1"`, `direction "up"`, `delay -1ns`, `loss.probability 1.5`, `used twice`, `does nothing`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error does not say %q:\n%v", want, err)
		}
	}
}

func TestImpairmentProblems(t *testing.T) {
	ms := time.Millisecond
	for _, tt := range []struct {
		name string
		in   Impairment
		want string // "" is none
	}{
		{"delay", Impairment{Delay: ms}, ""},
		{"jitter over delay", Impairment{Delay: ms, Jitter: 2 * ms}, "larger than delay"},
		{"jitter alone", Impairment{Jitter: 2 * ms}, "larger than delay"},
		{"over an hour", Impairment{Delay: 2 * time.Hour}, "want 0 to 1h0m0s"},
		{"shape alone", Impairment{Delay: ms, Distribution: Normal}, "add a jitter"},
		{"shape unknown", Impairment{Delay: ms, Jitter: ms, Distribution: "gauss"}, `"gauss"`},
		{"correlated delay alone", Impairment{Delay: ms, DelayCorrelation: .5}, "add a jitter"},
		{"reorder alone", Impairment{Reorder: Reorder{Probability: .5}}, "add a delay"},
		{"gap alone", Impairment{Delay: ms, Reorder: Reorder{Gap: 5}}, "without reorder.probability"},
		{"ecn alone", Impairment{Delay: ms, ECN: true}, "add a loss"},
		{"correlation alone", Impairment{Delay: ms, Duplicate: Chance{Correlation: .1}}, "give the probability"},
		{"two losses", Impairment{Loss: Loss{Probability: .1, State: StateLoss{P13: .1}}}, "2 models"},
		{"state sum", Impairment{Loss: Loss{State: StateLoss{P13: .6, P14: .6}}}, "probability over 1"},
		{"state default p31", Impairment{Loss: Loss{State: StateLoss{P13: .1, P32: .6}}}, "give p31"},
		{"gemodel without loss", Impairment{Loss: Loss{GilbertElliott: GilbertElliott{BadToGood: 1}}}, "never loses"},
		{"overhead alone", Impairment{Rate: Rate{PacketOverhead: 4}}, "give bytesPerSecond"},
		{"cell overhead alone", Impairment{Rate: Rate{BytesPerSecond: 4, CellOverhead: 3}}, "size of a cell"},
		{"slot range", Impairment{Slot: Slot{MinDelay: 2 * ms, MaxDelay: ms}}, "larger than slot.maxDelay"},
		{"slot shape", Impairment{Slot: Slot{Delay: ms, Jitter: ms}}, "slot.distribution"},
		{"slot", Impairment{Slot: Slot{Delay: ms, Jitter: ms, Distribution: Pareto}}, ""},
		{"nothing", Impairment{Seed: 4}, "does nothing"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			err := tt.in.Validate()
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("error %v, want %q", err, tt.want)
			}
		})
	}
}

func TestParsePeer(t *testing.T) {
	p, err := ParsePeer("tcp:10.0.0.0/8;ports=80,8000-8100;local=9000")
	if err != nil {
		t.Fatal(err)
	}
	if p.Protocol != TCP || p.CIDR.String() != "10.0.0.0/8" || len(p.Ports) != 2 || p.LocalPorts[0] != (PortRange{9000, 9000}) {
		t.Errorf("%+v", p)
	}
	if p, err = ParsePeer("fd00::1"); err != nil || p.CIDR.String() != "fd00::1/128" {
		t.Errorf("%+v, %v", p, err)
	}
	for _, bad := range []string{"host", "10.0.0.0/99", "*;port=1", "*;ports=x"} {
		if _, err := ParsePeer(bad); err == nil {
			t.Errorf("ParsePeer(%q) is not an error", bad)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(full)
	f.Fuzz(func(t *testing.T, in string) {
		s, err := Parse(strings.NewReader(in))
		if err != nil {
			return
		}
		out, err := json.Marshal(s)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Parse(bytes.NewReader(out)); err != nil {
			t.Errorf("what was written is not read: %v\n%s", err, out)
		}
	})
}

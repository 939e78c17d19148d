package agent

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/netfault"
)

func parseNet(t *testing.T, args ...string) (netfault.State, error) {
	t.Helper()
	var o netOptions
	if err := o.flags().Parse(args); err != nil {
		return netfault.State{}, err
	}
	o.rule.Interface = cmp.Or(o.rule.Interface, "eth0")
	return o.state(time.Unix(1000, 0), strings.NewReader(`{"owner":"file","rules":[]}`))
}

func TestNetFlagsDescribeAState(t *testing.T) {
	s, err := parseNet(t, "--netns", "x", "--fault", "net-delay", "--delay", "100ms", "--jitter", "10ms", "--fault", "net-rate", "--rate", "1mbit",
		"--peer", "tcp:10.0.0.0/8;ports=80", "--exempt", "udp:*;ports=53", "--direction", "both", "--for", "6s")
	if err != nil {
		t.Fatal(err)
	}
	r := s.Rules[0]
	if s.Owner != "agent" || !s.Deadline.Equal(time.Unix(1006, 0)) || r.Interface != "eth0" || r.Direction != netfault.Both {
		t.Errorf("%+v", s)
	}
	if r.Impairment.Delay != 100*time.Millisecond || r.Impairment.Jitter != 10*time.Millisecond || r.Impairment.Rate.BytesPerSecond != 125_000 {
		t.Errorf("%+v", r.Impairment)
	}
	if len(r.Peers) != 1 || len(r.Exempt) != 1 {
		t.Errorf("%+v, %+v", r.Peers, r.Exempt)
	}
	if s, err = parseNet(t, "-f", "-", "--owner", "me"); err != nil || s.Owner != "me" {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestNetFlagsAreRefused(t *testing.T) {
	for _, tt := range []struct{ args, want string }{
		{"", "give a state with -f"},
		{"--fault net-delay", "needs --delay"},
		{"--fault net-loss --loss 0.1 --delay 1s", "belongs to --fault net-delay"},
		{"--fault net-lag --delay 1s", `"net-lag": want one of`},
		{"--loss 110%", "percents, such as 10%"},
		{"--loss 1.5", "from 0 to 1"},
		{"--delay 100", "invalid duration"},
		{"--rate 0.1bit", "at least 8bit"},
		{"--rate fast", "such as 1mbit"},
		{"--delay 1s --jitter 2s", "larger than delay"},
		{"-f x --delay 1s", "exclude each other"},
		{"-f /does/not/exist", "/does/not/exist"},
		{"--peer= --delay 1s", "write * for any"},
		{"--exempt= --delay 1s", "write * for any"},
		{"--peer tcp: --delay 1s", "write * for any"},
		{"--peer ;ports=80 --delay 1s", "write * for any"},
		{"--peer example.org --delay 1s", "host names are not resolved"},
	} {
		_, err := parseNet(t, strings.Fields(tt.args)...)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%q: error %v does not say %q", tt.args, err, tt.want)
		}
	}
}

func TestNetUsage(t *testing.T) {
	for _, args := range [][]string{{"net"}, {"net", "aply"}, {"net", "list"}, {"net", "list", "x"}, {"net", "list", "--pid", "1", "--netns", "x"},
		{"net", "list", "--netns", "x", "--backend", "magic"}, {"net", "apply", "--bogus"}} {
		err := Run(context.Background(), args, Streams{Out: &bytes.Buffer{}, Err: &bytes.Buffer{}})
		if !errors.Is(err, ErrUsage) {
			t.Errorf("%q gives %v, want a usage error", args, err)
		}
	}
	var out bytes.Buffer
	if err := Run(context.Background(), []string{"net", "--help"}, Streams{Out: &out}); err != nil || !strings.Contains(out.String(), "-pod-uid") {
		t.Errorf("help: %v\n%s", err, out.String())
	}
}

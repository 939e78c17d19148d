package report

import (
	"encoding/xml"
	"strings"
	"testing"
	"time"

	"github.com/microsim-dev/kubectl-microsim/model/experiment"
	"github.com/microsim-dev/kubectl-microsim/model/result"
)

func TestJUnit(t *testing.T) {
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	runs := []*result.Result{
		{
			Name: "shop", Variant: "retries", Seed: 7, Target: "local", Command: `kubectl microsim run shop --variants "retries"`, Started: began, Ended: began.Add(12500 * time.Millisecond),
			Checks: []result.CheckResult{
				{Check: experiment.Check{Expr: "p99 < 300ms", Service: "cart", Phase: "during"}, Pass: true, Why: "p99 is 120ms"},
				{Check: experiment.Check{Expr: "errors < 1%"}, Why: "errors are 3 %"},
				{Check: experiment.Check{Expr: "p50 < 5ms"}, NotKnown: true, Why: "between 2.5ms and 5ms"},
			},
		},
		{Name: "shop", Seed: 8, Target: "virtual", Started: began, Ended: began, Incomplete: true, Why: "cart\x1b[31m did not start"},
	}
	var text strings.Builder
	if err := JUnit(&text, runs); err != nil {
		t.Fatal(err)
	}
	want := `<?xml version="1.0" encoding="UTF-8"?>
<testsuites tests="5" failures="2" errors="1">
  <testsuite name="shop/retries, seed 7, on local" tests="4" failures="2" errors="0" time="12.500" timestamp="2026-01-02T03:04:05">
    <properties>
      <property name="seed" value="7"></property>
      <property name="target" value="local"></property>
      <property name="command" value="kubectl microsim run shop --variants &#34;retries&#34;"></property>
    </properties>
    <testcase name="the run is complete" classname="shop/retries"></testcase>
    <testcase name="p99 &lt; 300ms of cart during" classname="shop/retries">
      <system-out>p99 is 120ms</system-out>
    </testcase>
    <testcase name="errors &lt; 1%" classname="shop/retries">
      <failure type="failed" message="errors are 3 %"></failure>
    </testcase>
    <testcase name="p50 &lt; 5ms" classname="shop/retries">
      <failure type="not known" message="between 2.5ms and 5ms"></failure>
    </testcase>
  </testsuite>
  <testsuite name="shop, seed 8, on virtual" tests="1" failures="0" errors="1" time="0.000" timestamp="2026-01-02T03:04:05">
    <properties>
      <property name="seed" value="8"></property>
      <property name="target" value="virtual"></property>
      <property name="command" value=""></property>
    </properties>
    <testcase name="the run is complete" classname="shop">
      <error type="incomplete" message="cart` + "�" + `[31m did not start"></error>
    </testcase>
  </testsuite>
</testsuites>
`
	if text.String() != want {
		t.Errorf("got\n%s\nwant\n%s", text.String(), want)
	}
	if err := xml.Unmarshal([]byte(text.String()), new(junitSuites)); err != nil {
		t.Errorf("reading it: %v", err)
	}
}

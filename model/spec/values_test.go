package spec

import (
	"fmt"
	"strings"
	"testing"
)

// Editors that know the schema and the reader take the same values. Bounds that
// the domain checks are beyond the schema.
func TestTheSchemaTakesWhatIsRead(t *testing.T) {
	schemas := schemas(t)
	const system = "apiVersion: microsim.dev/v1alpha1\nkind: System\nname: v\nservices:\n  - {name: web, %s}\n  - {name: db}\n"
	for field, values := range map[string]struct{ taken, refused []string }{
		"replicas: %s":                       {[]string{"1", "10", "1e1", "5.0"}, []string{"-1", "010", "0x10", "1_0", "+5", ".5", "1.5", "many", `"3"`, "", "~", "[]", "true"}},
		"workers: %s":                        {[]string{"0", "1"}, []string{"-1"}},
		"backlog: %s":                        {[]string{"1", "100"}, []string{"0", "0.0"}},
		"readiness: {timeout: %s}":           {[]string{"1s", "1m"}, []string{"0", "0s", "0.0ms"}},
		"errorRate: %s":                      {[]string{"0", "0.5", "1", "1e-3", "50%", `"0.5"`, "0.5%"}, []string{".5", "1.5", "-0.1", "150e0", "half", `"%"`, "", "{}"}},
		"timeout: %s":                        {[]string{"5s", "1h30min", "1.5s", "0", "0.0", "1d", "10us", "10µs"}, []string{"5", "5mins", "1d-12h", ".5s", "+5ms", "5.s", "1e3s", "-", "soon", "", "~"}},
		"response: {size: %s}":               {[]string{"0", "10", "64Ki", "1.5Ki", "10k", "10K", "7Mi", "8B", "1e3"}, []string{"-5", "5.", "+5", "1e3Ki", "64kB", "1_000", "ten", ""}},
		"resources: {cpuLimit: %s}":          {[]string{"1", "0.5", "500m"}, []string{"-1", "+1", ".5", "one", ""}},
		"calls: [{to: db, probability: %s}]": {[]string{"0.1", "10%"}, []string{"1.1", "110%x", ""}},
		"calls: [{to: db, retry: %s}]":       {[]string{"~", "{attempts: 2}"}, []string{"2x"}},
		"calls: %s":                          {[]string{"[db]"}, []string{"", "~"}},
		"faults: %s":                         {nil, []string{"[]"}},
		"work: {cpu: %s}":                    {[]string{"5ms", "0"}, []string{"5 ms", "05", "5e1", ""}},
		"work: {sleep: {uniform: {min: 1ms, max: %s}}}": {[]string{"2ms"}, []string{"2", ""}},
		"policy: {timeout: %s}":                         {[]string{"1s"}, []string{"1", "1sec"}},
		"onCancel: %s":                                  {[]string{"finish", "stop"}, []string{"abandon", "", "1"}},
		"endpoints: [{path: /, errorRate: %s}]":         {[]string{"5%"}, []string{"five"}},
	} {
		for _, text := range values.taken {
			checkValue(t, schemas, fmt.Sprintf(system, fmt.Sprintf(field, text)), true)
		}
		for _, text := range values.refused {
			checkValue(t, schemas, fmt.Sprintf(system, fmt.Sprintf(field, text)), false)
		}
	}
}

func checkValue(t *testing.T, schemas schemaSet, text string, taken bool) {
	t.Helper()
	line := strings.Split(text, "\n")[4]
	_, err := Read("v.yaml", strings.NewReader(text))
	if (err == nil) != taken {
		t.Errorf("%s: read with %v", line, err)
	}
	if err := conforms(t, schemas, []byte(text)); (err == nil) != taken {
		t.Errorf("%s: the schema says %v", line, err)
	}
}

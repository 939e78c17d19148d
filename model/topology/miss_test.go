package topology

import (
	"fmt"
	"strings"
	"testing"
)

// cached is a service that asks db for what it did not find in cache.
func cached() *System {
	look, load := NewCall("cache"), NewCall("db")
	look.Reads = 1
	load.IfMissed, load.Coalesce = "cache", true
	cache, db := NewService("cache"), NewService("db")
	cache.Kind, db.Kind = Redis, Postgres
	return &System{Name: "s", Services: []Service{NewService("a", Step{Call: &look}, Step{Call: &load}), cache, db, NewService("page")}}
}

func TestCallsAfterAMissAreChecked(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(look, load *Call, a *Service)
		want  string
	}{
		"right":          {func(look, load *Call, a *Service) {}, "<nil>"},
		"the usual read": {func(look, load *Call, a *Service) { look.Reads = 0 }, "<nil>"},
		"a service":      {func(look, load *Call, a *Service) { load.To = "page" }, "<nil>"},
		"unknown":        {func(look, load *Call, a *Service) { load.IfMissed = "cash" }, `ifMissed: "cash" is not a service of the system (did you mean "cache"`},
		"no store":       {func(look, load *Call, a *Service) { load.IfMissed = "page" }, `"page" is a service of kind base, which no item is looked up in`},
		"another store":  {func(look, load *Call, a *Service) { load.IfMissed = "db" }, `steps[1].call.ifMissed: no look-up of "db" stands before this call`},
		"after it": {func(look, load *Call, a *Service) {
			steps := a.Endpoints[0].Steps
			steps[0], steps[1] = steps[1], steps[0]
		}, "steps[0].call.ifMissed: no look-up"},
		"two reads":        {func(look, load *Call, a *Service) { look.Reads = 2 }, "steps[0].call: calls are made if this look-up misses, so it must read one item, and it does 2 reads"},
		"twice":            {func(look, load *Call, a *Service) { look.Count = 2 }, "must read one item"},
		"a write":          {func(look, load *Call, a *Service) { look.Writes = 1 }, "1 read, 1 write"},
		"coalesce alone":   {func(look, load *Call, a *Service) { load.IfMissed = "" }, "coalesce: calls are coalesced by the item that a look-up missed"},
		"parallel":         {func(look, load *Call, a *Service) { a.Endpoints[0].Steps = []Step{{Parallel: a.Endpoints[0].Steps}} }, "parallel[1].call.ifMissed: calls inside parallel"},
		"other than ours":  {func(look, load *Call, a *Service) { a.Runtime = "express" }, "ifMissed needs L3"},
		"a look-up itself": {func(look, load *Call, a *Service) { look.IfMissed = "cache" }, "steps[0].call.ifMissed: no look-up"},
	} {
		s := cached()
		steps := s.Services[0].Endpoints[0].Steps
		c.spoil(steps[0].Call, steps[1].Call, &s.Services[0])
		if text := fmt.Sprint(s.Validate().Err()); !strings.Contains(text, c.want) {
			t.Errorf("%s: %q does not contain %q", name, text, c.want)
		}
	}
}

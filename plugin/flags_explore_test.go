package plugin

// exploreRows are those of the commands that play many runs in virtual time.
func exploreRows() (rows []flagRow) {
	add := func(command, args, flag, with, instead, want string) {
		rows = append(rows, flagRow{command: command, args: args, flag: flag, with: with, instead: instead, want: want})
	}
	limit := "-f $FAULTS --slo p99<10s --duration 2s --precision 50%"
	small := limit + " --max 1 --trigger none"
	for _, c := range []struct{ command, rest, kind, name string }{
		{"limit", "--slo p99<10s --duration 2s --max 1", "Limit", "limit"},
		{"sweep", "--vary load.rate=1,2 --seeds 1", "Sweep", "sweep"},
		{"search", "--slo p99<10s --budget 40 --types error --duration 2s --lasts 1s", "FaultSearch", "search"},
	} {
		add(c.command, "-f $SINGLE -f $FAULTS "+c.rest, "only", "--only faults", "", `^faults on virtual`)
		add(c.command, c.rest, "filename", "-f $FAULTS", "", `^faults on virtual`)
		add(c.command, "-f $FAULTS "+c.rest+" -o json", "seed", "--seed 77", "", `\b77\b`)
		add(c.command, "-f $EXPERIMENT "+c.rest+" -o json", "variant", "--variant second", "", `"variant": "second"`)
		add(c.command, "-f $FAULTS "+c.rest, "max-events", "--max-events 5", "", `more than 5 events, the limit`)
		add(c.command, "-f $FAULTS "+c.rest, "max-instant-events", "--max-instant-events 1", "", `1 events without any time passing`)
		add(c.command, "-f $FAULTS "+c.rest, "max-requests", "--max-requests -1", "", refused)
		add(c.command, "-f $FAULTS "+c.rest, "max-requests", "--max-requests 1", "", `more than 1 requests are under way, the limit`)
		add(c.command, "-f $FAULTS "+c.rest, "calibration", "--calibration $CALIBRATION", "", `calibrated 2026-01-31`)
		add(c.command, "-f $FAULTS "+c.rest, "output", "-o json", "", `"kind": "`+c.kind+`"`)
		add(c.command, "-f $FAULTS "+c.rest, "output", "-o csv", "", refused)
	}
	add("limit", "-f $FAULTS --duration 2s --max 1 --trigger none", "slo", "--slo p50<9s", "--slo p99<9s", `requires +p50<9s`)
	add("limit", small, "slo", "--slo p99>1s", "", refused)
	add("limit", small, "phase", "--phase other", "", `no phase "other"`)
	add("limit", small+" -o json", "arrivals", "--arrivals poisson", "", `--arrivals poisson`)
	add("limit", small, "arrivals", "--arrivals odd", "", refused)
	add("limit", "-f $FAULTS --slo p99<1us --duration 2s --max 1 --trigger none", "min", "--min 0.5", "--min 0.25", `0\.5/s is the lowest that was tried`)
	add("limit", limit+" --trigger none", "max", "--max 3", "--max 1", `^holds +3/s`)
	add("limit", small, "max", "--max 0", "", refused)
	add("limit", "-f $FAULTS --slo p99<10s --duration 2s --max 1 --trigger none -o json", "precision", "--precision 10%", "", `--precision 10%`)
	add("limit", small, "precision", "--precision 0", "", refused)
	add("limit", small, "confidence", "--confidence 80%", "", `80% confidence`)
	add("limit", small, "confidence", "--confidence 1", "", refused)
	add("limit", small+" -o json", "seeds", "--seeds 5", "", `--seeds 5`)
	add("limit", small, "seeds", "--seeds 0", "", refused)
	add("limit", small, "warm-up", "--warm-up 1s", "", `after 1\.0s of warm-up`)
	add("limit", small, "warm-up", "--warm-up -1s", "", refused)
	add("limit", "-f $FAULTS --slo p99<10s --max 1 --trigger none", "duration", "--duration 3s", "--duration 2s", `3\.0s of load`)
	add("limit", small, "duration", "--duration 0s", "", refused)
	add("limit", limit+" --max 1", "recovery", "--recovery 2s", "", `with 2\.0s to recover`)
	add("limit", small, "recovery", "--recovery 2s", "", refused)
	add("limit", limit+" --max 1", "trigger", "--trigger slow", "--trigger none", `^After slow for 200ms`)

	sweep := "-f $FAULTS --vary load.rate=1,2 --seeds 1"
	add("sweep", "-f $FAULTS --seeds 1", "vary", "--vary load.rate=3,4", "--vary load.rate=1,2", `^3 `)
	add("sweep", sweep, "vary", "--vary load.rate=1", "", refused)
	add("sweep", sweep, "figures", "--figures mean", "", `MEAN$`)
	add("sweep", sweep, "figures", "--figures p98", "", refused)
	add("sweep", sweep, "phase", "--phase during", "", `1 seed in during`)
	add("sweep", "-f $FAULTS --vary load.rate=1,2", "seeds", "--seeds 2", "--seeds 1", `2 seeds`)
	add("sweep", sweep, "seeds", "--seeds 0", "", refused)
	add("sweep", sweep, "out", "--out $NEW", "", `made: a new file`)
	add("sweep", sweep, "report", "--report $NEW", "", `made: a new file`)
	add("sweep", sweep+" --out $OLD", "force", "--force", "", `^exit code 0`)
	add("sweep", sweep, "force", "--force", "", refused)

	hunt := "-f $FAULTS --slo p99<10s --duration 2s --lasts 1s"
	search := hunt + " --budget 40 --types error"
	add("search", "-f $FAULTS --budget 40 --types error --duration 2s --lasts 1s", "slo", "--slo p50<9s", "--slo p99<9s", `requires +p50<9s`)
	add("search", search, "phase", "--phase other", "", `no phase "other"`)
	add("search", search, "load", "--load 7", "", `load 7,`)
	add("search", search, "load", "--load -1", "", refused)
	add("search", hunt+" --types error", "budget", "--budget 41", "--budget 40", `of 41 runs of the budget`)
	add("search", search, "budget", "--budget 1", "", refused)
	add("search", hunt+" --budget 40", "types", "--types kill", "--types error", `^kill db`)
	add("search", search, "types", "--types odd", "", refused)
	add("search", search, "targets", "--targets db", "", `tried +1 candidates`)
	add("search", "-f $FAULTS --slo p99<10s --duration 2s --budget 40 --types error", "lasts", "--lasts 500ms", "--lasts 1s", `duration=500ms`)
	add("search", search, "lasts", "--lasts 1h", "", refused)
	add("search", search+" -o json", "warm-up", "--warm-up 1s", "", `--warm-up 1s`)
	add("search", search, "warm-up", "--warm-up -1s", "", refused)
	add("search", "-f $FAULTS --slo p99<10s --lasts 1s --budget 40 --types error -o json", "duration", "--duration 3s", "--duration 2s", `--duration 3s`)
	add("search", search, "duration", "--duration 0s", "", refused)
	add("search", search, "state", "--state $NEW", "", `made: a new file`)
	add("search", search, "out", "--out $NEW", "", `made: a new directory`)
	add("search", search+" --out $FOREIGN", "force", "--force", "", `^exit code 0`)
	add("search", search, "force", "--force", "", refused)

	add("validate", "-f $SYSTEM", "advise", "--advise", "", `nothing to advise`)
	add("validate", "-f $SYSTEM -o name", "advise", "--advise", "", refused)
	return rows
}

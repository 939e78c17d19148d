package plugin

// datasetRows are those of the commands that make data sets.
func datasetRows() (rows []flagRow) {
	add := func(command, args, flag, with, instead, want string) {
		rows = append(rows, flagRow{command: command, args: args, flag: flag, with: with, instead: instead, want: want})
	}
	export := "$RUNS --out $NEW"
	add("export", export+" -o json", "format", "--format vecrosim", "--format csv", `"name": "vecrosim"`)
	add("export", export, "format", "--format odd", "", refused)
	add("export", "$RUNS --format csv", "out", "--out $NEW", "", `made: a new directory`)
	export += " --format csv"
	add("export", "$RUNS --format csv --out $SET", "force", "--force", "", `^exit code 0`)
	add("export", export, "name", "--name mine", "", `^mine: `)
	add("export", export, "step", "--step 2s", "", `steps of 2s`)
	add("export", export, "step", "--step 1500ms", "", refused)
	add("export", export+" --format rcaeval", "step", "--step 2s", "", refused)
	add("export", export+" -o json", "seed", "--seed 77", "", `"seed": 77`)
	add("export", "$HARMLESS $RUNS --out $NEW --format csv", "only-effective", "--only-effective", "", `^left out .*: no effect on the clients was seen`)
	add("export", export, "output", "-o json", "", `"kind": "DataSet"`)
	add("export", export, "output", "-o csv", "", refused)
	add("export", export, "verify", "--verify", "", `^SIMPLE RULE`)
	add("export", "$SET --verify", "seed", "--seed 7", "", refused)
	add("export", "$SET --verify", "only-effective", "--only-effective", "", refused)
	add("export", "$SET $SET", "verify", "--verify", "", refused)

	virtual := "-f $DATASET --on virtual "
	add("dataset", "--on virtual --out $NEW", "filename", "-f $DATASET", "", `^failures: 1 cases of 1`)
	add("dataset", "-f $DATASET --out $NEW", "on", "--on virtual", "--on cluster --image x --ready-timeout 50ms", `^failures: 1 cases of 1`)
	add("dataset", virtual, "out", "--out $NEW", "", `made: a new directory`)
	virtual += "--out $NEW "
	add("dataset", virtual, "output", "-o json", "", `"kind": "DataSet"`)
	add("dataset", virtual, "output", "-o csv", "", refused)
	local, cluster := "-f $DATASET --out $NEW --on local ", "-f $DATASET --out $NEW --on cluster "
	add("dataset", local, "isolation", "--isolation nothing", "--isolation nothing2", `isolation "nothing"`)
	add("dataset", virtual, "isolation", "--isolation process", "", refused)
	add("dataset", local, "port-base", "--port-base 70000", "--port-base -1", `port-base 70000`)
	add("dataset", virtual, "port-base", "--port-base 7000", "", refused)
	add("dataset", cluster+"--image x --ready-timeout 50ms", "load-pods", "--load-pods 101", "", `load-pods 101`)
	add("dataset", virtual, "load-pods", "--load-pods 2", "", refused)
	add("dataset", cluster+"--ready-timeout 50ms", "image", "--image registry.example/agent:7", "--image x", `registry\.example/agent:7`)
	add("dataset", virtual, "image", "--image x", "", refused)
	add("dataset", cluster, "push", "--push registry.example/agent:8", "--image x --ready-timeout 50ms", `microsim-agent|Pushing`)
	add("dataset", cluster+"--image x --ready-timeout 50ms", "image-pull-secret", "--image-pull-secret regcred", "", `create secret docker-registry regcred -n default`)
	add("dataset", virtual, "image-pull-secret", "--image-pull-secret regcred", "", refused)
	add("dataset", cluster+"--image x", "push", "--push y", "", refused)
	add("dataset", cluster+"--image x", "ready-timeout", "--ready-timeout 70ms", "--ready-timeout 60ms", `after 70ms`)
	add("dataset", virtual, "ready-timeout", "--ready-timeout 1s", "", refused)
	add("dataset", "-f $DATASET --out $NEW --on kind", "node-image", "--node-image example/node:1", "", `docker .*example/node:1`)
	add("dataset", cluster, "node-image", "--node-image example/node:1", "", refused)
	return rows
}

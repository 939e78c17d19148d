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
	return rows
}

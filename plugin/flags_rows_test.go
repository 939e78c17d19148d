package plugin

import (
	"slices"
	"strings"
)

func flagRows() []flagRow {
	return slices.Concat(uiRows(), monitorRows(), fileRows(), systemRows(), faultRows(), loadRows(), runRows(), recursiveRows(), exploreRows(), datasetRows(),
		clusterRows("call", "-f $REQUEST --system x"),
		clusterRows("dataset", "-f $DATASET --out $NEW --image x --ready-timeout 50ms"),
		clusterRows("doctor", "--on cluster"),
		clusterRows("down", "x"),
		clusterRows("fault add", "error --target web --status 500 --system x"),
		clusterRows("fault apply", "-f $FAULTS --system x"),
		clusterRows("fault clear", "x"),
		clusterRows("fault list", ""),
		clusterRows("load", "--system x --rate 1"),
		clusterRows("logs", "--all"),
		clusterRows("monitor", "x"),
		clusterRows("report", "x"),
		clusterRows("status", ""),
		clusterRows("top", "x"),
		clusterRows("ui", "--no-open --system x --on cluster"),
		clusterRows("up", "-f $FREE --dry-run=server --image x"),
		clusterRows("run", "-f $SINGLE --detach --image x"),
		clusterRows("run ideal", "--detach --image x"),
		clusterRows("run outage", "--detach --image x"),
		clusterRows("run performance", "--detach --image x"),
	)
}

// clusterRows are those of the flags of every command that may act on a cluster.
func clusterRows(command, args string) []flagRow {
	kind := args
	if args == "--on cluster" {
		kind = ""
	}
	row := func(flag, with, instead, want string) flagRow {
		return flagRow{command: command, args: args, flag: flag, with: with, instead: instead, want: want}
	}
	secured, trusted := "--cluster secured ", "--cluster secured --certificate-authority $CA "
	rows := []flagRow{
		row("kubeconfig", "--kubeconfig $OTHERCONFIG", "", `^asked: \w+ /otherconfig/`),
		row("context", "--context second", "", `^asked: \w+ /second/`),
		row("cluster", "--cluster second", "", `^asked: \w+ /second/`),
		row("user", trusted+"--user second", trusted, `Authorization=Bearer token-of-second`),
		row("server", "--server $SERVER/third", "", `^asked: \w+ /third/`),
		row("token", trusted+"--token tok9", trusted, `Authorization=Bearer tok9`),
		row("as", "--as zoe", "", `Impersonate-User=zoe`),
		row("as-group", "--as zoe --as-group crew", "--as zoe", `Impersonate-Group=crew`),
		row("as-uid", "--as zoe --as-uid 77", "--as zoe", `Impersonate-Uid=77`),
		row("as-user-extra", "--as zoe --as-user-extra scope=all", "--as zoe", `Impersonate-Extra-Scope=all`),
		row("certificate-authority", secured+"--certificate-authority $CA", secured, `^asked: `),
		row("insecure-skip-tls-verify", secured+"--insecure-skip-tls-verify", secured, `^asked: `),
		row("tls-server-name", secured+"--certificate-authority $CA --tls-server-name wrong.example", secured+"--certificate-authority $CA", `wrong\.example`),
		row("client-certificate", "--client-certificate no-such-certificate", "", `no-such-certificate`),
		row("client-key", trusted+"--client-certificate $CA --client-key no-such-key", trusted+"--client-certificate $CA", `no-such-key`),
		row("disable-compression", trusted+"--disable-compression", trusted, ` uncompressed `),
		row("proxy-url", "--proxy-url http://127.0.0.1:1", "", `tcp 127\.0\.0\.1:1: `),
		row("request-timeout", "--request-timeout 1ns", "", `Client\.Timeout|deadline exceeded`),
		row("namespace", "-n elsewhere", "", `^asked: .*elsewhere`),
		{command: command, args: kind, flag: "sandbox", with: "--on kind --sandbox microsim-other", instead: "--on kind", want: `microsim-other`},
		{command: command, args: kind, flag: "sandbox", with: "--on cluster --sandbox microsim-other", want: refused},
	}
	for _, flag := range []struct{ name, with string }{
		{"kubeconfig", "--kubeconfig $OTHERCONFIG"}, {"context", "--context second"}, {"token", "--token tok9"}, {"server", "--server $SERVER"},
	} {
		rows = append(rows, flagRow{command: command, args: kind, flag: flag.name, with: "--on kind " + flag.with, want: refused})
	}
	for _, flag := range []struct{ name, with string }{
		{"kubeconfig", "--kubeconfig $OTHERCONFIG"}, {"context", "--context second"}, {"namespace", "-n elsewhere"}, {"as", "--as zoe"},
		{"request-timeout", "--request-timeout 1s"}, {"sandbox", "--sandbox microsim-other"},
	} {
		local := flagRow{command: command, args: onlyHere(command), flag: flag.name, with: flag.with, want: refused}
		rows = append(rows, local)
	}
	return rows
}

// onlyHere are arguments of a command for this machine.
func onlyHere(command string) string {
	switch command {
	case "call":
		return "-f $REQUEST --on local"
	case "fault add":
		return "error --target web --status 500 --on local"
	case "fault apply":
		return "-f $FAULTS --on local"
	case "fault clear", "down", "monitor", "report":
		return "x --on local"
	case "load":
		return "--url $SERVER/ --rate 5 --count 1"
	case "logs":
		return "--all --on local"
	case "up":
		return "-f $FREE --on local --dry-run"
	case "dataset":
		return "-f $DATASET --out $NEW --on local"
	case "run":
		return "-f $SINGLE --on local --dry-run"
	case "ui":
		return "--no-open --system x --on local"
	}
	return "--on local"
}

// monitorRows have a system on this machine, $HELD, watched for a moment.
func monitorRows() []flagRow {
	const here = "held --on local"
	return []flagRow{
		{"monitor", "on", "none", "--on local", "--on kind", `no system .*none|"none" `},
		{"monitor", "interval", here, "--interval 2s", "--interval 1ms", `burn window of 1m0s with an interval of 2s`},
		{"monitor", "objective", here, "--objective 50%", "--port 65536", `objective above 93\.1%`},
		{"monitor", "burn-window", here, "--burn-window 10s", "--burn-window 5s", `burn window of 10s`},
		{"monitor", "port", here, "--port $PORT", "--port 65536", `http://127\.0\.0\.1:$PORT/metrics`},
		{"monitor", "out", here, "--out $NEW", "--port 65536", `The files are in `},
		{"monitor", "prometheus", here, "--prometheus no-such-program", "--port 65536", `asking "no-such-program" for its version`},
		{"monitor", "prometheus-port", here, "--prometheus-port 1", "", refused},
		{"monitor", "prometheus-port", here + " --prometheus no-such-program", "--prometheus-port 65536", "", `--prometheus-port 65536 is not a port`},
		{"monitor", "storage", here, "--storage x", "", refused},
		{"monitor", "label", "x", "--label release", "", `release must be formatted`},
		{"monitor", "force-conflicts", "x", "--force-conflicts --dry-run", "", `changes what is applied`},
		{"monitor", "force-conflicts", here, "--force-conflicts", "", refused},
		{"monitor", "dry-run", "x --force-conflicts", "--dry-run", "", `changes what is applied`},
		{"monitor", "dry-run", here, "--dry-run", "", refused},
	}
}

func uiRows() []flagRow {
	return []flagRow{
		{"ui", "filename", "--no-open", "-f no-such-file", "", `opening "no-such-file"`},
		{"ui", "filename", "--no-open", "shop -f $SYSTEM", "", refused},
		{"ui", "system", "--no-open", "--system none --on local", "", `"none"`},
		{"ui", "system", "--no-open", "--system none", "", refused},
		{"ui", "on", "--no-open --system none", "--on local", "", `no system .*none|"none"`},
		{"ui", "on", "--no-open", "--on moon", "", refused},
		{"ui", "on", "--no-open --system none", "--on virtual", "", refused},
		{"ui", "run", "--no-open", "--run no-such-directory", "", `no-such-directory`},
		{"ui", "port", "--no-open", "--port $PORT", "", `^http://127\.0\.0\.1:$PORT/#token=`},
		{"ui", "port", "--no-open", "--port 65536", "", refused},
		{"ui", "view", "--no-open", "--view", "", `^The page only looks`},
		{"ui", "no-open", "--view", "--no-open", "", `^Open the address`},
		{"ui", "isolation", "--no-open", "--isolation magic", "", `"magic" is not known`},
		{"ui", "isolation", "--no-open --view", "--isolation process", "", refused},
		{"ui", "out", "--no-open --view", "--out x", "", refused},
		{"ui", "image", "--no-open --push y", "--image x", "", `--image and --push are both given|--push and --image are both given`},
		{"ui", "image", "--no-open --view", "--image x", "", refused},
		{"ui", "push", "--no-open --image x", "--push y", "", `--image and --push are both given|--push and --image are both given`},
		{"ui", "push", "--no-open --view", "--push y", "", refused},
		{"ui", "image-pull-secret", "--no-open", "--image-pull-secret NOT-ONE", "", `"NOT-ONE" cannot be the name of a Secret`},
		{"ui", "image-pull-secret", "--no-open --view", "--image-pull-secret regcred", "", refused},
		{"ui", "node-image", "--no-open --view", "--node-image x", "", `--node-image .*--view plays none`},
		{"ui", "ready-timeout", "--no-open", "--ready-timeout 0s", "", `leaves pods no time`},
		{"ui", "ready-timeout", "--no-open --view", "--ready-timeout 1s", "", refused},
	}
}

func fileRows() []flagRow {
	return []flagRow{
		{"version", "output", "", "-o json", "", `"version":`},
		{"version", "output", "", "-o wide", "", refused},
		{"validate", "filename", "", "-f $SYSTEM", "", `^system/held valid`},
		{"validate", "output", "-f $SYSTEM", "-o name", "", `^system/held$`},
		{"convert", "filename", "", "-f $SYSTEM", "", `^name: held`},
		{"examples", "write", "simple", "--write $NEW", "", `^made: a new directory`},
		{"examples", "force", "simple --write $FOREIGN", "--force", "", `written`},
		{"examples", "force", "simple", "--force", "", refused},
		{"examples", "output", "", "-o name", "", `^example/shop$`},
		{"examples", "output", "simple", "-o name", "", refused},
		{"examples", "no-headers", "", "--no-headers", "", `^exit code 0\n[^N]`},
		{"examples", "no-headers", "", "--no-headers -o json", "", refused},
		{"examples generate", "services", "chain", "--services 102", "", `name: s101`},
		{"examples generate", "services", "chain", "--services 0", "", `range is 1 to`},
		{"examples generate", "calls", "random --services 3", "--calls 1", "", `1 calls between 3`},
		{"examples generate", "calls", "chain", "--calls 3", "", refused},
		{"examples generate", "seed", "random", "--seed x", "", `"x" for "--seed"`},
		{"examples generate", "seed", "chain", "--seed 3", "", refused},
		{"runtimes list", "output", "", "-o name", "", `^runtime/express$`},
		{"runtimes list", "no-headers", "", "--no-headers", "", `^exit code 0\n\s*agent`},
		{"runtimes install", "all", "express", "--all", "", refused},
		{"runtimes conform", "command", "", "--command false", "", `process ended before it listened`},
		{"runtimes conform", "command", "", "--command no-such-program", "", refused},
		{"runtimes conform", "level", "--command false", "--level L2", "", `does not reach level L2`},
		{"runtimes conform", "level", "--command false", "--level L4", "", refused},
		{"runtimes conform", "start-timeout", "--command cat", "--start-timeout 100ms", "--start-timeout 200ms", `within 100ms`},
		{"runtimes conform", "output", "--command false", "-o json", "", `"level": "L0"`},
		{"runtimes conform", "no-headers", "--command false", "--no-headers", "", `^exit code 10\n\s*L1`},
		{"completion install", "dir", "", "--dir no-such-directory", "", `no-such-directory`},
		{"cluster create", "workers", "", "--workers 99", "", `99 workers`},
		{"cluster create", "workers", "", "--workers -1", "", refused},
		{"cluster create", "node-image", "", "--node-image example/node:1", "", `docker .*example/node:1`},
		{"cluster delete", "all", "", "--all", "", `^exit code 0`},
		{"cluster delete", "all", "x", "--all", "", refused},
		{"cluster delete", "ignore-not-found", "microsim-none", "--ignore-not-found", "", `^exit code 0`},
		{"cluster delete", "ignore-not-found", "--all", "--ignore-not-found", "", refused},
		{"cluster list", "output", "", "-o json", "", `"items":`},
		{"cluster list", "no-headers", "-o json", "--no-headers", "", refused},
		{"doctor", "on", "", "--on kind", "--on cluster", `there is no kind cluster`},
		{"doctor", "output", "--on cluster", "-o json", "", `"items":`},
		{"doctor", "no-headers", "--on cluster", "--no-headers", "", `^exit code 0\n[^N]`},
		{"doctor", "image", "--on cluster", "--image registry.example/agent:7", "", `registry\.example/agent:7`},
		{"doctor", "image", "--on local", "--image registry.example/agent:7", "", refused},
		{"doctor", "probe", "--on cluster", "--probe", "", `asked: .* /apis/batch/v1/`},
		{"doctor", "probe", "--on local", "--probe", "", refused},
		{"gate", "listen", "--upstream 127.0.0.1:1 --api nowhere", "--listen 127.0.0.1:0", "", `listening for the API`},
		{"gate", "upstream", "--listen 127.0.0.1:0 --api nowhere", "--upstream 127.0.0.1:1", "", `listening for the API`},
		{"gate", "name", "--listen nowhere --upstream 127.0.0.1:1", "--name other", "", `other`},
		{"gate", "api", "", "--api nowhere", "--api elsewhere", `nowhere`},
		{"gate", "config", "--listen nowhere --upstream 127.0.0.1:1", "--config no-such-file", "", `no-such-file`},
		{"gate", "seed", "--listen nowhere --upstream 127.0.0.1:1", "--seed x", "", `"x" for "--seed"`},
		{"calibrate", "output", "", "-o wide", "", refused},
		{"calibrate", "runtime", "", "--runtime rails", "--runtime cobol", `there is no runtime "rails"`},
		{"runner", "namespace", "", "-n x", "", `reading "`},
	}
}

func systemRows() []flagRow {
	return []flagRow{
		{"up", "on", "-f $FREE --dry-run", "--on local", "--on cluster", `system/free up`},
		{"up", "filename", "--on local --dry-run", "-f $FREE", "", `system/free up`},
		{"up", "name", "-f $FREE --on local --dry-run", "--name other", "", `system/other up`},
		{"up", "isolation", "-f $FREE --on local --dry-run", "--isolation nothing", "", `isolation "nothing"`},
		{"up", "isolation", "-f $FREE --dry-run", "--isolation process", "", refused},
		{"up", "isolation", "-f $SYSTEM --on local --update", "--isolation process", "", refused},
		{"up", "frameworks", "-f $LABELS --on local --dry-run", "--frameworks", "", `service "web" has perl/mojolicious; there are runtimes for go/net/http`},
		{"up", "frameworks", "-f $FREE --dry-run", "--frameworks", "", refused},
		{"up", "port-base", "-f $FREE --on local --dry-run", "--port-base 70000", "", `port-base 70000`},
		{"up", "port-base", "-f $FREE --dry-run", "--port-base 7000", "", refused},
		{"up", "port-base", "-f $SYSTEM --on local --update", "--port-base 7000", "", refused},
		{"up", "seed", "-f $FREE --dry-run -o yaml --image x", "--seed 77", "", `[sS]eed[^a-z]*77`},
		{"up", "seed", "-f $SYSTEM --on local --update", "--seed 77", "", refused},
		{"up", "detach", "-f $SYSTEM --on local", "--detach", "", `in the background: it runs already`},
		{"up", "detach", "-f $FREE --dry-run", "--detach", "", refused},
		{"up", "detach", "-f $SYSTEM --on local --update", "--detach", "", refused},
		{"up", "update", "-f $SYSTEM --on local", "--update", "", `^exit code 0`},
		{"up", "update", "-f $FREE --dry-run", "--update", "", refused},
		{"up", "update", "-f $FREE --on local --dry-run", "--update", "", refused},
		{"up", "otlp", "-f $FREE --on local --dry-run", "--otlp $SERVER", "", `^with --otlp http`},
		{"up", "otlp", "-f $FREE --on local", "--otlp localhost:4318", "", refused},
		{"up", "otlp", "-f $FREE --on local", "--otlp http://localhost:4317", "", refused},
		{"up", "otlp", "-f $FREE --dry-run", "--otlp $SERVER", "", refused},
		{"up", "otlp", "-f $SYSTEM --on local --update", "--otlp $SERVER", "", refused},
		{"up", "fluent", "-f $FREE --on local --dry-run", "--fluent tcp://127.0.0.1:24224", "", `^with --fluent tcp://`},
		{"up", "fluent", "-f $FREE --on local", "--fluent http://127.0.0.1:9880", "", refused},
		{"up", "fluent", "-f $FREE --dry-run", "--fluent 127.0.0.1", "", refused},
		{"up", "fluent", "-f $SYSTEM --on local --update", "--fluent 127.0.0.1", "", refused},
		{"up", "trace-sample", "-f $FREE --on local --dry-run --otlp $SERVER", "--trace-sample 50%", "", ` --trace-sample 0\.5$`},
		{"up", "trace-sample", "-f $FREE --on local", "--trace-sample 50%", "", refused},
		{"up", "trace-sample", "-f $FREE --on local --otlp $SERVER", "--trace-sample 2", "", refused},
		{"up", "verbose", "-f $FREE --on local --dry-run", "-v", "", `^with --verbose$`},
		{"up", "verbose", "-f $FREE --on local --dry-run -o yaml", "-v", "", refused},
		{"up", "seed", "-f $FREE --on local --dry-run -o json", "--seed 77", "", refused},
		{"up", "verbose", "-f $SYSTEM --on local --update", "-v", "", refused},
		{"up", "verbose", "-f $FREE --dry-run -o yaml --image x", "-v", "", `- --verbose`},
		{"up", "log-format", "-f $FREE --dry-run -o yaml --image x", "--log-format json", "", `- --log-format=json`},
		{"up", "log-format", "-f $SYSTEM --on local --update", "--log-format json", "", refused},
		{"up", "log-format", "-f $FREE --dry-run", "--log-format xml", "", refused},
		{"up", "output", "-f $FREE --on local --dry-run", "-o json", "", `"name": "free"`},
		{"up", "output", "-f $FREE --dry-run --image x", "-o name", "", `^deployment\.apps/web$`},
		{"up", "dry-run", "-f $FREE --image x --ready-timeout 50ms", "--dry-run", "", `dry run`},
		{"up", "dry-run", "-f $FREE --on local", "--dry-run=server", "", refused},
		{"up", "force-conflicts", "-f $FREE --image x --ready-timeout 50ms", "--force-conflicts", "", `force=true`},
		{"up", "force-conflicts", "-f $FREE --dry-run", "--force-conflicts", "", refused},
		{"up", "force-conflicts", "-f $FREE --on local", "--force-conflicts", "", refused},
		{"up", "pod-monitor", "-f $FREE --dry-run --image x", "--pod-monitor", "", `podmonitor`},
		{"up", "pod-monitor", "-f $FREE --on local", "--pod-monitor=false", "", refused},
		{"up", "image", "-f $FREE --dry-run -o yaml", "--image registry.example/agent:7", "", `image: registry\.example/agent:7`},
		{"up", "image", "-f $FREE --on local", "--image x", "", refused},
		{"up", "push", "-f $FREE --dry-run -o yaml", "--push registry.example/agent:8", "", `image: registry\.example/agent:8`},
		{"up", "push", "-f $FREE --image x", "--push y", "", refused},
		{"up", "push", "-f $FREE", "--push registry.example/agent@sha256:abc", "", refused},
		{"up", "image-pull-secret", "-f $FREE --image x --ready-timeout 50ms", "--image-pull-secret regcred", "", `create secret docker-registry regcred -n default`},
		{"up", "image-pull-secret", "-f $FREE --image x --dry-run -o yaml", "--image-pull-secret regcred", "", `- name: regcred`},
		{"up", "image-pull-secret", "-f $FREE --image x", "--image-pull-secret NOT-ONE", "", refused},
		{"up", "image-pull-secret", "-f $FREE --on local", "--image-pull-secret regcred", "", refused},
		{"up", "ready-timeout", "-f $FREE --image x", "--ready-timeout 70ms", "--ready-timeout 60ms", `after 70ms`},
		{"up", "ready-timeout", "-f $FREE --on local", "--ready-timeout 70ms", "", refused},
		{"up", "ready-timeout", "-f $FREE", "--ready-timeout 0s", "", refused},
		{"up", "node-image", "-f $FREE --on kind", "--node-image example/node:1", "", `docker .*example/node:1`},
		{"up", "node-image", "-f $FREE --on cluster", "--node-image example/node:1", "", refused},

		{"down", "on", "no-such", "--on local", "--on cluster", `"no-such" runs on this machine`},
		{"down", "filename", "--on local", "-f $FREE", "", `"free"`},
		{"down", "all", "", "--all", "", `^exit code 0`},
		{"down", "all", "one --on local", "--all", "", refused},
		{"down", "all", "-f $FREE --on local", "--all", "", refused},
		{"down", "ignore-not-found", "no-such --on local", "--ignore-not-found", "", `^exit code 0`},
		{"down", "ignore-not-found", "--all", "--ignore-not-found", "", refused},
		{"down", "all-namespaces", "--all", "-A", "-n elsewhere", `^asked: GET /api/v1/namespaces\?|^asked: GET /(api|apis/apps)/v1/[a-z]+\?`},
		{"down", "all-namespaces", "x --on local", "-A", "", refused},
		{"down", "all-namespaces", "x -n elsewhere", "-A", "", refused},
		{"down", "output", "x --ignore-not-found", "-o json", "", `--output "json" is not known`},

		{"status", "on", "", "--on local", "--on cluster", `^held `},
		{"status", "output", "--on local", "-o name", "", `^system/held$`},
		{"status", "output", "held --on local", "-o jsonpath={.services[0].name}", "", `^webconnections`},
		{"status", "output", "held --on local", "-o go-template={{.name}}", "", `^heldconnections`},
		{"status", "output", "held --on local", "-o wide", "", `\(ready\)`},
		{"status", "output", "held --on local", "-o jsonpath={", "", refused},
		{"status", "no-headers", "--on local", "--no-headers", "", `^exit code 0\nheld`},
		{"status", "no-headers", "--on local -o json", "--no-headers", "", refused},
		{"status", "all-namespaces", "", "-A", "-n elsewhere", `^asked: GET /(api|apis/apps)/v1/[a-z]+\?`},
		{"status", "all-namespaces", "--on local", "-A", "", refused},

		{"logs", "on", "--all", "--on local", "--on cluster", `^first line`},
		{"logs", "system", "--all --on local", "--system other", "", `no system "other"`},
		{"logs", "all", "--on local", "--all", "", `^first line`},
		{"logs", "all", "web", "--all", "", refused},
		{"logs", "follow", "--all --previous", "--follow", "", refused},
		{"logs", "previous", "--all --on local", "--previous", "", refused},
		{"logs", "since", "--all --on local", "--since 1s", "", `^exit code 0\nconnections`},
		{"logs", "since", "--all", "--since 0s", "", refused},
		{"logs", "tail", "--all", "--tail -2", "", refused},
		{"logs", "tail", "--all --on local", "--tail 1", "", `^exit code 0\nsecond line`},
		{"logs", "follow", "--all --on local", "--follow", "", `interrupted: true`},

		{"top", "on", "held --watch=false", "--on local", "--on cluster", `SERVICE`},
		{"top", "watch", "held --on local -o json", "--watch", "", refused},
		{"top", "watch", "held --on local -o json", "--watch=false", "--watch", `"system": "held"`},
		{"top", "interval", "held --on local -o json", "--interval 200ms", "--interval 4s", `"seconds": [0-2]\.`},
		{"top", "interval", "held --on local -o json", "--interval 1ms", "", refused},
		{"top", "output", "held --on local --interval 100ms", "-o json", "", `"system": "held"`},
		{"top", "no-headers", "held --on local --interval 100ms", "--no-headers", "", `^exit code 0\n *(db|web) `},
		{"top", "no-headers", "held --on local -o json", "--no-headers", "", refused},

		{"call", "on", "-f $REQUEST", "--on local", "--on kind", `^seed `},
		{"call", "filename", "--on local", "-f $REQUEST", "", `^seed `},
		{"call", "isolation", "-f $REQUEST --on local", "--isolation nothing", "", `isolation "nothing"`},
		{"call", "isolation", "-f $REQUEST --on local --system held", "--isolation process", "", refused},
		{"call", "isolation", "-f $REQUEST", "--isolation process", "", refused},
		{"call", "port-base", "-f $REQUEST --on local -o json", "--port-base $PORT", "", `127.0.0.1:($PORT|$AFTERPORT)`},
		{"call", "port-base", "-f $REQUEST --on local --system held", "--port-base $PORT", "", refused},
		{"call", "system", "-f $REQUEST --on local", "--system no-such", "", `no-such`},
		{"call", "seed", "-f $REQUEST --on local", "--seed 7", "", `^seed 7$`},
		{"call", "trace", "-f $REQUEST --on local", "--trace", "", `trace [0-9a-f]{32}, \d spans`},
		{"call", "timeout", "-f $REQUEST --on local", "--timeout 1ns", "", `deadline exceeded`},
		{"call", "timeout", "-f $REQUEST --on local", "--timeout 0s", "", refused},
		{"call", "insecure", "-f $HTTPSREQUEST --on local", "--insecure", "", `^asked: POST /secured/`},
		{"call", "insecure", "-f $REQUEST --on local", "--insecure", "", refused},
		{"call", "insecure", "-f $REQUEST --on cluster --system x", "--insecure", "", refused},
		{"call", "cacert", "-f $HTTPSREQUEST --on local", "--cacert $CA", "", `^asked: POST /secured/`},
		{"call", "cacert", "-f $HTTPSREQUEST --on local --insecure", "--cacert $CA", "", refused},
		{"call", "output", "-f $REQUEST --on local", "-o json", "", `"service":`},
		{"call", "image", "-f $REQUEST --ready-timeout 50ms", "--image registry.example/agent:7", "", `registry\.example/agent:7`},
		{"call", "image", "-f $REQUEST --system x", "--image y", "", refused},
		{"call", "push", "-f $REQUEST", "--push registry.example/agent:8", "", `microsim-agent|Pushing`},
		{"call", "image-pull-secret", "-f $REQUEST --image x --ready-timeout 50ms", "--image-pull-secret regcred", "", `create secret docker-registry regcred -n default`},
		{"call", "image-pull-secret", "-f $REQUEST --on local", "--image-pull-secret regcred", "", refused},
		{"call", "image-pull-secret", "-f $REQUEST --system x", "--image-pull-secret regcred", "", refused},
		{"call", "push", "-f $REQUEST --on local", "--push registry.example/agent:8", "", refused},
		{"call", "ready-timeout", "-f $REQUEST --image x", "--ready-timeout 70ms", "--ready-timeout 60ms", `after 70ms`},
		{"call", "ready-timeout", "-f $REQUEST --system x", "--ready-timeout 70ms", "", refused},
		{"call", "node-image", "-f $REQUEST --on kind", "--node-image example/node:1", "", `docker .*example/node:1`},
		{"call", "node-image", "-f $REQUEST --on cluster", "--node-image example/node:1", "", refused},
	}
}

func faultRows() []flagRow {
	add := func(flag, args, with, instead, want string) flagRow {
		return flagRow{"fault add", flag, args + " --system held --on local --wait --for 400ms", with, instead, want}
	}
	return []flagRow{
		{"fault add", "on", "error --target web --status 500 --wait --for 400ms", "--on local", "--on cluster", `fault/error-web added`},
		{"fault add", "system", "error --target web --status 500 --on local --wait --for 400ms", "--system no-such", "", `no-such`},
		{"fault add", "system", "net-delay --delay 1ms -l app=x", "--system held", "", refused},
		add("target", "error --status 500", "--target web", "--target db", `fault/error-web added`),
		{"fault add", "target", "net-delay --delay 1ms -l app=x", "--target web", "", refused},
		add("name", "error --target web --status 500", "--name mine", "", `fault/mine added`),
		add("from", "error --target db --status 500", "--from web", "", `error-web-db`),
		{"fault add", "from", "net-delay --delay 1ms -l app=x", "--from web", "", refused},
		{"fault add", "wait", "error --target web --status 500 --on local --name waits --for 400ms", "--wait", "", `fault/waits cleared`},
		{"fault add", "for", "error --target web --status 500 --on local --name lasts --wait", "--for 450ms", "--for 400ms", `acts for 450ms`},
		{"fault add", "for", "error --target web --status 500 --on local", "--for 0s", "", refused},
		add("probability", "error --target web --status 500", "--probability 1.5", "", `invalid share "1\.5"`),
		add("probability", "error --target web --status 500", "--probability 0", "", refused),
		add("direction", "net-delay --delay 1ms --target web", "--direction up", "", `"up"`),
		add("delay", "latency --target web", "--delay 1ms", "", `fault/latency-web added`),
		add("delay", "error --target web", "--delay 1ms", "", refused),
		add("jitter", "latency --target web --delay 1ms", "--jitter -1ms", "", `jitter`),
		add("jitter", "error --target web", "--jitter 1ms", "", refused),
		add("hold", "cpu --target web", "--hold 1ms", "", `fault/cpu-web added`),
		add("hold", "cpu --target web", "--hold 0s", "", refused),
		add("status", "error --target web", "--status 99", "", `99`),
		add("status", "error --target web", "--status 0", "", refused),
		add("status", "latency --delay 1ms --target web", "--status 500", "", refused),
		add("size", "memory-leak --target web", "--size 1k", "", `fault/memory-leak-web added`),
		add("size", "latency --delay 1ms --target web", "--size 1k", "", refused),
		add("rate", "bandwidth --target db --from web", "--rate 1Mi", "", `added|gate`),
		add("rate", "error --target web", "--rate 1Mi", "", refused),
		add("cores", "cpu --target web --hold 1ms", "--cores 1000", "", `1000`),
		add("cores", "cpu --target web --hold 1ms", "--cores 0", "", refused),
		add("percent", "net-loss --target db --from web", "--percent 0.1", "", `added|gate|isolation`),
		add("percent", "error --target web", "--percent 0.1", "", refused),
		add("correlation", "net-loss --target db --from web --percent 0.1", "--correlation 2", "", `correlation`),
		add("correlation", "error --target web", "--correlation 0.1", "", refused),
		add("pattern", "substitute --target db --from web", "--pattern (", "", `pattern.*\(`),
		add("pattern", "error --target web", "--pattern a", "", refused),
		add("with", "error --target web", "--with a", "", refused),
		add("load", "cpu-stress --target db", "--load 2", "", `load`),
		add("load", "error --target web", "--load 0.5", "", refused),
		add("method", "error --target web", "--method all", "", refused),
		add("operation", "slow-query --target db --delay 1ms", "--operation zz", "", `operation "?zz`),
		add("operation", "error --target web", "--operation read", "", refused),
		{"fault add", "dry-run", "error --target web --status 500 --on local", "--dry-run", "", refused},
		{"fault add", "selector", "net-delay --delay 1ms --dry-run", "-l app=x", "", `default/one `},
		{"fault add", "selector", "net-delay --delay 1ms --on local", "-l app=x", "", refused},
		{"fault add", "dry-run", "net-delay --delay 1ms -l app=x", "--dry-run", "", `^exit code 0`},
		{"fault add", "to", "net-delay --delay 1ms -l app=x --dry-run", "--to 10.9.9.9", "", `10\.9\.9\.9`},
		{"fault add", "allow-system", "net-delay --delay 1ms -l app=dns -n kube-system --dry-run", "--allow-system", "", `^kube-system/dns`},
		{"fault add", "max-pods", "net-delay --delay 1ms -l app=x --dry-run", "--max-pods 1", "", `2 pods`},
		{"fault add", "yes", "net-delay --delay 1ms -l app=x", "--yes", "", `^asked: POST `},
		{"fault add", "method", "cpu-stress -l app=x --dry-run", "--method matrixprod", "", `method=matrixprod`},
		{"fault add", "with", "net-delay --delay 1ms -l app=x --dry-run", "--with b", "", refused},
		{"fault add", "to", "net-delay --delay 1ms --target web", "--to 10.0.0.1", "", refused},
		{"fault add", "allow-system", "net-delay --delay 1ms --target web", "--allow-system", "", refused},
		{"fault add", "max-pods", "net-delay --delay 1ms --target web", "--max-pods 3", "", refused},
		{"fault add", "max-pods", "net-delay --delay 1ms -l app=x", "--max-pods 0", "", refused},
		{"fault add", "yes", "net-delay --delay 1ms --target web", "--yes", "", refused},
		{"fault add", "image", "error --target web --on local", "--image x", "", refused},
		{"fault add", "push", "error --target web", "--push x", "", refused},
		{"fault add", "image-pull-secret", "error --target web --on local", "--image-pull-secret regcred", "", refused},

		{"fault apply", "on", "-f $FAULTS", "--on local", "--on cluster", `fault/slow added`},
		{"fault apply", "system", "-f $FAULTS --on local", "--system no-such", "", `no-such`},
		{"fault apply", "image", "-f $FAULTS --on local", "--image x", "", refused},
		{"fault apply", "push", "-f $FAULTS --on local", "--push x", "", refused},
		{"fault apply", "image-pull-secret", "-f $FAULTS --on local", "--image-pull-secret regcred", "", refused},
		{"fault apply", "filename", "--on local", "-f $FAULTS", "", `fault/slow added`},
		{"fault apply", "duration", "-f $FAULTS --on local --dry-run", "--duration 100ms", "", `^100ms +clear`},
		{"fault apply", "duration", "-f $FAULTS --on local", "--duration 0s", "", refused},
		{"fault apply", "seed", "-f $FAULTS --on local --dry-run", "--seed x", "", `seed`},
		{"fault apply", "allow-system", "-f $CHAOSDNS -n kube-system --dry-run", "--allow-system", "", `^kube-system/dns`},
		{"fault apply", "max-pods", "-f $CHAOS --dry-run", "--max-pods 1", "", `2 pods`},
		{"fault apply", "max-pods", "-f $CHAOS", "--max-pods 0", "", refused},
		{"fault apply", "yes", "-f $CHAOS", "--yes", "", `^asked: POST `},
		{"fault apply", "yes", "-f $CHAOS --on local", "--yes", "", refused},
		{"fault apply", "dry-run", "-f $FAULTS --on local", "--dry-run", "", `dry run`},
		{"fault apply", "output", "-f $FAULTS --on local", "-o json", "", `"event":"added"`},
		{"fault apply", "output", "-f $FAULTS --on local --dry-run", "-o json", "", refused},

		{"fault list", "on", "", "--on local", "--on kind", `^standing `},
		{"fault list", "system", "--on local", "--system no-such", "", `"no-such"`},
		{"fault list", "output", "--on local", "-o json", "", `"items":`},
		{"fault list", "no-headers", "--on local -o json", "--no-headers", "", refused},
		{"fault list", "all-namespaces", "", "-A", "-n elsewhere", `^asked: GET /(api|apis/apps)/v1/[a-z]+\?`},
		{"fault list", "all-namespaces", "--on local", "-A", "", refused},
		{"fault list", "no-headers", "--on local", "--no-headers", "", `^exit code 0\nstanding`},

		{"fault clear", "on", "--all --system held", "--on local", "--on cluster", `^exit code 0`},
		{"fault clear", "system", "x --on local", "--system no-such", "", `"no-such"`},
		{"fault clear", "all", "--on local", "--all", "", `^exit code 0`},
		{"fault clear", "all", "x --on local", "--all", "", refused},
		{"fault clear", "all-namespaces", "--all", "-A", "-n elsewhere", `^asked: GET /(api|apis/apps)/v1/[a-z]+\?`},
		{"fault clear", "all-namespaces", "x --on local", "-A", "", refused},
	}
}

func loadRows() []flagRow {
	url := "--url $SERVER/x --count 2 "
	rows := []flagRow{
		{"load", "on", "--system held --rate 50 --count 2", "--on local", "--on kind", `2 requests`},
		{"load", "system", "--rate 50 --count 2 --on local", "--system no-such", "", `"no-such"`},
		{"load", "system", url + "--rate 50", "--system held", "", refused},
		{"load", "system", "-f $LOAD", "--system held", "", refused},
		{"load", "filename", "", "-f $LOAD", "", `asked: GET /from-file`},
		{"load", "only", "-f $LOADS", "--only second", "--only first", `asked: POST /second`},
		{"load", "only", "--rate 1 --count 1 --url $SERVER/", "--only second", "", refused},
		{"load", "service", "--rate 50 --count 2 --on local -o json", "--service db", "", `"name": "db"`},
		{"load", "service", url + "--rate 50", "--service db", "", refused},
		{"load", "endpoint", "--service web --rate 50 --count 2 --on local", "--endpoint /no-such", "", `status 404`},
		{"load", "endpoint", "--rate 50 --count 2 --on local", "--endpoint /", "", refused},
		{"load", "method", url + "--rate 50", "--method PUT", "", `asked: PUT /x`},
		{"load", "method", "--rate 50 --count 2 --on local", "--method PUT", "", refused},
		{"load", "body", url + "--rate 50", "--body hello", "", `body="hello"`},
		{"load", "body", "--rate 50 --count 2 --on local", "--body hello", "", refused},
		{"load", "url", "--rate 50 --count 2", "--url $SERVER/x", "", `asked: GET /x`},
		{"load", "url", "--rate 50 --count 2", "--url $TWO", "", `^ */two +2 `},
		{"load", "url", "--rate 50 --count 2", "--url http://127.0.0.1:99999/", "", refused},
		{"load", "seed", url + "--rate 50", "--seed x", "", `seed`},
		{"load", "rate", url, "--rate 50", "", `2 requests`},
		{"load", "rate", url, "--rate 0", "", refused},
		{"load", "rate", url + "--users 3", "--rate 5", "", refused},
		{"load", "to", "--url $SERVER/x --rate 40 --duration 500ms", "--to 0", "", `^1[01] requests`},
		{"load", "to", "--url $SERVER/x --rate 0 --duration 500ms", "--to 40", "", `^([89]|1[0-2]) requests`},
		{"load", "to", url + "--rate 10", "--to 100", "", refused},
		{"load", "to", url + "--users 1", "--to 100", "", refused},
		{"load", "poisson", "--url $SERVER/x --rate 1000 --duration 200ms -o json", "--poisson", "", `"arrivals": (1\d\d|2(0[1-9]|[1-9]\d))\b`},
		{"load", "poisson", url + "--users 1", "--poisson", "", refused},
		{"load", "burst", url + "--rate 50", "--burst 3", "", `^6 requests`},
		{"load", "burst", url + "--rate 50", "--burst -1", "", refused},
		{"load", "burst", url + "--rate 50", "--burst 0", "", refused},
		{"load", "burst", url + "--users 1", "--burst 2", "", refused},
		{"load", "users", url, "--users 2", "", `2 requests`},
		{"load", "users", url, "--users 0", "", refused},
		{"load", "think", "--url $SERVER/x --users 1 --count 2 --duration 3s", "--think 1h", "", `^1 request`},
		{"load", "think", url + "--rate 5", "--think 1s", "", refused},
		{"load", "every", "--url $SERVER/x --users 1 --count 2 --duration 3s", "--every 1h", "", `^1 request`},
		{"load", "every", url + "--rate 5", "--every 1s", "", refused},
		{"load", "every", url + "--users 1", "--every 0s", "", refused},
		{"load", "delay", url, "--delay 10ms", "--users 1", `asked: POST /x `},
		{"load", "delay", url + "--rate 5", "--delay 1s", "", refused},
		{"load", "delay", url + "--every 1s", "--delay 1s", "", refused},
		{"load", "follow", "-f $LOAD", "--follow", "", `following `},
		{"load", "follow", url + "--rate 5", "--follow", "", refused},
		{"load", "duration", "--url $SERVER/x --rate 50", "--duration 100ms", "--duration 200ms", `^5 requests`},
		{"load", "duration", "-f $LOAD", "--duration 200ms", "", `^4 requests`},
		{"load", "duration", url + "--rate 5", "--duration 0s", "", refused},
		{"load", "count", "-f $LOAD", "--count 3", "", `^3 requests`},
		{"load", "count", "--url $SERVER/x --rate 50", "--count 0", "", refused},
		{"load", "timeout", "--url $SERVER/slow --rate 50 --count 1", "--timeout 500ms", "", `1 timeout`},
		{"load", "timeout", url + "--rate 5", "--timeout 0s", "", refused},
		{"load", "no-keep-alive", url + "--users 1", "--no-keep-alive", "", `connections: 2`},
		{"load", "no-keep-alive", "-f $ONEUSER", "--no-keep-alive", "", `connections: 8`},
		{"load", "insecure", "--url $SECUREDX --rate 50 --count 2", "--insecure", "", `^asked: GET /x`},
		{"load", "insecure", url + "--rate 50", "--insecure", "", refused},
		{"load", "insecure", "-f $LOAD", "--insecure", "", `no request goes to an https URL`},
		{"load", "cacert", "--url $SECUREDX --rate 50 --count 2", "--cacert $CA", "", `^asked: GET /x`},
		{"load", "cacert", "--url $SECUREDX --rate 50 --count 2 --insecure", "--cacert $CA", "", refused},
		{"load", "cacert", "--url $SECUREDX --rate 50 --count 2", "--cacert no-such-file", "", refused},
		{"load", "load-pods", "--system x --rate 5", "--load-pods 0", "", refused},
		{"load", "load-pods", url + "--rate 5 --on cluster --image x --ready-timeout 50ms", "--load-pods 3", "", `3 pods`},
		{"load", "load-pods", url + "--rate 5", "--load-pods 3", "", refused},
		{"load", "image", url + "--rate 5 --on cluster --ready-timeout 50ms", "--image registry.example/agent:7", "", `registry\.example/agent:7`},
		{"load", "image", url + "--rate 5", "--image x", "", refused},
		{"load", "push", url + "--rate 5 --on cluster", "--push registry.example/agent:8", "", `microsim-agent|Pushing`},
		{"load", "push", url + "--rate 5", "--push x", "", refused},
		{"load", "image-pull-secret", url + "--rate 5 --on cluster --image x --ready-timeout 50ms", "--image-pull-secret regcred", "", `create secret docker-registry regcred -n default`},
		{"load", "image-pull-secret", url + "--rate 5", "--image-pull-secret regcred", "", refused},
		{"load", "ready-timeout", url + "--rate 5 --on cluster --image x", "--ready-timeout 70ms", "--ready-timeout 60ms", `after 70ms`},
		{"load", "node-image", url + "--rate 5 --on kind", "--node-image example/node:1", "", `docker .*example/node:1`},
		{"load", "output", url + "--rate 50", "-o json", "", `"sent": 2`},
	}
	// Flags do not change a load that a file describes.
	for _, flag := range []struct{ name, with string }{
		{"rate", "--rate 5"}, {"users", "--users 1"}, {"to", "--to 5"}, {"poisson", "--poisson"}, {"burst", "--burst 2"}, {"think", "--think 1s"},
		{"every", "--every 1s"}, {"delay", "--delay 1s"}, {"service", "--service web"}, {"endpoint", "--endpoint /"}, {"method", "--method GET"},
		{"url", "--url $SERVER/"}, {"body", "--body x"},
	} {
		rows = append(rows, flagRow{"load", flag.name, "-f $LOAD", flag.with, "", refused})
	}
	return rows
}

// recursiveRows are those of the commands that read directories.
func recursiveRows() (rows []flagRow) {
	for command, args := range map[string]string{
		"call": "--on local", "convert": "", "dataset": "--out $NEW --on local", "down": "--on local", "fault apply": "--on local", "limit": "", "load": "--on local",
		"run": "--on local", "search": "--slo p99<10s", "sweep": "--vary load.rate=1,2", "up": "--on local", "validate": "",
	} {
		rows = append(rows, flagRow{command: command, args: args + " -f $DEEP", flag: "recursive", with: "-R", want: `below/wrong\.yaml`})
	}
	return rows
}

func runRows() []flagRow {
	rows := []flagRow{
		{"run", "filename", "--on local --dry-run", "-f $SINGLE", "", `experiment/single run`},
		{"run", "only", "-f $SINGLE -f $EXPERIMENT --on local --dry-run", "--only single", "--only brief", `experiment/single run`},
		{"report", "on", "x", "--on local", "--on kind", `reading the results`},
		{"report", "wait", "x --on local", "--wait", "", refused},
		{"report", "out", "x --on local", "--out y", "", refused},
		{"report", "report", "$RECORD --on local", "--report $NEW", "", `there is no page with them`},
		{"report", "output", "$RECORD --on local", "-o json", "", `"kind": "Result"`},
		{"report", "output", "x --on local", "-o wide", "", refused},
	}
	for _, command := range []string{"run", "run ideal", "run outage", "run performance"} {
		file := "-f $SINGLE "
		if command != "run" {
			file = "--duration 200ms --timeout 50ms "
		}
		row := func(flag, args, with, instead, want string) {
			if command == "run performance" && want != refused && strings.Contains(args, "--on local") && !strings.Contains(args, "--dry-run") {
				return
			}
			rows = append(rows, flagRow{command, flag, file + args, with, instead, want})
		}
		row("on", "--dry-run", "--on local --port-base 1", "--on cluster --port-base 1", `dry run`)
		row("isolation", "--on local --dry-run", "--isolation nothing", "", `isolation "nothing"`)
		row("isolation", "--dry-run", "--isolation process", "", refused)
		row("port-base", "--on local -o json", "--port-base 70000", "", `port-base 70000`)
		row("port-base", "--dry-run", "--port-base 7000", "", refused)
		row("seed", "--on local --dry-run -o yaml", "--seed 77", "", `seed: 77`)
		row("seeds", "--on local --dry-run", "--seeds 3", "", `3 runs`)
		row("seeds", "--on local --dry-run", "--seeds 0", "", refused)
		row("variants", "--on local --dry-run", "--variants zz", "", `has no variants`)
		row("out", "--on local", "--out $NEW", "", `made: a new directory`)
		row("out", "--on local --dry-run", "--out $NEW", "", refused)
		row("out", "--detach", "--out $NEW", "", refused)
		row("force", "--on local", "--force", "", refused)
		row("trace-sample", "--on local -o json --report $NEW", "--trace-sample 50%", "", `"sample": 0\.5`)
		row("trace-sample", "--on local", "--trace-sample 50%", "", refused)
		row("trace-sample", "--on local --dry-run", "--trace-sample 50%", "", refused)
		row("trace-sample", "--on local --report $NEW", "--trace-sample 2", "", refused)
		row("verbose", "--on local", "-v", "", `level=DEBUG msg=request system=`)
		row("verbose", "--on local --dry-run", "-v", "", refused)
		row("log-format", "--on local -v", "--log-format json", "", `"level":"DEBUG","msg":"request","system":`)
		row("log-format", "--on local", "--log-format json", "", refused)
		row("log-format", "--on local -v", "--log-format xml", "", refused)
		row("log-format", "--detach -v", "--log-format json", "", refused)
		row("otlp", "--on local", "--otlp $SERVER", "", `asked: POST /v1/(traces|metrics|logs)`)
		row("otlp", "--on local", "--otlp localhost:4318", "", refused)
		row("otlp", "--on local", "--otlp http://localhost:4317", "", refused)
		row("otlp", "--on local --dry-run", "--otlp $SERVER", "", refused)
		row("fluent", "--on local -v", "--fluent tcp://127.0.0.1:1", "", `Logs to tcp://127\.0\.0\.1:1`)
		row("fluent", "--on local", "--fluent http://127.0.0.1:9880", "", refused)
		row("fluent", "--on local --dry-run", "--fluent 127.0.0.1", "", refused)
		row("prometheus", "--on local", "--prometheus no-such-program", "", `asking "no-such-program" for its version`)
		row("prometheus", "--on kind", "--prometheus /usr/bin/prometheus", "", refused)
		row("prometheus", "--detach", "--prometheus http://127.0.0.1:1", "", refused)
		row("prometheus", "--on local --dry-run", "--prometheus x", "", refused)
		row("rules", "--on local --prometheus no-such-program", "--rules no-such-rules", "", `no-such-rules`)
		row("rules", "--on local", "--rules $SINGLE", "", refused)
		row("rules", "--on local --prometheus http://127.0.0.1:1", "--rules $SINGLE", "", refused)
		row("report", "--on local", "--report $NEW", "", `made: a new file`)
		row("report", "--on local --dry-run", "--report $NEW", "", refused)
		row("junit", "--on local", "--junit $NEW", "", `made: a new file`)
		row("junit", "--on local --dry-run", "--junit $NEW", "", refused)
		row("junit", "--detach", "--junit $NEW", "", refused)
		row("junit", "--on local --report same", "--junit ./same", "", refused)
		row("output", "--on local", "-o json", "", `"kind": "Result"`)
		row("output", "--on local --dry-run", "-o json", "", `"kind": "Experiment"`)
		row("output", "--detach", "-o json", "", refused)
		row("dry-run", "--on local", "--dry-run", "", `dry run`)
		row("load-pods", "--image x --ready-timeout 50ms --dry-run", "--load-pods 101", "", `load-pods 101`)
		row("load-pods", "--on local --dry-run", "--load-pods 2", "", refused)
		row("image", "--ready-timeout 50ms", "--image registry.example/agent:7", "", `registry\.example/agent:7`)
		row("image", "--on local --dry-run", "--image x", "", refused)
		row("push", "", "--push registry.example/agent:8", "", `microsim-agent|Pushing`)
		row("push", "--image x", "--push y", "", refused)
		row("image-pull-secret", "--image x --ready-timeout 50ms", "--image-pull-secret regcred", "", `create secret docker-registry regcred -n default`)
		row("image-pull-secret", "--on local --dry-run", "--image-pull-secret regcred", "", refused)
		row("ready-timeout", "--image x", "--ready-timeout 70ms", "--ready-timeout 60ms", `after 70ms`)
		row("ready-timeout", "--on local --dry-run", "--ready-timeout 1s", "", refused)
		row("node-image", "--on kind", "--node-image example/node:1", "", `docker .*example/node:1`)
		row("node-image", "--on cluster --dry-run", "--node-image example/node:1", "", refused)
		row("detach", "--image x --ready-timeout 50ms", "--detach --runner-image y", "", `^asked: .*ExperimentFile|experiment/|its pod did not run`)
		row("detach", "--on local", "--detach", "", refused)
		row("runner-image", "--image x --ready-timeout 50ms --detach", "--runner-image registry.example/runner:9", "", `registry\.example/runner:9`)
		row("runner-image", "--image x", "--runner-image y", "", refused)
		row("pace", "--on local", "--pace 10x", "", refused)
		row("pace", "--on virtual", "--pace 0x", "", refused)
		row("pace", "--on virtual --dry-run", "--pace 10x", "", refused)
		row("pace", "--on virtual", "--pace 20x", "", `load ended`)
		row("calibration", "--on virtual", "--calibration $CALIBRATION", "", `calibrated 2026-01-31`)
		row("calibration", "--on virtual --dry-run", "--calibration $CALIBRATION", "", refused)
		row("calibration", "--on local", "--calibration $CALIBRATION", "", refused)
		row("max-events", "--on virtual", "--max-events 20", "", `more than 20 events, the limit`)
		row("max-events", "--on local", "--max-events 20", "", refused)
		row("max-instant-events", "--on virtual", "--max-instant-events 0", "", refused)
		row("max-requests", "--on virtual", "--max-requests 0", "", refused)
		if command != "run" { // which has one service here, and so one request at a time
			row("max-instant-events", "--on virtual", "--max-instant-events 1", "", `1 events without any time passing`)
			row("max-requests", "--on virtual", "--max-requests 1", "", `more than 1 requests are under way, the limit`)
		}
		row("max-requests", "--on local", "--max-requests 5", "", refused)
		row("predict", "--on local", "--predict --calibration $CALIBRATION", "", `were answered as predicted`)
		row("predict", "--on local --dry-run", "--predict", "", refused)
		row("predict", "--on virtual", "--predict", "", refused)
		row("isolation", "--on virtual", "--isolation process", "", refused)
		row("port-base", "--on virtual", "--port-base 7000", "", refused)
		row("namespace", "--on virtual", "-n elsewhere", "", refused)
		row("ready-timeout", "--on virtual", "--ready-timeout 1s", "", refused)
		row("image", "--on virtual", "--image x", "", refused)
		row("load-pods", "--on virtual", "--load-pods 2", "", refused)
		row("detach", "--on virtual", "--detach", "", refused)
		row("runner-image", "--on virtual", "--runner-image x", "", refused)
		row("called-as", "--on local -o json", "--called-as outside", "", `"command": "outside`)
	}
	rows = append(rows,
		flagRow{"run", "duration", "-f $SINGLE --on local --dry-run", "--duration 7s", "", `7s`},
		flagRow{"run", "max-instant-events", "-f $FAULTS --on virtual", "--max-instant-events 1", "", `1 events without any time passing`},
		flagRow{"run", "max-requests", "-f $FAULTS --on virtual", "--max-requests 1", "", `more than 1 requests are under way, the limit`},
		flagRow{"run", "duration", "-f $SINGLE --on local --dry-run", "--duration 0s", "", `"0s"`},
		flagRow{"run", "variants", "-f $EXPERIMENT --on local --dry-run", "--variants second", "--variants first", `variant second`},
		flagRow{"run", "force", "-f $SINGLE --on local --out $FOREIGN", "--force", "", `^exit code 0`},
	)
	for _, mode := range []string{"run ideal", "run outage", "run performance"} {
		if mode != "run performance" {
			rows = append(rows, flagRow{mode, "force", "--duration 200ms --timeout 50ms --on local --out $FOREIGN", "--force", "", `^exit code 0`})
		}
		rows = append(rows,
			flagRow{mode, "duration", "--on local --dry-run", "--duration 7s", "", `7s`},
			flagRow{mode, "retries", "--on local --dry-run -o yaml", "--retries", "", `attempts: 4`},
			flagRow{mode, "timeout", "--on local --dry-run -o yaml", "--timeout 3s", "", `timeout: 3s`},
			flagRow{mode, "timeout", "--on local --dry-run", "--timeout 0", "", refused},
			flagRow{mode, "circuit-breakers", "--on local --dry-run -o yaml", "--circuit-breakers", "", `failures: 5`},
			flagRow{mode, "url", "--on local --dry-run", "--url /no-such", "", `/no-such`},
		)
	}
	return rows
}

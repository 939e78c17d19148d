package archtest

// A layer lists packages; a package may import packages of lower layers,
// packages inside itself, and those named in sideways.
type layer struct {
	level    int
	packages []string
	why      string
}

// layers are those of the design, from the ground up.
var layers = []layer{
	{0, []string{"model/problem", "model/unit", "model/outcome", "model/stats", "model/exact", "model/des", "model/drawing"}, "words and arithmetic that everything else is said in"},
	{1, []string{"model/dist", "model/calibration"}, "distributions are written with units; the costs of a machine tell their problems"},
	{2, []string{"model/topology", "model/fault", "model/load", "model/policy", "model/span"}, "the domain: a system, what breaks it, what loads it, what protects it, the trace of a request"},
	{3, []string{"model/behave", "model/chain", "model/exec", "model/store", "model/program", "model/order", "model/control", "model/logline"}, "pure engines and contracts over the domain; lines of logs, of which those of a request have its trace"},
	{4, []string{"model/experiment", "model/dataset", "model/spec"}, "an experiment joins the domain, a data set has many; files are read into all of it"},
	{5, []string{"model/result", "model/advise"}, "a result carries the checks of its experiment; advice is on an experiment"},
	{6, []string{"runner/measure", "runner/account", "model/search", "model/why"}, "aggregators and the account make results of what they are told; searches judge results; records explain them"},
	{7, []string{"runner"}, "runs an experiment on any target, and owns the ports of the targets"},
	{8, []string{"cluster", "localsim", "netfault", "workload", "observe", "webui", "runtimes"}, "each deals with one world outside the program"},
	{9, []string{"cluster/nodeagent"}, "the helper of a node joins faults on networks and stress; it runs in the agent, apart from what creates it"},
	{10, []string{"plugin"}, "commands: the only place that wires the worlds together"},
	{11, []string{"cmd", "krew"}, "programs"},
}

// sideways names the imports between packages of one layer, each with its reason.
var sideways = map[string]string{
	"model/stats -> model/exact":        "intervals are the same to the last bit on every processor",
	"model/topology -> model/policy":    "a call of the topology carries its policies",
	"model/spec -> model/experiment":    "a file of kind Experiment is read into what the runner runs",
	"model/dataset -> model/experiment": "each run of a data set is an experiment",
	"model/spec -> model/dataset":       "a file of kind Dataset is read into what is run for a data set",
	"model/exec -> model/behave":        "the step machine of a request asks what the service decides",
	"model/behave -> model/chain":       "a service executes the documents of MicroSim's chains",
	"model/exec -> model/chain":         "the step machine executes the documents of MicroSim's chains",
	"runner/account -> runner/measure":  "the account of a run sums up in aggregators",
}

// apart lists packages whose parts, the packages below them, do not import each other;
// the package alone joins them.
var apart = []struct {
	pkg   string
	parts []string
	why   string
}{
	{"workload/service", []string{"metrics", "peer", "work", "workers"}, "counting, calling, working and waiting for a worker meet in a request only"},
	{"netfault/emulate", []string{"engine", "nfqueue", "packet"}, "deciding about packets, changing them, and talking to the kernel meet in a channel"},
	{"netfault/gate", []string{"front", "relay"}, "clients are accepted and data is carried by parts that know no conditions"},
}

// free packages may be imported from anywhere and import nothing of the project.
var free = []string{"internal/testenv", "internal/version", "internal/golden"}

// helpers are packages outside of the layers that several packages of one layer
// share, with the lowest layer that may import them.
var helpers = map[string]struct {
	level int
	why   string
}{
	"internal/controlhttp": {8, "the services' contract, spoken over HTTP by targets and services"},
	"internal/interrupt":   {9, "both programs end alike on signals"},
	"internal/http1":       {8, "one HTTP/1 client and one classifier of its errors for services and load"},
	"internal/partial":     {8, "records and data sets are written aside alike"},
	"internal/tail":        {8, "programs that are started beside ours tell alike why they have ended"},
	"internal/webguard":    {8, "one test for requests of web pages at every HTTP door of this machine"},
}

// outside says which packages from outside the project a package must not know.
var outside = []struct{ pkg, banned, why string }{
	{"model/", "net/http", "the domain knows no network"},
	{"model/", "net/netip", "the domain knows no network"},
	{"model/", "k8s.io/", "the domain knows no Kubernetes"},
	{"runner", "net/http", "the runner reaches targets through its ports only"},
	{"runner", "k8s.io/", "the runner reaches targets through its ports only"},
	{"workload", "k8s.io/", "a service runs everywhere, and stays small"},
	{"workload/service/work", "net/http", "work is done for a time or an amount, and knows no request"},
	{"workload/service/workers", "net/http", "workers bound connections and turns, and know no request"},
	{"netfault", "k8s.io/", "the agent is small"},
	{"localsim", "k8s.io/", "local runs need no cluster"},
	{"observe", "k8s.io/", "observations come over HTTP"},
	{"cluster/nodeagent", "k8s.io/", "the agent is small"},
	{"plugin/agent", "k8s.io/", "the agent is small"},
	{"cmd/microsim-agent", "k8s.io/", "the agent is small"},
	{"cmd/microsim-agent", "github.com/redis/", "the agent is small: drivers of stores are for microsim-store"},
	{"cmd/microsim-agent", "github.com/bradfitz/", "the agent is small: drivers of stores are for microsim-store"},
	{"cmd/microsim-agent", "github.com/jackc/", "the agent is small: drivers of stores are for microsim-store"},
	{"cmd/microsim-agent", "github.com/go-sql-driver/", "the agent is small: drivers of stores are for microsim-store"},
	{"cmd/microsim-agent", "go.mongodb.org/", "the agent is small: stores and their drivers are for microsim-store"},
	{"cmd/microsim-agent", "github.com/twmb/", "the agent is small: stores and their drivers are for microsim-store"},
	{"cmd/microsim-agent", "github.com/tidwall/", "the agent is small: stores are served by microsim-store"},
	{"plugin/storeagent", "k8s.io/", "microsim-store is small, too"},
	{"cmd/microsim-store", "k8s.io/", "microsim-store is small, too"},
	{"workload/service", "database/sql", "services know stores by a port, so that the agent stays small"},
	{"workload/service", "github.com/redis/", "services know stores by a port, so that the agent stays small"},
}

// suite asks running systems what they do, so it knows the network.
const suite = "runner/runnertest"

// standardOnly packages import nothing but the standard library and the project.
var standardOnly = []string{
	"model/problem", "model/unit", "model/outcome", "model/dist", "model/exact", "model/stats", "model/des", "model/drawing", "model/topology", "model/fault", "model/load", "model/policy", "model/span",
	"model/behave", "model/chain", "model/exec", "model/store", "model/program", "model/order", "model/control", "model/logline", "model/experiment", "model/dataset", "model/advise", "model/calibration",
}

// Package isotope reads isotope's MockServiceGraph.
package isotope

import (
	"fmt"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/dist"
	"github.com/microsim-dev/kubectl-microsim/model/problem"
	"github.com/microsim-dev/kubectl-microsim/model/spec/decode"
	"github.com/microsim-dev/kubectl-microsim/model/spec/document"
	"github.com/microsim-dev/kubectl-microsim/model/topology"
	"github.com/microsim-dev/kubectl-microsim/model/unit"
)

// The files of isotope's own repository leave out apiVersion and kind.

const Kind = "MockServiceGraph"

// byteSize is isotope's size: a number of bytes, or text such as "16 KB" with
// factors of 1024, whatever the suffix.
type byteSize int64

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *byteSize) UnmarshalText(data []byte) error {
	digits := strings.ToLower(strings.ReplaceAll(string(data), " ", ""))
	digits = strings.TrimSuffix(strings.TrimSuffix(digits, "b"), "i")
	factor := 1.0
	for i, suffix := range []string{"k", "m", "g", "t", "p"} {
		if rest, ok := strings.CutSuffix(digits, suffix); ok {
			digits, factor = rest, math.Pow(1024, float64(i+1))
			break
		}
	}
	n, err := strconv.ParseFloat(digits, 64)
	if err != nil || !(n >= 0) || n*factor >= math.MaxInt64 {
		return fmt.Errorf("invalid size %q: write a number of bytes, such as 512, 16k or 1 MB", data)
	}
	*s = byteSize(n * factor)
	return nil
}

type graphFile struct {
	APIVersion string         `json:"apiVersion"`
	Kind       string         `json:"kind"`
	Default    graphDefaults  `json:"default"`
	Defaults   graphDefaults  `json:"defaults"`
	Services   []graphService `json:"services"`
	Metadata   decode.Ignored `json:"metadata"`
}

type graphDefaults struct {
	Type            string         `json:"type"`
	ErrorRate       unit.Share     `json:"errorRate"`
	RequestSize     byteSize       `json:"requestSize"`
	ResponseSize    byteSize       `json:"responseSize"`
	NumReplicas     *int           `json:"numReplicas"`
	NumRbacPolicies int            `json:"numRbacPolicies"`
	ComputeUsage    decode.Ignored `json:"computeUsage"`
	MemoryUsage     decode.Ignored `json:"memoryUsage"`
	Script          []graphStep    `json:"script"`
}

type graphService struct {
	Name            string            `json:"name"`
	Namespace       string            `json:"namespace"`
	Cluster         string            `json:"cluster"`
	Type            string            `json:"type"`
	NumReplicas     *int              `json:"numReplicas"`
	IsEntrypoint    bool              `json:"isEntrypoint"`
	ErrorRate       *unit.Share       `json:"errorRate"`
	ResponseSize    *byteSize         `json:"responseSize"`
	NumRbacPolicies int               `json:"numRbacPolicies"`
	ComputeUsage    decode.Ignored    `json:"computeUsage"`
	MemoryUsage     decode.Ignored    `json:"memoryUsage"`
	Labels          map[string]string `json:"labels"`
	Script          []graphStep       `json:"script"`
}

// graphStep is one command, or several that are run at once.
type graphStep struct {
	Sleep      *unit.Duration `json:"sleep"`
	Call       *graphCall     `json:"call"`
	Concurrent []graphStep    `json:"-concurrent"`
}

type graphCall struct {
	Service     string            `json:"service"`
	Hostname    string            `json:"hostname"`
	ExtraHeader map[string]string `json:"extra-header"`
	Size        *byteSize         `json:"size"`
	PayloadSize *byteSize         `json:"payloadSize"`
	Probability int               `json:"probability"`
}

// LooksLike tells a graph without a kind by the fields that only it has.
func LooksLike(n *decode.Node) bool {
	services := n.Get("services")
	if services == nil || services.Shape != decode.List {
		return false
	}
	if n.Has("default", "defaults") {
		return true
	}
	for _, s := range services.Items {
		if s.Has("isEntrypoint", "script", "numReplicas", "responseSize") {
			return true
		}
	}
	return false
}

// ignoredByGraph lists the fields of isotope that have no meaning here.
func ignoredByGraph() []string {
	return []string{"numRbacPolicies", "computeUsage", "memoryUsage", "labels", "cluster", "namespace"}
}

// A graph is a document that a MockServiceGraph is read into.
type graph struct{ *document.Draft }

func Read(f *decode.File, n *decode.Node) *document.Draft {
	p := graph{document.NewDraft(f, n, document.Isotope, Kind)}
	p.lowerScripts(n)
	var in graphFile
	f.Decode(n, "", reflect.ValueOf(&in).Elem())
	def := in.Defaults
	if n.Has("default") {
		def = in.Default
	}
	p.checkProtocol(in.Default.Type, "default.type")
	p.checkProtocol(in.Defaults.Type, "defaults.type")
	p.System = &topology.System{Name: document.NameFromFile(f.Name)}
	for i := range in.Services {
		s, path := &in.Services[i], problem.Index("services", i)
		if s.IsEntrypoint {
			p.System.Entry = append(p.System.Entry, s.Name)
		}
		p.checkProtocol(s.Type, path+".type")
		p.noteIgnored(i)
		p.System.Services = append(p.System.Services, p.graphService(s, &def, path))
	}
	return p.Draft
}

// graphService makes a service of a graph's, with the graph's defaults.
func (p graph) graphService(in *graphService, def *graphDefaults, path string) topology.Service {
	script, from := in.Script, path+".script"
	if script == nil {
		script, from = def.Script, "defaults.script"
	}
	s := topology.NewService(in.Name, p.graphSteps(script, def, path+".endpoints[0].steps", from)...)
	for _, replicas := range []*int{def.NumReplicas, in.NumReplicas} {
		if replicas != nil {
			s.Replicas = *replicas
		}
	}
	e := &s.Endpoints[0]
	e.ErrorRate, e.Response.Size = def.ErrorRate, unit.Size(def.ResponseSize)
	if in.ErrorRate != nil {
		e.ErrorRate = *in.ErrorRate
	}
	if in.ResponseSize != nil {
		e.Response.Size = unit.Size(*in.ResponseSize)
	}
	p.Moved[path+".replicas"] = path + ".numReplicas"
	p.Moved[path+".endpoints[0].errorRate"] = path + ".errorRate"
	p.Moved[path+".endpoints[0].response.size"] = path + ".responseSize"
	return s
}

// graphSteps makes steps of a script's commands. The paths are those of the
// domain and of the file.
func (p graph) graphSteps(script []graphStep, def *graphDefaults, path, from string) (steps []topology.Step) {
	for i, in := range script {
		at, origin := problem.Index(path, i), problem.Index(from, i)
		p.Moved[at] = origin
		switch {
		case in.Concurrent != nil:
			// The concurrent commands stand under a name of their own in the tree,
			// because lists and objects cannot share one type.
			steps = append(steps, topology.Step{Parallel: p.graphSteps(in.Concurrent, def, at+".parallel", origin+".-concurrent")})
		case in.Sleep != nil:
			p.Moved[at+".work"] = origin
			steps = append(steps, topology.Step{Work: &topology.Work{Sleep: dist.Delay{Fixed: *in.Sleep}}})
		case in.Call != nil:
			p.Moved[at+".call.to"] = origin + ".call.service"
			steps = append(steps, topology.Step{Call: graphCallOf(in.Call, def)})
		}
	}
	return steps
}

func graphCallOf(in *graphCall, def *graphDefaults) *topology.Call {
	c := topology.NewCall(in.Service)
	c.RequestSize = unit.Size(def.RequestSize)
	for _, size := range []*byteSize{in.PayloadSize, in.Size} {
		if size != nil {
			c.RequestSize = unit.Size(*size)
		}
	}
	if in.Probability != 0 { // 0 means always there
		c.Probability = unit.Share(in.Probability) / 100
	}
	return &c
}

// lowerScripts gives the lists of concurrent commands a name, and the callees
// that are only names an object, so that they can be decoded.
func (p graph) lowerScripts(n *decode.Node) {
	scripts := []*decode.Node{n.Get("default").Get("script"), n.Get("defaults").Get("script")}
	if services := n.Get("services"); services != nil {
		for _, s := range services.Items {
			scripts = append(scripts, s.Get("script"))
		}
	}
	for _, script := range scripts {
		p.lowerCommands(script, true)
	}
}

func (p graph) lowerCommands(script *decode.Node, outermost bool) {
	if script == nil {
		return
	}
	for i, command := range script.Items {
		if command.Shape == decode.List {
			if !outermost {
				p.File.Mistake(command, "", "put the commands into one list", "concurrent commands stand inside concurrent commands")
				script.Items[i] = command.Like(decode.Object)
				continue
			}
			p.lowerCommands(command, false)
			script.Items[i] = command.ObjectAt("-concurrent", command)
			continue
		}
		if call := command.Get("call"); call != nil && call.Shape == decode.Text {
			command.Set("call", call.ObjectAt("service", call))
		}
		if command.Shape == decode.Object && !command.Has("call", "sleep") && len(command.Fields) == 0 {
			p.File.Mistake(command, "", "write call or sleep", "a command is empty")
		}
		if command.Has("call") && command.Has("sleep") {
			p.File.Mistake(command, "", "write them as two steps", "a command has both call and sleep")
		}
	}
}

// checkProtocol refuses protocols that isotope does not know, either.
func (p graph) checkProtocol(protocol, path string) {
	switch protocol {
	case "", "http":
	case "grpc":
		p.Note(p.Root.At(path), path, "type grpc is served as http")
	default:
		p.File.Mistake(p.Root.At(path), path, "write http or grpc", "type %q is not known", protocol)
	}
}

// noteIgnored names the fields of a service that have no meaning here.
func (p graph) noteIgnored(i int) {
	s := p.Root.Get("services").Items[i]
	for _, field := range s.Fields {
		if slices.Contains(ignoredByGraph(), field.Key) {
			p.Note(&decode.Node{Line: field.Line, Col: field.Col}, problem.Index("services", i)+"."+field.Key, "%s has no meaning here", field.Key)
		}
	}
}

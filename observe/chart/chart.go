// Package chart draws sweeps as one HTML page with pictures in it, which needs
// nothing but a browser and runs no program.
package chart

import (
	"fmt"
	"html/template"
	"io"
	"math"
	"strings"

	"github.com/microsim-dev/kubectl-microsim/model/search"
	"github.com/microsim-dev/kubectl-microsim/observe/report"
)

// The size of a picture, and of the frame in it.
const (
	width, height            = 640, 320
	left, right, top, bottom = 84, 24, 12, 44
	// MaxLines is how many curves a picture has; further ones are left out, which
	// the page says.
	MaxLines = 8
)

// Sweep writes the page of a sweep: a picture for each figure, with a line for each
// combination of the settings but the first, which lies along the picture.
func Sweep(w io.Writer, s *search.Sweep) error {
	if s.Curves() == 0 {
		return fmt.Errorf("drawing the sweep of %q: the values of %s, which would lie along the picture, are not numbers, or not all points were played", s.Name, s.Vary[0].Path)
	}
	p := page{Title: s.Name, Command: s.Command, Seeds: len(s.Seeds), LeftOut: max(0, s.Curves()-MaxLines)}
	for f := range s.Figures {
		p.Pictures = append(p.Pictures, newPicture(s, f))
	}
	for i := range s.Knees {
		p.Knees = append(p.Knees, report.KneeText(s, i))
	}
	parsed, err := template.New("sweep").Parse(text)
	if err == nil {
		err = parsed.Execute(w, p)
	}
	if err != nil {
		return fmt.Errorf("drawing the sweep of %q: %w", s.Name, err)
	}
	return nil
}

type page struct {
	Title, Command string
	Seeds, LeftOut int
	Pictures       []picture
	Knees          []string
}

type picture struct {
	Name, X                string
	Width, Height          int
	Left, Right            float64
	Top, Bottom            float64
	Lines                  []line
	XTicks, YTicks         []tick
	TitleX, TitleY, LabelY float64
}

type line struct {
	Name, Color      string
	Path, Band       string
	Points           []point
	LegendX, LegendY float64
}

type point struct {
	X, Y  float64
	Label string
	Knee  bool
}

type tick struct {
	At    float64
	Label string
}

// colors can be told apart by those who do not see all (Okabe and Ito, Color
// Universal Design, 2008).
func colors() []string {
	return []string{"#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#8A7500", "#666666"}
}

func newPicture(s *search.Sweep, f int) picture {
	p := picture{
		Name: s.FigureName(f), X: s.Vary[0].Path, Width: width, Height: height, Left: left, Right: width - right, Top: top, Bottom: height - bottom,
		TitleX: (left + width - right) / 2, TitleY: height - 8, LabelY: height - bottom + 16,
	}
	knees := map[int]bool{}
	for i := range s.Knees {
		if s.Knees[i].Figure == p.Name {
			knees[s.Knees[i].Point()] = true
		}
	}
	lowX, highX, highY := math.Inf(1), math.Inf(-1), 0.0
	for c := range min(s.Curves(), MaxLines) {
		points, x := s.Curve(c)
		lowX, highX = min(lowX, x[0]), max(highX, x[len(x)-1])
		for _, i := range points {
			if v := s.Points[i].Figures[f]; v != nil {
				highY = max(highY, v.Mean)
				if v.High != nil {
					highY = max(highY, *v.High)
				}
			}
		}
	}
	if highY == 0 {
		highY = 1
	}
	if lowX == highX {
		lowX, highX = lowX-1, highX+1
	}
	atX := func(v float64) float64 { return tenth(left + (v-lowX)/(highX-lowX)*(width-left-right)) }
	atY := func(v float64) float64 { return tenth(height - bottom - v/highY*(height-top-bottom)) }
	for _, v := range ticks(lowX, highX) {
		p.XTicks = append(p.XTicks, tick{atX(v), shortNumber(v)})
	}
	for _, v := range ticks(0, highY) {
		p.YTicks = append(p.YTicks, tick{atY(v), s.Figures[f].Format(v)})
	}
	for c := range min(s.Curves(), MaxLines) {
		p.Lines = append(p.Lines, newLine(s, f, c, knees, atX, atY))
	}
	return p
}

// newLine draws a curve and the band of its intervals. A point without data parts
// it.
func newLine(s *search.Sweep, f, c int, knees map[int]bool, atX, atY func(float64) float64) line {
	points, x := s.Curve(c)
	l := line{Color: colors()[c%len(colors())], LegendX: left + 10, LegendY: float64(top + 14 + 15*c)}
	var name []string
	for j, v := range s.Points[points[0]].Settings[1:] {
		name = append(name, s.Vary[j+1].Path+" "+v)
	}
	l.Name = strings.Join(name, ", ")
	var path, upper strings.Builder
	var lower []string
	pen := "M"
	for i, at := range points {
		v := s.Points[at].Figures[f]
		if v == nil {
			pen = "M"
			continue
		}
		fmt.Fprintf(&path, "%s%g %g ", pen, atX(x[i]), atY(v.Mean))
		pen = "L"
		label := s.Points[at].Settings[0] + ": " + s.Figures[f].Format(v.Mean)
		if v.Low != nil && v.High != nil {
			label += " (" + s.Figures[f].Format(*v.Low) + " to " + s.Figures[f].Format(*v.High) + ")"
			fmt.Fprintf(&upper, "%g,%g ", atX(x[i]), atY(*v.High))
			lower = append(lower, fmt.Sprintf("%g,%g", atX(x[i]), atY(*v.Low)))
		}
		l.Points = append(l.Points, point{atX(x[i]), atY(v.Mean), label, knees[at]})
	}
	for i := len(lower) - 1; i >= 0; i-- {
		upper.WriteString(lower[i] + " ")
	}
	l.Path, l.Band = strings.TrimSpace(path.String()), strings.TrimSpace(upper.String())
	return l
}

func tenth(v float64) float64 { return math.Round(v*10) / 10 }

// ticks are a few round numbers of a range.
func ticks(low, high float64) (list []float64) {
	step := math.Pow(10, math.Floor(math.Log10((high-low)/4)))
	for _, m := range []float64{5, 2} {
		if (high-low)/(m*step) >= 4 {
			step *= m
			break
		}
	}
	for i := math.Round(math.Ceil(low/step-1e-9)) + 0; i*step <= high*(1+1e-9); i++ {
		list = append(list, i*step)
	}
	return list
}

func shortNumber(v float64) string { return fmt.Sprintf("%.4g", v) }

const text = `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<title>{{.Title}}: sweep</title>
<style>
:root { color-scheme: light dark; }
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem; }
figure { display: inline-block; margin: 0 1rem 1rem 0; max-width: 100%; }
figcaption { font-weight: 600; }
svg { max-width: 100%; height: auto; }
svg text { font-size: 12px; fill: currentColor; }
.frame { stroke: currentColor; stroke-opacity: .5; }
.rule { stroke: currentColor; stroke-opacity: .15; }
code { overflow-wrap: anywhere; }
</style>
</head>
<body>
<h1>{{.Title}}</h1>
{{if .Command}}<p><code>{{.Command}}</code></p>{{end}}
{{if gt .Seeds 1}}<p>Means of {{.Seeds}} seeds, which are the same at all points; the bands are their 95 % intervals, each by itself.</p>{{end}}
{{if .LeftOut}}<p>{{.LeftOut}} further curves are left out of the pictures.</p>{{end}}
{{range .Knees}}<p>{{.}}</p>{{end}}
{{range .Pictures}}{{$p := .}}<figure>
<figcaption>{{.Name}}</figcaption>
<svg viewBox="0 0 {{.Width}} {{.Height}}" width="{{.Width}}" height="{{.Height}}" role="img" aria-label="{{.Name}} by {{.X}}">
{{range .YTicks}}<line class="rule" x1="{{$p.Left}}" x2="{{$p.Right}}" y1="{{.At}}" y2="{{.At}}"/><text x="{{$p.Left}}" dx="-6" y="{{.At}}" dy="4" text-anchor="end">{{.Label}}</text>
{{end}}{{range .XTicks}}<line class="rule" x1="{{.At}}" x2="{{.At}}" y1="{{$p.Top}}" y2="{{$p.Bottom}}"/><text x="{{.At}}" y="{{$p.LabelY}}" text-anchor="middle">{{.Label}}</text>
{{end}}<path class="frame" fill="none" d="M{{.Left}} {{.Top}}V{{.Bottom}}H{{.Right}}"/>
<text x="{{.TitleX}}" y="{{.TitleY}}" text-anchor="middle">{{.X}}</text>
{{range .Lines}}{{if .Band}}<polygon points="{{.Band}}" fill="{{.Color}}" fill-opacity=".15"/>{{end}}<path d="{{.Path}}" fill="none" stroke="{{.Color}}" stroke-width="2"/>
{{$l := .}}{{range .Points}}<circle cx="{{.X}}" cy="{{.Y}}" r="{{if .Knee}}7{{else}}3{{end}}" fill="{{if .Knee}}none{{else}}{{$l.Color}}{{end}}" stroke="{{$l.Color}}" stroke-width="2"><title>{{if .Knee}}knee, {{end}}{{.Label}}</title></circle>
{{end}}{{if .Name}}<text x="{{.LegendX}}" y="{{.LegendY}}" style="fill: {{.Color}}">{{.Name}}</text>{{end}}
{{end}}</svg>
</figure>
{{end}}</body>
</html>
`

package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// configure makes the proxies of a contender through a toxiproxy API.
func (l *lab) configure(api string, c contender) error {
	if err := l.reachable(api); err != nil {
		return err
	}
	list := []map[string]string{
		{"name": "web", "listen": c.web, "upstream": l.web},
		{"name": "sink", "listen": c.sink, "upstream": l.sink},
	}
	return post(api, "/populate", list)
}

func post(api, path string, value any) error {
	body, err := json.Marshal(value)
	if err != nil {
		return err
	}
	r, err := http.Post("http://"+api+path, "application/json", bytes.NewReader(body))
	if err != nil {
		return err
	}
	defer r.Body.Close()
	if r.StatusCode >= 300 {
		text, _ := io.ReadAll(r.Body) // the status says enough if it cannot be read
		return fmt.Errorf("posting to %s%s: %s: %s", api, path, r.Status, text)
	}
	return nil
}

// table measures all contenders in turn, several times, and prints medians and ratios to the first.
func (l *lab) table(title, unit string, contenders []contender, measure func(contender) (float64, error)) error {
	values := make([][]float64, len(contenders))
	for range l.rounds {
		for i, c := range contenders {
			v, err := measure(c)
			if err != nil {
				return fmt.Errorf("%s of %s: %w", title, c.name, err)
			}
			values[i] = append(values[i], v)
		}
	}
	fmt.Printf("\n%s (%s; median of %d)\n", title, unit, l.rounds)
	medians := make([]float64, len(contenders))
	for i, c := range contenders {
		slices.Sort(values[i])
		medians[i] = values[i][len(values[i])/2]
		fmt.Printf("  %-12s %12.2f  %.2f of %s  (%.2f..%.2f)\n", c.name, medians[i], medians[i]/medians[0], contenders[0].name, values[i][0], values[i][len(values[i])-1])
	}
	last := len(contenders) - 1
	for i := 1; i < last; i++ {
		fmt.Printf("  %s is %.2f times %s\n", contenders[last].name, medians[last]/medians[i], contenders[i].name)
	}
	return nil
}

var requestsPerSecond = regexp.MustCompile(`Requests/sec:\s+([0-9.]+)`)

func (l *lab) requests() error {
	return l.table("requests through an idle proxy", "1/s", l.contenders, func(c contender) (float64, error) {
		seconds := strconv.Itoa(max(1, int(l.duration.Seconds())))
		out, err := exec.CommandContext(l.ctx, l.wrk, "-t1", "-c32", "-d"+seconds, "http://"+c.web+"/").CombinedOutput()
		if err != nil {
			return 0, fmt.Errorf("%w\n%s", err, out)
		}
		m := requestsPerSecond.FindSubmatch(out)
		if m == nil || bytes.Contains(out, []byte("Socket errors")) {
			return 0, fmt.Errorf("wrk: %s", out)
		}
		return strconv.ParseFloat(string(m[1]), 64)
	})
}

// iperfOnce measures throughput. A server that is still busy with its last
// client turns the next away, which is tried again a few times.
func (l *lab) iperfOnce(c contender) (v float64, err error) {
	for range 5 {
		if v, err = l.iperfRun(c); err == nil || l.ctx.Err() != nil {
			return v, err
		}
		time.Sleep(300 * time.Millisecond)
	}
	return 0, err
}

func (l *lab) iperfRun(c contender) (float64, error) {
	_, p, _ := net.SplitHostPort(c.sink)
	seconds := strconv.Itoa(max(1, int(l.duration.Seconds())))
	out, err := exec.CommandContext(l.ctx, l.iperf, "-J", "-c", "127.0.0.1", "-p", p, "-t", seconds).Output()
	var result struct {
		Error string
		End   struct {
			Received struct {
				Bits float64 `json:"bits_per_second"`
			} `json:"sum_received"`
		}
	}
	if jsonErr := json.Unmarshal(out, &result); jsonErr != nil {
		return 0, errors.Join(err, jsonErr)
	}
	if result.Error != "" {
		return 0, errors.New(result.Error)
	}
	return result.End.Received.Bits / 1e9, nil
}

// bulk measures idle proxies, and those with the toxics API with a condition on.
func (l *lab) bulk() error {
	if err := l.table("bulk through an idle proxy", "Gbit/s", l.contenders, l.iperfOnce); err != nil {
		return err
	}
	var toxic []contender
	for _, c := range l.contenders {
		api := map[string]string{"toxiproxy": l.toxiproxAPI, "gate": l.gateAPI}[c.name]
		if api == "" {
			continue
		}
		t := map[string]any{"type": "latency", "name": "slow", "stream": "upstream", "attributes": map[string]int{"latency": 1}}
		if err := post(api, "/proxies/sink/toxics", t); err != nil {
			return err
		}
		toxic = append(toxic, c)
	}
	return l.table("bulk with 1 ms latency", "Gbit/s", toxic, l.iperfOnce)
}

// latency measures round trips of one byte-sized request after the other.
func (l *lab) latency() error {
	return l.table("round trip, p50", "us", l.contenders, func(c contender) (float64, error) {
		conn, err := net.Dial("tcp", c.web)
		if err != nil {
			return 0, err
		}
		defer conn.Close()
		const n = 5000
		took := make([]float64, 0, n)
		buf := make([]byte, 4096)
		for range n {
			start := time.Now()
			if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
				return 0, err
			}
			if _, err := conn.Read(buf); err != nil {
				return 0, err
			}
			took = append(took, float64(time.Since(start).Nanoseconds())/1e3)
		}
		slices.Sort(took)
		return took[n/2], nil
	})
}

// memory opens idle connections through the gate and reads its resident set.
func (l *lab) memory() error {
	if l.idle == 0 {
		fmt.Println("\n# the memory of idle connections is left out")
		return nil
	}
	var gate contender
	for _, c := range l.contenders {
		if c.name == "gate" {
			gate = c
		}
	}
	before, err := resident(l.gatePID)
	if err != nil {
		return err
	}
	conns := make([]net.Conn, 0, l.idle)
	defer func() {
		for _, c := range conns {
			c.Close()
		}
	}()
	buf := make([]byte, 4096)
	for i := range l.idle {
		// Several source addresses, for a port range holds fewer than 30 000.
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, byte(2+i%8))}}
		c, err := d.DialContext(l.ctx, "tcp", gate.web)
		if err != nil {
			return fmt.Errorf("opening idle connection %d: %w; raise the limit of open files (ulimit -n)", i, err)
		}
		conns = append(conns, c)
		if _, err := io.WriteString(c, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
			return err
		}
		if _, err := c.Read(buf); err != nil {
			return fmt.Errorf("idle connection %d: %w", i, err)
		}
	}
	after, err := resident(l.gatePID)
	if err != nil {
		return err
	}
	fmt.Printf("\nmemory of a gate: %.0f MB, with %d idle connections %.0f MB\n", before, l.idle, after)
	return nil
}

// resident returns a process's resident set in MB.
func resident(pid int) (float64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "VmRSS:" {
			kb, err := strconv.ParseFloat(f[1], 64)
			return kb / 1000, err
		}
	}
	return 0, fmt.Errorf("reading the memory of process %d: no VmRSS", pid)
}

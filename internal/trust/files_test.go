//go:build linux

package trust

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unicode/utf16"
)

const systemHead = "apiVersion: microsim.dev/v1alpha1\nkind: System\nname: one\n"

const oneSystem = systemHead + "services: [{name: web}]\n"

// readers are commands that read a file.
var readers = [][]string{
	words("validate -f"), words("convert -f"), words("up --on local -f"), words("run --on local --out out -f"),
	words("load --on local --duration 1s -f"), words("fault apply --on local -f"), words("call --on local -f"), words("down --on local -f"),
}

// hostileFiles are files that no command may take, each with what is said of it.
func hostileFiles() map[string]struct {
	text []byte
	says string
} {
	type file = struct {
		text []byte
		says string
	}
	system := func(format string, args ...any) []byte { return fmt.Appendf([]byte(systemHead), format, args...) }
	bomb := "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n"
	mergeBomb := "a0: &a0 {k: x}\n"
	for i := 1; i < 12; i++ {
		bomb += fmt.Sprintf("a%d: &a%[1]d [%s]\n", i, strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 10))
		mergeBomb += fmt.Sprintf("a%d: &a%[1]d {<<: [%s]}\n", i, strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 10))
	}
	blocks := &bytes.Buffer{}
	for i := range 5000 {
		fmt.Fprintf(blocks, "%sk:\n", strings.Repeat(" ", i))
	}
	utf16le := []byte{0xff, 0xfe}
	for _, u := range utf16.Encode([]rune("name: \x00\x1b[2J")) {
		utf16le = append(utf16le, byte(u), byte(u>>8))
	}
	zipped := &bytes.Buffer{}
	z := gzip.NewWriter(zipped)
	_, _ = z.Write([]byte(oneSystem))
	z.Close()
	return map[string]file{
		"empty":            {nil, "file.yaml"},
		"comment":          {[]byte("# nothing\n"), "file.yaml"},
		"huge":             {bytes.Repeat([]byte("a: b # and so on\n"), 1<<20), "file.yaml"},
		"huge-line":        {append([]byte("name: "), bytes.Repeat([]byte("x"), 15<<20)...), "file.yaml"},
		"deep-flow":        {[]byte(strings.Repeat("[", 200_000)), "file.yaml"},
		"deep-json":        {[]byte(strings.Repeat(`{"a":`, 100_000) + strings.Repeat("}", 100_000)), "file.yaml"},
		"deep-blocks":      {blocks.Bytes(), "file.yaml"},
		"alias-bomb":       {system("services: []\n%s", bomb), "file.yaml"},
		"merge-bomb":       {system("services: []\n%s", mergeBomb), "file.yaml"},
		"alias-of-itself":  {system("services: &a [*a]\n"), "file.yaml"},
		"alias-of-nothing": {system("services: *nothing\n"), "file.yaml:4:11"},
		"many-documents":   {[]byte(strings.Repeat("---\nx: 1\n", 20_000)), "file.yaml"},
		"binary":           {[]byte("\x7fELF\x02\x01\x01\x00\x00\x80\xff\xfe\xc3\x28"), "file.yaml"},
		"gzip":             {zipped.Bytes(), "file.yaml"},
		"utf-16":           {utf16le, "file.yaml"},
		"no-utf-8":         {system("services: [{name: \"\xc3\x28\"}]\n"), "file.yaml"},
		"nul-byte":         {system("services: [{name: \"a\x00b\"}]\n"), "file.yaml"},
		"nul-name":         {system(`services: [{name: "a\0b"}]`), `file.yaml:4:19.*"a\\x00b"`},
		"escape-name":      {system(`services: [{name: "\e[2J\e]0;owned\a"}]`), `file.yaml:4:19.*\\x1b`},
		"escape-key":       {system(`services: [{name: web, "\e[2Jx": 1}]`), `file.yaml:4:24.*\\x1b`},
		"escape-kind":      {[]byte("apiVersion: microsim.dev/v1alpha1\nkind: \"\\e[31mSystem\"\n"), `file.yaml:2.*\\x1b`},
		"newline-name":     {system(`services: [{name: "web\nerror: all is lost"}]`), `file.yaml:4:19`},
		"bidi-name":        {system(`services: [{name: "a\u202eb"}]`), `file.yaml:4:19`},
		"path-name":        {[]byte(strings.Replace(oneSystem, "name: one", "name: ../../etc", 1)), `file.yaml:3:7.*"../../etc"`},
		"formula-name":     {system(`services: [{name: "=cmd|' /C calc'!A0"}]`), `file.yaml:4:19`},
		"long-name":        {system("services: [{name: %s}]\n", strings.Repeat("x", 1<<20)), "file.yaml:4:19"},
		"long-key":         {system("%s: 1\nservices: [{name: web}]\n", strings.Repeat("x", 100_000)), "file.yaml:4:1"},
		"many-mistakes":    {system("services:\n%s", strings.Repeat("- {title: web}\n", 50_000)), "file.yaml:5:4"},
		"large-number":     {system("services: [{name: web, replicas: 1e999999999}]\n"), "file.yaml:4:34"},
		"long-number":      {system("services: [{name: web, replicas: 1%s}]\n", strings.Repeat("0", 100_000)), "file.yaml:4:34"},
		"many-replicas":    {system("services: [{name: web, replicas: 2000000000}]\n"), "file.yaml:4:34"},
		"endless-calls":    {system("services: [{name: a, calls: [b]}, {name: b, calls: [a]}]\n"), "file.yaml:4:"},
		"foreign-tag":      {system("services: !!python/object:os.system [ls]\n"), "file.yaml:4:11"},
		"page":             {[]byte("<!DOCTYPE html><html><body>Sign in</body></html>\n"), "file.yaml"},
		"request":          {[]byte(`{"designation":"a","routes":[` + strings.Repeat(`{"designation":"a","routes":[`, 20_000)), "file.yaml"},
	}
}

// TestHostileFiles gives each file to a command that reads files; to all of them
// would take long, so they take turns.
func TestHostileFiles(t *testing.T) {
	turn := 0
	files := hostileFiles()
	for _, name := range slices.Sorted(maps.Keys(files)) { // so that the turns are the same each time
		f := files[name]
		for _, args := range [][]string{readers[0], readers[1+turn%(len(readers)-1)]} {
			tr := trial{name: args[0], command: command{args: append(args[:len(args):len(args)], "file.yaml")}, code: 1, says: []string{"error: .*" + f.says}}
			tr.prepare = func(t *testing.T, b *box) { b.write(t, "file.yaml", f.text) }
			t.Run(name, func(t *testing.T) { runAll(t, []trial{tr}) })
		}
		turn++
	}
}

// TestNoFiles gives commands what is not a file.
func TestNoFiles(t *testing.T) {
	prepare := func(t *testing.T, b *box) {
		b.write(t, "one.yaml", []byte(oneSystem))
		work := func(name string) string { return b.path("work", name) }
		for _, err := range []error{
			os.Mkdir(work("empty"), 0o755), os.Mkdir(work("closed"), 0), os.WriteFile(work("secret"), []byte(oneSystem), 0),
			os.Symlink("loop", work("loop")), os.Symlink("nowhere", work("dangling")), os.Symlink("one.yaml", work("\x1b[2Jnone.yaml")),
			os.WriteFile(work("\x1b[31m\nerror: x"), []byte("{"), 0o644), syscall.Mkfifo(work("pipe"), 0o644),
			os.Mkdir(work("many"), 0o755), syscall.Mkfifo(work("many/pipe.yaml"), 0o644), os.Symlink("/dev/zero", work("many/zero.yaml")),
			os.Mkdir(work("pipes"), 0o755), syscall.Mkfifo(work("pipes/result.json"), 0o644),
		} {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	var trials []trial
	for _, c := range []struct{ path, says string }{
		{"empty", `"empty"`}, {"closed", `"?closed.*permission denied`}, {"secret", `"?secret.*permission denied`}, {"loop", `"?loop.*too many`},
		{"dangling", `"dangling": it is a symbolic link to "nowhere", which is not there`}, {"\x1b[31m\nerror: x", `\\x1b\[31m\\nerror: x"`}, {"nosuch\x1b[2J", `\\x1b\[2J`}, {"/dev/zero", "/dev/zero"},
		{"/proc/self/mem", "/proc/self/mem"}, {strings.Repeat("x", 5000), "file name too long"}, {strings.Repeat("x/", 50_000), "x/x"},
		{"nul\tx", `nul`}, {"http://[::1", `http://\[::1`}, {"http://127.0.0.1:99999/x", "99999"}, {"ftp://127.0.0.1/x", "ftp://"}, {"file:///etc/passwd", "file:///etc/passwd"},
		{"http://user:secret@127.0.0.1:1/", "refused"}, {"one.yaml/x", "one.yaml/x"},
	} {
		trials = append(trials, trial{name: fmt.Sprintf("%.20q", c.path), command: command{args: append(words("validate -f"), c.path), nobody: true}, code: 1, says: []string{c.says}, prepare: prepare})
	}
	for _, args := range [][]string{
		words("validate -f pipe"), words("validate -f many"), words("up --on local -f pipe"), words("run --on local -f pipe"), words("load --on local -f pipe"), words("gate --config pipe --api 127.0.0.1:0"),
		words("call --on local -f pipe"), words("fault apply --on local -f pipe"), words("down --on local -f pipe"), words("status --kubeconfig pipe"), words("up one.yaml --kubeconfig pipe"), words("report pipes"), words("doctor --kubeconfig pipe"),
	} {
		for _, signal := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
			trials = append(trials, trial{name: fmt.Sprint(args, signal), command: command{args: args, signal: signal}, code: 1, says: []string{"interrupted by SIG"}, prepare: prepare})
		}
	}
	runAll(t, trials)
}

// A file may be given many times; what it describes may not.
func TestManyFiles(t *testing.T) {
	prepare := func(t *testing.T, b *box) {
		b.write(t, "bad.yaml", []byte("kind: ["))
		for i := range 1000 {
			b.write(t, fmt.Sprintf("f%d.yaml", i), []byte(strings.Replace(oneSystem, "name: one", fmt.Sprintf("name: s%d", i), 1)))
		}
	}
	same := func(command, file string) []string {
		return append(words(command), words(strings.Repeat("-f "+file+" ", 1000))...)
	}
	different := func(command string) []string {
		args := words(command)
		for i := range 1000 {
			args = append(args, "-f", fmt.Sprintf("f%d.yaml", i))
		}
		return args
	}
	runAll(t, []trial{
		{name: "validate", command: command{args: different("validate")}, prints: []string{"system/s0 valid", "system/s999 valid"}, prepare: prepare},
		{name: "up", command: command{args: different("up --on local")}, code: 1, says: []string{"describe 1000 systems"}, prepare: prepare},
		{name: "same", command: command{args: same("validate", "f0.yaml")}, code: 1, says: []string{`"s0" is already described at f0.yaml:1`}, prepare: prepare},
		{name: "bad", command: command{args: same("validate", "bad.yaml")}, code: 1, says: []string{"bad.yaml:2:1: this is not YAML"}, prepare: prepare},
	})
}

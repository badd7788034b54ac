package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/lookerauth/lookerauth"
)

// screen is what a terminal shows in the line to which this was written: at the end, and all that
// it showed before.
func screen(written string) (line string, before []string) {
	var shown []byte
	for part := range strings.SplitSeq(written, "\r") {
		if line != "" {
			before = append(before, line)
		}
		shown = append([]byte(part), shown[min(len(part), len(shown)):]...)
		line = strings.TrimRight(string(shown), " ")
	}
	return line, before
}

func TestProgressIsDrawnAndCleared(t *testing.T) {
	setEnv(t, lookerauth.Config{})
	var out, drawn strings.Builder
	if err := run(t.Context(), nil, &out, &drawn); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(out.String(), "\r") || strings.Contains(drawn.String(), "\n") {
		t.Errorf("printed:\n%q, and drawn:\n%q", out.String(), drawn.String())
	}
	line, bars := screen(drawn.String())
	if line != "" {
		t.Errorf("%q is left on the terminal", line)
	}
	if len(bars) == 0 || len(bars) > barWidth {
		t.Fatalf("%d bars are drawn: %q", len(bars), bars)
	}
	last := 0
	for _, bar := range bars {
		cells, text, _ := strings.Cut(strings.TrimPrefix(bar, "["), "] ")
		var done int
		if _, err := fmt.Sscanf(text, "%d of 1000 requests", &done); err != nil || done <= last {
			t.Errorf("after %d requests: %q", last, bar)
		}
		if len(cells) != barWidth || strings.Count(cells, "#") != barWidth*done/requestCount {
			t.Errorf("the bar of %d requests is %q", done, cells)
		}
		last = done
	}
	if last != requestCount {
		t.Errorf("it ends at %d", last)
	}
}

// A request that was counted first may come to the terminal last.
func TestProgressNeverGoesBack(t *testing.T) {
	var drawn strings.Builder
	p := progress{out: &drawn, drawn: 80}
	for range 80 {
		p.add()
	}
	if drawn.Len() != 0 {
		t.Errorf("drawn after 80: %q", drawn.String())
	}
}

func TestProgressIsForTerminals(t *testing.T) {
	reader, writer, err := os.Pipe()
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	defer writer.Close()
	file, err := os.Create(filepath.Join(t.TempDir(), "errors"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	closed, err := os.Open(file.Name())
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	for name, file := range map[string]*os.File{"pipe": writer, "file": file, "none": closed} {
		if onTerminal(file) == file {
			t.Errorf("a %s is a terminal", name)
		}
	}
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip(err) // there is none everywhere
	}
	defer terminal.Close()
	if onTerminal(terminal) != terminal {
		t.Error("a terminal is none")
	}
}

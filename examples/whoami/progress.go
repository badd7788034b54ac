package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
)

const barWidth = 25 // and so many times it is drawn

// progress is a bar on a terminal, which fills as requests are done.
type progress struct {
	out  io.Writer
	done atomic.Int64

	mu    sync.Mutex // serializes what is drawn
	drawn int64      // what the bar says is done
}

// onTerminal returns the file if that is a terminal, and else a writer to nowhere. The null device
// counts as a terminal: nobody sees what is drawn there.
func onTerminal(file *os.File) io.Writer {
	info, err := file.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return io.Discard
	}
	return file
}

// add counts a request that is done.
func (p *progress) add() {
	done := p.done.Add(1)
	if done%(requestCount/barWidth) != 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if done > p.drawn { // another request, which was counted later, may have been here before
		p.drawn = done
		full := int(done) * barWidth / requestCount
		bar := strings.Repeat("#", full) + strings.Repeat(".", barWidth-full)
		fmt.Fprintf(p.out, "\r[%s] %4d of %d requests", bar, done, requestCount)
	}
}

// clear leaves the line as it was before: what is printed next starts there.
func (p *progress) clear() {
	fmt.Fprintf(p.out, "\r%*s\r", barWidth+len("[] 1000 of 1000 requests"), "")
}

package storetest

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/lookerauth/lookerauth"
)

type (
	getFunc  func(ctx context.Context, name string) ([]byte, error)
	swapFunc func(
		ctx context.Context, name string, old, next []byte, ttl time.Duration) ([]byte, error)
)

// broken is a memory with other methods.
type broken struct {
	*memory
	getFunc
	swapFunc
}

func (b *broken) Get(ctx context.Context, name string) ([]byte, error) {
	return b.getFunc(ctx, name)
}

func (b *broken) CompareAndSwap(
	ctx context.Context, name string, old, next []byte, ttl time.Duration,
) ([]byte, error) {
	return b.swapFunc(ctx, name, old, next, ttl)
}

// hidden is in the environment of the process in which the broken Stores are tested.
const hidden = "STORETEST_BROKEN"

func TestBrokenStoresFail(t *testing.T) {
	if os.Getenv(hidden) != "" {
		patience = 50 * time.Millisecond // they fail; let them do it soon
		for _, b := range brokenStores {
			t.Run(b.name, func(t *testing.T) {
				t.Parallel()
				Run(t, func(*testing.T) lookerauth.Store {
					m := newMemory()
					store := &broken{m, m.Get, m.CompareAndSwap}
					b.breakIt(store)
					return store
				})
			})
		}
		return
	}
	command := exec.CommandContext(t.Context(), os.Args[0],
		"-test.run=^TestBrokenStoresFail$", "-test.parallel=32") // most of them wait
	command.Env = append(os.Environ(), hidden+"=1")
	out, err := command.CombinedOutput()
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err) // js has no processes
	}
	if err == nil {
		t.Error("nothing failed")
	}
	for _, b := range brokenStores {
		want := "--- FAIL: TestBrokenStoresFail/" + b.name + "/" + b.rule + " "
		if !strings.Contains(string(out), want) {
			t.Errorf("a Store that %s passes %s", strings.ReplaceAll(b.name, "_", " "), b.rule)
		}
	}
	if t.Failed() {
		t.Logf("%s", out)
	}
}

// brokenStores are Stores that break a rule.
var brokenStores = []struct {
	name    string
	rule    string // which fails
	breakIt func(*broken)
}{
	{"ignores_old", "SwapOfAnotherValue", func(b *broken) {
		b.swapped(func(c *call) { c.old = b.value(c.name) })
	}},
	{"takes_no_old_for_any", "SwapOfAnotherValue", func(b *broken) {
		b.swapped(func(c *call) {
			if len(c.old) == 0 {
				c.old = b.value(c.name)
			}
		})
	}},
	{"deletes_any_value", "Deletion", func(b *broken) {
		b.swapped(func(c *call) {
			if len(c.next) == 0 {
				c.old = b.value(c.name)
			}
		})
	}},
	{"never_deletes", "Deletion", func(b *broken) {
		b.swapped(func(c *call) {
			if len(c.next) == 0 {
				c.next = c.old
			}
		})
	}},
	{"deletes_on_a_value", "SwapOfTheValue", func(b *broken) {
		b.swapped(func(c *call) {
			if len(c.old) > 0 {
				c.next = nil
			}
		})
	}},
	{"never_expires", "EndOfTTL", func(b *broken) {
		b.swapped(func(c *call) { c.ttl = time.Hour })
	}},
	{"takes_a_short_ttl_for_none", "EndOfTTL", func(b *broken) {
		b.swapped(func(c *call) {
			if c.ttl < time.Millisecond {
				c.ttl = time.Hour
			}
		})
	}},
	{"keeps_the_first_ttl", "ReplacementHasItsOwnTTL", func(b *broken) {
		b.swapped(func(c *call) {
			b.mu.Lock()
			defer b.mu.Unlock()
			if end := b.values[c.name].end; len(c.old) > 0 && !end.IsZero() {
				c.ttl = time.Until(end)
			}
		})
	}},
	{"renews_the_ttl_of_what_is_in_the_way", "UseLeavesTheTTL", func(b *broken) {
		b.swapped(func(c *call) {
			if now := b.value(c.name); now != nil && !bytes.Equal(now, c.old) {
				b.mu.Lock()
				defer b.mu.Unlock()
				b.set(c.name, now, c.ttl)
			}
		})
	}},
	{"renews_the_ttl_of_what_is_read", "UseLeavesTheTTL", func(b *broken) {
		b.getFunc = func(_ context.Context, name string) ([]byte, error) {
			value := b.value(name)
			b.mu.Lock()
			defer b.mu.Unlock()
			b.set(name, value, ttl)
			return bytes.Clone(value), nil
		}
	}},
	{"truncates_values", "AnySize", func(b *broken) {
		b.swapped(func(c *call) { c.next = c.next[:min(len(c.next), 4096)] })
	}},
	{"ends_values_at_a_zero", "AnyBytes", func(b *broken) {
		b.swapped(func(c *call) {
			c.next, _, _ = bytes.Cut(c.next, []byte{0})
		})
	}},
	{"compares_beginnings", "SimilarValues", func(b *broken) {
		b.swapped(func(c *call) {
			if now := b.value(c.name); len(c.old) > 0 && bytes.HasPrefix(now, c.old) {
				c.old = now
			}
		})
	}},
	{"ignores_case", "Names", func(b *broken) {
		b.named(strings.ToLower)
	}},
	{"shortens_names", "Names", func(b *broken) {
		b.named(func(name string) string { return name[:min(len(name), 63)] })
	}},
	{"keeps_few_names", "ManyNames", func(b *broken) {
		b.swapped(func(*call) {
			b.mu.Lock()
			defer b.mu.Unlock()
			for name := range b.values {
				if len(b.values) < 200 {
					return
				}
				delete(b.values, name)
			}
		})
	}},
	{"returns_old", "SwapOfAnotherValue", func(b *broken) {
		b.answered(func(old, next, now []byte) []byte {
			if bytes.Equal(now, next) {
				return now
			}
			return old
		})
	}},
	{"returns_next", "SwapOfAnotherValue", func(b *broken) {
		b.answered(func(old, next, now []byte) []byte { return next })
	}},
	{"returns_what_was_there_before", "SwapOfTheValue", func(b *broken) {
		b.answered(func(old, next, now []byte) []byte {
			if bytes.Equal(now, next) {
				return old
			}
			return now
		})
	}},
	{"refuses_what_was_sent_before", "SwapSentAgain", func(b *broken) {
		sent := make(map[string]bool)
		swap := b.swapFunc
		b.swapFunc = func(
			ctx context.Context, name string, old, next []byte, ttl time.Duration,
		) ([]byte, error) {
			b.mu.Lock()
			again := sent[string(old)+">"+string(next)]
			sent[string(old)+">"+string(next)] = true
			b.mu.Unlock()
			if again {
				return nil, os.ErrExist
			}
			return swap(ctx, name, old, next, ttl)
		}
	}},
	{"keeps_the_callers_slice", "SlicesAreTheCallers", func(b *broken) {
		b.swapFunc = func(
			_ context.Context, name string, old, next []byte, ttl time.Duration,
		) ([]byte, error) {
			b.mu.Lock()
			defer b.mu.Unlock()
			if bytes.Equal(b.get(name), old) {
				b.set(name, next, ttl)
			}
			return bytes.Clone(b.get(name)), nil
		}
	}},
	{"gives_its_own_slice", "SlicesAreTheCallers", func(b *broken) {
		b.getFunc = func(_ context.Context, name string) ([]byte, error) {
			b.mu.Lock()
			defer b.mu.Unlock()
			return b.get(name), nil
		}
	}},
	{"gives_the_callers_slice_back", "SlicesAreTheCallers", func(b *broken) {
		b.answered(func(old, next, now []byte) []byte {
			if bytes.Equal(now, next) {
				return next
			}
			return now
		})
	}},
	{"has_an_empty_value_for_none", "NoValueAtFirst", func(b *broken) {
		b.getFunc = func(_ context.Context, name string) ([]byte, error) {
			return append([]byte{}, b.value(name)...), nil
		}
	}},
	{"gets_the_first_value_for_ever", "SwapOfTheValue", func(b *broken) {
		first := make(map[string][]byte)
		b.getFunc = func(_ context.Context, name string) ([]byte, error) {
			b.mu.Lock()
			defer b.mu.Unlock()
			if first[name] == nil {
				first[name] = b.get(name)
			}
			return bytes.Clone(first[name]), nil
		}
	}},
	{"looks_and_writes_in_two_steps", "OneOfConcurrentSwapsWins", twoSteps},
	{"looks_and_deletes_in_two_steps", "SwapOrDeletionWins", twoSteps},
	{"loses_updates", "NoUpdateIsLost", twoSteps},
	{"shows_what_is_half_written", "ValuesAreWhole", func(b *broken) {
		b.swapped(func(c *call) {
			now := b.value(c.name)
			if len(now) < len(c.next) || !bytes.Equal(now, c.old) {
				return
			}
			c.old = slices.Concat(c.next[:len(c.next)/2], now[len(c.next)/2:])
			b.mu.Lock()
			b.set(c.name, c.old, c.ttl)
			b.mu.Unlock()
			time.Sleep(time.Millisecond)
		})
	}},
	{"removes_what_has_expired_too_late", "ExpiredValueIsReplacedOnce", func(b *broken) {
		b.swapped(func(c *call) {
			b.mu.Lock()
			e, ok := b.values[c.name]
			b.mu.Unlock()
			if !ok || time.Now().Before(e.end) {
				return
			}
			time.Sleep(5 * time.Millisecond)
			b.mu.Lock()
			defer b.mu.Unlock()
			delete(b.values, c.name)
		})
	}},
	{"ignores_contexts", "EndedContext", func(b *broken) {
		b.getFunc = func(_ context.Context, name string) ([]byte, error) {
			return b.value(name), nil
		}
	}},
	{"swaps_after_the_context", "EndedContext", func(b *broken) {
		swap := b.swapFunc
		b.swapFunc = func(
			ctx context.Context, name string, old, next []byte, ttl time.Duration,
		) ([]byte, error) {
			now, err := swap(context.WithoutCancel(ctx), name, old, next, ttl)
			return now, cmp.Or(err, ctx.Err())
		}
	}},
	{"ignores_deadlines", "EndedContext", func(b *broken) {
		get := b.getFunc
		b.getFunc = func(ctx context.Context, name string) ([]byte, error) {
			if context.Cause(ctx) == context.DeadlineExceeded {
				ctx = context.WithoutCancel(ctx)
			}
			return get(ctx, name)
		}
	}},
	{"deletes_after_the_context", "EndedContext", func(b *broken) {
		swap := b.swapFunc
		b.swapFunc = func(
			ctx context.Context, name string, old, next []byte, ttl time.Duration,
		) ([]byte, error) {
			if len(next) > 0 {
				return swap(ctx, name, old, next, ttl)
			}
			now, err := swap(context.WithoutCancel(ctx), name, old, next, ttl)
			return now, cmp.Or(err, ctx.Err())
		}
	}},
	{"leaves_its_lock_locked_when_the_context_ends", "ContextThatEndsMeanwhile", func(b *broken) {
		swap, lock := b.swapFunc, make(chan struct{}, 1)
		b.swapFunc = func(
			ctx context.Context, name string, old, next []byte, ttl time.Duration,
		) ([]byte, error) {
			select {
			case lock <- struct{}{}:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
			time.Sleep(time.Millisecond)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			defer func() { <-lock }()
			return swap(ctx, name, old, next, ttl)
		}
	}},
	{"succeeds_without_effect_when_the_context_ends", "ContextThatEndsMeanwhile", func(b *broken) {
		swap := b.swapFunc
		b.swapFunc = func(
			ctx context.Context, name string, old, next []byte, ttl time.Duration,
		) ([]byte, error) {
			time.Sleep(time.Millisecond)
			if ctx.Err() != nil {
				return next, nil
			}
			return swap(ctx, name, old, next, ttl)
		}
	}},
	{"hangs_after_the_context", "EndedContext", func(b *broken) {
		b.getFunc = func(ctx context.Context, name string) ([]byte, error) {
			if ctx.Err() != nil { // on a slow machine that of another rule's, too
				time.Sleep(10 * time.Second)
			}
			return b.value(name), nil
		}
	}},
}

// call is a swap that is asked for.
type call struct {
	name      string
	old, next []byte
	ttl       time.Duration
}

// swapped has swaps done otherwise than asked for.
func (b *broken) swapped(change func(*call)) {
	swap := b.swapFunc
	b.swapFunc = func(
		ctx context.Context, name string, old, next []byte, ttl time.Duration,
	) ([]byte, error) {
		c := call{name, old, next, ttl}
		change(&c)
		return swap(ctx, c.name, c.old, c.next, c.ttl)
	}
}

// named has names taken for others.
func (b *broken) named(change func(string) string) {
	b.swapped(func(c *call) { c.name = change(c.name) })
	get := b.getFunc
	b.getFunc = func(ctx context.Context, name string) ([]byte, error) {
		return get(ctx, change(name))
	}
}

// answered has swaps answered otherwise.
func (b *broken) answered(change func(old, next, now []byte) []byte) {
	swap := b.swapFunc
	b.swapFunc = func(
		ctx context.Context, name string, old, next []byte, ttl time.Duration,
	) ([]byte, error) {
		now, err := swap(ctx, name, old, next, ttl)
		return change(old, next, now), err
	}
}

// value is the value of name.
func (b *broken) value(name string) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	return bytes.Clone(b.get(name))
}

// twoSteps has another caller come in between looking and writing, if there is one.
func twoSteps(b *broken) {
	var meetings sync.Map // a channel for each name
	b.swapFunc = func(
		_ context.Context, name string, old, next []byte, ttl time.Duration,
	) ([]byte, error) {
		if now := b.value(name); !bytes.Equal(now, old) {
			return now, nil
		}
		meeting, _ := meetings.LoadOrStore(name, make(chan struct{}))
		looked := meeting.(chan struct{})
		select {
		case looked <- struct{}{}:
		case <-looked:
		case <-time.After(5 * time.Millisecond): // nobody else is here
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		b.set(name, bytes.Clone(next), ttl)
		return bytes.Clone(next), nil
	}
}

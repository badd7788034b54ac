package lookerauth

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"time"

	"github.com/lookerauth/lookerauth/internal/looker"
	"github.com/lookerauth/lookerauth/internal/queue"
	"github.com/lookerauth/lookerauth/internal/seal"
	"github.com/lookerauth/lookerauth/internal/token"
)

// record is what the Store has of an identity.
type record struct {
	Token *token.Response `json:"token,omitempty"` // nil if there is none
	Lease *lease          `json:"lease,omitempty"` // nil unless a process is getting the next one
}

// lease says that a process is logging in. It is not another one's to log in, until the lease has
// been the same for Patience, by that one's own clock. Clocks of two processes are not compared.
type lease struct {
	ID       string        `json:"id"` // another one for each lease
	Patience time.Duration `json:"patience"`
}

// entry is a record in the Store, with the value that holds it there; empty if there is none.
type entry struct {
	record
	value []byte
}

// has reports whether this lease is in the record.
func (r record) has(l *lease) bool { return l != nil && r.Lease != nil && r.Lease.ID == l.ID }

// records are the sealed records of a Store.
type records struct {
	store  *boundedStore
	keys   *seal.Keyring
	clock  Clock
	events *events
}

func (r *records) get(ctx context.Context, name string) (entry, error) {
	value, err := r.store.get(ctx, name)
	if err != nil {
		return entry{}, err
	}
	return r.open(ctx, name, value), nil
}

// swap puts next in the place of old, and returns what is there afterwards; ok says whether that is
// next. An empty next is none, as is one without a ttl. With an error, it returns next: that may be
// there.
func (r *records) swap(
	ctx context.Context, name string, old entry, next record, ttl time.Duration,
) (now entry, ok bool, err error) {
	var value []byte
	if next != (record{}) && ttl > 0 {
		text, _ := json.Marshal(next) // nothing in it can fail
		value = r.keys.Seal(name, text)
	}
	if len(value) > maxValue { // as a token may be that nobody else could read, either
		value = nil
	}
	is, err := r.store.swap(ctx, name, old.value, value, ttl)
	switch {
	case err != nil:
		return entry{next, value}, false, err
	case bytes.Equal(is, value):
		return entry{next, value}, true, nil
	}
	return r.open(ctx, name, is), false, nil
}

// open returns the record in a value. What does not open is an empty one, to be swapped away.
func (r *records) open(ctx context.Context, name string, value []byte) entry {
	if len(value) == 0 {
		return entry{}
	}
	now := wallTime(r.clock)
	e, err := r.parse(name, value)
	if err != nil {
		r.events.unopened(ctx, err, now)
	}
	if t := e.Token; t != nil && t.Sent.After(now) {
		if ahead := t.Sent.Sub(now); ahead > tolerance {
			r.events.isAhead(ctx, ahead, now)
		}
		t.Sent = now // the clock of who issued it is ahead, and it is as old as this at least
	}
	return entry{e, value}
}

// parse trusts nothing but what is sealed, and that only as far as it makes sense.
func (r *records) parse(name string, value []byte) (rec record, err error) {
	if len(value) > maxValue {
		return record{}, errors.New("it is longer than a value may be")
	}
	text, err := r.keys.Open(name, value)
	if err != nil {
		return record{}, fmt.Errorf("no key in StoreKeys opens it: %w", err)
	}
	if err := json.Unmarshal(text, &rec); err != nil {
		return record{}, errors.New("there is no record in it")
	}
	t := rec.Token
	if t == nil {
		return rec, nil
	}
	if !looker.IsAccessToken(t.AccessToken) || t.Life < looker.MinLife || t.Life > looker.MaxLife {
		return record{}, errors.New("there is no token in it")
	}
	return rec, nil
}

const (
	firstPause = 20 * time.Millisecond // between two looks at another's lease; then it doubles
	lastPause  = 320 * time.Millisecond
	maxLost    = 3           // swaps that others have won, after which a process goes on alone
	maxValue   = 8 << 10     // bytes
	tolerance  = time.Second // how far another process's clock may be ahead unnoticed
)

// claim is a login's way to the lease of its identity's record, or to the token that it finds
// there.
type claim struct {
	records  *records
	name     string
	turn     *queue.Turn
	begin    func(ctx context.Context) error // takes the turn
	patience time.Duration                   // that its lease says
	limit    time.Duration                   // of watching others' leases, in all

	// alone says that two processes must not log in at once, unless one stands still. Then the time
	// that others take is none of the turn's, and it does not matter how many swaps they win.
	alone bool

	good func(token.Response) bool // whether a token will do
	keep func(token.Response) bool // whether others may go on using it meanwhile
}

// look returns a good token that is in the record; nil if there is none.
func (c *claim) look(ctx context.Context) *token.Response {
	store := c.records.store
	select {
	case store.looks <- struct{}{}:
		defer func() { <-store.looks }()
	case <-ctx.Done():
		return nil
	}
	if store.resting() {
		return nil
	}
	e, _ := c.records.get(ctx, c.name)
	return c.found(e)
}

func (c *claim) found(e entry) *token.Response {
	if e.Token == nil || !c.good(*e.Token) {
		return nil
	}
	return e.Token
}

// take waits for the turn, and then for a good token of another process, or for the lease. If there
// is neither, as the Store does not work, or others take too long, the login goes on without. The
// error is that of begin.
func (c *claim) take(ctx context.Context) (found *token.Response, leased entry, err error) {
	var old entry // looking and locking are one call, which finds nothing at first
	var begun time.Time
	for lost := -1; lost < maxLost; {
		if err := c.begin(ctx); err != nil {
			return nil, entry{}, err
		}
		if c.records.store.resting() {
			return nil, entry{}, nil
		}
		now, ok, err := c.records.swap(ctx, c.name, old, c.leaseOver(old), c.ttl(old))
		if err != nil || ok {
			return nil, now, nil
		}
		if t := c.found(now); t != nil {
			return t, entry{}, nil
		}
		if now.Lease == nil || !c.alone {
			lost++
		}
		if now.Lease != nil {
			if begun.IsZero() {
				begun = wallTime(c.records.clock)
			}
			if now, ok = c.watch(ctx, now, begun); !ok {
				return nil, entry{}, c.begin(ctx)
			}
			if t := c.found(now); t != nil {
				return t, entry{}, nil
			}
		}
		old = now
	}
	return nil, entry{}, nil
}

// leaseOver is the record with this process's lease in place of old.
func (c *claim) leaseOver(old entry) record {
	next := record{Lease: &lease{rand.Text(), c.patience}}
	if old.Token != nil && c.keep(*old.Token) {
		next.Token = old.Token
	}
	return next
}

// ttl is how long a record with this process's lease in place of old is stored.
func (c *claim) ttl(old entry) time.Duration {
	ttl := 2 * c.patience
	if old.Token != nil {
		ttl = max(ttl, old.Token.Sent.Add(old.Token.Life).Sub(wallTime(c.records.clock)))
	}
	return ttl
}

// watch looks at another's lease until that has gone, or has been the same for its patience. It
// returns what it has last seen, to be swapped away; ok is false once all that takes too long.
// The turn is given up meanwhile.
func (c *claim) watch(ctx context.Context, seen entry, begun time.Time) (now entry, ok bool) {
	if c.alone {
		c.turn.Return()
	} else {
		c.turn.Skip()
	}
	at := wallTime(c.records.clock)
	since := at
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		jittered := pause/2 + mathrand.N(pause) // give or take a half
		if !within(at.Sub(begun)+jittered, c.limit) || !c.turn.Sleep(ctx, jittered) {
			return entry{}, false
		}
		now, err := c.records.get(ctx, c.name)
		at = wallTime(c.records.clock)
		switch {
		case err != nil:
			return entry{}, false
		case now.Lease == nil || c.found(now) != nil:
			return now, true
		case !bytes.Equal(now.value, seen.value): // another process has it now
			seen, since = now, at
		case !within(at.Sub(since), seen.Lease.Patience):
			return now, true
		}
	}
}

package token

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// model is an LRU that is plain and slow.
type model struct {
	size int
	ids  map[Key]*modelID
	used []Key // users, the last one used most recently

	exported map[Key][]*Token // whatever has become of the identity
}

// modelID is an identity in the model.
type modelID struct {
	tokens      []*Token // the current one last
	rejected    bool     // the current one
	ended       bool     // the current one, by somebody else
	rejectedAt  time.Duration
	hasRejected bool
	wait        time.Duration
	waitOf      *Token // the last one that has made wait longer
}

func newModel(size int) *model {
	return &model{size: size, ids: make(map[Key]*modelID), exported: make(map[Key][]*Token)}
}

func (m *model) use(key Key) {
	m.used = slices.DeleteFunc(m.used, func(k Key) bool { return k == key })
	if m.ids[key] != nil && key != service() {
		m.used = append(m.used, key)
	}
}

// leave takes an identity out, and returns what has to be ended: all exported ones on request, else
// none but the current one.
func (m *model) leave(key Key, why Cause, now time.Duration) []*Token {
	var tokens []*Token
	if id := m.ids[key]; id != nil {
		tokens = slices.DeleteFunc(slices.Clone(id.toEnd()), func(t *Token) bool {
			return t != id.current() && slices.Contains(m.exported[key], t)
		})
	}
	if why == Removed {
		exported := slices.DeleteFunc(m.exported[key], func(t *Token) bool {
			return m.ids[key] != nil && t == m.ids[key].current()
		})
		tokens = append(exported, tokens...)
		delete(m.exported, key)
	}
	delete(m.ids, key)
	m.use(key)
	return slices.DeleteFunc(tokens, func(t *Token) bool { return !alive(t, now) })
}

func (m *model) export(key Key) bool {
	id := m.ids[key]
	if !id.served() {
		return false
	}
	if !slices.Contains(m.exported[key], id.current()) {
		m.exported[key] = append(m.exported[key], id.current())
	}
	return true
}

func alive(t *Token, now time.Duration) bool {
	expiry := t.OAuth().Expiry.Sub(start)
	return now < expiry+time.Minute
}

func (m *model) put(t *Token) (evicted Key) {
	key := t.Key()
	if m.ids[key] == nil {
		if key != service() && len(m.used) == m.size {
			evicted = m.used[0]
		}
		m.ids[key] = &modelID{}
	}
	id := m.ids[key]
	id.tokens = append(id.toEnd(), t)
	id.rejected, id.ended = false, false
	m.use(key)
	return evicted
}

func (m *model) invalidate(key Key) bool {
	id := m.ids[key]
	if !id.served() {
		return false
	}
	id.rejected, id.hasRejected, id.wait = true, false, 0
	return true
}

func (m *model) reject(key Key, now time.Duration) bool {
	id := m.ids[key]
	if !id.served() {
		return false
	}
	sent := time.Duration(id.current().Sent() - at(0))
	since := now - id.rejectedAt
	if id.hasRejected && sent >= id.rejectedAt {
		if id.waitOf != id.current() {
			id.wait = max(10*time.Second, min(2*id.wait, 10*time.Minute))
			id.waitOf = id.current()
		}
		if since >= 0 && since < id.wait {
			return false
		}
	}
	id.rejected, id.hasRejected, id.rejectedAt = true, true, now
	return true
}

func (m *model) accept(key Key) {
	if id := m.ids[key]; id.served() {
		id.hasRejected, id.wait, id.waitOf = false, 0, nil
	}
}

func (m *model) retire(key Key) bool {
	id := m.ids[key]
	if !id.served() {
		return false
	}
	id.ended = true
	return true
}

// served reports whether there is a token that is.
func (id *modelID) served() bool { return id != nil && !id.rejected && !id.ended }

// toEnd returns all tokens but the current one if that has ended.
func (id *modelID) toEnd() []*Token {
	if id.ended {
		return id.tokens[:len(id.tokens)-1]
	}
	return id.tokens
}

func (id *modelID) current() *Token { return id.tokens[len(id.tokens)-1] }

// check compares what the LRU says of a key with what the model does, without using it.
func (m *model) check(t *testing.T, l *LRU, key Key, now time.Duration) {
	t.Helper()
	got, id := l.tokens.get(key), m.ids[key]
	if id == nil {
		if got != nil {
			t.Fatalf("%v has a token", key)
		}
		return
	}
	if got != id.current() {
		t.Fatalf("%v has %v, want %v", key, got, id.current())
	}
	if got.Invalidated() != id.rejected || got.Retired() == id.served() {
		t.Fatalf("%v's token is invalidated: %v", key, got.Invalidated())
	}
	for _, old := range id.tokens[:len(id.tokens)-1] {
		if old.Invalidated() || !old.Retired() || old.Fresh(at(now)) {
			t.Fatalf("a token is served after it was replaced")
		}
	}
}

func TestLRUIsLikeItsModel(t *testing.T) {
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 0))
		size := 1 + random.IntN(6)
		l, m := NewLRU(size, 0), newModel(size)
		keys := append(collide(l.tokens, 10), service())
		var now time.Duration
		for range 300 {
			// Seconds for the wait, an hour for tokens to die, and back.
			now += []time.Duration{0, 3 * time.Second, time.Hour, -time.Second}[random.IntN(4)]
			step(t, random, l, m, keys, now)
			for _, key := range keys {
				m.check(t, l, key, now)
			}
			if l.Len() != len(m.used) {
				t.Fatalf("%d users have a token, want %d", l.Len(), len(m.used))
			}
		}
	}
}

// step does one thing to the LRU and to its model.
func step(
	t *testing.T, random *rand.Rand, l *LRU, m *model, keys []Key, now time.Duration,
) {
	t.Helper()
	key := keys[random.IntN(len(keys))]
	id := m.ids[key]
	switch random.IntN(10) {
	default:
		token := issue(key, now)
		evicted := m.put(token)
		left, ok := l.Put(token, at(now))
		if !ok {
			t.Fatal("Put refused a new token")
		}
		if evicted != (Key{}) {
			checkLeft(t, left, evicted, Evicted, m.leave(evicted, Evicted, now)...)
		} else if left != nil {
			t.Fatalf("%v was evicted", left.Key)
		}
	case 1: // puts one that the identity has or had
		if id == nil {
			break
		}
		token := id.tokens[random.IntN(len(id.tokens))]
		current := token == id.current() && id.served()
		if left, ok := l.Put(token, at(now)); ok != current || left != nil {
			t.Fatalf("Put returned %v, %v, want nil, %v", left, ok, current)
		}
		if current {
			m.use(key)
		}
	case 2:
		var want *Token
		if id.served() {
			want = id.current()
		}
		if got := l.Current(l.Slot(key)); got != want {
			t.Fatalf("Current returned %v, want %v", got, want)
		}
		m.use(key)
	case 3, 4:
		if id != nil {
			stepRejection(t, random, l, m, id.current(), now)
		}
	case 5:
		tokens := m.leave(key, Removed, now)
		if left := l.Remove(key, at(now)); id != nil || len(tokens) > 0 {
			checkLeft(t, left, key, Removed, tokens...)
		} else if left != nil {
			t.Fatalf("%v left without being there", key)
		}
	case 6:
		if random.IntN(10) > 0 {
			break
		}
		for _, left := range l.Close(at(now)) {
			checkLeft(t, left, left.Key, Closed, m.leave(left.Key, Closed, now)...)
		}
		if len(m.used) > 0 {
			t.Fatalf("%v did not leave", m.used)
		}
	}
}

// stepRejection does what a request may do to the identity's last token, or who hands it out.
func stepRejection(
	t *testing.T, random *rand.Rand, l *LRU, m *model, token *Token, now time.Duration,
) {
	t.Helper()
	key, name := token.Key(), token.OAuth().AccessToken
	switch random.IntN(10) {
	default:
		want := m.reject(key, now)
		if got := l.Reject(key, name, at(now)); got != want {
			t.Fatalf("Reject returned %v", got)
		}
	case 3, 4:
		want := m.export(key)
		if got := l.Export(key, name, at(now)); got != want {
			t.Fatalf("Export returned %v", got)
		}
	case 0:
		want := m.invalidate(key)
		if got := l.Invalidate(key, name); got != want {
			t.Fatalf("Invalidate returned %v", got)
		}
	case 1:
		want := m.retire(key)
		if got := l.End(key, name); got != want {
			t.Fatalf("End returned %v", got)
		}
	case 2:
		m.accept(key)
		l.Accept(key, name)
	}
}

package token

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const rounds = 500 // of each writer

// writing runs write in two goroutines, and read in two others for as long as these write.
func writing(write func(round int), read func()) {
	var writers, readers sync.WaitGroup
	var done atomic.Bool
	for range 2 {
		writers.Go(func() {
			for round := range rounds {
				write(round)
			}
		})
		readers.Go(func() {
			for !done.Load() {
				read()
				runtime.Gosched() // js has one thread, and takes it from nobody
			}
		})
	}
	writers.Wait()
	done.Store(true)
	readers.Wait()
}

// checkToken fails if a look-up returned another identity's token.
func checkToken(t *testing.T, token *Token, key Key) {
	t.Helper()
	if token != nil && token.Key() != key {
		t.Errorf("%v got the token of %v", key, token.Key())
	}
}

// Few keys that collide are moved about in a small table at every step.
func TestNobodyGetsAnothersTokenWhileTokensChange(t *testing.T) {
	l := NewLRU(5, 0)
	keys := append(collide(l.tokens, 8), service())
	a, b := twins(l.tokens)
	keys = append(keys, a, b)
	write := func(round int) {
		key := keys[round*7%len(keys)]
		switch round % 5 {
		case 0:
			l.Remove(key, at(0))
		case 1:
			if token := l.Last(key); token != nil {
				l.Invalidate(key, token.OAuth().AccessToken)
				l.Put(token, at(0))
			}
		default:
			l.Put(issue(key, 0), at(0)) // and evicts
		}
		if round%500 == 0 {
			l.Close(at(0))
		}
	}
	read := func() {
		for _, key := range keys {
			slot := l.Slot(key)
			if slot.Key() != key {
				t.Errorf("%v got the slot of %v", key, slot.Key())
			}
			checkToken(t, l.Fresh(slot, at(0)), key)
			checkToken(t, l.Current(slot), key)
			checkToken(t, l.Fresh(slot, at(0)), key)
			checkToken(t, l.Last(key), key)
			if n := l.Len(); n > 5 {
				t.Errorf("%d users have a token, want at most 5", n)
			}
		}
	}
	writing(write, read)
	for _, token := range l.order.Keys() {
		l.Remove(token.Key(), at(0))
	}
	l.Remove(service(), at(0))
	if l.Len() != 0 || l.tokens.n != 0 {
		t.Errorf("%d users and %d tokens are left", l.Len(), l.tokens.n)
	}
}

// Looking up without the lock may miss a token that is being moved; with the lock it may not.
func TestTokenIsFoundUnderTheLockWhileOthersMove(t *testing.T) {
	l := NewLRU(10000, 0)
	keys := collide(l.tokens, 200) // each stands behind many others, which are taken out
	slots := make([]*Slot, len(keys))
	changes := make([]atomic.Int64, len(keys)) // twice for each time that it was out
	for i, key := range keys {
		put(t, l, issue(key, 0))
		slots[i] = newSlot(key)
	}
	var one sync.Mutex
	write := func(round int) {
		one.Lock()
		defer one.Unlock()
		i := round * 7 % len(keys)
		changes[i].Add(1)
		l.Remove(keys[i], at(0))
		l.Put(issue(keys[i], 0), at(0))
		changes[i].Add(1)
	}
	read := func() {
		for i, key := range keys {
			before := changes[i].Load()
			last, token := l.Last(key), l.Current(slots[i])
			checkToken(t, last, key)
			checkToken(t, token, key)
			stayed := before%2 == 0 && changes[i].Load() == before
			if stayed && (last == nil || token == nil) {
				t.Errorf("%v was not found", key)
			}
		}
	}
	writing(write, read)
}

// A look-up that begins once a token was invalidated does not find it.
func TestInvalidatedTokenIsNotServedByOneLookUpMore(t *testing.T) {
	l := NewLRU(10, time.Hour)
	slot := l.Slot(user(1))
	var one sync.Mutex
	var last atomic.Int64 // when the last invalidated one was sent, which is the order of tokens
	last.Store(at(0))
	write := func(int) {
		one.Lock()
		defer one.Unlock()
		token := issue(user(1), time.Duration(last.Load()-at(0))+1)
		l.Put(token, at(0))
		l.Invalidate(user(1), token.OAuth().AccessToken)
		last.Store(token.Sent())
	}
	read := func() {
		invalidated := last.Load()
		for _, token := range []*Token{l.Fresh(slot, at(time.Minute)), l.Current(slot)} {
			if token != nil && token.Sent() <= invalidated {
				t.Errorf("got a token that was invalidated")
			}
		}
	}
	writing(write, read)
}

package redisstore

import (
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/redis/go-redis/v9"
)

// LockTTL is how long a lock of a [Store] is held at most, so that it opens by itself when its
// process has died. If a login takes longer, another process may make it, too.
const LockTTL = 30 * time.Second

// answerTime is how long the server may take to answer one try to take a lock, or to open it.
const answerTime = 750 * time.Millisecond

var errNoAnswer = errors.New("no answer within " + answerTime.String())

// Between tries to take a lock that somebody else has, there is a pause. The longer the wait, the
// longer the pauses: when a whole fleet starts, hundreds of logins wait in each process.
const (
	minPause = 20 * time.Millisecond
	maxPause = 320 * time.Millisecond
)

// unlockPause is between tries to open a lock, while the server does not answer.
const unlockPause = time.Second

// Lock implements [lookerauth.Store]. While somebody else has the lock, it tries again after 20 ms,
// and then in pauses that double up to 320 ms, give or take a half. It gives up when ctx ends, when
// the server answers with an error, and when it does not answer a try within 750 ms.
//
// unlock may block for 750 ms, too. It is safe for concurrent use, and may be called after ctx has
// ended. If the server does not answer in time, unlock goes on in the background, for up to
// [LockTTL]. A lock that the server gives after Lock has returned is opened in the same way.
func (s *Store) Lock(ctx context.Context, key string) (unlock func(), err error) {
	name, holder := s.name(key)+":lock", crand.Text()
	for pause := minPause; ; pause = min(2*pause, maxPause) {
		taken, err := s.tryLock(ctx, name, holder)
		if taken {
			return func() { s.unlock(ctx, name, holder) }, nil
		}
		if err != nil {
			return nil, fmt.Errorf("redisstore: lock: %w", err)
		}
		select {
		case <-time.After(pause/2 + rand.N(pause)):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
}

// lockScript makes ARGV[1] the holder of KEYS[1] for ARGV[2] milliseconds, unless there is another
// holder. SET NX would not do: the client sends again what was not answered, and the holder would
// then find the lock taken by itself.
var lockScript = redis.NewScript(`
local holder = redis.call("GET", KEYS[1])
if holder and holder ~= ARGV[1] then
	return 0
end
redis.call("SET", KEYS[1], ARGV[1], "PX", ARGV[2])
return 1`)

// tryLock reports whether holder has the lock now.
func (s *Store) tryLock(ctx context.Context, name, holder string) (bool, error) {
	answered, cancel := context.WithTimeoutCause(ctx, answerTime, errNoAnswer)
	defer cancel()
	return within(answered, func() (bool, error) {
		ttl := LockTTL.Milliseconds()
		return lockScript.Run(answered, s.client, []string{name}, holder, ttl).Bool()
	}, func() { s.unlock(ctx, name, holder) })
}

// unlock opens the lock if holder still has it. If that fails, it goes on in the background: a
// server that hangs may yet give a lock that it was asked for before.
func (s *Store) unlock(ctx context.Context, name, holder string) {
	ctx = context.WithoutCancel(ctx)
	answered, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	if s.deleteIf(answered, name, holder) != nil {
		go s.unlockLater(ctx, name, holder)
	}
}

// unlockLater tries until the server has answered, or the client is closed. After LockTTL a lock
// that was taken before has opened by itself. A server that hangs for longer than that may still
// give a lock that nobody wants, and then that lock lasts for LockTTL.
func (s *Store) unlockLater(ctx context.Context, name, holder string) {
	ctx, cancel := context.WithTimeout(ctx, LockTTL)
	defer cancel()
	for {
		select {
		case <-time.After(unlockPause):
		case <-ctx.Done():
			return
		}
		if err := s.deleteIf(ctx, name, holder); err == nil || errors.Is(err, redis.ErrClosed) {
			return
		}
	}
}

package integration

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
	"github.com/lookerauth/lookerauth/storetest"
)

// sqlStore keeps values in a table:
//
//	CREATE TABLE tokens (name TEXT PRIMARY KEY, value BLOB NOT NULL, expiry BIGINT NOT NULL)
type sqlStore struct{ db *sql.DB }

func (s sqlStore) Get(ctx context.Context, name string) (value []byte, err error) {
	const query = `SELECT value FROM tokens WHERE name = $1 AND expiry > $2`
	err = s.db.QueryRowContext(ctx, query, name, time.Now().UnixNano()).Scan(&value)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	return value, err
}

func (s sqlStore) CompareAndSwap(
	ctx context.Context, name string, old, next []byte, ttl time.Duration,
) ([]byte, error) {
	for {
		swapped, err := s.trySwap(ctx, name, old, next, ttl)
		if swapped || err != nil {
			return bytes.Clone(next), err
		}
		now, err := s.Get(ctx, name)
		if err != nil || !bytes.Equal(now, old) || bytes.Equal(old, next) {
			return now, err
		}
	} // what was in the way has gone in between
}

// trySwap is one statement, so that the database does it as one step.
func (s sqlStore) trySwap(
	ctx context.Context, name string, old, next []byte, ttl time.Duration,
) (swapped bool, err error) {
	const (
		insert = `INSERT INTO tokens (name, value, expiry) VALUES ($1, $2, $3)
			ON CONFLICT (name) DO UPDATE SET value = $2, expiry = $3 WHERE tokens.expiry <= $4`
		update = `UPDATE tokens SET value = $1, expiry = $2
			WHERE name = $3 AND value = $4 AND expiry > $5`
		remove = `DELETE FROM tokens WHERE name = $1 AND value = $2 AND expiry > $3`
	)
	now := time.Now().UnixNano()
	end := now + int64(ttl)
	var result sql.Result
	switch {
	case bytes.Equal(old, next):
		return false, nil // there is nothing to do
	case len(old) == 0:
		result, err = s.db.ExecContext(ctx, insert, name, next, end, now)
	case len(next) == 0:
		result, err = s.db.ExecContext(ctx, remove, name, old, now)
	default:
		result, err = s.db.ExecContext(ctx, update, next, end, name, old, now)
	}
	if err != nil {
		return false, err
	}
	rows, err := result.RowsAffected()
	return rows > 0, err
}

// openSQL returns a sqlStore of the database in this file, which another one may have open, too.
func openSQL(t *testing.T, file string) sqlStore {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+file+
		"?_pragma=busy_timeout(10000)&_pragma=journal_mode(wal)&_pragma=synchronous(off)")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	const table = `CREATE TABLE IF NOT EXISTS tokens (
		name TEXT PRIMARY KEY, value BLOB NOT NULL, expiry BIGINT NOT NULL)`
	if _, err := db.ExecContext(t.Context(), table); err != nil {
		t.Fatal(err)
	}
	return sqlStore{db}
}

func TestStoreInSQLKeepsTheRules(t *testing.T) {
	storetest.Run(t, func(t *testing.T) lookerauth.Store {
		return openSQL(t, filepath.Join(t.TempDir(), "tokens"))
	})
}

// twoHandles is two Stores of one database, as two processes have them, used in turn.
type twoHandles struct {
	mu   sync.Mutex
	next int
	each [2]lookerauth.Store
}

func (s *twoHandles) one() lookerauth.Store {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.next = 1 - s.next
	return s.each[s.next]
}

func (s *twoHandles) Get(ctx context.Context, name string) ([]byte, error) {
	return s.one().Get(ctx, name)
}

func (s *twoHandles) CompareAndSwap(
	ctx context.Context, name string, old, next []byte, ttl time.Duration,
) ([]byte, error) {
	return s.one().CompareAndSwap(ctx, name, old, next, ttl)
}

func TestTwoHandlesOfOneDatabaseKeepTheRules(t *testing.T) {
	storetest.Run(t, func(t *testing.T) lookerauth.Store {
		file := filepath.Join(t.TempDir(), "tokens")
		return &twoHandles{each: [2]lookerauth.Store{openSQL(t, file), openSQL(t, file)}}
	})
}

func TestFleetWithAStoreInSQLLogsEachUserInOnce(t *testing.T) {
	const processes, users = 3, 10
	looker := lookertest.New(t)
	file := filepath.Join(t.TempDir(), "tokens")
	for range processes { // one after the other, so that it does not matter how fast they are
		cfg := looker.Config()
		cfg.Store = openSQL(t, file)
		cfg.StoreKeys = [][]byte{make([]byte, 32)}
		cache, err := lookerauth.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		for i := range users {
			if _, err := cache.User(strconv.Itoa(100 + i)).TokenContext(t.Context()); err != nil {
				t.Error(err)
			}
		}
		if err := cache.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	if n := looker.Count(lookertest.OpLogin, ""); n != 1 {
		t.Errorf("%d calls of login, want 1", n)
	}
	if n := looker.Count(lookertest.OpLoginUser, ""); n != users {
		t.Errorf("%d calls of login_user, want %d", n, users)
	}
}

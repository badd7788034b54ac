package main

import (
	"context"
	"crypto/rand"
	"errors"
	"time"
)

// figures are what a phase of a fleet took.
type figures struct {
	time                   time.Duration
	logins                 int           // login and login_user
	workers, looker, redis time.Duration // processor time; Looker's is all of this program's
	roundTrips             uint64        // of all workers to Redis
	commands               uint64        // that Redis has run, those within scripts among them
	found                  uint64        // tokens, in the Store
	storeErrors            uint64
	memory                 int64 // of Redis, of one value with its name
}

func (f figures) minus(g figures) figures {
	return figures{
		time:        f.time - g.time,
		logins:      f.logins - g.logins,
		workers:     f.workers - g.workers,
		looker:      f.looker - g.looker,
		redis:       f.redis - g.redis,
		roundTrips:  f.roundTrips - g.roundTrips,
		commands:    f.commands - g.commands,
		found:       f.found - g.found,
		storeErrors: f.storeErrors - g.storeErrors,
		memory:      f.memory - g.memory,
	}
}

// trial is a fleet that is measured.
type trial struct {
	name             string
	processes, slots int
	withStore, all   bool // all: each process asks for all users
}

// The trials, by their place.
const (
	oneProcess = iota
	ownUsers
	ownUsersStored
	allUsers
	allUsersStored
)

func (o options) trials() []trial {
	return []trial{
		{"one process with all slots", 1, o.processes * o.slots, false, false},
		{"each user in one process", o.processes, o.slots, false, false},
		{"… with a Store", o.processes, o.slots, true, false},
		{"all users in each process", o.processes, o.slots, false, true},
		{"… with a Store", o.processes, o.slots, true, true},
	}
}

// result is what came out of a trial.
type result struct {
	cold           figures
	refresh, looks figures // only with a Store, and each user in one process
}

// measure runs all trials in turn, once in each round. The results are by trial and round.
func measure(ctx context.Context, o options) ([][]result, error) {
	trials := o.trials()
	results := make([][]result, len(trials))
	for range o.rounds {
		for i, t := range trials {
			r, err := t.run(ctx, o)
			if err != nil {
				return nil, err
			}
			results[i] = append(results[i], r)
		}
	}
	return results, nil
}

// run starts a fleet in which nobody has a token, and measures it.
func (t trial) run(ctx context.Context, o options) (r result, err error) {
	looker, err := startLooker(o.login)
	if err != nil {
		return r, err
	}
	defer looker.Close()
	cfg := looker.Config()
	s := settings{
		BaseURL:      cfg.BaseURL,
		ClientID:     cfg.ClientID,
		ClientSecret: cfg.ClientSecret,
		Users:        o.users,
		Slots:        t.slots,
		StoreKey:     make([]byte, 32),
	}
	rand.Read(s.StoreKey) // which never fails
	var redis *server
	if t.withStore {
		if redis, err = startRedis(ctx); err != nil {
			return r, err
		}
		defer func() { err = errors.Join(err, redis.stop()) }()
		s.Redis = redis.addr
	}
	f, err := startFleet(ctx, t.processes, s, looker, redis)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, f.end()) }()
	if r.cold, err = f.do(ctx, t.tasks(o.users, t.all, false)); err != nil {
		return r, err
	}
	if t.withStore && !t.all {
		if r.refresh, err = f.do(ctx, t.tasks(o.users, false, true)); err != nil {
			return r, err
		}
		r.looks, err = f.do(ctx, t.tasks(o.users, true, false))
	}
	return r, err
}

// tasks is a task for each process: for all users, or for its part of them.
func (t trial) tasks(users int, all, refresh bool) []task {
	tasks := make([]task, t.processes)
	for i := range tasks {
		tasks[i] = task{First: 0, End: users, Refresh: refresh}
		if !all {
			tasks[i].First, tasks[i].End = i*users/t.processes, (i+1)*users/t.processes
		}
	}
	return tasks
}

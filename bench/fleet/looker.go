package main

import (
	"time"

	"github.com/lookerauth/lookerauth/lookertest"
)

// startLooker starts a fake Looker in this process, whose logins take a while.
func startLooker(login time.Duration) (*lookertest.Server, error) {
	looker, err := lookertest.Start()
	if err != nil {
		return nil, err
	}
	looker.FailFunc(func(call lookertest.Request) (f lookertest.Fault) {
		if call.Op == lookertest.OpLogin || call.Op == lookertest.OpLoginUser {
			f.Delay = login
		}
		return f
	})
	return looker, nil
}

// logins returns how many calls to log anybody in the Looker got.
func logins(looker *lookertest.Server) int {
	return looker.Count(lookertest.OpLogin, "") + looker.Count(lookertest.OpLoginUser, "")
}

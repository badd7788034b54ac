package main

import (
	"slices"
	"strings"
)

// row is a line of the table: a product of measurements divided by another one, with the limit it
// is to keep.
type row struct {
	label string
	unit  string // as package benchunit has it: seconds, not nanoseconds
	over  []string
	under []string // none: over is shown as it is
	limit limit
}

// limit is the largest value that is good enough, on 1 and on 2 cores; 0 if there is none.
type limit [2]float64

// rows name benchmarks without the word Benchmark.
var rows = slices.Concat(identityRows, userRows, requestRows, memoryRows)

var identityRows = []row{
	ratio("one identity: this / a clock read alone",
		"Token/lookerauth", "Token/clock", limit{1.25, 0}),
	ratio("one identity: this / `x/oauth2`",
		"Token/lookerauth", "Token/xoauth2", limit{0.85, 0.42}),
	ratio("one identity, a copy of the token: this / `x/oauth2`",
		"Token/lookerauth-copy", "Token/xoauth2", limit{}),
	ratio("one identity: this / aws",
		"Token/lookerauth", "Token/aws", limit{0.80, 0.92}),
	ratio("one identity: this / google",
		"Token/lookerauth", "Token/google", limit{0.65, 0.30}),
	ratio("one identity: this / ghinstallation",
		"Token/lookerauth", "Token/ghinstallation", limit{}),
}

// userRows have limits beside what does the same work: an LRU whose tokens expire.
var userRows = []row{
	users("1,000", "expirable", "expirable", limit{1.10, 0.75}),
	users("100,000", "expirable", "expirable", limit{1.10, 0.75}),
	users("1,000,000", "expirable", "expirable", limit{1.10, 0.75}),
	users("1,000", "ttlcache", "ttlcache", limit{1, 1}),
	users("100,000", "ttlcache", "ttlcache", limit{1, 1}),
	users("1,000,000", "ttlcache", "ttlcache", limit{1, 1}),
	users("1,000", "otter", "otter-expiry", limit{}),
	users("100,000", "otter", "otter-expiry", limit{}),
	users("1,000,000", "otter", "otter-expiry", limit{}),
	users("1,000", "golang-lru without expiry", "lru", limit{}),
	users("100,000", "golang-lru without expiry", "lru", limit{}),
	users("1,000,000", "golang-lru without expiry", "lru", limit{}),
	users("100,000", "otter without expiry", "otter", limit{}),
	users("100,000", "`sync.Map`", "syncmap", limit{}),
	{
		label: "growth from 1,000 to 1,000,000 users: this / `sync.Map`",
		unit:  "sec/op",
		over:  []string{"Users/users=1000000/lookerauth", "Users/users=1000/syncmap"},
		under: []string{"Users/users=1000/lookerauth", "Users/users=1000000/syncmap"},
		limit: limit{1.3, 1.3},
	},
}

var requestRows = []row{
	ratio("RoundTrip: this / `x/oauth2`",
		"RoundTrip/lookerauth", "RoundTrip/xoauth2", limit{0.75, 0.75}),
	ratio("RoundTrip by context: this / `x/oauth2`",
		"RoundTrip/lookerauth-context", "RoundTrip/xoauth2", limit{}),
	ratio("RoundTrip: this / ghinstallation",
		"RoundTrip/lookerauth", "RoundTrip/ghinstallation", limit{}),
	value("RoundTrip: allocations, this", "allocs/op", "RoundTrip/lookerauth", limit{3, 3}),
	value("RoundTrip: allocations, `x/oauth2`", "allocs/op", "RoundTrip/xoauth2", limit{}),
	value("cold start: this / ideal", "x-ideal", "ColdStart/lookerauth", limit{1.2, 1.2}),
	value("cold start: nothing but sleep / ideal", "x-ideal", "ColdStart/sleep", limit{}),
}

var memoryRows = []row{
	memory("100,000", "this", "lookerauth", limit{370, 370}),
	memory("1,000,000", "this", "lookerauth", limit{400, 400}),
	memory("1,000,000", "expirable", "expirable", limit{}),
	memory("1,000,000", "ttlcache", "ttlcache", limit{}),
	memory("1,000,000", "otter", "otter-expiry", limit{}),
	memory("1,000,000", "golang-lru without expiry", "lru", limit{}),
	memory("1,000,000", "otter without expiry", "otter", limit{}),
}

// users is the row of what looking one of so many users up takes, as a part of what a peer takes.
func users(number, peer, benchmark string, l limit) row {
	population := "Users/users=" + strings.ReplaceAll(number, ",", "") + "/"
	return ratio(number+" users: this / "+peer,
		population+"lookerauth", population+benchmark, l)
}

// memory is the row of what each of so many users takes.
func memory(number, contestant, benchmark string, l limit) row {
	return value("bytes per user, "+number+" users: "+contestant, "B/user",
		"Memory/users="+strings.ReplaceAll(number, ",", "")+"/"+benchmark, l)
}

// ratio is the row of what one benchmark takes as a part of what another one does.
func ratio(label, over, under string, l limit) row {
	return row{label, "sec/op", []string{over}, []string{under}, l}
}

// value is the row of what one benchmark reports.
func value(label, unit, of string, l limit) row {
	return row{label, unit, []string{of}, nil, l}
}

package main

// row is a line of the table: a product of measurements divided by another one, with the limit it is to keep.
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
var rows = []row{
	ratio("one identity: this / a clock read alone", "Token/lookerauth", "Token/clock", limit{1.25, 0}),
	ratio("one identity: this / `x/oauth2`", "Token/lookerauth", "Token/xoauth2", limit{0.85, 0.42}),
	ratio("one identity, a copy of the token: this / `x/oauth2`", "Token/lookerauth-copy", "Token/xoauth2", limit{}),
	ratio("one identity: this / aws", "Token/lookerauth", "Token/aws", limit{0.80, 0.92}),
	ratio("one identity: this / google", "Token/lookerauth", "Token/google", limit{0.65, 0.30}),
	ratio("one identity: this / ghinstallation", "Token/lookerauth", "Token/ghinstallation", limit{}),
	ratio("1,000 users: this / golang-lru", "Users/users=1000/lookerauth", "Users/users=1000/lru", limit{}),
	ratio("100,000 users: this / golang-lru", "Users/users=100000/lookerauth", "Users/users=100000/lru", limit{1.6, 0.75}),
	ratio("100,000 users: this / golang-lru and a look at the clock", "Users/users=100000/lookerauth", "Users/users=100000/lru-clock", limit{}),
	ratio("100,000 users: this / otter", "Users/users=100000/lookerauth", "Users/users=100000/otter", limit{}),
	ratio("100,000 users: this / `sync.Map`", "Users/users=100000/lookerauth", "Users/users=100000/syncmap", limit{}),
	ratio("1,000,000 users: this / golang-lru", "Users/users=1000000/lookerauth", "Users/users=1000000/lru", limit{}),
	{
		label: "growth from 1,000 to 1,000,000 users: this / `sync.Map`",
		unit:  "sec/op",
		over:  []string{"Users/users=1000000/lookerauth", "Users/users=1000/syncmap"},
		under: []string{"Users/users=1000/lookerauth", "Users/users=1000000/syncmap"},
		limit: limit{1.3, 1.3},
	},
	ratio("RoundTrip: this / `x/oauth2`", "RoundTrip/lookerauth", "RoundTrip/xoauth2", limit{0.75, 0.75}),
	ratio("RoundTrip by context: this / `x/oauth2`", "RoundTrip/lookerauth-context", "RoundTrip/xoauth2", limit{}),
	ratio("RoundTrip: this / ghinstallation", "RoundTrip/lookerauth", "RoundTrip/ghinstallation", limit{}),
	value("RoundTrip: allocations, this", "allocs/op", "RoundTrip/lookerauth", limit{3, 3}),
	value("RoundTrip: allocations, `x/oauth2`", "allocs/op", "RoundTrip/xoauth2", limit{}),
	value("cold start: this / ideal", "x-ideal", "ColdStart/lookerauth", limit{1.2, 1.2}),
	value("cold start: nothing but sleep / ideal", "x-ideal", "ColdStart/sleep", limit{}),
	value("bytes per user, 100,000 users: this", "B/user", "Memory/users=100000/lookerauth", limit{400, 400}),
	value("bytes per user, 1,000,000 users: this", "B/user", "Memory/users=1000000/lookerauth", limit{400, 400}),
	value("bytes per user, 1,000,000 users: golang-lru", "B/user", "Memory/users=1000000/lru", limit{}),
	value("bytes per user, 1,000,000 users: otter", "B/user", "Memory/users=1000000/otter", limit{}),
}

// ratio is the row of what one benchmark takes as a part of what another one does.
func ratio(label, over, under string, l limit) row {
	return row{label, "sec/op", []string{over}, []string{under}, l}
}

// value is the row of what one benchmark reports.
func value(label, unit, of string, l limit) row {
	return row{label, unit, []string{of}, nil, l}
}

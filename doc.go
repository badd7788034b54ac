// Package lookerauth authenticates requests to Looker: as the service account that an API key
// belongs to, or as any user through it. It logs in when it must, caches every token, replaces it
// before anyone has to wait, and puts it on each request.
//
//	cfg, err := lookerauth.ConfigFromEnv() // LOOKERSDK_BASE_URL, _CLIENT_ID, _CLIENT_SECRET
//	...
//	cache, err := lookerauth.New(cfg)
//	...
//	defer cache.Close(context.Background()) // not with a context that has ended by then
//	client := cache.User("789").Client() // an http.Client that acts as user 789
//	resp, err := client.Get(cfg.BaseURL + "/api/4.0/user")
//
// # Identities
//
// An [Identity] is the [ServiceAccount], one [User], or one [UserByCredential]: by your own id of
// an embed user, say. A [TokenSource] is one identity's, from [Cache.As]: it gives its token to
// code that wants an [oauth2.TokenSource], and makes an [http.Client] or an [http.RoundTripper]
// that acts as it. [Cache.Transport] is for many: the context of each request says whose it is
// ([WithIdentity]).
//
// [TokenSource.Export] hands a token out, such as to a browser, where it outlives what becomes of
// it here. [Config.UserToken] has users' tokens come from elsewhere, such as from OAuth.
//
// # The life of a token
//
//	login sent                                             expiry - 10 s     expiry
//	|------------------- fresh -------------------|---- aging ----|---- unusable ----|
//
// It ages for [Config.RefreshBefore] or a quarter of its life, whichever is less. It is unusable
// for its last 10 seconds or tenth of its life, likewise.
//
// A fresh token is returned at once. So is an aging one, while one login in the background replaces
// it. Only a caller that finds no usable token waits, and all that do wait for the same login. A
// token that nobody uses is not refreshed.
//
// # More than one process
//
// A [Config.Store] shares tokens between processes, sealed with [Config.StoreKeys]. A login first
// swaps a lease into the identity's record, or finds there what another process has put: a token,
// which it takes, or a lease, which it waits for. Who has the lease logs in, and swaps it for the
// token. The lease of a process that has died is taken over after about 5 seconds. While the Store
// fails, each process goes on alone.
//
// # Events
//
// [Config.Logger] gets an event for what happens to tokens. Messages, levels and attributes are
// stable; each message begins with "lookerauth: ". Production can run at Info without noise.
// identity is what [Identity.String] returns.
//
//	DEBUG  logged in                        identity, life
//	DEBUG  token refreshed                  identity, life   in the background: no caller waited
//	DEBUG  token taken from the store       identity
//	ERROR  login failed                     identity, op, status, reason, error, hold_down, count
//	WARN   login failed                     identity, op, status, reason, error, hold_down, count
//	DEBUG  login failed                     identity, op, status, reason, error, hold_down
//	INFO   logins work again                op, reason, lasted, count
//	WARN   logins paused                    pause, count     all of them, as Looker answered 429
//	INFO   token rejected                   identity, by, count
//	DEBUG  token rejected                   identity, by
//	DEBUG  request replayed                 identity         with the token that replaced it
//	DEBUG  user evicted                     identity, count  MaxUsers others were used since
//	DEBUG  user evicted                     identity
//	DEBUG  token discarded                  identity         by Logout, Close or AfterLogin
//	DEBUG  logged out                       identity
//	WARN   logout failed                    identity, op, status, reason, error, count
//	DEBUG  logout failed                    identity, op, status, reason, error
//	WARN   store failed                     op, limit, error, left_alone
//	INFO   store works again
//	WARN   stored value does not open       error, count     another key: see StoreKeys
//	WARN   stored token is from the future  ahead, count     some process's clock is wrong
//	INFO   closed                           users, failed    of how many a logout failed
//
// A line about what may happen to many at once comes at once for the first, then no more than once
// a minute (in five, for "login failed" at Warn; in an hour, for what is in the Store). Its count
// is how many there were since the line before, and it names one of them; those at Debug come one
// by one in between. [Cache.Close] has what is left told.
//
// Logins fail for a cause: an operation (op, as in [CallError]) and a reason, which is a field of
// [LoginFailures]: refused, not_found, rate_limited, unavailable or other. A cause is general if it
// is the service account's, or if two users met it with no granted login in between; not_found
// never is. "login failed" is at Error if its cause is general and callers waited for it, else at
// Warn; the first Error comes at once. No other try is made for hold_down. A refresh that a pause
// puts off has not failed. Logins "work again" once one was granted and the cause was not met for a
// minute; its count is those that no line told of. status is 0 if nothing answered. A token is
// rejected by a request, by a login (the service account's, in login_user), or by invalidate. While
// the Store is left alone, logins go on without it.
//
// # Guarantees
//
//   - A token never serves another identity, and a request without an identity is an error.
//   - A token goes nowhere but below [Config.BaseURL], whatever redirects say; the key goes to
//     login alone.
//   - For each identity at most one login runs at any time. A caller whose context ends leaves at
//     once.
//   - A token that Looker answers 401 to is replaced, and the request sent again if its body can
//     be.
//   - No key and no token is in an error, in an event that is logged, or in a value of this package
//     that is printed or encoded.
//   - After [Cache.Close] the tokens are logged out (but for exported ones and those of UserToken,
//     and with a Store none is), and no goroutine is left.
//
// [Cache.Stats] counts what happens. Package lookerotel, a module of its own, publishes it to
// OpenTelemetry, and so does this to expvar:
//
//	expvar.Publish("lookerauth", expvar.Func(func() any { return cache.Stats() }))
//
// Everything is safe for concurrent use. Package lookertest has a fake Looker for tests.
package lookerauth

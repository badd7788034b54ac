package lookertest

import (
	"cmp"
	"net/http"
	"slices"
)

// withCORS lets pages of these origins send requests to next, and read its answers. It answers
// what a browser asks before (the preflight) itself.
func withCORS(origins []string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		origin, header := r.Header.Get("Origin"), w.Header()
		if origin == "" || !slices.Contains(origins, origin) {
			next.ServeHTTP(w, r)
			return
		}
		header.Set("Access-Control-Allow-Origin", origin)
		header.Set("Vary", "Origin")
		if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
			next.ServeHTTP(w, r)
			return
		}
		wanted := r.Header.Get("Access-Control-Request-Headers")
		header.Set("Access-Control-Allow-Headers", cmp.Or(wanted, "Authorization"))
		header.Set("Access-Control-Allow-Methods", "GET, POST, PUT, PATCH, DELETE")
		w.WriteHeader(http.StatusNoContent)
	})
}

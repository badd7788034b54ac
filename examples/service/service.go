package main

import (
	"context"
	"embed"
	"encoding/json"
	"html/template"
	"io/fs"
	"net/http"
	"strings"
	"time"

	"github.com/looker-open-source/sdk-codegen/go/rtl"
	v4 "github.com/looker-open-source/sdk-codegen/go/sdk/v4"

	"github.com/lookerauth/lookerauth"
)

//go:embed page/pages.html page/style.css page/dist/app.js
var files embed.FS

var pages = template.Must(template.ParseFS(files, "page/pages.html"))

// settings are what a service is told.
type settings struct {
	sessionKey []byte
	customers  []string // their external ids
	look       string   // the id of the look that they see
}

// service is the product.
type service struct {
	settings
	cache    *lookerauth.Cache
	sessions sessions
	baseURL  string
}

// newService returns the handler of everything.
func newService(cache *lookerauth.Cache, baseURL string, set settings) (http.Handler, error) {
	metrics, err := newMetrics(cache)
	if err != nil {
		return nil, err
	}
	s := &service{set, cache, newSessions(set.sessionKey), strings.TrimRight(baseURL, "/")}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", s.forCustomer(s.home))
	mux.HandleFunc("GET /orders.csv", s.forCustomer(s.orders))
	mux.HandleFunc("POST /looker-token", s.forCustomer(s.token))
	mux.HandleFunc("POST /sign-in", s.signIn)
	mux.HandleFunc("POST /sign-out", s.signOut)
	mux.HandleFunc("GET /healthz", s.healthz)
	mux.HandleFunc("GET /readyz", s.readyz)
	mux.HandleFunc("GET /status", s.status)
	mux.Handle("GET /metrics", metrics)
	for name, file := range map[string]string{
		"style.css": "page/style.css", "app.js": "page/dist/app.js",
	} {
		mux.HandleFunc("GET /static/"+name, func(w http.ResponseWriter, r *http.Request) {
			http.ServeFileFS(w, r, fs.FS(files), file)
		})
	}
	// Other sites' pages can have a browser send POSTs here, and with them its cookies.
	return s.withHeaders(http.NewCrossOriginProtection().Handler(mux)), nil
}

// withHeaders lets the page do what it does, and nothing else.
func (s *service) withHeaders(next http.Handler) http.Handler {
	policy := "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; " +
		"form-action 'self'; base-uri 'none'; frame-ancestors 'none'; " +
		"connect-src 'self' " + s.baseURL + "/"
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Security-Policy", policy)
		w.Header().Set("X-Content-Type-Options", "nosniff")
		w.Header().Set("Cache-Control", "no-store") // what one customer sees is for nobody else
		next.ServeHTTP(w, r)
	})
}

// looker is Looker's official SDK as the customer of ctx. Its calls have no context of their own:
// they get this one, which says whose they are, and ends when the customer leaves.
func (s *service) looker(ctx context.Context) *v4.LookerSDK {
	session := rtl.NewAuthSession(rtl.ApiSettings{BaseUrl: s.baseURL})
	session.Client.Transport = inContext{ctx, s.cache.Transport(nil)}
	return v4.NewLookerSDK(session)
}

type inContext struct {
	ctx  context.Context
	base http.RoundTripper
}

func (t inContext) RoundTrip(req *http.Request) (*http.Response, error) {
	return t.base.RoundTrip(req.WithContext(t.ctx))
}

// home is the customer's page. What it shows of Looker comes to the browser by itself.
func (s *service) home(w http.ResponseWriter, r *http.Request) {
	me, err := s.looker(r.Context()).Me("id,display_name", nil)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	name := "Customer"
	if me.DisplayName != nil && *me.DisplayName != "" {
		name = *me.DisplayName
	}
	show(w, http.StatusOK, "home", map[string]string{
		"Name": name, "Looker": s.baseURL, "Look": s.look,
	})
}

// orders is the customer's look as a file, which the service gets from Looker as the customer.
func (s *service) orders(w http.ResponseWriter, r *http.Request) {
	request := v4.RequestRunLook{LookId: s.look, ResultFormat: "csv"}
	csv, err := s.looker(r.Context()).RunLook(request, nil)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/csv; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="orders.csv"`)
	_, _ = w.Write([]byte(csv))
}

// minLife is how long a token lives at least that a browser gets.
const minLife = 5 * time.Minute

// token hands the customer's own token to the customer's own page. A page that Looker has answered
// 401 says so. The service then makes a call: if the token was revoked, that replaces it.
func (s *service) token(w http.ResponseWriter, r *http.Request) {
	if r.URL.Query().Has("rejected") {
		if _, err := s.looker(r.Context()).Me("id", nil); err != nil {
			s.fail(w, r, err)
			return
		}
	}
	source := s.cache.As(lookerauth.FromContext(r.Context()))
	token, err := source.Export(r.Context(), lookerauth.ExportOptions{MinLife: minLife})
	if err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(token)
}

// show answers with a page.
func show(w http.ResponseWriter, status int, page string, data any) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_ = pages.ExecuteTemplate(w, page, data)
}

package lookerauth_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/oauth2"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

// product is a service whose customers are embed users of Looker: what docs/embedding.md shows.
type product struct {
	cache     *lookerauth.Cache
	client    *http.Client
	looker    string
	customers []string // their external ids
}

// startProduct starts a product with the customers Ann and Bob, and its Looker, whose administrator
// has an external id, too.
func startProduct(t *testing.T) (http.Handler, *lookertest.Server) {
	t.Helper()
	looker := lookertest.New(t)
	var users []lookertest.User
	for id, name := range map[string]string{"789": "Ann", "790": "Bob", "2": "Root"} {
		users = append(users, lookertest.User{
			ID: id, FirstName: name, Credentials: map[lookerauth.CredentialType]string{
				lookerauth.CredentialEmbed: strings.ToLower(name),
			},
		})
	}
	looker.SetUsers(users...)
	cache := newCache(t, looker)
	client := &http.Client{Transport: cache.Transport(nil)} // for all customers
	return newProduct(&product{cache, client, looker.URL, []string{"ann", "bob"}}), looker
}

func newProduct(p *product) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /me", p.forCustomer(p.me))
	mux.HandleFunc("POST /looker-token", p.forCustomer(p.token))
	return http.NewCrossOriginProtection().Handler(mux) // other sites' pages get no token
}

// forCustomer puts the customer who has signed in into the context of next.
func (p *product) forCustomer(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		id := signedInAs(r)
		if !slices.Contains(p.customers, id) {
			http.Error(w, "Sign in first.", http.StatusUnauthorized)
			return
		}
		who := lookerauth.UserByCredential(lookerauth.CredentialEmbed, id)
		next(w, r.WithContext(lookerauth.WithIdentity(r.Context(), who)))
	}
}

// me answers with what Looker has of the customer.
func (p *product) me(w http.ResponseWriter, r *http.Request) {
	url := p.looker + "/api/4.0/user"
	req, err := http.NewRequestWithContext(r.Context(), http.MethodGet, url, nil)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	resp, err := p.client.Do(req) // as the customer
	if err != nil {
		http.Error(w, "Looker does not log you in.", http.StatusBadGateway)
		return
	}
	defer resp.Body.Close()
	_, _ = io.Copy(w, resp.Body)
}

// token hands the customer's own token to the customer's own page.
func (p *product) token(w http.ResponseWriter, r *http.Request) {
	source := p.cache.As(lookerauth.FromContext(r.Context()))
	least := lookerauth.ExportOptions{MinLife: 5 * time.Minute}
	token, err := source.Export(r.Context(), least)
	if err != nil {
		http.Error(w, "Looker does not log you in.", http.StatusBadGateway)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_ = json.NewEncoder(w).Encode(token)
}

// signedInAs takes the cookie's word. A product's is signed, or leads to a session.
func signedInAs(r *http.Request) string {
	session, err := r.Cookie("session")
	if err != nil {
		return ""
	}
	return session.Value
}

// ask sends a request of the customer's browser.
func ask(
	handler http.Handler, method, path, customer string, header http.Header,
) *httptest.ResponseRecorder {
	req := httptest.NewRequest(method, path, nil)
	for name, values := range header {
		req.Header[name] = values
	}
	req.AddCookie(&http.Cookie{Name: "session", Value: customer})
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, req)
	return answer
}

// nameIn returns the name of Looker's user in an answer.
func nameIn(t *testing.T, body io.Reader) string {
	t.Helper()
	var user struct {
		Name string `json:"first_name"`
	}
	if err := json.NewDecoder(body).Decode(&user); err != nil {
		t.Error(err)
	}
	return user.Name
}

func TestProductCallsLookerAsItsCustomer(t *testing.T) {
	handler, _ := startProduct(t)
	for customer, want := range map[string]string{"ann": "Ann", "bob": "Bob"} {
		answer := ask(handler, http.MethodGet, "/me", customer, nil)
		if got := nameIn(t, answer.Body); got != want {
			t.Errorf("%s is %q at Looker, want %q", customer, got, want)
		}
	}
}

func TestProductsPageGetsItsCustomersToken(t *testing.T) {
	handler, looker := startProduct(t)
	answer := ask(handler, http.MethodPost, "/looker-token", "bob", nil)
	if answer.Header().Get("Cache-Control") != "no-store" {
		t.Errorf("the answer may be stored: %v", answer.Header())
	}
	var token oauth2.Token
	if err := json.Unmarshal(answer.Body.Bytes(), &token); err != nil {
		t.Fatal(err)
	}
	if token.ExpiresIn < 300 {
		t.Errorf("the token lives for %d s", token.ExpiresIn)
	}

	req, _ := http.NewRequest(http.MethodGet, looker.URL+"/api/4.0/user", nil)
	token.SetAuthHeader(req)
	resp, err := looker.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if got := nameIn(t, resp.Body); got != "Bob" {
		t.Errorf("Bob's page acts as %q", got)
	}
}

func TestProductGivesNoTokenToAnotherSite(t *testing.T) {
	handler, looker := startProduct(t)
	other := http.Header{"Sec-Fetch-Site": {"cross-site"}}
	answer := ask(handler, http.MethodPost, "/looker-token", "bob", other)
	if answer.Code != http.StatusForbidden {
		t.Errorf("answered %d %s", answer.Code, answer.Body)
	}
	checkCalls(t, looker, 0, 0)
}

// The service account may act as anybody, and Looker asks for nothing more.
func TestIDFromARequestMayBeAnAdministrators(t *testing.T) {
	careful, looker := startProduct(t)
	client := newCache(t, looker).Transport(nil)
	careless := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		who := lookerauth.UserByCredential(lookerauth.CredentialEmbed, signedInAs(r))
		ctx := lookerauth.WithIdentity(r.Context(), who)
		p := &product{client: &http.Client{Transport: client}, looker: looker.URL}
		p.me(w, r.WithContext(ctx))
	})
	if got := nameIn(t, ask(careless, http.MethodGet, "/me", "root", nil).Body); got != "Root" {
		t.Errorf("unchecked, the request is made as %q", got)
	}

	answer := ask(careful, http.MethodGet, "/me", "root", nil)
	if answer.Code != http.StatusUnauthorized {
		t.Errorf("answered %d %s", answer.Code, answer.Body)
	}
	checkLogins(t, looker, "2", 1) // the careless one's
}

package lookertest_test

import (
	"go/parser"
	"go/token"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/lookerauth/lookerauth"
	"github.com/lookerauth/lookerauth/lookertest"
)

// newReports is a program's handler: it shows a customer's looks, as Looker answers them.
func newReports(cache *lookerauth.Cache, lookerURL string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		customer, _, _ := r.BasicAuth()
		client := cache.User(customer).Client()
		resp, err := client.Get(lookerURL + "/api/4.0/looks")
		if err != nil {
			http.Error(w, "no reports: "+err.Error(), http.StatusBadGateway)
			return
		}
		defer resp.Body.Close()
		w.WriteHeader(resp.StatusCode)
		_, _ = io.Copy(w, resp.Body)
	})
}

func TestCustomersSeeTheirOwnReports(t *testing.T) {
	looker := lookertest.New(t)
	looker.SetUsers(lookertest.User{ID: "789", FirstName: "Ann"})
	looker.HandleFunc("GET /looks", func(w http.ResponseWriter, r *http.Request) {
		title := "Sales of " + lookertest.UserOf(r).FirstName
		lookertest.JSON(w, http.StatusOK, []map[string]string{{"id": "1", "title": title}})
	})
	cache, err := lookerauth.New(looker.Config())
	if err != nil {
		t.Fatal(err)
	}
	defer cache.Close(t.Context())

	page := httptest.NewRecorder()
	req := httptest.NewRequest("GET", "/reports", nil)
	req.SetBasicAuth("789", "Ann's password")
	newReports(cache, looker.URL).ServeHTTP(page, req)

	if page.Code != http.StatusOK || !strings.Contains(page.Body.String(), "Sales of Ann") {
		t.Errorf("the page is %d %s", page.Code, page.Body)
	}
}

// What go doc shows is the test above.
func TestDocShowsATestThatPasses(t *testing.T) {
	file, err := parser.ParseFile(
		token.NewFileSet(), "lookertest.go", nil, parser.ParseComments|parser.PackageClauseOnly)
	if err != nil {
		t.Fatal(err)
	}
	var shown []string
	for line := range strings.Lines(file.Doc.Text()) {
		if code, ok := strings.CutPrefix(line, "\t"); ok || line == "\n" && len(shown) > 0 {
			shown = append(shown, code)
		}
		if line == "\t}\n" {
			break
		}
	}
	if len(shown) < 15 || len(shown) > 30 {
		t.Errorf("it has %d lines", len(shown))
	}
	source, err := os.ReadFile("doc_test.go")
	if err != nil {
		t.Fatal(err)
	}
	if code := strings.Join(shown, ""); !strings.Contains(string(source), "\n"+code) {
		t.Errorf("this is shown:\n%s", code)
	}
}

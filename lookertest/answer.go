package lookertest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
)

// JSON answers with this status, and with answer as JSON. The Content-Type is application/json,
// unless the header of w has another. An answer that is not JSON's to write is answered with 500,
// which says why.
func JSON(w http.ResponseWriter, status int, answer any) {
	body, err := json.Marshal(answer)
	if err != nil {
		http.Error(w, "lookertest: JSON: "+err.Error(), http.StatusInternalServerError)
		return
	}
	if w.Header().Get("Content-Type") == "" {
		w.Header().Set("Content-Type", "application/json")
	}
	w.WriteHeader(status)
	_, _ = w.Write(append(body, '\n'))
}

// refuse answers with one of Looker's errors.
func refuse(w http.ResponseWriter, r *http.Request, status int, message string) {
	JSON(w, status, map[string]any{
		"message":           message,
		"documentation_url": documentationURL(r, status),
	})
}

var wildcard = regexp.MustCompile(`\{(\w+)\}`)

// documentationURL is where Looker's errors lead: it names the kind of call.
func documentationURL(r *http.Request, status int) string {
	version, path := cutAPI(r.URL.EscapedPath())
	if _, pattern, _ := strings.Cut(r.Pattern, " "); pattern != "" {
		_, path = cutAPI(wildcard.ReplaceAllString(pattern, ":$1"))
	}
	return fmt.Sprintf("https://cloud.google.com/looker/docs/r/err/%s/%d/%s%s",
		cmp.Or(version, "4.0"), status, strings.ToLower(r.Method), path)
}

// versioned is a user id as the request's version of the API has it: a number in 3.x, a string in
// 4.0.
func versioned(r *http.Request, id string) any {
	if n, err := strconv.Atoi(id); err == nil && !isVersion4(r) {
		return n
	}
	return id
}

func isVersion4(r *http.Request) bool { return strings.HasPrefix(r.URL.Path, "/api/4.") }

// cutAPI splits the path of a call into its version of the API and what is below that. The path of
// a call that belongs to no version is left as it is.
func cutAPI(path string) (version, below string) {
	rest, ok := strings.CutPrefix(path, "/api/")
	if !ok {
		return "", path
	}
	version, below, _ = strings.Cut(rest, "/")
	return version, "/" + below
}

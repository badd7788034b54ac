package lookertest

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/lookerauth/lookerauth"
)

// User is a user of the [Server].
type User struct {
	// ID is Looker's own id.
	ID string

	// FirstName and LastName make the display_name. Without both, they are "User" and the ID.
	FirstName, LastName string

	// Email is the email address. If it is empty, it is that of the credentials of this type, if
	// there are any.
	Email string

	// Credentials are the ids by which the user can be looked up, such as the external_user_id of
	// an embed user.
	Credentials map[lookerauth.CredentialType]string
}

// SetUsers says which users exist: these and the service account, and no others. A User with the id
// [ServiceAccountID] gives the service account a name. Tokens that are alive stay so.
//
// Before SetUsers every id exists, but the service account alone is in lists, and nobody has
// credentials.
func (s *Server) SetUsers(users ...User) {
	byID := map[string]User{ServiceAccountID: User{ID: ServiceAccountID}.complete()}
	for _, user := range users {
		byID[user.ID] = user.complete()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.users = byID
}

// complete is the user as answers have it, which shares nothing with u.
func (u User) complete() User {
	u = u.clone()
	if u.FirstName == "" && u.LastName == "" {
		u.FirstName, u.LastName = "User", u.ID
		if u.ID == ServiceAccountID {
			u.FirstName, u.LastName = "Service", "account"
		}
	}
	u.Email = cmp.Or(u.Email, u.Credentials[lookerauth.CredentialEmail])
	return u
}

func (u User) clone() User {
	u.Credentials = maps.Clone(u.Credentials)
	return u
}

// userByID returns the user with this id, and whether there is one.
func (s *Server) userByID(id string) (User, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if user, ok := s.users[id]; ok {
		return user, true
	}
	return User{ID: id}.complete(), s.users == nil || id == ServiceAccountID
}

// listUsers returns all users that are known, by their ids.
func (s *Server) listUsers() []User {
	s.mu.Lock()
	users := slices.Collect(maps.Values(s.users))
	s.mu.Unlock()
	if users == nil {
		users = []User{User{ID: ServiceAccountID}.complete()}
	}
	slices.SortFunc(users, func(a, b User) int {
		return cmp.Or(cmp.Compare(len(a.ID), len(b.ID)), cmp.Compare(a.ID, b.ID)) // 9, then 10
	})
	return users
}

func (s *Server) me(w http.ResponseWriter, r *http.Request, caller session) {
	user, _ := s.userByID(caller.userID)
	JSON(w, http.StatusOK, withFields(r, user))
}

func (s *Server) user(w http.ResponseWriter, r *http.Request, _ session) {
	user, ok := s.userByID(r.PathValue("user_id"))
	if !ok {
		refuse(w, r, http.StatusNotFound, "Not found")
		return
	}
	JSON(w, http.StatusOK, withFields(r, user))
}

func (s *Server) allUsers(w http.ResponseWriter, r *http.Request, _ session) {
	ids := strings.Trim(r.URL.Query().Get("ids"), `"`) // the Go SDK writes quotes around them
	wanted := strings.Split(ids, ",")
	respondUsers(w, r, slices.DeleteFunc(s.listUsers(), func(user User) bool {
		return ids != "" && !slices.Contains(wanted, user.ID)
	}))
}

func (s *Server) searchUsers(w http.ResponseWriter, r *http.Request, _ session) {
	criteria := r.URL.Query()
	for _, other := range []string{"fields", "limit", "offset", "page", "per_page", "sorts"} {
		criteria.Del(other)
	}
	respondUsers(w, r, slices.DeleteFunc(s.listUsers(), func(user User) bool {
		fields := userFields(r, user)
		fields["full_name"] = fields["display_name"]
		fields["embed_user"] = user.Credentials[lookerauth.CredentialEmbed] != ""
		for name := range criteria {
			if !isLike(fields[name], criteria.Get(name)) {
				return true
			}
		}
		return false
	}))
}

// isLike reports whether a field matches a pattern of SQL's LIKE, in upper or lower case.
func isLike(field any, pattern string) bool {
	if field == nil {
		return false
	}
	pattern = regexp.QuoteMeta(strings.ToValidUTF8(pattern, "\ufffd"))
	expression := strings.NewReplacer("%", ".*", "_", ".").Replace(pattern)
	return regexp.MustCompile("(?is)^" + expression + "$").MatchString(fmt.Sprint(field))
}

// respondUsers answers with the part of the list that was asked for.
func respondUsers(w http.ResponseWriter, r *http.Request, users []User) {
	query := r.URL.Query()
	limit, offset := number(query, "limit"), number(query, "offset")
	if !query.Has("limit") && query.Has("per_page") {
		limit = number(query, "per_page")
		page := max(number(query, "page")-1, 0)
		offset = min(page, len(users)) * min(limit, len(users))
	}
	users = users[min(offset, len(users)):]
	if limit > 0 {
		users = users[:min(limit, len(users))]
	}
	answer := []any{}
	for _, user := range users {
		answer = append(answer, withFields(r, user))
	}
	JSON(w, http.StatusOK, answer)
}

// number is the parameter of this name; 0 if there is none.
func number(query url.Values, name string) int {
	n, _ := strconv.Atoi(query.Get(name))
	return max(n, 0)
}

var nested = regexp.MustCompile(`\([^)]*\)`)

// withFields is the user as Looker answers it, with the fields that the request asks for: all if it
// names none. What it asks for within a field makes no difference.
func withFields(r *http.Request, user User) map[string]any {
	answer := userFields(r, user)
	fields := nested.ReplaceAllString(r.URL.Query().Get("fields"), "")
	if fields == "" {
		return answer
	}
	wanted := strings.Split(strings.ReplaceAll(fields, " ", ""), ",")
	maps.DeleteFunc(answer, func(name string, _ any) bool {
		return !slices.Contains(wanted, name)
	})
	return answer
}

func userFields(r *http.Request, user User) map[string]any {
	fields := map[string]any{
		"id":           versioned(r, user.ID),
		"first_name":   orNull(user.FirstName),
		"last_name":    orNull(user.LastName),
		"display_name": strings.TrimSpace(user.FirstName + " " + user.LastName),
		"email":        orNull(user.Email),
		"is_disabled":  false,
		"group_ids":    []any{},
		"role_ids":     []any{},
	}
	for _, kind := range credentialKinds {
		fields[kind.field] = kind.of(user)
	}
	return fields
}

func orNull(s string) any {
	if s == "" {
		return nil
	}
	return s
}
